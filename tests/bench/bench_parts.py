"""What the benchmark of the API runs against: real servers, rows by the million, their plans.

Events, contexts and the Secrets Manager are those of the application's tests.
"""

from __future__ import annotations

import json
import os
import random
import ssl
import uuid
from collections.abc import Iterator, Mapping, Sequence
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

    def __init__(self, query: str, rows: int, nodes: Sequence[str]) -> None:
        super().__init__(f"bench: {query} at {rows:,} rows is no index scan: {' > '.join(nodes)}")


@dataclass(frozen=True)
class Plan:
    """A query's plan: its nodes, outermost first, and how many blocks of 8 KiB it looked at."""

    nodes: tuple[str, ...]
    blocks: int


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
        """Ids of that many videos, or all; random ones, so they lie anywhere in the table."""
        found = self.owner.run(f"SELECT id::text FROM video_metadata ORDER BY id LIMIT {number}")
        shuffled = [row[0] for row in found]
        random.shuffle(shuffled)
        return shuffled


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


def plans(late: tuple[str, str]) -> dict[str, Plan]:
    """How PostgreSQL runs each query, over the API's own connection; ``late``: a page's place."""
    from video_api import handler, queries
    from video_api.budget import Deadline

    database = handler.application().database
    page, after = {"limit": "21"}, {"limit": "21", "after": late[0], "after_id": late[1]}
    completed, failed = {"status": "completed"}, {"status": "failed"}
    asked = {
        "GET one": (queries.ONE, {"id": late[1]}),
        "first answer of a key": (queries.FIRST_ANSWER, {"key": "k"}),
        "list, page 1": (queries.PAGES[False, False], page),
        "list, late page": (queries.PAGES[False, True], after),
        "list by a common status": (queries.PAGES[True, False], {**page, **completed}),
        "list by a rare status": (queries.PAGES[True, False], {**page, **failed}),
        "late page of a common status": (queries.PAGES[True, True], {**after, **completed}),
        "late page of a rare status": (queries.PAGES[True, True], {**after, **failed}),
    }
    found = {}
    for name, (statement, parameters) in asked.items():
        text = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}"
        read = database.run(text, Deadline(10), **parameters)[0][0][0]["Plan"]
        blocks = read["Shared Hit Blocks"] + read["Shared Read Blocks"]
        found[name] = Plan(tuple(_nodes(read)), blocks)
    return found


def check(found: Mapping[str, Plan], rows: int) -> None:
    """Raise ``NotAnIndexScan`` when a plan is anything but one, unsorted."""
    for name, plan in found.items():
        if [node for node in plan.nodes if node not in ("Limit", "Result")] != ["Index Scan"]:
            raise NotAnIndexScan(name, rows, plan.nodes)


def _nodes(plan: Mapping[str, Any]) -> list[str]:
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
