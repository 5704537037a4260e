"""What a state machine's LoggingConfiguration asks to be written to CloudWatch Logs.

One event of the history is one event of the log, in the form that Step Functions gives it there.
Delivery is best effort, as it is on AWS: a group that is missing stops no execution.
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tapgen.local import reach

# Step Functions developer guide, "CloudWatch Logs payloads": what is longer is cut.
_PAYLOAD = 248 * 1024
_ENDS = ("ExecutionFailed", "ExecutionAborted", "ExecutionTimedOut")
_BAD = ("Failed", "Aborted", "TimedOut")


def deliver(machine: Mapping[str, Any], record: Mapping[str, Any], event: dict[str, Any]) -> None:
    """Write ``event`` to the groups that the machine logs to, if its level has it."""
    wanted = machine.get("loggingConfiguration") or {}
    level = wanted.get("level", "OFF")
    if not _wanted(level, event["type"]):
        return
    message = json.dumps(
        {
            "id": str(event["id"]),
            "type": event["type"],
            "details": _details(event, data=bool(wanted.get("includeExecutionData"))),
            "previous_event_id": str(event.get("previousEventId", 0)),
            "event_timestamp": str(_milliseconds(event["timestamp"])),
            "execution_arn": record["executionArn"],
            "redrive_count": "0",
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )
    for destination in wanted.get("destinations") or []:
        arn = (destination.get("cloudWatchLogsLogGroup") or {}).get("logGroupArn", "")
        group = arn.removesuffix(":*").partition(":log-group:")[2]
        if group:
            _write(group, _stream(machine, record), message)


def _wanted(level: str, kind: str) -> bool:
    if level == "FATAL":
        return kind in _ENDS
    return level == "ALL" or (level == "ERROR" and kind.endswith(_BAD))


def _details(event: Mapping[str, Any], *, data: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, details in event.items():
        if key.endswith("EventDetails"):
            found = dict(details)
    for name in ("input", "output", "parameters"):
        if name not in found:
            continue
        if not data:
            del found[name]
        elif name != "parameters":
            # Escaped, which is how it stands in the log.
            cut = len(json.dumps(found[name], ensure_ascii=False).encode()) > _PAYLOAD
            if cut:
                found[name] = found[name].encode()[: _PAYLOAD // 2].decode("utf-8", "ignore")
            found[f"{name}Details"] = {"truncated": cut}
    return found


def _stream(machine: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    began = datetime.fromisoformat(record["startDate"].replace("Z", "+00:00"))
    shard = zlib.crc32(record["executionArn"].encode())
    return f"states/{machine['name']}/{began:%Y-%m-%d-%H-%M}/{shard:08x}"


def _milliseconds(stamp: str) -> int:
    return round(datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp() * 1000)


def _write(group: str, stream: str, message: str) -> None:
    logs = reach.service("cloudwatch_logs")
    if group not in logs._log_groups:
        return
    named = {"logGroupName": group, "logStreamName": stream}
    # A stream that exists is refused, which is all right.
    logs._create_log_stream(named)
    # The machine's time, also where the execution's runs ahead of it: a log is read beside others.
    now = int(time.time() * 1000)
    logs._put_log_events({**named, "logEvents": [{"timestamp": now, "message": message}]})
