"""A container's output, as its awslogs driver writes it: a stream a container, an event a line."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

from tapgen.local import reach
from tapgen.local.tasks.programs import CannotRun, Log


def open_stream(log: Log | None, account: str) -> None:
    """Make the stream. Raises ``CannotRun`` when its group is missing, as Fargate would."""
    if log is None:
        return
    logs = reach.service("cloudwatch_logs")
    with reach.module("core.responses").request_scope(account, log.region):
        status, _, body = logs._create_log_stream(
            {"logGroupName": log.group, "logStreamName": log.stream}
        )
    if status >= 400:
        told = json.loads(body)
        raise CannotRun(
            "ResourceInitializationError: failed to validate logger args: failed to create "
            f"Cloudwatch log stream: {told.get('__type')}: {told.get('message')}"
        )


def tell(log: Log | None, account: str, lines: Sequence[str]) -> None:
    """Write lines; a group that was deleted meanwhile loses them, as in non-blocking mode."""
    if log is None:
        return
    logs = reach.service("cloudwatch_logs")
    now = int(time.time() * 1000)
    with reach.module("core.responses").request_scope(account, log.region):
        logs._put_log_events(
            {
                "logGroupName": log.group,
                "logStreamName": log.stream,
                "logEvents": [{"timestamp": now, "message": line} for line in lines],
            }
        )
