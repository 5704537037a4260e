"""Runs many slow procedures side by side in one thread, each as soon as it may.

A procedure is a generator: it yields events, yields ``Pause`` where it waits for AWS, and returns
whether it went well. AWS does the work; this only asks, so one thread is enough, and Ctrl-C has one
place to arrive. The clock is handed over: tests bring one that never waits.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

from tapgen.engine.events import Event, StackSkipped


@dataclass(frozen=True)
class Pause:
    """Resume me after this many seconds."""

    seconds: float


Procedure = Generator[Event | Pause, None, bool]


class Clock(Protocol):
    """Time, and waiting for it."""

    def now(self) -> float:
        """Seconds, from any beginning."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The machine's own."""

    def now(self) -> float:
        """Seconds since some moment; never goes back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait for so many seconds."""
        time.sleep(seconds)


def run(
    procedures: Mapping[str, Callable[[], Procedure]],
    needs: Mapping[str, frozenset[str]],
    clock: Clock,
    concurrency: int,
) -> Iterator[Event]:
    """Yield the events of all procedures until the last has ended.

    A procedure starts when all that it ``needs`` (names without a procedure count as done) went
    well, at most ``concurrency`` at a time, in name order. Where one fails, those that need it,
    directly or not, are skipped; all others go on. Closing this generator, or an exception in it,
    closes every procedure under way, so that each can clean up after itself.
    """
    open_needs = {name: set(needs.get(name, ())) & set(procedures) for name in procedures}
    waiting = sorted(procedures)
    active: dict[str, Procedure] = {}
    due: list[tuple[float, str]] = []
    try:
        while waiting or active:
            for name in [name for name in waiting if not open_needs[name]]:
                if len(active) >= concurrency:
                    break
                waiting.remove(name)
                active[name] = procedures[name]()
                heapq.heappush(due, (clock.now(), name))
            if not due:
                # Only a circle can leave everybody waiting; the graph refuses those beforehand.
                raise RuntimeError(f"{', '.join(waiting)} wait for each other")
            moment, name = heapq.heappop(due)
            if moment > clock.now():
                clock.sleep(moment - clock.now())
            outcome = yield from _advance(active[name], name, due, clock)
            if outcome is None:
                continue
            del active[name]
            if outcome:
                for others in open_needs.values():
                    others.discard(name)
            else:
                yield from _skip(name, waiting, open_needs)
    finally:
        # Every one is closed, also where the clean-up of another goes wrong.
        with ExitStack() as closing:
            for procedure in active.values():
                closing.callback(procedure.close)


def _advance(
    procedure: Procedure, name: str, due: list[tuple[float, str]], clock: Clock
) -> Generator[Event, None, bool | None]:
    """Run until the next pause or the end; returns how it ended, None for not yet."""
    while True:
        try:
            step = next(procedure)
        except StopIteration as end:
            return bool(end.value)
        if isinstance(step, Pause):
            heapq.heappush(due, (clock.now() + step.seconds, name))
            return None
        yield step


def _skip(failed: str, waiting: list[str], open_needs: Mapping[str, set[str]]) -> Iterator[Event]:
    lost = {failed}
    # Producers stand before their importers in no order that could be relied on: until it settles.
    while due := [name for name in waiting if open_needs[name] & lost]:
        for name in due:
            waiting.remove(name)
            lost.add(name)
            yield StackSkipped(name, because=failed)
