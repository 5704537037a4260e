"""Bad days on which an environment is taken down."""

from __future__ import annotations

from typing import Any

from twin.scene import Outcome, Scene, graph_of

from faults.scenario import Scenario
from faults.stage import Played, calm, cancelled, cut_off, runs_to_its_end, upset
from faults.witness import PREFIX, Broken, Witness, check_truth
from tapgen.engine import destroy as destroying
from tapgen.errors import Exit
from tapgen.stack import Stack


def play_destroy(scenario: Scenario) -> Played:
    """Take an environment down, next to a stack that is not of it. Raises ``Broken``."""
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
