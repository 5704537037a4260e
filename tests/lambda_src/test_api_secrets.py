"""Credentials: asked for late and rarely, asked for again when refused, never shown."""

from __future__ import annotations

import io
import json
import logging
import re
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pg8000.native
import pytest
import redis
from api_parts import (
    APP_SECRET,
    REDIS_SECRET,
    Api,
    Secrets,
    environments,
    proxy_event,
    video,
)

from tapgen.local.data import CACHE_USER, PostgresServer, RedisServer

PASSWORD = "first-password-of-video-app"

# A new execution environment for each test.
pytestmark = pytest.mark.usefixtures("settings")


@pytest.fixture(autouse=True)
def as_it_was(
    environ: dict[str, str],
    secrets: Secrets,
    owner: pg8000.native.Connection,
    redis_admin: redis.Redis,
    redis_server: RedisServer,
    empty: None,
) -> Iterator[None]:
    yield
    secrets.away, secrets.delay = False, 0.0
    owner.run(f"ALTER ROLE video_app PASSWORD '{PASSWORD}'")
    secrets.put(APP_SECRET, "video_app", PASSWORD)
    secrets.only_current(APP_SECRET)
    set_redis_password(redis_admin, redis_server.password)
    secrets.put(REDIS_SECRET, redis_server.user, redis_server.password)
    secrets.only_current(REDIS_SECRET)


def set_redis_password(redis_admin: redis.Redis, password: str) -> None:
    redis_admin.execute_command("ACL", "SETUSER", CACHE_USER, "resetpass", f">{password}")


def drop_connections(overseer: pg8000.native.Connection, redis_admin: redis.Redis) -> None:
    overseer.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename='video_app'")
    redis_admin.client_kill_filter(user=CACHE_USER)


def test_nothing_is_asked_before_the_first_request_and_once_for_many(
    api: Api, secrets: Secrets
) -> None:
    secrets.asked.clear()
    api.get("/nowhere")
    assert secrets.asked == []

    for _ in range(5):
        api.get()

    assert sorted(secrets.asked) == sorted(
        [(APP_SECRET, "AWSCURRENT"), (REDIS_SECRET, "AWSCURRENT")]
    )


def test_a_secret_is_kept_for_five_minutes_and_no_longer() -> None:
    from video_api.budget import Deadline
    from video_api.secrets import SecretStore

    clock, asked = [0.0], []

    def fetch(arn: str, stage: str) -> str:
        asked.append(stage)
        return json.dumps({"username": "u", "password": f"p{len(asked)}"})

    store = SecretStore(fetch, clock=lambda: clock[0])
    first = store.get("arn", Deadline(1))
    clock[0] = 299.9
    kept = store.get("arn", Deadline(1))
    clock[0] = 300.0
    second = store.get("arn", Deadline(1))

    assert [first.password, kept.password, second.password] == ["p1", "p1", "p2"]


def test_a_password_does_not_show_in_the_form_a_debugger_prints() -> None:
    from video_api.secrets import Credentials

    assert repr(Credentials("u", "hush")) == "Credentials(username='u')"


@pytest.mark.parametrize("order", ["database first", "secret first", "pending"])
def test_a_changed_password_is_found_whatever_changed_first(
    api: Api,
    secrets: Secrets,
    owner: pg8000.native.Connection,
    overseer: pg8000.native.Connection,
    redis_admin: redis.Redis,
    order: str,
) -> None:
    api.get()
    if order != "secret first":
        owner.run("ALTER ROLE video_app PASSWORD 'second'")
    if order == "pending":
        secrets.put_pending(APP_SECRET, "video_app", "second")
    else:
        secrets.put(APP_SECRET, "video_app", "second")
    if order == "secret first":
        # A new environment knows only the new password, which the database does not know yet.
        from video_api import handler

        handler.reset()
    drop_connections(overseer, redis_admin)

    assert api.post(video()).status == 201


def test_a_changed_redis_password_is_found(
    api: Api, secrets: Secrets, redis_admin: redis.Redis, overseer: pg8000.native.Connection
) -> None:
    api.get()
    set_redis_password(redis_admin, "second")
    secrets.put(REDIS_SECRET, CACHE_USER, "second")
    drop_connections(overseer, redis_admin)

    created = api.post(video()).json

    assert redis_admin.exists(f"vm:1:item:{created['video_id']}") == 1


def test_a_password_that_no_version_has_is_503(
    api: Api, secrets: Secrets, owner: pg8000.native.Connection
) -> None:
    owner.run("ALTER ROLE video_app PASSWORD 'unknown'")
    secrets.asked.clear()

    answer = api.get()

    assert (answer.status, answer.code) == (503, "service_unavailable")
    assert len([each for each in secrets.asked if each[0] == APP_SECRET]) <= 6


@pytest.mark.parametrize(
    "text", ["", "hush", "[]", '{"username": "u"}', '{"username": "u", "password": 1}']
)
def test_a_secret_that_is_none_is_503_and_not_told(
    api: Api, secrets: Secrets, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    secrets.put_text(APP_SECRET, text)

    assert api.get().status == 503
    assert "hush" not in capsys.readouterr().out


def test_without_secrets_manager_open_connections_go_on_and_new_ones_are_503(
    api: Api, secrets: Secrets, overseer: pg8000.native.Connection, redis_admin: redis.Redis
) -> None:
    from video_api import handler

    assert api.get().status == 200
    secrets.away = True
    assert api.get(limit="3").status == 200

    handler.reset()
    assert api.get(remaining_ms=3000).status == 503


def test_a_slow_secrets_manager_does_not_hold_a_request_over_its_budget(
    api: Api, secrets: Secrets, monkeypatch: pytest.MonkeyPatch
) -> None:
    from video_api import service

    monkeypatch.setattr(service, "CHECK_SECONDS", 0.3)
    secrets.delay = 1.0

    answer = api.get("/health")

    assert answer.status == 503
    # The check of the database and that of the cache, one after the other.
    assert 0.6 <= answer.seconds < 1.5


def test_a_rotation_under_load_fails_no_request(
    settings: Callable[..., None],
    environ: dict[str, str],
    secrets: Secrets,
    owner: pg8000.native.Connection,
    overseer: pg8000.native.Connection,
    redis_admin: redis.Redis,
    postgres_server: PostgresServer,
) -> None:
    stop = threading.Event()
    answered: list[list[int]] = [[], []]

    def load(each: Any, statuses: list[int]) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            body = json.dumps(video(title=f"load {number}"))
            headers = {"Content-Type": "application/json"}
            event = proxy_event("POST", "/metadata", headers=headers, body=body)
            statuses.append(each.send(event).status)

    with environments(2, environ) as both:
        threads = [
            threading.Thread(target=load, args=pair) for pair in zip(both, answered, strict=True)
        ]
        for thread in threads:
            thread.start()
        for number in range(2):
            password = f"rotated-{number}"
            steps: list[Callable[[], object]] = [
                partial(secrets.put_pending, APP_SECRET, "video_app", password),
                partial(owner.run, f"ALTER ROLE video_app PASSWORD '{password}'"),
                partial(secrets.put, APP_SECRET, "video_app", password),
            ]
            # As a managed rotation does it, and as by hand: the secret first, then the role.
            for step in steps if number % 2 else (steps[2], steps[1]):
                step()
                drop_connections(overseer, redis_admin)
                # A rotation takes seconds: both have met each state before the next one.
                served = [len(statuses) + 4 for statuses in answered]
                while any(len(a) < b for a, b in zip(answered, served, strict=True)):
                    stop.wait(0.002)
        stop.set()
        for thread in threads:
            thread.join(20)
        assert [each.errors() for each in both] == [[], []]

    statuses = answered[0] + answered[1]
    assert len(statuses) >= 2 * 2 * 4
    assert set(statuses) == {201}
    assert owner.run("SELECT count(*) FROM video_metadata") == [[len(statuses)]]


def test_log_and_answers_hold_no_secret_and_no_payload(
    api: Api,
    secrets: Secrets,
    owner: pg8000.native.Connection,
    redis_server: RedisServer,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from video_api import handler

    monkeypatch.setenv("POWERTOOLS_LOGGER_LOG_EVENT", "true")
    log_lines = io.StringIO()
    monkeypatch.setattr(handler.logger.registered_handler, "stream", log_lines)
    payload = "pay1oad"
    answers = [
        api.post(video(title=payload, tags=[payload]), key=payload),
        api.post(video(title=payload, status=payload)),
        api.post(f'{{"{payload}'),
        api.get(video_id=payload),
        api.get(cursor=payload),
        api.send(proxy_event("GET", f"/{payload}")),
    ]
    owner.run("ALTER TABLE video_metadata ADD CONSTRAINT trap CHECK (title NOT LIKE 'trap%')")
    answers.append(api.post(video(title=f"trap {payload}")))
    owner.run("ALTER TABLE video_metadata DROP CONSTRAINT trap")
    owner.run("ALTER ROLE video_app PASSWORD 'unknown'")
    handler.reset()
    answers.append(api.get(limit="4"))

    log = log_lines.getvalue() + capsys.readouterr().out
    assert [a.status for a in answers] == [201, 400, 400, 400, 400, 404, 400, 503]
    lines = [json.loads(line) for line in log.splitlines() if '"message":"request"' in line]
    assert len(lines) == len(answers)
    assert lines[-1]["sqlstate"] == "28P01"
    assert payload not in log
    for secret in (PASSWORD, redis_server.password, "the-key-value-of-a-client", "not-a-key"):
        assert secret not in log
        assert not [answer for answer in answers if secret in answer.text]
    assert not re.search(r"SCRAM-SHA-256\$", log)


def test_the_log_level_of_lambda_at_debug_shows_no_secret(
    api: Api, caplog: pytest.LogCaptureFixture, redis_server: RedisServer
) -> None:
    # Lambda's runtime puts a handler on the root logger, at the function's log level.
    with caplog.at_level(logging.DEBUG):
        assert api.get().status == 200

    shown = "\n".join(record.getMessage() for record in caplog.records)
    assert shown
    assert PASSWORD not in shown
    assert redis_server.password not in shown
