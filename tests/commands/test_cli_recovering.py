"""deploy of what is in a bad way, and destroy of what does not want to go: on a twin."""

from __future__ import annotations

import json
from typing import Any

import pytest
from allowing import NETWORK, update
from command_on_twin import Desk
from twin.scene import graph_of, tier

DEPLOY = ("deploy", "notification", "--env", "dev")
DESTROY = ("destroy", "--env", "dev")
NOTIFICATION = "tap-dev-notification"


@pytest.fixture
def stillborn(desk: Desk) -> Desk:
    """A notification stack whose creation failed once, and would work now."""
    desk.scene.region.faults.resource(NOTIFICATION, "ErrorTopic", "CREATE", "Quota met", times=1)
    assert desk.line(*DEPLOY, "--yes").status == 1
    assert desk.scene.region.status(NOTIFICATION) == "ROLLBACK_COMPLETE"
    return desk


@pytest.fixture
def stuck(desk: Desk) -> Desk:
    """A notification stack whose update failed, and could not be taken back."""
    desk.line(*DEPLOY, "--yes")
    (desk.line.folder / "tapgen.toml").write_text('[env.dev]\ntags = { Team = "video" }\n')
    faults = desk.scene.region.faults
    faults.resource(NOTIFICATION, "ErrorTopic", "UPDATE", "Not today", times=1)
    faults.resource(NOTIFICATION, "ErrorTopic", "ROLLBACK", "Not back", times=1)
    desk.line(*DEPLOY, "--yes", "--method", "template")
    assert desk.scene.region.status(NOTIFICATION) == "UPDATE_ROLLBACK_FAILED"
    return desk


def mutations(desk: Desk) -> list[str]:
    return [call.operation for call in desk.scene.region.mutations]


# A creation that failed


def test_a_failed_creation_is_offered_to_be_deleted_after_its_cause_was_shown(
    stillborn: Desk,
) -> None:
    stillborn.somebody_sits_here()

    told = stillborn.line(*DEPLOY, answer="y\ny\n")

    cause = (
        f"{NOTIFICATION}: its creation failed and was taken back: "
        "ErrorTopic (AWS::SNS::Topic): Quota met\n"
    )
    question = f"Delete {NOTIFICATION} and create it anew? [y/N]: "
    assert told.status == 0
    assert told.err.index(cause) < told.err.index(question) < told.err.index("Deploy 1 stack to")
    assert told.out.startswith(f"{NOTIFICATION}  recreated  ")


@pytest.mark.parametrize("arguments", [(), ("--yes",)], ids=["no", "yes to everything else"])
def test_a_failed_creation_stays_where_nobody_says_that_it_may_go(
    stillborn: Desk, arguments: tuple[str, ...]
) -> None:
    stillborn.somebody_sits_here()
    before = mutations(stillborn)

    told = stillborn.line(*DEPLOY, *arguments, answer="n\ny\n")

    assert told.status == 1
    assert "run again with --recreate-failed" in told.err
    assert mutations(stillborn) == before


def test_what_remains_of_a_failed_creation_is_shown(desk: Desk) -> None:
    faults = desk.scene.region.faults
    faults.resource(NOTIFICATION, "ErrorTopic", "CREATE", "Quota met", times=1)
    faults.resource(NOTIFICATION, "TopicKey", "DELETE", "Somebody uses it", times=1)
    desk.line(*DEPLOY, "--yes")

    told = desk.line(*DEPLOY, "--yes", "--recreate-failed")

    assert f"{NOTIFICATION}: its creation failed and could not be taken back: " in told.err
    assert "  in the way: TopicKey (AWS::KMS::Key): Somebody uses it\n" in told.err
    assert "  still there: AWS::KMS::Key tap-dev-notification-TopicKey-" in told.err
    assert told.status == 0


# An update that failed


def test_the_last_failure_of_a_stack_that_was_taken_back_is_told_first(desk: Desk) -> None:
    desk.line(*DEPLOY, "--yes")
    (desk.line.folder / "tapgen.toml").write_text('[env.dev]\ntags = { Team = "video" }\n')
    desk.scene.region.faults.resource(NOTIFICATION, "ErrorTopic", "UPDATE", "Not today", times=1)
    desk.line(*DEPLOY, "--yes")

    told = desk.line(*DEPLOY, "--yes")

    cause = (
        f"{NOTIFICATION}: its last update failed and was taken back: "
        "ErrorTopic (AWS::SNS::Topic): Not today\n"
    )
    assert told.status == 0
    assert told.err.index(cause) < told.err.index(f"{NOTIFICATION}  updating")


def test_a_rollback_that_failed_stops_with_what_is_in_the_way(stuck: Desk) -> None:
    stuck.somebody_sits_here()
    before = mutations(stuck)

    told = stuck.line(*DEPLOY, answer="y\n")

    assert told.status == 1
    assert "  in the way: ErrorTopic (AWS::SNS::Topic): Not back\n" in told.err
    assert "--recover --skip ErrorTopic" in told.err
    assert mutations(stuck) == before


def test_recover_goes_on_and_deploys_in_the_same_run(stuck: Desk) -> None:
    told = stuck.line(*DEPLOY, "--yes", "--recover")

    assert told.status == 0
    assert f"{NOTIFICATION}  taking a failed update back\n" in told.err
    assert told.out.startswith(f"{NOTIFICATION}  updated  ")


def test_skip_gives_up_what_it_names_and_must_name_what_is_in_the_way(stuck: Desk) -> None:
    alone = stuck.line(*DEPLOY, "--yes", "--skip", "ErrorTopic")
    other = stuck.line(*DEPLOY, "--yes", "--recover", "--skip", "TopicKey")
    before = len(mutations(stuck))
    told = stuck.line(*DEPLOY, "--yes", "--recover", "--skip", "notification/ErrorTopic")

    assert (alone.status, other.status) == (2, 2)
    assert "it needs --recover" in alone.err
    assert other.err.endswith(f"'TopicKey' is not in the way; what is: {NOTIFICATION}/ErrorTopic\n")
    assert told.status == 0
    first = stuck.scene.region.mutations[before]
    assert first.parameters["ResourcesToSkip"] == ["ErrorTopic"]


def test_no_wait_existing_fails_where_something_is_under_way(desk: Desk) -> None:
    desk.scene.deploy([tier("network")])
    desk.scene.region.durations["Topic0"] = 600.0
    update(desk.scene, "theirs")

    told = desk.line("deploy", "network", "--env", "dev", "--yes", "--no-wait-existing")

    assert told.status == 1
    assert "token theirs, and --no-wait-existing says not to wait [UPDATE_IN_PROGRESS]" in told.err


# What is verified, and what has left the code


def test_verify_confirms_what_is_unchanged(desk: Desk) -> None:
    desk.line(*DEPLOY, "--yes")

    told = desk.line(*DEPLOY, "--verify")

    assert (told.status, told.out) == (0, "dev: nothing to do, 1 stack unchanged\n")
    assert "verified: 1 stack unchanged\n" in told.err


def test_verify_finds_what_a_digest_hides_and_mends_it(desk: Desk) -> None:
    desk.line(*DEPLOY, "--yes")
    stack = desk.scene.cloud.stack(NOTIFICATION)
    assert stack is not None
    text = desk.scene.cloud.template(stack.id)
    desk.scene.twin.client("cloudformation").update_stack(
        StackName=NOTIFICATION,
        TemplateBody=text.replace("EnableKeyRotation: true", "EnableKeyRotation: false"),
        Parameters=[{"ParameterKey": "EnvironmentSuffix", "ParameterValue": "dev"}],
        Tags=[{"Key": key, "Value": value} for key, value in stack.tags.items()],
    )
    desk.scene.region.settle()

    blind = desk.line(*DEPLOY, "--yes")
    told = desk.line(*DEPLOY, "--yes", "--verify")

    assert blind.out == "dev: nothing to do, 1 stack unchanged\n"
    assert told.status == 0
    assert f"{NOTIFICATION}: its template was changed, though its digest was not; " in told.err
    assert told.out.startswith(f"{NOTIFICATION}  updated  ")


def test_a_stack_that_has_left_the_code_is_offered(desk: Desk) -> None:
    desk.scene.deploy([tier("old")])

    told = desk.line(*DEPLOY, "--yes")
    again = desk.line(*DEPLOY, "--yes")

    line = "tap-dev-old is deployed and no longer described: tapgen destroy old --env dev\n"
    assert line in told.err
    # An environment at rest is known at once: nothing more is asked.
    assert line not in again.err


# destroy


def test_a_dry_run_tells_everything_and_changes_nothing(desk: Desk) -> None:
    desk.scene.deploy([tier("network", topics=2, leaving={"Topic1": "Retain"})])
    next(iter(desk.scene.region.stacks.values())).protected = True
    before = mutations(desk)

    told = desk.line(*DESTROY, "--dry-run")
    as_json = desk.line(*DESTROY, "--dry-run", "--output", "json")

    assert told.status == 0
    assert f"to be deleted:\n  {NETWORK}  CREATE_COMPLETE\n" in told.err
    assert "kept:\n  AWS::SNS::Topic  tap-dev-network-Topic1-" in told.err
    assert f"in the way: {NETWORK} has termination protection\n" in told.err
    found = json.loads(as_json.out)
    assert found["delete"] == [{"stack": NETWORK, "status": "CREATE_COMPLETE"}]
    assert found["blockers"] == [f"{NETWORK} has termination protection"]
    assert mutations(desk) == before


def test_only_the_stacks_that_were_named_go(desk: Desk) -> None:
    desk.scene.deploy(graph_of({"network": [], "data": ["network"], "old": []}))

    refused = desk.line(*DESTROY, "network", "--yes")
    stood = desk.scene.statuses()
    told = desk.line(*DESTROY, "data", "network", "--yes")
    unknown = desk.line(*DESTROY, "network", "--yes")

    assert refused.status == 1
    assert refused.err.endswith(
        "tapgen: nothing was destroyed: tap-dev-NetworkArn is imported by tap-dev-data; "
        "to take tap-dev-data down too, name it\n"
    )
    assert len(stood) == 3
    assert told.status == 0
    assert desk.scene.statuses() == {"old": "CREATE_COMPLETE"}
    assert unknown.status == 2
    assert "dev has no stack of a tier 'network'; deployed there: old\n" in unknown.err


def test_orphans_are_the_stacks_that_have_left_the_code(desk: Desk) -> None:
    desk.scene.deploy(graph_of({"network": [], "old": []}))

    told = desk.line(*DESTROY, "--orphans", "--yes")
    again = desk.line(*DESTROY, "--orphans", "--yes")

    assert told.status == 0
    assert desk.scene.statuses() == {"network": "CREATE_COMPLETE"}
    assert again.err.endswith("no stack has left the code; nothing to destroy\n")


def stubborn(desk: Desk, **times: Any) -> None:
    """A network of two topics, of which the first cannot be deleted."""
    desk.scene.deploy([tier("network", topics=2)])
    desk.scene.region.faults.resource(NETWORK, "Topic0", "DELETE", "Still in use", **times)


def test_what_cannot_be_deleted_is_named_with_the_way_out(desk: Desk) -> None:
    stubborn(desk)

    told = desk.line(*DESTROY, "--yes")
    again = desk.line(*DESTROY, "--yes", "--retain", "Topic0")

    assert told.status == 1
    assert "leave them behind: --retain Topic0\n" in told.err
    assert (
        f"{NETWORK}: its last deletion failed: Topic0 (AWS::SNS::Topic): Still in use\n"
    ) in again.err
    assert again.status == 0
    assert [held.logical_id for held in desk.scene.region.standing.values()] == ["Topic0"]


def test_whoever_sits_there_is_offered_to_leave_it_behind(desk: Desk) -> None:
    stubborn(desk)
    desk.somebody_sits_here()

    told = desk.line(*DESTROY, answer="y\ny\n")

    question = f"Leave Topic0 behind, where no stack holds it, and finish {NETWORK}? [y/N]: "
    assert question in told.err
    assert told.status == 0
    assert told.out.startswith(f"{NETWORK}  deleted  ")
    assert desk.scene.statuses() == {}


def test_whoever_declines_keeps_the_stack(desk: Desk) -> None:
    stubborn(desk)
    desk.somebody_sits_here()

    told = desk.line(*DESTROY, answer="y\nn\n")

    assert told.status == 1
    assert desk.scene.statuses() == {"network": "DELETE_FAILED"}


def test_force_leaves_behind_whatever_stays(desk: Desk) -> None:
    stubborn(desk)

    told = desk.line(*DESTROY, "--yes", "--force")

    assert told.status == 0
    assert desk.scene.statuses() == {}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--force", "--retain", "Topic0"), "no --retain beside it"),
        (("network", "--orphans"), "name no tier beside it"),
        (("--retain", "Topic9"), "'Topic9' is not in the way"),
    ],
)
def test_flags_that_mean_nothing_together_are_refused(
    desk: Desk, flags: tuple[str, ...], words: str
) -> None:
    stubborn(desk)

    told = desk.line(*DESTROY, "--yes", *flags)

    assert told.status == 2
    assert words in told.err
    assert desk.scene.statuses() == {"network": "CREATE_COMPLETE"}
