"""Cold import: a new process imports the handler, and another one the three libraries alone.

Both from a folder that holds what the function's package holds, and no site-packages: once as it
is packed, without compiled files, which Python then makes anew in memory at each start, and once
with them. Time is taken inside the process, so that starting Python does not even out the ratio.
"""

from __future__ import annotations

import compileall
import importlib.metadata
import re
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

HANDLER = "import video_api.handler"
# What an API with these three needs at least.
LIBRARIES = (
    "import pg8000.native, redis\n"
    "from aws_lambda_powertools import Logger, Metrics, Tracer\n"
    "from aws_lambda_powertools.event_handler import APIGatewayRestResolver\n"
)
_TIMED = (
    "import sys\n"
    "sys.path.insert(0, sys.argv[1])\n"
    "from time import perf_counter\n"
    "started = perf_counter()\n"
    "{code}\n"
    "print(perf_counter() - started)\n"
)


@dataclass(frozen=True)
class Import:
    """Milliseconds, and the median of the ratios of pairs that ran one after the other."""

    compiled: bool
    handler_ms: float
    libraries_ms: float
    ratio: float


def measure(source: Path, folder: Path, pairs: int, limit: float) -> list[Import]:
    """Both ways, in ``folder``; ``source`` is the function's folder with its lock.

    Each way has as many pairs as fit into ``limit`` seconds, at most ``pairs`` and at least one.
    """
    _unpack(source, folder)
    found = [_paired(folder, pairs, limit, compiled=False)]
    if not compileall.compile_dir(folder, quiet=2):
        raise SystemExit(f"bench: {folder} does not compile")
    return [*found, _paired(folder, pairs, limit, compiled=True)]


def _paired(folder: Path, pairs: int, limit: float, *, compiled: bool) -> Import:
    until = time.monotonic() + limit
    taken = [(_seconds(folder, HANDLER), _seconds(folder, LIBRARIES))]
    while len(taken) < pairs and time.monotonic() < until:
        taken.append((_seconds(folder, HANDLER), _seconds(folder, LIBRARIES)))
    return Import(
        compiled,
        statistics.median(ours for ours, _ in taken) * 1000,
        statistics.median(theirs for _, theirs in taken) * 1000,
        statistics.median(ours / theirs for ours, theirs in taken),
    )


def _seconds(folder: Path, code: str) -> float:
    # Isolated, without site-packages, writing no compiled files: the folder is what there is.
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", _TIMED.format(code=code), str(folder)],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def _unpack(source: Path, folder: Path) -> None:
    """The locked distributions as they are installed here, and the function's own code."""
    lock = (source / "requirements.lock").read_text(encoding="utf-8")
    for name in re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE):
        distribution = importlib.metadata.distribution(name)
        for file in distribution.files or ():
            if ".." in file.parts or file.suffix == ".pyc":
                continue
            target = folder / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(str(distribution.locate_file(file)), target)
    unwanted = shutil.ignore_patterns("__pycache__")
    shutil.copytree(source / "video_api", folder / "video_api", ignore=unwanted)
