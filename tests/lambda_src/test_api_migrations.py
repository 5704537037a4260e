"""Migrations: new, again, both at once, changed, ahead; and what the API's role may do after."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pg8000.native
import pytest
from api_parts import APP_SECRET, MASTER_SECRET, Context, Secrets

from tapgen.local.data import PostgresServer

PASSWORD = "first-password-of-video-app"
FILES = ["0001_video_metadata", "0002_idempotency_keys", "0003_api_role"]


@pytest.fixture
def other(
    environ: dict[str, str], owner: pg8000.native.Connection, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """A database that nothing ran on yet, and the environment of a function that is to."""
    owner.run("CREATE DATABASE other")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DB_NAME", "other")
    yield "other"
    owner.run("DROP DATABASE other WITH (FORCE)")


def run() -> dict[str, Any]:
    from video_api import migrate

    return migrate.handler({}, Context(remaining_ms=60_000))


def run_files(files: Any, secrets: Secrets) -> dict[str, Any]:
    import os

    from video_api import migrate, settings
    from video_api.budget import Deadline
    from video_api.secrets import SecretsManager, SecretStore

    return migrate.migrate(
        settings.database(os.environ, variable="DB_MASTER_SECRET_ARN"),
        APP_SECRET,
        secrets=SecretStore(SecretsManager()),
        deadline=Deadline(30),
        files=files,
    )


def test_the_first_run_applies_every_file_in_order(first_migration: dict[str, Any]) -> None:
    assert first_migration == {
        "applied": FILES,
        "schema_version": 3,
        "known_version": 3,
        "forgotten_idempotency_keys": 0,
    }


def test_a_second_run_applies_nothing(other: str) -> None:
    first, second = run(), run()

    assert first["applied"] == FILES
    assert second["applied"] == []
    assert second["schema_version"] == 3


def test_two_runs_at_once_apply_each_file_once(
    other: str, connect: Callable[..., pg8000.native.Connection]
) -> None:
    reports: list[Any] = []
    threads = [threading.Thread(target=lambda: reports.append(run())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert sorted(len(report["applied"]) for report in reports) == [0, 3]
    with closing(connect(database=other)) as connection:
        assert connection.run("SELECT count(*) FROM schema_migrations") == [[3]]


def test_a_file_that_changed_after_it_ran_is_refused_before_anything_is_done(
    other: str, secrets: Secrets, connect: Callable[..., pg8000.native.Connection]
) -> None:
    from video_api import migrate

    files = migrate.load()
    run()
    changed = (replace(files[0], sql=files[0].sql + "-- later"), *files[1:])
    added = (*changed, migrate.Migration(4, "0004_new", "CREATE TABLE new (id int)"))

    with pytest.raises(migrate.MigrationRefused) as caught:
        run_files(added, secrets)

    assert caught.value.version == 1
    assert "0001_video_metadata changed after it ran" in str(caught.value)
    with closing(connect(database=other)) as connection:
        assert connection.run("SELECT to_regclass('new') IS NULL") == [[True]]


def test_a_file_that_fails_leaves_nothing_of_itself_and_keeps_those_before(
    other: str, secrets: Secrets, connect: Callable[..., pg8000.native.Connection]
) -> None:
    from video_api import migrate

    files = migrate.load()
    broken = migrate.Migration(
        4, "0004_broken", "CREATE TABLE half (id int); SELECT 1 / 0; CREATE TABLE never (id int)"
    )

    with pytest.raises(migrate.MigrationFailed) as caught:
        run_files((*files, broken), secrets)

    assert str(caught.value) == ("0004_broken failed (22012); applied before it: 0001, 0002, 0003")
    with closing(connect(database=other)) as connection:
        assert connection.run("SELECT to_regclass('half') IS NULL") == [[True]]
        assert connection.run("SELECT max(version) FROM schema_migrations") == [[3]]
    mended = replace(broken, sql="CREATE TABLE half (id int)")
    assert run_files((*files, mended), secrets)["applied"] == ["0004_broken"]


def test_a_database_ahead_of_the_code_is_left_so(other: str, secrets: Secrets) -> None:
    from video_api import migrate

    files = migrate.load()
    newer = migrate.Migration(4, "0004_newer", "CREATE TABLE newer (id int)")
    run_files((*files, newer), secrets)

    report = run()

    assert (report["applied"], report["schema_version"], report["known_version"]) == ([], 4, 3)


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (["0001_a.sql", "0003_c.sql"], "0003_c should be 0002"),
        (["0001_a.sql", "0001_b.sql"], "0001_b should be 0002"),
        (["1_a.sql"], "1_a.sql is not named NNNN_what_it_does.sql"),
    ],
)
def test_files_out_of_order_are_refused(tmp_path: Path, names: list[str], problem: str) -> None:
    from video_api import migrate

    for name in names:
        (tmp_path / name).write_text("SELECT 1")

    with pytest.raises(migrate.MigrationRefused, match=problem):
        migrate.load(tmp_path)


def test_keys_older_than_a_week_are_forgotten(owner: pg8000.native.Connection, environ: Any,
                                              monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    owner.run("TRUNCATE idempotency_keys")
    owner.run(
        "INSERT INTO idempotency_keys SELECT n::text, repeat('0', 64), '{}',"
        " now() - make_interval(days => n) FROM generate_series(5, 9) n"
    )

    assert run()["forgotten_idempotency_keys"] == 3
    assert owner.run("SELECT key FROM idempotency_keys ORDER BY 1") == [["5"], ["6"]]


def test_a_secret_of_another_role_is_refused(
    other: str, secrets: Secrets, monkeypatch: pytest.MonkeyPatch
) -> None:
    from video_api import migrate

    monkeypatch.setenv("DB_SECRET_ARN", MASTER_SECRET)

    with pytest.raises(migrate.MigrationRefused, match="must be of the role video_app"):
        run()


def test_the_password_is_sent_as_its_verifier_and_works(
    other: str,
    overseer: pg8000.native.Connection,
    connect: Callable[..., pg8000.native.Connection],
) -> None:
    from video_api.migrate import scram_verifier

    run()
    stored = overseer.run("SELECT rolpassword FROM pg_authid WHERE rolname = 'video_app'")[0][0]

    salt = stored.split(":")[1].split("$")[0]
    import base64

    assert stored == scram_verifier(PASSWORD, base64.b64decode(salt))
    connect("video_app", PASSWORD).close()


@pytest.fixture
def app_role(
    connect: Callable[..., pg8000.native.Connection], first_migration: dict[str, Any]
) -> Iterator[pg8000.native.Connection]:
    with closing(connect("video_app", PASSWORD)) as connection:
        yield connection


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE video_metadata",
        "ALTER TABLE video_metadata ADD COLUMN extra int",
        "ALTER TABLE video_metadata OWNER TO video_app",
        "TRUNCATE video_metadata",
        "DELETE FROM video_metadata",
        "UPDATE video_metadata SET title = 'x'",
        "UPDATE idempotency_keys SET response = '{}'",
        "DELETE FROM idempotency_keys",
        "SELECT * FROM schema_migrations",
        "CREATE TABLE mine (id int)",
        "CREATE TEMPORARY TABLE mine (id int)",
        "CREATE SCHEMA mine",
        "CREATE DATABASE mine",
        "CREATE ROLE mine",
        "GRANT videoadmin TO video_app",
        "SET ROLE videoadmin",
        "ALTER ROLE videoadmin PASSWORD 'x'",
        "SELECT rolpassword FROM pg_authid",
        "SELECT pg_read_file('/etc/passwd')",
        "COPY video_metadata TO '/tmp/stolen'",
        "COPY video_metadata FROM PROGRAM 'id'",
        "CREATE EXTENSION vector",
        "ALTER SYSTEM SET fsync = off",
        "CREATE INDEX mine ON video_metadata (title)",
        "BEGIN; LOCK TABLE video_metadata IN ACCESS EXCLUSIVE MODE",
    ],
)
def test_the_apis_role_may_not(app_role: pg8000.native.Connection, statement: str) -> None:
    with pytest.raises(pg8000.native.DatabaseError) as caught:
        app_role.run(statement)

    assert caught.value.args[0]["C"] == "42501"


def test_the_apis_role_owns_nothing_and_may_enter_one_database(
    app_role: pg8000.native.Connection, overseer: pg8000.native.Connection
) -> None:
    owned = (
        "SELECT count(*) FROM pg_shdepend WHERE deptype = 'o' AND refobjid = 'video_app'::regrole"
    )
    granted = (
        "SELECT table_name, privilege_type FROM information_schema.role_table_grants"
        " WHERE grantee = 'video_app' ORDER BY 1, 2"
    )

    assert overseer.run(owned) == [[0]]
    assert overseer.run(granted) == [
        ["idempotency_keys", "INSERT"],
        ["idempotency_keys", "SELECT"],
        ["video_metadata", "INSERT"],
        ["video_metadata", "SELECT"],
    ]
    memberships = "SELECT count(*) FROM pg_auth_members WHERE member = 'video_app'::regrole"
    assert overseer.run(memberships) == [[0]]


def test_the_apis_role_has_its_limits_also_without_the_application(
    app_role: pg8000.native.Connection,
) -> None:
    limits = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")

    assert [app_role.run(f"SHOW {name}")[0][0] for name in limits] == ["5s", "3s", "10s"]


def test_nobody_gets_in_without_tls(postgres_server: PostgresServer) -> None:
    with pytest.raises(pg8000.native.InterfaceError), suppress(ConnectionError):
        pg8000.native.Connection(
            postgres_server.user,
            host=postgres_server.host,
            port=postgres_server.port,
            password=postgres_server.password,
            database=postgres_server.database,
            ssl_context=False,
        )
