"""Following, and stopping, what another run or somebody else began."""

from __future__ import annotations

import pytest
from allowing import NETWORK, Allowing, update
from twin import Refusal, faults
from twin.scene import Outcome, tier, wanted

from tapgen.engine import attach
from tapgen.engine.events import ResourceMoved, StackDone, StackFailed
from tapgen.errors import Exit


def follow(scene: Allowing) -> Outcome:
    stacks = scene.cloud.stacks("tap-dev-")
    return scene.follow(attach.follow(scene.run(), stacks), [stack.name for stack in stacks])


def cancel(scene: Allowing) -> Outcome:
    stacks = scene.cloud.stacks("tap-dev-")
    return scene.follow(attach.cancel(scene.run(), stacks), [stack.name for stack in stacks])


@pytest.fixture
def scene() -> Allowing:
    """A network whose next update takes ten minutes."""
    scene = Allowing()
    scene.deploy([tier("network", topics=2)])
    scene.region.durations["Topic0"] = 600.0
    return scene


def creating(scene: Allowing) -> None:
    scene.twin.client("cloudformation").create_stack(
        StackName="tap-dev-data",
        TemplateBody=wanted([tier("data")])[0].request.template,
        Parameters=[{"ParameterKey": "EnvironmentSuffix", "ParameterValue": "dev"}],
    )


# Following


def test_an_update_is_followed_from_its_first_event_to_its_end(scene: Allowing) -> None:
    update(scene, "second")
    scene.region.clock.sleep(300.0)
    before = len(scene.region.mutations)

    outcome = follow(scene)

    moves = [event.event.status for event in outcome.events if isinstance(event, ResourceMoved)]
    (done,) = (event for event in outcome.events if isinstance(event, StackDone))
    assert moves[0] == "UPDATE_IN_PROGRESS"
    assert (done.action, done.seconds > 600.0) == ("update", True)
    assert outcome.summary.status is Exit.DONE
    assert scene.since(before) == []


def test_several_stacks_are_followed_at_once_whatever_they_do(scene: Allowing) -> None:
    scene.twin.client("cloudformation").delete_stack(StackName=NETWORK)
    creating(scene)

    outcome = follow(scene)

    assert outcome.ends == {"network": "deleted", "data": "created"}


def test_a_rollback_under_way_ends_badly_and_tells_why_it_began(scene: Allowing) -> None:
    scene.region.faults.resource(NETWORK, "Topic1", "UPDATE", "Not today", times=1)
    update(scene, "second")
    scene.region.clock.sleep(10.0)
    assert scene.region.status(NETWORK) == "UPDATE_ROLLBACK_IN_PROGRESS"

    outcome = follow(scene)

    (failed,) = (event for event in outcome.events if isinstance(event, StackFailed))
    assert (failed.status, failed.reason) == ("UPDATE_ROLLBACK_COMPLETE", "Not today")
    assert outcome.summary.status is Exit.FAILED


def test_what_ended_a_moment_ago_is_as_it_is(scene: Allowing) -> None:
    assert follow(scene).ends == {"network": "unchanged"}


def test_a_review_is_not_under_way(scene: Allowing) -> None:
    scene.twin.client("cloudformation").create_change_set(
        StackName="tap-dev-data",
        ChangeSetName="for-the-board",
        ChangeSetType="CREATE",
        TemplateBody='{"Resources": {"It": {"Type": "AWS::SNS::Topic"}}}',
    )

    assert not scene.standing("tap-dev-data").under_way


def test_expired_credentials_end_the_following_and_nothing_else(scene: Allowing) -> None:
    update(scene, "second")
    stacks = scene.cloud.stacks("tap-dev-")
    scene.region.faults.call("describe_stack_events", faults.EXPIRED)

    outcome = scene.follow(attach.follow(scene.run(), stacks), [NETWORK])

    (failed,) = (event for event in outcome.events if isinstance(event, StackFailed))
    assert "the AWS credentials have expired" in failed.reason
    assert scene.region.status(NETWORK) == "UPDATE_IN_PROGRESS"


# Cancelling


def test_an_update_is_rolled_back_and_that_is_what_was_wanted(scene: Allowing) -> None:
    update(scene, "second")
    before = len(scene.region.mutations)

    outcome = cancel(scene)

    assert outcome.ends == {"network": "cancelled"}
    assert scene.since(before) == ["cancel_update_stack"]
    assert scene.region.mutations[-1].parameters["ClientRequestToken"] == (
        "tapgen-r2-tap-dev-network-cancel"
    )
    assert scene.region.status(NETWORK) == "UPDATE_ROLLBACK_COMPLETE"


def test_a_creation_is_deleted(scene: Allowing) -> None:
    creating(scene)
    (stack,) = scene.cloud.stacks("tap-dev-data")

    outcome = scene.follow(attach.cancel(scene.run(), [stack]), [stack.name])

    assert outcome.ends == {"data": "cancelled"}
    assert scene.statuses() == {"network": "CREATE_COMPLETE"}


def test_an_update_that_ended_first_was_not_cancelled(scene: Allowing) -> None:
    update(scene, "second")
    stacks = scene.cloud.stacks("tap-dev-")
    scene.region.settle()

    outcome = scene.follow(attach.cancel(scene.run(), stacks), [NETWORK])

    (failed,) = (event for event in outcome.events if isinstance(event, StackFailed))
    assert (failed.status, failed.reason) == (
        "UPDATE_COMPLETE",
        "it ended before it could be cancelled",
    )


def test_a_rollback_that_fails_is_no_success(scene: Allowing) -> None:
    scene.region.faults.resource(NETWORK, "Topic0", "ROLLBACK", "Not back")
    update(scene, "second")
    scene.region.clock.sleep(5.0)

    outcome = cancel(scene)

    (failed,) = (event for event in outcome.events if isinstance(event, StackFailed))
    assert (failed.status, failed.reason) == ("UPDATE_ROLLBACK_FAILED", "Not back")
    assert outcome.summary.status is Exit.FAILED


def test_a_refusal_is_told_and_the_stack_followed_all_the_same(scene: Allowing) -> None:
    update(scene, "second")
    scene.region.faults.call("cancel_update_stack", Refusal("not now"))

    outcome = cancel(scene)

    (failed,) = (event for event in outcome.events if isinstance(event, StackFailed))
    assert failed.reason == "it ended before it could be cancelled"
