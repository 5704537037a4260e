"""What is kept in Redis, for how long, and what a write does to it."""

from __future__ import annotations

import uuid
from typing import Any

import pg8000.native
import pytest
import redis
from api_parts import Api, video

from tapgen.local.data import CACHE_ACCESS, CACHE_USER, RedisServer

ABSENT = "00000000-0000-4000-8000-000000000000"


def lifetimes(redis_admin: redis.Redis, pattern: str) -> list[float]:
    keys: Any = redis_admin.keys(pattern)
    return [redis_admin.pttl(key) / 1000 for key in keys]


def test_every_key_is_under_the_prefix(api: Api, empty: None, redis_admin: redis.Redis) -> None:
    created = api.post(video()).json
    api.get(video_id=created["video_id"])
    api.get(video_id=ABSENT)
    api.get(status="failed")

    keys: Any = redis_admin.keys("*")

    assert len(keys) == 4
    assert all(key.startswith(b"vm:1:") for key in keys)


def test_a_video_is_kept_five_minutes_give_or_take_a_tenth(
    api: Api, empty: None, redis_admin: redis.Redis
) -> None:
    for _ in range(12):
        api.post(video())

    kept = lifetimes(redis_admin, "vm:1:item:*")

    assert len(kept) == 12
    assert all(268 < seconds <= 330 for seconds in kept)
    assert max(kept) - min(kept) > 1


def test_an_absent_video_is_known_to_be_absent_for_half_a_minute(
    api: Api, empty: None, redis_admin: redis.Redis, owner: pg8000.native.Connection
) -> None:
    api.get(video_id=ABSENT)
    owner.run(
        f"INSERT INTO video_metadata (id, title, source_uri) VALUES ('{ABSENT}', 't', 's3://b-b/k')"
    )

    assert api.get(video_id=ABSENT).status == 404
    assert [26 < seconds <= 33 for seconds in lifetimes(redis_admin, "vm:1:item:*")] == [True]
    redis_admin.flushall()
    assert api.get(video_id=ABSENT).status == 200


def test_a_page_is_kept_a_quarter_of_a_minute_and_gone_with_the_next_write(
    api: Api, empty: None, redis_admin: redis.Redis, owner: pg8000.native.Connection
) -> None:
    api.post(video(title="first"))
    api.get()
    owner.run("DELETE FROM video_metadata")
    still = api.get().json["items"]
    kept = lifetimes(redis_admin, "vm:1:list:*")

    api.post(video(title="second"))

    assert [item["title"] for item in still] == ["first"]
    assert [13 < seconds <= 16.5 for seconds in kept] == [True]
    assert [item["title"] for item in api.get().json["items"]] == ["second"]


def test_different_queries_are_kept_apart(api: Api, empty: None) -> None:
    api.post(video(title="a", status="failed"))
    api.post(video(title="b"))
    queries: list[dict[str, Any]] = [{}, {"limit": "1"}, {"status": "failed"}]

    first = [api.get(**query).text for query in queries]
    again = [api.get(**query).text for query in queries]

    assert len(set(first)) == 3
    assert first == again


def test_a_page_too_large_to_be_worth_it_is_not_kept(
    api: Api, empty: None, redis_admin: redis.Redis, owner: pg8000.native.Connection
) -> None:
    owner.run(
        "INSERT INTO video_metadata (id, title, description, source_uri)"
        " SELECT gen_random_uuid(), 't', repeat('d', 5000), 's3://b-b/k'"
        " FROM generate_series(1, 60)"
    )

    assert len(api.get(limit="60").json["items"]) == 60
    assert redis_admin.keys("vm:1:list:*") == []


def test_a_full_cache_is_no_failure(api: Api, empty: None, redis_admin: redis.Redis) -> None:
    redis_admin.config_set("maxmemory-policy", "noeviction")
    redis_admin.config_set("maxmemory", "1")
    try:
        answers = [api.post(video()).status, api.get().status]
    finally:
        redis_admin.config_set("maxmemory", "64mb")
        redis_admin.config_set("maxmemory-policy", "allkeys-lru")

    assert answers == [201, 200]


@pytest.mark.parametrize(
    "command",
    [
        "GET other",
        "SET other 1",
        "FLUSHALL",
        "KEYS *",
        "CONFIG GET *",
        "EVAL return(1) 0",
        "ACL LIST",
        "DEBUG SLEEP 0",
        "SCRIPT FLUSH",
        "PUBLISH vm:1 x",
        "MULTI",
        "SHUTDOWN",
    ],
)
def test_the_apis_redis_user_may_not(redis_server: RedisServer, command: str) -> None:
    client = redis.Redis(
        host=redis_server.host,
        port=redis_server.port,
        username=redis_server.user,
        password=redis_server.password,
        ssl=True,
        ssl_ca_certs=str(redis_server.ca_file),
        protocol=2,
    )

    with client, pytest.raises(redis.exceptions.NoPermissionError):
        client.execute_command(*command.split())


def test_the_redis_user_is_the_one_of_the_template() -> None:
    from tapgen import app

    cache = app.documents()["cache"]["Resources"].values()
    users = [r["Properties"] for r in cache if r["Type"] == "AWS::ElastiCache::User"]

    assert {(u["UserName"], u["AccessString"]) for u in users} >= {(CACHE_USER, CACHE_ACCESS)}


def test_no_two_ids_share_an_entry(api: Api, empty: None) -> None:
    ids = [api.post(video(title=f"{n}")).json["video_id"] for n in range(5)]

    assert [api.get(video_id=each).json["video_id"] for each in ids] == ids
    assert len({uuid.UUID(each) for each in ids}) == 5
