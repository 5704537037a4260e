"""One execution: started, followed to its end over its history, aborted.

``follow`` yields what happened as values, in order, each once, and ends with ``Ended``. The history
tells it; DescribeExecution only decides where the history stays behind with the end. Answers that
do not come are asked for again: watching never decides how an execution went.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tapgen.cloud import Refused, Services, Throttled, Unreachable
from tapgen.engine.clock import Clock
from tapgen.engine.operation import PATIENCE_SECONDS, STALE_SECONDS
from tapgen.engine.polling import Pace
from tapgen.errors import UsageError
from tapgen.observe.history import Ended, Step, Tale

# What StartExecution takes, in bytes of UTF-8.
INPUT_BYTES = 262_144
_LONGEST_WAIT = 30.0


class BadInput(UsageError):
    """An input that Step Functions would not take."""

    def __init__(self, where: str, why: str) -> None:
        self.where, self.why = where, why
        super().__init__(f"{where}: {why}")


@dataclass(frozen=True)
class Trouble:
    """An answer did not come; it is asked for again."""

    told: str


def checked_input(content: bytes, where: str) -> str:
    """``content`` as the input of an execution, or ``BadInput`` naming ``where`` it came from."""
    if len(content) > INPUT_BYTES:
        raise BadInput(where, f"an input has at most {INPUT_BYTES // 1024} KB; this one has more")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(where, f"no UTF-8 text (byte {error.start + 1})") from None
    if not text.strip():
        raise BadInput(where, "empty; an input is JSON, {} at least")
    try:
        # NaN and Infinity are Python's own.
        json.loads(text, parse_constant=_refused)
    except json.JSONDecodeError as error:
        told = f"no JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        raise BadInput(where, told) from None
    except RecursionError:
        raise BadInput(where, "no JSON: nested too deeply") from None
    except ValueError as error:
        raise BadInput(where, f"no JSON: {error}") from None
    return text


def start(services: Services, machine: str, text: str, name: str) -> str:
    """Start an execution called ``name``; returns its ARN. Raises ``CloudError``."""
    answer = services.call(
        "stepfunctions", "start_execution", stateMachineArn=machine, name=name, input=text
    )
    return str(answer["executionArn"])


def abort(services: Services, arn: str, cause: str) -> None:
    """Stop an execution and the task it runs. Raises ``CloudError``."""
    services.call("stepfunctions", "stop_execution", executionArn=arn, error="Aborted", cause=cause)


def follow(services: Services, arn: str, clock: Clock, pace: Pace) -> Iterator[Step | Trouble]:
    """What happens in an execution, from its first state on; the last one is ``Ended``.

    Raises ``CloudError`` when it cannot be asked after any more; the execution goes on.
    """
    tale = Tale()
    begun = answered = clock.now()
    wait, looks_left = 0.0, 2
    while True:
        try:
            described = services.call("stepfunctions", "describe_execution", executionArn=arn)
            yield from tale.hear(_history(services, arn))
            answered, wait = clock.now(), 0.0
            looks_left -= described["status"] not in ("RUNNING", "PENDING_REDRIVE")
        except (Throttled, Unreachable) as error:
            if clock.now() - answered > PATIENCE_SECONDS:
                raise
            wait = min(max(wait * 2, pace(0.0)), _LONGEST_WAIT)
            yield Trouble(str(error))
        except Refused as error:
            # Neither question sees an execution at once that was started just now.
            if error.code != "ExecutionDoesNotExist" or clock.now() - begun > STALE_SECONDS:
                raise
        if tale.over:
            return
        if looks_left == 0:
            # The history is a moment behind sometimes; it had one more chance.
            yield _end_of(described)
            return
        clock.sleep(max(wait, pace(clock.now() - begun)))


def _history(services: Services, arn: str) -> Iterator[dict[str, Any]]:
    return services.pages(
        "stepfunctions", "get_execution_history", "events", executionArn=arn, maxResults=1000
    )


def _end_of(described: Mapping[str, Any]) -> Ended:
    started, stopped = described["startDate"], described.get("stopDate") or described["startDate"]
    return Ended(
        stopped,
        str(described["status"]),
        (stopped - started).total_seconds(),
        str(described.get("output") or ""),
        str(described.get("error") or ""),
        str(described.get("cause") or ""),
    )


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON value")
