"""What a deploy or a destroy asks for before data goes or more is allowed, and how it is answered.

Real tiers on a twin. A key of the notification tier is what holds data here: with another
environment's tags it stays, with another template it may go.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from command_on_twin import Desk, desk

from tapgen import yaml_text
from tapgen.commands import options
from tapgen.digest import sealed

__all__ = ["desk"]

STACK = "tap-dev-notification"
DEPLOY = ("deploy", "notification", "--env", "dev")


@pytest.fixture
def deployed(desk: Desk) -> Desk:
    """An environment with one tier."""
    told = desk.line(*DEPLOY, "--yes")
    assert told.status == 0, told.err
    return desk


def settings(text: str) -> None:
    Path("tapgen.toml").write_text(f"[env.dev]\n{text}\n")


def stack(desk: Desk) -> Any:
    found = desk.scene.region.live(STACK)
    assert found is not None
    return found


def losing(desk: Desk) -> None:
    """Let what runs hold a key that the template of today does not know."""
    client = desk.scene.twin.client("cloudformation")
    document = yaml_text.load(stack(desk).version.text)
    document["Resources"]["OldKey"] = {
        "Type": "AWS::KMS::Key",
        "DeletionPolicy": "Delete",
        "Properties": {"KeyPolicy": {}},
    }
    client.update_stack(
        StackName=STACK,
        TemplateBody=yaml_text.dump(sealed(document)),
        Parameters=[{"ParameterKey": "EnvironmentSuffix", "UsePreviousValue": True}],
        Capabilities=["CAPABILITY_NAMED_IAM"],
        Tags=[{"Key": k, "Value": v} for k, v in stack(desk).version.tags.items()],
    )
    desk.scene.region.settle()
    assert stack(desk).status == "UPDATE_COMPLETE"


def test_a_protected_environment_is_protected_after_its_first_deploy(desk: Desk) -> None:
    settings("protected = true")

    told = desk.line(*DEPLOY, "--yes")

    assert told.status == 0
    assert f"{STACK}  termination protection is on; a stack policy keeps its data" in told.err
    assert stack(desk).protected
    assert "Update:Delete" in stack(desk).policy


def test_where_data_would_go_yes_is_not_enough(deployed: Desk) -> None:
    losing(deployed)

    refused = deployed.line(*DEPLOY, "--yes")
    mistyped = deployed.line(*DEPLOY, "--yes", "--confirm", "prod")
    done = deployed.line(*DEPLOY, "--confirm", "dev")

    assert (refused.status, mistyped.status, done.status) == (2, 130, 0)
    assert refused.err.splitlines()[-1] == (
        "tapgen: 1 resource with data would go: that needs the suffix typed, and nobody can be "
        "asked here: add --confirm dev"
    )
    assert f"{STACK}: OldKey (AWS::KMS::Key) leaves the stack" in refused.err
    assert mistyped.err.splitlines()[-1] == "tapgen: 'prod' is not 'dev': nothing was done"
    assert (STACK, "OldKey") in deployed.scene.region.removed


def test_in_a_protected_environment_the_typed_name_opens_the_policy_for_that_loss_only(
    deployed: Desk,
) -> None:
    losing(deployed)
    settings("protected = true")

    done = deployed.line(*DEPLOY, "--confirm", "dev")

    assert done.status == 0, done.err
    assert (STACK, "OldKey") in deployed.scene.region.removed
    assert "NotResource" not in stack(deployed).policy
    assert stack(deployed).protected


def test_somebody_at_a_terminal_types_it(deployed: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    losing(deployed)
    deployed.somebody_sits_here()
    monkeypatch.setattr(click, "prompt", lambda *_, **__: "dev")

    assert deployed.line(*DEPLOY).status == 0
    assert (STACK, "OldKey") in deployed.scene.region.removed


@pytest.mark.parametrize("level", ["never", "destructive", "broadening"])
def test_a_harmless_change_goes_through_where_only_worse_is_asked_for(
    deployed: Desk, level: str
) -> None:
    told = deployed.line(*DEPLOY, "--set", "tags=Team=video", "--require-approval", level)

    assert (told.status, stack(deployed).version.tags["Team"]) == (0, "video")


def test_any_change_is_asked_for_by_default_and_by_the_settings(deployed: Desk) -> None:
    by_default = deployed.line(*DEPLOY, "--set", "tags=Team=video")
    settings("require_approval = 'never'")
    by_settings = deployed.line(*DEPLOY, "--set", "tags=Team=video")

    assert (by_default.status, by_settings.status) == (2, 0)
    assert "Deploy 1 stack to dev? Nobody can be asked here: use --yes" in by_default.err


def test_a_role_is_what_cloudformation_acts_as(deployed: Desk) -> None:
    role = "arn:aws:iam::123456789012:role/deployer"

    told = deployed.line(*DEPLOY, "--yes", "--set", "tags=Team=video", "--role-arn", role)

    made = [c for c in deployed.scene.region.calls if c.operation == "create_change_set"]
    assert told.status == 0
    assert made[-1].parameters["RoleARN"] == role
    assert "RoleARN" not in made[0].parameters


def test_express_mode_is_asked_of_cloudformation_and_not_for_protected_ones(
    deployed: Desk,
) -> None:
    fast = deployed.line(*DEPLOY, "--yes", "--set", "tags=Team=video", "--express")
    made = [c for c in deployed.scene.region.calls if c.operation == "create_change_set"]
    settings("protected = true")
    refused = deployed.line(*DEPLOY, "--yes", "--express", "--set", "tags=Team=audio")

    assert fast.status == 0
    assert made[-1].parameters["DeploymentConfig"] == {
        "Mode": "EXPRESS",
        "DisableRollback": False,
    }
    assert refused.status == 2
    assert refused.err.splitlines()[-1] == (
        "tapgen: --express is for development: environment 'dev' is protected in tapgen.toml"
    )


def test_a_protected_environment_is_destroyed_by_name_only(desk: Desk) -> None:
    settings("protected = true")
    desk.line(*DEPLOY, "--yes")

    refused = desk.line("destroy", "--env", "dev", "--yes")
    done = desk.line("destroy", "--env", "dev", "--confirm", "dev")

    assert (refused.status, done.status) == (2, 0)
    assert "dev is protected: that needs the suffix typed" in refused.err
    assert desk.scene.region.live(STACK) is None


def test_a_protection_that_the_settings_do_not_know_of_stays_in_the_way(desk: Desk) -> None:
    settings("protected = true")
    desk.line(*DEPLOY, "--yes")
    settings("protected = false")

    told = desk.line("destroy", "--env", "dev", "--confirm", "dev", "--yes")

    assert told.status == 1
    assert f"{STACK} has termination protection" in told.err
    assert stack(desk).protected


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("account = ['999999999999', '888888888888']", "belongs to account 999999999999 or 888"),
        ("region = 'eu-west-1'", "may stand in eu-west-1 only, and this system lives in ap-north"),
    ],
)
def test_an_environment_stands_where_its_settings_want_it_and_nowhere_else(
    desk: Desk, toml: str, words: str
) -> None:
    settings(toml)

    told = desk.line(*DEPLOY, "--yes")

    assert told.status == 1
    assert words in told.err
    assert desk.scene.region.mutations == []


def test_the_option_offers_what_the_setting_takes() -> None:
    from tapgen.settings import own

    assert options.APPROVALS == own.APPROVALS
