"""Has pip install the locked dependencies for the target, and keeps what is worth shipping.

The result, a *layer*, is an archive of its own named after the lock's pins: a change of our own
code calls no pip. pip runs as a subprocess with a requirements file made from the pins that the
digest was made of, so it cannot read the lock otherwise than we did.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tapgen.package import archive, inputs
from tapgen.package.archive import Archive
from tapgen.package.errors import (
    DependencyError,
    DiskFull,
    HashMismatch,
    IndexUnreachable,
    NoPip,
    NoSuchDependency,
    OnlySource,
)
from tapgen.package.lock import Pin, normal_name

STEM = "dependencies"

# How to reach the index is the user's to say; nothing else of pip's settings may touch the content.
_PIP_SETTINGS = (
    "CERT CLIENT_CERT CONFIG_FILE CACHE_DIR DEFAULT_TIMEOUT EXTRA_INDEX_URL FIND_LINKS INDEX_URL "
    "KEYRING_PROVIDER NO_CACHE_DIR NO_INDEX PROXY RETRIES TIMEOUT TRUSTED_HOST USE_FEATURE"
)
_KEPT_ENVIRONMENT = frozenset(f"PIP_{name}" for name in _PIP_SETTINGS.split())
_DETAIL_LINES = 20

# Of a dist-info folder: what is read at run time, and what the licences ask to be passed on.
_KEPT_INFO = re.compile(
    r"(METADATA|entry_points\.txt|licenses/.+|(LICEN[CS]E|COPYING|NOTICE|AUTHORS)[^/]*)",
    re.IGNORECASE,
)

_UNREACHABLE = re.compile(
    # A page that is not found is an answer: the project is on another index, or on none.
    r"Could not fetch URL \S+ (?!404 )|Max retries exceeded|Failed to resolve|Read timed out"
    r"|is not a trusted or secure host|HTTP error 5\d\d"
)
_MISMATCH = re.compile(
    r"DO NOT MATCH THE HASHES.*?^\s+(\S+==\S+?)(?: from .*?)?:$(.*)", re.S | re.M
)
_NO_MATCH = re.compile(r"satisfies the requirement (\S+) \(from versions: ([^)]*)\)")
_COLLECTING = re.compile(r"^Collecting (\S+)", re.M)


def layer(
    package: str, pins: Sequence[Pin], out: Path, work: Path, pip_args: Sequence[str]
) -> Archive:
    """Return the layer of ``pins`` in ``out``, installed in ``work`` unless it is there already.

    ``pip_args`` are added to pip's command line. Raises ``DependencyError`` or a subclass, and
    ``DiskFull`` when pip met one.
    """
    digest = inputs.layer_digest(tuple(pins))
    path = out / f"{STEM}-{digest[:16]}.zip"
    found = archive.load(path, digest)
    if found is not None:
        return found
    installed = work / "installed"
    if pins:
        _install(package, pins, installed, work, pip_args)
    entries = {path: file.read_bytes for path, file in _kept(installed)}
    # Stored: it is read back at each change of our code, and never sent.
    saved = archive.save(path, digest, entries, archive.STORED, work)
    shutil.rmtree(installed, ignore_errors=True)
    return saved


def _install(
    package: str, pins: Sequence[Pin], target: Path, work: Path, pip_args: Sequence[str]
) -> None:
    requirements, log, scratch = work / "requirements.txt", work / "pip.log", work / "pip"
    requirements.write_text("".join(f"{pin.line}\n" for pin in pins))
    scratch.mkdir()
    # -I: a pip.py in the current folder, or one on PYTHONPATH, is not pip.
    command = [sys.executable, "-I", "-m", "pip", "--log", str(log), "--no-input", "--no-color"]
    command += ["--disable-pip-version-check", "install", "--no-user", "--only-binary=:all:"]
    command += [f"--platform={platform}" for platform in inputs.PLATFORMS]
    command += ["--implementation=cp", f"--python-version={inputs.PYTHON}"]
    command += ["--no-deps", "--require-hashes", "--no-compile", "--root-user-action=ignore"]
    command += ["--progress-bar=off", f"--target={target}", f"--requirement={requirements}"]
    done = subprocess.run(
        [*command, *pip_args],
        env=_environment(scratch),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        heard = log.read_text("utf-8", "replace") if log.exists() else ""
        raise _failure(package, pins, target, done.stdout, heard)


def _environment(scratch: Path) -> dict[str, str]:
    """Return this process's environment without pip's settings other than those of the index.

    pip's temporary files go to ``scratch``, so that they are cleared away with the work folder.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PIP_") or name in _KEPT_ENVIRONMENT
    }
    return {**kept, "TMPDIR": str(scratch), "LC_ALL": "C.UTF-8"}


def _kept(installed: Path) -> Iterator[tuple[str, Path]]:
    """Give path and file of what is shipped: no scripts, byte code, or notes of the installer."""
    for folder, _, files in os.walk(installed):
        for name in files:
            file = Path(folder, name)
            path = file.relative_to(installed).as_posix()
            top, _, rest = path.partition("/")
            if top == "bin" or "__pycache__" in path or path.endswith(".pyc"):
                continue
            if top.endswith(".dist-info") and not _KEPT_INFO.fullmatch(rest):
                continue
            yield path, file


def _failure(
    package: str, pins: Sequence[Pin], target: Path, said: str, log: str
) -> DependencyError | DiskFull:
    """Return what pip's words mean; only its log tells of links passed over and pages not got."""
    details = "\n".join(said.strip().splitlines()[-_DETAIL_LINES:])
    if "No module named pip" in said:
        return NoPip(package, sys.executable, details)
    if "No space left on device" in said:
        return DiskFull(target.parent, "No space left on device")
    if found := _MISMATCH.search(said):
        expected = re.findall(r"(?:Expected|or) \w+ ([0-9a-f]{64,})", found[2])
        got = re.search(r"Got\s+([0-9a-f]{64,})", found[2])
        requirement = _locked(pins, found[1])
        return HashMismatch(package, requirement, expected, got[1] if got else "", details)
    missing = _NO_MATCH.search(said)
    requirement = missing[1] if missing else _last_collected(pins, said)
    if _UNREACHABLE.search(said) or _UNREACHABLE.search(log):
        return IndexUnreachable(package, requirement, details)
    if missing is None:
        what = "cannot be installed: pip failed; see what it said with --debug"
        return DependencyError(package, requirement, what, details)
    if _has_source(pins, requirement, log):
        return OnlySource(package, requirement, inputs.TARGET, details)
    offered = [version for version in missing[2].split(", ") if version != "none"]
    return NoSuchDependency(package, requirement, inputs.TARGET, offered, details)


def _locked(pins: Sequence[Pin], said: str) -> str:
    """Return the requirement as it is locked; pip writes the name as the project does."""
    name, _, version = said.partition("==")
    locked = f"{normal_name(name)}=={version}"
    return next((str(pin) for pin in pins if str(pin) == locked), said)


def _last_collected(pins: Sequence[Pin], said: str) -> str:
    found = _COLLECTING.findall(said)
    return _locked(pins, found[-1]) if found else ""


def _has_source(pins: Sequence[Pin], requirement: str, log: str) -> bool:
    """Whether the log passes over a source archive of just this version.

    pip names every source archive that it sees on a page, whatever project it belongs to.
    """
    pin = next((pin for pin in pins if str(pin) == requirement), None)
    if pin is None:
        return False
    stem = re.escape(pin.name).replace(r"\-", "[-_.]+")
    archives = rf"No sources permitted for .*/{stem}-{re.escape(pin.version)}\.(tar|zip|tgz)"
    return re.search(archives, log, re.IGNORECASE) is not None
