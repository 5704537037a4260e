"""Watching a deployed environment at work: its logs, and the executions of its workflow."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tapgen.commands import common
from tapgen.errors import Exit

if TYPE_CHECKING:
    from datetime import datetime

    from tapgen.observe.lines import Feed, Line
    from tapgen.session import Session

# As in tapgen.observe.deployed, which --help has no need to load.
SOURCES = ("api", "task", "workflow")
# A colour for each source; its name is printed in any case.
_COLOURS = {
    "api": "cyan",
    "task": "green",
    "workflow": "magenta",
    "database": "blue",
    "cache": "yellow",
    "aws": "red",
}
# FilterLogEvents may be called some five times a second in an account; there are six log groups.
_AWS_SECONDS, _LOCAL_SECONDS = 2.0, 0.3


def since_option(default: str) -> Callable[[common.F], common.F]:
    """``--since``, an age or a moment."""
    return click.option(
        "--since",
        metavar="TIME",
        default=default,
        show_default=True,
        help="How far back: an age (30m, 2h, 1d) or a moment (2026-11-23T10:00, UTC).",
    )


def follow_option(command: common.F) -> common.F:
    """``--follow``."""
    return click.option(
        "--follow", "-f", is_flag=True, help="Go on with what comes, until Ctrl-C."
    )(command)


@click.command()
@click.argument("sources", nargs=-1, type=click.Choice(SOURCES), metavar="[SOURCE]...")
@common.env_option
@common.aws_options
@common.config_option
@follow_option
@since_option("10m")
@common.output_option("text", "json")
def logs(
    sources: tuple[str, ...],
    env: str,
    local: bool,
    profile: str | None,
    config: Path,
    follow: bool,
    since: str,
    form: str,
) -> int:
    """Show an environment's logs, merged by time.

    Of all sources, or of those named: api, task, workflow.
    """
    from datetime import UTC, datetime

    from tapgen.observe import lines

    begin = lines.moment(since, datetime.now(UTC))
    with common.opened(env, config, local=local, profile=profile) as session:
        feeds = groups(session, env, config, sources or SOURCES, begin)
        return show(feeds, emulated=session.emulated, follow=follow, form=form, since=since)


@click.command()
@common.env_option
@common.aws_options
@common.config_option
@click.option(
    "--limit",
    "-n",
    type=click.IntRange(1, 1000),
    default=10,
    show_default=True,
    metavar="N",
    help="How many, the newest first.",
)
@common.output_option("table", "json")
def executions(
    env: str, local: bool, profile: str | None, config: Path, limit: int, form: str
) -> None:
    """List the workflow's recent executions, and why any failed."""
    from datetime import UTC, datetime

    with common.opened(env, config, local=local, profile=profile) as session:
        from tapgen.engine.summary import clock_time
        from tapgen.observe import deployed, executions
        from tapgen.observe.readable import printable, stamp
        from tapgen.render import as_json

        description = common.describe()
        common.settled(session, env, description, config)
        machine = deployed.state_machine(session.cloud, description, env)
        found = executions.recent(session.services, machine, limit)
    now = datetime.now(UTC)
    if form == "json":
        rows = [
            {
                "name": one.name,
                "status": one.status,
                "started": stamp(one.started),
                "stopped": stamp(one.stopped) if one.stopped else None,
                "seconds": round(one.seconds(now), 3),
                "error": one.error,
                "cause": one.cause,
                "arn": one.arn,
            }
            for one in found
        ]
        click.echo(as_json(rows))
    elif found:
        common.table(
            [
                (
                    one.name,
                    one.status,
                    one.started.strftime("%Y-%m-%d %H:%M:%S UTC"),
                    clock_time(one.seconds(now)),
                    printable(one.why),
                )
                for one in found
            ]
        )
    else:
        common.say(f"{env}: nothing was executed yet")


def show(feeds: Sequence[Feed], *, emulated: bool, follow: bool, form: str, since: str) -> Exit:
    """Print the lines of ``feeds``; with ``follow`` until Ctrl-C, which is status 130."""
    from tapgen.engine.clock import SystemClock
    from tapgen.observe import lines

    if follow:
        seconds = _LOCAL_SECONDS if emulated else _AWS_SECONDS
        try:
            for line in lines.followed(feeds, SystemClock(), seconds, common.say):
                _show(line, form)
                # A pipe is read line by line too.
                sys.stdout.flush()
        except KeyboardInterrupt:
            return Exit.INTERRUPTED
    shown = 0
    for line in lines.merged(feeds):
        _show(line, form)
        shown += 1
    if not shown:
        common.say(f"nothing was logged since {since}; --since looks further back")
    return Exit.DONE


def coloured() -> bool:
    """Whether stdout is to have colours."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or sys.stdout.isatty()


def groups(
    session: Session, env: str, config: Path, sources: Sequence[str], begin: datetime
) -> list[Feed]:
    """The log groups of ``sources`` as feeds; says which source has none.

    Raises ``NothingDeployed`` where no source has any.
    """
    from tapgen.observe import deployed, lines

    description = common.describe()
    common.settled(session, env, description, config)
    found = deployed.groups(session.cloud, description, env, sources)
    for source in sources:
        if source not in {group.source for group in found}:
            common.say(f"{source} is not deployed yet")
    return [lines.LogGroup(session.services, group, begin) for group in found]


def _show(line: Line, form: str) -> None:
    from tapgen.observe.readable import stamp, text

    if form == "json":
        import json

        told = {
            "time": stamp(line.at),
            "source": line.source,
            "place": line.place,
            "message": line.message,
        }
        click.echo(json.dumps(told, ensure_ascii=False))
        return
    colour = coloured()
    source = line.source.ljust(8)
    if colour:
        source = click.style(source, fg=_COLOURS.get(line.source))
    # Each line of a traceback too, so that what is found with grep says where it is from.
    for part in text(line.message).splitlines() or [""]:
        click.echo(f"{stamp(line.at)}  {source}  {part}", color=colour)


COMMANDS = (logs, executions)
