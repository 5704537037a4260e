"""Runs many slow procedures side by side in one thread, each as soon as it may.

A procedure is a generator: it yields events, yields ``Pause`` where it waits for AWS, and returns
whether it went well. AWS does the work; this only asks, so one thread is enough, and Ctrl-C has one
place to arrive. The clock is handed over: tests bring one that never waits.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from tapgen.engine.clock import Clock
from tapgen.engine.events import Event, Interrupted, StackSkipped
from tapgen.engine.orders import Orders


@dataclass(frozen=True)
class Pause:
    """Resume me after this many seconds."""

    seconds: float


Procedure = Generator[Event | Pause, None, bool]


def run(
    procedures: Mapping[str, Callable[[], Procedure]],
    needs: Mapping[str, frozenset[str]],
    clock: Clock,
    concurrency: int,
    *,
    seconds: Mapping[str, float] | None = None,
    fail_fast: bool = False,
    orders: Orders | None = None,
) -> Iterator[Event]:
    """Yield the events of all procedures until the last has ended.

    A procedure starts when all that it ``needs`` (names without a procedure count as done) went
    well, at most ``concurrency`` at a time. Of several that may start, the one with the longest
    way to the end behind it goes first: its own ``seconds`` (one each, where nothing is expected)
    and those of what waits for it; then the name decides. Where one fails, those that need it,
    directly or not, are skipped; all others go on, unless ``fail_fast`` says to start nothing more.
    The bell of ``orders`` is passed on as ``Interrupted``, and every procedure under way is resumed
    at once to learn what was ordered; once the order is to cancel, nothing more starts.
    Closing this generator, or an exception in it, closes every procedure under way, so that each
    can clean up after itself.
    """
    open_needs = {name: set(needs.get(name, ())) & set(procedures) for name in procedures}
    ways = longest_ways(open_needs, seconds or {})
    waiting = sorted(procedures, key=lambda name: (-ways[name], name))
    active: dict[str, Procedure] = {}
    due: list[tuple[float, str]] = []
    try:
        while waiting or active:
            if orders and orders.bell:
                orders.bell = False
                yield Interrupted()
                due = [(clock.now(), name) for _, name in due]
            if orders and orders.cancel:
                waiting.clear()
                if not active:
                    break
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
                if orders and orders.bell:
                    heapq.heappush(due, (moment, name))
                    continue
            outcome = yield from _advance(active[name], name, due, clock)
            if outcome is None:
                continue
            del active[name]
            if outcome:
                for others in open_needs.values():
                    others.discard(name)
            else:
                yield from _skip(name, waiting, open_needs)
                if fail_fast:
                    yield from (StackSkipped(left, because=name, needed=False) for left in waiting)
                    waiting.clear()
    finally:
        # Every one is closed, also where the clean-up of another goes wrong.
        with ExitStack() as closing:
            for procedure in active.values():
                closing.callback(procedure.close)


def longest_ways(
    needs: Mapping[str, Collection[str]], seconds: Mapping[str, float]
) -> dict[str, float]:
    """By name, the seconds from its start to the end of the longest chain that waits for it.

    The longest of all is the critical path: no schedule is shorter. Names in a circle get 0; they
    never start.
    """
    followers: dict[str, list[str]] = {name: [] for name in needs}
    for name, producers in needs.items():
        for producer in producers:
            followers[producer].append(name)
    found: dict[str, float] = {}
    left = set(needs)
    while due := [name for name in left if all(other in found for other in followers[name])]:
        for name in due:
            behind = max((found[other] for other in followers[name]), default=0.0)
            found[name] = seconds.get(name, 1.0) + behind
        left.difference_update(due)
    return found | dict.fromkeys(left, 0.0)


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
