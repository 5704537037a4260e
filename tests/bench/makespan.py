"""How long a first deploy of the real tiers takes, against the shortest that AWS would allow.

On the twin with its virtual clock: real templates, the real scheduler, the real asking and waiting,
typical times of AWS for what is slow to make. The critical path is what AWS itself takes (change
sets, resources in the order of their dependencies) along the longest chain of stacks; what a run
takes beyond it was lost by the deployer.

    python tests/bench/makespan.py
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from twin.region import Region
from twin.stage import REAL, Stage

from tapgen import graph
from tapgen.engine import durations, rounds, schedule
from tapgen.engine.rollout import Rollout
from tapgen.resolve import Document

PACKAGES = Path(".tapgen") / "packages"
# Seconds from the beginning of a resource to its end: the usual range, and its middle.
RANGES = {
    "AWS::RDS::DBInstance": (900.0, 1200.0, 1500.0),
    "AWS::ElastiCache::ReplicationGroup": (600.0, 750.0, 900.0),
    "AWS::EC2::NatGateway": (120.0, 150.0, 180.0),
    "AWS::EC2::VPCEndpoint": (60.0, 90.0, 150.0),
    "AWS::EFS::MountTarget": (60.0, 90.0, 150.0),
    "AWS::Lambda::Function": (10.0, 30.0, 60.0),
}
COLUMNS = ("quick", "usual", "slow")


@dataclass(frozen=True)
class Measured:
    """One run: seconds on the virtual clock, and the calls of its whole length."""

    makespan: float
    critical: float
    chain: tuple[str, ...]
    reads: int

    @property
    def ratio(self) -> float:
        """How much longer than the critical path; 1 is the best there is."""
        return self.makespan / self.critical

    @property
    def calls_a_second(self) -> float:
        """Calls to CloudFormation, on average."""
        return self.reads / self.makespan


def times(column: int) -> dict[str, float]:
    """Seconds by resource type."""
    return {kind: values[column] for kind, values in RANGES.items()}


def measured(seconds: Mapping[str, float], concurrency: int = 4) -> Measured:
    """Deploy everything into an empty account and look at what the twin wrote down."""
    stage = Stage()
    stage.region.durations.update(seconds)
    stage.concurrency = concurrency
    planned = stage.prepare(PACKAGES)
    expected = durations.Durations().expected(planned.steps(), planned.wanted)
    began, before = stage.region.clock.now(), len(stage.region.calls)
    run = replace(stage.run(), expected=expected)
    with closing(rounds.carry_out(stage.session, planned, run)) as events:  # type: ignore[type-var]
        for _ in events:
            pass
    makespan = stage.region.clock.now() - began
    own = {item.name: taken_by_aws(stage.region, item.name) for item in planned.wanted}
    ways = schedule.longest_ways(needs(planned), own)
    calls = [c for c in stage.region.calls[before:] if c.service == "cloudformation"]
    return Measured(makespan, max(ways.values()), tuple(chain(ways, needs(planned))), len(calls))


def needs(planned: Rollout) -> dict[str, frozenset[str]]:
    """By stack, the stacks that it imports from."""
    name_of = {item.tier: item.name for item in planned.wanted}
    return {
        item.name: frozenset(name_of[tier] for tier in planned.producers[item.tier])
        for item in planned.wanted
    }


def taken_by_aws(region: Region, name: str) -> float:
    """Seconds for the change set and the operation of a stack that was created."""
    stack = region.live(name)
    assert stack is not None, name
    own = [event for event in stack.events if event.physical_id == stack.id]
    (began,) = (event.time for event in own if event.status == "CREATE_IN_PROGRESS")
    (ended,) = (event.time for event in own if event.status == "CREATE_COMPLETE")
    return region.change_set_seconds + (ended - began).total_seconds()


def chain(ways: Mapping[str, float], needs: Mapping[str, frozenset[str]]) -> Iterator[str]:
    """The stacks of the critical path, first to last."""
    last: str | None = None
    while True:
        due = [name for name in ways if (last in needs[name] if last else not needs[name])]
        if not due:
            return
        last = max(due, key=ways.__getitem__)
        yield last


def ideal(seconds: Mapping[str, float], *, split: bool) -> float:
    """Seconds to the end if nothing took time but resources: each begins when what it refers to
    stands, and an import when its producer's whole stack is done, or (``split``) as soon as the
    resources behind that export are: what the finest possible split of the tiers would allow.
    """
    documents = REAL.documents
    exported = {export.name: export for export in graph.exports(documents)}
    ends: dict[tuple[str, str], float] = {}
    done: dict[str, float] = {}
    for tier in graph.order(documents):
        document = documents[tier]
        resources = document["Resources"]
        for name in in_order(document):
            begins = [ends[tier, other] for other in used_by(document, resources[name])]
            for import_name in graph.import_names(resources[name], document, tier, name):
                export = exported[import_name]
                output = documents[export.stack]["Outputs"][export.key]
                behind = used_by(documents[export.stack], output)
                parts = [ends[export.stack, other] for other in behind]
                begins.append(max(parts, default=0.0) if split else done[export.stack])
            own = seconds.get(str(resources[name]["Type"]), 8.0)
            ends[tier, name] = max(begins, default=0.0) + own
        done[tier] = max(end for (owner, _), end in ends.items() if owner == tier)
    return max(done.values())


def used_by(document: Document, node: Mapping[str, Any]) -> set[str]:
    """The resources of the document that a part of it refers to or is said to depend on."""
    after = node.get("DependsOn", [])
    named = {*graph.references(node), *([after] if isinstance(after, str) else after)}
    return named & set(document["Resources"])


def in_order(document: Document) -> Iterator[str]:
    """The document's resources, each after those that it refers to."""
    yield from TopologicalSorter(
        {name: used_by(document, item) - {name} for name, item in document["Resources"].items()}
    ).static_order()


def main() -> None:
    """Print the makespans, and what splitting tiers would give."""
    print(f"{'first deploy, minutes':<34}{'makespan':>9}{'critical':>9}{'ratio':>8}{'calls/s':>9}")  # noqa: T201
    for column, title in enumerate(COLUMNS):
        found = measured(times(column))
        print(  # noqa: T201
            f"  {title + ' times of AWS':<32}{found.makespan / 60:>9.1f}{found.critical / 60:>9.1f}"
            f"{found.ratio:>8.4f}{found.calls_a_second:>9.2f}"
        )
    one = measured(times(1), concurrency=1)
    print(f"  {'usual, one stack at a time':<32}{one.makespan / 60:>9.1f}")  # noqa: T201
    print(f"critical path: {' > '.join(found.chain)}")  # noqa: T201
    whole, finest = ideal(times(1), split=False), ideal(times(1), split=True)
    print(  # noqa: T201
        f"resources alone, usual times: {whole / 60:.1f} min by tiers as they are, "
        f"{finest / 60:.1f} min if every tier were split as finely as its exports allow"
    )


if __name__ == "__main__":
    main()
