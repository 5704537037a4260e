"""How often AWS is asked: a budget for all together, and a rest for everybody when it throttles."""

from __future__ import annotations

import itertools

from twin import VirtualClock, faults
from twin.scene import Scene, graph_of

from tapgen.engine.polling import Poller, aws_pace, local_pace


def poller(clock: VirtualClock | None = None) -> Poller:
    return Poller(aws_pace, clock or VirtualClock())


def test_looks_grow_rarer_with_the_time_and_never_stop() -> None:
    assert [aws_pace(passed) for passed in (0, 60, 400, 1000, 3600)] == [2.0, 2.0, 2.0, 5.0, 10.0]
    assert [local_pace(passed) for passed in (0, 1, 60)] == [0.02, 0.2, 1.0]


def test_eight_stacks_share_what_one_stack_may_ask() -> None:
    shared = poller()
    waits = []
    with (
        shared.watching("a"),
        shared.watching("b"),
        shared.watching("c"),
        shared.watching("d"),
    ):
        waits.append(shared(0.0))
    waits.append(shared(0.0))

    # Four looks of 1.25 calls within 6.25 s are 0.8 calls a second.
    assert waits == [6.25, 2.0]


def test_a_stack_that_is_watched_twice_counts_until_the_second_watching_ends() -> None:
    shared = poller()
    with shared.watching("a"), shared.watching("b"), shared.watching("c"):
        with shared.watching("a"):
            assert shared(0.0) == 3 * 1.25 / 0.8
        assert shared(0.0) == 3 * 1.25 / 0.8


def test_an_emulator_is_asked_without_a_budget() -> None:
    free = Poller(local_pace, VirtualClock(), rate=None)

    with free.watching("a"), free.watching("b"), free.watching("c"):
        assert free(0.0) == 0.02


def test_one_that_is_throttled_makes_everybody_rest_longer_each_time() -> None:
    clock = VirtualClock()
    shared = poller(clock)
    rests = []
    for _ in range(5):
        shared.throttled()
        rests.append(shared.rest())
        clock.sleep(shared.rest())

    assert rests == [4.0, 8.0, 16.0, 30.0, 30.0]
    assert shared.rest() == 0.0


def test_after_answers_the_next_rest_is_a_short_one_again() -> None:
    clock = VirtualClock()
    shared = poller(clock)
    for _ in range(4):
        shared.throttled()
    for _ in range(12):
        shared.answered()
    clock.sleep(60.0)

    shared.throttled()

    assert shared.rest() == 4.0


def test_an_environment_is_asked_after_less_than_once_a_second() -> None:
    scene = Scene(concurrency=8)
    scene.region.page_size = 100
    scene.region.durations["AWS::SNS::Topic"] = 900.0
    tiers = graph_of({name: [] for name in "abcdefgh"})

    scene.deploy(tiers)

    passed = scene.region.clock.now()
    asked = [call for call in scene.region.calls if call.service == "cloudformation"]
    assert 900.0 < passed < 940.0
    assert len(asked) / passed < 1.0


def test_while_one_stack_is_throttled_no_other_asks() -> None:
    scene = Scene()
    scene.region.durations["AWS::SNS::Topic"] = 300.0
    scene.region.faults.call("describe_stack_events", *[faults.THROTTLED] * 2)

    outcome = scene.deploy(graph_of({"a": [], "b": []}))

    moments = [call.moment for call in scene.region.calls if call.operation.startswith("describe_")]
    gaps = [after - before for before, after in itertools.pairwise(moments)]
    assert max(gaps) >= 4.0
    assert set(outcome.ends.values()) == {"created"}


def test_throttling_is_told_and_decides_nothing() -> None:
    scene = Scene()
    scene.region.faults.call("create_change_set", *[faults.THROTTLED] * 3)

    outcome = scene.deploy(graph_of({"a": []}))

    assert outcome.ends == {"a": "created"}
