"""A queue that hears one topic for a while, and is gone afterwards.

Everything is found again by the queue's name: a request whose answer an interrupt swallowed has
made its queue all the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tapgen import names
from tapgen.cloud import CloudError, Refused, Services

# Long polling; SQS takes at most 20.
_POLL_SECONDS = 10
_GONE = ("NonExistentQueue", "QueueDoesNotExist")


class Listener:
    """The queue ``name``, subscribed to ``topic`` between ``open`` and ``close``."""

    def __init__(self, services: Services, topic: str, name: str, account: str) -> None:
        self._services, self.topic, self.name = services, topic, name
        self.arn = f"arn:aws:sqs:{names.REGION}:{account}:{name}"
        self._url = ""

    def open(self) -> None:
        """Make the queue and subscribe it. Raises ``CloudError``; ``close`` is due all the same."""
        made = self._services.call(
            "sqs",
            "create_queue",
            QueueName=self.name,
            Attributes={
                "Policy": json.dumps(self._policy()),
                # Should nobody come back to remove it, its content is gone in an hour.
                "MessageRetentionPeriod": "3600",
                "SqsManagedSseEnabled": "true",
            },
        )
        self._url = made["QueueUrl"]
        self._services.call(
            "sns",
            "subscribe",
            TopicArn=self.topic,
            Protocol="sqs",
            Endpoint=self.arn,
            Attributes={"RawMessageDelivery": "true"},
        )

    def receive(self, seconds: float) -> list[Any]:
        """The messages that come within ``seconds``, or some ten; read as JSON where they are."""
        found = self._services.call(
            "sqs",
            "receive_message",
            QueueUrl=self._url,
            MaxNumberOfMessages=10,
            WaitTimeSeconds=int(min(seconds, _POLL_SECONDS)),
        )
        return [_read(item.get("Body", "")) for item in found.get("Messages", ())]

    def close(self) -> list[str]:
        """Remove the subscription and the queue; says what could not be removed.

        An interrupt in here starts it over, and is raised when all is done.
        """
        interrupted: KeyboardInterrupt | None = None
        for _ in range(3):
            try:
                left = [*self._tried("subscription of", self._unsubscribe)]
                left += self._tried("queue", self._delete)
                break
            except KeyboardInterrupt as error:
                interrupted = error
        if interrupted is not None:
            raise interrupted
        return left

    def _tried(self, what: str, remove: Callable[[], None]) -> list[str]:
        try:
            remove()
        except CloudError as error:
            return [f"{what} {self.arn} ({error})"]
        return []

    def _unsubscribe(self) -> None:
        subscribed = self._services.pages(
            "sns", "list_subscriptions_by_topic", "Subscriptions", TopicArn=self.topic
        )
        ours = [item["SubscriptionArn"] for item in subscribed if item["Endpoint"] == self.arn]
        for arn in ours:
            self._services.call("sns", "unsubscribe", SubscriptionArn=arn)

    def _delete(self) -> None:
        try:
            url = self._services.call("sqs", "get_queue_url", QueueName=self.name)["QueueUrl"]
        except Refused as error:
            if any(word in error.code for word in _GONE):
                return
            raise
        self._services.call("sqs", "delete_queue", QueueUrl=url)

    def _policy(self) -> dict[str, Any]:
        statement = {
            "Sid": "OnlyThatTopicMaySend",
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": self.arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": self.topic}},
        }
        return {"Version": "2012-10-17", "Statement": [statement]}


def _read(body: str) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body
