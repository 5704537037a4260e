"""Lambda on this machine: AWS's own runtime client, real processes, small functions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from small_api import proxied, request, served, template

from tapgen.local.gateway.description import Function
from tapgen.local.gateway.environment import variables
from tapgen.local.gateway.runtime import Deployed, FunctionFailed, Runtime
from tapgen.local.gateway.service import InvokeFailed, InvokeTimedOut

CODE = """
import json, os, subprocess, sys, threading, time

COUNT = [0]
if os.environ.get("BREAK_INIT") and not os.path.exists(os.environ["BREAK_INIT"]):
    open(os.environ["BREAK_INIT"], "w").close()
    raise RuntimeError("not this time")

def handler(event, context):
    COUNT[0] += 1
    what = event.get("do")
    if what == "sleep":
        time.sleep(event["seconds"])
    elif what == "spin":
        while True: pass
    elif what == "raise":
        raise ValueError("on purpose")
    elif what == "exit":
        os._exit(3)
    elif what == "large":
        return "x" * (6 * 1024 * 1024)
    elif what == "hoard":
        return len(bytearray(300 * 1024 * 1024))
    elif what == "child":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        return {"pid": os.getpid(), "child": child.pid}
    elif what == "variables":
        return dict(os.environ)
    print("counted", COUNT[0])
    return {
        "pid": os.getpid(), "count": COUNT[0], "event": event, "id": context.aws_request_id,
        "left": context.get_remaining_time_in_millis(), "name": context.function_name,
        "memory": context.memory_limit_in_mb, "arn": context.invoked_function_arn,
        "trace": os.environ.get("_X_AMZN_TRACE_ID"),
    }
"""
FUNCTION = Function(
    logical_id="Small",
    name="small",
    arn="arn:aws:lambda:ap-northeast-1:123456789012:function:small",
    handler="small.handler",
    timeout=1.0,
    memory=256,
    environment={"COLOUR": "blue"},
    code_key="",
    log_group="/aws/lambda/small",
    log_format="JSON",
    log_level="INFO",
)


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("code")
    (folder / "small.py").write_text(CODE)
    return folder


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "small.log"


@pytest.fixture
def runtime(code: Path, log: Path) -> Iterator[Callable[..., Runtime]]:
    """Make runtimes; all are closed afterwards, and must leave no process."""
    made: list[Runtime] = []

    def make(most: int = 2, **environ: str) -> Runtime:
        made.append(Runtime(Deployed(FUNCTION, code, environ, log), most=most))
        return made[-1]

    yield make
    pids = [pid for each in made for pid in each.processes]
    for each in made:
        each.close()
    assert [pid for pid in pids if runs(pid)] == []


def call(runtime: Runtime, **event: Any) -> Any:
    return json.loads(runtime.invoke(json.dumps(event).encode(), trace="Root=1-a;Sampled=0"))


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def gone(pid: int, seconds: float = 3.0) -> bool:
    until = time.monotonic() + seconds
    while runs(pid) and time.monotonic() < until:
        time.sleep(0.01)
    return not runs(pid)


def test_an_environment_is_kept_and_knows_what_lambda_tells(
    runtime: Callable[..., Runtime], log: Path
) -> None:
    small = runtime()

    first, second = call(small, a="é"), call(small)

    assert first["event"] == {"a": "é"}
    assert (first["pid"], second["count"]) == (second["pid"], 2)
    assert 500 < first["left"] <= 1000
    assert (first["name"], first["memory"], first["trace"]) == (
        "small",
        "256",
        "Root=1-a;Sampled=0",
    )
    assert first["arn"] == FUNCTION.arn
    told = log.read_text()
    assert "counted 1" in told
    assert [json.loads(x)["record"]["status"] for x in told.splitlines() if "platform." in x] == [
        "success",
        "success",
    ]


def test_a_warm_call_takes_a_few_milliseconds(runtime: Callable[..., Runtime]) -> None:
    small = runtime()
    call(small)
    started = time.perf_counter()

    for _ in range(20):
        call(small)

    # A packet that waits for its acknowledgement would take 40 ms each time.
    assert (time.perf_counter() - started) / 20 < 0.02


def test_a_function_sees_its_variables_and_nothing_of_the_caller_s(
    runtime: Callable[..., Runtime], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "mine")
    monkeypatch.setenv("SECRET_CANARY", "mine")

    seen = call(runtime(EXTRA="1"), do="variables")

    assert (seen["COLOUR"], seen["EXTRA"], seen["AWS_REGION"]) == ("blue", "1", "ap-northeast-1")
    assert (seen["AWS_LAMBDA_LOG_FORMAT"], seen["AWS_LAMBDA_LOG_LEVEL"]) == ("JSON", "INFO")
    assert {"SECRET_CANARY", "AWS_PROFILE", "HOME", "USER"} & set(seen) == set()


def test_what_the_caller_hands_over_wins_over_the_template_s_variables() -> None:
    found = variables(FUNCTION, Path("/task"), {"COLOUR": "red"}, "127.0.0.1:1")

    assert (found["COLOUR"], found["LAMBDA_TASK_ROOT"], found["PYTHONPATH"]) == (
        "red",
        "/task",
        "/task",
    )


@pytest.mark.parametrize(
    ("what", "kind", "text"),
    [
        ("raise", "ValueError", "on purpose"),
        ("exit", "Runtime.ExitError", "exit status 3"),
        ("large", "Function.ResponseSizeTooLarge", "6291456 bytes"),
        ("hoard", "MemoryError", ""),
        ("spin", "Sandbox.Timedout", "Task timed out after 1.00 seconds"),
    ],
)
def test_a_failure_is_told_in_lambda_s_words_and_the_next_call_is_served(
    runtime: Callable[..., Runtime], what: str, kind: str, text: str
) -> None:
    small = runtime()

    with pytest.raises(FunctionFailed) as caught:
        call(small, do=what)

    assert caught.value.kind == kind
    assert text in str(caught.value)
    assert call(small)["count"] in (1, 2)


def test_an_initialisation_that_fails_fails_the_call_and_the_next_one_gets_another(
    runtime: Callable[..., Runtime], tmp_path: Path, log: Path
) -> None:
    small = runtime(BREAK_INIT=str(tmp_path / "broken-once"))

    with pytest.raises(FunctionFailed) as caught:
        call(small)

    assert "not this time" in str(caught.value)
    assert call(small)["count"] == 1
    assert "RuntimeError" in log.read_text()


def test_a_caller_who_gives_up_leaves_the_function_to_its_own_limit(
    runtime: Callable[..., Runtime],
) -> None:
    small = runtime(most=1)
    first = call(small)["pid"]

    with pytest.raises(InvokeTimedOut):
        small.invoke(json.dumps({"do": "sleep", "seconds": 0.4}).encode(), seconds=0.1)
    after = call(small)

    # It was waited for: the environment is the same, and had counted the abandoned call.
    assert (after["pid"], after["count"]) == (first, 3)


def test_the_gateway_gives_up_before_the_function_does(runtime: Callable[..., Runtime]) -> None:
    document = template(Post=proxied(method="POST"))
    document["Resources"]["Post"]["Properties"]["Integration"]["TimeoutInMillis"] = 150
    small = runtime(most=1)
    call(small)

    def invoke(function: str, payload: bytes, *, seconds: float, trace: str = "") -> bytes:
        event = json.loads(json.loads(payload)["body"])
        small.invoke(json.dumps(event).encode(), seconds=seconds, trace=trace)
        return b'{"statusCode": 200}'

    service = served(document, invoke, clock=time.monotonic)
    started = time.monotonic()
    late = service.answer(request("POST", body=b'{"do": "sleep", "seconds": 0.5}'))
    took = time.monotonic() - started
    broken = service.answer(request("POST", body=b'{"do": "raise"}'))

    assert (late.status, broken.status) == (504, 504)
    assert took < 0.45
    time.sleep(0.5)
    assert service.answer(request("POST", body=b'{"do": "raise"}')).status == 502
    assert service.answer(request("POST", body=b"{}")).status == 200


def test_there_are_never_more_environments_than_allowed(runtime: Callable[..., Runtime]) -> None:
    small = runtime(most=2)

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: call(small, do="sleep", seconds=0.05), range(6)))

    assert len({one["pid"] for one in found}) == 2


def test_what_a_function_started_ends_with_its_environment(
    runtime: Callable[..., Runtime],
) -> None:
    small = runtime()
    found = call(small, do="child")
    assert runs(found["child"])

    small.close()

    assert not runs(found["pid"])
    assert gone(found["child"])
    with pytest.raises(InvokeFailed):
        call(small)


def test_closing_twice_closes_nothing_of_anybody_else(runtime: Callable[..., Runtime]) -> None:
    small = runtime()
    call(small)
    small.close()

    # The numbers that were just given back are the next to be given out.
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(8)]
    small.close()

    for number in opened:
        os.fstat(number)
        os.close(number)


# The one that will be killed: two environments, one of them busy for ever.
SERVING = """
import json, sys, threading, time
from pathlib import Path
from test_gateway_runtime import FUNCTION, Deployed, Runtime, call
small = Runtime(Deployed(FUNCTION, Path(sys.argv[1]), {}, Path(sys.argv[2])))
found = call(small, do="child")
threading.Thread(target=call, args=(small,), kwargs={"do": "spin"}, daemon=True).start()
time.sleep(0.1)
print(json.dumps(found), flush=True)
time.sleep(30)
"""


def test_nothing_is_left_when_the_process_that_serves_is_killed(code: Path, log: Path) -> None:
    here = Path(__file__).parent
    serving = subprocess.Popen(
        [sys.executable, "-c", SERVING, str(code), str(log)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(here), str(here.parents[1])])},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert serving.stdout is not None
    found = json.loads(serving.stdout.readline())

    serving.kill()
    serving.communicate()

    assert gone(found["pid"])
    assert gone(found["child"])
