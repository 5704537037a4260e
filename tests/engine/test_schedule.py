"""Who runs when: order, concurrency, failure, and the end of everything when the run is closed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twin import VirtualClock

from tapgen.engine import schedule
from tapgen.engine.clock import SystemClock
from tapgen.engine.events import Event, StackDone, StackFailed, StackSkipped, StackStarted
from tapgen.engine.schedule import Pause, Procedure


class Script:
    """Procedures that take their time, and a diary of what they did."""

    def __init__(self, seconds: Mapping[str, float], failing: frozenset[str] = frozenset()) -> None:
        self.clock = VirtualClock()
        self.seconds, self.failing = seconds, failing
        self.began: dict[str, float] = {}
        self.ended: dict[str, float] = {}
        self.closed: list[str] = []

    def procedure(self, name: str) -> Procedure:
        self.began[name] = self.clock.now()
        try:
            yield StackStarted(name, "create")
            yield Pause(self.seconds[name])
            self.ended[name] = self.clock.now()
            if name in self.failing:
                yield StackFailed(name, "ROLLBACK_COMPLETE", "broken")
                return False
            yield StackDone(name, "create", {}, self.seconds[name])
            return True
        except GeneratorExit:
            self.closed.append(name)
            raise

    def run(
        self, needs: Mapping[str, frozenset[str]], concurrency: int = 4, **how: Any
    ) -> Iterator[Event]:
        procedures = {name: lambda name=name: self.procedure(name) for name in self.seconds}
        return schedule.run(procedures, needs, self.clock, concurrency, **how)


def test_a_procedure_starts_the_moment_its_own_needs_are_met() -> None:
    script = Script({"quick": 10, "slow": 100, "after_quick": 5, "after_slow": 5})

    list(script.run({"after_quick": frozenset({"quick"}), "after_slow": frozenset({"slow"})}))

    assert script.began == {"quick": 0, "slow": 0, "after_quick": 10, "after_slow": 100}


def test_events_come_in_the_order_in_which_things_happen() -> None:
    script = Script({"a": 20, "b": 10})

    events = list(script.run({}))

    assert events == [
        StackStarted("a", "create"),
        StackStarted("b", "create"),
        StackDone("b", "create", {}, 10),
        StackDone("a", "create", {}, 20),
    ]


def test_no_more_run_at_once_than_allowed() -> None:
    script = Script({"a": 10, "b": 10, "c": 10})

    list(script.run({}, concurrency=2))

    assert script.began == {"a": 0, "b": 0, "c": 10}


def test_the_longest_way_to_the_end_starts_first() -> None:
    seconds = {"a": 1.0, "b": 5.0, "gate": 1.0, "database": 100.0}
    script = Script(seconds)

    list(script.run({"database": frozenset({"gate"})}, concurrency=1, seconds=seconds))

    assert sorted(script.began, key=script.began.__getitem__) == ["gate", "database", "b", "a"]


def test_without_expectations_the_longest_chain_starts_first_and_then_the_name_decides() -> None:
    script = Script({"a": 10, "b": 10, "z": 10, "after_z": 10})

    list(script.run({"after_z": frozenset({"z"})}, concurrency=1))

    assert sorted(script.began, key=script.began.__getitem__) == ["z", "a", "after_z", "b"]


def test_a_way_is_the_longest_chain_of_what_waits() -> None:
    needs = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c"), "alone": ()}

    ways = schedule.longest_ways(needs, {"a": 3.0, "b": 10.0, "c": 20.0, "d": 4.0})

    assert ways == {"a": 27.0, "b": 14.0, "c": 24.0, "d": 4.0, "alone": 1.0}


def test_with_fail_fast_nothing_more_starts_and_what_runs_goes_on() -> None:
    script = Script({"a": 10, "b": 10, "c": 10, "aa": 30}, failing=frozenset({"a"}))

    events = list(script.run({"b": frozenset({"a"})}, concurrency=2, fail_fast=True))

    skipped = [event for event in events if isinstance(event, StackSkipped)]
    assert skipped == [
        StackSkipped("b", because="a"),
        StackSkipped("c", because="a", needed=False),
    ]
    assert set(script.began) == {"a", "aa"}
    assert script.ended["aa"] == 30


def test_what_has_no_procedure_counts_as_done() -> None:
    script = Script({"a": 10})

    events = list(script.run({"a": frozenset({"deployed long ago"})}))

    assert events[-1] == StackDone("a", "create", {}, 10)


def test_a_failure_skips_what_needs_it_and_nothing_else() -> None:
    script = Script({"a": 10, "b": 10, "c": 10, "alone": 30}, failing=frozenset({"a"}))

    events = list(script.run({"b": frozenset({"a"}), "c": frozenset({"b"})}))

    skipped = [event for event in events if isinstance(event, StackSkipped)]
    assert skipped == [StackSkipped("b", because="a"), StackSkipped("c", because="a")]
    assert set(script.began) == {"a", "alone"}
    assert script.ended["alone"] == 30


def test_a_circle_is_an_error_and_not_an_endless_wait() -> None:
    script = Script({"a": 1, "b": 1})

    with pytest.raises(RuntimeError, match="a, b wait for each other"):
        list(script.run({"a": frozenset({"b"}), "b": frozenset({"a"})}))


def test_closing_closes_everything_under_way() -> None:
    script = Script({"a": 10, "b": 10, "never": 10})
    events = script.run({"never": frozenset({"a"})})

    next(events)
    next(events)
    events.close()  # type: ignore[attr-defined]

    assert script.closed == ["b", "a"]


def test_a_clean_up_that_goes_wrong_does_not_keep_others_from_theirs() -> None:
    script = Script({"a": 10})

    def broken() -> Procedure:
        try:
            yield StackStarted("z", "create")
        finally:
            raise RuntimeError("no clean end")
        return True

    events = schedule.run({"a": lambda: script.procedure("a"), "z": broken}, {}, script.clock, 4)
    next(events)
    next(events)
    with pytest.raises(RuntimeError, match="no clean end"):
        events.close()  # type: ignore[attr-defined]

    assert script.closed == ["a"]


def test_an_error_in_one_closes_the_others() -> None:
    script = Script({"a": 10})

    def broken() -> Procedure:
        yield Pause(1)
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        list(schedule.run({"a": lambda: script.procedure("a"), "z": broken}, {}, script.clock, 4))

    assert script.closed == ["a"]


def test_the_systems_clock_goes_forward_and_waits() -> None:
    clock = SystemClock()

    before = clock.now()
    clock.sleep(0.001)

    assert clock.now() >= before + 0.001


NAMES = "abcdefgh"


@given(
    needs=st.dictionaries(
        st.sampled_from(NAMES), st.sets(st.sampled_from(NAMES)), max_size=len(NAMES)
    ),
    seconds=st.lists(st.integers(0, 50), min_size=len(NAMES), max_size=len(NAMES)),
    failing=st.sets(st.sampled_from(NAMES)),
    concurrency=st.integers(1, len(NAMES)),
)
def test_order_concurrency_and_ends_hold_for_any_graph(
    needs: dict[str, set[str]], seconds: list[int], failing: set[str], concurrency: int
) -> None:
    # Only what comes earlier in the alphabet can be needed, so there are no circles.
    acyclic = {
        name: frozenset(other for other in needs.get(name, ()) if other < name) for name in NAMES
    }
    script = Script(dict(zip(NAMES, seconds, strict=True)), frozenset(failing))

    events = list(script.run(acyclic, concurrency))

    done = {event.stack for event in events if isinstance(event, StackDone)}
    failed = {event.stack for event in events if isinstance(event, StackFailed)}
    skipped = {event.stack for event in events if isinstance(event, StackSkipped)}
    assert sorted([*done, *failed, *skipped]) == sorted(NAMES)
    assert skipped.isdisjoint(script.began)
    for name, began in script.began.items():
        assert acyclic[name] <= done
        assert all(script.ended[need] <= began for need in acyclic[name])
    for name in skipped:
        assert acyclic[name] & (failed | skipped)
    for moment in script.began.values():
        running = [
            name for name, began in script.began.items() if began <= moment < script.ended[name]
        ]
        assert len(running) <= concurrency
