"""The rules of CloudFormation on the embedded AWS: exports, refusals, changes, faults."""

from __future__ import annotations

import dataclasses
import json
import time
import urllib.error
from typing import Any

import pytest
from botocore.exceptions import ClientError
from local_aws import (
    change_set,
    client,
    delete,
    deploy,
    faults_left,
    one,
    outcome,
    resource,
    set_faults,
    settled,
    start,
    status,
)

from tapgen.local.lease import Embedded

PARAMETER = resource("AWS::SSM::Parameter", Type="String", Value="x")


def exporter(value: str = "10.0.0.1", name: str | None = "net-Address") -> dict[str, Any]:
    """A stack that exports ``value`` under ``name``."""
    output: dict[str, Any] = {"Value": value}
    if name:
        output["Export"] = {"Name": name}
    return {"Resources": {"It": PARAMETER}, "Outputs": {"Address": output}}


def importer(name: str = "net-Address") -> dict[str, Any]:
    return one("AWS::SSM::Parameter", Type="String", Value={"Fn::ImportValue": name})


def refused(call: Any, **parameters: Any) -> tuple[str, str]:
    """The code and the message that a call is refused with."""
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def test_an_export_in_use_cannot_be_changed(aws_account: Embedded) -> None:
    deploy(aws_account, "net", exporter())
    deploy(aws_account, "app", importer())

    changed = outcome(aws_account, "net", exporter(value="10.0.0.2"))

    assert changed.status == "UPDATE_ROLLBACK_COMPLETE"
    assert changed.outputs == {"Address": "10.0.0.1"}
    assert changed.told[-1] == (
        "net",
        "UPDATE_ROLLBACK_IN_PROGRESS",
        "Export net-Address cannot be updated as it is in use by app",
    )


def test_an_export_in_use_cannot_be_withdrawn(aws_account: Embedded) -> None:
    deploy(aws_account, "net", exporter())
    deploy(aws_account, "app", importer())

    changed = outcome(aws_account, "net", exporter(name=None))

    assert changed.status == "UPDATE_ROLLBACK_COMPLETE"
    assert changed.told[-1][2] == "Export net-Address cannot be deleted as it is in use by app"


def test_an_export_that_nobody_uses_can_go(aws_account: Embedded) -> None:
    deploy(aws_account, "net", exporter())

    changed = deploy(aws_account, "net", exporter(name=None))

    assert changed == "UPDATE_COMPLETE"
    assert client(aws_account, "cloudformation").list_exports()["Exports"] == []


def test_a_change_of_outputs_alone_is_a_change(aws_account: Embedded) -> None:
    template = exporter()
    template["Parameters"] = {"Digest": {"Type": "String"}}
    template["Outputs"]["Digest"] = {"Value": {"Ref": "Digest"}}
    deploy(aws_account, "net", template, Digest="a")

    same = change_set(aws_account, "net", template, Digest="a")
    changed = outcome(aws_account, "net", template, Digest="b")

    assert same["Status"] == "FAILED"
    assert changed.status == "UPDATE_COMPLETE"
    assert changed.outputs["Digest"] == "b"


def test_an_export_belongs_to_one_stack(aws_account: Embedded) -> None:
    deploy(aws_account, "net", exporter())

    second = outcome(aws_account, "net2", exporter())

    assert second.status == "ROLLBACK_COMPLETE"
    assert second.told[-2] == (
        "net2",
        "ROLLBACK_IN_PROGRESS",
        "Export with name net-Address is already exported by stack net",
    )


def test_an_exporter_in_use_stays_and_only_its_reason_tells(aws_account: Embedded) -> None:
    cloudformation = client(aws_account, "cloudformation")
    deploy(aws_account, "net", exporter())
    deploy(aws_account, "app", importer())

    cloudformation.delete_stack(StackName="net")
    stack = cloudformation.describe_stacks(StackName="net")["Stacks"][0]

    assert stack["StackStatus"] == "CREATE_COMPLETE"
    assert stack["StackStatusReason"] == (
        "Export net-Address cannot be deleted as it is in use by app"
    )


def test_an_exporter_can_go_after_its_importers(aws_account: Embedded) -> None:
    deploy(aws_account, "net", exporter())
    deploy(aws_account, "app", importer())

    assert delete(aws_account, "app").status == "DELETE_COMPLETE"
    assert delete(aws_account, "net").status == "DELETE_COMPLETE"


def test_an_import_that_nobody_exports_rolls_back(aws_account: Embedded) -> None:
    made = outcome(aws_account, "app", importer("net-Nothing"))

    assert made.status == "ROLLBACK_COMPLETE"
    assert made.told[-2] == (
        "app",
        "ROLLBACK_IN_PROGRESS",
        "No export named net-Nothing found. Rollback requested by user.",
    )


def test_an_import_whose_condition_is_false_uses_nothing(aws_account: Embedded) -> None:
    app = importer()
    app["Conditions"] = {"Never": {"Fn::Equals": ["a", "b"]}}
    app["Resources"]["It"]["Condition"] = "Never"
    app["Resources"]["Other"] = PARAMETER
    deploy(aws_account, "net", exporter())
    deploy(aws_account, "app", app)

    assert delete(aws_account, "net").status == "DELETE_COMPLETE"


def test_a_failed_creation_names_the_resource(aws_account: Embedded) -> None:
    set_faults(aws_account, resources=[{"op": "create", "message": "No more parameters today"}])

    made = outcome(aws_account, "app", one("AWS::SSM::Parameter", Type="String", Value="x"))

    assert made.status == "ROLLBACK_COMPLETE"
    assert ("It", "CREATE_FAILED", "No more parameters today") in made.told
    assert made.told[-2] == (
        "app",
        "ROLLBACK_IN_PROGRESS",
        "The following resource(s) failed to create: [It]. Rollback requested by user.",
    )


def test_what_was_rolled_back_must_go_before_it_is_made_again(aws_account: Embedded) -> None:
    cloudformation = client(aws_account, "cloudformation")
    deploy(aws_account, "app", importer("net-Nothing"))
    template = json.dumps(exporter())

    created = refused(cloudformation.create_stack, StackName="app", TemplateBody=template)
    stack_id = cloudformation.describe_stacks(StackName="app")["Stacks"][0]["StackId"]
    updated = refused(
        cloudformation.create_change_set,
        StackName="app",
        ChangeSetName="c",
        TemplateBody=template,
    )

    assert created == ("AlreadyExistsException", "Stack [app] already exists")
    assert updated == (
        "ValidationError",
        f"Stack:{stack_id} is in ROLLBACK_COMPLETE state and can not be updated.",
    )


def test_a_stack_in_the_middle_of_an_update_is_left_alone(aws_account: Embedded) -> None:
    cloudformation = client(aws_account, "cloudformation")
    deploy(aws_account, "app", one("AWS::SSM::Parameter", Type="String", Value="x"))
    set_faults(aws_account, resources=[{"op": "update", "delay": 0.4}])
    changed = one("AWS::SSM::Parameter", Type="String", Value="y")
    start(aws_account, "app", changed)
    stack_id = cloudformation.describe_stacks(StackName="app")["Stacks"][0]["StackId"]

    update = refused(
        cloudformation.update_stack, StackName="app", TemplateBody=json.dumps(exporter())
    )
    changes = refused(
        cloudformation.create_change_set,
        StackName="app",
        ChangeSetName="c",
        TemplateBody=json.dumps(exporter()),
    )
    deletion = refused(cloudformation.delete_stack, StackName="app")

    in_progress = f"Stack:{stack_id} is in UPDATE_IN_PROGRESS state and can not be updated."
    assert update == changes == ("ValidationError", in_progress)
    assert deletion == (
        "ValidationError",
        f"Stack [{stack_id}] cannot be deleted while in status UPDATE_IN_PROGRESS",
    )
    assert settled(aws_account, "app").status == "UPDATE_COMPLETE"


def test_a_stack_deleted_in_its_creation_is_gone_in_the_end(aws_account: Embedded) -> None:
    cloudformation = client(aws_account, "cloudformation")
    set_faults(aws_account, resources=[{"op": "create", "delay": 0.3}])
    start(aws_account, "app", one("AWS::SSM::Parameter", Type="String", Value="x"))

    cloudformation.delete_stack(StackName="app")
    deadline = time.monotonic() + 5
    while status(aws_account, "app") and time.monotonic() < deadline:
        time.sleep(0.02)

    assert status(aws_account, "app") == ""


TEXTS = {
    "a reference to nothing": (
        one("AWS::SSM::Parameter", Type="String", Value={"Ref": "Nothing"}),
        "Template format error: Unresolved resource dependencies [Nothing] "
        "in the Resources block of the template",
    ),
    "a substitution of nothing": (
        one("AWS::SSM::Parameter", Type="String", Value={"Fn::Sub": "a-${Nothing.Arn}"}),
        "Template format error: Unresolved resource dependencies [Nothing] "
        "in the Resources block of the template",
    ),
    "an output of nothing": (
        {"Resources": {"It": PARAMETER}, "Outputs": {"O": {"Value": {"Ref": "Nothing"}}}},
        "Template format error: Unresolved resource dependencies [Nothing] "
        "in the Outputs block of the template",
    ),
    "a resource whose condition is false": (
        {
            "Conditions": {"Never": {"Fn::Equals": ["a", "b"]}},
            "Resources": {
                "Off": {**PARAMETER, "Condition": "Never"},
                "It": resource("AWS::SSM::Parameter", Type="String", Value={"Ref": "Off"}),
            },
        },
        "Template format error: Unresolved resource dependencies [Off] "
        "in the Resources block of the template",
    ),
    "a circle": (
        {
            "Resources": {
                "A": resource("AWS::SSM::Parameter", Type="String", Value={"Ref": "B"}),
                "B": resource("AWS::SSM::Parameter", Type="String", Value={"Ref": "A"}),
            }
        },
        "Circular dependency between resources: [A, B]",
    ),
}


@pytest.mark.parametrize("what", TEXTS)
def test_a_template_that_cannot_stand_is_refused_at_once(aws_account: Embedded, what: str) -> None:
    template, text = TEXTS[what]

    answer = refused(
        client(aws_account, "cloudformation").create_stack,
        StackName="app",
        TemplateBody=json.dumps(template),
    )

    assert answer == ("ValidationError", text)
    assert status(aws_account, "app") == ""


def test_a_branch_that_is_not_taken_may_refer_to_what_is_not_there(
    aws_account: Embedded,
) -> None:
    choice = {"Fn::If": ["Never", {"Ref": "Off"}, "x"]}
    template = {
        "Conditions": {"Never": {"Fn::Equals": ["a", "b"]}},
        "Resources": {
            "Off": {**PARAMETER, "Condition": "Never"},
            "It": resource("AWS::SSM::Parameter", Type="String", Value=choice),
        },
    }

    assert deploy(aws_account, "app", template) == "CREATE_COMPLETE"


PARAMETERS = {
    "Suffix": {
        "Type": "String",
        "AllowedPattern": "[a-z]+",
        "ConstraintDescription": "lower case letters",
    },
    "Size": {"Type": "String", "Default": "small", "AllowedValues": ["small", "large"]},
}


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, "Parameters: [Suffix] must have values"),
        ({"Suffix": "a", "Other": "b"}, "Parameters: [Other] do not exist in the template"),
        ({"Suffix": "A"}, "Parameter Suffix failed to satisfy constraint: lower case letters"),
        ({"Suffix": "a", "Size": "big"}, "Parameter 'Size' must be one of AllowedValues"),
    ],
)
def test_parameters_are_judged_in_the_words_of_aws(
    aws_account: Embedded, given: dict[str, str], text: str
) -> None:
    template = {"Parameters": PARAMETERS, "Resources": {"It": PARAMETER}}

    answer = refused(
        client(aws_account, "cloudformation").create_stack,
        StackName="app",
        TemplateBody=json.dumps(template),
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in given.items()],
    )

    assert answer == ("ValidationError", text)


def test_named_roles_need_the_capability(aws_account: Embedded) -> None:
    template = one(
        "AWS::IAM::Role", RoleName="r", AssumeRolePolicyDocument={"Version": "2012-10-17"}
    )

    answer = refused(
        client(aws_account, "cloudformation").create_stack,
        StackName="app",
        TemplateBody=json.dumps(template),
    )

    assert answer == (
        "InsufficientCapabilitiesException",
        "Requires capabilities : [CAPABILITY_NAMED_IAM]",
    )


def test_a_template_over_the_limit_is_refused(aws_account: Embedded) -> None:
    template = {**exporter(), "Metadata": {"Filler": "x" * 51_200}}

    code, message = refused(
        client(aws_account, "cloudformation").create_stack,
        StackName="app",
        TemplateBody=json.dumps(template),
    )

    assert code == "ValidationError"
    assert message.endswith("Member must have length less than or equal to 51200")


def test_a_template_comes_from_a_bucket_by_either_form_of_address(
    aws_account: Embedded,
) -> None:
    s3, cloudformation = client(aws_account, "s3"), client(aws_account, "cloudformation")
    bucket = f"templates-{aws_account.account}"
    s3.create_bucket(
        Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": aws_account.region}
    )
    s3.put_object(Bucket=bucket, Key="a/net.json", Body=json.dumps(exporter()).encode())

    for number, host in enumerate(
        [f"{bucket}.s3.ap-northeast-1.amazonaws.com", f"s3.ap-northeast-1.amazonaws.com/{bucket}"]
    ):
        summary = cloudformation.validate_template(TemplateURL=f"https://{host}/a/net.json")
        assert summary["Parameters"] == [], number


def test_short_form_tags_are_understood(aws_account: Embedded) -> None:
    template = """
Parameters:
  EnvironmentSuffix: {Type: String}
Conditions:
  IsDev: !Equals [!Ref EnvironmentSuffix, dev]
Resources:
  Parameter:
    Type: AWS::SSM::Parameter
    Properties:
      Type: String
      Name: !Sub /tap/${EnvironmentSuffix}
      Value: !If [IsDev, !Join ['-', [a, b]], !Ref AWS::NoValue]
Outputs:
  Name:
    Value: !Ref Parameter
    Export: {Name: !Sub 'tap-${EnvironmentSuffix}-Name'}
"""
    made = outcome(aws_account, "net", template, EnvironmentSuffix="dev")
    used = outcome(
        aws_account,
        "app",
        """
Parameters:
  EnvironmentSuffix: {Type: String}
Resources:
  Parameter:
    Type: AWS::SSM::Parameter
    Properties:
      Type: String
      Value: !ImportValue
        Fn::Sub: tap-${EnvironmentSuffix}-Name
Outputs:
  Value: {Value: !GetAtt Parameter.Value}
""",
        EnvironmentSuffix="dev",
    )

    assert made.outputs == {"Name": "/tap/dev"}
    assert used.outputs == {"Value": "/tap/dev"}, used.reasons


REPLACED = {
    "AWS::EC2::VPC": ({"CidrBlock": "10.0.0.0/16"}, {"CidrBlock": "10.1.0.0/16"}, "True"),
    "AWS::Logs::LogGroup": ({"LogGroupName": "/a"}, {"LogGroupName": "/b"}, "True"),
    "AWS::ECS::Cluster": ({"ClusterName": "a"}, {"ClusterName": "b"}, "True"),
    "AWS::SNS::Topic": ({"DisplayName": "a"}, {"DisplayName": "b"}, "False"),
    "AWS::KMS::Key": ({"Description": "a"}, {"Description": "b"}, "False"),
}


@pytest.mark.parametrize("kind", REPLACED)
def test_a_change_set_says_what_is_replaced(aws_account: Embedded, kind: str) -> None:
    before, after, replacement = REPLACED[kind]
    deploy(aws_account, "app", one(kind, **before))

    (change,) = change_set(aws_account, "app", one(kind, **after))["Changes"]

    assert change["ResourceChange"]["Replacement"] == replacement


def test_a_replaced_vpc_is_another_one_and_the_old_one_is_gone(aws_account: Embedded) -> None:
    template = {**one("AWS::EC2::VPC", CidrBlock="10.0.0.0/16")}
    template["Outputs"] = {"Block": {"Value": {"Fn::GetAtt": ["It", "CidrBlock"]}}}
    deploy(aws_account, "net", template)
    template["Resources"]["It"]["Properties"]["CidrBlock"] = "10.1.0.0/16"

    changed = outcome(aws_account, "net", template)
    vpcs = client(aws_account, "ec2").describe_vpcs(
        Filters=[{"Name": "tag:aws:cloudformation:stack-name", "Values": ["net"]}]
    )["Vpcs"]

    assert changed.outputs == {"Block": "10.1.0.0/16"}
    assert [vpc["CidrBlock"] for vpc in vpcs] == ["10.1.0.0/16"]


def test_an_update_tells_of_what_it_did_and_of_nothing_else(aws_account: Embedded) -> None:
    def parameter(value: str) -> dict[str, Any]:
        return resource("AWS::SSM::Parameter", Type="String", Value=value)

    before = {"Kept": parameter("a"), "Changed": parameter("a"), "Old": parameter("a")}
    after = {"Kept": parameter("a"), "Changed": parameter("b"), "New": parameter("a")}
    deploy(aws_account, "app", {"Resources": before})
    cloudformation = client(aws_account, "cloudformation")
    seen = len(cloudformation.describe_stack_events(StackName="app")["StackEvents"])

    deploy(aws_account, "app", {"Resources": after})
    events = cloudformation.describe_stack_events(StackName="app")["StackEvents"]
    told = [(event["LogicalResourceId"], event["ResourceStatus"]) for event in reversed(events)]

    assert told[seen:] == [
        ("app", "UPDATE_IN_PROGRESS"),
        ("Changed", "UPDATE_IN_PROGRESS"),
        ("Changed", "UPDATE_COMPLETE"),
        ("New", "CREATE_IN_PROGRESS"),
        ("New", "CREATE_COMPLETE"),
        ("app", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"),
        ("Old", "DELETE_IN_PROGRESS"),
        ("Old", "DELETE_COMPLETE"),
        ("app", "UPDATE_COMPLETE"),
    ]


def test_a_new_resource_that_fails_in_an_update_was_not_created(aws_account: Embedded) -> None:
    one_ = {"A": resource("AWS::SSM::Parameter", Type="String", Value="a")}
    two = {**one_, "B": resource("AWS::SSM::Parameter", Type="String", Value="b")}
    deploy(aws_account, "app", {"Resources": one_})
    fault = {"op": "create", "logical_id": "B", "message": "No more parameters today"}
    set_faults(aws_account, resources=[fault])

    changed = outcome(aws_account, "app", {"Resources": two})

    assert changed.status == "UPDATE_ROLLBACK_COMPLETE"
    assert changed.told[-2:] == (
        ("B", "CREATE_FAILED", "No more parameters today"),
        (
            "app",
            "UPDATE_ROLLBACK_IN_PROGRESS",
            "The following resource(s) failed to create: [B]. ",
        ),
    )


def test_a_call_can_be_throttled_and_comes_through_when_tried_again(
    aws_account: Embedded,
) -> None:
    throttled = {"service": "cloudformation", "action": "DescribeStacks", "times": 1}
    late = {"service": "sns", "action": "ListTopics", "status": 0, "delay": 0.1}
    set_faults(aws_account, requests=[throttled, late])
    began = time.monotonic()

    answer = client(aws_account, "cloudformation").describe_stacks()
    client(aws_account, "sns").list_topics()

    assert answer["ResponseMetadata"]["RetryAttempts"] == 1
    assert time.monotonic() - began >= 0.1
    assert faults_left(aws_account) == 0


FAULTY_CALLS = {
    "cloudformation": ("cloudformation", "ListStacks", "list_stacks", {}),
    "ec2": ("ec2", "DescribeVpcs", "describe_vpcs", {}),
    "ecs": ("ecs", "ListClusters", "list_clusters", {}),
    "efs": (
        "elasticfilesystem",
        "GET /2015-02-01/file-systems",
        "describe_file_systems",
        {},
    ),
    "s3": ("s3", "GET /some-bucket", "list_objects_v2", {"Bucket": "some-bucket"}),
}


@pytest.mark.parametrize("service", sorted(FAULTY_CALLS))
def test_a_fault_speaks_the_services_own_language(aws_account: Embedded, service: str) -> None:
    signed, action, method, parameters = FAULTY_CALLS[service]
    fault = {"service": signed, "action": action, "code": "AccessDenied", "message": "Not you"}
    set_faults(aws_account, requests=[fault])

    answer = refused(getattr(client(aws_account, service), method), **parameters)

    assert answer == ("AccessDenied", "Not you")


def test_faults_strike_in_their_own_account_only(aws_account: Embedded) -> None:
    set_faults(
        aws_account,
        requests=[{"service": "sns", "action": "ListTopics", "code": "AccessDenied"}],
    )
    neighbour = dataclasses.replace(aws_account, access_key="000000000001")

    assert client(neighbour, "sns").list_topics()["Topics"] == []
    assert faults_left(aws_account) == 1


def test_a_fault_that_is_not_understood_is_refused(aws_account: Embedded) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        set_faults(aws_account, requests=[{"colour": "red"}])

    with caught.value:
        assert caught.value.code == 400


def test_a_change_set_leaves_out_what_a_condition_keeps_out_of_the_stack(
    aws_account: Embedded,
) -> None:
    cloudformation = client(aws_account, "cloudformation")

    def written(value: str, wanted: str = "no") -> str:
        parameter = resource("AWS::SSM::Parameter", Type="String", Value=value)
        return json.dumps(
            {
                "Conditions": {"Wanted": {"Fn::Equals": [wanted, "yes"]}},
                "Resources": {"Always": parameter, "Maybe": {**parameter, "Condition": "Wanted"}},
            }
        )

    def listed(name: str, template: str) -> list[tuple[str, str]]:
        made = cloudformation.create_change_set(
            StackName="app", ChangeSetName=name, TemplateBody=template
        )
        found = cloudformation.describe_change_set(ChangeSetName=made["Id"])["Changes"]
        changes = [item["ResourceChange"] for item in found]
        return [(change["Action"], change["LogicalResourceId"]) for change in changes]

    deploy(aws_account, "app", json.loads(written("x")))

    assert listed("other", written("y")) == [("Modify", "Always")]
    assert listed("more", written("x", "yes")) == [("Add", "Maybe")]
