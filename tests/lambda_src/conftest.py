"""The API's servers, started once, and the handler wired to them.

``video_api`` is what is deployed, not a part of tapgen: its folder is put on ``sys.path`` here.
"""

from __future__ import annotations

import json
import os
import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pg8000.native
import pytest
import redis

from tapgen.local import data

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "lambda_src" / "video_metadata_api"))
# Read when the handler is imported, so set before.
os.environ.setdefault("POWERTOOLS_SERVICE_NAME", "video-metadata-api")
os.environ.setdefault("POWERTOOLS_METRICS_NAMESPACE", "VideoProcessing")

from api_parts import APP_SECRET, MASTER_SECRET, REDIS_SECRET, REGION, Api, Context, Secrets

APP_PASSWORD = "first-password-of-video-app"


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    with data.fresh_folder() as fresh:
        yield fresh


@pytest.fixture(scope="session")
def postgres_server(folder: Path) -> Iterator[data.PostgresServer]:
    with data.postgres(folder, durable=False) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server(folder: Path) -> Iterator[data.RedisServer]:
    with data.redis(folder) as server:
        yield server


@pytest.fixture(scope="session")
def secrets() -> Iterator[Secrets]:
    twin = Secrets()
    yield twin
    twin.close()


@pytest.fixture(scope="session")
def connect(postgres_server: data.PostgresServer) -> Callable[..., pg8000.native.Connection]:
    """Log in to PostgreSQL as any role; the owner when none is named."""

    def log_in(
        user: str | None = None, password: str | None = None, database: str | None = None
    ) -> pg8000.native.Connection:
        return pg8000.native.Connection(
            user or postgres_server.user,
            host=postgres_server.host,
            port=postgres_server.port,
            database=database or postgres_server.database,
            password=password or postgres_server.password,
            ssl_context=ssl.create_default_context(cafile=str(postgres_server.ca_file)),
            timeout=10,
        )

    return log_in


@pytest.fixture(scope="session")
def environ(
    postgres_server: data.PostgresServer, redis_server: data.RedisServer, secrets: Secrets
) -> dict[str, str]:
    """What the template sets, and what stands in for AWS."""
    secrets.put(APP_SECRET, "video_app", APP_PASSWORD)
    secrets.put(MASTER_SECRET, postgres_server.user, postgres_server.password)
    secrets.put(REDIS_SECRET, redis_server.user, redis_server.password)
    return {
        "DB_HOST": postgres_server.host,
        "DB_PORT": str(postgres_server.port),
        "DB_NAME": postgres_server.database,
        "DB_SECRET_ARN": APP_SECRET,
        "DB_MASTER_SECRET_ARN": MASTER_SECRET,
        "DB_CA_BUNDLE": str(postgres_server.ca_file),
        "REDIS_PRIMARY_HOST": redis_server.host,
        "REDIS_READER_HOST": redis_server.host,
        "REDIS_PORT": str(redis_server.port),
        "REDIS_SECRET_ARN": REDIS_SECRET,
        "REDIS_CA_BUNDLE": str(redis_server.ca_file),
        "ENVIRONMENT": "test",
        "AWS_ENDPOINT_URL_SECRETS_MANAGER": secrets.url,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "not-a-key",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


@pytest.fixture(scope="session")
def first_migration(environ: dict[str, str]) -> Iterator[dict[str, Any]]:
    """The report of the very first run, through the handler that the deployer invokes."""
    from video_api import handler, migrate

    with pytest.MonkeyPatch.context() as patch:
        for name, value in environ.items():
            patch.setenv(name, value)
        report = migrate.handler({}, Context(remaining_ms=60_000))
    assert json.loads(json.dumps(report)) == report
    yield report
    handler.reset()


@pytest.fixture
def settings(
    environ: dict[str, str], first_migration: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., None]]:
    """The environment set; call it to change some of it for a new execution environment."""
    from video_api import handler

    def change(**changes: str) -> None:
        handler.reset()
        for name, value in changes.items():
            monkeypatch.setenv(name, value)

    change(**environ)
    yield change
    handler.reset()


@pytest.fixture
def api(
    request: pytest.FixtureRequest,
    environ: dict[str, str],
    first_migration: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> Api:
    """An execution environment with everything in order: a new one for tests with ``settings``.

    The others take the one that is there, with its connections, as the next request would.
    """
    from video_api import handler

    if "settings" in request.fixturenames:
        request.getfixturevalue("settings")
    for name, value in environ.items():
        if name not in os.environ:
            monkeypatch.setenv(name, value)
    application = handler._application
    if application is not None:
        application.service._health = None
        application.cache._primary.open_until = application.cache._reader.open_until = 0.0
    return Api(handler.handler)


@pytest.fixture(scope="session")
def owner(
    connect: Callable[..., pg8000.native.Connection], first_migration: dict[str, Any]
) -> Iterator[pg8000.native.Connection]:
    """A connection of the owner, for looking and for arranging."""
    with closing(connect()) as connection:
        yield connection


@pytest.fixture(scope="session")
def overseer(
    connect: Callable[..., pg8000.native.Connection], postgres_server: data.PostgresServer
) -> Iterator[pg8000.native.Connection]:
    """A connection of the superuser, who sees what others wait for."""
    name, password = postgres_server.superuser, postgres_server.superuser_password
    with closing(connect(name, password)) as connection:
        yield connection


@pytest.fixture(scope="session")
def redis_admin(redis_server: data.RedisServer) -> Iterator[redis.Redis]:
    """A Redis client that may do everything."""
    client = redis.Redis(
        host=redis_server.host,
        port=redis_server.port,
        username=redis_server.admin,
        password=redis_server.admin_password,
        ssl=True,
        ssl_ca_certs=str(redis_server.ca_file),
        protocol=2,
    )
    yield client
    client.close()


@pytest.fixture
def empty(owner: pg8000.native.Connection, redis_admin: redis.Redis) -> None:
    """No videos, no keys, nothing cached."""
    owner.run("DELETE FROM video_metadata; DELETE FROM idempotency_keys")
    redis_admin.flushall()
