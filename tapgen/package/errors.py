"""What can go wrong between a Lambda package's folder and its zip; one line each, facts kept.

What pip said is in ``details`` (its last lines), for ``--debug``; the message never quotes it.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path

from tapgen.errors import TapgenError, UsageError

# Resolved for the target: a lock for this machine may miss what the runtime needs.
HOW_TO_LOCK = (
    "write it with `uv pip compile --generate-hashes --python-version 3.12 "
    "--python-platform aarch64-manylinux_2_28 requirements.in -o requirements.lock`"
)


class NoLambdaSources(UsageError):
    """There is no folder of Lambda packages where one was named."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(
            f"{folder} is not a folder that can be listed; run from the project's root"
        )


class UnknownPackage(UsageError):
    """A package was named that has no folder."""

    def __init__(self, package: str, folder: Path, close: Sequence[str]) -> None:
        self.package, self.folder, self.close = package, folder, tuple(close)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        super().__init__(f"{folder} holds no package {package!r}{hint}")


class BadPackageName(TapgenError):
    """A folder's name cannot be a part of keys and parameters."""

    def __init__(self, package: str, folder: Path) -> None:
        self.package, self.folder = package, folder
        super().__init__(
            f"{folder / package}: a package's folder is named in lower-case words joined by "
            "underscores, as in 'video_metadata_api'; rename it"
        )


class MissingLock(TapgenError):
    """A package's folder has no lock, so its dependencies are not known."""

    def __init__(self, package: str, path: Path) -> None:
        self.package, self.path = package, path
        super().__init__(f"{path} is missing, so {package} cannot be packed; {HOW_TO_LOCK}")


class BadLock(TapgenError):
    """A line of the lock that does not pin one version with hashes."""

    def __init__(self, path: Path, line: int, text: str, why: str) -> None:
        self.path, self.line, self.text, self.why = path, line, text, why
        super().__init__(f"{path}:{line}: {text!r} {why}; {HOW_TO_LOCK}")


class UnhashedRequirement(BadLock):
    """A pin without a hash: what it brings could change under the same version."""


class BadSource(TapgenError):
    """A file that cannot be packed."""

    def __init__(self, package: str, path: Path, why: str, then: str) -> None:
        self.package, self.path, self.why = package, path, why
        # A name with a line break would make two lines of one error.
        shown = str(path) if str(path).isprintable() else ascii(str(path))
        super().__init__(f"{package}: {shown} {why}; {then}")


class TooLarge(TapgenError):
    """More than Lambda unpacks. ``largest`` are the biggest top-level parts with their bytes."""

    def __init__(
        self, package: str, unzipped: int, limit: int, largest: Sequence[tuple[str, int]]
    ) -> None:
        self.package, self.unzipped, self.limit = package, unzipped, limit
        self.largest = tuple(largest)
        parts = ", ".join(f"{part} ({size} bytes)" for part, size in largest)
        super().__init__(
            f"{package} is {unzipped} bytes unzipped and Lambda takes at most {limit}; "
            f"the largest parts are {parts}: leave one out"
        )


class CannotWrite(TapgenError):
    """The output folder takes no files."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(f"cannot write {path}: {reason}; {self.then}")

    then = "check the folder's permissions, or name another one"


class DiskFull(CannotWrite):
    """No room for the zip or for what it is made of."""

    then = "make room and run again; what was there before is untouched"


def cannot_write(path: Path, error: OSError) -> CannotWrite:
    """Return ``error``, met below ``path``, as one of the two classes above."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return (DiskFull if full else CannotWrite)(path, error.strerror or str(error))


class DependencyError(TapgenError):
    """A dependency could not be installed. ``requirement`` is as locked, or empty when unknown."""

    def __init__(self, package: str, requirement: str, what: str, details: str) -> None:
        self.package, self.requirement, self.details = package, requirement, details
        super().__init__(f"{package}: {requirement or 'the dependencies'} {what}")


class HashMismatch(DependencyError):
    """What the index gave is not what was locked."""

    def __init__(
        self, package: str, requirement: str, expected: Sequence[str], got: str, details: str
    ) -> None:
        self.expected, self.got = tuple(expected), got
        super().__init__(
            package,
            requirement,
            f"has the hash {got[:12] or 'unknown'}…, which the lock does not list; do not install "
            "it: find out whether the index or the lock is wrong, then lock again",
            details,
        )


class NoSuchDependency(DependencyError):
    """The index answers and has nothing that fits. ``offered`` are the versions that would."""

    def __init__(
        self, package: str, requirement: str, target: str, offered: Sequence[str], details: str
    ) -> None:
        self.target, self.offered = target, tuple(offered)
        others = f" (those on offer end with {offered[-1]})" if offered else ""
        super().__init__(
            package,
            requirement,
            f"is not on the index as a wheel for {target}{others}; lock another version",
            details,
        )


class OnlySource(DependencyError):
    """The index has the version as a source archive alone, which is never built here."""

    def __init__(self, package: str, requirement: str, target: str, details: str) -> None:
        self.target = target
        super().__init__(
            package,
            requirement,
            f"is on the index as a source archive only, with no wheel for {target}; "
            "lock a version that has one",
            details,
        )


class IndexUnreachable(DependencyError):
    """The index did not answer, or not as one."""

    def __init__(self, package: str, requirement: str, details: str) -> None:
        super().__init__(
            package,
            requirement,
            "cannot be had: the package index cannot be reached, or refuses to answer; "
            "check the network and pip's index settings, then run again",
            details,
        )


class NoPip(DependencyError):
    """The Python that runs this has no pip."""

    def __init__(self, package: str, python: str, details: str) -> None:
        self.python = python
        super().__init__(
            package,
            "",
            f"cannot be installed: {python} has no pip; add it with `{python} -m ensurepip`",
            details,
        )
