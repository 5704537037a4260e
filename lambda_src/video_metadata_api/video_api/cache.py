"""Redis beside the database: what was read before, and never a reason to fail.

Every method answers within its share of the budget or says nothing. After a failure the circuit
of that endpoint stays open for ten seconds, in which Redis is not asked at all. What is found is
looked at before it is believed. All keys start ``vm:``, the only ones the role may touch.
"""

from __future__ import annotations

import hashlib
import json
import secrets as entropy
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

from redis import Redis
from redis.backoff import NoBackoff
from redis.connection import ConnectionPool, SSLConnection
from redis.exceptions import AuthenticationError
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from video_api.budget import Deadline, Line, Watchdog, dial
from video_api.database import Report, Span
from video_api.errors import Unavailable
from video_api.secrets import Credentials, SecretStore
from video_api.settings import CacheSettings
from video_api.settings import Endpoint as Address

T = TypeVar("T")

# The shape of what is kept. Raise it when a document changes, and old entries are never read.
SHAPE = 1
PREFIX = f"vm:{SHAPE}:"
GENERATION_KEY = f"{PREFIX}gen"

ITEM_SECONDS = 300
ABSENT_SECONDS = 30
LIST_SECONDS = 15
CIRCUIT_SECONDS = 10.0
CONNECT_SECONDS = 0.5
# A command, with connection, TLS and log-in when there is none yet.
COMMAND_SECONDS = 0.5
COLD_COMMAND_SECONDS = 1.0
# A page of the longest descriptions has 2 MB, and is gone in 15 s: not worth the way.
MOST_BYTES = 262_144


@dataclass(frozen=True)
class Found:
    """A cached answer; None: known not to exist."""

    document: dict[str, Any] | None


@dataclass(frozen=True)
class ListSlot:
    """Where a page belongs as long as nothing is written, and what lies there."""

    key: str
    page: dict[str, Any] | None


class _Connection(SSLConnection):
    """redis-py's TLS connection, dialled and shaken hands with inside a fixed time."""

    def __init__(self, endpoint: _Endpoint, **options: Any) -> None:
        self._endpoint = endpoint
        super().__init__(**options)

    def _connect(self) -> ssl.SSLSocket:
        return self._endpoint.connect()


class _Endpoint:
    """Primary or reader: one connection and its circuit."""

    def __init__(
        self, role: str, address: Address, watchdog: Watchdog, context: Callable[[], ssl.SSLContext]
    ) -> None:
        self.role = role
        self._address = address
        self._watchdog = watchdog
        self._context = context
        self._line: Line | None = None
        self._client: Redis | None = None
        self._deadline = Deadline(0)
        self.open_until = 0.0

    def client(self, candidates: Iterator[Credentials]) -> Redis:
        if self._client is None:
            logged_in_as = next(candidates, None)
            if logged_in_as is None:
                raise Unavailable("no version of the secret is accepted")
            pool = ConnectionPool(
                connection_class=_Connection,
                endpoint=self,
                host=self._address.host,
                port=self._address.port,
                username=logged_in_as.username,
                password=logged_in_as.password,
                socket_connect_timeout=CONNECT_SECONDS,
                socket_timeout=COMMAND_SECONDS,
                # redis-py would try three times more, with pauses.
                retry=Retry(NoBackoff(), 0),
                # RESP3 and notifications are asked for with commands the role may lack.
                protocol=2,
                maint_notifications_config=MaintNotificationsConfig(enabled=False),
                driver_info=None,
                max_connections=1,
            )
            self._client = Redis(connection_pool=pool)
        return self._client

    def ask(self, client: Redis, command: Callable[[Redis], T], deadline: Deadline) -> T:
        self._deadline = deadline
        seconds = COLD_COMMAND_SECONDS if self._line is None else COMMAND_SECONDS
        with self._watchdog.guard(self, deadline.at_most(seconds)):
            return command(client)

    def connect(self) -> ssl.SSLSocket:
        seconds = self._deadline.at_most(CONNECT_SECONDS)
        sock = dial(self._address.host, self._address.port, seconds)
        sock.settimeout(COMMAND_SECONDS)
        self._hang_up()
        self._line = Line(sock)
        try:
            with self._watchdog.guard(self._line, seconds):
                return self._context().wrap_socket(sock, server_hostname=self._address.host)
        except BaseException:
            sock.close()
            raise

    def cut(self) -> None:
        line = self._line
        if line is not None:
            line.cut()

    def drop(self) -> None:
        client, self._client = self._client, None
        self.cut()
        if client is not None:
            client.connection_pool.disconnect()
        self._hang_up()

    def _hang_up(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.close()


class Cache:
    """Answers kept in Redis, for one request at a time."""

    def __init__(
        self,
        settings: CacheSettings,
        secrets: SecretStore,
        *,
        watchdog: Watchdog,
        span: Span,
        report: Report,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._settings = settings
        self._secrets = secrets
        self._span = span
        self._report = report
        self._clock = clock
        self._tls: ssl.SSLContext | None = None
        self._primary = _Endpoint("primary", settings.primary, watchdog, self._context)
        self._reader = _Endpoint("reader", settings.reader, watchdog, self._context)

    def video(self, video_id: str, deadline: Deadline) -> Found | None:
        """What is kept about one video; None when nothing is."""
        kept = self._ask(self._reader, lambda redis: redis.get(_item(video_id)), deadline)
        if kept is None:
            self._report("cache_miss")
            return None
        document = _read(kept)
        if document is None or (
            isinstance(document, dict) and document.get("video_id") == video_id
        ):
            self._report("cache_hit")
            return Found(document)
        self._report("cache_miss")
        return None

    def keep_video(
        self, video_id: str, document: dict[str, Any] | None, deadline: Deadline
    ) -> None:
        """Keep a video, or that there is none."""
        seconds = ABSENT_SECONDS if document is None else ITEM_SECONDS
        self._keep(_item(video_id), document, seconds, deadline)

    def page(self, query: str, deadline: Deadline) -> ListSlot | None:
        """The place of a page of this query, and the page; None when Redis does not answer."""

        def read(redis: Any) -> tuple[str, bytes | None]:
            generation = redis.get(GENERATION_KEY) or b"0"
            digest = hashlib.sha256(query.encode()).hexdigest()[:32]
            key = f"{PREFIX}list:{int(generation)}:{digest}"
            return key, redis.get(key)

        found = self._ask(self._reader, read, deadline)
        if found is None:
            self._report("cache_miss")
            return None
        key, kept = found
        page = None if kept is None else _read(kept)
        if isinstance(page, dict) and isinstance(page.get("items"), list):
            self._report("cache_hit")
            return ListSlot(key, page)
        self._report("cache_miss")
        return ListSlot(key, None)

    def keep_page(self, slot: ListSlot, page: dict[str, Any], deadline: Deadline) -> None:
        """Keep a page in its place."""
        self._keep(slot.key, page, LIST_SECONDS, deadline)

    def created(self, document: dict[str, Any], deadline: Deadline) -> None:
        """Keep a new video, and let no list that lacks it be read again."""

        def write(redis: Any) -> bool:
            # Not a transaction: the role may not use MULTI, and neither half needs the other.
            pipeline = redis.pipeline(transaction=False)
            pipeline.set(_item(document["video_id"]), _text(document), px=_jitter(ITEM_SECONDS))
            pipeline.incr(GENERATION_KEY)
            pipeline.execute()
            return True

        self._ask(self._primary, write, deadline)

    def healthy(self, deadline: Deadline) -> bool:
        """Whether both endpoints answer. An open circuit is an answer: no."""

        def ping(redis: Any) -> bool:
            return bool(redis.ping())

        return all(
            self._ask(endpoint, ping, deadline) is True
            for endpoint in (self._primary, self._reader)
        )

    def close(self) -> None:
        """Drop both connections."""
        self._primary.drop()
        self._reader.drop()

    def _keep(self, key: str, document: object, seconds: int, deadline: Deadline) -> None:
        text = _text(document)
        if len(text) <= MOST_BYTES:
            self._ask(
                self._primary, lambda redis: redis.set(key, text, px=_jitter(seconds)), deadline
            )

    def _ask(
        self, endpoint: _Endpoint, command: Callable[[Any], T], deadline: Deadline
    ) -> T | None:
        if self._clock() < endpoint.open_until:
            return None
        with self._span("cache"):
            try:
                return self._with_login(endpoint, command, deadline)
            except Exception as error:
                endpoint.drop()
                endpoint.open_until = self._clock() + CIRCUIT_SECONDS
                self._report(
                    "cache_unavailable", endpoint=endpoint.role, reason=type(error).__name__
                )
                return None

    def _with_login(
        self, endpoint: _Endpoint, command: Callable[[Any], T], deadline: Deadline
    ) -> T:
        """Run a command; a new log-in tries the secret's versions until one is accepted."""
        candidates = self._secrets.candidates(self._settings.secret_arn, deadline)
        while True:
            try:
                return endpoint.ask(endpoint.client(candidates), command, deadline)
            except AuthenticationError:
                endpoint.drop()

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = trust(self._settings.ca_file)
        return self._tls


def trust(ca_file: Path | None) -> ssl.SSLContext:
    """A verifying TLS context: the roots given, or the system's (ElastiCache's are public)."""
    context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file is None and not context.cert_store_stats()["x509_ca"]:
        # A system without a bundle where OpenSSL looks: botocore, always there, has one.
        import botocore

        context.load_verify_locations(cafile=str(Path(botocore.__file__).with_name("cacert.pem")))
    return context


def _item(video_id: str) -> str:
    return f"{PREFIX}item:{video_id}"


def _jitter(seconds: int) -> int:
    """Milliseconds within a tenth of ``seconds``: what was kept together ends apart."""
    return seconds * 900 + entropy.randbelow(seconds * 200 + 1)


def _text(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _read(kept: object) -> object:
    """A document out of Redis; anything that is none becomes a value that nobody takes."""
    try:
        return json.loads(kept) if isinstance(kept, bytes) else False
    except (ValueError, RecursionError):
        return False
