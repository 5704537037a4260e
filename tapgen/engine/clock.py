"""Time, and waiting for it: the machine's own, or one that never waits, handed over by a test."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Time, and waiting for it."""

    def now(self) -> float:
        """Seconds, from any beginning."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The machine's own."""

    def now(self) -> float:
        """Seconds since some moment; never goes back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait for so many seconds."""
        time.sleep(seconds)
