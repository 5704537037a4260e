"""Fills the generated parts of README.md, so that they cannot be wrong.

A generated part stands between ``<!-- begin: NAME -->`` and ``<!-- end: NAME -->``; ``NAME`` is a
key of ``PARTS``. ``make readme`` writes them, the tests compare.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from click.testing import CliRunner

from tapgen import app, graph_text, settings
from tapgen.cli import main as tapgen
from tapgen.scope import Scope

README = Path(__file__).resolve().parent.parent / "README.md"


def _printed(*arguments: str) -> str:
    result = CliRunner(env={"COLUMNS": "80"}).invoke(tapgen, arguments)
    assert result.exit_code == 0, result.output
    return f"```console\n$ tapgen {' '.join(arguments)}\n{result.stdout.rstrip()}\n```"


def _mermaid() -> str:
    return f"```mermaid\n{graph_text.mermaid(app.documents(), False).rstrip()}\n```"


def _tiers() -> str:
    rows = ["| tier | what it holds | resources |", "| --- | --- | --- |"]
    for stack in app.describe():
        document = stack.document()
        purpose = document["Description"].partition(": ")[2]
        rows.append(f"| {stack.tier} | {purpose} | {len(document['Resources'])} |")
    return "\n".join(rows)


def _settings() -> str:
    documents = [s.document() for s in app.describe() if s.scope is Scope.ENVIRONMENT]
    defaults = {
        title: parameter["Default"]
        for document in documents
        for title, parameter in document["Parameters"].items()
        if "Default" in parameter
    }
    rows = ["| key | takes | default |", "| --- | --- | --- |"]
    for key in settings.keys(documents).values():
        default = f"`{defaults[key.parameter]}`" if key.parameter else ""
        rows.append(f"| `{key.name}` | {key.takes.replace('|', '&#124;')} | {default} |")
    return "\n".join(rows)


PARTS: dict[str, Callable[[], str]] = {
    "tapgen --help": lambda: _printed("--help"),
    "tapgen graph": lambda: _printed("graph"),
    "graph": _mermaid,
    "tiers": _tiers,
    "settings": _settings,
}


def filled(text: str) -> str:
    """Return ``text`` with every generated part made anew. Raises ``KeyError`` for unknown ones."""

    def fill(match: re.Match[str]) -> str:
        name = match.group(1)
        return f"<!-- begin: {name} -->\n{PARTS[name]()}\n<!-- end: {name} -->"

    return re.sub(r"<!-- begin: (.+?) -->\n.*?<!-- end: \1 -->", fill, text, flags=re.DOTALL)


if __name__ == "__main__":
    README.write_text(filled(README.read_text()))
