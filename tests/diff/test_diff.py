"""The change between two states of a stack: small documents, one rule at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tapgen import diff
from tapgen.cloud import DeployedStack, Request
from tapgen.diff import AfterApply, Mark, Side, StackChanges
from tapgen.diff.changes import (
    ExportChange,
    OutputChange,
    ParameterChange,
    PropertyChange,
    ResourceChange,
    SectionChange,
    TagChange,
)
from tapgen.engine.plan import Wanted

ABSENT = Mark.ABSENT


def template(**resources: Mapping[str, Any]) -> dict[str, Any]:
    return {"Resources": {name: dict(resource) for name, resource in resources.items()}}


def resource(kind: str, /, **properties: Any) -> dict[str, Any]:
    return {"Type": f"AWS::{kind}", "Properties": properties}


def compare(before: Any, after: Any, **options: Any) -> StackChanges:
    """Documents or sides; ``options`` are the sides' own, for both."""
    one, other = (
        each if isinstance(each, Side) or each is None else Side(each, **options)
        for each in (before, after)
    )
    return diff.compare("tap-dev-x", one, other)


def only(changes: StackChanges) -> ResourceChange:
    (change,) = changes.resources
    return change


VPC = resource("EC2::VPC", CidrBlock="10.0.0.0/16")
SUBNET = resource("EC2::Subnet", VpcId={"Ref": "Vpc"}, CidrBlock="10.0.1.0/24")
ALIKE = template(Vpc=VPC, Subnet=SUBNET)


def test_a_document_does_not_differ_from_itself() -> None:
    changes = compare(ALIKE, ALIKE, tags={"a": "b"})

    assert changes.is_empty
    assert changes == StackChanges("tap-dev-x")
    assert changes.resource("Vpc") is None


def test_a_changed_property_is_told_before_and_after() -> None:
    after = template(Vpc=resource("EC2::VPC", CidrBlock="10.0.0.0/16", EnableDnsSupport=True))

    change = only(compare(template(Vpc=VPC), after))

    assert (change.logical_id, change.type, change.action) == ("Vpc", "AWS::EC2::VPC", "modify")
    assert change.replacement == "no"
    assert change.properties == (PropertyChange("EnableDnsSupport", ABSENT, True),)
    assert change.data is None


def test_a_create_only_property_replaces_its_resource_and_what_hangs_on_it() -> None:
    route_table = resource("EC2::RouteTable", VpcId={"Ref": "Vpc"})
    join = resource(
        "EC2::SubnetRouteTableAssociation",
        SubnetId={"Ref": "Subnet"},
        RouteTableId={"Ref": "Routes"},
    )
    aside = resource("Logs::LogGroup", LogGroupName="/x")
    before = template(Vpc=VPC, Subnet=SUBNET, Routes=route_table, Join=join, Aside=aside)
    after = {
        **before,
        "Resources": {**before["Resources"], "Vpc": resource("EC2::VPC", CidrBlock="10.9.0.0/16")},
    }

    changes = compare(before, after)

    assert [(each.logical_id, each.replacement) for each in changes.resources] == [
        ("Vpc", "yes"),
        ("Subnet", "yes"),
        ("Routes", "yes"),
        ("Join", "yes"),
    ]
    assert changes.resources[0].properties == (
        PropertyChange(
            "CidrBlock", "10.0.0.0/16", "10.9.0.0/16", "yes", "cannot be changed in place"
        ),
    )
    assert changes.resources[1].properties == (
        PropertyChange(
            "VpcId",
            "${Vpc}",
            AfterApply("${Vpc}"),
            "yes",
            "cannot be changed in place; Vpc is replaced",
        ),
    )
    assert changes.replaces() == changes.resources


def test_a_reference_to_a_resource_that_only_changes_in_place_stays() -> None:
    after = template(Vpc={**VPC, "Properties": {**VPC["Properties"], "Tags": []}}, Subnet=SUBNET)

    assert [each.logical_id for each in compare(ALIKE, after).resources] == ["Vpc"]


def test_what_may_be_replaced_makes_what_it_feeds_perhaps_replaced() -> None:
    before = template(
        Vpc=resource("EC2::VPC", CidrBlock="10.0.0.0/16", InstanceTenancy="default"), Subnet=SUBNET
    )
    after = template(
        Vpc=resource("EC2::VPC", CidrBlock="10.0.0.0/16", InstanceTenancy="dedicated"),
        Subnet=SUBNET,
    )

    vpc, subnet = compare(before, after).resources

    assert (vpc.replacement, subnet.replacement) == ("maybe", "maybe")
    assert subnet.properties[0].after == AfterApply("${Vpc}", certain=False)
    assert subnet.properties[0].why == "cannot be changed in place; Vpc may be replaced"
    assert compare(before, after).replaces() == ()
    assert compare(before, after).replaces(maybe=True) == (vpc, subnet)


def test_a_type_without_a_table_may_be_replaced() -> None:
    before, after = (
        template(Thing={"Type": "Custom::Thing", "Properties": {"Size": size}}) for size in (1, 2)
    )

    change = only(compare(before, after))

    assert change.properties == (PropertyChange("Size", 1, 2, "maybe", "no table knows this type"),)


def test_an_attribute_that_follows_a_property_may_change_without_replacement() -> None:
    def document(nodes: int) -> dict[str, Any]:
        cache = resource("ElastiCache::ReplicationGroup", NumCacheClusters=nodes)
        readers = {"Fn::GetAtt": ["Cache", "ReadEndPoint.Addresses"]}
        primary = {"Fn::GetAtt": ["Cache", "PrimaryEndPoint.Address"]}
        return template(
            Cache=cache,
            Readers=resource("SSM::Parameter", Name="/r", Value=readers),
            Primary=resource("SSM::Parameter", Name="/p", Value=primary),
        )

    cache, readers = compare(document(2), document(3)).resources

    assert (cache.logical_id, cache.replacement) == ("Cache", "no")
    assert readers.logical_id == "Readers"
    assert readers.properties[0].after == AfterApply(
        "${Cache.ReadEndPoint.Addresses}", certain=False
    )


def test_an_attribute_that_repeats_a_property_may_survive_a_replacement() -> None:
    def document(name: str) -> dict[str, Any]:
        outputs = {
            key: {"Value": {"Fn::GetAtt": ["Db", f"Endpoint.{key}"]}} for key in ("Port", "Address")
        }
        return {**template(Db=resource("RDS::DBInstance", DBName=name)), "Outputs": outputs}

    changes = compare(document("a"), document("b"))

    assert [(each.key, each.certain) for each in changes.outputs] == [
        ("Port", False),
        ("Address", True),
    ]


def test_a_renamed_logical_id_is_one_removed_and_one_added() -> None:
    after = template(
        Network=VPC,
        Subnet=resource("EC2::Subnet", VpcId={"Ref": "Network"}, CidrBlock="10.0.1.0/24"),
    )

    changes = compare(ALIKE, after)

    assert [(each.logical_id, each.action) for each in changes.resources] == [
        ("Vpc", "remove"),
        ("Subnet", "modify"),
        ("Network", "add"),
    ]
    assert changes.resources[1].properties == (
        PropertyChange(
            "VpcId", "${Vpc}", "${Network}", "yes", "cannot be changed in place; Network is new"
        ),
    )
    assert changes.removes() == (changes.resource("Vpc"),)


def test_another_type_under_one_logical_id_is_a_replacement_that_is_refused() -> None:
    change = only(compare(template(X=resource("SNS::Topic")), template(X=resource("SQS::Queue"))))

    assert (change.action, change.replacement) == ("modify", "yes")
    assert change.why == "its type was AWS::SNS::Topic; CloudFormation refuses that"


def test_parameters_and_subs_are_put_in_before_comparing() -> None:
    document = {
        "Parameters": {"Name": {"Type": "String", "Default": "a"}},
        **template(Group=resource("Logs::LogGroup", LogGroupName={"Fn::Sub": "/x/${Name}"})),
    }

    changes = compare(Side(document), Side(document, {"Name": "b"}))

    assert changes.parameters == (ParameterChange("Name", "a", "b"),)
    assert only(changes).properties == (
        PropertyChange("LogGroupName", "/x/a", "/x/b", "yes", "cannot be changed in place"),
    )


def test_a_list_parameter_is_the_list_it_stands_for() -> None:
    before = template(Group=resource("RDS::DBSubnetGroup", SubnetIds=["a", "b"]))
    after = {
        "Parameters": {"Ids": {"Type": "CommaDelimitedList"}},
        **template(Group=resource("RDS::DBSubnetGroup", SubnetIds={"Ref": "Ids"})),
    }

    same, other = (
        compare(before, Side(after, {"Ids": "a, b"})),
        compare(before, Side(after, {"Ids": "a,c"})),
    )

    assert same.resources == ()
    assert only(other).properties == (PropertyChange("SubnetIds[1]", "b", "c"),)


def test_another_spelling_of_the_same_value_is_no_change() -> None:
    before = template(Group=resource("Logs::LogGroup", LogGroupName="/x/dev", RetentionInDays="7"))
    after = {
        "Parameters": {"Env": {"Type": "String", "Default": "dev"}},
        **template(
            Group=resource(
                "Logs::LogGroup",
                LogGroupName={"Fn::Join": ["/", ["", "x", {"Ref": "Env"}]]},
                RetentionInDays=7,
            )
        ),
    }

    assert compare(before, after).resources == ()


def test_the_account_and_the_stacks_name_are_handed_over() -> None:
    arn = {"Fn::Sub": "arn:aws:iam::${AWS::AccountId}:role/${AWS::StackName}"}
    before = template(
        X=resource("SSM::Parameter", Value="arn:aws:iam::999999999999:role/tap-dev-x")
    )
    after = template(X=resource("SSM::Parameter", Value=arn))

    changes = diff.compare("tap-dev-x", Side(before), Side(after), account="999999999999")

    assert changes.is_empty


@pytest.mark.parametrize(
    ("was", "now", "action", "why"),
    [
        ("no", "yes", "add", "condition IsOn was false"),
        ("yes", "no", "remove", "condition IsOn is false now"),
    ],
)
def test_a_condition_decides_whether_a_resource_exists(
    was: str, now: str, action: str, why: str
) -> None:
    document = {
        "Parameters": {"On": {"Type": "String"}},
        "Conditions": {"IsOn": {"Fn::Equals": [{"Ref": "On"}, "yes"]}},
        **template(Topic={**resource("SNS::Topic"), "Condition": "IsOn"}),
        "Outputs": {"Arn": {"Condition": "IsOn", "Value": {"Ref": "Topic"}}},
    }

    changes = compare(Side(document, {"On": was}), Side(document, {"On": now}))

    assert (only(changes).action, only(changes).why) == (action, why)
    assert [each.action for each in changes.outputs] == [
        {"add": "appears", "remove": "vanishes"}[action]
    ]


@pytest.mark.parametrize(
    ("policies", "fate"),
    [
        ({}, "deleted"),
        ({"DeletionPolicy": "Retain"}, "kept"),
        ({"DeletionPolicy": "RetainExceptOnCreate"}, "kept"),
        ({"DeletionPolicy": "Snapshot"}, "snapshot"),
        ({"DeletionPolicy": "Delete", "UpdateReplacePolicy": "Retain"}, "deleted"),
    ],
)
def test_the_deployed_deletion_policy_says_what_becomes_of_a_removed_resource(
    policies: dict[str, str], fate: str
) -> None:
    change = only(compare(template(Vpc={**VPC, **policies}), template()))

    assert (change.action, change.data) == ("remove", fate)


def test_a_database_that_states_nothing_leaves_a_snapshot_unless_it_is_in_a_cluster() -> None:
    alone = template(Db=resource("RDS::DBInstance"))
    member = template(Db=resource("RDS::DBInstance", DBClusterIdentifier="c"))

    assert only(compare(alone, template())).data == "snapshot"
    assert only(compare(member, template())).data == "deleted"


def test_of_a_replaced_resource_the_policy_that_keeps_less_is_told() -> None:
    def database(name: str, policy: str) -> dict[str, Any]:
        return template(
            Db={**resource("RDS::DBInstance", DBName=name), "UpdateReplacePolicy": policy}
        )

    assert only(compare(database("a", "Snapshot"), database("b", "Retain"))).data == "snapshot"
    assert only(compare(database("a", "Snapshot"), database("b", "Delete"))).data == "deleted"
    assert only(compare(database("a", "Snapshot"), database("b", "Snapshot"))).data == "snapshot"


def test_a_changed_policy_alone_is_a_change_of_the_resource() -> None:
    after = template(Vpc={**VPC, "DeletionPolicy": "Retain"})

    change = only(compare(template(Vpc=VPC), after))

    assert (change.properties, change.replacement) == ((), "no")
    assert change.attributes == (PropertyChange("DeletionPolicy", ABSENT, "Retain"),)


def test_dependencies_have_no_order() -> None:
    one = template(Vpc={**VPC, "DependsOn": ["A", "B"]}, Sub={**SUBNET, "DependsOn": "A"})
    other = template(Vpc={**VPC, "DependsOn": ["B", "A"]}, Sub={**SUBNET, "DependsOn": ["A"]})

    assert compare(one, other).is_empty


# --- exports and imports


def exporting(value: Any, name: Any = "tap-dev-Id") -> dict[str, Any]:
    return {
        **template(Vpc=VPC, Other=resource("EC2::VPC", CidrBlock="10.5.0.0/16")),
        "Outputs": {"Id": {"Value": value, "Export": {"Name": name}}},
    }


def test_an_export_of_what_is_replaced_changes_from_its_live_value() -> None:
    before = exporting({"Ref": "Vpc"})
    after = {
        **before,
        "Resources": {**before["Resources"], "Vpc": resource("EC2::VPC", CidrBlock="10.9.0.0/16")},
    }

    changes = compare(Side(before, live={"Id": "vpc-1"}), Side(after))

    unknown = AfterApply("${Vpc}")
    assert changes.outputs == (OutputChange("Id", "changes", "vpc-1", unknown),)
    assert changes.exports == (ExportChange("tap-dev-Id", "Id", "changes", "vpc-1", unknown),)
    assert diff.exported({"tap-dev-Id": "vpc-1"}, changes) == {"tap-dev-Id": unknown}


def test_an_export_replaced_by_its_own_literal_value_does_not_change() -> None:
    before = Side(exporting({"Ref": "Vpc"}), live={"Id": "vpc-1"})

    assert compare(before, exporting("vpc-1")).exports == ()
    assert compare(before, exporting("vpc-2")).exports == (
        ExportChange("tap-dev-Id", "Id", "changes", "vpc-1", "vpc-2"),
    )


@pytest.mark.parametrize(
    ("value", "certain"),
    [({"Ref": "Other"}, True), ({"Fn::GetAtt": ["Vpc", "VpcId"]}, False)],
    ids=["another resource", "another attribute"],
)
def test_an_export_of_something_else_changes_as_certainly_as_the_two_differ(
    value: Any, certain: bool
) -> None:
    (change,) = compare(
        Side(exporting({"Ref": "Vpc"}), live={"Id": "vpc-1"}), exporting(value)
    ).exports

    assert (change.action, change.certain) == ("changes", certain)


def test_a_value_that_aws_told_of_one_output_holds_for_another() -> None:
    before = {**exporting({"Ref": "Vpc"}), "Outputs": {"Id": {"Value": {"Ref": "Vpc"}}}}
    after = {
        **before,
        "Outputs": {
            **before["Outputs"],
            "Again": {"Value": {"Fn::Sub": "${Vpc}"}, "Export": {"Name": "n"}},
        },
    }

    changes = compare(Side(before, live={"Id": "vpc-1"}), Side(after))

    assert changes.exports == (ExportChange("n", "Again", "appears", ABSENT, "vpc-1"),)


def test_a_renamed_export_vanishes_and_appears() -> None:
    changes = compare(
        Side(exporting("v"), live={"Id": "v"}), exporting("v", {"Fn::Sub": "${AWS::StackName}-Id"})
    )

    assert changes.outputs == ()
    assert changes.exports == (
        ExportChange("tap-dev-Id", "Id", "vanishes", "v", ABSENT),
        ExportChange("tap-dev-x-Id", "Id", "appears", ABSENT, "v"),
    )
    assert diff.exported({"tap-dev-Id": "v", "z": "9"}, changes) == {"tap-dev-x-Id": "v", "z": "9"}


IMPORTING = template(
    Subnet=resource("EC2::Subnet", VpcId={"Fn::ImportValue": "tap-dev-Id"}, CidrBlock="10.0.1.0/24")
)


def test_an_import_given_as_its_literal_value_is_no_change() -> None:
    literal = template(Subnet=resource("EC2::Subnet", VpcId="vpc-1", CidrBlock="10.0.1.0/24"))
    live = {"tap-dev-Id": "vpc-1"}

    assert compare(IMPORTING, literal, imports=live).is_empty
    assert only(compare(IMPORTING, literal, imports={"tap-dev-Id": "vpc-2"})).replacement == "yes"


@pytest.mark.parametrize(("certain", "answer"), [(True, "yes"), (False, "maybe")])
def test_an_import_that_a_stack_before_changes_replaces_what_it_feeds(
    certain: bool, answer: str
) -> None:
    coming = AfterApply("${Vpc}", certain)

    changes = compare(
        Side(IMPORTING, imports={"tap-dev-Id": "vpc-1"}),
        Side(IMPORTING, imports={"tap-dev-Id": coming}),
    )

    (place,) = only(changes).properties
    assert only(changes).replacement == answer
    assert (place.before, place.after) == ("vpc-1", "${import tap-dev-Id}")
    assert place.why.startswith("cannot be changed in place; tap-dev-Id ")


def test_an_import_that_nobody_knows_stays_the_same_import() -> None:
    assert compare(IMPORTING, IMPORTING).is_empty


# --- what must not be shown

HIDDEN = {
    "Parameters": {"Password": {"Type": "String", "NoEcho": "true", "Default": "default-pw"}},
    **template(
        Db=resource("RDS::DBInstance", MasterUserPassword={"Ref": "Password"}),
        Url=resource("SSM::Parameter", Value={"Fn::Sub": "pg://u:${Password}@h"}),
    ),
    "Outputs": {"Url": {"Value": {"Fn::Sub": "pg://u:${Password}@h"}}},
}


def test_a_hidden_parameter_is_masked_and_so_is_what_comes_of_it() -> None:
    changes = compare(
        Side(HIDDEN, {"Password": "old-pw"}, live={"Url": "pg://u:old-pw@h"}),
        Side(HIDDEN, {"Password": "new-pw"}),
    )

    masked = Mark.MASKED
    assert changes.parameters == (ParameterChange("Password", masked, masked),)
    assert [each.properties for each in changes.resources] == [
        (PropertyChange("MasterUserPassword", masked, masked),),
        (PropertyChange("Value", masked, masked),),
    ]
    assert changes.outputs == (OutputChange("Url", "changes", masked, masked),)
    for secret in ("old-pw", "new-pw", "default-pw"):
        assert secret not in json.dumps(diff.plain(changes))


def test_a_hidden_value_that_aws_does_not_tell_is_said_to_be_unseen() -> None:
    changes = compare(Side(HIDDEN, {"Password": "****"}), Side(HIDDEN, {"Password": "new-pw"}))

    assert changes.unseen == ("Password",)
    assert changes.is_empty
    assert "new-pw" not in repr(changes)


def test_a_condition_on_an_unseen_value_is_taken_for_unchanged() -> None:
    document = {
        **HIDDEN,
        "Conditions": {"Is": {"Fn::Equals": [{"Ref": "Password"}, "new-pw"]}},
        **template(Topic={**resource("SNS::Topic"), "Condition": "Is"}),
    }

    changes = compare(Side(document, {"Password": "****"}), Side(document, {"Password": "new-pw"}))

    assert changes.resources == ()


def test_the_default_of_a_hidden_parameter_is_not_shown() -> None:
    for before, after in (
        (template(), HIDDEN),
        (
            HIDDEN,
            {
                **HIDDEN,
                "Parameters": {
                    "Password": {**HIDDEN["Parameters"]["Password"], "Default": "other-pw"}
                },
            },
        ),
    ):
        shown = json.dumps(diff.plain(compare(before, after)))

        assert "Parameters.Password" in shown
        assert "default-pw" not in shown
        assert "other-pw" not in shown


def test_a_literal_secret_is_masked_and_a_dynamic_reference_shown() -> None:
    before = template(Db=resource("RDS::DBInstance", MasterUserPassword="swordfish"))
    reference = "{{resolve:secretsmanager:db:SecretString:password}}"
    after = template(Db=resource("RDS::DBInstance", MasterUserPassword=reference))

    (place,) = only(compare(before, after)).properties

    assert (place.before, place.after) == ("****", reference)


def test_a_parameter_that_aws_looks_up_changes_what_refers_to_it() -> None:
    document = {
        "Parameters": {"Image": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/a"}},
        **template(Topic=resource("SNS::Topic", DisplayName={"Ref": "Image"})),
    }

    changes = compare(Side(document), Side(document, {"Image": "/b"}))

    assert only(changes).properties == (
        PropertyChange("DisplayName", "${Image}", AfterApply("${Image}")),
    )


# --- the rest of a template


def test_only_a_tag() -> None:
    changes = compare(
        Side(ALIKE, tags={"a": "1", "b": "2"}), Side(ALIKE, tags={"a": "3", "c": "4"})
    )

    assert changes.tags == (
        TagChange("a", "1", "3"),
        TagChange("b", "2", ABSENT),
        TagChange("c", ABSENT, "4"),
    )
    assert (changes.resources, changes.is_empty) == ((), False)


def test_only_an_output() -> None:
    after = {**ALIKE, "Outputs": {"Id": {"Value": {"Ref": "Vpc"}}}}

    changes = compare(ALIKE, after)

    assert changes.outputs == (OutputChange("Id", "appears", ABSENT, AfterApply("${Vpc}")),)
    assert (changes.resources, changes.exports, changes.is_empty) == ((), (), False)


def test_only_the_words_around() -> None:
    before = {
        **ALIKE,
        "Description": "a",
        "Conditions": {"C": {"Fn::Equals": ["a", "b"]}},
        "Mappings": {"M": {"x": {"y": 1}}},
        "Outputs": {"Id": {"Value": "1", "Description": "a"}},
    }
    after = {
        **ALIKE,
        "Description": "b",
        "Conditions": {"C": {"Fn::Equals": ["a", "c"]}},
        "Mappings": {"M": {"x": {"y": 2}}},
        "Metadata": {"k": "v"},
        "Outputs": {"Id": {"Value": "1", "Description": "b"}},
    }

    changes = compare(before, after)

    assert changes.sections == (
        SectionChange("Description", "a", "b"),
        SectionChange("Mappings.M.x.y", 1, 2),
        SectionChange("Conditions.C", '${Equals ["a", "b"]}', '${Equals ["a", "c"]}'),
        SectionChange("Metadata.k", ABSENT, "v"),
        SectionChange("Outputs.Id.Description", "a", "b"),
    )
    assert changes.resources == ()


def test_the_digest_is_told_apart() -> None:
    def document(digest: str) -> dict[str, Any]:
        return {
            **ALIKE,
            "Outputs": {"TemplateDigest": {"Value": digest}},
        }

    changes = compare(document("1"), document("2"))

    assert changes.digest == ("1", "2")
    assert (changes.sections, changes.outputs, changes.is_empty) == ((), (), False)


def test_a_stack_that_is_not_there_is_all_new_and_one_that_goes_all_gone() -> None:
    made, gone = compare(None, ALIKE), compare(ALIKE, None)

    assert [(each.logical_id, each.action) for each in made.resources] == [
        ("Vpc", "add"),
        ("Subnet", "add"),
    ]
    assert [(each.logical_id, each.action) for each in gone.resources] == [
        ("Vpc", "remove"),
        ("Subnet", "remove"),
    ]
    assert not compare(None, {}).is_empty


def test_the_sides_are_made_of_what_the_engine_holds() -> None:
    stack = DeployedStack(
        "id",
        "tap-dev-x",
        "CREATE_COMPLETE",
        parameters={"P": "1"},
        outputs={"O": "2"},
        tags={"t": "3"},
    )
    wanted = Wanted("x", ALIKE, Request("tap-dev-x", str, {"P": "4"}, {"t": "5"}, ()))

    before = diff.deployed_side(stack, ALIKE, {"e": "6"})
    after = diff.wanted_side(wanted, {"e": "7"})

    assert before == Side(ALIKE, {"P": "1"}, {"t": "3"}, {"e": "6"}, {"O": "2"})
    assert after == Side(ALIKE, {"P": "4"}, {"t": "5"}, {"e": "7"})


def test_changes_are_data_for_json_without_the_whole_resources() -> None:
    after = template(Vpc=resource("EC2::VPC", CidrBlock="10.9.0.0/16"), Subnet=SUBNET)

    data = json.loads(json.dumps(diff.plain(compare(ALIKE, after))))

    assert data["resources"][1]["properties"] == [
        {
            "path": "VpcId",
            "before": "${Vpc}",
            "after": {"after_apply": "${Vpc}", "certain": True},
            "replacement": "yes",
            "why": "cannot be changed in place; Vpc is replaced",
        }
    ]
    assert set(data["resources"][0]) == {
        "logical_id",
        "type",
        "action",
        "replacement",
        "properties",
        "attributes",
        "data",
        "why",
        "doubts",
        "certain",
    }
    assert diff.plain(ABSENT) == {"mark": "absent"}
