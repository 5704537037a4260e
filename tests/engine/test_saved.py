"""A kept plan: what is in it, what is not, and all that keeps it from being carried out later."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from troposphere import Parameter
from twin.region import ACCOUNT
from twin.rounds import Part, Rounds

from tapgen.cloud import Caller
from tapgen.engine import moved, review, saved
from tapgen.engine.exact import Asker
from tapgen.engine.moved import PlanMoved
from tapgen.engine.rollout import Rollout
from tapgen.engine.saved import Asked, BadPlan, HiddenFlag

PARTS = {"maker": Part({"A": "a", "B": "b"}), "user": Part(uses=["A"])}
NEXT = {"maker": Part({"A": "a", "C": "c"}), "user": Part(uses=["A"])}
CALLER = Caller(ACCOUNT, "arn:aws:iam::123456789012:user/me", "ap-northeast-1")
FILE = Path("plan.json")


def standing(parts: Mapping[str, Part] = PARTS) -> Rounds:
    stage = Rounds()
    stage.roll_out(parts)
    stage.region.settle()
    return stage


def plan(
    stage: Rounds, parts: Mapping[str, Part] = NEXT, salt: str = "", **given: str
) -> dict[str, Any]:
    """The plan, made as the command does, and through a file."""
    rollout, _ = stage.plan(parts, **given)
    return of(stage, rollout, salt)


def of(stage: Rounds, rollout: Rollout, salt: str = "") -> dict[str, Any]:
    ask = Asker(stage.cloud, stage.region.clock, lambda elapsed: 2.0)
    seen = review.review(stage.cloud, rollout.wanted, rollout.deployed, ACCOUNT, ask)
    found = saved.document(CALLER, "dev", Asked(), rollout, seen, made_by="9.9", salt=salt)
    through: dict[str, Any] = json.loads(json.dumps(found))
    return through


def told(then: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, str]:
    return dict(moved.moved(then, now))


# What is in it


def test_a_plan_tells_where_what_and_from_which_state() -> None:
    stage = standing()

    found = plan(stage)

    maker, user = found["stacks"]
    there = stage.region.live("tap-dev-maker")
    assert there is not None
    assert (found["type"], found["version"], found["tapgen"]) == ("tapgen-plan", 1, "9.9")
    assert (found["environment"], found["account"], found["region"], found["caller"]) == (
        "dev",
        ACCOUNT,
        "ap-northeast-1",
        CALLER.arn,
    )
    assert (maker["stack"], maker["tier"], maker["action"], maker["source"]) == (
        "tap-dev-maker",
        "maker",
        "update",
        "change set",
    )
    assert maker["deployed"]["id"] == there.id
    assert maker["deployed"]["status"] == "CREATE_COMPLETE"
    assert re.fullmatch("[0-9a-f]{64}", maker["fingerprint"])
    assert (user["action"], user["source"]) == ("keep", "same template, parameters and tags")
    assert found["exports"] == [
        {
            "name": "tap-dev-B",
            "stack": "tap-dev-maker",
            "action": "vanishes",
            "certain": True,
            "importers": [],
        },
        {
            "name": "tap-dev-C",
            "stack": "tap-dev-maker",
            "action": "appears",
            "certain": True,
            "importers": [],
        },
    ]
    assert [(phase["title"], phase["stacks"]) for phase in found["rounds"]] == [
        ("deploy", ["tap-dev-maker", "tap-dev-user"])
    ]


def test_who_imports_what_changes_is_in_the_plan_and_every_round_with_its_templates() -> None:
    found = plan(standing(), {"maker": Part({"A": "other", "B": "b"}), "user": PARTS["user"]})

    assert found["importers"] == {"tap-dev-A": ["tap-dev-user"]}
    assert [(each["name"], each["importers"]) for each in found["exports"]] == [
        ("tap-dev-A", ["tap-dev-user"])
    ]
    assert [phase["title"] for phase in found["rounds"]] == ["detach", "deploy"]
    detach, deploy = found["rounds"]
    # Detached, the importer has another template than the one it is to have in the end.
    assert (
        detach["fingerprints"][0] != deploy["fingerprints"][deploy["stacks"].index("tap-dev-user")]
    )


def test_a_plan_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"

    saved.write(path, plan(standing()))

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert saved.read(path)["environment"] == "dev"


def hidden(stage: Rounds, pin: str) -> Rollout:
    """A run of one stack with a hidden parameter."""
    rollout, _ = stage.plan({"maker": Part({"A": "a"})})
    (item,) = rollout.wanted
    declared = Parameter("Pin", Type="String", NoEcho=True, Default="none").to_dict()
    body = {**item.document, "Parameters": {**item.document["Parameters"], "Pin": declared}}
    request = replace(item.request, parameters={**item.request.parameters, "Pin": pin})
    return replace(rollout, wanted=(replace(item, document=body, request=request),))


def test_a_secret_is_nowhere_in_a_plan_and_a_change_of_it_is_noticed() -> None:
    stage = Rounds()
    then = of(stage, hidden(stage, "hunter2"))

    same = of(stage, hidden(stage, "hunter2"), then["salt"])
    other = of(stage, hidden(stage, "swordfish"), then["salt"])
    elsewhere = of(stage, hidden(stage, "hunter2"))

    assert "hunter2" not in json.dumps(then)
    assert told(then, same) == {}
    assert told(then, other) == {
        "tap-dev-maker": "has another template, or other parameters or tags"
    }
    # Nobody can tell from two files that their secrets are the same.
    assert then["stacks"][0]["hidden"] != elsewhere["stacks"][0]["hidden"]


def test_a_secret_among_the_settings_of_a_run_is_not_kept() -> None:
    items = hidden(Rounds(), "hunter2").wanted

    with pytest.raises(HiddenFlag) as caught:
        saved.check_flags(["tags=a=b", "pin=hunter2"], items)

    assert str(caught.value) == (
        "--set pin: its parameter is NoEcho, and a kept plan holds no secret; "
        "set it in tapgen.toml or as TAPGEN_PIN"
    )


# What moved since


def test_an_environment_that_nobody_touched_is_as_planned() -> None:
    stage = standing()
    then = plan(stage)
    stage.region.settle()

    assert told(then, plan(stage, salt=then["salt"])) == {}


def _deployed(stage: Rounds) -> None:
    stage.roll_out({**PARTS, "maker": Part({"A": "a", "B": "b", "D": "d"})})


def _made_anew(stage: Rounds) -> None:
    # Without its importer, which would keep it.
    for name in ("user", "maker"):
        stage.cloud.delete_stack(f"tap-dev-{name}", f"gone-{name}")
        stage.region.settle()
    stage.roll_out(PARTS)


def _deleted(stage: Rounds) -> None:
    for name in ("user", "maker"):
        stage.cloud.delete_stack(f"tap-dev-{name}", f"gone-{name}")
        stage.region.settle()


def _rolled_back(stage: Rounds) -> None:
    stack = stage.region.live("tap-dev-maker")
    assert stack is not None
    stack.status = "UPDATE_ROLLBACK_COMPLETE"


def _edited(stage: Rounds) -> None:
    stack = stage.region.live("tap-dev-maker")
    assert stack is not None
    held = stack.held["ATopic"]
    held.properties = {**held.properties, "DisplayName": "by hand"}


@pytest.mark.parametrize(
    ("happens", "why"),
    [
        (_deployed, "was changed at 2026-"),
        (_made_anew, "was deleted and made anew"),
        (_deleted, "is not deployed any more"),
        (_rolled_back, "is in UPDATE_ROLLBACK_COMPLETE now, not in CREATE_COMPLETE"),
        (_edited, "would change in another way"),
    ],
)
def test_a_stack_that_moved_is_named_with_what_moved(
    happens: Callable[[Rounds], None], why: str
) -> None:
    stage = standing()
    then = plan(stage)

    happens(stage)

    assert told(then, plan(stage, salt=then["salt"]))["tap-dev-maker"].startswith(why)


def test_another_template_is_noticed_and_so_is_a_tier_more_or_less() -> None:
    stage = standing()
    then = plan(stage)

    other = plan(stage, {"maker": Part({"A": "a"}), "user": Part(uses=["A"])}, then["salt"])
    more = plan(stage, {**NEXT, "third": Part()}, then["salt"])

    assert told(then, other) == {
        "tap-dev-maker": "has another template, or other parameters or tags"
    }
    assert told(then, more) == {"tap-dev-third": "is not in the plan"}
    assert told(more, then) == {"tap-dev-third": "is no longer described"}


def test_somebody_who_imports_since_is_noticed() -> None:
    stage = standing()
    then = plan(stage)
    theirs = {"user": Part(uses=["A", "B"])}
    late = standing({**PARTS, **theirs})
    now = {**plan(late, salt=then["salt"]), "stacks": then["stacks"]}

    assert told(then, now) == {"tap-dev-maker": "has tap-dev-B, which tap-dev-user imports now"}


def test_rounds_that_became_others_are_noticed() -> None:
    then = plan(standing())
    now = {**then, "rounds": [{**then["rounds"][0], "fingerprints": ["0"]}]}

    assert told(then, now) == {
        "the order": "is another: exports in use leave or change otherwise than planned"
    }


def test_the_refusal_is_one_line_with_every_stack() -> None:
    stage = standing()
    then = plan(stage)
    _deleted(stage)

    with pytest.raises(PlanMoved) as caught:
        moved.check(FILE, then, plan(stage, salt=then["salt"]))

    assert str(caught.value) == (
        "plan.json no longer holds: tap-dev-maker is not deployed any more; "
        "tap-dev-user is not deployed any more; nothing was changed: "
        "make a new plan and have it approved"
    )
    assert caught.value.status == 1


def test_a_plan_of_another_place_is_refused() -> None:
    then = plan(standing())

    with pytest.raises(PlanMoved) as caught:
        moved.check_place(FILE, then, "prod", "999999999999", "ap-northeast-1")

    assert caught.value.moved == {
        "the environment": "is prod, and the plan is for dev",
        "the account": f"is 999999999999, and the plan is for {ACCOUNT}",
    }


# Files that are no plan


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "this is no plan, or not all of one"),
        ('{"type": "tapgen-plan", "version": 1', "this is no plan, or not all of one"),
        ("[]", "this is no plan of tapgen"),
        ('{"type": "terraform"}', "this is no plan of tapgen"),
        ('{"type": "tapgen-plan", "version": 1}', "this plan is damaged"),
        ('{"type": "tapgen-plan", "version": "1"}', "this plan is damaged"),
        (
            '{"type": "tapgen-plan", "version": 2, "tapgen": "7.0"}',
            "made by a tapgen 7.0, in a form that this one cannot read",
        ),
    ],
)
def test_what_is_no_plan_is_said_in_one_line(tmp_path: Path, content: str, why: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(content, encoding="utf-8")

    with pytest.raises(BadPlan) as caught:
        saved.read(path)

    assert str(caught.value) == f"{path}: {why}; make one with tapgen plan --out {path}"
    assert caught.value.status == 2


def test_a_plan_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(BadPlan, match="there is no such file"):
        saved.read(tmp_path / "plan.json")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("account", None),
        ("tiers", "all"),
        ("set", [1]),
        ("method", "guess"),
        ("stacks", {}),
        ("stacks", [{"stack": "x"}]),
        ("rounds", None),
        ("importers", []),
        ("salt", "not hex, but as long as one is.."),
    ],
)
def test_a_damaged_plan_is_told_before_anything_is_asked(
    tmp_path: Path, key: str, value: object
) -> None:
    path = tmp_path / "plan.json"
    saved.write(path, {**plan(Rounds()), key: value})

    with pytest.raises(BadPlan, match="this plan is damaged"):
        saved.read(path)
