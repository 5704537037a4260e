"""What StartExecution refuses, and takes for a repetition, where the emulator does neither."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from tapgen.local import reach

# Step Functions developer guide, "Quotas related to state machine executions".
INPUT_BYTES = 262_144
# API reference, StartExecution: no white space, brackets, wildcards or special characters.
_NAME = re.compile(r"[^\s<>{}\[\]?*\"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f]{1,80}")

Answer = tuple[int, Any, Any]


def judged(data: Mapping[str, Any]) -> Answer | None:
    """The answer to a call that starts nothing; ``None`` for one that does."""
    given, name = data.get("input", "{}"), data.get("name")
    if len(given.encode()) > INPUT_BYTES:
        return _error(
            "ValidationException",
            "1 validation error detected: Value at 'input' failed to satisfy constraint: Member "
            f"must have length less than or equal to {INPUT_BYTES}",
        )
    try:
        json.loads(given)
    except ValueError as error:
        message = f"Invalid State Machine Execution Input: '{error}'"
        return _error("InvalidExecutionInput", message)
    if name is not None and not _NAME.fullmatch(name):
        return _error("InvalidName", f"Invalid Name: '{name}'")
    return _repeated(data, given)


def _repeated(data: Mapping[str, Any], given: str) -> Answer | None:
    """The same execution asked for again while it runs is the one that runs."""
    sfn, responses = reach.service("stepfunctions"), reach.module("core.responses")
    machine = sfn._resolve_state_machine_arn(data.get("stateMachineArn", ""))
    if machine is None or data.get("name") is None:
        return None
    arn = f"{machine.replace(':stateMachine:', ':execution:')}:{data['name']}"
    found = sfn._executions.get(arn)
    if found is None or found["status"] != "RUNNING" or found["input"] != given:
        return None
    told = {"executionArn": arn, "startDate": found["startDate"]}
    answer: Answer = responses.json_response(told)
    return answer


def _error(code: str, message: str) -> Answer:
    answer: Answer = reach.module("core.responses").error_response_json(code, message, 400)
    return answer
