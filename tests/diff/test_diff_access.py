"""Who may do what, compared as what is allowed and not as how it is written."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from tapgen import diff
from tapgen.diff import Side, access, findings
from tapgen.diff.access import AccessChange

READ = {
    "Effect": "Allow",
    "Action": ["s3:GetObject"],
    "Resource": [{"Fn::Sub": "${Bucket.Arn}/*"}],
}
TLS = {
    "Effect": "Deny",
    "Action": "s3:*",
    "Resource": "*",
    "Principal": "*",
    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
}


def role(*statements: Any, **more: Any) -> dict[str, Any]:
    policy = {"PolicyName": "p", "PolicyDocument": {"Statement": list(statements)}}
    return {"Type": "AWS::IAM::Role", "Properties": {"Policies": [policy], **more}}


def bucket_policy(*statements: Any) -> dict[str, Any]:
    document = {"Statement": list(statements)}
    return {"Type": "AWS::S3::BucketPolicy", "Properties": {"PolicyDocument": document}}


def broadened(before: Any, after: Any) -> list[str]:
    sides = [None if each is None else Side({"Resources": {"X": each}}) for each in (before, after)]
    changes = diff.compare("s", sides[0] or Side({}), sides[1] or Side({}))
    return [each.text for each in findings.findings(changes) if each.id == "access-broadened"]


def with_(statement: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**copy.deepcopy(statement), **more}


WIDER = [
    (role(READ), role(READ, with_(READ, Action="s3:PutObject"))),
    (role(READ), role(with_(READ, Action=["s3:GetObject", "s3:PutObject"]))),
    (role(READ), role(with_(READ, Action="s3:*"))),
    (role(READ), role(with_(READ, Resource="*"))),
    (role(with_(READ, Condition={"Bool": {"a": "true"}})), role(READ)),
    (
        role(with_(READ, Condition={"StringEquals": {"a": ["1"]}})),
        role(with_(READ, Condition={"StringEquals": {"a": ["1", "2"]}})),
    ),
    (
        role(with_(READ, Condition={"StringNotEquals": {"a": ["1", "2"]}})),
        role(with_(READ, Condition={"StringNotEquals": {"a": ["1"]}})),
    ),
    (
        role(with_(READ, Condition={"ForAllValues:StringEquals": {"a": ["1", "2"]}})),
        role(with_(READ, Condition={"ForAllValues:StringEquals": {"a": ["1"]}})),
    ),
    (
        role({"Effect": "Allow", "NotAction": ["iam:*", "kms:*"], "Resource": "*"}),
        role({"Effect": "Allow", "NotAction": ["iam:*"], "Resource": "*"}),
    ),
    (
        bucket_policy(with_(READ, Principal={"AWS": "arn:aws:iam::1:root"})),
        bucket_policy(with_(READ, Principal={"AWS": "*"})),
    ),
    (
        bucket_policy(with_(READ, Principal={"AWS": "arn:aws:iam::1:root"})),
        bucket_policy(with_(READ, Principal={"Service": "x.amazonaws.com"})),
    ),
    # A refusal that goes, in whole or in part.
    (bucket_policy(TLS), bucket_policy()),
    (bucket_policy(TLS), bucket_policy(with_(TLS, Action="s3:GetObject"))),
    (
        bucket_policy(TLS),
        bucket_policy(
            with_(TLS, Condition={**TLS["Condition"], "StringEquals": {"aws:PrincipalTag/t": "x"}})  # type: ignore[dict-item]
        ),
    ),
    (bucket_policy(TLS), None),
    # New resources, managed policies, boundaries, permissions.
    (None, role(READ)),
    (role(), role(ManagedPolicyArns=["arn:aws:iam::aws:policy/AdministratorAccess"])),
    (role(PermissionsBoundary="arn:b"), role()),
    (
        None,
        {
            "Type": "AWS::Lambda::Permission",
            "Properties": {
                "Action": "lambda:InvokeFunction",
                "FunctionName": {"Ref": "F"},
                "Principal": "s3.amazonaws.com",
            },
        },
    ),
    # Without a policy of its own an endpoint, or a file system, is open.
    (
        {"Type": "AWS::EC2::VPCEndpoint", "Properties": {"PolicyDocument": {"Statement": [READ]}}},
        {"Type": "AWS::EC2::VPCEndpoint", "Properties": {}},
    ),
    # Policies that are texts.
    (
        {
            "Type": "AWS::Logs::ResourcePolicy",
            "Properties": {"PolicyDocument": '{"Statement": []}'},
        },
        {
            "Type": "AWS::Logs::ResourcePolicy",
            "Properties": {"PolicyDocument": json.dumps({"Statement": [READ]})},
        },
    ),
]


@pytest.mark.parametrize(("before", "after"), WIDER)
def test_more_allowed_or_less_denied_is_broader(before: Any, after: Any) -> None:
    assert len(broadened(before, after)) == 1


NARROWER = [
    (role(READ), role()),
    (role(with_(READ, Action="s3:*")), role(READ)),
    (role(with_(READ, Action="s3:get*")), role(with_(READ, Action="s3:GetObject"))),
    (role(with_(READ, Resource="*")), role(READ)),
    (role(READ), role(with_(READ, Condition={"Bool": {"a": "true"}}))),
    (
        role(with_(READ, Condition={"StringEquals": {"a": ["1", "2"]}})),
        role(with_(READ, Condition={"StringEquals": {"a": "1"}})),
    ),
    (bucket_policy(), bucket_policy(TLS)),
    (
        bucket_policy(with_(READ, Principal={"AWS": "*"})),
        bucket_policy(with_(READ, Principal={"AWS": "arn:aws:iam::1:root"})),
    ),
    (role(READ), None),
    # A refusal that was the role's own goes with it.
    (role(with_(READ, Effect="Deny")), None),
    (role(ManagedPolicyArns=["arn:a"]), role()),
    (role(), role(PermissionsBoundary="arn:b")),
]


@pytest.mark.parametrize(("before", "after"), NARROWER)
def test_less_allowed_or_more_denied_is_not(before: Any, after: Any) -> None:
    assert broadened(before, after) == []


ALIKE = [
    (role(READ), role(with_(READ, Action="s3:GetObject"))),
    (role(READ), role(with_(READ, Action="S3:getobject"))),
    (role(READ), role(with_(READ, Sid="Renamed"))),
    (
        role(with_(READ, Action=["s3:GetObject", "s3:PutObject"])),
        role(READ, with_(READ, Action="s3:PutObject")),
    ),
    (
        role(READ),
        role(with_(READ, Resource={"Fn::Join": ["/", [{"Fn::GetAtt": ["Bucket", "Arn"]}, "*"]]})),
    ),
    (
        bucket_policy(with_(READ, Principal="*")),
        bucket_policy(with_(READ, Principal={"AWS": "*"})),
    ),
]


@pytest.mark.parametrize(("before", "after"), ALIKE)
def test_the_same_written_otherwise_is_no_difference(before: Any, after: Any) -> None:
    sides = [Side({"Resources": {"X": each}}) for each in (before, after)]
    changes = diff.compare("s", *sides)

    assert changes.resources != ()
    assert findings.access_changes(changes) == ()


def test_a_row_says_what_is_new_and_leaves_out_what_was_covered() -> None:
    after = with_(
        READ,
        Action=["s3:GetObject", "s3:PutObject"],
        Condition={"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}},
    )
    changes = diff.compare(
        "s",
        Side({"Resources": {"X": role(READ)}}),
        Side({"Resources": {"X": role(READ, after)}}),
    )

    ((logical_id, row),) = findings.access_changes(changes)

    assert logical_id == "X"
    assert row == AccessChange(
        "+",
        "Allow",
        ("s3:PutObject",),
        (),
        ("${Bucket.Arn}/*",),
        ("aws:SourceAccount StringEquals 123456789012",),
    )
    assert row.broadens


def test_a_changed_statement_is_one_row_that_comes_and_one_that_goes() -> None:
    rows = access.changes(
        {"Type": "AWS::IAM::Role", "Properties": {"P": {"Statement": [with_(READ, Resource="a")]}}},
        {"Type": "AWS::IAM::Role", "Properties": {"P": {"Statement": [with_(READ, Resource="b")]}}},
    )

    assert [(row.sign, row.resources) for row in rows] == [("+", ("b",)), ("-", ("a",))]
    assert [row.broadens for row in rows] == [True, False]


def test_the_words_name_what_where_and_under_which_condition() -> None:
    statement = with_(
        TLS, Effect="Allow", Action=["s3:A", "s3:B", "s3:C", "s3:D", "s3:E"], Principal={"AWS": "*"}
    )

    assert broadened(bucket_policy(), bucket_policy(statement)) == [
        "X allows s3:A, s3:B, s3:C, s3:D and 1 more to * on * if aws:SecureTransport Bool false"
    ]
    assert broadened(bucket_policy(TLS), bucket_policy()) == [
        "X no longer denies s3:* to * on * if aws:SecureTransport Bool false"
    ]


@pytest.mark.parametrize(
    "node",
    [
        {"Statement": {"Effect": "Allow", "Action": "a"}},
        {"Statement": [{"Ref": "Elsewhere"}, "text"]},
        {"Statement": [{"Condition": {"Ref": "C"}, "Principal": {"Ref": "P"}, "Effect": "Allow"}]},
        {"Statement": [{"Condition": {"Bool": "odd"}, "NotPrincipal": {"AWS": "x"}}]},
        {"Statement": "text"},
    ],
)
def test_odd_documents_are_read_without_an_error(node: Any) -> None:
    resource = {"Type": "AWS::IAM::Policy", "Properties": {"PolicyDocument": node}}

    assert access.changes(resource, resource) == ()
