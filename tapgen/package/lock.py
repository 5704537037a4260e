"""Reads ``requirements.lock``: which versions, and which files may stand for each.

Only pins are taken, ``name==version`` with hashes, because only they say what will be in the zip:
no ranges, addresses, other files or index options. Markers are refused too: pip judges them for the
Python it runs on, even when told to install for another.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tapgen.package.errors import BadLock, BadSource, MissingLock, UnhashedRequirement

LOCK = "requirements.lock"

_COMMENT = re.compile(r"(^|\s)#.*$")
_PIN = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:\[[^\]]*\])?\s*"
    r"==\s*(?P<version>[A-Za-z0-9][A-Za-z0-9.!+_-]*)(?:\s+(?P<rest>.*))?"
)
# The three that pip calls strong, by the length of their digests in hex.
_HASH_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}


@dataclass(frozen=True, order=True)
class Pin:
    """One locked dependency: normalised ``name``, ``version``, sorted ``hashes`` (``sha256:…``)."""

    name: str
    version: str
    hashes: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name}=={self.version}"

    @property
    def line(self) -> str:
        """The requirement as pip reads it; also what the key is made of."""
        return " ".join([str(self), *(f"--hash={digest}" for digest in self.hashes)])


def read(package: str, path: Path) -> tuple[Pin, ...]:
    """Return the pins of the lock at ``path``, sorted; comments, order and layout do not matter.

    Raises ``MissingLock``, ``BadLock``, ``UnhashedRequirement``, and ``BadSource`` for a lock that
    is not readable text.
    """
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise MissingLock(package, path) from None
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8"
        raise BadSource(package, path, f"cannot be read: {why}", "lock again") from error
    pins: dict[str, Pin] = {}
    for number, line in _requirements(text):
        pin = _pin(path, number, line)
        if pin.name in pins:
            raise BadLock(path, number, str(pin), "is the second line for one name")
        pins[pin.name] = pin
    return tuple(sorted(pins.values()))


def normal_name(name: str) -> str:
    """Return a project's name in the one form that all its spellings share."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _requirements(text: str) -> Iterator[tuple[int, str]]:
    """Give each requirement on one line, with the number of the line it starts on."""
    start, parts = 0, list[str]()
    for number, raw in enumerate(text.splitlines(), start=1):
        line = _COMMENT.sub("", raw).rstrip()
        start = start if parts else number
        parts.append(line.removesuffix("\\").strip())
        if not line.endswith("\\"):
            if joined := " ".join(filter(None, parts)):
                yield start, joined
            parts = []
    if joined := " ".join(filter(None, parts)):
        yield start, joined


def _pin(path: Path, number: int, line: str) -> Pin:
    requirement = line.split(" --hash=")[0]
    if ";" in requirement:
        raise BadLock(path, number, requirement, "depends on the machine that installs it")
    found = _PIN.fullmatch(line)
    if found is None:
        raise BadLock(path, number, requirement, "is not a pinned version (name==version)")
    hashes = (found["rest"] or "").split()
    if not hashes:
        raise UnhashedRequirement(path, number, requirement, "has no hash")
    digests = sorted({_hash(path, number, option) for option in hashes})
    return Pin(normal_name(found["name"]), found["version"], tuple(digests))


def _hash(path: Path, number: int, option: str) -> str:
    digest = option.removeprefix("--hash=")
    algorithm, _, value = digest.partition(":")
    length = _HASH_LENGTHS.get(algorithm)
    if digest == option or length is None or re.fullmatch(f"[0-9a-f]{{{length}}}", value) is None:
        raise BadLock(path, number, option, "is not a sha256, sha384 or sha512 hash")
    return digest
