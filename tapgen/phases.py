"""Exports that leave or change while somebody imports them: the way round the deadlock. Pure.

CloudFormation refuses to remove or change an export in use, half-way through an update. What it
documents as the cure (knowledge centre, "export … cannot be updated as it is in use") is planned
here beforehand, as up to three rounds of ordinary deployments:

1. *detach*: importers of a value that will change get that value literally, in the template they
   run now; no resource of theirs may change;
2. *deploy*: everything as wanted, but an exporter keeps outputs that are still imported, and what
   those need;
3. *contract*: such exporters as wanted, now that nobody imports from them.

Each round leaves a state from which a new plan finds the rest by itself, so a run that died between
two of them is simply started again. An importer outside the run stops the plan before anything
changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tapgen import graph, render, stack
from tapgen.cloud import DeployedStack
from tapgen.errors import TapgenError
from tapgen.plan import Wanted
from tapgen.resolve import Document, Known, Unresolvable, text


@dataclass(frozen=True)
class Phase:
    """One round. ``still`` says that no resource may change in it; ``gone`` names the exports that
    nobody may import when it ends.
    """

    title: str
    wanted: tuple[Wanted, ...]
    still: bool = False
    gone: tuple[str, ...] = ()


@dataclass(frozen=True)
class Standing:
    """What stands now: stacks by name, their templates as deployed, and who imports an export."""

    stacks: Mapping[str, DeployedStack]
    documents: Mapping[str, Document]
    importers: Mapping[str, tuple[str, ...]]


class ForeignImporter(TapgenError):
    """Somebody who is not part of this run imports what would leave or change."""

    def __init__(self, export: str, exporter: str, importers: Sequence[str]) -> None:
        self.export, self.exporter, self.importers = export, exporter, tuple(importers)
        super().__init__(
            f"{exporter} would remove or change {export}, which {', '.join(importers)} "
            "imports without being part of this run; nothing was changed: "
            "let it go of the value, or deploy it in the same run"
        )


def vanishing(item: Wanted, deployed: DeployedStack) -> tuple[str, ...]:
    """The exports that the deployed stack has and the wanted has not, sorted."""
    return tuple(sorted(set(deployed.exports) - set(export_keys(item))))


def export_keys(item: Wanted) -> dict[str, str]:
    """The wanted stack's exports: full name to output key."""
    known = Known.of(item.document, item.request.parameters)
    return {
        text(output["Export"]["Name"], known): key
        for key, output in item.document.get("Outputs", {}).items()
        if "Export" in output
    }


def phases(
    wanted: Sequence[Wanted], standing: Standing, changing: Mapping[str, Sequence[str]]
) -> tuple[Phase, ...]:
    """The rounds that bring ``standing`` to ``wanted``, in order; one where nothing is in the way.

    ``changing`` holds, by stack, the exports whose value is expected to change. Raises
    ``ForeignImporter``.
    """
    names = {item.name for item in wanted}
    kept: dict[str, list[str]] = {}
    detached: dict[str, set[str]] = {}
    for item in wanted:
        deployed = standing.stacks.get(item.name)
        if deployed is None:
            continue
        leaving = vanishing(item, deployed)
        for export in (*leaving, *changing.get(item.name, ())):
            importers = standing.importers.get(export, ())
            foreign = [name for name in importers if name not in names]
            if foreign:
                raise ForeignImporter(export, item.name, foreign)
            if not importers:
                continue
            if export in leaving:
                kept.setdefault(item.name, []).append(export)
            else:
                for importer in importers:
                    detached.setdefault(importer, set()).add(export)
    rounds = []
    if detached:
        gone = tuple(sorted(set().union(*detached.values())))
        literal = tuple(
            detach(item, standing, detached[item.name]) for item in wanted if item.name in detached
        )
        rounds.append(Phase("detach", literal, still=True, gone=gone))
    main = tuple(
        expand(item, standing, kept[item.name]) if item.name in kept else item for item in wanted
    )
    let_go = tuple(sorted(export for exports in kept.values() for export in exports))
    rounds.append(Phase("deploy", main, gone=let_go))
    if kept:
        rounds.append(Phase("contract", tuple(item for item in wanted if item.name in kept)))
    return tuple(rounds)


def detach(item: Wanted, standing: Standing, exports: set[str]) -> Wanted:
    """The importer as it runs now, with the imports of ``exports`` replaced by today's values."""
    deployed = standing.stacks[item.name]
    values = {
        name: value for stack in standing.stacks.values() for name, value in stack.exports.items()
    }
    document = standing.documents[item.name]
    known = Known.of(document, deployed.parameters)
    held = {name: values[name] for name in exports}
    literal = dict(_with_literals(document, known, held))
    literal["Resources"] = {
        name: resource if resource == document["Resources"][name] else _marked(resource, held)
        for name, resource in literal["Resources"].items()
    }
    return _variant(item, literal, deployed.parameters)


def _marked(resource: Mapping[str, Any], held: Mapping[str, str]) -> dict[str, Any]:
    # An import that became the value it had may be no change in CloudFormation's eyes, and an
    # update without one is refused; a resource's Metadata always is a change, and harmless.
    told = {**resource.get("Metadata", {}), "HeldLiterally": sorted(held)}
    return {**resource, "Metadata": told}


def expand(item: Wanted, standing: Standing, exports: Sequence[str]) -> Wanted:
    """The exporter as wanted, and beside it the outputs of ``exports`` with all they refer to."""
    old, new = standing.documents[item.name], dict(item.document)
    known = Known.of(old, standing.stacks[item.name].parameters)
    outputs = {
        key: output
        for key, output in old.get("Outputs", {}).items()
        if "Export" in output and text(output["Export"]["Name"], known) in exports
    }
    new["Outputs"] = {**outputs, **new.get("Outputs", {})}
    for section, names in _needed(old, outputs).items():
        have = new.get(section, {})
        missing = {name: old[section][name] for name in names if name not in have}
        if missing:
            new[section] = {**have, **missing}
    parameters = {
        name: value
        for name, value in standing.stacks[item.name].parameters.items()
        if name in new.get("Parameters", {})
    }
    return _variant(item, new, {**parameters, **item.request.parameters})


def _variant(item: Wanted, document: Document, parameters: Mapping[str, str]) -> Wanted:
    sealed = stack.sealed(document)
    request = replace(item.request, template=render.text(sealed), parameters=dict(parameters))
    return replace(item, document=sealed, request=request)


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


def _needed(document: Document, outputs: Mapping[str, Any]) -> dict[str, set[str]]:
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
