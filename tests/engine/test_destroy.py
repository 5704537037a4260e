"""What taking an environment down does, keeps, and is stopped by."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twin import Killed, Refusal, faults
from twin.account import Account
from twin.client import Twin
from twin.graphs import graphs, producers_of
from twin.scene import ENV, Outcome, Scene, graph_of, tier

from tapgen.aws import AwsAccount, Connection
from tapgen.cloud import DeployedStack, Kept, Refused, Resource
from tapgen.engine import destroy
from tapgen.engine.destroy import Blocked, Keeping, Standing
from tapgen.engine.events import StackDone, StackFailed, StackStarted, StackUnchanged, StackWaits
from tapgen.errors import Exit

CHAIN = {"network": [], "data": ["network"], "api": ["data"]}
REFUSAL = "Export tap-dev-NetworkArn cannot be deleted as it is in use by tap-dev-foreign"


def standing(scene: Scene) -> list[Standing]:
    return [destroy.look(scene.cloud, stack) for stack in scene.cloud.stacks(f"tap-{ENV}-")]


def foreign_importer(scene: Scene) -> None:
    """Somebody else's stack that imports from the network."""
    body = """
    {"Resources": {"It": {"Type": "AWS::SSM::Parameter", "Properties":
      {"Type": "String", "Value": {"Fn::ImportValue": "tap-dev-NetworkArn"}}}}}
    """
    client = scene.twin.client("cloudformation")
    client.create_stack(StackName="tap-dev-foreign", TemplateBody=body)
    scene.region.settle()


def test_importers_go_before_their_producers_and_nothing_stays() -> None:
    scene = Scene()
    scene.deploy(graph_of(CHAIN))

    outcome = scene.destroy()

    assert outcome.kinds() == [
        ("StackStarted", "api"),
        ("StackDone", "api"),
        ("StackStarted", "data"),
        ("StackDone", "data"),
        ("StackStarted", "network"),
        ("StackDone", "network"),
    ]
    assert outcome.summary.status is Exit.DONE
    assert scene.statuses() == {}
    assert scene.region.standing == {}


def test_an_environment_leaves_others_alone() -> None:
    scene = Scene()
    scene.deploy(graph_of(CHAIN))
    body = '{"Resources": {"It": {"Type": "AWS::SNS::Topic"}}}'
    client = scene.twin.client("cloudformation")
    client.create_stack(StackName="tap-development-network", TemplateBody=body)
    client.create_stack(StackName="billing", TemplateBody=body)

    scene.destroy()

    live = {s.name for s in scene.region.stacks.values() if s.status != "DELETE_COMPLETE"}
    assert live == {"tap-development-network", "billing"}


def test_an_importer_of_somebody_else_is_found_before_anything_is_deleted() -> None:
    scene = Scene()
    scene.deploy(graph_of(CHAIN))
    foreign_importer(scene)
    ours = [item for item in standing(scene) if item.stack.name != "tap-dev-foreign"]

    found = destroy.blockers(ours, destroy.links(scene.cloud, ours))

    assert found == ["tap-dev-NetworkArn is imported by tap-dev-foreign"]
    assert str(Blocked(found)).startswith("nothing was destroyed: tap-dev-NetworkArn is imported")


def test_protection_is_found_before_anything_is_deleted() -> None:
    scene = Scene()
    scene.deploy([tier("network")])
    stack_id = next(iter(scene.region.stacks))
    scene.region.stacks[stack_id].protected = True
    database = Standing(
        DeployedStack("id", "tap-dev-data", "CREATE_COMPLETE", parameters={"Guarded": "true"}),
        {
            "Parameters": {"Guarded": {"Type": "String"}},
            "Conditions": {"IsGuarded": {"Fn::Equals": [{"Ref": "Guarded"}, "true"]}},
            "Resources": {
                "Database": {
                    "Type": "AWS::RDS::DBInstance",
                    "Properties": {"DeletionProtection": {"Fn::If": ["IsGuarded", True, False]}},
                },
                "Replica": {
                    "Type": "AWS::RDS::DBInstance",
                    "Properties": {"DeletionProtection": False},
                },
            },
        },
        (),
    )

    ours = [*standing(scene), database]
    found = destroy.blockers(ours, destroy.links(scene.cloud, ours))

    assert found == [
        "tap-dev-network has termination protection",
        "Database of tap-dev-data has deletion protection (turn its setting off and deploy first)",
    ]


def test_a_refusal_that_only_the_reason_tells_is_a_failure_with_its_importers() -> None:
    scene = Scene()
    scene.deploy([tier("network")])
    ours = standing(scene)
    foreign_importer(scene)

    outcome = scene.follow(destroy.destroy(scene.run(), ours), ["tap-dev-network"])
    again = scene.follow(destroy.destroy(scene.run(), ours), ["tap-dev-network"])

    for run in (outcome, again):
        (failed,) = (event for event in run.events if isinstance(event, StackFailed))
        assert (failed.status, failed.reason) == ("CREATE_COMPLETE", REFUSAL)
        assert "deploy them without it first" in failed.remedy
    assert scene.region.status("tap-dev-network") == "CREATE_COMPLETE"


def test_a_failed_deletion_keeps_its_producers_and_a_new_run_goes_on() -> None:
    scene = Scene()
    scene.deploy(graph_of({**CHAIN, "alone": []}))
    scene.region.faults.resource("tap-dev-data", "Topic0", "DELETE", "Still in use", times=1)

    first = scene.destroy()
    second = scene.destroy()

    assert first.ends == {
        "network": "skipped",
        "data": "failed",
        "api": "deleted",
        "alone": "deleted",
    }
    assert [e.reason for e in first.events if isinstance(e, StackFailed)] == ["Still in use"]
    assert second.ends == {"network": "deleted", "data": "deleted"}
    assert scene.statuses() == {}


def test_an_operation_under_way_ends_before_the_deletion_begins() -> None:
    scene = Scene()
    scene.deploy([tier("network")])
    ours = standing(scene)
    client = scene.twin.client("cloudformation")
    client.update_stack(
        StackName="tap-dev-network",
        UsePreviousTemplate=True,
        Parameters=[{"ParameterKey": "EnvironmentSuffix", "UsePreviousValue": True}],
        Tags=[{"Key": "Team", "Value": "new"}],
    )
    stack = scene.cloud.stack("tap-dev-network")
    assert stack is not None

    busy = [Standing(stack, ours[0].document, ours[0].resources)]
    outcome = scene.follow(destroy.destroy(scene.run(), busy), ["tap-dev-network"])

    assert isinstance(outcome.events[0], StackWaits)
    assert outcome.ends == {"network": "deleted"}


def test_a_deletion_under_way_is_watched_to_its_end() -> None:
    scene = Scene()
    scene.deploy([tier("network")])
    ours = standing(scene)
    scene.twin.client("cloudformation").delete_stack(StackName="tap-dev-network")
    stack = scene.cloud.stack("tap-dev-network")
    assert stack is not None
    before = len(scene.region.mutations)

    busy = [Standing(stack, ours[0].document, ours[0].resources)]
    outcome = scene.follow(destroy.destroy(scene.run(), busy), ["tap-dev-network"])

    assert outcome.events[-1] == StackUnchanged("tap-dev-network", {})
    assert scene.region.mutations[before:] == []


def test_a_stack_that_was_never_made_is_removed_too() -> None:
    scene = Scene()
    scene.twin.client("cloudformation").create_change_set(
        StackName="tap-dev-network",
        ChangeSetName="one",
        ChangeSetType="CREATE",
        TemplateBody='{"Resources": {"It": {"Type": "AWS::SNS::Topic"}}}',
    )

    outcome = scene.destroy()

    assert outcome.ends == {"network": "deleted"}
    assert scene.statuses() == {}


@pytest.mark.parametrize(
    "status", ["ROLLBACK_COMPLETE", "CREATE_FAILED", "UPDATE_ROLLBACK_FAILED", "DELETE_FAILED"]
)
def test_every_state_at_rest_can_be_deleted(status: str) -> None:
    scene = Scene()
    scene.deploy([tier("network")])
    next(iter(scene.region.stacks.values())).status = status

    outcome = scene.destroy()

    assert outcome.ends == {"network": "deleted"}


def test_trouble_on_the_line_does_not_end_a_deletion() -> None:
    scene = Scene()
    scene.deploy([tier("network")])
    ours = standing(scene)
    scene.region.faults.call("delete_stack", faults.THROTTLED)
    scene.region.faults.call("delete_stack", faults.lost(), after=True)
    scene.region.faults.call("describe_stack_events", faults.THROTTLED)

    outcome = scene.follow(destroy.destroy(scene.run(), ours), ["tap-dev-network"])

    assert outcome.ends == {"network": "deleted"}


def test_a_missing_permission_is_told_and_the_stack_stands() -> None:
    scene = Scene()
    scene.deploy([tier("network")])
    ours = standing(scene)
    scene.region.faults.call("delete_stack", faults.DENIED)

    outcome = scene.follow(destroy.destroy(scene.run(), ours), ["tap-dev-network"])

    (failed,) = (event for event in outcome.events if isinstance(event, StackFailed))
    assert "AWS refused cloudformation:DeleteStack" in failed.reason
    assert "runs on" not in failed.reason
    assert scene.statuses() == {"network": "CREATE_COMPLETE"}


# Live imports


def test_an_importer_that_no_template_tells_of_goes_first() -> None:
    scene = Scene()
    scene.deploy(graph_of({"network": [], "data": []}))
    ours = standing(scene)
    # CloudFormation says so, whatever the template that is read says.
    stack = scene.region.live("tap-dev-data")
    assert stack is not None
    stack.imports = frozenset({"tap-dev-NetworkArn"})

    live = destroy.links(scene.cloud, ours)
    names = [item.stack.name for item in ours]
    outcome = scene.follow(destroy.destroy(scene.run(), ours, live), names)

    assert live == {"tap-dev-NetworkArn": ("tap-dev-data",), "tap-dev-DataArn": ()}
    assert [name for kind, name in outcome.kinds() if kind == "StackDone"] == ["data", "network"]


def test_a_dependent_that_is_to_stay_is_named_with_the_way_out() -> None:
    scene = Scene()
    scene.deploy(graph_of(CHAIN))
    chosen = [item for item in standing(scene) if item.stack.name == "tap-dev-network"]

    found = destroy.blockers(
        chosen, destroy.links(scene.cloud, chosen), {"tap-dev-data", "tap-dev-api"}
    )

    assert found == [
        "tap-dev-NetworkArn is imported by tap-dev-data",
        "to take tap-dev-data down too, name it",
    ]


def test_stacks_that_the_code_no_longer_describes_are_found() -> None:
    scene = Scene()
    scene.deploy(graph_of(CHAIN))

    found = destroy.orphans(scene.cloud.stacks("tap-dev-"), {"tap-dev-network", "tap-dev-api"})

    assert [stack.name for stack in found] == ["tap-dev-data"]


# What cannot be deleted


def stubborn(scene: Scene, *ids: str) -> None:
    """A network of three topics, of which some cannot be deleted."""
    scene.deploy([tier("network", topics=3)])
    for name in ids:
        scene.region.faults.resource("tap-dev-network", name, "DELETE", f"{name} is in use")


def destroyed(scene: Scene, **allowed: Any) -> Outcome:
    """Take everything down with a run that may do more than an ordinary one."""
    ours = standing(scene)
    run = replace(scene.run(), **allowed)
    return scene.follow(destroy.destroy(run, ours), [item.stack.name for item in ours])


def deletions(scene: Scene) -> list[dict[str, Any]]:
    """What DeleteStack was told beside name and token."""
    return [
        {k: v for k, v in call.parameters.items() if k in ("RetainResources", "DeletionMode")}
        for call in scene.region.mutations
        if call.operation == "delete_stack"
    ]


def test_a_failed_deletion_names_all_that_is_in_the_way_and_how_to_leave_it() -> None:
    scene = Scene()
    stubborn(scene, "Topic0", "Topic2")

    outcome = destroyed(scene)

    (failed,) = (event for event in outcome.events if isinstance(event, StackFailed))
    assert failed.reason == "Topic0 is in use; Topic2 (AWS::SNS::Topic): Topic2 is in use"
    assert failed.remedy == (
        "run it again when nothing holds them, or leave them behind: "
        "--retain Topic0 --retain Topic2"
    )


def test_what_was_named_is_left_behind_only_after_it_failed() -> None:
    scene = Scene()
    stubborn(scene, "Topic0")

    outcome = destroyed(scene, retain={"tap-dev-network": ["Topic0", "Topic1"]})

    assert outcome.ends == {"network": "deleted"}
    assert deletions(scene) == [{}, {"RetainResources": ["Topic0"]}]
    assert [held.logical_id for held in scene.region.standing.values()] == ["Topic0"]


def test_what_was_not_named_is_not_left_behind() -> None:
    scene = Scene()
    stubborn(scene, "Topic0")

    outcome = destroyed(scene, retain={"tap-dev-network": ["Topic1"]})

    assert outcome.ends == {"network": "failed"}
    assert deletions(scene) == [{}]


def test_a_deletion_that_failed_before_is_finished_in_one_go() -> None:
    scene = Scene()
    stubborn(scene, "Topic0")
    destroyed(scene)

    outcome = destroyed(scene, retain={"tap-dev-network": ["Topic0"]})

    assert outcome.ends == {"network": "deleted"}
    assert deletions(scene) == [{}, {"RetainResources": ["Topic0"]}]


def test_force_leaves_behind_whatever_cannot_be_deleted() -> None:
    scene = Scene()
    stubborn(scene, "Topic0", "Topic2")

    outcome = destroyed(scene, force=True)

    assert outcome.ends == {"network": "deleted"}
    assert deletions(scene) == [{}, {"DeletionMode": "FORCE_DELETE_STACK"}]
    left = sorted(held.logical_id for held in scene.region.standing.values())
    assert left == ["Topic0", "Topic2"]


def test_every_deletion_has_a_token_of_its_own() -> None:
    scene = Scene()
    stubborn(scene, "Topic0")

    destroyed(scene, force=True)

    tokens = [
        call.parameters["ClientRequestToken"]
        for call in scene.region.mutations
        if call.operation == "delete_stack"
    ]
    assert tokens == ["tapgen-r2-tap-dev-network-delete", "tapgen-r2-tap-dev-network-force"]


# What is kept


def test_what_the_policies_keep_is_said_beforehand() -> None:
    scene = Scene()
    leaving = {"Topic0": "Retain", "Topic1": "Snapshot", "Topic2": "RetainExceptOnCreate"}
    scene.deploy([tier("network", topics=4, leaving=leaving)])

    found = [(k.resource.logical_id, k.how) for k in destroy.keeping(standing(scene)[0])]
    scene.destroy()

    assert found == [("Topic0", "kept"), ("Topic1", "snapshot"), ("Topic2", "kept")]
    assert [held.logical_id for held in scene.region.standing.values()] == ["Topic0", "Topic2"]
    assert len(scene.region.snapshots) == 1


def test_what_is_gone_already_is_not_kept() -> None:
    document = {"Resources": {"It": {"Type": "AWS::SNS::Topic", "DeletionPolicy": "Snapshot"}}}
    stack = DeployedStack("id", "tap-dev-x", "ROLLBACK_COMPLETE")
    gone = Resource("It", "arn", "AWS::SNS::Topic", "DELETE_COMPLETE")
    never = Resource("It", "", "AWS::SNS::Topic", "CREATE_FAILED")

    assert destroy.keeping(Standing(stack, document, (gone, never))) == ()


def test_leftovers_are_this_deletions_own_and_the_key_goes_last() -> None:
    database = Resource("Database", "video-db", "AWS::RDS::DBInstance", "CREATE_COMPLETE")
    files = Resource("Files", "fs-1", "AWS::EFS::FileSystem", "CREATE_COMPLETE")
    key = Resource("Key", "key-1", "AWS::KMS::Key", "CREATE_COMPLETE")
    twin = Twin(account=Account(snapshots={"video-db": ["somebodys", "final"]}))

    found = destroy.leftovers(
        AwsAccount(Connection(twin.client)),
        [
            Keeping("tap-dev-storage", key, "kept"),
            Keeping("tap-dev-storage", files, "kept"),
            Keeping("tap-dev-storage", database, "snapshot"),
        ],
        {"video-db": frozenset({"somebodys"})},
    )

    assert found == [
        Kept("AWS::EFS::FileSystem", "fs-1"),
        Kept("RDS snapshot", "final"),
        Kept("AWS::KMS::Key", "key-1"),
    ]


# Properties


@settings(max_examples=30)
@given(
    edges=graphs(),
    broken=st.sets(st.sampled_from("abcdef"), max_size=2),
    call=st.integers(0, 120),
    killed=st.booleans(),
    moment=st.sampled_from(["before", "after"]),
)
def test_deleting_is_always_legal_and_a_new_run_finishes_it(
    edges: dict[str, list[str]], broken: set[str], call: int, killed: bool, moment: str
) -> None:
    scene = Scene()
    scene.deploy(graph_of(edges))
    for name in broken:
        scene.region.faults.resource(f"tap-{ENV}-{name}", "Topic0", "DELETE", "In use", times=1)
    seen = 0

    def strike(operation: str, when: str) -> None:
        nonlocal seen
        seen += when == moment
        if seen > call and when == moment and (killed or seen == call + 1):
            raise Killed if killed else KeyboardInterrupt

    scene.region.faults.interrupt = strike
    try:
        outcome = scene.destroy()
    except (Killed, KeyboardInterrupt):
        outcome = None
    scene.region.faults.interrupt = lambda operation, moment: None

    gone: set[str] = set()
    for event in scene.heard:
        name = event.stack.split("-", 2)[2]
        if isinstance(event, StackStarted):
            importers = {other for other in edges if name in producers_of(edges, other)}
            assert importers <= gone
        if isinstance(event, StackDone):
            gone.add(name)
    if outcome is not None:
        for name, end in outcome.ends.items():
            assert (end == "deleted") == (scene.region.status(f"tap-{ENV}-{name}") == "")
    # Never refused for an export in use: that is what the order is for.
    told = [event.reason for stack in scene.region.stacks.values() for event in stack.events]
    assert not any("in use by" in reason for reason in told)
    scene.region.settle()
    scene.region.faults.mend()
    last = scene.destroy()
    assert last.summary.status is Exit.DONE
    assert scene.region.standing == {}


def test_a_standing_that_changed_hands_is_not_deleted_by_name() -> None:
    scene = Scene()
    scene.deploy([tier("network")])
    ours = standing(scene)
    client = scene.twin.client("cloudformation")
    client.delete_stack(StackName="tap-dev-network")
    scene.region.settle()
    scene.deploy([tier("network")])

    outcome = scene.follow(destroy.destroy(scene.run(), ours), ["tap-dev-network"])

    # Ours is gone; the one that has its name now was not asked for.
    assert outcome.ends == {"network": "deleted"}
    assert scene.statuses() == {"network": "CREATE_COMPLETE"}


def test_reading_a_stack_that_goes_away_meanwhile_is_an_error() -> None:
    scene = Scene()
    scene.deploy([tier("network")])
    (stack,) = scene.cloud.stacks("tap-dev-")
    scene.region.faults.call("get_template", Refusal("Stack [x] does not exist"))

    with pytest.raises(Refused, match="AWS refused cloudformation:GetTemplate"):
        destroy.look(scene.cloud, stack)
