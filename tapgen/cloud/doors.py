"""The doors to AWS, as the engine sees them: one for stacks, one for the account around them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from tapgen.cloud.values import (
    Caller,
    ChangeSet,
    DeployedStack,
    Failure,
    Kept,
    Manner,
    Request,
    Resource,
    StackEvent,
)


class CloudFormation(Protocol):
    """Stacks, change sets and events. Every method may raise ``CloudError``."""

    def stack(self, name_or_id: str) -> DeployedStack | None:
        """The stack; None when there is none, or none any more."""

    def stacks(self, prefix: str) -> list[DeployedStack]:
        """All live stacks whose name starts with ``prefix``."""

    def create_change_set(self, request: Request, name: str, *, create: bool, token: str) -> str:
        """Start making a change set; returns its id. ``create`` says the stack is new."""

    def change_set(self, change_set_id: str, *, values: bool = False) -> ChangeSet:
        """The change set as it stands now; with ``values`` the properties before and after, too.

        Some changes are listed only without them (what refers to resources made anew), so a plan
        asks for both.
        """

    def change_sets(self, stack_id: str) -> list[str]:
        """The ids of a stack's change sets, whoever made them."""

    def execute_change_set(self, change_set_id: str, token: str) -> None:
        """Start carrying a change set out. Where it is rolled back, what it made goes again."""

    def delete_change_set(self, change_set_id: str) -> None:
        """Remove a change set; none there is fine."""

    def delete_stack(
        self, stack_id: str, token: str, *, retain: Sequence[str] = (), force: bool = False
    ) -> None:
        """Start deleting a stack. AWS answers yes even when it then refuses.

        ``retain`` (logical ids) and ``force`` are for a stack in DELETE_FAILED only.
        """

    def cancel_update(self, stack_id: str, token: str) -> None:
        """Have an update that is under way rolled back; refused in every other status."""

    def roll_back(self, stack_id: str, token: str) -> None:
        """Take a stack in CREATE_FAILED or UPDATE_FAILED back to its last good state."""

    def continue_rollback(self, stack_id: str, token: str, skip: Sequence[str] = ()) -> None:
        """Try again to roll back a stack in UPDATE_ROLLBACK_FAILED, giving up on the resources
        in ``skip`` (logical ids), which then differ from the template.
        """

    def protect(self, stack_id: str, *, on: bool) -> None:
        """Switch a stack's termination protection."""

    def set_policy(self, stack_id: str, policy: str) -> None:
        """Give a stack a stack policy (JSON)."""

    def policy(self, stack_id: str) -> str:
        """A stack's policy (JSON); empty without."""

    def events(self, stack_id: str, after: str | None) -> list[StackEvent]:
        """The stack's events, oldest first, newer than the event with the id ``after``."""

    def newest_event(self, stack_id: str) -> StackEvent | None:
        """The last line of the stack's history; one call however long it is."""

    def failures(
        self, stack_id: str, *, operation: str = "", change_set: str = ""
    ) -> list[Failure]:
        """What went wrong in an operation (its id) or in making a change set (its id), early
        validation and hooks included, oldest first.
        """

    def resources(self, stack_id: str) -> list[Resource]:
        """The resources of a stack."""

    def template(self, stack_id: str) -> str:
        """The template as it was given."""

    def importers(self, export: str) -> list[str]:
        """The names of the stacks that import ``export``."""

    def acting(self, manner: Manner) -> CloudFormation:
        """The same door, through which everything is changed in this manner."""


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


class Account(Protocol):
    """What the deployer asks of the account beside its stacks."""

    def caller(self) -> Caller:
        """Who is asking."""

    def alias(self) -> str:
        """The account's alias; empty where it has none or nobody may ask."""

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
