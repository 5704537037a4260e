"""The twin's ways into every status, out of it, and what it tells of how it came to be."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError
from twin import Twin
from twin.scene import tier, wanted
from twin.states import ROUTES, bring


@pytest.fixture
def twin() -> Twin:
    return Twin()


ITEM = wanted([tier("network", topics=2)])[0]
NAME = "tap-dev-network"


def refusal(twin: Twin, operation: str, **arguments: Any) -> str:
    with pytest.raises(ClientError) as caught:
        getattr(twin.client("cloudformation"), operation)(**arguments)
    return str(caught.value.response["Error"]["Message"])


def failed_events(twin: Twin, **asked: str) -> list[tuple[str, str, str]]:
    client = twin.client("cloudformation")
    pages = client.get_paginator("describe_events").paginate(
        **asked, Filters={"FailedEvents": True}
    )
    return [
        (event["EventType"], event.get("LogicalResourceId", ""), event.get("ResourceStatus", ""))
        for page in pages
        for event in page["OperationEvents"]
    ]


@pytest.mark.parametrize("status", sorted(ROUTES))
def test_every_status_can_be_reached_and_is_told(twin: Twin, status: str) -> None:
    stack = bring(twin, ITEM, status, token="theirs")

    told = [event for event in stack.events if event.logical_id == NAME]
    client = twin.client("cloudformation")
    described = client.describe_stacks(StackName=stack.id)["Stacks"][0]
    assert (stack.status, described["StackStatus"], told[-1].status) == (status, status, status)
    assert told[-1].token == ("" if status == "REVIEW_IN_PROGRESS" else "theirs")


def test_a_rollback_is_an_operation_of_its_own_and_the_failure_is_told_under_the_other(
    twin: Twin,
) -> None:
    bring(twin, ITEM, "UPDATE_ROLLBACK_COMPLETE")

    client = twin.client("cloudformation")
    last = client.describe_stacks(StackName=NAME)["Stacks"][0]["LastOperations"]
    assert [item["OperationType"] for item in last] == ["ROLLBACK", "UPDATE_STACK"]
    assert failed_events(twin, StackName=NAME) == []
    assert failed_events(twin, OperationId=last[0]["OperationId"]) == []
    assert failed_events(twin, OperationId=last[1]["OperationId"]) == [
        ("STACK_EVENT", "", ""),
        ("PROVISIONING_ERROR", "Topic1", "UPDATE_FAILED"),
        ("PROVISIONING_ERROR", "Topic0", "UPDATE_FAILED"),
    ]


def test_every_event_of_an_operation_has_its_id(twin: Twin) -> None:
    stack = bring(twin, ITEM, "UPDATE_ROLLBACK_COMPLETE")

    types = {item.id: item.type for item in stack.operations}
    told = [(event.status, types[event.operation]) for event in stack.events[1:]]
    assert ("UPDATE_IN_PROGRESS", "UPDATE_STACK") in told
    assert ("UPDATE_ROLLBACK_IN_PROGRESS", "ROLLBACK") in told
    assert told[-1] == ("UPDATE_ROLLBACK_COMPLETE", "ROLLBACK")


@pytest.mark.parametrize(
    ("operation", "status", "words"),
    [
        (
            "cancel_update_stack",
            "CREATE_COMPLETE",
            "CancelUpdateStack cannot be called from current stack status",
        ),
        (
            "continue_update_rollback",
            "UPDATE_ROLLBACK_COMPLETE",
            "RollbackUpdatedStack cannot be called from current stack status",
        ),
        (
            "rollback_stack",
            "ROLLBACK_COMPLETE",
            "RollbackStack cannot be called from current stack status",
        ),
    ],
)
def test_a_way_out_is_refused_where_there_is_none(
    twin: Twin, operation: str, status: str, words: str
) -> None:
    bring(twin, ITEM, status)

    assert refusal(twin, operation, StackName=NAME) == words


def test_what_is_skipped_counts_as_updated_and_stands_as_it_failed(twin: Twin) -> None:
    stack = bring(twin, ITEM, "UPDATE_ROLLBACK_FAILED", times=2)
    client = twin.client("cloudformation")

    client.continue_update_rollback(StackName=NAME)
    twin.region.settle()
    again = stack.status
    stranger = refusal(twin, "continue_update_rollback", StackName=NAME, ResourcesToSkip=["Nobody"])
    cancelled = refusal(
        twin, "continue_update_rollback", StackName=NAME, ResourcesToSkip=["Topic1"]
    )
    client.continue_update_rollback(StackName=NAME, ResourcesToSkip=["Topic0"])
    twin.region.settle()

    assert again == "UPDATE_ROLLBACK_FAILED"
    assert stranger == "Resource [Nobody] does not belong to stack tap-dev-network"
    assert cancelled == "Resource [Topic1] is not in UPDATE_FAILED state because of a rollback"
    assert stack.status == "UPDATE_ROLLBACK_COMPLETE"
    assert {held.status for held in stack.held.values()} == {"UPDATE_COMPLETE"}
    assert twin.region.unlike == {(NAME, "Topic0")}
    assert stack.operations[-1].type == "CONTINUE_ROLLBACK"


def test_what_a_failed_deletion_removed_is_listed_and_cannot_be_retained(twin: Twin) -> None:
    stack = bring(twin, ITEM, "DELETE_FAILED")
    client = twin.client("cloudformation")

    listed = client.get_paginator("list_stack_resources").paginate(StackName=NAME)
    statuses = {
        item["LogicalResourceId"]: item["ResourceStatus"]
        for page in listed
        for item in page["StackResourceSummaries"]
    }
    gone = refusal(twin, "delete_stack", StackName=NAME, RetainResources=["Topic1"])
    client.delete_stack(StackName=NAME, RetainResources=["Topic0"])
    twin.region.settle()

    assert statuses == {"Topic0": "DELETE_FAILED", "Topic1": "DELETE_COMPLETE"}
    assert gone.endswith("Do not specify resources that are in the DELETE_COMPLETE state.")
    assert stack.status == "DELETE_COMPLETE"
    assert len(twin.region.kept) == 1


@pytest.mark.parametrize("status", ["CREATE_FAILED", "UPDATE_FAILED"])
def test_what_failed_and_stayed_is_updated_with_rollback_disabled_only(
    twin: Twin, status: str
) -> None:
    stack = bring(twin, ITEM, status)
    client = twin.client("cloudformation")
    request = {"StackName": NAME, "UsePreviousTemplate": True}
    request["Parameters"] = [{"ParameterKey": "EnvironmentSuffix", "UsePreviousValue": True}]

    made = client.create_change_set(**request, ChangeSetName="on")["Id"]
    twin.region.settle(10)
    refused = refusal(twin, "execute_change_set", ChangeSetName=made)
    client.update_stack(**request, DisableRollback=True)
    twin.region.settle()

    assert refused.startswith(f"This stack is currently in a non-terminal [{status}] state. ")
    assert stack.status == "UPDATE_COMPLETE"
    assert {held.status for held in stack.held.values()} <= {"CREATE_COMPLETE", "UPDATE_COMPLETE"}


def test_express_ends_before_resources_are_ready_and_does_not_roll_back(twin: Twin) -> None:
    client = twin.client("cloudformation")
    body = ITEM.request.template
    parameters = [{"ParameterKey": "EnvironmentSuffix", "ParameterValue": "dev"}]
    config = {"Mode": "EXPRESS"}

    client.create_stack(
        StackName="quick", TemplateBody=body, Parameters=parameters, DeploymentConfig=config
    )
    twin.region.settle(4.0)
    quick = twin.region.status("quick")
    unready = len(twin.region.unready())
    twin.region.faults.resource(NAME, "Topic0", "CREATE", "Quota exceeded")
    client.create_stack(
        StackName=NAME, TemplateBody=body, Parameters=parameters, DeploymentConfig=config
    )
    twin.region.settle()

    assert (quick, unready, twin.region.unready()) == ("CREATE_COMPLETE", 2, set())
    assert twin.region.status(NAME) == "CREATE_FAILED"
    described = client.describe_stacks(StackName=NAME)["Stacks"][0]
    assert described["DeploymentConfig"] == {"Mode": "EXPRESS"}


def test_a_hook_that_only_warns_is_told_and_one_that_fails_stops_the_resource(twin: Twin) -> None:
    warns, fails = "Acme::Warns::Hook", "Acme::Fails::Hook"
    twin.region.faults.hook(warns, "Rather not", mode="WARN", logical_id="Topic0")
    twin.region.faults.hook(fails, "Encrypt it", logical_id="Topic0")

    stack = bring(twin, ITEM, "ROLLBACK_COMPLETE")

    hooks = {
        (event.logical_id, event.hook.type, event.hook.status, event.hook.mode)
        for event in stack.events
        if event.hook is not None and event.hook.status != "HOOK_IN_PROGRESS"
    }
    reasons = [event.reason for event in stack.events if event.logical_id == "Topic0"]
    creation = next(item.id for item in stack.operations if item.type == "CREATE_STACK")
    assert hooks == {
        ("Topic0", warns, "HOOK_COMPLETE_FAILED", "WARN"),
        ("Topic0", fails, "HOOK_COMPLETE_FAILED", "FAIL"),
    }
    assert f"The following hook(s) failed: [{fails}]" in reasons
    assert ("HOOK_INVOCATION_ERROR", "Topic0", "CREATE_IN_PROGRESS") in failed_events(
        twin, OperationId=creation
    )


def test_early_validation_fails_the_change_set_and_tells_where(twin: Twin) -> None:
    twin.region.faults.find(NAME, "Topic0", "extraneous key", path="/Resources/Topic0/Properties/X")
    twin.region.faults.find(
        NAME, "Topic1", "near the quota", name="NAME_CONFLICT_VALIDATION", mode="WARN"
    )
    client = twin.client("cloudformation")
    made = client.create_change_set(
        StackName=NAME,
        ChangeSetName="one",
        ChangeSetType="CREATE",
        TemplateBody=ITEM.request.template,
        Parameters=[{"ParameterKey": "EnvironmentSuffix", "ParameterValue": "dev"}],
    )["Id"]
    twin.region.settle(10)

    found = client.describe_change_set(ChangeSetName=made)
    told = client.describe_events(ChangeSetName=made)["OperationEvents"]
    bare = refusal(twin, "describe_events", ChangeSetName="one")

    assert (found["Status"], found["ExecutionStatus"]) == ("FAILED", "UNAVAILABLE")
    assert found["StatusReason"] == (
        "The following hook(s)/validation failed: [AWS::EarlyValidation::PropertyValidation]. To "
        "troubleshoot Early Validation errors, use the DescribeEvents API for detailed failure "
        "information."
    )
    assert [
        (event["ValidationName"], event["ValidationFailureMode"], event["ValidationPath"])
        for event in told
    ] == [
        ("NAME_CONFLICT_VALIDATION", "WARN", "/Resources/Topic1"),
        ("PROPERTY_VALIDATION", "FAIL", "/Resources/Topic0/Properties/X"),
    ]
    assert bare == "One of ChangeSetName, OperationId or StackName must be specified"
    # A WARN finding is told without the filter only where it failed nothing.
    assert failed_events(twin, ChangeSetName=made) == [
        ("VALIDATION_ERROR", "Topic1", ""),
        ("VALIDATION_ERROR", "Topic0", ""),
    ]


def test_a_hook_that_looks_at_change_sets_fails_them_and_leaves_no_events(twin: Twin) -> None:
    twin.region.faults.hook("Acme::Review::Hook", "Too much", change_set=True)
    bring(twin, ITEM, "REVIEW_IN_PROGRESS")

    client = twin.client("cloudformation")
    (found,) = client.list_change_sets(StackName=NAME)["Summaries"]

    assert found["StatusReason"] == (
        "Change set creation failed. The following hook(s) failed: [Acme::Review::Hook]"
    )
    assert failed_events(twin, ChangeSetName=found["ChangeSetId"]) == []


def test_a_template_comes_from_the_account_s_bucket(twin: Twin) -> None:
    client, body = twin.client("cloudformation"), ITEM.request.template.encode()
    twin.account.objects["tap", "t/a.yaml"] = body
    twin.account.objects["tap", "big"] = b"#" * 1_000_001
    parameters = [{"ParameterKey": "EnvironmentSuffix", "ParameterValue": "dev"}]

    def create(url: str) -> str:
        name = f"s{len(twin.region.stacks)}"
        parameters[0]["ParameterValue"] = name
        client.create_stack(StackName=name, TemplateURL=url, Parameters=parameters)
        twin.region.settle()
        return twin.region.status(name)

    def refused(url: str) -> str:
        return refusal(twin, "create_stack", StackName="no", TemplateURL=url)

    assert create("https://tap.s3.ap-northeast-1.amazonaws.com/t/a.yaml") == "CREATE_COMPLETE"
    assert create("https://s3.ap-northeast-1.amazonaws.com/tap/t/a.yaml") == "CREATE_COMPLETE"
    assert refused("https://example.org/a.yaml") == "TemplateURL must be a supported URL."
    there = "https://tap.s3.ap-northeast-1.amazonaws.com/"
    assert refused(there + "b").startswith("S3 error: The specified key does not exist.")
    assert refused("https://nobody.s3.amazonaws.com/b").startswith("S3 error: Access Denied")
    assert refused(there + "big") == "Template may not exceed 1000000 bytes in size."


def test_a_role_is_remembered_and_must_be_there(twin: Twin) -> None:
    role = "arn:aws:iam::123456789012:role/deployer"
    client, body = twin.client("cloudformation"), ITEM.request.template
    parameters = [{"ParameterKey": "EnvironmentSuffix", "ParameterValue": "dev"}]
    create = {"TemplateBody": body, "Parameters": parameters, "RoleARN": role}

    client.create_stack(StackName=NAME, **create)
    twin.region.settle()
    twin.region.roles = set()
    refused = refusal(twin, "delete_stack", StackName=NAME)

    assert client.describe_stacks(StackName=NAME)["Stacks"][0]["RoleARN"] == role
    assert refused == f"Role {role} is invalid or cannot be assumed"


def test_what_a_policy_keeps_goes_when_its_creation_is_rolled_back(twin: Twin) -> None:
    keeping = wanted([tier("network", topics=2, leaving={"Topic1": "Retain"})])[0]
    client = twin.client("cloudformation")
    kept = {}
    for flag in (False, True):
        twin.region.durations["Topic0"] = 30.0
        twin.region.faults.resource(NAME, "Topic0", "CREATE", "Quota exceeded", times=1)
        made = client.create_change_set(
            StackName=NAME,
            ChangeSetName="one",
            ChangeSetType="CREATE",
            TemplateBody=keeping.request.template,
            Parameters=[{"ParameterKey": "EnvironmentSuffix", "ParameterValue": "dev"}],
        )["Id"]
        twin.region.settle(10)
        client.execute_change_set(ChangeSetName=made, RetainExceptOnCreate=flag)
        twin.region.settle()
        kept[flag] = len(twin.region.kept)
        client.delete_stack(StackName=NAME)
        twin.region.settle()

    assert kept == {False: 1, True: 1}


def test_an_account_has_an_alias_or_none(twin: Twin) -> None:
    client = twin.client("iam")
    before = client.list_account_aliases()["AccountAliases"]
    twin.account.alias = "video-dev"

    assert (before, client.list_account_aliases()["AccountAliases"]) == ([], ["video-dev"])
