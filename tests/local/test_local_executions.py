"""Executions on the embedded AWS: how they start, wait, are logged, and end."""

from __future__ import annotations

import itertools
import json
import time
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from local_aws import client, own_call, pass_coverage_on, set_faults, set_pace
from state_machines import PASS, ended, execution, history, machine, started

from tapgen.local import lease
from tapgen.local.executions.attempts import delay
from tapgen.local.lease import Embedded
from tapgen.local.pace import VARIABLE, Clock, Paces, checked, of_environment


def definition(**states: dict[str, Any]) -> dict[str, Any]:
    """A definition of these states, in this order."""
    return {"StartAt": next(iter(states)), "States": states}


def types(aws: Embedded, arn: str) -> list[str]:
    return [event["type"] for event in history(aws, arn)]


def publish(topic: str, **more: Any) -> dict[str, Any]:
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::sns:publish",
        "Parameters": {"TopicArn": topic, "Message.$": "$"},
        "End": True,
        **more,
    }


def topic_of(aws: Embedded) -> str:
    arn: str = client(aws, "sns").create_topic(Name="told")["TopicArn"]
    return arn


WAIT = {"Type": "Wait", "Seconds": 3600, "End": True}


# Starting


def test_an_input_of_the_largest_size_is_taken_and_one_byte_more_is_not(
    aws_account: Embedded,
) -> None:
    arn = machine(aws_account)

    taken = execution(aws_account, arn, json.dumps("x" * 262_142))
    with pytest.raises(ClientError, match="less than or equal to 262144") as refused:
        started(aws_account, arn, json.dumps("x" * 262_143))

    assert types(aws_account, taken)[-1] == "ExecutionSucceeded"
    assert refused.value.response["Error"]["Code"] == "ValidationException"


@pytest.mark.parametrize(
    ("given", "name", "code"),
    [
        ("{not json", "job", "InvalidExecutionInput"),
        ("{}", "a/b", "InvalidName"),
        ("{}", "two words", "InvalidName"),
        ("{}", 'quote"', "InvalidName"),
        ("{}", "x" * 81, "InvalidName"),
    ],
)
def test_what_step_functions_would_not_start_is_not_started(
    aws_account: Embedded, given: str, name: str, code: str
) -> None:
    sfn = client(aws_account, "stepfunctions")
    arn = machine(aws_account)

    with pytest.raises(ClientError) as refused:
        started(aws_account, arn, given, name)

    assert refused.value.response["Error"]["Code"] == code
    assert sfn.list_executions(stateMachineArn=arn)["executions"] == []


def test_the_same_job_asked_for_twice_is_one_execution_and_another_input_is_refused(
    aws_account: Embedded,
) -> None:
    arn = machine(aws_account, definition(Only=WAIT))

    first, second = (started(aws_account, arn, '{"a":1}', "job") for _ in range(2))
    with pytest.raises(ClientError) as refused:
        started(aws_account, arn, '{"a":2}', "job")
    client(aws_account, "stepfunctions").stop_execution(executionArn=first)
    ended(aws_account, first)

    assert first == second
    assert refused.value.response["Error"]["Code"] == "ExecutionAlreadyExists"
    # Over, it is no repetition any more.
    with pytest.raises(ClientError, match="already exists"):
        started(aws_account, arn, '{"a":1}', "job")


# Going on


def test_data_larger_than_an_execution_carries_ends_it(aws_account: Embedded) -> None:
    doubling = {"Type": "Pass", "Parameters": {"a.$": "$", "b.$": "$"}, "End": True}

    arn = execution(
        aws_account, machine(aws_account, definition(Only=doubling)), f'"{"x" * 2**17}"'
    )

    found = ended(aws_account, arn)
    assert (found["status"], found["error"]) == ("FAILED", "States.DataLimitExceeded")
    assert "output" not in found


def test_characters_stay_as_they_are_in_data_and_in_text_made_of_it(aws_account: Embedded) -> None:
    state = {"Type": "Pass", "Parameters": {"text.$": "States.JsonToString($)"}, "End": True}

    arn = execution(aws_account, machine(aws_account, definition(Only=state)), '{"a":"é🎬"}')

    assert json.loads(ended(aws_account, arn)["output"]) == {"text": '{"a":"é🎬"}'}
    assert "🎬" in ended(aws_account, arn)["output"]


def test_a_wait_takes_a_part_of_its_time_and_all_of_it_in_the_history(
    aws_account: Embedded,
) -> None:
    set_pace(aws_account, 0.0001)
    began = time.monotonic()

    arn = execution(aws_account, machine(aws_account, definition(Only={**WAIT, "Seconds": 600})))

    entered, left = (
        event["timestamp"]
        for event in history(aws_account, arn)
        if event["type"] in ("WaitStateEntered", "WaitStateExited")
    )
    found = ended(aws_account, arn)
    assert time.monotonic() - began < 10
    assert 600 <= (left - entered).total_seconds() < 610
    assert (found["stopDate"] - found["startDate"]).total_seconds() >= 600


def test_branches_wait_at_the_same_time(aws_account: Embedded) -> None:
    set_pace(aws_account, 0.0001)
    branch = definition(Wait={**WAIT, "Seconds": 600})
    both = {"Type": "Parallel", "Branches": [branch, branch], "End": True}

    arn = execution(aws_account, machine(aws_account, definition(Both=both)))

    found = ended(aws_account, arn)
    assert found["status"] == "SUCCEEDED"
    assert 600 <= (found["stopDate"] - found["startDate"]).total_seconds() < 700


def test_choices_and_failures_are_told_by_their_true_names(aws_account: Embedded) -> None:
    choice = {
        "Type": "Choice",
        "Choices": [{"Variable": "$.a", "NumericEquals": 1, "Next": "Bad"}],
        "Default": "Good",
    }
    whole = definition(
        Which=choice,
        Bad={"Type": "Fail", "Error": "Bad", "Cause": "it was 1"},
        Good={"Type": "Succeed"},
    )

    arn = execution(aws_account, machine(aws_account, whole), '{"a":1}')

    events = history(aws_account, arn)
    assert [event["type"] for event in events] == [
        "ExecutionStarted",
        "ChoiceStateEntered",
        "ChoiceStateExited",
        "FailStateEntered",
        "ExecutionFailed",
    ]
    assert [event["previousEventId"] for event in events] == [0, 0, 2, 3, 4]
    assert events[-1]["executionFailedEventDetails"] == {"error": "Bad", "cause": "it was 1"}


def test_a_state_that_does_not_exist_fails_the_execution(aws_account: Embedded) -> None:
    whole = definition(First={"Type": "Pass", "Next": "Second"})

    found = ended(aws_account, execution(aws_account, machine(aws_account, whole)))

    assert (found["status"], found["error"]) == ("FAILED", "States.Runtime")


def test_a_message_may_be_any_data(aws_account: Embedded) -> None:
    arn = execution(
        aws_account,
        machine(aws_account, definition(Tell=publish(topic_of(aws_account)))),
        '{"a": 1}',
    )

    assert types(aws_account, arn)[2:6] == [
        "TaskScheduled",
        "TaskStarted",
        "TaskSucceeded",
        "TaskStateExited",
    ]


def test_a_topic_that_is_not_there_fails_under_the_sdks_name(aws_account: Embedded) -> None:
    missing = topic_of(aws_account).replace("told", "nobody")

    arn = execution(aws_account, machine(aws_account, definition(Tell=publish(missing))))

    (failed,) = [event for event in history(aws_account, arn) if event["type"] == "TaskFailed"]
    assert failed["taskFailedEventDetails"]["error"] == "SNS.NotFoundException"
    assert failed["taskFailedEventDetails"]["resourceType"] == "sns"
    assert ended(aws_account, arn)["error"] == "SNS.NotFoundException"


def test_a_service_that_is_late_is_waited_for_and_no_longer_than_the_state_allows(
    aws_account: Embedded,
) -> None:
    set_pace(aws_account, 0.001)
    fault = {"service": "sns", "action": "Publish", "status": 0}
    set_faults(aws_account, requests=[{**fault, "delay": 5.0}, {**fault, "delay": 60.0}])
    patient = machine(
        aws_account, definition(Tell=publish(topic_of(aws_account), TimeoutSeconds=10))
    )

    late, too_late = (execution(aws_account, patient) for _ in range(2))

    assert ended(aws_account, late)["status"] == "SUCCEEDED"
    assert ended(aws_account, too_late)["error"] == "States.Timeout"
    assert "TaskTimedOut" in types(aws_account, too_late)


def test_other_integrations_are_the_emulators_under_the_same_limits(aws_account: Embedded) -> None:
    sqs = client(aws_account, "sqs")
    url = sqs.create_queue(QueueName="jobs")["QueueUrl"]
    state = {
        "Type": "Task",
        "Resource": "arn:aws:states:::sqs:sendMessage",
        "Parameters": {"QueueUrl": url, "MessageBody.$": "$.text"},
        "End": True,
    }
    unknown = {**state, "Resource": "arn:aws:states:::glue:startJobRun.sync", "TimeoutSeconds": 9}

    sent = execution(aws_account, machine(aws_account, definition(Send=state)), '{"text":"hi"}')
    refused = execution(aws_account, machine(aws_account, definition(Send=unknown)), '{"text":""}')

    assert ended(aws_account, sent)["status"] == "SUCCEEDED"
    assert sqs.receive_message(QueueUrl=url)["Messages"][0]["Body"] == "hi"
    assert ended(aws_account, refused)["error"] == "States.Runtime"


def test_a_state_that_waits_for_its_token_is_answered_from_outside(aws_account: Embedded) -> None:
    sfn, sqs = client(aws_account, "stepfunctions"), client(aws_account, "sqs")
    url = sqs.create_queue(QueueName="tokens")["QueueUrl"]
    state = {
        "Type": "Task",
        "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
        "Parameters": {"QueueUrl": url, "MessageBody.$": "$$.Task.Token"},
        "End": True,
    }
    arn = started(aws_account, machine(aws_account, definition(Ask=state)))

    (asked,) = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5)["Messages"]
    sfn.send_task_success(taskToken=asked["Body"], output='{"answer":42}')

    assert ended(aws_account, arn)["output"] == '{"answer":42}'


def test_a_task_that_is_not_waited_for_is_only_started(aws_account: Embedded) -> None:
    ecs = client(aws_account, "ecs")
    ecs.create_cluster(clusterName="cluster")
    shell = {"name": "main", "image": "any", "entryPoint": ["sleep"], "command": ["0"]}
    ecs.register_task_definition(family="family", containerDefinitions=[shell])
    state = {
        "Type": "Task",
        "Resource": "arn:aws:states:::ecs:runTask",
        "Parameters": {"Cluster": "cluster", "TaskDefinition": "family", "LaunchType": "FARGATE"},
        "ResultSelector": {"status.$": "$.Tasks[0].LastStatus", "failures.$": "$.Failures"},
        "End": True,
    }

    arn = execution(aws_account, machine(aws_account, definition(Run=state)))

    assert ended(aws_account, arn)["output"] == '{"status":"PROVISIONING","failures":[]}'
    assert "TaskSubmitted" not in types(aws_account, arn)


# Ending


def test_an_execution_that_the_embedded_aws_ends_under_has_failed(tmp_path: Path) -> None:
    pass_coverage_on()
    with lease.lease(tmp_path) as aws:
        arn = started(aws, machine(aws, definition(Only=WAIT)))

    with lease.lease(tmp_path) as again:
        found = ended(again, arn)

    assert (found["status"], found["error"]) == ("FAILED", "States.ServiceRestart")


def test_an_execution_is_stopped_once_and_for_all(aws_account: Embedded) -> None:
    sfn = client(aws_account, "stepfunctions")
    arn = started(aws_account, machine(aws_account, definition(Only=WAIT)))
    while "WaitStateEntered" not in types(aws_account, arn):
        time.sleep(0.01)

    first = sfn.stop_execution(executionArn=arn, error="Operator", cause="enough")
    again = sfn.stop_execution(executionArn=arn, error="Another")

    found = ended(aws_account, arn)
    assert first["stopDate"] == again["stopDate"] == found["stopDate"]
    assert (found["status"], found["error"], found["cause"]) == ("ABORTED", "Operator", "enough")
    assert types(aws_account, arn).count("ExecutionAborted") == 1


def test_an_execution_that_runs_out_of_time_tells_no_error_and_stops_at_its_limit(
    aws_account: Embedded,
) -> None:
    set_pace(aws_account, 0.0001)
    whole = {**definition(Only=WAIT), "TimeoutSeconds": 60}

    arn = execution(aws_account, machine(aws_account, whole))

    found, last = ended(aws_account, arn), history(aws_account, arn)[-1]
    assert found["status"] == "TIMED_OUT"
    assert not {"error", "cause", "output"} & set(found)
    assert (found["stopDate"] - found["startDate"]).total_seconds() == 60
    assert (last["type"], last["previousEventId"]) == ("ExecutionTimedOut", 0)
    assert last["executionTimedOutEventDetails"] == {"error": "States.Timeout"}


def test_a_history_is_read_page_by_page(aws_account: Embedded) -> None:
    arn = execution(aws_account, machine(aws_account))
    pages = client(aws_account, "stepfunctions").get_paginator("get_execution_history")

    read = [
        [event["id"] for event in page["events"]]
        for page in pages.paginate(executionArn=arn, PaginationConfig={"PageSize": 3})
    ]

    assert read == [[1, 2, 3], [4]]


# The log


@pytest.mark.parametrize(
    ("level", "logged"),
    [
        ("OFF", []),
        ("FATAL", ["ExecutionFailed"]),
        ("ERROR", ["TaskFailed", "ExecutionFailed"]),
        (
            "ALL",
            [
                "ExecutionStarted",
                "TaskStateEntered",
                "TaskScheduled",
                "TaskStarted",
                "TaskFailed",
                "ExecutionFailed",
            ],
        ),
    ],
)
def test_the_level_says_what_is_logged(
    aws_account: Embedded, level: str, logged: list[str]
) -> None:
    missing = topic_of(aws_account).replace("told", "nobody")
    arn = machine(
        aws_account,
        definition(Tell=publish(missing)),
        loggingConfiguration=logging_to(aws_account, level, data=True),
    )

    execution(aws_account, arn, '{"a":1}')

    assert [line["type"] for line in log(aws_account)] == logged


def test_without_execution_data_the_log_has_none(aws_account: Embedded) -> None:
    wanted = logging_to(aws_account, "ALL", data=False)
    arn = execution(aws_account, machine(aws_account, PASS, loggingConfiguration=wanted))

    lines = log(aws_account)

    assert {line["execution_arn"] for line in lines} == {arn}
    assert [set(line["details"]) for line in lines] == [{"roleArn"}, {"name"}, {"name"}, set()]


def test_data_too_large_for_the_log_is_cut_and_says_so(aws_account: Embedded) -> None:
    wanted = logging_to(aws_account, "ALL", data=True)
    arn = machine(aws_account, PASS, loggingConfiguration=wanted)

    execution(aws_account, arn, json.dumps('"' * 100_000))

    begun = log(aws_account)[0]["details"]
    assert begun["inputDetails"] == {"truncated": True}
    assert len(begun["input"]) < 248 * 1024


def test_a_missing_log_group_stops_nothing(aws_account: Embedded) -> None:
    wanted = logging_to(aws_account, "ALL", data=True)
    client(aws_account, "logs").delete_log_group(logGroupName="/log")

    arn = execution(aws_account, machine(aws_account, PASS, loggingConfiguration=wanted))

    assert ended(aws_account, arn)["status"] == "SUCCEEDED"


def logging_to(aws: Embedded, level: str, *, data: bool) -> dict[str, Any]:
    client(aws, "logs").create_log_group(logGroupName="/log")
    group = f"arn:aws:logs:{aws.region}:{aws.account}:log-group:/log:*"
    return {
        "level": level,
        "includeExecutionData": data,
        "destinations": [{"cloudWatchLogsLogGroup": {"logGroupArn": group}}],
    }


def log(aws: Embedded) -> list[dict[str, Any]]:
    events = client(aws, "logs").filter_log_events(logGroupName="/log")["events"]
    return [json.loads(event["message"]) for event in events]


# Waits and the pace


@pytest.mark.parametrize(
    ("retrier", "waits"),
    [
        ({}, [1, 2, 4, 8]),
        ({"IntervalSeconds": 10, "BackoffRate": 2.0}, [10, 20, 40, 80]),
        ({"IntervalSeconds": 10, "BackoffRate": 2.0, "MaxDelaySeconds": 60}, [10, 20, 40, 60]),
        ({"IntervalSeconds": 5, "BackoffRate": 1.0}, [5, 5, 5, 5]),
    ],
)
def test_waits_grow_up_to_their_limit(retrier: dict[str, Any], waits: list[float]) -> None:
    assert [delay(retrier, retries, _never) for retries in range(4)] == waits


def test_a_full_jitter_is_anything_from_nothing_to_the_wait() -> None:
    asked: list[tuple[float, float]] = []

    def chance(shortest: float, longest: float) -> float:
        asked.append((shortest, longest))
        return 7.5

    waited = delay({"IntervalSeconds": 10, "JitterStrategy": "FULL"}, 1, chance)

    assert (waited, asked) == (7.5, [(0, 20.0)])


def _never(shortest: float, longest: float) -> float:
    raise AssertionError("no jitter was asked for")


def test_a_wait_moves_the_clock_by_all_of_it_and_an_answer_by_nothing() -> None:
    moments = itertools.count(100)
    clock = Clock(0.0001, now=lambda: float(next(moments)) * 0 + 100.0)

    waited = clock.wait(clock.now() + 3600, lambda: False)
    answered = clock.wait(clock.now() + 3600, lambda: True)

    assert (waited, answered) == (False, True)
    assert clock.now() == 100.0 + 3600


@pytest.mark.parametrize("pace", [0, -1, 1.5, float("nan"), "fast", None])
def test_what_is_no_pace_is_refused(pace: Any) -> None:
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        checked(pace)


def test_the_server_starts_at_the_pace_of_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "0.05")
    paces = Paces(of_environment())
    monkeypatch.setenv(VARIABLE, "fast")

    assert paces.of("123456789012") == 0.05
    with pytest.raises(ValueError, match="TAPGEN_LOCAL_PACE is 'fast', not a number above 0"):
        of_environment()


def test_a_pace_is_its_accounts_own() -> None:
    paces = Paces(0.5)

    paces.set("1", 0.1)

    assert (paces.of("1"), paces.of("2")) == (0.1, 0.5)


def test_the_server_tells_an_accounts_pace(aws_account: Embedded) -> None:
    before = own_call(aws_account, "GET", "pace")
    set_pace(aws_account, 0.25)

    assert before == {"pace": 1.0}
    assert own_call(aws_account, "GET", "pace") == {"pace": 0.25}
