"""What the benchmark of the API runs against: real servers, rows by the million, their plans.

Events, contexts and the Secrets Manager are those of the application's tests.
"""

from __future__ import annotations

import json
import os
import ssl
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import api_parts
import pg8000.native

from tapgen.local import data

PASSWORD = "password-of-a-benchmark"
STATUSES = "ARRAY['pending','processing','completed','failed']"
# One in a hundred failed, the others share alike.
FILL = (
    "INSERT INTO video_metadata (id, title, source_uri, status, duration_ms, tags, created_at)"
    " SELECT gen_random_uuid(), 'Video number ' || n, 's3://videos/incoming/' || n || '.mp4',"
    f" ({STATUSES})[CASE WHEN n % 100 = 0 THEN 4 ELSE 1 + n % 3 END], n % 7200000,"
    """ '["bench"]', timestamptz '2026-01-01' + make_interval(secs => n)"""
    " FROM generate_series({first}, {last}) n"
)


class NotAnIndexScan(SystemExit):
    """A query reads a table through, or sorts: a fault, whatever the figures say."""

    def __init__(self, query: str, rows: int, nodes: list[str]) -> None:
        super().__init__(f"bench: {query} at {rows:,} rows is no index scan: {' > '.join(nodes)}")


@dataclass(frozen=True)
class Parts:
    """The servers and what the function is told of them."""

    environ: dict[str, str]
    owner: pg8000.native.Connection

    def fill(self, rows: int) -> None:
        """Let there be ``rows`` videos, as many as there are or more."""
        there = self.owner.run("SELECT count(*) FROM video_metadata")[0][0]
        self.owner.run("SET synchronous_commit = off")
        self.owner.run(FILL.format(first=there + 1, last=rows))
        # Also what autovacuum would do in its own time: without, it does so while we measure.
        self.owner.run("VACUUM ANALYZE video_metadata")

    def position(self, after: int) -> tuple[str, str]:
        """Moment and id of the video that ``after`` others are newer than or are."""
        found = self.owner.run(
            "SELECT to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'),"
            " id::text FROM video_metadata ORDER BY video_metadata.created_at DESC, id DESC"
            f" OFFSET {after - 1} LIMIT 1"
        )
        return found[0][0], found[0][1]

    def ids(self, number: int) -> list[str]:
        """Ids of that many videos from anywhere in the table."""
        return [
            row[0]
            for row in self.owner.run(
                f"SELECT id::text FROM video_metadata WHERE id > gen_random_uuid() LIMIT {number}"
            )
        ]


@contextmanager
def running() -> Iterator[Parts]:
    """PostgreSQL and Redis over TLS with the schema, and a Secrets Manager."""
    with ExitStack() as stack:
        folder = stack.enter_context(data.fresh_folder())
        postgres = stack.enter_context(data.postgres(folder, durable=False))
        redis = stack.enter_context(data.redis(folder))
        secrets = api_parts.Secrets()
        stack.callback(secrets.close)
        secrets.put(api_parts.APP_SECRET, "video_app", PASSWORD)
        secrets.put(api_parts.MASTER_SECRET, postgres.user, postgres.password)
        secrets.put(api_parts.REDIS_SECRET, redis.user, redis.password)
        environ = _environ(postgres, redis, secrets)
        os.environ.update(environ)
        _migrate()
        owner = pg8000.native.Connection(
            postgres.user,
            host=postgres.host,
            port=postgres.port,
            database=postgres.database,
            password=postgres.password,
            ssl_context=ssl.create_default_context(cafile=str(postgres.ca_file)),
        )
        yield Parts(environ, stack.enter_context(closing(owner)))


def _environ(
    postgres: data.PostgresServer, redis: data.RedisServer, secrets: api_parts.Secrets
) -> dict[str, str]:
    return {
        "DB_HOST": postgres.host,
        "DB_PORT": str(postgres.port),
        "DB_NAME": postgres.database,
        "DB_SECRET_ARN": api_parts.APP_SECRET,
        "DB_MASTER_SECRET_ARN": api_parts.MASTER_SECRET,
        "DB_CA_BUNDLE": str(postgres.ca_file),
        "REDIS_PRIMARY_HOST": redis.host,
        "REDIS_READER_HOST": redis.host,
        "REDIS_PORT": str(redis.port),
        "REDIS_SECRET_ARN": api_parts.REDIS_SECRET,
        "REDIS_CA_BUNDLE": str(redis.ca_file),
        "ENVIRONMENT": "bench",
        "AWS_ENDPOINT_URL_SECRETS_MANAGER": secrets.url,
        "AWS_DEFAULT_REGION": api_parts.REGION,
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "not-a-key",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def _migrate() -> None:
    from video_api import migrate

    migrate.handler({}, api_parts.Context(remaining_ms=60_000))


def check_plans(rows: int, position: tuple[str, str]) -> int:
    """Ask PostgreSQL how it runs each query, over the API's own connection.

    ``position`` is a late page's. Returns how many were asked; raises ``NotAnIndexScan``.
    """
    from video_api import handler, queries
    from video_api.budget import Deadline

    database = handler.application().database
    after = {"after": position[0], "after_id": position[1], "limit": "21"}
    asked: list[tuple[str, str, dict[str, str]]] = [
        ("one video", queries.ONE, {"id": position[1]}),
        ("the first answer of a key", queries.FIRST_ANSWER, {"key": "k"}),
        ("page 1", queries.PAGES[False, False], {"limit": "21"}),
        ("a late page", queries.PAGES[False, True], after),
    ]
    for status in ("completed", "failed"):
        asked += [
            (f"page 1 of {status}", queries.PAGES[True, False], {"limit": "21", "status": status}),
            (f"a late page of {status}", queries.PAGES[True, True], {**after, "status": status}),
        ]
    for name, statement, parameters in asked:
        rows_of_plan = database.run(
            f"EXPLAIN (FORMAT JSON) {statement}", Deadline(10), **parameters
        )
        nodes = _nodes(rows_of_plan[0][0][0]["Plan"])
        if [node for node in nodes if node not in ("Limit", "Result")] != ["Index Scan"]:
            raise NotAnIndexScan(name, rows, nodes)
    return len(asked)


def _nodes(plan: dict[str, Any]) -> list[str]:
    return [plan["Node Type"], *(node for inner in plan.get("Plans", []) for node in _nodes(inner))]


def cursor(position: tuple[str, str]) -> str:
    """The API's cursor for a position."""
    from video_api.cursor import Position, encode

    return encode(Position(datetime.fromisoformat(position[0]), uuid.UUID(position[1])))


def body(number: int) -> str:
    """A video to create."""
    return json.dumps(
        {
            "title": f"New video {number}",
            "source_uri": f"s3://videos/new/{number}.mp4",
            "duration_ms": 90_000,
            "tags": ["bench"],
        }
    )
