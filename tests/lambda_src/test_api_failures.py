"""What the API does when a part fails: Redis and PostgreSQL, each in every way they can.

Redis is never a reason to fail; without PostgreSQL the answer is 503 with Retry-After, soon, and
nothing is written by halves.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pg8000.native
import pytest
import redis
from api_faults import Link, babbler, link
from api_parts import Answer, Api, video

from tapgen.local.data import PostgresServer, RedisServer
from tapgen.local.data_tls import Authority, Certificate

Settings = Callable[..., None]

# A failed command may take a second, and the circuit is open after the first: once for the
# reader, once for the primary.
CACHE_IS_AWAY = 2 * 1.0
HURRIED = 2

# A new execution environment for each test.
pytestmark = pytest.mark.usefixtures("settings")


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache's limits halved; one test below takes them as they are."""
    from video_api import cache

    for name in ("CONNECT_SECONDS", "COMMAND_SECONDS", "COLD_COMMAND_SECONDS"):
        monkeypatch.setattr(cache, name, getattr(cache, name) / HURRIED)


@pytest.fixture
def to_redis(redis_server: RedisServer, settings: Settings) -> Iterator[Link]:
    with link(redis_server.port) as made:
        settings(REDIS_PORT=str(made.port))
        yield made


@pytest.fixture
def to_postgres(postgres_server: PostgresServer, settings: Settings) -> Iterator[Link]:
    with link(postgres_server.port) as made:
        settings(DB_PORT=str(made.port))
        yield made


@pytest.fixture(scope="module")
def authority(folder: Any) -> tuple[Authority, Certificate]:
    made = Authority(folder / "babble-tls")
    return made, made.issue("babbler")


def everything(api: Api) -> list[Answer]:
    """A create, that video, a video that is not there, and a page."""
    created = api.post(video())
    return [
        created,
        api.get(video_id=created.json["video_id"]),
        api.get(video_id="00000000-0000-4000-8000-000000000000"),
        api.get(),
    ]


def assert_served_by_the_database(answers: list[Answer], limit: float) -> None:
    """Served, and all of it together as fast as the cache's limits promise."""
    # Four requests on a busy machine.
    the_rest = 1.0
    assert [answer.status for answer in answers] == [201, 200, 404, 200]
    assert sum(answer.seconds for answer in answers) < limit + the_rest


@pytest.mark.parametrize("mood", ["refuse", "silent", "drip"])
def test_without_redis_all_is_served_by_the_database(
    api: Api, empty: None, to_redis: Link, mood: str, hurried: None
) -> None:
    to_redis.mood = mood

    assert_served_by_the_database(everything(api), CACHE_IS_AWAY / HURRIED)
    assert api.get("/health").json == {
        "status": "degraded",
        "checks": {"database": "ok", "cache": "unavailable"},
    }


def test_redis_may_become_a_drip_while_connected(api: Api, empty: None, to_redis: Link) -> None:
    everything(api)
    to_redis.mood = "drip"

    assert_served_by_the_database(everything(api), CACHE_IS_AWAY)


@pytest.mark.parametrize("mood", ["refuse", "silent"])
def test_redis_may_go_while_connected(
    api: Api, empty: None, to_redis: Link, mood: str, hurried: None
) -> None:
    everything(api)
    to_redis.mood = mood
    to_redis.cut()

    assert_served_by_the_database(everything(api), CACHE_IS_AWAY / HURRIED)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x00" * 64,
        b"*-5\r\n",
        b"$99999999999\r\n",
        b"+OK\r\n",
    ],
    ids=str,
)
def test_a_redis_that_babbles_is_not_believed(
    api: Api,
    empty: None,
    settings: Settings,
    authority: tuple[Authority, Certificate],
    hurried: None,
    answer: bytes,
) -> None:
    made, issued = authority
    with babbler(issued.certificate, issued.key, answer, postgres=False) as server:
        settings(REDIS_PORT=str(server.port), REDIS_CA_BUNDLE=str(made.ca_file))

        assert_served_by_the_database(everything(api), CACHE_IS_AWAY / HURRIED)
        assert server.connections > 0


def test_a_redis_with_a_certificate_of_somebody_else_is_not_asked(
    api: Api, empty: None, settings: Settings, authority: tuple[Authority, Certificate]
) -> None:
    settings(REDIS_CA_BUNDLE=str(authority[0].ca_file))

    assert_served_by_the_database(everything(api), CACHE_IS_AWAY)
    assert api.get("/health").json["checks"]["cache"] == "unavailable"


@pytest.mark.parametrize(
    "kept",
    [b"", b"{", b"\xff\xfe", b"[]", b"7", b"{}", b'{"video_id": "another"}', b"[" * 100_000],
    ids=lambda kept: str(kept[:12]),
)
def test_what_lies_in_redis_is_looked_at_before_it_is_believed(
    api: Api, empty: None, redis_admin: redis.Redis, kept: bytes
) -> None:
    created = api.post(video()).json
    redis_admin.set(f"vm:1:item:{created['video_id']}", kept)
    page = api.get().json
    for key in redis_admin.keys("vm:1:list:*"):
        redis_admin.set(key, kept)

    assert api.get(video_id=created["video_id"]).json == created
    assert api.get().json == page


@pytest.mark.parametrize("kept", [b"garbage", b"", b"-1", b"9" * 5000])
def test_a_generation_that_is_no_number_costs_only_the_cache(
    api: Api, empty: None, redis_admin: redis.Redis, kept: bytes
) -> None:
    redis_admin.set("vm:1:gen", kept)

    assert api.get().status == 200


def test_after_a_failure_redis_is_left_alone_for_ten_seconds(
    api: Api, empty: None, to_redis: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    from video_api import handler

    clock = [1000.0]
    monkeypatch.setattr(handler.application().cache, "_clock", lambda: clock[0])
    to_redis.mood = "refuse"
    api.get()
    tried = to_redis.connections

    for _ in range(5):
        api.get()
    assert to_redis.connections == tried

    clock[0] += 10.1
    to_redis.mood = "pass"
    api.get()
    assert to_redis.connections == tried + 2


@pytest.mark.parametrize("mood", ["refuse", "silent"])
def test_without_the_database_the_answer_is_503_and_soon(
    api: Api, empty: None, to_postgres: Link, mood: str
) -> None:
    to_postgres.mood = mood

    answers = [
        api.get(remaining_ms=1300),
        api.post(video(), remaining_ms=1300),
        api.get(video_id="00000000-0000-4000-8000-000000000001", remaining_ms=1300),
    ]

    assert [(a.status, a.code) for a in answers] == [(503, "service_unavailable")] * 3
    assert max(answer.seconds for answer in answers) < 1.0


def test_a_database_that_is_down_makes_health_503_within_a_second(
    api: Api, to_postgres: Link
) -> None:
    to_postgres.mood = "silent"

    answer = api.get("/health")

    assert answer.status == 503
    assert answer.json["checks"] == {"database": "unavailable", "cache": "ok"}
    assert answer.seconds < 2.0


def test_health_asks_the_database_once_in_ten_seconds(
    api: Api, to_postgres: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    from video_api import handler

    clock = [1000.0]
    monkeypatch.setattr(handler.application().service, "_clock", lambda: clock[0])
    assert api.get("/health").status == 200
    to_postgres.mood = "refuse"
    to_postgres.cut()

    assert api.get("/health").status == 200
    clock[0] += 10.1
    assert api.get("/health").status == 503


def test_a_database_that_babbles_is_503(
    api: Api, empty: None, settings: Settings, authority: tuple[Authority, Certificate]
) -> None:
    made, issued = authority
    for answer in (b"\x00" * 64, b"R\x00\x00\x00\x08\x00\x00\x00\x00" * 3, b"Z\xff\xff\xff\xff"):
        with babbler(issued.certificate, issued.key, answer, postgres=True) as server:
            settings(DB_PORT=str(server.port), DB_CA_BUNDLE=str(made.ca_file))

            assert api.get(remaining_ms=1300).status == 503
            assert server.connections > 0


def test_a_database_with_a_certificate_of_somebody_else_gets_no_password(
    api: Api, settings: Settings, authority: tuple[Authority, Certificate], to_postgres: Link
) -> None:
    settings(DB_CA_BUNDLE=str(authority[0].ca_file))

    assert api.get(remaining_ms=1500).status == 503


def test_the_shipped_roots_are_what_is_trusted_without_another_word(
    api: Api, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings()
    monkeypatch.delenv("DB_CA_BUNDLE")

    assert api.get(remaining_ms=1500).status == 503


def test_connections_lost_between_requests_are_replaced_unnoticed(
    api: Api, empty: None, to_postgres: Link, owner: pg8000.native.Connection, overseer: Any
) -> None:
    api.get()
    to_postgres.cut()
    after_reset = api.get(limit="5")
    overseer.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename='video_app'")
    after_termination = api.post(video())

    assert (after_reset.status, after_termination.status) == (200, 201)
    assert owner.run("SELECT count(*) FROM video_metadata") == [[1]]


def test_a_lost_answer_to_a_create_makes_no_second_video(
    api: Api, empty: None, to_postgres: Link, owner: pg8000.native.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from video_api import database

    run = database.Session.run
    lost: list[Any] = []

    def lose_first_answer(session: Any, statement: str, parameters: Any) -> Any:
        rows = run(session, statement, parameters)
        if "INSERT" in statement and not lost:
            lost.append(rows)
            to_postgres.cut()
            raise ConnectionResetError
        return rows

    monkeypatch.setattr(database.Session, "run", lose_first_answer)
    api.get()

    answer = api.post(video(), key="lost")

    assert lost
    assert answer.status == 201
    assert owner.run("SELECT id::text FROM video_metadata") == [[answer.json["video_id"]]]
    assert api.post(video(), key="lost").text == answer.text


def test_a_standby_refuses_writes_until_the_primary_is_back(
    api: Api, empty: None, owner: pg8000.native.Connection, to_postgres: Link
) -> None:
    api.get()
    owner.run("ALTER DATABASE videometadata SET default_transaction_read_only = on")
    try:
        to_postgres.cut()
        refused = [api.post(video(), key="standby"), api.post(video())]
        read = api.get(limit="7")
    finally:
        owner.run("ALTER DATABASE videometadata RESET default_transaction_read_only")
    taken = api.post(video(), key="standby")

    assert [(a.status, a.code) for a in refused] == [(503, "service_unavailable")] * 2
    assert read.status == 200
    assert taken.status == 201
    assert owner.run("SELECT count(*) FROM video_metadata") == [[1]]
    assert owner.run("SELECT count(*) FROM idempotency_keys") == [[1]]


def test_a_database_without_free_connections_is_503(
    api: Api, empty: None, owner: pg8000.native.Connection
) -> None:
    owner.run("ALTER ROLE video_app CONNECTION LIMIT 0")
    try:
        answer = api.get()
    finally:
        owner.run("ALTER ROLE video_app CONNECTION LIMIT -1")

    assert (answer.status, answer.code) == (503, "service_unavailable")
    assert api.get().status == 200


def test_a_statement_that_waits_too_long_is_ended_and_writes_nothing(
    api: Api, empty: None, connect: Callable[..., Any], owner: pg8000.native.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from video_api import database

    monkeypatch.setattr(database, "LOCK_MS", 300)
    api.get()
    with closing(connect()) as holder:
        holder.run("BEGIN")
        holder.run("LOCK TABLE video_metadata IN ACCESS EXCLUSIVE MODE")
        started = time.monotonic()
        answer = api.post(video(), key="waits")
        holder.run("ROLLBACK")

    assert answer.status == 503
    assert 0.3 < time.monotonic() - started < 1.5
    assert owner.run("SELECT count(*) FROM video_metadata") == [[0]]
    assert owner.run("SELECT count(*) FROM idempotency_keys") == [[0]]


def test_a_server_that_says_nothing_cannot_hold_a_request_over_its_budget(
    api: Api, empty: None, to_postgres: Link, to_redis: Link
) -> None:
    api.get()
    to_postgres.mood = to_redis.mood = "drip"

    answer = api.get(limit="9", remaining_ms=2000)

    assert answer.status in (200, 503)
    # The budget is 1 s; at 2 s Lambda would end it.
    assert answer.seconds < 1.9


def test_a_database_without_migrations_is_503(
    api: Api, empty: None, settings: Settings, overseer: pg8000.native.Connection
) -> None:
    overseer.run("CREATE DATABASE not_migrated")
    try:
        settings(DB_NAME="not_migrated")
        answer = api.get()
        missing = api.get()
    finally:
        settings()
        # Not as the owner: the API's backend may not have noticed yet that its client is gone,
        # and ending that of another role takes the superuser.
        overseer.run("DROP DATABASE not_migrated WITH (FORCE)")

    assert (answer.status, missing.status) == (503, 503)


def test_a_function_without_its_environment_says_so_in_the_one_shape(
    api: Api, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings()
    monkeypatch.delenv("DB_HOST")

    answer = api.get()

    assert (answer.status, answer.code) == (500, "internal_error")
    assert "DB_HOST" not in answer.text
