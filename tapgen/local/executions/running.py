"""One execution under way: its clock, its history, and its one end.

An execution may be ended from outside, by StopExecution, while its own thread is in the middle of
something. Whoever ends it first has ended it: after that nothing is added to its history, and the
thread finds out by ``Over`` the next time it tries.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tapgen.local import reach
from tapgen.local.executions import execution_log
from tapgen.local.pace import Clock

Record = dict[str, Any]
Details = dict[str, Any]


class Over(Exception):
    """The execution has ended already: its thread has nothing more to do."""


class OutOfTime(Exception):
    """The state machine's own TimeoutSeconds are over, which nothing in it catches."""


def text(value: Any) -> str:
    """``value`` as Step Functions writes data: compact, and characters as they are."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class Running:
    """An execution under way over the emulator's ``record`` of it."""

    def __init__(self, record: Record, machine: Record, clock: Clock) -> None:
        self.record, self.clock = record, clock
        self._machine = machine
        self._lock = threading.Lock()
        self._closed = False
        self._until = float("inf")
        self._entered = False
        self._limited = ""
        record["events"][0]["previousEventId"] = 0
        execution_log.deliver(machine, record, record["events"][0])

    @property
    def over(self) -> bool:
        """Whether it has ended, or is to be left alone."""
        return self._closed or self.record["status"] != "RUNNING"

    def limit(self, seconds: float | None) -> None:
        """End it when it has taken this long."""
        if seconds is not None:
            began = datetime.fromisoformat(self.record["startDate"].replace("Z", "+00:00"))
            self._until = began.timestamp() + seconds
            self._limited = _iso(self._until)

    def close(self) -> None:
        """Leave it as it is: the embedded AWS ends."""
        self._closed = True
        self.clock.wake()

    def add(self, kind: str, details: Details | None = None) -> None:
        """One more event. Raises ``Over``, or ``OutOfTime``, when there can be none."""
        self.check()
        with self._lock:
            if self.over:
                raise Over
            self._append(kind, details or {})

    def check(self) -> None:
        """Raise what keeps the execution from going on, if anything does."""
        if self.over:
            raise Over
        if self.clock.now() >= self._until:
            raise OutOfTime

    def wait(self, seconds: float | None, done: Callable[[], bool]) -> bool:
        """Wait until ``done``, at most ``seconds``; whether it is done.

        Raises ``Over`` when the execution is ended meanwhile, ``OutOfTime`` when its time is up
        first.
        """
        patience = float("inf") if seconds is None else self.clock.now() + seconds
        until = min(patience, self._until)
        ready = self.clock.wait(until, lambda: self.over or done())
        if ready and not self.over:
            return True
        # At the same moment the execution's limit wins over a state's.
        self.check()
        return False

    def end(self, status: str, kind: str, details: Details, **facts: Any) -> bool:
        """End it, unless somebody else has; whether this did."""
        with self._lock:
            if self.over:
                return False
            self.record.update(facts)
            self.record["stopDate"] = self._limited if status == "TIMED_OUT" else self._now()
            self._append(kind, details)
            # Last: who sees the status finds everything else in place.
            self.record["status"] = status
        self.clock.wake()
        reach.service("stepfunctions")._emit_execution_status_event(self.record)
        return True

    def _append(self, kind: str, details: Details) -> None:
        events = self.record["events"]
        first_state = kind.endswith("StateEntered") and not self._entered
        self._entered = self._entered or first_state
        event = {
            "id": len(events) + 1,
            "type": kind,
            "timestamp": self._limited if kind == "ExecutionTimedOut" else self._now(),
            # Step Functions' quirk: neither of these follows from the event before it.
            "previousEventId": 0 if first_state or kind == "ExecutionTimedOut" else len(events),
            **details,
        }
        events.append(event)
        execution_log.deliver(self._machine, self.record, event)

    def _now(self) -> str:
        return _iso(self.clock.now())


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
