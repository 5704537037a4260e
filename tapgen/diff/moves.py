"""The two states of a stack, read, and what moves between them.

A replaced resource makes every reference to it a value that only the deployment tells; fed into a
property that cannot be changed in place, it replaces the next one, until nothing moves any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tapgen.cloud import Change
from tapgen.diff import asked, fates, leaves, replaced, values
from tapgen.diff.leaves import Leaf
from tapgen.diff.replaced import Answer
from tapgen.diff.values import AfterApply, Reference, Scope
from tapgen.resolve import Document


@dataclass(frozen=True)
class Side:
    """One state of a stack: its template and what it is, or would be, deployed with.

    ``imports`` maps export names to values, or to ``AfterApply`` where a stack before this one
    changes them; ``live`` are the values of the outputs, where the stack stands.
    """

    document: Document
    parameters: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    imports: Mapping[str, Any] = field(default_factory=dict)
    live: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Resource:
    """A resource that exists, in normal form; ``attributes`` are everything but its properties."""

    type: str
    properties: dict[str, Any]
    attributes: dict[str, Any]

    def whole(self) -> dict[str, Any]:
        """The resource as one mapping."""
        return {"Type": self.type, **self.attributes, "Properties": self.properties}

    def fate(self, policy: str) -> fates.Fate:
        """What becomes of it under ``policy``."""
        return fates.fate(self.whole(), policy)


@dataclass(frozen=True)
class State:
    """A side, read: the resources that exist."""

    side: Side
    scope: Scope
    resources: dict[str, Resource]


def read(side: Side, pseudo: Mapping[str, str]) -> State:
    """``side`` with everything known put in; ``pseudo`` are the pseudo parameters."""
    scope = Scope.of(side.document, {**pseudo, **side.parameters}, side.imports)
    found = {}
    for name, resource in side.document.get("Resources", {}).items():
        condition = resource.get("Condition")
        if condition is None or scope.holds(condition) is not False:
            attributes = {
                key: values.normal(item, scope)
                for key, item in resource.items()
                if key not in ("Type", "Properties")
            }
            depends = attributes.get("DependsOn", [])
            attributes["DependsOn"] = sorted([depends] if isinstance(depends, str) else depends)
            if not attributes["DependsOn"]:
                del attributes["DependsOn"]
            properties = values.normal(resource.get("Properties") or {}, scope)
            found[name] = Resource(str(resource.get("Type")), properties, attributes)
    return State(side, scope, found)


class Moves:
    """Which resources are replaced, and so which references change, found by going round."""

    def __init__(
        self,
        one: State,
        other: State,
        parameters: set[str],
        listed: Sequence[Change] | None = None,
    ) -> None:
        """``listed`` is what a change set of the two lists; None where nobody asked for one."""
        self._one, self._other, self._parameters = one, other, parameters
        self._listed = None if listed is None else {each.logical_id: each for each in listed}
        self._answers: dict[str, Answer] = {}
        self._changed: dict[str, set[str]] = {}

    def settled(self) -> dict[str, list[tuple[Leaf, Answer]]]:
        """For each resource on both sides its differing places and what each means for it.

        Answers only get worse from round to round, so the rounds end.
        """
        both = [name for name in self._other.resources if name in self._one.resources]
        while True:
            found = {name: self._places(name) for name in both}
            answers = {name: self._answer(name, places) for name, places in found.items()}
            changed = {name: {leaf.path[0] for leaf, _ in places} for name, places in found.items()}
            if answers == self._answers and changed == self._changed:
                return found
            self._answers, self._changed = answers, changed

    def moved(self, reference: Reference) -> Answer:
        """Whether what ``reference`` stands for is another value afterwards."""
        if reference.kind == "import":
            coming = self._other.side.imports.get(reference.name)
            if isinstance(coming, AfterApply):
                return "yes" if coming.certain else "maybe"
            return "no"
        name = reference.name
        if name in self._other.side.document.get("Parameters", {}):
            return "yes" if name in self._parameters else "no"
        if name not in self._other.resources:
            return "no"
        if name not in self._one.resources:
            return "yes"
        return replaced.worst(self._renewed(reference), self._followed(reference))

    def cause(self, leaf: Leaf) -> str:
        """Whose replacement a place's change comes from; empty when it is the template's own."""
        for reference in values.references(leaf.after):
            answer = self.moved(reference)
            if answer != "no" and reference.kind == "import":
                return f"{reference.name} {'changes' if answer == 'yes' else 'may change'}"
            if self._answers.get(reference.name, "no") != "no":
                verb = "is" if answer == "yes" else "may be"
                return f"{reference.name} {verb} replaced"
            if answer != "no" and reference.name not in self._one.resources:
                return f"{reference.name} is new" if reference.name in self._other.resources else ""
        return ""

    def _renewed(self, reference: Reference) -> Answer:
        answer = self._answers.get(reference.name, "no")
        kind = self._other.resources[reference.name].type
        repeats = replaced.attribute_repeats(kind, reference.attribute)
        if repeats and not self._changed.get(reference.name, set()).intersection(repeats):
            return replaced.least(answer, "maybe")
        return answer

    def _followed(self, reference: Reference) -> Answer:
        kind = self._other.resources[reference.name].type
        follows = any(
            replaced.attribute_follows(kind, reference.attribute, name)
            for name in self._changed.get(reference.name, ())
        )
        return "maybe" if follows else "no"

    def _places(self, name: str) -> list[tuple[Leaf, Answer]]:
        one, other = self._one.resources[name], self._other.resources[name]
        found = [
            (leaf, replaced.least(replaced.by_change(other.type, leaf.path[0]), leaf.sure))
            for leaf in leaves.differences(one.properties, other.properties, self.moved)
        ]
        if self._listed is None:
            return found
        change = self._listed.get(name)
        return [
            (leaf, asked.settled(answer, asked.at(change, leaf.path[0])))
            for leaf, answer in found
            if asked.stands(change, leaf)
        ]

    def _answer(self, name: str, places: list[tuple[Leaf, Answer]]) -> Answer:
        if self._one.resources[name].type != self._other.resources[name].type:
            return "yes"
        answer = replaced.worst(*(answer for _, answer in places))
        if self._listed is None:
            return answer
        return asked.settled(answer, asked.answer(self._listed.get(name)))
