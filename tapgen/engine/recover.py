"""Stacks that something went wrong with before: what happened, and the way back.

``diagnose`` reads it off a stack at rest. The procedures here take a stack out of a state that no
update starts from, each only when the user said so. What is to be done in which state is
``plan``'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tapgen.cloud import CloudFormation, DeployedStack, Refused, Resource, StackEvent
from tapgen.engine import causes
from tapgen.engine.events import StackFailed, StackStarted
from tapgen.engine.operation import Watch, Watching
from tapgen.engine.plan import Action, Step
from tapgen.engine.run import Run
from tapgen.errors import UsageError

T = TypeVar("T")

_CANCELLED = "User Initiated"


@dataclass(frozen=True)
class Stuck:
    """A resource that could not be taken back or deleted, and why."""

    resource: Resource
    reason: str

    @property
    def may_be_skipped(self) -> bool:
        """Whether a rollback can go on without it (ContinueUpdateRollback's reference)."""
        return self.resource.status == "UPDATE_FAILED"

    @property
    def may_be_retained(self) -> bool:
        """Whether a deletion can go on without it (DeleteStack's reference)."""
        return self.resource.status == "DELETE_FAILED"

    @property
    def told(self) -> str:
        """In one line."""
        return f"{self.resource.logical_id} ({self.resource.type}): {self.reason or 'no reason'}"


@dataclass(frozen=True)
class Diagnosis:
    """What became of a stack's last operation.

    ``cause`` is the earliest failure, ``reason`` its words or the stack's own; ``stuck`` what could
    not be taken back or deleted; ``remaining`` what still stands of it.
    """

    stack: DeployedStack
    cause: StackEvent | None = None
    reason: str = ""
    stuck: tuple[Stuck, ...] = ()
    remaining: tuple[Resource, ...] = ()

    @property
    def told(self) -> str:
        """The cause in one line; empty where nobody knows."""
        where = f"{self.cause.logical_id} ({self.cause.type}): " if self.cause else ""
        return f"{where}{self.reason}"


def is_ours(stack: DeployedStack) -> bool:
    """Whether tapgen made the stack: nothing else is ever deleted to make room."""
    return stack.tags.get("ManagedBy") == "tapgen"


def diagnose(cloud: CloudFormation, stack: DeployedStack) -> Diagnosis:
    """Read what became of the last operation of a stack at rest.

    Raises ``CloudError``, but not where the history may not be read: it only illustrates.
    """
    try:
        events = causes.last_operation(cloud.events(stack.id, None), stack.id)
        resources = cloud.resources(stack.id)
    except Refused:
        return Diagnosis(stack, reason=stack.reason)
    cause = causes.root_cause(events)
    told = cause.reason if cause else causes.stack_reason(events) or stack.reason
    if not told and any(e.reason == _CANCELLED and "ROLLBACK" in e.status for e in events):
        told = "it was cancelled"
    reasons = {event.logical_id: event.reason for event in events}
    stuck = [
        Stuck(resource, reasons.get(resource.logical_id, ""))
        for resource in resources
        if resource.status.endswith("_FAILED")
        and resource.physical_id
        # Stopped because a sibling failed; CloudFormation does not let those be given up.
        and "cancel" not in reasons.get(resource.logical_id, "").lower()
    ]
    remaining = [r for r in resources if r.physical_id and r.status != "DELETE_COMPLETE"]
    return Diagnosis(stack, cause, told, tuple(stuck), tuple(remaining))


def whose(event: StackEvent | None) -> str:
    """Who began the operation that this event belongs to, as far as it tells."""
    if event is None or not (event.token or event.operation):
        return "of somebody else"
    if event.token.startswith("tapgen-"):
        return "of an earlier run of tapgen, which this one resumes"
    if event.token.startswith("Console-"):
        return "begun in the console"
    return f"token {event.token}" if event.token else f"operation {event.operation}"


class UnknownResource(UsageError):
    """A resource to give up that is not in the way."""

    def __init__(self, name: str, candidates: Sequence[str]) -> None:
        self.name, self.candidates = name, tuple(candidates)
        there = ", ".join(candidates) or "nothing"
        super().__init__(f"{name!r} is not in the way; what is: {there}")


class AmbiguousResource(UsageError):
    """A resource's name that several stacks have."""

    def __init__(self, name: str, stacks: Sequence[str]) -> None:
        self.name, self.stacks = name, tuple(stacks)
        super().__init__(
            f"{name!r} is in {' and '.join(stacks)}: write {stacks[0]}/{name}, for example"
        )


def named(names: Sequence[str], candidates: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The logical ids meant by ``names`` (``ID`` or ``STACK/ID``), by stack.

    ``candidates`` are those that may be meant. Raises ``UnknownResource``, ``AmbiguousResource``.
    """
    found: dict[str, list[str]] = {}
    for name in names:
        stack, _, logical_id = name.rpartition("/")
        places = [
            place
            for place, ids in candidates.items()
            if logical_id in ids and (not stack or place == stack or place.endswith(f"-{stack}"))
        ]
        if not places:
            known = [f"{place}/{each}" for place, ids in candidates.items() for each in ids]
            raise UnknownResource(name, known)
        if len(places) > 1:
            raise AmbiguousResource(name, places)
        found.setdefault(places[0], []).append(logical_id)
    return found


# Taking a stack to where an update or a creation can start


def refused(run: Run, step: Step, stack: DeployedStack | None, watch: Watch) -> Watching[None]:
    """Tell why nothing is done about a stack, what happened to it, and what would help."""
    if stack is None:
        yield StackFailed(step.stack, "", step.why)
        return
    found = yield from watch.patiently(lambda: diagnose(run.cloud, stack))
    stuck = [item.told for item in found.stuck]
    first = [found.told] if found.told and (not stuck or step.action is Action.RECREATE) else []
    told = "; ".join(dict.fromkeys([*first, *stuck]))
    ids = " ".join(
        f"--skip {item.resource.logical_id}" for item in found.stuck if item.may_be_skipped
    )
    remedy = ""
    if step.action is Action.RECREATE:
        remedy = "look at what failed, then run again with --recreate-failed"
    elif step.action is Action.RECOVER and ids:
        remedy = (
            "mend what is named, then run again with --recover; or give those up with "
            f"--recover {ids}: they will differ from the template"
        )
    elif step.action is Action.RECOVER:
        remedy = "run again with --recover: it is taken back to before the update first"
    yield StackFailed(
        step.stack, stack.status, f"{step.why}{': ' if told else ''}{told}", found.cause, remedy
    )


def removed(run: Run, stack: DeployedStack, watch: Watch) -> Watching[bool]:
    """Delete a stack whose creation failed; returns whether it is gone, and tells why not."""
    if not is_ours(stack):
        yield StackFailed(
            stack.name,
            stack.status,
            "its creation failed, and it does not say that tapgen made it (tag ManagedBy)",
            remedy="if it is not needed, delete it by hand; nothing was deleted",
        )
        return False
    yield StackStarted(stack.name, "delete")
    yield from watch.begin(stack.id)
    token = run.token(stack.name, "recreate")
    yield from watch.patiently(lambda: run.cloud.delete_stack(stack.id, token))
    left = yield from watch.to_the_end(stack.id, stack)
    if left is not None:
        yield watch.failure(left)
    return left is None


def taken_back(run: Run, stack: DeployedStack, watch: Watch) -> Watching[DeployedStack | None]:
    """Take a failed update back to before; returns the stack, or None after telling why not."""
    yield StackStarted(stack.name, "recover")
    yield from watch.begin(stack.id)
    token = run.token(stack.name, "recover")
    skip = tuple(run.skip.get(stack.name, ()))
    if stack.status == "UPDATE_FAILED":
        yield from watch.patiently(lambda: run.cloud.roll_back(stack.id, token))
    else:
        yield from watch.patiently(lambda: run.cloud.continue_rollback(stack.id, token, skip))
    now = yield from watch.to_the_end(stack.id, stack)
    if now is None:
        yield StackFailed(stack.name, "DELETE_COMPLETE", "it is gone")
    elif now.status != "UPDATE_ROLLBACK_COMPLETE":
        yield from refused(run, Step("", stack.name, Action.RECOVER, _AGAIN), now, watch)
        return None
    return now


_AGAIN = "it could not be taken back"
