"""What CloudFormation remembers: stacks, their resources, events and change sets. Plain records.

``Held`` is a resource as a stack holds it; the thing itself, by its physical id, is in the
twin's ``standing``, and stays there when a stack lets go of it without deleting it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from twin.clock import Process


class Refusal(Exception):
    """An answer that is an error: AWS's code and words."""

    def __init__(self, message: str, code: str = "ValidationError", http: int = 400) -> None:
        self.code, self.message, self.http = code, message, http
        super().__init__(f"{code}: {message}")


@dataclass(frozen=True)
class Version:
    """What a stack runs, or is to run: a template with all that goes into it."""

    text: str
    document: Mapping[str, Any]
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    capabilities: tuple[str, ...] = ()


@dataclass
class Held:
    """A resource of a stack."""

    logical_id: str
    type: str
    physical_id: str
    status: str
    changed: datetime
    properties: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    deletion_policy: str = "Delete"
    replace_policy: str = "Delete"
    needs: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Output:
    """An output with its value; ``export`` is the name it is exported under, if it is."""

    key: str
    value: str
    description: str = ""
    export: str | None = None


@dataclass(frozen=True)
class Event:
    """One line of a stack's history."""

    id: str
    time: datetime
    logical_id: str
    physical_id: str
    type: str
    status: str
    reason: str
    token: str
    operation: str = ""
    hook: HookAnswer | None = None


@dataclass(frozen=True)
class HookAnswer:
    """What a hook says of a resource: ``mode`` is FAIL or WARN."""

    type: str
    status: str
    reason: str
    mode: str


@dataclass
class Operation:
    """One attempt at a stack, as DescribeEvents groups its events; a rollback is one of its own."""

    id: str
    type: str
    token: str
    began: datetime
    status: str = "IN_PROGRESS"
    ended: datetime | None = None


@dataclass
class Difference:
    """The changes of a change set, plain and with values, in AWS's shape; what values drop."""

    plain: list[dict[str, Any]] = field(default_factory=list)
    valued: list[dict[str, Any]] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)


@dataclass
class ChangeSet:
    """A change set. ``execution`` is its ExecutionStatus."""

    id: str
    name: str
    stack_id: str
    kind: str
    version: Version
    created: datetime
    description: str = ""
    token: str = ""
    on_failure: str = "ROLLBACK"
    status: str = "CREATE_PENDING"
    execution: str = "UNAVAILABLE"
    reason: str = ""
    changes: Difference = field(default_factory=Difference)
    role: str = ""
    mode: str = ""
    # Whether a failure stays as it is; None leaves it to the mode.
    stays: bool | None = None
    operation: str = ""
    # Failed validations and hooks, in the shape of DescribeEvents.
    findings: list[dict[str, Any]] = field(default_factory=list)
    # Physical ids by logical id of what it imports.
    imported: Mapping[str, str] = field(default_factory=dict)
    # Whether early validation looks at it.
    checked: bool = True


@dataclass
class Stack:
    """A stack, from its review to long after its deletion."""

    id: str
    name: str
    created: datetime
    status: str = "REVIEW_IN_PROGRESS"
    reason: str = ""
    updated: datetime | None = None
    deleted: datetime | None = None
    version: Version | None = None
    held: dict[str, Held] = field(default_factory=dict)
    outputs: tuple[Output, ...] = ()
    imports: frozenset[str] = frozenset()
    events: list[Event] = field(default_factory=list)
    change_sets: dict[str, ChangeSet] = field(default_factory=dict)
    protected: bool = False
    policy: str = ""
    on_failure: str = "ROLLBACK"
    role: str = ""
    # STANDARD or EXPRESS, empty where nobody said.
    mode: str = ""
    # What newly made resources that a policy keeps become when their operation is rolled back.
    retain_except_on_create: bool = False
    token: str = ""
    operations: list[Operation] = field(default_factory=list)
    process: Process | None = None
    # Resources that this operation deleted: they are listed until the next one begins.
    gone: dict[str, Held] = field(default_factory=dict)

    @property
    def exports(self) -> dict[str, str]:
        """Values by export name."""
        return {item.export: item.value for item in self.outputs if item.export is not None}

    @property
    def busy(self) -> bool:
        """Whether an operation is under way."""
        return self.status.endswith("_IN_PROGRESS") and self.status != "REVIEW_IN_PROGRESS"

    @property
    def operation(self) -> str:
        """The id of the operation under way, or of the last one."""
        return self.operations[-1].id if self.operations else ""


@dataclass
class Before:
    """A stack as it was before an update, to go back to."""

    held: dict[str, Held]
    imports: frozenset[str]
    skipped: set[str] = field(default_factory=set)
    # What the rollback itself could not take back, as opposed to what it cancelled.
    stuck: set[str] = field(default_factory=set)
