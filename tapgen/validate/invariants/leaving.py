"""What stays when a resource leaves its stack, or is replaced in it."""

from __future__ import annotations

from collections.abc import Iterator

from tapgen import policies
from tapgen.validate.finding import Fault, Rule
from tapgen.validate.world import World

KEEPING = ("Retain", "RetainExceptOnCreate", "Snapshot")
# Types whose loss is a loss of data. Keys are judged by what they encrypt.
DATA = (
    "AWS::RDS::DBInstance",
    "AWS::RDS::DBCluster",
    "AWS::ElastiCache::ReplicationGroup",
    "AWS::EFS::FileSystem",
    "AWS::S3::Bucket",
    "AWS::DynamoDB::Table",
)
_KEY = "AWS::KMS::Key"


def both_stated(world: World) -> Iterator[Fault]:
    """One policy is for deletion, the other for replacement; each defaults to Delete.

    CloudFormation user guide, "UpdateReplacePolicy".
    """
    for resource in world.of_type(*sorted({*policies.BY_TYPE, *DATA})):
        for attribute in ("DeletionPolicy", "UpdateReplacePolicy"):
            if attribute not in resource.raw:
                yield resource.fault(f"does not state its {attribute}")


def data_kept(world: World) -> Iterator[Fault]:
    """A stack deleted by mistake must not take its data along."""
    for resource in world.of_type(*DATA):
        for attribute in ("DeletionPolicy", "UpdateReplacePolicy"):
            if resource.raw.get(attribute, "Retain") not in KEEPING:
                yield resource.fault(f"loses its data ({attribute} {resource.raw[attribute]})")


def key_of_data_kept(world: World) -> Iterator[Fault]:
    """Without its key no retained snapshot, file system or object can ever be read again."""
    for resource in world.of_type(*DATA):
        for target in world.targets(resource.properties):
            key = target.resource
            if key.type == _KEY and key.raw.get("DeletionPolicy", "Delete") not in KEEPING:
                yield key.fault(
                    f"encrypts {resource.logical_id} and would be deleted with its stack"
                )


def old_revision_kept(world: World) -> Iterator[Fault]:
    """A replaced task definition is deregistered, and running executions still hold its ARN.

    Their retries then fail: "TaskDefinition is inactive".
    """
    for task in world.of_type("AWS::ECS::TaskDefinition"):
        if task.raw.get("UpdateReplacePolicy") != "Retain":
            yield task.fault("takes the old revision from running executions")


def orphan_on_failure(world: World) -> Iterator[Fault]:
    """Plain Retain leaves a named orphan after a failed first create, and the retry fails on it.

    "… already exists". RetainExceptOnCreate does not.
    """
    for resource in world.resources:
        if resource.type in DATA and resource.raw.get("DeletionPolicy") == "Retain":
            yield resource.fault("has DeletionPolicy Retain")


def log_retention(world: World) -> Iterator[Fault]:
    """Without a retention a log group keeps, and bills, everything for ever."""
    for group in world.of_type("AWS::Logs::LogGroup"):
        if not group.get("RetentionInDays"):
            yield group.fault("keeps its logs for ever")


RULES = (
    Rule("TAP741", "error", "state DeletionPolicy and UpdateReplacePolicy", both_stated),
    Rule("TAP742", "error", "use RetainExceptOnCreate or Snapshot, and Retain", data_kept),
    Rule("TAP743", "error", "keep the key: RetainExceptOnCreate and Retain", key_of_data_kept),
    Rule("TAP744", "error", "set UpdateReplacePolicy to Retain", old_revision_kept),
    Rule("TAP745", "warning", "use RetainExceptOnCreate", orphan_on_failure),
    Rule("TAP746", "error", "set RetentionInDays", log_retention),
)
