"""What a deployment does when the line is bad, the credentials end, or somebody presses Ctrl-C."""

from __future__ import annotations

from typing import Any

import pytest
from test_deploy import failed, review_of
from twin import Refusal, faults
from twin.scene import Scene, graph_of, tier, wanted
from twin.service import Service

from tapgen.cloud import ExpiredCredentials
from tapgen.engine.events import (
    MonitoringTrouble,
    ResourceMoved,
    StackDone,
    StackStarted,
)
from tapgen.errors import Exit


def test_a_lost_answer_does_nothing_twice() -> None:
    scene = Scene()
    for operation in ("create_change_set", "execute_change_set"):
        scene.region.faults.call(operation, faults.lost(), after=True)

    outcome = scene.deploy([tier("network")])

    assert outcome.ends == {"network": "created"}
    assert [type(e) for e in outcome.events].count(MonitoringTrouble) == 2
    (stack,) = scene.region.stacks.values()
    assert len(stack.change_sets) == 1


def test_a_lost_answer_is_survived_where_tokens_mean_nothing() -> None:
    scene = Scene()
    scene.region.repeats = False
    scene.region.faults.call("execute_change_set", faults.lost(), after=True)

    outcome = scene.deploy([tier("network")])

    assert outcome.summary.status is Exit.DONE
    assert scene.statuses() == {"network": "CREATE_COMPLETE"}


def test_throttling_and_dropped_connections_never_decide_an_outcome() -> None:
    scene = Scene()
    trouble = [faults.THROTTLED, faults.dropped(), faults.UNAVAILABLE]
    for operation in ("describe_stacks", "describe_change_set", "describe_stack_events"):
        scene.region.faults.call(operation, *trouble)

    # Without the survey before the run, which asks once.
    outcome = scene.carry_out(wanted([tier("network")]), {"tap-dev-network": None})

    assert outcome.ends == {"network": "created"}
    assert any(isinstance(event, MonitoringTrouble) for event in outcome.events)


def test_an_endpoint_that_never_comes_back_ends_the_watching_and_says_what_runs_on() -> None:
    scene = Scene()

    def gone(event: Any) -> None:
        if isinstance(event, StackStarted):
            scene.region.faults.call("describe_stacks", *[faults.dropped() for _ in range(500)])

    scene.hear = gone
    outcome = scene.deploy([tier("network")])
    scene.region.faults.mend()
    again = scene.deploy([tier("network")])

    assert "cannot reach cloudformation" in failed(outcome).reason
    assert "runs on in AWS, and the same command picks it up" in failed(outcome).reason
    assert 600.0 < scene.region.clock.now() < 800.0
    assert again.ends == {"network": "unchanged"}


def test_expired_credentials_stop_the_watching_and_not_the_operation() -> None:
    scene = Scene()

    def expire(event: Any) -> None:
        if isinstance(event, StackStarted):
            for operation in ("describe_stacks", "describe_stack_events"):
                scene.region.faults.call(operation, *[faults.EXPIRED] * 20)

    scene.hear = expire
    outcome = scene.deploy(graph_of({"network": [], "data": ["network"]}))
    scene.region.faults.mend()
    scene.hear = lambda event: None
    again = scene.deploy(graph_of({"network": [], "data": ["network"]}))

    assert "the AWS credentials have expired" in failed(outcome).reason
    assert "runs on in AWS" in failed(outcome).reason
    assert outcome.ends == {"network": "failed", "data": "skipped"}
    assert again.ends["data"] == "created"


def test_expired_credentials_are_their_own_error_before_the_run() -> None:
    scene = Scene()
    scene.region.faults.call("describe_stacks", faults.EXPIRED)

    with pytest.raises(ExpiredCredentials):
        scene.deploy([tier("network")])


def test_answers_older_than_the_operation_are_not_believed() -> None:
    scene = Scene()
    scene.deploy([tier("network")])
    scene.region.stale_seconds = 15.0

    updated = scene.deploy([tier("network", note="second")])
    created = scene.deploy([tier("network", note="second"), tier("data", tier("network"))])

    assert updated.ends == {"network": "updated"}
    assert created.ends == {"network": "unchanged", "data": "created"}
    (done,) = (event for event in updated.events if isinstance(event, StackDone))
    current = scene.cloud.stack("tap-dev-network")
    assert current is not None
    assert done.outputs == current.outputs


def test_a_stack_that_disappears_while_it_is_made_is_no_success() -> None:
    scene = Scene()

    def sabotage(event: Any) -> None:
        if isinstance(event, ResourceMoved) and event.event.logical_id == "Topic0":
            scene.hear = lambda event: None
            scene.twin.client("cloudformation").delete_stack(StackName="tap-dev-network")

    scene.hear = sabotage
    outcome = scene.deploy([tier("network")])

    assert (failed(outcome).status, failed(outcome).reason) == ("DELETE_COMPLETE", "it is gone")


def test_a_stack_that_is_never_found_is_reported() -> None:
    scene = Scene()
    missing = Refusal("Stack with id tap-dev-network does not exist")

    def lose(event: Any) -> None:
        if isinstance(event, StackStarted):
            scene.region.faults.call("describe_stacks", *[missing] * 100)

    scene.hear = lose
    outcome = scene.deploy([tier("network")])

    assert "cannot be found after its change set was carried out" in failed(outcome).reason
    assert "runs on in AWS" in failed(outcome).reason


# Interruptions


def interrupted_at(scene: Scene, operation: str, moment: str) -> None:
    """A Ctrl-C, once, before or after the call had its effect."""

    def strike(called: str, when: str) -> None:
        if (called, when) == (operation, moment):
            scene.region.faults.interrupt = lambda called, when: None
            raise KeyboardInterrupt

    scene.region.faults.interrupt = strike


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("operation", ["create_change_set", "describe_change_set"])
def test_a_change_set_that_was_not_carried_out_is_taken_back(operation: str, moment: str) -> None:
    scene = Scene()
    interrupted_at(scene, operation, moment)

    with pytest.raises(KeyboardInterrupt):
        scene.deploy([tier("network")])

    assert scene.statuses() == {}
    assert scene.summary.row_of("tap-dev-network")[0] == "not started"
    assert scene.summary.status is Exit.FAILED


def test_a_change_set_of_a_standing_stack_is_taken_back_alone() -> None:
    scene = Scene()
    scene.deploy([tier("network")])
    interrupted_at(scene, "execute_change_set", "before")

    with pytest.raises(KeyboardInterrupt):
        scene.deploy([tier("network", note="second")])

    stack = scene.region.live("tap-dev-network")
    assert stack is not None
    assert [item.execution for item in stack.change_sets.values()] == ["EXECUTE_COMPLETE"]
    assert stack.status == "CREATE_COMPLETE"


def test_what_was_carried_out_runs_on_and_is_picked_up() -> None:
    scene = Scene()
    interrupted_at(scene, "execute_change_set", "after")

    with pytest.raises(KeyboardInterrupt):
        scene.deploy([tier("network")])
    words = scene.summary.row_of("tap-dev-network")
    again = scene.deploy([tier("network")])

    assert words[0] == "interrupted"
    assert again.kinds() == [("StackWaits", "network"), ("StackUnchanged", "network")]


def test_every_stack_cleans_up_when_the_run_is_closed() -> None:
    scene = Scene()
    interrupted_at(scene, "describe_change_set", "after")

    with pytest.raises(KeyboardInterrupt):
        scene.deploy(graph_of({"a": [], "b": [], "c": []}))

    assert scene.statuses() == {}


def test_a_withdrawal_that_aws_does_not_answer_ends_all_the_same() -> None:
    scene = Scene()

    def strike(called: str, when: str) -> None:
        if (called, when) == ("describe_change_set", "after"):
            scene.region.faults.interrupt = lambda called, when: None
            scene.region.faults.call("describe_stacks", *[faults.THROTTLED] * 500)
            raise KeyboardInterrupt

    scene.region.faults.interrupt = strike
    with pytest.raises(KeyboardInterrupt):
        scene.deploy([tier("network")])

    assert 60.0 <= scene.region.clock.now() < 90.0


@pytest.mark.parametrize("trouble", [faults.DENIED, faults.EXPIRED])
def test_a_withdrawal_that_aws_refuses_ends_at_once(trouble: Exception) -> None:
    scene = Scene()

    def strike(called: str, when: str) -> None:
        if (called, when) == ("describe_change_set", "after"):
            scene.region.faults.interrupt = lambda called, when: None
            scene.region.faults.call("describe_stacks", trouble)
            raise KeyboardInterrupt

    scene.region.faults.interrupt = strike
    with pytest.raises(KeyboardInterrupt):
        scene.deploy([tier("network")])

    assert scene.region.clock.now() < 10.0


def test_a_withdrawal_leaves_a_colleagues_review_alone() -> None:
    scene, item = Scene(), wanted([tier("network")])[0]

    def join(called: str, when: str) -> None:
        """A colleague puts a change set on the stack that ours brought along; then Ctrl-C."""
        if (called, when) == ("describe_change_set", "after"):
            scene.region.faults.interrupt = lambda called, when: None
            # The call under way holds the twin's line, so this goes straight to the service.
            Service(scene.region).create_change_set(review_of(item))
            raise KeyboardInterrupt

    scene.region.faults.interrupt = join
    with pytest.raises(KeyboardInterrupt):
        scene.deploy([tier("network")])

    stack = scene.region.live(item.name)
    assert stack is not None
    assert stack.status == "REVIEW_IN_PROGRESS"
    assert [made.name for made in stack.change_sets.values()] == ["for-the-board"]
