"""One request to the API, over HTTPS with the certificate checked, and what came of it."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tapgen.errors import TapgenError

# The API itself gives up after 29 seconds.
SECONDS = 35.0
_HERE = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Request:
    """``body`` is sent as JSON."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Reply:
    """``body`` is what the JSON says, or the text where it is none."""

    status: int
    body: Any


Send = Callable[[Request], Reply]


class NoReply(TapgenError):
    """Nobody answered."""

    def __init__(self, url: str, detail: str) -> None:
        self.url, self.detail = url, detail
        super().__init__(f"no answer from {url}: {detail}")


class NotSecret(TapgenError):
    """An address that the key would reach in the clear."""

    def __init__(self, url: str) -> None:
        self.url = url
        super().__init__(f"{url} is not HTTPS, and the key is not sent without; use https://")


def send(request: Request) -> Reply:
    """Send it. Raises ``NoReply``, and ``NotSecret`` outside this machine without HTTPS."""
    parts = urlsplit(request.url)
    here = parts.hostname in _HERE
    if parts.scheme != "https" and not (here and parts.scheme == "http"):
        raise NotSecret(request.url)
    body = None if request.body is None else json.dumps(request.body).encode()
    headers = {"accept": "application/json", **request.headers}
    if body is not None:
        headers["content-type"] = "application/json"
    asked = urllib.request.Request(request.url, body, headers, method=request.method)
    try:
        with _opener(direct=here).open(asked, timeout=SECONDS) as answer:
            return Reply(answer.status, _read(answer.read()))
    except urllib.error.HTTPError as error:
        with error:
            return Reply(error.code, _read(error.read()))
    except (urllib.error.URLError, TimeoutError, OSError) as error:
        raise NoReply(request.url, str(getattr(error, "reason", error))) from error


class _Stay(urllib.request.HTTPRedirectHandler):
    """A key is for the address that it was given for."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _opener(*, direct: bool) -> urllib.request.OpenerDirector:
    handlers: list[Any] = [
        urllib.request.HTTPSHandler(context=ssl.create_default_context()),
        _Stay(),
    ]
    if direct:
        handlers.append(urllib.request.ProxyHandler({}))
    return urllib.request.build_opener(*handlers)


def _read(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return content.decode(errors="replace")[:500]
