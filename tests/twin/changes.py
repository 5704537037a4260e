"""In what a stack differs from a version of it: what a change set shows and an update does.

Which properties replace a resource is in AWS's resource schemas; the table of the embedded AWS
holds them. A value that will only be known after the change (the id of a resource that is new or
replaced) counts as changed and cannot prove a replacement: ``Conditional``.
"""

from __future__ import annotations

import graphlib
from collections.abc import Mapping
from typing import Any

from tapgen.diff.replaced_table import ALWAYS
from twin import templates
from twin.records import Stack, Version

UNKNOWN = "{{changeSet:KNOWN_AFTER_APPLY}}"


def replacing(kind: str) -> tuple[str, ...]:
    """The create-only properties of a type."""
    return ALWAYS.get(kind, ())


def between(
    stack: Stack, version: Version, exports: Mapping[str, str], *, literal: str = "no changes"
) -> list[dict[str, Any]]:
    """The changes that bringing ``stack`` to ``version`` makes, in AWS's shape.

    ``literal`` is the region's.
    """
    document, values = version.document, version.parameters
    standing = templates.resources(document, values)
    needs = templates.dependencies(document, values)
    ids = {"AWS::StackId": stack.id, "AWS::StackName": stack.name}
    tags_differ = stack.version is not None and stack.version.tags != version.tags
    found = []
    for logical_id in graphlib.TopologicalSorter(needs).static_order():
        kind, held = standing[logical_id]["Type"], stack.held.get(logical_id)
        wanted = templates.properties(document, logical_id, values, ids, exports)
        if held is None:
            ids[logical_id] = f"{UNKNOWN}/{logical_id}"
            found.append(_change("Add", logical_id, kind))
            continue
        names = differing(held.properties, wanted)
        replacement = _replacement(kind, names, wanted) if kind == held.type else "True"
        ids[logical_id] = held.physical_id if replacement == "False" else f"{UNKNOWN}/{logical_id}"
        if names or kind != held.type:
            change = _change("Modify", logical_id, kind, held.physical_id, replacement)
            change["Details"] = [_detail(name, kind, wanted) for name in names]
            change["Scope"] = ["Properties"]
            found.append(change)
        else:
            rewritten = literal == "listed" and _part(stack.version, logical_id, "Properties") != (
                _part(version, logical_id, "Properties")
            )
            noted = _part(stack.version, logical_id, "Metadata") != (
                _part(version, logical_id, "Metadata")
            )
            reasons = {"Tags": tags_differ, "Properties": rewritten, "Metadata": noted}
            if any(reasons.values()):
                change = _change("Modify", logical_id, kind, held.physical_id, "False")
                change["Scope"] = [scope for scope, holds in reasons.items() if holds]
                found.append(change)
    for logical_id, held in stack.held.items():
        if logical_id not in standing:
            found.append(_change("Remove", logical_id, held.type, held.physical_id))
    return sorted(found, key=lambda change: str(change["LogicalResourceId"]))


def anything(
    stack: Stack, version: Version, exports: Mapping[str, str], *, literal: str = "no changes"
) -> bool:
    """Whether CloudFormation sees a change: in resources, outputs, tags or metadata.

    A description alone, or a parameter that nothing uses, is no change to it.
    """
    if stack.version is None or between(stack, version, exports, literal=literal):
        return True
    before = stack.version
    if before.tags != version.tags:
        return True
    imports = templates.imports(version.document, version.parameters)
    if literal == "accepted" and imports != stack.imports:
        return True
    ids = {key: held.physical_id for key, held in stack.held.items()}
    ids |= {"AWS::StackId": stack.id, "AWS::StackName": stack.name}
    new = templates.outputs(version.document, version.parameters, ids, exports)
    old = templates.outputs(before.document, before.parameters, ids, exports)
    return new != old or _beside(before) != _beside(version)


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The names of the properties that differ."""
    return sorted(key for key in {*before, *after} if before.get(key) != after.get(key))


def _part(version: Version | None, logical_id: str, part: str) -> Any:
    """One part of a resource as the template writes it."""
    resources = version.document["Resources"] if version else {}
    return resources.get(logical_id, {}).get(part)


def _beside(version: Version) -> Any:
    """What a resource has beside its properties."""
    return {
        logical_id: {key: item for key, item in resource.items() if key != "Properties"}
        for logical_id, resource in version.document["Resources"].items()
    }


def _replacement(kind: str, names: list[str], wanted: Mapping[str, Any]) -> str:
    fatal = [name for name in names if name in replacing(kind)]
    if not fatal:
        return "False"
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


def _detail(name: str, kind: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
    dynamic = UNKNOWN in str(wanted.get(name))
    return {
        "Target": {
            "Attribute": "Properties",
            "Name": name,
            "RequiresRecreation": "Always" if name in replacing(kind) else "Never",
        },
        "Evaluation": "Dynamic" if dynamic else "Static",
        "ChangeSource": "ResourceReference" if dynamic else "DirectModification",
    }
