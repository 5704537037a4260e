"""Runs executions in the place of the emulator's loop, and ends them on request."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from tapgen.local import reach
from tapgen.local.executions import attempts, starting
from tapgen.local.executions.calls import Calls
from tapgen.local.executions.running import OutOfTime, Over, Running, text
from tapgen.local.faults import Faults
from tapgen.local.pace import Clock, Paces
from tapgen.local.tasks.service import Tasks

# Step Functions developer guide, "Quotas related to state machine executions".
DATA_BYTES = 262_144
EVENTS = 25_000

# The execution that this thread works for, or a thread of one of its branches.
_CURRENT: ContextVar[Running | None] = ContextVar("execution", default=None)

_log = logging.getLogger("tapgen.local")

Record = dict[str, Any]


class Engine:
    """Every execution under way. ``ended`` is called after each, on its thread."""

    def __init__(
        self, faults: Faults, tasks: Tasks, paces: Paces, *, ended: Callable[[], None]
    ) -> None:
        self._calls = Calls(faults, tasks)
        self._paces, self._ended = paces, ended
        self._lock = threading.Lock()
        self._running: dict[str, Running] = {}

    def install(self) -> None:
        """Take over what starts, runs and stops an execution."""
        sfn = reach.service("stepfunctions")
        self._start_original, self._stop_original = sfn._start_execution, sfn._stop_execution
        self._task_original, self._add_original = sfn._execute_task, sfn._add_event
        self._sleep_original = sfn._scaled_sleep
        self._intrinsic_original = sfn._exec_intrinsic
        sfn._run_execution = self._run
        sfn._start_execution = self._start
        sfn._stop_execution = self._stop
        sfn._execute_task = self._task
        sfn._add_event = self._add
        sfn._scaled_sleep = self._sleep
        sfn._exec_intrinsic = self._intrinsic

    def close(self) -> None:
        """Leave every execution where it is: it is found so by the next start."""
        with self._lock:
            for running in self._running.values():
                running.close()

    def _start(self, data: Record) -> Any:
        """StartExecution."""
        answer = starting.judged(data)
        return self._start_original(data) if answer is None else answer

    def _stop(self, data: Record) -> Any:
        """StopExecution."""
        with self._lock:
            running = self._running.get(data.get("executionArn", ""))
            if running is None:
                # It has ended, or has not begun: the emulator's answer is right for both.
                return self._stop_original(data)
        why = {name: data[name] for name in ("error", "cause") if data.get(name)}
        running.end("ABORTED", "ExecutionAborted", {"executionAbortedEventDetails": why}, **why)
        responses = reach.module("core.responses")
        return responses.json_response({"stopDate": running.record["stopDate"]})

    def _run(self, execution_arn: str) -> None:
        """One execution from its first state to its end, on a thread of its own."""
        sfn = reach.service("stepfunctions")
        record = sfn._executions.get(execution_arn)
        if record is None:
            return
        machine = sfn._state_machines.get(record["stateMachineArn"]) or {}
        pace = self._paces.of(reach.module("core.responses").get_account_id())
        with self._lock:
            if record["status"] != "RUNNING":
                return
            running = self._running[execution_arn] = Running(record, machine, Clock(pace))
        _CURRENT.set(running)
        try:
            self._walk_to_the_end(running, machine)
        finally:
            with self._lock:
                self._running.pop(execution_arn, None)
            self._ended()

    def _walk_to_the_end(self, running: Running, machine: Record) -> None:
        sfn = reach.service("stepfunctions")
        try:
            definition = json.loads(machine.get("definition", "{}"))
            running.limit(definition.get("TimeoutSeconds"))
            output = self._walk(running, definition, machine)
            details = {"executionSucceededEventDetails": {"output": output}}
            running.end("SUCCEEDED", "ExecutionSucceeded", details, output=output)
        except Over:
            pass
        except OutOfTime:
            details = {"executionTimedOutEventDetails": {"error": "States.Timeout"}}
            running.end("TIMED_OUT", "ExecutionTimedOut", details)
        except sfn._ExecutionError as error:
            self._fail(running, error.error, error.cause)
        except Exception as error:
            _log.exception("an execution failed unexpectedly: %s", running.record["executionArn"])
            self._fail(running, "States.Runtime", str(error))

    def _fail(self, running: Running, error: str, cause: str) -> None:
        why = {"error": error, "cause": cause}
        details = {"executionFailedEventDetails": why}
        running.end("FAILED", "ExecutionFailed", details, **why)

    def _walk(self, running: Running, definition: Record, machine: Record) -> str:
        """From state to state; the output of the last one. Raises what ends it otherwise."""
        sfn = reach.service("stepfunctions")
        context = _context(running.record, machine, definition)
        name: str | None = definition.get("StartAt")
        data = context["Execution"]["Input"]
        given: str = running.record["input"]
        while name is not None:
            state = definition.get("States", {}).get(name)
            if state is None:
                raise sfn._ExecutionError("States.Runtime", f"State '{name}' not found")
            kind = state.get("Type")
            context["State"] = {"Name": name, "EnteredTime": sfn.now_iso(), "RetryCount": 0}
            entered = {"stateEnteredEventDetails": {"name": name, "input": given}}
            running.add(f"{kind}StateEntered", entered)
            data, following = self._state(state, data, running, context)
            given = _checked(text(data), name, len(running.record["events"]))
            exited = {"stateExitedEventDetails": {"name": name, "output": given}}
            running.add(f"{kind}StateExited", exited)
            name = following
        return given

    def _state(
        self, state: Record, data: Any, running: Running, context: Record
    ) -> tuple[Any, str | None]:
        sfn = reach.service("stepfunctions")
        kind = state.get("Type")
        if kind == "Succeed":
            effective = sfn._apply_input_path(state, data, context)
            return sfn._apply_output_path(state, effective, context), None
        if kind == "Fail":
            raise sfn._ExecutionError(*sfn._fail_state_error(state, data, context))
        if kind in ("Task", "Parallel", "Map"):
            handler = getattr(sfn, f"_execute_{kind.lower()}")
            result: tuple[Any, str | None] = handler(state, data, running.record, context)
        elif kind in ("Pass", "Choice", "Wait"):
            result = getattr(sfn, f"_execute_{kind.lower()}")(state, data, context)
        else:
            raise sfn._ExecutionError("States.Runtime", f"Unknown state type: {kind}")
        return result

    def _task(self, state: Record, given: Any, record: Record, context: Record) -> Any:
        """A Task state; those that others complete, and JSONata's, stay the emulator's."""
        sfn = reach.service("stepfunctions")
        running, resource = _CURRENT.get(), state.get("Resource", "")
        language = sfn._state_query_language(state, context)
        called_back = ".waitForTaskToken" in resource or ":activity:" in resource
        if running is None or language == "JSONata" or called_back:
            return self._task_original(state, given, record, context)
        return attempts.run(state, given, running, context, self._calls)

    def _add(self, record: Record, kind: str, details: Record | None = None) -> Any:
        """The emulator's own additions to a history go the same way."""
        running = _CURRENT.get()
        if running is None or running.record is not record:
            return self._add_original(record, kind, details)
        running.add(kind, details)
        return record["events"][-1]

    def _sleep(self, seconds: float) -> None:
        running = _CURRENT.get()
        if running is None:
            self._sleep_original(seconds)
        else:
            running.wait(seconds, lambda: False)

    def _intrinsic(self, node: Any, data: Any, context: Any) -> Any:
        """``States.JsonToString`` leaves characters as they are."""
        sfn = reach.service("stepfunctions")
        if node[1] == "States.JsonToString":
            (argument,) = node[2]
            return text(sfn._eval_intrinsic_arg(argument, data, context))
        return self._intrinsic_original(node, data, context)


def _context(record: Record, machine: Record, definition: Record) -> Record:
    """The context object, ``$$``."""
    return {
        "QueryLanguage": definition.get("QueryLanguage", "JSONPath"),
        "Execution": {
            "Id": record["executionArn"],
            "Input": json.loads(record["input"]),
            "Name": record["name"],
            "RoleArn": machine.get("roleArn", ""),
            "StartTime": record["startDate"],
            "RedriveCount": 0,
        },
        "StateMachine": {"Id": record["stateMachineArn"], "Name": machine.get("name", "")},
        "variables": {},
    }


def _checked(output: str, state: str, events: int) -> str:
    """What a state leaves, unless it is more than an execution carries."""
    sfn = reach.service("stepfunctions")
    if len(output.encode()) > DATA_BYTES:
        raise sfn._ExecutionError(
            "States.DataLimitExceeded",
            f"The state/task '{state}' returned a result with a size exceeding the maximum number "
            "of bytes service limit.",
        )
    if events >= EVENTS - 1:
        raise sfn._ExecutionError(
            "States.Runtime",
            f"The execution reached the maximum number of history events ({EVENTS}).",
        )
    return output
