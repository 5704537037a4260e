"""Topics: who may publish, and why a message would silently not arrive."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tapgen.validate import policy
from tapgen.validate.finding import Fault, Rule
from tapgen.validate.world import Resource, World, is_true, items, mappings

TOPIC = "AWS::SNS::Topic"
TOPIC_POLICY = "AWS::SNS::TopicPolicy"
EVENT_RULE = "AWS::Events::Rule"
EVENTS, ALARMS = "events.amazonaws.com", "cloudwatch.amazonaws.com"
KEY_ACTIONS = ("kms:GenerateDataKey", "kms:Decrypt")
# EventBridge says neither to KMS, so a condition on them never holds and the message is dropped.
UNSAID = {"aws:sourceaccount", "aws:sourcearn"}


def encrypted(world: World) -> Iterator[Fault]:
    """Topics are not encrypted by default."""
    for topic in world.of_type(TOPIC):
        if not topic.get("KmsMasterKeyId"):
            yield topic.fault("is not encrypted")


def service_key(world: World) -> Iterator[Fault]:
    """The key alias/aws/sns cannot be opened to services: what they publish is dropped silently.

    AWS re:Post, "Why am I not getting EventBridge notifications"; SNS, "Key management".
    """
    published = {topic.token(): service for topic, service in _service_publishers(world)}
    for topic in world.of_type(TOPIC):
        service = published.get(topic.token())
        if service and str(topic.get("KmsMasterKeyId")).endswith("alias/aws/sns"):
            yield topic.fault(f"is published to by {service} and has the key alias/aws/sns")


def key_open_to_service(world: World) -> Iterator[Fault]:
    """A service that publishes to an encrypted topic needs its key, or the message is dropped.

    EventBridge sends KMS no source account or ARN, so its statement takes no such condition. SNS
    developer guide, "Enable compatibility between event sources and encrypted topics".
    """
    for topic, service in _service_publishers(world):
        key = _key(world, topic)
        if key is None:
            continue
        allowed = [
            statement
            for statement in policy.statements(key, key.get("KeyPolicy"))
            if service in statement.services and statement.effect == "Allow"
        ]
        unbound = [
            statement
            for statement in allowed
            if service != EVENTS or not statement.condition_keys() & UNSAID
        ]
        covered = [action for statement in unbound for action in statement.actions]
        lacking = [
            action
            for action in KEY_ACTIONS
            if not any(policy.matches(given, action) for given in covered)
        ]
        if lacking:
            held = " without a condition on the source" if len(allowed) > len(unbound) else ""
            yield key.fault(
                f"does not let {service} {' and '.join(lacking)} for {topic.logical_id}{held}"
            )


def topic_open_to_service(world: World) -> Iterator[Fault]:
    """A target of EventBridge or CloudWatch must let the service publish.

    EventBridge user guide, "Using resource-based policies": SNS.
    """
    for topic, service in _service_publishers(world):
        statements = _topic_statements(world, topic)
        if not any(
            service in statement.services
            and statement.effect == "Allow"
            and any(policy.matches(action, "sns:Publish") for action in statement.actions)
            for statement in statements
        ):
            yield topic.fault(f"does not let {service} publish")


def no_role_on_target(world: World) -> Iterator[Fault]:
    """An SNS target with a role may fail to deliver to an encrypted topic; without one both work.

    EventBridge user guide, "Using resource-based policies".
    """
    for rule in world.of_type(EVENT_RULE):
        for target in mappings(rule.get("Targets")):
            if _topic(world, target.get("Arn")) is not None and target.get("RoleArn"):
                yield rule.fault(f"publishes as a role to {target.get('Arn')}")


def tls_only(world: World) -> Iterator[Fault]:
    """Without a denial, messages may be published over plain HTTP.

    SNS developer guide, "Enforce encryption of data in transit".
    """
    for topic in world.of_type(TOPIC):
        if not any(
            statement.effect == "Deny" and "aws:securetransport" in statement.condition_keys()
            for statement in _topic_statements(world, topic)
        ):
            yield topic.fault("takes messages over plain HTTP")


def no_plain_http(world: World) -> Iterator[Fault]:
    """A subscription over http sends every message in clear text."""
    for subscription in world.of_type("AWS::SNS::Subscription"):
        if subscription.get("Protocol") == "http":
            yield subscription.fault("is over plain HTTP")
    for topic in world.of_type(TOPIC):
        if any(entry.get("Protocol") == "http" for entry in mappings(topic.get("Subscription"))):
            yield topic.fault("has a subscription over plain HTTP")


def known_protocol(world: World) -> Iterator[Fault]:
    """A protocol that SNS does not know is refused. AWS::SNS::Subscription, Protocol."""
    known = (
        "http",
        "https",
        "email",
        "email-json",
        "sms",
        "sqs",
        "application",
        "lambda",
        "firehose",
    )
    for subscription in world.of_type("AWS::SNS::Subscription"):
        if subscription.get("Protocol") not in known:
            yield subscription.fault(f"has the protocol {subscription.get('Protocol')!r}")


def standard_by_default(world: World) -> Iterator[Fault]:
    """FifoTopic is create-only, and false is what a topic is without it."""
    for topic in world.of_type(TOPIC):
        if topic.get("FifoTopic") is not None and not is_true(topic.get("FifoTopic")):
            yield topic.fault("states FifoTopic false")


RULES = (
    Rule("TAP601", "error", "set KmsMasterKeyId", encrypted),
    Rule("TAP602", "error", "use a key of your own", service_key),
    Rule("TAP603", "error", "allow it in the key policy, EventBridge without", key_open_to_service),
    Rule("TAP604", "error", "allow sns:Publish in the topic policy", topic_open_to_service),
    Rule("TAP605", "error", "leave RoleArn out", no_role_on_target),
    Rule("TAP606", "error", "deny it while aws:SecureTransport is false", tls_only),
    Rule("TAP607", "error", "use https", no_plain_http),
    Rule("TAP608", "error", "see AWS::SNS::Subscription for the protocols", known_protocol),
    Rule("TAP609", "warning", "leave FifoTopic out", standard_by_default),
)


def _topic(world: World, arn: Any) -> Resource | None:
    return world.resource(arn, TOPIC)


def _key(world: World, topic: Resource) -> Resource | None:
    value = topic.get("KmsMasterKeyId")
    alias = world.by_name("AWS::KMS::Alias", "AliasName", value)
    return world.resource(alias.get("TargetKeyId") if alias else value, "AWS::KMS::Key")


def _service_publishers(world: World) -> Iterator[tuple[Resource, str]]:
    seen: set[tuple[str, str]] = set()
    for rule in world.of_type(EVENT_RULE):
        for target in mappings(rule.get("Targets")):
            yield from _once(seen, _topic(world, target.get("Arn")), EVENTS)
    for alarm in world.of_type("AWS::CloudWatch::Alarm"):
        for prop in ("AlarmActions", "OKActions", "InsufficientDataActions"):
            for arn in items(alarm.get(prop)):
                yield from _once(seen, _topic(world, arn), ALARMS)


def _once(
    seen: set[tuple[str, str]], topic: Resource | None, service: str
) -> Iterator[tuple[Resource, str]]:
    if topic is not None and (topic.token(), service) not in seen:
        seen.add((topic.token(), service))
        yield topic, service


def _topic_statements(world: World, topic: Resource) -> list[policy.Statement]:
    return [
        statement
        for document in world.of_type(TOPIC_POLICY)
        if any(_topic(world, arn) is topic for arn in items(document.get("Topics")))
        for statement in policy.statements(document, document.get("PolicyDocument"))
    ]
