"""A few bad days of every kind, always the same, and proof that a worse engine would not pass.

Many more are for ``python tests/faults/run.py``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from faults import run
from faults.play import play
from faults.scenario import Cut, Scenario, Trouble
from faults.stage import Played
from faults.witness import Broken

from tapgen.engine import change_set, deploy, plan, recover, schedule
from tapgen.engine.plan import Action, Step
from tapgen.engine.summary import Summary
from tapgen.errors import Exit

SEEDS = range(1, 7)
EDGES = {"a": [], "b": ["a"], "c": ["b"]}
FAILING = Trouble(resources=(("a", "Topic0", "CREATE", 1_000_000),))


@pytest.mark.parametrize("kind", run.KINDS)
def test_what_must_hold_holds_on_these_bad_days(kind: str) -> None:
    (tally,) = run.many([kind], SEEDS)

    assert tally.broken == {}
    assert tally.runs == len(SEEDS)
    assert sum(tally.struck.values()) > 0


def test_a_day_is_the_same_every_time() -> None:
    first, again = (run.one("found", 33) for _ in range(2))

    assert (first.calls, first.struck, first.cut) == (again.calls, again.struck, again.cut)


def no_order(
    procedures: Mapping[str, Any], needs: Mapping[str, frozenset[str]], *given: Any, **more: Any
) -> Any:
    # The first run sets the stage.
    kept = needs if next(_runs) == 0 else dict.fromkeys(needs, frozenset[str]())
    return _in_order(procedures, kept, *given, **more)


def deletes_unasked(item: Any, deployed: Any) -> Step:
    step = _decide(item, deployed)
    failed = deployed is not None and deployed.status == "UPDATE_ROLLBACK_COMPLETE"
    return Step(step.tier, step.stack, Action.RECREATE, "") if failed else step


_in_order, _decide = schedule.run, plan.decide
_runs: Iterator[int] = itertools.count()
# What a worse engine does, where, and what the witness says of it.
WORSE: dict[str, tuple[object, str, Any, Scenario, str]] = {
    "starts what it likes": (
        schedule,
        "run",
        no_order,
        Scenario("redeploy", edges=EDGES, standing=frozenset("abc")),
        "was started while its producer",
    ),
    "goes on after a failure": (
        schedule,
        "run",
        no_order,
        Scenario(
            "redeploy",
            edges=EDGES,
            standing=frozenset("abc"),
            concurrency=1,
            trouble=Trouble(resources=(("a", "Topic0", "UPDATE", 1),)),
        ),
        "b was started while its producer a is UPDATE_ROLLBACK_COMPLETE",
    ),
    "leaves its change sets": (
        change_set,
        "withdraw",
        lambda *given: None,
        Scenario("deploy", edges=EDGES, cut=Cut("interrupted", 3, "after")),
        "was left",
    ),
    "rounds up to success": (
        Summary,
        "status",
        property(lambda self: Exit.DONE),
        Scenario("deploy", edges=EDGES, trouble=FAILING),
        "the exit status is",
    ),
    "says that what failed was updated": (
        Summary,
        "row_of",
        lambda self, stack: ("updated", ""),
        Scenario("deploy", edges=EDGES, trouble=FAILING),
        "a is said to be updated, and is ROLLBACK_COMPLETE",
    ),
    "deletes and makes anew what was rolled back": (
        plan,
        "decide",
        deletes_unasked,
        Scenario(
            "found",
            edges={"a": []},
            standing=frozenset("a"),
            found={"a": "UPDATE_ROLLBACK_COMPLETE"},
        ),
        "was deleted, and nobody asked for it",
    ),
    "does it all again": (
        plan,
        "differences",
        lambda item, deployed: ["template"],
        Scenario("redeploy", edges={"a": []}, standing=frozenset("a")),
        "changes something",
    ),
}


@pytest.mark.parametrize("worse", WORSE)
def test_a_worse_engine_is_caught(worse: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where, name, instead, day, told = WORSE[worse]
    monkeypatch.setattr(where, name, instead)
    monkeypatch.setitem(globals(), "_runs", itertools.count())
    if worse == "deletes and makes anew what was rolled back":
        monkeypatch.setattr(deploy, "_is_refused", lambda run, step: False)
        monkeypatch.setattr(recover, "is_ours", lambda stack: True)

    with pytest.raises(Broken, match=told):
        play(day)


def test_the_table_counts_and_tells_how_a_failure_is_repeated() -> None:
    def act(kind: str, seed: int) -> Played:
        if seed == 2:
            raise Broken("a was started too early")
        played = Played(cut="killed", calls=10)
        played.struck.update({"throttled": 3, "create failed": 1, "hook failed": 2})
        return played

    told = run.table(run.many(["deploy", "destroy"], [1, 2], act=act)).splitlines()

    assert [" ".join(line.split()) for line in told[:4]] == [
        "kind runs calls throttled unavailable dropped truncated lost expired failures "
        "interrupted closed killed cancelled seeds broken",
        "deploy 2 10 3 0 0 0 0 0 3 0 0 1 0 1-2 1",
        "destroy 2 10 3 0 0 0 0 0 3 0 0 1 0 1-2 1",
        "all 4 20 6 0 0 0 0 0 6 0 0 2 0 2",
    ]
    assert "deploy 2: Broken: a was started too early" in told
    assert "  again: python tests/faults/run.py --kind deploy --seed 2 --runs 1" in told


def test_it_ends_with_one_where_something_broke(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*given: Any, **more: Callable[..., Any]) -> list[run.Tally]:
        return [run.Tally("deploy", 1, seeds=[0], broken={0: "Broken: so"})]

    assert run.main(["--runs", "1", "--kind", "deploy"]) == 0
    monkeypatch.setattr(run, "many", broken)
    assert run.main(["--minutes", "0.001"]) == 1
    assert "broken" in capsys.readouterr().out
