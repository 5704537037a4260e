"""The checks that do something: a video is written and read, a job is run, its notice received.

They leave one video in the database and one execution in the workflow's history, both named after
the run; the API has no way to remove the first, and nobody has one for the second. The queue that
hears the notice, and its subscription, are removed again whatever happens.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tapgen.cloud import CloudError, Services
from tapgen.errors import TapgenError
from tapgen.verify import listener, web
from tapgen.verify.environment import Environment
from tapgen.verify.questions import Absent
from tapgen.verify.result import Check, Fact, Facts, Outcome, Result, judged

if TYPE_CHECKING:
    from tapgen.engine.clock import Clock

GROUP = "Smoke"
# A task starts within two minutes on Fargate, and may take 400 s before it is tried again.
EXECUTION_SECONDS = 600.0
# SNS delivers to SQS within a second or two.
NOTICE_SECONDS = 60.0


@dataclass
class Smoke:
    """Everything that the smoke checks need. ``url`` is the API's, or why there is none."""

    env: Environment
    services: Services
    send: web.Send
    url: str | TapgenError
    clock: Clock
    pace: Callable[[float], float]
    run_id: str
    execution_seconds: float = EXECUTION_SECONDS
    notice_seconds: float = NOTICE_SECONDS
    asked: list[str] = field(default_factory=list)

    def carry_out(self) -> Iterator[Result]:
        """Every result, as it comes."""
        yield self._result("health", "the API answers, its database and cache too", self.health)
        yield self._result("closed", "metadata is refused without the key", self.closed)
        yield self._result("metadata", "a video is written and read again", self.metadata)
        yield from self.job()

    def health(self) -> Facts:
        """``GET /health``, which needs no key."""
        reply = self._send("GET", "/health")
        yield Fact("status", reply.status, 200)
        yield Fact("body status", _member(reply, "status"), "ok")

    def closed(self) -> Facts:
        """``GET /metadata`` without the key."""
        yield Fact("status", self._send("GET", "/metadata?limit=1").status, 403)

    def metadata(self) -> Facts:
        """``POST /metadata``, and ``GET`` of what was made."""
        key = {"x-api-key": self._key()}
        video = {"title": self._name, "source_uri": "s3://tapgen-verify/smoke.mp4"}
        again = {**key, "idempotency-key": self._name}
        made = self._send("POST", "/metadata", again, video)
        yield Fact("written", made.status, 201)
        if made.status != 201:
            return
        id_ = _member(made, "video_id")
        read = self._send("GET", f"/metadata?video_id={id_}", key)
        yield Fact("read", read.status, 200)
        yield Fact("title", _member(read, "title"), self._name)

    def job(self) -> Iterator[Result]:
        """One execution to its end, with somebody listening to the completion topic."""
        titles = ("one execution succeeds", "its notice is received")
        try:
            topic = self.env.export("CompletionTopicArn")
            machine = self.env.export("StateMachineArn")
        except (Absent, CloudError) as error:
            for id_, title in zip(("execution", "notice"), titles, strict=True):
                yield self._open(id_, title, error)
            return
        ear = listener.Listener(
            self.services, topic, f"tap-{self.env.env}-{self._name}", self.env.account
        )
        refused: TapgenError | None = None
        heard: Result | None = None
        try:
            try:
                ear.open()
            except CloudError as error:
                refused = error
            ran = self._result("execution", titles[0], lambda: self._run(machine))
            yield ran
            if refused is not None:
                heard = self._open("notice", titles[1], refused)
            else:
                wait = self.notice_seconds if ran.outcome is Outcome.PASSED else 0.0
                heard = self._result("notice", titles[1], lambda: self._hear(ear, wait))
        finally:
            left = ear.close()
        if heard is not None and left:
            heard = replace(heard, outcome=Outcome.FAILED, why=f"left behind: {'; '.join(left)}")
        if heard is not None:
            yield heard

    def _run(self, machine: str) -> Facts:
        self.asked.append(f"stepfunctions start_execution {machine} {self._name}")
        started = self.services.call(
            "stepfunctions",
            "start_execution",
            stateMachineArn=machine,
            name=self._name,
            input=json.dumps({"verify": self._name}),
        )
        arn = started["executionArn"]
        self.asked.append(f"stepfunctions describe_execution {arn}")
        begun = self.clock.now()
        while True:
            found = self.services.call("stepfunctions", "describe_execution", executionArn=arn)
            elapsed = self.clock.now() - begun
            if found["status"] != "RUNNING" or elapsed > self.execution_seconds:
                break
            self.clock.sleep(self.pace(elapsed))
        told = found["status"]
        if told == "RUNNING":
            told = f"RUNNING after {elapsed:.0f} s, and left to itself"
        yield Fact("status", told, "SUCCEEDED")
        error = ": ".join(filter(None, (found.get("error"), found.get("cause"))))
        yield Fact("error", error, "")

    def _hear(self, ear: listener.Listener, seconds: float) -> Facts:
        self.asked.append(f"sqs receive_message {ear.name}")
        begun = self.clock.now()
        while True:
            left = seconds - (self.clock.now() - begun)
            for body in ear.receive(max(left, 0.0)):
                if isinstance(body, dict) and body.get("job") == self._name:
                    yield Fact("notice of", self._name, self._name)
                    return
            if left <= 0:
                yield Fact("notice of", None, self._name)
                return
            self.clock.sleep(min(self.pace(seconds - left), max(left, 0.0)))

    @property
    def _name(self) -> str:
        return f"verify-{self.run_id}"

    def _key(self) -> str:
        key = self.env.export("ApiKeyId")
        self.asked.append(f"apigateway get_api_key {key}")
        found = self.services.call("apigateway", "get_api_key", apiKey=key, includeValue=True)
        return str(found["value"])

    def _send(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
    ) -> web.Reply:
        if isinstance(self.url, TapgenError):
            raise self.url
        url = f"{self.url.rstrip('/')}{path}"
        self.asked.append(f"{method} {url}")
        return self.send(web.Request(method, url, headers or {}, body))

    def _result(self, id_: str, title: str, ask: Callable[[], Facts]) -> Result:
        check = Check(GROUP, id_, title, lambda env, asker: ask())
        self.asked.clear()
        begun, facts = self.clock.now(), list[Fact]()
        try:
            for fact in ask():
                facts.append(fact)
            end = judged(check, facts, {})
        except TapgenError as error:
            end = replace(self._open(id_, title, error), facts=tuple(facts))
        return replace(end, asked=tuple(self.asked), seconds=self.clock.now() - begun)

    def _open(self, id_: str, title: str, error: TapgenError) -> Result:
        asking = isinstance(error, CloudError)
        outcome = Outcome.COULD_NOT_ASK if asking else Outcome.FAILED
        return Result(GROUP, id_, title, outcome, why=str(error))


def _member(reply: web.Reply, name: str) -> Any:
    return reply.body.get(name) if isinstance(reply.body, dict) else reply.body
