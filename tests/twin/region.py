"""One account in one region: its stacks, its physical resources, its exports, and who asked what.

Everything that outlives a call is here, in plain sight for assertions. ``standing`` are the
physical resources by id, ``kept`` those that a policy keeps though their stack let go of them,
``removed`` what was deleted, ``snapshots`` what deletions left behind.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from twin.changes import Habits
from twin.clock import VirtualClock
from twin.faults import Faults
from twin.operations import Operations
from twin.records import Held, Stack

ACCOUNT = "123456789012"
REGION = "ap-northeast-1"
READS = ("describe_", "list_", "get_", "head_")


@dataclass(frozen=True)
class Call:
    """One call as the service saw it."""

    service: str
    operation: str
    parameters: Mapping[str, Any]
    moment: float


@dataclass
class Region:
    """The state of everything. ``page_size`` is small, so that a forgotten page is noticed."""

    clock: VirtualClock = field(default_factory=VirtualClock)
    faults: Faults = field(default_factory=Faults)
    page_size: int = 2
    # Seconds by type, by logical id or by (stack, logical id); else the default of the verb.
    durations: dict[Any, float] = field(default_factory=dict)
    change_set_seconds: float = 3.0
    # For so long stacks and change sets are described and listed as before a mutating call.
    stale_seconds: float = 0.0
    # Events younger than this are not told yet.
    events_late: float = 0.0
    # Whether a repeated token is answered like the first time. AWS documents the tokens as made
    # for retries; its answer to a repetition after the operation began was never measured.
    repeats: bool = True
    habits: Habits = field(default_factory=Habits)
    stacks: dict[str, Stack] = field(default_factory=dict)
    operations: dict[str, Operations] = field(default_factory=dict)
    standing: dict[str, Held] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)
    # Resources (stack, logical id) whose rollback was skipped: not as their template says.
    unlike: set[tuple[str, str]] = field(default_factory=set)
    # In express mode: physical ids, and when they will be ready.
    readying: dict[str, float] = field(default_factory=dict)
    # The roles that can be assumed; None: every one.
    roles: set[str] | None = None
    # S3, which the account shares: templates by bucket and key.
    objects: dict[tuple[str, str], bytes] = field(default_factory=dict)
    removed: list[tuple[str, str]] = field(default_factory=list)
    snapshots: list[str] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    # Told of every call that is about to be carried out; may raise.
    watch: Callable[[Call], None] = lambda call: None
    stale: dict[tuple[str, str], tuple[float, Any]] = field(default_factory=dict)
    tokens: dict[str, tuple[str, str]] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def live(self, name: str) -> Stack | None:
        """The stack of that name that is not deleted."""
        for stack in reversed(self.stacks.values()):
            if stack.name == name and stack.status != "DELETE_COMPLETE":
                return stack
        return None

    def found(self, name_or_id: str) -> Stack | None:
        """A stack by id, deleted or not, or a live one by name."""
        return self.stacks.get(name_or_id) or self.live(name_or_id)

    def new_stack(self, name: str) -> Stack:
        """An empty stack in review."""
        stack = Stack(self.arn("stack", name), name, self.clock.date())
        self.stacks[stack.id] = stack
        self.operations[stack.id] = Operations(self, stack)
        return stack

    def arn(self, kind: str, name: str) -> str:
        """An arn that was never given before."""
        return f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:{kind}/{name}/{self._unique()}"

    def new_id(self, stack: str, logical_id: str) -> str:
        """A physical id that was never given before."""
        return f"{stack}-{logical_id}-{next(self._numbers):06X}"

    def new_operation(self) -> str:
        """An OperationId that was never given before."""
        return str(self._unique())

    def unready(self) -> set[str]:
        """The physical resources that an express operation left before they were ready."""
        now = self.clock.now()
        return {key for key, moment in self.readying.items() if moment > now}

    def remove(self, stack: Stack, held: Held, *, snapshot: bool) -> None:
        """Delete a physical resource."""
        self.standing.pop(held.physical_id, None)
        self.removed.append((stack.name, held.logical_id))
        if snapshot:
            self.snapshots.append(held.physical_id)

    def exports(self) -> dict[str, str]:
        """Every export with its value."""
        return {
            name: value for stack in self.stacks.values() for name, value in stack.exports.items()
        }

    def exporter(self, name: str) -> Stack | None:
        """The stack that exports ``name``."""
        return next((stack for stack in self.stacks.values() if name in stack.exports), None)

    def importers(self, name: str) -> list[str]:
        """The names of the stacks that import ``name``, sorted."""
        return sorted(stack.name for stack in self.stacks.values() if name in stack.imports)

    def in_use(self, stack: Stack, exports: Mapping[str, str]) -> str:
        """Why the stack's exports cannot become ``exports``; empty when they can."""
        for name, value in sorted(stack.exports.items()):
            if exports.get(name) == value:
                continue
            users = [user for user in self.importers(name) if user != stack.name]
            if users:
                verb = "updated" if name in exports else "deleted"
                return f"Export {name} cannot be {verb} as it is in use by {' and '.join(users)}"
        return ""

    def seconds(self, stack: str, logical_id: str, kind: str, verb: str) -> float:
        """How long a resource takes."""
        for key in ((stack, logical_id), logical_id, kind):
            if key in self.durations:
                return self.durations[key]
        return {"CREATE": 8.0, "UPDATE": 4.0, "DELETE": 4.0}[verb]

    def settle(self, seconds: float = 100_000.0) -> None:
        """Let everything come to its end."""
        self.clock.sleep(seconds)

    @property
    def literal(self) -> str:
        """What an update is that only puts the literal value in an import's place."""
        return self.habits.literal

    @literal.setter
    def literal(self, habit: str) -> None:
        self.habits = replace(self.habits, literal=habit)

    @property
    def mutations(self) -> list[Call]:
        """The calls that change something."""
        return [
            call
            for call in self.calls
            if call.service != "sts" and not call.operation.startswith(READS)
        ]

    def status(self, name: str) -> str:
        """A live stack's status; empty when there is none."""
        stack = self.live(name)
        return stack.status if stack else ""

    def _unique(self) -> UUID:
        return UUID(int=next(self._numbers))
