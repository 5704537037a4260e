"""The change between a stack as deployed and as wanted. Pure.

A replaced resource makes every reference to it a value that only the deployment tells; fed into a
property that cannot be changed in place, it replaces the next one, until nothing moves any more.
What a change is worth, ``findings`` says; how it looks, ``tapgen.diff_text``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tapgen import replaced, resolve
from tapgen.cloud import DeployedStack
from tapgen.diff import leaves, outputs, secrets, values
from tapgen.diff.changes import (
    Fate,
    ParameterChange,
    PropertyChange,
    ResourceChange,
    SectionChange,
    StackChanges,
    TagChange,
)
from tapgen.diff.leaves import Leaf, Moved
from tapgen.diff.values import AfterApply, Mark, Reference, Scope
from tapgen.replaced import Answer
from tapgen.resolve import Document

# Where a finished template carries its digest: Mappings.OnlyRegion.<region>.TemplateDigest, and the
# output of that name. A digest differs with anything else, so it is told apart.
DIGEST = "TemplateDigest"
# Compared as they are written: conditions and mappings are worked out where they are used.
_SECTIONS = ("Description", "Transform", "Parameters", "Rules", "Mappings", "Conditions")
_KEEPS: dict[str, Fate] = {
    "Retain": "kept",
    "RetainExceptOnCreate": "kept",
    "Snapshot": "snapshot",
    "Delete": "deleted",
}
_WORSE: tuple[Fate, ...] = ("deleted", "snapshot", "kept")


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
class _Resource:
    type: str
    properties: dict[str, Any]
    attributes: dict[str, Any]


@dataclass(frozen=True)
class _State:
    """A side, read: resources that exist, in normal form."""

    side: Side
    scope: Scope
    resources: dict[str, _Resource]


def deployed_side(
    stack: DeployedStack, document: Document, imports: Mapping[str, Any] | None = None
) -> Side:
    """The side of a stack as AWS describes it, with the template it runs."""
    return Side(document, stack.parameters, stack.tags, imports or {}, stack.outputs)


def compare(
    stack: str,
    before: Side | None,
    after: Side | None,
    *,
    account: str = "123456789012",
) -> StackChanges:
    """Everything that differs between two states of the stack named ``stack``.

    None stands for a stack that is not there. ``account`` is the account's id, which texts in a
    template may contain.
    """
    pseudo = resolve.pseudo_parameters(account, stack)
    empty = Side({})
    one, other = _read(before or empty, pseudo), _read(after or empty, pseudo)
    parameters, unseen = _parameters(one, other)
    moves = _Moves(one, other, {change.name for change in parameters})
    found = moves.settled()
    sections = list(_sections(one.side.document, other.side.document))
    rows, exports = outputs.compared(
        outputs.read(one.side.document, one.scope, one.side.live, DIGEST),
        outputs.read(other.side.document, other.scope, {}, DIGEST),
        moves.moved,
        values.hidden(one.side.document) | values.hidden(other.side.document),
    )
    return StackChanges(
        stack,
        before is not None,
        after is not None,
        tuple(_resources(one, other, found, moves)),
        rows,
        exports,
        tuple(parameters),
        tuple(
            TagChange(leaf.path[0], leaf.before, leaf.after)
            for leaf in leaves.differences(dict(one.side.tags), dict(other.side.tags), _still)
        ),
        tuple(change for change in sections if not change.path.endswith(f".{DIGEST}")),
        unseen,
        next(
            ((each.before, each.after) for each in sections if each.path.endswith(f".{DIGEST}")),
            None,
        ),
    )


def _read(side: Side, pseudo: Mapping[str, str]) -> _State:
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
            found[name] = _Resource(str(resource.get("Type")), properties, attributes)
    return _State(side, scope, found)


def _parameters(one: _State, other: _State) -> tuple[list[ParameterChange], tuple[str, ...]]:
    hidden = values.hidden(one.side.document) | values.hidden(other.side.document)
    had, has = _given(one.side), _given(other.side)
    unseen = sorted(
        name for name in hidden if name in had and name in has and set(had[name]) == {"*"}
    )
    changes = []
    for leaf in leaves.differences(had, has, _still):
        (name,) = leaf.path
        if name not in unseen:
            pair = (leaf.before, leaf.after)
            if name in hidden:
                pair = tuple(  # type: ignore[assignment]
                    each if each is Mark.ABSENT else Mark.MASKED for each in pair
                )
            changes.append(ParameterChange(name, *pair))
    return changes, tuple(unseen)


def _given(side: Side) -> dict[str, str]:
    declared = side.document.get("Parameters", {})
    found = {
        name: side.parameters.get(name, parameter.get("Default", ""))
        for name, parameter in declared.items()
    }
    return {name: values.scalar_text(value) for name, value in found.items()}


def _still(reference: Reference) -> Answer:
    return "no"


def _sections(one: Document, other: Document) -> Iterator[SectionChange]:
    hidden = values.hidden(one) | values.hidden(other)
    for section in (*_SECTIONS, "Metadata"):
        before, after = one.get(section, Mark.ABSENT), other.get(section, Mark.ABSENT)
        before, after = _as_empty(before, after), _as_empty(after, before)
        for leaf in leaves.differences(before, after, _still, (section,)):
            mask = section == "Parameters" and leaf.path[1] in hidden and "Default" in leaf.path
            pair = _shown(leaf, mask=mask)
            yield SectionChange(leaves.path_text(leaf.path), *pair)
    had, has = one.get("Outputs", {}), other.get("Outputs", {})
    for key in had:
        if key in has and had[key].get("Description") != has[key].get("Description"):
            path = f"Outputs.{key}.Description"
            texts = (each[key].get("Description", Mark.ABSENT) for each in (had, has))
            yield SectionChange(path, *texts)


def _as_empty(section: Any, other: Any) -> Any:
    # A whole section that comes or goes is told member by member.
    return {} if section is Mark.ABSENT and isinstance(other, Mapping) else section


class _Moves:
    """Which resources are replaced, and so which references change, found by going round."""

    def __init__(self, one: _State, other: _State, parameters: set[str]) -> None:
        self._one, self._other, self._parameters = one, other, parameters
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
        return replaced.worst(self._answers.get(name, "no"), self._followed(reference))

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

    def _followed(self, reference: Reference) -> Answer:
        kind = self._other.resources[reference.name].type
        follows = any(
            replaced.attribute_follows(kind, reference.attribute, name)
            for name in self._changed.get(reference.name, ())
        )
        return "maybe" if follows else "no"

    def _places(self, name: str) -> list[tuple[Leaf, Answer]]:
        one, other = self._one.resources[name], self._other.resources[name]
        return [
            (leaf, replaced.least(replaced.by_change(other.type, leaf.path[0]), leaf.sure))
            for leaf in leaves.differences(one.properties, other.properties, self.moved)
        ]

    def _answer(self, name: str, places: list[tuple[Leaf, Answer]]) -> Answer:
        if self._one.resources[name].type != self._other.resources[name].type:
            return "yes"
        return replaced.worst(*(answer for _, answer in places))


def _resources(
    one: _State, other: _State, found: Mapping[str, list[tuple[Leaf, Answer]]], moves: _Moves
) -> Iterator[ResourceChange]:
    for name in [*one.resources, *(each for each in other.resources if each not in one.resources)]:
        old, new = one.resources.get(name), other.resources.get(name)
        if new is None and old is not None:
            why = _unless_there(name, other)
            fate = _fate(old, "DeletionPolicy")
            yield ResourceChange(
                name, old.type, "remove", data=fate, why=why, before=_whole(old), after=None
            )
        elif old is None and new is not None:
            why = _unless_there(name, one)
            yield ResourceChange(name, new.type, "add", why=why, before=None, after=_whole(new))
        elif old is not None and new is not None:
            change = _modified(name, old, new, found[name], moves)
            if change is not None:
                yield change


def _modified(
    name: str, old: _Resource, new: _Resource, places: list[tuple[Leaf, Answer]], moves: _Moves
) -> ResourceChange | None:
    attributes = list(leaves.differences(old.attributes, new.attributes, moves.moved))
    retyped = old.type != new.type
    if not (places or attributes or retyped):
        return None
    properties = tuple(_property(leaf, answer, new.type, moves) for leaf, answer in places)
    answer = "yes" if retyped else replaced.worst(*(each.replacement for each in properties))
    why = f"its type was {old.type}; CloudFormation refuses that" if retyped else ""
    fate = None
    if answer != "no":
        # Whether the old template's policy holds or the new one's, AWS does not say.
        fates = [_fate(each, "UpdateReplacePolicy") for each in (old, new)]
        fate = min(fates, key=_WORSE.index)
    return ResourceChange(
        name,
        new.type,
        "modify",
        answer,
        properties,
        tuple(PropertyChange(leaves.path_text(leaf.path), *_shown(leaf)) for leaf in attributes),
        fate,
        why,
        _whole(old),
        _whole(new),
    )


def _property(leaf: Leaf, answer: Answer, kind: str, moves: _Moves) -> PropertyChange:
    why = ""
    if answer != "no":
        rule = {
            "yes": "cannot be changed in place",
            "maybe": "cannot always be changed in place",
            "no": "",
        }[replaced.by_change(kind, leaf.path[0])]
        if not replaced.known(kind):
            rule = "no table knows this type"
        why = "; ".join(part for part in (rule, moves.cause(leaf)) if part)
    return PropertyChange(leaves.path_text(leaf.path), *_shown(leaf), answer, why)


def _shown(leaf: Leaf, *, mask: bool = False) -> tuple[Any, Any]:
    """Before and after as a reader may see them."""

    def value(node: Any) -> Any:
        if node is Mark.ABSENT:
            return node
        return Mark.MASKED if mask else secrets.masked(leaf.path, values.readable(node))

    if leaf.same:
        after: Any = AfterApply(str(value(leaf.after)), leaf.sure == "yes")
        return value(leaf.before), after
    return value(leaf.before), value(leaf.after)


def _unless_there(name: str, state: _State) -> str:
    resource = state.side.document.get("Resources", {}).get(name)
    return "" if resource is None else f"condition {resource.get('Condition')} is false there"


def _whole(resource: _Resource) -> dict[str, Any]:
    return {
        "Type": resource.type,
        **resource.attributes,
        "Properties": resource.properties,
    }


def _fate(resource: _Resource, policy: str) -> Fate:
    stated = resource.attributes.get(policy)
    if stated is None:
        return default_fate(resource.type, resource.properties, policy)
    return _KEEPS.get(str(stated), "deleted")


def default_fate(kind: str, properties: Mapping[str, Any], policy: str) -> Fate:
    """What becomes of a resource that does not state ``policy`` (user guide, DeletionPolicy)."""
    if policy == "DeletionPolicy" and (
        kind == "AWS::RDS::DBCluster"
        or (kind == "AWS::RDS::DBInstance" and "DBClusterIdentifier" not in properties)
    ):
        return "snapshot"
    return "deleted"
