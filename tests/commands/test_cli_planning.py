"""``tapgen plan``, and the first screen of ``tapgen deploy``."""

from __future__ import annotations

import json
import signal
import time

import pytest
from command_line import CommandLine, ended
from local_aws import client, faults_left, set_faults, status

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
    assert f"{NOTIFICATION}  create  not deployed yet: 6 resources, 5 exports\n" in told.err
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
    assert f"{NOTIFICATION}  update  tag Team: 6 resources (change set)\n" in told.err
    assert (
        f"\n{NOTIFICATION}: 6 changed, 1 tag\n"
        "  ~   the stack's tags alone: CompletionTopic, CompletionTopicPolicy,\n"
        "      ErrorTopic, ErrorTopicPolicy, TopicKey, TopicKeyAlias\n"
        "  +   tag Team: video\n"
    ) in told.err
    assert cloudformation.list_change_sets(StackName=NOTIFICATION)["Summaries"] == before


def test_a_plan_from_the_templates_asks_for_no_change_set(deployed: CommandLine) -> None:
    told = deployed(*PLAN, "--set", "tags=Team=video", "--method", "template")

    assert f"{NOTIFICATION}  update  tag Team: 0 resources (predicted from schemas)\n" in told.err


def test_the_account_is_called_by_its_name_where_something_would_be_done(
    deployed: CommandLine, aws_account: Embedded
) -> None:
    client(aws_account, "iam").create_account_alias(AccountAlias="video-dev")
    account, where = aws_account.account, "ap-northeast-1, as arn:aws:iam::"

    acting, idle = deployed(*PLAN, "--set", "tags=Team=video"), deployed(*PLAN)

    assert acting.err.startswith(f"account {account} (video-dev), {where}")
    # Nobody asks for it then: an environment at rest is to be known fast.
    assert idle.err.startswith(f"account {account}, {where}")


def test_a_plan_is_data_for_machines(deployed: CommandLine) -> None:
    told = deployed(*PLAN, "--output", "json", "--set", "tags=Team=video")

    plan = json.loads(told.out)
    (stack,) = plan["stacks"]
    assert (stack["stack"], stack["action"]) == (NOTIFICATION, "update")
    assert (stack["source"], stack["note"]) == ("change set", "")
    assert stack["changes"]["tags"] == [
        {"key": "Team", "before": {"mark": "absent"}, "after": "video"}
    ]
    (only,) = plan["rounds"]
    assert (only["title"], only["stacks"]) == ("deploy", [NOTIFICATION])
    assert set(plan) == {
        "type",
        "version",
        "tapgen",
        "environment",
        "account",
        "alias",
        "region",
        "caller",
        "tiers",
        "set",
        "method",
        "notes",
        "packages",
        "stacks",
        "exports",
        "rounds",
        "importers",
        "salt",
    }
    assert set(stack) == {
        "stack",
        "tier",
        "action",
        "why",
        "source",
        "note",
        "fingerprint",
        "hidden",
        "deployed",
        "changes",
        "findings",
        "access",
    }


def test_no_colour_is_written_where_none_is_wanted(deployed: CommandLine) -> None:
    told = deployed(*PLAN, "--set", "tags=Team=video")

    assert "\x1b[" not in told.err + told.out


@pytest.mark.parametrize("action", ["CreateChangeSet", "DescribeChangeSet"])
def test_an_interrupted_plan_takes_its_change_sets_away(
    deployed: CommandLine, aws_account: Embedded, action: str
) -> None:
    cloudformation = client(aws_account, "cloudformation")
    before = cloudformation.list_change_sets(StackName=NOTIFICATION)["Summaries"]
    late = {"service": "cloudformation", "action": action, "status": 0}
    set_faults(aws_account, requests=[{**late, "delay": deployed.while_running()}])
    process = deployed.start(*PLAN, "--set", "tags=Team=video")
    while faults_left(aws_account) and process.poll() is None:
        time.sleep(0.02)

    process.send_signal(signal.SIGINT)
    told = ended(process)

    assert (told.status, told.out) == (130, "")
    assert told.err.endswith("tapgen: interrupted\n")
    assert cloudformation.list_change_sets(StackName=NOTIFICATION)["Summaries"] == before


# A plan that is kept


@pytest.fixture
def kept(deployed: CommandLine) -> CommandLine:
    """The environment, with a plan to give its stack a tag in plan.json."""
    told = deployed(*PLAN, "--set", "tags=Team=video", "--out", "plan.json")
    assert (told.status, told.out) == (0, "dev: 1 stack would be deployed\n")
    assert (
        "kept as plan.json; to carry it out: tapgen deploy --env dev --plan plan.json" in told.err
    )
    return deployed


CARRY_OUT = ("deploy", "--env", "dev", "--plan", "plan.json")


def test_a_kept_plan_is_carried_out_without_asking_and_once(
    kept: CommandLine, aws_account: Embedded
) -> None:
    first, again = kept(*CARRY_OUT), kept(*CARRY_OUT)

    (stack,) = client(aws_account, "cloudformation").describe_stacks(StackName=NOTIFICATION)[
        "Stacks"
    ]
    assert first.status == 0
    assert {"Key": "Team", "Value": "video"} in stack["Tags"]
    assert (again.status, again.out) == (1, "")
    assert f"tapgen: plan.json no longer holds: {NOTIFICATION} was changed at 20" in again.err
    assert "nothing was changed: make a new plan and have it approved\n" in again.err


def test_settings_that_changed_since_the_plan_stop_it_with_nothing_changed(
    kept: CommandLine, aws_account: Embedded
) -> None:
    (kept.folder / "tapgen.toml").write_text('[defaults.tags]\nOwner = "me"\n', encoding="utf-8")
    cloudformation = client(aws_account, "cloudformation")
    before = cloudformation.describe_stacks(StackName=NOTIFICATION)["Stacks"]

    told = kept(*CARRY_OUT)

    assert told.status == 1
    assert told.err.endswith(
        f"tapgen: plan.json no longer holds: {NOTIFICATION} has another template, or other "
        "parameters or tags; nothing was changed: make a new plan and have it approved\n"
    )
    assert cloudformation.describe_stacks(StackName=NOTIFICATION)["Stacks"] == before


def test_a_plan_of_another_environment_is_refused(kept: CommandLine) -> None:
    told = kept("deploy", "--env", "prod", "--plan", "plan.json")

    assert told.status == 1
    assert told.line == (
        "tapgen: plan.json no longer holds: the environment is prod, and the plan is for dev; "
        "nothing was changed: make a new plan and have it approved"
    )


@pytest.mark.parametrize(
    ("more", "option"),
    [
        (("notification",), "the tiers"),
        (("--set", "tags=a=b"), "--set"),
        (("--method", "template"), "--method"),
    ],
)
def test_what_a_plan_says_is_not_said_twice(
    offline: CommandLine, more: tuple[str, ...], option: str
) -> None:
    told = offline(*CARRY_OUT, *more)

    assert told.status == 2
    assert told.line == f"tapgen: --plan says already what is deployed: leave out {option}"


def test_a_file_that_is_no_plan_is_told_in_one_line(offline: CommandLine) -> None:
    (offline.folder / "plan.json").write_text("{", encoding="utf-8")

    told = offline(*CARRY_OUT)

    assert told.status == 2
    assert told.line == (
        "tapgen: plan.json: this is no plan, or not all of one; "
        "make one with tapgen plan --out plan.json"
    )
