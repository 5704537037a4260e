"""CloudFormation's answer put over the prediction, as changes that people read. Pure.

Where the two disagree, the resource says which of them said what. What change sets do not show
(outputs, conditions, policies) stays as predicted; where they leave values out (JSON properties
above all: aws-cdk-cli #1780), the places come from the templates and values from whoever has them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from tapgen import cloud
from tapgen.cloud import Change
from tapgen.diff import asked, fates, leaves, replaced, secrets
from tapgen.diff.changes import Action, PropertyChange, ResourceChange, Value
from tapgen.diff.fates import Fate
from tapgen.diff.replaced import Answer, worst
from tapgen.diff.values import AfterApply, Mark

# The reason of a resource that changes with the stack's tags and in nothing else.
TAGS = "the stack's tags alone"
# "Large values can be truncated" (the API reference, which gives no number).
_SURELY_WHOLE = 256

Conceal = Callable[[str, str], bool]

_ACTIONS: dict[str, Action] = {"Add": "add", "Import": "add", "Modify": "modify"}
_ACTIONS |= {"Remove": "remove", "Dynamic": "modify"}
_WORSE: tuple[Action, ...] = ("add", "modify", "remove")
_FATES: dict[str, Fate] = {
    "Delete": "deleted",
    "Retain": "kept",
    "Snapshot": "snapshot",
    "ReplaceAndDelete": "deleted",
    "ReplaceAndRetain": "kept",
    "ReplaceAndSnapshot": "snapshot",
}
_PLAINLY: dict[Answer, str] = {
    "no": "it is changed in place",
    "maybe": "it may be replaced",
    "yes": "it is replaced",
}


def over(
    predicted: Iterable[ResourceChange], listed: Sequence[Change], conceal: Conceal
) -> Iterator[ResourceChange]:
    """The resources' changes of both sources, the predicted ones first.

    ``conceal`` says of a resource's property (logical id, name) that its value must not be shown.
    """
    left = {change.logical_id: change for change in listed}
    for resource in predicted:
        change = left.pop(resource.logical_id, None)
        yield _unlisted(resource) if change is None else _both(resource, change, conceal)
    for change in left.values():
        yield _fresh(change, conceal)


def _unlisted(resource: ResourceChange) -> ResourceChange:
    if resource.action == "modify" and not resource.properties:
        # Policies and the like: that a change set does not list them says nothing.
        return resource
    return replace(resource, doubts=("the change set does not list it; the templates differ",))


def _both(resource: ResourceChange, change: Change, conceal: Conceal) -> ResourceChange:
    action = _ACTIONS.get(change.action, "modify")
    doubts = list(_disagreements(resource, change, action))
    details = asked.by_property(change)
    rows, unlisted = [], []
    for row in resource.properties:
        name = _name(row.path)
        if name in details:
            rows.append(_filled(row, change.logical_id, details[name], conceal))
        else:
            rows.append(row)
            unlisted.append(row.path)
    if unlisted and details:
        doubts.append(f"the change set does not list {', '.join(unlisted)}; the templates differ")
    known = {_name(row.path) for row in resource.properties}
    rows += _rows(change, conceal, known)
    return replace(
        resource,
        action=max(resource.action, action, key=_WORSE.index),
        replacement=asked.settled(resource.replacement, asked.answer(change)),
        properties=tuple(rows),
        data=_fate(resource, change),
        doubts=tuple(doubts),
    )


def _disagreements(resource: ResourceChange, change: Change, action: Action) -> Iterator[str]:
    if resource.action != action:
        yield f"the change set says {change.action}; the templates say {resource.action}"
    elif action == "modify":
        foretold = worst(
            *(replaced.by_change(resource.type, _name(row.path)) for row in resource.properties)
        )
        said = asked.answer(change)
        if resource.replacement == "yes" and said == "no":
            yield f"the change set says {_PLAINLY[said]}; the schemas say {_PLAINLY['yes']}"
        # What only the change set lists brings its reason along.
        elif (
            said != "no"
            and foretold == "no"
            and set(asked.by_property(change)) <= {_name(row.path) for row in resource.properties}
        ):
            yield f"the change set says {_PLAINLY[said]}; the schemas say {_PLAINLY['no']}"
    told = _FATES.get(change.policy)
    if resource.data is not None and told is not None and told != resource.data:
        yield f"the change set says the old one is {told}, the templates {resource.data}"


def _fate(resource: ResourceChange, change: Change) -> Fate | None:
    told = _FATES.get(change.policy)
    stays = (
        asked.settled(resource.replacement, asked.answer(change)) == "no"
        and change.action != "Remove"
    )
    if told is None or stays:
        return resource.data
    return told if resource.data is None else fates.worse(told, resource.data)


def _fresh(change: Change, conceal: Conceal) -> ResourceChange:
    """A change that the templates do not show."""
    action = _ACTIONS.get(change.action, "modify")
    # The templates show no change of it, so its tags are the stack's.
    rows = () if change.scope == ("Tags",) else tuple(_rows(change, conceal))
    found = asked.answer(change) if action == "modify" else "no"
    if found == "no" and _only_follows(change):
        causes = sorted({each.because for each in change.details if each.because})
        why = f"it refers to {', '.join(causes)}"
        return ResourceChange(change.logical_id, change.type, action, why=why, certain=False)
    leaves_it = action == "remove" or found != "no"
    return ResourceChange(
        change.logical_id,
        change.type,
        action,
        found,
        rows,
        data=_FATES.get(change.policy) if leaves_it else None,
        why=_why(change, rows),
    )


def _only_follows(change: Change) -> bool:
    """Whether it is listed only because of attributes that are read again when it is carried out.

    CloudFormation lists whoever takes an attribute of what changes, whether that moves or not.
    """
    return (
        change.action == "Modify"
        and bool(change.details)
        and all(
            each.because and not each.certain and each.before == each.after
            for each in change.details
        )
    )


def _why(change: Change, rows: Sequence[PropertyChange]) -> str:
    if change.action == "Import":
        return "it exists already, and is taken into the stack"
    if change.action == "Dynamic":
        return "what happens to it is known only while it is carried out"
    if change.action not in _ACTIONS:
        return f"the change set says {change.action}"
    if change.action != "Modify" or rows:
        return ""
    if change.scope == ("Tags",):
        return TAGS
    if change.details and change.scope in ((), ("Properties",)):
        return "the change set lists it, with the values that it has"
    return f"its {', '.join(change.scope)}" if change.scope else "the change set does not say why"


def _rows(change: Change, conceal: Conceal, known: Iterable[str] = ()) -> Iterator[PropertyChange]:
    """The change set's details as places, without the properties ``known`` already."""
    for name, details in asked.by_property(change).items():
        if name in known:
            continue
        for path in dict.fromkeys(detail.path for detail in details):
            same = [detail for detail in details if detail.path == path]
            if all(_is_same(each) for each in same) or (name == "Tags" and not _has_values(same)):
                continue
            before, after = _values(change.logical_id, name, same, conceal)
            found = asked.at(change, name)
            why = next((f"{each.because} changes" for each in same if each.because), "")
            yield PropertyChange(_path_text(path), before, after, found, why)


def _is_same(detail: cloud.PropertyChange) -> bool:
    """Whether it surely is the value that it was."""
    told = detail.before
    return told is not None and told == detail.after and len(told) < _SURELY_WHOLE


def _has_values(details: Iterable[cloud.PropertyChange]) -> bool:
    return any(each.before is not None or each.after is not None for each in details)


def _filled(
    row: PropertyChange,
    logical_id: str,
    details: Sequence[cloud.PropertyChange],
    conceal: Conceal,
) -> PropertyChange:
    """``row`` with values where the template has expressions and the change set knows better."""
    whole = [each for each in details if _path_text(each.path) == row.path]
    if not whole:
        return row
    before, after = _values(logical_id, _name(row.path), whole, conceal)
    return replace(
        row,
        before=before if _is_vague(row.before) and _is_told(before) else row.before,
        after=after if _is_vague(row.after) and _is_told(after) else row.after,
    )


def _is_vague(value: Value) -> bool:
    return isinstance(value, AfterApply) or (isinstance(value, str) and "${" in value)


def _is_told(value: Value) -> bool:
    return value is not None and not isinstance(value, (AfterApply, Mark))


def _values(
    logical_id: str, name: str, details: Sequence[cloud.PropertyChange], conceal: Conceal
) -> tuple[Value, Value]:
    if conceal(logical_id, name):
        return Mark.MASKED, Mark.MASKED
    path = asked.steps(details[0].path)[1:]
    because = next((each.because for each in details if each.because), "")
    before = next((each.before for each in details if each.before is not None), None)
    after = next((each.after for each in details if each.after is not None), None)
    if before is None and after is None:
        return AfterApply("not told", certain=False), AfterApply(because or "not told", False)
    return _value(path, before, because), _value(path, after, because)


def _value(path: Sequence[str], text: str | None, because: str) -> Value:
    if text is None:
        return Mark.ABSENT
    if asked.UNKNOWN in text:
        return AfterApply(because or text.replace(asked.UNKNOWN, "…"), certain=False)
    return secrets.masked(path, _data(text))


def _data(text: str) -> Any:
    if text.lstrip().startswith(("{", "[")):
        try:
            return json.loads(text)
        except ValueError:
            pass
    return text


def _path_text(pointer: str) -> str:
    return leaves.path_text(tuple(asked.steps(pointer)[1:]))


def _name(path: str) -> str:
    """The property that a readable path begins with."""
    return re.split(r"[.\[ ]", path, maxsplit=1)[0]
