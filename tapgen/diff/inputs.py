"""What a stack is deployed with, and the parts of its template that are no resources.

Parameters, and the sections that are compared as they are written: conditions and mappings are
worked out where resources use them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tapgen.diff import leaves, secrets, values
from tapgen.diff.changes import ParameterChange, SectionChange, TagChange
from tapgen.diff.leaves import Leaf
from tapgen.diff.moves import Side
from tapgen.diff.replaced import Answer
from tapgen.diff.values import Mark, Reference
from tapgen.resolve import Document

_SECTIONS = (
    "Description",
    "Transform",
    "Parameters",
    "Rules",
    "Mappings",
    "Conditions",
    "Metadata",
)


def parameters(one: Side, other: Side) -> tuple[tuple[ParameterChange, ...], tuple[str, ...]]:
    """The parameters that differ, and the hidden ones whose deployed value AWS does not show."""
    hidden = values.hidden(one.document) | values.hidden(other.document)
    had, has = given(one), given(other)
    unseen = sorted(
        name for name in hidden if name in had and name in has and set(had[name]) == {"*"}
    )
    changes = []
    for leaf in leaves.differences(had, has, _still):
        (name,) = leaf.path
        if name not in unseen:
            pair = (_masked(leaf, each, all_of_it=name in hidden) for each in _pair(leaf))
            changes.append(ParameterChange(name, *pair))
    return tuple(changes), tuple(unseen)


def tags(one: Side, other: Side) -> tuple[TagChange, ...]:
    """The stack's tags that differ."""
    found = leaves.differences(dict(one.tags), dict(other.tags), _still)
    return tuple(TagChange(leaf.path[0], leaf.before, leaf.after) for leaf in found)


def sections(one: Document, other: Document) -> Iterator[SectionChange]:
    """The places that differ in everything but resources and outputs' values."""
    hidden = values.hidden(one) | values.hidden(other)
    for section in _SECTIONS:
        before, after = one.get(section, Mark.ABSENT), other.get(section, Mark.ABSENT)
        before, after = _as_empty(before, after), _as_empty(after, before)
        for leaf in leaves.differences(before, after, _still, (section,)):
            pair = [_without_default(leaf, each, hidden) for each in _pair(leaf)]
            yield SectionChange(leaves.path_text(leaf.path), *pair)
    had, has = one.get("Outputs", {}), other.get("Outputs", {})
    for key in had:
        if key in has and had[key].get("Description") != has[key].get("Description"):
            texts = (each[key].get("Description", Mark.ABSENT) for each in (had, has))
            yield SectionChange(f"Outputs.{key}.Description", *texts)


def given(side: Side) -> dict[str, str]:
    """The value of every parameter that the side's template declares."""
    declared = side.document.get("Parameters", {})
    found = {
        name: side.parameters.get(name, parameter.get("Default", ""))
        for name, parameter in declared.items()
    }
    return {name: values.scalar_text(value) for name, value in found.items()}


def _still(reference: Reference) -> Answer:
    return "no"


def _pair(leaf: Leaf) -> tuple[Any, Any]:
    return leaf.before, leaf.after


def _masked(leaf: Leaf, value: Any, *, all_of_it: bool) -> Any:
    if value is Mark.ABSENT:
        return value
    return Mark.MASKED if all_of_it else secrets.masked(leaf.path, values.readable(value))


def _without_default(leaf: Leaf, value: Any, hidden: frozenset[str]) -> Any:
    section, *below = leaf.path
    ours = section == "Parameters" and bool(below) and below[0] in hidden
    shown = _masked(leaf, value, all_of_it=ours and below[1:] == ["Default"])
    if ours and isinstance(shown, dict) and "Default" in shown:
        return {**shown, "Default": values.STARS}
    return shown


def _as_empty(section: Any, other: Any) -> Any:
    # A whole section that comes or goes is told member by member.
    return {} if section is Mark.ABSENT and isinstance(other, Mapping) else section
