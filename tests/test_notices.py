"""What the topics announce: the queue that listens to them, and how a notice reads."""

from __future__ import annotations

import json
from typing import Any

import pytest
from observed import Asked, at, stopped_task

from tapgen.observe import notices
from tapgen.observe.notices import Notice

TOPIC = "arn:aws:sns:ap-northeast-1:123456789012:video-processing-error-dev"
CAUGHT = {"Error": "States.TaskFailed", "Cause": stopped_task(3)}


def notice(message: Any, subject: str = "") -> Notice:
    text = message if isinstance(message, str) else json.dumps(message)
    return Notice(at(0), "video-processing-error-dev", subject, text)


@pytest.mark.parametrize(
    ("found", "title", "job", "why"),
    [
        (notice({"job": "j", "task": {"exitCode": 0}}, "Completed"), "Completed", "j", ""),
        (
            notice({"job": "j", "error": CAUGHT}, "Failed"),
            "Failed",
            "j",
            "States.TaskFailed: Essential container in task exited (exit code 3)",
        ),
        # Of a rule that picks some fields, and of one that hands the event on.
        (
            notice({"job": "j", "status": "TIMED_OUT"}, "EventBridge"),
            "Execution TIMED_OUT",
            "j",
            "",
        ),
        (
            notice({"detail": {"name": "j", "status": "ABORTED", "cause": None}}),
            "Execution ABORTED",
            "j",
            "",
        ),
        (notice("by hand", "Test"), "Test", "", ""),
        (notice([1]), "", "", ""),
        (notice({"error": "no object"}), "", "", ""),
    ],
)
def test_a_notice_says_of_which_execution_and_what(
    found: Notice, title: str, job: str, why: str
) -> None:
    assert (found.title, found.job, found.why) == (title, job, why)


class Queue(Asked):
    """A queue of SQS, subscribed to topics; what is received stays until it is deleted."""

    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[str] = []
        self.attributes = {"QueueArn": "arn:queue"}
        self.heard: list[tuple[str, str]] = []

    def publish(self, seconds: float, message: str) -> None:
        told = {"TopicArn": TOPIC, "Timestamp": at(seconds).isoformat(), "Message": message}
        self.bodies.append(json.dumps(told))

    def create_queue(self, QueueName: str) -> dict[str, Any]:  # noqa: N803
        return {"QueueUrl": f"http://queue/{QueueName}"}

    def get_queue_attributes(self, **wanted: Any) -> dict[str, Any]:
        return {"Attributes": dict(self.attributes)}

    def set_queue_attributes(self, QueueUrl: str, Attributes: dict[str, str]) -> dict[str, Any]:  # noqa: N803
        self.attributes.update(Attributes)
        return {}

    def list_subscriptions_by_topic(self, TopicArn: str) -> dict[str, Any]:  # noqa: N803
        return {"Subscriptions": [{"Endpoint": q} for topic, q in self.heard if topic == TopicArn]}

    def subscribe(self, TopicArn: str, Protocol: str, Endpoint: str) -> dict[str, Any]:  # noqa: N803
        assert Protocol == "sqs"
        self.heard.append((TopicArn, Endpoint))
        return {}

    def receive_message(self, **wanted: Any) -> dict[str, Any]:
        messages = [{"Body": body, "ReceiptHandle": body} for body in self.bodies]
        return {"Messages": messages[: wanted["MaxNumberOfMessages"]]} if messages else {}

    def delete_message(self, QueueUrl: str, ReceiptHandle: str) -> dict[str, Any]:  # noqa: N803
        self.bodies.remove(ReceiptHandle)
        return {}


def test_a_queue_that_listens_already_is_left_as_it_is() -> None:
    queue = Queue()

    first = notices.listen(queue, {"ErrorTopic": TOPIC}, "tap-dev-notices")
    asked = len(queue.asked)
    again = notices.listen(queue, {"ErrorTopic": TOPIC}, "tap-dev-notices")

    assert first == again == "http://queue/tap-dev-notices"
    assert queue.heard == [(TOPIC, "arn:queue")]
    (statement,) = json.loads(queue.attributes["Policy"])["Statement"]
    assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": [TOPIC]}}
    assert queue.asked[asked:] == [
        "create_queue",
        "get_queue_attributes",
        "list_subscriptions_by_topic",
    ]


def test_notices_come_in_the_order_of_their_times_and_once() -> None:
    queue = Queue()
    for seconds in (3, 1, 2):
        queue.publish(seconds, f"at {seconds}")

    first = [one.message for one in notices.received(queue, "url", 0)]

    assert first == ["at 1", "at 2", "at 3"]
    assert list(notices.received(queue, "url", 0)) == []


def test_a_notice_that_its_reader_never_got_to_the_end_of_is_still_there() -> None:
    queue = Queue()
    queue.publish(1, "first")
    queue.publish(2, "second")

    reader = notices.received(queue, "url", 0)
    next(reader)
    del reader

    assert [one.message for one in notices.received(queue, "url", 0)] == ["first", "second"]


def test_what_somebody_else_put_into_the_queue_is_told_as_it_is() -> None:
    queue = Queue()
    queue.bodies.append("no JSON")

    (found,) = notices.received(queue, "url", 0)

    assert (found.topic, found.message) == ("", "no JSON")
