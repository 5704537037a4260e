"""The first screen of plan and deploy: what a person reads before anything changes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from troposphere import iam, sns
from twin import faults
from twin.region import ACCOUNT
from twin.rounds import Part, Rounds

from tapgen.cloud import CloudError
from tapgen.commands import preparing
from tapgen.engine import review
from tapgen.engine.exact import Asker
from tapgen.session import Session


def standing(parts: Mapping[str, Part]) -> Rounds:
    stage = Rounds()
    stage.roll_out(parts)
    stage.region.settle()
    return stage


def screen(
    stage: Rounds, parts: Mapping[str, Part], capsys: pytest.CaptureFixture[str]
) -> tuple[int, str]:
    """How many stacks would be acted on, and what is shown."""
    rollout, _ = stage.plan(parts)
    ask = Asker(stage.cloud, stage.region.clock, lambda elapsed: 2.0)
    seen = review.review(stage.cloud, rollout.wanted, rollout.deployed, ACCOUNT, ask)
    acting = preparing.show(seen, ())
    return acting, capsys.readouterr().err


def test_a_moving_export_is_shown_whole(capsys: pytest.CaptureFixture[str]) -> None:
    stage = standing({"maker": Part({"A": "a"}), "user": Part(uses=["A"])})
    arn = stage.region.exports()["tap-dev-A"]

    acting, told = screen(stage, {"maker": Part({"A": "b"}), "user": Part(uses=["A"])}, capsys)

    assert acting == 2
    assert told == (
        "tap-dev-maker  update  template: 1 resource (change set)\n"
        "tap-dev-user   keep    unchanged, but what it imports changes: "
        "1 resource (predicted from schemas)\n"
        "\n"
        "tap-dev-maker: 1 replaced, 1 output, 1 export\n"
        "  -/+ ATopic  AWS::SNS::Topic\n"
        "      -/+ TopicName: a -> b\n"
        "          cannot be changed in place\n"
        "  ~   export tap-dev-A:\n"
        f"        - {arn}\n"
        "        + (known after apply: ${ATopic})\n"
        "      imported by tap-dev-user\n"
        f"  ~   template digest: {_digests(stage, told)}\n"
        "  !!  destructive: export tap-dev-A changes, and is imported by tap-dev-user\n"
        "      [export-changed]\n"
        "\n"
        "tap-dev-user: 1 changed\n"
        "  ~   UsesA  AWS::SSM::Parameter\n"
        f"      ~   Value: {arn} -> ${{import tap-dev-A}}\n"
        "\n"
        "in 2 rounds, because exports in use leave or change:\n"
        "  1 detach: importers of values that will change hold them literally; "
        "no resource changes\n"
        "    tap-dev-user\n"
        "  2 deploy: everything as wanted; exports that are still imported stay\n"
        "\n"
    )


def _digests(stage: Rounds, told: str) -> str:
    """The two digests as told, the first of which must be the one that stands."""
    stack = stage.cloud.stack("tap-dev-maker")
    assert stack is not None
    line = next(line for line in told.splitlines() if "template digest" in line)
    before, after = line.partition(": ")[2].split(" -> ")
    assert before == stack.outputs["TemplateDigest"] != after
    return f"{before} -> {after}"


def policy(*actions: str) -> Any:
    return iam.PolicyType(
        "Rights",
        PolicyName="rights",
        PolicyDocument={
            "Statement": [
                {"Effect": "Allow", "Action": list(actions), "Resource": "arn:aws:s3:::b"}
            ]
        },
        Users=["someone"],
    )


def test_who_may_do_more_is_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    stage = standing({"x": Part(beside=[policy("s3:GetObject")])})

    _, told = screen(stage, {"x": Part(beside=[policy("s3:GetObject", "s3:*")])}, capsys)

    assert "  !   broadening: Rights allows s3:* on arn:aws:s3:::b [access-broadened]\n" in told
    table = told.partition("who may do what in tap-dev-x (! is more than before):\n")[2]
    assert table.splitlines()[:3] == [
        "    Resource        Effect  Action  Principal",
        "--  --------------  ------  ------  ---------",
        "+!  arn:aws:s3:::b  Allow   s3:*    ${Rights}",
    ]


def test_why_nobody_could_be_asked_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    stage = standing({"x": Part({"X": "x"})})
    stage.region.faults.call("create_change_set", faults.DENIED)

    _, told = screen(stage, {"x": Part({"X": "y"})}, capsys)

    assert told.endswith(
        "tap-dev-x: no change set, because these credentials may not make one: User is not "
        "authorized to perform this action; so it is predicted from the templates\n"
    )


def test_new_stacks_are_told_with_what_they_bring(capsys: pytest.CaptureFixture[str]) -> None:
    parts = {"maker": Part({"A": "a"}, beside=[sns.Topic("More")]), "user": Part(uses=["A"])}

    acting, told = screen(Rounds(), parts, capsys)

    assert (acting, told) == (
        2,
        "tap-dev-maker  create  not deployed yet: 2 resources, 1 export\n"
        "tap-dev-user   create  not deployed yet: 1 resource\n"
        "\n",
    )


# The account's name


class _Account:
    """Answers with an alias, an error, or after a while."""

    def __init__(self, answer: str | CloudError, seconds: float = 0.0) -> None:
        self.answer, self.seconds, self.asked = answer, seconds, 0

    def alias(self) -> str:
        self.asked += 1
        time.sleep(self.seconds)
        if isinstance(self.answer, CloudError):
            raise self.answer
        return self.answer


def session(account: Any, *, local: bool = False) -> Session:
    return replace(Rounds().session, account=account, local=local)


def test_the_alias_is_asked_once_when_it_is_first_wanted() -> None:
    account = _Account("video-dev")
    alias = preparing.alias_of(session(account))

    assert account.asked == 0
    assert (alias(), alias(), account.asked) == ("video-dev", "video-dev", 1)


def test_nobody_waits_for_an_alias_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "ALIAS_SECONDS", 0.02)
    begun = time.monotonic()

    assert preparing.alias_of(session(_Account("late", seconds=0.5)))() == ""
    assert time.monotonic() - begun < 0.4


def test_an_alias_that_nobody_tells_is_none() -> None:
    assert preparing.alias_of(session(_Account(CloudError("no"))))() == ""
    assert preparing.alias_of(session(_Account("unasked"), local=True))() == ""
