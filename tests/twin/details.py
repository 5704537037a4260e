"""What a change set tells of one resource: its properties' changes, plain and with values.

Plain, there is a detail for each property; with IncludePropertyValues one for each leaf, with its
path, its value before and after, and the whole resource as JSON texts. The shapes are those of the
user guide's example change sets: every value is a text, a list or an object that comes or goes is
JSON, and tags have no ``Name``. ``{{changeSet:KNOWN_AFTER_APPLY}}`` stands for what only the
execution will know (aws-cdk#38829). "Large values can be truncated", says the API reference without
a number. NoEcho parameters are masked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tapgen import resolve
from tapgen.diff.replaced_table import ALWAYS, CONDITIONALLY
from twin import templates
from twin.records import Held, Stack, Version

UNKNOWN = "{{changeSet:KNOWN_AFTER_APPLY}}"
MASKED = "****"
LONGEST_VALUE = 1024
_UNKNOWN_PART = re.compile(re.escape(UNKNOWN) + r"(/[A-Za-z0-9.]+)*")
_POLICIES = ("CreationPolicy", "UpdatePolicy", "DeletionPolicy", "UpdateReplacePolicy")

Detail = dict[str, Any]


def recreates(kind: str, name: str) -> str:
    """Whether a change of the property makes the resource anew, as its schema says."""
    if name in ALWAYS.get(kind, ()):
        return "Always"
    return "Conditionally" if name in CONDITIONALLY.get(kind, ()) else "Never"


def plain(
    kind: str,
    logical_id: str,
    names: list[str],
    wanted: Mapping[str, Any],
    versions: tuple[Version | None, Version],
    moved: set[str],
) -> list[Detail]:
    """A detail for each property in ``names``, and for each cause of it; ``moved`` are the
    resources that get another id.
    """
    found = []
    for name in names:
        dynamic = UNKNOWN in str(wanted.get(name))
        for source, cause in _causes(logical_id, name, versions, moved):
            detail: Detail = {
                "Target": _target(kind, name),
                "Evaluation": "Dynamic" if dynamic else "Static",
                "ChangeSource": source,
            }
            if cause:
                detail["CausingEntity"] = cause
            found.append(detail)
    return found


def valued(
    details: list[Detail], before: Mapping[str, Any], after: Mapping[str, Any]
) -> list[Detail]:
    """The same details with values: one for each leaf that differs."""
    found = []
    for detail in details:
        attribute = detail["Target"]["Attribute"]
        name = detail["Target"].get("Name", attribute)
        leaves = list(_leaves(f"/Properties/{name}", before.get(name), after.get(name)))
        if attribute not in ("Properties", "Tags") or not leaves:
            found.append(detail)
            continue
        for path, old, new in leaves:
            target = {**detail["Target"], "Path": path}
            if old is not None:
                target["BeforeValue"] = _short(old)
            if new is not None:
                target["AfterValue"] = _short(new)
            kind = "Add" if old is None else "Remove" if new is None else "Modify"
            found.append({**detail, "Target": {**target, "AttributeChangeType": kind}})
    return found


def beside(attribute: str) -> Detail:
    """The detail of a change beside the properties: in metadata, tags or a policy."""
    return {
        "Target": {"Attribute": attribute, "RequiresRecreation": "Never"},
        "Evaluation": "Static",
        "ChangeSource": "DirectModification",
    }


def shown(
    version: Version,
    logical_id: str,
    ids: Mapping[str, str],
    exports: Mapping[str, str],
) -> dict[str, Any]:
    """The properties as a change set shows them: secrets masked."""
    declared = version.document.get("Parameters", {})
    values = {
        key: MASKED if str(declared.get(key, {}).get("NoEcho", "")).lower() == "true" else value
        for key, value in version.parameters.items()
    }
    return templates.properties(version.document, logical_id, values, ids, exports)


def before(
    stack: Stack, held: Held, ids: Mapping[str, str], exports: Mapping[str, str]
) -> dict[str, Any]:
    """The properties as they are, secrets masked where the stack's template tells which."""
    version, properties = stack.version, dict(held.properties)
    if version is None or held.logical_id not in version.document["Resources"]:
        return properties
    masked = shown(version, held.logical_id, ids, exports)
    return {
        key: masked[key] if MASKED in str(masked.get(key)) else value
        for key, value in properties.items()
    }


def context(properties: Mapping[str, Any], resource: Mapping[str, Any]) -> str:
    """A resource as BeforeContext and AfterContext have it."""
    policies = {key: resource[key] for key in _POLICIES[2:] if key in resource}
    metadata = {"Metadata": resource["Metadata"]} if "Metadata" in resource else {}
    return json.dumps({"Properties": _texts(properties), **policies, **metadata})


def _target(kind: str, name: str) -> Detail:
    if name == "Tags":
        return {"Attribute": "Tags", "RequiresRecreation": recreates(kind, name)}
    return {
        "Attribute": "Properties",
        "Name": name,
        "RequiresRecreation": recreates(kind, name),
    }


def _causes(
    logical_id: str, name: str, versions: tuple[Version | None, Version], moved: set[str]
) -> list[tuple[str, str]]:
    """Where a property's change comes from: what it refers to, else the template itself."""
    old, new = versions
    if old is None or _written(old, logical_id, name) != _written(new, logical_id, name):
        return [("DirectModification", "")]
    found: set[tuple[str, str]] = set()
    for used, attribute in _references(_written(new, logical_id, name)):
        if used in moved:
            entity = f"{used}.{attribute}" if attribute else used
            found.add(("ResourceAttribute" if attribute else "ResourceReference", entity))
        elif old.parameters.get(used) != new.parameters.get(used):
            found.add(("ParameterReference", used))
    return sorted(found) or [("DirectModification", "")]


def _written(version: Version, logical_id: str, name: str) -> Any:
    resource = version.document["Resources"].get(logical_id, {})
    return resource.get("Properties", {}).get(name)


def _references(node: Any) -> Iterator[tuple[str, str]]:
    """What an expression refers to, each with the attribute that it takes."""
    if isinstance(node, list):
        for item in node:
            yield from _references(item)
    elif isinstance(node, Mapping):
        if "Ref" in node:
            yield node["Ref"], ""
        elif "Fn::GetAtt" in node:
            target = node["Fn::GetAtt"]
            owner, name = target if isinstance(target, list) else target.split(".", 1)
            yield owner, name
        elif "Fn::Sub" in node:
            argument = node["Fn::Sub"]
            text, extra = argument if isinstance(argument, list) else (argument, {})
            for hole in resolve.holes(text):
                owner, _, name = hole.partition(".")
                yield owner, name
            yield from _references(list(extra.values()))
        else:
            yield from _references(list(node.values()))


def _leaves(path: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    """The places where two values differ, as deep as both have them."""
    if old == new:
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            yield from _leaves(f"{path}/{key}", old.get(key), new.get(key))
    elif isinstance(old, list) and isinstance(new, list):
        for number in range(max(len(old), len(new))):
            one = old[number] if number < len(old) else None
            other = new[number] if number < len(new) else None
            yield from _leaves(f"{path}/{number}", one, other)
    else:
        yield path, old, new


def _texts(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _texts(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_texts(item) for item in value]
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return _UNKNOWN_PART.sub(UNKNOWN, text)


def _short(value: Any) -> str:
    told = _texts(value)
    text = told if isinstance(told, str) else json.dumps(told)
    return text[:LONGEST_VALUE]
