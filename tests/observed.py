"""Small services in memory for who watches: log groups, an execution on a virtual clock, a queue.

They answer ``cloud.Services`` in the shapes of AWS, and hold to the rules that matter to a watcher:
pages, a log event that shows up late, a history that grows, an answer that does not come.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from twin.clock import VirtualClock

from tapgen.cloud import CloudError, Refused

BEGINNING = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
ARN = "arn:aws:states:ap-northeast-1:123456789012:execution:video-processing-workflow-dev:job-1"
MACHINE = "arn:aws:states:ap-northeast-1:123456789012:stateMachine:video-processing-workflow-dev"


def at(seconds: float) -> datetime:
    """So long after the beginning."""
    return BEGINNING + timedelta(seconds=seconds)


def milliseconds(seconds: float) -> int:
    """The same, as CloudWatch Logs counts."""
    return int(at(seconds).timestamp() * 1000)


class Asked:
    """Counts what is asked, and answers the next questions with ``errors`` first."""

    def __init__(self, *errors: CloudError) -> None:
        self.asked: list[str] = []
        self.errors = list(errors)

    def call(self, service: str, operation: str, **arguments: Any) -> dict[str, Any]:
        self.asked.append(operation)
        if self.errors:
            raise self.errors.pop(0)
        answer: dict[str, Any] = getattr(self, operation)(**arguments)
        return answer

    def pages(
        self, service: str, operation: str, member: str, **arguments: Any
    ) -> Iterator[dict[str, Any]]:
        yield from self.call(service, operation, **arguments)[member]


@dataclass
class Logs(Asked):
    """Log groups. ``put`` makes an event that is there from now on, whatever its time."""

    groups: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()

    def put(self, group: str, seconds: float, message: str, stream: str = "one") -> None:
        events = self.groups.setdefault(group, [])
        event = {
            "eventId": f"{group}-{len(events)}",
            "logStreamName": stream,
            "timestamp": milliseconds(seconds),
            "message": message,
        }
        events.append(event)

    def filter_log_events(self, logGroupName: str, startTime: int) -> dict[str, Any]:  # noqa: N803
        if logGroupName not in self.groups:
            raise Refused("logs:FilterLogEvents", "ResourceNotFoundException", "no such group")
        found = [one for one in self.groups[logGroupName] if one["timestamp"] >= startTime]
        return {"events": sorted(found, key=lambda one: int(one["timestamp"]))}


class States(Asked):
    """One execution, whose history is there as far as the clock has come.

    ``behind`` is how much later than DescribeExecution the history tells the end; None is never.
    """

    def __init__(
        self,
        clock: VirtualClock,
        history: Sequence[Mapping[str, Any]],
        *errors: CloudError,
        behind: float | None = 0.0,
    ) -> None:
        super().__init__(*errors)
        self._clock, self._history, self._behind = clock, history, behind
        self.stopped: dict[str, Any] | None = None

    def describe_execution(self, executionArn: str) -> dict[str, Any]:  # noqa: N803
        begun, *_, last = self._history
        told = {"executionArn": executionArn, "name": "job-1", "startDate": begun["timestamp"]}
        if not self._is_past(last) or not last["type"].startswith("Execution"):
            return {**told, "status": "RUNNING"}
        words = {"TimedOut": "TIMED_OUT"}
        end = last["type"].removeprefix("Execution")
        status = words.get(end, end.upper())
        details: dict[str, Any] = next(
            (value for key, value in last.items() if key.endswith("EventDetails")), {}
        )
        return {**told, **details, "status": status, "stopDate": last["timestamp"]}

    def get_execution_history(self, executionArn: str, maxResults: int) -> dict[str, Any]:  # noqa: N803
        seen = [event for event in self._history[:-1] if self._is_past(event)]
        last = self._history[-1]
        if self._behind is not None and self._is_past(last, self._behind):
            seen.append(last)
        return {"events": seen}

    def _is_past(self, event: Mapping[str, Any], behind: float = 0.0) -> bool:
        passed = (event["timestamp"] - BEGINNING).total_seconds() + behind
        return bool(passed <= self._clock.now())


class History:
    """Writes a history as GetExecutionHistory tells it."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def add(self, seconds: float, kind: str, **details: Any) -> History:
        """One event, following from the one before it."""
        first = kind[0].lower() + kind[1:]
        # All states share the members of their entering and leaving.
        for end in ("StateEntered", "StateExited"):
            if kind.endswith(end):
                first = end[0].lower() + end[1:]
        event = {
            "timestamp": at(seconds),
            "type": kind,
            "id": len(self.events) + 1,
            "previousEventId": len(self.events),
        }
        self.events.append(event | ({f"{first}EventDetails": details} if details else {}))
        return self

    def entered(self, seconds: float, kind: str, state: str) -> History:
        return self.add(seconds, f"{kind}StateEntered", name=state, input="{}")

    def exited(self, seconds: float, kind: str, state: str) -> History:
        return self.add(seconds, f"{kind}StateExited", name=state, output="{}")

    def attempt(self, seconds: float, task: str) -> History:
        """A task handed to ECS, which takes it."""
        ecs = {"resourceType": "ecs", "resource": "runTask.sync"}
        arn = f"arn:aws:ecs:ap-northeast-1:123456789012:task/video-processing-cluster-dev/{task}"
        taken = json.dumps({"Tasks": [{"TaskArn": arn}], "Failures": []})
        self.add(seconds, "TaskScheduled", region="ap-northeast-1", parameters="{}", **ecs)
        self.add(seconds, "TaskStarted", **ecs)
        return self.add(seconds, "TaskSubmitted", output=taken, **ecs)

    def task_failed(self, seconds: float, exit_code: int) -> History:
        """The task ends with a status; ECS's description of it is the cause."""
        return self.add(
            seconds,
            "TaskFailed",
            resourceType="ecs",
            resource="runTask.sync",
            error="States.TaskFailed",
            cause=stopped_task(exit_code),
        )


def stopped_task(exit_code: int) -> str:
    """What ECS says of a task that stopped, in the words of Step Functions."""
    told = {
        "Attachments": [],
        "ClusterArn": "arn:aws:ecs:ap-northeast-1:123456789012:cluster/c",
        "Containers": [{"ExitCode": exit_code, "Name": "video-processing", "Cpu": "1024"}],
        "StopCode": "EssentialContainerExited",
        "StoppedReason": "Essential container in task exited",
    }
    return json.dumps(told)


def two_failures_then_success() -> list[dict[str, Any]]:
    """Tries at 1, 14 and 38 s, the last one of which ends well; the completion topic is told."""
    told = History()
    told.add(0, "ExecutionStarted", input="{}", roleArn="arn:aws:iam::123456789012:role/r")
    told.entered(0.1, "Pass", "AcceptJob").exited(0.1, "Pass", "AcceptJob")
    told.entered(0.2, "Task", "ProcessVideo")
    told.attempt(1, "task-1").task_failed(4, 3)
    told.attempt(14, "task-2").task_failed(18, 4)
    told.attempt(38, "task-3")
    told.add(50, "TaskSucceeded", resourceType="ecs", resource="runTask.sync", output="{}")
    told.exited(50, "Task", "ProcessVideo").entered(50, "Task", "NotifySuccess")
    sns = {"resourceType": "sns", "resource": "publish"}
    told.add(50.1, "TaskScheduled", region="ap-northeast-1", parameters="{}", **sns)
    told.add(50.1, "TaskStarted", **sns).add(50.4, "TaskSucceeded", output="{}", **sns)
    told.exited(50.4, "Task", "NotifySuccess").entered(50.4, "Succeed", "Succeeded")
    told.exited(50.4, "Succeed", "Succeeded")
    return told.add(50.5, "ExecutionSucceeded", output='{"job": "job-1"}').events


def always_failing() -> list[dict[str, Any]]:
    """One try, caught; the error topic is told, and the execution fails."""
    told = History()
    told.add(0, "ExecutionStarted", input="{}", roleArn="arn:aws:iam::123456789012:role/r")
    told.entered(0.2, "Task", "ProcessVideo").attempt(1, "task-1").task_failed(4, 3)
    told.exited(4, "Task", "ProcessVideo").entered(4, "Task", "NotifyFailure")
    told.exited(4.5, "Task", "NotifyFailure").entered(4.5, "Fail", "Failed")
    caught = {"Error": "States.TaskFailed", "Cause": stopped_task(3)}
    return told.add(
        4.5, "ExecutionFailed", error="VideoProcessingFailed", cause=json.dumps(caught)
    ).events
