"""What AWS says and is told, in the words of the engine. Frozen, and without boto3's shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property


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
    capabilities: tuple[str, ...] = ()

    @property
    def under_way(self) -> bool:
        """Whether an operation goes on; a review waits for a person."""
        return self.status.endswith("_IN_PROGRESS") and self.status != "REVIEW_IN_PROGRESS"


@dataclass(frozen=True)
class PropertyChange:
    """One attribute of a resource in a change set.

    ``path`` is a JSON pointer (``/Properties/Engine``); ``before`` and ``after`` are None where
    CloudFormation does not tell them. ``recreates`` is ``Never``, ``Conditionally`` or ``Always``;
    ``certain`` is False where the value is known only while it is carried out. ``because`` names
    what it follows from (a parameter, ``Resource.Attribute``), empty for the template itself.
    """

    path: str
    before: str | None = None
    after: str | None = None
    recreates: str = ""
    certain: bool = True
    because: str = ""


@dataclass(frozen=True)
class Change:
    """One resource's change in a change set, in AWS's own words.

    ``replacement`` is ``True``, ``False`` or ``Conditional``, ``policy`` what becomes of the old
    resource (``Delete``, ``Retain``, ``ReplaceAndSnapshot``, …); both empty where they do not
    apply. ``before`` and ``after`` are the whole resource as JSON texts, empty where not told.
    """

    action: str
    logical_id: str
    type: str
    replacement: str = ""
    physical_id: str = ""
    policy: str = ""
    scope: tuple[str, ...] = ()
    details: tuple[PropertyChange, ...] = ()
    before: str = ""
    after: str = ""


@dataclass(frozen=True)
class ChangeSet:
    """A change set as described: all pages of its changes. ``execution`` is AWS's
    ExecutionStatus, such as ``AVAILABLE`` or ``OBSOLETE``.
    """

    id: str
    status: str
    reason: str = ""
    changes: tuple[Change, ...] = ()
    execution: str = ""


@dataclass(frozen=True)
class StackEvent:
    """One line of a stack's history. ``token`` is the operation's ClientRequestToken,
    ``operation`` its OperationId; a rollback has one of its own. ``hook`` is the type of the hook
    that speaks, with its own status and reason.
    """

    id: str
    time: datetime
    logical_id: str
    physical_id: str
    type: str
    status: str
    reason: str = ""
    token: str = ""
    operation: str = ""
    hook: str = ""
    hook_status: str = ""
    hook_reason: str = ""
    hook_mode: str = ""


@dataclass(frozen=True)
class Failure:
    """What went wrong in an operation, as DescribeEvents lists it.

    ``kind`` is AWS's event type: ``VALIDATION_ERROR`` (before anything was made; ``path`` is the
    property), ``HOOK_INVOCATION_ERROR`` (``name`` is the hook), ``PROVISIONING_ERROR`` or
    ``STACK_EVENT``. ``fatal`` is False for what only warns.
    """

    kind: str
    logical_id: str
    type: str
    reason: str
    name: str = ""
    path: str = ""
    fatal: bool = True


@dataclass(frozen=True)
class Resource:
    """A resource of a deployed stack."""

    logical_id: str
    physical_id: str
    type: str
    status: str


@dataclass(frozen=True)
class Manner:
    """How stacks are changed: as whom CloudFormation acts (``role_arn``, empty: the caller), and
    whether in its express mode, which ends before resources are stable.
    """

    role_arn: str = ""
    express: bool = False


@dataclass(frozen=True)
class Request:
    """What a change set is made from: the template as it was rendered, and its inputs.

    ``written`` gives the template's text; it is called when that is first needed, because most
    stacks of most runs are unchanged, and recognised without it.

    ``template_url`` is where the template lies when it is too long for the request itself;
    ``previous`` names the parameters that keep the value they have (NoEcho: nobody can repeat it).
    """

    stack: str
    written: Callable[[], str] = field(compare=False, repr=False)
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    capabilities: Sequence[str]
    template_url: str = ""
    previous: frozenset[str] = frozenset()

    @cached_property
    def template(self) -> str:
        """The template's text."""
        return self.written()


@dataclass(frozen=True)
class Kept:
    """Data that outlives its stack: ``kind`` in words, ``id`` as AWS calls it."""

    kind: str
    id: str
