"""How often AWS is asked: one budget for all stacks of a run, and one rest when it throttles.

An account answers only so many questions a second to everybody in it, so what one run asks must
not grow with its stacks. Whoever waits for AWS takes its waiting time from here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tapgen.engine.clock import Clock

Pace = Callable[[float], float]

# Calls a second, for all stacks together. DescribeStacks is throttled for an account somewhere
# near five a second (a user's report), and others live there too.
CALLS_A_SECOND = 0.8
# One look at a stack is a page of events, and a DescribeStacks now and then.
CALLS_A_LOOK = 1.25
# A rest after being throttled begins with this many seconds, doubles, and ends at the second.
FIRST_REST, LONGEST_REST = 4.0, 30.0


def aws_pace(elapsed: float) -> float:
    """Seconds to the next look: half a percent of the time passed, at least 2, at most 10.

    An end is then noticed so soon that a chain of stacks loses next to nothing by it.
    """
    return min(max(2.0, elapsed * 0.005), 10.0)


def local_pace(elapsed: float) -> float:
    """The embedded AWS finishes most operations before the first question."""
    return min(max(0.02, elapsed * 0.2), 1.0)


class Poller:
    """The waiting times of one run. ``rate`` is its budget in calls a second; None: no limit."""

    def __init__(self, pace: Pace, clock: Clock, *, rate: float | None = CALLS_A_SECOND) -> None:
        self._pace, self._clock, self._rate = pace, clock, rate
        self._watched: dict[str, int] = {}
        self._not_before = 0.0
        self._rest = 0.0

    def __call__(self, elapsed: float) -> float:
        """Seconds to the next look at something that began ``elapsed`` seconds ago."""
        alone = self._pace(elapsed)
        if self._rate is None:
            return alone
        return max(alone, len(self._watched) * CALLS_A_LOOK / self._rate)

    @contextmanager
    def watching(self, stack: str) -> Iterator[None]:
        """Count ``stack`` among those that share the budget."""
        self._watched[stack] = self._watched.get(stack, 0) + 1
        try:
            yield
        finally:
            self._watched[stack] -= 1
            if not self._watched[stack]:
                del self._watched[stack]

    def rest(self) -> float:
        """Seconds that nobody may ask yet, because AWS throttled somebody; 0 when all may."""
        return max(self._not_before - self._clock.now(), 0.0)

    def throttled(self) -> None:
        """Have everybody rest, each time twice as long."""
        self._rest = min(max(self._rest * 2, FIRST_REST), LONGEST_REST)
        self._not_before = self._clock.now() + self._rest

    def answered(self) -> None:
        """Come back slowly: the next rest, should it be needed, begins where this one stopped."""
        self._rest = self._rest * 0.8 if self._rest > FIRST_REST else 0.0
