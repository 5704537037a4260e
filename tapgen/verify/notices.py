"""SNS topics: where the end of a job is told."""

from __future__ import annotations

from typing import Any

from tapgen.verify.environment import Environment
from tapgen.verify.questions import Asker, by_sid
from tapgen.verify.result import Check, Fact, Facts, Judge

GROUP = "SNS topics"
TIER = "notification"


def topic(kind: str) -> Judge:
    """The check of one topic: ``completion`` or ``error``."""
    logical_id = f"{kind.capitalize()}Topic"

    def judge(env: Environment, ask: Asker) -> Facts:
        made = env.get(TIER, logical_id)
        found = attributes(env, ask, logical_id)
        name = str(found.get("TopicArn")).rpartition(":")[2]
        yield Fact("name", name, f"video-processing-{kind}-{env.env}")
        fifo = found.get("FifoTopic", "false")
        yield Fact("FifoTopic", fifo, False, says="Standard (non-FIFO) topic")
        yield Fact(
            "KmsMasterKeyId", key_id(found.get("KmsMasterKeyId")), made.wanted["KmsMasterKeyId"]
        )
        wanted = by_sid(env.wanted(TIER, f"{logical_id}Policy")["PolicyDocument"])
        told = by_sid(found.get("Policy"))
        for sid, statement in wanted.items():
            yield Fact(sid, told.pop(sid, None), statement)
        yield Fact("statements beside those", sorted(told), [])

    return judge


def topic_key(env: Environment, ask: Asker) -> Facts:
    """The topics' key lets EventBridge in; without that its notices vanish unseen."""
    made = env.get(TIER, "TopicKey")
    found = ask.call("kms", "get_key_policy", KeyId=made.id, PolicyName="default")
    told = by_sid(found.get("Policy"))
    for sid, statement in by_sid(made.wanted["KeyPolicy"]).items():
        if "Service" in statement["Principal"]:
            yield Fact(sid, told.get(sid), statement)


def attributes(env: Environment, ask: Asker, logical_id: str) -> dict[str, Any]:
    """A topic's attributes. Raises ``Absent``."""
    arn = env.id(TIER, logical_id)
    return ask.call("sns", "get_topic_attributes", TopicArn=arn).get("Attributes") or {}


def key_id(told: object) -> str:
    """A key's id, which services tell bare or as an ARN."""
    return str(told).rpartition("/")[2]


CHECKS = (
    Check(GROUP, "completion-topic", "the topic of completed jobs stands", topic("completion")),
    Check(GROUP, "error-topic", "the topic of failed jobs stands, open to events", topic("error")),
    Check(GROUP, "topic-key", "services may write to the encrypted topics", topic_key),
)
