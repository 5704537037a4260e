"""One log message as text for a person.

Most of what the system writes is JSON for machines: the function's records, the access log, the
state machine's events. Each kind is known by its fields, and told as the sentence it stands for.
What is of no known kind is told as it is. Nothing of a message reaches the terminal as a command.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from tapgen.observe.reasons import reason, shortened

Record = Mapping[str, Any]

# Of a function's record: what every line of it repeats, or the line's time and source say already.
_REPEATED = frozenset(
    {
        "cold_start",
        "correlation_id",
        "function_arn",
        "function_memory_size",
        "function_name",
        "function_request_id",
        "level",
        "location",
        "logger",
        "message",
        "requestId",
        "service",
        "timestamp",
        "xray_trace_id",
    }
)
# Control characters but tab and newline, line separators and turns of direction, halves of pairs.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
# Tracebacks, which are told below the line.
_LONG = ("exception", "stackTrace")


def text(message: str) -> str:
    """``message`` for reading; it may have several lines."""
    record = _object(message)
    if record is not None:
        for fits, tell in _KINDS:
            if fits(record):
                return printable(tell(record))
    return printable(message.rstrip("\n"))


def printable(value: str) -> str:
    """``value`` without what a terminal would obey: each such character is written out."""
    return _OBEYED.sub(_written_out, value.replace("\r\n", "\n"))


def stamp(at: datetime) -> str:
    """A line's time, as ``2026-11-23T16:24:52.686Z``."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


def _written_out(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


def _execution(record: Record) -> str:
    """An event of an execution, as the state machine logs it."""
    job = str(record["execution_arn"]).rpartition(":")[2]
    details: Record = record.get("details") or {}
    told = [job, str(record["type"])]
    if "name" in details:
        told.append(str(details["name"]))
    elif "resource" in details:
        told.append(f"{details.get('resourceType', '')}:{details['resource']}".lstrip(":"))
    if details.get("error") or details.get("cause"):
        told.append(reason(str(details.get("error") or ""), str(details.get("cause") or "")))
    elif record["type"] in ("ExecutionStarted", "ExecutionSucceeded"):
        told.append(shortened(str(details.get("input") or details.get("output") or "")))
    return " ".join(part for part in told if part)


def _access(record: Record) -> str:
    """A request, as the stage logs it."""
    size = f" {record['responseLength']} bytes" if "responseLength" in record else ""
    failed = record.get("responseType", "-")
    why = "" if failed in ("-", "") else f" {failed}"
    request = f"{record['method']} {record['path']} {record['status']}{why}"
    return f"{request} {record.get('latency', '-')} ms{size} from {record.get('ip', '-')}"


def _platform(record: Record) -> str:
    """What Lambda says of an invocation."""
    inner: Record = record.get("record") or {}
    metrics: Record = inner.get("metrics") or {}
    told = [str(record["type"]), str(inner.get("status", ""))]
    if "durationMs" in metrics:
        told.append(f"{metrics['durationMs']} ms")
    if inner.get("coldStart") or "initDurationMs" in metrics:
        told.append("cold start")
    told.append(str(inner.get("errorType", "")))
    return " ".join(part for part in told if part)


def _metrics(record: Record) -> str:
    """Metrics in the embedded format."""
    sets = record["_aws"]["CloudWatchMetrics"]
    names = [metric["Name"] for one in sets for metric in one.get("Metrics", ())]
    told = [f"{name}={_value(_single(record.get(name)))}" for name in names]
    return f"metrics {' '.join(told)}"


def _function(record: Record) -> str:
    """A function's own record."""
    rest = [
        f"{key}={_value(value)}"
        for key, value in record.items()
        if key not in _REPEATED and key not in _LONG and not key.startswith("_")
    ]
    message = record["message"]
    first = message if isinstance(message, str) else _value(message)
    line = " ".join([str(record["level"]), first.rstrip("\n"), *rest])
    long = [record[key] for key in _LONG if record.get(key)]
    below = ["".join(item) if isinstance(item, list) else str(item) for item in long]
    return "\n".join([line, *(item.rstrip("\n") for item in below)])


_KINDS: tuple[tuple[Callable[[Record], bool], Callable[[Record], str]], ...] = (
    (lambda record: "execution_arn" in record and "type" in record, _execution),
    (lambda record: {"method", "path", "status", "requestTime"} <= record.keys(), _access),
    (lambda record: str(record.get("type", "")).startswith("platform."), _platform),
    (lambda record: "CloudWatchMetrics" in (_mapping(record.get("_aws"))), _metrics),
    (lambda record: "level" in record and "message" in record, _function),
)


def _single(value: Any) -> Any:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    # A count is written as 1.0, a time with all its digits.
    return f"{value:.6g}" if isinstance(value, float) else value


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _mapping(value: Any) -> Record:
    return value if isinstance(value, Mapping) else {}


def _object(message: str) -> dict[str, Any] | None:
    if not message.lstrip().startswith("{"):
        return None
    try:
        found = json.loads(message)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
