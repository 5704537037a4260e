"""What must hold whatever happens, read off the twin: the engine is not asked.

A witness sees every call that is carried out. What it finds broken it says in one sentence, with
the facts; it is no assertion of a test, so that a runner can count them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from twin.records import ChangeSet, Stack
from twin.region import READS, Call, Region
from twin.scene import ENV, Outcome

from faults.scenario import producers_of
from tapgen.engine.plan import GOOD, STILLBORN, Wanted
from tapgen.errors import Exit

DONE = ("created", "updated", "recreated", "unchanged", "deleted")
PREFIX = f"tap-{ENV}-"


class Broken(AssertionError):
    """Something that must hold does not."""


@dataclass
class Witness:
    """Watches a region while a run works on it.

    ``wanted`` are the stacks by tier and ``edges`` their producers; ``run`` is the id in the names
    of the run's change sets. ``removable`` are stacks that the user let go of.
    """

    region: Region
    edges: Mapping[str, Sequence[str]]
    wanted: Mapping[str, Wanted] = field(default_factory=dict)
    removable: frozenset[str] = frozenset()
    run: str = ""
    # Whether what the run is creating may be deleted again.
    cancelling: bool = False
    before: frozenset[str] = frozenset()
    executed: set[str] = field(default_factory=set)
    touched: set[str] = field(default_factory=set)

    def begin(self, run: str) -> None:
        """From now on the calls are those of this run."""
        self.run, self.executed, self.touched = run, set(), set()
        self.before = frozenset(self.region.stacks)
        self.region.watch = self.see

    def see(self, call: Call) -> None:
        """Judge a call that is about to be carried out."""
        if call.service != "cloudformation" or call.operation.startswith(READS):
            return
        name = str(call.parameters.get("StackName", ""))
        item, stack = self._change_set(str(call.parameters.get("ChangeSetName", "")))
        stack = stack or self.region.found(name)
        self.touched.add(stack.name if stack else name)
        if call.operation == "execute_change_set" and stack is not None:
            self.executed.add(stack.name)
            self._producers_are_good(stack)
        elif call.operation == "delete_change_set" and item is not None:
            if f"-{self.run}" not in item.name or not item.name.startswith("tapgen-"):
                raise Broken(f"the change set {item.name} of somebody else was deleted")
        elif call.operation == "delete_stack" and stack is not None:
            self._may_be_deleted(stack)

    def is_wanted(self, tier: str) -> bool:
        """Whether a tier's stack is in a good status and as described."""
        stack = self.region.live(PREFIX + tier)
        item = self.wanted[tier]
        return (
            stack is not None
            and stack.status in GOOD
            and stack.version is not None
            and stack.version.text == item.request.template
            and dict(stack.version.tags) == dict(item.request.tags)
        )

    def _producers_are_good(self, stack: Stack) -> None:
        tier = stack.name.removeprefix(PREFIX)
        if tier not in self.wanted:
            return
        for producer in sorted(producers_of(self.edges, tier)):
            if not self.is_wanted(producer):
                status = self.region.status(PREFIX + producer) or "not there"
                raise Broken(f"{tier} was started while its producer {producer} is {status}")

    def _may_be_deleted(self, stack: Stack) -> None:
        users = self.region.in_use(stack, {})
        if users and stack.status not in ("DELETE_COMPLETE", "DELETE_IN_PROGRESS"):
            raise Broken(f"{stack.name} was to be deleted while it is in use: {users}")
        # It may have ended, well or not, in the moment before.
        created = stack.name in self.executed and stack.id not in self.before
        if stack.name in self.removable or (self.cancelling and created):
            return
        ours = all(
            item.name.startswith("tapgen-") and f"-{self.run}" in item.name
            for item in stack.change_sets.values()
        )
        empty = stack.status == "REVIEW_IN_PROGRESS" and ours and stack.id not in self.before
        if not empty and stack.status != "DELETE_COMPLETE":
            raise Broken(f"{stack.name} ({stack.status}) was deleted, and nobody asked for it")

    def _change_set(self, name: str) -> tuple[ChangeSet | None, Stack | None]:
        for stack in self.region.stacks.values():
            if name in stack.change_sets:
                return stack.change_sets[name], stack
        return None, None


def let_go(region: Region, names: Sequence[str]) -> frozenset[str]:
    """Those stacks whose failed creation a user who says --recreate-failed lets go of."""
    statuses = {*STILLBORN, "CREATE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS"}
    return frozenset(name for name in names if region.status(name) in statuses)


def check_truth(
    witness: Witness,
    outcome: Outcome,
    *,
    whole: bool,
    rivals: bool = False,
    halfway: frozenset[str] = frozenset(),
) -> None:
    """The summary says of every stack what the twin says, and the exit status follows from it.

    ``whole`` runs came to their end: nothing may be open in their summary. A run that failed may
    have had ``rivals`` that did better. Stacks ``halfway`` were carried through some of their
    rounds: one that is skipped in a later one may have been changed in an earlier one.
    """
    for stack, end, told in outcome.summary.rows():
        tier, status = stack.removeprefix(PREFIX), witness.region.status(stack)
        right = tier in witness.wanted and witness.is_wanted(tier)
        if end in DONE and tier in witness.wanted and not right:
            raise Broken(f"{tier} is said to be {end}, and is {status or 'not there'}")
        if end in DONE and tier not in witness.wanted and status:
            raise Broken(f"{tier} is said to be {end}, and is {status}")
        if end == "failed" and tier not in witness.wanted and not status and "runs on" not in told:
            raise Broken(f"{tier} is said to have failed ({told}), and is gone")
        alone = not rivals and stack not in halfway
        if end == "failed" and right and "runs on" not in told and alone:
            raise Broken(f"{tier} is said to have failed ({told}), and is {status} as described")
        begun = stack in witness.executed and stack not in halfway
        if end in ("skipped", "not started") and begun:
            raise Broken(f"{tier} is said to be {end}, and its change set was carried out")
        if whole and end in ("interrupted", "not started"):
            raise Broken(f"the run came to its end, and {tier} is {end}")
    rows = [end for _, end, _ in outcome.summary.rows()]
    good = all(end in DONE for end in rows)
    if (outcome.summary.status is Exit.DONE) != good:
        raise Broken(f"the exit status is {outcome.summary.status!r} for {rows}")


def check_nothing_left(region: Region, run: str = "") -> None:
    """No change set of ours waits to be carried out, no empty stack of ours is left.

    ``run`` limits it to the change sets of one run.
    """
    for stack in region.stacks.values():
        for item in stack.change_sets.values():
            ours = item.name.startswith("tapgen-") and f"-{run}" in item.name
            if ours and not item.execution.startswith("EXECUTE_"):
                raise Broken(f"the change set {item.name} of {stack.name} was left ({item.status})")
        if stack.status == "REVIEW_IN_PROGRESS" and not stack.change_sets and not run:
            raise Broken(f"{stack.name} was left in review, and empty")
