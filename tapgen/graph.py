"""Which stack must exist before which, read off the documents' exports and imports.

It reads what will be sent, so it also sees an import that somebody wrote by hand, and nothing
declared can disagree with it. An edge keeps the exports that make it. Names are compared with the
suffix left in as ``${EnvironmentSuffix}``, so the graph is the same for every environment.
"""

from __future__ import annotations

import graphlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tapgen import names, resolve
from tapgen.errors import TapgenError
from tapgen.resolve import Document


@dataclass(frozen=True)
class Export:
    """An exported output; ``name`` is in the one form for all environments."""

    stack: str
    key: str
    name: str


@dataclass(frozen=True)
class Import:
    """A use of an export: ``where`` is the logical id of the resource, or ``Outputs.Key``."""

    stack: str
    where: str
    name: str


@dataclass(frozen=True, order=True)
class Edge:
    """``importer`` needs ``exporter`` for these ``exports`` (output keys, sorted)."""

    importer: str
    exporter: str
    exports: tuple[str, ...]


class DanglingImport(TapgenError):
    """An import that no stack exports."""

    def __init__(self, found: Import, close: Sequence[str]) -> None:
        self.stack, self.export, self.close = found.stack, found.name, tuple(close)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        super().__init__(
            f"{found.stack}: {found.where} imports {found.name!r}, which no stack exports.{hint}"
        )


class DuplicateExport(TapgenError):
    """Two outputs with one export name; names are unique per account and region."""

    def __init__(self, name: str, first: Export, second: Export) -> None:
        self.name, self.first, self.second = name, first, second
        super().__init__(
            f"{second.stack}: output {second.key} exports {name!r}, "
            f"which {first.stack} exports already ({first.key}); rename one of the two"
        )


class UnreadableName(TapgenError):
    """An export's or import's name that cannot be known before deploying."""

    def __init__(self, stack: str, where: str, why: str) -> None:
        self.stack, self.where, self.why = stack, where, why
        super().__init__(
            f"{stack}: the export name at {where} cannot be read offline ({why}); "
            "use parameters with defaults and pseudo parameters only"
        )


class ImportCycle(TapgenError):
    """Stacks that wait for each other."""

    def __init__(self, stacks: Sequence[str], edges: Sequence[Edge]) -> None:
        self.stacks, self.edges = tuple(stacks), tuple(edges)
        path = ", ".join(f"{e.importer} needs {e.exporter} for {e.exports[0]}" for e in edges)
        super().__init__(f"stacks import from each other in a circle: {path}")


def exports(documents: Mapping[str, Document]) -> list[Export]:
    """Every export of every document, in the documents' order.

    Raises ``UnreadableName``; duplicates are left in (``edges`` refuses them).
    """
    found = []
    for stack, document in documents.items():
        for key, output in document.get("Outputs", {}).items():
            name = output.get("Export", {}).get("Name")
            if name is not None:
                readable = _name(name, document, stack, f"Outputs.{key}")
                found.append(Export(stack, key, readable))
    return found


def imports(documents: Mapping[str, Document]) -> list[Import]:
    """Every import of every document, in the documents' order. Raises ``UnreadableName``."""
    found = []
    for stack, document in documents.items():
        for section, prefix in (("Resources", ""), ("Outputs", "Outputs.")):
            for key, part in document.get(section, {}).items():
                where = f"{prefix}{key}"
                found += [
                    Import(stack, where, name)
                    for name in import_names(part, document, stack, where)
                ]
    return found


def references(node: Any) -> Iterator[str]:
    """The names (logical ids, parameters, conditions, mappings) that a part of a document uses."""
    if isinstance(node, Mapping):
        for key, item in node.items():
            yield from _named(key, item)
            yield from references(item)
    elif isinstance(node, list):
        for item in node:
            yield from references(item)


def _named(key: str, item: Any) -> Iterator[str]:
    if key in ("Ref", "Condition", "DependsOn") and isinstance(item, str):
        yield item
    elif key == "DependsOn" and isinstance(item, list):
        yield from item
    elif key == "Fn::GetAtt":
        yield item[0] if isinstance(item, list) else str(item).partition(".")[0]
    elif key == "Fn::Sub":
        template, own = (*item, {})[:2] if isinstance(item, list) else (item, {})
        outside = (hole for hole in resolve.holes(str(template)) if hole not in own)
        yield from (hole.partition(".")[0] for hole in outside)
    elif key in ("Fn::If", "Fn::FindInMap") and isinstance(item, list):
        yield from (name for name in item[:1] if isinstance(name, str))


def import_names(part: Any, document: Document, stack: str, where: str) -> list[str]:
    """The names that one part of a document imports. Raises ``UnreadableName``."""
    return [_name(name, document, stack, where) for name in _import_nodes(part)]


def edges(documents: Mapping[str, Document]) -> tuple[Edge, ...]:
    """The dependencies between ``documents``, sorted, each with the exports that make it.

    Raises ``DanglingImport``, ``DuplicateExport`` or ``UnreadableName``.
    """
    offered: dict[str, Export] = {}
    for export in exports(documents):
        first = offered.setdefault(export.name, export)
        if first is not export:
            raise DuplicateExport(export.name, first, export)
    used: dict[tuple[str, str], set[str]] = {}
    for wanted in imports(documents):
        if wanted.name not in offered:
            raise DanglingImport(wanted, nearest(wanted.name, offered))
        source = offered[wanted.name]
        used.setdefault((wanted.stack, source.stack), set()).add(source.key)
    return tuple(
        sorted(
            Edge(importer, exporter, tuple(sorted(keys)))
            for (importer, exporter), keys in used.items()
        )
    )


def nearest(name: str, offered: Mapping[str, object] | Sequence[str]) -> list[str]:
    """The offered names that ``name`` may have meant, the likeliest first."""
    from difflib import get_close_matches

    return get_close_matches(name, list(offered), n=3, cutoff=0.6)


def producers(documents: Mapping[str, Document]) -> dict[str, frozenset[str]]:
    """For each stack the stacks that it imports from, directly."""
    found: dict[str, set[str]] = {stack: set() for stack in documents}
    for edge in edges(documents):
        found[edge.importer].add(edge.exporter)
    return {stack: frozenset(needs) for stack, needs in found.items()}


def waves(documents: Mapping[str, Document]) -> tuple[tuple[str, ...], ...]:
    """Stacks in groups: each group imports only from the groups before it.

    Sorted within a group, so that two runs over the same documents agree. Raises ``ImportCycle``
    and whatever ``edges`` raises.
    """
    all_edges = edges(documents)
    sorter = graphlib.TopologicalSorter(dict.fromkeys(documents, ()))
    for edge in all_edges:
        sorter.add(edge.importer, edge.exporter)
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        raise _cycle(error.args[1], all_edges) from None
    groups = []
    while sorter.is_active():
        group = tuple(sorted(sorter.get_ready()))
        groups.append(group)
        sorter.done(*group)
    return tuple(groups)


def order(documents: Mapping[str, Document]) -> tuple[str, ...]:
    """All stacks, producers before their importers."""
    return tuple(stack for group in waves(documents) for stack in group)


def _cycle(path: Sequence[str], all_edges: Sequence[Edge]) -> ImportCycle:
    # graphlib lists each stack before the one that needs it, the first again at the end.
    ring = list(reversed(path))
    start = ring[:-1].index(min(ring))
    ring = ring[start:-1] + ring[:start]
    by_pair = {(edge.importer, edge.exporter): edge for edge in all_edges}
    pairs = zip(ring, [*ring[1:], ring[0]], strict=True)
    return ImportCycle(ring, [by_pair[pair] for pair in pairs])


def _import_nodes(node: Any) -> Iterator[Any]:
    if isinstance(node, Mapping):
        for key, item in node.items():
            if key == "Fn::ImportValue":
                yield item
            else:
                yield from _import_nodes(item)
    elif isinstance(node, list):
        for item in node:
            yield from _import_nodes(item)


def _name(node: Any, document: Document, stack: str, where: str) -> str:
    known = resolve.Known.of(document, {names.SUFFIX: f"${{{names.SUFFIX}}}"})
    try:
        return resolve.text(node, known)
    except resolve.Unresolvable as error:
        raise UnreadableName(stack, where, str(error)) from None
