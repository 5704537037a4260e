"""Watching one operation: when it asks, what it believes, and when it gives up."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from twin import faults
from twin.scene import Scene, tier

from tapgen.cloud import DeployedStack, Throttled
from tapgen.engine.events import Event, MonitoringTrouble, ResourceMoved
from tapgen.engine.operation import Watch, Watching
from tapgen.engine.polling import Poller, aws_pace
from tapgen.engine.schedule import Pause

NETWORK = "tap-dev-network"


@pytest.fixture
def scene() -> Scene:
    """A stack that stands, with a history."""
    scene = Scene()
    scene.deploy([tier("network")])
    return scene


def watch(scene: Scene) -> Watch:
    clock = scene.region.clock
    return Watch(scene.cloud, clock, Poller(aws_pace, clock), NETWORK)


def told(scene: Scene, watching: Watching[Any]) -> tuple[list[Event], Any]:
    """Watch to the end, letting the time pass."""
    events: list[Event] = []
    steps: Generator[Event | Pause, None, Any] = watching
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            return events, end.value
        if isinstance(step, Pause):
            scene.region.clock.sleep(step.seconds)
        else:
            events.append(step)


def standing(scene: Scene) -> DeployedStack:
    found = scene.cloud.stack(NETWORK)
    assert found is not None
    return found


def update(scene: Scene, **durations: float) -> None:
    """Somebody's update of nothing but tags."""
    scene.region.durations.update(durations)
    scene.twin.client("cloudformation").update_stack(
        StackName=NETWORK,
        UsePreviousTemplate=True,
        Parameters=[{"ParameterKey": "EnvironmentSuffix", "UsePreviousValue": True}],
        Tags=[{"Key": "Run", "Value": str(scene.region.clock.now())}],
    )


def test_a_long_operation_is_asked_after_less_than_once_in_eight_seconds(scene: Scene) -> None:
    before = standing(scene)
    update(scene, Topic0=1200.0)
    asked = len(scene.region.calls)

    told(scene, watch(scene).to_the_end(before.id, before))

    calls = [call.operation for call in scene.region.calls[asked:]]
    assert calls.count("describe_stacks") < 1200 / 8


def test_what_begins_now_is_told_and_what_was_before_is_not(scene: Scene) -> None:
    item, before = watch(scene), standing(scene)
    told(scene, item.begin(before.id))
    update(scene)

    events, after = told(scene, item.to_the_end(before.id, before))

    statuses = [e.event.status for e in events if isinstance(e, ResourceMoved)]
    assert (statuses[0], statuses[-1]) == ("UPDATE_IN_PROGRESS", "UPDATE_COMPLETE")
    assert after.status == "UPDATE_COMPLETE"
    assert item.running is False


def test_an_operation_joined_late_is_told_from_its_first_event(scene: Scene) -> None:
    update(scene)
    scene.region.settle()
    update(scene, Topic0=300.0)
    scene.region.clock.sleep(100.0)

    events, after = told(scene, watch(scene).attach(standing(scene)))

    moved = [e.event for e in events if isinstance(e, ResourceMoved)]
    assert [e.status for e in moved if e.physical_id == after.id] == [
        "UPDATE_IN_PROGRESS",
        "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        "UPDATE_COMPLETE",
    ]


def test_a_history_that_cannot_be_read_changes_no_outcome(scene: Scene) -> None:
    item, before = watch(scene), standing(scene)
    update(scene)
    scene.region.faults.call("describe_stack_events", *[faults.DENIED] * 100)

    events, after = told(scene, item.to_the_end(before.id, before))

    assert events == []
    assert after.status == "UPDATE_COMPLETE"


def test_events_ahead_of_an_old_answer_do_not_end_the_watching(scene: Scene) -> None:
    scene.region.stale_seconds = 20.0
    item, before = watch(scene), standing(scene)
    told(scene, item.begin(before.id))
    update(scene)

    events, after = told(scene, item.to_the_end(before.id, before))

    assert after.changed != before.changed
    assert after.status == "UPDATE_COMPLETE"
    assert len(events) >= 4


def test_an_answer_that_stays_the_same_is_believed_in_the_end(scene: Scene) -> None:
    before = standing(scene)

    _, after = told(scene, watch(scene).to_the_end(before.id, before))

    # Nothing was started, so nothing can come: half a minute is enough.
    assert after == before
    assert scene.region.clock.now() < 60.0


def test_a_stack_that_is_gone_ends_the_watching(scene: Scene) -> None:
    before = standing(scene)
    scene.twin.client("cloudformation").delete_stack(StackName=NETWORK)

    _, after = told(scene, watch(scene).to_the_end(before.id, before))

    assert after is None


def test_a_question_is_asked_again_and_each_silence_is_told(scene: Scene) -> None:
    answers: list[Any] = [Throttled("x"), Throttled("x"), "there"]

    def ask() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    events, found = told(scene, watch(scene).patiently(ask))

    assert found == "there"
    assert [type(event) for event in events] == [MonitoringTrouble, MonitoringTrouble]


def test_patience_ends_after_ten_minutes_with_the_last_trouble(scene: Scene) -> None:
    began = scene.region.clock.now()

    def ask() -> str:
        raise Throttled("cloudformation:DescribeStacks")

    with pytest.raises(Throttled):
        told(scene, watch(scene).patiently(ask))

    assert 600.0 < scene.region.clock.now() - began < 640.0


def test_a_failure_without_any_reason_says_so() -> None:
    scene = Scene()

    report = watch(scene).failure(DeployedStack("id", NETWORK, "UPDATE_ROLLBACK_COMPLETE"))

    assert (report.reason, report.cause, report.remedy) == ("no reason given", None, "")


def test_a_cancelled_update_is_a_failure_that_somebody_wanted(scene: Scene) -> None:
    item, before = watch(scene), standing(scene)
    told(scene, item.begin(before.id))
    update(scene)
    scene.region.clock.sleep(2.0)
    scene.twin.client("cloudformation").cancel_update_stack(StackName=NETWORK)

    _, after = told(scene, item.to_the_end(before.id, before))
    report = item.failure(after)

    assert report.status == "UPDATE_ROLLBACK_COMPLETE"
    assert report.reason == "User Initiated"
