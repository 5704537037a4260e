"""Brings the database's schema up: ``video_api.migrate.handler``, invoked by the deployer.

Runs the numbered SQL files that were not run yet, in order, each in a transaction with its entry
in ``schema_migrations``, under one advisory lock for the whole database. Then sets the password of
the API's role from its secret, and forgets idempotency keys that are too old. A file that changed
after it ran is refused before anything is done; a database that is ahead of the files is left so,
because a rollback of the code must not roll back data. Migrations only add.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import secrets as entropy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from video_api import model
from video_api import settings as environment
from video_api.budget import Deadline, Watchdog
from video_api.database import Session, log_in, open_session, trust
from video_api.errors import sqlstate
from video_api.secrets import Credentials, SecretsManager, SecretStore

FOLDER = Path(__file__).with_name("migrations")
APP_ROLE = "video_app"
# Any number does, as long as it is the same in every version of this file.
LOCK = 7_274_863_021
# The function's own limit is the ceiling; without one (on a laptop) a migration has this long.
SECONDS = 240.0
_FILE = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")


class MigrationRefused(Exception):
    """The files and the database do not fit together. Nothing was changed."""

    def __init__(self, version: int, problem: str) -> None:
        self.version, self.problem = version, problem
        super().__init__(f"migration {version:04}: {problem}")


class MigrationFailed(Exception):
    """A step failed; ``applied`` migrations before it stand, and another run goes on from there."""

    def __init__(self, step: str, state: str | None, applied: Sequence[int]) -> None:
        self.step, self.state, self.applied = step, state, tuple(applied)
        done = ", ".join(f"{version:04}" for version in applied) or "none"
        super().__init__(f"{step} failed ({state or 'connection lost'}); applied before it: {done}")


@dataclass(frozen=True)
class Migration:
    """One SQL file."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """What tells whether the file is the one that ran."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


@dataclass(frozen=True)
class Applied:
    """One entry of ``schema_migrations``."""

    version: int
    checksum: str


def load(folder: Path = FOLDER) -> tuple[Migration, ...]:
    """The files in order. Raises MigrationRefused: gaps, doubles, names that are no names."""
    found = []
    for path in sorted(folder.glob("*.sql")):
        match = _FILE.fullmatch(path.name)
        if match is None:
            raise MigrationRefused(0, f"{path.name} is not named NNNN_what_it_does.sql")
        found.append(Migration(int(match[1]), path.stem, path.read_text(encoding="utf-8")))
    for expected, migration in enumerate(found, start=1):
        if migration.version != expected:
            raise MigrationRefused(migration.version, f"{migration.name} should be {expected:04}")
    return tuple(found)


def pending(files: Sequence[Migration], applied: Sequence[Applied]) -> tuple[Migration, ...]:
    """Files to run. Raises MigrationRefused when one changed after it ran."""
    known = {entry.version: entry.checksum for entry in applied}
    for migration in files:
        if known.get(migration.version, migration.checksum) != migration.checksum:
            raise MigrationRefused(
                migration.version, f"{migration.name} changed after it ran; add a new file instead"
            )
    return tuple(migration for migration in files if migration.version not in known)


def scram_verifier(password: str, salt: bytes, iterations: int = 4096) -> str:
    """The password as PostgreSQL stores it (RFC 5803): the plain text never leaves the function.

    ASCII alone, as Secrets Manager generates it: other text would have to be normalised first.
    """
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, iterations)
    client = hmac.digest(salted, b"Client Key", "sha256")
    stored = base64.b64encode(hashlib.sha256(client).digest()).decode()
    server = base64.b64encode(hmac.digest(salted, b"Server Key", "sha256")).decode()
    return f"SCRAM-SHA-256${iterations}:{base64.b64encode(salt).decode()}${stored}:{server}"


class Migrator:
    """Runs migrations over an open session of the owner."""

    def __init__(self, session: Session) -> None:
        self._connection = session.connection
        self._done: list[int] = []

    def run(self, files: Sequence[Migration], role: Credentials) -> dict[str, Any]:
        """Do what is missing and report it. Raises MigrationRefused or MigrationFailed."""
        if role.username != APP_ROLE:
            raise MigrationRefused(0, f"the API's secret must be of the role {APP_ROLE}")
        self._step("waiting for the lock", lambda: self._sql(f"SELECT pg_advisory_lock({LOCK})"))
        try:
            self._step("schema_migrations", self._make_table)
            missing = pending(files, self._applied())
            for migration in missing:
                self._step(migration.name, partial(self._apply, migration))
                self._done.append(migration.version)
            self._step("password of the role", lambda: self._set_password(role))
            forgotten = self._step("old idempotency keys", self._forget)
            applied = self._applied()
        finally:
            self._unlock()
        return {
            "applied": [migration.name for migration in missing],
            "schema_version": max((entry.version for entry in applied), default=0),
            "known_version": len(files),
            "forgotten_idempotency_keys": forgotten,
        }

    def _step(self, name: str, step: Callable[[], Any]) -> Any:
        try:
            return step()
        except Exception as error:
            # The text may hold rows, or the verifier of a password.
            raise MigrationFailed(name, sqlstate(error), self._done) from None

    def _sql(self, text: str) -> list[list[Any]]:
        rows: list[list[Any]] | None = self._connection.run(text)
        return rows or []

    def _make_table(self) -> None:
        self._sql(
            "CREATE TABLE IF NOT EXISTS schema_migrations ("
            " version integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL,"
            " applied_at timestamptz NOT NULL DEFAULT now())"
        )

    def _applied(self) -> tuple[Applied, ...]:
        rows = self._sql("SELECT version, checksum FROM schema_migrations ORDER BY version")
        return tuple(Applied(version, checksum) for version, checksum in rows)

    def _apply(self, migration: Migration) -> None:
        self._sql("BEGIN")
        try:
            self._sql(migration.sql)
            self._connection.run(
                "INSERT INTO schema_migrations (version, name, checksum)"
                " VALUES (:version::int, :name, :checksum)",
                version=str(migration.version),
                name=migration.name,
                checksum=migration.checksum,
            )
        except BaseException:
            self._sql("ROLLBACK")
            raise
        self._sql("COMMIT")

    def _set_password(self, role: Credentials) -> None:
        verifier = scram_verifier(role.password, entropy.token_bytes(16))
        # Base64, digits and three signs: nothing that would end the literal.
        self._sql(f"ALTER ROLE {APP_ROLE} PASSWORD '{verifier}'")

    def _forget(self) -> int:
        self._connection.run(
            "DELETE FROM idempotency_keys"
            " WHERE created_at < now() - make_interval(days => :days::int)",
            days=str(model.IDEMPOTENCY_KEY_DAYS),
        )
        return int(self._connection.row_count)

    def _unlock(self) -> None:
        try:
            self._sql(f"SELECT pg_advisory_unlock({LOCK})")
        except Exception:
            # The session is broken or in a failed transaction; its end frees the lock.
            return


def migrate(
    master: environment.DatabaseSettings,
    app_secret_arn: str,
    *,
    secrets: SecretStore,
    deadline: Deadline,
    files: Sequence[Migration],
) -> dict[str, Any]:
    """Log in as the owner and run ``files``. Raises MigrationRefused, MigrationFailed…"""
    watchdog = Watchdog()
    context = trust(master)
    milliseconds = str(int(deadline.at_most(SECONDS) * 1000))

    def open_with(credentials: Credentials) -> Session:
        return open_session(
            master,
            credentials,
            context=context,
            watchdog=watchdog,
            deadline=deadline,
            name="video-metadata-migrate",
            parameters={
                # An ALTER TABLE that waits holds up every reader behind it.
                "lock_timeout": "60000",
                "statement_timeout": milliseconds,
                "search_path": "public",
            },
            silence=SECONDS,
        )

    role = secrets.get(app_secret_arn, deadline)
    session = log_in(secrets, master.secret_arn, open_with, deadline)
    try:
        with watchdog.guard(session.line, deadline.at_most(SECONDS)):
            return Migrator(session).run(files, role)
    finally:
        session.close()


def handler(event: object, context: Any) -> dict[str, Any]:
    """Run what is missing, and say what was done; fails the invocation when it cannot."""
    remaining = getattr(context, "get_remaining_time_in_millis", None)
    seconds = remaining() / 1000 - 2 if callable(remaining) else SECONDS
    return migrate(
        environment.database(os.environ, variable="DB_MASTER_SECRET_ARN"),
        environment.app_secret_arn(os.environ),
        secrets=SecretStore(SecretsManager()),
        deadline=Deadline(seconds),
        files=load(),
    )
