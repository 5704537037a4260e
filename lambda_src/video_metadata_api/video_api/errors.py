"""Every error that reaches a client, and how an error is told to the log.

A message never repeats what was sent, and the log never carries an exception's text: PostgreSQL
puts row values into its details, and a driver may put a password into its own.
"""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from video_api import model


@dataclass(frozen=True)
class Problem:
    """What is wrong with one field of a request."""

    field: str
    problem: str


class ApiError(Exception):
    """An answer other than success, with a code from the catalogue in the API's description."""

    code = "internal_error"

    def __init__(
        self,
        details: Sequence[Problem] = (),
        *,
        retry_after: int | None = None,
        allow: Sequence[str] = (),
    ) -> None:
        self.kind = model.error_kind(self.code)
        self.details = tuple(details)
        self.retry_after = retry_after
        self.allow = tuple(allow)
        super().__init__(self.kind.code)

    def body(self, request_id: str) -> dict[str, Any]:
        """The one documented shape."""
        error: dict[str, Any] = {
            "code": self.kind.code,
            "message": self.kind.message,
            "request_id": request_id,
        }
        if self.details:
            error["details"] = [
                {"field": detail.field, "problem": detail.problem} for detail in self.details
            ]
        return {"error": error}


class InternalError(ApiError):
    """A fault of the application itself."""


class InvalidRequest(ApiError):
    """A parameter or a body that the description does not allow."""

    code = "invalid_request"


class InvalidJson(ApiError):
    """A body that is not a JSON document."""

    code = "invalid_json"


class NotFound(ApiError):
    """No such path or no such video."""

    code = "not_found"


class MethodNotAllowed(ApiError):
    """A known path with a method it does not have."""

    code = "method_not_allowed"


class IdempotencyConflict(ApiError):
    """The key was used before, with another body."""

    code = "idempotency_conflict"


class PayloadTooLarge(ApiError):
    """A body above the limit."""

    code = "payload_too_large"


class UnsupportedMediaType(ApiError):
    """A body that is not plain application/json."""

    code = "unsupported_media_type"


class Unavailable(ApiError):
    """The database, or a secret it needs, cannot be had now. ``because`` is for the log alone."""

    code = "service_unavailable"

    def __init__(self, because: str, *, retry_after: int = 5) -> None:
        self.because = because
        super().__init__(retry_after=retry_after)


def sqlstate(error: BaseException) -> str | None:
    """PostgreSQL's five-character code of an error, also of one that another error hid.

    The driver closes the connection after a failed log-in, and when that fails as well it
    raises the second error with the first as its context.
    """
    seen: BaseException | None = error
    while seen is not None:
        if seen.args and isinstance(seen.args[0], dict):
            code = seen.args[0].get("C")
            if isinstance(code, str):
                return code
        seen = seen.__cause__ or seen.__context__
    return None


def for_log(error: BaseException) -> dict[str, str]:
    """Class, SQLSTATE and place of an error: enough to find it, nothing of its text."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    told = {"error": type(error).__name__}
    state = sqlstate(error)
    if state is not None:
        told["sqlstate"] = state
    if frames:
        told["where"] = " < ".join(
            f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}" for frame in reversed(frames)
        )
    return told
