"""Lambda on this machine: a function's execution environments, made when needed and kept.

Each is a process that runs AWS's own runtime client against a Runtime API of its own
(``runtime_api``). An invocation goes to one that is idle, or a new one; there are never more than
``most``, the rest of the callers wait. An environment that timed out, crashed or failed to
initialise is gone, and the next invocation gets a fresh one.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tapgen.local.gateway.description import Function
from tapgen.local.gateway.environment import Environment, Invocation, Outcome
from tapgen.local.gateway.service import InvokeFailed, InvokeTimedOut

# As many as two processors serve well; a laptop's database has connections for more.
MOST = 4


@dataclass(frozen=True)
class Deployed:
    """What an environment runs: the function, where its code is, what it sees, where it logs."""

    function: Function
    code: Path
    environ: Mapping[str, str]
    log: Path


class FunctionFailed(InvokeFailed):
    """The function ended with an error; ``payload`` is what Lambda would answer."""

    def __init__(self, outcome: Outcome) -> None:
        self.kind = _field(outcome.payload, "errorType") or outcome.error
        self.payload = outcome.payload
        super().__init__(f"{self.kind}: {_field(outcome.payload, 'errorMessage')}")


class Runtime:
    """Runs one function. Safe to be called from many threads; ``close`` ends all its processes."""

    def __init__(self, deployed: Deployed, *, most: int = MOST) -> None:
        self._deployed = deployed
        self._idle: list[Environment] = []
        self._all: set[Environment] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._pool = ThreadPoolExecutor(most, thread_name_prefix=deployed.function.name)

    def invoke(self, payload: bytes, *, seconds: float | None = None, trace: str = "") -> bytes:
        """The function's answer to an event.

        Raises ``FunctionFailed``; ``InvokeTimedOut`` when ``seconds`` are over before the function
        is done, which goes on to its own limit.
        """
        invocation = Invocation(str(uuid.uuid4()), payload, trace, time.monotonic())
        try:
            running: Future[Outcome] = self._pool.submit(self._run, invocation)
        except RuntimeError:
            raise InvokeFailed("the runtime is closed") from None
        try:
            outcome = running.result(seconds)
        except TimeoutError:
            running.cancel()
            raise InvokeTimedOut from None
        except CancelledError:
            raise InvokeFailed("the runtime was closed") from None
        if outcome.error:
            raise FunctionFailed(outcome)
        return outcome.payload

    def close(self) -> None:
        """End every environment."""
        with self._lock:
            self._closed = True
            everyone = list(self._all)
        for environment in everyone:
            environment.end()
        self._pool.shutdown(wait=True, cancel_futures=True)

    @property
    def processes(self) -> tuple[int, ...]:
        """The pids of the environments there are."""
        with self._lock:
            return tuple(environment.pid for environment in self._all)

    def _run(self, invocation: Invocation) -> Outcome:
        environment = self._environment()
        if environment is None:
            return Outcome.failed("Runtime.Closed", "the runtime is closed")
        outcome = environment.run(invocation)
        with self._lock:
            if environment.alive and not self._closed:
                self._idle.append(environment)
                return outcome
            self._all.discard(environment)
        environment.end()
        return outcome

    def _environment(self) -> Environment | None:
        with self._lock:
            while self._idle:
                # The one used last: its connections are the freshest.
                environment = self._idle.pop()
                if environment.alive:
                    return environment
                self._all.discard(environment)
                environment.end()
            if self._closed:
                return None
            deployed = self._deployed
            environment = Environment(
                deployed.function, deployed.code, deployed.environ, deployed.log
            )
            self._all.add(environment)
            return environment


def _field(payload: bytes, name: str) -> str:
    try:
        return str(json.loads(payload).get(name, ""))
    except (ValueError, AttributeError):
        return ""
