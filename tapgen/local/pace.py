"""How fast time passes: an execution's clock, and the pace at which its waits are really waited.

A state machine waits for minutes where a test has milliseconds. At a pace of 0.01 a wait of 10 s
takes 0.1 s, and the execution's clock still moves on by 10 s: its history reads as on AWS. Work is
not faster for it, so what a process does is written down with the time that it took.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable

# The pace of accounts for which nobody asked for another one.
VARIABLE = "TAPGEN_LOCAL_PACE"


class Paces:
    """The pace of each account: 1 is real time. ``default`` holds where none was set."""

    def __init__(self, default: float = 1.0) -> None:
        self._default = default
        self._set: dict[str, float] = {}

    def of(self, account: str) -> float:
        """The account's pace."""
        return self._set.get(account, self._default)

    def set(self, account: str, pace: float) -> None:
        """Set it. Raises ``ValueError`` for what is no pace."""
        self._set[account] = checked(pace)


def checked(pace: float) -> float:
    """``pace`` itself. Raises ``ValueError`` unless it is above 0 and at most 1."""
    if not (isinstance(pace, int | float) and math.isfinite(pace) and 0 < pace <= 1):
        raise ValueError(f"a pace is above 0 and at most 1, not {pace!r}")
    return float(pace)


def of_environment() -> float:
    """The pace that the server's variable asks for. Raises ``ValueError`` for a wrong one."""
    given = os.environ.get(VARIABLE) or "1"
    try:
        return checked(float(given))
    except ValueError:
        raise ValueError(f"{VARIABLE} is {given!r}, not a number above 0 and at most 1") from None


class Clock:
    """One execution's time: the machine's, and what its waits were shortened by."""

    def __init__(self, pace: float, now: Callable[[], float] = time.time) -> None:
        self._pace, self._real = pace, now
        self._skipped = 0.0
        self._changed = threading.Condition()

    def now(self) -> float:
        """Seconds since the epoch, as this execution sees them."""
        return self._real() + self._skipped

    def wake(self) -> None:
        """Have everybody who waits look again."""
        with self._changed:
            self._changed.notify_all()

    def wait(self, until: float, done: Callable[[], bool]) -> bool:
        """Wait until ``done``, at the longest until the clock shows ``until``; whether it is done.

        ``done`` is asked again after each ``wake``.
        """
        with self._changed:
            given_up = time.monotonic() + max(0.0, until - self.now()) * self._pace
            while not done():
                left = given_up - time.monotonic()
                if left <= 0:
                    # Others may wait on the same clock and have moved it on already.
                    self._skipped += max(0.0, until - self.now())
                    return False
                self._changed.wait(min(left, threading.TIMEOUT_MAX))
            return True
