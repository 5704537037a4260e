"""One execution from its start to its end, on a clock that moves only when something waits."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from interpreter.account import Account
from interpreter.data import Unknown, at, built, evaluated, placed, text

NEVER = float("inf")
State = Mapping[str, Any]
Chance = Callable[[float, float], float]

# Fields of a state that are understood; another one is refused rather than passed over.
_KNOWN = {
    "Pass": {"Type", "Parameters", "Next"},
    "Succeed": {"Type"},
    "Fail": {"Type", "Error", "CausePath"},
    "Task": {
        "Type",
        "Comment",
        "Resource",
        "TimeoutSeconds",
        "Parameters",
        "ResultSelector",
        "ResultPath",
        "Retry",
        "Catch",
        "Next",
    },
}


class Failed(Exception):
    """An error of the language: its name and its cause."""

    def __init__(self, error: str, cause: str) -> None:
        self.error, self.cause = error, cause
        super().__init__(error)


class Stopped(Exception):
    """The execution is over in the middle of a state: ``status`` says how."""

    def __init__(self, status: str) -> None:
        self.status = status
        super().__init__(status)


@dataclass(frozen=True)
class Event:
    """One event of the history; ``at`` is seconds after the start."""

    type: str
    at: float
    details: Mapping[str, Any]


@dataclass
class Execution:
    """How an execution went."""

    arn: str
    name: str
    status: str = "RUNNING"
    error: str = ""
    cause: str = ""
    output: Any = None
    seconds: float = 0.0
    events: list[Event] = field(default_factory=list)


class Interpreter:
    """Runs one state machine. ``chance`` is the random number of the jitter."""

    def __init__(
        self, arn: str, definition: Mapping[str, Any], account: Account, *, chance: Chance
    ) -> None:
        self._arn, self._definition, self._account = arn, definition, account
        self._chance = chance

    def run(self, name: str, given: str, *, aborted_at: float = NEVER) -> Execution:
        """Run an execution to its end; StopExecution is called ``aborted_at`` seconds after it."""
        arn = f"{self._arn.replace(':stateMachine:', ':execution:')}:{name}"
        self._execution = Execution(arn, name)
        limit = self._definition.get("TimeoutSeconds", NEVER)
        self._ends = min((limit, "TIMED_OUT"), (aborted_at, "ABORTED"))
        self._context: dict[str, Any] = {
            "Execution": {"Id": arn, "Name": name},
            "State": {"RetryCount": 0},
        }
        self._tell("ExecutionStarted", input=given)
        try:
            self._execution.output = self._walk(json.loads(given))
            self._end("SUCCEEDED", "ExecutionSucceeded")
        except Failed as failed:
            self._execution.error, self._execution.cause = failed.error, failed.cause
            self._end("FAILED", "ExecutionFailed")
        except Stopped as stopped:
            kinds = {"TIMED_OUT": "ExecutionTimedOut", "ABORTED": "ExecutionAborted"}
            self._end(stopped.status, kinds[stopped.status])
        return self._execution

    def _walk(self, data: Any) -> Any:
        name: str | None = self._definition["StartAt"]
        while name is not None:
            state = self._definition["States"][name]
            kind = state["Type"]
            if not set(state) <= _KNOWN[kind]:
                raise Unknown(f"{name}: {sorted(set(state) - _KNOWN[kind])}")
            self._tell(f"{kind}StateEntered", name=name)
            if kind == "Fail":
                raise Failed(state["Error"], evaluated(state["CausePath"], data, self._context))
            if kind == "Task":
                data, name_after = self._task(state, data)
            else:
                data = built(state["Parameters"], data, self._context) if kind == "Pass" else data
                name_after = state.get("Next")
            self._tell(f"{kind}StateExited", name=name)
            name = name_after
        return data

    def _task(self, state: State, data: Any) -> tuple[Any, str]:
        retriers = [
            {"left": retrier.get("MaxAttempts", 3), **retrier} for retrier in state["Retry"]
        ]
        self._context["State"]["RetryCount"] = 0
        while True:
            try:
                result = built(state.get("ResultSelector"), self._attempt(state, data), None)
            except Failed as failed:
                retrier = next((one for one in retriers if _meant(one, failed.error)), None)
                if retrier is not None and retrier["left"] > 0:
                    self._pass(self._delay(retrier))
                    retrier["left"] -= 1
                    self._context["State"]["RetryCount"] += 1
                    continue
                told = {"Error": failed.error, "Cause": failed.cause}
                for catcher in state["Catch"]:
                    if _meant(catcher, failed.error):
                        return placed(catcher["ResultPath"], data, told), catcher["Next"]
                raise
            return placed(state.get("ResultPath", "$"), data, result), state["Next"]

    def _attempt(self, state: State, data: Any) -> Any:
        parameters = built(state["Parameters"], data, self._context)
        waits = state["Resource"].endswith(".sync")
        self._tell("TaskScheduled", parameters=parameters)
        self._tell("TaskStarted")
        outcome = self._account.call(state["Resource"], parameters)
        if waits and not outcome.event:
            self._tell("TaskSubmitted")
        allowed = state.get("TimeoutSeconds", NEVER)
        self._pass(min(outcome.seconds, allowed))
        if outcome.seconds >= allowed:
            self._tell("TaskTimedOut", error="States.Timeout")
            raise Failed("States.Timeout", "")
        if outcome.error:
            kind = outcome.event or "TaskFailed"
            self._tell(kind, error=outcome.error, cause=outcome.cause)
            raise Failed(outcome.error, outcome.cause)
        self._tell("TaskSucceeded", output=text(outcome.result))
        return outcome.result

    def _delay(self, retrier: State) -> float:
        tried = retrier.get("MaxAttempts", 3) - retrier["left"]
        seconds = retrier.get("IntervalSeconds", 1) * retrier.get("BackoffRate", 2.0) ** tried
        longest: float = min(seconds, retrier.get("MaxDelaySeconds", seconds))
        return self._chance(0, longest) if retrier.get("JitterStrategy") == "FULL" else longest

    def _pass(self, seconds: float) -> None:
        """Let time pass, but not beyond the execution's end."""
        end, status = self._ends
        if self._execution.seconds + seconds >= end:
            self._execution.seconds = end
            raise Stopped(status)
        self._execution.seconds += seconds

    def _tell(self, kind: str, **details: Any) -> None:
        self._execution.events.append(Event(kind, self._execution.seconds, details))

    def _end(self, status: str, kind: str) -> None:
        execution = self._execution
        execution.status = status
        self._tell(kind, error=execution.error, cause=execution.cause)
        self._account.hear(
            {
                "stateMachineArn": self._arn,
                "executionArn": execution.arn,
                "name": execution.name,
                "status": status,
            }
        )


def seeded(seed: int) -> Chance:
    """A jitter that is the same in every run."""
    return random.Random(seed).uniform


def _meant(one: State, error: str) -> bool:
    """Whether a retrier or a catcher is about this error."""
    names = one["ErrorEquals"]
    broad = "States.ALL" in names or ("States.TaskFailed" in names and error != "States.Timeout")
    return broad or error in names


__all__ = ["NEVER", "Event", "Execution", "Failed", "Interpreter", "at", "seeded"]
