"""What leaves with its stack and what stays."""

from __future__ import annotations

from typing import Any

import pytest
from troposphere import AWSObject, ec2, ecs, efs, elasticache, kms, logs, rds, s3, secretsmanager

from tapgen import policies


@pytest.mark.parametrize(
    ("resource", "deletion", "replacement"),
    [
        (rds.DBInstance("X", validation=False), "Snapshot", "Snapshot"),
        (elasticache.ReplicationGroup("X", validation=False), "Snapshot", "Snapshot"),
        (efs.FileSystem("X"), "RetainExceptOnCreate", "Retain"),
        (kms.Key("X"), "RetainExceptOnCreate", "Retain"),
        (s3.Bucket("X"), "RetainExceptOnCreate", "Retain"),
        (secretsmanager.Secret("X"), "Delete", "Delete"),
        (logs.LogGroup("X"), "Delete", "Delete"),
        (ecs.TaskDefinition("X"), "Delete", "Retain"),
    ],
    ids=lambda value: value.resource_type if isinstance(value, AWSObject) else value,
)
def test_what_holds_data_is_kept_and_what_can_be_made_anew_goes(
    resource: AWSObject, deletion: str, replacement: str
) -> None:
    policies.apply(resource)

    assert resource.DeletionPolicy == deletion
    assert resource.UpdateReplacePolicy == replacement


def test_a_kind_the_table_does_not_know_keeps_cloudformation_s_default() -> None:
    resource = ec2.VPC("Vpc", CidrBlock="10.0.0.0/16")

    policies.apply(resource)

    assert resource.to_dict() == {
        "Type": "AWS::EC2::VPC",
        "Properties": {"CidrBlock": "10.0.0.0/16"},
    }


def test_what_is_asked_for_wins_over_the_table() -> None:
    resource = s3.Bucket("Scratch")

    policies.apply(resource, policies.Leaving("Delete", "Retain"))

    assert (resource.DeletionPolicy, resource.UpdateReplacePolicy) == ("Delete", "Retain")


def test_every_resource_with_data_in_the_templates_follows_the_table(
    documents: dict[str, dict[str, Any]],
) -> None:
    told = {
        (tier, name): (resource.get("DeletionPolicy"), resource.get("UpdateReplacePolicy"))
        for tier, document in documents.items()
        for name, resource in document["Resources"].items()
        if resource["Type"]
        in ("AWS::RDS::DBInstance", "AWS::ElastiCache::ReplicationGroup", "AWS::EFS::FileSystem")
    }

    assert sorted(told.values(), key=str) == [
        ("RetainExceptOnCreate", "Retain"),
        ("Snapshot", "Snapshot"),
        ("Snapshot", "Snapshot"),
    ]
