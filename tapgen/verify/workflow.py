"""Step Functions state machine: its limits and logs, its definition, the task that it runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tapgen.verify.environment import Environment
from tapgen.verify.questions import Asker, at, document
from tapgen.verify.result import Check, Fact, Facts

GROUP = "Step Functions"
TIER = "workflow"
_IMAGE = "public.ecr.aws/aws-cli/aws-cli"


def state_machine(env: Environment, ask: Asker) -> Facts:
    """Up, with half an hour an execution, traced, and logged in full."""
    made = env.get(TIER, "Workflow")
    found = machine(env, ask)
    yield Fact("name", found.get("name"), f"video-processing-workflow-{env.env}")
    yield Fact("status", found.get("status"), "ACTIVE")
    yield Fact("type", found.get("type"), made.wanted["StateMachineType"])
    seconds = definition(found).get("TimeoutSeconds")
    yield Fact("TimeoutSeconds", seconds, 1800, says="30-minute execution timeout")
    tracing = at(found, "tracingConfiguration.enabled")
    yield Fact("tracing", tracing, True, says="AWS X-Ray tracing enabled")
    logging = found.get("loggingConfiguration") or {}
    says = "CloudWatch logging with full execution data"
    yield Fact("logging level", logging.get("level"), "ALL", says=says)
    yield Fact("includeExecutionData", logging.get("includeExecutionData"), True, says=says)
    group = at(logging, "destinations.0.cloudWatchLogsLogGroup.logGroupArn")
    (wanted,) = made.wanted["LoggingConfiguration"]["Destinations"]
    yield Fact("log group", group, wanted["CloudWatchLogsLogGroup"]["LogGroupArn"])


def steps(env: Environment, ask: Asker) -> Facts:
    """The definition is the described one: a task run to its end, retried, caught, and told of."""
    told = definition(machine(env, ask))
    wanted = json.loads(env.wanted(TIER, "Workflow")["DefinitionString"])
    states = told.get("States") or {}
    runs = [s for s in states.values() if str(s.get("Resource")).endswith("ecs:runTask.sync")]
    yield Fact(
        "states that run a task to its end", len(runs), 1, says="RUN_JOB integration pattern"
    )
    for state in runs:
        retry = max(state.get("Retry") or [{}], key=lambda block: block.get("MaxAttempts", 3))
        yield Fact("retries", retry.get("MaxAttempts", 3), 3, says="Retry logic (3 attempts")
        growing = float(retry.get("BackoffRate", 2.0)) > 1
        yield Fact("backoff grows", growing, True, says="with exponential backoff)")
        caught = [
            error for block in state.get("Catch") or () for error in block.get("ErrorEquals", ())
        ]
        yield Fact("caught", caught, ["States.ALL"], says="Error handling with catch states")
    for name in sorted({*states, *(wanted.get("States") or {})}):
        yield Fact(f"state {name}", states.get(name), wanted["States"].get(name))
    yield Fact("StartAt", told.get("StartAt"), wanted["StartAt"])


def task(env: Environment, ask: Asker) -> Facts:
    """The Fargate task: one vCPU, 2 GB, the aws-cli image, its files and its log."""
    made = env.get(TIER, "VideoTask")
    found = task_definition(env, ask)
    yield Fact("status", found.get("status"), "ACTIVE")
    yield Fact("cpu", found.get("cpu"), 1024, says="1024 CPU units (1 vCPU)")
    yield Fact("memory", found.get("memory"), 2048, says="2048 MB memory")
    needs = found.get("requiresCompatibilities")
    yield Fact("requiresCompatibilities", needs, ["FARGATE"], says="ECS Fargate task definition")
    yield Fact("networkMode", found.get("networkMode"), made.wanted["NetworkMode"])
    (wanted,) = made.wanted["ContainerDefinitions"]
    container: Mapping[str, Any] = at(found, "containerDefinitions.0") or {}
    image = str(container.get("image"))
    yield Fact("image", image.partition(":")[0], _IMAGE, says="Uses aws-cli container image")
    yield Fact("image tag", image.rpartition(":")[2], wanted["Image"].rpartition(":")[2])
    yield Fact("command", container.get("command"), wanted["Command"])
    told = {item.get("name"): item.get("value") for item in container.get("environment") or ()}
    yield Fact("environment", told, {i["Name"]: i["Value"] for i in wanted["Environment"]})
    options = at(container, "logConfiguration.options")
    yield Fact("log options", options, wanted["LogConfiguration"]["Options"])
    yield Fact("volume", _volume(found), _wanted_volume(made.wanted))


def uncaught(env: Environment, ask: Asker) -> Facts:
    """Executions that time out or are aborted are told of by a rule: no state can do it."""
    made = env.get(TIER, "UncaughtEnd")
    found = ask.call("events", "describe_rule", Name=made.id)
    yield Fact("State", found.get("State"), "ENABLED")
    yield Fact("EventPattern", document(found.get("EventPattern")), made.wanted["EventPattern"])
    targets = ask.pages("events", "list_targets_by_rule", "Targets", Rule=made.id)
    arns = [item.get("Arn") for item in targets]
    yield Fact("targets", arns, [item["Arn"] for item in made.wanted["Targets"]])
    # With a role of its own, delivery to an encrypted topic may fail.
    yield Fact("target's role", [item["RoleArn"] for item in targets if "RoleArn" in item], [])


def machine(env: Environment, ask: Asker) -> dict[str, Any]:
    """The state machine. Raises ``Absent``."""
    arn = env.id(TIER, "Workflow")
    return ask.call("stepfunctions", "describe_state_machine", stateMachineArn=arn)


def definition(found: Mapping[str, Any]) -> dict[str, Any]:
    """The state machine's definition; empty where it cannot be read."""
    read = document(found.get("definition"))
    return read if isinstance(read, dict) else {}


def task_definition(env: Environment, ask: Asker) -> dict[str, Any]:
    """The task definition. Raises ``Absent``."""
    arn = env.id(TIER, "VideoTask")
    found: dict[str, Any] = ask.call(
        "ecs", "describe_task_definition", taskDefinition=arn, include=["TAGS"]
    )
    return found.get("taskDefinition") or {}


def _volume(found: Mapping[str, Any]) -> dict[str, Any]:
    told = at(found, "volumes.0.efsVolumeConfiguration") or {}
    return {
        "file system": told.get("fileSystemId"),
        "access point": at(told, "authorizationConfig.accessPointId"),
        "IAM": at(told, "authorizationConfig.iam"),
    }


def _wanted_volume(wanted: Mapping[str, Any]) -> dict[str, Any]:
    (volume,) = wanted["Volumes"]
    told = volume["EFSVolumeConfiguration"]
    return {
        "file system": told["FilesystemId"],
        "access point": told["AuthorizationConfig"]["AccessPointId"],
        "IAM": told["AuthorizationConfig"]["IAM"],
    }


CHECKS = (
    Check(GROUP, "state-machine", "30 minutes an execution, traced, logged in full", state_machine),
    Check(GROUP, "steps", "runs the task, retries 3 times, tells how it ended", steps),
    Check(GROUP, "task", "the task is 1 vCPU, 2 GB, the aws-cli image", task),
    Check(GROUP, "uncaught", "timeouts and aborts reach the error topic", uncaught),
)
