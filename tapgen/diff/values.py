"""What the parts of a template stand for, in one form that can be compared.

``normal`` works intrinsic functions out as far as plain values go. What only AWS knows stays, but
in one spelling each: ``{"Ref": "A"}``, ``{"Fn::GetAtt": "A.B"}``, ``{"Fn::ImportValue": name}``,
and ``{"Fn::Join": ["", [pieces]]}`` for every text with such a thing in it, so that a Fn::Sub and
a Fn::Join that say the same are the same. Comparing is ``leaves``'.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, NamedTuple

from tapgen import resolve
from tapgen.resolve import Document, Known, Unresolvable

# Parameters whose value must not be shown, or is only a name that AWS looks up.
LOOKED_UP = "AWS::SSM::Parameter::Value<"
STARS = "****"


class Mark(Enum):
    """What stands in a value's place."""

    ABSENT = "(absent)"
    MASKED = STARS


@dataclass(frozen=True)
class AfterApply:
    """A value that only the deployment tells; ``of`` is where it comes from, readably."""

    of: str
    certain: bool = True
    """Whether it will be another value than before; otherwise it may stay."""


class Reference(NamedTuple):
    """Something in a template whose value AWS knows: ``kind`` is ``local`` or ``import``.

    A local one is a resource or parameter; ``attribute`` is empty for a Ref.
    """

    kind: str
    name: str
    attribute: str = ""


@dataclass(frozen=True)
class Scope:
    """What is known while reading one template. ``full`` has hidden parameters too."""

    known: Known
    full: Known

    @classmethod
    def of(cls, document: Document, values: Mapping[str, Any], imports: Mapping[str, Any]) -> Scope:
        """A template with its parameters' ``values`` and the ``imports`` somebody knows.

        Hidden parameters decide conditions, but are put in nowhere.
        """
        plain = {name: value for name, value in imports.items() if isinstance(value, str)}
        full = Known.of(document, values, imports=plain)
        full = replace(full, values=_with_lists(document, full.values))
        by_name = hidden(document) | looked_up(document)
        shown = {name: value for name, value in full.values.items() if name not in by_name}
        unhidden = {n: v for n, v in full.values.items() if n not in looked_up(document)}
        return cls(replace(full, values=shown), replace(full, values=unhidden))

    def holds(self, condition: Any) -> bool | None:
        """Whether the named condition is true; None when that is not known."""
        try:
            return self.full.holds(condition)
        except Unresolvable:
            return None


def _with_lists(document: Document, given: Mapping[str, Any]) -> dict[str, Any]:
    """``given`` with list parameters as the lists that a Ref to them is."""
    found = dict(given)
    for name, parameter in document.get("Parameters", {}).items():
        kind, value = str(parameter.get("Type")), found.get(name)
        if isinstance(value, str) and (kind == "CommaDelimitedList" or kind.startswith("List<")):
            found[name] = [part.strip() for part in value.split(",")]
    return found


def hidden(document: Document) -> frozenset[str]:
    """The parameters that must not be shown."""
    return frozenset(
        name
        for name, parameter in document.get("Parameters", {}).items()
        if str(parameter.get("NoEcho", "false")).lower() == "true"
    )


def looked_up(document: Document) -> frozenset[str]:
    """The parameters whose value is a key that AWS puts the real value in for."""
    return frozenset(
        name
        for name, parameter in document.get("Parameters", {}).items()
        if str(parameter.get("Type", "")).startswith(LOOKED_UP)
    )


def is_expression(node: Any) -> bool:
    """Whether ``node`` is an intrinsic function rather than data."""
    if not isinstance(node, Mapping) or len(node) != 1:
        return False
    (key,) = node
    return key == "Ref" or str(key).startswith("Fn::")


def normal(node: Any, scope: Scope) -> Any:
    """``node`` with everything known put in, and the rest in its one spelling."""
    if is_expression(node):
        ((function, argument),) = node.items()
        return _function(str(function), argument, scope)
    if isinstance(node, Mapping):
        members = {str(key): normal(item, scope) for key, item in node.items()}
        return {key: item for key, item in members.items() if not _gone(item)}
    if isinstance(node, (list, tuple)):
        return [item for item in (normal(each, scope) for each in node) if not _gone(item)]
    return node


def join(pieces: list[Any]) -> Any:
    """A text of literal and unknown pieces: a plain string, one expression, or a Fn::Join."""
    merged: list[Any] = []
    for piece in pieces:
        for part in _flat(piece):
            if isinstance(part, str) and merged and isinstance(merged[-1], str):
                merged[-1] += part
            elif part != "":
                merged.append(part)
    if not merged:
        return ""
    if len(merged) == 1:
        return merged[0]
    return {"Fn::Join": ["", merged]}


def references(node: Any) -> Iterator[Reference]:
    """Everything in a normal ``node`` that only AWS knows the value of, by name."""
    if isinstance(node, Mapping):
        if is_expression(node):
            ((function, argument),) = node.items()
            if function == "Ref":
                yield Reference("local", str(argument))
                return
            if function == "Fn::GetAtt" and isinstance(argument, str):
                name, _, attribute = argument.partition(".")
                yield Reference("local", name, attribute)
                return
            if function == "Fn::ImportValue" and isinstance(argument, str):
                yield Reference("import", argument)
                return
        for item in node.values():
            yield from references(item)
    elif isinstance(node, list):
        for item in node:
            yield from references(item)


def fingerprint(node: Any) -> str:
    """Equal for nodes of equal value: ``5`` and ``"5"``, ``true`` and ``"true"`` are equal."""
    return json.dumps(_canonical(node), sort_keys=True)


def readable(node: Any) -> Any:
    """A normal ``node`` as data to show: what AWS knows as ``${A.B}`` in texts."""
    if is_expression(node):
        return _spelled(node)
    if isinstance(node, Mapping):
        return {key: readable(item) for key, item in node.items()}
    if isinstance(node, list):
        return [readable(item) for item in node]
    return node


def _function(name: str, argument: Any, scope: Scope) -> Any:
    if name == "Fn::If" and isinstance(argument, (list, tuple)) and len(argument) == 3:
        condition, yes, no = argument
        holds = scope.holds(condition)
        if holds is None:
            return {name: [condition, normal(yes, scope), normal(no, scope)]}
        return normal(yes if holds else no, scope)
    try:
        # Whole first: Select, Split and FindInMap make sense of complete arguments only.
        return resolve.value({name: argument}, scope.known)
    except Unresolvable:
        spell = _SPELLINGS.get(name)
        return spell(argument, scope) if spell else {name: normal(argument, scope)}


def _attribute(argument: Any, scope: Scope) -> Any:
    if isinstance(argument, (list, tuple)):
        parts = [normal(part, scope) for part in argument]
        if all(isinstance(part, str) for part in parts):
            return {"Fn::GetAtt": ".".join(parts)}
        return {"Fn::GetAtt": parts}
    return {"Fn::GetAtt": argument}


def _sub(argument: Any, scope: Scope) -> Any:
    pair = isinstance(argument, (list, tuple)) and len(argument) == 2
    template, extra = argument if pair else (argument, {})
    if not isinstance(template, str) or not isinstance(extra, Mapping):
        return {"Fn::Sub": normal(argument, scope)}
    pieces: list[Any] = []
    for literal, name in sub_pieces(template):
        if name is None:
            pieces.append(literal)
        elif name in extra:
            pieces.append(normal(extra[name], scope))
        elif "." in name:
            pieces.append({"Fn::GetAtt": name})
        else:
            pieces.append(normal({"Ref": name}, scope))
    return join(pieces)


def sub_pieces(template: str) -> Iterator[tuple[str, str | None]]:
    """A Fn::Sub text in pieces: ``(text, None)`` or ``("", name)``; ``${!x}`` is text."""
    rest = template
    while rest:
        before, hole, after = rest.partition("${")
        if before:
            yield before, None
        inner, closed, tail = after.partition("}")
        if not hole:
            return
        if not closed:
            yield hole + inner, None
            return
        if inner.startswith("!"):
            yield f"${{{inner[1:]}}}", None
        elif inner.strip():
            yield "", inner.strip()
        else:
            yield "${" + inner + "}", None
        rest = tail


def _joined(argument: Any, scope: Scope) -> Any:
    if isinstance(argument, (list, tuple)) and len(argument) == 2:
        delimiter, parts = argument[0], normal(argument[1], scope)
        if isinstance(delimiter, str) and isinstance(parts, list):
            pieces: list[Any] = []
            for part in parts:
                pieces += [delimiter, part] if pieces else [part]
            return join(pieces)
    return {"Fn::Join": normal(argument, scope)}


def _selected(argument: Any, scope: Scope) -> Any:
    if isinstance(argument, (list, tuple)) and len(argument) == 2:
        index, choices = (normal(part, scope) for part in argument)
        place = str(index)
        if isinstance(choices, list) and place.isdecimal() and int(place) < len(choices):
            return choices[int(place)]
        return {"Fn::Select": [index, choices]}
    return {"Fn::Select": normal(argument, scope)}


def _imported(argument: Any, scope: Scope) -> Any:
    return {"Fn::ImportValue": normal(argument, scope)}


_SPELLINGS = {
    "Fn::GetAtt": _attribute,
    "Fn::Sub": _sub,
    "Fn::Join": _joined,
    "Fn::Select": _selected,
    "Fn::ImportValue": _imported,
}


def pieces_of(node: Any) -> list[Any] | None:
    """The pieces of a text in normal form, a plain one included; None for anything else."""
    if isinstance(node, str):
        return [node]
    if isinstance(node, Mapping) and len(node) == 1 and "Fn::Join" in node:
        argument = node["Fn::Join"]
        if isinstance(argument, list) and len(argument) == 2 and argument[0] == "":
            return list(argument[1]) if isinstance(argument[1], list) else None
    return None


def scalar_text(value: Any) -> str:
    """A scalar as CloudFormation hands it on: ``true`` for True."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _flat(piece: Any) -> list[Any]:
    found = pieces_of(piece)
    if found is not None:
        return found
    return [piece] if isinstance(piece, (Mapping, list)) else [scalar_text(piece)]


def _gone(node: Any) -> bool:
    return is_expression(node) and node.get("Ref") == resolve.NO_VALUE


def _canonical(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {str(key): _canonical(item) for key, item in node.items()}
    if isinstance(node, (list, tuple)):
        return [_canonical(item) for item in node]
    return None if node is None else scalar_text(node)


def _spelled(node: Any) -> str:
    pieces = pieces_of(node)
    if pieces is not None:
        return "".join(piece if isinstance(piece, str) else _spelled(piece) for piece in pieces)
    if not isinstance(node, Mapping):
        return scalar_text(node) if not isinstance(node, list) else json.dumps(readable(node))
    ((function, argument),) = node.items()
    if function in ("Ref", "Fn::GetAtt") and isinstance(argument, str):
        return f"${{{argument}}}"
    if function == "Fn::ImportValue" and isinstance(argument, str):
        return f"${{import {argument}}}"
    name = str(function).removeprefix("Fn::")
    return f"${{{name} {json.dumps(readable(argument), default=str)}}}"
