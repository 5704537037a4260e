"""In what a stack differs from a version of it: what a change set shows and an update does.

Which properties replace a resource is in AWS's resource schemas; the table of the embedded AWS
holds them. A value that will only be known after the change (the id of a resource that is new or
replaced) counts as changed and cannot prove a replacement: ``Conditional``.
"""

from __future__ import annotations

import graphlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tapgen.diff.replaced_table import ALWAYS
from twin import details, templates
from twin.details import UNKNOWN
from twin.records import ChangeSet, Difference, Held, Stack, Version

POLICIES = frozenset({"DeletionPolicy", "UpdateReplacePolicy", "UpdatePolicy", "CreationPolicy"})


@dataclass(frozen=True)
class Habits:
    """What was never measured of AWS, or is not the same every time; the region's, in one piece.

    ``literal``: what an update is that only puts the literal value in an import's place ("no
    changes", "accepted" without a change listed, or "listed"). ``unlisted``: attributes whose
    change alone is accepted, but listed for no resource. ``undetermined``: resources (stack,
    logical id) whose action a change set cannot tell, ``Dynamic``. ``dropped``: resources (logical
    id or type) that are missing when values are asked for; with ``drops_unknown`` also those that
    refer to a resource made anew (aws-cdk-cli#1780 met the first, with a warning).
    """

    literal: str = "no changes"
    unlisted: frozenset[str] = POLICIES
    undetermined: frozenset[tuple[str, str]] = frozenset()
    dropped: frozenset[str] = frozenset()
    drops_unknown: bool = False


def replacing(kind: str) -> tuple[str, ...]:
    """The create-only properties of a type."""
    return ALWAYS.get(kind, ())


def between(
    stack: Stack, version: Version, exports: Mapping[str, str], habits: Habits
) -> Difference:
    """The changes that bringing ``stack`` to ``version`` makes."""
    document, values = version.document, version.parameters
    standing = templates.resources(document, values)
    needs = templates.dependencies(document, values)
    own = {"AWS::StackId": stack.id, "AWS::StackName": stack.name}
    now = {**own, **{name: held.physical_id for name, held in stack.held.items()}}
    ids, moved, found = dict(own), set[str](), Difference()
    for logical_id in graphlib.TopologicalSorter(needs).static_order():
        resource, held = standing[logical_id], stack.held.get(logical_id)
        kind = resource["Type"]
        wanted = templates.properties(document, logical_id, values, ids, exports)
        after = details.shown(version, logical_id, ids, exports)
        told = details.context(after, resource)
        if held is None:
            ids[logical_id] = f"{UNKNOWN}/{logical_id}"
            moved.add(logical_id)
            _note(found, stack, habits, _change("Add", logical_id, kind), [], "", told)
            continue
        names = differing(held.properties, wanted)
        replacement = _replacement(kind, names, wanted) if kind == held.type else "True"
        ids[logical_id] = held.physical_id if replacement == "False" else f"{UNKNOWN}/{logical_id}"
        if replacement != "False":
            moved.add(logical_id)
        listed = details.plain(
            kind, logical_id, names, wanted, (stack.version, version), moved - {logical_id}
        )
        listed += _beside(stack, version, logical_id, habits)
        if not listed and kind == held.type:
            continue
        change = _change("Modify", logical_id, kind, held.physical_id, replacement)
        change["Scope"] = sorted({detail["Target"]["Attribute"] for detail in listed})
        if replacement != "False":
            change["PolicyAction"] = f"ReplaceAnd{_short(held.replace_policy)}"
        change["Details"] = listed
        old = details.before(stack, held, now, exports)
        with_values = details.valued(listed, old, after)
        _note(found, stack, habits, change, with_values, details.context(old, _kept(held)), told)
    for logical_id, held in stack.held.items():
        if logical_id not in standing:
            change = _change("Remove", logical_id, held.type, held.physical_id)
            change["PolicyAction"] = _short(held.deletion_policy)
            old = details.before(stack, held, now, exports)
            _note(found, stack, habits, change, [], details.context(old, _kept(held)), "")
    for changes in (found.plain, found.valued):
        changes.sort(key=lambda change: str(change["LogicalResourceId"]))
    return found


def _note(
    found: Difference,
    stack: Stack,
    habits: Habits,
    change: dict[str, Any],
    with_values: list[dict[str, Any]],
    before: str,
    after: str,
) -> None:
    """Put a change down twice: as it is told plainly, and as it is told with values."""
    name, kind = change["LogicalResourceId"], change["ResourceType"]
    if (stack.name, name) in habits.undetermined:
        change["Action"] = "Dynamic"
        change.pop("Replacement", None)
    found.plain.append(change)
    unknown = habits.drops_unknown and change["Action"] == "Modify" and UNKNOWN in after
    if unknown or {name, kind} & habits.dropped:
        found.dropped.append(name)
        return
    told = {"BeforeContext": before, "AfterContext": after}
    found.valued.append(
        {**change, "Details": with_values, **{key: text for key, text in told.items() if text}}
    )


def _beside(
    stack: Stack, version: Version, logical_id: str, habits: Habits
) -> list[dict[str, Any]]:
    """What changes of a resource beside its properties, as far as it is listed."""
    differs = set()
    if stack.version is not None and stack.version.tags != version.tags:
        differs.add("Tags")
    for attribute in ("Metadata", *POLICIES):
        if _part(stack.version, logical_id, attribute) != _part(version, logical_id, attribute):
            differs.add(attribute)
    if habits.literal == "listed" and _part(stack.version, logical_id, "Properties") != (
        _part(version, logical_id, "Properties")
    ):
        differs.add("Properties")
    return [details.beside(attribute) for attribute in sorted(differs - habits.unlisted)]


def _kept(held: Held) -> dict[str, str]:
    """The policies of a resource as its stack holds it, those that somebody wrote."""
    policies = {"DeletionPolicy": held.deletion_policy, "UpdateReplacePolicy": held.replace_policy}
    return {key: policy for key, policy in policies.items() if policy != "Delete"}


def _short(policy: str) -> str:
    return "Retain" if policy == "RetainExceptOnCreate" else policy


def imported(item: ChangeSet) -> Difference:
    """The changes of a change set that takes standing resources in."""
    resources = item.version.document["Resources"]
    found = [
        _change("Import", name, resources[name]["Type"], physical_id)
        for name, physical_id in sorted(item.imported.items())
    ]
    return Difference(found, list(found))


def anything(stack: Stack, version: Version, exports: Mapping[str, str], habits: Habits) -> bool:
    """Whether CloudFormation sees a change: in resources, outputs, tags or metadata.

    A description alone, or a parameter that nothing uses, is no change to it.
    """
    if stack.version is None or between(stack, version, exports, habits).plain:
        return True
    before = stack.version
    if before.tags != version.tags:
        return True
    imports = templates.imports(version.document, version.parameters)
    if habits.literal == "accepted" and imports != stack.imports:
        return True
    ids = {key: held.physical_id for key, held in stack.held.items()}
    ids |= {"AWS::StackId": stack.id, "AWS::StackName": stack.name}
    new = templates.outputs(version.document, version.parameters, ids, exports)
    old = templates.outputs(before.document, before.parameters, ids, exports)
    return new != old or _around(before) != _around(version)


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The names of the properties that differ."""
    return sorted(key for key in {*before, *after} if before.get(key) != after.get(key))


def _part(version: Version | None, logical_id: str, part: str) -> Any:
    """One part of a resource as the template writes it."""
    resources = version.document["Resources"] if version else {}
    return resources.get(logical_id, {}).get(part)


def _around(version: Version) -> Any:
    """What a resource has beside its properties."""
    return {
        logical_id: {key: item for key, item in resource.items() if key != "Properties"}
        for logical_id, resource in version.document["Resources"].items()
    }


def _replacement(kind: str, names: list[str], wanted: Mapping[str, Any]) -> str:
    by_name = {name: details.recreates(kind, name) for name in names}
    fatal = [name for name, recreates in by_name.items() if recreates == "Always"]
    if not fatal:
        return "Conditional" if "Conditionally" in by_name.values() else "False"
    if all(UNKNOWN in str(wanted.get(name)) for name in fatal):
        return "Conditional"
    return "True"


def _change(
    action: str, logical_id: str, kind: str, physical_id: str = "", replacement: str = ""
) -> dict[str, Any]:
    change: dict[str, Any] = {
        "Action": action,
        "LogicalResourceId": logical_id,
        "ResourceType": kind,
        "Scope": [],
        "Details": [],
    }
    if physical_id:
        change["PhysicalResourceId"] = physical_id
    if replacement:
        change["Replacement"] = replacement
    return change
