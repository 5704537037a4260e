"""The three ways to show a run, each to the letter."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tapgen.cloud import StackEvent
from tapgen.commands import progress
from tapgen.engine.events import (
    Event,
    MonitoringTrouble,
    ResourceMoved,
    StackDone,
    StackFailed,
    StackSkipped,
    StackStarted,
    StackUnchanged,
    StackWaits,
)

NOON = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def moved(
    status: str, reason: str = "", *, stack: str = "tap-dev-network", name: str = "Vpc"
) -> ResourceMoved:
    kind = "AWS::CloudFormation::Stack" if name == stack else "AWS::EC2::VPC"
    return ResourceMoved(stack, StackEvent("e1", NOON, name, "vpc-1", kind, status, reason, "tok"))


FAILED = StackFailed(
    "tap-dev-storage",
    "ROLLBACK_COMPLETE",
    "no such\n  instance class",
    cause=StackEvent("e2", NOON, "Db", "", "AWS::RDS::DBInstance", "CREATE_FAILED"),
    remedy="choose another",
)
RUN: list[Event] = [
    StackStarted("tap-dev-network", "create", 1),
    StackWaits("tap-dev-storage", "UPDATE_IN_PROGRESS"),
    moved("CREATE_IN_PROGRESS"),
    moved("CREATE_COMPLETE"),
    StackDone("tap-dev-network", "create", {"VpcId": "vpc-1"}, 61.0),
    StackStarted("tap-dev-storage", "update", 12),
    moved("CREATE_FAILED", "no such\nclass", stack="tap-dev-storage", name="Db"),
    moved("CREATE_FAILED", "Resource creation cancelled", stack="tap-dev-storage", name="Key"),
    MonitoringTrouble("tap-dev-storage", "AWS throttles DescribeStackEvents"),
    FAILED,
    StackSkipped("tap-dev-api", "tap-dev-storage"),
    StackUnchanged("tap-dev-cache", {"Host": "h"}),
    StackStarted("tap-dev-cache", "delete"),
]
STACKS = ["tap-dev-network", "tap-dev-storage", "tap-dev-cache", "tap-dev-api"]


class Clock:
    """Stands still until it is put forward."""

    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


# --- lines


def test_lines_tell_what_matters_and_which_resource_failed() -> None:
    stream = io.StringIO()

    with progress.Lines(stream, STACKS) as lines:
        for event in RUN:
            lines.show(event)

    assert stream.getvalue() == (
        "tap-dev-network  creating, 1 change\n"
        "tap-dev-storage  waits for the operation under way (UPDATE_IN_PROGRESS)\n"
        "tap-dev-network  created in 1 min 1 s\n"
        "tap-dev-storage  updating, 12 changes\n"
        "tap-dev-storage  CREATE_FAILED Db (AWS::EC2::VPC): no such class\n"
        "tap-dev-storage  AWS throttles DescribeStackEvents\n"
        "tap-dev-storage  failed: Db (AWS::RDS::DBInstance): no such instance class "
        "[ROLLBACK_COMPLETE]\n"
        "tap-dev-api      skipped, because tap-dev-storage failed\n"
        "tap-dev-cache    unchanged\n"
        "tap-dev-cache    deleting\n"
    )


def test_verbose_lines_tell_every_resource() -> None:
    stream = io.StringIO()

    with progress.Lines(stream, STACKS, verbose=True) as lines:
        for event in RUN[2:4] + RUN[7:8]:
            lines.show(event)

    assert stream.getvalue() == (
        "tap-dev-network  CREATE_IN_PROGRESS Vpc (AWS::EC2::VPC)\n"
        "tap-dev-network  CREATE_COMPLETE Vpc (AWS::EC2::VPC)\n"
        "tap-dev-storage  CREATE_FAILED Key (AWS::EC2::VPC): Resource creation cancelled\n"
    )


def test_an_event_is_one_line_whatever_aws_wrote() -> None:
    for event in RUN:
        assert "\n" not in progress.told(event)


def test_a_refusal_before_anything_began_has_no_status_and_no_cause() -> None:
    assert progress.told(StackFailed("x", "", "its rollback failed")) == (
        "failed: its rollback failed"
    )


# --- JSON


def test_json_is_one_object_a_line_with_the_event_s_own_facts() -> None:
    stream = io.StringIO()

    with progress.Json(stream) as machine:
        for event in RUN:
            machine.show(event)

    objects = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(objects) == len(RUN)
    assert objects[0] == {
        "type": "StackStarted",
        "stack": "tap-dev-network",
        "action": "create",
        "changes": 1,
        "expected": 0.0,
    }
    assert objects[2] == {
        "type": "ResourceMoved",
        "stack": "tap-dev-network",
        "event": {
            "id": "e1",
            "time": "2026-01-01T12:00:00+00:00",
            "logical_id": "Vpc",
            "physical_id": "vpc-1",
            "type": "AWS::EC2::VPC",
            "status": "CREATE_IN_PROGRESS",
            "reason": "",
            "token": "tok",
            "operation": "",
            "hook": "",
            "hook_status": "",
            "hook_reason": "",
            "hook_mode": "",
        },
    }
    assert objects[4]["outputs"] == {"VpcId": "vpc-1"}
    # Unshortened: a machine makes of it what it wants.
    assert objects[9]["reason"] == "no such\n  instance class"
    assert objects[9]["cause"]["time"] == "2026-01-01T12:00:00+00:00"
    assert {one["type"] for one in objects} == {
        "StackStarted",
        "StackWaits",
        "ResourceMoved",
        "StackDone",
        "MonitoringTrouble",
        "StackFailed",
        "StackSkipped",
        "StackUnchanged",
    }


def test_json_keeps_letters_and_writes_what_it_does_not_know_as_text() -> None:
    stream = io.StringIO()

    progress.write_json(stream, {"type": "result", "who": "é", "when": NOON})

    assert stream.getvalue() == (
        '{"type": "result", "who": "é", "when": "2026-01-01 12:00:00+00:00"}\n'
    )


# --- the live table


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def live(clock: Clock) -> progress.Live:
    return progress.Live(io.StringIO(), STACKS[:2], clock)


def drawn(live: progress.Live, width: int = 80) -> list[str]:
    """The table as a terminal of ``width`` columns shows it."""
    from rich.console import Console

    console = Console(file=io.StringIO(), width=width, markup=False, emoji=False)
    with console.capture() as captured:
        console.print(live._table())
    return [line.rstrip() for line in captured.get().splitlines()]


def test_every_stack_waits_at_first(live: progress.Live) -> None:
    assert drawn(live) == [
        "tap-dev-network      waiting",
        "tap-dev-storage      waiting",
    ]


def test_the_table_counts_resources_and_seconds(live: progress.Live, clock: Clock) -> None:
    for event in (
        RUN[0],
        moved("CREATE_IN_PROGRESS", name="tap-dev-network"),
        moved("CREATE_COMPLETE"),
        moved("CREATE_IN_PROGRESS", name="Subnet"),
    ):
        live.show(event)
    clock.sleep(75)

    assert drawn(live) == [
        "tap-dev-network  1/2  1 min 15 s  CREATE_IN_PROGRESS Subnet",
        "tap-dev-storage                   waiting",
    ]


def test_an_end_stops_its_stack_s_clock(live: progress.Live, clock: Clock) -> None:
    live.show(StackStarted("tap-dev-network", "create"))
    clock.sleep(5)
    live.show(StackDone("tap-dev-network", "create", {}, 5.0))
    live.show(StackStarted("tap-dev-storage", "update", 3))
    clock.sleep(12)

    assert drawn(live) == [
        "tap-dev-network    5.0 s  created in 5.0 s",
        "tap-dev-storage     12 s  updating, 3 changes",
    ]


def test_a_long_text_is_cut_at_the_edge_and_a_narrow_screen_stays_whole(
    live: progress.Live,
) -> None:
    live.show(StackFailed("tap-dev-storage", "ROLLBACK_COMPLETE", "word " * 40))

    lines = drawn(live)

    assert len(lines) == 2
    assert len(lines[1]) == 80
    assert lines[1].startswith("tap-dev-storage      failed: word word")
    assert lines[1].endswith("…")
    assert max(map(len, drawn(live, width=30))) <= 30


def test_what_aws_writes_is_shown_as_it_is(live: progress.Live) -> None:
    reason = "see [/aws/lambda/x] and [bold] :key:"
    live.show(StackFailed("tap-dev-network", "", reason))

    stream: Any = live._screen.console.file
    live.show(MonitoringTrouble("account", reason))

    assert live._screen.console.render_str(reason).plain == reason
    assert drawn(live)[0] == f"tap-dev-network      failed: {reason}"
    # Of no stack in the table: a line above it.
    assert stream.getvalue() == f"account  {reason}\n"


def test_what_happens_to_a_stack_not_in_the_table_is_told_above_it(live: progress.Live) -> None:
    stream: Any = live._screen.console.file

    live.show(moved("CREATE_COMPLETE", stack="tap-dev-api"))
    live.show(StackDone("tap-dev-api", "create", {}, 12.0))

    assert stream.getvalue() == (
        "tap-dev-api  CREATE_COMPLETE Vpc (AWS::EC2::VPC)\ntap-dev-api  created in 12 s\n"
    )
    assert [line.split()[0] for line in drawn(live)] == ["tap-dev-network", "tap-dev-storage"]


def test_the_screen_is_given_back_as_it_was_found(clock: Clock) -> None:
    stream = io.StringIO()

    with progress.Live(stream, STACKS, clock) as live:
        for event in RUN:
            live.show(event)
        assert live._screen.is_started

    assert not live._screen.is_started


@pytest.mark.parametrize("way", ["lines", "json", "live"])
def test_an_error_passes_through_whatever_shows_the_run(way: str, clock: Clock) -> None:
    stream = io.StringIO()
    shown: dict[str, progress.Progress] = {
        "lines": progress.Lines(stream, STACKS),
        "json": progress.Json(stream),
        "live": progress.Live(stream, STACKS, clock),
    }

    with pytest.raises(KeyboardInterrupt), shown[way]:
        raise KeyboardInterrupt
