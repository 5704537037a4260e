"""The notification tier's claims, over the document as it is rendered."""

from __future__ import annotations

from typing import Any

import pytest

from tapgen.tiers import notification

STACK = notification.describe()
DOCUMENT = STACK.document()
RESOURCES: dict[str, Any] = DOCUMENT["Resources"]
TOPICS = ["CompletionTopic", "ErrorTopic"]


def statements(policy: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {statement["Sid"]: statement for statement in policy["Statement"]}


def key_policy() -> dict[str, dict[str, Any]]:
    return statements(RESOURCES["TopicKey"]["Properties"]["KeyPolicy"])


def topic_policy(topic: str) -> dict[str, dict[str, Any]]:
    return statements(RESOURCES[f"{topic}Policy"]["Properties"]["PolicyDocument"])


@pytest.mark.parametrize(
    ("topic", "name"),
    [
        ("CompletionTopic", "video-processing-completion-${EnvironmentSuffix}"),
        ("ErrorTopic", "video-processing-error-${EnvironmentSuffix}"),
    ],
)
def test_topics_are_standard_encrypted_and_have_the_documented_names(topic: str, name: str) -> None:
    # FifoTopic: false would say the same and be create-only noise.
    assert RESOURCES[topic]["Properties"] == {
        "TopicName": {"Fn::Sub": name},
        "KmsMasterKeyId": {"Ref": "TopicKey"},
        "Tags": [{"Key": "Name", "Value": {"Fn::Sub": name}}],
    }


def test_arns_and_names_of_both_topics_and_the_key_are_exported() -> None:
    outputs = DOCUMENT["Outputs"]

    assert {key: outputs[key]["Value"] for key in outputs if "Export" in outputs[key]} == {
        "CompletionTopicArn": {"Ref": "CompletionTopic"},
        "CompletionTopicName": {"Fn::GetAtt": ["CompletionTopic", "TopicName"]},
        "ErrorTopicArn": {"Ref": "ErrorTopic"},
        "ErrorTopicName": {"Fn::GetAtt": ["ErrorTopic", "TopicName"]},
        "TopicKeyArn": {"Fn::GetAtt": ["TopicKey", "Arn"]},
    }
    assert outputs["ErrorTopicArn"]["Export"] == {
        "Name": {"Fn::Sub": "tap-${EnvironmentSuffix}-ErrorTopicArn"}
    }


def test_the_key_rotates_and_goes_with_its_stack_because_it_guards_nothing_at_rest() -> None:
    key = RESOURCES["TopicKey"]

    assert key["Properties"]["EnableKeyRotation"] is True
    assert key["Properties"]["PendingWindowInDays"] == 7
    assert key["DeletionPolicy"] == "Delete"
    assert key["UpdateReplacePolicy"] == "Delete"


def test_the_alias_names_the_key_by_its_id_because_an_arn_shows_as_drift() -> None:
    assert RESOURCES["TopicKeyAlias"]["Properties"] == {
        "AliasName": {"Fn::Sub": "alias/video-processing-sns-${EnvironmentSuffix}"},
        "TargetKeyId": {"Ref": "TopicKey"},
    }


def test_eventbridge_uses_the_key_unconditionally_because_it_names_no_source_to_kms() -> None:
    assert key_policy()["EventBridgeMayWriteToTheTopics"] == {
        "Sid": "EventBridgeMayWriteToTheTopics",
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": ["kms:Decrypt", "kms:GenerateDataKey*"],
        "Resource": ["*"],
    }


def test_alarms_use_the_key_for_this_account_alone() -> None:
    statement = key_policy()["AlarmsOfThisAccountMayWriteToTheTopics"]

    assert statement["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert statement["Action"] == ["kms:Decrypt", "kms:GenerateDataKey*"]
    assert statement["Condition"] == {
        "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    }


def test_the_account_keeps_the_key_or_nobody_could_mend_its_policy() -> None:
    (keeper,) = [
        statement
        for statement in key_policy().values()
        if statement["Principal"]
        == {"AWS": {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}}
    ]

    assert keeper["Effect"] == "Allow"
    assert {"kms:PutKeyPolicy", "kms:ScheduleKeyDeletion"} <= set(keeper["Action"])


@pytest.mark.parametrize("topic", TOPICS)
def test_each_topic_refuses_messages_without_tls(topic: str) -> None:
    assert topic_policy(topic)["NothingWithoutTls"] == {
        "Sid": "NothingWithoutTls",
        "Effect": "Deny",
        "Principal": {"AWS": "*"},
        "Action": ["sns:Publish"],
        "Resource": [{"Ref": topic}],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


@pytest.mark.parametrize("topic", TOPICS)
def test_each_policy_readmits_the_account_because_it_replaces_the_one_sns_gives(topic: str) -> None:
    policy = RESOURCES[f"{topic}Policy"]["Properties"]
    statement = topic_policy(topic)["ThisAccountMayPublishAndSubscribe"]

    assert policy["Topics"] == [{"Ref": topic}]
    assert statement["Principal"] == {
        "AWS": {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}
    }
    assert statement["Action"] == ["sns:Publish", "sns:Subscribe"]
    assert statement["Resource"] == [{"Ref": topic}]


def test_services_report_to_the_error_topic_and_to_no_other() -> None:
    errors = topic_policy("ErrorTopic")

    assert errors["EventBridgeMayPublish"] == {
        "Sid": "EventBridgeMayPublish",
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": ["sns:Publish"],
        "Resource": [{"Ref": "ErrorTopic"}],
    }
    assert errors["AlarmsOfThisAccountMayPublish"]["Condition"] == {
        "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    }
    assert "Service" not in str(topic_policy("CompletionTopic"))
