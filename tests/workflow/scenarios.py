"""What can befall the workflow, and what must be seen then: one table for every interpreter.

A scenario says how each attempt of the task and each notice goes, and what follows from it. How an
interpreter is brought to it is the business of ``virtual.py`` and ``embedded.py``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DONE, FAILS, HANGS, REFUSED = "done", "fails", "hangs", "refused"

# Its execution is stopped while the task runs.
STOPPED = "stopped"

_ACCEPTED = ["ExecutionStarted", "PassStateEntered", "PassStateExited", "TaskStateEntered"]
_ATTEMPT = {
    DONE: ["TaskScheduled", "TaskStarted", "TaskSubmitted", "TaskSucceeded"],
    FAILS: ["TaskScheduled", "TaskStarted", "TaskSubmitted", "TaskFailed"],
    HANGS: ["TaskScheduled", "TaskStarted", "TaskSubmitted", "TaskTimedOut"],
    REFUSED: ["TaskScheduled", "TaskStarted", "TaskSubmitFailed"],
    # Cut off in the middle.
    STOPPED: ["TaskScheduled", "TaskStarted", "TaskSubmitted"],
}
_TOLD = ["TaskStateEntered", "TaskScheduled", "TaskStarted", "TaskSucceeded", "TaskStateExited"]
_NOT_TOLD = ["TaskStateEntered", "TaskScheduled", "TaskStarted", "TaskFailed"]
_NEVER_TOLD = [*_NOT_TOLD, *_NOT_TOLD[1:], *_NOT_TOLD[1:]]
_SUCCEEDED = ["SucceedStateEntered", "SucceedStateExited", "ExecutionSucceeded"]
_FAILED = ["FailStateEntered", "ExecutionFailed"]


def events(*attempts: str, then: list[str]) -> list[str]:
    """The types of a history's events: these attempts of the task, and what follows."""
    return [*_ACCEPTED, *(event for attempt in attempts for event in _ATTEMPT[attempt]), *then]


@dataclass(frozen=True)
class Scenario:
    """One execution: what it meets, and what must be seen."""

    name: str
    # How each attempt of the task goes.
    attempts: tuple[str, ...]
    status: str
    # The types of its history's events.
    events: list[str]
    # The longest wait before each further attempt.
    waits: tuple[float, ...] = ()
    # The states it enters.
    states: tuple[str, ...] = ()
    # Messages on the topics: members that each must have.
    completed: tuple[Mapping[str, Any], ...] = ()
    failed: tuple[Mapping[str, Any], ...] = ()
    error: str | None = None
    # The error that the failure was about.
    reason: str | None = None
    # How many publishes SNS fails first, and the longest wait before the next.
    notices_failing: int = 0
    input: str = "{}"
    # A limit of the execution that is shorter than the document's.
    limit: int | None = None
    # What the one container of each attempt ended with.
    exit_codes: tuple[int, ...] = field(default=())


_SUCCESS = ("AcceptJob", "ProcessVideo", "NotifySuccess", "Succeeded")
_FAILURE = ("AcceptJob", "ProcessVideo", "NotifyFailure", "Failed")
_GIVEN_UP = "VideoProcessingFailed"
_WAITS = (10.0, 20.0, 40.0)
_LEFT = "TaskStateExited"

AWKWARD = json.dumps(
    {"title": 'It\'s "quoted" \\ $(id) `id` %s', "mood": "🎬 café", "lines": "a\nb\tc\u0000"},
    ensure_ascii=False,
)
LARGE = json.dumps({"frames": "🎞" * 51_500}, ensure_ascii=False)

SCENARIOS = (
    Scenario(
        "success",
        (DONE,),
        "SUCCEEDED",
        events(DONE, then=[_LEFT, *_TOLD, *_SUCCEEDED]),
        states=_SUCCESS,
        completed=({"job": "success"},),
        exit_codes=(0,),
    ),
    Scenario(
        "fails-twice-then-succeeds",
        (FAILS, FAILS, DONE),
        "SUCCEEDED",
        events(FAILS, FAILS, DONE, then=[_LEFT, *_TOLD, *_SUCCEEDED]),
        waits=_WAITS[:2],
        states=_SUCCESS,
        completed=({"job": "fails-twice-then-succeeds"},),
        exit_codes=(73, 73, 0),
    ),
    Scenario(
        "always-fails",
        (FAILS, FAILS, FAILS, FAILS),
        "FAILED",
        events(FAILS, FAILS, FAILS, FAILS, then=[_LEFT, *_TOLD, *_FAILED]),
        waits=_WAITS,
        states=_FAILURE,
        failed=({"job": "always-fails"},),
        error=_GIVEN_UP,
        reason="States.TaskFailed",
        exit_codes=(73, 73, 73, 73),
    ),
    Scenario(
        "task-hangs",
        (HANGS,),
        "FAILED",
        # A job that took too long is not tried again.
        events(HANGS, then=[_LEFT, *_TOLD, *_FAILED]),
        states=_FAILURE,
        failed=({"job": "task-hangs"},),
        error=_GIVEN_UP,
        reason="States.Timeout",
    ),
    Scenario(
        "task-refused",
        (REFUSED, REFUSED, REFUSED, REFUSED),
        "FAILED",
        events(REFUSED, REFUSED, REFUSED, REFUSED, then=[_LEFT, *_TOLD, *_FAILED]),
        waits=_WAITS,
        states=_FAILURE,
        failed=({"job": "task-refused"},),
        error=_GIVEN_UP,
        reason="ECS.ClientException",
    ),
    Scenario(
        "notice-fails-once",
        (DONE,),
        "SUCCEEDED",
        events(DONE, then=[_LEFT, *_NOT_TOLD, *_TOLD[1:], *_SUCCEEDED]),
        states=_SUCCESS,
        completed=({"job": "notice-fails-once"},),
        notices_failing=1,
        exit_codes=(0,),
    ),
    Scenario(
        "nobody-can-be-told",
        (DONE,),
        "FAILED",
        events(
            DONE,
            then=[_LEFT, *_NEVER_TOLD, _LEFT, *_NEVER_TOLD, _LEFT, *_FAILED],
        ),
        states=("AcceptJob", "ProcessVideo", "NotifySuccess", "NotifyFailure", "Failed"),
        error=_GIVEN_UP,
        reason="SNS.InternalErrorException",
        notices_failing=6,
        exit_codes=(0,),
    ),
    Scenario(
        "execution-out-of-time",
        (HANGS,),
        "TIMED_OUT",
        events(STOPPED, then=["ExecutionTimedOut"]),
        states=("AcceptJob", "ProcessVideo"),
        failed=({"job": "execution-out-of-time", "status": "TIMED_OUT"},),
        limit=60,
    ),
    Scenario(
        "execution-aborted",
        (STOPPED,),
        "ABORTED",
        events(STOPPED, then=["ExecutionAborted"]),
        states=("AcceptJob", "ProcessVideo"),
        failed=({"job": "execution-aborted", "status": "ABORTED"},),
        error="Operator",
    ),
    Scenario(
        "awkward-input",
        (DONE,),
        "SUCCEEDED",
        events(DONE, then=[_LEFT, *_TOLD, *_SUCCEEDED]),
        states=_SUCCESS,
        completed=({"job": "awkward-input"},),
        input=AWKWARD,
        exit_codes=(0,),
    ),
    Scenario(
        "large-input",
        (DONE,),
        "SUCCEEDED",
        events(DONE, then=[_LEFT, *_TOLD, *_SUCCEEDED]),
        states=_SUCCESS,
        completed=({"job": "large-input"},),
        input=LARGE,
        exit_codes=(0,),
    ),
)


@dataclass(frozen=True)
class Attempt:
    """One attempt at a task state, in seconds after the execution's start."""

    began: float
    ended: float
    outcome: str


@dataclass(frozen=True)
class Seen:
    """What an interpreter showed of one execution."""

    status: str
    error: str | None
    cause: str | None
    seconds: float
    events: list[str]
    states: tuple[str, ...]
    attempts: tuple[Attempt, ...]
    completed: tuple[Mapping[str, Any], ...]
    failed: tuple[Mapping[str, Any], ...]
