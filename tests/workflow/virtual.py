"""The scenarios on the interpreter of ``tests/interpreter``."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

from interpreter.account import Account, TaskRun
from interpreter.machine import NEVER, Execution, Interpreter, seeded
from scenarios import DONE, FAILS, HANGS, REFUSED, STOPPED, Attempt, Scenario, Seen

from tapgen import app

ACCOUNT = "arn:aws:{}:ap-northeast-1:123456789012:{}"
MACHINE = ACCOUNT.format("states", "stateMachine:video-processing-workflow-dev")
COMPLETED = ACCOUNT.format("sns", "video-processing-completion-dev")
FAILED = ACCOUNT.format("sns", "video-processing-error-dev")

# What CloudFormation puts into the definition and the rule.
VALUES = {
    "AWS::Partition": "aws",
    "ClusterArn": ACCOUNT.format("ecs", "cluster/video-processing-cluster-dev"),
    "CompletionTopicArn": COMPLETED,
    "EnvironmentSuffix": "dev",
    "ErrorTopicArn": FAILED,
    "SubnetAId": "subnet-0a",
    "SubnetBId": "subnet-0b",
    "TaskSecurityGroupId": "sg-0e",
    "VideoTask": ACCOUNT.format("ecs", "task-definition/video-processing-task-dev:1"),
}

TASKS = {
    DONE: TaskRun(seconds=20),
    FAILS: TaskRun(exit_code=73, seconds=20),
    HANGS: TaskRun(seconds=NEVER),
    STOPPED: TaskRun(seconds=NEVER),
    REFUSED: TaskRun(refused="ECS.ClientException"),
}
# When StopExecution comes, where it does.
STOP_SECONDS = 33.0


@cache
def resources() -> dict[str, Any]:
    """The workflow stack's resources."""
    found: dict[str, Any] = app.documents()["workflow"]["Resources"]
    return found


def definition(limit: int | None = None) -> dict[str, Any]:
    """The workflow's definition as it is deployed."""
    text, _ = resources()["Workflow"]["Properties"]["DefinitionString"]["Fn::Sub"]
    filled = json.loads(re.sub(r"\$\{([^}]+)\}", lambda match: VALUES[match[1]], text))
    return {**filled, **({} if limit is None else {"TimeoutSeconds": limit})}


def rule() -> dict[str, Any]:
    """The rule that hears of executions which cannot report themselves."""
    found = resources()["UncaughtEnd"]["Properties"]
    (target,) = found["Targets"]
    detail = {**found["EventPattern"]["detail"], "stateMachineArn": [MACHINE]}
    return {"EventPattern": {"detail": detail}, "Targets": [{**target, "Arn": FAILED}]}


def account(*tasks: TaskRun, publishes: tuple[str, ...] = ()) -> Account:
    """An account in which the attempts of the task go like this."""
    return Account(list(tasks), list(publishes), rules=[rule()])


def run(scenario: Scenario, seed: int = 1) -> Seen:
    """Run a scenario."""
    failing = ("SNS.InternalErrorException",) * scenario.notices_failing
    world = account(*(TASKS[attempt] for attempt in scenario.attempts), publishes=failing)
    interpreter = Interpreter(MACHINE, definition(scenario.limit), world, chance=seeded(seed))
    aborted_at = STOP_SECONDS if STOPPED in scenario.attempts else NEVER
    return seen(interpreter.run(scenario.name, scenario.input, aborted_at=aborted_at), world)


def seen(execution: Execution, world: Account) -> Seen:
    """What an execution showed."""
    entered = [event for event in execution.events if event.type.endswith("StateEntered")]
    return Seen(
        execution.status,
        # StopExecution's caller names an error; the interpreter only has it stop.
        "Operator" if execution.status == "ABORTED" else execution.error or None,
        execution.cause or None,
        execution.seconds,
        [event.type for event in execution.events],
        tuple(event.details["name"] for event in entered),
        attempts(execution),
        tuple(world.messages.get(COMPLETED, ())),
        tuple(world.messages.get(FAILED, ())),
    )


def attempts(execution: Execution) -> tuple[Attempt, ...]:
    """The attempts at the task, and not at the notices."""
    found, began, state = [], 0.0, ""
    ends = ("TaskSucceeded", "TaskFailed", "TaskSubmitFailed", "TaskTimedOut")
    for event in execution.events:
        state = event.details.get("name", state)
        if event.type == "TaskScheduled":
            began = event.at
        elif event.type in ends and state == "ProcessVideo":
            found.append(Attempt(began, event.at, event.type))
    return tuple(found)
