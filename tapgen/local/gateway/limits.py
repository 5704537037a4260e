"""Throttles and quotas: token buckets and counts, by a clock that is handed over."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

Clock = Callable[[], float]


@dataclass(frozen=True)
class Rate:
    """So many requests a second, and so many at once."""

    per_second: float
    burst: int


@dataclass(frozen=True)
class Quota:
    """So many requests a ``DAY``, ``WEEK`` or ``MONTH``; ``offset`` is what the first one lacks."""

    limit: int
    period: str
    offset: int = 0


class Bucket:
    """A token bucket; full at first."""

    def __init__(self, rate: Rate, clock: Clock) -> None:
        self._rate, self._clock = rate, clock
        self._tokens, self._at = float(rate.burst), clock()
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Take a token, if there is one."""
        with self._lock:
            now = self._clock()
            gained = (now - self._at) * self._rate.per_second
            self._tokens, self._at = min(self._rate.burst, self._tokens + gained), now
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True


class Counter:
    """Requests of one key in the current period."""

    def __init__(self, quota: Quota, today: Callable[[], datetime]) -> None:
        self._quota, self._today = quota, today
        self._begin = _begin(quota.period, today())
        self._used = quota.offset
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Count one request; False when the period's are used up."""
        with self._lock:
            begin = _begin(self._quota.period, self._today())
            if begin != self._begin:
                self._begin, self._used = begin, 0
            if self._used >= self._quota.limit:
                return False
            self._used += 1
            return True


def utc_now() -> datetime:
    """Now, where quotas are counted."""
    return datetime.now(UTC)


def _begin(period: str, now: datetime) -> datetime:
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "MONTH":
        return day.replace(day=1)
    if period == "WEEK":
        # From Sunday on, as usage plans count.
        return day - timedelta(days=(day.weekday() + 1) % 7)
    return day
