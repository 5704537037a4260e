"""Zips that are the same bytes each time, and come into being whole or not at all.

A zip has a manifest beside it, ``x.zip`` and ``x.json``; only a pair that agrees counts, so what a
crash or a hand left half done is made again. Bytes are equal for one build of zlib; another may
compress otherwise, which is why no key is made of them.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

DEFLATED = zipfile.ZIP_DEFLATED
STORED = zipfile.ZIP_STORED

# The earliest moment that a zip can hold.
_EPOCH = (1980, 1, 1, 0, 0, 0)
_REGULAR_0644 = 0o100644 << 16
_UNIX = 3
_LEVEL = 9


@dataclass(frozen=True)
class Archive:
    """A finished zip.

    ``inputs`` is the digest of what it was made from, ``content`` the sha256 over its sorted
    (path, sha256) pairs, ``sha256`` and ``size`` those of the zip file, ``unzipped`` the bytes in
    its ``files``.
    """

    path: Path
    inputs: str
    content: str
    sha256: str
    size: int
    files: int
    unzipped: int


def load(path: Path, inputs: str) -> Archive | None:
    """Return the archive at ``path``, or None unless it is whole and made from ``inputs``."""
    try:
        manifest = json.loads(_manifest(path).read_bytes())
        data = path.read_bytes()
        archive = Archive(path=path, **manifest)
    except (OSError, ValueError, TypeError):
        return None
    measured = (inputs, hashlib.sha256(data).hexdigest(), len(data))
    claimed = (archive.inputs, archive.sha256, archive.size)
    counts = (archive.files, archive.unzipped)
    sound = all(isinstance(count, int) for count in counts) and isinstance(archive.content, str)
    return archive if sound and claimed == measured else None


def save(
    path: Path, inputs: str, entries: Mapping[str, Callable[[], bytes]], method: int, work: Path
) -> Archive:
    """Write ``entries``, which give each path's bytes, to ``path``, and the manifest beside it.

    ``work`` is an empty place on the same file system. Whatever is raised on the way, by an entry
    or as an OSError, ``path`` is as it was.
    """
    draft = work / path.name
    content, unzipped = hashlib.sha256(), 0
    with draft.open("xb") as file:
        with zipfile.ZipFile(file, "w") as target:
            for name in sorted(entries):
                data = entries[name]()
                target.writestr(_header(name), data, method, _LEVEL)
                content.update(f"{hashlib.sha256(data).hexdigest()} {name}\n".encode())
                unzipped += len(data)
        _settle(file.fileno())
    data = draft.read_bytes()
    archive = Archive(
        path=path,
        inputs=inputs,
        content=content.hexdigest(),
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
        files=len(entries),
        unzipped=unzipped,
    )
    os.replace(draft, path)
    _save_manifest(archive, work)
    return archive


def prune(folder: Path, stem: str, keep: int) -> None:
    """Remove all but the ``keep`` newest archives ``<stem>-<digest>.zip``, manifests with them."""
    zips = sorted(folder.glob(f"{stem}-*.zip"), key=lambda path: path.stat().st_mtime_ns)
    for path in zips[:-keep]:
        _manifest(path).unlink(missing_ok=True)
        path.unlink()


def _header(name: str) -> zipfile.ZipInfo:
    header = zipfile.ZipInfo(name, _EPOCH)
    header.create_system = _UNIX
    header.external_attr = _REGULAR_0644
    return header


def _save_manifest(archive: Archive, work: Path) -> None:
    facts = asdict(archive)
    del facts["path"]
    target = _manifest(archive.path)
    draft = work / target.name
    with draft.open("x") as file:
        json.dump(facts, file, indent=2)
        file.write("\n")
        file.flush()
        _settle(file.fileno())
    os.replace(draft, target)


def _manifest(path: Path) -> Path:
    return path.with_suffix(".json")


def _settle(descriptor: int) -> None:
    """Have the bytes on disk before the name points to them; a full disk may say so only now."""
    os.fsync(descriptor)
