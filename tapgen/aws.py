"""The only module that imports boto3: the engine's questions, asked of AWS.

Answers become the values of ``cloud``, refusals its errors; botocore's shapes and exceptions end
here. One session and one client a service, made when first used and shared by threads (botocore's
clients are safe for that, its sessions are not).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOTokenLoadError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
from botocore.exceptions import ConnectionError as NoConnection
from botocore.parsers import ResponseParserError
from botocore.session import Session

from tapgen import names
from tapgen.cloud import (
    AccessDenied,
    Caller,
    Change,
    ChangeSet,
    CloudError,
    DeployedStack,
    ExpiredCredentials,
    FunctionFailed,
    Kept,
    NoCredentials,
    Refused,
    Request,
    Resource,
    StackEvent,
    Throttled,
    Unreachable,
)

_THROTTLES = {
    "Throttling",
    "ThrottlingException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized"}
_UNKNOWN = {"InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch"}
_UNAVAILABLE = {"ServiceUnavailable", "InternalFailure", "InternalError", "RequestTimeout"}


@dataclass(frozen=True)
class Endpoint:
    """Where another AWS than AWS answers, and whom it takes us for."""

    url: str
    access_key: str
    secret_key: str


class Connection:
    """The clients of the services, each made when first used and shared by all threads.

    ``make`` returns a new client of a service; ``connect`` makes one that speaks to AWS.
    """

    def __init__(self, make: Callable[[str], Any]) -> None:
        self._make = make
        self._clients: dict[str, Any] = {}
        self._making = Lock()

    def client(self, service: str) -> Any:
        """The client of a service. Raises ``CloudError``."""
        with self._making:
            if service not in self._clients:
                with _translated(service, "start"):
                    self._clients[service] = self._make(service)
            return self._clients[service]

    def call(self, service: str, operation: str, **arguments: Any) -> dict[str, Any]:
        """Call one operation (``describe_stacks``) and return the answer. Raises ``CloudError``."""
        client = self.client(service)
        with _translated(service, operation):
            answer: dict[str, Any] = getattr(client, operation)(**arguments)
        return answer

    def pages(
        self, service: str, operation: str, member: str, **arguments: Any
    ) -> Iterator[dict[str, Any]]:
        """Yield the items under ``member`` over all pages. Raises ``CloudError``."""
        client = self.client(service)
        with _translated(service, operation):
            for page in client.get_paginator(operation).paginate(**arguments):
                yield from page.get(member, ())


class AwsCloudFormation:
    """``cloud.CloudFormation``, answered by CloudFormation."""

    def __init__(self, connection: Connection) -> None:
        self._aws = connection

    def stack(self, name_or_id: str) -> DeployedStack | None:
        """The stack; None when there is none, or none any more."""
        try:
            answer = self._aws.call("cloudformation", "describe_stacks", StackName=name_or_id)
        except Refused as error:
            if _is_missing(error):
                return None
            raise
        stack = _stack(answer["Stacks"][0])
        return None if stack.status == "DELETE_COMPLETE" else stack

    def stacks(self, prefix: str) -> list[DeployedStack]:
        """All live stacks whose name starts with ``prefix``."""
        found = self._aws.pages("cloudformation", "describe_stacks", "Stacks")
        return [_stack(stack) for stack in found if stack["StackName"].startswith(prefix)]

    def create_change_set(self, request: Request, name: str, *, create: bool, token: str) -> str:
        """Start making a change set; returns its id."""
        answer = self._aws.call(
            "cloudformation",
            "create_change_set",
            StackName=request.stack,
            ChangeSetName=name,
            ChangeSetType="CREATE" if create else "UPDATE",
            TemplateBody=request.template,
            Parameters=_pairs(request.parameters, "ParameterKey", "ParameterValue"),
            Tags=_pairs(request.tags, "Key", "Value"),
            Capabilities=list(request.capabilities),
            ClientToken=token,
            Description=f"{'Create' if create else 'Update'} {request.stack}",
        )
        return str(answer["Id"])

    def change_set(self, change_set_id: str) -> ChangeSet:
        """The change set as it stands now, all pages of its changes."""
        arguments: dict[str, Any] = {"ChangeSetName": change_set_id}
        changes: list[Change] = []
        while True:
            answer = self._aws.call("cloudformation", "describe_change_set", **arguments)
            changes += [_change(item["ResourceChange"]) for item in answer.get("Changes", ())]
            if "NextToken" not in answer:
                break
            arguments["NextToken"] = answer["NextToken"]
        return ChangeSet(
            change_set_id, answer["Status"], answer.get("StatusReason", ""), tuple(changes)
        )

    def change_sets(self, stack_id: str) -> list[str]:
        """The ids of a stack's change sets, whoever made them."""
        found = self._aws.pages(
            "cloudformation", "list_change_sets", "Summaries", StackName=stack_id
        )
        return [item["ChangeSetId"] for item in found]

    def execute_change_set(self, change_set_id: str, token: str) -> None:
        """Start carrying a change set out."""
        self._aws.call(
            "cloudformation",
            "execute_change_set",
            ChangeSetName=change_set_id,
            ClientRequestToken=token,
        )

    def delete_change_set(self, change_set_id: str) -> None:
        """Remove a change set; none there is fine."""
        try:
            self._aws.call("cloudformation", "delete_change_set", ChangeSetName=change_set_id)
        except Refused as error:
            if error.code != "ChangeSetNotFound" and not _is_missing(error):
                raise

    def delete_stack(self, stack_id: str, token: str) -> None:
        """Start deleting a stack. AWS answers yes even when it then refuses."""
        self._aws.call(
            "cloudformation", "delete_stack", StackName=stack_id, ClientRequestToken=token
        )

    def events(self, stack_id: str, after: str | None) -> list[StackEvent]:
        """The stack's events, oldest first, newer than the event with the id ``after``."""
        found = []
        # Newest first, and whole pages of history may lie behind: stop at what is known.
        for item in self._aws.pages(
            "cloudformation", "describe_stack_events", "StackEvents", StackName=stack_id
        ):
            if item["EventId"] == after:
                break
            found.append(_event(item))
        return list(reversed(found))

    def resources(self, stack_id: str) -> list[Resource]:
        """The resources of a stack."""
        return [
            Resource(
                item["LogicalResourceId"],
                item.get("PhysicalResourceId", ""),
                item["ResourceType"],
                item["ResourceStatus"],
            )
            for item in self._aws.pages(
                "cloudformation",
                "list_stack_resources",
                "StackResourceSummaries",
                StackName=stack_id,
            )
        ]

    def template(self, stack_id: str) -> str:
        """The template as it was given."""
        answer = self._aws.call(
            "cloudformation", "get_template", StackName=stack_id, TemplateStage="Original"
        )
        body = answer["TemplateBody"]
        if isinstance(body, str):
            return body
        from tapgen import yaml_text

        # botocore parses a template that was given as JSON.
        return yaml_text.dump(body)

    def importers(self, export: str) -> list[str]:
        """The names of the stacks that import ``export``."""
        try:
            found = self._aws.pages("cloudformation", "list_imports", "Imports", ExportName=export)
            return [str(name) for name in found]
        except Refused as error:
            # "Export 'x' is not imported by any stack." is how AWS says: nobody.
            if "is not imported" in error.detail or "does not exist" in error.detail:
                return []
            raise


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


def connect(profile: str | None = None, endpoint: Endpoint | None = None) -> Connection:
    """A connection to AWS as ``profile`` says, or to ``endpoint``. Raises ``CloudError``."""
    with _translated("session", "start"):
        session = boto3.Session(
            profile_name=profile if endpoint is None else None,
            region_name=names.REGION,
            aws_access_key_id=endpoint.access_key if endpoint else None,
            aws_secret_access_key=endpoint.secret_key if endpoint else None,
            botocore_session=_of_nobody() if endpoint else None,
        )

    def make(service: str) -> Any:
        return session.client(  # type: ignore[call-overload]
            service,
            endpoint_url=endpoint.url if endpoint else None,
            config=_config(service, local=endpoint is not None),
        )

    return Connection(make)


def _of_nobody() -> Session:
    """A botocore session that no profile, file or variable of the user's has a say in."""
    return Session(
        session_vars={
            "profile": (None, None, None, None),
            "config_file": (None, None, os.devnull, None),
            "credentials_file": (None, None, os.devnull, None),
        }
    )


def _error_message(payload: str) -> str:
    try:
        told = json.loads(payload)
    except ValueError:
        return payload[:500]
    return str(told.get("errorMessage", payload)) if isinstance(told, dict) else payload


def _config(service: str, *, local: bool) -> Config:
    # sts comes first: where nobody answers it, waiting through ten tries helps nobody.
    tries = 3 if local or service == "sts" else 10
    return Config(
        # A function must not be run twice because its answer took long.
        retries={"mode": "standard", "max_attempts": 1 if service == "lambda" else tries},
        connect_timeout=5,
        # The longest that a migration may take (the API tier), and a little more.
        read_timeout=320 if service == "lambda" else 60,
        user_agent_extra="tapgen",
        # The embedded AWS has no names like bucket.s3.localhost.
        s3={"addressing_style": "path"} if local and service == "s3" else None,
    )


@contextmanager
def _translated(service: str, operation: str) -> Iterator[None]:
    """Turn botocore's exceptions into ours."""
    try:
        yield
    except ClientError as error:
        raise _refusal(f"{service}:{_pascal(operation)}", error) from error
    except (NoCredentialsError, PartialCredentialsError, ProfileNotFound) as error:
        raise NoCredentials(str(error)) from error
    except (SSOTokenLoadError, TokenRetrievalError, UnauthorizedSSOTokenError) as error:
        raise ExpiredCredentials(str(error)) from error
    except (EndpointConnectionError, NoConnection, HTTPClientError) as error:
        endpoint = str(error.kwargs.get("endpoint_url", "its endpoint"))
        raise Unreachable(service, endpoint, str(error)) from error
    except ResponseParserError as error:
        # An answer cut short, or a proxy's page instead of one.
        raise Unreachable(service, "its endpoint", str(error)) from error
    except BotoCoreError as error:
        raise CloudError(f"{service}:{_pascal(operation)} failed: {error}") from error


def _refusal(operation: str, error: ClientError) -> CloudError:
    told = error.response.get("Error", {})
    code, detail = str(told.get("Code", "")), str(told.get("Message", ""))
    if code in _THROTTLES:
        return Throttled(operation)
    if code in _EXPIRED:
        return ExpiredCredentials(detail)
    if code in _UNKNOWN:
        return NoCredentials(detail)
    if code in _UNAVAILABLE or error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") in (
        502,
        503,
        504,
    ):
        return Unreachable(operation.split(":")[0], "its endpoint", detail)
    kind = AccessDenied if code in _DENIED else Refused
    return kind(operation, code, detail)


def _is_missing(error: Refused) -> bool:
    return error.code == "ValidationError" and "does not exist" in error.detail


def _pascal(operation: str) -> str:
    return re.sub("(?:^|_)([a-z])", lambda match: match.group(1).upper(), operation)


def _pairs(values: Mapping[str, str], key: str, value: str) -> list[dict[str, str]]:
    return [{key: name, value: item} for name, item in values.items()]


def _stack(item: Mapping[str, Any]) -> DeployedStack:
    outputs = item.get("Outputs", ())
    return DeployedStack(
        id=item["StackId"],
        name=item["StackName"],
        status=item["StackStatus"],
        reason=item.get("StackStatusReason", ""),
        parameters={
            p["ParameterKey"]: p.get("ParameterValue", "") for p in item.get("Parameters", ())
        },
        outputs={o["OutputKey"]: o["OutputValue"] for o in outputs},
        exports={o["ExportName"]: o["OutputValue"] for o in outputs if "ExportName" in o},
        tags={tag["Key"]: tag["Value"] for tag in item.get("Tags", ())},
        protected=bool(item.get("EnableTerminationProtection", False)),
        changed=item.get("LastUpdatedTime", item.get("CreationTime")),
    )


def _change(item: Mapping[str, Any]) -> Change:
    return Change(
        item["Action"],
        item["LogicalResourceId"],
        item["ResourceType"],
        item.get("Replacement", ""),
    )


def _event(item: Mapping[str, Any]) -> StackEvent:
    return StackEvent(
        id=item["EventId"],
        time=item["Timestamp"],
        logical_id=item.get("LogicalResourceId", ""),
        physical_id=item.get("PhysicalResourceId", ""),
        type=item.get("ResourceType", ""),
        status=item.get("ResourceStatus", ""),
        reason=item.get("ResourceStatusReason", ""),
        token=item.get("ClientRequestToken", ""),
    )
