"""Takes an environment down, or some of its stacks; its data only when told twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tapgen import names
from tapgen.commands import common, options
from tapgen.errors import Exit, UsageError

if TYPE_CHECKING:
    from tapgen.cloud import DeployedStack, Kept
    from tapgen.description import Description
    from tapgen.engine.destroy import Keeping, Standing
    from tapgen.session import Session


@click.command()
@click.argument("tiers", nargs=-1, metavar="[TIER]...")
@common.env_option
@common.aws_options
@common.config_option
@click.option("--orphans", is_flag=True, help="Only stacks that the code no longer describes.")
@click.option("--dry-run", is_flag=True, help="Show what would go, stay and block; change nothing.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask (never enough for --delete-data).")
@click.option(
    "--retain",
    multiple=True,
    metavar="[STACK/]ID",
    help="A resource to leave behind if it cannot be deleted.",
)
@click.option("--force", is_flag=True, help="Leave behind whatever cannot be deleted.")
@click.option("--delete-data", is_flag=True, help="Remove snapshots, file systems and keys too.")
@click.option(
    "--confirm",
    "typed",
    metavar="SUFFIX",
    help="The suffix again, for --delete-data and protected environments.",
)
@options.role_option
@options.express_option
@options.on_interrupt_option
@click.option("--verbose", "-v", is_flag=True, help="A line for every resource.")
@common.output_option("text", "json")
def destroy(
    tiers: tuple[str, ...],
    env: str,
    local: bool,
    profile: str | None,
    config: Path,
    orphans: bool,
    dry_run: bool,
    yes: bool,
    retain: tuple[str, ...],
    force: bool,
    delete_data: bool,
    typed: str | None,
    role_arn: str | None,
    express: bool,
    on_interrupt: str,
    verbose: bool,
    form: str,
) -> int:
    """Delete an environment's stacks, or some, and keep its data.

    The data goes too only with --delete-data and the suffix typed again.
    """
    if orphans and tiers:
        raise UsageError("--orphans chooses the stacks itself: name no tier beside it")
    if force and retain:
        raise UsageError("--force leaves behind whatever cannot be deleted: no --retain beside it")
    with common.opened(env, config, local=local, profile=profile) as session:
        from tapgen.commands import attending, guarding, leaving, running
        from tapgen.engine import destroy as destroying
        from tapgen.engine import recover

        description = common.describe()
        flags = [] if role_arn is None else [f"role_arn={role_arn}"]
        settings = common.settled(session, env, description, config, flags)
        common.head(session, env)
        stacks = running.stacks_of(session, env)
        chosen = _chosen(
            stacks, tiers, env, _orphans(stacks, description, env) if orphans else None
        )
        standing = [destroying.look(session.cloud, stack) for stack in chosen]
        if not standing:
            what = "no stack has left the code" if orphans else f"{env} is not deployed"
            common.say(f"{what}; nothing to destroy")
            if form == "json" and dry_run:
                _print_dry([], [], [])
            return Exit.DONE
        importers = destroying.links(session.cloud, standing)
        unselected = {stack.name for stack in stacks} - {item.stack.name for item in standing}
        # Whoever marked the environment may take the mark's protection off, by typing its name.
        ours = settings.protected
        blockers = destroying.blockers(standing, importers, unselected, protected=not ours)
        kept = [item for stack in standing for item in destroying.keeping(stack)]
        left = {item.stack.name: _ids(item) for item in standing}
        giving_up = recover.named(retain, left)
        if dry_run:
            _show_farewell(standing, kept, delete_data=delete_data)
            leaving.tell_failed(session, chosen)
            for text in blockers:
                common.say(f"in the way: {text}")
            if form == "json":
                _print_dry(standing, kept, blockers)
            return Exit.DONE
        if blockers:
            raise destroying.Blocked(blockers)
        _show_farewell(standing, kept, delete_data=delete_data)
        leaving.tell_failed(session, chosen)
        if delete_data or ours:
            why = "all its data goes" if delete_data else f"{env} is protected"
            guarding.type_suffix(env, why, typed)
        else:
            common.confirm(f"Destroy {common.count(len(standing), 'stack')} of {env}?", yes=yes)
        before = {
            item.resource.physical_id: frozenset(
                snapshot.id for snapshot in session.account.snapshots(item.resource)
            )
            for item in kept
            if delete_data and item.how == "snapshot"
        }
        attendant = attending.attendant(env, on_interrupt, local=local, profile=profile)
        door = guarding.acting(session.cloud, settings, express=express)
        session = attendant.attended(replace(session, cloud=door))
        run = replace(
            running.run_of(session, settings.concurrency, attendant),
            retain=giving_up,
            force=force,
        )
        view = leaving.View(env, form, verbose, yes)
        summary = leaving.taken_down(session, run, attendant, standing, importers, view)
        status = running.concluded(summary, env, form, attendant)
        gone = [item for item in kept if summary.row_of(item.stack)[0] == "deleted"]
        if delete_data:
            leftovers = destroying.leftovers(session.account, gone, before)
            return max(status, _removed(session, leftovers))
        return status


class UnknownStack(UsageError):
    """A tier that the environment has no stack of."""

    def __init__(self, tier: str, env: str, deployed: Sequence[str]) -> None:
        self.tier, self.env, self.deployed = tier, env, tuple(deployed)
        there = ", ".join(deployed) or "nothing"
        super().__init__(f"{env} has no stack of a tier {tier!r}; deployed there: {there}")


def _chosen(
    stacks: Sequence[DeployedStack],
    tiers: Sequence[str],
    env: str,
    orphans: Sequence[DeployedStack] | None,
) -> list[DeployedStack]:
    if orphans is not None:
        return list(orphans)
    by_tier = {stack.name.removeprefix(f"{names.PROJECT}-{env}-"): stack for stack in stacks}
    for tier in tiers:
        if tier not in by_tier:
            raise UnknownStack(tier, env, list(by_tier))
    return [stack for tier, stack in by_tier.items() if not tiers or tier in tiers]


def _orphans(
    stacks: Sequence[DeployedStack], description: Description, env: str
) -> list[DeployedStack]:
    from tapgen.engine import destroy as destroying

    described = {description.stack_name(tier, env) for tier in description.documents}
    return destroying.orphans(stacks, described)


def _ids(item: Standing) -> list[str]:
    return [r.logical_id for r in item.resources if r.status != "DELETE_COMPLETE"]


def _print_dry(
    standing: Sequence[Standing], kept: Sequence[Keeping], blockers: Sequence[str]
) -> None:
    from tapgen.render import as_json

    found = {
        "delete": [{"stack": i.stack.name, "status": i.stack.status} for i in standing],
        "keep": [
            {"stack": i.stack, "type": i.resource.type, "id": i.resource.physical_id, "how": i.how}
            for i in kept
        ],
        "blockers": list(blockers),
    }
    click.echo(as_json(found))


def _show_farewell(
    standing: Sequence[Standing], kept: Sequence[Keeping], *, delete_data: bool
) -> None:
    common.say("to be deleted:")
    common.table([(item.stack.name, item.stack.status) for item in standing], err=True, indent="  ")
    verb = "and, for good" if delete_data else "kept"
    common.say(f"{verb}:" if kept else "nothing of it is kept: no stack holds data")
    rows = [
        (item.resource.type, item.resource.physical_id, _FATE[item.how, delete_data])
        for item in kept
    ]
    common.table(rows, err=True, indent="  ")
    common.say()


_FATE = {
    ("snapshot", False): "as a final snapshot",
    ("snapshot", True): "without a final snapshot",
    ("kept", False): "as it is",
    ("kept", True): "removed",
}


def _removed(session: Session, left: Sequence[Kept]) -> Exit:
    from tapgen.cloud import CloudError

    worst = Exit.DONE
    for item in left:
        try:
            session.account.delete_kept(item)
            common.say(f"removed {item.kind} {item.id}")
        except CloudError as error:
            worst = Exit.FAILED
            common.say(f"not removed: {item.kind} {item.id}: {error}")
    return worst


COMMANDS = (destroy,)
