"""A hand for tests that run executions of small state machines."""

from __future__ import annotations

import itertools
import json
import time
from typing import Any

from local_aws import client

from tapgen.local.lease import Embedded

_numbers = itertools.count()

PASS: dict[str, Any] = {"StartAt": "Only", "States": {"Only": {"Type": "Pass", "End": True}}}


def machine(aws: Embedded, definition: dict[str, Any] = PASS, **more: Any) -> str:
    """A state machine with this definition; its ARN."""
    made = client(aws, "stepfunctions").create_state_machine(
        name=f"machine-{next(_numbers)}",
        definition=json.dumps(definition),
        roleArn=f"arn:aws:iam::{aws.account}:role/any",
        **more,
    )
    arn: str = made["stateMachineArn"]
    return arn


def started(aws: Embedded, machine_arn: str, given: str = "{}", name: str = "") -> str:
    """Start an execution; its ARN."""
    named = {"name": name} if name else {}
    answer = client(aws, "stepfunctions").start_execution(
        stateMachineArn=machine_arn, input=given, **named
    )
    arn: str = answer["executionArn"]
    return arn


def execution(aws: Embedded, machine_arn: str, given: str = "{}") -> str:
    """Run an execution to its end; its ARN."""
    arn = started(aws, machine_arn, given)
    ended(aws, arn)
    return arn


def ended(aws: Embedded, arn: str, seconds: float = 20.0) -> dict[str, Any]:
    """Wait for an execution's end; its description."""
    deadline = time.monotonic() + seconds
    while True:
        found: dict[str, Any] = client(aws, "stepfunctions").describe_execution(executionArn=arn)
        if found["status"] != "RUNNING":
            return found
        assert time.monotonic() < deadline, "it does not end"
        time.sleep(0.01)


def history(aws: Embedded, arn: str) -> list[dict[str, Any]]:
    """The events of an execution."""
    found: list[dict[str, Any]] = client(aws, "stepfunctions").get_execution_history(
        executionArn=arn
    )["events"]
    return found
