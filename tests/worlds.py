"""Both stand-ins of CloudFormation behind one face: the twin in memory and the embedded AWS.

``world`` is each of them in turn. Where the two differ, ``DIFFERENCES`` says how and why, and tests
hold both to it: a difference that goes away is noticed as well.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError
from local_aws import client, set_faults
from twin import Twin

TOPIC, PARAMETER = "AWS::SNS::Topic", "AWS::SSM::Parameter"
NO_CHANGES = (
    "The submitted information didn't contain changes. "
    "Submit different information to create a change set."
)

# What the twin answers, what the embedded AWS answers, and why that is accepted.
DIFFERENCES: dict[str, tuple[Any, Any, str]] = {
    "a change set whose import is missing": (
        ("FAILED", "No export named tap-x-Missing found."),
        ("CREATE_COMPLETE", ""),
        "AWS refuses in the change set; the emulator first meets it when it makes the resource",
    ),
    "first answer after execution": (
        "CREATE_IN_PROGRESS",
        "CREATE_COMPLETE",
        "the emulator finishes quick resources before the answer is read",
    ),
    "first answer about a change set": (
        "CREATE_PENDING",
        "CREATE_COMPLETE",
        "the emulator makes change sets within the call",
    ),
    "deleting a change set that is being made": (
        "InvalidChangeSetStatus",
        "",
        "the emulator's change sets are never in progress",
    ),
    "an update of a failed rollback": (
        "Stack:{id} is in UPDATE_ROLLBACK_FAILED state and can not be updated.",
        "Stack [it] is in UPDATE_ROLLBACK_FAILED state and cannot be updated",
        "the emulator words this one status in its own way; the code is the same",
    ),
    "going on with a rollback that never failed": (
        "RollbackUpdatedStack cannot be called from current stack status",
        "ContinueUpdateRollback cannot be called from current stack status",
        "the emulator names the operation by its API name; AWS by what it calls itself",
    ),
    "retaining before the deletion failed": (
        "Invalid operation on stack [{id}]. When you delete a stack, specify which resources to "
        "retain only when the stack is in the DELETE_FAILED state.",
        "Stack [it] is not in DELETE_FAILED state; RetainResources can only be specified for a "
        "stack in DELETE_FAILED state",
        "the emulator's own words; the code is the same",
    ),
    "retaining what is deleted already": (
        "The specified resources to retain must be in a valid state. Do not specify resources that "
        "are in the DELETE_COMPLETE state.",
        "Resource(s) [Gone] do not exist in stack [it]",
        "the emulator forgets what it deleted at once",
    ),
    "the resources of a failed deletion": (
        {"Stuck": "DELETE_FAILED", "Gone": "DELETE_COMPLETE"},
        {"Stuck": "DELETE_FAILED"},
        "the emulator forgets what it deleted at once",
    ),
    "skipping what did not fail": (
        "Resource [Other] is not in UPDATE_FAILED state because of a rollback",
        "Resource(s) [Other] cannot be skipped: only resources whose rollback failed can be "
        "skipped",
        "neither knows AWS's words; the code is the same",
    ),
    "what a skipped resource is said to be": (
        "UPDATE_COMPLETE",
        "CREATE_COMPLETE",
        "the emulator puts the resource's old record back",
    ),
    "an update of what failed and stayed": (
        {
            status: f"This stack is currently in a non-terminal [{status}] state. To update the "
            "stack from this state, please use the disable-rollback parameter with update-stack "
            "API. To rollback to the last known good state, use the rollback-stack API"
            for status in ("CREATE_FAILED", "UPDATE_FAILED")
        },
        {
            "CREATE_FAILED": "Stack:{id} is in CREATE_FAILED state and can not be updated.",
            "UPDATE_FAILED": "Stack [it] is in UPDATE_FAILED state and cannot be updated",
        },
        "the emulator refuses it in other words",
    ),
    "a replacement without rollback": (
        "UPDATE_FAILED",
        "UPDATE_COMPLETE",
        "AWS refuses replacements while rollback is disabled; the emulator makes them",
    ),
    "an update that the stack policy denies": (
        "UPDATE_ROLLBACK_COMPLETE",
        "UPDATE_COMPLETE",
        "the emulator keeps policies and does not enforce them",
    ),
    "events and stacks name their operations": (
        True,
        False,
        "the emulator knows no OperationId; the engine falls back to tokens and times",
    ),
    "the failures of an operation": (
        [("PROVISIONING_ERROR", "Bad")],
        [],
        "the emulator records operation events only for failed validations",
    ),
    "property values in change sets": (
        ("/Properties/DisplayName", "first", "second"),
        None,
        "the emulator takes IncludePropertyValues and leaves it at that",
    ),
    "the reason of a failure asked for with values": (
        None,
        NO_CHANGES,
        "AWS leaves it out (boto3#4178)",
    ),
    "the previous value of a new parameter": (
        "Invalid input for parameter key New. Cannot specify usePreviousValue as true for a "
        "parameter key not in the previous template",
        "Parameter 'New' has no previous value and no Default",
        "the emulator's own words; the code is the same",
    ),
    "the role of a stack": (
        "arn:aws:iam::123456789012:role/deployer",
        None,
        "the emulator takes a role and forgets it",
    ),
    "a failure in express mode": (
        "CREATE_FAILED",
        "ROLLBACK_COMPLETE",
        "the emulator knows no express mode, which disables rollback",
    ),
    "a template URL that is none": (
        "TemplateURL must be a supported URL.",
        "Invalid TemplateURL: https://example.org/a",
        "the emulator's own words; the code is the same",
    ),
    "a repeated execution with the same token": (
        "",
        "InvalidChangeSetStatus",
        "AWS documents the token as made for retries; the emulator takes no notice of it",
    ),
}


@dataclass
class World:
    """One of the two, and what a test needs beside its client."""

    name: str
    client: Any
    wait: Callable[[], None]
    # Stack, logical id, verb (CREATE, UPDATE, DELETE, ROLLBACK) and AWS's reason; once.
    fail: Callable[[str, str, str, str], None]
    # A client of IAM, which has a word about the account.
    iam: Callable[[], Any]

    def expected(self, claim: str) -> Any:
        """What this one answers where the two differ."""
        twin, embedded, _ = DIFFERENCES[claim]
        return twin if self.name == "twin" else embedded

    def change_set(self, stack: str, template: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Make a change set of the kind the stack needs, and describe it when it is made."""
        kind = "UPDATE" if self.status(stack) not in ("", "REVIEW_IN_PROGRESS") else "CREATE"
        made = self.client.create_change_set(
            **{
                "StackName": stack,
                "ChangeSetName": f"c{next(_numbers)}",
                "ChangeSetType": kind,
                "TemplateBody": json.dumps(template),
                **more,
            }
        )
        return self.made(made["Id"])

    def made(self, change_set: str) -> dict[str, Any]:
        """The change set, when it is in progress no more."""
        while True:
            found: dict[str, Any] = self.client.describe_change_set(ChangeSetName=change_set)
            if found["Status"] in ("CREATE_COMPLETE", "FAILED"):
                return found
            self.wait()

    def deploy(self, stack: str, template: dict[str, Any], **more: Any) -> str:
        """Carry a change set out and return the status it ends in."""
        found = self.change_set(stack, template, **more)
        self.client.execute_change_set(ChangeSetName=found["ChangeSetId"])
        return self.settled(stack)

    def settled(self, stack: str) -> str:
        """The status when nothing is in progress any more."""
        for _ in range(1000):
            self.wait()
            status = self.status(stack)
            if not status.endswith("_IN_PROGRESS"):
                break
        return status

    def status(self, stack: str) -> str:
        """The status; empty when there is no such stack."""
        try:
            return str(self.stack(stack)["StackStatus"])
        except ClientError:
            return ""

    def stack(self, stack: str) -> dict[str, Any]:
        """The stack as described."""
        found: dict[str, Any] = self.client.describe_stacks(StackName=stack)["Stacks"][0]
        return found

    def events(self, stack: str) -> list[dict[str, Any]]:
        """The whole history, oldest first."""
        pages = self.client.get_paginator("describe_stack_events").paginate(StackName=stack)
        return [event for page in pages for event in page["StackEvents"]][::-1]

    def reasons(self, stack: str) -> list[str]:
        """Every reason told in the history, oldest first."""
        told = (event.get("ResourceStatusReason", "") for event in self.events(stack))
        return [reason for reason in told if reason]

    def resources(self, stack: str) -> dict[str, str]:
        """Statuses by logical id."""
        pages = self.client.get_paginator("list_stack_resources").paginate(StackName=stack)
        return {
            item["LogicalResourceId"]: item["ResourceStatus"]
            for page in pages
            for item in page["StackResourceSummaries"]
        }

    def refusal(self, operation: str, **arguments: Any) -> tuple[str, str]:
        """Code and words of the refusal of a call."""
        with pytest.raises(ClientError) as caught:
            getattr(self.client, operation)(**arguments)
        error = caught.value.response["Error"]
        return error["Code"], error["Message"]


_numbers = itertools.count()


@pytest.fixture(params=["twin", "embedded"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Each of the two in turn, empty."""
    if request.param == "twin":
        twin = Twin()
        region = twin.region

        def fail(stack: str, logical_id: str, verb: str, reason: str) -> None:
            region.faults.resource(stack, logical_id, verb, reason, times=1)

        yield World(
            "twin",
            twin.client("cloudformation"),
            lambda: region.clock.sleep(1.0),
            fail,
            lambda: twin.client("iam"),
        )
    else:
        aws = request.getfixturevalue("aws_account")

        def fail_there(stack: str, logical_id: str, verb: str, reason: str) -> None:
            rule = {"stack": stack, "logical_id": logical_id, "op": verb.lower(), "times": 1}
            if verb == "ROLLBACK":
                # The way back is an update too: the first one goes well.
                first = {**rule, "op": "update", "message": ""}
                set_faults(aws, resources=[first, {**first, "message": reason}])
            else:
                set_faults(aws, resources=[{**rule, "message": reason}])

        yield World(
            "embedded",
            client(aws, "cloudformation"),
            lambda: time.sleep(0.01),
            fail_there,
            lambda: client(aws, "iam"),
        )


def template(**resources: dict[str, Any]) -> dict[str, Any]:
    return {"Resources": resources}


def topic(note: str = "first", **properties: Any) -> dict[str, Any]:
    return {"Type": TOPIC, "Properties": {"DisplayName": note, **properties}}


def producer(note: str = "first", name: str = "tap-x-Arn", value: Any = None) -> dict[str, Any]:
    """A template that exports its topic, or ``value``, as ``name``."""
    output = {"Value": value or {"Ref": "Topic"}, "Export": {"Name": name}}
    return {**template(Topic=topic(note)), "Outputs": {"Arn": output}}


def consumer(name: str = "tap-x-Arn") -> dict[str, Any]:
    value = {"Fn::ImportValue": name}
    return template(Uses={"Type": PARAMETER, "Properties": {"Type": "String", "Value": value}})


def all_changes(world: World, change_set: str) -> list[dict[str, Any]]:
    pages = world.client.get_paginator("describe_change_set").paginate(ChangeSetName=change_set)
    return [change for page in pages for change in page["Changes"]]
