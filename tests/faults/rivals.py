"""Bad days on which the same environment is deployed by two or three at once."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from twin.scene import Outcome, Scene, graph_of, wanted

from faults.after import comes_right
from faults.scenario import Scenario
from faults.stage import Played, set_up, upset
from faults.witness import Broken, Witness, check_nothing_left, check_truth
from tapgen.engine import deploy as deploying
from tapgen.engine.summary import Summary
from tapgen.errors import Exit


def play_rivals(scenario: Scenario) -> Played:
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
    comes_right(first, items, witness)
    return played
