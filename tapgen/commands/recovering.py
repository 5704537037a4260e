"""What went wrong with stacks before, told to whoever deploys now, and what they allow about it.

Nothing is deleted, taken back or given up without a word of theirs: a flag, or the answer to a
question that comes after what failed and what remains.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from tapgen.commands import common
from tapgen.errors import UsageError

if TYPE_CHECKING:
    from tapgen.cloud import CloudFormation, DeployedStack
    from tapgen.engine.plan import Step
    from tapgen.engine.recover import Diagnosis


@dataclass(frozen=True)
class Allowed:
    """What a run may do beyond the ordinary: the fields of ``Run`` of the same names."""

    recreate: frozenset[str] = frozenset()
    recover: frozenset[str] = frozenset()
    skip: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Flags:
    """What the command line allows."""

    recreate_failed: bool
    recover: bool
    skip: tuple[str, ...]
    yes: bool

    def check(self) -> None:
        """Raises ``UsageError`` for flags that do not go together."""
        if self.skip and not self.recover:
            raise UsageError("--skip gives up resources of a rollback: it needs --recover")


def allowed(
    cloud: CloudFormation,
    steps: Sequence[Step],
    deployed: Mapping[str, DeployedStack | None],
    flags: Flags,
) -> Allowed:
    """Tell what became of the stacks that are in a bad way, and find out what may be done.

    Raises ``CloudError``, and what ``recover.named`` raises for ``--skip``.
    """
    from tapgen.engine import recover
    from tapgen.engine.plan import Action

    found: dict[str, Diagnosis] = {}
    for step in steps:
        stack = deployed.get(step.stack)
        if stack is not None and _is_worth_telling(stack.status):
            found[step.stack] = recover.diagnose(cloud, stack)
            tell(found[step.stack], _EVENTS[stack.status])
    candidates = {
        name: [item.resource.logical_id for item in told.stuck if item.may_be_skipped]
        for name, told in found.items()
        if told.stack.status == "UPDATE_ROLLBACK_FAILED"
    }
    skip = recover.named(flags.skip, candidates)
    recreate = {
        step.stack
        for step in steps
        if step.action is Action.RECREATE and _may_recreate(found[step.stack], flags)
    }
    back = {
        step.stack
        for step in steps
        if step.action is Action.RECOVER and _may_recover(found[step.stack], flags)
    }
    return Allowed(frozenset(recreate), frozenset(back), skip)


_EVENTS = {
    "UPDATE_ROLLBACK_COMPLETE": "its last update failed and was taken back",
    "IMPORT_ROLLBACK_COMPLETE": "its last import failed and was taken back",
    "CREATE_FAILED": "its creation failed",
    "ROLLBACK_COMPLETE": "its creation failed and was taken back",
    "ROLLBACK_FAILED": "its creation failed and could not be taken back",
    "UPDATE_FAILED": "its last update failed and was not taken back",
    "UPDATE_ROLLBACK_FAILED": "its last update failed and could not be taken back",
    "IMPORT_ROLLBACK_FAILED": "its last import failed and could not be taken back",
    "DELETE_FAILED": "its deletion failed",
}


def _is_worth_telling(status: str) -> bool:
    return status in _EVENTS


def tell(found: Diagnosis, event: str) -> None:
    """Print what became of a stack: the cause, what is in the way, what remains."""
    from tapgen.engine import causes

    common.say(f"{found.stack.name}: {event}{': ' if found.told else ''}{found.told}")
    for item in found.stuck:
        if item.reason != found.reason:
            common.say(f"  in the way: {item.told}")
        if advice := causes.remedy(item.reason):
            common.say(f"  what to do: {advice}")
    # After an update everything remains; after a creation or a deletion nothing should.
    if found.stack.status in _SHOULD_BE_EMPTY:
        for resource in found.remaining:
            common.say(f"  still there: {resource.type} {resource.physical_id}")


_SHOULD_BE_EMPTY = ("CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED")


def _may_recreate(found: Diagnosis, flags: Flags) -> bool:
    from tapgen.engine import recover

    if flags.recreate_failed or not recover.is_ours(found.stack):
        # The engine says why it refuses somebody else's.
        return flags.recreate_failed
    many = len(found.remaining)
    left = f", with {common.count(many, 'resource')} that it still has," if many else ""
    return _asked(f"Delete {found.stack.name}{left} and create it anew?", flags)


def _may_recover(found: Diagnosis, flags: Flags) -> bool:
    # Whoever continues a rollback that failed must have looked into it first.
    if flags.recover or found.stack.status != "UPDATE_FAILED":
        return flags.recover
    return _asked(f"Take {found.stack.name} back to before its last update, then go on?", flags)


def _asked(question: str, flags: Flags) -> bool:
    if flags.yes or not common.interactive():
        return False
    with common.asking():
        return click.confirm(question, default=False, err=True)


def tell_orphans(stacks: Iterable[DeployedStack], env: str) -> None:
    """Offer to take down what the code does not describe any more."""
    for stack in stacks:
        tier = stack.name.removeprefix(f"tap-{env}-")
        common.say(
            f"{stack.name} is deployed and no longer described: tapgen destroy {tier} --env {env}"
        )
