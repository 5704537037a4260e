"""Weekly and daily windows of RDS and ElastiCache, compared."""

from __future__ import annotations

import re
from typing import Any

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAILY = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)")
_WEEKLY = re.compile(r"([a-z]{3}):(\d\d):(\d\d)-([a-z]{3}):(\d\d):(\d\d)")
_DAY = 24 * 60


def overlap(daily: Any, weekly: Any) -> bool:
    """Whether ``hh:mm-hh:mm`` of every day meets ``ddd:hh:mm-ddd:hh:mm``.

    Both in UTC, as AWS reads them. False for what is no window.
    """
    day = _DAILY.fullmatch(str(daily))
    week = _WEEKLY.fullmatch(str(weekly).lower())
    if day is None or week is None or week[1] not in _DAYS or week[4] not in _DAYS:
        return False
    start = int(day[1]) * 60 + int(day[2])
    length = (int(day[3]) * 60 + int(day[4]) - start) % _DAY
    first = _DAYS.index(week[1]) * _DAY + int(week[2]) * 60 + int(week[3])
    last = _DAYS.index(week[4]) * _DAY + int(week[5]) * 60 + int(week[6])
    minutes = (last - first) % (7 * _DAY)
    return any((first + minute - start) % _DAY < length for minute in range(minutes))
