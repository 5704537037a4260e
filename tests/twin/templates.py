"""Templates as CloudFormation reads them: what it refuses at the door, and the values in the end.

Sources: the words of the refusals are those that AWS gives in public threads; intrinsic functions
are worked out by ``tapgen.resolve``, to which this hands what only AWS would know. Attributes are
made up from the physical id, so a replaced resource has other attributes and a kept one the same.
"""

from __future__ import annotations

import graphlib
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from tapgen import resolve, yaml_text
from twin.records import Refusal

# CloudFormation's quotas page.
INLINE_BYTES = 51_200
# The quotas page says 1 MB; the refusal names the number, and 1,048,576 is over it.
STORED_BYTES = 1_000_000
_PSEUDO = "AWS::"
_ATTRIBUTE = "Fn::GetAtt"
Document = Mapping[str, Any]


@lru_cache(maxsize=256)
def read(text: str, *, inline: bool = True) -> Document:
    """The document of a template: in the call itself, or from S3. Raises ``Refusal``."""
    size = len(text.encode())
    if size > STORED_BYTES:
        raise Refusal(f"Template may not exceed {STORED_BYTES} bytes in size.")
    if inline and size > INLINE_BYTES:
        raise Refusal(
            "1 validation error detected: Value at 'templateBody' failed to satisfy constraint: "
            f"Member must have length less than or equal to {INLINE_BYTES}"
        )
    try:
        document = yaml_text.load(text)
    except ValueError as error:
        raise Refusal(f"Template format error: {error}") from None
    if not isinstance(document, Mapping) or not document.get("Resources"):
        raise Refusal("Template format error: At least one Resources member must be defined.")
    unknown = sorted(
        {item["Type"] for item in document["Resources"].values() if "::" not in item["Type"]}
    )
    if unknown:
        raise Refusal(f"Template format error: Unrecognized resource types: [{', '.join(unknown)}]")
    return document


def parameters(document: Document, given: Mapping[str, str]) -> dict[str, str]:
    """Every declared parameter with its value. Raises ``Refusal``."""
    declared = document.get("Parameters", {})
    strangers = sorted(set(given) - set(declared))
    if strangers:
        raise Refusal(f"Parameters: [{', '.join(strangers)}] do not exist in the template")
    empty = [key for key in declared if key not in given and "Default" not in declared[key]]
    if empty:
        raise Refusal(f"Parameters: [{', '.join(empty)}] must have values")
    values = {key: given.get(key, str(item.get("Default"))) for key, item in declared.items()}
    for key, item in declared.items():
        allowed, pattern = item.get("AllowedValues"), item.get("AllowedPattern")
        if allowed is not None and values[key] not in map(str, allowed):
            raise Refusal(_constraint(key, item, "must be one of AllowedValues"))
        if pattern is not None and re.fullmatch(pattern, values[key]) is None:
            raise Refusal(_constraint(key, item, f"must match pattern {pattern}"))
    return values


def judge(document: Document, values: Mapping[str, str]) -> None:
    """Refuse references to nothing and circles, as CloudFormation does before it begins."""
    standing = resources(document, values)
    offered = {*standing, *document.get("Parameters", {})}
    shown = _outputs(document, values)
    for block, members in (("Resources", standing), ("Outputs", shown)):
        used = {name for member in members.values() for name in _references(member, values)}
        missing = sorted(used - offered)
        if missing:
            raise Refusal(
                "Template format error: Unresolved resource dependencies "
                f"[{', '.join(missing)}] in the {block} block of the template"
            )
    try:
        graphlib.TopologicalSorter(dependencies(document, values)).prepare()
    except graphlib.CycleError as error:
        circle = ", ".join(sorted(set(error.args[1])))
        raise Refusal(f"Circular dependency between resources: [{circle}]") from None


def capabilities(document: Document, given: tuple[str, ...]) -> None:
    """Refuse IAM resources that nobody acknowledged."""
    types = [str(item["Type"]) for item in document["Resources"].values()]
    if any(kind.startswith("AWS::IAM::") for kind in types) and not (
        {"CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"} & set(given)
    ):
        raise Refusal(
            "Requires capabilities : [CAPABILITY_NAMED_IAM]", "InsufficientCapabilitiesException"
        )


def resources(document: Document, values: Mapping[str, str]) -> dict[str, Any]:
    """The resources whose condition holds."""
    return _present(document["Resources"], document, values)


def dependencies(document: Document, values: Mapping[str, str]) -> dict[str, frozenset[str]]:
    """For each resource those that it waits for."""
    standing = resources(document, values)
    found = {}
    for logical_id, resource in standing.items():
        after = resource.get("DependsOn", [])
        used = {*_references(resource, values), *([after] if isinstance(after, str) else after)}
        found[logical_id] = frozenset(used & set(standing))
    return found


def imports(document: Document, values: Mapping[str, str]) -> frozenset[str]:
    """The names of the exports that the template imports with these values."""
    known = resolve.Known.of(document, values)
    parts = [*resources(document, values).values(), *_outputs(document, values).values()]
    return frozenset(
        resolve.text(node["Fn::ImportValue"], known)
        for part in parts
        for node in _nodes(part, known)
        if "Fn::ImportValue" in node
    )


def properties(
    document: Document,
    logical_id: str,
    values: Mapping[str, str],
    ids: Mapping[str, str],
    exports: Mapping[str, str],
) -> dict[str, Any]:
    """A resource's properties with all values in; ``ids`` are the physical ids so far."""
    found = _value(
        document["Resources"][logical_id].get("Properties", {}), document, values, ids, exports
    )
    assert isinstance(found, dict)
    return found


def outputs(
    document: Document,
    values: Mapping[str, str],
    ids: Mapping[str, str],
    exports: Mapping[str, str],
) -> list[dict[str, Any]]:
    """The outputs with all values in, each with its ``Key``."""
    return [
        {"Key": key, **_value(output, document, values, ids, exports)}
        for key, output in _outputs(document, values).items()
    ]


def attribute(physical_id: str, name: str) -> str:
    """An attribute of a resource that never was."""
    return f"{physical_id}/{name}"


def _value(
    node: Any,
    document: Document,
    values: Mapping[str, str],
    ids: Mapping[str, str],
    exports: Mapping[str, str],
) -> Any:
    known = resolve.Known.of(document, {**values, **ids}, imports=exports)
    return resolve.value(_answered(node, ids), known)


def _answered(node: Any, ids: Mapping[str, str]) -> Any:
    """``node`` with the functions replaced that ask AWS."""
    if isinstance(node, list):
        return [_answered(item, ids) for item in node]
    if not isinstance(node, Mapping):
        return node
    if len(node) == 1:
        ((function, argument),) = node.items()
        if function == _ATTRIBUTE:
            owner, name = argument if isinstance(argument, list) else argument.split(".", 1)
            return attribute(ids[owner], name) if owner in ids else node
        if function == "Fn::Sub":
            return {function: _substitution(argument, ids)}
        if function == "Fn::GetAZs":
            return ["ap-northeast-1a", "ap-northeast-1c", "ap-northeast-1d"]
        if function == "Fn::Cidr":
            return [f"10.0.{part}.0/24" for part in range(16)]
        if function == "Fn::Base64":
            return _answered(argument, ids)
    return {key: _answered(item, ids) for key, item in node.items()}


def _substitution(argument: Any, ids: Mapping[str, str]) -> list[Any]:
    text, extra = argument if isinstance(argument, list) else (argument, {})
    attributes = {
        hole: attribute(ids[hole.split(".", 1)[0]], hole.split(".", 1)[1])
        for hole in resolve.holes(text)
        if "." in hole and hole.split(".", 1)[0] in ids
    }
    return [text, {**attributes, **_answered(extra, ids)}]


def _outputs(document: Document, values: Mapping[str, str]) -> dict[str, Any]:
    return _present(document.get("Outputs", {}), document, values)


def _present(
    members: Mapping[str, Any], document: Document, values: Mapping[str, str]
) -> dict[str, Any]:
    known = resolve.Known.of(document, values)
    return {
        key: member
        for key, member in members.items()
        if "Condition" not in member or known.holds(member["Condition"])
    }


def _references(member: Any, values: Mapping[str, str]) -> Iterator[str]:
    for node in _nodes(member, None):
        if "Ref" in node and not str(node["Ref"]).startswith(_PSEUDO):
            yield node["Ref"]
        elif _ATTRIBUTE in node:
            target = node[_ATTRIBUTE]
            yield target[0] if isinstance(target, list) else target.split(".", 1)[0]
        elif "Fn::Sub" in node:
            argument = node["Fn::Sub"]
            text, extra = argument if isinstance(argument, list) else (argument, {})
            for hole in resolve.holes(text):
                if hole not in extra and not hole.startswith(_PSEUDO):
                    yield hole.split(".", 1)[0]


def _nodes(part: Any, known: resolve.Known | None) -> Iterator[Mapping[str, Any]]:
    """Every mapping in ``part``; of an ``Fn::If`` only the branch taken, where ``known`` tells."""
    if isinstance(part, list):
        for item in part:
            yield from _nodes(item, known)
    elif isinstance(part, Mapping):
        if known is not None and set(part) == {"Fn::If"}:
            condition, yes, no = part["Fn::If"]
            yield from _nodes(yes if known.holds(condition) else no, known)
            return
        yield part
        for item in part.values():
            yield from _nodes(item, known)


def _constraint(key: str, parameter: Mapping[str, Any], reason: str) -> str:
    description = parameter.get("ConstraintDescription")
    if description:
        return f"Parameter {key} failed to satisfy constraint: {description}"
    return f"Parameter '{key}' {reason}"
