"""The recent executions of a state machine, and why the failed ones failed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from tapgen.cloud import Services
from tapgen.observe.reasons import reason

# The ends that have an error, which only a description of the execution tells.
_FAILED = frozenset({"FAILED", "TIMED_OUT", "ABORTED"})
# What ListExecutions gives at once at most.
_PAGE = 1000


@dataclass(frozen=True)
class Execution:
    """One run. ``stopped`` is None while it runs; ``error`` and ``cause`` are as AWS has them."""

    arn: str
    name: str
    status: str
    started: datetime
    stopped: datetime | None = None
    error: str = ""
    cause: str = ""

    def seconds(self, now: datetime) -> float:
        """How long it took, or has been running."""
        return max(0.0, ((self.stopped or now) - self.started).total_seconds())

    @property
    def why(self) -> str:
        """Why it failed, in a line; empty where it did not."""
        return reason(self.error, self.cause)


def recent(services: Services, machine: str, limit: int) -> list[Execution]:
    """The last ``limit`` executions, newest first. Raises ``CloudError``."""
    listed = services.pages(
        "stepfunctions",
        "list_executions",
        "executions",
        stateMachineArn=machine,
        maxResults=min(limit, _PAGE),
    )
    found = [_described(services, item) for item in islice(listed, limit)]
    # AWS puts an ended one where it ended.
    return sorted(found, key=lambda execution: execution.started, reverse=True)


def _described(services: Services, item: dict[str, object]) -> Execution:
    told = item
    if item["status"] in _FAILED:
        told = services.call(
            "stepfunctions", "describe_execution", executionArn=item["executionArn"]
        )
    started, stopped = item["startDate"], item.get("stopDate")
    assert isinstance(started, datetime)
    return Execution(
        arn=str(item["executionArn"]),
        name=str(item["name"]),
        status=str(item["status"]),
        started=started,
        stopped=stopped if isinstance(stopped, datetime) else None,
        error=str(told.get("error") or ""),
        cause=str(told.get("cause") or ""),
    )
