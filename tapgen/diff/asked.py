"""What a change set says, read for comparing: CloudFormation's own answer about a stack. Pure.

A change set decides which resources change and which are replaced, where it knows: a prediction
that only says *maybe* gives way to it. Two that are sure and disagree come to the worse answer.
``moves`` follows what comes of that, ``over`` puts it before the reader.
"""

from __future__ import annotations

from dataclasses import replace

from tapgen import cloud
from tapgen.cloud import Change, ChangeSet
from tapgen.diff.leaves import Leaf
from tapgen.diff.replaced import Answer, least, worst

# What stands in a change set for a value that only carrying it out tells.
UNKNOWN = "{{changeSet:KNOWN_AFTER_APPLY}}"

_ANSWERS: dict[str, Answer] = {"True": "yes", "Conditional": "maybe", "False": "no"}
_RECREATES: dict[str, Answer] = {"Always": "yes", "Conditionally": "maybe", "Never": "no"}


def answer(change: Change | None) -> Answer:
    """Whether the resource is replaced, as the change set has it; None: it is not listed."""
    if change is None:
        return "no"
    # What is not decided before it is carried out may be anything.
    return "maybe" if change.action == "Dynamic" else _ANSWERS.get(change.replacement, "no")


def settled(predicted: Answer, said: Answer) -> Answer:
    """One answer of two: a predicted *maybe* gives way; of others the worse stands."""
    return said if predicted == "maybe" else worst(predicted, said)


def at(change: Change | None, name: str) -> Answer:
    """Whether the property ``name`` replaces the resource, as the change set has it."""
    listed = by_property(change) if change else {}
    if not listed:
        return answer(change)
    found = (
        least(_RECREATES.get(each.recreates, "no"), "yes" if each.certain else "maybe")
        for each in listed.get(name, ())
    )
    return least(worst(*found), answer(change))


def stands(change: Change | None, leaf: Leaf) -> bool:
    """Whether a predicted change of a place is kept: surely predicted, or listed."""
    if leaf.sure == "yes":
        return True
    listed = by_property(change) if change else {}
    return leaf.path[0] in listed or (change is not None and not listed)


def by_property(change: Change) -> dict[str, list[cloud.PropertyChange]]:
    """The details that are about properties, by the property's name; tags are one, too."""
    found: dict[str, list[cloud.PropertyChange]] = {}
    for detail in change.details:
        section, *rest = steps(detail.path)
        if section == "Tags":
            found.setdefault(section, []).append(detail)
        elif section == "Properties" and rest:
            found.setdefault(rest[0], []).append(detail)
    return found


def merged(plain: ChangeSet, valued: ChangeSet) -> tuple[Change, ...]:
    """One list of two descriptions of a change set, without property values and with them.

    Every change of either; what the plain one says of a change holds, the other one adds values.
    """
    left = {change.logical_id: change for change in valued.changes}
    found = [_with_values(each, left.pop(each.logical_id, None)) for each in plain.changes]
    return (*found, *left.values())


def _with_values(change: Change, valued: Change | None) -> Change:
    if valued is None:
        return change
    told = by_property(valued)
    missing = [
        detail
        for name, details in by_property(change).items()
        if name not in told
        for detail in details
    ]
    return replace(
        change, details=(*valued.details, *missing), before=valued.before, after=valued.after
    )


def is_real(change: Change) -> bool:
    """Whether something of the resource becomes another value, as far as can be told.

    CloudFormation also lists a property whose import became the same value literally.
    """
    if change.action != "Modify" or answer(change) != "no":
        return True
    details = [detail for found in by_property(change).values() for detail in found]
    return any(each.before != each.after for each in details)


def steps(pointer: str) -> list[str]:
    """A JSON pointer's steps, unescaped; places in lists as ``[0]``."""
    found = [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]
    return [f"[{step}]" if step.isdecimal() else step for step in found] or [""]
