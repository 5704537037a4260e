"""Why an execution failed, in a few words, from what Step Functions hands on about it.

Errors come wrapped: the state machine's own end holds the caught error as JSON, and the cause of a
task that failed is the whole description of that task. What a person wants is the innermost.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

# Enough for a sentence; the execution's own page has the rest.
LENGTH = 300


def reason(error: str, cause: str) -> str:
    """``error`` and ``cause`` as one line, the innermost first: what happened, then its name."""
    inner = _object(cause)
    if inner is None:
        return shortened(f"{error}: {cause}" if error and cause else error or cause)
    if "Error" in inner:
        return reason(str(inner["Error"]), str(inner.get("Cause", "")))
    if "Containers" in inner or "StoppedReason" in inner:
        return shortened(f"{error}: {_of_task(inner)}")
    told = inner.get("errorMessage") or inner.get("message")
    return shortened(f"{error}: {told or cause}")


def shortened(text: str, length: int = LENGTH) -> str:
    """``text`` in one line of at most ``length`` characters."""
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 1]}…"


def _of_task(task: Mapping[str, Any]) -> str:
    """Why an ECS task stopped, and with which status each of its containers did."""
    codes = [
        f"exit code {container['ExitCode']}"
        for container in task.get("Containers", ())
        if container.get("ExitCode") is not None
    ]
    reasons = [str(c["Reason"]) for c in task.get("Containers", ()) if c.get("Reason")]
    told = [str(task.get("StoppedReason") or "the task stopped"), *reasons]
    return f"{': '.join(told)} ({', '.join(codes)})" if codes else ": ".join(told)


def _object(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
