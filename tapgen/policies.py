"""What CloudFormation does with a resource that leaves its stack: one table, by kind.

Templates are the same for every environment, and DeletionPolicy takes no parameter; so the safe
choice stands for all, and ``tapgen destroy --delete-data`` cleans up after ephemeral ones.
``RetainExceptOnCreate`` rather than ``Retain``: a failed first create must not leave a named orphan
that breaks the retry.
"""

from __future__ import annotations

from typing import NamedTuple

from troposphere import AWSObject


class Leaving(NamedTuple):
    """DeletionPolicy and UpdateReplacePolicy of a resource."""

    deletion: str
    replacement: str


SNAPSHOT = Leaving("Snapshot", "Snapshot")
RETAIN = Leaving("RetainExceptOnCreate", "Retain")
DELETE = Leaving("Delete", "Delete")
# Running executions hold the ARN of the revision they started with.
DELETE_KEEPING_REPLACED = Leaving("Delete", "Retain")

BY_TYPE = {
    "AWS::RDS::DBInstance": SNAPSHOT,
    "AWS::ElastiCache::ReplicationGroup": SNAPSHOT,
    "AWS::EFS::FileSystem": RETAIN,
    # Without its key no retained snapshot or file system can be read again.
    "AWS::KMS::Key": RETAIN,
    "AWS::S3::Bucket": RETAIN,
    "AWS::SecretsManager::Secret": DELETE,
    "AWS::Logs::LogGroup": DELETE,
    "AWS::ECS::TaskDefinition": DELETE_KEEPING_REPLACED,
}


def apply(resource: AWSObject, leaving: Leaving | None = None) -> None:
    """Set both policies on ``resource``: ``leaving``, or what the table says of its type."""
    chosen = leaving or BY_TYPE.get(str(resource.resource_type))
    if chosen is not None:
        resource.DeletionPolicy = chosen.deletion
        resource.UpdateReplacePolicy = chosen.replacement
