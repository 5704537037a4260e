"""One PostgreSQL connection for each execution environment: opened late, kept, replaced when lost.

Which statements there are is ``queries``' affair; each of them may be sent twice, so a statement
whose connection broke is sent once more on a new one, whatever became of the first.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable
from contextlib import AbstractContextManager
from enum import Enum
from typing import Any, Protocol

import pg8000.native

from video_api.budget import Deadline, Line, TimeIsUp, Watchdog, dial
from video_api.errors import InternalError, InvalidRequest, Unavailable, sqlstate
from video_api.secrets import Credentials, SecretStore
from video_api.settings import DatabaseSettings

CONNECT_SECONDS = 3.0
STATEMENT_MS = 5000
LOCK_MS = 3000
# The server ends a statement at 5 s and says so; this is for a server that says nothing.
STATEMENT_SECONDS = 6.0

Row = list[Any]
Span = Callable[[str], AbstractContextManager[object]]


class Report(Protocol):
    """Where noteworthy events go: the log and the metrics."""

    def __call__(self, event: str, **facts: object) -> None:
        """Tell ``event`` with its facts, none of them secret."""


class Verdict(Enum):
    """What an error of PostgreSQL means for the request."""

    AGAIN = "the connection is of no use: once more on a new one"
    UNAVAILABLE = "not now, and not better on a new connection"
    REFUSED = "the values were refused"
    BUG = "the statement is wrong"


# 57P0x: shut down, crashed, starting. 25006: a primary that became a standby. 26000, 0A000: the
# session lost its prepared statement, or a migration changed what it gives.
_AGAIN = ("08", "57P", "25006", "26000", "0A000", "40001", "40P01", "25P")
# 57014 and 55P03: a time limit. 53: no connections, memory or disk. 28: no password was accepted.
# 42501, 42P01, 42703, 3D000, 3F000: the migrations did not run yet.
_UNAVAILABLE = ("57014", "55P03", "53", "28", "42501", "42P01", "42703", "3D000", "3F000")
_REFUSED = ("22", "23514", "23502")
# A role that is unknown (28000) or a password that is wrong (28P01).
_LOGIN_REFUSED = ("28P01", "28000")


def verdict(error: BaseException) -> Verdict:
    """Read an error by its SQLSTATE; one without never came from a healthy server."""
    state = sqlstate(error)
    if state is None:
        return Verdict.AGAIN
    for prefixes, meaning in (
        (_UNAVAILABLE, Verdict.UNAVAILABLE),
        (_AGAIN, Verdict.AGAIN),
        (_REFUSED, Verdict.REFUSED),
    ):
        if state.startswith(prefixes):
            return meaning
    return Verdict.BUG


def trust(settings: DatabaseSettings) -> ssl.SSLContext:
    """A TLS context that verifies chain and host name against the settings' roots alone.

    Handed to pg8000 always: without one it goes on unverified, or without TLS.
    """
    context = ssl.create_default_context(cafile=str(settings.ca_file))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class Session:
    """An open connection with its prepared statements."""

    def __init__(self, connection: pg8000.native.Connection, line: Line) -> None:
        self.connection = connection
        self.line = line
        self._prepared: dict[str, Any] = {}

    def run(self, statement: str, parameters: dict[str, Any]) -> list[Row]:
        """Rows of a statement; prepared at its first use, so later ones take one round trip."""
        prepared = self._prepared.get(statement)
        if prepared is None:
            prepared = self._prepared[statement] = self.connection.prepare(statement)
        rows: list[Row] | None = prepared.run(**parameters)
        return rows or []

    def close(self) -> None:
        """Let go, whatever state the connection is in."""
        self.line.cut()
        with contextlib.suppress(Exception):
            self.connection.close()
        self.line.close()


def open_session(
    settings: DatabaseSettings,
    credentials: Credentials,
    *,
    context: ssl.SSLContext,
    watchdog: Watchdog,
    deadline: Deadline,
    name: str,
    parameters: dict[str, str],
    silence: float = 2 * STATEMENT_SECONDS,
) -> Session:
    """Connect and log in within three seconds. Raises OSError, TimeIsUp or pg8000's errors.

    ``silence`` is the socket's own limit, for the case that the watchdog's thread is gone.
    """
    endpoint = settings.endpoint
    sock = dial(endpoint.host, endpoint.port, deadline.at_most(CONNECT_SECONDS))
    line = Line(sock)
    try:
        sock.settimeout(silence)
        with watchdog.guard(line, deadline.at_most(CONNECT_SECONDS)):
            connection = pg8000.native.Connection(
                credentials.username,
                host=endpoint.host,
                database=settings.name,
                password=credentials.password,
                sock=sock,
                ssl_context=context,
                application_name=name,
                startup_params=parameters,
            )
    except BaseException:
        # pg8000's file object on the socket keeps it open for as long as the error is looked at.
        line.cut()
        line.close()
        sock.close()
        raise
    return Session(connection, line)


def log_in(
    secrets: SecretStore,
    arn: str,
    open_with: Callable[[Credentials], Session],
    deadline: Deadline,
) -> Session:
    """Open a session; when a password is refused, try the secret's other versions.

    Raises what the last try raised, or Unavailable.
    """
    refusal: Exception | None = None
    for credentials in secrets.candidates(arn, deadline):
        try:
            return open_with(credentials)
        except Exception as error:
            if sqlstate(error) not in _LOGIN_REFUSED:
                raise
            refusal = error
    raise Unavailable("no version of the secret is accepted") from refusal


class Database:
    """Runs statements for one request at a time."""

    def __init__(
        self,
        settings: DatabaseSettings,
        secrets: SecretStore,
        *,
        watchdog: Watchdog,
        span: Span,
        report: Report,
    ) -> None:
        self._settings = settings
        self._secrets = secrets
        self._watchdog = watchdog
        self._span = span
        self._report = report
        self._context: ssl.SSLContext | None = None
        self._session: Session | None = None

    def run(self, statement: str, deadline: Deadline, **parameters: Any) -> list[Row]:
        """The rows of a statement that may be sent twice.

        Raises Unavailable, InvalidRequest (values the database refused) or InternalError.
        """
        with self._span("database"):
            try:
                return self._once(statement, parameters, deadline)
            except Exception as error:
                self._judge(error)
            try:
                return self._once(statement, parameters, deadline)
            except Exception as error:
                self._judge(error)
                raise Unavailable(f"twice: {_name(error)}") from error

    def close(self) -> None:
        """Drop the connection; the next statement opens another."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _once(self, statement: str, parameters: dict[str, Any], deadline: Deadline) -> list[Row]:
        if self._session is None:
            self._session = self._open(deadline)
        session = self._session
        with self._watchdog.guard(session.line, deadline.at_most(STATEMENT_SECONDS)):
            return session.run(statement, parameters)

    def _judge(self, error: Exception) -> None:
        """Raise what the request ends with, or come back when it is worth another try."""
        if isinstance(error, Unavailable):
            raise error
        if isinstance(error, TimeIsUp):
            self.close()
            raise Unavailable("the database took too long") from error
        meaning = verdict(error)
        if meaning is not Verdict.REFUSED:
            self._report("database_error", reason=_name(error))
            self.close()
        if meaning is Verdict.UNAVAILABLE:
            raise Unavailable(_name(error)) from error
        if meaning is Verdict.REFUSED:
            raise InvalidRequest from error
        if meaning is Verdict.BUG:
            raise InternalError from error

    def _open(self, deadline: Deadline) -> Session:
        if self._context is None:
            self._context = trust(self._settings)
        context = self._context

        def open_with(credentials: Credentials) -> Session:
            return open_session(
                self._settings,
                credentials,
                context=context,
                watchdog=self._watchdog,
                deadline=deadline,
                name="video-metadata-api",
                parameters={
                    "statement_timeout": str(STATEMENT_MS),
                    "lock_timeout": str(LOCK_MS),
                    # A plan made for all values at once does not know how small a page is.
                    "plan_cache_mode": "force_custom_plan",
                    "search_path": "public",
                },
            )

        session = log_in(self._secrets, self._settings.secret_arn, open_with, deadline)
        self._report("database_connected")
        return session


def _name(error: BaseException) -> str:
    return sqlstate(error) or type(error).__name__
