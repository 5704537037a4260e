"""Values in one spelling, and two of them compared down to where they differ."""

from __future__ import annotations

from typing import Any

import pytest

from tapgen.diff import leaves, secrets, values
from tapgen.diff.replaced import Answer
from tapgen.diff.values import Mark, Reference, Scope

DOCUMENT: dict[str, Any] = {
    "Parameters": {
        "Env": {"Type": "String", "Default": "dev"},
        "Size": {"Type": "Number", "Default": 3},
        "Password": {"Type": "String", "NoEcho": True, "Default": "swordfish"},
        "Image": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/images/web"},
    },
    "Conditions": {
        "IsDev": {"Fn::Equals": [{"Ref": "Env"}, "dev"]},
        "HasPassword": {"Fn::Equals": [{"Ref": "Password"}, "swordfish"]},
        "IsImage": {"Fn::Equals": [{"Ref": "Image"}, "ami-1"]},
    },
}
SCOPE = Scope.of(DOCUMENT, {}, {"tap-dev-VpcId": "vpc-1"})
ARN = {"Fn::GetAtt": "Table.Arn"}


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (7, 7),
        ({"Ref": "Env"}, "dev"),
        ({"Ref": "Table"}, {"Ref": "Table"}),
        ({"Fn::GetAtt": ["Table", "Arn"]}, ARN),
        ({"Fn::GetAtt": "Table.Arn"}, ARN),
        ({"Fn::Sub": "${Table.Arn}"}, ARN),
        ({"Fn::Sub": "a-${Env}"}, "a-dev"),
        ({"Fn::Sub": "${Env}/${Table.Arn}/*"}, {"Fn::Join": ["", ["dev/", ARN, "/*"]]}),
        ({"Fn::Join": ["/", [{"Ref": "Env"}, ARN, "*"]]}, {"Fn::Join": ["", ["dev/", ARN, "/*"]]}),
        (
            {"Fn::Join": ["-", ["a", {"Fn::Sub": "${T}-b"}]]},
            {"Fn::Join": ["", ["a-", {"Ref": "T"}, "-b"]]},
        ),
        ({"Fn::Sub": ["${x}-${Env}", {"x": ARN}]}, {"Fn::Join": ["", [ARN, "-dev"]]}),
        ({"Fn::Sub": ["${x}-${Env}", {"x": 5}]}, "5-dev"),
        ({"Fn::Sub": "${!Literal} ${T}"}, {"Fn::Join": ["", ["${Literal} ", {"Ref": "T"}]]}),
        ({"Fn::Sub": "${T} ${} ${open"}, {"Fn::Join": ["", [{"Ref": "T"}, " ${} ${open"]]}),
        ({"Fn::ImportValue": {"Fn::Sub": "tap-${Env}-VpcId"}}, "vpc-1"),
        (
            {"Fn::ImportValue": {"Fn::Sub": "tap-${Env}-Other"}},
            {"Fn::ImportValue": "tap-dev-Other"},
        ),
        ({"Fn::If": ["IsDev", "yes", "no"]}, "yes"),
        ({"Fn::If": ["HasPassword", "yes", "no"]}, "yes"),
        ({"Fn::If": ["IsImage", {"Ref": "Env"}, "no"]}, {"Fn::If": ["IsImage", "dev", "no"]}),
        ({"Fn::Select": [1, ["a", {"Ref": "T"}]]}, {"Ref": "T"}),
        (
            {"Fn::Select": [0, {"Fn::GetAZs": {"Ref": "AWS::Region"}}]},
            {"Fn::Select": [0, {"Fn::GetAZs": "ap-northeast-1"}]},
        ),
        ({"a": {"Ref": "AWS::NoValue"}, "b": [{"Ref": "AWS::NoValue"}, 1]}, {"b": [1]}),
        ({"a": {"Fn::If": ["IsDev", {"Ref": "AWS::NoValue"}, 1]}}, {}),
        # A hidden parameter and one that AWS looks up stay names.
        ({"Ref": "Password"}, {"Ref": "Password"}),
        ({"Fn::Sub": "pw=${Password}"}, {"Fn::Join": ["", ["pw=", {"Ref": "Password"}]]}),
        ({"Ref": "Image"}, {"Ref": "Image"}),
        ("{{resolve:ssm:/a:1}}", "{{resolve:ssm:/a:1}}"),
        # Malformed functions stay as they are instead of raising.
        ({"Fn::Sub": 5}, {"Fn::Sub": 5}),
        ({"Fn::Join": "x"}, {"Fn::Join": "x"}),
        ({"Fn::Select": "x"}, {"Fn::Select": "x"}),
        ({"Fn::GetAtt": ["A", {"Ref": "T"}]}, {"Fn::GetAtt": ["A", {"Ref": "T"}]}),
    ],
)
def test_what_is_known_is_put_in_and_the_rest_has_one_spelling(node: Any, expected: Any) -> None:
    assert values.normal(node, SCOPE) == expected


@pytest.mark.parametrize(
    ("node", "text"),
    [
        ({"Ref": "Table"}, "${Table}"),
        ({"Fn::Join": ["", ["a/", ARN]]}, "a/${Table.Arn}"),
        ({"Fn::ImportValue": "tap-dev-X"}, "${import tap-dev-X}"),
        ({"Fn::GetAZs": "r"}, '${GetAZs "r"}'),
        ([{"Ref": "Table"}, {"a": ARN}], ["${Table}", {"a": "${Table.Arn}"}]),
        (True, True),
    ],
)
def test_what_aws_knows_is_readable(node: Any, text: Any) -> None:
    assert values.readable(node) == text


def test_references_are_found_wherever_they_stand() -> None:
    node = {"a": [{"Ref": "A"}, {"Fn::Join": ["", ["x", ARN, {"Fn::ImportValue": "n"}]]}]}

    found = list(values.references(node))

    assert found == [
        Reference("local", "A"),
        Reference("local", "Table", "Arn"),
        Reference("import", "n"),
    ]


def still(reference: Reference) -> Answer:
    return "no"


def compared(before: Any, after: Any) -> dict[str, tuple[Any, Any]]:
    return {
        leaves.path_text(leaf.path): (leaf.before, leaf.after)
        for leaf in leaves.differences(before, after, still, ("P",))
    }


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (5, "5", {}),
        (True, "true", {}),
        (None, "null", {"P": (None, "null")}),
        ({"a": 1}, {"a": 2}, {"P.a": (1, 2)}),
        ({"a": 1}, {}, {"P.a": (1, Mark.ABSENT)}),
        ({}, {"a": {"b": 1}}, {"P.a": (Mark.ABSENT, {"b": 1})}),
        ({"rds.ssl": 1}, {"rds.ssl": 0}, {"P['rds.ssl']": (1, 0)}),
        ({"a": 1}, [1], {"P": ({"a": 1}, [1])}),
        # Tags are a mapping in other clothes.
        (
            [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}],
            [{"Key": "b", "Value": "3"}, {"Key": "a", "Value": "1"}],
            {"P[b].Value": ("2", "3")},
        ),
        (
            [{"Key": "a", "Value": "1"}],
            [{"Key": "c", "Value": "1"}],
            {
                "P[a]": ({"Key": "a", "Value": "1"}, Mark.ABSENT),
                "P[c]": (Mark.ABSENT, {"Key": "c", "Value": "1"}),
            },
        ),
        # The order of other named things is part of the value.
        (
            [{"Sid": "a", "Effect": "Allow"}, {"Sid": "b", "Effect": "Deny"}],
            [{"Sid": "b", "Effect": "Deny"}, {"Sid": "a", "Effect": "Allow"}],
            {"P (order)": (["a", "b"], ["b", "a"])},
        ),
        (["a", "b"], ["a", "b", "c"], {"P[2]": (Mark.ABSENT, "c")}),
        (["a", "b", "c"], ["b", "c"], {"P[0]": ("a", Mark.ABSENT)}),
        (["a", "b"], ["a", "c"], {"P[1]": ("b", "c")}),
        (["a", "b"], ["b", "a"], {"P (order)": (["a", "b"], ["b", "a"])}),
        ([{"x": 1}, {"x": 2}], [{"x": 1}, {"x": 3}], {"P[1].x": (2, 3)}),
        # Two of a name are no names.
        (
            [{"Key": "a"}, {"Key": "a"}],
            [{"Key": "a"}],
            {"P[1]": ({"Key": "a"}, Mark.ABSENT)},
        ),
        # JSON in a string is data, with what AWS knows inside it.
        ('{"a": {"b": 1}}', '{"a": {"b": 2}}', {"P.a.b": (1, 2)}),
        (
            {"Fn::Join": ["", ['{"r": "', ARN, '", "n": 1}']]},
            {"Fn::Join": ["", ['{"n": 2, "r": "', ARN, '"}']]},
            {"P.n": (1, 2)},
        ),
        (
            '{"r": "x"}',
            {"Fn::Join": ["", ['{"r": "', ARN, '/*"}']]},
            {"P.r": ("x", {"Fn::Join": ["", [ARN, "/*"]]})},
        ),
        # CloudFormation sees another string, so it is told.
        ('{"a":1}', '{"a": 1}', {"P (layout)": ('{"a":1}', '{"a": 1}')}),
        ("{not json", "{nor this", {"P": ("{not json", "{nor this")}),
        (
            {"Fn::Join": ["", ['{"n": ', ARN, "}"]]},
            '{"n": 1}',
            {"P": ({"Fn::Join": ["", ['{"n": ', ARN, "}"]]}, '{"n": 1}')},
        ),
    ],
)
def test_values_are_compared_as_the_data_they_are(
    before: Any, after: Any, expected: dict[str, tuple[Any, Any]]
) -> None:
    assert compared(before, after) == expected


@pytest.mark.parametrize(
    ("before", "after", "sure"),
    [
        ("a", "b", "yes"),
        # The value behind a new reference may be the old value.
        ("vpc-1", {"Ref": "Vpc"}, "maybe"),
        ({"Ref": "Vpc"}, "vpc-1", "maybe"),
        ({"Ref": "Vpc"}, {"Fn::GetAtt": "Vpc.VpcId"}, "maybe"),
        ({"Ref": "Vpc"}, {"Ref": "Other"}, "yes"),
        ("vpc-1", {"Ref": "New"}, "yes"),
        ({"Fn::Join": ["", ["a", ARN]]}, {"Fn::Join": ["", ["b", ARN]]}, "yes"),
    ],
)
def test_another_spelling_is_another_value_only_where_that_is_certain(
    before: Any, after: Any, sure: Answer
) -> None:
    def moved(reference: Reference) -> Answer:
        return "yes" if reference.name == "New" else "no"

    (leaf,) = leaves.differences(before, after, moved)

    assert leaf.sure == sure


def test_what_is_spelled_alike_differs_where_a_reference_moves() -> None:
    def moved(reference: Reference) -> Answer:
        return "maybe" if reference.name == "Table" else "no"

    node = {"Fn::Join": ["", ['{"r": "', ARN, '", "s": "', {"Ref": "Other"}, '"}']]}

    (leaf,) = leaves.differences({"D": node, "E": 1}, {"D": node, "E": 1}, moved)

    assert (leaf.path, leaf.sure, leaf.same) == (("D", "r"), "maybe", True)


@pytest.mark.parametrize(
    ("path", "value", "shown"),
    [
        (("MasterUserPassword",), "swordfish", "****"),
        (("AuthToken",), "swordfish", "****"),
        (("Passwords", "[0]"), "swordfish", "****"),
        (("Environment", "[DB_PASSWORD]", "Value"), "swordfish", "****"),
        (
            ("Environment",),
            [{"Name": "API_KEY", "Value": "k"}],
            [{"Name": "API_KEY", "Value": "****"}],
        ),
        (("SecretString",), {"password": "x", "user": "u"}, {"password": "****", "user": "u"}),
        (("Value",), '{"password": "x", "n": 1}', '{"password": "****", "n": 1}'),
        (("Value",), '{"n":1}', '{"n":1}'),
        (("Value",), "{no json: password}", "{no json: password}"),
        (("MasterUserPassword",), "{{resolve:secretsmanager:a}}", "{{resolve:secretsmanager:a}}"),
        (("MasterUserPassword",), "${DbPassword}", "${DbPassword}"),
        (("ManageMasterUserPassword",), "true", "true"),
        (("ManageMasterUserPassword",), True, True),
        (("DbSecretArn",), "arn:aws:secretsmanager:x", "arn:aws:secretsmanager:x"),
        (("PasswordLength",), "64", "64"),
    ],
)
def test_a_secret_is_known_by_the_name_of_its_place(
    path: tuple[str, ...], value: Any, shown: Any
) -> None:
    assert secrets.masked(path, value) == shown
