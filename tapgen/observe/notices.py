"""What the topics announce: a queue that listens to them, and what it heard.

The queue is the listener's own and stays, so that nothing is missed between two looks. A notice is
told once: it leaves the queue with that.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tapgen import names
from tapgen.cloud import Services
from tapgen.observe.reasons import reason

# SQS waits so long for a message before it answers with none.
_MOST_SECONDS, _MOST_MESSAGES = 20, 10
# A message that was received and not deleted, because the reader was killed, comes again.
_HIDDEN_SECONDS = 30


@dataclass(frozen=True)
class Notice:
    """One message of a topic. ``message`` is its text, which is JSON of the workflow's."""

    at: datetime
    topic: str
    subject: str
    message: str

    @property
    def title(self) -> str:
        """What it says: how the execution ended, where a rule reports that, or the subject."""
        status = self._reported().get("status")
        return f"Execution {status}" if status else self.subject

    @property
    def job(self) -> str:
        """The execution that it is about; empty where it does not say."""
        reported = self._reported()
        return str(reported.get("job") or reported.get("name") or self._told().get("job") or "")

    @property
    def why(self) -> str:
        """Why the execution failed; empty where it did not, or where it is not said."""
        error = self._told().get("error")
        if isinstance(error, dict):
            return reason(str(error.get("Error") or ""), str(error.get("Cause") or ""))
        return str(self._reported().get("cause") or "")

    def _reported(self) -> dict[str, Any]:
        """What EventBridge sends: the whole event, or the few fields that its rule picks."""
        told = self._told()
        detail = told.get("detail")
        if isinstance(detail, dict):
            return detail
        return told if "status" in told else {}

    def _told(self) -> dict[str, Any]:
        try:
            told = json.loads(self.message)
        except ValueError:
            return {}
        return told if isinstance(told, dict) else {}


def listen(services: Services, topics: Mapping[str, str], queue: str) -> str:
    """A queue called ``queue`` that hears the topics (ARNs by any name); returns its URL.

    What is there already is left as it is. Raises ``CloudError``.
    """
    url = str(services.call("sqs", "create_queue", QueueName=queue)["QueueUrl"])
    known = services.call(
        "sqs", "get_queue_attributes", QueueUrl=url, AttributeNames=["QueueArn", "Policy"]
    )["Attributes"]
    policy = _policy(known["QueueArn"], sorted(topics.values()))
    if known.get("Policy") != policy:
        services.call("sqs", "set_queue_attributes", QueueUrl=url, Attributes={"Policy": policy})
    for topic in topics.values():
        heard = services.pages(
            "sns", "list_subscriptions_by_topic", "Subscriptions", TopicArn=topic
        )
        if known["QueueArn"] not in {one["Endpoint"] for one in heard}:
            services.call(
                "sns", "subscribe", TopicArn=topic, Protocol="sqs", Endpoint=known["QueueArn"]
            )
    return url


def queue_name(env: str) -> str:
    """What the queue of an environment's notices is called."""
    return f"{names.PROJECT}-{env}-notices"


def received(services: Services, url: str, seconds: int) -> Iterator[Notice]:
    """What was announced, oldest first; waits at most ``seconds`` where there is nothing yet.

    Some of it: ask until nothing comes. A notice leaves the queue when the next one is asked for,
    so one that never reached its reader comes again. Raises ``CloudError``.
    """
    answer = services.call(
        "sqs",
        "receive_message",
        QueueUrl=url,
        MaxNumberOfMessages=_MOST_MESSAGES,
        VisibilityTimeout=_HIDDEN_SECONDS,
        WaitTimeSeconds=min(seconds, _MOST_SECONDS),
    )
    heard = [(_notice(str(one["Body"])), one) for one in answer.get("Messages", ())]
    for notice, message in sorted(heard, key=lambda pair: pair[0].at):
        yield notice
        services.call("sqs", "delete_message", QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def _notice(body: str) -> Notice:
    """The notice in a message of the queue, whoever sent it there."""
    now = datetime.now(UTC)
    try:
        told = json.loads(body)
        topic = str(told["TopicArn"]).rpartition(":")[2]
        at = datetime.fromisoformat(told["Timestamp"])
        return Notice(at, topic, str(told.get("Subject") or ""), str(told["Message"]))
    except (ValueError, KeyError, TypeError):
        return Notice(now, "", "", body)


def _policy(queue: str, topics: list[str]) -> str:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue,
        "Condition": {"ArnEquals": {"aws:SourceArn": topics}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})
