"""What a deployment does, over a CloudFormation with rules of its own."""

from __future__ import annotations

from typing import Any

import pytest
from twin import Twin, faults
from twin.scene import ENV, TAGS, Outcome, Scene, graph_of, tier, wanted
from twin.service import Service

from tapgen.engine.events import (
    ResourceMoved,
    StackFailed,
    StackStarted,
    StackWaits,
)
from tapgen.engine.plan import Wanted
from tapgen.errors import Exit

CHAIN = {"network": [], "data": ["network"], "api": ["data"]}


def failed(outcome: Outcome) -> StackFailed:
    """The one failure of a run."""
    (found,) = (event for event in outcome.events if isinstance(event, StackFailed))
    return found


def review_of(item: Wanted) -> dict[str, Any]:
    """Somebody's change set for a new stack of that name."""
    return {
        "StackName": item.name,
        "ChangeSetName": "for-the-board",
        "ChangeSetType": "CREATE",
        "TemplateBody": item.request.template,
        "Parameters": [{"ParameterKey": "EnvironmentSuffix", "ParameterValue": ENV}],
    }


# Create, update, nothing to do


def test_stacks_are_created_after_their_producers() -> None:
    scene = Scene()

    outcome = scene.deploy(graph_of(CHAIN))

    assert outcome.kinds() == [
        ("StackStarted", "network"),
        ("StackDone", "network"),
        ("StackStarted", "data"),
        ("StackDone", "data"),
        ("StackStarted", "api"),
        ("StackDone", "api"),
    ]
    assert outcome.summary.status is Exit.DONE
    assert scene.statuses() == dict.fromkeys(CHAIN, "CREATE_COMPLETE")


def test_stacks_that_do_not_need_each_other_stand_up_side_by_side() -> None:
    scene = Scene()
    scene.region.durations["AWS::SNS::Topic"] = 600.0

    scene.deploy(graph_of({"a": [], "b": [], "c": []}))

    assert scene.region.clock.now() < 700.0


def test_a_second_run_changes_nothing_and_tells_the_outputs() -> None:
    scene, tiers = Scene(), graph_of(CHAIN)
    first = scene.deploy(tiers)
    before = len(scene.region.mutations)

    second = scene.deploy(tiers)

    assert scene.region.mutations[before:] == []
    assert second.summary.unchanged
    assert second.summary.outputs() == first.summary.outputs()


def test_only_what_changed_is_updated_and_the_change_is_counted() -> None:
    scene = Scene()
    scene.deploy(graph_of(CHAIN))

    network = tier("network", note="second", topics=2)
    data = tier("data", network)
    outcome = scene.deploy([network, data, tier("api", data)])

    assert outcome.ends == {"network": "updated", "data": "unchanged", "api": "unchanged"}
    assert StackStarted("tap-dev-network", "update", 2) in outcome.events


def test_a_changed_tag_is_an_update() -> None:
    scene = Scene()
    scene.deploy([tier("network")])
    scene.twin.client("cloudformation").update_stack(
        StackName="tap-dev-network",
        UsePreviousTemplate=True,
        Parameters=[{"ParameterKey": "EnvironmentSuffix", "UsePreviousValue": True}],
        Tags=[{"Key": "Project", "Value": "somebody else's"}],
    )
    scene.region.settle()

    outcome = scene.deploy([tier("network")])

    stack = scene.cloud.stack("tap-dev-network")
    assert stack is not None
    assert outcome.ends == {"network": "updated"}
    assert stack.tags == TAGS


def test_every_call_that_changes_something_carries_a_token_of_its_run() -> None:
    scene = Scene()

    scene.deploy(graph_of(CHAIN))

    tokens = [
        call.parameters.get("ClientToken") or call.parameters.get("ClientRequestToken")
        for call in scene.region.mutations
    ]
    assert tokens[:2] == ["tapgen-r1-tap-dev-network-prepare", "tapgen-r1-tap-dev-network-execute"]
    assert len(set(tokens)) == len(tokens) == 6


def test_a_change_that_cloudformation_does_not_see_leaves_no_change_set_behind() -> None:
    scene = Scene()
    scene.deploy([tier("network")])
    stack = scene.region.live("tap-dev-network")
    assert stack is not None
    assert stack.version is not None
    # As after an update by hand that took the digest's output away from what DescribeStacks says.
    stack.outputs = tuple(item for item in stack.outputs if item.key != "TemplateDigest")

    outcome = scene.deploy([tier("network")])

    assert outcome.ends == {"network": "unchanged"}
    assert [item.execution for item in stack.change_sets.values()] == ["EXECUTE_COMPLETE"]


# Failure


def test_a_failure_stops_its_dependents_and_nobody_else() -> None:
    scene = Scene()
    scene.region.faults.resource("tap-dev-data", "Topic0", "CREATE", "Quota exceeded")

    outcome = scene.deploy(graph_of({**CHAIN, "alone": []}))

    assert outcome.ends == {
        "network": "created",
        "data": "failed",
        "api": "skipped",
        "alone": "created",
    }
    assert outcome.summary.status is Exit.FAILED
    assert scene.region.status("tap-dev-api") == ""


def test_the_failure_names_the_resource_and_not_its_cancelled_siblings() -> None:
    scene = Scene()
    scene.region.durations["UsesNetwork"] = 600.0
    scene.region.faults.resource("tap-dev-data", "Topic0", "CREATE", "Topic already exists")

    outcome = scene.deploy(graph_of({"network": [], "data": ["network"]}))

    found = failed(outcome)
    assert found.cause is not None
    assert (found.status, found.cause.logical_id) == ("ROLLBACK_COMPLETE", "Topic0")
    assert found.reason == "Topic already exists"
    assert "remove or rename it" in found.remedy


def test_a_failed_update_leaves_the_stack_as_it_was_and_a_new_run_tries_again() -> None:
    scene = Scene()
    scene.deploy([tier("network")])
    scene.region.faults.resource("tap-dev-network", "Topic0", "UPDATE", "Not today", times=1)

    first = scene.deploy([tier("network", note="second")])
    second = scene.deploy([tier("network", note="second")])

    assert (failed(first).status, failed(first).reason) == ("UPDATE_ROLLBACK_COMPLETE", "Not today")
    assert second.ends == {"network": "updated"}


def test_an_export_in_use_is_reported_with_its_importers_and_what_to_do() -> None:
    scene = Scene()
    scene.deploy(graph_of({"network": [], "data": ["network"]}))

    outcome = scene.deploy([tier("network", export=False)])

    assert failed(outcome).reason == (
        "Export tap-dev-NetworkArn cannot be deleted as it is in use by tap-dev-data"
    )
    assert "deploy them without it first" in failed(outcome).remedy
    assert scene.region.exports()["tap-dev-NetworkArn"] != ""


def test_a_missing_import_is_reported_and_leaves_no_stack_behind() -> None:
    scene = Scene()
    network = tier("network", export=False)
    items = wanted([network, tier("data", network)])

    outcome = scene.carry_out(items[1:], {"tap-dev-data": None})

    assert failed(outcome).reason == "no change set: No export named tap-dev-NetworkArn found."
    assert "deploy it first" in failed(outcome).remedy
    assert scene.statuses() == {}


def test_a_refused_template_fails_its_stack_only() -> None:
    scene = Scene()
    items = wanted(graph_of({"a": [], "b": []}))
    scene.region.faults.call("create_change_set", faults.DENIED)

    outcome = scene.carry_out(items, dict.fromkeys(["tap-dev-a", "tap-dev-b"]))

    assert outcome.ends == {"a": "failed", "b": "created"}
    assert "AWS refused cloudformation:CreateChangeSet" in failed(outcome).reason


# States that a run may find


def test_a_failed_creation_is_never_deleted_without_being_asked() -> None:
    scene = Scene()
    scene.region.faults.resource("tap-dev-network", "Topic0", "CREATE", "Quota exceeded", times=1)
    scene.deploy([tier("network")])
    before = len(scene.region.mutations)

    refused = scene.deploy([tier("network")])
    asked = scene.deploy([tier("network")], recreate=["tap-dev-network"])

    assert failed(refused).remedy == "look at what failed, then run again with --recreate-failed"
    assert [call.operation for call in scene.region.mutations[before:]] == [
        "delete_stack",
        "create_change_set",
        "execute_change_set",
    ]
    assert asked.ends == {"network": "recreated"}


def test_a_failed_creation_that_cannot_be_deleted_is_reported() -> None:
    scene = Scene()
    scene.region.faults.resource("tap-dev-network", "Topic1", "CREATE", "Quota exceeded")
    scene.region.faults.resource("tap-dev-network", "Topic0", "DELETE", "Still in use")

    scene.deploy([tier("network", topics=2)])
    outcome = scene.deploy([tier("network", topics=2)], recreate=["tap-dev-network"])

    assert (failed(outcome).status, failed(outcome).reason) == ("DELETE_FAILED", "Still in use")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("DELETE_FAILED", "finish it with tapgen destroy"),
        ("UPDATE_ROLLBACK_FAILED", "its rollback failed"),
        ("UPDATE_FAILED", "its update failed and was not rolled back"),
        ("IMPORT_ROLLBACK_FAILED", "finishes it in the console"),
    ],
)
def test_a_state_that_only_a_person_can_leave_stops_its_stack(status: str, words: str) -> None:
    scene = Scene()
    scene.deploy(graph_of({"network": [], "data": ["network"], "alone": []}))
    stack = scene.region.live("tap-dev-network")
    assert stack is not None
    stack.status = status
    before = len(scene.region.mutations)

    outcome = scene.deploy(
        [
            tier("network"),
            tier("data", tier("network"), note="second"),
            tier("alone"),
        ]
    )

    assert words in failed(outcome).reason
    assert outcome.ends == {"network": "failed", "data": "skipped", "alone": "unchanged"}
    assert scene.region.mutations[before:] == []


def test_an_operation_under_way_is_waited_for_and_told_from_its_beginning() -> None:
    scene, tiers = Scene(), [tier("network")]
    scene.deploy(tiers)
    client = scene.twin.client("cloudformation")
    client.update_stack(
        StackName="tap-dev-network",
        TemplateBody=wanted([tier("network", note="theirs")])[0].request.template,
        Parameters=[{"ParameterKey": "EnvironmentSuffix", "ParameterValue": ENV}],
    )

    outcome = scene.deploy(tiers)

    assert outcome.kinds()[0] == ("StackWaits", "network")
    moves = [event.event.status for event in outcome.events if isinstance(event, ResourceMoved)]
    assert moves[:2] == ["UPDATE_IN_PROGRESS", "UPDATE_IN_PROGRESS"]
    assert "CREATE_COMPLETE" not in moves
    assert outcome.ends == {"network": "updated"}


def test_a_deletion_under_way_is_waited_for_and_the_stack_made_anew() -> None:
    scene = Scene()
    scene.deploy([tier("network")])
    scene.twin.client("cloudformation").delete_stack(StackName="tap-dev-network")

    outcome = scene.deploy([tier("network")])

    assert isinstance(outcome.events[0], StackWaits)
    assert outcome.ends == {"network": "created"}


def test_somebody_elses_review_is_left_alone() -> None:
    scene, item = Scene(), wanted([tier("network")])[0]
    client = scene.twin.client("cloudformation")
    made = client.create_change_set(**review_of(item))
    scene.region.settle()
    before = len(scene.region.mutations)

    outcome = scene.deploy([tier("network")])

    assert "somebody else" in failed(outcome).reason
    assert "for-the-board" in failed(outcome).reason
    assert scene.region.mutations[before:] == []
    assert client.describe_change_set(ChangeSetName=made["Id"])["Status"] == "CREATE_COMPLETE"


def test_a_change_set_that_somebody_overtook_is_taken_back_and_made_anew() -> None:
    scene = Scene()
    scene.deploy([tier("network")])
    theirs = {
        "StackName": "tap-dev-network",
        "UsePreviousTemplate": True,
        "Parameters": [{"ParameterKey": "EnvironmentSuffix", "UsePreviousValue": True}],
        "Tags": [{"Key": "Team", "Value": "theirs"}],
    }

    def overtake(called: str, when: str) -> None:
        if (called, when) == ("execute_change_set", "before"):
            scene.region.faults.interrupt = lambda called, when: None
            Service(scene.region).update_stack(theirs)

    scene.region.faults.interrupt = overtake
    outcome = scene.deploy([tier("network", note="second")])

    stack = scene.region.live("tap-dev-network")
    assert stack is not None
    assert outcome.ends == {"network": "updated"}
    assert [item.execution for item in stack.change_sets.values()] == ["EXECUTE_COMPLETE"]
    assert [kind for kind, _ in outcome.kinds()] == [
        "StackStarted",
        "StackWaits",
        "StackStarted",
        "StackDone",
    ]


def test_an_empty_review_is_used() -> None:
    scene, item = Scene(), wanted([tier("network")])[0]
    client = scene.twin.client("cloudformation")
    made = client.create_change_set(**review_of(item))
    scene.region.settle()
    client.delete_change_set(ChangeSetName=made["Id"])

    outcome = scene.deploy([tier("network")])

    assert outcome.ends == {"network": "created"}


def test_two_runs_at_once_make_one_stack() -> None:
    twin = Twin()
    one, other = Scene(twin), Scene(twin, runs=10)
    tiers = [tier("network")]
    finished: list[Outcome] = []

    def meanwhile(event: Any) -> None:
        if isinstance(event, StackStarted) and not finished:
            finished.append(other.deploy(tiers))

    one.hear = meanwhile
    outcome = one.deploy(tiers)

    assert finished[0].ends == {"network": "created"}
    assert outcome.ends == {"network": "unchanged"}
    assert [stack.status for stack in twin.region.stacks.values()] == ["CREATE_COMPLETE"]


# What refuses a change set before anything is made


def test_what_early_validation_finds_is_told_with_its_place_and_line() -> None:
    scene = Scene()
    scene.region.faults.find(
        "tap-dev-network", "Topic0", "Unsupported property", path="/Resources/Topic0/Properties/X"
    )

    outcome = scene.deploy([tier("network")])

    failure = failed(outcome)
    assert failure.reason == (
        "no change set: Topic0 /Resources/Topic0/Properties/X: Unsupported property "
        "(PROPERTY_VALIDATION)"
    )
    assert scene.statuses() == {}


def test_where_nobody_may_ask_what_it_was_the_change_set_s_own_reason_is_told() -> None:
    scene = Scene()
    scene.region.faults.find("tap-dev-network", "Topic0", "Unsupported property")
    scene.region.faults.denied.add("describe_events")

    failure = failed(scene.deploy([tier("network")]))

    assert "use the DescribeEvents API" in failure.reason


def test_a_hook_that_refuses_a_resource_is_told_in_its_own_words() -> None:
    scene = Scene()
    scene.region.faults.hook("Acme::Guard::Hook", "topics need a key", logical_id="Topic0")

    failure = failed(scene.deploy([tier("network")]))

    assert (
        "The following hook(s) failed: [Acme::Guard::Hook]; Acme::Guard::Hook: " in failure.reason
    )
    assert "topics need a key" in failure.reason
    assert "hook of this account" in failure.remedy
