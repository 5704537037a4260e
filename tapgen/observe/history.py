"""An execution's history as the steps of a tale: states entered and left, tries, failures, the end.

Events are those of GetExecutionHistory, as botocore hands them on. A step is told once, however
often the history is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tapgen.observe.reasons import reason


@dataclass(frozen=True)
class Entered:
    """A state began; ``kind`` is its type, ``Task`` or ``Pass``."""

    at: datetime
    state: str
    kind: str


@dataclass(frozen=True)
class Attempted:
    """A try of a task began; the first has the number 1, and ``waited`` None."""

    at: datetime
    state: str
    number: int
    resource: str
    # Seconds since the try before it failed.
    waited: float | None = None


@dataclass(frozen=True)
class Submitted:
    """The task is with the service it was sent to, known there as ``id``."""

    at: datetime
    state: str
    id: str


@dataclass(frozen=True)
class AttemptFailed:
    """A try of a task failed; whether another follows is not known yet."""

    at: datetime
    state: str
    number: int
    error: str
    cause: str

    @property
    def why(self) -> str:
        """The failure in a line."""
        return reason(self.error, self.cause)


@dataclass(frozen=True)
class Left:
    """A state ended well, or its error was caught."""

    at: datetime
    state: str
    seconds: float
    caught: bool


@dataclass(frozen=True)
class Ended:
    """The execution's end. ``output`` is JSON, where it succeeded."""

    at: datetime
    status: str
    seconds: float
    output: str = ""
    error: str = ""
    cause: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether it ended as it should."""
        return self.status == "SUCCEEDED"

    @property
    def why(self) -> str:
        """Why it did not succeed, in a line."""
        return reason(self.error, self.cause)


Step = Entered | Attempted | Submitted | AttemptFailed | Left | Ended

_ENDS = {
    "ExecutionSucceeded": "SUCCEEDED",
    "ExecutionFailed": "FAILED",
    "ExecutionTimedOut": "TIMED_OUT",
    "ExecutionAborted": "ABORTED",
}
# A try of a task can fail at any of its stations.
_FAILURES = frozenset(
    {
        "ActivityFailed",
        "ActivityScheduleFailed",
        "ActivityTimedOut",
        "LambdaFunctionFailed",
        "LambdaFunctionScheduleFailed",
        "LambdaFunctionStartFailed",
        "LambdaFunctionTimedOut",
        "TaskFailed",
        "TaskStartFailed",
        "TaskSubmitFailed",
        "TaskTimedOut",
    }
)
_SCHEDULED = frozenset({"TaskScheduled", "LambdaFunctionScheduled", "ActivityScheduled"})


class Tale:
    """Turns a history's events into steps; each event is heard once."""

    def __init__(self) -> None:
        self.over = False
        self._heard = 0
        self._begun: datetime | None = None
        # The state that each event belongs to, by the event's id.
        self._state_of: dict[int, str] = {}
        self._current = ""
        self._entered: dict[str, datetime] = {}
        self._tries: dict[str, int] = {}
        self._failed: dict[str, datetime | None] = {}

    def hear(self, history: Iterator[Mapping[str, Any]]) -> Iterator[Step]:
        """The steps in the part of ``history`` that was not heard before."""
        for event in history:
            if event["id"] > self._heard:
                self._heard = event["id"]
                step = self._step(event)
                if step is not None:
                    yield step

    def _step(self, event: Mapping[str, Any]) -> Step | None:
        kind, at, details = str(event["type"]), event["timestamp"], _details(event)
        self._begun = self._begun or at
        state = self._state(event, kind, details)
        if kind.endswith("StateEntered"):
            self._entered[state], self._tries[state], self._failed[state] = at, 0, None
            return Entered(at, state, kind.removesuffix("StateEntered"))
        if kind in _SCHEDULED:
            return self._attempt(at, state, details)
        if kind == "TaskSubmitted":
            return Submitted(at, state, _submitted(details))
        if kind in _FAILURES:
            self._failed[state] = at
            number = self._tries.get(state, 1)
            return AttemptFailed(at, state, number, *_error(details, kind))
        if kind.endswith("StateExited"):
            seconds = (at - self._entered.get(state, at)).total_seconds()
            return Left(at, state, seconds, caught=self._failed.get(state) is not None)
        if kind in _ENDS:
            self.over = True
            seconds = (at - self._begun).total_seconds()
            output = str(details.get("output") or "")
            return Ended(at, _ENDS[kind], seconds, output, *_error(details, ""))
        return None

    def _attempt(self, at: datetime, state: str, details: Mapping[str, Any]) -> Attempted:
        self._tries[state] = number = self._tries.get(state, 0) + 1
        failed, self._failed[state] = self._failed.get(state), None
        waited = None if failed is None else (at - failed).total_seconds()
        return Attempted(at, state, number, _resource(details), waited)

    def _state(self, event: Mapping[str, Any], kind: str, details: Mapping[str, Any]) -> str:
        """The state an event belongs to: its own name, or that of the event it follows from."""
        before = self._state_of.get(int(event.get("previousEventId") or 0), self._current)
        named = kind.endswith(("StateEntered", "StateExited"))
        state = str(details.get("name") or before) if named else before
        if kind.endswith("StateEntered"):
            self._current = state
        self._state_of[int(event["id"])] = state
        return state


def _details(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """An event has one member of details at most, called after its type."""
    for key, value in event.items():
        if key.endswith("EventDetails") and isinstance(value, Mapping):
            return value
    return {}


def _error(details: Mapping[str, Any], kind: str) -> tuple[str, str]:
    error = details.get("error") or ("States.Timeout" if kind.endswith("TimedOut") else "")
    return str(error), str(details.get("cause") or "")


def _resource(details: Mapping[str, Any]) -> str:
    """``ecs:runTask.sync``; some write the whole ARN, which ends like that."""
    resource, kind = str(details.get("resource") or ""), str(details.get("resourceType") or "")
    if resource.startswith("arn:"):
        return ":".join(resource.split(":")[5:])
    return f"{kind}:{resource}".strip(":")


def _submitted(details: Mapping[str, Any]) -> str:
    """What the service that took the task calls it: of ECS the task's id."""
    try:
        output = json.loads(details.get("output") or "{}")
        tasks = output.get("Tasks") or [{}]
        return str(tasks[0].get("TaskArn") or "").rpartition("/")[2]
    except (ValueError, AttributeError, TypeError):
        return ""
