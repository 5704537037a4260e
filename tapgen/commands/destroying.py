"""Takes an environment down, and its data only when told twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tapgen.commands import common, running
from tapgen.errors import Declined, Exit, UsageError

if TYPE_CHECKING:
    from tapgen.cloud import Kept
    from tapgen.engine.destroy import Keeping, Standing
    from tapgen.session import Session


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
        from tapgen.engine import durations

        settings = common.settled(session, env, common.describe(), config)
        common.head(session, env)
        stacks = running.stacks_of(session, env)
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
        remembered = running.durations_of(session, env)
        past = durations.load(remembered)
        ordered = [item.stack.name for item in standing]
        run = replace(
            running.run_of(session, settings.concurrency), expected=past.deleting(ordered)
        )
        events = durations.learning(past, remembered, destroying.destroy(run, standing))
        summary = running.follow(events, ordered, session, form=form, verbose=verbose)
        status = running.concluded(summary, env, form)
        gone = [item for item in kept if summary.row_of(item.stack)[0] == "deleted"]
        if delete_data:
            left = destroying.leftovers(session.account, gone, before)
            return max(status, _removed(session, left))
        return status


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


COMMANDS = (destroy,)
