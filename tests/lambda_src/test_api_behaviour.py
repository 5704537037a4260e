"""What the API does when all is well: health, one video, pages, creating, once and again."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pg8000.native
import pytest
import redis
from api_parts import Answer, Api, Environment, environments, proxy_event, video


def test_health_tells_what_answers_and_nothing_about_it(api: Api) -> None:
    answer = api.get("/health")

    assert answer.status == 200
    assert answer.json == {"status": "ok", "checks": {"database": "ok", "cache": "ok"}}


def test_a_created_video_is_found_under_its_id(api: Api, empty: None) -> None:
    sent = video(
        description="Zeile 1\nZeile 2 – 映像 🎬",
        status="processing",
        duration_ms=90_000,
        size_bytes=54_975_581_388_800,
        content_type="video/mp4",
        tags=["news", "東京"],
    )

    created = api.post(sent)
    found = api.get(video_id=created.json["video_id"])

    assert created.status == 201
    assert {name: created.json[name] for name in sent} == sent
    assert created.headers["Location"] == f"/metadata?video_id={created.json['video_id']}"
    assert (found.status, found.json) == (200, created.json)
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", found.json["created_at"])


def test_what_was_not_given_is_pending_untagged_and_otherwise_absent(api: Api, empty: None) -> None:
    created = api.post(video()).json

    assert created["status"] == "pending"
    assert created["tags"] == []
    assert list(created) == [
        "video_id", "title", "source_uri", "status", "tags", "created_at", "updated_at"
    ]  # fmt: skip


def test_the_database_and_the_cache_give_the_same_bytes(
    api: Api, empty: None, redis_admin: redis.Redis
) -> None:
    video_id = api.post(video(tags=["a"], duration_ms=1)).json["video_id"]
    from_create = api.get(video_id=video_id).text
    redis_admin.flushall()

    from_database = api.get(video_id=video_id).text
    from_cache = api.get(video_id=video_id).text

    assert from_create == from_database == from_cache


def test_an_id_is_the_same_in_capitals(api: Api, empty: None) -> None:
    video_id = api.post(video()).json["video_id"]

    assert api.get(video_id=video_id.upper()).json["video_id"] == video_id


def test_an_id_without_a_video_is_not_found_and_says_so(api: Api, empty: None) -> None:
    answer = api.get(video_id="00000000-0000-4000-8000-000000000000")

    assert (answer.status, answer.code, answer.fields) == (404, "not_found", ["video_id"])


def test_pages_hold_every_video_once_newest_first(api: Api, empty: None) -> None:
    made = [api.post(video(title=f"number {n}")).json["video_id"] for n in range(7)]

    seen, cursor, pages = [], None, 0
    while True:
        page = api.get(limit="3", **({"cursor": cursor} if cursor else {})).json
        seen += [item["video_id"] for item in page["items"]]
        pages += 1
        cursor = page.get("next_cursor")
        if cursor is None:
            break

    assert seen == list(reversed(made))
    assert pages == 3


def test_videos_of_one_moment_are_split_over_pages_without_loss(
    api: Api, empty: None, owner: pg8000.native.Connection
) -> None:
    owner.run(
        "INSERT INTO video_metadata (id, title, source_uri, created_at)"
        " SELECT gen_random_uuid(), 't', 's3://b-b/k', '2026-01-01T00:00:00.123456Z'"
        " FROM generate_series(1, 5)"
    )

    first = api.get(limit="2").json
    second = api.get(limit="2", cursor=first["next_cursor"]).json
    third = api.get(limit="2", cursor=second["next_cursor"]).json

    ids = [item["video_id"] for page in (first, second, third) for item in page["items"]]
    assert len(ids) == len(set(ids)) == 5
    assert ids == sorted(ids, reverse=True)
    assert "next_cursor" not in third


def test_a_page_can_be_of_one_status(api: Api, empty: None) -> None:
    for n in range(6):
        api.post(video(title=f"{n}", status="failed" if n % 2 else "completed"))

    first = api.get(status="failed", limit="2").json
    second = api.get(status="failed", limit="2", cursor=first["next_cursor"]).json

    assert [item["title"] for item in first["items"]] == ["5", "3"]
    assert [item["title"] for item in second["items"]] == ["1"]


def test_a_page_without_a_limit_holds_twenty(api: Api, empty: None) -> None:
    for n in range(21):
        api.post(video(title=f"{n}"))

    assert len(api.get().json["items"]) == 20


def test_the_largest_page_stays_below_the_size_that_lambda_may_answer(
    api: Api, empty: None, owner: pg8000.native.Connection
) -> None:
    owner.run(
        "INSERT INTO video_metadata (id, title, description, source_uri)"
        " SELECT gen_random_uuid(), 't', repeat('🎬', 2500) || repeat(chr(1), 2500), 's3://b-b/k'"
        " FROM generate_series(1, 100)"
    )

    answer = api.get(limit="100")

    assert len(answer.json["items"]) == 100
    assert len(json.dumps({"body": answer.text}, ensure_ascii=False).encode()) < 6 * 1024 * 1024


def test_the_same_key_and_body_give_the_first_answer_again(
    api: Api, empty: None, owner: pg8000.native.Connection
) -> None:
    first = api.post(video(title="once"), key="order-1")
    again = api.post('{ "source_uri":"s3://videos/opening.mp4",  "title":"once" }', key="order-1")

    assert (first.status, again.status) == (201, 201)
    assert again.text == first.text
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert owner.run("SELECT count(*) FROM video_metadata") == [[1]]


def test_the_same_key_with_another_body_is_a_conflict(
    api: Api, empty: None, owner: pg8000.native.Connection
) -> None:
    api.post(video(title="one"), key="order-2")

    answer = api.post(video(title="two"), key="order-2")

    assert (answer.status, answer.code) == (409, "idempotency_conflict")
    assert owner.run("SELECT title FROM video_metadata") == [["one"]]


def test_two_clients_may_use_the_same_key(api: Api, empty: None) -> None:
    mine = proxy_event(
        "POST",
        "/metadata",
        headers={"Idempotency-Key": "k", "content-type": "application/json"},
        body=json.dumps(video(title="mine")),
    )
    theirs = json.loads(
        json.dumps(mine).replace("k3y1d00001", "0therk3y22").replace("mine", "theirs")
    )

    assert api.send(mine).json["title"] == "mine"
    assert api.send(theirs).json["title"] == "theirs"


@pytest.fixture
def two(environ: dict[str, str], settings: Callable[..., None]) -> Any:
    with environments(2, environ) as started:
        yield started


def at_once(two: list[Environment], event: dict[str, Any]) -> list[Answer]:
    answers: list[Answer] = []
    threads = [
        threading.Thread(target=lambda each=each: answers.append(each.send(event))) for each in two
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return answers


def test_two_posts_with_one_key_at_once_make_one_video(
    two: list[Environment], empty: None, connect: Callable[..., Any], owner: Any, overseer: Any
) -> None:
    for each in two:
        each.send(proxy_event("GET", "/metadata"))
    event = proxy_event(
        "POST",
        "/metadata",
        headers={"Idempotency-Key": "race", "Content-Type": "application/json"},
        body=json.dumps(video()),
    )
    # Both wait for this lock with their statement already sent, so they meet for certain.
    answers: list[Answer] = []
    racing = threading.Thread(target=lambda: answers.extend(at_once(two, event)))
    with closing(connect()) as holder:
        holder.run("BEGIN")
        holder.run("LOCK TABLE idempotency_keys IN SHARE MODE")
        racing.start()
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'video_app'"
            " AND wait_event_type = 'Lock'"
        )
        give_up = time.monotonic() + 2.5
        while overseer.run(waiting) != [[2]]:
            assert time.monotonic() < give_up, "the two requests never waited together"
            time.sleep(0.01)

        holder.run("COMMIT")
        racing.join(20)

    assert [answer.status for answer in answers] == [201, 201]
    assert answers[0].text == answers[1].text
    assert sorted("Idempotency-Replayed" in answer.headers for answer in answers) == [False, True]
    assert owner.run("SELECT count(*) FROM video_metadata") == [[1]]


def test_every_path_answers_a_preflight(api: Api) -> None:
    event = proxy_event("OPTIONS", "/metadata", headers={"Origin": "https://example.com"})

    answer = api.send(event)

    assert answer.status == 204
    assert "Idempotency-Key" in answer.headers["Access-Control-Allow-Headers"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "not_found"),
        ("GET", "/metadata/1", 404, "not_found"),
        ("DELETE", "/metadata", 405, "method_not_allowed"),
        ("POST", "/health", 405, "method_not_allowed"),
    ],
)
def test_other_paths_and_methods_are_errors_of_the_one_shape(
    api: Api, method: str, path: str, status: int, code: str
) -> None:
    answer = api.send(proxy_event(method, path))

    assert (answer.status, answer.code) == (status, code)


def test_the_request_id_is_that_of_api_gateway(api: Api) -> None:
    event = proxy_event("GET", "/nowhere")

    answer = api.send(event)

    assert answer.json["error"]["request_id"] == event["requestContext"]["requestId"]
