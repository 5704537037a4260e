"""Exports in use that leave, change or move: no deadlock, and no state that a new run cannot mend.

The twin refuses what CloudFormation refuses. What an update is that only puts the literal value in
an import's place was never measured on AWS, so everything holds under all three answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from troposphere import iam, sns
from twin import Killed, faults
from twin.graphs import graphs
from twin.rounds import Part, Rounds, imports_of
from twin.scene import Outcome

from tapgen.engine.events import RoundStarted, StackFailed, StackSkipped
from tapgen.engine.phases import ForeignImporter
from tapgen.errors import Exit

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
CHAIN = {"b": Part({"B": "@A"}), "c": Part({"C": "@B"}), "d": Part(uses=["C"])}
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
        {
            "a": Part({"A": "z"}),
            "b": Part({"B": "@A"}),
            "c": Part({"C": "@B"}),
            "d": Part(uses="C"),
        },
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
    "an export moves out of a stack that imports what changes": (
        {"a": Part(A), "b": Part(B, uses=["A"]), "c": Part(uses=["B"])},
        {"a": Part({"A": "other"}), "b": Part(uses=["A"]), "c": Part(B)},
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

IN_THE_WAY = [name for name, (_, _, titles) in CASES.items() if titles]


@pytest.mark.parametrize("case", CASES)
def test_it_takes_these_rounds_and_no_refusal(stage: Rounds, case: str) -> None:
    before, after, expected = CASES[case]
    stage.roll_out(before)

    outcome = stage.roll_out(after)

    assert outcome.summary.status is Exit.DONE, outcome.summary.rows()
    assert rounds(outcome) == expected
    check_arrived(stage, after)


@pytest.mark.parametrize("case", [name for name in IN_THE_WAY if "nobody" not in name])
def test_all_at_once_cloudformation_refuses_it(case: str) -> None:
    before, after, _ = CASES[case]
    stage = Rounds()
    stage.roll_out(before)
    planned, seen = stage.plan(after)

    outcome = stage.carry_out_plan(planned, replace(seen, phases=()))

    assert outcome.summary.status is Exit.FAILED
    reasons = [event.reason for event in outcome.events if isinstance(event, StackFailed)]
    assert any(" in use by tap-dev-" in r or "already exported by" in r for r in reasons)


# Each has a round of another kind before or after the main one.
KILLED = ["a change goes down a chain of three", "two stacks swap their exports"]
KILLED += ["one value changes and another leaves"]
MOMENTS = [("after", 0.0), ("before", 0.0), ("after", 10_000.0), ("before", 10_000.0)]


def thorough() -> bool:
    """Whether somebody looks for new trouble, and has the time."""
    return settings().max_examples > 1000


@pytest.mark.parametrize("case", IN_THE_WAY if thorough() else KILLED)
def test_killed_at_any_mutating_call_and_started_again_it_arrives(case: str) -> None:
    before, after, _ = CASES[case]
    call = 0
    while kill_and_repeat(before, after, call, thorough=thorough()):
        call += 1
    assert call >= 6


def kill_and_repeat(before: Parts, after: Parts, call: int, *, thorough: bool) -> bool:
    """Whether the run had so many mutating calls that it was killed at this one."""
    killed = False
    for moment, wait in MOMENTS if thorough else [MOMENTS[call % 4]]:
        stage = Rounds()
        stage.region.literal, stage.region.page_size = LITERAL[call % 3], 100
        stage.roll_out(before)
        stage.kill_at(call, moment)
        try:
            stage.roll_out(after)
        except Killed:
            killed = True
        stage.revive()
        stage.region.settle(wait)

        outcome = stage.roll_out(after)

        assert outcome.summary.status is Exit.DONE, (call, wait, outcome.summary.rows())
        check_arrived(stage, after)
    return killed


def test_between_two_rounds_the_imports_are_gone_and_the_resources_untouched(
    stage: Rounds,
) -> None:
    before, after, _ = CASES["a change goes down a chain of three"]
    stage.roll_out(before)
    topics = set(stage.region.standing)
    seen = {}

    def look(event: Any) -> None:
        if isinstance(event, RoundStarted) and event.number == 2:
            seen.update(stage.imports())
            assert set(stage.region.standing) == topics
            assert stage.region.removed == []
            assert sorted(event.stacks) == [f"tap-dev-{name}" for name in "abcd"]

    stage.hear = look
    stage.roll_out(after)

    assert seen == {"a": set(), "b": set(), "c": set(), "d": set()}
    # Only now, and each once: the topic of a, and those named after it.
    assert sorted(stage.region.removed) == [
        ("tap-dev-a", "ATopic"),
        ("tap-dev-b", "BTopic"),
        ("tap-dev-c", "CTopic"),
    ]


# Importers that are not part of the run

FOREIGN = """\
Resources:
  Theirs:
    Type: AWS::SSM::Parameter
    Properties: {Type: String, Value: !ImportValue tap-dev-A}
"""


def let_somebody_import(stage: Rounds, name: str = "billing") -> None:
    stage.twin.client("cloudformation").create_stack(StackName=name, TemplateBody=FOREIGN)
    stage.region.settle()


@pytest.mark.parametrize("after", [Part(B), Part({"A": "other"})])
def test_an_importer_outside_the_project_stops_the_plan_by_name(after: Part) -> None:
    stage, user = Rounds(), Part(uses=["A"])
    stage.roll_out({"maker": Part(A), "user": user})
    let_somebody_import(stage)
    before = len(stage.region.mutations)

    with pytest.raises(ForeignImporter) as caught:
        stage.roll_out({"maker": after, "user": Part()})

    assert str(caught.value) == (
        "tap-dev-maker would remove or change tap-dev-A, which billing imports without being "
        "part of this run; nothing was changed: let billing go of the value first"
    )
    assert caught.value.importers == ("billing",)
    assert stage.region.mutations[before:] == []


@pytest.mark.parametrize("after", [Part(B), Part({"A": "other"})])
def test_an_importer_that_was_not_selected_stops_the_plan_by_name(after: Part) -> None:
    stage = Rounds()
    stage.roll_out({"maker": Part(A), "user": Part(uses=["A"])})
    before = len(stage.region.mutations)

    with pytest.raises(ForeignImporter) as caught:
        stage.roll_out({"maker": after, "user": Part()}, only=["maker"])

    assert str(caught.value) == (
        "tap-dev-maker would remove or change tap-dev-A, which tap-dev-user imports without being "
        "part of this run; nothing was changed: deploy tap-dev-user in the same run, or name no "
        "tier to deploy all"
    )
    assert stage.region.mutations[before:] == []


def test_an_importer_that_comes_between_two_rounds_stops_the_next() -> None:
    stage = Rounds()
    stage.roll_out({"maker": Part(A), "user": Part(uses=["A"])})

    def join(event: Any) -> None:
        if isinstance(event, RoundStarted) and event.number == 1:
            let_somebody_import(stage)

    stage.hear = join
    outcome = stage.roll_out({"maker": Part({"A": "other"}), "user": Part(uses=["A"])})

    assert outcome.summary.status is Exit.FAILED
    assert outcome.ends == {"maker": "skipped", "user": "skipped"}
    (failed,) = (event for event in outcome.events if isinstance(event, StackFailed))
    assert (failed.stack, failed.reason) == (
        "billing",
        "imports tap-dev-A since a moment ago, and is not part of this run",
    )
    assert stage.region.exports()["tap-dev-A"].startswith("tap-dev-maker-ATopic")
    assert stage.in_use() == []


# What stops a round


def test_letting_go_of_imports_that_would_move_a_resource_stops_the_round(stage: Rounds) -> None:
    before, after, _ = CASES["one value changes"]
    stage.roll_out(before)
    # A colleague is adding something to the consumer while the plan is made.
    theirs = {**before, "user": Part(uses=["A"], beside=[sns.Topic("Extra")])}
    stage.kill_at(1, "after")
    with pytest.raises(Killed):
        stage.roll_out(theirs)
    stage.revive()
    assert stage.region.status("tap-dev-user") == "UPDATE_IN_PROGRESS"

    outcome = stage.roll_out(after)

    (failed,) = (event for event in outcome.events if isinstance(event, StackFailed))
    assert failed.stack == "tap-dev-user"
    assert failed.reason == (
        "holding its imports literally would move resources, which it must not: Extra"
    )
    assert outcome.ends == {"maker": "skipped", "user": "failed"}
    assert stage.imports()["user"] == {"A"}
    again = stage.roll_out(after)
    assert again.summary.status is Exit.DONE
    check_arrived(stage, after)


def test_a_stack_that_changed_since_the_plan_stops_the_run_before_it_begins() -> None:
    before, after, _ = CASES["one value changes"]
    stage = Rounds()
    stage.roll_out(before)
    stage.hear = lambda event: None
    planned, seen = stage.plan(after)
    Rounds(stage.twin, runs=100).roll_out({**before, "user": Part({"U": "u"}, uses=["A"])})
    calls = len(stage.region.mutations)

    outcome = stage.carry_out_plan(planned, seen)

    assert outcome.ends == {"maker": "skipped", "user": "failed"}
    assert outcome.summary.row_of("tap-dev-user")[1] == (
        "it has changed since the plan was made: run it again"
    )
    assert stage.region.mutations[calls:] == []


def test_a_failure_in_a_round_leaves_the_later_ones_and_says_so(stage: Rounds) -> None:
    before, after, _ = CASES["one value changes and another leaves"]
    stage.roll_out(before)
    stage.region.faults.resource("tap-dev-maker", "ATopic", "UPDATE", "Quota exceeded", times=1)

    outcome = stage.roll_out(after)

    assert rounds(outcome) == ["detach", "deploy"]
    # Both were let go of their imports before; that is no end.
    assert outcome.ends == {"maker": "failed", "u": "skipped", "v": "skipped"}
    assert outcome.summary.status is Exit.FAILED
    assert stage.roll_out(after).summary.status is Exit.DONE
    check_arrived(stage, after)


def test_a_failure_while_an_importer_lets_go_keeps_the_producer_as_it_is(stage: Rounds) -> None:
    before, after, _ = CASES["one consumer lets go"]
    stage.roll_out(before)
    stage.region.faults.resource("tap-dev-user", "Alone", "CREATE", "Quota exceeded", times=1)

    outcome = stage.roll_out(after)

    assert outcome.ends == {"maker": "skipped", "user": "failed"}
    assert [e.because for e in outcome.events if isinstance(e, StackSkipped)] == ["tap-dev-user"]
    # The export is still there, and what it shows.
    assert stage.region.exports()["tap-dev-A"] in stage.region.standing
    assert stage.roll_out(after).summary.status is Exit.DONE
    check_arrived(stage, after)


def test_what_an_earlier_round_did_is_no_end_when_the_run_is_interrupted() -> None:
    before, after, _ = CASES["one value changes"]
    stage = Rounds()
    stage.roll_out(before)

    def interrupt(event: Any) -> None:
        if isinstance(event, RoundStarted) and event.title == "deploy":
            raise KeyboardInterrupt

    stage.hear = interrupt
    with pytest.raises(KeyboardInterrupt):
        stage.roll_out(after)

    ends = {stack: how for stack, how, _ in stage.summary.rows()}
    assert ends == {"tap-dev-maker": "not started", "tap-dev-user": "interrupted"}
    assert stage.summary.status is Exit.FAILED


def test_throttling_and_old_answers_between_the_rounds_decide_nothing() -> None:
    before, after, _ = CASES["one value changes and another leaves"]
    stage = Rounds()
    stage.roll_out(before)

    def trouble(event: Any) -> None:
        if isinstance(event, RoundStarted):
            line = [faults.THROTTLED, faults.dropped(), faults.UNAVAILABLE]
            for operation in ("describe_stacks", "list_imports"):
                stage.region.faults.call(operation, *line)

    stage.hear = trouble
    outcome = stage.roll_out(after)
    stage.hear = lambda event: None
    stage.region.faults.mend()

    assert outcome.summary.status is Exit.DONE
    check_arrived(stage, after)


# What the variants of a template need


def test_an_importer_lets_go_with_the_tags_and_capabilities_of_today(stage: Rounds) -> None:
    trust = {"Version": "2012-10-17", "Statement": []}
    role = iam.Role("Role", AssumeRolePolicyDocument=trust)
    before = {"maker": Part(A), "user": Part(uses=["A"], beside=[role])}
    after = {"maker": Part({"A": "other"}), "user": Part(uses=["A"])}
    stage.roll_out(before)
    stage.tags = {"Team": "video"}
    tags = []

    def look(event: Any) -> None:
        if isinstance(event, RoundStarted) and event.title == "deploy":
            stack = stage.region.live("tap-dev-user")
            assert stack is not None
            assert stack.version is not None
            tags.append("Team" in stack.version.tags)
            assert "Role" in stack.held

    stage.hear = look
    outcome = stage.roll_out(after)

    assert outcome.summary.status is Exit.DONE, outcome.summary.rows()
    assert tags == [False]
    check_arrived(stage, after)


def test_an_exporter_keeps_a_resource_that_needs_a_capability(stage: Rounds) -> None:
    before, after, _ = CASES["one consumer lets go"]
    trust = {"Version": "2012-10-17", "Statement": []}
    role = iam.Role("Role", AssumeRolePolicyDocument=trust)
    before = {**before, "maker": Part(A, beside=[role], behind={"A": "Role"})}
    stage.roll_out(before)

    outcome = stage.roll_out(after)

    assert rounds(outcome) == ["deploy", "contract"]
    assert outcome.summary.status is Exit.DONE, outcome.summary.rows()
    check_arrived(stage, after)


def test_stacks_that_are_new_or_failed_at_their_creation_come_in_the_main_round(
    stage: Rounds,
) -> None:
    before, after, _ = CASES["one value changes and another leaves"]
    stage.roll_out(before)
    after = {**after, "new": Part(uses=["A"]), "failed": Part(uses=["A"])}
    stage.region.faults.resource("tap-dev-failed", "UsesA", "CREATE", "Quota exceeded", times=1)
    stage.roll_out({**before, "failed": Part(uses=["A"])})
    assert stage.region.status("tap-dev-failed") == "ROLLBACK_COMPLETE"

    outcome = stage.roll_out(after, recreate=["tap-dev-failed"])

    assert rounds(outcome) == ["detach", "deploy", "contract"]
    assert outcome.ends == {
        "maker": "updated",
        "failed": "recreated",
        "new": "created",
        "u": "updated",
        "v": "updated",
    }
    check_arrived(stage, after)


# Whatever the graph is


def some_of(keys: list[str]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(keys), unique=True) if keys else st.just([])


@st.composite
def two_states(draw: st.DrawFn) -> tuple[dict[str, Part], dict[str, Part]]:
    """A graph of stacks as deployed, and as wanted with exports removed, changed, moved."""
    edges = draw(graphs())
    before: dict[str, Part] = {}
    after: dict[str, Part] = {}
    keys_before: dict[str, list[str]] = {}
    keys_after: dict[str, list[str]] = {}
    given_away: list[str] = []
    for name, needs in edges.items():
        makes, wants = {}, {}
        old = [key for need in needs for key in keys_before[need]]
        new = [key for need in needs for key in keys_after[need]]
        for key in (f"{name}1", f"{name}2"):
            makes[key] = draw(st.sampled_from([key, *(f"@{each}" for each in old)]))
            fate = draw(st.sampled_from(["keep", "keep", "change", "leave", "move", "follow"]))
            if fate == "leave":
                continue
            if fate == "move":
                given_away.append(key)
            elif fate == "follow" and new:
                wants[key] = f"@{draw(st.sampled_from(new))}"
            elif fate == "keep" and makes[key] in (key, *(f"@{each}" for each in new)):
                wants[key] = makes[key]
            else:
                wants[key] = f"{key}-other"
        if draw(st.booleans()) and given_away:
            wants[given_away.pop()] = "taken-over"
        before[name] = Part(makes, draw(some_of(old)))
        after[name] = Part(wants, draw(some_of(new)))
        keys_before[name], keys_after[name] = list(makes), list(wants)
    return before, after


@settings(max_examples=max(14, settings().max_examples // 10 if thorough() else 0))
@given(
    states=two_states(),
    literal=st.sampled_from(LITERAL),
    call=st.integers(0, 60),
    moment=st.sampled_from(["before", "after"]),
    wait=st.sampled_from([0.0, 12.0, 10_000.0]),
)
def test_whatever_leaves_changes_or_moves_and_wherever_it_dies_a_new_run_arrives(
    states: tuple[dict[str, Part], dict[str, Part]],
    literal: str,
    call: int,
    moment: str,
    wait: float,
) -> None:
    before, after = states
    stage = Rounds()
    stage.region.literal, stage.region.page_size = literal, 100
    stage.roll_out(before)
    stage.kill_at(call, moment)
    with suppress(Killed):
        stage.roll_out(after)
    stage.revive()
    stage.region.settle(wait)

    outcome = stage.roll_out(after)

    assert outcome.summary.status is Exit.DONE, outcome.summary.rows()
    check_arrived(stage, after)
