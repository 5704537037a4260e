"""The shapes of IAM documents, as they are written into a template."""

from __future__ import annotations

from typing import Any

from awacs import s3, sns
from awacs.aws import Bool, PolicyDocument, Principal, Statement, StringEquals
from troposphere import GetAtt, encode_to_dict

from tapgen import iam

ONLY_TLS = Bool({"aws:SecureTransport": "false"})


def plain(document: PolicyDocument) -> Any:
    return encode_to_dict(document)


def written(*statements: Statement) -> Any:
    return plain(iam.document(*statements))["Statement"]


def test_a_document_says_which_language_version_it_is() -> None:
    document = iam.document(iam.allow("ReadsObjects", [s3.GetObject], ["arn:aws:s3:::b/*"]))

    assert plain(document) == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "ReadsObjects",
                "Effect": "Allow",
                "Action": ["s3:GetObject"],
                "Resource": ["arn:aws:s3:::b/*"],
            }
        ],
    }


def test_an_identity_s_statement_names_nobody() -> None:
    (allowed,) = written(iam.allow("Publishes", [sns.Publish], [GetAtt("Topic", "TopicArn")]))
    (denied,) = written(iam.deny("NeverPublishes", [sns.Publish], ["*"]))

    assert "Principal" not in allowed
    assert allowed["Resource"] == [{"Fn::GetAtt": ["Topic", "TopicArn"]}]
    assert "Condition" not in allowed
    assert (denied["Effect"], "Principal" in denied) == ("Deny", False)


def test_all_conditions_of_a_statement_must_hold() -> None:
    (statement,) = written(
        iam.allow(
            "Publishes",
            [sns.Publish],
            ["*"],
            Bool({"aws:SecureTransport": "true"}),
            StringEquals({"aws:PrincipalTag/team": "video"}),
        )
    )

    # Two operators in one block: IAM joins them with AND.
    assert statement["Condition"] == {
        "Bool": {"aws:SecureTransport": "true"},
        "StringEquals": {"aws:PrincipalTag/team": "video"},
    }


def test_a_resource_s_statement_names_who_may() -> None:
    (statement,) = written(
        iam.allow_to(
            Principal("Service", "events.amazonaws.com"), "TakesEvents", [sns.Publish], ["*"]
        )
    )

    assert statement == {
        "Sid": "TakesEvents",
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": ["sns:Publish"],
        "Resource": ["*"],
    }


def test_a_refusal_to_all_is_meant_for_everybody() -> None:
    with_resource, without = written(
        iam.deny_to_all("OnlyTls", [sns.Publish], ["*"], ONLY_TLS),
        iam.deny_to_all("OnlyTls", [sns.Publish], None, ONLY_TLS),
    )

    assert with_resource["Principal"] == {"AWS": "*"}
    assert with_resource["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    # The file system's own service fills in the one it hangs on.
    assert "Resource" not in without


def test_a_key_can_be_administered_by_its_account_and_by_nobody_else() -> None:
    (statement,) = written(iam.account_keeps_key())

    assert statement["Principal"] == {
        "AWS": {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}
    }
    assert statement["Effect"] == "Allow"
    # Without these KMS refuses the key, or nobody could mend or end it.
    assert {"kms:PutKeyPolicy", "kms:ScheduleKeyDeletion", "kms:CancelKeyDeletion"} <= set(
        statement["Action"]
    )
    assert statement["Action"] == sorted(statement["Action"])
    assert not [action for action in statement["Action"] if "*" in action]


def test_a_service_assumes_a_role_only_for_this_account_and_one_source() -> None:
    document = plain(iam.assumed_by("states.amazonaws.com", "arn:${AWS::Partition}:states:x"))

    assert document["Statement"] == [
        {
            "Sid": "OnlyStates",
            "Effect": "Allow",
            "Principal": {"Service": "states.amazonaws.com"},
            "Action": ["sts:AssumeRole"],
            "Condition": {
                "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}},
                "ArnLike": {"aws:SourceArn": {"Fn::Sub": "arn:${AWS::Partition}:states:x"}},
            },
        }
    ]


def test_a_service_without_a_source_is_trusted_by_name() -> None:
    document = plain(iam.trusted("vpc-flow-logs.amazonaws.com"))

    assert document["Statement"] == [
        {
            "Sid": "OnlyVpcFlowLogs",
            "Effect": "Allow",
            "Principal": {"Service": "vpc-flow-logs.amazonaws.com"},
            "Action": ["sts:AssumeRole"],
        }
    ]


def test_an_inline_policy_is_a_name_and_a_document() -> None:
    policy = iam.inline("reads", iam.allow("ReadsObjects", [s3.GetObject], ["arn:aws:s3:::b/*"]))

    made = policy.to_dict()
    assert made["PolicyName"] == "reads"
    assert made["PolicyDocument"]["Statement"][0]["Sid"] == "ReadsObjects"
