"""What every command that changes stacks shares: a run, its progress on the screen, its end."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tapgen import names
from tapgen.commands import common
from tapgen.errors import Exit

if TYPE_CHECKING:
    from tapgen.cloud import DeployedStack
    from tapgen.commands.attending import Attendant
    from tapgen.commands.progress import Progress
    from tapgen.engine.run import Run
    from tapgen.engine.summary import Summary
    from tapgen.session import Session


def durations_of(session: Session, env: str) -> Path:
    """Where it is remembered what the stacks of an environment took."""
    return common.WORK_FOLDER / "durations" / session.caller.account / f"{env}.json"


def run_of(session: Session, concurrency: int, attendant: Attendant) -> Run:
    """A run that is unlike any other's, through the session's door; ``attendant`` gives orders."""
    from tapgen.engine.run import Run
    from tapgen.session import new_run_id

    return Run(
        id=new_run_id(),
        cloud=session.cloud,
        clock=session.clock,
        poller=session.poller(),
        concurrency=concurrency,
        orders=attendant.orders,
    )


def follow(
    events: Iterator[Any],
    stacks: Sequence[str],
    session: Session,
    attendant: Attendant,
    *,
    form: str,
    verbose: bool,
    unchanged: bool = True,
) -> Summary:
    """Show a run to its end, and let ``attendant`` speak for its user meanwhile.

    Without ``unchanged`` a person is not told of each stack that stays as it is. Raises
    ``Detached``, after what is known of the run was told, and ``CloudError`` as ``events`` do.
    """
    from tapgen.cloud import CloudError
    from tapgen.engine.events import Interrupted, StackUnchanged
    from tapgen.engine.summary import Summary

    summary = Summary(stacks)
    try:
        with (
            _progress(stacks, session, form, verbose) as progress,
            closing(events),  # type: ignore[type-var]
            attendant.listening(progress),
        ):
            for event in events:
                if isinstance(event, Interrupted):
                    attendant.answer()
                    continue
                summary.take(event)
                attendant.learn(event)
                if unchanged or form == "json" or not isinstance(event, StackUnchanged):
                    progress.show(event)
    except KeyboardInterrupt:
        _broken_off(summary, form, Exit.INTERRUPTED)
        raise attendant.detached() from None
    except CloudError:
        _broken_off(summary, form, Exit.FAILED)
        raise
    return summary


def _broken_off(summary: Summary, form: str, status: Exit) -> None:
    if form == "json":
        _write_result(summary, status)
    else:
        _show_rows(summary)


def _progress(stacks: Sequence[str], session: Session, form: str, verbose: bool) -> Progress:
    from tapgen import __version__
    from tapgen.commands import progress

    if form == "json":
        progress.write_json(sys.stdout, {"type": "version", "tapgen": __version__, "ui": "1.0"})
        return progress.Json(sys.stdout)
    if common.live_screen() and not verbose:
        return progress.Live(sys.stderr, stacks, session.clock)
    return progress.Lines(sys.stderr, stacks, verbose=verbose)


def concluded(summary: Summary, env: str, form: str, attendant: Attendant) -> Exit:
    """Print how the run ended, and what the stacks show; returns the exit status."""
    status = attendant.verdict(summary.status)
    if form == "json":
        _write_result(summary, status)
        attendant.take_leave()
        return status
    if summary.unchanged:
        common.say_unchanged(env, len(summary.stacks))
        return status
    common.say()
    _show_rows(summary)
    _show_failures(summary, console=attendant.console)
    for stack, values in summary.outputs().items():
        rows = outputs_of(values)
        if rows:
            click.echo(f"\n{stack}")
            common.table(rows, indent="  ")
    attendant.take_leave()
    return status


def _write_result(summary: Summary, status: Exit) -> None:
    from tapgen.commands import progress

    keys = ("stack", "end", "detail")
    ends = [dict(zip(keys, row, strict=True)) for row in summary.rows()]
    result = {"stacks": ends, "outputs": summary.outputs(), "status": int(status)}
    progress.write_json(sys.stdout, {"type": "result", **result})


def _show_rows(summary: Summary) -> None:
    # A failure's reason is told below, whole.
    common.table(
        [(stack, end, "" if end == "failed" else detail) for stack, end, detail in summary.rows()]
    )


def _show_failures(summary: Summary, *, console: bool) -> None:
    from tapgen.commands.progress import failure
    from tapgen.engine import causes
    from tapgen.engine.events import StackFailed

    for end in summary.ends.values():
        if isinstance(end, StackFailed):
            common.say(f"\n{end.stack}: {failure(end)}")
            if end.source:
                common.say(f"  made by: {end.source}")
            if end.remedy:
                common.say(f"  what to do: {end.remedy}")
            if end.stack_id and console:
                common.say(f"  console: {causes.console(end.stack_id)}")


def stacks_of(session: Session, env: str) -> list[DeployedStack]:
    """The live stacks of an environment, also those that left the code."""
    from tapgen.engine import recover

    # By tag, not by name: tap-dev-2-network begins like a stack of "dev", and a stack that has
    # left the code still belongs to its environment.
    return [
        stack
        for stack in session.cloud.stacks(f"{names.PROJECT}-{env}-")
        if stack.tags.get("Environment") == env and recover.is_ours(stack)
    ]


def outputs_of(values: Any) -> list[tuple[str, str]]:
    """What a stack shows to people: everything but the digest of its template."""
    from tapgen.digest import DIGEST_OUTPUT

    return [(key, value) for key, value in values.items() if key != DIGEST_OUTPUT]
