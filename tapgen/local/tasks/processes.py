"""A program as a process of this machine: started, listened to, stopped, and cleared away.

A container is a group of processes: its first one hears the signals and its end is the end of all.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tapgen.local.tasks.programs import Program

# CloudWatch Logs takes events of 262,144 bytes with 26 of its own; the awslogs driver splits.
_EVENT_BYTES = 262_118
# Descendants that left the group may still hold the output open when the container has ended.
_OUTPUT_SECONDS = 1.0
# No shell's number for a signal is known to subprocess: it tells it with a minus.
_SIGNALLED = 128

Told = Callable[[Sequence[str]], None]
Ended = Callable[["Process", int], None]


class Process:
    """A running program; ``told`` hears its lines as they come, ``ended`` its exit code, once.

    Both are called on threads of this class. The constructor raises ``OSError`` when the program
    cannot be started.
    """

    def __init__(
        self,
        program: Program,
        environment: Mapping[str, str],
        folder: Path,
        *,
        told: Told,
        ended: Ended,
    ) -> None:
        self.program = program
        self._told, self._ended = told, ended
        self._timer: threading.Timer | None = None
        self._process = subprocess.Popen(
            program.argv,
            env={**environment, **program.environment},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            # One stream, as the awslogs driver keeps them: in the order in which they came.
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, name="task-output", daemon=True)
        self._reader.start()
        self._waiter = threading.Thread(target=self._wait, name="task-end", daemon=True)
        self._waiter.start()

    @property
    def pid(self) -> int:
        """The first process, and the group of all."""
        return self._process.pid

    def stop(self, seconds: float) -> None:
        """Ask it to end; after ``seconds`` it is killed. Returns at once."""
        if self._timer is not None or self._process.poll() is not None:
            return
        self._timer = threading.Timer(seconds, self.kill)
        self._timer.daemon = True
        self._timer.start()
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it and all that it started, now."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def join(self, seconds: float) -> bool:
        """Wait for the end, everything about it told; whether it came."""
        self._waiter.join(seconds)
        return not self._waiter.is_alive()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output, contextlib.suppress(ValueError):
            for line in output:
                plain = line.rstrip(b"\r\n")
                pieces = range(0, len(plain), _EVENT_BYTES)
                texts = [plain[at : at + _EVENT_BYTES].decode("utf-8", "replace") for at in pieces]
                if texts:
                    self._told(texts)

    def _wait(self) -> None:
        code = self._process.wait()
        if self._timer is not None:
            self._timer.cancel()
        # What it left running in its group goes with it, as everything in a container does.
        self.kill()
        self._reader.join(_OUTPUT_SECONDS)
        self._ended(self, _SIGNALLED - code if code < 0 else code)
