"""Fixtures and a hand for tests that deploy: one embedded AWS a session, one account a test.

``tests/conftest.py`` takes ``embedded`` and ``aws_account`` from here. Under pytest-xdist every
worker has a server of its own. Twelve digits as the access key are an account of their own, so
tests share the server and see nothing of each other.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import random
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tapgen.local import lease
from tapgen.local.lease import Embedded

_accounts = itertools.count(random.randrange(10**11, 9 * 10**11))


def pass_coverage_on() -> None:
    """Let the server's process be measured too, when this one is."""
    for name in ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"):
        if name in os.environ and name not in lease.PASSED_ON:
            lease.PASSED_ON += (name,)


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """The embedded AWS of this test session."""
    pass_coverage_on()
    home = tmp_path_factory.mktemp("embedded-aws")
    with lease.lease(home) as aws:
        yield aws
    # It waits for the server's very end, so that what was measured there is written down.
    lease.reset(home)


@pytest.fixture
def aws_account(embedded: Embedded) -> Embedded:
    """An account that nobody has used."""
    return fresh_account(embedded)


def fresh_account(aws: Embedded) -> Embedded:
    """Another account on the same server."""
    account = str(next(_accounts))
    return dataclasses.replace(aws, account=account, access_key=account)


@dataclass(frozen=True)
class Outcome:
    """How a stack operation ended."""

    status: str
    outputs: Mapping[str, str]
    # Logical id, status and reason of every event that has a reason, oldest first.
    told: tuple[tuple[str, str, str], ...]

    @property
    def reasons(self) -> str:
        """All that the events say, for an assertion that fails."""
        return "\n".join(" ".join(event) for event in self.told)


@cache
def _session() -> boto3.Session:
    """Sessions keep the services' models, which take longer to read than a stack to deploy."""
    return boto3.Session(region_name=lease.REGION)


@cache
def client(aws: Embedded, service: str) -> Any:
    """A client of one service."""
    make: Any = _session().client
    return make(
        service,
        endpoint_url=aws.url,
        aws_access_key_id=aws.access_key,
        aws_secret_access_key=aws.secret_key,
    )


def deploy(aws: Embedded, stack: str, template: Mapping[str, Any] | str, **parameters: str) -> str:
    """Deploy through a change set, and say how the stack stands afterwards."""
    return outcome(aws, stack, template, **parameters).status


def outcome(
    aws: Embedded, stack: str, template: Mapping[str, Any] | str, **parameters: str
) -> Outcome:
    """Deploy through a change set, and wait for the end."""
    start(aws, stack, template, **parameters)
    return settled(aws, stack)


def start(aws: Embedded, stack: str, template: Mapping[str, Any] | str, **parameters: str) -> None:
    """Create and execute a change set."""
    changes = change_set(aws, stack, template, **parameters)
    client(aws, "cloudformation").execute_change_set(ChangeSetName=changes["ChangeSetId"])


def change_set(
    aws: Embedded, stack: str, template: Mapping[str, Any] | str, **parameters: str
) -> dict[str, Any]:
    """Create a change set of the kind that the stack needs, and describe it."""
    cloudformation = client(aws, "cloudformation")
    text = template if isinstance(template, str) else json.dumps(template)
    created = cloudformation.create_change_set(
        StackName=stack,
        ChangeSetName=f"c{time.time_ns()}",
        ChangeSetType="UPDATE" if status(aws, stack) else "CREATE",
        TemplateBody=text,
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()],
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    described: dict[str, Any] = cloudformation.describe_change_set(ChangeSetName=created["Id"])
    return described


def status(aws: Embedded, stack: str) -> str:
    """How the stack stands; empty when there is none."""
    cloudformation = client(aws, "cloudformation")
    try:
        found: str = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]
    except cloudformation.exceptions.ClientError:
        return ""
    return found


def delete(aws: Embedded, stack: str) -> Outcome:
    """Delete a stack, and wait for the end."""
    cloudformation = client(aws, "cloudformation")
    stack_id = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackId"]
    cloudformation.delete_stack(StackName=stack)
    time.sleep(0.02)  # The status changes in a task that follows the answer.
    return settled(aws, stack_id)


def settled(aws: Embedded, stack: str, seconds: float = 10.0) -> Outcome:
    """Wait until nothing is in progress any more."""
    cloudformation = client(aws, "cloudformation")
    deadline = time.monotonic() + seconds
    while True:
        found = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
        if not found["StackStatus"].endswith("_IN_PROGRESS") or time.monotonic() > deadline:
            break
        time.sleep(0.01)
    events = cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
    told = [
        (event["LogicalResourceId"], event["ResourceStatus"], event["ResourceStatusReason"])
        for event in reversed(events)
        if event.get("ResourceStatusReason")
    ]
    outputs = {one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs", ())}
    return Outcome(found["StackStatus"], outputs, tuple(told))


def resource(kind: str, **properties: Any) -> dict[str, Any]:
    """One resource of a template."""
    return {"Type": kind, "Properties": properties}


def one(kind: str, **properties: Any) -> dict[str, Any]:
    """A template with the one resource ``It``."""
    return {"Resources": {"It": resource(kind, **properties)}}


def set_faults(aws: Embedded, **rules: list[dict[str, Any]]) -> None:
    """Put ``requests`` and ``resources`` faults in force for this account (``faults.py``)."""
    faults_call(aws, "POST", json.dumps(rules).encode())


def faults_left(aws: Embedded) -> int:
    """How many strikes of this account's faults are left."""
    return int(faults_call(aws, "GET")["left"])


def set_pace(aws: Embedded, pace: float) -> None:
    """Have this account's executions wait only this part of their waits (``pace.py``)."""
    own_call(aws, "POST", "pace", json.dumps({"pace": pace}).encode())


def faults_call(aws: Embedded, method: str, body: bytes = b"") -> dict[str, Any]:
    """Speak to the server about this account's faults."""
    return own_call(aws, method, "faults", body)


def own_call(aws: Embedded, method: str, what: str, body: bytes = b"") -> dict[str, Any]:
    """Speak to the server's own addresses, signed like any call to AWS."""
    url = f"{aws.url}/_tapgen/{what}"
    request = AWSRequest(method, url, data=body)
    SigV4Auth(Credentials(aws.access_key, aws.secret_key), "tapgen", aws.region).add_auth(request)
    signed = urllib.request.Request(
        url, data=body or None, headers=dict(request.headers.items()), method=method
    )
    with urllib.request.urlopen(signed) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


def server_log(home: Path) -> str:
    """What the server wrote, for a failing test."""
    log = home / "server.log"
    return log.read_text(encoding="utf-8") if log.exists() else ""
