"""Topics, queues, executions and an API in memory: what the smoke checks set going."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tapgen.cloud import Refused
from tapgen.verify import web

REGION, ACCOUNT = "ap-northeast-1", "123456789012"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:video-processing-completion-dev"
MACHINE = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:video-processing-workflow-dev"
KEY = "the-key-itself"


Params = dict[str, Any]


@dataclass
class Clock:
    """Time that passes only when somebody waits."""

    seconds: float = 0.0

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@dataclass
class Post:
    """The four services, as far as the smoke checks ask them.

    ``ends`` is how an execution ends after ``takes`` looks at it. ``before`` and ``after`` are
    raised by an operation, once: before it has acted, or when its answer is under way.
    """

    clock: Clock
    ends: str = "SUCCEEDED"
    takes: int = 2
    before: dict[str, BaseException] = field(default_factory=dict)
    after: dict[str, BaseException] = field(default_factory=dict)
    # Messages of others, published beside ours.
    others: list[str] = field(default_factory=list)
    queues: dict[str, dict[str, Any]] = field(default_factory=dict)
    subscriptions: dict[str, str] = field(default_factory=dict)
    executions: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def call(self, service: str, operation: str, **arguments: Any) -> dict[str, Any]:
        self.asked.append(operation)
        if operation in self.before:
            raise self.before.pop(operation)
        answer: dict[str, Any] = getattr(self, f"_{operation}")(arguments)
        if operation in self.after:
            raise self.after.pop(operation)
        return answer

    def pages(
        self, service: str, operation: str, member: str, **arguments: Any
    ) -> Iterator[dict[str, Any]]:
        yield from self.call(service, operation, **arguments)[member]

    def publish(self, body: str) -> None:
        """To every queue that is subscribed and lets this topic in."""
        for queue in self.subscriptions.values():
            name = queue.rpartition(":")[2]
            (statement,) = json.loads(self.queues[name]["Policy"])["Statement"]
            if (
                statement["Effect"] == "Allow"
                and statement["Principal"] == {"Service": "sns.amazonaws.com"}
                and statement["Action"] == "sqs:SendMessage"
                and statement["Resource"] == queue
                and statement["Condition"] == {"ArnEquals": {"aws:SourceArn": TOPIC}}
            ):
                self.queues[name]["Messages"].append({"Body": body})

    def _create_queue(self, p: Params) -> dict[str, Any]:
        self.queues[p["QueueName"]] = {**p["Attributes"], "Messages": []}
        return {"QueueUrl": f"https://sqs/{p['QueueName']}"}

    def _get_queue_url(self, p: Params) -> dict[str, Any]:
        if p["QueueName"] not in self.queues:
            code = "AWS.SimpleQueueService.NonExistentQueue"
            raise Refused("sqs:GetQueueUrl", code, "The specified queue does not exist.")
        return {"QueueUrl": f"https://sqs/{p['QueueName']}"}

    def _delete_queue(self, p: Params) -> dict[str, Any]:
        del self.queues[p["QueueUrl"].rpartition("/")[2]]
        return {}

    def _receive_message(self, p: Params) -> dict[str, Any]:
        assert 0 <= p["WaitTimeSeconds"] <= 20
        messages = self.queues[p["QueueUrl"].rpartition("/")[2]]["Messages"]
        if not messages:
            self.clock.sleep(p["WaitTimeSeconds"])
            return {}
        found, messages[:] = (
            messages[: p["MaxNumberOfMessages"]],
            messages[p["MaxNumberOfMessages"] :],
        )
        return {"Messages": found}

    def _subscribe(self, p: Params) -> dict[str, Any]:
        assert (p["TopicArn"], p["Protocol"]) == (TOPIC, "sqs")
        assert p["Attributes"] == {"RawMessageDelivery": "true"}
        arn = f"{p['TopicArn']}:{len(self.subscriptions)}"
        self.subscriptions[arn] = p["Endpoint"]
        return {"SubscriptionArn": arn}

    def _list_subscriptions_by_topic(self, p: Params) -> dict[str, Any]:
        found = [{"SubscriptionArn": a, "Endpoint": e} for a, e in self.subscriptions.items()]
        mail = {"SubscriptionArn": "PendingConfirmation", "Endpoint": "people@example.com"}
        return {"Subscriptions": [mail, *found]}

    def _unsubscribe(self, p: Params) -> dict[str, Any]:
        del self.subscriptions[p["SubscriptionArn"]]
        return {}

    def _start_execution(self, p: Params) -> dict[str, Any]:
        assert p["stateMachineArn"] == MACHINE
        self.executions[p["name"]] = 0
        return {"executionArn": f"{MACHINE}:{p['name']}"}

    def _describe_execution(self, p: Params) -> dict[str, Any]:
        name = p["executionArn"].rpartition(":")[2]
        self.executions[name] += 1
        if self.executions[name] < self.takes:
            return {"status": "RUNNING"}
        if self.ends == "SUCCEEDED":
            for other in self.others:
                self.publish(other)
            self.publish(json.dumps({"job": name, "task": {"exitCode": 0}}))
            return {"status": "SUCCEEDED"}
        return {"status": self.ends, "error": "VideoProcessingFailed", "cause": "exit code 1"}

    def _get_api_key(self, p: Params) -> dict[str, Any]:
        return {"id": p["apiKey"], "value": KEY} if p["includeValue"] else {"id": p["apiKey"]}


@dataclass
class Api:
    """The metadata API in memory; ``break_`` changes a reply to a method and a path."""

    break_: Callable[[web.Request, web.Reply], web.Reply] = lambda request, reply: reply
    videos: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __call__(self, request: web.Request) -> web.Reply:
        return self.break_(request, self._reply(request))

    def _reply(self, request: web.Request) -> web.Reply:
        path, _, query = request.url.partition("/dev")[2].partition("?")
        if path == "/health":
            return web.Reply(200, {"status": "ok", "checks": {"database": "ok", "cache": "ok"}})
        if request.headers.get("x-api-key") != KEY:
            return web.Reply(403, {"message": "Forbidden"})
        if request.method == "POST":
            assert request.body is not None
            id_ = f"v{len(self.videos)}"
            self.videos[id_] = {"video_id": id_, **request.body}
            return web.Reply(201, self.videos[id_])
        video = self.videos.get(query.removeprefix("video_id="))
        return web.Reply(200, video) if video else web.Reply(404, {})
