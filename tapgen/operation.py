"""Watching one operation of CloudFormation to its end, whatever the connection does meanwhile.

Only DescribeStacks decides how an operation ended. A question that goes unanswered is asked again;
expired credentials end the watching, never the operation.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from tapgen import causes
from tapgen.cloud import (
    CloudError,
    CloudFormation,
    DeployedStack,
    StackEvent,
    Throttled,
    Unreachable,
)
from tapgen.events import Event, MonitoringTrouble, ResourceMoved, StackFailed
from tapgen.schedule import Clock, Pause

T = TypeVar("T")
Watching = Generator[Event | Pause, None, T]

# A question may go unanswered for so long before the watching gives up; operations run on.
PATIENCE_SECONDS = 600.0
# DescribeStacks may answer with the state before an operation for a few seconds after its start
# (aws-cdk-cli #1848 met REVIEW_IN_PROGRESS after ExecuteChangeSet).
STALE_SECONDS = 30.0

Pace = Callable[[float], float]


def aws_pace(elapsed: float) -> float:
    """Seconds to the next question: 3 % of the time passed, at least 2, at most 20."""
    return min(max(2.0, elapsed * 0.03), 20.0)


def local_pace(elapsed: float) -> float:
    """The embedded AWS finishes most operations before the first question."""
    return min(max(0.02, elapsed * 0.2), 1.0)


@dataclass
class Watch:
    """One stack's operations, asked after through ``cloud`` at ``pace``.

    ``last_event`` is where the history was read to; ``seen`` the current operation's events.
    """

    cloud: CloudFormation
    clock: Clock
    pace: Pace
    stack: str
    last_event: str | None = None
    seen: list[StackEvent] = field(default_factory=list)

    def begin(self, stack_id: str | None) -> None:
        """Remember the end of the history, so that what comes after is the operation's."""
        self.seen = []
        events = self.cloud.events(stack_id, None) if stack_id else []
        self.last_event = events[-1].id if events else None

    def to_the_end(
        self, stack_id: str, before: DeployedStack | None
    ) -> Watching[DeployedStack | None]:
        """Yield the resources' moves until the stack rests; returns it, None when it is gone.

        ``before`` is the stack as it was before the operation, None when there was none.
        """
        started = self.clock.now()
        while True:
            yield Pause(self.pace(self.clock.now() - started))
            now = yield from self.patiently(lambda: self.cloud.stack(stack_id))
            yield from self._news(stack_id)
            if now is None or now.status == "DELETE_COMPLETE":
                return None
            fresh = self._is_news(now, before) or self.clock.now() - started > STALE_SECONDS
            if fresh and not now.status.endswith("_IN_PROGRESS"):
                return now

    def patiently(self, question: Callable[[], T]) -> Watching[T]:
        """Ask until there is an answer; raises the last ``CloudError`` when patience ends."""
        started, tries = self.clock.now(), 0
        while True:
            try:
                return question()
            except (Throttled, Unreachable) as error:
                if self.clock.now() - started > PATIENCE_SECONDS:
                    raise
                tries += 1
                yield MonitoringTrouble(self.stack, str(error))
                yield Pause(min(self.pace(0.0) * 2**tries, 30.0))

    def failure(self, stack: DeployedStack) -> StackFailed:
        """The report of an operation that ended in ``stack``, a state that is not good."""
        cause = causes.root_cause(self.seen)
        reason = cause.reason if cause else stack.reason or _last_reason(self.seen)
        return StackFailed(
            self.stack, stack.status, reason, cause, causes.remedy(reason or stack.reason)
        )

    def _is_news(self, now: DeployedStack, before: DeployedStack | None) -> bool:
        if self.seen or before is None:
            return now.status != "REVIEW_IN_PROGRESS"
        return (now.status, now.changed, now.reason) != (
            before.status,
            before.changed,
            before.reason,
        )

    def _news(self, stack_id: str) -> Watching[None]:
        try:
            events = self.cloud.events(stack_id, self.last_event)
        except CloudError:
            # The history only illustrates; the next question brings it.
            return
        for event in events:
            self.last_event = event.id
            self.seen.append(event)
            yield ResourceMoved(self.stack, event)


def _last_reason(seen: Sequence[StackEvent]) -> str:
    return next((event.reason for event in reversed(seen) if event.reason), "no reason given")
