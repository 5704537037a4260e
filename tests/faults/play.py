"""One bad day on the twin: set up, run into trouble, cut off, judged, and put right the day after.

Returns what happened, for the counting; raises ``Broken`` with what must hold and did not.
"""

from __future__ import annotations

from twin.scene import Outcome, Scene, graph_of, wanted

from faults.after import comes_right
from faults.destroying import play_destroy
from faults.rivals import play_rivals
from faults.scenario import Scenario
from faults.stage import Played, cancelled, cut_off, runs_to_its_end, set_up, upset
from faults.witness import Broken, Witness, check_nothing_left, check_truth, let_go


def play(scenario: Scenario) -> Played:
    """Play one bad day, and the day after. Raises ``Broken``."""
    if scenario.kind == "destroy":
        return play_destroy(scenario)
    if scenario.kind == "rivals":
        return play_rivals(scenario)
    return _deployed(scenario)


def _deployed(scenario: Scenario) -> Played:
    scene = Scene(concurrency=scenario.concurrency)
    set_up(scene, scenario)
    items = wanted(graph_of(scenario.edges, note="second"))
    witness = Witness(scene.region, scenario.edges, {item.tier: item for item in items})
    names = [item.name for item in items]
    theirs = _change_sets_of_others(scene)
    standing = _standing(scene)
    if scenario.allowed:
        witness.removable = let_go(scene.region, names)
        scene.allowed = {"recreate": witness.removable, "recover": frozenset(names)}
    survey = scene.survey(names)
    upset(scene, scenario.trouble, scenario.seed)
    cut_off(scene, scenario.cut)
    witness.begin(f"r{scene.runs + 1}")
    witness.cancelling = scenario.cut.how == "cancelled"

    ended = runs_to_its_end(lambda: scene.carry_out(items, survey)) and not cancelled(scene)

    witness.cancelling = False
    played = Played(scene.region.faults.struck, "" if ended else scenario.cut.how)
    played.calls = len(scene.region.calls)
    _judge(scene, scenario, witness, ended=ended)
    _check_others(scene, theirs, witness)
    gone = [name for name in standing - _standing(scene) if name not in witness.removable]
    if gone:
        raise Broken(f"{', '.join(sorted(gone))} stood before, and does not any more")
    # Who starts again at once finds the old answers still: CloudFormation's word, and no fault.
    scene.region.settle(max(scenario.cut.wait, scenario.trouble.stale))
    comes_right(scene, items, witness)
    return played


def _judge(scene: Scene, scenario: Scenario, witness: Witness, *, ended: bool) -> None:
    check_truth(witness, Outcome(scene.heard, scene.summary), whole=ended)
    if not ended and scenario.cut.how == "killed":
        return
    if scene.region.faults.expires is not None and scene.region.faults.expires <= 0:
        # Without credentials nothing can be withdrawn: the next run has to.
        return
    unanswered = scenario.cut.how == "interrupted" or scenario.trouble.losing
    if scenario.trouble.stale and not ended and unanswered:
        # Cut off before the call that makes a change set was answered, and then told by an old
        # list that there is none: it has no id to delete it by. The next run removes it with its
        # own.
        return
    check_nothing_left(scene.region, witness.run)


def _change_sets_of_others(scene: Scene) -> set[str]:
    return {
        key
        for stack in scene.region.stacks.values()
        for key, item in stack.change_sets.items()
        if not item.name.startswith("tapgen-") and not item.execution.startswith("EXECUTE_")
    }


def _check_others(scene: Scene, theirs: set[str], witness: Witness) -> None:
    left = _change_sets_of_others(scene)
    if theirs - left:
        raise Broken(f"change sets of somebody else are gone: {sorted(theirs - left)}")


def _standing(scene: Scene) -> set[str]:
    return {s.name for s in scene.region.stacks.values() if s.status != "DELETE_COMPLETE"} - {
        stack.name for stack in scene.region.stacks.values() if stack.status == "DELETE_IN_PROGRESS"
    }
