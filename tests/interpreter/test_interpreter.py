"""The virtual-clock interpreter: what it knows, what it refuses, and how its time passes."""

from __future__ import annotations

from typing import Any

import pytest

from interpreter.account import Account, TaskRun
from interpreter.data import NoSuchPath, Unknown, at, built, evaluated, placed
from interpreter.machine import NEVER, Execution, Interpreter

MACHINE = "arn:aws:states:ap-northeast-1:123456789012:stateMachine:small"
RUN = "arn:aws:states:::ecs:runTask.sync"


def task(**more: Any) -> dict[str, Any]:
    state = {"Type": "Task", "Resource": RUN, "Parameters": {}, "ResultSelector": {}, "Retry": []}
    return {**state, "Catch": [], "Next": "Done", **more}


def run(state: dict[str, Any], *tasks: TaskRun, limit: float = NEVER, **more: Any) -> Execution:
    definition: dict[str, Any] = {
        "StartAt": "Work",
        "States": {"Work": state, "Done": {"Type": "Succeed"}},
    }
    if limit != NEVER:
        definition["TimeoutSeconds"] = limit
    machine = Interpreter(MACHINE, definition, Account(list(tasks)), chance=lambda _, most: most)
    return machine.run("job", '{"a": 1}', **more)


def test_paths_lead_into_data_and_context() -> None:
    data, context = {"a": [{"b": 1}]}, {"State": {"RetryCount": 2}}

    assert at("$.a[0].b", data, context) == 1
    assert at("$$.State.RetryCount", data, context) == 2
    assert at("$", data, context) is data


@pytest.mark.parametrize("path", ["$.b", "$.a[1]", "$.a.b"])
def test_a_path_that_leads_nowhere_is_an_error(path: str) -> None:
    with pytest.raises(NoSuchPath):
        at(path, {"a": [0]}, {})


@pytest.mark.parametrize("expression", ["$.a[*]", "$..b", "States.UUID()", "a"])
def test_what_the_workflow_does_not_use_is_refused(expression: str) -> None:
    with pytest.raises(Unknown):
        evaluated(expression, {"a": [0]}, {})


def test_templates_are_built_and_results_placed() -> None:
    template = {"plain": [1, {"n.$": "$.a"}], "text.$": "States.JsonToString($)"}

    assert built(template, {"a": "é"}, {}) == {"plain": [1, {"n": "é"}], "text": '{"a":"é"}'}
    assert evaluated("States.Format('{}', $$.n)", {}, {"n": 3}) == "3"
    assert placed("$.r", {"a": 1}, 2) == {"a": 1, "r": 2}
    assert placed(None, {"a": 1}, 2) == {"a": 1}


def test_a_state_with_a_field_that_is_not_known_is_refused() -> None:
    with pytest.raises(Unknown, match="HeartbeatSeconds"):
        run(task(HeartbeatSeconds=5))


def test_waits_double_up_to_their_limit_and_cost_no_real_time() -> None:
    retrier = {"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 100, "MaxDelaySeconds": 300}
    failing = [TaskRun(exit_code=1, seconds=60)] * 3

    execution = run(task(Retry=[{**retrier, "MaxAttempts": 3}]), *failing, TaskRun(seconds=60))

    begun = [event.at for event in execution.events if event.type == "TaskScheduled"]
    assert begun == [0, 60 + 100, 220 + 200, 480 + 300]
    assert (execution.status, execution.seconds) == ("SUCCEEDED", 840)


def test_without_a_catcher_an_error_ends_the_execution() -> None:
    execution = run(task(), TaskRun(exit_code=1, seconds=5))

    assert (execution.status, execution.error) == ("FAILED", "States.TaskFailed")


def test_a_time_out_is_no_failed_task_to_a_retrier() -> None:
    retriers = [{"ErrorEquals": ["States.TaskFailed"]}]

    execution = run(task(Retry=retriers, TimeoutSeconds=10), TaskRun(seconds=NEVER))

    assert (execution.error, execution.seconds) == ("States.Timeout", 10)


def test_when_both_limits_are_the_same_the_executions_wins() -> None:
    execution = run(task(TimeoutSeconds=1800), TaskRun(seconds=NEVER), limit=1800)

    assert execution.status == "TIMED_OUT"
    assert [event.type for event in execution.events][-2:] == ["TaskSubmitted", "ExecutionTimedOut"]


def test_an_abort_comes_in_the_middle_of_whatever_there_is() -> None:
    execution = run(task(), TaskRun(seconds=60), aborted_at=12.5)

    assert (execution.status, execution.seconds) == ("ABORTED", 12.5)
