"""``tapgen plan``, and the first screen of ``tapgen deploy``."""

from __future__ import annotations

import json

import pytest
from command_line import CommandLine
from local_aws import client, status

from tapgen.local.lease import Embedded

NOTIFICATION = "tap-dev-notification"
PLAN = ("plan", "notification", "--env", "dev")


@pytest.fixture
def deployed(tapgen: CommandLine) -> CommandLine:
    """An environment with one small stack."""
    assert tapgen("deploy", "notification", "--env", "dev", "--yes").status == 0
    return tapgen


def test_a_plan_for_a_new_stack_makes_nothing(tapgen: CommandLine, aws_account: Embedded) -> None:
    told = tapgen(*PLAN)

    assert (told.status, told.out) == (0, "dev: 1 stack would be deployed\n")
    assert f"{NOTIFICATION}  create  not deployed yet: 6 resources\n" in told.err
    assert status(aws_account, NOTIFICATION) == ""


def test_a_plan_says_when_there_is_nothing_to_do(deployed: CommandLine) -> None:
    told = deployed(*PLAN, "--exit-code")

    assert (told.status, told.out) == (0, "dev: nothing to do, 1 stack unchanged\n")


def test_a_plan_shows_what_would_change_and_from_what_to_what(
    deployed: CommandLine, aws_account: Embedded
) -> None:
    cloudformation = client(aws_account, "cloudformation")
    before = cloudformation.list_change_sets(StackName=NOTIFICATION)["Summaries"]

    told = deployed(*PLAN, "--exit-code", "--set", "tags=Team=video")

    assert (told.status, told.out) == (3, "dev: 1 stack would be deployed\n")
    assert f"\n{NOTIFICATION}: 1 tag\n  +   tag Team: video\n" in told.err
    assert cloudformation.list_change_sets(StackName=NOTIFICATION)["Summaries"] == before


def test_a_plan_is_data_for_machines(deployed: CommandLine) -> None:
    told = deployed(*PLAN, "--output", "json", "--set", "tags=Team=video")

    plan = json.loads(told.out)
    (stack,) = plan["stacks"]
    assert (stack["stack"], stack["action"]) == (NOTIFICATION, "update")
    assert stack["source"] == "predicted from schemas"
    assert stack["changes"]["tags"] == [
        {"key": "Team", "before": {"mark": "absent"}, "after": "video"}
    ]
    assert plan["rounds"] == [{"title": "deploy", "stacks": [NOTIFICATION]}]


def test_no_colour_is_written_where_none_is_wanted(deployed: CommandLine) -> None:
    told = deployed(*PLAN, "--set", "tags=Team=video")

    assert "\x1b[" not in told.err + told.out
