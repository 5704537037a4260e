"""Reading a proxy event: parameters, headers and the body, or the error that says why not.

A request may come from a caller that API Gateway did not check: everything is checked here again.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from video_api import model
from video_api.cursor import BadCursor, Position, decode
from video_api.errors import (
    InvalidJson,
    InvalidRequest,
    PayloadTooLarge,
    Problem,
    UnsupportedMediaType,
)
from video_api.validation import Schema

_QUERY = model.parameters("GET /metadata", "query")
_SCHEMAS = {name: Schema(model.parameter_schema(name)) for name in model.DESCRIPTION["parameters"]}
_NEW_VIDEO = Schema(model.NEW_VIDEO)
_REQUEST_ID = re.compile(r"[A-Za-z0-9_=-]{1,128}")
_API_KEY_ID = re.compile(r"[A-Za-z0-9]{1,64}")


@dataclass(frozen=True)
class OneVideo:
    """``GET /metadata?video_id=``."""

    video_id: str


@dataclass(frozen=True)
class Page:
    """``GET /metadata`` without an id."""

    limit: int
    after: Position | None
    status: str | None


@dataclass(frozen=True)
class NewVideo:
    """``POST /metadata``: the checked document and, when a key came along, key and hash."""

    document: dict[str, Any]
    request_hash: str
    idempotency_key: str | None


def request_id(event: object, otherwise: str) -> str:
    """API Gateway's id of the request, or ``otherwise``."""
    found = _at(event, "requestContext", "requestId")
    return found if isinstance(found, str) and _REQUEST_ID.fullmatch(found) else otherwise


def is_proxy_event(event: object) -> bool:
    """Whether this is what API Gateway sends; anything else has no path to route by."""
    return (
        isinstance(event, dict)
        and isinstance(event.get("path"), str)
        and isinstance(event.get("httpMethod"), str)
    )


def query(event: Mapping[str, Any]) -> OneVideo | Page:
    """The query of ``GET /metadata``. Raises InvalidRequest."""
    sent = _values(event, "queryStringParameters", "multiValueQueryStringParameters")
    known: dict[str, Any] = {}
    problems = []
    for name, values in sent.items():
        if name not in _QUERY:
            shown = name if re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name) else "(unnamed)"
            problems.append(Problem(shown, "is not a parameter of this request"))
        elif len(values) != 1:
            problems.append(Problem(name, "must be given once"))
        else:
            schema = _SCHEMAS[name]
            known[name] = schema.from_text(values[0])
            problems += schema.problems(known[name], name)
    if "video_id" in sent and len(sent) > 1:
        problems.append(Problem("video_id", "goes with no other parameter"))
    if problems:
        raise InvalidRequest(problems[:20])
    if "video_id" in known:
        return OneVideo(known["video_id"].lower())
    return Page(
        known.get("limit", model.DEFAULT_LIMIT), _position(known.get("cursor")), known.get("status")
    )


def _position(text: str | None) -> Position | None:
    if text is None:
        return None
    try:
        return decode(text)
    except BadCursor:
        raise InvalidRequest([Problem("cursor", "is not a cursor of this API")]) from None


def new_video(event: Mapping[str, Any]) -> NewVideo:
    """The body and the key of ``POST /metadata``.

    Raises UnsupportedMediaType, PayloadTooLarge, InvalidJson or InvalidRequest.
    """
    key = _idempotency_key(event)
    document = _json_body(event)
    problems = _NEW_VIDEO.problems(document, "")
    if problems or not isinstance(document, dict):
        raise InvalidRequest(problems)
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return NewVideo(document, hashlib.sha256(canonical.encode()).hexdigest(), key)


def _idempotency_key(event: Mapping[str, Any]) -> str | None:
    """The key, under the name of the API key that sent it: clients cannot meet each other."""
    name = model.IDEMPOTENCY_HEADER
    values = _header(event, name)
    if not values:
        return None
    if len(values) > 1:
        raise InvalidRequest([Problem(name, "must be given once")])
    problems = _SCHEMAS[name].problems(values[0], name)
    if problems:
        raise InvalidRequest(problems)
    client = _at(event, "requestContext", "identity", "apiKeyId")
    known = isinstance(client, str) and _API_KEY_ID.fullmatch(client)
    return f"{client if known else '-'}/{values[0]}"


def _json_body(event: Mapping[str, Any]) -> object:
    if not _is_plain_json(event):
        raise UnsupportedMediaType
    raw = _body_bytes(event)
    try:
        document = json.loads(
            raw.decode("utf-8"), object_pairs_hook=_each_name_once, parse_constant=_refuse
        )
        # A lone surrogate is a string in Python, and no text anywhere else.
        json.dumps(document, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        raise InvalidJson from None
    return document


def _is_plain_json(event: Mapping[str, Any]) -> bool:
    encodings = _header(event, "Content-Encoding")
    if any(encoding.strip().lower() not in ("", "identity") for encoding in encodings):
        return False
    types = _header(event, "Content-Type")
    if not types:
        return True
    if len(types) > 1:
        return False
    media_type, *parameters = (part.strip().lower() for part in types[0].split(";"))
    charsets = [part[8:].strip('"') for part in parameters if part.startswith("charset=")]
    return media_type == "application/json" and all(
        charset in ("utf-8", "utf8", "us-ascii") for charset in charsets
    )


def _body_bytes(event: Mapping[str, Any]) -> bytes:
    body = event.get("body")
    if not isinstance(body, str) or not body:
        raise InvalidJson([Problem("body", "is required")])
    encoded = event.get("isBase64Encoded") is True
    if len(body) > (model.BODY_BYTES * 4 // 3 + 4 if encoded else model.BODY_BYTES):
        raise PayloadTooLarge
    try:
        raw = base64.b64decode(body, validate=True) if encoded else body.encode("utf-8")
    except (binascii.Error, ValueError):
        raise InvalidJson from None
    if len(raw) > model.BODY_BYTES:
        raise PayloadTooLarge
    return raw


def _each_name_once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return document


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _header(event: Mapping[str, Any], name: str) -> list[str]:
    found = []
    for sent, values in _values(event, "headers", "multiValueHeaders").items():
        if sent.lower() == name.lower():
            found += values
    return found


def _values(event: Mapping[str, Any], single: str, multiple: str) -> dict[str, list[str]]:
    """Parameters or headers with all their values, of whichever form the event has."""
    many = event.get(multiple)
    if isinstance(many, dict) and many:
        pairs = [
            (str(name), values if isinstance(values, list) else [values])
            for name, values in many.items()
        ]
    else:
        one = event.get(single)
        pairs = [(str(k), [v]) for k, v in one.items()] if isinstance(one, dict) else []
    return {name: ["" if v is None else str(v) for v in values] for name, values in pairs}


def _at(event: object, *names: str) -> object:
    found = event
    for name in names:
        if not isinstance(found, dict):
            return None
        found = found.get(name)
    return found
