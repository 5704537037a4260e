"""The rules see through the real templates: one thing broken at a time, across stacks."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tapgen import app, validate

DOCUMENTS = app.documents()
Documents = dict[str, dict[str, Any]]


def sources(documents: Mapping[str, Any]) -> dict[str, validate.Source]:
    return {
        name: validate.Source(f"{name}.yaml", document, json.dumps(document))
        for name, document in documents.items()
    }


def of_type(documents: Documents, kind: str) -> dict[str, Any]:
    """The only resource of a type, or the first of several."""
    found = [
        resource
        for document in documents.values()
        for resource in document["Resources"].values()
        if resource["Type"] == kind
    ]
    first: dict[str, Any] = found[0]
    return first


def without(documents: Documents, keep: Callable[[Mapping[str, Any]], bool]) -> None:
    for document in documents.values():
        document["Resources"] = {
            name: resource for name, resource in document["Resources"].items() if keep(resource)
        }


def put(kind: str, prop: str, value: object) -> Callable[[Documents], None]:
    def change(documents: Documents) -> None:
        of_type(documents, kind)["Properties"][prop] = value

    return change


def drop(kind: str, key: str) -> Callable[[Documents], None]:
    def change(documents: Documents) -> None:
        of_type(documents, kind).pop(key)

    return change


def in_text(kind: str, old: str, new: str) -> Callable[[Documents], None]:
    """Replace inside a resource, wherever it stands in it."""

    def change(documents: Documents) -> None:
        resource = of_type(documents, kind)
        text = json.dumps(resource)
        assert old in text
        resource.update(json.loads(text.replace(old, new)))

    return change


def everywhere(old: str, new: str) -> Callable[[Documents], None]:
    def change(documents: Documents) -> None:
        for name, document in documents.items():
            documents[name] = json.loads(json.dumps(document).replace(old, new))

    return change


def lacking(kind: str, **properties: object) -> Callable[[Documents], None]:
    def change(documents: Documents) -> None:
        before = sum(len(document["Resources"]) for document in documents.values())
        without(
            documents,
            lambda resource: (
                not (
                    resource["Type"] == kind
                    and all(resource["Properties"].get(k) == v for k, v in properties.items())
                )
            ),
        )
        assert sum(len(document["Resources"]) for document in documents.values()) < before

    return change


def without_action(action: str) -> Callable[[Documents], None]:
    return everywhere(f'"{action}"', '"sts:GetCallerIdentity"')


def no_export(key: str) -> Callable[[Documents], None]:
    def change(documents: Documents) -> None:
        for document in documents.values():
            document["Outputs"].pop(key, None)

    return change


CHANGES: dict[str, tuple[str, Callable[[Documents], None]]] = {
    "the VPC's id is exported under another name": ("TAP101", no_export("EcsClusterArn")),
    "nobody lets the tasks in to the file system": (
        "TAP410",
        lacking("AWS::EC2::SecurityGroupIngress", FromPort=2049),
    ),
    "nobody lets the function in to the database": (
        "TAP535",
        lacking("AWS::EC2::SecurityGroupIngress", FromPort=5432),
    ),
    "the NAT gateway does not wait": ("TAP201", drop("AWS::EC2::EIP", "DependsOn")),
    "a zone has no mount target": ("TAP410", lacking("AWS::EFS::MountTarget")),
    "the master user is admin": ("TAP303", put("AWS::RDS::DBInstance", "MasterUsername", "admin")),
    "gp3 with IOPS": ("TAP304", put("AWS::RDS::DBInstance", "Iops", 3000)),
    "one node": (
        "TAP361",
        put("AWS::ElastiCache::ReplicationGroup", "NumCacheClusters", 1),
    ),
    "a longer id": (
        "TAP801",
        put(
            "AWS::ElastiCache::ReplicationGroup",
            "ReplicationGroupId",
            {"Fn::Sub": "video-processing-cache-${EnvironmentSuffix}"},
        ),
    ),
    "the key is not enabled": ("TAP501", put("AWS::ApiGateway::ApiKey", "Enabled", False)),
    "the deployment waits for nothing": (
        "TAP504",
        drop("AWS::ApiGateway::Deployment", "DependsOn"),
    ),
    "one permission is missing": ("TAP506", lacking("AWS::Lambda::Permission")),
    "the workflow may not pass roles": ("TAP621", without_action("iam:PassRole")),
    "the workflow may not make its rule": ("TAP623", without_action("events:PutRule")),
    "the workflow may not publish": ("TAP625", without_action("sns:Publish")),
    "the workflow may not use the topics' key": ("TAP625", without_action("kms:GenerateDataKey*")),
    "the workflow may not set up its log": ("TAP626", without_action("logs:CreateLogDelivery")),
    "nobody hears of timeouts": ("TAP631", lacking("AWS::Events::Rule")),
    "the execution ends too early": (
        "TAP653",
        in_text(
            "AWS::StepFunctions::StateMachine",
            '\\"TimeoutSeconds\\": 1800',
            '\\"TimeoutSeconds\\": 900',
        ),
    ),
    "the function may not read its secrets": (
        "TAP534",
        without_action("secretsmanager:GetSecretValue"),
    ),
    "the data key goes with its stack": ("TAP743", drop("AWS::KMS::Key", "DeletionPolicy")),
    "another region": ("TAP214", everywhere('"ap-northeast-1a"', '"ap-northeast-2a"')),
    "another service's trust": (
        "TAP707",
        everywhere('"ecs-tasks.amazonaws.com"', '"ecs.amazonaws.com"'),
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_fault_put_into_the_real_templates_is_found(change: str) -> None:
    rule, break_it = CHANGES[change]
    broken: Documents = copy.deepcopy(DOCUMENTS)

    break_it(broken)

    (chosen,) = [candidate for candidate in validate.RULES if candidate.id == rule]
    assert list(chosen.findings(validate.World.of(sources(DOCUMENTS)))) == []
    assert list(chosen.findings(validate.World.of(sources(broken)))) != []
    assert chosen.severity != "info"
