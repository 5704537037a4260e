"""Watching one operation of CloudFormation to its end, whatever the connection does meanwhile.

Only DescribeStacks decides how an operation ended. A question that goes unanswered is asked again;
expired credentials end the watching, never the operation.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from tapgen.cloud import (
    CloudError,
    CloudFormation,
    DeployedStack,
    StackEvent,
    Throttled,
    Unreachable,
)
from tapgen.engine import causes
from tapgen.engine.clock import Clock
from tapgen.engine.events import Event, MonitoringTrouble, ResourceMoved, StackFailed
from tapgen.engine.polling import Poller
from tapgen.engine.schedule import Pause, Procedure

T = TypeVar("T")
Watching = Generator[Event | Pause, None, T]

# A question may go unanswered for so long before the watching gives up; operations run on.
PATIENCE_SECONDS = 600.0
# DescribeStacks may answer with the state before an operation for a few seconds after its start
# (aws-cdk-cli #1848 met REVIEW_IN_PROGRESS after ExecuteChangeSet).
STALE_SECONDS = 30.0
# The history may be behind, or be read without what is in it: every so many looks the stack itself
# is asked too.
ASKED_ANYWAY = 5


@dataclass
class Watch:
    """One stack's operations, asked after through ``cloud`` as often as ``poller`` allows.

    ``sources`` says which line made a resource, ``last_event`` is where the history was read to;
    ``seen`` are the current operation's events. ``running`` says that an
    operation was started whose end was not seen yet.
    """

    cloud: CloudFormation
    clock: Clock
    poller: Poller
    stack: str
    sources: Mapping[str, str] = field(default_factory=dict)
    last_event: str | None = None
    seen: list[StackEvent] = field(default_factory=list)
    running: bool = False

    def begin(self, stack_id: str | None) -> Watching[None]:
        """Remember the end of the history, so that what comes after is the operation's."""
        self.seen, self.last_event = [], None
        if stack_id is not None:
            newest = yield from self.patiently(lambda: self.cloud.newest_event(stack_id))
            self.last_event = newest.id if newest else None

    def attach(self, stack: DeployedStack) -> Watching[DeployedStack | None]:
        """Follow the operation that is under way, from its first event on, to the end."""
        self.seen, self.last_event = [], None
        events = yield from self.patiently(lambda: self.cloud.events(stack.id, None))
        operation = causes.last_operation(events, stack.id)
        if earlier := events[: len(events) - len(operation)]:
            self.last_event = earlier[-1].id
        return (yield from self.to_the_end(stack.id, None))

    def to_the_end(
        self, stack_id: str, before: DeployedStack | None
    ) -> Watching[DeployedStack | None]:
        """Yield the resources' moves until the stack rests; returns it, None when it is gone.

        ``before`` is the stack as it was before the operation, None when there was none.
        """
        with self.poller.watching(self.stack):
            return (yield from self._followed(stack_id, before))

    def _followed(
        self, stack_id: str, before: DeployedStack | None
    ) -> Watching[DeployedStack | None]:
        started, self.running = self.clock.now(), True
        for look in itertools.count(1):
            yield Pause(self.poller(self.clock.now() - started))
            told = yield from self._news(stack_id)
            if told and not self._rests(stack_id) and look % ASKED_ANYWAY:
                # The history says that it goes on: no need to ask twice.
                continue
            now = yield from self.patiently(lambda: self.cloud.stack(stack_id))
            late = self.clock.now() - started > STALE_SECONDS
            if now is None:
                # A stack that was made just now may not be found yet; a deleted one is gone.
                if before is not None or self.seen or late:
                    break
            elif not now.status.endswith("_IN_PROGRESS") and (late or self._is_news(now, before)):
                self.running = False
                return now
        self.running = False
        return None

    def _rests(self, stack_id: str) -> bool:
        """Whether the last that the history tells of the stack itself is an end."""
        own = (event.status for event in reversed(self.seen) if event.physical_id == stack_id)
        return not next(own, "_IN_PROGRESS").endswith("_IN_PROGRESS")

    def patiently(self, question: Callable[[], T]) -> Watching[T]:
        """Ask until there is an answer; raises the last ``CloudError`` when patience ends."""
        started, tries = self.clock.now(), 0
        while True:
            while rest := self.poller.rest():
                yield Pause(rest)
            try:
                answer = question()
            except (Throttled, Unreachable) as error:
                if self.clock.now() - started > PATIENCE_SECONDS:
                    raise
                tries += 1
                yield MonitoringTrouble(self.stack, str(error))
                if isinstance(error, Throttled):
                    self.poller.throttled()
                else:
                    yield Pause(min(self.poller(0.0) * 2**tries, 30.0))
            else:
                self.poller.answered()
                return answer

    def reported(self, procedure: Procedure) -> Procedure:
        """Run what is done about the stack; an end that nobody saw is told, and no success."""
        try:
            return (yield from procedure)
        except CloudError as error:
            yield self._unanswered(error)
            return False

    def _unanswered(self, error: CloudError) -> StackFailed:
        runs_on = "; the operation runs on in AWS, and the same command picks it up"
        return StackFailed(self.stack, "", f"{error}{runs_on if self.running else ''}")

    def failure(self, stack: DeployedStack) -> StackFailed:
        """The report of an operation that ended in ``stack``, a state that is not good."""
        cause = causes.root_cause(self.seen)
        if cause is not None:
            reason = causes.own_words(cause, self.seen)
        else:
            # A stack at rest may have no reason any more; its events keep it.
            reason = causes.stack_reason(self.seen) or stack.reason or _last_reason(self.seen)
        return StackFailed(
            self.stack,
            stack.status,
            reason,
            cause,
            causes.remedy(reason),
            source=self.sources.get(cause.logical_id, "") if cause else "",
            stack_id=stack.id,
        )

    def _is_news(self, now: DeployedStack, before: DeployedStack | None) -> bool:
        if before is None:
            return True
        state, old = (
            (now.status, now.changed, now.reason),
            (
                before.status,
                before.changed,
                before.reason,
            ),
        )
        # A deletion refused twice leaves everything as it was, the reason of the first time
        # included; then only the event is new. Events without a reason prove nothing: they may
        # be ahead of a DescribeStacks that still answers with the state before.
        refused = any(
            event.physical_id == now.id and event.status == now.status and event.reason
            for event in self.seen
        )
        return state != old or refused

    def _news(self, stack_id: str) -> Watching[bool]:
        """Tell what is new in the history; False where it cannot be read, which decides nothing."""
        try:
            events = self.cloud.events(stack_id, self.last_event)
        except Throttled:
            self.poller.throttled()
            return False
        except CloudError:
            # The history only illustrates; the next look brings it.
            return False
        for event in events:
            self.last_event = event.id
            self.seen.append(event)
            yield ResourceMoved(self.stack, event)
        return True


def _last_reason(seen: Sequence[StackEvent]) -> str:
    return next((event.reason for event in reversed(seen) if event.reason), "no reason given")
