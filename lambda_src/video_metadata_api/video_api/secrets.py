"""Credentials from Secrets Manager: cached for five minutes, fetched again when refused.

Uses botocore, which the Lambda runtime brings, and imports it at the first fetch: a request that
is answered from open connections needs neither.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from video_api.budget import Deadline, TimeIsUp, bounded
from video_api.errors import Unavailable

CACHE_SECONDS = 300.0
# A first fetch makes a client and a TLS connection; a second attempt has to fit as well.
FETCH_SECONDS = 5.0

CURRENT = "AWSCURRENT"

# At DEBUG botocore logs every answer, and here the answer is the secret. Lambda's own log handler
# shows that as soon as the function's log level is DEBUG.
logging.getLogger("botocore").setLevel(logging.INFO)

Fetch = Callable[[str, str], str]


@dataclass(frozen=True)
class Credentials:
    """A name and a password; the password never shows."""

    username: str
    password: str = field(repr=False)


class StageMissing(Exception):
    """The secret has no version with the stage asked for."""


def parse(text: str) -> Credentials:
    """Credentials out of a secret's JSON. Raises ValueError, which tells nothing of it."""
    try:
        document = json.loads(text)
    except ValueError:
        raise ValueError("the secret is not JSON") from None
    if isinstance(document, dict):
        username, password = document.get("username"), document.get("password")
        if isinstance(username, str) and isinstance(password, str) and username and password:
            return Credentials(username, password)
    raise ValueError("the secret lacks username or password")


class SecretsManager:
    """GetSecretValue through one client, made when first needed or by ``warm``."""

    def __init__(self) -> None:
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()

    def warm(self, arn: str) -> None:
        """Make the client for the region of ``arn``; reads files, asks nobody."""
        region = arn.split(":")[3]
        with self._lock:
            if region in self._clients:
                return
            import botocore.session
            from botocore.config import Config

            self._clients[region] = botocore.session.get_session().create_client(
                "secretsmanager",
                region_name=region,
                config=Config(
                    connect_timeout=1,
                    read_timeout=2,
                    retries={"mode": "standard", "total_max_attempts": 2},
                ),
            )

    def __call__(self, arn: str, stage: str) -> str:
        """The secret's text at a stage. Raises StageMissing or botocore's errors."""
        self.warm(arn)
        client = self._clients[arn.split(":")[3]]
        try:
            answer = client.get_secret_value(SecretId=arn, VersionStage=stage)
        except client.exceptions.ResourceNotFoundException:
            raise StageMissing(stage) from None
        text: str = answer["SecretString"]
        return text


class SecretStore:
    """Credentials by ARN. Safe to be asked from several threads."""

    def __init__(self, fetch: Fetch, clock: Callable[[], float] = monotonic) -> None:
        self._fetch = fetch
        self._clock = clock
        self._kept: dict[str, tuple[float, Credentials]] = {}

    def get(self, arn: str, deadline: Deadline) -> Credentials:
        """The current credentials, at most five minutes old. Raises Unavailable."""
        kept = self._kept.get(arn)
        if kept is not None and self._clock() - kept[0] < CACHE_SECONDS:
            return kept[1]
        return self._current(arn, deadline)

    def candidates(self, arn: str, deadline: Deadline) -> Iterator[Credentials]:
        """Credentials to log in with, best first; ask for the next when one is refused.

        The kept ones, then every version as it is now, each once. While a rotation is under way
        the server may know the password of the version that is not yet current, or still that
        of the one before; the current one comes twice, because the server may have learnt it in
        the meantime. Raises Unavailable.
        """
        tried = [self.get(arn, deadline)]
        yield tried[0]
        for stage in (CURRENT, "AWSPENDING", CURRENT, "AWSPREVIOUS"):
            try:
                found = self._ask(arn, stage, deadline)
            except StageMissing:
                continue
            if stage == CURRENT:
                self._kept[arn] = (self._clock(), found)
            if found not in tried:
                tried.append(found)
                yield found
        yield self._current(arn, deadline)

    def _current(self, arn: str, deadline: Deadline) -> Credentials:
        try:
            credentials = self._ask(arn, CURRENT, deadline)
        except StageMissing:
            raise Unavailable("the secret has no current version") from None
        self._kept[arn] = (self._clock(), credentials)
        return credentials

    def _ask(self, arn: str, stage: str, deadline: Deadline) -> Credentials:
        try:
            seconds = deadline.at_most(FETCH_SECONDS)
            return parse(bounded(lambda: self._fetch(arn, stage), seconds))
        except StageMissing:
            raise
        except TimeIsUp:
            raise Unavailable("the secret took too long") from None
        except Exception as error:
            # botocore's errors and those of the secret's text; neither may be shown.
            raise Unavailable(f"the secret cannot be read: {type(error).__name__}") from None
