"""Every statement the API sends, and a row as the document that clients see.

Each reads or writes through an index, whatever its parameters; a test asks PostgreSQL. Each may be
sent twice without harm: a create names its own id, so a repeated one finds its first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

_COLUMNS: Final = """
SELECT id::text, title, description, source_uri, status, duration_ms, size_bytes, content_type,
       tags,
       to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
       to_char(updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
  FROM video_metadata"""
FIELDS: Final = (
    "video_id",
    "title",
    "description",
    "source_uri",
    "status",
    "duration_ms",
    "size_bytes",
    "content_type",
    "tags",
    "created_at",
    "updated_at",
)
# With the table's name: a bare id is the column of the answer, which is text and has no index.
_NEWEST_FIRST: Final = (
    "ORDER BY video_metadata.created_at DESC, video_metadata.id DESC LIMIT :limit::int"
)
_AFTER: Final = "(created_at, id) < (:after::timestamptz, :after_id::uuid)"


def _statement(*parts: str) -> str:
    return "\n".join(parts)


PING: Final = "SELECT 1"
ONE: Final = _statement(_COLUMNS, "WHERE id = :id::uuid")
# By whether a status and whether a position are given: one statement with "is null or" would
# leave the choice of the index to the planner's luck.
PAGES: Final = {
    (False, False): _statement(_COLUMNS, _NEWEST_FIRST),
    (False, True): _statement(_COLUMNS, "WHERE", _AFTER, _NEWEST_FIRST),
    (True, False): _statement(_COLUMNS, "WHERE status = :status", _NEWEST_FIRST),
    (True, True): _statement(_COLUMNS, "WHERE status = :status AND", _AFTER, _NEWEST_FIRST),
}
CREATE: Final = """
INSERT INTO video_metadata (id, title, description, source_uri, status, duration_ms, size_bytes,
                            content_type, tags, created_at, updated_at)
VALUES (:id::uuid, :title, :description, :source_uri, :status, :duration_ms::bigint,
        :size_bytes::bigint, :content_type, :tags::jsonb, :created_at::timestamptz,
        :created_at::timestamptz)
ON CONFLICT (id) DO NOTHING"""
# One statement, so that neither the key nor the video can stand alone. Of two at once the second
# waits for the first, then claims nothing and inserts nothing.
CREATE_ONCE: Final = """
WITH claim AS (
  INSERT INTO idempotency_keys (key, request_hash, response, created_at)
  VALUES (:key, :request_hash, :response::json, :created_at::timestamptz)
  ON CONFLICT (key) DO NOTHING
  RETURNING key)
INSERT INTO video_metadata (id, title, description, source_uri, status, duration_ms, size_bytes,
                            content_type, tags, created_at, updated_at)
SELECT :id::uuid, :title::text, :description::text, :source_uri::text, :status::text,
       :duration_ms::bigint, :size_bytes::bigint, :content_type::text, :tags::jsonb,
       :created_at::timestamptz, :created_at::timestamptz
  FROM claim
RETURNING id::text"""
FIRST_ANSWER: Final = "SELECT request_hash, response FROM idempotency_keys WHERE key = :key"


def ordered(video: Mapping[str, Any]) -> dict[str, Any]:
    """A document's fields in the order that every answer has them."""
    return {name: video[name] for name in FIELDS if name in video}


def document(row: Sequence[Any]) -> dict[str, Any]:
    """A row as a document; what was never given is left out."""
    return {name: value for name, value in zip(FIELDS, row, strict=True) if value is not None}


def values(video: Mapping[str, Any]) -> dict[str, Any]:
    """A document as the parameters of a create."""
    parameters = {name: video.get(name) for name in FIELDS[1:-2]}
    return {
        **parameters,
        "id": video["video_id"],
        "tags": json.dumps(video["tags"], ensure_ascii=False),
        "created_at": video["created_at"],
    }
