"""The API's description, read from ``api_model.json``. Judging input by it is validation's."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

PATH: Final = Path(__file__).with_name("api_model.json")
DESCRIPTION: Final[dict[str, Any]] = json.loads(PATH.read_text(encoding="utf-8"))

NEW_VIDEO: Final[dict[str, Any]] = DESCRIPTION["models"]["NewVideo"]
STATUSES: Final = tuple(NEW_VIDEO["properties"]["status"]["enum"])
BODY_BYTES: Final[int] = DESCRIPTION["limits"]["body_bytes"]
IDEMPOTENCY_KEY_DAYS: Final[int] = DESCRIPTION["limits"]["idempotency_key_days"]
DEFAULT_LIMIT: Final[int] = DESCRIPTION["parameters"]["limit"]["schema"]["default"]
IDEMPOTENCY_HEADER: Final = "Idempotency-Key"
CORS: Final[dict[str, Any]] = DESCRIPTION["cors"]


@dataclass(frozen=True)
class ErrorKind:
    """One entry of the catalogue of errors."""

    code: str
    status: int
    message: str


def error_kind(code: str) -> ErrorKind:
    """The catalogue's entry for ``code``; a code that is not listed is a KeyError."""
    entry = DESCRIPTION["errors"][code]
    return ErrorKind(code, entry["status"], entry["message"])


def parameter_schema(name: str) -> dict[str, Any]:
    """The schema of a query parameter or a header."""
    schema: dict[str, Any] = DESCRIPTION["parameters"][name]["schema"]
    return schema


def parameters(operation: str, where: str) -> tuple[str, ...]:
    """Names of the parameters of ``GET /metadata`` and the like, ``where``: query or header."""
    return tuple(
        name
        for name in DESCRIPTION["operations"][operation]["parameters"]
        if DESCRIPTION["parameters"][name]["in"] == where
    )
