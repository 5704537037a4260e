"""What the twin's change sets tell, plainly and with values, and what they keep to themselves."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from twin import Twin
from twin.details import UNKNOWN

TOPIC, PARAMETER, SECRET = "AWS::SNS::Topic", "AWS::SSM::Parameter", "AWS::SecretsManager::Secret"


class Desk:
    """A twin, and change sets for its one stack."""

    def __init__(self) -> None:
        self.twin = Twin()
        self.client = self.twin.client("cloudformation")
        self.number = 0

    def make(self, resources: dict[str, Any], **more: Any) -> str:
        self.number += 1
        parameters = more.pop("parameters", {})
        body = {"Resources": resources, **more.pop("body", {})}
        kind = "UPDATE" if self.twin.region.status("it") else "CREATE"
        made: str = self.client.create_change_set(
            StackName="it",
            ChangeSetName=f"c{self.number}",
            ChangeSetType=kind,
            TemplateBody=json.dumps(body),
            Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()],
            **more,
        )["Id"]
        self.twin.region.settle(10)
        return made

    def deploy(self, resources: dict[str, Any], **more: Any) -> None:
        self.client.execute_change_set(ChangeSetName=self.make(resources, **more))
        self.twin.region.settle()

    def changes(self, made: str, *, values: bool = False) -> dict[str, dict[str, Any]]:
        more = {"IncludePropertyValues": True} if values else {}
        found: dict[str, dict[str, Any]] = {}
        token: dict[str, str] = {}
        while True:
            page = self.client.describe_change_set(ChangeSetName=made, **more, **token)
            for change in page["Changes"]:
                found[change["ResourceChange"]["LogicalResourceId"]] = change["ResourceChange"]
            if "NextToken" not in page:
                return found
            token = {"NextToken": page["NextToken"]}


@pytest.fixture
def desk() -> Desk:
    return Desk()


def topic(**properties: Any) -> dict[str, Any]:
    return {"Type": TOPIC, "Properties": properties}


def uses(value: Any) -> dict[str, Any]:
    return {"Type": PARAMETER, "Properties": {"Type": "String", "Value": value}}


def test_values_are_told_leaf_by_leaf_and_only_when_asked_for(desk: Desk) -> None:
    tags = [{"Key": "Team", "Value": "a"}]
    desk.deploy({"T": topic(DisplayName="one", Tags=tags)})

    made = desk.make({"T": topic(DisplayName="two", Tags=[{"Key": "Team", "Value": "b"}])})
    plain, valued = desk.changes(made)["T"], desk.changes(made, values=True)["T"]

    assert [detail["Target"] for detail in plain["Details"]] == [
        {"Attribute": "Properties", "Name": "DisplayName", "RequiresRecreation": "Never"},
        {"Attribute": "Tags", "RequiresRecreation": "Never"},
    ]
    assert plain["Scope"] == ["Properties", "Tags"]
    assert "BeforeContext" not in plain
    told = [
        (target["Path"], target["BeforeValue"], target["AfterValue"])
        for target in (detail["Target"] for detail in valued["Details"])
    ]
    assert told == [
        ("/Properties/DisplayName", "one", "two"),
        ("/Properties/Tags/0/Value", "a", "b"),
    ]
    assert json.loads(valued["BeforeContext"])["Properties"]["DisplayName"] == "one"
    assert json.loads(valued["AfterContext"])["Properties"]["DisplayName"] == "two"


def test_a_change_names_what_caused_it_and_what_becomes_of_the_old_one(desk: Desk) -> None:
    body = {"Parameters": {"Note": {"Type": "String"}}}
    kept = {"UpdateReplacePolicy": "Retain"}
    first = {
        "Named": {**topic(TopicName="a"), **kept},
        "Noted": topic(DisplayName={"Ref": "Note"}),
        "Uses": uses({"Ref": "Named"}),
        "Gone": {**topic(DisplayName="x"), "DeletionPolicy": "Retain"},
    }
    desk.deploy(first, body=body, parameters={"Note": "one"})

    second = {**first, "Named": {**topic(TopicName="b"), **kept}}
    del second["Gone"]
    made = desk.make(second, body=body, parameters={"Note": "two"})
    changes = desk.changes(made, values=True)

    causes = {
        name: [(d["ChangeSource"], d.get("CausingEntity")) for d in change["Details"]]
        for name, change in changes.items()
    }
    assert causes == {
        "Gone": [],
        "Named": [("DirectModification", None)],
        "Noted": [("ParameterReference", "Note")],
        "Uses": [("ResourceReference", "Named")],
    }
    policies = {name: change.get("PolicyAction") for name, change in changes.items()}
    assert policies == {
        "Gone": "Retain",
        "Named": "ReplaceAndRetain",
        "Noted": None,
        "Uses": None,
    }
    (detail,) = changes["Uses"]["Details"]
    assert (detail["Evaluation"], detail["Target"]["AfterValue"]) == ("Dynamic", UNKNOWN)


def test_values_can_drop_changes_with_a_warning(desk: Desk) -> None:
    region = desk.twin.region
    desk.deploy({"Named": topic(TopicName="a"), "Uses": uses({"Ref": "Named"})})
    region.habits = replace(region.habits, drops_unknown=True, dropped=frozenset({"Other"}))

    made = desk.make(
        {"Named": topic(TopicName="b"), "Uses": uses({"Ref": "Named"}), "Other": topic()}
    )
    found = desk.client.describe_change_set(ChangeSetName=made, IncludePropertyValues=True)

    assert sorted(desk.changes(made)) == ["Named", "Other", "Uses"]
    assert sorted(desk.changes(made, values=True)) == ["Named"]
    assert (found["Status"], found["StatusReason"]) == (
        "CREATE_COMPLETE",
        "[WARN] --include-property-values option can return incomplete ChangeSet data because: "
        "Logical Id: Other, Logical Id: Uses, failed property validation",
    )


def test_a_failure_has_no_reason_when_values_are_asked_for(desk: Desk) -> None:
    desk.deploy({"T": topic(DisplayName="one")})

    made = desk.make({"T": topic(DisplayName="one")})
    plain = desk.client.describe_change_set(ChangeSetName=made)
    valued = desk.client.describe_change_set(ChangeSetName=made, IncludePropertyValues=True)

    assert (plain["Status"], valued["Status"]) == ("FAILED", "FAILED")
    assert "didn't contain changes" in plain["StatusReason"]
    assert "StatusReason" not in valued


def test_what_lies_beside_resources_changes_without_being_listed(desk: Desk) -> None:
    desk.deploy({"T": topic(DisplayName="one")})

    policy = desk.make({"T": {**topic(DisplayName="one"), "DeletionPolicy": "Retain"}})
    output = desk.make(
        {"T": topic(DisplayName="one")}, body={"Outputs": {"Name": {"Value": {"Ref": "T"}}}}
    )
    desk.twin.region.habits = replace(desk.twin.region.habits, unlisted=frozenset({"Tags"}))
    tags = desk.make({"T": topic(DisplayName="one")}, Tags=[{"Key": "Team", "Value": "a"}])
    listed = desk.make({"T": {**topic(DisplayName="one"), "DeletionPolicy": "Retain"}})

    for made in (policy, output, tags):
        found = desk.client.describe_change_set(ChangeSetName=made)
        assert (found["Status"], found["Changes"]) == ("CREATE_COMPLETE", [])
    assert desk.changes(listed)["T"]["Scope"] == ["DeletionPolicy"]


def test_secrets_are_masked_and_long_values_cut(desk: Desk) -> None:
    body = {"Parameters": {"Word": {"Type": "String", "NoEcho": True}}}
    first = {"S": {"Type": SECRET, "Properties": {"SecretString": {"Ref": "Word"}}}, "T": topic()}
    desk.deploy(first, body=body, parameters={"Word": "hush"})

    made = desk.make(
        {**first, "T": topic(DisplayName="x" * 5000)}, body=body, parameters={"Word": "quiet"}
    )
    changes = desk.changes(made, values=True)

    told = json.dumps(changes, default=str)
    assert "hush" not in told
    assert "quiet" not in told
    assert json.loads(changes["S"]["AfterContext"])["Properties"]["SecretString"] == "****"
    (detail,) = changes["T"]["Details"]
    assert len(detail["Target"]["AfterValue"]) == 1024


def test_an_action_may_be_undetermined_or_an_import(desk: Desk) -> None:
    region = desk.twin.region
    desk.deploy({"T": topic(DisplayName="one")})
    region.habits = replace(region.habits, undetermined=frozenset({("it", "T")}))

    dynamic = desk.make({"T": topic(DisplayName="two")})
    desk.number += 1
    made = desk.client.create_change_set(
        StackName="it",
        ChangeSetName="import",
        ChangeSetType="IMPORT",
        TemplateBody=json.dumps({"Resources": {"T": topic(DisplayName="one"), "New": topic()}}),
        ResourcesToImport=[
            {
                "ResourceType": TOPIC,
                "LogicalResourceId": "New",
                "ResourceIdentifier": {"TopicArn": "arn:theirs"},
            }
        ],
    )["Id"]
    region.settle(10)

    assert desk.changes(dynamic)["T"]["Action"] == "Dynamic"
    change = desk.changes(made)["New"]
    assert (change["Action"], change["PhysicalResourceId"]) == ("Import", "arn:theirs")


def test_a_change_set_that_an_update_overtook_is_obsolete(desk: Desk) -> None:
    desk.deploy({"T": topic(DisplayName="one")})
    made = desk.make({"T": topic(DisplayName="two")})

    body = json.dumps({"Resources": {"T": topic(DisplayName="three")}})
    desk.client.update_stack(StackName="it", TemplateBody=body)
    desk.twin.region.settle()
    found = desk.client.describe_change_set(ChangeSetName=made)

    assert (found["Status"], found["ExecutionStatus"]) == ("CREATE_COMPLETE", "OBSOLETE")
    with pytest.raises(desk.client.exceptions.InvalidChangeSetStatusException):
        desk.client.execute_change_set(ChangeSetName=made)
