"""Log lines from several feeds: each read once, all in the order of their times.

A feed is asked again and again and tells what is new each time. CloudWatch Logs may show an event
a while after a later one, so a log group is read again from a little before the newest event, and
what was told already is left out by its id.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from tapgen.cloud import Refused, Services, Throttled, Unreachable
from tapgen.engine.clock import Clock
from tapgen.errors import UsageError
from tapgen.observe.deployed import Group

# An event that comes later than this behind a later one is not seen by who follows.
LATE = timedelta(seconds=30)
# Who follows gives up after so long without an answer.
PATIENCE_SECONDS = 600.0
_LONGEST_WAIT = 30.0
# So many ids are kept before those no longer needed are looked for.
_MANY = 100_000

_AGE = re.compile(r"(\d{1,6})\s*([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True)
class Line:
    """One log message. ``place`` is its log group and stream, or its file."""

    at: datetime
    source: str
    place: str
    message: str


class Feed(Protocol):
    """Where lines come from."""

    def read(self) -> Iterator[Line]:
        """What was not told before, oldest first. May raise ``CloudError``."""


class BadMoment(UsageError):
    """A point in time that cannot be read."""

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__(
            f"--since {text!r} is no time: write an age as in 30m, 2h or 1d, "
            "or a moment as in 2026-11-23T10:00 (UTC unless it says otherwise)"
        )


def moment(text: str, now: datetime) -> datetime:
    """The time that ``1h`` or ``2026-11-23T10:00`` stands for. Raises ``BadMoment``."""
    age = _AGE.fullmatch(text.strip().lower())
    with suppress(ValueError, OverflowError):
        if age is not None:
            return now - timedelta(**{_UNITS[age[2]]: int(age[1])})
        found = datetime.fromisoformat(text.strip())
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    raise BadMoment(text)


class LogGroup:
    """A feed of one log group's events from ``since`` on."""

    def __init__(self, services: Services, group: Group, since: datetime) -> None:
        self._services, self._group = services, group
        self._since = self._newest = _milliseconds(since)
        # The times of the events told, by their ids.
        self._told: dict[str, int] = {}

    def read(self) -> Iterator[Line]:
        """New events, in CloudWatch's order. A group that is not there has none."""
        start = self._start()
        events = self._services.pages(
            "logs", "filter_log_events", "events", logGroupName=self._group.name, startTime=start
        )
        try:
            for event in events:
                at = int(event["timestamp"])
                stream, text = event.get("logStreamName", ""), event.get("message", "")
                known = event.get("eventId") or f"{stream} {at} {text}"
                if known in self._told:
                    continue
                self._told[known] = at
                self._newest = max(self._newest, at)
                if len(self._told) > _MANY:
                    self._start()
                place = f"{self._group.name} {stream}".strip()
                yield Line(_time(at), self._group.source, place, text)
        except Refused as error:
            # A stack that is being deployed or destroyed; what follows may bring it (back).
            if error.code != "ResourceNotFoundException":
                raise

    def _start(self) -> int:
        """Where the next reading begins; ids of before that are of no use any more."""
        start = max(self._since, self._newest - int(LATE.total_seconds() * 1000))
        self._told = {id_: at for id_, at in self._told.items() if at >= start}
        return start


def merged(feeds: Sequence[Feed]) -> Iterator[Line]:
    """Everything new of all feeds, by time; lines of one time stay in the order of the feeds."""
    return heapq.merge(*(feed.read() for feed in feeds), key=lambda line: line.at)


def followed(
    feeds: Sequence[Feed],
    clock: Clock,
    seconds: float,
    trouble: Callable[[str], object] = lambda told: None,
) -> Iterator[Line]:
    """Everything there is, then every ``seconds`` what is new, without end.

    ``trouble`` hears of answers that did not come; those are asked for again, less often each
    time. Raises the last ``CloudError`` when patience ends, and any other one at once.
    """
    wait, since = seconds, clock.now()
    while True:
        try:
            # Collected before it is told: an answer that breaks off has marked what it gave.
            found: list[Line] = []
            for feed in feeds:
                found.extend(feed.read())
            wait, since = seconds, clock.now()
        except (Throttled, Unreachable) as error:
            if clock.now() - since > PATIENCE_SECONDS:
                raise
            trouble(str(error))
            wait = min(wait * 2, _LONGEST_WAIT)
        yield from sorted(found, key=lambda line: line.at)
        clock.sleep(wait)


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
