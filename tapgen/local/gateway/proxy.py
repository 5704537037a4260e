"""AWS_PROXY: a request as the event a function gets, and a function's answer as a response.

Event and answer are payload format 1.0, as the developer guide's "Lambda proxy integrations" has
them. A path stays as it was sent; query strings are decoded.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tapgen.local.gateway import validation
from tapgen.local.gateway.refusals import Refusal

Pairs = Sequence[tuple[str, str]]

# What a function may be sent, and may answer, at once.
PAYLOAD_BYTES = 6 * 1024 * 1024

# Between this client and this gateway; a function never sees them.
_OF_THE_CONNECTION = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# A function's own headers of these names reach the client as x-amzn-remapped-….
_REMAPPED = frozenset(
    {
        "authorization",
        "connection",
        "content-length",
        "content-md5",
        "date",
        "host",
        "server",
        "user-agent",
        "www-authenticate",
    }
)
_DROPPED = frozenset(["expect", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"])


@dataclass(frozen=True)
class Answer:
    """A response, ready to be sent."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def event(
    *,
    method: str,
    path: str,
    resource: str,
    query: str,
    headers: Pairs,
    body: bytes,
    path_parameters: Mapping[str, str],
    stage_variables: Mapping[str, str],
    context: Mapping[str, Any],
    binary: Sequence[str],
) -> dict[str, Any]:
    """The event of one request. ``context`` becomes its ``requestContext``."""
    sent = [pair for pair in headers if pair[0].lower() not in _OF_THE_CONNECTION]
    asked = validation.query(query)
    encoded = bool(body) and is_binary(content_type(headers), binary)
    return {
        "resource": resource,
        "path": path,
        "httpMethod": method,
        "headers": _last(sent) or None,
        "multiValueHeaders": _all(sent) or None,
        "queryStringParameters": _last(asked) or None,
        "multiValueQueryStringParameters": _all(asked) or None,
        "pathParameters": dict(path_parameters) or None,
        "stageVariables": dict(stage_variables) or None,
        "requestContext": context,
        "body": _body(body, encoded=encoded),
        "isBase64Encoded": encoded,
    }


def answer(payload: bytes, *, accept: str, binary: Sequence[str]) -> Answer:
    """A function's answer as a response. Raises ``Refusal`` when it has another form."""
    try:
        document = json.loads(payload)
    except ValueError:
        raise _malformed() from None
    if not isinstance(document, dict):
        raise _malformed()
    body = document.get("body")
    if not isinstance(body, (str, type(None))):
        raise _malformed()
    raw = (body or "").encode("utf-8", "replace")
    wanted = accept.partition(",")[0].partition(";")[0].strip()
    if document.get("isBase64Encoded") is True and is_binary(wanted, binary):
        try:
            raw = base64.b64decode(raw, validate=True)
        except (binascii.Error, ValueError):
            raise Refusal("API_CONFIGURATION_ERROR") from None
    return Answer(_status(document.get("statusCode")), _headers(document), raw)


def is_binary(media_type: str, binary: Sequence[str]) -> bool:
    """Whether bodies of this type are passed as Base64."""
    essence = media_type.partition(";")[0].strip().lower()
    main = essence.partition("/")[0]
    return any(kind.lower() in ("*/*", f"{main}/*", essence) for kind in binary)


def content_type(headers: Pairs) -> str:
    """A request's media type; JSON when it names none, as API Gateway takes it."""
    found = [value for name, value in headers if name.lower() == "content-type"]
    return found[-1] if found else "application/json"


def _body(body: bytes, *, encoded: bool) -> str | None:
    if not body:
        return None
    return base64.b64encode(body).decode() if encoded else body.decode("utf-8", "replace")


def _last(pairs: Pairs) -> dict[str, str]:
    """Each name with its last value, under the spelling it came with last."""
    spelled: dict[str, tuple[str, str]] = {}
    for name, value in pairs:
        spelled[name] = (name, value)
    return dict(spelled.values())


def _all(pairs: Pairs) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


def _malformed() -> Refusal:
    return Refusal("INTEGRATION_FAILURE")


def _status(found: object) -> int:
    if isinstance(found, str) and found.isascii() and found.isdigit():
        found = int(found)
    if isinstance(found, bool) or not isinstance(found, int) or not 100 <= found <= 599:
        raise _malformed()
    return found


def _headers(document: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    single, multiple = (
        {} if found is None else found
        for found in (document.get("headers"), document.get("multiValueHeaders"))
    )
    if not isinstance(single, dict) or not isinstance(multiple, dict):
        raise _malformed()
    pairs: list[tuple[str, str]] = []
    for name, values in multiple.items():
        if not isinstance(values, list):
            raise _malformed()
        pairs += [(name, _header_text(value)) for value in values]
    # A name that stands in both is taken from the lists.
    known = {name.lower() for name in multiple}
    pairs += [(k, _header_text(v)) for k, v in single.items() if k.lower() not in known]
    kept = [
        (f"x-amzn-Remapped-{name}" if name.lower() in _REMAPPED else name, value)
        for name, value in pairs
        if name.lower() not in _DROPPED
    ]
    if not any(name.lower() == "content-type" for name, _ in kept):
        kept.append(("Content-Type", "application/json"))
    return tuple(kept)


def _header_text(value: object) -> str:
    if isinstance(value, (dict, list)) or value is None:
        raise _malformed()
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if any(character in text for character in "\r\n\0"):
        raise _malformed()
    return text
