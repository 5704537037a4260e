"""What would change from templates that were rendered before: two sets of files, and nobody asked.

The same comparison as a plan's, and the same report, without an account: what runs may be another
thing than the templates say. Values that stacks hand each other are known by name only.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tapgen import diff, files, yaml_text
from tapgen.diff.findings import findings
from tapgen.diff.moves import Side
from tapgen.digest import digest_of, sealed
from tapgen.engine.plan import Action, Step, Wanted
from tapgen.engine.review import Review, Reviewed, Source
from tapgen.errors import UsageError
from tapgen.resolve import Document

# A repository on a slow disk still answers in a second.
GIT_SECONDS = 30.0


class NothingThere(UsageError):
    """What is to be compared with cannot be found or read."""

    def __init__(self, against: str, why: str) -> None:
        self.against, self.why = against, why
        super().__init__(f"cannot compare with {against!r}: {why}")


def templates(against: str, folder: Path) -> dict[str, Document]:
    """The templates by tier: of a folder, or of ``folder`` as a git revision has it.

    Raises ``NothingThere`` and ``files.CannotRead``.
    """
    path = Path(against)
    texts = _of_folder(path) if path.is_dir() else _of_revision(against, folder)
    if not texts:
        raise NothingThere(against, "there is no template in it")
    return {tier: _document(against, tier, text) for tier, text in sorted(texts.items())}


def review(wanted: Sequence[Wanted], before: Mapping[str, Document]) -> Review:
    """Compare ``wanted`` (in dependency order) with the templates of ``before``, by tier."""
    coming: dict[str, Any] = {}
    reviewed = []
    for item in wanted:
        old = before.get(item.tier)
        request = item.request
        given = {} if old is None else _declared(old, request.parameters)
        changes = diff.compare(
            item.name,
            None if old is None else Side(old, given, request.tags),
            Side(item.document, request.parameters, request.tags, coming),
        )
        coming = diff.exported(coming, changes)
        found = findings(changes) if changes.before else ()
        reviewed.append(Reviewed(item, _step(item, old, changes), changes, Source.OFFLINE, found))
    return Review(tuple(reviewed), (), {})


def _step(item: Wanted, old: Document | None, changes: diff.StackChanges) -> Step:
    if old is None:
        return Step(item.tier, item.name, Action.CREATE, "not rendered before")
    # Anew, of what is written: the digest in a file that somebody edited is an old one.
    then, now = (digest_of(sealed(each)) for each in (old, item.document))
    if changes.is_empty or then == now:
        return Step(item.tier, item.name, Action.KEEP, "unchanged")
    return Step(item.tier, item.name, Action.UPDATE, "template")


def _declared(document: Document, parameters: Mapping[str, str]) -> dict[str, str]:
    """The parameters that ``document`` has: today's value, else its default."""
    declared = document.get("Parameters", {})
    defaults = {
        name: str(declared[name]["Default"]) for name in declared if "Default" in declared[name]
    }
    return {**defaults, **{n: value for n, value in parameters.items() if n in declared}}


def _of_folder(folder: Path) -> dict[str, str]:
    found = {}
    for path in folder.glob("*.yaml"):
        text = files.read_text(path)
        if text is not None:
            found[path.stem] = text
    return found


def _of_revision(revision: str, folder: Path) -> dict[str, str]:
    inside = _git(
        revision, folder.parent, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}"
    )
    if inside is None:
        raise NothingThere(revision, "it is no folder, and no revision of a git repository here")
    listed = _git(revision, folder.parent, "ls-tree", "--name-only", revision, f"{folder.name}/")
    found = {}
    for name in (listed or "").splitlines():
        if name.endswith(".yaml"):
            text = _git(revision, folder.parent, "show", f"{revision}:./{name}")
            found[Path(name).stem] = text or ""
    return found


def _git(revision: str, place: Path, *arguments: str) -> str | None:
    """What git prints; None where it says no. A revision is never taken for an option."""
    if revision.startswith("-"):
        return None
    try:
        told = subprocess.run(
            ["git", *arguments], cwd=place, capture_output=True, timeout=GIT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return told.stdout.decode("utf-8", "replace") if told.returncode == 0 else None


def _document(against: str, tier: str, text: str) -> Document:
    try:
        found = yaml_text.load(text)
    except yaml.YAMLError as error:
        raise NothingThere(against, f"{tier}.yaml is not YAML") from error
    if not isinstance(found, dict) or not isinstance(found.get("Resources", {}), dict):
        raise NothingThere(against, f"{tier}.yaml is no template")
    return found
