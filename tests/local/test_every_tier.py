"""All templates on the embedded AWS: every resource is there, with every property it was given."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from local_aws import change_set, client, outcome, pass_coverage_on
from readers import READERS, leaves, words

from tapgen import app, graph
from tapgen.local import lease
from tapgen.local.lease import Embedded

SUFFIX = "dev"
CODE_KEY = f"lambda/video-metadata-api/{'0' * 64}.zip"

# What the service itself does not tell, here or on AWS.
UNTOLD = {
    ("AWS::EC2::FlowLog", ".ResourceType"),
    ("AWS::EC2::SubnetRouteTableAssociation", ".SubnetId"),
    ("AWS::ElastiCache::User", ".NoPasswordRequired"),
    ("AWS::ElastiCache::User", ".Passwords[]"),
    ("AWS::ElastiCache::ReplicationGroup", ".NumCacheClusters"),
    ("AWS::KMS::Key", ".PendingWindowInDays"),
    ("AWS::Lambda::Function", ".Code.S3Bucket"),
    ("AWS::Lambda::Function", ".Code.S3Key"),
    ("AWS::S3::Bucket", ".BucketName"),
    ("AWS::SecretsManager::Secret", ".GenerateSecretString"),
}
# Part of the address under which the service was asked.
ASKED = (".RestApiId", ".ResourceId", ".FunctionName", ".UsagePlanId", ".Bucket", ".Roles[]")


def described() -> dict[str, dict[str, Any]]:
    """Every template, in an order in which it can be deployed."""
    documents = app.documents()
    return {tier: documents[tier] for wave in graph.waves(documents) for tier in wave}


def stack_name(tier: str) -> str:
    return "tap-foundation" if tier == "foundation" else f"tap-{SUFFIX}-{tier}"


def parameters(document: dict[str, Any]) -> dict[str, str]:
    given = {
        "EnvironmentSuffix": SUFFIX,
        "DbEngineVersion": "16.13",
        "VideoMetadataApiCodeKey": CODE_KEY,
    }
    return {name: given[name] for name in document.get("Parameters", {}) if name in given}


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Embedded, Path]]:
    """An embedded AWS of its own with everything on it."""
    pass_coverage_on()
    home = tmp_path_factory.mktemp("everything")
    with lease.lease(home) as aws:
        for tier, document in described().items():
            made = outcome(aws, stack_name(tier), document, **parameters(document))
            assert made.status == "CREATE_COMPLETE", f"{tier}: {made.reasons}"
            if tier == "foundation":
                upload_code(aws)
        yield aws, home


def upload_code(aws: Embedded) -> None:
    s3 = client(aws, "s3")
    for bucket in s3.list_buckets()["Buckets"]:
        s3.put_object(Bucket=bucket["Name"], Key=CODE_KEY, Body=b"PK\x05\x06" + bytes(18))


def standing(home: Path) -> list[tuple[str, str, dict[str, Any]]]:
    """Every deployed resource: type, physical id, properties as they were handed over."""
    deadline = time.monotonic() + 5
    while True:
        stacks = saved_stacks(home)
        # The last stack is saved a moment after its operation has ended.
        if len(stacks) == len(described()) or time.monotonic() > deadline:
            break
        time.sleep(0.02)
    return [
        (resource["ResourceType"], resource["PhysicalResourceId"], resource["Properties"])
        for stack in stacks
        for resource in stack["_resources"].values()
    ]


def saved_stacks(home: Path) -> list[dict[str, Any]]:
    text = (home / "state" / "state.json").read_text(encoding="utf-8")
    for line in map(json.loads, text.splitlines()[1:]):
        if line["service"] == "cloudformation":
            stacks = line["payload"]["stacks"]["data"].values()
            return [stack for stack in stacks if stack["StackStatus"] == "CREATE_COMPLETE"]
    return []


def test_every_property_can_be_read_back(deployed: tuple[Embedded, Path]) -> None:
    aws, home = deployed
    lost = []

    resources = standing(home)
    for kind, physical_id, props in resources:
        told = words(READERS[kind](aws, physical_id, props)) | {physical_id.lower()}
        told |= {word.rpartition("/")[2] for word in told} | {f"/{word}" for word in told}
        for path, value in leaves(props):
            untold = any(kind == known and path.startswith(part) for known, part in UNTOLD)
            if not untold and not path.startswith(ASKED) and value not in told:
                lost.append((kind, path, value))

    assert len(resources) > 90
    assert lost == []


def test_a_second_deployment_finds_nothing_to_do(deployed: tuple[Embedded, Path]) -> None:
    aws, _ = deployed

    found = {
        tier: change_set(aws, stack_name(tier), document, **parameters(document))
        for tier, document in described().items()
    }

    assert {tier: changes["Changes"] for tier, changes in found.items()} == {
        tier: [] for tier in found
    }
    assert {changes["Status"] for changes in found.values()} == {"FAILED"}
