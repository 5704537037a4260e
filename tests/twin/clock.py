"""Time that passes only when somebody waits for it.

``VirtualClock`` is a ``Clock`` of the engine. What AWS does meanwhile is a process: a generator
that yields the seconds until its next step. Processes run while the clock is made to pass over
their moments, in the order of those moments, so a whole environment takes milliseconds and every
status on the way can be seen by whoever asks often enough.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

BEGINNING = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


class Process:
    """Something under way; ``stop`` ends it where it stands."""

    def __init__(self, steps: Iterator[float]) -> None:
        self._steps: Iterator[float] | None = steps

    def step(self) -> float | None:
        """Run to the next wait and return its length; None when it has ended."""
        return None if self._steps is None else next(self._steps, None)

    def stop(self) -> None:
        """Let it take no further step."""
        self._steps = None


class VirtualClock:
    """A clock at which nobody ever waits."""

    def __init__(self) -> None:
        self._now = 0.0
        self._due: list[tuple[float, int, Process]] = []
        self._order = itertools.count()

    def now(self) -> float:
        """Seconds since the beginning."""
        return self._now

    def date(self) -> datetime:
        """The same as AWS writes it."""
        return BEGINNING + timedelta(seconds=self._now)

    def sleep(self, seconds: float) -> None:
        """Let the time pass, and everything happen that was due in it."""
        until = self._now + seconds
        while self._due and self._due[0][0] <= until:
            self._now, _, process = heapq.heappop(self._due)
            self._advance(process)
        self._now = until

    def start(self, steps: Iterator[float]) -> Process:
        """Start a process; its first step is taken at once."""
        process = Process(steps)
        self._advance(process)
        return process

    def _advance(self, process: Process) -> None:
        wait = process.step()
        if wait is not None:
            heapq.heappush(self._due, (self._now + wait, next(self._order), process))
