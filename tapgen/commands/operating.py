"""Operations that are under way already: watched, or cancelled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tapgen import names
from tapgen.commands import common
from tapgen.errors import Exit, TapgenError

if TYPE_CHECKING:
    from tapgen.cloud import DeployedStack
    from tapgen.description import Description
    from tapgen.session import Session


@click.command()
@click.argument("tiers", nargs=-1, metavar="[TIER]...")
@common.env_option
@common.aws_options
@common.config_option
@click.option("--verbose", "-v", is_flag=True, help="A line for every resource.")
@common.output_option("text", "json")
def watch(
    tiers: tuple[str, ...],
    env: str,
    local: bool,
    profile: str | None,
    config: Path,
    verbose: bool,
    form: str,
) -> int:
    """Follow what is under way in an environment to its end.

    Whoever began it. Exit 1 when something of it ends badly; Ctrl-C stops nothing.
    """
    with common.opened(env, config, local=local, profile=profile) as session:
        from tapgen.commands import attending, running
        from tapgen.engine import attach

        description = common.describe()
        settings = common.settled(session, env, description, config)
        common.head(session, env)
        stacks = [stack for stack in _stacks(session, description, env, tiers) if stack.under_way]
        # Nothing of it is this command's own, so there is nothing to ask after Ctrl-C.
        attendant = attending.attendant(env, "detach", local=local, profile=profile)
        if stacks:
            _show(session, stacks)
        elif form == "text":
            click.echo(f"{env}: nothing is under way")
            return Exit.DONE
        session = attendant.attended(session)
        run = running.run_of(session, settings.concurrency, attendant)
        ordered = [stack.name for stack in stacks]
        events = attach.follow(run, stacks)
        summary = running.follow(events, ordered, session, attendant, form=form, verbose=verbose)
        return running.concluded(summary, env, form, attendant)


@click.command()
@click.argument("tiers", nargs=-1, metavar="[TIER]...")
@common.env_option
@common.aws_options
@common.config_option
@click.option(
    "--delete-creating",
    is_flag=True,
    help="Stop creations too. A creation cannot be taken back: what there is of it is deleted.",
)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--verbose", "-v", is_flag=True, help="A line for every resource.")
@common.output_option("text", "json")
def cancel(
    tiers: tuple[str, ...],
    env: str,
    local: bool,
    profile: str | None,
    config: Path,
    delete_creating: bool,
    yes: bool,
    verbose: bool,
    form: str,
) -> int:
    """Roll back the updates under way, and follow them to their end."""
    with common.opened(env, config, local=local, profile=profile) as session:
        from tapgen.commands import attending, running
        from tapgen.engine import attach

        description = common.describe()
        settings = common.settled(session, env, description, config)
        common.head(session, env)
        found = [
            stack
            for stack in _stacks(session, description, env, tiers, shared=bool(tiers))
            if stack.under_way
        ]
        stoppable = (attach.UPDATING, attach.CREATING) if delete_creating else (attach.UPDATING,)
        stacks = [stack for stack in found if stack.status in stoppable]
        if found:
            _show(session, found)
            _tell_unstoppable(found, stoppable)
        elif form == "text":
            click.echo(f"{env}: nothing is under way")
            return Exit.DONE
        if found and not stacks:
            raise NothingToCancel(env, [stack.name for stack in found])
        if stacks:
            common.confirm(f"Cancel {_what(stacks)} of {env}?", yes=yes)
        attendant = attending.attendant(env, "detach", local=local, profile=profile)
        session = attendant.attended(session)
        run = running.run_of(session, settings.concurrency, attendant)
        ordered = [stack.name for stack in stacks]
        events = attach.cancel(run, stacks)
        summary = running.follow(events, ordered, session, attendant, form=form, verbose=verbose)
        return running.concluded(summary, env, form, attendant)


class NothingToCancel(TapgenError):
    """Something is under way, and none of it can be stopped this way."""

    def __init__(self, env: str, stacks: Sequence[str]) -> None:
        self.env, self.stacks = env, tuple(stacks)
        super().__init__(f"nothing was cancelled: {', '.join(stacks)} cannot be taken back")


def _stacks(
    session: Session,
    description: Description,
    env: str,
    tiers: Sequence[str],
    *,
    shared: bool = True,
) -> list[DeployedStack]:
    """The stacks of the environment, or those of ``tiers``; with ``shared`` the account's own too.

    Raises ``UnknownTier``.
    """
    from tapgen.commands import running
    from tapgen.scope import Scope

    by_tier = {
        stack.name.removeprefix(f"{names.PROJECT}-{env}-"): stack
        for stack in running.stacks_of(session, env)
    }
    description.chosen([tier for tier in tiers if tier not in by_tier])
    for tier, scope in description.scopes.items():
        if scope is Scope.ACCOUNT and shared and (not tiers or tier in tiers):
            stack = session.cloud.stack(description.stack_name(tier, env))
            if stack is not None:
                by_tier[tier] = stack
    return [stack for tier, stack in by_tier.items() if not tiers or tier in tiers]


def _show(session: Session, stacks: Sequence[DeployedStack]) -> None:
    from tapgen.engine import recover

    rows = []
    for stack in stacks:
        newest = session.cloud.newest_event(stack.id)
        rows.append((stack.name, stack.status, recover.whose(newest)))
    common.table(rows, err=True)
    common.say()


def _tell_unstoppable(stacks: Sequence[DeployedStack], stoppable: Sequence[str]) -> None:
    from tapgen.engine import attach

    for stack in stacks:
        if stack.status in stoppable:
            continue
        if stack.status == attach.CREATING:
            common.say(
                f"{stack.name} is being created, which can only be stopped by deleting it: "
                "--delete-creating"
            )
        else:
            common.say(f"{stack.name} cannot be stopped in {stack.status}")


def _what(stacks: Sequence[DeployedStack]) -> str:
    from tapgen.engine import attach

    creating = sum(stack.status == attach.CREATING for stack in stacks)
    parts = [common.count(len(stacks) - creating, "update")] if len(stacks) > creating else []
    if creating:
        parts.append(f"{common.count(creating, 'creation')} (and delete what there is)")
    return " and ".join(parts)


COMMANDS = (watch, cancel)
