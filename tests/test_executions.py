"""One execution followed over its history, the list of recent ones, and why they failed."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from observed import (
    ARN,
    MACHINE,
    Asked,
    History,
    States,
    always_failing,
    at,
    stopped_task,
    two_failures_then_success,
)
from twin.clock import VirtualClock

from tapgen.cloud import ExpiredCredentials, Refused, Throttled, Unreachable
from tapgen.engine.polling import aws_pace
from tapgen.observe import executions, reasons
from tapgen.observe.execution import BadInput, Trouble, checked_input, follow
from tapgen.observe.history import (
    Attempted,
    AttemptFailed,
    Ended,
    Entered,
    Left,
    Submitted,
    Tale,
)


def followed(states: States, clock: VirtualClock) -> list[Any]:
    return list(follow(states, ARN, clock, aws_pace))


def test_an_execution_is_told_state_by_state_and_try_by_try() -> None:
    clock = VirtualClock()

    steps = followed(States(clock, two_failures_then_success()), clock)

    assert steps == [
        Entered(at(0.1), "AcceptJob", "Pass"),
        Left(at(0.1), "AcceptJob", 0.0, caught=False),
        Entered(at(0.2), "ProcessVideo", "Task"),
        Attempted(at(1), "ProcessVideo", 1, "ecs:runTask.sync"),
        Submitted(at(1), "ProcessVideo", "task-1"),
        AttemptFailed(at(4), "ProcessVideo", 1, "States.TaskFailed", stopped_task(3)),
        Attempted(at(14), "ProcessVideo", 2, "ecs:runTask.sync", 10.0),
        Submitted(at(14), "ProcessVideo", "task-2"),
        AttemptFailed(at(18), "ProcessVideo", 2, "States.TaskFailed", stopped_task(4)),
        Attempted(at(38), "ProcessVideo", 3, "ecs:runTask.sync", 20.0),
        Submitted(at(38), "ProcessVideo", "task-3"),
        Left(at(50), "ProcessVideo", 49.8, caught=False),
        Entered(at(50), "NotifySuccess", "Task"),
        Attempted(at(50.1), "NotifySuccess", 1, "sns:publish"),
        Left(at(50.4), "NotifySuccess", 0.4, caught=False),
        Entered(at(50.4), "Succeeded", "Succeed"),
        Left(at(50.4), "Succeeded", 0.0, caught=False),
        Ended(at(50.5), "SUCCEEDED", 50.5, '{"job": "job-1"}'),
    ]


def test_steps_are_told_while_the_execution_goes_on() -> None:
    clock = VirtualClock()
    seen: dict[str, float] = {}

    for step in follow(States(clock, two_failures_then_success()), ARN, clock, aws_pace):
        seen[f"{type(step).__name__} {getattr(step, 'number', '')}".strip()] = clock.now()

    # Looked at every two seconds.
    assert seen["AttemptFailed 1"] == 4
    assert seen["Attempted 2"] == 14
    assert seen["Ended"] == 52


def test_a_failure_ends_with_the_innermost_reason() -> None:
    clock = VirtualClock()

    *before, end = followed(States(clock, always_failing()), clock)

    assert Left(at(4), "ProcessVideo", 3.8, caught=True) in before
    assert (end.status, end.error, end.succeeded) == ("FAILED", "VideoProcessingFailed", False)
    assert end.why == "States.TaskFailed: Essential container in task exited (exit code 3)"


@pytest.mark.parametrize(
    ("kind", "status", "why"),
    [("ExecutionTimedOut", "TIMED_OUT", ""), ("ExecutionAborted", "ABORTED", "Aborted: by hand")],
)
def test_ends_that_no_state_reports_are_ends_too(kind: str, status: str, why: str) -> None:
    clock = VirtualClock()
    told = History().add(0, "ExecutionStarted", input="{}").entered(0, "Task", "ProcessVideo")
    details = {"error": "Aborted", "cause": "by hand"} if why else {}

    *_, end = followed(States(clock, told.add(3, kind, **details).events), clock)

    assert (end.status, end.seconds, end.why) == (status, 3.0, why)


@pytest.mark.parametrize(("behind", "when"), [(1.0, 8), (None, 8)])
def test_a_history_that_is_behind_with_the_end_gets_one_more_look(
    behind: float | None, when: float
) -> None:
    clock = VirtualClock()
    told = History().add(0, "ExecutionStarted", input="{}").add(6, "ExecutionTimedOut")

    *_, end = followed(States(clock, told.events, behind=behind), clock)

    assert (end.status, end.seconds) == ("TIMED_OUT", 6.0)
    assert clock.now() == when


def test_answers_that_do_not_come_are_told_and_asked_for_again() -> None:
    clock = VirtualClock()
    errors = (Throttled("states:DescribeExecution"), Unreachable("states", "there", "gone"))

    steps = followed(States(clock, always_failing(), *errors), clock)

    assert [type(step) for step in steps[:3]] == [Trouble, Trouble, Entered]
    assert "throttles states:DescribeExecution" in steps[0].told
    assert steps[-1].status == "FAILED"


def test_who_is_not_answered_for_ten_minutes_gives_up() -> None:
    clock = VirtualClock()
    states = States(clock, always_failing(), *[Throttled("states:DescribeExecution")] * 1000)

    with pytest.raises(Throttled):
        followed(states, clock)

    assert 600 < clock.now() < 640


def test_expired_credentials_end_the_watching_at_once() -> None:
    clock = VirtualClock()
    states = States(clock, always_failing(), ExpiredCredentials("token"))

    with pytest.raises(ExpiredCredentials):
        followed(states, clock)

    assert clock.now() == 0


def test_an_execution_may_be_unknown_for_a_moment_after_its_start() -> None:
    unknown = Refused("states:DescribeExecution", "ExecutionDoesNotExist", "no such execution")
    soon, never = VirtualClock(), VirtualClock()

    steps = followed(States(soon, always_failing(), unknown, unknown), soon)

    assert steps[-1].status == "FAILED"
    with pytest.raises(Refused):
        followed(States(never, always_failing(), *[unknown] * 100), never)
    assert 30 < never.now() < 40


def test_an_event_belongs_to_the_state_it_follows_from() -> None:
    told = History().add(0, "ExecutionStarted", input="{}")
    told.entered(0, "Task", "Left").entered(0, "Task", "Right")
    told.add(1, "TaskScheduled", resourceType="ecs", resource="runTask.sync")
    told.events[-1]["previousEventId"] = 2

    steps = list(Tale().hear(iter(told.events)))

    assert isinstance(steps[-1], Attempted)
    assert steps[-1].state == "Left"


def test_a_history_without_the_ids_of_aws_is_told_in_its_order() -> None:
    told = [
        {key: item for key, item in event.items() if key != "previousEventId"}
        for event in two_failures_then_success()
    ]

    steps = list(Tale().hear(iter(told)))

    assert [step.state for step in steps if isinstance(step, Attempted)] == [
        "ProcessVideo",
        "ProcessVideo",
        "ProcessVideo",
        "NotifySuccess",
    ]


@pytest.mark.parametrize(
    ("error", "cause", "told"),
    [
        ("States.Timeout", "", "States.Timeout"),
        ("", "only a cause", "only a cause"),
        ("E", "two\nlines", "E: two lines"),
        (
            "ECS.AmazonECSException",
            "no capacity (Status Code: 400)",
            "ECS.AmazonECSException: no capacity (Status Code: 400)",
        ),
        (
            "States.TaskFailed",
            json.dumps(
                {
                    "StoppedReason": "Task failed to start",
                    "Containers": [{"Name": "c", "Reason": "CannotPullContainerError: no route"}],
                }
            ),
            "States.TaskFailed: Task failed to start: CannotPullContainerError: no route",
        ),
        (
            "Lambda.Unknown",
            '{"errorMessage": "no such table", "errorType": "E"}',
            "Lambda.Unknown: no such table",
        ),
        ("E", '{"odd": 1}', 'E: {"odd": 1}'),
        ("E", "[1, 2]", "E: [1, 2]"),
        ("E", "x" * 400, "E: " + "x" * 296 + "…"),
    ],
)
def test_a_reason_is_the_innermost_in_one_line(error: str, cause: str, told: str) -> None:
    assert reasons.reason(error, cause) == told


class Listed(Asked):
    """A state machine with executions that ended and one that runs."""

    def list_executions(self, stateMachineArn: str, maxResults: int) -> dict[str, Any]:  # noqa: N803
        assert stateMachineArn == MACHINE
        ends = [
            ("new", "RUNNING", 90, None),
            ("long", "FAILED", 10, 80),
            ("mid", "SUCCEEDED", 40, 70),
        ]
        return {
            "executions": [
                {
                    "executionArn": f"{MACHINE}:{name}",
                    "name": name,
                    "status": status,
                    "startDate": at(began),
                    **({} if ended is None else {"stopDate": at(ended)}),
                }
                for name, status, began, ended in ends
            ]
        }

    def describe_execution(self, executionArn: str) -> dict[str, Any]:  # noqa: N803
        assert executionArn == f"{MACHINE}:long"
        return {"error": "VideoProcessingFailed", "cause": '{"Error": "States.Timeout"}'}


def test_recent_executions_are_listed_by_their_start_with_the_errors_of_the_failed() -> None:
    services = Listed()

    found = executions.recent(services, MACHINE, 10)

    assert [(one.name, one.status, one.seconds(at(100)), one.why) for one in found] == [
        ("new", "RUNNING", 10.0, ""),
        ("mid", "SUCCEEDED", 30.0, ""),
        ("long", "FAILED", 70.0, "States.Timeout"),
    ]
    assert services.asked == ["list_executions", "describe_execution"]


def test_no_more_are_described_than_are_wanted() -> None:
    services = Listed()

    assert [one.name for one in executions.recent(services, MACHINE, 1)] == ["new"]
    assert services.asked == ["list_executions"]


def test_a_clock_that_is_behind_makes_no_negative_duration() -> None:
    (new,) = executions.recent(Listed(), MACHINE, 1)

    assert new.seconds(new.started - timedelta(seconds=5)) == 0.0


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty; an input is JSON, {} at least"),
        (b"  \n", "empty; an input is JSON, {} at least"),
        (b"{", "no JSON: Expecting property name enclosed in double quotes at line 1, column 2"),
        (
            b"{'a': 1}",
            "no JSON: Expecting property name enclosed in double quotes at line 1, column 2",
        ),
        (b'{"a": NaN}', "no JSON: NaN is no JSON value"),
        (b'{"a": 1}\n{"b": 2}', "no JSON: Extra data at line 2, column 1"),
        (b'"\xff"', "no UTF-8 text (byte 2)"),
        (b'"' + b"x" * 262_143 + b'"', "an input has at most 256 KB; this one has more"),
        (b"[" * 100_000, "no JSON: nested too deeply"),
    ],
)
def test_an_input_that_step_functions_would_refuse_is_named(content: bytes, why: str) -> None:
    with pytest.raises(BadInput) as caught:
        checked_input(content, "job.json")

    assert str(caught.value) == f"job.json: {why}"


@pytest.mark.parametrize(
    "text",
    ["{}", '"bare"', "[1, 2]", '{"title": "“夜” 🎬 \\" \' $(x)"}', '"' + "x" * 262_142 + '"'],
)
def test_any_other_input_is_sent_as_it_is(text: str) -> None:
    assert checked_input(text.encode(), "job.json") == text


def test_a_byte_order_mark_is_no_part_of_the_input() -> None:
    assert checked_input(b"\xef\xbb\xbf{}", "job.json") == "{}"
