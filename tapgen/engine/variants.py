"""A template between two states of its stack: imports held literally, exports given away or kept.

What ``phases`` plans its rounds with. Each variant starts from the template as deployed or as
wanted, changes only what it is named for, and is sealed with a digest of its own. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tapgen import digest, graph, render
from tapgen.cloud import DeployedStack
from tapgen.diff import values
from tapgen.engine import plan
from tapgen.engine.plan import Wanted
from tapgen.resolve import Document, Known, Unresolvable, text


@dataclass(frozen=True)
class Standing:
    """What stands now: stacks by name, their templates as deployed, and who imports an export."""

    stacks: Mapping[str, DeployedStack]
    documents: Mapping[str, Document]
    importers: Mapping[str, tuple[str, ...]]


def holds(condition: str | None, known: Known) -> bool:
    """Whether a condition holds; one that only AWS could tell counts as holding."""
    try:
        return condition is None or known.holds(condition)
    except Unresolvable:
        return True


def detach(item: Wanted, standing: Standing, exports: set[str]) -> Wanted:
    """The importer as it runs now, with the imports of ``exports`` replaced by today's values."""
    deployed = standing.stacks[item.name]
    live = {
        name: value for stack in standing.stacks.values() for name, value in stack.exports.items()
    }
    document = standing.documents[item.name]
    known = Known.of(document, deployed.parameters)
    held = {name: live[name] for name in exports}
    literal = dict(_with_literals(document, known, held))
    literal["Resources"] = {
        name: resource if resource == document["Resources"][name] else _marked(resource, held)
        for name, resource in literal["Resources"].items()
    }
    return _as_it_runs(item, literal, deployed)


def release(
    item: Wanted, standing: Standing, exports: set[str], detached: Wanted | None = None
) -> Wanted:
    """The exporter as it runs now, or as it was ``detached`` before, without the outputs of
    ``exports``.
    """
    deployed = standing.stacks[item.name]
    document = detached.document if detached else standing.documents[item.name]
    gone = exporting(document, Known.of(document, deployed.parameters), exports)
    left = {key: output for key, output in document["Outputs"].items() if key not in gone}
    return _as_it_runs(item, {**document, "Outputs": left}, deployed)


def _marked(resource: Mapping[str, Any], held: Mapping[str, str]) -> dict[str, Any]:
    # An import that became the value it had may be no change in CloudFormation's eyes, and an
    # update without one is refused; a resource's Metadata always is a change, and harmless.
    told = {**resource.get("Metadata", {}), "HeldLiterally": sorted(held)}
    return {**resource, "Metadata": told}


def expand(item: Wanted, standing: Standing, exports: Sequence[str]) -> Wanted:
    """The exporter as wanted, and beside it the outputs of ``exports`` with all they refer to."""
    old, new = standing.documents[item.name], dict(item.document)
    deployed = standing.stacks[item.name]
    outputs = exporting(old, Known.of(old, deployed.parameters), exports)
    wanted = new.get("Outputs", {})
    # An output whose export is renamed has its key taken by the new one.
    kept = {(f"{key}Kept" if key in wanted else key): outputs[key] for key in outputs}
    new["Outputs"] = {**kept, **wanted}
    for section, names in needed(old, outputs).items():
        have = new.get(section, {})
        missing = {name: old[section][name] for name in sorted(names) if name not in have}
        if missing:
            new[section] = {**have, **missing}
    parameters = {
        name: value
        for name, value in deployed.parameters.items()
        if name in new.get("Parameters", {})
    }
    request = item.request
    untold = values.hidden(new) & set(parameters) - set(request.parameters)
    return _variant(
        item,
        new,
        {**parameters, **request.parameters},
        request.tags,
        request.previous | untold,
    )


def exporting(document: Document, known: Known, exports: Collection[str]) -> dict[str, Any]:
    """The outputs of ``document`` that export one of ``exports``, by key."""
    return {
        key: output
        for key, output in document.get("Outputs", {}).items()
        if "Export" in output
        and text(output["Export"]["Name"], known) in exports
        and holds(output.get("Condition"), known)
    }


def _as_it_runs(item: Wanted, document: Document, deployed: DeployedStack) -> Wanted:
    # With today's tags too: new ones would change every resource.
    # NoEcho values as they are: AWS repeats them, nobody else can.
    previous = values.hidden(document) & set(deployed.parameters)
    return _variant(item, document, deployed.parameters, deployed.tags, previous)


def _variant(
    item: Wanted,
    document: Document,
    parameters: Mapping[str, str],
    tags: Mapping[str, str],
    previous: frozenset[str],
) -> Wanted:
    sealed = digest.sealed(document)
    request = replace(
        item.request,
        written=lambda: render.text(sealed),
        parameters=dict(parameters),
        tags=dict(tags),
        capabilities=plan.capabilities(sealed),
        previous=previous,
    )
    return replace(item, document=sealed, request=request)


def imported(node: Any, known: Known) -> set[str]:
    """The names of the exports that a part of a template imports, as far as they can be told."""
    if isinstance(node, Mapping):
        if len(node) == 1 and "Fn::ImportValue" in node:
            try:
                return {text(node["Fn::ImportValue"], known)}
            except Unresolvable:
                return set()
        return set().union(*(imported(item, known) for item in node.values()))
    if isinstance(node, list):
        return set().union(*(imported(item, known) for item in node))
    return set()


def _with_literals(node: Any, known: Known, values: Mapping[str, str]) -> Any:
    if isinstance(node, Mapping):
        if len(node) == 1 and "Fn::ImportValue" in node:
            try:
                name = text(node["Fn::ImportValue"], known)
            except Unresolvable:
                return node
            return values.get(name, node)
        return {key: _with_literals(item, known, values) for key, item in node.items()}
    if isinstance(node, list):
        return [_with_literals(item, known, values) for item in node]
    return node


def needed(document: Document, outputs: Mapping[str, Any]) -> dict[str, set[str]]:
    """By section, what ``outputs`` refer to, directly or through others."""
    found: dict[str, set[str]] = {
        section: set() for section in ("Resources", "Parameters", "Conditions", "Mappings")
    }
    due = list(outputs.values())
    while due:
        node = due.pop()
        for name in graph.references(node):
            for section, names in found.items():
                if name in document.get(section, {}) and name not in names:
                    names.add(name)
                    due.append(document[section][name])
    return found
