"""What a plan asks CloudFormation, what it makes of the answer, and that nothing is left behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from troposphere.applicationautoscaling import ScalingPolicy
from twin import faults
from twin.changes import Habits
from twin.region import ACCOUNT
from twin.rounds import Part, Rounds, stack_of
from twin.scene import wanted
from twin.service import Service

from tapgen.cloud import DeployedStack, ExpiredCredentials
from tapgen.engine import change_set, review
from tapgen.engine.exact import Asker, NotAsked
from tapgen.engine.phases import ForeignImporter
from tapgen.engine.plan import Action
from tapgen.engine.review import Review, Reviewed, Source

MAKER, USER = Part({"A": "a"}), Part(uses=["A"])
BOTH = {"maker": MAKER, "user": USER}
LONE = {"x": Part({"X": "x"}), "y": Part({"Y": "y"})}
MOVED = {"x": Part({"X": "x2"}), "y": Part({"Y": "y2"})}
CALLS = ("create_change_set", "describe_change_set", "delete_change_set")


def standing(parts: Mapping[str, Part]) -> Rounds:
    """An environment that stands, with nothing asked yet."""
    stage = Rounds()
    stage.roll_out(parts)
    stage.region.settle()
    stage.region.calls.clear()
    return stage


def asker(stage: Rounds, **how: Any) -> Asker:
    return Asker(stage.cloud, stage.region.clock, lambda elapsed: 2.0, nonce="0badc0de", **how)


def planned(stage: Rounds, parts: Mapping[str, Part], **how: Any) -> dict[str, Reviewed]:
    return {item.wanted.tier: item for item in seen(stage, parts, **how).stacks}


def seen(stage: Rounds, parts: Mapping[str, Part], **how: Any) -> Review:
    """The review of a run that asks CloudFormation."""
    rollout, _ = stage.plan(parts)
    stage.region.calls.clear()
    return review.review(
        stage.cloud,
        rollout.wanted,
        rollout.deployed,
        ACCOUNT,
        asker(stage, **how),
    )


def left(stage: Rounds) -> list[str]:
    """The change sets of plans that are still there."""
    return [
        item.name
        for stack in stage.region.stacks.values()
        for item in stack.change_sets.values()
        if item.name.startswith("tapgen-plan-")
    ]


def stack_at(stage: Rounds, name: str) -> DeployedStack:
    stack = stage.cloud.stack(name)
    assert stack is not None
    return stack


def asked(stage: Rounds) -> list[str]:
    """The stacks that a change set was made for, sorted."""
    return sorted(
        call.parameters["StackName"]
        for call in stage.region.calls
        if call.operation == "create_change_set"
    )


# What is asked, and how


def test_an_update_is_known_from_a_change_set_that_is_removed_again() -> None:
    stage = standing(LONE)

    found = planned(stage, {**LONE, "x": Part({"X": "x2"})})

    assert (found["x"].source, found["y"].source) == (Source.CHANGE_SET, Source.SAME)
    (topic,) = found["x"].changes.resources
    assert (topic.logical_id, topic.replacement, topic.doubts) == ("XTopic", "yes", ())
    assert [(p.path, p.before, p.after) for p in topic.properties] == [("TopicName", "x", "x2")]
    assert left(stage) == []


def test_a_change_set_of_a_plan_is_told_by_its_name() -> None:
    stage = standing(LONE)

    seen(stage, MOVED)

    (item, *_) = stage.plan(MOVED)[0].wanted
    names = [
        call.parameters["ChangeSetName"]
        for call in stage.region.calls
        if call.operation == "create_change_set" and call.parameters["StackName"] == "tap-dev-x"
    ]
    assert names == [f"tapgen-plan-{change_set.fingerprint(item)[:12]}-0badc0de"]


def test_all_stacks_are_asked_at_once_and_waited_for_together() -> None:
    stage = standing(LONE)
    begun = stage.region.clock.now()

    seen(stage, MOVED)

    assert asked(stage) == ["tap-dev-x", "tap-dev-y"]
    assert stage.region.clock.now() - begun == 4.0


def test_nobody_is_asked_about_a_new_stack_or_an_environment_at_rest() -> None:
    stage = standing(LONE)

    seen(stage, {**LONE, "z": Part({"Z": "z"})})
    seen(stage, LONE)

    assert asked(stage) == []
    assert stage.region.mutations == []


def test_an_importer_of_a_value_that_will_change_cannot_be_asked_about() -> None:
    stage = standing(BOTH)

    found = planned(stage, {"maker": Part({"A": "a2"}), "user": Part(uses=["A"], makes={"U": "u"})})

    assert asked(stage) == ["tap-dev-maker"]
    assert (found["user"].source, found["user"].note) == (Source.PREDICTED, "")


def test_an_importer_of_values_that_stay_is_asked_about() -> None:
    stage = standing(BOTH)

    found = planned(stage, {"maker": MAKER, "user": Part(uses=["A"], makes={"U": "u"})})

    assert asked(stage) == ["tap-dev-user"]
    assert found["user"].source is Source.CHANGE_SET


def test_an_answer_about_the_producer_opens_the_question_about_its_importer() -> None:
    held = {"maker": Part({"A": "a"}, beside=[_odd("one")], behind={"A": "Odd"}), "user": USER}
    moved = {"maker": Part({"A": "a"}, beside=[_odd("two")], behind={"A": "Odd"})}
    stage = standing(held)

    _, foretold = stage.plan({**moved, "user": Part(uses=["A"], makes={"U": "u"})})
    found = planned(stage, {**moved, "user": Part(uses=["A"], makes={"U": "u"})})

    # No table knows the type, so that it might be replaced, and its importer with it.
    assert [phase.title for phase in foretold.phases] == ["detach", "deploy"]
    assert asked(stage) == ["tap-dev-maker", "tap-dev-user"]
    assert found["maker"].changes.exports == ()
    assert found["user"].source is Source.CHANGE_SET


def _odd(note: str) -> Any:
    return ScalingPolicy("Odd", PolicyName="fixed", PolicyType=note)


def test_a_stranger_who_imports_what_only_might_have_changed_stops_nobody() -> None:
    stage = standing({"maker": Part({"A": "a"}, beside=[_odd("one")], behind={"A": "Odd"})})
    theirs = (
        "Resources: {It: {Type: AWS::SSM::Parameter, Properties: {Type: String, Value: x}}}\n"
        "Outputs: {Seen: {Value: !ImportValue tap-dev-A}}\n"
    )
    moved = {"maker": Part({"A": "a"}, beside=[_odd("two")], behind={"A": "Odd"})}
    rollout, _ = stage.plan(moved)
    stage.twin.client("cloudformation").create_stack(StackName="billing", TemplateBody=theirs)
    stage.region.settle()

    with pytest.raises(ForeignImporter):
        review.review(stage.cloud, rollout.wanted, rollout.deployed, ACCOUNT)
    found = review.review(stage.cloud, rollout.wanted, rollout.deployed, ACCOUNT, asker(stage))

    assert [phase.title for phase in found.phases] == ["deploy"]


# What cannot be asked


def test_who_may_not_make_change_sets_gets_a_prediction_and_is_told() -> None:
    stage = standing(LONE)
    stage.region.faults.call("create_change_set", faults.DENIED)

    found = planned(stage, {**LONE, "x": Part({"X": "x2"})})

    assert (found["x"].step.action, found["x"].source) == (Action.UPDATE, Source.PREDICTED)
    assert found["x"].note == (
        "no change set, because these credentials may not make one: "
        "User is not authorized to perform this action"
    )
    assert [change.replacement for change in found["x"].changes.resources] == ["yes"]


def test_who_wants_change_sets_only_is_not_served_predictions() -> None:
    stage = standing(LONE)
    stage.region.faults.call("create_change_set", faults.DENIED)

    with pytest.raises(NotAsked) as caught:
        seen(stage, {**LONE, "x": Part({"X": "x2"})}, strict=True)

    assert caught.value.stack == "tap-dev-x"
    assert left(stage) == []


def test_a_change_set_that_takes_for_ever_is_given_up_and_told_of() -> None:
    stage = standing(LONE)
    stage.region.change_set_seconds, told = 1000.0, list[str]()

    found = planned(stage, {**LONE, "x": Part({"X": "x2"})}, tell=told.append)

    assert found["x"].note == "its change set was not ready after 120 s"
    (line,) = told
    assert line.startswith("the change set tapgen-plan-")
    assert "could not be removed" in line


@pytest.mark.parametrize("trouble", [faults.THROTTLED, faults.dropped()])
def test_throttling_and_lost_answers_cost_nothing_but_time(trouble: Exception) -> None:
    stage = standing(LONE)
    for operation in CALLS:
        stage.region.faults.call(operation, trouble)
        stage.region.faults.call(operation, faults.lost(), after=True)

    found = planned(stage, MOVED)

    assert [item.source for item in found.values()] == [Source.CHANGE_SET] * 2
    assert left(stage) == []


@pytest.mark.parametrize("repeats", [True, False])
def test_a_change_set_whose_making_was_never_confirmed_is_found_and_removed(repeats: bool) -> None:
    stage = standing(LONE)
    stage.region.repeats = repeats
    stage.region.faults.call("create_change_set", *[faults.lost()] * 3, after=True)

    seen(stage, {**LONE, "x": Part({"X": "x2"})})

    assert left(stage) == []


def test_expired_credentials_are_no_prediction() -> None:
    stage = standing(LONE)
    stage.region.faults.call("describe_change_set", faults.EXPIRED)

    with pytest.raises(ExpiredCredentials):
        seen(stage, {**LONE, "x": Part({"X": "x2"})})

    assert left(stage) == []


def test_what_may_not_be_removed_is_told_at_once() -> None:
    stage, told = standing(LONE), list[str]()
    stage.region.faults.call("delete_change_set", faults.DENIED)
    begun = stage.region.clock.now()

    seen(stage, {**LONE, "x": Part({"X": "x2"})}, tell=told.append)

    assert len(told) == 1
    assert "could not be removed" in told[0]
    assert stage.region.clock.now() - begun < 10.0


def test_a_template_that_has_to_lie_in_the_bucket_first_is_not_asked_about() -> None:
    stage = standing(LONE)
    (item,) = wanted([stack_of("x", Part({"X": "x2"}))])
    text = item.request.template + "#" * 52_000
    long = replace(item, request=replace(item.request, written=lambda: text))

    found = asker(stage)([(long, stack_at(stage, item.name))])

    assert found["tap-dev-x"].note == (
        "its template is too long to ask about before a deploy has put it into the bucket"
    )
    assert asked(stage) == []


# Nothing is left behind


MOMENTS = ("before", "after")


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("operation", CALLS)
@pytest.mark.parametrize("turn", [1, 2])
def test_an_interruption_at_any_call_leaves_no_change_set(
    operation: str, moment: str, turn: int
) -> None:
    stage, calls = standing(LONE), 0

    def strike(called: str, when: str) -> None:
        nonlocal calls
        calls += (called, when) == (operation, moment)
        if calls == turn:
            stage.region.faults.interrupt = lambda called, when: None
            raise KeyboardInterrupt

    rollout, _ = stage.plan(MOVED)
    stage.region.faults.interrupt = strike
    with pytest.raises(KeyboardInterrupt):
        review.review(stage.cloud, rollout.wanted, rollout.deployed, ACCOUNT, asker(stage))

    assert left(stage) == []


def test_a_colleagues_change_set_is_never_touched() -> None:
    stage = standing(LONE)
    stack = stage.region.live("tap-dev-x")
    assert stack is not None
    rollout, _ = stage.plan(MOVED)
    template = rollout.wanted[0].request.template
    for name in ("tapgen-plan-0123456789ab-deadbeef", "for-the-board"):
        Service(stage.region).create_change_set(
            {
                "StackName": stack.name,
                "ChangeSetName": name,
                "TemplateBody": template,
                "Parameters": [{"ParameterKey": "EnvironmentSuffix", "ParameterValue": "dev"}],
            }
        )
    before = {item.name for item in stack.change_sets.values()}

    seen(stage, MOVED)

    assert {item.name for item in stack.change_sets.values()} == before


def test_a_stack_that_was_deleted_meanwhile_is_not_made_anew() -> None:
    stage = standing(LONE)
    rollout, _ = stage.plan(MOVED)
    before = stack_at(stage, "tap-dev-x")
    stage.cloud.delete_stack("tap-dev-x", "somebody")
    stage.region.settle()

    found = asker(stage)([(rollout.wanted[0], before)])

    assert "does not exist" in found["tap-dev-x"].note
    assert stage.region.live("tap-dev-x") is None


# What the answer means


def test_what_cloudformation_calls_no_change_is_kept() -> None:
    stage = standing(LONE)
    stack = stage.region.live("tap-dev-x")
    assert stack is not None
    # Rolled back to the very state that is wanted.
    stack.status = "UPDATE_ROLLBACK_COMPLETE"

    found = planned(stage, LONE)

    assert (found["x"].step.action, found["x"].step.why) == (
        Action.KEEP,
        "CloudFormation sees no change",
    )
    assert found["x"].source is Source.CHANGE_SET


def test_what_is_left_out_with_values_is_in_the_plan_all_the_same() -> None:
    stage = standing(LONE)
    stage.region.habits = Habits(dropped=frozenset({"XTopic"}))

    (change,) = planned(stage, {**LONE, "x": Part({"X": "x2"})})["x"].changes.resources

    assert (change.replacement, change.doubts) == ("yes", ())
    assert [(p.path, p.before, p.after) for p in change.properties] == [("TopicName", "x", "x2")]


def test_every_page_of_a_change_set_is_read() -> None:
    many = {"x": Part({key: f"n-{key}" for key in "ABCDE"})}
    stage = standing(many)
    assert stage.region.page_size == 2

    found = planned(stage, {"x": Part({key: f"m-{key}" for key in "ABCDE"})})

    changes = found["x"].changes.resources
    assert [change.logical_id for change in changes] == [f"{key}Topic" for key in "ABCDE"]
    assert not any(change.doubts for change in changes)


def test_a_round_that_only_lets_go_of_imports_stops_at_a_real_change_in_place() -> None:
    stage = standing(BOTH)
    stack = stage.region.live("tap-dev-user")
    assert stack is not None
    held = stack.held["UsesA"]
    # By hand: what the round deploys would set it back, which is more than letting go.
    held.properties = {**held.properties, "Description": "by hand"}

    outcome = stage.roll_out({"maker": Part({"A": "other"}), "user": USER})

    told = {stack: detail for stack, end, detail in outcome.summary.rows() if end == "failed"}
    assert told == {
        "tap-dev-user": "holding its imports literally would move resources, which it must not: "
        "UsesA"
    }


def test_a_change_set_that_failed_says_why() -> None:
    stage = standing(LONE)
    (item,) = wanted([stack_of("x", Part({"X": "x"}, uses=["Nowhere"]))])

    found = asker(stage)([(item, stack_at(stage, item.name))])

    assert found["tap-dev-x"].note == (
        "CloudFormation makes no change set: No export named tap-dev-Nowhere found."
    )
    assert left(stage) == []


# The digest of what a stack is deployed from


def test_every_input_of_a_stack_is_in_its_fingerprint() -> None:
    (item,) = wanted([stack_of("x", MAKER)])
    request = item.request
    others = [
        replace(request, written=lambda: request.template + " "),
        replace(request, parameters={"EnvironmentSuffix": "prod"}),
        replace(request, tags={}),
        replace(request, capabilities=("CAPABILITY_IAM",)),
        replace(request, previous=frozenset({"P"})),
    ]

    prints = {change_set.fingerprint(replace(item, request=each)) for each in [request, *others]}

    assert len(prints) == 6


def test_a_hidden_value_cannot_be_guessed_from_the_fingerprint() -> None:
    (item,) = wanted([stack_of("x", MAKER)])
    hidden = {**item.document, "Parameters": {"Pin": {"Type": "String", "NoEcho": True}}}
    one, other = (
        replace(item, document=hidden, request=replace(item.request, parameters={"Pin": pin}))
        for pin in ("1234", "4321")
    )

    assert change_set.fingerprint(one) == change_set.fingerprint(other)
