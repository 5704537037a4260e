"""Exports in use that leave, change or move: no deadlock, and no state that a new run cannot mend.

The twin refuses what CloudFormation refuses. What an update is that only puts the literal value in
an import's place was never measured on AWS, so everything holds under all three answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from troposphere import iam, sns, ssm
from twin import Killed, faults
from twin.graphs import graphs
from twin.rounds import Part, Rounds, imports_of
from twin.scene import Outcome

from tapgen.errors import Exit
from tapgen.events import RoundStarted, StackFailed, StackSkipped
from tapgen.phases import ForeignImporter

LITERAL = ["no changes", "accepted", "listed"]
Parts = Mapping[str, Part]


@pytest.fixture(params=LITERAL)
def stage(request: pytest.FixtureRequest) -> Rounds:
    scene = Rounds()
    scene.region.literal = request.param
    return scene


def rounds(outcome: Outcome) -> list[str]:
    """The titles of the rounds; none where there is only one."""
    return [event.title for event in outcome.events if isinstance(event, RoundStarted)]


def check_arrived(stage: Rounds, parts: Parts) -> None:
    """Everything stands as described, imports are live, and a new run changes nothing."""
    before = len(stage.region.mutations)
    again = stage.roll_out(parts)

    assert again.summary.unchanged
    assert stage.region.mutations[before:] == []
    assert stage.in_use() == []
    standing = stage.imports()
    assert {name: standing[name] for name in parts} == imports_of(parts)
    for stack in stage.region.stacks.values():
        assert stack.version is None or "HeldLiterally" not in stack.version.text
        assert all(item.execution != "AVAILABLE" for item in stack.change_sets.values())


# What each case starts from, what it is to become, and the rounds that this takes.
A, B = {"A": "a"}, {"B": "b"}
CASES: dict[str, tuple[dict[str, Part], dict[str, Part], list[str]]] = {
    "one consumer lets go": (
        {"maker": Part(A), "user": Part(uses=["A"])},
        {"maker": Part(B), "user": Part()},
        ["deploy", "contract"],
    ),
    "one consumer moves to another export": (
        {"maker": Part(A), "user": Part(uses=["A"])},
        {"maker": Part(B), "user": Part(uses=["B"])},
        ["deploy", "contract"],
    ),
    "many consumers let go": (
        {"maker": Part({**A, **B}), **{n: Part(uses=["A", "B"]) for n in ("u", "v", "w")}},
        {"maker": Part(B), **{n: Part(uses=["B"]) for n in ("u", "v", "w")}},
        ["deploy", "contract"],
    ),
    "a chain of three lets go": (
        {"a": Part(A), "b": Part({"B": "@A"}), "c": Part(uses=["B"])},
        {"a": Part({"X": "x"}), "b": Part({"Y": "y"}), "c": Part()},
        ["detach", "deploy", "contract"],
    ),
    "one value changes": (
        {"maker": Part(A), "user": Part(uses=["A"])},
        {"maker": Part({"A": "other"}), "user": Part(uses=["A"])},
        ["detach", "deploy"],
    ),
    "a value changes for many": (
        {"maker": Part(A), **{n: Part(uses=["A"]) for n in ("u", "v", "w")}},
        {"maker": Part({"A": "other"}), **{n: Part(uses=["A"]) for n in ("u", "v", "w")}},
        ["detach", "deploy"],
    ),
    "a change goes down a chain of three": (
        {"a": Part(A), "b": Part({"B": "@A"}), "c": Part({"C": "@B"}), "d": Part(uses=["C"])},
        {"a": Part({"A": "z"}), "b": Part({"B": "@A"}), "c": Part({"C": "@B"}), "d": Part(uses="C")},
        ["detach", "deploy"],
    ),
    "one value changes and another leaves": (
        {"maker": Part({**A, **B}), "u": Part(uses=["A"]), "v": Part(uses=["A", "B"])},
        {"maker": Part({"A": "other"}), "u": Part(uses=["A"]), "v": Part(uses=["A"])},
        ["detach", "deploy", "contract"],
    ),
    "what leaves hangs on what changes": (
        {"a": Part(A), "b": Part({"B": "@A"}), "c": Part(uses=["B"])},
        {"a": Part({"A": "z"}), "b": Part({"Y": "@A"}), "c": Part()},
        ["detach", "deploy"],
    ),
    "a value changes and its consumer lets go of it": (
        {"maker": Part(A), "user": Part(uses=["A"])},
        {"maker": Part({"A": "other"}), "user": Part()},
        ["detach", "deploy"],
    ),
    "an export moves to another stack": (
        {"a": Part(A), "b": Part(B), "user": Part(uses=["A"])},
        {"a": Part({"X": "x"}), "b": Part({**B, "A": "new"}), "user": Part(uses=["A"])},
        ["detach", "release", "deploy"],
    ),
    "an export that nobody imports moves to another stack": (
        {"a": Part({**A, "X": "x"}), "b": Part(B)},
        {"a": Part({"X": "x"}), "b": Part({**B, "A": "new"})},
        ["release", "deploy"],
    ),
    "an export moves to the stack that its old one imports from": (
        {"a": Part({**A, "X": "x"}), "b": Part(B), "user": Part(uses=["A"])},
        {"b": Part({**B, "A": "new"}), "a": Part({"X": "@A"}), "user": Part(uses=["A", "X"])},
        ["detach", "release", "deploy"],
    ),
    "two stacks swap their exports": (
        {"a": Part(A), "b": Part(B), "user": Part(uses=["A", "B"])},
        {"a": Part(B), "b": Part(A), "user": Part(uses=["A", "B"])},
        ["detach", "release", "deploy"],
    ),
    "an unused export leaves and an unused value changes": (
        {"maker": Part({**A, **B}), "user": Part()},
        {"maker": Part({"A": "other"}), "user": Part()},
        [],
    ),
    "a consumer is new": (
        {"maker": Part(A)},
        {"maker": Part(B), "user": Part(uses=["B"])},
        [],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_it_takes_these_rounds_and_no_refusal(stage: Rounds, case: str) -> None:
    before, after, expected = CASES[case]
    stage.roll_out(before)

    outcome = stage.roll_out(after)

    assert outcome.summary.status is Exit.DONE, outcome.summary.rows()
    assert rounds(outcome) == expected
    check_arrived(stage, after)


# The calls that change something, and the moments around them: more than any case has.
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("case", [name for name, (_, _, titles) in CASES.items() if titles])
def test_killed_at_any_mutating_call_and_started_again_it_arrives(case: str, moment: str) -> None:
    before, after, _ = CASES[case]
    call = 0
    while True:
        for wait in (0.0, 10_000.0):
            stage = Rounds()
            stage.region.literal = LITERAL[call % 3]
            stage.roll_out(before)
            stage.kill_at(call, moment)
            try:
                stage.roll_out(after)
                killed = False
            except Killed:
                killed = True
            stage.revive()
            stage.region.settle(wait)

            outcome = stage.roll_out(after)

            assert outcome.summary.status is Exit.DONE, (call, wait, outcome.summary.rows())
            check_arrived(stage, after)
        if not killed:
            break
        call += 1
    assert call >= 4
