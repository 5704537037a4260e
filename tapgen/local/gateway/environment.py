"""One execution environment: the process, its Runtime API, and the invocation in hand.

The process is a session of its own, killed as a whole, and sees the function's variables, Lambda's
own, and a short list of this machine's. It holds one end of a pipe: when this process is gone,
however it went, the other end closes and it ends itself (``execution_process``).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tapgen.local.gateway.description import Function
from tapgen.local.gateway.runtime_api import RuntimeApi

# Lambda gives an initialisation so long, and then once more within the invocation's own time.
INIT_SECONDS = 10.0
# What a function may know of the machine it runs on. Everything else stays behind.
PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR")
_PROCESS = Path(__file__).with_name("execution_process.py")


@dataclass(frozen=True)
class Outcome:
    """How an invocation ended: a payload, and Lambda's word for the error if it was one."""

    payload: bytes
    error: str = ""

    @classmethod
    def failed(cls, error: str, message: str) -> Outcome:
        """An error of the environment rather than of the code."""
        return cls(json.dumps({"errorType": error, "errorMessage": message}).encode(), error)


@dataclass
class Invocation:
    """One event on its way through an environment."""

    id: str
    payload: bytes
    trace: str
    asked: float
    # Set when the code has it, and when it is over.
    begun: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)
    deadline_ms: int = 0
    outcome: Outcome | None = None

    def end(self, outcome: Outcome) -> None:
        """The first end counts."""
        if self.outcome is None:
            self.outcome = outcome
        self.begun.set()
        self.over.set()


class Environment:
    """Started at once; initialises while the first invocation waits."""

    def __init__(
        self, function: Function, code: Path, environ: Mapping[str, str], log: Path
    ) -> None:
        self._function = function
        self._current: Invocation | None = None
        self._fatal: Outcome | None = None
        self._lock = threading.Lock()
        self._api = RuntimeApi(self)
        reading, writing = os.pipe()
        # An object: a number closed twice may be somebody else's by the second time.
        self._lifeline = os.fdopen(writing, "wb", buffering=0)
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log.open("ab", buffering=0)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-s", str(_PROCESS), str(reading), function.handler],
                cwd=code,
                env=variables(function, code, environ, self._api.address),
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                pass_fds=(reading,),
                start_new_session=True,
            )
        finally:
            os.close(reading)
        self._told_init = False
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it can take another invocation."""
        return self._fatal is None and self._process.poll() is None

    def run(self, invocation: Invocation) -> Outcome:
        """Wait for an invocation's end, or make one when its time is up."""
        with self._lock:
            self._current = invocation
            ended = self._fatal
        if ended is not None:
            invocation.end(ended)
        limit = self._function.timeout
        self._api.offer(invocation)
        if not invocation.begun.wait(INIT_SECONDS + limit):
            self._kill(Outcome.failed("Sandbox.Timedout", "the initialisation took too long"))
        elif not invocation.over.wait(limit):
            now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            self._kill(
                Outcome.failed(
                    "Sandbox.Timedout",
                    f"{now} {invocation.id} Task timed out after {limit:.2f} seconds",
                )
            )
        invocation.over.wait()
        self._report(invocation)
        with self._lock:
            self._current = None
        assert invocation.outcome is not None
        return invocation.outcome

    def delivered(self, invocation: Invocation) -> str:
        """The code asked for the invocation: its time begins. Returns its deadline."""
        milliseconds = int((time.time() + self._function.timeout) * 1000)
        invocation.deadline_ms = milliseconds
        invocation.begun.set()
        return str(milliseconds)

    @property
    def arn(self) -> str:
        """The function's."""
        return self._function.arn

    def answered(self, invocation_id: str, outcome: Outcome) -> bool:
        """The code has an answer; False when nobody asked for it."""
        with self._lock:
            current = self._current
            if current is None or current.id != invocation_id or current.over.is_set():
                return False
            current.end(outcome)
            return True

    def unfit(self, outcome: Outcome) -> None:
        """The initialisation failed: whatever waits fails with it."""
        with self._lock:
            self._fatal = self._fatal or outcome
            current = self._current
        if current is not None:
            current.end(outcome)

    def end(self) -> None:
        """Kill the process and all it started; may be repeated. Nothing is left afterwards."""
        self._kill(Outcome.failed("Runtime.Closed", "the environment was ended"))
        self._watcher.join()
        self._lifeline.close()
        self._log.close()

    def _kill(self, outcome: Outcome) -> None:
        self.unfit(outcome)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _watch(self) -> None:
        status = self._process.wait()
        # What it may have started dies with it, as a sandbox would.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        told = f"exit status {status}" if status >= 0 else f"signal: {signal.Signals(-status).name}"
        self.unfit(Outcome.failed("Runtime.ExitError", f"Runtime exited with error: {told}"))
        self._api.close()

    def _report(self, invocation: Invocation) -> None:
        """A line like Lambda's own, so that the log says how long things took."""
        outcome = invocation.outcome
        record: dict[str, object] = {
            "requestId": invocation.id,
            "status": "error" if outcome and outcome.error else "success",
            "metrics": {"durationMs": round((time.monotonic() - invocation.asked) * 1000, 2)},
        }
        if outcome and outcome.error:
            record["errorType"] = outcome.error
        if not self._told_init:
            self._told_init = record["coldStart"] = True
        time_of = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = {"time": time_of, "type": "platform.report", "record": record}
        with contextlib.suppress(OSError, ValueError):
            self._log.write(json.dumps(line).encode() + b"\n")


def variables(
    function: Function, code: Path, environ: Mapping[str, str], api: str
) -> dict[str, str]:
    """What the process sees. ``environ`` overlays the template's variables."""
    region = function.arn.split(":")[3]
    found = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    found |= {
        "AWS_DEFAULT_REGION": region,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python{sys.version_info[0]}.{sys.version_info[1]}",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory),
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_FORMAT": function.log_format,
        "AWS_LAMBDA_LOG_GROUP_NAME": function.log_group,
        "AWS_LAMBDA_LOG_STREAM_NAME": datetime.now(UTC).strftime("%Y/%m/%d/[$LATEST]local"),
        "AWS_LAMBDA_RUNTIME_API": api,
        "AWS_REGION": region,
        "LAMBDA_TASK_ROOT": str(code),
        "LANG": "en_US.UTF-8",
        "PYTHONPATH": str(code),
        "TZ": ":UTC",
        "_HANDLER": function.handler,
        **({"AWS_LAMBDA_LOG_LEVEL": function.log_level} if function.log_level else {}),
        # No profile of whoever runs this is the function's.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    return {**found, **function.environment, **environ}
