"""Turns each folder of ``lambda_src/`` into a zip that Lambda takes, named by what it is made of.

A package is a folder with a ``requirements.lock``. Its key follows from its inputs alone, so a
caller can compare keys before anything is built; ``inputs`` says what that rests on. Zips lie in
the output folder as ``<name>-<digest>.zip``: one that is being sent is never replaced by another
tree's. Uploading them is for the engine.
"""

from __future__ import annotations

import contextlib
import difflib
import fcntl
import re
import shutil
import signal
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType

from tapgen.package import archive, dependencies
from tapgen.package.archive import Archive
from tapgen.package.errors import (
    BadPackageName,
    BadSource,
    MissingLock,
    NoLambdaSources,
    TooLarge,
    UnknownPackage,
    cannot_write,
)
from tapgen.package.inputs import Inputs, content
from tapgen.package.inputs import read as _read
from tapgen.package.lock import LOCK

__all__ = [
    "Inputs",
    "Package",
    "build",
    "describe_inputs",
    "discover",
    "inputs_digest",
    "inputs_of",
    "listing",
]

# What Lambda unpacks at most, layers included: 250 MB, counted as 262144000 bytes.
LIMIT = 250 * 1024 * 1024
# Built zips kept per package, so that going back and forth between branches builds nothing.
KEPT = 5

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_WORK = ".work-"


@dataclass(frozen=True)
class Package:
    """A zip ready to be sent to ``key``; ``parameter`` takes that key in the template.

    ``digest`` is of the inputs and names the key; ``content`` is the sha256 over the packed files,
    for whoever wants to compare two builds; ``rebuilt`` tells whether this call made the zip.
    """

    name: str
    path: Path
    digest: str
    key: str
    parameter: str
    size: int
    rebuilt: bool
    files: int
    unzipped: int
    content: str


def discover(lambda_src: Path) -> tuple[str, ...]:
    """Return the names of the packages in ``lambda_src``, sorted.

    Raises ``NoLambdaSources``, ``BadPackageName``, and ``MissingLock`` for a folder that has a
    ``requirements.in`` and was not locked yet.
    """
    try:
        folders = sorted(path for path in lambda_src.iterdir() if path.is_dir())
    except OSError as error:
        raise NoLambdaSources(lambda_src) from error
    found = []
    for folder in folders:
        if (folder / LOCK).exists():
            if _NAME.fullmatch(folder.name) is None:
                raise BadPackageName(folder.name, lambda_src)
            found.append(folder.name)
        elif (folder / "requirements.in").exists():
            raise MissingLock(folder.name, folder / LOCK)
    return tuple(found)


def inputs_of(name: str, lambda_src: Path) -> Inputs:
    """Return what the package's zip would be made of, its digest and key; nothing is built.

    Raises ``UnknownPackage``, ``BadPackageName``, ``MissingLock``, ``BadLock`` or ``BadSource``.
    """
    if _NAME.fullmatch(name) is None:
        raise BadPackageName(name, lambda_src)
    if not (lambda_src / name).is_dir():
        close = difflib.get_close_matches(name, discover(lambda_src), 1)
        raise UnknownPackage(name, lambda_src, close)
    return _read(name, lambda_src / name)


def inputs_digest(name: str, lambda_src: Path) -> str:
    """Return the digest that names the package's key; see ``inputs_of``."""
    return inputs_of(name, lambda_src).digest


def build(name: str, lambda_src: Path, out: Path, *, pip_args: Sequence[str] = ()) -> Package:
    """Return the package's zip in ``out``, made now unless it is there from the same inputs.

    ``pip_args`` go to pip, which runs only when the locked dependencies are not in ``out`` yet.
    Safe beside other builds: they wait for each other, and a zip appears whole under a name of its
    own. An interrupt, or a failure of any kind, leaves what was there and no half-done files.
    Raises what ``inputs_of`` raises, ``DependencyError`` and its kinds, ``TooLarge``,
    ``CannotWrite`` and ``DiskFull``.
    """
    wanted = inputs_of(name, lambda_src)
    path = out / f"{name}-{wanted.digest[:16]}.zip"
    found = archive.load(path, wanted.digest)
    if found is not None:
        return _package(wanted, found, rebuilt=False)
    try:
        with _terminable(), _workshop(out) as work:
            # Another build may have made it while this one waited for its turn.
            found = archive.load(path, wanted.digest)
            made = found or _pack(wanted, path, work, pip_args)
    except OSError as error:
        raise cannot_write(out, error) from error
    return _package(wanted, made, rebuilt=found is None)


def describe_inputs(inputs: Inputs) -> str:
    """Return a page on what goes into the package: key, own files with sizes, pins."""
    lines = [f"{inputs.name}: {inputs.key}"]
    lines += [f"  {source.path}  {source.size} bytes" for source in inputs.sources]
    lines += [f"  {pin}" for pin in inputs.pins]
    return "\n".join(lines)


def listing(packages: Sequence[Package]) -> str:
    """Return one line a package: name, files, sizes, key, and whether it was built."""
    rows = [
        (
            package.name,
            f"{package.files} files",
            f"{package.size / 1e6:.1f} MB ({package.unzipped / 1e6:.1f} unzipped)",
            package.key,
            "built" if package.rebuilt else "unchanged",
        )
        for package in packages
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _package(wanted: Inputs, made: Archive, *, rebuilt: bool) -> Package:
    return Package(
        name=wanted.name,
        path=made.path,
        digest=wanted.digest,
        key=wanted.key,
        parameter=wanted.parameter,
        size=made.size,
        rebuilt=rebuilt,
        files=made.files,
        unzipped=made.unzipped,
        content=made.content,
    )


def _pack(wanted: Inputs, path: Path, work: Path, pip_args: Sequence[str]) -> Archive:
    # Before pip is asked for anything.
    _check_size(wanted.name, {source.path: source.size for source in wanted.sources})
    out = path.parent
    layer = dependencies.layer(wanted.name, wanted.pins, out, work, pip_args)
    with zipfile.ZipFile(layer.path) as installed:
        sizes = {entry.filename: entry.file_size for entry in installed.infolist()}
        _check_shadows(wanted, sizes)
        sizes.update({source.path: source.size for source in wanted.sources})
        _check_size(wanted.name, sizes)
        entries: dict[str, Callable[[], bytes]] = {
            entry: partial(installed.read, entry) for entry in installed.namelist()
        }
        for source in wanted.sources:
            entries[source.path] = partial(content, source, wanted.name)
        made = archive.save(path, wanted.digest, entries, archive.DEFLATED, work)
    archive.prune(out, wanted.name, KEPT)
    archive.prune(out, dependencies.STEM, KEPT)
    return made


def _check_shadows(wanted: Inputs, installed: Mapping[str, int]) -> None:
    """Refuse an own module that a dependency's of the same name would hide, or the reverse."""
    theirs = {_top(path).removesuffix(".py") for path in installed}
    for source in wanted.sources:
        if _top(source.path).removesuffix(".py") in theirs:
            why = "has the name of a module that a dependency brings"
            raise BadSource(wanted.name, source.file, why, "rename it")


def _check_size(package: str, sizes: Mapping[str, int]) -> None:
    unzipped = sum(sizes.values())
    if unzipped <= LIMIT:
        return
    parts: dict[str, int] = {}
    for path, size in sizes.items():
        parts[_top(path)] = parts.get(_top(path), 0) + size
    largest = sorted(parts.items(), key=lambda part: (-part[1], part[0]))[:3]
    raise TooLarge(package, unzipped, LIMIT, largest)


def _top(path: str) -> str:
    return path.partition("/")[0]


@contextlib.contextmanager
def _workshop(out: Path) -> Iterator[Path]:
    """Give a folder to work in below ``out``, to one build at a time; it goes away afterwards.

    The lock ends with its process, however that ends; a work folder that is there once the lock is
    held was left by a process that was killed, and is removed.
    """
    out.mkdir(parents=True, exist_ok=True)
    with (out / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for leftover in out.glob(f"{_WORK}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        work = Path(tempfile.mkdtemp(prefix=_WORK, dir=out))
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM unwind the build, where by default it would end the process on the spot.

    A handler that the program has set stays; so does everything outside the main thread, where
    none can be set.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _exit(number: int, _frame: FrameType | None) -> None:
    # The status that a shell reports for a process ended by this signal.
    raise SystemExit(128 + number)
