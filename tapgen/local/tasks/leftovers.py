"""Processes of tasks whose server was killed: written down while they run, ended by the next one.

A process is known by its number and the moment it started at: numbers are given again. Where the
kernel does not tell the moment, nothing is written down and nothing is ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterable
from pathlib import Path

_SUFFIX = ".running"


def note(folder: Path, task_id: str, pids: Iterable[int]) -> None:
    """Write down that these run for the task."""
    known = [(pid, moment) for pid in pids if (moment := _started(pid)) is not None]
    folder.joinpath(task_id + _SUFFIX).write_text(json.dumps(known), encoding="utf-8")


def forget(folder: Path, task_id: str) -> None:
    """They have ended."""
    folder.joinpath(task_id + _SUFFIX).unlink(missing_ok=True)


def end(folder: Path) -> None:
    """End every process that is still written down, with all that it started."""
    for path in folder.glob(f"*{_SUFFIX}"):
        with contextlib.suppress(OSError, ValueError):
            for pid, moment in json.loads(path.read_text(encoding="utf-8")):
                if _started(pid) == moment:
                    os.killpg(pid, signal.SIGKILL)
        path.unlink(missing_ok=True)


def _started(pid: int) -> str | None:
    """When the process started, in the kernel's ticks; ``None`` when it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name, in brackets, may hold anything; the moment is the twentieth word after it.
    return stat.rpartition(")")[2].split()[19]
