"""The few things that a deployment asks of other services: identity, roles, versions, files.

Plain answers from plain fields, and the refusals that matter: a role that is there already, a
database that is not, a key that nobody uploaded.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from twin.records import Refusal

Params = Mapping[str, Any]


@dataclass
class Account:
    """What there is in the account beside stacks."""

    id: str = "123456789012"
    alias: str = ""
    linked_roles: set[str] = field(default_factory=set)
    log_role: str = ""
    # By engine what RDS offers; by instance what runs.
    versions: dict[str, list[str]] = field(
        default_factory=lambda: {"postgres": ["15.10", "16.4", "16.6", "16.8", "17.2"]}
    )
    running: dict[str, str] = field(default_factory=dict)
    objects: dict[tuple[str, str], bytes] = field(default_factory=dict)
    snapshots: dict[str, list[str]] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    # The functions that were run, and what they fail with.
    invoked: list[str] = field(default_factory=list)
    function_error: str = ""

    def answer(self, service: str, operation: str, parameters: Params) -> dict[str, Any]:
        """The answer to one call. Raises ``Refusal``."""
        act = getattr(self, f"_{operation}", None)
        if act is None:
            raise NotImplementedError(f"the twin has no {service} {operation}")
        answer: dict[str, Any] = act(parameters)
        return answer

    def _get_caller_identity(self, p: Params) -> dict[str, Any]:
        return {
            "Account": self.id,
            "Arn": f"arn:aws:sts::{self.id}:assumed-role/deployer/ci",
            "UserId": "AROA:ci",
        }

    def _list_account_aliases(self, p: Params) -> dict[str, Any]:
        return {"AccountAliases": [self.alias] if self.alias else [], "IsTruncated": False}

    def _create_service_linked_role(self, p: Params) -> dict[str, Any]:
        name = p["AWSServiceName"]
        if name in self.linked_roles:
            raise Refusal(
                f"Service role name for {name} has been taken in this account", "InvalidInput"
            )
        self.linked_roles.add(name)
        return {}

    def _get_account(self, p: Params) -> dict[str, Any]:
        return {"cloudwatchRoleArn": self.log_role} if self.log_role else {}

    def _describe_db_engine_versions(self, p: Params) -> dict[str, Any]:
        engine, offered = p["Engine"], self.versions.get(p["Engine"], [])
        found = [
            {"Engine": engine, "EngineVersion": item, "Status": "available"} for item in offered
        ]
        return {"DBEngineVersions": found}

    def _describe_db_instances(self, p: Params) -> dict[str, Any]:
        name = p["DBInstanceIdentifier"]
        if name not in self.running:
            raise Refusal(f"DBInstance {name} not found.", "DBInstanceNotFound", 404)
        item = {"DBInstanceIdentifier": name, "EngineVersion": self.running[name]}
        return {"DBInstances": [item]}

    def _head_object(self, p: Params) -> dict[str, Any]:
        self._owned(p)
        if (p["Bucket"], p["Key"]) not in self.objects:
            raise Refusal("Not Found", "404", 404)
        return {"ContentLength": len(self.objects[p["Bucket"], p["Key"]])}

    def _put_object(self, p: Params) -> dict[str, Any]:
        self._owned(p)
        body = p["Body"]
        self.objects[p["Bucket"], p["Key"]] = body if isinstance(body, bytes) else body.read()
        return {}

    def _invoke(self, p: Params) -> dict[str, Any]:
        self.invoked.append(p["FunctionName"])
        answer: dict[str, Any] = {"StatusCode": 200}
        if self.function_error:
            answer["FunctionError"] = "Unhandled"
        told: dict[str, Any]
        told = {"errorMessage": self.function_error} if self.function_error else {"applied": []}
        return {**answer, "Payload": io.BytesIO(json.dumps(told).encode())}

    def _describe_db_snapshots(self, p: Params) -> dict[str, Any]:
        found = self.snapshots.get(p["DBInstanceIdentifier"], [])
        return {"DBSnapshots": [{"DBSnapshotIdentifier": name} for name in found]}

    def _describe_snapshots(self, p: Params) -> dict[str, Any]:
        found = self.snapshots.get(p["ReplicationGroupId"], [])
        return {"Snapshots": [{"SnapshotName": name} for name in found]}

    def _delete_db_snapshot(self, p: Params) -> dict[str, Any]:
        self.removed.append(p["DBSnapshotIdentifier"])
        return {}

    def _delete_snapshot(self, p: Params) -> dict[str, Any]:
        self.removed.append(p["SnapshotName"])
        return {}

    def _delete_file_system(self, p: Params) -> dict[str, Any]:
        self.removed.append(p["FileSystemId"])
        return {}

    def _schedule_key_deletion(self, p: Params) -> dict[str, Any]:
        self.removed.append(f"{p['KeyId']} in {p['PendingWindowInDays']} days")
        return {}

    def _owned(self, p: Params) -> None:
        if p.get("ExpectedBucketOwner") != self.id:
            raise Refusal("Access Denied", "AccessDenied", 403)
