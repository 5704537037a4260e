"""The account beside its stacks: who asks, S3, RDS, the function that migrates, data left over."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tapgen import names
from tapgen.aws.connection import Connection
from tapgen.cloud import AccessDenied, Caller, CloudError, FunctionFailed, Kept, Refused, Resource


class AwsAccount:
    """``cloud.Account``, answered by the services concerned."""

    def __init__(self, connection: Connection) -> None:
        self._aws = connection
        self._caller: Caller | None = None

    def caller(self) -> Caller:
        """Who is asking; asked once, since every S3 call names the bucket's owner by it."""
        if self._caller is None:
            answer = self._aws.call("sts", "get_caller_identity")
            self._caller = Caller(answer["Account"], answer["Arn"], names.REGION)
        return self._caller

    def alias(self) -> str:
        """The account's alias; empty where it has none or nobody may ask."""
        try:
            answer = self._aws.call("iam", "list_account_aliases")
        except AccessDenied:
            return ""
        return next(iter(answer["AccountAliases"]), "")

    def ensure_service_linked_role(self, service: str) -> bool:
        """Make a service's linked role where it is missing; True when it was made now."""
        try:
            self._aws.call("iam", "create_service_linked_role", AWSServiceName=service)
        except Refused as error:
            # "Service role name … has been taken in this account" is InvalidInput.
            if error.code in ("InvalidInput", "EntityAlreadyExists"):
                return False
            raise
        return True

    def api_gateway_log_role(self) -> str | None:
        """The role that API Gateway logs with in this account and region."""
        return self._aws.call("apigateway", "get_account").get("cloudwatchRoleArn") or None

    def offered_versions(self, engine: str) -> list[str]:
        """The versions RDS creates instances of ``engine`` with, as RDS lists them."""
        return [
            item["EngineVersion"]
            for item in self._aws.pages(
                "rds", "describe_db_engine_versions", "DBEngineVersions", Engine=engine
            )
            if item.get("Status", "available") == "available"
        ]

    def running_version(self, instance: str) -> str | None:
        """The engine version of a database instance; None when there is none."""
        try:
            answer = self._aws.call("rds", "describe_db_instances", DBInstanceIdentifier=instance)
        except Refused as error:
            if error.code.startswith("DBInstanceNotFound"):
                return None
            raise
        return str(answer["DBInstances"][0]["EngineVersion"])

    def upload(self, path: Path, bucket: str, key: str) -> bool:
        """Put a file into the bucket unless the key is there; True when it was sent now."""
        if self.has_object(bucket, key):
            return False
        self.put_object(bucket, key, path.read_bytes())
        return True

    def has_object(self, bucket: str, key: str) -> bool:
        """Whether the bucket, which must be this account's, holds the key."""
        try:
            self._aws.call("s3", "head_object", **self._object(bucket, key))
        except Refused as error:
            if error.code in ("404", "NoSuchKey", "NotFound"):
                return False
            raise
        return True

    def put_object(self, bucket: str, key: str, content: bytes) -> None:
        """Write an object into a bucket, which must be this account's."""
        self._aws.call("s3", "put_object", Body=content, **self._object(bucket, key))

    def _object(self, bucket: str, key: str) -> dict[str, Any]:
        owner = self.caller().account
        return {"Bucket": bucket, "Key": key, "ExpectedBucketOwner": owner}

    def invoke(self, function: str) -> str:
        """Run a Lambda function to its end and return its answer (JSON)."""
        answer = self._aws.call(
            "lambda", "invoke", FunctionName=function, InvocationType="RequestResponse"
        )
        told = answer["Payload"].read().decode()
        if "FunctionError" in answer:
            raise FunctionFailed(function, _error_message(told))
        return str(told)

    def snapshots(self, resource: Resource) -> list[Kept]:
        """The manual snapshots (CloudFormation's final ones count as such) of a data resource."""
        if resource.type == "AWS::RDS::DBInstance":
            found = self._aws.pages(
                "rds",
                "describe_db_snapshots",
                "DBSnapshots",
                DBInstanceIdentifier=resource.physical_id,
                SnapshotType="manual",
            )
            return [Kept("RDS snapshot", item["DBSnapshotIdentifier"]) for item in found]
        if resource.type == "AWS::ElastiCache::ReplicationGroup":
            found = self._aws.pages(
                "elasticache",
                "describe_snapshots",
                "Snapshots",
                ReplicationGroupId=resource.physical_id,
                SnapshotSource="user",
            )
            return [Kept("ElastiCache snapshot", item["SnapshotName"]) for item in found]
        return []

    def delete_kept(self, kept: Kept) -> None:
        """Remove data for good. Raises ``CloudError``, also for a kind it does not know."""
        if kept.kind not in _REMOVALS:
            raise CloudError(f"cannot remove {kept.kind} {kept.id}: remove it in the console")
        service, operation, arguments = _REMOVALS[kept.kind](kept.id)
        self._aws.call(service, operation, **arguments)


_REMOVALS: dict[str, Callable[[str], tuple[str, str, dict[str, Any]]]] = {
    "RDS snapshot": lambda name: ("rds", "delete_db_snapshot", {"DBSnapshotIdentifier": name}),
    "ElastiCache snapshot": lambda name: ("elasticache", "delete_snapshot", {"SnapshotName": name}),
    "AWS::EFS::FileSystem": lambda name: ("efs", "delete_file_system", {"FileSystemId": name}),
    # Seven days is the shortest wait there is.
    "AWS::KMS::Key": lambda name: (
        "kms",
        "schedule_key_deletion",
        {"KeyId": name, "PendingWindowInDays": 7},
    ),
}


def _error_message(payload: str) -> str:
    try:
        told = json.loads(payload)
    except ValueError:
        return payload[:500]
    return str(told.get("errorMessage", payload)) if isinstance(told, dict) else payload
