"""Notification: two standard topics, for what was completed and for what went wrong.

Both are encrypted with a key of our own. The key that SNS offers for nothing cannot be opened to
other services, and what EventBridge or CloudWatch sends to a topic under it is dropped without a
word. Who listens is decided outside: subscribe to the exported ARNs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from awacs import kms as kms_actions
from awacs import sns as sns_actions
from awacs.aws import Bool, Principal, Statement, StringEquals
from troposphere import AccountId, GetAtt, Ref, Sub, kms, sns

from tapgen import iam, policies
from tapgen.stack import Draft, Exported, Stack

# What a service does with the key of a topic it publishes to. The wildcard is KMS' own: SNS may
# ask for the data key with or without its plain text.
USE_TOPIC_KEY = (kms_actions.Decrypt, kms_actions.Action("GenerateDataKey*"))


@dataclass(frozen=True)
class Exports:
    """What other tiers may use to announce something."""

    completion_topic_arn: Exported
    completion_topic_name: Exported
    error_topic_arn: Exported
    error_topic_name: Exported
    topic_key_arn: Exported


def describe() -> Stack[Exports]:
    """Describe the topics. They need nothing of other tiers."""
    draft = Draft("notification", "Notification: topics for completed and for failed processing")

    key = _key(draft)
    completion = _topic(draft, "CompletionTopic", "video-processing-completion", key)
    errors = _topic(draft, "ErrorTopic", "video-processing-error", key)
    _policy(draft, completion, [])
    _policy(draft, errors, _let_services_report(errors))

    return draft.finish(
        Exports(
            completion_topic_arn=draft.export(
                "CompletionTopicArn", Ref(completion), "Topic of completed processing"
            ),
            completion_topic_name=draft.export(
                "CompletionTopicName", GetAtt(completion, "TopicName"), "Name of that topic"
            ),
            error_topic_arn=draft.export(
                "ErrorTopicArn", Ref(errors), "Topic of failed processing"
            ),
            error_topic_name=draft.export(
                "ErrorTopicName", GetAtt(errors, "TopicName"), "Name of that topic"
            ),
            topic_key_arn=draft.export(
                "TopicKeyArn", GetAtt(key, "Arn"), "Key of both topics, needed for publishing"
            ),
        )
    )


def _key(draft: Draft) -> kms.Key:
    key = draft.add(
        kms.Key(
            "TopicKey",
            Description=draft.name("Messages in the topics of video-processing"),
            EnableKeyRotation=True,
            # The shortest that KMS allows: nothing that anybody keeps is encrypted with it.
            PendingWindowInDays=7,
            KeyPolicy=iam.document(
                iam.account_keeps_key(),
                iam.allow_to(
                    Principal("Service", "events.amazonaws.com"),
                    # Without conditions: EventBridge tells KMS neither account nor source, and a
                    # condition on them drops its messages silently.
                    "EventBridgeMayWriteToTheTopics",
                    USE_TOPIC_KEY,
                    ["*"],
                ),
                iam.allow_to(
                    Principal("Service", "cloudwatch.amazonaws.com"),
                    "AlarmsOfThisAccountMayWriteToTheTopics",
                    USE_TOPIC_KEY,
                    ["*"],
                    StringEquals({"aws:SourceAccount": AccountId}),
                ),
            ),
            Tags=draft.name_tag("video-processing-sns"),
        ),
        # Unlike the keys of data at rest: it protects messages between receipt and delivery.
        policies.DELETE,
    )
    draft.add(
        kms.Alias(
            "TopicKeyAlias",
            AliasName=draft.name("alias/video-processing-sns"),
            # The id: an ARN here reads back as the id and is reported as drift.
            TargetKeyId=Ref(key),
        )
    )
    return key


def _topic(draft: Draft, title: str, stem: str, key: kms.Key) -> sns.Topic:
    # FifoTopic stays unset: a topic is a standard one unless told otherwise.
    return draft.add(
        sns.Topic(
            title,
            TopicName=draft.name(stem),
            KmsMasterKeyId=Ref(key),
            Tags=draft.name_tag(stem),
        )
    )


def _policy(draft: Draft, topic: sns.Topic, more: Sequence[Statement]) -> None:
    """Give ``topic`` a policy; it replaces the one that SNS gives, so the account is in it too."""
    draft.add(
        sns.TopicPolicy(
            f"{topic.title}Policy",
            Topics=[Ref(topic)],
            PolicyDocument=iam.document(
                iam.allow_to(
                    Principal("AWS", Sub("arn:${AWS::Partition}:iam::${AWS::AccountId}:root")),
                    "ThisAccountMayPublishAndSubscribe",
                    [sns_actions.Publish, sns_actions.Subscribe],
                    [Ref(topic)],
                ),
                iam.deny_to_all(
                    "NothingWithoutTls",
                    [sns_actions.Publish],
                    [Ref(topic)],
                    Bool({"aws:SecureTransport": "false"}),
                ),
                *more,
            ),
        )
    )


def _let_services_report(topic: sns.Topic) -> list[Statement]:
    return [
        iam.allow_to(
            Principal("Service", "events.amazonaws.com"),
            # Unconditional, as AWS documents it for rules with an encrypted topic.
            "EventBridgeMayPublish",
            [sns_actions.Publish],
            [Ref(topic)],
        ),
        iam.allow_to(
            Principal("Service", "cloudwatch.amazonaws.com"),
            "AlarmsOfThisAccountMayPublish",
            [sns_actions.Publish],
            [Ref(topic)],
            StringEquals({"aws:SourceAccount": AccountId}),
        ),
    ]
