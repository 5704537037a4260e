"""The graph for reading: text, Mermaid, Graphviz or JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping

from tapgen import graph
from tapgen.render import as_json
from tapgen.resolve import Document


def text(documents: Mapping[str, Document], exports: bool) -> str:
    """Waves of stacks, each with what it needs."""
    by_importer: dict[str, list[graph.Edge]] = {}
    for edge in graph.edges(documents):
        by_importer.setdefault(edge.importer, []).append(edge)
    width = max(map(len, documents), default=0)
    lines = []
    for number, wave in enumerate(graph.waves(documents), 1):
        for stack in wave:
            needs = by_importer.get(stack, [])
            told = f"needs {', '.join(edge.exporter for edge in needs)}" if needs else ""
            lines.append(f"{number}  {stack.ljust(width)}  {told}".rstrip())
            if exports:
                lines += [line for edge in needs for line in _folded(edge, width + 5)]
    return "\n".join(lines) + "\n"


def _folded(edge: graph.Edge, indent: int) -> list[str]:
    return textwrap.wrap(
        f"{edge.exporter}: {', '.join(edge.exports)}",
        width=80,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + 2),
    )


def mermaid(documents: Mapping[str, Document], exports: bool) -> str:
    """A Mermaid flowchart, from producers to importers."""
    lines = ["flowchart LR"]
    lines += [f"  {stack}" for stack in sorted(documents)]
    for edge in graph.edges(documents):
        label = f"|{'<br>'.join(edge.exports)}|" if exports else ""
        lines.append(f"  {edge.exporter} -->{label} {edge.importer}")
    return "\n".join(lines) + "\n"


def dot(documents: Mapping[str, Document], exports: bool) -> str:
    """A Graphviz digraph, from producers to importers."""
    lines = ["digraph stacks {", "  rankdir=LR;"]
    lines += [f'  "{stack}";' for stack in sorted(documents)]
    for edge in graph.edges(documents):
        names = "\\n".join(edge.exports)
        label = f' [label="{names}"]' if exports else ""
        lines.append(f'  "{edge.exporter}" -> "{edge.importer}"{label};')
    return "\n".join([*lines, "}"]) + "\n"


def json(documents: Mapping[str, Document], exports: bool) -> str:
    """Stacks in order, waves and edges as data; the exports are always there."""
    return (
        as_json(
            {
                "order": graph.order(documents),
                "waves": graph.waves(documents),
                "edges": [
                    {"from": edge.exporter, "to": edge.importer, "exports": edge.exports}
                    for edge in graph.edges(documents)
                ],
            }
        )
        + "\n"
    )


FORMS: dict[str, Callable[[Mapping[str, Document], bool], str]] = {
    "text": text,
    "mermaid": mermaid,
    "dot": dot,
    "json": json,
}
