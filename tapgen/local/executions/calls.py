"""What a Task state calls, with the events, results and errors of Step Functions.

Two integrations are done here: ``ecs:runTask``, also with ``.sync``, and ``sns:publish``. The rest
are the emulator's, called on a thread that the state's time limit may leave behind.
"""

from __future__ import annotations

import contextvars
import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tapgen.local import reach
from tapgen.local.executions.running import Running, text
from tapgen.local.faults import Faults, RequestFault
from tapgen.local.resources import plumbing
from tapgen.local.tasks.service import Tasks

TIMEOUT = "States.Timeout"
_INTEGRATION = re.compile(r"arn:[\w-]+:states:::(?P<service>(?:aws-sdk:)?[\w-]+):(?P<action>.+)")
# What Step Functions says to ECS, and so to whoever reads why a task ended.
ABORTED = "Task stopped by AWS Step Functions"


class Failed(Exception):
    """The call failed; ``kind`` is the event that says so."""

    def __init__(self, error: str, cause: str, kind: str = "TaskFailed") -> None:
        self.error, self.cause, self.kind = error, cause, kind
        super().__init__(f"{error}: {cause}")


@dataclass(frozen=True)
class Call:
    """One attempt of a Task state: what it calls, with what, and how long it may take."""

    running: Running
    resource: str
    parameters: Any
    seconds: float | None

    @property
    def named(self) -> dict[str, str]:
        """How events name what is called."""
        match = _INTEGRATION.fullmatch(self.resource)
        if match is None:
            return {"resourceType": "lambda", "resource": self.resource}
        return {"resourceType": match["service"], "resource": match["action"]}

    def tell(self, kind: str, **more: Any) -> None:
        """Add an event about this call."""
        name = f"{kind[0].lower()}{kind[1:]}EventDetails"
        self.running.add(kind, {name: {**self.named, **more}})


class Calls:
    """Makes the calls, of an account's executions, that its faults let through."""

    def __init__(self, faults: Faults, tasks: Tasks) -> None:
        self._faults, self._tasks = faults, tasks

    def make(self, call: Call) -> Any:
        """The result. Raises ``Failed``; ``Over`` and ``OutOfTime`` go past it."""
        region = reach.module("core.responses").get_region()
        limit = {} if call.seconds is None else {"timeoutInSeconds": call.seconds}
        parameters = text(call.parameters)
        call.tell("TaskScheduled", region=region, parameters=parameters, **limit)
        call.tell("TaskStarted")
        result = self._handler(call)(call)
        call.tell("TaskSucceeded", output=text(result))
        return result

    def _handler(self, call: Call) -> Callable[[Call], Any]:
        named = call.named
        if (named["resourceType"], named["resource"]) == ("sns", "publish"):
            return self._publish
        if named["resourceType"] == "ecs" and named["resource"] in ("runTask", "runTask.sync"):
            return self._run_task
        return self._other

    def _publish(self, call: Call) -> Any:
        self._meet_fault(call, "sns", "Publish", "TaskFailed")
        given = call.parameters
        if not isinstance(given.get("Message"), str):
            given = {**given, "Message": text(given.get("Message"))}
        status, _, body = reach.service("sns")._publish(given)
        answer = body.decode() if isinstance(body, bytes) else str(body)
        if status >= 400:
            code, message = _in_xml(answer, "Code"), _in_xml(answer, "Message")
            raise Failed(_sdk_error("SNS", code), message)
        return {"MessageId": _in_xml(answer, "MessageId")}

    def _run_task(self, call: Call) -> Any:
        waits = call.resource.endswith(".sync")
        refused = "TaskSubmitFailed" if waits else "TaskFailed"
        self._meet_fault(call, "ecs", "RunTask", refused)
        wanted = plumbing.shaped("ecs", "RunTaskRequest", call.parameters)
        status, _, body = reach.service("ecs")._run_task(
            {**wanted, "startedBy": "AWS Step Functions"}
        )
        answer = json.loads(body)
        if status >= 400:
            code = str(answer.get("__type", "")).rpartition("#")[2]
            raise Failed(_sdk_error("ECS", code), answer.get("message", ""), refused)
        if not waits:
            return pascal(answer)
        arns = [task["taskArn"] for task in answer["tasks"]]
        try:
            if answer["failures"] or not arns:
                raise Failed("AmazonECS.Unknown", text(pascal(answer["failures"])), refused)
            call.tell("TaskSubmitted", output=text(pascal(answer)))
            return self._wait_for(call, arns[0])
        finally:
            for arn in arns:
                self._tasks.stop(arn, ABORTED)

    def _wait_for(self, call: Call, arn: str) -> Any:
        ecs = reach.service("ecs")
        record = ecs._tasks[arn]
        self._tasks.when_stopped(arn, call.running.clock.wake)
        if not call.running.wait(call.seconds, lambda: record["lastStatus"] == "STOPPED"):
            raise Failed(TIMEOUT, "", "TaskTimedOut")
        found = pascal(ecs._sanitize(record))
        if any(container.get("ExitCode") != 0 for container in found["Containers"]):
            raise Failed("States.TaskFailed", text(found))
        return found

    def _other(self, call: Call) -> Any:
        sfn = reach.service("stepfunctions")
        outcome: dict[str, Any] = {}

        def work() -> None:
            try:
                outcome["result"] = sfn._invoke_resource(call.resource, call.parameters)
            except sfn._ExecutionError as error:
                outcome["failed"] = Failed(error.error, error.cause)
            except Exception as error:
                outcome["failed"] = Failed("States.Runtime", str(error))
            call.running.clock.wake()

        # The copy keeps the account and the region of this execution.
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(work,), daemon=True).start()
        if not call.running.wait(call.seconds, lambda: bool(outcome)):
            raise Failed(TIMEOUT, "", "TaskTimedOut")
        if "failed" in outcome:
            raise outcome["failed"]
        return outcome["result"]

    def _meet_fault(self, call: Call, service: str, action: str, kind: str) -> None:
        """Calls from inside do not come through the gate, where faults strike."""
        account = reach.module("core.responses").get_account_id()
        fault = self._faults.for_request(account, service, action)
        if fault is None:
            return
        if fault.delay:
            self._delay(call, fault)
        if fault.status:
            raise Failed(_sdk_error(service.upper(), fault.code), fault.message, kind)

    def _delay(self, call: Call, fault: RequestFault) -> None:
        seconds = fault.delay if call.seconds is None else min(fault.delay, call.seconds)
        call.running.wait(seconds, lambda: False)
        if call.seconds is not None and fault.delay >= call.seconds:
            raise Failed(TIMEOUT, "", "TaskTimedOut")


def pascal(value: Any) -> Any:
    """An answer of ECS with the names that Step Functions gives its members."""
    if isinstance(value, Mapping):
        return {name[:1].upper() + name[1:]: pascal(item) for name, item in value.items()}
    if isinstance(value, list):
        return [pascal(item) for item in value]
    return value


def _sdk_error(service: str, code: str) -> str:
    """The error's name: Step Functions takes it from the SDK's class."""
    return f"{service}.{code.removesuffix('Exception')}Exception"


def _in_xml(answer: str, tag: str) -> str:
    match = re.search(f"<{tag}>([^<]*)</{tag}>", answer)
    return match[1] if match else ""
