"""How a run ended, read off its events, and never better than it was."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tapgen.cloud import StackEvent
from tapgen.engine.events import (
    Event,
    MonitoringTrouble,
    ResourceMoved,
    RoundStarted,
    StackDone,
    StackFailed,
    StackSkipped,
    StackStarted,
    StackUnchanged,
    StackWaits,
)
from tapgen.engine.summary import Summary, clock_time
from tapgen.errors import Exit

MOVED = StackEvent("1", datetime(2026, 1, 1, tzinfo=UTC), "Vpc", "vpc-1", "AWS::EC2::VPC", "X")


def after(*events: Event, stacks: tuple[str, ...] = ("net",)) -> Summary:
    summary = Summary(stacks)
    for event in events:
        summary.take(event)
    return summary


@pytest.mark.parametrize(
    ("event", "row", "status"),
    [
        (StackDone("net", "create", {}, 42.4), ("created", "42 s"), Exit.DONE),
        (StackDone("net", "update", {}, 125.0), ("updated", "2 min 5 s"), Exit.DONE),
        (StackDone("net", "recreate", {}, 1.0), ("recreated", "1.0 s"), Exit.DONE),
        (StackDone("net", "delete", {}, 0.2), ("deleted", "0.2 s"), Exit.DONE),
        (StackUnchanged("net", {}), ("unchanged", ""), Exit.DONE),
        (StackFailed("net", "ROLLBACK_COMPLETE", "no room"), ("failed", "no room"), Exit.FAILED),
        (StackSkipped("net", "base"), ("skipped", "base failed"), Exit.FAILED),
        (
            StackStarted("net", "create"),
            ("interrupted", "its operation may run on in AWS; the same command picks it up"),
            Exit.FAILED,
        ),
        (
            StackWaits("net", "UPDATE_IN_PROGRESS"),
            ("interrupted", "its operation may run on in AWS; the same command picks it up"),
            Exit.FAILED,
        ),
        (ResourceMoved("net", MOVED), ("not started", ""), Exit.FAILED),
        (MonitoringTrouble("net", "throttled"), ("not started", ""), Exit.FAILED),
    ],
)
def test_each_end_has_its_words_and_its_status(
    event: Event, row: tuple[str, str], status: Exit
) -> None:
    summary = after(event)

    assert summary.row_of("net") == row
    assert summary.status is status


def test_a_stack_that_nobody_spoke_of_was_not_started() -> None:
    assert after().rows() == [("net", "not started", "")]
    assert after().status is Exit.FAILED


def test_an_end_counts_however_it_began() -> None:
    summary = after(
        StackWaits("net", "CREATE_IN_PROGRESS"),
        StackStarted("net", "update"),
        ResourceMoved("net", MOVED),
        StackDone("net", "update", {"VpcId": "vpc-1"}, 3.0),
    )

    assert summary.rows() == [("net", "updated", "3.0 s")]
    assert summary.outputs() == {"net": {"VpcId": "vpc-1"}}


def test_rows_stand_in_the_order_of_the_stacks_not_of_their_ends() -> None:
    summary = after(
        StackDone("web", "create", {}, 1.0),
        StackUnchanged("net", {}),
        stacks=("net", "data", "web"),
    )

    assert [(stack, how) for stack, how, _ in summary.rows()] == [
        ("net", "unchanged"),
        ("data", "not started"),
        ("web", "created"),
    ]


def test_one_failure_among_many_is_a_failed_run() -> None:
    good: list[Event] = [StackDone("a", "create", {}, 1.0), StackUnchanged("b", {})]

    assert after(*good, stacks=("a", "b")).status is Exit.DONE
    assert after(*good, StackSkipped("c", "x"), stacks=("a", "b", "c")).status is Exit.FAILED


def test_a_run_is_unchanged_only_when_every_stack_is() -> None:
    assert after(StackUnchanged("net", {})).unchanged
    assert not after(StackDone("net", "update", {}, 1.0)).unchanged
    assert not after(StackUnchanged("net", {}), stacks=("net", "web")).unchanged


def test_only_stacks_that_stand_as_wanted_have_outputs() -> None:
    summary = after(
        StackDone("a", "create", {"X": "1"}, 1.0),
        StackUnchanged("b", {"Y": "2"}),
        StackFailed("c", "CREATE_FAILED", "no"),
        StackSkipped("d", "c"),
        stacks=("a", "b", "c", "d"),
    )

    assert summary.outputs() == {"a": {"X": "1"}, "b": {"Y": "2"}}


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "0.0 s"),
        (0.64, "0.6 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (125, "2 min 5 s"),
        (3725, "62 min 5 s"),
    ],
)
def test_a_time_is_told_as_exactly_as_it_matters(seconds: float, told: str) -> None:
    assert clock_time(seconds) == told


def test_a_stack_that_has_its_turn_once_more_has_not_come_to_its_end() -> None:
    summary = Summary(["tap-dev-a", "tap-dev-b"])
    begun = RoundStarted("detach", 1, 2, stacks=("tap-dev-a",), later=("tap-dev-a", "tap-dev-b"))
    for event in (begun, StackDone("tap-dev-a", "update", {"X": "1"}, 3.0)):
        summary.take(event)

    assert summary.rows() == [
        ("tap-dev-a", "interrupted", "half of its rounds are done; the same command goes on"),
        ("tap-dev-b", "not started", ""),
    ]
    assert (summary.status, summary.outputs()) == (Exit.FAILED, {})

    summary.take(RoundStarted("deploy", 2, 2, stacks=("tap-dev-a", "tap-dev-b")))
    summary.take(StackDone("tap-dev-a", "update", {"X": "2"}, 3.0))
    summary.take(StackUnchanged("tap-dev-b", {}))

    assert summary.status is Exit.DONE
    assert summary.outputs() == {"tap-dev-a": {"X": "2"}, "tap-dev-b": {}}
