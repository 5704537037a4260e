"""CloudFormation's answer over the prediction: who gives way, who stands, what is told of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tapgen import diff
from tapgen.cloud import Change, ChangeSet, PropertyChange
from tapgen.diff import AfterApply, Mark, ResourceChange, Side, StackChanges, asked, findings, over

TOPIC, DATABASE, ODD = "AWS::SNS::Topic", "AWS::RDS::DBInstance", "Custom::Odd"


def template(**resources: Mapping[str, Any]) -> dict[str, Any]:
    return {"Resources": resources}


def resource(kind: str, *, policy: str = "", **properties: Any) -> dict[str, Any]:
    beside = {"DeletionPolicy": policy, "UpdateReplacePolicy": policy} if policy else {}
    return {"Type": kind, "Properties": properties, **beside}


def compared(
    before: Mapping[str, Any], after: Mapping[str, Any], *listed: Change, **parameters: str
) -> StackChanges:
    return diff.compare(
        "tap-dev-x", Side(before, parameters), Side(after, parameters), listed=listed
    )


def modify(name: str, kind: str, replacement: str, *details: PropertyChange, **more: Any) -> Change:
    return Change("Modify", name, kind, replacement, details=details, scope=("Properties",), **more)


def only(changes: StackChanges) -> ResourceChange:
    (found,) = changes.resources
    return found


A = template(T=resource(TOPIC, TopicName="a"))
B = template(T=resource(TOPIC, TopicName="b"))
NAME = PropertyChange("/Properties/TopicName", "a", "b", "Always")


def test_two_that_agree_have_nothing_to_doubt() -> None:
    change = only(compared(A, B, modify("T", TOPIC, "True", NAME, policy="ReplaceAndDelete")))

    assert (change.replacement, change.data, change.doubts) == ("yes", "deleted", ())
    assert [(p.path, p.before, p.after) for p in change.properties] == [("TopicName", "a", "b")]


@pytest.mark.parametrize(("said", "answer"), [("False", "no"), ("True", "yes")])
def test_a_prediction_that_does_not_know_gives_way(said: str, answer: str) -> None:
    before, after = template(O=resource(ODD, Size=1)), template(O=resource(ODD, Size=2))
    how = "Always" if said == "True" else "Never"
    size = PropertyChange("/Properties/Size", "1", "2", how)

    change = only(compared(before, after, modify("O", ODD, said, size)))

    assert (change.replacement, change.doubts) == (answer, ())
    assert [each.replacement for each in change.properties] == [answer]


def test_the_worse_of_two_that_are_sure_stands_and_both_are_told() -> None:
    in_place = PropertyChange("/Properties/TopicName", "a", "b", "Never")

    change = only(compared(A, B, modify("T", TOPIC, "False", in_place)))

    assert change.replacement == "yes"
    assert change.doubts == (
        "the change set says it is changed in place; the schemas say it is replaced",
    )


def test_a_replacement_that_no_schema_knows_stands() -> None:
    before, after = (template(T=resource(TOPIC, DisplayName=name)) for name in ("a", "b"))
    detail = PropertyChange("/Properties/DisplayName", "a", "b", "Always")

    change = only(compared(before, after, modify("T", TOPIC, "True", detail)))

    assert change.replacement == "yes"
    assert change.doubts == (
        "the change set says it is replaced; the schemas say it is changed in place",
    )


def test_a_replacement_that_waits_for_a_value_is_as_sure_as_the_templates_are() -> None:
    unknown = PropertyChange("/Properties/TopicName", "a", asked.UNKNOWN, "Always", certain=False)

    change = only(compared(A, B, modify("T", TOPIC, "Conditional", unknown)))

    assert (change.replacement, change.doubts) == ("yes", ())
    assert change.properties[0].after == "b"


def test_what_surely_differs_stays_though_no_change_set_lists_it() -> None:
    change = only(compared(A, B))

    assert change.replacement == "yes"
    assert change.doubts == ("the change set does not list it; the templates differ",)


def test_what_only_might_follow_is_dropped_when_it_is_not_listed() -> None:
    def both(size: int) -> dict[str, Any]:
        user = resource(TOPIC, TopicName={"Ref": "O"})
        return {
            **template(O=resource(ODD, Size=size), T=user),
            "Outputs": {"It": {"Value": {"Ref": "T"}, "Export": {"Name": "it"}}},
        }

    size = PropertyChange("/Properties/Size", "1", "2", "Never")

    unasked = diff.compare("tap-dev-x", Side(both(1)), Side(both(2)))
    changes = compared(both(1), both(2), modify("O", ODD, "False", size))

    assert [each.logical_id for each in unasked.resources] == ["O", "T"]
    assert [each.name for each in unasked.exports] == ["it"]
    assert [each.logical_id for each in changes.resources] == ["O"]
    assert changes.exports == ()


def test_what_only_the_change_set_knows_is_told_with_its_reason() -> None:
    listed = modify(
        "Q",
        "AWS::SQS::Queue",
        "True",
        PropertyChange("/Properties/Tags/0/Value", "x", "y", "Never"),
        PropertyChange("/Properties/QueueName", "q", "r", "Always", because="Name"),
        policy="ReplaceAndSnapshot",
    )

    change = only(compared(A, A, listed))

    assert (change.replacement, change.data) == ("yes", "snapshot")
    assert change.properties == (
        diff.PropertyChange("Tags[0].Value", "x", "y"),
        diff.PropertyChange("QueueName", "q", "r", "yes", "Name changes"),
    )


@pytest.mark.parametrize(
    ("change", "action", "replacement", "why"),
    [
        (Change("Add", "N", TOPIC), "add", "no", ""),
        (Change("Remove", "N", TOPIC, policy="Retain"), "remove", "no", ""),
        (
            Change("Import", "N", TOPIC),
            "add",
            "no",
            "it exists already, and is taken into the stack",
        ),
        (
            Change("Dynamic", "N", TOPIC),
            "modify",
            "maybe",
            "what happens to it is known only while it is carried out",
        ),
        (
            Change("SyncWithActual", "N", TOPIC),
            "modify",
            "no",
            "the change set says SyncWithActual",
        ),
        (Change("Modify", "N", TOPIC, "False", scope=("Tags",)), "modify", "no", over.TAGS),
        (
            Change("Modify", "N", TOPIC, "False", scope=("Metadata", "Tags")),
            "modify",
            "no",
            "its Metadata, Tags",
        ),
        (Change("Modify", "N", TOPIC, "False"), "modify", "no", "the change set does not say why"),
        (
            modify("N", TOPIC, "False", PropertyChange("/Properties/X", "same", "same")),
            "modify",
            "no",
            "the change set lists it, with the values that it has",
        ),
    ],
)
def test_every_kind_of_change_is_told(
    change: Change, action: str, replacement: str, why: str
) -> None:
    found = only(compared({}, {}, change))

    assert (found.action, found.replacement, found.why) == (action, replacement, why)
    assert found.properties == ()


def test_values_that_only_cloudformation_knows_are_filled_in() -> None:
    before = template(T=resource(TOPIC, DisplayName="a"))
    after = template(T=resource(TOPIC, DisplayName={"Fn::ImportValue": "name"}))
    told = PropertyChange("/Properties/DisplayName", "a", "the value", "Never")

    change = only(compared(before, after, modify("T", TOPIC, "False", told)))

    assert [(p.before, p.after) for p in change.properties] == [("a", "the value")]


def test_a_value_that_nobody_knows_yet_is_named_by_what_it_comes_from() -> None:
    told = PropertyChange("/Properties/DisplayName", "a", asked.UNKNOWN, because="Other.Arn")

    change = only(compared({}, {}, modify("T", TOPIC, "False", told)))

    assert [p.after for p in change.properties] == [AfterApply("Other.Arn", certain=False)]


def test_what_only_reads_an_attribute_again_is_listed_as_such() -> None:
    role = PropertyChange("/Properties/Role", certain=False, because="Role.Arn")

    change = only(compared({}, {}, modify("F", "AWS::Lambda::Function", "False", role)))

    assert (change.certain, change.properties, change.why) == (False, (), "it refers to Role.Arn")


def test_a_replacement_that_only_the_change_set_shows_is_a_finding_too() -> None:
    kept = template(D=resource(DATABASE, policy="Snapshot", DBName="x"))
    listed = modify("D", DATABASE, "True", PropertyChange("/Properties/Odd", "a", "b", "Always"))

    changes = compared(kept, kept, listed)

    assert only(changes).data == "snapshot"
    assert [each.id for each in findings.findings(changes)] == ["replaces-stateful"]


def test_what_may_be_replaced_for_an_attribute_that_is_read_again_is_told_whole() -> None:
    key = PropertyChange(
        "/Properties/KmsKeyId", recreates="Always", certain=False, because="Key.Arn"
    )

    change = only(compared({}, {}, modify("D", DATABASE, "Conditional", key)))

    assert (change.certain, change.replacement) == (True, "maybe")
    assert [(row.path, row.replacement, row.why) for row in change.properties] == [
        ("KmsKeyId", "maybe", "Key.Arn changes")
    ]


def test_a_value_that_was_left_out_is_not_made_up() -> None:
    (row,) = only(
        compared({}, {}, modify("T", TOPIC, "False", PropertyChange("/Properties/Policy")))
    ).properties

    assert (row.before, row.after) == (
        AfterApply("not told", certain=False),
        AfterApply("not told", certain=False),
    )


def test_what_comes_or_goes_in_a_change_set_is_absent_on_the_other_side() -> None:
    told = PropertyChange("/Properties/Attributes", after='{"A": [1]}')

    (row,) = only(compared({}, {}, modify("T", TOPIC, "False", told))).properties

    assert (row.before, row.after) == (Mark.ABSENT, {"A": [1]})


def test_no_secret_comes_in_with_a_change_set() -> None:
    document = {
        **template(D=resource(DATABASE, MasterUserPassword={"Ref": "Pin"}, Port="1")),
        "Parameters": {"Pin": {"Type": "String", "NoEcho": True}},
    }
    changes = compared(
        document,
        document,
        modify(
            "D",
            DATABASE,
            "False",
            PropertyChange("/Properties/MasterUserPassword", "old-pin", "new-pin"),
            PropertyChange("/Properties/Settings/AuthToken", "old-token", "new-token"),
        ),
        Pin="****",
    )

    text = json.dumps(diff.plain(changes))
    assert [row.after for row in only(changes).properties] == [Mark.MASKED, "****"]
    assert not any(word in text for word in ("old-pin", "new-pin", "old-token", "new-token"))


def test_the_fate_that_keeps_less_stands() -> None:
    before, after = (
        template(T=resource(TOPIC, policy="Retain", TopicName=name)) for name in ("a", "b")
    )

    change = only(
        compared(before, after, modify("T", TOPIC, "True", NAME, policy="ReplaceAndDelete"))
    )

    assert change.data == "deleted"
    assert change.doubts == ("the change set says the old one is deleted, the templates kept",)


def test_policies_are_the_templates_to_tell() -> None:
    before, after = (
        template(T=resource(TOPIC, policy=policy, TopicName="a")) for policy in ("Retain", "Delete")
    )

    change = only(compared(before, after))

    assert [row.path for row in change.attributes] == ["DeletionPolicy", "UpdateReplacePolicy"]
    assert change.doubts == ()


def test_tags_of_the_resources_own_are_its_properties() -> None:
    before, after = (
        template(T=resource(TOPIC, Tags=[{"Key": "Team", "Value": team}])) for team in ("a", "b")
    )
    # As the plain description has it: an attribute of its own, without a name or values.
    listed = Change(
        "Modify", "T", TOPIC, "False", scope=("Tags",), details=(PropertyChange("/Tags"),)
    )

    change = only(compared(before, after, listed))

    assert [(p.path, p.before, p.after) for p in change.properties] == [
        ("Tags[Team].Value", "a", "b")
    ]
    assert change.doubts == ()


def test_a_value_that_may_be_cut_off_is_not_called_the_same() -> None:
    long = PropertyChange("/Properties/Policy", "x" * 1024, "x" * 1024, "Never")

    assert [
        p.path for p in only(compared({}, {}, modify("T", TOPIC, "False", long))).properties
    ] == ["Policy"]


def test_a_listed_property_with_the_value_that_it_has_is_no_real_change() -> None:
    same = PropertyChange("/Properties/Value", "arn:a", "arn:a", "Never")
    other = PropertyChange("/Properties/Value", "arn:a", "arn:b", "Never")
    untold = PropertyChange("/Properties/Value")

    assert not asked.is_real(modify("U", "AWS::SSM::Parameter", "False", same))
    assert asked.is_real(modify("U", "AWS::SSM::Parameter", "False", other))
    assert asked.is_real(modify("U", "AWS::SSM::Parameter", "Conditional", same))
    assert asked.is_real(Change("Remove", "U", "AWS::SSM::Parameter"))
    # Nobody can tell: CloudFormation has the last word.
    assert not asked.is_real(modify("U", "AWS::SSM::Parameter", "False", untold))


# Two descriptions of one change set


def detail(path: str, **values: Any) -> PropertyChange:
    return PropertyChange(path, **values)


def described(*changes: Change) -> ChangeSet:
    return ChangeSet("arn:it", "CREATE_COMPLETE", changes=changes)


def test_changes_that_are_left_out_with_values_are_kept_without() -> None:
    first = Change("Modify", "A", "T", "False", details=(detail("/Properties/P"),))
    second = Change("Modify", "B", "T", "True")
    valued = Change("Modify", "B", "T", "True", details=(detail("/Properties/Q", after="1"),))

    assert asked.merged(described(first, second), described(valued)) == (first, valued)


def test_a_property_that_is_left_out_with_values_is_kept_without() -> None:
    plain = Change(
        "Modify", "A", "T", "True", details=(detail("/Properties/P"), detail("/Properties/Q"))
    )
    valued = Change(
        "Modify",
        "A",
        "T",
        "False",
        details=(detail("/Properties/P/0", before="1", after="2"),),
        after="{}",
    )

    (found,) = asked.merged(described(plain), described(valued))

    assert (found.replacement, found.after) == ("True", "{}")
    assert found.details == (
        detail("/Properties/P/0", before="1", after="2"),
        detail("/Properties/Q"),
    )
