"""Real parts for the tests of the API: events as API Gateway sends them, and a Secrets Manager.

The databases are real servers (tapgen.local.data). Secrets Manager is a small HTTP service that
boto's own client talks to; it knows versions and stages, and can be slow or away.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).resolve().parents[2] / "lambda_src" / "video_metadata_api"
REGION = "ap-northeast-1"
API_KEY_ID = "k3y1d00001"


def arn(name: str) -> str:
    """The ARN of a secret of these tests."""
    return f"arn:aws:secretsmanager:{REGION}:123456789012:secret:{name}-AbCdEf"


APP_SECRET = arn("db-app-user")
MASTER_SECRET = arn("rds!db-master")
REDIS_SECRET = arn("redis-app-user")


class Secrets:
    """Secrets Manager's GetSecretValue with versions, over HTTP on 127.0.0.1."""

    def __init__(self) -> None:
        self._stages: dict[str, dict[str, str]] = {}
        self.asked: list[tuple[str, str]] = []
        self.away = False
        self.delay = 0.0
        twin = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Head and body as one packet; as two, each answer waits 40 ms for an acknowledgement.
            wbufsize = -1
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                assert self.headers["X-Amz-Target"] == "secretsmanager.GetSecretValue"
                assert "Credential=" in self.headers["Authorization"]
                status, answer = twin._answer(body)
                raw = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/x-amz-json-1.1")
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def put(self, secret: str, username: str, password: str) -> None:
        """A new current version; the one before becomes AWSPREVIOUS."""
        self.put_text(secret, json.dumps({"username": username, "password": password}))

    def put_text(self, secret: str, text: str) -> None:
        """The same with any text."""
        stages = self._stages.setdefault(secret, {})
        if "AWSCURRENT" in stages:
            stages["AWSPREVIOUS"] = stages["AWSCURRENT"]
        stages["AWSCURRENT"] = text
        stages.pop("AWSPENDING", None)

    def put_pending(self, secret: str, username: str, password: str) -> None:
        """What a rotation does before it makes the version current."""
        self._stages[secret]["AWSPENDING"] = json.dumps(
            {"username": username, "password": password}
        )

    def only_current(self, secret: str) -> None:
        """Forget the other versions."""
        self._stages[secret] = {"AWSCURRENT": self._stages[secret]["AWSCURRENT"]}

    def close(self) -> None:
        """End the service."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, body: Mapping[str, str]) -> tuple[int, dict[str, str]]:
        time.sleep(self.delay)
        if self.away:
            return 500, {"__type": "InternalServiceError", "message": "away"}
        secret, stage = body["SecretId"], body.get("VersionStage", "AWSCURRENT")
        self.asked.append((secret, stage))
        text = self._stages.get(secret, {}).get(stage)
        if text is None:
            return 400, {
                "__type": "ResourceNotFoundException",
                "message": f"Secrets Manager can't find the specified secret value for {stage}",
            }
        return 200, {"ARN": secret, "Name": secret, "SecretString": text, "VersionId": "v"}


@dataclass
class Context:
    """What Lambda hands over beside the event."""

    remaining_ms: int = 30_000
    aws_request_id: str = "lambda-request-id"
    function_name: str = "video-metadata-api-test"
    function_version: str = "$LATEST"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = (
        "arn:aws:lambda:ap-northeast-1:123456789012:function:video-metadata-api-test"
    )
    started: float = field(default_factory=time.monotonic)

    def get_remaining_time_in_millis(self) -> int:
        """Counts down, as the real one does."""
        return int(self.remaining_ms - (time.monotonic() - self.started) * 1000)


def proxy_event(
    method: str,
    path: str,
    *,
    query: Mapping[str, str | list[str]] | None = None,
    headers: Mapping[str, str] | None = None,
    body: str | None = None,
    encoded: bool = False,
) -> dict[str, Any]:
    """An event of a REST API's AWS_PROXY integration, payload format 1.0."""
    sent = {
        "Accept": "*/*",
        "Host": "abc123.execute-api.ap-northeast-1.amazonaws.com",
        "X-Api-Key": "the-key-value-of-a-client",
        "X-Forwarded-For": "203.0.113.7",
        "X-Forwarded-Proto": "https",
        **(headers or {}),
    }
    many = {
        name: value if isinstance(value, list) else [value] for name, value in (query or {}).items()
    }
    return {
        "resource": path,
        "path": path,
        "httpMethod": method,
        "headers": sent,
        "multiValueHeaders": {name: [value] for name, value in sent.items()},
        "queryStringParameters": {name: values[-1] for name, values in many.items()} or None,
        "multiValueQueryStringParameters": many or None,
        "pathParameters": None,
        "stageVariables": None,
        "requestContext": {
            "resourceId": "a1b2c3",
            "resourcePath": path,
            "httpMethod": method,
            "extendedRequestId": "JJbxmFVCtjMFT0w=",
            "requestTime": "23/Nov/2026:09:00:00 +0000",
            "requestTimeEpoch": 1795424400000,
            "path": f"/dev{path}",
            "accountId": "123456789012",
            "protocol": "HTTP/1.1",
            "stage": "dev",
            "domainName": "abc123.execute-api.ap-northeast-1.amazonaws.com",
            "apiId": "abc123",
            "requestId": str(uuid.uuid4()),
            "identity": {
                "apiKey": "the-key-value-of-a-client",
                "apiKeyId": API_KEY_ID,
                "sourceIp": "203.0.113.7",
                "userAgent": "curl/8.9",
            },
        },
        "body": body,
        "isBase64Encoded": encoded,
    }


@dataclass(frozen=True)
class Answer:
    """An answer as a client sees it; made only from answers that have what all must have."""

    status: int
    headers: dict[str, str]
    text: str
    seconds: float

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.text)

    @property
    def code(self) -> str:
        """The error's code."""
        code: str = self.json["error"]["code"]
        return code

    @property
    def fields(self) -> list[str]:
        """The fields an error complains about."""
        return [detail["field"] for detail in self.json["error"].get("details", [])]


def judged(result: Mapping[str, Any], event: Mapping[str, Any], seconds: float) -> Answer:
    """The answer, after the checks that hold for every one of them."""
    headers = {name: ",".join(values) for name, values in result["multiValueHeaders"].items()}
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert not result["isBase64Encoded"]
    context = event.get("requestContext")
    if isinstance(context, dict) and isinstance(context.get("requestId"), str):
        assert headers["X-Request-Id"]
    answer = Answer(result["statusCode"], headers, result["body"], seconds)
    if answer.status >= 400 and "error" in answer.json:
        error = answer.json["error"]
        assert set(error) <= {"code", "message", "request_id", "details"}
        assert error["request_id"] == headers["X-Request-Id"]
        assert headers["Content-Type"] == "application/json"
    if answer.status == 503:
        assert int(headers["Retry-After"]) > 0
    return answer


class Api:
    """The handler, called as Lambda calls it."""

    def __init__(self, handler: Any) -> None:
        self._handler = handler

    def send(self, event: Mapping[str, Any], remaining_ms: int = 30_000) -> Answer:
        """Any event."""
        started = time.monotonic()
        result = self._handler(event, Context(remaining_ms))
        return judged(result, event, time.monotonic() - started)

    def get(self, path: str = "/metadata", remaining_ms: int = 30_000, **query: Any) -> Answer:
        """A GET with a query."""
        return self.send(proxy_event("GET", path, query=query), remaining_ms)

    def post(
        self,
        document: object,
        *,
        key: str | None = None,
        remaining_ms: int = 30_000,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """A POST of a document; a str is sent as it is."""
        sent = {"Content-Type": "application/json", **(headers or {})}
        if key is not None:
            sent["Idempotency-Key"] = key
        body = document if isinstance(document, str) else json.dumps(document)
        return self.send(proxy_event("POST", "/metadata", headers=sent, body=body), remaining_ms)


def video(**fields: Any) -> dict[str, Any]:
    """A body that is taken."""
    return {"title": "Opening night", "source_uri": "s3://videos/opening.mp4", **fields}


class Environment:
    """Another execution environment: the handler in a process of its own."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("environment_process.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**os.environ, **environ, "PYTHONPATH": str(SOURCE)},
            text=True,
        )

    def send(self, event: Mapping[str, Any]) -> Answer:
        """Any event."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        started = time.monotonic()
        self._process.stdin.write(json.dumps(event) + "\n")
        self._process.stdin.flush()
        result = json.loads(self._process.stdout.readline())
        return judged(result, event, time.monotonic() - started)

    def errors(self) -> list[str]:
        """What it logged as an error, for looking at when a test fails."""
        self._log.seek(0)
        return [line for line in self._log if '"level":"ERROR"' in line]

    def close(self) -> None:
        """End it by closing its input."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()
        self._log.close()


@contextmanager
def environments(number: int, environ: Mapping[str, str]) -> Iterator[list[Environment]]:
    """Several at once."""
    started = [Environment(environ) for _ in range(number)]
    try:
        yield started
    finally:
        for each in started:
            each.close()
