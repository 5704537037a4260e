"""What holds of every deployment, whatever fails, is throttled, and wherever it is stopped.

No stack starts before its producers are good, the summary says what AWS says, nothing half-made is
left, and a new run converges to one that changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twin import Killed, Twin
from twin.graphs import TIERS, graphs, producers_of
from twin.scene import ENV, Outcome, Scene, graph_of, wanted

from tapgen.engine import deploy
from tapgen.engine.events import (
    StackDone,
    StackStarted,
    StackUnchanged,
)
from tapgen.engine.plan import GOOD
from tapgen.engine.summary import Summary
from tapgen.errors import Exit


def check_order(scene: Scene, edges: Mapping[str, Sequence[str]], outcome: Outcome) -> None:
    """No stack started before its producers were good, or after one of them failed."""
    good: set[str] = set()
    for event in outcome.events:
        name = event.stack.split("-", 2)[2]
        if isinstance(event, StackStarted):
            assert producers_of(edges, name) <= good
        if isinstance(event, (StackDone, StackUnchanged)):
            good.add(name)


def check_truth(scene: Scene, outcome: Outcome, before: int) -> None:
    """The summary says of every stack what AWS says, and the exit status follows from it."""
    touched = {call.parameters.get("StackName") for call in scene.region.mutations[before:]}
    ends = outcome.ends
    for name, end in ends.items():
        stack = f"tap-{ENV}-{name}"
        status = scene.region.status(stack)
        if end in ("created", "updated", "recreated", "unchanged"):
            assert status in GOOD
        elif end == "failed":
            assert status not in GOOD
        else:
            assert end == "skipped"
            assert stack not in touched
    all_good = set(ends.values()) <= {"created", "updated", "recreated", "unchanged"}
    assert outcome.summary.status is (Exit.DONE if all_good else Exit.FAILED)


def check_nothing_left(scene: Scene) -> None:
    """No change set that was not carried out, no stack that was never made."""
    for stack in scene.region.stacks.values():
        assert stack.status != "REVIEW_IN_PROGRESS"
        assert all(item.execution.startswith("EXECUTE_") for item in stack.change_sets.values())


def check_converges(scene: Scene, edges: Mapping[str, Sequence[str]], note: str) -> None:
    """Run again, everything comes right; and once more, nothing is changed."""
    scene.region.faults.mend()
    scene.region.faults.interrupt = lambda operation, moment: None
    tiers = graph_of(edges, note=note)
    stacks = [f"tap-{ENV}-{name}" for name in edges]

    repaired = scene.deploy(tiers, recreate=stacks)
    before = len(scene.region.mutations)
    settled = scene.deploy(tiers)

    assert repaired.summary.status is Exit.DONE
    assert settled.summary.unchanged
    assert scene.region.mutations[before:] == []
    check_nothing_left(scene)


@settings(max_examples=40)
@given(
    edges=graphs(),
    broken=st.sets(st.sampled_from(TIERS), max_size=2),
    standing=st.sets(st.sampled_from(TIERS)),
    concurrency=st.integers(1, 4),
    throttling=st.sampled_from([0.0, 0.3]),
    stale=st.sampled_from([0.0, 10.0]),
    repeats=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_whatever_fails_order_holds_the_summary_is_true_and_a_new_run_converges(
    edges: dict[str, list[str]],
    broken: set[str],
    standing: set[str],
    concurrency: int,
    throttling: float,
    stale: float,
    repeats: bool,
    seed: int,
) -> None:
    scene = Scene(concurrency=concurrency)
    # Some stand already, with all they import from, and will be updated.
    deployed = standing & set(edges)
    deployed = deployed.union(*(producers_of(edges, name) for name in deployed))
    scene.deploy(graph_of({name: edges[name] for name in edges if name in deployed}))
    ids = {stack.id for stack in scene.region.stacks.values()}
    for name in broken:
        verb = "UPDATE" if name in deployed else "CREATE"
        scene.region.faults.resource(f"tap-{ENV}-{name}", "Topic0", verb, "Quota exceeded")
    before, tiers = len(scene.region.mutations), graph_of(edges, note="second")
    survey = scene.survey([f"tap-{ENV}-{name}" for name in edges])
    scene.region.faults.throttling, scene.region.faults.seed = throttling, seed
    scene.region.stale_seconds, scene.region.repeats = stale, repeats
    if throttling:
        # A question is asked again as a whole: with many pages it would never get through.
        scene.region.page_size = 100

    outcome = scene.carry_out(wanted(tiers), survey)

    check_order(scene, edges, outcome)
    check_truth(scene, outcome, before)
    scene.region.settle(stale)
    check_nothing_left(scene)
    assert not any(call.operation == "delete_stack" for call in scene.region.mutations)
    assert ids <= {s.id for s in scene.region.stacks.values() if s.status != "DELETE_COMPLETE"}
    check_converges(scene, edges, "second")


@settings(max_examples=45)
@given(
    edges=graphs(),
    standing=st.booleans(),
    call=st.integers(0, 60),
    moment=st.sampled_from(["before", "after"]),
    killed=st.booleans(),
    wait=st.sampled_from([0.0, 5.0, 10_000.0]),
)
def test_wherever_it_is_interrupted_or_killed_a_new_run_converges(
    edges: dict[str, list[str]],
    standing: bool,
    call: int,
    moment: str,
    killed: bool,
    wait: float,
) -> None:
    scene = Scene()
    if standing:
        scene.deploy(graph_of(edges))
    ids = {stack.id for stack in scene.region.stacks.values()}
    seen = 0

    def strike(operation: str, when: str) -> None:
        nonlocal seen
        seen += when == moment
        if seen > call and when == moment and (killed or seen == call + 1):
            raise Killed if killed else KeyboardInterrupt

    scene.region.faults.interrupt = strike
    ended = False
    try:
        scene.deploy(graph_of(edges, note="second"))
        ended = True
    except (Killed, KeyboardInterrupt):
        pass
    scene.region.faults.interrupt = lambda operation, moment: None

    if not ended:
        assert scene.summary.status is Exit.FAILED
    if not killed:
        scene.region.settle(wait)
        open_sets = [
            item
            for stack in scene.region.stacks.values()
            for item in stack.change_sets.values()
            if not item.execution.startswith("EXECUTE_")
        ]
        assert open_sets == []
    scene.region.settle(wait)
    check_converges(scene, edges, "second")
    live = {s.id for s in scene.region.stacks.values() if s.status != "DELETE_COMPLETE"}
    assert ids <= live


@settings(max_examples=12)
@given(edges=graphs(), standing=st.booleans(), turns=st.randoms(use_true_random=False))
def test_runs_at_once_do_not_disturb_each_other(
    edges: dict[str, list[str]], standing: bool, turns: Random
) -> None:
    twin = Twin()
    if standing:
        Scene(twin).deploy(graph_of(edges))
    items = wanted(graph_of(edges, note="second"))
    needs = {name: frozenset(producers) for name, producers in edges.items()}
    runs = []
    for number in (1, 2, 3):
        scene = Scene(twin, runs=100 * number)
        survey = scene.survey([item.name for item in items])
        summary = Summary([item.name for item in items])
        runs.append((summary, deploy.deploy(scene.run(), items, survey, needs)))

    going = list(runs)
    while going:
        summary, events = run = turns.choice(going)
        event = next(events, None)
        if event is None:
            going.remove(run)
        else:
            summary.take(event)

    assert [summary.status for summary, _ in runs] == [Exit.DONE] * 3
    check_nothing_left(scene)
    check_converges(scene, edges, "second")


@settings(max_examples=25)
@given(edges=graphs(), event=st.integers(0, 80))
def test_closed_at_any_event_it_leaves_nothing_half_made(
    edges: dict[str, list[str]], event: int
) -> None:
    scene, told = Scene(), 0

    def close(_: Any) -> None:
        nonlocal told
        told += 1
        if told > event:
            raise KeyboardInterrupt

    scene.hear = close
    try:
        scene.deploy(graph_of(edges))
    except KeyboardInterrupt:
        for stack, how, _ in scene.summary.rows():
            running = scene.region.status(stack) == "CREATE_IN_PROGRESS"
            assert how == "interrupted" or not running
    check_nothing_left_but_running(scene)
    scene.hear = lambda event: None

    check_converges(scene, edges, "first")


def check_nothing_left_but_running(scene: Scene) -> None:
    """No review is left; what was carried out runs on."""
    for stack in scene.region.stacks.values():
        assert stack.status != "REVIEW_IN_PROGRESS"
