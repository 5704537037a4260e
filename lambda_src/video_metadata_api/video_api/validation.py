"""Judging what was sent by the API's description. What to do with it is the routes' affair.

A schema becomes a list of checks once, at import. Only the keywords that the description uses are
known; another one is an error then and there, not a rule that silently does not hold.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from video_api.errors import Problem

Check = Callable[[Any], str | None]

# An answer that lists more than this helps nobody and grows with the request.
MOST_PROBLEMS = 20
_SPEAKABLE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_WHOLE_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,18}")
_ANNOTATIONS = {"$schema", "title", "description", "default", "format"}
_CHECKED = {
    "type",
    "enum",
    "required",
    "properties",
    "additionalProperties",
    "minLength",
    "maxLength",
    "pattern",
    "minimum",
    "maximum",
    "maxItems",
    "uniqueItems",
    "items",
}
_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
}


def whole_match(pattern: str) -> re.Pattern[str]:
    """A pattern of the description as Python reads it.

    ``$`` ends the text in JSON Schema; in Python it also ends it before a last line break, so
    the pattern is matched as a whole instead. Raises ValueError when it is not anchored.
    """
    if not (pattern.startswith("^") and pattern.endswith("$")):
        raise ValueError(f"pattern {pattern!r} is not anchored at both ends")
    return re.compile(f"(?:{pattern[1:-1]})", re.ASCII)


class Schema:
    """A draft-04 schema, ready to judge values."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        unknown = set(schema) - _ANNOTATIONS - _CHECKED
        if unknown:
            raise ValueError(f"schema keywords without a check: {sorted(unknown)}")
        self.type: str = schema["type"]
        self._enum = schema.get("enum")
        self._required = tuple(schema.get("required", ()))
        self._closed = schema.get("additionalProperties", True) is False
        self._minimum, self._maximum = schema.get("minimum"), schema.get("maximum")
        self._min_length, self._max_length = schema.get("minLength", 0), schema.get("maxLength")
        self._pattern = whole_match(schema["pattern"]) if "pattern" in schema else None
        self._max_items = schema.get("maxItems")
        self._unique = schema.get("uniqueItems", False)
        self._items = Schema(schema["items"]) if "items" in schema else None
        self._properties = {
            name: Schema(part) for name, part in schema.get("properties", {}).items()
        }

    def problems(self, value: object, field: str) -> list[Problem]:
        """What is wrong with ``value``; empty when nothing is."""
        found = []
        for problem in self._problems(value, field):
            found.append(problem)
            if len(found) == MOST_PROBLEMS:
                break
        return found

    def _problems(self, value: Any, field: str) -> Iterator[Problem]:
        if not _TYPES[self.type](value):
            yield Problem(field, f"must be of type {self.type}")
        elif self.type == "object":
            yield from self._object(value, field)
        elif self.type == "array":
            yield from self._array(value, field)
        else:
            problem = self._scalar(value)
            if problem:
                yield Problem(field, problem)

    def _object(self, value: dict[str, Any], field: str) -> Iterator[Problem]:
        for name in self._required:
            if name not in value:
                yield Problem(_under(field, name), "is required")
        for name, part in value.items():
            if name in self._properties:
                yield from self._properties[name]._problems(part, _under(field, name))
            elif self._closed:
                yield Problem(_under(field, name), "is not a field of this document")

    def _array(self, value: list[Any], field: str) -> Iterator[Problem]:
        if self._max_items is not None and len(value) > self._max_items:
            yield Problem(field, f"must have at most {self._max_items} items")
            return
        well = True
        for number, item in enumerate(value):
            if self._items is not None:
                for problem in self._items._problems(item, f"{field}[{number}]"):
                    well = False
                    yield problem
        # Items that are not what they should be may be nested too deep to be written again.
        if self._unique and well:
            texts = [json.dumps(item, sort_keys=True) for item in value]
            if len(set(texts)) != len(texts):
                yield Problem(field, "must not hold an item twice")

    def _scalar(self, value: Any) -> str | None:
        if self._enum is not None and value not in self._enum:
            return f"must be one of {', '.join(self._enum)}"
        if isinstance(value, int):
            if self._minimum is not None and value < self._minimum:
                return f"must be at least {self._minimum}"
            if self._maximum is not None and value > self._maximum:
                return f"must be at most {self._maximum}"
            return None
        # Length first: the pattern is not run over what is too long anyway.
        if len(value) < self._min_length:
            return f"must have at least {self._min_length} characters"
        if self._max_length is not None and len(value) > self._max_length:
            return f"must have at most {self._max_length} characters"
        if self._pattern is not None and not self._pattern.fullmatch(value):
            return "does not have the form it must have"
        return None

    def from_text(self, text: str) -> object:
        """A parameter's text as the type of the schema; itself when it is no such text."""
        if self.type == "integer" and _WHOLE_NUMBER.fullmatch(text):
            return int(text)
        return text


def _under(field: str, name: str) -> str:
    shown = name if _SPEAKABLE.fullmatch(name) else "(unnamed)"
    return f"{field}.{shown}" if field else shown
