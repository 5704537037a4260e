"""Request validators: what of a request they look at, and what they make of it.

Models are JSON Schema draft 4, judged by jsonschema. Two things are set right for it. Patterns are
ECMA's: ``$`` ends the text, which in Python it also does before a last line break, and ``\\d``
knows ASCII alone. And a body that is no JSON at all is an invalid body, not an error of ours.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl

from jsonschema import Draft4Validator, ValidationError
from jsonschema.validators import extend

_LINE_END = re.compile(r"(\\.)|(\[(?:\\.|[^\]\\])*\])|(\$)", re.DOTALL)


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    def end(match: re.Match[str]) -> str:
        return r"\Z" if match[3] else match[0]

    return re.compile(_LINE_END.sub(end, pattern), re.ASCII)


def _pattern(
    _validator: object, pattern: str, instance: object, _schema: object
) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not _compiled(pattern).search(instance):
        yield ValidationError(f"does not match {pattern!r}")


_Validator: Any = extend(Draft4Validator, {"pattern": _pattern})


class Model:
    """A model's schema, ready to judge bodies. Raises ``jsonschema.SchemaError`` for a bad one."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        _Validator.check_schema(schema)
        self._validator = _Validator(schema)

    def problems(self, body: bytes) -> list[str]:
        """What is wrong with a body, at most five things; empty when nothing is."""
        try:
            document = json.loads(body.decode("utf-8"), parse_constant=_not_json)
        except (ValueError, RecursionError):
            return ["the body is not JSON"]
        try:
            return self.judge(document)
        except RecursionError:
            # What can be read can still be too deep to compare item by item.
            return ["the body is nested too deep"]

    def judge(self, document: object) -> list[str]:
        """The same for a document that was read already."""
        found = []
        for error in self._validator.iter_errors(document):
            where = "/".join(str(part) for part in error.absolute_path)
            found.append(f"{where or 'body'}: {error.validator}")
            if len(found) == 5:
                break
        return found


def missing(
    required: Mapping[str, tuple[str, ...]], sent: Mapping[str, Mapping[str, str]]
) -> list[str]:
    """Required parameters that were not sent, or sent blank; both by ``path``, ``header``…"""
    return [
        name
        for place, names in required.items()
        for name in names
        if not sent[place].get(name.lower() if place == "header" else name, "").strip()
    ]


def query(text: str) -> list[tuple[str, str]]:
    """A query string's names and values, decoded; blank ones are kept."""
    return parse_qsl(text, keep_blank_values=True, errors="replace")


def _not_json(constant: str) -> object:
    raise ValueError(f"{constant} is not JSON")
