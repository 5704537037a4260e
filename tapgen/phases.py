"""Exports that leave or change while somebody imports them: the way round the deadlock. Pure.

CloudFormation refuses to remove or change an export in use, half-way through an update. What it
documents as the cure (knowledge centre, "export … cannot be updated as it is in use") is planned
here beforehand, as up to four rounds of ordinary deployments:

1. *detach*: importers of a value that will change get that value literally, in the template they
   run now; no resource of theirs may change;
2. *release*: stacks whose export another stack takes over let go of its name, in the template they
   run now, because a name can be exported by one stack only;
3. *deploy*: everything as wanted, but an exporter keeps outputs that are still imported, and what
   those need;
4. *contract*: such exporters as wanted, now that nobody imports from them.

An export that leaves is kept only where nothing behind it moves meanwhile; otherwise its importers
are detached like those of a value that changes.

Each round leaves a state from which a new plan finds the rest by itself, so a run that died between
two of them is simply started again. An importer outside the run stops the plan before anything
changes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tapgen import graph, plan, render, stack
from tapgen.cloud import DeployedStack
from tapgen.diff import values
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
    """Somebody who is not part of this run imports what would leave or change.

    ``ours`` are those of the importers that the project describes: they were not selected.
    """

    def __init__(
        self, export: str, exporter: str, importers: Sequence[str], ours: Sequence[str] = ()
    ) -> None:
        self.export, self.exporter = export, exporter
        self.importers, self.ours = tuple(importers), tuple(ours)
        verb = "imports" if len(importers) == 1 else "import"
        if len(ours) == len(importers):
            way_out = f"deploy {', '.join(ours)} in the same run, or name no tier to deploy all"
        else:
            others = [name for name in importers if name not in ours]
            way_out = f"let {', '.join(others)} go of the value first"
        super().__init__(
            f"{exporter} would remove or change {export}, which {', '.join(importers)} "
            f"{verb} without being part of this run; nothing was changed: {way_out}"
        )


class HiddenParameter(TapgenError):
    """A stack that must be deployed as it runs, with a value that CloudFormation does not tell."""

    def __init__(self, stack: str, parameters: Sequence[str]) -> None:
        self.stack, self.parameters = stack, tuple(parameters)
        super().__init__(
            f"{stack} must let go of an export in the template it runs, and nobody can repeat its "
            f"NoEcho {', '.join(parameters)}; nothing was changed: "
            "take the export or its import out by hand, with the previous value of the parameter"
        )


def vanishing(item: Wanted, deployed: DeployedStack) -> tuple[str, ...]:
    """The exports that the deployed stack has and the wanted has not, sorted."""
    return tuple(sorted(set(deployed.exports) - set(export_keys(item))))


def export_keys(item: Wanted) -> dict[str, str]:
    """The wanted stack's exports: full name to output key. What a condition leaves out is none."""
    known = Known.of(item.document, item.request.parameters)
    return {
        text(output["Export"]["Name"], known): key
        for key, output in item.document.get("Outputs", {}).items()
        if "Export" in output and _holds(output.get("Condition"), known)
    }


def _holds(condition: str | None, known: Known) -> bool:
    try:
        return condition is None or known.holds(condition)
    except Unresolvable:
        return True


def phases(
    wanted: Sequence[Wanted], standing: Standing, changing: Mapping[str, Sequence[str]]
) -> tuple[Phase, ...]:
    """The rounds that bring ``standing`` to ``wanted``, in order; one where nothing is in the way.

    ``changing`` holds, by stack, the exports whose value is expected to change. Raises
    ``ForeignImporter`` and ``HiddenParameter``.
    """
    courses = _Courses.of(wanted, standing, changing)
    rounds = []
    literal = {
        item.name: detach(item, standing, courses.detached[item.name])
        for item in wanted
        if item.name in courses.detached
    }
    if literal:
        gone = tuple(sorted(set().union(*courses.detached.values())))
        rounds.append(Phase("detach", tuple(literal.values()), still=True, gone=gone))
    if courses.moved:
        without = tuple(
            release(item, standing, courses.moved[item.name], literal.get(item.name))
            for item in wanted
            if item.name in courses.moved
        )
        rounds.append(Phase("release", without, still=True))
    kept = courses.kept
    main = tuple(
        expand(item, standing, kept[item.name]) if item.name in kept else item for item in wanted
    )
    let_go = tuple(sorted(export for exports in kept.values() for export in exports))
    rounds.append(Phase("deploy", main, gone=let_go))
    if kept:
        rounds.append(Phase("contract", tuple(item for item in wanted if item.name in kept)))
    return tuple(rounds)


@dataclass(frozen=True)
class _Courses:
    """What becomes of the exports in the way: kept or given away, by exporter; let go of, by
    importer.
    """

    kept: dict[str, list[str]]
    moved: dict[str, set[str]]
    detached: dict[str, set[str]]

    @classmethod
    def of(
        cls,
        wanted: Sequence[Wanted],
        standing: Standing,
        changing: Mapping[str, Sequence[str]],
    ) -> _Courses:
        found = cls({}, {}, {})
        leaving = {
            item.name: vanishing(item, standing.stacks[item.name])
            for item in wanted
            if item.name in standing.stacks
        }
        unsettled = {name for names in (*leaving.values(), *changing.values()) for name in names}
        names = {item.name for item in wanted} & set(standing.documents)
        taken = {export for item in wanted for export in export_keys(item)}
        for item in wanted:
            if item.name not in standing.documents:
                # New, or in a state that nothing is done to: nothing leaves here.
                continue
            for export in (*leaving.get(item.name, ()), *changing.get(item.name, ())):
                importers = standing.importers.get(export, ())
                _refuse_strangers(export, item.name, importers, names, standing)
                leaves = export in leaving[item.name]
                if leaves and export in taken:
                    found.moved.setdefault(item.name, set()).add(export)
                elif leaves and importers and _rests(item, standing, export, unsettled):
                    found.kept.setdefault(item.name, []).append(export)
                    continue
                for importer in importers:
                    found.detached.setdefault(importer, set()).add(export)
        return found


def _refuse_strangers(
    export: str, exporter: str, importers: Sequence[str], names: set[str], standing: Standing
) -> None:
    foreign = [name for name in importers if name not in names]
    if foreign:
        ours = [name for name in foreign if name in standing.stacks]
        raise ForeignImporter(export, exporter, foreign, ours)


def _rests(item: Wanted, standing: Standing, export: str, unsettled: set[str]) -> bool:
    """Whether the deployed output of ``export``, put into the wanted template, keeps its value.

    Only where all that it refers to is the same, or gone, there; anything else may move.
    """
    old, new = standing.documents[item.name], item.document
    parameters = standing.stacks[item.name].parameters
    known = Known.of(old, parameters)
    outputs = _exporting(old, known, {export})
    needed = _needed(old, outputs)
    for section in ("Resources", "Conditions", "Mappings"):
        for name in needed[section]:
            if new.get(section, {}).get(name, old[section][name]) != old[section][name]:
                return False
    if needed["Parameters"] & values.hidden(old):
        return False
    given = item.request.parameters
    if any(given.get(n, parameters.get(n)) != parameters.get(n) for n in needed["Parameters"]):
        return False
    behind = [*outputs.values(), *(old["Resources"][name] for name in needed["Resources"])]
    used = {name for part in behind for name in _imported(part, known)}
    return bool(outputs) and not used & unsettled


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
    gone = _exporting(document, Known.of(document, deployed.parameters), exports)
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
    outputs = _exporting(old, Known.of(old, deployed.parameters), exports)
    wanted = new.get("Outputs", {})
    # An output whose export is renamed has its key taken by the new one.
    kept = {(f"{key}Kept" if key in wanted else key): outputs[key] for key in outputs}
    new["Outputs"] = {**kept, **wanted}
    for section, names in _needed(old, outputs).items():
        have = new.get(section, {})
        missing = {name: old[section][name] for name in sorted(names) if name not in have}
        if missing:
            new[section] = {**have, **missing}
    parameters = {
        name: value
        for name, value in deployed.parameters.items()
        if name in new.get("Parameters", {})
    }
    return _variant(item, new, {**parameters, **item.request.parameters}, item.request.tags)


def _exporting(document: Document, known: Known, exports: Collection[str]) -> dict[str, Any]:
    """The outputs of ``document`` that export one of ``exports``, by key."""
    return {
        key: output
        for key, output in document.get("Outputs", {}).items()
        if "Export" in output
        and text(output["Export"]["Name"], known) in exports
        and _holds(output.get("Condition"), known)
    }


def _as_it_runs(item: Wanted, document: Document, deployed: DeployedStack) -> Wanted:
    hidden = sorted(values.hidden(document) & set(deployed.parameters))
    if hidden:
        raise HiddenParameter(item.name, hidden)
    # With today's tags too: new ones would change every resource.
    return _variant(item, document, deployed.parameters, deployed.tags)


def _variant(
    item: Wanted, document: Document, parameters: Mapping[str, str], tags: Mapping[str, str]
) -> Wanted:
    sealed = stack.sealed(document)
    request = replace(
        item.request,
        template=render.text(sealed),
        parameters=dict(parameters),
        tags=dict(tags),
        capabilities=plan.capabilities(sealed),
    )
    return replace(item, document=sealed, request=request)


def _imported(node: Any, known: Known) -> set[str]:
    """The names of the exports that a part of a template imports, as far as they can be told."""
    if isinstance(node, Mapping):
        if len(node) == 1 and "Fn::ImportValue" in node:
            try:
                return {text(node["Fn::ImportValue"], known)}
            except Unresolvable:
                return set()
        return set().union(*(_imported(item, known) for item in node.values()))
    if isinstance(node, list):
        return set().union(*(_imported(item, known) for item in node))
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
