"""More of the contract of both stand-ins: ways out of a failure, guards, and what is told of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from worlds import World, template, topic

BAD = {**topic(), "DependsOn": "Topic"}
PARAMETERS = {"Parameters": {"Word": {"Type": "String", "NoEcho": True}}}
PREVIOUS = [{"ParameterKey": "Word", "UsePreviousValue": True}]


def deletion_that_failed(world: World) -> str:
    """A stack whose deletion failed at one of two resources; returns its id."""
    world.deploy("it", template(Stuck=topic(), Gone=topic()))
    stack_id = str(world.stack("it")["StackId"])
    world.fail("it", "Stuck", "DELETE", "Still in use")
    world.client.delete_stack(StackName="it")
    assert world.settled("it") == "DELETE_FAILED"
    return stack_id


@pytest.mark.parametrize(
    ("operation", "name"),
    [("cancel_update_stack", "CancelUpdateStack"), ("rollback_stack", "RollbackStack")],
)
def test_nothing_is_taken_back_where_nothing_is_under_way(
    world: World, operation: str, name: str
) -> None:
    world.deploy("it", template(Topic=topic()))

    told = world.refusal(operation, StackName="it")

    assert told == ("ValidationError", f"{name} cannot be called from current stack status")


def test_a_rollback_that_never_failed_is_not_continued(world: World) -> None:
    world.deploy("it", template(Topic=topic()))

    told = world.refusal("continue_update_rollback", StackName="it")

    words = world.expected("going on with a rollback that never failed")
    assert told == ("ValidationError", words)


def test_force_and_retaining_are_for_deletions_that_failed(world: World) -> None:
    world.deploy("it", template(Topic=topic()))
    stack_id = world.stack("it")["StackId"]

    forced = world.refusal("delete_stack", StackName="it", DeletionMode="FORCE_DELETE_STACK")
    retained = world.refusal("delete_stack", StackName="it", RetainResources=["Topic"])

    assert forced == (
        "ValidationError",
        f"Invalid operation on stack [{stack_id}]. You can activate DeletionMode "
        "FORCE_DELETE_STACK in a delete stack operation only when the stack is in the "
        "DELETE_FAILED state.",
    )
    words = world.expected("retaining before the deletion failed").format(id=stack_id)
    assert retained == ("ValidationError", words)
    assert world.status("it") == "CREATE_COMPLETE"


def test_a_failed_deletion_goes_on_without_what_could_not_be_deleted(world: World) -> None:
    stack_id = deletion_that_failed(world)

    listed = world.resources("it")
    gone = world.refusal("delete_stack", StackName="it", RetainResources=["Gone"])
    world.client.delete_stack(StackName="it", RetainResources=["Stuck"])
    world.settled(stack_id)

    assert listed == world.expected("the resources of a failed deletion")
    assert gone == ("ValidationError", world.expected("retaining what is deleted already"))
    assert world.status(stack_id) == "DELETE_COMPLETE"


def test_a_failed_deletion_can_be_forced(world: World) -> None:
    stack_id = deletion_that_failed(world)

    world.client.delete_stack(StackName="it", DeletionMode="FORCE_DELETE_STACK")
    world.settled(stack_id)

    assert world.status(stack_id) == "DELETE_COMPLETE"


def test_a_rollback_goes_on_without_what_it_could_not_take_back(world: World) -> None:
    world.deploy("it", template(Topic=topic(), Other=topic()))
    world.fail("it", "Topic", "ROLLBACK", "Not back either")
    world.fail("it", "Bad", "CREATE", "Quota exceeded")
    stuck = world.deploy("it", template(Topic=topic("second"), Other=topic(), Bad=BAD))

    other = world.refusal("continue_update_rollback", StackName="it", ResourcesToSkip=["Other"])
    world.client.continue_update_rollback(StackName="it", ResourcesToSkip=["Topic"])
    after = world.settled("it")

    assert (stuck, after) == ("UPDATE_ROLLBACK_FAILED", "UPDATE_ROLLBACK_COMPLETE")
    assert other == ("ValidationError", world.expected("skipping what did not fail"))
    skipped = world.expected("what a skipped resource is said to be")
    assert world.resources("it")["Topic"] == skipped


@pytest.mark.parametrize("status", ["CREATE_FAILED", "UPDATE_FAILED"])
def test_what_failed_and_stayed_is_not_updated_like_any_stack(world: World, status: str) -> None:
    body = json.dumps(template(Topic=topic("second")))
    if status == "CREATE_FAILED":
        world.fail("it", "Topic", "CREATE", "Quota exceeded")
        world.client.create_stack(StackName="it", TemplateBody=body, DisableRollback=True)
    else:
        world.deploy("it", template(Topic=topic()))
        world.fail("it", "Topic", "UPDATE", "Not today")
        world.client.update_stack(StackName="it", TemplateBody=body, DisableRollback=True)
    assert world.settled("it") == status

    third = json.dumps(template(Topic=topic("third")))
    told = world.refusal("update_stack", StackName="it", TemplateBody=third)

    words = world.expected("an update of what failed and stayed")[status]
    assert told == ("ValidationError", words.format(id=world.stack("it")["StackId"]))


def test_nothing_is_replaced_while_rollback_is_disabled(world: World) -> None:
    world.deploy("it", template(Topic=topic(TopicName="a")))

    body = json.dumps(template(Topic=topic(TopicName="b")))
    world.client.update_stack(StackName="it", TemplateBody=body, DisableRollback=True)

    assert world.settled("it") == world.expected("a replacement without rollback")


def test_a_stack_policy_is_kept_and_denies_what_it_says(world: World) -> None:
    world.deploy("it", template(Topic=topic()))
    denial = {"Effect": "Deny", "Action": "Update:*", "Principal": "*", "Resource": "*"}
    policy = json.dumps({"Statement": [denial]})

    none = world.client.get_stack_policy(StackName="it").get("StackPolicyBody")
    wrong = world.refusal("set_stack_policy", StackName="it", StackPolicyBody="{")
    world.client.set_stack_policy(StackName="it", StackPolicyBody=policy)
    kept = world.client.get_stack_policy(StackName="it")["StackPolicyBody"]
    status = world.deploy("it", template(Topic=topic("second")))

    assert (none, kept) == (None, policy)
    assert wrong == ("ValidationError", "Error validating stack policy: Invalid stack policy")
    assert status == world.expected("an update that the stack policy denies")


def test_operations_have_ids_and_tell_their_failures(world: World) -> None:
    world.fail("it", "Topic", "CREATE", "Quota exceeded")
    world.deploy("it", template(Topic=topic()))

    events, stack = world.events("it"), world.stack("it")
    failed = [event for event in events if event["ResourceStatus"] == "CREATE_FAILED"]
    known = all("OperationId" in event for event in failed) and "LastOperations" in stack
    asked = {"OperationId": failed[0].get("OperationId", "none")}
    told = world.client.describe_events(**asked, Filters={"FailedEvents": True})

    assert known is world.expected("events and stacks name their operations")
    found = [
        (event["EventType"], "Bad" if event.get("LogicalResourceId") == "Topic" else "")
        for event in told["OperationEvents"]
        if event["EventType"] != "STACK_EVENT"
    ]
    assert found == world.expected("the failures of an operation")


def test_values_are_told_when_asked_for(world: World) -> None:
    world.deploy("it", template(Topic=topic()))
    changed = world.change_set("it", template(Topic=topic("second")))
    same = world.change_set("it", template(Topic=topic()))

    def valued(found: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = world.client.describe_change_set(
            ChangeSetName=found["ChangeSetId"], IncludePropertyValues=True
        )
        return answer

    target = valued(changed)["Changes"][0]["ResourceChange"]["Details"][0]["Target"]
    told = (target.get("Path"), target.get("BeforeValue"), target.get("AfterValue"))
    assert (told if any(told) else None) == world.expected("property values in change sets")
    reason = valued(same).get("StatusReason")
    assert reason == world.expected("the reason of a failure asked for with values")


def test_a_secret_can_be_kept_without_being_told_again(world: World) -> None:
    body = {**template(Topic=topic({"Ref": "Word"})), **PARAMETERS}  # type: ignore[arg-type]
    world.deploy("it", body, Parameters=[{"ParameterKey": "Word", "ParameterValue": "hush"}])
    noted = {**body, "Resources": {"Topic": {**body["Resources"]["Topic"], "Metadata": {"a": "b"}}}}
    more = {**noted, "Parameters": {**noted["Parameters"], "New": {"Type": "String"}}}

    status = world.deploy("it", noted, Parameters=PREVIOUS)
    told = world.refusal(
        "create_change_set",
        StackName="it",
        ChangeSetName="new",
        TemplateBody=json.dumps(more),
        Parameters=[*PREVIOUS, {"ParameterKey": "New", "UsePreviousValue": True}],
    )

    assert status == "UPDATE_COMPLETE"
    assert world.stack("it")["Parameters"][0]["ParameterValue"] == "****"
    assert told == ("ValidationError", world.expected("the previous value of a new parameter"))


def test_a_role_is_the_stack_s_from_then_on(world: World) -> None:
    role = "arn:aws:iam::123456789012:role/deployer"

    world.client.create_stack(
        StackName="it", TemplateBody=json.dumps(template(Topic=topic())), RoleARN=role
    )
    world.settled("it")

    assert world.stack("it").get("RoleARN") == world.expected("the role of a stack")


def test_express_mode_does_not_roll_back(world: World) -> None:
    world.fail("it", "Topic", "CREATE", "Quota exceeded")

    world.client.create_stack(
        StackName="it",
        TemplateBody=json.dumps(template(Topic=topic())),
        DeploymentConfig={"Mode": "EXPRESS"},
    )

    assert world.settled("it") == world.expected("a failure in express mode")


def test_a_template_is_not_fetched_from_anywhere(world: World) -> None:
    told = world.refusal("create_stack", StackName="it", TemplateURL="https://example.org/a")

    assert told == ("ValidationError", world.expected("a template URL that is none"))


def test_a_change_set_that_was_overtaken_cannot_be_carried_out(world: World) -> None:
    world.deploy("it", template(Topic=topic()))
    found = world.change_set("it", template(Topic=topic("second")))

    world.client.update_stack(
        StackName="it", TemplateBody=json.dumps(template(Topic=topic("third")))
    )
    world.settled("it")
    later = world.client.describe_change_set(ChangeSetName=found["ChangeSetId"])

    assert later["ExecutionStatus"] == "OBSOLETE"
    code, _ = world.refusal("execute_change_set", ChangeSetName=found["ChangeSetId"])
    assert code == "InvalidChangeSetStatus"


def test_a_reviewed_import_takes_in_what_stands(world: World) -> None:
    world.deploy("it", template(Topic=topic()))
    theirs = world.deploy(
        "theirs", template(Kept={**topic(TopicName="x"), "DeletionPolicy": "Retain"})
    )
    assert theirs == "CREATE_COMPLETE"
    arn = world.client.describe_stack_resources(StackName="theirs")["StackResources"][0]
    stack_id = world.stack("theirs")["StackId"]
    world.client.delete_stack(StackName="theirs")
    world.settled(stack_id)

    taken = {**topic(TopicName="x"), "DeletionPolicy": "Retain"}
    found = world.change_set(
        "it",
        template(Topic=topic(), Kept=taken),
        ChangeSetType="IMPORT",
        ResourcesToImport=[
            {
                "ResourceType": "AWS::SNS::Topic",
                "LogicalResourceId": "Kept",
                "ResourceIdentifier": {"TopicArn": arn["PhysicalResourceId"]},
            }
        ],
    )
    world.client.execute_change_set(ChangeSetName=found["ChangeSetId"])

    (change,) = found["Changes"]
    assert change["ResourceChange"]["Action"] == "Import"
    assert world.settled("it") == "IMPORT_COMPLETE"
    assert "Kept" in world.resources("it")


def test_an_account_s_alias_is_listed(world: World) -> None:
    assert world.iam().list_account_aliases()["AccountAliases"] == []
