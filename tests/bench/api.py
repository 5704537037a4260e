"""How fast the metadata API is, as ratios of a bare SELECT over a connection of the same kind.

Real servers over TLS on this machine; the handler called in its own process, and through the local
gateway in AWS's runtime client. A machine's speed changes from minute to minute, so kinds of
requests take turns in short blocks, and the median of the ratios of one turn is what counts;
milliseconds are for orientation. Nothing is asserted about time. A wrong answer ends the run, and
so does a query that is no index scan at the last size.

    python tests/bench/api.py [--quick]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(1, str(Path(__file__).resolve().parents[1] / "lambda_src"))
sys.path.insert(1, str(Path(__file__).resolve().parents[2] / "lambda_src" / "video_metadata_api"))

import bench_imports
import bench_load
import bench_parts
from bench_load import Block, Material, Worker

SOURCE = Path(__file__).resolve().parents[2] / "lambda_src" / "video_metadata_api"
CLIENTS = 4
# By what they are called in the table, in its order.
REQUESTS = {
    "GET one, from Redis": "one, again",
    "GET one, from PostgreSQL": "one",
    "GET list of 20, from Redis": "page, again",
    "GET list of 20, from PostgreSQL": "page",
    "POST": "create",
}
LATE_PAGE = 1_000
# More than are asked for: each is from PostgreSQL once, and then from Redis.
IDS = 40_000
PAGE = 20
GROWTH = {
    "GET one": "one, in turn",
    "list, page 1": "page, again",
    "list, late page": "late",
    "list by a rare status": "failed",
}


@dataclass(frozen=True)
class Effort:
    """How much is measured: turns, seconds a block, pairs of imports, and sizes of the table.

    A part that took ``limit`` seconds has had its turns, so that a busy machine ends as well.
    """

    turns: int
    seconds: float
    imports: int
    limit: float
    sizes: tuple[int, int]


FULL = Effort(turns=9, seconds=0.15, imports=5, limit=10.0, sizes=(1_000, 1_000_000))
QUICK = Effort(turns=3, seconds=0.05, imports=1, limit=2.0, sizes=(1_000, 50_000))


@dataclass(frozen=True)
class Measured:
    """One kind of request: its blocks as one, and its ratio to the bare SELECT."""

    blocks: tuple[Block, ...]
    ratio: float

    @property
    def block(self) -> Block:
        """All blocks as one."""
        return bench_load.together(self.blocks)


@dataclass(frozen=True)
class Size:
    """A table of so many rows: what its reads cost, and how PostgreSQL does them."""

    rows: int
    reads: Mapping[str, Measured]
    plans: Mapping[str, bench_parts.Plan]


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer turns on a smaller table")
    effort = QUICK if parser.parse_args().quick else FULL
    for name in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH"):
        os.environ.pop(name, None)
    started = time.monotonic()
    say(f"metadata API on {os.cpu_count()} processors, Python {sys.version.split()[0]}")
    with tempfile.TemporaryDirectory() as folder:
        print_imports(bench_imports.measure(SOURCE, Path(folder), effort.imports, effort.limit))
    with bench_parts.running() as parts:
        small, large = (grown(parts, rows, effort) for rows in effort.sizes)
        bench_parts.check(large.plans, large.rows)
        print_growth(small, large)
        with gateway(parts.environ) as place:
            loaded(parts, place, effort)
    say(f"\n{time.monotonic() - started:.0f} s; load average {os.getloadavg()[0]:.1f}")
    if os.getloadavg()[0] > 2 * (os.cpu_count() or 1):
        say("others kept this machine busy: little can be read from milliseconds")


def loaded(parts: bench_parts.Parts, place: dict[str, Any], effort: Effort) -> None:
    """Requests by the handler in its process, and through the gateway by one client and more."""
    rows = effort.sizes[1]
    ids = parts.ids(IDS)
    share = len(ids) // CLIENTS
    material = Material(parts.environ, place, (), rows, {})
    materials = [replace(material, ids=ids[n * share : (n + 1) * share]) for n in range(CLIENTS)]
    with bench_load.workers(materials) as clients:
        for title, used, target in (
            ("handler, called in its process", clients[:1], "handler"),
            ("gateway and awslambdaric, 1 client", clients[:1], "gateway"),
            (f"gateway and awslambdaric, {CLIENTS} clients", clients, "gateway"),
        ):
            found = in_turns(used, target, REQUESTS, effort)
            print_requests(title, found)


def grown(parts: bench_parts.Parts, rows: int, effort: Effort) -> Size:
    """What reads cost at a size, straight from PostgreSQL."""
    parts.fill(rows)
    # The place after which the late page begins; in a small table, its last page.
    before = min(LATE_PAGE - 1, rows // PAGE - 1) * PAGE
    place = parts.position(before)
    cursors = {"late": bench_parts.cursor(place)}
    material = Material(parts.environ, {}, parts.ids(IDS), rows, cursors)
    with bench_load.workers([material]) as clients:
        reads = in_turns(clients, "handler without cache", GROWTH, effort)
    return Size(rows, reads, bench_parts.plans(place))


def in_turns(
    clients: Sequence[Worker], target: str, requests: Mapping[str, str], effort: Effort
) -> dict[str, Measured]:
    """Each kind of request and the bare SELECT in turn, as often as ``effort`` says."""
    floors: list[Block] = []
    blocks: dict[str, list[Block]] = {name: [] for name in requests}
    until = time.monotonic() + effort.limit
    for turn in range(effort.turns):
        if turn and time.monotonic() > until:
            break
        floors.append(bench_load.block(clients, "select", "select", effort.seconds))
        for name, operation in requests.items():
            blocks[name].append(bench_load.block(clients, target, operation, effort.seconds))
    kinds = {"bare SELECT": floors, **blocks}
    return {name: Measured(tuple(of), ratio(of, floors)) for name, of in kinds.items()}


def ratio(blocks: Sequence[Block], floors: Sequence[Block]) -> float:
    """The median of the ratios of one turn's medians."""
    pairs = zip(blocks, floors, strict=True)
    return statistics.median(block.median / floor.median for block, floor in pairs)


@contextmanager
def gateway(environ: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """The local gateway in a process of its own; yields where it is."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("bench_gateway.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(dict(environ)) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise SystemExit("bench: the gateway did not start")
        place: dict[str, Any] = json.loads(line)
        yield place
    finally:
        process.stdin.close()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def print_imports(found: Sequence[bench_imports.Import]) -> None:
    """The cold import of the handler against that of its libraries."""
    say(f"\n{'cold import':34}{'ratio':>7}{'handler ms':>12}{'libraries ms':>14}")
    for each in found:
        name = "with compiled files" if each.compiled else "as packed, nothing compiled"
        say(f"{name:34}{each.ratio:>7.2f}{each.handler_ms:>12.0f}{each.libraries_ms:>14.0f}")


def print_growth(small: Size, large: Size) -> None:
    """Ratios to the bare SELECT at both sizes and their growth; blocks that PostgreSQL looks at."""
    say(f"\n{'from PostgreSQL, x bare SELECT, rows:':38}{small.rows:>8,}{large.rows:>11,}  growth")
    for name in GROWTH:
        before, after = small.reads[name].ratio, large.reads[name].ratio
        say(f"{name:38}{before:>8.2f}{after:>11.2f}{after / before:>8.2f}")
    page, late = large.reads["list, page 1"], large.reads["list, late page"]
    number = min(LATE_PAGE, large.rows // PAGE)
    say(f"{f'page {number:,} : page 1':38}{ratio(late.blocks, page.blocks):>19.2f}")
    say(f"\n{'blocks of 8 KiB looked at, rows:':38}{small.rows:>8,}{large.rows:>11,}")
    for name, plan in large.plans.items():
        say(f"{name:38}{small.plans[name].blocks:>8}{plan.blocks:>11}")
    say(f"all {len(large.plans)} are index scans without a sort at {large.rows:,} rows")


def print_requests(title: str, found: Mapping[str, Measured]) -> None:
    """Ratio, requests per second, median and 99th percentile of each kind.

    The last column is the client's processor time: in its own process that is the handler's, and
    moves less than the rest when the machine is busy.
    """
    say(f"\n{title:38}{'ratio':>8}{'req/s':>9}{'median ms':>11}{'99 % ms':>9}{'CPU ms':>8}")
    for name, each in found.items():
        block = each.block
        say(
            f"{name:38}{each.ratio:>8.2f}{block.per_second:>9.0f}"
            f"{block.median * 1000:>11.2f}{block.percentile_99 * 1000:>9.2f}"
            f"{block.processor * 1000:>8.2f}"
        )


def say(line: str) -> None:
    """A line of the result, at once."""
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
