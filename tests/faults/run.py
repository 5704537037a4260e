"""Many bad days, and a table of what they had.

    python tests/faults/run.py [--runs N] [--seed S] [--minutes M] [--kind KIND] [--http]

Every run is a seed of a kind, so a failure is repeated by the line that tells it. The exit status
is 1 where anything that must hold did not.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

# Run as a program, only this folder is on the path.
sys.path.insert(1, str(Path(__file__).resolve().parents[2]))
sys.path.insert(1, str(Path(__file__).resolve().parents[1]))

from faults.planning import play_plan
from faults.play import play
from faults.rounds import draw_moving, play_rounds
from faults.scenario import CUTS, draw
from faults.stage import Played

KINDS: dict[str, str] = {
    "plan": "CloudFormation is only asked",
    "deploy": "nothing stands",
    "redeploy": "some of it stands, and changes",
    "found": "somebody left it in other states, or is at work on it",
    "destroy": "all of it is taken down",
    "rivals": "two or three runs at once",
    "rounds": "exports in use leave, change and move",
}
# What runs over real HTTP with ``--http`` beside the others: it takes seconds a run.
HTTP = "http"
COLUMNS = ("throttled", "unavailable", "dropped", "truncated", "lost", "expired", "failures", *CUTS)


@dataclass
class Tally:
    """What the runs of one kind had."""

    kind: str
    runs: int = 0
    calls: int = 0
    struck: Counter[str] = field(default_factory=Counter)
    seeds: list[int] = field(default_factory=list)
    broken: dict[int, str] = field(default_factory=dict)

    def take(self, seed: int, played: Played) -> None:
        """Count one run in."""
        self.calls += played.calls
        for name, count in played.struck.items():
            self.struck[name if name in COLUMNS else "failures"] += count
        if played.cut:
            self.struck[played.cut] += 1

    def row(self) -> list[str]:
        """The line of the table."""
        seeds = f"{min(self.seeds)}-{max(self.seeds)}" if self.seeds else "-"
        counts = [self.runs, self.calls, *(self.struck[name] for name in COLUMNS)]
        return [self.kind, *map(str, counts), seeds, str(len(self.broken))]


def one(kind: str, seed: int) -> Played:
    """Play the bad day of that kind and seed."""
    if kind == "rounds":
        return play_rounds(draw_moving(seed))
    if kind == "plan":
        return play_plan(draw(kind, seed))
    return play(draw(kind, seed))


def many(
    kinds: Sequence[str],
    seeds: Iterable[int],
    *,
    until: Callable[[], bool] = lambda: False,
    act: Callable[[str, int], Played] = one,
) -> list[Tally]:
    """Play a day of each kind for every seed, or until it is enough."""
    tallies = [Tally(kind) for kind in kinds]
    for seed in seeds:
        for tally in tallies:
            if until():
                return tallies
            tally.runs += 1
            tally.seeds.append(seed)
            try:
                tally.take(seed, act(tally.kind, seed))
            except Exception as error:
                tally.broken[seed] = f"{type(error).__name__}: {error}"
    return tallies


def table(tallies: Sequence[Tally]) -> str:
    """The figures, and a line for each failure that repeats it."""
    head = ["kind", "runs", "calls", *COLUMNS, "seeds", "broken"]
    rows = [head, *(tally.row() for tally in tallies)]
    if len(tallies) > 1:
        rows.append(_total(rows[1:]))
    widths = [max(len(row[place]) for row in rows) for place in range(len(head))]
    lines = [
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    for tally in tallies:
        for seed, told in tally.broken.items():
            lines.append(f"\n{tally.kind} {seed}: {told}")
            again = f"--kind {tally.kind} --seed {seed} --runs 1"
            lines.append(f"  again: python tests/faults/run.py {again}")
    return "\n".join(lines)


def _total(rows: Sequence[Sequence[str]]) -> list[str]:
    """The sums of the columns that are numbers."""
    sums = [str(sum(map(int, column))) for column in zip(*(row[1:-2] for row in rows), strict=True)]
    return ["all", *sums, "", str(sum(int(row[-1]) for row in rows))]


def main(arguments: Sequence[str] | None = None) -> int:
    """Play, print the table, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100, help="of each kind (default 100)")
    parser.add_argument("--seed", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--minutes", type=float, help="stop after so long, whatever --runs says")
    parser.add_argument(
        "--kind", action="append", choices=[*sorted(KINDS), HTTP], help="only this kind"
    )
    parser.add_argument("--http", action="store_true", help="a tenth as many over HTTP as well")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    if options.minutes is None:
        seeds: Iterable[int] = range(options.seed, options.seed + options.runs)
    else:
        seeds = itertools.count(options.seed)
    kinds = [kind for kind in options.kind or KINDS if kind != HTTP]
    tallies = many(
        kinds,
        seeds if kinds else (),
        until=lambda: (
            options.minutes is not None and time.monotonic() - began > options.minutes * 60
        ),
    )
    if options.http or HTTP in (options.kind or ()):
        runs = options.runs if not kinds else max(options.runs // 10, 1)
        tallies += _over_http(range(options.seed, options.seed + runs))
    sys.stdout.write(f"{table(tallies)}\n\n{time.monotonic() - began:.0f} s\n")
    return 1 if any(tally.broken for tally in tallies) else 0


def _over_http(seeds: Iterable[int]) -> list[Tally]:
    # It needs the extra [local]; the others need nothing that runs.
    from faults.over_http import play_http, served

    with served() as aws:
        return many([HTTP], seeds, act=lambda kind, seed: play_http(aws, seed))


if __name__ == "__main__":
    sys.exit(main())
