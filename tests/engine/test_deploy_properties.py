"""What holds of every deployment, whatever fails, is throttled, and wherever it is stopped.

No stack starts before its producers are good, nothing is deleted that nobody gave up, the summary
says what AWS says, nothing half-made is left, and a new run converges to one that changes nothing:
``faults.witness`` says so of every day that hypothesis can think of.
"""

from __future__ import annotations

from faults.play import play
from faults.scenario import CUTS, TIERS, Cut, Scenario, Trouble, producers_of
from hypothesis import given, settings
from hypothesis import strategies as st
from twin.graphs import graphs

CHANCES = st.sampled_from([0.0, 0.3])


@st.composite
def troubles(draw: st.DrawFn, standing: frozenset[str]) -> Trouble:
    """What may fail in an environment where some tiers stand."""
    broken = draw(st.sets(st.sampled_from(TIERS), max_size=2))
    resources = [
        (tier, "Topic0", verb, draw(st.sampled_from([1, 1_000_000])))
        for tier in sorted(broken)
        for verb in (["UPDATE", "ROLLBACK"] if tier in standing else ["CREATE", "DELETE"])[
            : draw(st.integers(1, 2))
        ]
    ]
    losing = draw(CHANCES)
    return Trouble(
        throttling=draw(CHANCES),
        dropping=draw(CHANCES),
        losing=losing,
        stale=draw(st.sampled_from([0.0, 10.0])),
        late=draw(st.sampled_from([0.0, 15.0])),
        expires=draw(st.none() | st.integers(0, 100)),
        repeats=bool(losing) or draw(st.booleans()),
        resources=tuple(resources),
        invalid=frozenset(draw(st.sets(st.sampled_from(TIERS), max_size=1))),
    )


@st.composite
def days(draw: st.DrawFn, cuts: st.SearchStrategy[Cut], *, calm: bool = False) -> Scenario:
    """A bad day of an environment of which some stands already, with all that this imports from."""
    edges = draw(graphs())
    chosen = draw(st.sets(st.sampled_from(TIERS))) & set(edges)
    standing = frozenset(chosen.union(*(producers_of(edges, name) for name in chosen)))
    return Scenario(
        "redeploy",
        draw(st.integers(0, 1000)),
        edges,
        standing,
        allowed=draw(st.booleans()),
        concurrency=draw(st.integers(1, 4)),
        trouble=Trouble() if calm else draw(troubles(standing)),
        cut=draw(cuts),
    )


def cuts(*ways: str) -> st.SearchStrategy[Cut]:
    return st.builds(
        Cut,
        how=st.sampled_from(ways),
        at=st.integers(0, 80),
        moment=st.sampled_from(["before", "after"]),
        wait=st.sampled_from([0.0, 5.0, 10_000.0]),
    )


@settings(max_examples=40)
@given(day=days(st.just(Cut())))
def test_whatever_fails_order_holds_the_summary_is_true_and_a_new_run_converges(
    day: Scenario,
) -> None:
    play(day)


@settings(max_examples=45)
@given(day=days(cuts(*CUTS), calm=True))
def test_wherever_it_is_interrupted_or_killed_a_new_run_converges(day: Scenario) -> None:
    play(day)


@settings(max_examples=25)
@given(day=days(cuts(*CUTS)))
def test_both_at_once_change_nothing_of_that(day: Scenario) -> None:
    play(day)


@settings(max_examples=12)
@given(edges=graphs(), standing=st.booleans(), seed=st.integers(0, 10_000))
def test_runs_at_once_do_not_disturb_each_other(
    edges: dict[str, list[str]], standing: bool, seed: int
) -> None:
    play(Scenario("rivals", seed, edges, frozenset(edges if standing else ())))
