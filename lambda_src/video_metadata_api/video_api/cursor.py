"""The opaque cursor of a list: the place of the last video on the page before.

Eight bytes of microseconds and sixteen of the id, in base64url without padding: 32 characters,
always. It holds a position and no authority, so it is not signed.
"""

from __future__ import annotations

import base64
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# PostgreSQL and datetime both know every moment up to here.
_LAST = (datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)


class BadCursor(ValueError):
    """The text is no cursor that this API gave."""


@dataclass(frozen=True)
class Position:
    """The sort key of one video: what the next page comes after."""

    created_at: datetime
    video_id: uuid.UUID


def encode(position: Position) -> str:
    """The cursor for a position."""
    microseconds = (position.created_at - _EPOCH) // timedelta(microseconds=1)
    raw = microseconds.to_bytes(8, "big") + position.video_id.bytes
    return base64.urlsafe_b64encode(raw).decode("ascii")


def decode(text: str) -> Position:
    """The position of a cursor. Raises BadCursor."""
    try:
        raw = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
    except ValueError:
        raise BadCursor from None
    if len(raw) != 24:
        raise BadCursor
    microseconds = int.from_bytes(raw[:8], "big")
    if microseconds > _LAST:
        raise BadCursor
    return Position(_EPOCH + timedelta(microseconds=microseconds), uuid.UUID(bytes=raw[8:]))
