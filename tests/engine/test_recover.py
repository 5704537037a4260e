"""Stacks in a bad way: what became of them, the way back, and that nobody takes it unasked."""

from __future__ import annotations

from dataclasses import replace

import pytest
from allowing import GIVEN, NETWORK, Allowing, update
from twin import faults
from twin.scene import Outcome, tier, wanted

from tapgen.engine import change_set, recover
from tapgen.engine.events import StackFailed, StackStarted, StackWaits
from tapgen.engine.recover import AmbiguousResource, Diagnosis, UnknownResource
from tapgen.errors import Exit


def failed(outcome: Outcome) -> StackFailed:
    """The one failure of a run."""
    (found,) = (event for event in outcome.events if isinstance(event, StackFailed))
    return found


@pytest.fixture
def scene() -> Allowing:
    """An environment with a network of two topics."""
    scene = Allowing()
    scene.deploy([tier("network", topics=2)])
    return scene


def stuck_rollback(scene: Allowing, reason: str = "Not back") -> None:
    """Let an update of the network fail, and Topic0 not come back from it."""
    scene.region.faults.resource(NETWORK, "Topic1", "UPDATE", "Not today", times=1)
    scene.region.faults.resource(NETWORK, "Topic0", "ROLLBACK", reason, times=1)
    scene.region.durations["Topic1"] = 60.0
    scene.deploy([tier("network", topics=2, note="second")])
    assert scene.region.status(NETWORK) == "UPDATE_ROLLBACK_FAILED"


SECOND = [tier("network", topics=2, note="second")]


# Diagnosis


def test_a_failed_update_that_was_taken_back_is_told_by_its_first_failure(scene: Allowing) -> None:
    scene.region.faults.resource(NETWORK, "Topic1", "UPDATE", "Not today", times=1)
    scene.deploy(SECOND)

    found = recover.diagnose(scene.cloud, scene.standing())

    assert found.told == "Topic1 (AWS::SNS::Topic): Not today"
    assert found.stuck == ()


def test_an_older_failure_is_not_the_last_operations(scene: Allowing) -> None:
    scene.region.faults.resource(NETWORK, "Topic1", "UPDATE", "Not today", times=1)
    scene.deploy(SECOND)
    scene.region.faults.resource(NETWORK, "Topic0", "UPDATE", "Nor tomorrow", times=1)
    scene.deploy(SECOND)

    found = recover.diagnose(scene.cloud, scene.standing())

    assert found.told == "Topic0 (AWS::SNS::Topic): Nor tomorrow"


def test_a_cancelled_update_says_that_it_was(scene: Allowing) -> None:
    update(scene, "second")
    scene.twin.client("cloudformation").cancel_update_stack(StackName=NETWORK)
    scene.region.settle()

    assert recover.diagnose(scene.cloud, scene.standing()).told == "it was cancelled"


def test_what_could_not_be_taken_back_is_told_with_its_own_reason(scene: Allowing) -> None:
    stuck_rollback(scene)

    found = recover.diagnose(scene.cloud, scene.standing())

    assert [item.told for item in found.stuck] == ["Topic0 (AWS::SNS::Topic): Not back"]
    assert found.stuck[0].may_be_skipped
    assert found.told == "Topic1 (AWS::SNS::Topic): Not today"


def test_what_remains_of_a_failed_creation_is_told() -> None:
    scene = Allowing()
    scene.region.durations["Topic1"] = 60.0
    scene.region.faults.resource(NETWORK, "Topic1", "CREATE", "Quota exceeded")
    scene.region.faults.resource(NETWORK, "Topic0", "DELETE", "Still in use")
    scene.deploy([tier("network", topics=2)])

    found = recover.diagnose(scene.cloud, scene.standing())

    assert found.stack.status == "ROLLBACK_FAILED"
    assert found.reason == "Quota exceeded"
    assert [item.logical_id for item in found.remaining] == ["Topic0"]
    assert [item.may_be_retained for item in found.stuck] == [True]


def test_a_history_that_may_not_be_read_leaves_the_stacks_own_reason(scene: Allowing) -> None:
    scene.region.faults.call("describe_stack_events", faults.DENIED)
    stack = replace(scene.standing(), reason="whatever it says")

    assert recover.diagnose(scene.cloud, stack) == Diagnosis(stack, reason="whatever it says")


# An update that failed and stays


def test_a_failed_update_is_not_taken_back_unasked(scene: Allowing) -> None:
    scene.region.faults.resource(NETWORK, "Topic1", "UPDATE", "Not today", times=1)
    update(scene, "theirs", stays=True)
    scene.region.settle()
    before = len(scene.region.mutations)

    outcome = scene.deploy(SECOND)

    assert scene.since(before) == []
    assert failed(outcome).status == "UPDATE_FAILED"
    assert failed(outcome).reason == (
        "its update failed and was not rolled back (UPDATE_FAILED): "
        "Topic1 (AWS::SNS::Topic): Not today"
    )
    assert "run again with --recover" in failed(outcome).remedy


def test_recover_takes_a_failed_update_back_and_updates_in_the_same_run(scene: Allowing) -> None:
    scene.region.faults.resource(NETWORK, "Topic1", "UPDATE", "Not today", times=1)
    update(scene, "theirs", stays=True)
    scene.region.settle()
    before = len(scene.region.mutations)

    outcome = scene.allowing(recover=frozenset({NETWORK})).deploy(SECOND)

    assert scene.since(before) == ["rollback_stack", "create_change_set", "execute_change_set"]
    assert scene.region.mutations[before].parameters["ClientRequestToken"] == (
        "tapgen-r2-tap-dev-network-recover"
    )
    assert outcome.ends == {"network": "updated"}
    started = [event.action for event in outcome.events if isinstance(event, StackStarted)]
    assert started == ["recover", "update"]


# A rollback that failed


def test_a_rollback_that_failed_is_not_continued_unasked(scene: Allowing) -> None:
    stuck_rollback(scene)
    before = len(scene.region.mutations)

    outcome = scene.deploy(SECOND)

    assert scene.since(before) == []
    assert failed(outcome).reason == (
        "its rollback failed (UPDATE_ROLLBACK_FAILED): Topic0 (AWS::SNS::Topic): Not back"
    )
    assert "--recover --skip Topic0" in failed(outcome).remedy


def test_the_run_whose_rollback_fails_says_what_is_next(scene: Allowing) -> None:
    scene.region.faults.resource(NETWORK, "Topic1", "UPDATE", "Not today", times=1)
    scene.region.faults.resource(NETWORK, "Topic0", "ROLLBACK", "Not back", times=1)
    scene.region.durations["Topic1"] = 60.0

    outcome = scene.deploy(SECOND)

    assert failed(outcome).reason == "Not today"
    assert "its rollback failed too" in failed(outcome).remedy


def test_recover_continues_the_rollback_and_updates_in_the_same_run(scene: Allowing) -> None:
    stuck_rollback(scene)
    before = len(scene.region.mutations)

    outcome = scene.allowing(recover=frozenset({NETWORK})).deploy(SECOND)

    assert scene.since(before) == [
        "continue_update_rollback",
        "create_change_set",
        "execute_change_set",
    ]
    assert "ResourcesToSkip" not in scene.region.mutations[before].parameters
    assert outcome.ends == {"network": "updated"}


def test_a_rollback_that_fails_again_tells_what_is_in_the_way_now(scene: Allowing) -> None:
    stuck_rollback(scene)
    scene.region.faults.resource(NETWORK, "Topic0", "ROLLBACK", "Still not", times=1)

    outcome = scene.allowing(recover=frozenset({NETWORK})).deploy(SECOND)

    assert failed(outcome).reason == (
        "it could not be taken back: Topic0 (AWS::SNS::Topic): Still not"
    )
    assert outcome.summary.status is Exit.FAILED


def test_what_is_given_up_is_skipped_and_nothing_else(scene: Allowing) -> None:
    stuck_rollback(scene)
    scene.region.faults.resource(NETWORK, "Topic0", "ROLLBACK", "Never")
    before = len(scene.region.mutations)

    allowed = scene.allowing(recover=frozenset({NETWORK}), skip={NETWORK: ["Topic0"]})
    outcome = allowed.deploy(SECOND)

    assert scene.region.mutations[before].parameters["ResourcesToSkip"] == ["Topic0"]
    assert outcome.ends == {"network": "updated"}


def test_a_rollback_that_somebody_continued_meanwhile_is_judged_anew(scene: Allowing) -> None:
    stuck_rollback(scene)
    items = wanted(SECOND)
    seen = scene.survey([NETWORK])
    scene.twin.client("cloudformation").continue_update_rollback(StackName=NETWORK)

    outcome = scene.allowing(recover=frozenset({NETWORK})).carry_out(items, seen)

    assert outcome.ends == {"network": "updated"}


# A creation that failed


def test_a_stack_that_tapgen_did_not_make_is_never_deleted_to_make_room() -> None:
    scene = Allowing()
    scene.region.faults.resource(NETWORK, "Topic0", "CREATE", "Quota exceeded", times=1)
    scene.twin.client("cloudformation").create_stack(
        StackName=NETWORK,
        TemplateBody=wanted([tier("network")])[0].request.template,
        Parameters=GIVEN,
    )
    scene.region.settle()
    before = len(scene.region.mutations)

    outcome = scene.deploy([tier("network")], recreate=[NETWORK])

    assert scene.since(before) == []
    assert "does not say that tapgen made it" in failed(outcome).reason
    assert scene.region.status(NETWORK) == "ROLLBACK_COMPLETE"


def test_the_refusal_of_a_failed_creation_tells_its_cause() -> None:
    scene = Allowing()
    scene.region.faults.resource(NETWORK, "Topic0", "CREATE", "Quota exceeded", times=1)
    scene.deploy([tier("network")])

    outcome = scene.deploy([tier("network")])

    assert failed(outcome).reason == (
        "its creation failed (ROLLBACK_COMPLETE); it can only be deleted: "
        "Topic0 (AWS::SNS::Topic): Quota exceeded"
    )


def test_a_failed_deletion_is_named_with_what_is_in_the_way(scene: Allowing) -> None:
    scene.region.faults.resource(NETWORK, "Topic0", "DELETE", "Still in use")
    scene.destroy()

    outcome = scene.deploy(SECOND)

    assert failed(outcome).reason == (
        "its deletion failed (DELETE_FAILED): finish it with tapgen destroy, then deploy: "
        "Topic0 (AWS::SNS::Topic): Still in use"
    )


# An operation under way


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("tapgen-r0-network-execute", "of an earlier run of tapgen, which this one resumes"),
        ("Console-UpdateStack-1", "begun in the console"),
        ("from-ci", "token from-ci"),
    ],
)
def test_whoever_waits_is_told_for_whom(scene: Allowing, token: str, words: str) -> None:
    update(scene, "theirs", token=token)

    outcome = scene.deploy(SECOND)

    assert outcome.events[0] == StackWaits(NETWORK, "UPDATE_IN_PROGRESS", words)
    assert outcome.ends == {"network": "updated"}


def test_who_does_not_want_to_wait_fails_at_once_and_changes_nothing(scene: Allowing) -> None:
    update(scene, "theirs")
    before, now = len(scene.region.mutations), scene.region.clock.now()

    outcome = scene.allowing(patient=False).deploy(SECOND)

    assert scene.since(before) == []
    assert scene.region.clock.now() == now
    assert failed(outcome).reason == (
        "an operation is under way (UPDATE_IN_PROGRESS), token theirs, "
        "and --no-wait-existing says not to wait"
    )


# A review


def test_the_review_that_a_dead_run_left_is_used_and_cleared_away() -> None:
    scene = Allowing()
    item = wanted([tier("network")])[0]
    dead = replace(scene.run(), id="dead")
    scene.cloud.create_change_set(
        item.request, change_set.name_of(dead, item), create=True, token="tapgen-dead-prepare"
    )
    scene.region.settle()

    outcome = scene.deploy([tier("network")])

    stack = scene.region.live(NETWORK)
    assert stack is not None
    assert outcome.ends == {"network": "created"}
    assert [made.execution for made in stack.change_sets.values()] == ["EXECUTE_COMPLETE"]
    assert len(scene.region.stacks) == 1


# Names of resources


CANDIDATES = {"tap-dev-network": ["Topic0"], "tap-dev-data": ["Topic0", "Database"]}


def test_a_resource_is_meant_by_its_id_or_with_its_stack_or_its_tier() -> None:
    names = ["Database", "tap-dev-network/Topic0", "data/Topic0"]

    found = recover.named(names, CANDIDATES)

    assert found == {"tap-dev-data": ["Database", "Topic0"], "tap-dev-network": ["Topic0"]}


def test_an_id_that_two_stacks_have_must_be_told_apart() -> None:
    with pytest.raises(AmbiguousResource) as caught:
        recover.named(["Topic0"], CANDIDATES)

    assert caught.value.stacks == ("tap-dev-network", "tap-dev-data")


def test_what_is_not_in_the_way_cannot_be_given_up() -> None:
    with pytest.raises(UnknownResource, match="what is: tap-dev-network/Topic0, tap-dev-data/"):
        recover.named(["network/Database"], CANDIDATES)
