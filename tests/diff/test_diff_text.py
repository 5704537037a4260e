"""Changes as people read them: whole screens, literally."""

from __future__ import annotations

from typing import Any

import pytest

from tapgen import diff
from tapgen.cloud import Change
from tapgen.cloud import PropertyChange as ChangeDetail
from tapgen.diff import AfterApply, Mark, Side, findings
from tapgen.diff import text as diff_text
from tapgen.diff.access import AccessChange
from tapgen.diff.findings import Finding


def text(found: list[diff_text.Line]) -> str:
    return "\n".join(line.text for line in found) + "\n"


def made(kind: str, /, **properties: Any) -> dict[str, Any]:
    return {"Type": f"AWS::{kind}", "Properties": properties}


BEFORE = {
    "Parameters": {"Class": {"Type": "String", "Default": "small"}},
    "Resources": {
        "Database": {
            **made("RDS::DBInstance", DBName="one", DBInstanceClass={"Ref": "Class"}, MultiAZ=True),
            "UpdateReplacePolicy": "Snapshot",
        },
        "Reader": made(
            "SSM::Parameter", Name="/db", Value={"Fn::GetAtt": "Database.Endpoint.Address"}
        ),
        "Files": {**made("EFS::FileSystem", ThroughputMode="bursting"), "DeletionPolicy": "Retain"},
        "Old": made("SNS::Topic"),
    },
    "Outputs": {
        "Host": {
            "Value": {"Fn::GetAtt": "Database.Endpoint.Address"},
            "Export": {"Name": "tap-dev-Host"},
        }
    },
}
AFTER = {
    "Description": "Now with words",
    "Parameters": {"Class": {"Type": "String", "Default": "small"}},
    "Resources": {
        "Database": {
            **made("RDS::DBInstance", DBName="two", DBInstanceClass={"Ref": "Class"}, MultiAZ=True),
            "UpdateReplacePolicy": "Snapshot",
        },
        "Reader": BEFORE["Resources"]["Reader"],
        "Files": {**made("EFS::FileSystem", ThroughputMode="elastic"), "DeletionPolicy": "Delete"},
        "New": made("SQS::Queue"),
    },
    "Outputs": BEFORE["Outputs"],
}


def test_a_stack_is_told_from_its_resources_to_its_words() -> None:
    changes = diff.compare(
        "tap-dev-storage",
        Side(BEFORE, {"Class": "small"}, {"owner": "a"}, live={"Host": "db.example"}),
        Side(AFTER, {"Class": "large"}, {"owner": "b"}),
    )

    assert (
        text(diff_text.lines(changes))
        == """\
tap-dev-storage: 1 added, 1 replaced, 2 changed, 1 removed, 1 output, 1 export,
    1 parameter, 1 tag
  -/+ Database  AWS::RDS::DBInstance
      -/+ DBName: one -> two
          cannot be changed in place
      ~   DBInstanceClass: small -> large
      !   the old one leaves a snapshot
  ~   Reader  AWS::SSM::Parameter
      ~   Value:
            - ${Database.Endpoint.Address}
            + (known after apply: ${Database.Endpoint.Address})
  ~   Files  AWS::EFS::FileSystem
      ~   ThroughputMode: bursting -> elastic
      ~   DeletionPolicy: Retain -> Delete
  -   Old  AWS::SNS::Topic
  +   New  AWS::SQS::Queue
  ~   export tap-dev-Host:
        - db.example
        + (known after apply: ${Database.Endpoint.Address})
  ~   parameter Class: small -> large
  ~   tag owner: a -> b
  +   Description: Now with words
"""
    )


def test_a_sign_says_what_the_style_repeats() -> None:
    changes = diff.compare(
        "s",
        Side({"Resources": {"A": made("RDS::DBInstance", MultiAZ=True), "B": made("SNS::Topic")}}),
        Side({"Resources": {"A": made("RDS::DBInstance", MultiAZ=False), "C": made("SNS::Topic")}}),
    )

    styles = {line.text.split()[0]: line.style for line in diff_text.lines(changes)[1:]}

    assert styles == {
        "?": "maybe",
        "cannot": "maybe",
        "!": "remove",
        "-": "remove",
        "+": "add",
    }


def test_nothing_is_said_of_what_does_not_change() -> None:
    changes = diff.compare("s", Side(BEFORE), Side(BEFORE))

    assert diff_text.lines(changes) == [diff_text.Line("s: no changes", "head")]
    assert diff_text.finding_lines(()) == []
    assert diff_text.access_lines(()) == []


def test_a_new_stack_is_told_without_its_forms_and_words() -> None:
    changes = diff.compare("s", None, Side(BEFORE, {"Class": "small"}))

    assert (
        text(diff_text.lines(changes))
        == """\
s: 4 added, 1 output, 1 export, 1 parameter
  +   Database  AWS::RDS::DBInstance
  +   Reader  AWS::SSM::Parameter
  +   Files  AWS::EFS::FileSystem
  +   Old  AWS::SNS::Topic
  +   export tap-dev-Host: (known after apply: ${Database.Endpoint.Address})
  +   parameter Class: small
"""
    )


def test_a_long_text_is_told_line_by_line() -> None:
    script = [f"step {number}" for number in range(20)]
    other = [*script[:10], "another step", *script[11:]]
    sides = (
        Side({"Resources": {"Doc": made("SSM::Parameter", Value="\n".join(lines))}})
        for lines in (script, other)
    )

    changes = diff.compare("s", *sides)

    assert (
        text(diff_text.lines(changes))
        == """\
s: 1 changed
  ~   Doc  AWS::SSM::Parameter
      ~   Value:
            @@ -9,5 +9,5 @@
             step 8
             step 9
            -step 10
            +another step
             step 11
             step 12
"""
    )


def test_what_cannot_be_certain_is_asked() -> None:
    def side(tenancy: str) -> Side:
        return Side(
            {
                "Resources": {"Vpc": made("EC2::VPC", InstanceTenancy=tenancy)},
                "Outputs": {"Id": {"Value": {"Ref": "Vpc"}}},
                "Parameters": {"Pw": {"Type": "String", "NoEcho": True}},
            },
            {"Pw": "****"},
            live={"Id": "vpc-1"},
        )

    changes = diff.compare("s", side("default"), side("dedicated"))

    assert (
        text(diff_text.lines(changes))
        == """\
s: 1 maybe replaced, 1 output
  ?   Vpc  AWS::EC2::VPC
      ?   InstanceTenancy: default -> dedicated
          cannot always be changed in place
  ?   output Id (may stay): vpc-1 -> (known after apply: ${Vpc})
  ?   parameter Pw: hidden, so nobody can say whether it changes
"""
    )


def test_findings_have_a_sign_a_severity_and_an_id() -> None:
    found = [
        Finding("a-b", "destructive", "X", "X goes"),
        Finding("c-d", "broadening", "X", "X allows " + "s3:GetObject, " * 6 + "to all"),
        Finding("e-f", "info", "X", "X may stay"),
    ]

    assert (
        text(diff_text.finding_lines(found))
        == """\
  !!  destructive: X goes [a-b]
  !   broadening: X allows s3:GetObject, s3:GetObject, s3:GetObject,
      s3:GetObject, s3:GetObject, s3:GetObject, to all [c-d]
  i   info: X may stay [e-f]
"""
    )


def test_access_is_a_table_that_fits() -> None:
    rows = [
        (
            "Role",
            AccessChange("+", "Allow", ("s3:GetObject", "s3:PutObject"), (), ("${B.Arn}/*",), ()),
        ),
        (
            "Policy",
            AccessChange(
                "-", "Deny", ("s3:*",), ("*",), ("*",), ("aws:SecureTransport Bool false",)
            ),
        ),
        (
            "Role",
            AccessChange("-", "Allow", ("sts:AssumeRole",), ("Service:ecs.amazonaws.com",), (), ()),
        ),
    ]

    assert (
        text(diff_text.access_lines(rows))
        == """\
    Resource    Effect  Action          Principal            Condition
--  ----------  ------  --------------  -------------------  -------------------
+!  ${B.Arn}/*  Allow   s3:GetObject    ${Role}
                        s3:PutObject
-!  *           Deny    s3:*            *                    aws:SecureTransport
                                                             Bool false
-   ${Role}     Allow   sts:AssumeRole  Service:ecs.amazona
                                        ws.com
"""
    )


def test_a_table_without_conditions_has_no_column_for_them() -> None:
    rows = [("Role", AccessChange("+", "Allow", ("a:B",), (), ("*",), ()))]

    assert (
        text(diff_text.access_lines(rows))
        == """\
    Resource  Effect  Action  Principal
--  --------  ------  ------  ---------
+!  *         Allow   a:B     ${Role}
"""
    )


@pytest.mark.parametrize("width", [60, 80, 120])
def test_every_line_of_the_real_tiers_fits(
    documents: dict[str, dict[str, Any]], width: int
) -> None:
    for tier, document in documents.items():
        changes = diff.compare(
            f"tap-dev-{tier}",
            Side(document, {"EnvironmentSuffix": "dev"}),
            Side(document, {"EnvironmentSuffix": "other"}),
        )
        found = [
            *diff_text.lines(changes, width=width),
            *diff_text.finding_lines(findings.findings(changes), width=width),
            *diff_text.access_lines(findings.access_changes(changes), width=width),
        ]

        assert max((len(line.text) for line in found), default=0) <= width, tier


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("", '""'),
        (None, "null"),
        (True, "true"),
        (7, "7"),
        ({"a": ["ä", 1]}, '{"a": ["ä", 1]}'),
        (Mark.ABSENT, "(absent)"),
        (Mark.MASKED, "****"),
        (AfterApply("${A}"), "(known after apply: ${A})"),
        ("{{resolve:ssm:/a}}", "{{resolve:ssm:/a}}"),
    ],
)
def test_a_value_is_shown_as_it_is_written(value: Any, shown: str) -> None:
    assert diff_text.shown(value) == shown


def test_an_export_is_told_with_those_who_import_it_now() -> None:
    changes = diff.compare("tap-dev-storage", Side(BEFORE), Side({**AFTER, "Outputs": {}}))

    told = text(diff_text.lines(changes, importers={"tap-dev-Host": ("tap-dev-b", "tap-dev-a")}))

    assert (
        "  -   export tap-dev-Host: ${Database.Endpoint.Address}\n"
        "      imported by tap-dev-a, tap-dev-b\n"
    ) in told


def test_where_two_sources_disagree_both_are_told_below_the_resource() -> None:
    listed = [Change("Modify", "Old", "AWS::SNS::Topic", "False", scope=("Tags",))]
    before = {"Resources": {"Old": made("SNS::Topic", TopicName="a")}}
    after = {"Resources": {"Old": made("SNS::Topic", TopicName="b")}}

    told = text(diff_text.lines(diff.compare("x", Side(before), Side(after), listed=listed)))

    assert told == (
        "x: 1 replaced\n"
        "  -/+ Old  AWS::SNS::Topic\n"
        "      -/+ TopicName: a -> b\n"
        "          cannot be changed in place\n"
        "      ?   the change set says it is changed in place; the schemas say it is\n"
        "          replaced\n"
    )


def test_resources_that_only_get_the_stacks_tags_share_a_line() -> None:
    same = {"Resources": {"Old": made("SNS::Topic")}}
    listed = [
        Change("Modify", name, "AWS::SNS::Topic", "False", scope=("Tags",)) for name in ("A", "B")
    ]
    tagged = diff.compare("x", Side(same), Side(same, tags={"Team": "video"}), listed=listed)

    assert text(diff_text.lines(tagged)) == (
        "x: 2 changed, 1 tag\n  ~   the stack's tags alone: A, B\n  +   tag Team: video\n"
    )


def test_what_is_listed_for_what_it_refers_to_shares_a_line() -> None:
    same = {"Resources": {"Old": made("SNS::Topic")}}
    role = ChangeDetail("/Properties/Role", certain=False, because="Role.Arn")
    listed = [
        Change("Modify", name, "AWS::Lambda::Function", "False", details=(role,)) for name in "AB"
    ]
    changes = diff.compare("x", Side(same), Side(same), listed=listed)

    assert text(diff_text.lines(changes)) == (
        "x: 2 maybe changed\n"
        "  ?   listed, though nothing of it may change: A (it refers to Role.Arn), B (it\n"
        "      refers to Role.Arn)\n"
    )
