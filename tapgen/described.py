"""What the code describes, kept from the last time: for commands whose first answer is that nothing
has changed.

Describing takes longer than asking AWS. What is kept holds for exactly the sources it was made
from: a digest of every file that describing reads, of the versions of the libraries and of Python
stands beside it, and anything else is described anew. ``render``, ``validate`` and everything that
shows what the code says today always describe.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from tapgen import files, places
from tapgen.description import Description
from tapgen.scope import Scope

PACKAGE = Path(__file__).resolve().parent
# Whose versions decide what a template looks like.
LIBRARIES = ("troposphere", "awacs")


def sources() -> list[Path]:
    """Every file that describing reads: the modules of the package's top, the tiers, the API's
    contract.
    """
    modules = [*PACKAGE.glob("*.py"), *(PACKAGE / "tiers").glob("*.py")]
    return [*sorted(modules), places.LAMBDA_SOURCE / places.API_CONTRACT]


def fingerprint() -> str:
    """A digest of all that the description follows from. Raises ``OSError``."""
    found = hashlib.sha256(sys.version.encode())
    paths = sources()
    for line in (*_versions(), *map(str, paths)):
        found.update(f"{line}\n".encode())
    for path in paths:
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


def kept(path: Path, describe: Callable[[], Description]) -> Description:
    """The description: the one kept at ``path`` where its sources are today's, else a new one,
    kept for next time. No harm where it cannot be.
    """
    try:
        wanted = fingerprint()
    except OSError:
        return describe()
    found = _read(path, wanted)
    if found is None:
        found = describe()
        with suppress(files.CannotWrite):
            files.write(path, json.dumps({"of": wanted, **_plain(found)}).encode())
    return found


def _versions() -> Iterator[str]:
    """The folders in which pip keeps what it knows of a library; their names hold the version."""
    for library in LIBRARIES:
        spec = find_spec(library)
        if spec is None or spec.origin is None:
            continue
        folder = Path(spec.origin).parent
        yield str(folder)
        yield from sorted(item.name for item in folder.parent.glob(f"{library}-*.dist-info"))


def _plain(description: Description) -> dict[str, object]:
    return {
        "documents": dict(description.documents),
        "scopes": {tier: scope.value for tier, scope in description.scopes.items()},
        "sources": {tier: dict(made) for tier, made in description.sources.items()},
    }


def _read(path: Path, wanted: str) -> Description | None:
    try:
        found = json.loads(path.read_bytes())
        if found["of"] != wanted:
            return None
        scopes = {tier: Scope(value) for tier, value in found["scopes"].items()}
        return Description(found["documents"], scopes, found["sources"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
