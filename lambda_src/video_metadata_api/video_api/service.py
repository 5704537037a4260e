"""What the API does: a video, a page, a new video, its health. HTTP is the routes' affair."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from video_api import queries
from video_api.budget import Deadline
from video_api.cache import Cache
from video_api.cursor import Position, encode
from video_api.database import Database, Row
from video_api.errors import (
    ApiError,
    IdempotencyConflict,
    NotFound,
    Problem,
    Unavailable,
)
from video_api.request import NewVideo, OneVideo, Page

CHECK_SECONDS = 1.0
# /health is open to everybody and must not become a way to wear out the database.
HEALTH_KEPT_SECONDS = 10.0
_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"


@dataclass(frozen=True)
class Created:
    """The answer to a create; ``replayed``: it is that of an earlier request."""

    video: dict[str, Any]
    replayed: bool


@dataclass(frozen=True)
class Health:
    """What answers."""

    database: bool
    cache: bool

    @property
    def status(self) -> str:
        """The API serves without its cache and not without its database."""
        if not self.database:
            return "unavailable"
        return "ok" if self.cache else "degraded"

    def document(self) -> dict[str, Any]:
        """As clients see it."""
        names = {True: "ok", False: "unavailable"}
        return {
            "status": self.status,
            "checks": {"database": names[self.database], "cache": names[self.cache]},
        }


class Service:
    """The operations, over a database and a cache."""

    def __init__(
        self,
        database: Database,
        cache: Cache,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        new_id: Callable[[], uuid.UUID] = uuid.uuid4,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._database = database
        self._cache = cache
        self._now = now
        self._new_id = new_id
        self._clock = clock
        self._health: tuple[float, Health] | None = None

    def one(self, query: OneVideo, deadline: Deadline) -> dict[str, Any]:
        """A video by its id. Raises NotFound or the database's errors."""
        found = self._cache.video(query.video_id, deadline)
        if found is not None:
            document = found.document
        else:
            rows = self._database.run(queries.ONE, deadline, id=query.video_id)
            document = queries.document(rows[0]) if rows else None
            self._cache.keep_video(query.video_id, document, deadline)
        if document is None:
            raise NotFound([Problem("video_id", "names no video")])
        return document

    def page(self, query: Page, deadline: Deadline) -> dict[str, Any]:
        """A page of videos, newest first. Raises the database's errors."""
        after = encode(query.after) if query.after else ""
        slot = self._cache.page(f"{query.limit}|{after}|{query.status or ''}", deadline)
        if slot is not None and slot.page is not None:
            return slot.page
        page = self._page_from_database(query, deadline)
        if slot is not None:
            self._cache.keep_page(slot, page, deadline)
        return page

    def _page_from_database(self, query: Page, deadline: Deadline) -> dict[str, Any]:
        # One more than asked for tells whether there is a next page.
        parameters: dict[str, Any] = {"limit": str(query.limit + 1)}
        if query.status is not None:
            parameters["status"] = query.status
        if query.after is not None:
            parameters["after"] = query.after.created_at.isoformat()
            parameters["after_id"] = str(query.after.video_id)
        statement = queries.PAGES[query.status is not None, query.after is not None]
        rows = self._database.run(statement, deadline, **parameters)
        page: dict[str, Any] = {"items": [queries.document(row) for row in rows[: query.limit]]}
        if len(rows) > query.limit:
            page["next_cursor"] = _cursor(page["items"][-1])
        return page

    def create(self, new: NewVideo, deadline: Deadline) -> Created:
        """Create a video, or find the one its key made. Raises IdempotencyConflict and others."""
        created_at = self._now().strftime(_TIME)
        video = queries.ordered(
            {
                "status": "pending",
                "tags": [],
                **new.document,
                "video_id": str(self._new_id()),
                "created_at": created_at,
                "updated_at": created_at,
            }
        )
        if new.idempotency_key is None:
            self._database.run(queries.CREATE, deadline, **queries.values(video))
            answer = Created(video, replayed=False)
        else:
            answer = self._create_once(video, new, new.idempotency_key, deadline)
        if not answer.replayed:
            self._cache.created(answer.video, deadline)
        return answer

    def _create_once(
        self, video: dict[str, Any], new: NewVideo, key: str, deadline: Deadline
    ) -> Created:
        response = json.dumps(video, ensure_ascii=False)
        made = self._database.run(
            queries.CREATE_ONCE,
            deadline,
            **queries.values(video),
            key=key,
            request_hash=new.request_hash,
            response=response,
        )
        if made:
            return Created(video, replayed=False)
        rows: list[Row] = self._database.run(queries.FIRST_ANSWER, deadline, key=key)
        if not rows:
            raise Unavailable("the key was forgotten between two statements", retry_after=1)
        request_hash, first = rows[0]
        if request_hash != new.request_hash:
            raise IdempotencyConflict
        # Its own id: the first statement did its work, and only its answer was lost.
        return Created(first, replayed=first["video_id"] != video["video_id"])

    def health(self, deadline: Deadline) -> Health:
        """What answers, at most ten seconds old."""
        if self._health is not None and self._clock() - self._health[0] < HEALTH_KEPT_SECONDS:
            return self._health[1]
        try:
            self._database.run(queries.PING, deadline.within(CHECK_SECONDS))
            database = True
        except ApiError:
            database = False
        health = Health(database, self._cache.healthy(deadline.within(CHECK_SECONDS)))
        self._health = (self._clock(), health)
        return health


def _cursor(last: dict[str, Any]) -> str:
    created_at = datetime.strptime(last["created_at"], _TIME).replace(tzinfo=UTC)
    return encode(Position(created_at, uuid.UUID(last["video_id"])))
