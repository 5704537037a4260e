"""The scenarios on the embedded AWS: the real stacks, real processes, time made short.

What a task meets is put into its folder on the shared file system: a file where the script wants a
folder makes it fail, a pipe that nobody reads makes it hang.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from local_aws import client, fresh_account, outcome, set_faults, set_pace
from scenarios import DONE, FAILS, HANGS, REFUSED, STOPPED, Attempt, Scenario, Seen

from tapgen import app, graph
from tapgen.local.lease import Embedded

TIERS = ("network", "notification", "storage", "compute", "workflow")
SUFFIX = "dev"
CLUSTER = f"video-processing-cluster-{SUFFIX}"
TASK_LOG = f"/video-processing/task-{SUFFIX}"
EXECUTION_LOG = f"/aws/vendedlogs/states/video-processing-workflow-{SUFFIX}"

# A fiftieth: the task's 400 s are 8, which is what the slowest scenario takes. A job that is done
# at once must not come near that on a machine that is busy with other things.
PACE = 0.02
# Longer than any of them takes on a machine that is busy with other things.
PATIENCE = 30.0


@dataclass(frozen=True)
class Environment:
    """The workflow's stacks in an account of their own, and a queue on each topic."""

    aws: Embedded
    home: Path
    outputs: Mapping[str, str]
    queues: Mapping[str, str]

    def client(self, service: str) -> Any:
        return client(self.aws, service)

    @property
    def files(self) -> Path:
        """The tasks' folder on this machine."""
        (file_system,) = self.client("efs").describe_file_systems()["FileSystems"]
        (point,) = self.client("efs").describe_access_points()["AccessPoints"]
        inside: str = point["RootDirectory"]["Path"].strip("/")
        whole = self.home / "volumes" / self.aws.account / str(file_system["FileSystemId"])
        return whole / inside

    def start(self, name: str, given: str = "{}") -> str:
        """Start an execution; its ARN."""
        started = self.client("stepfunctions").start_execution(
            stateMachineArn=self.outputs["StateMachineArn"], name=name, input=given
        )
        arn: str = started["executionArn"]
        return arn

    def described(self, arn: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client("stepfunctions").describe_execution(executionArn=arn)
        return found

    def ended(self, arn: str) -> str:
        """Wait for the execution's end; its status."""
        wait_for(lambda: self.described(arn)["status"] != "RUNNING")
        status: str = self.described(arn)["status"]
        return status

    def history(self, arn: str) -> list[dict[str, Any]]:
        """Every event, however many pages."""
        pages = self.client("stepfunctions").get_paginator("get_execution_history")
        return [event for page in pages.paginate(executionArn=arn) for event in page["events"]]

    def tasks(self, name: str) -> list[dict[str, Any]]:
        """The tasks of one execution, in the order of their attempts."""
        ecs, arns = self.client("ecs"), []
        for status in ("RUNNING", "STOPPED"):
            found = ecs.list_tasks(cluster=CLUSTER, desiredStatus=status)
            arns += found["taskArns"]
        tasks = ecs.describe_tasks(cluster=CLUSTER, tasks=arns)["tasks"] if arns else []
        by_attempt = {}
        for task in tasks:
            (override,) = task["overrides"]["containerOverrides"]
            given = {item["name"]: item["value"] for item in override["environment"]}
            if given["JOB_ID"] == name:
                by_attempt[given["ATTEMPT"]] = task
        return [by_attempt[attempt] for attempt in sorted(by_attempt)]

    def log(self, group: str, about: str) -> list[str]:
        """The messages of a log group that have these words in them."""
        found = self.client("logs").filter_log_events(
            logGroupName=group, filterPattern=f'"{about}"'
        )
        return [event["message"] for event in found["events"]]

    def told(self, topic: str) -> list[dict[str, Any]]:
        """Take what the topic's queue has received."""
        sqs, found = self.client("sqs"), list[dict[str, Any]]()
        while True:
            answer = sqs.receive_message(QueueUrl=self.queues[topic], MaxNumberOfMessages=10)
            messages = answer.get("Messages", ())
            if not messages:
                return found
            for message in messages:
                found.append(json.loads(message["Body"]))
                sqs.delete_message(
                    QueueUrl=self.queues[topic], ReceiptHandle=message["ReceiptHandle"]
                )


def deployed(aws: Embedded, home: Path, pace: float = PACE) -> Environment:
    """The stacks that the workflow needs, in a fresh account."""
    account = fresh_account(aws)
    documents = _documents()
    outputs: dict[str, str] = {}
    for tier in (tier for wave in graph.waves(documents) for tier in wave if tier in TIERS):
        known = documents[tier].get("Parameters", {})
        given = {"EnvironmentSuffix": SUFFIX, "DbEngineVersion": "16.13"}
        made = outcome(
            account,
            f"tap-{SUFFIX}-{tier}",
            documents[tier],
            **{name: value for name, value in given.items() if name in known},
        )
        assert made.status == "CREATE_COMPLETE", f"{tier}: {made.reasons}"
        outputs |= made.outputs
    set_pace(account, pace)
    queues = {name: _listening(account, outputs[f"{name}TopicArn"]) for name in TOPICS}
    return Environment(account, home, outputs, queues)


@cache
def _documents() -> dict[str, dict[str, Any]]:
    return app.documents()


TOPICS = ("Completion", "Error")


def _listening(account: Embedded, topic: str) -> str:
    sqs = client(account, "sqs")
    url: str = sqs.create_queue(QueueName=topic.rpartition(":")[2])["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    client(account, "sns").subscribe(
        TopicArn=topic,
        Protocol="sqs",
        Endpoint=attributes["QueueArn"],
        Attributes={"RawMessageDelivery": "true"},
    )
    return url


@dataclass(frozen=True)
class Ran:
    """A scenario that has run: where, as what, and what was seen of it."""

    environment: Environment
    arn: str
    seen: Seen


def run(scenarios: Sequence[Scenario], make: Callable[[], Environment]) -> dict[str, Ran]:
    """Run all scenarios at once; those that change their surroundings have their own."""
    common, started = make(), dict[str, tuple[Environment, str]]()
    for scenario in scenarios:
        environment = _prepared(scenario, common, make)
        _put_in_the_way(scenario, environment)
        started[scenario.name] = (environment, environment.start(scenario.name, scenario.input))
    for scenario in scenarios:
        if STOPPED in scenario.attempts:
            _stop_at_work(scenario.name, *started[scenario.name])
    for environment, arn in started.values():
        environment.ended(arn)
    return _seen(started)


def _prepared(scenario: Scenario, common: Environment, make: Callable[[], Environment]) -> Any:
    if scenario.notices_failing:
        environment = make()
        fault = {"service": "sns", "action": "Publish", "code": "InternalError", "message": "no"}
        set_faults(environment.aws, requests=[{**fault, "times": scenario.notices_failing}])
        return environment
    if REFUSED in scenario.attempts:
        environment = make()
        environment.client("ecs").deregister_task_definition(
            taskDefinition=environment.outputs["TaskDefinitionArn"]
        )
        return environment
    if scenario.limit is not None:
        environment = make()
        sfn, arn = environment.client("stepfunctions"), environment.outputs["StateMachineArn"]
        definition = json.loads(sfn.describe_state_machine(stateMachineArn=arn)["definition"])
        definition["TimeoutSeconds"] = scenario.limit
        sfn.update_state_machine(stateMachineArn=arn, definition=json.dumps(definition))
        return environment
    return common


def _put_in_the_way(scenario: Scenario, environment: Environment) -> None:
    for number, attempt in enumerate(scenario.attempts):
        place = environment.files / "work" / f"{scenario.name}.{number}"
        if attempt == FAILS:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text("in the way")
        elif attempt in (HANGS, STOPPED):
            place.mkdir(parents=True)
            os.mkfifo(place / "answer")
        assert attempt in (DONE, FAILS, HANGS, STOPPED, REFUSED)


def _stop_at_work(name: str, environment: Environment, arn: str) -> None:
    """Stop an execution when its task has begun."""
    wait_for(lambda: bool(environment.log(TASK_LOG, name)))
    environment.client("stepfunctions").stop_execution(
        executionArn=arn, error="Operator", cause="not needed any more"
    )


def _seen(started: Mapping[str, tuple[Environment, str]]) -> dict[str, Ran]:
    environments = {environment.aws.account: environment for environment, _ in started.values()}
    messages = {
        account: {topic: environment.told(topic) for topic in TOPICS}
        for account, environment in environments.items()
    }
    found = {}
    for name, (environment, arn) in started.items():
        described, history = environment.described(arn), environment.history(arn)
        told = messages[environment.aws.account]
        entered = [event for event in history if event["type"].endswith("StateEntered")]
        seen = Seen(
            described["status"],
            described.get("error"),
            described.get("cause"),
            (described["stopDate"] - described["startDate"]).total_seconds(),
            [event["type"] for event in history],
            tuple(event["stateEnteredEventDetails"]["name"] for event in entered),
            attempts(history, described["startDate"]),
            tuple(message for message in told["Completion"] if message["job"] == name),
            tuple(message for message in told["Error"] if message["job"] == name),
        )
        found[name] = Ran(environment, arn, seen)
    return found


def attempts(history: Sequence[Mapping[str, Any]], start: datetime) -> tuple[Attempt, ...]:
    """The attempts at the task, and not at the notices."""
    found, began = [], start
    for event in history:
        details = [part for name, part in event.items() if name.endswith("EventDetails")]
        if "ecs" not in [part.get("resourceType") for part in details]:
            continue
        if event["type"] == "TaskScheduled":
            began = event["timestamp"]
        elif event["type"].endswith(("Succeeded", "Failed", "TimedOut")):
            moments = [(moment - start).total_seconds() for moment in (began, event["timestamp"])]
            found.append(Attempt(moments[0], moments[1], event["type"]))
    return tuple(found)


def wait_for(done: Callable[[], bool]) -> None:
    """Wait, but not for ever."""
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.02)
