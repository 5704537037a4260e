"""One bad day on the twin: set up, run into trouble, cut off, judged, and put right the day after.

Returns what happened, for the counting; raises ``Broken`` with what must hold and did not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from twin import Killed
from twin.scene import Outcome, Scene, graph_of, wanted
from twin.states import bring

from faults.scenario import Cut, Scenario, Trouble
from faults.witness import PREFIX, Broken, Witness, check_nothing_left, check_truth, let_go
from tapgen.engine import deploy as deploying
from tapgen.engine import destroy as destroying
from tapgen.engine.orders import Orders
from tapgen.engine.plan import Wanted
from tapgen.engine.summary import Summary
from tapgen.errors import Exit
from tapgen.stack import Stack


@dataclass
class Played:
    """What a bad day had: faults by kind, and how the run was cut off."""

    struck: Counter[str] = field(default_factory=Counter)
    cut: str = ""
    calls: int = 0


def play(scenario: Scenario) -> Played:
    """Play one bad day, and the day after. Raises ``Broken``."""
    if scenario.kind == "destroy":
        return _destroyed(scenario)
    if scenario.kind == "rivals":
        return _rivals(scenario)
    return _deployed(scenario)


def upset(scene: Scene, trouble: Trouble, seed: int) -> None:
    """Let the trouble begin."""
    region, faults = scene.region, scene.region.faults
    faults.throttling, faults.dropping, faults.losing = (
        trouble.throttling,
        trouble.dropping,
        trouble.losing,
    )
    faults.seed, faults.expires = seed, trouble.expires
    region.stale_seconds, region.events_late = trouble.stale, trouble.late
    region.repeats = trouble.repeats
    for tier, logical_id, verb, times in trouble.resources:
        faults.resource(PREFIX + tier, logical_id, verb, "Quota exceeded", times)
    for tier in trouble.invalid:
        faults.find(PREFIX + tier, "Topic0", "extraneous key [Colour] is not permitted")
    for tier in trouble.hooked:
        faults.hook("Acme::Rules::Hook", "Encrypt it", stack=PREFIX + tier)
    if trouble.throttling or trouble.dropping:
        # A question is asked again as a whole: with many pages it would never get through.
        region.page_size = 100


def calm(scene: Scene) -> None:
    """Let the trouble end."""
    scene.region.faults.mend()
    scene.region.faults.interrupt = lambda operation, moment: None
    scene.region.watch = lambda call: None
    scene.hear = lambda event: None
    scene.allowed = {key: item for key, item in scene.allowed.items() if key != "orders"}
    scene.region.stale_seconds = scene.region.events_late = 0.0
    scene.region.repeats = True


def cut_off(scene: Scene, cut: Cut) -> None:
    """Have the next run stopped where ``cut`` says."""
    seen = 0

    def strike(operation: str, moment: str) -> None:
        nonlocal seen
        seen += moment == cut.moment
        # Who is dead stays dead; Ctrl-C is pressed once.
        if moment == cut.moment and (seen > cut.at if cut.how == "killed" else seen == cut.at + 1):
            raise Killed if cut.how == "killed" else KeyboardInterrupt

    def close(_: Any) -> None:
        nonlocal seen
        seen += 1
        if seen == cut.at + 1:
            raise KeyboardInterrupt

    orders = Orders()

    def cancel(_: Any) -> None:
        nonlocal seen
        seen += 1
        if seen == cut.at + 1:
            orders.cancel, orders.delete_creating = True, cut.moment == "after"

    if cut.how == "cancelled":
        scene.allowed = {**scene.allowed, "orders": orders}
        scene.hear = cancel
    elif cut.how == "closed":
        scene.hear = close
    elif cut.how:
        scene.region.faults.interrupt = strike


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
    _comes_right(scene, scenario, items, witness)
    return played


def set_up(scene: Scene, scenario: Scenario) -> None:
    """Deploy what stands already, and bring into other states what was found in them."""
    edges = {name: scenario.edges[name] for name in scenario.edges if name in scenario.standing}
    if edges:
        outcome = scene.deploy(graph_of(edges))
        assert outcome.summary.status is Exit.DONE
    items = {item.tier: item for item in wanted(graph_of(scenario.edges))}
    for tier, status in scenario.found.items():
        bring(scene.twin, items[tier], status)


def runs_to_its_end(run: Any) -> bool:
    """Whether it came to its end, and was not cut off."""
    try:
        run()
    except (Killed, KeyboardInterrupt):
        return False
    return True


def cancelled(scene: Scene) -> bool:
    """Whether the order to cancel was given."""
    orders = scene.allowed.get("orders")
    return isinstance(orders, Orders) and orders.cancel


def _judge(scene: Scene, scenario: Scenario, witness: Witness, *, ended: bool) -> None:
    check_truth(witness, Outcome(scene.heard, scene.summary), whole=ended)
    if not ended and scenario.cut.how == "killed":
        return
    if scene.region.faults.expires is not None and scene.region.faults.expires <= 0:
        # Without credentials nothing can be withdrawn: the next run has to.
        return
    if scenario.trouble.stale and not ended and scenario.cut.how == "interrupted":
        # Cut off in the very call that makes a change set, and then told by an old list that there
        # is none: it has no id to delete it by. The next run removes it with its own.
        return
    check_nothing_left(scene.region, witness.run)


def _comes_right(
    scene: Scene, scenario: Scenario, items: Sequence[Wanted], witness: Witness
) -> None:
    """Somebody does what the tool says, runs it again, and once more: nothing is changed."""
    calm(scene)
    _tidy_up(scene)
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


def _tidy_up(scene: Scene) -> None:
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


# Destroying


def _destroyed(scenario: Scenario) -> Played:
    scene = Scene(concurrency=scenario.concurrency)
    kept = {"Topic1": "Retain"}
    tiers: list[Stack[Any]] = list(
        graph_of(scenario.edges, topics=2, leaving=kept if scenario.allowed else None)
    )
    scene.deploy(tiers)
    names = [f"{PREFIX}{tier}" for tier in scenario.edges]
    retained = {key for key, held in scene.region.standing.items() if held.logical_id == "Topic1"}
    foreign = _somebody_elses(scene)
    looked = [destroying.look(scene.cloud, stack) for stack in scene.cloud.stacks(PREFIX)]
    links = destroying.links(scene.cloud, looked)
    witness = Witness(scene.region, scenario.edges, removable=frozenset(names))
    upset(scene, scenario.trouble, scenario.seed)
    cut_off(scene, scenario.cut)
    witness.begin(f"r{scene.runs + 1}")

    ended = runs_to_its_end(
        lambda: scene.follow(destroying.destroy(scene.run(), looked, links), names)
    ) and not cancelled(scene)

    played = Played(scene.region.faults.struck, "" if ended else scenario.cut.how)
    played.calls = len(scene.region.calls)
    check_truth(witness, Outcome(scene.heard, scene.summary), whole=ended)
    scene.region.settle(scenario.cut.wait)
    calm(scene)
    again = scene.destroy()
    if again.summary.status is not Exit.DONE:
        raise Broken(f"a new run does not take it down: {again.summary.rows()}")
    left = [stack.name for stack in scene.cloud.stacks(PREFIX)]
    if left or scene.region.live("theirs") is None or foreign not in scene.region.standing:
        raise Broken(f"left: {left}; a stack of somebody else: {scene.region.status('theirs')}")
    if scenario.allowed and not retained <= set(scene.region.standing):
        raise Broken("what a policy keeps was deleted")
    before = len(scene.region.mutations)
    if scene.destroy().summary.status is not Exit.DONE or scene.region.mutations[before:]:
        raise Broken("destroying nothing changes something")
    return played


def _somebody_elses(scene: Scene) -> str:
    """A stack that is not of the environment; returns the id of its one resource."""
    client = scene.twin.client("cloudformation")
    client.create_stack(
        StackName="theirs", TemplateBody='{"Resources": {"Only": {"Type": "AWS::SNS::Topic"}}}'
    )
    scene.region.settle()
    stack = scene.region.live("theirs")
    assert stack is not None
    return stack.held["Only"].physical_id


# Runs at once


def _rivals(scenario: Scenario) -> Played:
    """Two or three runs of the same environment, each going on when chance will have it."""
    rng = Random(scenario.seed)
    first = Scene(concurrency=scenario.concurrency)
    set_up(first, replace(scenario, found={}))
    items = wanted(graph_of(scenario.edges, note="second"))
    needs = {name: frozenset(producers) for name, producers in scenario.edges.items()}
    going = []
    for number in range(1, rng.choice([2, 3]) + 1):
        scene = Scene(first.twin, runs=100 * number)
        survey = scene.survey([item.name for item in items])
        summary = Summary([item.name for item in items])
        going.append((summary, deploying.deploy(scene.run(), items, survey, needs)))
    summaries = [summary for summary, _ in going]
    trouble = replace(scenario.trouble, resources=(), invalid=frozenset(), hooked=frozenset())
    # Who cannot see that somebody else began takes an empty stack of theirs for its own.
    upset(first, replace(trouble, expires=None, late=0.0), scenario.seed)
    witness = Witness(first.region, scenario.edges, {item.tier: item for item in items})
    witness.begin("")
    while going:
        turn = rng.choice(going)
        event = next(turn[1], None)
        if event is None:
            going.remove(turn)
        else:
            turn[0].take(event)
    played = Played(first.region.faults.struck, calls=len(first.region.calls))
    first.region.settle(60.0)
    for summary in summaries:
        check_truth(witness, Outcome([], summary), whole=True, rivals=True)
    if not any(summary.status is Exit.DONE for summary in summaries):
        raise Broken(f"of runs at once none succeeded: {[s.rows() for s in summaries]}")
    check_nothing_left(first.region)
    _comes_right(first, scenario, items, witness)
    return played
