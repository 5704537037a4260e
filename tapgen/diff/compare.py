"""The change between a stack as deployed and as wanted. Pure.

``moves`` finds what is replaced, and what follows from that; here it becomes changes that people
read. What a change is worth, ``findings`` says; how it looks, ``tapgen.diff.text``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tapgen import graph, resolve
from tapgen.cloud import Change, DeployedStack
from tapgen.diff import fates, inputs, leaves, outputs, over, replaced, secrets, values
from tapgen.diff.changes import PropertyChange, ResourceChange, StackChanges, Value
from tapgen.diff.leaves import Leaf
from tapgen.diff.moves import Moves, Resource, Side, State, read
from tapgen.diff.replaced import Answer
from tapgen.diff.values import AfterApply, Mark
from tapgen.resolve import Document

if TYPE_CHECKING:
    from tapgen.engine.plan import Wanted

# The output that carries a finished template's digest. It differs with anything else in the
# template, so it is told apart.
DIGEST = "TemplateDigest"
_ABSENT_STACK = Side({})


def deployed_side(
    stack: DeployedStack, document: Document, imports: Mapping[str, Any] | None = None
) -> Side:
    """The side of a stack as AWS describes it, with the template it runs."""
    return Side(document, stack.parameters, stack.tags, imports or {}, stack.outputs)


def wanted_side(wanted: Wanted, imports: Mapping[str, Any] | None = None) -> Side:
    """The side of a stack as it should be."""
    return Side(wanted.document, wanted.request.parameters, wanted.request.tags, imports or {})


def compare(
    stack: str,
    before: Side | None,
    after: Side | None,
    *,
    account: str = "123456789012",
    listed: Sequence[Change] | None = None,
) -> StackChanges:
    """Everything that differs between two states of the stack named ``stack``.

    None stands for a stack that is not there. ``account`` is the account's id, which texts in a
    template may contain. ``listed`` are the changes of a change set that takes the stack from the
    one state to the other; None: nobody asked CloudFormation.
    """
    had, has = before or _ABSENT_STACK, after or _ABSENT_STACK
    pseudo = resolve.pseudo_parameters(account, stack)
    hidden = values.hidden(had.document) | values.hidden(has.document)
    parameters, unseen = inputs.parameters(had, has)
    # What AWS does not show is taken for unchanged, in conditions too.
    seen = {**had.parameters, **{name: inputs.given(has)[name] for name in unseen}}
    one, other = read(replace(had, parameters=seen), pseudo), read(has, pseudo)
    moves = Moves(one, other, {change.name for change in parameters}, listed)
    places = moves.settled()
    resources: Iterable[ResourceChange] = _Told(one, other, moves, hidden).changes(places)
    if listed is not None:
        told = over.over(resources, listed, _concealing(had, has, hidden))
        resources = [_completed(each, one, other) for each in told]
    rows, exports = outputs.compared(
        outputs.read(had.document, one.scope, had.live, DIGEST),
        outputs.read(has.document, other.scope, {}, DIGEST),
        moves.moved,
        hidden,
    )
    digests = (_digest(had.document), _digest(has.document))
    return StackChanges(
        stack,
        before=before is not None,
        after=after is not None,
        resources=tuple(resources),
        outputs=rows,
        exports=exports,
        parameters=parameters,
        tags=inputs.tags(had, has),
        sections=tuple(inputs.sections(had.document, has.document)),
        unseen=unseen,
        digest=digests if digests[0] != digests[1] else None,
    )


def _completed(change: ResourceChange, one: State, other: State) -> ResourceChange:
    """A change that only the change set shows, with what the templates know of its resource."""
    old, new = one.resources.get(change.logical_id), other.resources.get(change.logical_id)
    if change.before is not None or change.after is not None or old is None:
        return change
    data = change.data
    if data is None and change.action == "remove":
        data = old.fate("DeletionPolicy")
    elif data is None and change.replacement != "no":
        data = fates.worse(
            old.fate("UpdateReplacePolicy"), (new or old).fate("UpdateReplacePolicy")
        )
    return replace(change, data=data, before=old.whole(), after=new.whole() if new else None)


def _concealing(had: Side, has: Side, hidden: frozenset[str]) -> over.Conceal:
    """Whether either template puts a hidden parameter into a resource's property."""

    def conceals(logical_id: str, name: str) -> bool:
        resources = (side.document.get("Resources", {}).get(logical_id, {}) for side in (had, has))
        nodes = ((each.get("Properties") or {}).get(name) for each in resources)
        return any(not hidden.isdisjoint(graph.references(node)) for node in nodes)

    return conceals


def _digest(document: Document) -> Value:
    return document.get("Outputs", {}).get(DIGEST, {}).get("Value", Mark.ABSENT)


class _Told:
    """The resources' changes in words and values that a reader may see."""

    def __init__(self, one: State, other: State, moves: Moves, hidden: frozenset[str]) -> None:
        self._one, self._other, self._moves, self._hidden = one, other, moves, hidden

    def changes(self, places: Mapping[str, list[tuple[Leaf, Answer]]]) -> Iterator[ResourceChange]:
        one, other = self._one.resources, self._other.resources
        for name in [*one, *(each for each in other if each not in one)]:
            old, new = one.get(name), other.get(name)
            if old is not None and new is None:
                yield ResourceChange(
                    name,
                    old.type,
                    "remove",
                    data=old.fate("DeletionPolicy"),
                    why=_condition(name, self._other, "is false now"),
                    before=old.whole(),
                )
            elif old is None and new is not None:
                why = _condition(name, self._one, "was false")
                yield ResourceChange(name, new.type, "add", why=why, after=new.whole())
            elif old is not None and new is not None:
                change = self._modified(name, old, new, places[name])
                if change is not None:
                    yield change

    def _modified(
        self, name: str, old: Resource, new: Resource, places: list[tuple[Leaf, Answer]]
    ) -> ResourceChange | None:
        beside = list(leaves.differences(old.attributes, new.attributes, self._moves.moved))
        retyped = old.type != new.type
        if not (places or beside or retyped):
            return None
        properties = tuple(self._property(leaf, answer, new.type) for leaf, answer in places)
        answer = replaced.worst("yes" if retyped else "no", *(p.replacement for p in properties))
        return ResourceChange(
            name,
            new.type,
            "modify",
            answer,
            properties,
            tuple(PropertyChange(leaves.path_text(f.path), *self._shown(f)) for f in beside),
            # Whether the old template's policy counts or the new one's, AWS does not say.
            None
            if answer == "no"
            else fates.worse(old.fate("UpdateReplacePolicy"), new.fate("UpdateReplacePolicy")),
            f"its type was {old.type}; CloudFormation refuses that" if retyped else "",
            before=old.whole(),
            after=new.whole(),
        )

    def _property(self, leaf: Leaf, answer: Answer, kind: str) -> PropertyChange:
        before, after = self._shown(leaf)
        why = ""
        if answer != "no":
            rule = _RULES[replaced.by_change(kind, leaf.path[0])]
            if not replaced.known(kind):
                rule = "no table knows this type"
            why = "; ".join(part for part in (rule, self._moves.cause(leaf)) if part)
        return PropertyChange(leaves.path_text(leaf.path), before, after, answer, why)

    def _shown(self, leaf: Leaf) -> tuple[Any, Any]:
        before, after = (self._value(leaf, node) for node in (leaf.before, leaf.after))
        if not leaf.same:
            return before, after
        moved = [r for r in values.references(leaf.after) if self._moves.moved(r) != "no"]
        if all(reference.name in self._hidden for reference in moved):
            return Mark.MASKED, Mark.MASKED
        return before, AfterApply(values.scalar_text(after), leaf.sure == "yes")

    def _value(self, leaf: Leaf, node: Any) -> Any:
        if node is Mark.ABSENT:
            return node
        return secrets.masked(leaf.path, values.readable(node))


_RULES: dict[Answer, str] = {
    "no": "",
    "maybe": "cannot always be changed in place",
    "yes": "cannot be changed in place",
}


def _condition(name: str, state: State, said: str) -> str:
    """Why a resource that ``state``'s template has is not there."""
    resource = state.side.document.get("Resources", {}).get(name)
    return "" if resource is None else f"condition {resource.get('Condition')} {said}"
