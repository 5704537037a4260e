"""One contract for both stand-ins of CloudFormation: the twin in memory and the embedded AWS.

What the engine's tests rely on is claimed once and asked of both through the same client. Where
the two differ, ``DIFFERENCES`` says how and why, and the test holds both to it: a difference that
goes away is noticed as well.
"""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError, ParamValidationError
from twin import Twin, faults
from worlds import (
    NO_CHANGES,
    PARAMETER,
    World,
    all_changes,
    consumer,
    producer,
    template,
    topic,
)

# Stacks that are not there


def test_a_stack_that_is_not_there_is_refused_in_the_words_of_aws(world: World) -> None:
    described = world.refusal("describe_stacks", StackName="nobody")
    events = world.refusal("describe_stack_events", StackName="nobody")
    update = world.refusal(
        "update_stack", StackName="nobody", TemplateBody=json.dumps(template(Topic=topic()))
    )

    assert described == ("ValidationError", "Stack with id nobody does not exist")
    assert events == ("ValidationError", "Stack [nobody] does not exist")
    assert update == ("ValidationError", "Stack [nobody] does not exist")


def test_deleting_what_is_not_there_is_answered_with_yes(world: World) -> None:
    world.client.delete_stack(StackName="nobody")

    assert world.status("nobody") == ""


# Change sets


def test_a_change_set_for_a_new_stack_brings_a_stack_in_review_along(world: World) -> None:
    found = world.change_set("new", template(Topic=topic()))

    (change,) = found["Changes"]
    assert (found["Status"], found["ExecutionStatus"]) == ("CREATE_COMPLETE", "AVAILABLE")
    assert change["ResourceChange"]["Action"] == "Add"
    assert world.status("new") == "REVIEW_IN_PROGRESS"
    assert [event["ResourceStatus"] for event in world.events("new")] == ["REVIEW_IN_PROGRESS"]


def test_statuses_on_the_way_can_be_seen(world: World) -> None:
    made = world.client.create_change_set(
        StackName="new",
        ChangeSetName="one",
        ChangeSetType="CREATE",
        TemplateBody=json.dumps(template(Topic=topic())),
    )
    first = world.client.describe_change_set(ChangeSetName=made["Id"])["Status"]
    world.made(made["Id"])
    world.client.execute_change_set(ChangeSetName=made["Id"])
    if world.name == "embedded":
        time.sleep(0.05)
    then = world.status("new")

    assert first == world.expected("first answer about a change set")
    assert then == world.expected("first answer after execution")
    assert world.settled("new") == "CREATE_COMPLETE"


def test_a_change_set_without_changes_fails_and_cannot_be_carried_out(world: World) -> None:
    world.deploy("it", template(Topic=topic()))

    found = world.change_set("it", template(Topic=topic()))

    assert (found["Status"], found["StatusReason"]) == ("FAILED", NO_CHANGES)
    assert found["ExecutionStatus"] == "UNAVAILABLE"
    code, _ = world.refusal("execute_change_set", ChangeSetName=found["ChangeSetId"])
    assert code == "InvalidChangeSetStatus"


def test_a_change_set_is_carried_out_once(world: World) -> None:
    found = world.change_set("it", template(Topic=topic()))
    world.client.execute_change_set(ChangeSetName=found["ChangeSetId"])
    world.settled("it")

    with pytest.raises(ClientError) as caught:
        world.client.execute_change_set(ChangeSetName=found["ChangeSetId"])

    assert caught.value.response["Error"]["Code"] in ("InvalidChangeSetStatus", "ChangeSetNotFound")


def test_the_same_token_means_the_same_execution(world: World) -> None:
    found = world.change_set("it", template(Topic=topic()))
    arguments = {"ChangeSetName": found["ChangeSetId"], "ClientRequestToken": "once"}
    world.client.execute_change_set(**arguments)

    try:
        world.client.execute_change_set(**arguments)
        answer = ""
    except ClientError as error:
        answer = error.response["Error"]["Code"]

    assert answer == world.expected("a repeated execution with the same token")
    assert world.settled("it") == "CREATE_COMPLETE"
    tokens = {
        event["ResourceStatus"]: event.get("ClientRequestToken") for event in world.events("it")
    }
    assert tokens == {
        "REVIEW_IN_PROGRESS": None,
        "CREATE_IN_PROGRESS": "once",
        "CREATE_COMPLETE": "once",
    }


def test_two_change_sets_of_a_stack_have_two_names(world: World) -> None:
    world.change_set("it", template(Topic=topic()), ChangeSetName="one")

    code, _ = world.refusal(
        "create_change_set",
        StackName="it",
        ChangeSetName="one",
        ChangeSetType="CREATE",
        TemplateBody=json.dumps(template(Topic=topic("second"))),
    )

    assert code == "AlreadyExistsException"


def test_an_update_needs_a_stack_that_was_made(world: World) -> None:
    body = json.dumps(template(Topic=topic()))
    world.change_set("reviewed", template(Topic=topic()))

    update = {"ChangeSetName": "late", "ChangeSetType": "UPDATE", "TemplateBody": body}
    nobody = world.refusal("create_change_set", StackName="nobody", **update)
    reviewed = world.refusal("create_change_set", StackName="reviewed", **update)

    assert nobody == ("ValidationError", "Stack [nobody] does not exist")
    assert reviewed == ("ValidationError", "Stack [reviewed] does not exist")


def test_a_stack_that_stands_is_not_created_again(world: World) -> None:
    world.deploy("it", template(Topic=topic()))
    body = json.dumps(template(Topic=topic("second")))

    again = {"StackName": "it", "TemplateBody": body}
    created = world.refusal("create_stack", **again)
    changed = world.refusal(
        "create_change_set", ChangeSetName="again", ChangeSetType="CREATE", **again
    )

    assert created == ("AlreadyExistsException", "Stack [it] already exists")
    assert changed == ("AlreadyExistsException", "Stack [it] already exists")


def test_deleting_a_change_set_leaves_the_stack_in_review(world: World) -> None:
    found = world.change_set("it", template(Topic=topic()))

    world.client.delete_change_set(ChangeSetName=found["ChangeSetId"])
    world.client.delete_change_set(ChangeSetName=found["ChangeSetId"])

    code, _ = world.refusal("describe_change_set", ChangeSetName=found["ChangeSetId"])
    assert code == "ChangeSetNotFound"
    assert world.client.list_change_sets(StackName="it")["Summaries"] == []
    assert world.status("it") == "REVIEW_IN_PROGRESS"


def test_a_change_set_being_made_is_not_deleted(world: World) -> None:
    made = world.client.create_change_set(
        StackName="new",
        ChangeSetName="one",
        ChangeSetType="CREATE",
        TemplateBody=json.dumps(template(Topic=topic())),
    )

    try:
        world.client.delete_change_set(ChangeSetName=made["Id"])
        answer = ""
    except ClientError as error:
        answer = error.response["Error"]["Code"]

    assert answer == world.expected("deleting a change set that is being made")


def test_carrying_one_change_set_out_removes_the_others(world: World) -> None:
    world.deploy("it", template(Topic=topic()))
    first = world.change_set("it", template(Topic=topic("second")))
    second = world.change_set("it", template(Topic=topic("third")))

    world.client.execute_change_set(ChangeSetName=second["ChangeSetId"])
    world.settled("it")

    code, _ = world.refusal("execute_change_set", ChangeSetName=first["ChangeSetId"])
    assert code in ("ChangeSetNotFound", "InvalidChangeSetStatus")


def test_a_change_says_whether_it_replaces(world: World) -> None:
    world.deploy(
        "it", template(Same=topic(), Other=topic(), Named=topic(TopicName="a"), Gone=topic())
    )

    found = world.change_set(
        "it", template(Same=topic(), Other=topic("second"), Named=topic(TopicName="b"), New=topic())
    )

    changes = {
        item["ResourceChange"]["LogicalResourceId"]: (
            item["ResourceChange"]["Action"],
            item["ResourceChange"].get("Replacement", ""),
        )
        for item in all_changes(world, found["ChangeSetId"])
    }
    assert changes == {
        "Other": ("Modify", "False"),
        "Named": ("Modify", "True"),
        "Gone": ("Remove", ""),
        "New": ("Add", ""),
    }


def test_a_change_of_nothing_but_tags_is_a_change(world: World) -> None:
    world.deploy("it", template(Topic=topic()), Tags=[{"Key": "Team", "Value": "a"}])

    status = world.deploy("it", template(Topic=topic()), Tags=[{"Key": "Team", "Value": "b"}])

    assert status == "UPDATE_COMPLETE"
    assert world.stack("it")["Tags"] == [{"Key": "Team", "Value": "b"}]


def test_a_change_of_nothing_but_outputs_is_a_change(world: World) -> None:
    world.deploy("it", producer())

    status = world.deploy("it", producer(name="tap-x-Other"))

    assert status == "UPDATE_COMPLETE"
    assert [item["ExportName"] for item in world.stack("it")["Outputs"]] == ["tap-x-Other"]


def test_an_import_that_is_missing_is_found_before_anything_is_made(world: World) -> None:
    found = world.change_set("it", consumer("tap-x-Missing"))

    told = (found["Status"], found.get("StatusReason", ""))
    assert told == world.expected("a change set whose import is missing")


# Refusals at the door


@pytest.mark.parametrize(
    ("document", "parameters", "refusal"),
    [
        (
            template(Topic=topic(note={"Ref": "Nobody"})),  # type: ignore[arg-type]
            {},
            "Template format error: Unresolved resource dependencies [Nobody] in the Resources "
            "block of the template",
        ),
        (
            {**template(A={**topic(), "DependsOn": "B"}, B={**topic(), "DependsOn": "A"})},
            {},
            "Circular dependency between resources: [A, B]",
        ),
        (template(Topic=topic()), {"Who": "me"}, "Parameters: [Who] do not exist in the template"),
        (
            {**template(Topic=topic()), "Parameters": {"Who": {"Type": "String"}}},
            {},
            "Parameters: [Who] must have values",
        ),
        (
            {
                **template(Topic=topic()),
                "Parameters": {"Who": {"Type": "String", "AllowedValues": ["us"]}},
            },
            {"Who": "them"},
            "Parameter 'Who' must be one of AllowedValues",
        ),
    ],
    ids=["dangling reference", "circle", "unknown parameter", "no value", "value not allowed"],
)
def test_a_template_that_cannot_work_is_refused_at_the_door(
    world: World, document: dict[str, Any], parameters: dict[str, str], refusal: str
) -> None:
    told = world.refusal(
        "create_change_set",
        StackName="it",
        ChangeSetName="one",
        ChangeSetType="CREATE",
        TemplateBody=json.dumps(document),
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()],
    )

    assert told == ("ValidationError", refusal)
    assert world.status("it") == ""


def test_a_role_needs_the_capability(world: World) -> None:
    role = {
        "Type": "AWS::IAM::Role",
        "Properties": {"AssumeRolePolicyDocument": {}, "RoleName": "r"},
    }

    told = world.refusal(
        "create_stack", StackName="it", TemplateBody=json.dumps(template(Role=role))
    )

    assert told == (
        "InsufficientCapabilitiesException",
        "Requires capabilities : [CAPABILITY_NAMED_IAM]",
    )


def test_a_template_in_the_request_has_a_greatest_size(world: World) -> None:
    body = json.dumps(template(Topic=topic(note="x" * 51_200)))

    code, words = world.refusal("create_stack", StackName="it", TemplateBody=body)

    assert code == "ValidationError"
    assert "Member must have length less than or equal to 51200" in words


def test_an_argument_that_the_api_does_not_have_never_arrives(world: World) -> None:
    with pytest.raises(ParamValidationError):
        world.client.delete_stack(StackName="it", Force=True)


# What stands


def test_what_was_deployed_is_described(world: World) -> None:
    body = {
        **producer(),
        "Parameters": {"Open": {"Type": "String"}, "Secret": {"Type": "String", "NoEcho": True}},
    }

    world.deploy(
        "it",
        body,
        Parameters=[
            {"ParameterKey": "Open", "ParameterValue": "said"},
            {"ParameterKey": "Secret", "ParameterValue": "unsaid"},
        ],
    )

    stack = world.stack("it")
    parameters = {p["ParameterKey"]: p["ParameterValue"] for p in stack["Parameters"]}
    assert parameters == {"Open": "said", "Secret": "****"}
    (output,) = stack["Outputs"]
    assert (output["OutputKey"], output["ExportName"]) == ("Arn", "tap-x-Arn")
    assert world.resources("it") == {"Topic": "CREATE_COMPLETE"}
    original = world.client.get_template(StackName="it", TemplateStage="Original")
    assert original["TemplateBody"] == body


def test_history_begins_with_the_resource_asked_for_and_ends_with_the_stack(world: World) -> None:
    world.deploy("it", template(Topic=topic()))

    told = [(e["LogicalResourceId"], e["ResourceStatus"]) for e in world.events("it")]
    assert told[:3] == [
        ("it", "REVIEW_IN_PROGRESS"),
        ("it", "CREATE_IN_PROGRESS"),
        ("Topic", "CREATE_IN_PROGRESS"),
    ]
    assert told[-2:] == [("Topic", "CREATE_COMPLETE"), ("it", "CREATE_COMPLETE")]


def test_a_deleted_stack_is_known_by_its_id_only(world: World) -> None:
    world.deploy("it", template(Topic=topic()))
    stack_id = world.stack("it")["StackId"]

    world.client.delete_stack(StackName="it")
    world.settled(stack_id)

    assert world.status("it") == ""
    assert world.status(stack_id) == "DELETE_COMPLETE"
    listed = world.client.get_paginator("list_stacks").paginate().build_full_result()
    assert [item["StackStatus"] for item in listed["StackSummaries"]] == ["DELETE_COMPLETE"]


def test_deleting_a_stack_in_review_removes_it(world: World) -> None:
    world.change_set("it", template(Topic=topic()))

    world.client.delete_stack(StackName="it")
    world.settled("it")

    assert world.status("it") == ""


def test_termination_protection_is_an_error_of_the_call(world: World) -> None:
    world.deploy("it", template(Topic=topic()))
    world.client.update_termination_protection(StackName="it", EnableTerminationProtection=True)

    code, words = world.refusal("delete_stack", StackName="it")

    stack_id = world.stack("it")["StackId"]
    assert code == "ValidationError"
    assert words == f"Stack [{stack_id}] cannot be deleted while TerminationProtection is enabled"
    assert world.stack("it")["EnableTerminationProtection"] is True


def test_an_update_without_changes_is_an_error_of_the_call(world: World) -> None:
    world.deploy("it", template(Topic=topic()))

    told = world.refusal(
        "update_stack", StackName="it", TemplateBody=json.dumps(template(Topic=topic()))
    )

    assert told == ("ValidationError", "No updates are to be performed.")


def test_what_a_policy_keeps_stands_on(world: World) -> None:
    world.deploy("it", template(Topic={**topic(), "DeletionPolicy": "Retain"}))
    stack_id = world.stack("it")["StackId"]

    world.client.delete_stack(StackName="it")
    world.settled(stack_id)

    told = [(e["LogicalResourceId"], e["ResourceStatus"]) for e in world.events(stack_id)]
    assert ("Topic", "DELETE_SKIPPED") in told
    assert world.status(stack_id) == "DELETE_COMPLETE"


# Exports


def test_exports_and_their_importers_are_listed(world: World) -> None:
    world.deploy("maker", producer())
    nobody = world.refusal("list_imports", ExportName="tap-x-Arn")
    world.deploy("user", consumer())

    (export,) = world.client.list_exports()["Exports"]
    users = world.client.list_imports(ExportName="tap-x-Arn")["Imports"]

    assert nobody == ("ValidationError", "Export 'tap-x-Arn' is not imported by any stack.")
    assert (export["Name"], export["ExportingStackId"]) == (
        "tap-x-Arn",
        world.stack("maker")["StackId"],
    )
    assert users == ["user"]


def test_an_exporter_in_use_is_not_deleted_and_only_the_reason_tells(world: World) -> None:
    world.deploy("maker", producer())
    world.deploy("user", consumer())

    world.client.delete_stack(StackName="maker")
    status = world.settled("maker")

    assert status == "CREATE_COMPLETE"
    assert world.stack("maker")["StackStatusReason"] == (
        "Export tap-x-Arn cannot be deleted as it is in use by user"
    )


def test_an_exporter_goes_after_its_importers(world: World) -> None:
    world.deploy("maker", producer())
    world.deploy("user", consumer())

    for stack in ("user", "maker"):
        world.client.delete_stack(StackName=stack)
        world.settled(stack)

    assert (world.status("user"), world.status("maker")) == ("", "")
    assert world.client.list_exports()["Exports"] == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            producer(name="tap-x-Renamed"),
            "Export tap-x-Arn cannot be deleted as it is in use by user",
        ),
        (
            producer(value="another value"),
            "Export tap-x-Arn cannot be updated as it is in use by user",
        ),
    ],
    ids=["removed", "changed"],
)
def test_an_export_in_use_rolls_its_update_back(
    world: World, change: dict[str, Any], reason: str
) -> None:
    world.deploy("maker", producer())
    world.deploy("user", consumer())

    status = world.deploy("maker", change)

    (event,) = (
        event
        for event in world.events("maker")
        if event["ResourceStatus"] == "UPDATE_ROLLBACK_IN_PROGRESS"
    )
    assert status == "UPDATE_ROLLBACK_COMPLETE"
    assert event["ResourceStatusReason"] == reason
    assert [item["Name"] for item in world.client.list_exports()["Exports"]] == ["tap-x-Arn"]


def test_a_name_that_another_stack_exports_rolls_the_creation_back(world: World) -> None:
    world.deploy("maker", producer())

    status = world.deploy("thief", producer())

    assert status == "ROLLBACK_COMPLETE"
    told = " ".join(world.reasons("thief"))
    assert "Export with name tap-x-Arn is already exported by stack maker" in told


def test_a_missing_import_rolls_the_creation_back(world: World) -> None:
    world.client.create_stack(StackName="user", TemplateBody=json.dumps(consumer()))

    status = world.settled("user")

    assert status == "ROLLBACK_COMPLETE"
    assert "No export named tap-x-Arn found. Rollback requested by user." in world.reasons("user")


# Failures


def test_a_failed_creation_is_rolled_back_and_can_only_be_deleted(world: World) -> None:
    world.fail("it", "Bad", "CREATE", "Quota exceeded")

    status = world.deploy("it", template(Good=topic(), Bad={**topic(), "DependsOn": "Good"}))

    stack_id = world.stack("it")["StackId"]
    body = json.dumps(template(Good=topic()))
    assert status == "ROLLBACK_COMPLETE"
    assert any("Quota exceeded" in reason for reason in world.reasons("it"))
    rollback = "The following resource(s) failed to create: [Bad]. Rollback requested by user."
    assert rollback in world.reasons("it")
    assert world.refusal("update_stack", StackName="it", TemplateBody=body) == (
        "ValidationError",
        f"Stack:{stack_id} is in ROLLBACK_COMPLETE state and can not be updated.",
    )
    again = {"ChangeSetName": "again", "ChangeSetType": "CREATE", "TemplateBody": body}
    assert world.refusal("create_change_set", StackName="it", **again) == (
        "AlreadyExistsException",
        "Stack [it] already exists",
    )
    world.client.delete_stack(StackName="it")
    world.settled("it")
    assert world.status("it") == ""


def test_a_failed_update_takes_everything_back(world: World) -> None:
    world.deploy("it", template(Topic=topic()))
    world.fail("it", "Bad", "CREATE", "Quota exceeded")

    status = world.deploy(
        "it", template(Topic=topic("second"), Bad={**topic(), "DependsOn": "Topic"})
    )

    assert status == "UPDATE_ROLLBACK_COMPLETE"
    assert world.resources("it") == {"Topic": "UPDATE_COMPLETE"}
    told = world.reasons("it")
    assert "The following resource(s) failed to create: [Bad]. " in told
    rest = world.change_set("it", template(Topic=topic()))
    assert (rest["Status"], rest["StatusReason"]) == ("FAILED", NO_CHANGES)


def test_a_resource_that_an_update_adds_is_told_as_it_comes(world: World) -> None:
    world.deploy("it", template(Topic=topic()))

    world.deploy("it", template(Topic=topic(), New=topic()))

    told = [e["ResourceStatus"] for e in world.events("it") if e["LogicalResourceId"] == "New"]
    assert (told[0], told[-1]) == ("CREATE_IN_PROGRESS", "CREATE_COMPLETE")


def test_a_failed_creation_stays_when_rollback_is_disabled(world: World) -> None:
    world.fail("it", "Bad", "CREATE", "Quota exceeded")
    body = json.dumps(template(Good=topic(), Bad={**topic(), "DependsOn": "Good"}))

    world.client.create_stack(StackName="it", TemplateBody=body, DisableRollback=True)
    stopped = world.settled("it")
    world.client.rollback_stack(StackName="it")
    after = world.settled("it")

    assert (stopped, after) == ("CREATE_FAILED", "ROLLBACK_COMPLETE")


def test_a_failed_update_stays_when_rollback_is_disabled(world: World) -> None:
    world.deploy("it", template(Topic=topic()))
    world.fail("it", "Topic", "UPDATE", "Not today")
    body = json.dumps(template(Topic=topic("second")))

    world.client.update_stack(StackName="it", TemplateBody=body, DisableRollback=True)
    stopped = world.settled("it")
    world.client.rollback_stack(StackName="it")
    after = world.settled("it")

    assert (stopped, after) == ("UPDATE_FAILED", "UPDATE_ROLLBACK_COMPLETE")


def test_a_failed_rollback_is_continued(world: World) -> None:
    world.deploy("it", template(Topic=topic()))
    world.fail("it", "Topic", "ROLLBACK", "Not back either")
    world.fail("it", "Bad", "CREATE", "Quota exceeded")

    stuck = world.deploy(
        "it", template(Topic=topic("second"), Bad={**topic(), "DependsOn": "Topic"})
    )
    refusal = world.refusal(
        "update_stack", StackName="it", TemplateBody=json.dumps(template(Topic=topic("third")))
    )
    world.client.continue_update_rollback(StackName="it")
    after = world.settled("it")

    stack_id = world.stack("it")["StackId"]
    assert (stuck, after) == ("UPDATE_ROLLBACK_FAILED", "UPDATE_ROLLBACK_COMPLETE")
    words = world.expected("an update of a failed rollback").format(id=stack_id)
    assert refusal == ("ValidationError", words)


def test_a_failed_deletion_can_be_tried_again(world: World) -> None:
    world.deploy("it", template(Topic=topic(), Other=topic()))
    world.fail("it", "Topic", "DELETE", "Still in use")

    world.client.delete_stack(StackName="it")
    first = world.settled("it")
    told = [reason.strip() for reason in world.reasons("it")]
    world.client.delete_stack(StackName="it")
    world.settled("it")

    assert first == "DELETE_FAILED"
    assert any("Still in use" in reason for reason in told)
    assert "The following resource(s) failed to delete: [Topic]." in told
    assert world.status("it") == ""


# The twin alone: what the embedded AWS is too quick, or too real, to show.


def statuses_of(twin: Twin, stack: str) -> list[str]:
    """The stack's own statuses, in order."""
    found = twin.region.found(stack)
    assert found is not None
    return [event.status for event in found.events if event.logical_id == found.name]


@pytest.fixture
def twin() -> Twin:
    return Twin()


@pytest.fixture
def alone(twin: Twin) -> World:
    def fail(stack: str, logical_id: str, verb: str, reason: str) -> None:
        twin.region.faults.resource(stack, logical_id, verb, reason, times=1)

    sleep = twin.region.clock.sleep
    client = twin.client("cloudformation")
    return World("twin", client, lambda: sleep(1.0), fail, lambda: twin.client("iam"))


def test_resources_are_made_side_by_side_and_the_first_failure_cancels_the_rest(
    twin: Twin, alone: World
) -> None:
    twin.region.durations.update(Quick=4.0, Slow=400.0)
    twin.region.faults.resource("it", "Quick", "CREATE", "Quota exceeded")

    status = alone.deploy(
        "it", template(Quick=topic(), Slow=topic(), Never={**topic(), "DependsOn": "Slow"})
    )

    told = [
        (e["LogicalResourceId"], e["ResourceStatus"], e.get("ResourceStatusReason", ""))
        for e in alone.events("it")
    ]
    assert status == "ROLLBACK_COMPLETE"
    assert ("Quick", "CREATE_FAILED", "Quota exceeded") in told
    assert ("Slow", "CREATE_FAILED", "Resource creation cancelled") in told
    assert "Never" not in {logical_id for logical_id, _, _ in told}
    assert twin.region.clock.now() < 60.0
    assert statuses_of(twin, "it") == [
        "REVIEW_IN_PROGRESS",
        "CREATE_IN_PROGRESS",
        "ROLLBACK_IN_PROGRESS",
        "ROLLBACK_COMPLETE",
    ]
    assert twin.region.standing == {}


def test_a_replacement_makes_the_new_one_first_and_cleans_up_last(twin: Twin, alone: World) -> None:
    alone.deploy("it", template(Topic=topic(TopicName="a")))
    (old,) = twin.region.standing

    alone.deploy("it", template(Topic=topic(TopicName="b")))

    (new,) = twin.region.standing
    assert new != old
    assert statuses_of(twin, "it")[-3:] == [
        "UPDATE_IN_PROGRESS",
        "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        "UPDATE_COMPLETE",
    ]
    told = [(e["LogicalResourceId"], e["ResourceStatus"]) for e in alone.events("it")]
    assert told.index(("Topic", "UPDATE_COMPLETE")) < told.index(("Topic", "DELETE_COMPLETE"))


def test_a_replacement_that_is_rolled_back_keeps_the_old_one(twin: Twin, alone: World) -> None:
    alone.deploy("maker", {**producer(), **template(Topic=topic(TopicName="a"))})
    alone.deploy("user", consumer())
    before = set(twin.region.standing)

    status = alone.deploy("maker", {**producer(), **template(Topic=topic(TopicName="b"))})

    assert status == "UPDATE_ROLLBACK_COMPLETE"
    assert set(twin.region.standing) == before
    assert statuses_of(twin, "maker")[-3:] == [
        "UPDATE_ROLLBACK_IN_PROGRESS",
        "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
        "UPDATE_ROLLBACK_COMPLETE",
    ]
    assert "StackStatusReason" not in alone.stack("maker")


def test_what_refers_to_a_replaced_resource_changes_dynamically(alone: World) -> None:
    uses = {"Type": PARAMETER, "Properties": {"Type": "String", "Value": {"Ref": "Topic"}}}
    alone.deploy("it", template(Topic=topic(TopicName="a"), Uses=uses))

    found = alone.change_set("it", template(Topic=topic(TopicName="b"), Uses=uses))

    changes = {
        item["ResourceChange"]["LogicalResourceId"]: item["ResourceChange"]
        for item in all_changes(alone, found["ChangeSetId"])
    }
    assert changes["Topic"]["Replacement"] == "True"
    assert changes["Uses"]["Details"][0]["Evaluation"] == "Dynamic"


@pytest.mark.parametrize(
    ("literal", "made", "changed"),
    [
        ("no changes", "FAILED", []),
        ("accepted", "CREATE_COMPLETE", []),
        ("listed", "CREATE_COMPLETE", ["Uses"]),
    ],
)
def test_a_literal_in_the_place_of_an_import_is_one_of_three_things(
    twin: Twin, alone: World, literal: str, made: str, changed: list[str]
) -> None:
    twin.region.literal = literal
    alone.deploy("maker", producer())
    alone.deploy("user", consumer())
    body = consumer()
    body["Resources"]["Uses"]["Properties"]["Value"] = twin.region.exports()["tap-x-Arn"]

    found = alone.change_set("user", body)
    if made == "CREATE_COMPLETE":
        alone.client.execute_change_set(ChangeSetName=found["ChangeSetId"])
        assert alone.settled("user") == "UPDATE_COMPLETE"

    names = [c["ResourceChange"]["LogicalResourceId"] for c in found.get("Changes", [])]
    assert (found["Status"], names) == (made, changed)
    still = ["user"] if made == "FAILED" else []
    assert twin.region.importers("tap-x-Arn") == still


def test_metadata_alone_is_a_change(alone: World) -> None:
    alone.deploy("it", template(Topic=topic()))

    found = alone.change_set("it", template(Topic={**topic(), "Metadata": {"Note": "new"}}))

    (change,) = found["Changes"]
    assert change["ResourceChange"]["Scope"] == ["Metadata"]


def test_nothing_starts_while_an_operation_is_under_way(twin: Twin, alone: World) -> None:
    alone.deploy("it", template(Topic=topic()))
    waiting = alone.change_set("it", template(Topic=topic("third")))
    alone.client.update_stack(
        StackName="it", TemplateBody=json.dumps(template(Topic=topic("second")))
    )
    stack_id = alone.stack("it")["StackId"]

    made = alone.refusal(
        "create_change_set",
        StackName="it",
        ChangeSetName="late",
        TemplateBody=json.dumps(template(Topic=topic("fourth"))),
    )
    executed = alone.refusal("execute_change_set", ChangeSetName=waiting["ChangeSetId"])
    deleted = alone.refusal("delete_stack", StackName="it")

    busy = f"Stack:{stack_id} is in UPDATE_IN_PROGRESS state and can not be updated."
    assert made == executed == ("ValidationError", busy)
    assert deleted == (
        "ValidationError",
        f"Stack [{stack_id}] cannot be deleted while in status UPDATE_IN_PROGRESS",
    )


def test_a_deletion_during_the_creation_cancels_it(twin: Twin, alone: World) -> None:
    alone.client.create_stack(StackName="it", TemplateBody=json.dumps(template(Topic=topic())))
    twin.region.clock.sleep(4.0)

    alone.client.delete_stack(StackName="it")
    stack_id = next(iter(twin.region.stacks))
    alone.settled("it")

    assert alone.status(stack_id) == "DELETE_COMPLETE"
    assert "Resource creation cancelled" in alone.reasons(stack_id)
    assert twin.region.standing == {}


def test_an_update_can_be_cancelled_while_it_updates(twin: Twin, alone: World) -> None:
    alone.deploy("it", template(Topic=topic()))
    refused = alone.refusal("cancel_update_stack", StackName="it")
    alone.client.update_stack(
        StackName="it", TemplateBody=json.dumps(template(Topic=topic("second")))
    )
    twin.region.clock.sleep(2.0)

    alone.client.cancel_update_stack(StackName="it")

    assert refused[0] == "ValidationError"
    assert alone.settled("it") == "UPDATE_ROLLBACK_COMPLETE"
    assert "Resource update cancelled" in alone.reasons("it")
    (held,) = twin.region.standing.values()
    assert held.properties == {"DisplayName": "first"}


def test_a_rollback_can_go_on_without_a_resource(twin: Twin, alone: World) -> None:
    alone.deploy("it", template(Topic=topic(), Other=topic()))
    twin.region.faults.resource("it", "Topic", "ROLLBACK", "Not back either")
    alone.fail("it", "Bad", "CREATE", "Quota exceeded")
    alone.deploy(
        "it", template(Topic=topic("second"), Other=topic(), Bad={**topic(), "DependsOn": "Topic"})
    )

    wrong = alone.refusal("continue_update_rollback", StackName="it", ResourcesToSkip=["Other"])
    alone.client.continue_update_rollback(StackName="it", ResourcesToSkip=["Topic"])

    assert wrong == (
        "ValidationError",
        "Resource [Other] is not in UPDATE_FAILED state because of a rollback",
    )
    assert alone.settled("it") == "UPDATE_ROLLBACK_COMPLETE"
    described = alone.client.describe_stack_resources(StackName="it")["StackResources"]
    assert {item["LogicalResourceId"] for item in described} == {"Topic", "Other"}


def test_a_failed_rollback_of_a_creation_and_of_a_deletion_can_be_left(
    twin: Twin, alone: World
) -> None:
    twin.region.faults.resource("it", "Good", "DELETE", "Still in use")
    alone.fail("it", "Bad", "CREATE", "Quota exceeded")

    rolled = alone.deploy("it", template(Good=topic(), Bad={**topic(), "DependsOn": "Good"}))
    early = alone.refusal("delete_stack", StackName="it", RetainResources=["Good"])
    alone.client.delete_stack(StackName="it")
    failed = alone.settled("it")
    alone.client.delete_stack(StackName="it", RetainResources=["Good"])
    alone.settled("it")

    assert (rolled, failed, alone.status("it")) == ("ROLLBACK_FAILED", "DELETE_FAILED", "")
    assert early[0] == "ValidationError"
    assert len(twin.region.kept) == 1


def test_a_stack_can_be_deleted_by_force(twin: Twin, alone: World) -> None:
    alone.deploy("it", template(Topic=topic()))
    twin.region.faults.resource("it", "Topic", "DELETE", "Still in use")

    early = alone.refusal("delete_stack", StackName="it", DeletionMode="FORCE_DELETE_STACK")
    alone.client.delete_stack(StackName="it")
    assert alone.settled("it") == "DELETE_FAILED"
    alone.client.delete_stack(StackName="it", DeletionMode="FORCE_DELETE_STACK")
    alone.settled("it")

    assert "only when the stack is in the DELETE_FAILED state." in early[1]
    assert alone.status("it") == ""
    assert len(twin.region.standing) == 1


def test_creation_can_end_in_deletion(alone: World) -> None:
    alone.fail("it", "Bad", "CREATE", "Quota exceeded")

    alone.client.create_stack(
        StackName="it", TemplateBody=json.dumps(template(Bad=topic())), OnFailure="DELETE"
    )

    assert alone.settled("it") == ""


def test_a_stack_policy_denies_a_replacement(alone: World) -> None:
    alone.deploy("it", template(Topic=topic(TopicName="a")))
    policy = {
        "Statement": [
            {"Effect": "Allow", "Action": "Update:*", "Principal": "*", "Resource": "*"},
            {
                "Effect": "Deny",
                "Action": "Update:Replace",
                "Principal": "*",
                "Resource": "LogicalResourceId/Topic",
            },
        ]
    }
    alone.client.set_stack_policy(StackName="it", StackPolicyBody=json.dumps(policy))

    modified = alone.deploy("it", template(Topic=topic("second", TopicName="a")))
    replaced = alone.deploy("it", template(Topic=topic("second", TopicName="b")))

    assert (modified, replaced) == ("UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE")
    assert (
        "Action denied by stack policy: Statement [#2] does not allow [Update:Replace] for "
        "resource [LogicalResourceId/Topic];"
    ) in alone.reasons("it")


def test_snapshots_are_taken_of_what_asks_for_them(twin: Twin, alone: World) -> None:
    kept = {**topic(TopicName="a"), "UpdateReplacePolicy": "Snapshot", "DeletionPolicy": "Snapshot"}
    alone.deploy("it", template(Topic=kept))
    alone.deploy("it", template(Topic={**kept, "Properties": {"TopicName": "b"}}))

    alone.client.delete_stack(StackName="it")
    alone.settled("it")

    assert len(twin.region.snapshots) == 2
    assert twin.region.standing == {}


def test_tokens_make_repetitions_harmless(twin: Twin, alone: World) -> None:
    body = json.dumps(template(Topic=topic()))
    create = {"StackName": "it", "TemplateBody": body, "ClientRequestToken": "create"}

    first = alone.client.create_stack(**create)["StackId"]
    again = alone.client.create_stack(**create)["StackId"]
    alone.settled("it")
    change = {"StackName": "it", "ChangeSetName": "one", "ClientToken": "change"}
    made = alone.client.create_change_set(
        TemplateBody=json.dumps(template(Topic=topic("x"))), **change
    )
    remade = alone.client.create_change_set(
        TemplateBody=json.dumps(template(Topic=topic("x"))), **change
    )
    other = alone.refusal("execute_change_set", ChangeSetName="one", StackName="nobody")
    alone.client.delete_stack(StackName="it", ClientRequestToken="delete")
    alone.settled("it")
    alone.client.create_stack(StackName="it", TemplateBody=body)
    reused = alone.refusal("delete_stack", StackName="it", ClientRequestToken="delete")

    assert first == again
    assert made["Id"] == remade["Id"]
    assert other == ("ValidationError", "Stack [nobody] does not exist")
    assert reused[0] == "TokenAlreadyExistsException"


def test_lists_come_in_small_pages(alone: World) -> None:
    alone.deploy("it", template(A=topic(), B=topic(), C=topic()))

    page = alone.client.list_stack_resources(StackName="it")

    assert len(page["StackResourceSummaries"]) == 2
    assert "NextToken" in page
    assert sorted(alone.resources("it")) == ["A", "B", "C"]


def test_an_answer_may_be_older_than_the_question(twin: Twin, alone: World) -> None:
    twin.region.stale_seconds = 5.0

    alone.client.create_stack(StackName="it", TemplateBody=json.dumps(template(Topic=topic())))
    at_once = alone.status("it")
    twin.region.clock.sleep(100.0)
    later = alone.status("it")
    alone.client.delete_stack(StackName="it")

    assert (at_once, later, alone.status("it")) == ("", "CREATE_COMPLETE", "CREATE_COMPLETE")


def test_calls_fail_when_they_are_told_to(twin: Twin, alone: World) -> None:
    twin.region.faults.call("describe_stacks", faults.THROTTLED, faults.EXPIRED)

    throttled = alone.refusal("describe_stacks", StackName="it")
    expired = alone.refusal("describe_stacks", StackName="it")
    missing = alone.refusal("describe_stacks", StackName="it")

    assert [code for code, _ in (throttled, expired, missing)] == [
        "Throttling",
        "ExpiredToken",
        "ValidationError",
    ]


def test_a_lost_answer_is_an_operation_that_happened(twin: Twin, alone: World) -> None:
    twin.region.faults.call("create_stack", faults.lost(), after=True)

    with pytest.raises(type(faults.lost())):
        alone.client.create_stack(StackName="it", TemplateBody=json.dumps(template(Topic=topic())))

    assert alone.settled("it") == "CREATE_COMPLETE"


def test_the_twin_cannot_answer_what_the_service_model_does_not_have(twin: Twin) -> None:
    client = twin.client("cloudformation")
    twin._service.describe_stacks = lambda p: {"Stacks": [{"Nonsense": 1}]}  # type: ignore[method-assign]

    with pytest.raises(ParamValidationError):
        client.describe_stacks()


def test_an_operation_that_the_twin_lacks_is_not_answered_at_all(twin: Twin) -> None:
    with pytest.raises(NotImplementedError):
        twin.client("cloudformation").detect_stack_drift(StackName="it")


def test_a_resource_is_found_by_its_physical_id(twin: Twin, alone: World) -> None:
    alone.deploy("it", template(Topic=topic()))
    (physical_id,) = twin.region.standing

    (found,) = alone.client.describe_stack_resources(PhysicalResourceId=physical_id)[
        "StackResources"
    ]

    assert (found["StackName"], found["LogicalResourceId"]) == ("it", "Topic")
