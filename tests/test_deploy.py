"""What a deployment does, over a CloudFormation with rules of its own.

The properties at the end are claimed for random graphs of stacks, random failures and random
moments at which the run is interrupted or killed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twin import Killed, Refusal, Twin, faults
from twin.scene import ENV, Outcome, Scene, graph_of, tier, wanted

from tapgen.cloud import ExpiredCredentials
from tapgen.errors import Exit
from tapgen.events import (
    MonitoringTrouble,
    ResourceMoved,
    StackDone,
    StackFailed,
    StackStarted,
    StackUnchanged,
    StackWaits,
)
from tapgen.plan import GOOD

CHAIN = {"network": [], "data": ["network"], "api": ["data"]}


def failed(outcome: Outcome) -> StackFailed:
    """The one failure of a run."""
    (found,) = (event for event in outcome.events if isinstance(event, StackFailed))
    return found


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


def test_a_changed_parameter_or_tag_is_an_update() -> None:
    scene, item = Scene(), wanted([tier("network")])[0]
    scene.deploy([tier("network")])

    stack = scene.cloud.stack("tap-dev-network")
    assert stack is not None
    assert dict(stack.tags) == dict(item.request.tags)
    scene.region.stacks[stack.id].version = None or scene.region.stacks[stack.id].version
    client = scene.twin.client("cloudformation")
    client.update_stack(
        StackName=stack.id,
        UsePreviousTemplate=True,
        Parameters=[{"ParameterKey": "EnvironmentSuffix", "UsePreviousValue": True}],
        Tags=[{"Key": "Project", "Value": "somebody else's"}],
    )
    scene.region.settle()

    outcome = scene.deploy([tier("network")])

    assert outcome.ends == {"network": "updated"}


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
    from tapgen import deploy

    events = deploy.deploy(
        scene.run(),
        items[1:],
        {"tap-dev-data": None},
        {"data": frozenset()},
    )
    outcome = scene.follow(events, ["tap-dev-data"])

    assert failed(outcome).reason == "no change set: No export named tap-dev-NetworkArn found."
    assert "deploy it first" in failed(outcome).remedy
    assert scene.statuses() == {}


def test_a_refused_template_fails_its_stack_only() -> None:
    scene = Scene()
    items = wanted(graph_of({"a": [], "b": []}))
    from tapgen import deploy

    scene.region.faults.call("create_change_set", faults.DENIED)
    events = deploy.deploy(
        scene.run(),
        items,
        dict.fromkeys(["tap-dev-a", "tap-dev-b"]),
        {"a": frozenset(), "b": frozenset()},
    )
    outcome = scene.follow(events, ["tap-dev-a", "tap-dev-b"])

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
    scene.region.faults.resource("tap-dev-network", "UsesNobody", "CREATE", "")
    scene.region.faults.resource("tap-dev-network", "Topic1", "CREATE", "Quota exceeded")
    scene.region.faults.resource("tap-dev-network", "Topic0", "DELETE", "Still in use")

    scene.deploy([tier("network", topics=2)])
    outcome = scene.deploy([tier("network", topics=2)], recreate=["tap-dev-network"])

    assert (failed(outcome).status, failed(outcome).reason) == ("DELETE_FAILED", "Still in use")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("DELETE_FAILED", "finish it with tapgen destroy"),
        ("UPDATE_ROLLBACK_FAILED", "continue-update-rollback"),
        ("UPDATE_FAILED", "rollback-stack"),
        ("IMPORT_ROLLBACK_FAILED", "look at it in the console"),
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
    made = client.create_change_set(
        StackName=item.name,
        ChangeSetName="for-the-board",
        ChangeSetType="CREATE",
        TemplateBody=item.request.template,
        Parameters=[{"ParameterKey": "EnvironmentSuffix", "ParameterValue": ENV}],
    )
    scene.region.settle()
    before = len(scene.region.mutations)

    outcome = scene.deploy([tier("network")])

    assert "somebody else" in failed(outcome).reason
    assert "for-the-board" in failed(outcome).reason
    assert scene.region.mutations[before:] == []
    assert client.describe_change_set(ChangeSetName=made["Id"])["Status"] == "CREATE_COMPLETE"


def test_an_empty_review_is_used() -> None:
    scene, item = Scene(), wanted([tier("network")])[0]
    client = scene.twin.client("cloudformation")
    made = client.create_change_set(
        StackName=item.name,
        ChangeSetName="given-up",
        ChangeSetType="CREATE",
        TemplateBody=item.request.template,
        Parameters=[{"ParameterKey": "EnvironmentSuffix", "ParameterValue": ENV}],
    )
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


# Bad connections


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
    # The survey before the run asks without patience; what is meant here is the run.
    deployed = {"tap-dev-network": None}
    from tapgen import deploy

    items = wanted([tier("network")])
    events = deploy.deploy(scene.run(), items, deployed, {"network": frozenset()})
    outcome = scene.follow(events, ["tap-dev-network"])

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
    client = scene.twin.client("cloudformation")

    def strike(called: str, when: str) -> None:
        if (called, when) == ("describe_change_set", "after"):
            scene.region.faults.interrupt = lambda called, when: None
            raise KeyboardInterrupt

    def colleague(called: str, when: str) -> None:
        if (called, when) == ("create_change_set", "after"):
            scene.region.faults.interrupt = strike

    scene.region.faults.interrupt = colleague
    scene.region.change_set_seconds = 9.0
    from tapgen import deploy

    events = deploy.deploy(scene.run(), [item], {item.name: None}, {"network": frozenset()})
    with pytest.raises(KeyboardInterrupt):
        for _ in events:
            pass
    # The same again, with somebody's change set on the stack when ours is withdrawn.
    scene.region.faults.interrupt = colleague
    events = deploy.deploy(scene.run(), [item], {item.name: None}, {"network": frozenset()})
    scene.region.faults.interrupt = lambda called, when: _join(client, item, scene, called, when)
    with pytest.raises(KeyboardInterrupt):
        for _ in events:
            pass

    stack = scene.region.live(item.name)
    assert stack is not None
    assert [made.name for made in stack.change_sets.values()] == ["for-the-board"]


def _join(client: Any, item: Any, scene: Scene, called: str, when: str) -> None:
    """Once our stack is in review, put a colleague's change set on it and interrupt us."""
    if (called, when) != ("describe_change_set", "before"):
        return
    scene.region.faults.interrupt = lambda called, when: None
    # The call under way holds the twin; the colleague's goes straight to the service.
    scene.twin._service.create_change_set(
        {
            "StackName": item.name,
            "ChangeSetName": "for-the-board",
            "ChangeSetType": "CREATE",
            "TemplateBody": item.request.template,
            "Parameters": [{"ParameterKey": "EnvironmentSuffix", "ParameterValue": ENV}],
        }
    )
    raise KeyboardInterrupt


# Properties over random graphs, failures and moments

TIERS = "abcdef"


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, list[str]]:
    """Up to six stacks, each importing from some before it."""
    names = TIERS[: draw(st.integers(1, len(TIERS)))]
    return {
        name: draw(st.lists(st.sampled_from(names[:place]), unique=True)) if place else []
        for place, name in enumerate(names)
    }


def producers_of(edges: Mapping[str, Sequence[str]], name: str) -> set[str]:
    """All that ``name`` imports from, directly or not."""
    direct = set(edges[name])
    return direct.union(*(producers_of(edges, other) for other in direct))


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


@settings(max_examples=60)
@given(
    edges=graphs(),
    broken=st.sets(st.sampled_from(TIERS), max_size=2),
    standing=st.sets(st.sampled_from(TIERS)),
    concurrency=st.integers(1, 4),
    throttling=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 1000),
)
def test_whatever_fails_order_holds_the_summary_is_true_and_a_new_run_converges(
    edges: dict[str, list[str]],
    broken: set[str],
    standing: set[str],
    concurrency: int,
    throttling: float,
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

    from tapgen import deploy, graph

    items = wanted(tiers)
    producers = graph.producers({item.tier: item.document for item in items})
    outcome = scene.follow(
        deploy.deploy(scene.run(), items, survey, producers), [item.name for item in items]
    )

    check_order(scene, edges, outcome)
    check_truth(scene, outcome, before)
    check_nothing_left(scene)
    assert not any(call.operation == "delete_stack" for call in scene.region.mutations)
    assert ids <= {s.id for s in scene.region.stacks.values() if s.status != "DELETE_COMPLETE"}
    check_converges(scene, edges, "second")


@settings(max_examples=60)
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


@settings(max_examples=40)
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
