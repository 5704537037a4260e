"""How long a stack is likely to take: what earlier runs of the environment took, or what resources
like its own usually take.

Only the order of starting and the clock on the screen rest on it; a wrong guess costs time, never
anything else. What was seen is kept in one small file an environment, which may be lost.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from tapgen import files, graph
from tapgen.engine.events import Event, StackDone
from tapgen.engine.plan import Action, Step, Wanted
from tapgen.resolve import Document

# Of so many past runs the median counts: an odd one has no say, a lasting change soon has.
REMEMBERED = 5

# Seconds from CREATE_IN_PROGRESS to CREATE_COMPLETE, the middle of what is usual (RDS Multi-AZ
# 15 to 25 minutes, ElastiCache 10 to 15, a NAT gateway 2 to 3); the rest goes under OTHERS.
USUAL = {
    "AWS::RDS::DBInstance": 1200.0,
    "AWS::ElastiCache::ReplicationGroup": 750.0,
    "AWS::EC2::NatGateway": 150.0,
    "AWS::EFS::MountTarget": 90.0,
    "AWS::EC2::VPCEndpoint": 90.0,
    "AWS::Lambda::Function": 30.0,
    "AWS::ECS::Cluster": 20.0,
    "AWS::IAM::Role": 20.0,
}
OTHERS = 5.0
# An update seldom touches what is slow to make.
UPDATE_SHARE = 0.25


# What an action is remembered as, and its share of what making the stack takes.
_VERBS = {
    Action.CREATE: ("create", 1.0),
    Action.RECREATE: ("recreate", 1.0),
    Action.UPDATE: ("update", UPDATE_SHARE),
    Action.WAIT: ("update", UPDATE_SHARE),
}


@dataclass
class Durations:
    """What earlier runs took: by stack and action, the last few in seconds, oldest first."""

    seen: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def take(self, event: Event) -> None:
        """Learn from one event of a run."""
        if isinstance(event, StackDone):
            known = self.seen.setdefault(event.stack, {}).setdefault(event.action, [])
            known.append(round(event.seconds, 1))
            del known[:-REMEMBERED]

    def of(self, stack: str, action: str) -> float | None:
        """The median of what was seen; None where nothing was."""
        known = self.seen.get(stack, {}).get(action)
        return median(known) if known else None

    def expected(
        self, steps: Iterable[Step], wanted: Iterable[Wanted], *, guessed: bool = True
    ) -> dict[str, float]:
        """Seconds by stack, for those that something would be done about.

        Where nothing was seen they are ``guessed`` from the resources, unless what answers is no
        AWS and takes no time.
        """
        documents = {item.name: item.document for item in wanted}
        found = {}
        for step in steps:
            verb, share = _VERBS.get(step.action, ("", 0.0))
            seconds = self.of(step.stack, verb)
            if seconds is None and guessed:
                seconds = usual(documents[step.stack]) * share
            if seconds:
                found[step.stack] = seconds
        return found

    def deleting(self, stacks: Collection[str]) -> dict[str, float]:
        """Seconds by stack, for those whose deletion was seen before."""
        known = {stack: self.of(stack, "delete") for stack in stacks}
        return {stack: seconds for stack, seconds in known.items() if seconds is not None}


def learning(durations: Durations, path: Path, events: Iterator[Event]) -> Iterator[Event]:
    """Pass the events of a run on, and remember in the file at ``path`` what its stacks took.

    Closed early, it closes ``events`` too and keeps what was learnt until then.
    """
    learnt = False
    try:
        with closing(events):  # type: ignore[type-var]
            for event in events:
                durations.take(event)
                learnt = learnt or isinstance(event, StackDone)
                yield event
    finally:
        if learnt:
            save(path, durations)


def usual(document: Document) -> float:
    """The longest chain of the template's resources, each taking what its type usually takes."""
    resources = document.get("Resources", {})
    behind: dict[str, float] = {}
    left = dict(resources)
    while left:
        needs = {name: _needs(resource) & set(resources) for name, resource in left.items()}
        due = [name for name in left if needs[name] <= set(behind)] or list(left)
        for name in due:
            own = USUAL.get(str(left[name].get("Type")), OTHERS)
            behind[name] = own + max((behind.get(n, 0.0) for n in needs[name]), default=0.0)
        for name in due:
            del left[name]
    return max(behind.values(), default=0.0)


def _needs(resource: Mapping[str, Any]) -> set[str]:
    after = resource.get("DependsOn", [])
    return {*graph.references(resource), *([after] if isinstance(after, str) else after)}


def load(path: Path) -> Durations:
    """What the file remembers; nothing where it is missing or not ours."""
    try:
        read = json.loads(path.read_bytes())
        seen = {
            str(stack): {
                str(action): [float(seconds) for seconds in known][-REMEMBERED:]
                for action, known in actions.items()
            }
            for stack, actions in read.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return Durations()
    return Durations(seen)


def save(path: Path, durations: Durations) -> None:
    """Remember; a folder that cannot be written to is no reason to fail a run that went well."""
    try:
        text = json.dumps(durations.seen, indent=1, sort_keys=True)
        files.write(path, f"{text}\n".encode())
    except (files.CannotWrite, OSError):
        return
