"""The day after: somebody does what the tool said, runs it again, and all comes right."""

from __future__ import annotations

from collections.abc import Sequence

from twin.scene import Scene

from faults.stage import calm
from faults.witness import Broken, Witness, check_nothing_left, check_truth
from tapgen.engine.plan import Wanted
from tapgen.errors import Exit


def comes_right(scene: Scene, items: Sequence[Wanted], witness: Witness) -> None:
    """Somebody does what the tool says, runs it again, and once more: nothing is changed."""
    calm(scene)
    tidy_up(scene)
    names = [item.name for item in items]
    scene.allowed = {"recreate": frozenset(names), "recover": frozenset(names)}
    witness.removable = frozenset(names)
    witness.begin(f"r{scene.runs + 1}")
    repaired = scene.carry_out(items, scene.survey(names))
    if repaired.summary.status is not Exit.DONE:
        raise Broken(f"a new run does not come right: {repaired.summary.rows()}")
    check_truth(witness, repaired, whole=True)
    before = len(scene.region.mutations)
    witness.begin(f"r{scene.runs + 1}")
    settled = scene.carry_out(items, scene.survey(names))
    changed = [call.operation for call in scene.region.mutations[before:]]
    if changed or not settled.summary.unchanged:
        raise Broken(f"a run over what is right changes something: {changed}")
    check_nothing_left(scene.region)


def tidy_up(scene: Scene) -> None:
    """What only a person does: carry their reviews off, and finish deletions that failed."""
    client = scene.twin.client("cloudformation")
    for stack in list(scene.region.stacks.values()):
        theirs = [key for key, item in stack.change_sets.items() if item.name == "review"]
        if theirs and stack.status == "REVIEW_IN_PROGRESS":
            scene.region.settle(10.0)
            for key in theirs:
                client.delete_change_set(ChangeSetName=key)
        if stack.status == "DELETE_FAILED":
            client.delete_stack(StackName=stack.id)
            scene.region.settle()
