"""What operators see: log lines, metrics, traces; what the function brings along."""

from __future__ import annotations

import io
import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from api_parts import SOURCE, Api, proxy_event, video


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    from video_api.handler import logger

    stream = io.StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", stream)
    return stream


def test_a_request_is_one_line_with_its_id_and_what_became_of_it(
    api: Api, log: io.StringIO
) -> None:
    event = proxy_event("GET", "/metadata", query={"limit": "0"})

    api.send(event)

    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert len(lines) == 1
    assert lines[0]["correlation_id"] == event["requestContext"]["requestId"]
    told = {name: lines[0][name] for name in ("level", "message", "operation", "status", "code")}
    assert told == {
        "level": "INFO",
        "message": "request",
        "operation": "GET /metadata",
        "status": 400,
        "code": "invalid_request",
    }


def test_metrics_are_in_the_namespace_that_the_role_may_write(
    api: Api, empty: None, capsys: pytest.CaptureFixture[str]
) -> None:
    api.get()
    api.get()
    api.get(limit="0")

    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line]
    requests = [each for each in printed if "Requests" in each]
    assert {each["_aws"]["CloudWatchMetrics"][0]["Namespace"] for each in printed} == {
        "VideoProcessing"
    }
    assert [("CacheMiss" in e, "CacheHit" in e, "ClientErrors" in e) for e in requests] == [
        (True, False, False),
        (False, True, False),
        (False, False, True),
    ]


def test_a_request_has_28_seconds_or_a_second_less_than_lambda_leaves() -> None:
    from video_api.budget import Deadline

    budgets = [Deadline.of_request(left, lambda: 0.0).left() for left in (30_000, 10_000, 500)]

    # API Gateway gives up at 29 s.
    assert [*budgets, Deadline.of_request(None, lambda: 0.0).left()] == [28.0, 9.0, 0.0, 28.0]


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[dict[str, Any]]]]:
    """X-Ray's daemon: a UDP socket that is sent subsegments."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(1)
        monkeypatch.setenv("AWS_XRAY_DAEMON_ADDRESS", f"127.0.0.1:{sock.getsockname()[1]}")

        def received(wait: bool = True) -> list[dict[str, Any]]:
            sock.settimeout(1 if wait else 0)
            documents: list[dict[str, Any]] = []
            while not documents or not documents[-1]["name"].startswith("##"):
                header, _, body = sock.recv(65536).partition(b"\n")
                assert json.loads(header) == {"format": "json", "version": 1}
                documents.append(json.loads(body))
            return documents

        yield received


TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled="


def test_a_sampled_request_is_traced_down_to_database_and_cache(
    api: Api, empty: None, daemon: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_X_AMZN_TRACE_ID", TRACE + "1")

    api.post(video(title="not in the trace"))

    documents = daemon()
    outer = documents[-1]
    assert [each["name"] for each in documents] == ["database", "cache", "## handler"]
    assert outer["parent_id"] == "53995c3f42cd8ad8"
    assert {each["parent_id"] for each in documents[:-1]} == {outer["id"]}
    for each in documents:
        assert each["trace_id"] == "1-5759e988-bd862e3fe1be46a994272793"
        assert each["start_time"] <= each["end_time"]
        assert re.fullmatch("[0-9a-f]{16}", each["id"])
    assert outer["annotations"]["Service"] == "video-metadata-api"
    assert "not in the trace" not in json.dumps(documents)


def test_a_request_that_is_not_sampled_sends_nothing(
    api: Api, daemon: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_X_AMZN_TRACE_ID", TRACE + "0")
    api.get("/nowhere")
    monkeypatch.setenv("_X_AMZN_TRACE_ID", TRACE + "1")
    api.get("/nowhere/else")

    # Loopback keeps the order: had the first sent something, it would come first.
    assert [each["annotations"]["ColdStart"] for each in daemon()] == [False]
    with pytest.raises(BlockingIOError):
        daemon(wait=False)


@pytest.mark.parametrize("trace", ["", "garbage", "Root=", "Root=x;Parent=;Sampled=1", ";;;="])
def test_a_trace_header_of_any_kind_is_no_failure(
    api: Api, monkeypatch: pytest.MonkeyPatch, trace: str
) -> None:
    monkeypatch.setenv("_X_AMZN_TRACE_ID", trace)
    monkeypatch.setenv("AWS_XRAY_DAEMON_ADDRESS", "127.0.0.1:9")

    assert api.get("/nowhere").status == 404


def test_importing_the_handler_needs_no_environment_and_no_aws() -> None:
    code = (
        "import sys, video_api.handler, video_api.migrate\n"
        "unwanted = {'boto3', 'botocore.client', 'aws_xray_sdk', 'pydantic'}\n"
        "loaded = unwanted & set(sys.modules)\n"
        "assert not loaded, loaded"
    )

    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_in_lambda_the_aws_client_is_made_before_the_first_request() -> None:
    code = "import sys, video_api.handler\nassert 'botocore.client' in sys.modules"
    lambdas = {
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "DB_SECRET_ARN": "arn:aws:secretsmanager:ap-northeast-1:123456789012:secret:s-AbCdEf",
    }

    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(SOURCE), **lambdas},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")


def lock() -> dict[str, tuple[str, list[str]]]:
    """Name to version and hashes."""
    text = (SOURCE / "requirements.lock").read_text()
    return {
        match[1]: (match[2], re.findall(r"--hash=sha256:([0-9a-f]{64})", match[3]))
        for match in re.finditer(
            r"^([a-z0-9-]+)==(\S+) \\\n((?:    --hash=\S+(?: \\)?\n)+)", text, re.M
        )
    }


def test_the_lock_pins_everything_by_hash_and_leaves_out_what_the_runtime_has() -> None:
    locked = lock()

    assert set(locked) == {
        "asn1crypto", "aws-lambda-powertools", "jmespath", "pg8000", "python-dateutil", "redis",
        "scramp", "six", "typing-extensions",
    }  # fmt: skip
    assert all(hashes for _, hashes in locked.values())


def test_what_is_tested_here_is_what_is_locked() -> None:
    from importlib.metadata import version

    assert {name: version(name) for name in lock()} == {name: v for name, (v, _) in lock().items()}


def test_every_requirement_is_locked() -> None:
    wanted = [
        re.split(r"[<>=!~]", line)[0]
        for line in (SOURCE / "requirements.in").read_text().splitlines()
        if line and not line.startswith("#")
    ]

    assert set(wanted) <= set(lock())
