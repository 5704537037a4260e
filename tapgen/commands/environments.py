"""Commands about environments: deploy, destroy, status, outputs, envs."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tapgen import names
from tapgen.commands import common
from tapgen.errors import Declined, Exit, TapgenError, UsageError

if TYPE_CHECKING:
    from tapgen.cloud import DeployedStack, Kept
    from tapgen.commands.progress import Progress
    from tapgen.engine.deploy import Run
    from tapgen.engine.destroy import Keeping, Standing
    from tapgen.engine.summary import Summary
    from tapgen.session import Session


@click.command()
@click.argument("tiers", nargs=-1, metavar="[TIER]...")
@common.env_option
@common.aws_options
@common.config_option
@click.option("--set", "flags", multiple=True, metavar="KEY=VALUE", help="A setting of this run.")
@click.option("--concurrency", metavar="N", help="At most so many stacks at a time.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option(
    "--recreate-failed", is_flag=True, help="Delete stacks whose creation failed, and make anew."
)
@click.option("--verbose", "-v", is_flag=True, help="A line for every resource.")
@common.output_option("text", "json")
def deploy(
    tiers: tuple[str, ...],
    env: str,
    local: bool,
    profile: str | None,
    config: Path,
    flags: tuple[str, ...],
    concurrency: str | None,
    yes: bool,
    recreate_failed: bool,
    verbose: bool,
    form: str,
) -> int:
    """Bring an environment to what the templates describe.

    All tiers, or those named; the foundation too, where the account has none yet.
    """
    with common.opened(env, config, local=local, profile=profile) as session:
        from tapgen.commands import planning
        from tapgen.engine import rounds

        if concurrency is not None:
            flags = (*flags, f"concurrency={concurrency}")
        settings, planned, seen = planning.prepared(session, env, config, flags, tiers)
        waiting = planning.show(seen, (*planned.notes, *planned.consents))
        failed = [step.stack for step in planned.steps() if step.action.value == "recreate"]
        if waiting:
            common.confirm(f"Deploy {common.count(waiting, 'stack')} to {env}?", yes=yes)
        run = _run(session, settings.concurrency, failed if recreate_failed else ())
        stacks = [item.name for item in planned.wanted]
        events = rounds.carry_out(session, planned, run, seen.phases)
        # Even with nothing to change: a run that died before its migrations is made up for.
        show = waiting > 0
        summary = _follow(events, stacks, session, form=form, verbose=verbose, unchanged=show)
        return _concluded(summary, env, form)


@click.command()
@common.env_option
@common.aws_options
@common.config_option
@click.option("--yes", "-y", is_flag=True, help="Do not ask (never enough for --delete-data).")
@click.option("--delete-data", is_flag=True, help="Remove snapshots, file systems and keys too.")
@click.option("--confirm", "typed", metavar="SUFFIX", help="The suffix again, for --delete-data.")
@click.option("--verbose", "-v", is_flag=True, help="A line for every resource.")
@common.output_option("text", "json")
def destroy(
    env: str,
    local: bool,
    profile: str | None,
    config: Path,
    yes: bool,
    delete_data: bool,
    typed: str | None,
    verbose: bool,
    form: str,
) -> int:
    """Delete an environment's stacks and keep its data.

    The data goes too only with --delete-data and the suffix typed again.
    """
    with common.opened(env, config, local=local, profile=profile) as session:
        from tapgen.engine import destroy as destroying

        settings = common.settled(session, env, common.describe(), config)
        common.head(session, env)
        stacks = _stacks_of(session, env)
        standing = [destroying.look(session.cloud, stack) for stack in stacks]
        if not standing:
            common.say(f"{env} is not deployed; nothing to destroy")
            return Exit.DONE
        blockers = destroying.blockers(session.cloud, standing)
        if blockers:
            raise destroying.Blocked(blockers)
        kept = [item for stack in standing for item in destroying.keeping(stack)]
        _show_farewell(standing, kept, delete_data=delete_data)
        _consent(env, len(standing), yes=yes, delete_data=delete_data, typed=typed)
        before = {
            item.resource.physical_id: frozenset(
                snapshot.id for snapshot in session.account.snapshots(item.resource)
            )
            for item in kept
            if delete_data and item.how == "snapshot"
        }
        run = _run(session, settings.concurrency)
        events = destroying.destroy(run, standing)
        ordered = [item.stack.name for item in standing]
        summary = _follow(events, ordered, session, form=form, verbose=verbose)
        status = _concluded(summary, env, form)
        gone = [item for item in kept if summary.row_of(item.stack)[0] == "deleted"]
        if delete_data:
            left = destroying.leftovers(session.account, gone, before)
            return max(status, _removed(session, left))
        return status


@click.command()
@common.env_option
@common.aws_options
@common.config_option
@common.output_option("table", "json")
def status(env: str, local: bool, profile: str | None, config: Path, form: str) -> None:
    """Show each stack's status, and whether it runs today's template."""
    with common.opened(env, config, local=local, profile=profile) as session:
        from tapgen import graph, stack
        from tapgen.engine import deploy as deploying
        from tapgen.render import as_json

        description = common.describe()
        common.settled(session, env, description, config)
        order = graph.order(description.documents)
        name_of = {tier: description.stack_name(tier, env) for tier in order}
        found = deploying.survey(session.cloud, list(name_of.values()))
    rows = []
    for tier in order:
        deployed = found[name_of[tier]]
        digest = stack.digest_of(description.documents[tier])
        rows.append((tier, name_of[tier], *_state(deployed, digest)))
    if form == "json":
        keys = ("tier", "stack", "status", "template", "changed")
        click.echo(as_json([dict(zip(keys, row, strict=True)) for row in rows]))
    else:
        common.table([row[1:] for row in rows])


@click.command()
@click.argument("tiers", nargs=-1, metavar="[TIER]...")
@common.env_option
@common.aws_options
@common.config_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "env"]),
    default="table",
    show_default=True,
    help="A table, one JSON object, or KEY=value lines for a shell.",
)
def outputs(
    tiers: tuple[str, ...], env: str, local: bool, profile: str | None, config: Path, form: str
) -> None:
    """Print what the stacks of an environment export and show."""
    with common.opened(env, config, local=local, profile=profile) as session:
        from tapgen.engine import deploy as deploying
        from tapgen.engine import rollout
        from tapgen.render import as_json

        description = common.describe()
        common.settled(session, env, description, config)
        chosen = rollout.selected(description, tiers)
        stacks = [description.stack_name(tier, env) for tier in chosen]
        found = deploying.survey(session.cloud, stacks)
    standing = [stack for stack in found.values() if stack is not None]
    if not standing:
        raise NotDeployed(env, stacks)
    shown = {key: value for stack in standing for key, value in _outputs_of(stack.outputs)}
    if form == "json":
        click.echo(as_json(shown))
    elif form == "env":
        for key, value in shown.items():
            click.echo(f"{names.setting_key(key).upper()}={shlex.quote(value)}")
    else:
        common.table(list(shown.items()))


@click.command()
@common.aws_options
@common.config_option
@common.output_option("table", "json")
def envs(local: bool, profile: str | None, config: Path, form: str) -> None:
    """List the environments deployed or named in tapgen.toml."""
    with common.opened(None, config, local=local, profile=profile) as session:
        from tapgen import settings
        from tapgen.render import as_json

        known = settings.keys(common.describe().documents.values())
        named = settings.environments(config, known)
        found: dict[str, list[DeployedStack]] = {name: [] for name in named}
        for stack in session.cloud.stacks(f"{names.PROJECT}-"):
            if stack.tags.get("ManagedBy") == "tapgen" and "Environment" in stack.tags:
                found.setdefault(stack.tags["Environment"], []).append(stack)
    rows = [(name, *_condition(stacks)) for name, stacks in sorted(found.items())]
    if form == "json":
        keys = ("env", "stacks", "condition", "changed")
        click.echo(as_json([dict(zip(keys, row, strict=True)) for row in rows]))
    elif rows:
        common.table(rows)
    else:
        common.say("no environment is deployed here; begin with tapgen deploy --env SUFFIX")


class NotDeployed(TapgenError):
    """An environment without a single stack."""

    def __init__(self, env: str, stacks: Sequence[str]) -> None:
        self.env, self.stacks = env, tuple(stacks)
        what = stacks[0] if len(stacks) == 1 else f"environment {env!r}"
        super().__init__(f"{what} is not deployed here; tapgen envs lists what is")


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


def _consent(env: str, count: int, *, yes: bool, delete_data: bool, typed: str | None) -> None:
    if not delete_data:
        common.confirm(f"Destroy {common.count(count, 'stack')} of {env}?", yes=yes)
        return
    if typed is None:
        if not common.interactive():
            raise UsageError(
                "--delete-data needs the suffix typed again, and nobody can be asked here: "
                f"add --confirm {env}"
            )
        question = f"Type {env} to destroy it with all its data"
        with common.asking():
            typed = click.prompt(question, default="", show_default=False, err=True)
    if typed != env:
        raise Declined(f"{typed!r} is not {env!r}: nothing was done")


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


def _run(session: Session, concurrency: int, recreate: Sequence[str] = ()) -> Run:
    from tapgen.engine.deploy import Run
    from tapgen.session import new_run_id

    return Run(
        id=new_run_id(),
        cloud=session.cloud,
        clock=session.clock,
        pace=session.pace,
        concurrency=concurrency,
        recreate=frozenset(recreate),
    )


def _follow(
    events: Iterator[Any],
    stacks: Sequence[str],
    session: Session,
    *,
    form: str,
    verbose: bool,
    unchanged: bool = True,
) -> Summary:
    """Show a run to its end; after Ctrl-C what is known of it, and status 130.

    Without ``unchanged`` a person is not told of each stack that stays as it is.
    """
    from tapgen.engine.events import StackUnchanged
    from tapgen.engine.summary import Summary

    summary = Summary(stacks)
    try:
        with _progress(stacks, session, form, verbose) as progress, closing(events):  # type: ignore[type-var]
            for event in events:
                summary.take(event)
                if unchanged or form == "json" or not isinstance(event, StackUnchanged):
                    progress.show(event)
    except KeyboardInterrupt:
        _show_rows(summary)
        raise
    return summary


def _progress(stacks: Sequence[str], session: Session, form: str, verbose: bool) -> Progress:
    from tapgen import __version__
    from tapgen.commands import progress

    if form == "json":
        progress.write_json(sys.stdout, {"type": "version", "tapgen": __version__, "ui": "1.0"})
        return progress.Json(sys.stdout)
    if common.live_screen() and not verbose:
        return progress.Live(sys.stderr, stacks, session.clock)
    return progress.Lines(sys.stderr, stacks, verbose=verbose)


def _concluded(summary: Summary, env: str, form: str) -> Exit:
    from tapgen.commands import progress

    if form == "json":
        keys = ("stack", "end", "detail")
        ends = [dict(zip(keys, row, strict=True)) for row in summary.rows()]
        result = {"stacks": ends, "outputs": summary.outputs(), "status": int(summary.status)}
        progress.write_json(sys.stdout, {"type": "result", **result})
        return summary.status
    if summary.unchanged:
        common.say_unchanged(env, len(summary.stacks))
        return summary.status
    common.say()
    _show_rows(summary)
    _show_failures(summary)
    for stack, values in summary.outputs().items():
        rows = _outputs_of(values)
        if rows:
            click.echo(f"\n{stack}")
            common.table(rows, indent="  ")
    return summary.status


def _show_rows(summary: Summary) -> None:
    # A failure's reason is told below, whole.
    common.table(
        [(stack, end, "" if end == "failed" else detail) for stack, end, detail in summary.rows()]
    )


def _show_failures(summary: Summary) -> None:
    from tapgen.commands.progress import failure
    from tapgen.engine.events import StackFailed

    for end in summary.ends.values():
        if isinstance(end, StackFailed):
            common.say(f"\n{end.stack}: {failure(end)}")
            if end.remedy:
                common.say(f"  what to do: {end.remedy}")


def _stacks_of(session: Session, env: str) -> list[DeployedStack]:
    # By tag, not by name: tap-dev-2-network begins like a stack of "dev", and a stack that has
    # left the code still belongs to its environment.
    return [
        stack
        for stack in session.cloud.stacks(f"{names.PROJECT}-{env}-")
        if stack.tags.get("Environment") == env and stack.tags.get("ManagedBy") == "tapgen"
    ]


def _outputs_of(values: Any) -> list[tuple[str, str]]:
    from tapgen.stack import DIGEST_OUTPUT

    return [(key, value) for key, value in values.items() if key != DIGEST_OUTPUT]


def _state(deployed: DeployedStack | None, digest: str | None) -> tuple[str, str, str]:
    from tapgen.stack import DIGEST_OUTPUT

    if deployed is None:
        return "not deployed", "", ""
    current = deployed.outputs.get(DIGEST_OUTPUT) == digest
    changed = deployed.changed.strftime("%Y-%m-%d %H:%M UTC") if deployed.changed else ""
    return deployed.status, "current" if current else "other template", changed


def _condition(stacks: Sequence[DeployedStack]) -> tuple[str, str, str]:
    from tapgen.engine.plan import GOOD

    if not stacks:
        return "", "not deployed", ""
    bad = sorted({stack.status for stack in stacks if stack.status not in GOOD})
    changed = max((stack.changed for stack in stacks if stack.changed), default=None)
    when = changed.strftime("%Y-%m-%d %H:%M UTC") if changed else ""
    return common.count(len(stacks), "stack"), ", ".join(bad) or "good", when


COMMANDS = (deploy, destroy, status, outputs, envs)
