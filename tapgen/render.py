"""Documents as files for review: what each should hold, which are stale, writing what changed.

One file a tier in ``templates_out/``, committed: its diff is the review. Only what changed is
written, each file whole; a file of a tier that is gone is stale too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tapgen import files
from tapgen.resolve import Document

FORMATS = ("yaml", "json")

# As diff and git tell it of a last line.
_NO_BREAK = "\n\\ No newline at end of file\n"


@dataclass(frozen=True)
class Stale:
    """A file that is not what the code describes. ``None`` stands for a file that is not there."""

    path: Path
    found: str | None
    wanted: str | None

    @property
    def why(self) -> str:
        """One word: ``missing``, ``leftover`` or ``changed``."""
        if self.found is None:
            return "missing"
        return "leftover" if self.wanted is None else "changed"

    def diff(self) -> str:
        """What rendering would change, as a unified diff."""
        from difflib import unified_diff

        lines = unified_diff(
            (self.found or "").splitlines(keepends=True),
            (self.wanted or "").splitlines(keepends=True),
            f"{self.path} (on disk)",
            f"{self.path} (as described)",
        )
        return "".join(line if line.endswith("\n") else line + _NO_BREAK for line in lines)


def text(document: Document, form: str = "yaml") -> str:
    """Return ``document`` as the text of its file; ``form`` is one of ``FORMATS``."""
    # Here: whoever imports this module may end without a single text, as most deploys do.
    from tapgen import yaml_text

    if form == "json":
        return json.dumps(yaml_text.in_reading_order(document), indent=2, ensure_ascii=False) + "\n"
    return yaml_text.dump(document)


def texts(documents: Mapping[str, Document], form: str = "yaml") -> dict[str, str]:
    """Every document's text by file name, ``network.yaml``."""
    return {f"{tier}.{form}": text(document, form) for tier, document in documents.items()}


def stale(wanted: Mapping[str, str], folder: Path, *, whole: bool = True) -> list[Stale]:
    """The files of ``folder`` that differ from ``wanted`` (text by file name), sorted by name.

    ``whole`` says that ``wanted`` is everything, so that other templates there are leftovers.
    Raises ``files.CannotRead``.
    """
    names = set(wanted)
    if whole:
        suffixes = {Path(name).suffix for name in wanted}
        names |= {path.name for path in _listed(folder) if path.suffix in suffixes}
    found = ((name, files.read_text(folder / name)) for name in sorted(names))
    return [
        Stale(folder / name, text, wanted.get(name))
        for name, text in found
        if text != wanted.get(name)
    ]


def write(differing: list[Stale]) -> list[Stale]:
    """Make each file what it should be and return what was written. Leftovers stay: they are named,
    and deleting somebody's file is not a render's business. Raises ``files.CannotWrite``.
    """
    due = [item for item in differing if item.wanted is not None]
    for item in due:
        assert item.wanted is not None
        files.write(item.path, item.wanted.encode())
    return due


def _listed(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if not path.name.startswith(".")]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise files.CannotRead(folder, error) from error


def as_json(value: Any) -> str:
    """``value`` as JSON for machines: one form for every ``--output json``."""
    return json.dumps(value, indent=2, sort_keys=False, ensure_ascii=False)
