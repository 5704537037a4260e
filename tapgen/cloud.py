"""What tapgen asks of AWS, in the words of the engine, and how AWS can refuse.

Values and a protocol: ``aws`` answers with boto3, the tests with a twin in memory. Nothing here
imports either. A stack is always meant by its id once it has one, because a name can be given
again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from tapgen.errors import TapgenError


@dataclass(frozen=True)
class Caller:
    """Who is asking, where."""

    account: str
    arn: str
    region: str


@dataclass(frozen=True)
class DeployedStack:
    """A stack as AWS describes it. ``exports`` maps export names to values."""

    id: str
    name: str
    status: str
    reason: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    exports: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    protected: bool = False
    changed: datetime | None = None


@dataclass(frozen=True)
class Change:
    """One resource's change in a change set. ``replacement`` is ``True``, ``False`` or
    ``Conditional``, as AWS writes it; empty where it does not apply.
    """

    action: str
    logical_id: str
    type: str
    replacement: str = ""


@dataclass(frozen=True)
class ChangeSet:
    """A change set as described: all pages of its changes."""

    id: str
    status: str
    reason: str = ""
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True)
class StackEvent:
    """One line of a stack's history. ``token`` is the operation's ClientRequestToken."""

    id: str
    time: datetime
    logical_id: str
    physical_id: str
    type: str
    status: str
    reason: str = ""
    token: str = ""


@dataclass(frozen=True)
class Resource:
    """A resource of a deployed stack."""

    logical_id: str
    physical_id: str
    type: str
    status: str


@dataclass(frozen=True)
class Request:
    """What a change set is made from: the template as it was rendered, and its inputs."""

    stack: str
    template: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    capabilities: Sequence[str]


class CloudError(TapgenError):
    """AWS answered no, or did not answer."""


class NoCredentials(CloudError):
    """Nobody to be."""

    def __init__(self, detail: str) -> None:
        self.detail = detail
        super().__init__(
            f"no AWS credentials: {detail}; sign in (aws sso login), set AWS_PROFILE, "
            "or use --local for the embedded AWS"
        )


class ExpiredCredentials(CloudError):
    """Credentials that were good once. Operations under way run on."""

    def __init__(self, detail: str) -> None:
        self.detail = detail
        super().__init__(f"the AWS credentials have expired ({detail}); sign in and run it again")


class Unreachable(CloudError):
    """No answer from an endpoint."""

    def __init__(self, service: str, endpoint: str, detail: str) -> None:
        self.service, self.endpoint, self.detail = service, endpoint, detail
        super().__init__(
            f"cannot reach {service} at {endpoint}; check the network, the proxy and "
            "AWS_ENDPOINT_URL"
        )


class Throttled(CloudError):
    """Asked too often, even after botocore's own retries."""

    def __init__(self, operation: str) -> None:
        self.operation = operation
        super().__init__(f"AWS throttles {operation}; wait a minute and run it again")


class Refused(CloudError):
    """An answer with an error code. ``code`` and ``detail`` are AWS's own."""

    def __init__(self, operation: str, code: str, detail: str) -> None:
        self.operation, self.code, self.detail = operation, code, detail
        super().__init__(f"AWS refused {operation}: {detail} ({code})")


class AccessDenied(Refused):
    """A permission is missing."""


class FunctionFailed(CloudError):
    """A Lambda function that was run and ended with an error of its own."""

    def __init__(self, function: str, detail: str) -> None:
        self.function, self.detail = function, detail
        super().__init__(f"{function} failed: {detail}; its log group has the whole story")


class CloudFormation(Protocol):
    """Stacks, change sets and events. Every method may raise ``CloudError``."""

    def stack(self, name_or_id: str) -> DeployedStack | None:
        """The stack; None when there is none, or none any more."""

    def stacks(self, prefix: str) -> list[DeployedStack]:
        """All live stacks whose name starts with ``prefix``."""

    def create_change_set(self, request: Request, name: str, *, create: bool, token: str) -> str:
        """Start making a change set; returns its id. ``create`` says the stack is new."""

    def change_set(self, change_set_id: str) -> ChangeSet:
        """The change set as it stands now."""

    def change_sets(self, stack_id: str) -> list[str]:
        """The ids of a stack's change sets, whoever made them."""

    def execute_change_set(self, change_set_id: str, token: str) -> None:
        """Start carrying a change set out."""

    def delete_change_set(self, change_set_id: str) -> None:
        """Remove a change set; none there is fine."""

    def delete_stack(self, stack_id: str, token: str) -> None:
        """Start deleting a stack. AWS answers yes even when it then refuses."""

    def events(self, stack_id: str, after: str | None) -> list[StackEvent]:
        """The stack's events, oldest first, newer than the event with the id ``after``."""

    def resources(self, stack_id: str) -> list[Resource]:
        """The resources of a stack."""

    def template(self, stack_id: str) -> str:
        """The template as it was given."""

    def importers(self, export: str) -> list[str]:
        """The names of the stacks that import ``export``."""


class Services(Protocol):
    """Any service, asked in botocore's words: for who looks at deployed resources themselves.

    Answers are botocore's plain dictionaries. Both methods may raise ``CloudError``.
    """

    def call(self, service: str, operation: str, **arguments: Any) -> dict[str, Any]:
        """Call one operation (``"ec2", "describe_vpcs"``) and return its answer."""

    def pages(
        self, service: str, operation: str, member: str, **arguments: Any
    ) -> Iterator[dict[str, Any]]:
        """Yield the items under ``member`` over all pages of an operation that has pages."""


@dataclass(frozen=True)
class Kept:
    """Data that outlives its stack: ``kind`` in words, ``id`` as AWS calls it."""

    kind: str
    id: str


class Account(Protocol):
    """What the deployer asks of the account beside its stacks."""

    def caller(self) -> Caller:
        """Who is asking."""

    def ensure_service_linked_role(self, service: str) -> bool:
        """Make a service's linked role where it is missing; True when it was made now."""

    def api_gateway_log_role(self) -> str | None:
        """The role that API Gateway logs with in this account and region."""

    def offered_versions(self, engine: str) -> list[str]:
        """The versions RDS creates instances of ``engine`` with, as RDS lists them."""

    def running_version(self, instance: str) -> str | None:
        """The engine version of a database instance; None when there is none."""

    def upload(self, path: Path, bucket: str, key: str) -> bool:
        """Put a file into the bucket unless the key is there; True when it was sent now."""

    def invoke(self, function: str) -> str:
        """Run a Lambda function to its end and return its answer (JSON). An error of the function
        is a ``CloudError`` too.
        """

    def has_object(self, bucket: str, key: str) -> bool:
        """Whether the bucket holds the key."""

    def put_object(self, bucket: str, key: str, content: bytes) -> None:
        """Write an object."""

    def snapshots(self, resource: Resource) -> list[Kept]:
        """The snapshots made by hand or by CloudFormation of a database or a cache."""

    def delete_kept(self, kept: Kept) -> None:
        """Remove data for good (a key: schedule it, with the shortest wait AWS allows)."""
