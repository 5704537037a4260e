"""The only module that imports boto3: clients, calls, and what botocore may raise.

Answers become the values of ``cloud``, refusals its errors; botocore's shapes and exceptions end
here. One session and one client a service, made when first used and shared by threads (botocore's
clients are safe for that, its sessions are not).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOTokenLoadError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
from botocore.exceptions import ConnectionError as NoConnection
from botocore.parsers import ResponseParserError
from botocore.session import Session

from tapgen import names
from tapgen.cloud import (
    AccessDenied,
    CloudError,
    ExpiredCredentials,
    NoCredentials,
    Refused,
    Throttled,
    Unreachable,
)

_THROTTLES = {
    "Throttling",
    "ThrottlingException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized"}
_UNKNOWN = {"InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch"}
_UNAVAILABLE = {"ServiceUnavailable", "InternalFailure", "InternalError", "RequestTimeout"}


@dataclass(frozen=True)
class Endpoint:
    """Where another AWS than AWS answers, and whom it takes us for."""

    url: str
    access_key: str
    secret_key: str


class Connection:
    """The clients of the services, each made when first used and shared by all threads.

    ``make`` returns a new client of a service; ``connect`` makes one that speaks to AWS. ``again``
    returns another ``make``, which has read the credentials anew.
    """

    def __init__(
        self,
        make: Callable[[str], Any],
        again: Callable[[], Callable[[str], Any]] | None = None,
    ) -> None:
        self._make, self._again = make, again
        self._clients: dict[str, Any] = {}
        self._making = Lock()

    def client(self, service: str) -> Any:
        """The client of a service. Raises ``CloudError``."""
        with self._making:
            if service not in self._clients:
                with _translated(service, "start"):
                    self._clients[service] = self._make(service)
            return self._clients[service]

    def renew(self) -> None:
        """Forget every client and the credentials they were made with. Raises ``CloudError``."""
        with self._making:
            if self._again is not None:
                self._make = self._again()
            self._clients.clear()

    def call(self, service: str, operation: str, **arguments: Any) -> dict[str, Any]:
        """Call one operation (``describe_stacks``) and return the answer. Raises ``CloudError``."""
        client = self.client(service)
        with _translated(service, operation):
            answer: dict[str, Any] = getattr(client, operation)(**arguments)
        return answer

    def pages(
        self, service: str, operation: str, member: str, **arguments: Any
    ) -> Iterator[dict[str, Any]]:
        """Yield the items under ``member`` over all pages. Raises ``CloudError``."""
        client = self.client(service)
        with _translated(service, operation):
            for page in client.get_paginator(operation).paginate(**arguments):
                yield from page.get(member, ())


def connect(profile: str | None = None, endpoint: Endpoint | None = None) -> Connection:
    """A connection to AWS as ``profile`` says, or to ``endpoint``. Raises ``CloudError``."""

    def opened() -> Callable[[str], Any]:
        return _maker(profile, endpoint)

    return Connection(opened(), opened)


def _maker(profile: str | None, endpoint: Endpoint | None) -> Callable[[str], Any]:
    with _translated("session", "start"):
        session = boto3.Session(
            profile_name=profile if endpoint is None else None,
            region_name=names.REGION,
            aws_access_key_id=endpoint.access_key if endpoint else None,
            aws_secret_access_key=endpoint.secret_key if endpoint else None,
            botocore_session=_of_nobody() if endpoint else None,
        )

    def make(service: str) -> Any:
        return session.client(  # type: ignore[call-overload]
            service,
            endpoint_url=endpoint.url if endpoint else None,
            config=_config(service, local=endpoint is not None),
        )

    return make


def _of_nobody() -> Session:
    """A botocore session that no profile, file or variable of the user's has a say in."""
    return Session(
        session_vars={
            "profile": (None, None, None, None),
            "config_file": (None, None, os.devnull, None),
            "credentials_file": (None, None, os.devnull, None),
        }
    )


def _config(service: str, *, local: bool) -> Config:
    # sts comes first: where nobody answers it, waiting through ten tries helps nobody.
    tries = 3 if local or service == "sts" else 10
    return Config(
        # A function must not be run twice because its answer took long.
        retries={"mode": "standard", "max_attempts": 1 if service == "lambda" else tries},
        connect_timeout=5,
        # The longest that a migration may take (the API tier), and a little more.
        read_timeout=320 if service == "lambda" else 60,
        user_agent_extra="tapgen",
        # The embedded AWS has no names like bucket.s3.localhost.
        s3={"addressing_style": "path"} if local and service == "s3" else None,
    )


@contextmanager
def _translated(service: str, operation: str) -> Iterator[None]:
    """Turn botocore's exceptions into ours."""
    try:
        yield
    except ClientError as error:
        raise _refusal(f"{service}:{_pascal(operation)}", error) from error
    except (NoCredentialsError, PartialCredentialsError, ProfileNotFound) as error:
        raise NoCredentials(str(error)) from error
    except (SSOTokenLoadError, TokenRetrievalError, UnauthorizedSSOTokenError) as error:
        raise ExpiredCredentials(str(error)) from error
    except (EndpointConnectionError, NoConnection, HTTPClientError) as error:
        endpoint = str(error.kwargs.get("endpoint_url", "its endpoint"))
        raise Unreachable(service, endpoint, str(error)) from error
    except ResponseParserError as error:
        # An answer cut short, or a proxy's page instead of one.
        raise Unreachable(service, "its endpoint", str(error)) from error
    except BotoCoreError as error:
        raise CloudError(f"{service}:{_pascal(operation)} failed: {error}") from error


def _refusal(operation: str, error: ClientError) -> CloudError:
    told = error.response.get("Error", {})
    code, detail = str(told.get("Code", "")), str(told.get("Message", ""))
    if code in _THROTTLES:
        return Throttled(operation)
    if code in _EXPIRED:
        return ExpiredCredentials(detail)
    if code in _UNKNOWN:
        return NoCredentials(detail)
    if code in _UNAVAILABLE or error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") in (
        502,
        503,
        504,
    ):
        return Unreachable(operation.split(":")[0], "its endpoint", detail)
    kind = AccessDenied if code in _DENIED else Refused
    return kind(operation, code, detail)


def _pascal(operation: str) -> str:
    return re.sub("(?:^|_)([a-z])", lambda match: match.group(1).upper(), operation)
