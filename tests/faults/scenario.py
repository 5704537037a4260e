"""A bad day as a value: which stacks there are, what fails, and where the run is cut off.

Drawn from a seed, so a failure is told by kind and seed; built by hand or by hypothesis as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from twin.graphs import TIERS, producers_of

__all__ = [
    "CUTS",
    "TIERS",
    "Cut",
    "Scenario",
    "Trouble",
    "draw",
    "draw_cut",
    "draw_edges",
    "draw_trouble",
    "producers_of",
]

# What a run can be stopped by: Ctrl-C in a call, its events not being asked for any more, the
# process being gone, and the order to cancel what it began.
CUTS = ("interrupted", "closed", "killed", "cancelled")
# Somebody's operations and failures that a run may find.
FOUND_NEW: tuple[str, ...] = (
    "REVIEW_IN_PROGRESS",
    "CREATE_IN_PROGRESS",
    "CREATE_FAILED",
    "ROLLBACK_IN_PROGRESS",
)
FOUND_NEW += ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED")
FOUND_STANDING = (
    "UPDATE_IN_PROGRESS",
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
    "UPDATE_FAILED",
    "UPDATE_ROLLBACK_IN_PROGRESS",
    "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
    "UPDATE_ROLLBACK_COMPLETE",
    "UPDATE_ROLLBACK_FAILED",
    "IMPORT_IN_PROGRESS",
    "IMPORT_COMPLETE",
    "IMPORT_ROLLBACK_IN_PROGRESS",
    "IMPORT_ROLLBACK_COMPLETE",
)
FOUND_GOING = ("DELETE_IN_PROGRESS", "DELETE_FAILED")
REASONS = ("Quota exceeded", "Resource of type 'AWS::SNS::Topic' already exists", "AccessDenied")


@dataclass(frozen=True)
class Trouble:
    """What goes wrong while the run is under way. Chances are a call's."""

    throttling: float = 0.0
    dropping: float = 0.0
    losing: float = 0.0
    # Seconds for which old answers are given, and events are not told yet.
    stale: float = 0.0
    late: float = 0.0
    # After so many calls the credentials have expired.
    expires: int | None = None
    # Whether a repeated token is answered like the first time.
    repeats: bool = True
    # (tier, logical id, verb, how often) of resources that fail.
    resources: tuple[tuple[str, str, str, int], ...] = ()
    # Tiers whose change sets early validation, or a hook, does not let be.
    invalid: frozenset[str] = frozenset()
    hooked: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Cut:
    """Where the run is stopped: ``at`` counts calls, or events where it is ``closed``; ``wait`` is
    how long after it the next run comes.
    """

    how: str = ""
    at: int = 0
    moment: str = "before"
    wait: float = 0.0


@dataclass(frozen=True)
class Scenario:
    """One bad day. ``edges`` are producers by tier; ``standing`` tiers are deployed already, and
    ``found`` are those that somebody left, or has, in another status.
    """

    kind: str
    seed: int = 0
    edges: Mapping[str, Sequence[str]] = field(default_factory=dict)
    standing: frozenset[str] = frozenset()
    found: Mapping[str, str] = field(default_factory=dict)
    # Whether the user allows what failed to be deleted and made anew, and to be taken back.
    allowed: bool = False
    concurrency: int = 4
    trouble: Trouble = Trouble()
    cut: Cut = Cut()


def draw(kind: str, seed: int) -> Scenario:
    """The bad day of that kind and seed."""
    rng = Random(f"{kind}/{seed}")
    edges = draw_edges(rng)
    standing = _standing(kind, edges, rng)
    found = _found(edges, standing, rng) if kind == "found" else {}
    return Scenario(
        kind,
        seed,
        edges,
        standing,
        found,
        allowed=rng.random() < 0.5,
        concurrency=rng.randint(1, 4),
        trouble=draw_trouble(edges, standing, rng, destroying=kind == "destroy"),
        cut=draw_cut(rng),
    )


def draw_edges(rng: Random) -> dict[str, list[str]]:
    """Up to six stacks, each importing from some before it."""
    names = TIERS[: rng.randint(1, len(TIERS))]
    return {
        name: sorted(rng.sample(names[:place], rng.randint(0, place)))
        for place, name in enumerate(names)
    }


def draw_trouble(
    edges: Mapping[str, Sequence[str]], standing: frozenset[str], rng: Random, *, destroying: bool
) -> Trouble:
    """Some of everything, and often not much of anything."""
    resources = []
    for tier in rng.sample(sorted(edges), rng.randint(0, min(2, len(edges)))):
        verb = "DELETE" if destroying else ("UPDATE" if tier in standing else "CREATE")
        times = rng.choice([1, 1_000_000])
        resources.append((tier, "Topic0", verb, times))
        if verb == "UPDATE" and rng.random() < 0.3:
            resources.append((tier, "Topic0", "ROLLBACK", times))
        if verb == "CREATE" and rng.random() < 0.2:
            resources.append((tier, "Topic0", "DELETE", 1))

    def some(chance: float) -> frozenset[str]:
        return frozenset(tier for tier in edges if rng.random() < chance)

    losing = rng.choice([0.0, 0.0, 0.2])
    return Trouble(
        throttling=rng.choice([0.0, 0.0, 0.3]),
        dropping=rng.choice([0.0, 0.0, 0.2]),
        losing=losing,
        stale=rng.choice([0.0, 0.0, 10.0]),
        late=rng.choice([0.0, 0.0, 15.0]),
        expires=rng.choice([None, None, None, rng.randint(0, 120)]),
        # Tokens are documented for answers that were lost; there is no living without them.
        repeats=bool(losing) or rng.random() < 0.7,
        resources=tuple(resources),
        invalid=some(0.05),
        hooked=some(0.05),
    )


def draw_cut(rng: Random) -> Cut:
    """On two days of five nobody stops the run; the beginning is stopped more often."""
    return Cut(
        rng.choice(["", "", *CUTS]),
        rng.randint(0, rng.choice([6, 15, 30, 60, 120])),
        rng.choice(["before", "after"]),
        rng.choice([0.0, 5.0, 60.0, 10_000.0]),
    )


def _standing(kind: str, edges: Mapping[str, Sequence[str]], rng: Random) -> frozenset[str]:
    """Tiers that are deployed, with all they import from."""
    share = {"deploy": 0.0, "destroy": 1.0, "rivals": rng.choice([0.0, 1.0])}.get(kind, 0.6)
    chosen = {name for name in edges if rng.random() < share}
    return frozenset(chosen.union(*(producers_of(edges, name) for name in chosen)))


def _found(
    edges: Mapping[str, Sequence[str]], standing: frozenset[str], rng: Random
) -> dict[str, str]:
    """A status for some of the tiers, which somebody could have brought them into."""
    used = {other for name in standing for other in edges[name]}
    found: dict[str, str] = {}
    for name in edges:
        ready = set(edges[name]) <= standing - set(found)
        if not ready or rng.random() < 0.4:
            continue
        if name not in standing:
            found[name] = rng.choice(FOUND_NEW)
        elif name in used:
            found[name] = rng.choice(FOUND_STANDING)
        else:
            found[name] = rng.choice(FOUND_STANDING + FOUND_GOING)
    return found
