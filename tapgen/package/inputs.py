"""What a package is made of, and the digest that follows from it without building anything.

The digest is a hash over hashes: each own file by path and sha256, each dependency by the hashes
its lock line admits, the target and the form of the zip. Since pip installs only what those hashes
name, the digest stands for the zip's whole content, and it can be had from a fresh clone without
pip, network or cache. Its price: it speaks of the *admitted* files. A lock line that admits two
wheels that both fit the target leaves the choice to pip, and a builder changed without raising
``FORMAT`` would give other content under one key; a test pins the content of a known package.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tapgen import names
from tapgen.package import lock
from tapgen.package.errors import BadSource
from tapgen.package.lock import LOCK, Pin

# Raise it when the same inputs would make other content; every key changes with it.
FORMAT = 1
PYTHON = "3.12"
# manylinux2014 alone silently holds back projects whose newer wheels ask for glibc 2.28, which the
# runtime (Amazon Linux 2023) has.
PLATFORMS = ("manylinux2014_aarch64", "manylinux_2_28_aarch64")
TARGET = f"Python {PYTHON} on aarch64"

# Hidden files are left out as well: editors' and systems' own, and .env with its secrets.
# openapi.yaml is for readers; nothing that runs needs it.
_LEFT_OUT = ("tests", "__pycache__", "requirements.in", "openapi.yaml", LOCK)
_LEFT_OUT_ENDINGS = (".pyc", ".pyo", "~")


@dataclass(frozen=True, order=True)
class Source:
    """One own file: its ``path`` in the zip, where it lies, its bytes' number and sha256."""

    path: str
    file: Path
    size: int
    sha256: str


@dataclass(frozen=True)
class Inputs:
    """A package's own files and pins, both sorted, and their ``digest`` (64 hex digits)."""

    name: str
    sources: tuple[Source, ...]
    pins: tuple[Pin, ...]
    digest: str

    @property
    def key(self) -> str:
        """The S3 key: ``lambda/video-metadata-api/<digest>.zip``."""
        return f"{names.code_key_prefix(self.name)}{self.digest}.zip"

    @property
    def parameter(self) -> str:
        """The template parameter that takes the key."""
        return names.code_parameter(self.name)


def read(name: str, folder: Path) -> Inputs:
    """Return the inputs of the package in ``folder``.

    Raises what ``lock.read`` raises, and ``BadSource`` for a file that cannot be packed.
    """
    pins = lock.read(name, folder / LOCK)
    sources = tuple(sorted(_sources(name, folder)))
    if not sources:
        raise BadSource(name, folder, "holds no file to pack", "add the function's code")
    files = [f"file {source.sha256} {source.path}" for source in sources]
    return Inputs(name, sources, pins, _digest([*files, *(pin.line for pin in pins)]))


def layer_digest(pins: tuple[Pin, ...]) -> str:
    """Return the digest of the installed dependencies alone."""
    return _digest([pin.line for pin in pins])


def content(source: Source, package: str) -> bytes:
    """Return the file's bytes, or raise ``BadSource`` when they are not those of the digest."""
    try:
        data = source.file.read_bytes()
    except OSError as error:
        raise _unreadable(package, source.file, error) from error
    if hashlib.sha256(data).hexdigest() != source.sha256:
        raise BadSource(package, source.file, "changed while it was packed", "run again")
    return data


def _digest(lines: list[str]) -> str:
    head = f"tapgen package {FORMAT}, {TARGET}, {' '.join(PLATFORMS)}"
    return hashlib.sha256("\n".join([head, *lines, ""]).encode()).hexdigest()


def _sources(package: str, folder: Path, prefix: str = "") -> Iterator[Source]:
    for entry in _listed(package, folder / prefix):
        if entry.name.startswith(".") or entry.name.endswith(_LEFT_OUT_ENDINGS):
            continue
        if entry.name in _LEFT_OUT:
            continue
        path, file = f"{prefix}{entry.name}", Path(entry.path)
        if not path.isprintable():
            raise BadSource(package, file, "has a name that does not print", "rename it")
        if entry.is_symlink():
            _check_link(package, folder, file)
        if entry.is_dir():
            yield from _sources(package, folder, f"{path}/")
        elif entry.is_file():
            yield Source(path, file, *_measured(package, file))
        else:
            raise BadSource(package, file, "is neither a file nor a folder", "remove it")


def _listed(package: str, folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        why = f"cannot be listed: {error.strerror}"
        raise BadSource(package, folder, why, "check its permissions") from error


def _check_link(package: str, folder: Path, link: Path) -> None:
    """Let links to the package's own files through; their content is packed under the link's path.

    Anything else would make the zip depend on what lies beside the folder. A link to a folder may
    lead back to where it stands, without end.
    """
    target = link.resolve()
    if not target.is_relative_to(folder.resolve()):
        why = f"is a link to {target}, outside the package"
        raise BadSource(package, link, why, "copy the file into the package")
    if not target.is_file():
        why = f"is a link to {target}, which is not a file"
        raise BadSource(package, link, why, "remove the link")


def _measured(package: str, file: Path) -> tuple[int, str]:
    """Return size and sha256, without holding in memory what may be a video left there."""
    try:
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
            return opened.tell(), digest
    except OSError as error:
        raise _unreadable(package, file, error) from error


def _unreadable(package: str, file: Path, error: OSError) -> BadSource:
    why = f"cannot be read: {error.strerror}"
    return BadSource(package, file, why, "check its permissions")
