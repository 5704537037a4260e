"""Shows a run while it goes on: a live table on a terminal, lines in a log, JSON for machines.

Each of the three is handed the same events. Colour only repeats what a word or a sign says already.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, is_dataclass
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any, Protocol

import click

from tapgen.engine.clock import Clock
from tapgen.engine.events import (
    Event,
    Interrupted,
    Migrated,
    MonitoringTrouble,
    ResourceMoved,
    RoundStarted,
    StackDone,
    StackFailed,
    StackProtected,
    StackSkipped,
    StackStarted,
    StackUnchanged,
    StackWaits,
)
from tapgen.engine.summary import DONE_WORDS, clock_time

if TYPE_CHECKING:
    from rich.live import Live as Screen

DOING = {
    "create": "creating",
    "update": "updating",
    "recreate": "recreating",
    "delete": "deleting",
    "recover": "taking a failed update back",
    "cancel": "cancelling",
}

# An expected time is shown from so many seconds on: nobody waits for less.
WORTH_SAYING = 10.0


class Progress(Protocol):
    """Shows events as they come."""

    def __enter__(self) -> Progress:
        """Begin to show."""

    def __exit__(self, *exc: object) -> None:
        """Leave the screen as it should stay."""

    def show(self, event: Event) -> None:
        """Show one event."""


class Lines(AbstractContextManager["Lines"]):
    """A line for each thing that matters; with ``verbose`` one for each resource too."""

    def __init__(self, stream: IO[str], stacks: Sequence[str], *, verbose: bool = False) -> None:
        self._stream, self._verbose = stream, verbose
        self._width = max(map(len, stacks), default=0)

    def __exit__(self, *exc: object) -> None:
        """Nothing to leave: a line is a line."""

    def show(self, event: Event) -> None:
        """Write the event's line, if it has one."""
        if isinstance(event, ResourceMoved) and not self._verbose and not _is_failure(event):
            return
        click.echo(f"{event.stack.ljust(self._width)}  {told(event)}", file=self._stream)


class Json(AbstractContextManager["Json"]):
    """One JSON object a line; the first says which version of this form it is."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def __exit__(self, *exc: object) -> None:
        """Nothing to leave."""

    def show(self, event: Event) -> None:
        """Write the event as an object with a ``type``."""
        write_json(self._stream, {"type": type(event).__name__, **_plain(event)})


class Live(AbstractContextManager["Live"]):
    """A table that changes in place, for a terminal. Needs rich."""

    def __init__(self, stream: IO[str], stacks: Sequence[str], clock: Clock) -> None:
        from rich.console import Console

        self._clock = clock
        self._stacks = list(stacks)
        self._says: dict[str, str] = dict.fromkeys(stacks, "waiting")
        self._since: dict[str, float] = {}
        self._took: dict[str, str] = {}
        self._expected: dict[str, float] = {}
        self._planned: dict[str, int] = {}
        self._resources: dict[str, dict[str, str]] = {stack: {} for stack in stacks}
        # Texts from AWS are shown as they are: [/aws/lambda/x] is no markup and :key: no picture.
        self._console = Console(file=stream, highlight=False, markup=False, emoji=False)
        self._screen = self._new_screen()

    def _new_screen(self) -> Screen:
        from rich.live import Live as Screen

        # Drawn four times a second, so that the seconds run while AWS is silent.
        return Screen(
            console=self._console, get_renderable=self._table, refresh_per_second=4, transient=True
        )

    def __enter__(self) -> Live:
        """Take the lower part of the screen."""
        self._screen.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Give it back; it may be taken again, or the summary follows."""
        self._screen.stop()
        # A used one would draw over what is said in between.
        self._screen = self._new_screen()

    def show(self, event: Event) -> None:
        """Change the table."""
        stack = event.stack
        if stack not in self._says:
            self._console.print(f"{stack}  {told(event)}")
            return
        if isinstance(event, ResourceMoved):
            self._resources[stack][event.event.logical_id] = event.event.status
            if event.event.logical_id != stack:
                self._says[stack] = f"{event.event.status} {event.event.logical_id}"
            return
        self._says[stack] = told(event)
        if isinstance(event, StackStarted):
            self._since.setdefault(stack, self._clock.now())
            self._expected[stack] = event.expected
            self._planned[stack] = event.changes
        elif isinstance(event, (StackDone, StackFailed)) and stack in self._since:
            self._took[stack] = clock_time(self._clock.now() - self._since.pop(stack))

    def _table(self) -> Any:
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True, justify="right")
        table.add_column(no_wrap=True, justify="right")
        # The one column that gives way on a narrow screen; its texts say that they do not wrap.
        table.add_column()
        for stack in self._stacks:
            says = Text(self._says[stack], no_wrap=True, overflow="ellipsis")
            table.add_row(stack, self._counted(stack), self._elapsed(stack), says)
        return table

    def _counted(self, stack: str) -> str:
        own = {name: status for name, status in self._resources[stack].items() if name != stack}
        done = Counter(status.endswith("_COMPLETE") for status in own.values())[True]
        # How many there will be is known from the change set; a deletion tells only what it met.
        return f"{done}/{max(len(own), self._planned.get(stack, 0))}" if own else ""

    def _elapsed(self, stack: str) -> str:
        if stack in self._since:
            passed = clock_time(self._clock.now() - self._since[stack])
            expected = self._expected.get(stack, 0.0)
            return f"{passed} of ~{clock_time(expected)}" if expected >= WORTH_SAYING else passed
        return self._took.get(stack, "")


def told(event: Event) -> str:
    """What an event says, in one line, without the stack's name."""
    # AWS breaks some of its reasons into several lines.
    return " ".join(_told(event).split())


def _told(event: Event) -> str:
    match event:
        case StackStarted(action=action, changes=changes, expected=expected):
            many = f", {changes} change{'s' * (changes != 1)}" if changes else ""
            about = f", about {clock_time(expected)}" if expected >= WORTH_SAYING else ""
            return f"{DOING[action]}{many}{about}"
        case StackWaits(status=status, who=who):
            whose = f", {who}" if who else ""
            return f"waits for the operation under way ({status}{whose})"
        case ResourceMoved(event=moved):
            reason = f": {moved.reason}" if moved.reason else ""
            return f"{moved.status} {moved.logical_id} ({moved.type}){reason}"
        case StackUnchanged():
            return "unchanged"
        case StackDone(action=action, seconds=seconds):
            return f"{DONE_WORDS[action]} in {clock_time(seconds)}"
        case StackFailed():
            return f"failed: {failure(event)}"
        case StackSkipped(because=because, needed=needed):
            return f"skipped, because {because} failed{'' if needed else ' (--fail-fast)'}"
        case Migrated(detail=detail):
            return f"migrated: {detail}"
        case StackProtected(data=data):
            also = "; a stack policy keeps its data" if data else ""
            return f"termination protection is on{also}"
        case RoundStarted(title=title, number=number, of=of):
            return f"round {number} of {of}: {title}"
        case Interrupted():
            return "interrupted"
        case MonitoringTrouble(trouble=trouble):
            return trouble


def failure(event: StackFailed) -> str:
    """Where it failed and why, in one line."""
    where = f"{event.cause.logical_id} ({event.cause.type}): " if event.cause else ""
    status = f" [{event.status}]" if event.status else ""
    return f"{where}{event.reason}{status}"


def write_json(stream: IO[str], value: Mapping[str, Any]) -> None:
    """Write one object as one line."""
    click.echo(json.dumps(value, ensure_ascii=False, default=str), file=stream)


def _plain(event: Event) -> dict[str, Any]:
    assert is_dataclass(event)
    return {key: _jsonable(item) for key, item in asdict(event).items()}


def _jsonable(item: Any) -> Any:
    if isinstance(item, dict):
        return {key: _jsonable(part) for key, part in item.items()}
    return item.isoformat() if isinstance(item, datetime) else item


def _is_failure(event: ResourceMoved) -> bool:
    return event.event.status.endswith("_FAILED") and "cancel" not in event.event.reason.lower()
