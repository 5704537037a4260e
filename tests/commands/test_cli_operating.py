"""watch and cancel, and Ctrl-C under deploy, as a user meets them: the command line on a twin."""

from __future__ import annotations

import json
import signal

import pytest
from allowing import NETWORK, update
from command_on_twin import Desk
from twin import faults
from twin.scene import TAGS, tier, wanted

DEPLOY = ("deploy", "notification", "--env", "dev", "--yes")
NOTIFICATION = "tap-dev-notification"
WHO = "account 123456789012, ap-northeast-1, as arn:aws:iam::123456789012:root\nenvironment dev\n\n"


@pytest.fixture
def updating(desk: Desk) -> Desk:
    """A network that somebody is updating, for ten minutes."""
    desk.scene.deploy([tier("network", topics=2)])
    desk.scene.region.durations["Topic0"] = 600.0
    update(desk.scene, "second")
    desk.scene.region.clock.sleep(100.0)
    return desk


def creating(desk: Desk) -> None:
    """A cache that somebody is creating."""
    desk.scene.twin.client("cloudformation").create_stack(
        StackName="tap-dev-cache",
        TemplateBody=wanted([tier("cache")])[0].request.template,
        Parameters=[{"ParameterKey": "EnvironmentSuffix", "ParameterValue": "dev"}],
        Tags=[{"Key": key, "Value": value} for key, value in TAGS.items()],
    )


# watch


@pytest.mark.parametrize("command", ["watch", "cancel"])
def test_where_nothing_is_under_way_that_is_all_there_is_to_say(desk: Desk, command: str) -> None:
    desk.scene.deploy([tier("network")])

    told = desk.line(command, "--env", "dev")
    as_json = desk.line(command, "--env", "dev", "--output", "json")

    assert (told.status, told.out) == (0, "dev: nothing is under way\n")
    values = [json.loads(line) for line in as_json.out.splitlines()]
    assert as_json.status == 0
    assert values[1:] == [{"type": "result", "stacks": [], "outputs": {}, "status": 0}]


def test_watch_says_whose_it_is_and_follows_it_to_its_end(updating: Desk) -> None:
    told = updating.line("watch", "--env", "dev")

    assert told.status == 0
    assert told.err == (
        f"{WHO}{NETWORK}  UPDATE_IN_PROGRESS  token theirs\n\n"
        f"{NETWORK}  updating\n{NETWORK}  updated in 10 min 2 s\n\n"
    )
    assert told.out.startswith(f"{NETWORK}  updated  10 min 2 s\n")


def test_watch_of_a_bad_end_shows_its_cause_and_is_no_success(updating: Desk) -> None:
    updating.scene.region.faults.resource(NETWORK, "Topic0", "UPDATE", "Not today")

    told = updating.line("watch", "--env", "dev")

    assert told.status == 1
    assert told.out == f"{NETWORK}  failed\n"
    assert "Topic0 (AWS::SNS::Topic): Not today [UPDATE_ROLLBACK_COMPLETE]" in told.err


def test_watch_takes_only_the_tiers_that_were_named(updating: Desk) -> None:
    creating(updating)

    told = updating.line("watch", "cache", "--env", "dev", "--output", "json")

    result = json.loads(told.out.splitlines()[-1])
    assert told.status == 0
    assert [(row["stack"], row["end"]) for row in result["stacks"]] == [
        ("tap-dev-cache", "created")
    ]


def test_watch_of_a_tier_that_nobody_knows_is_a_usage_error(updating: Desk) -> None:
    told = updating.line("watch", "netwrok", "--env", "dev")

    assert told.status == 2
    assert "did you mean 'network'?" in told.err


def test_ctrl_c_leaves_what_is_watched_alone_and_says_how_to_come_back(updating: Desk) -> None:
    updating.press_ctrl_c_at(("describe_stack_events", 200.0))

    told = updating.line("watch", "--env", "dev", "--local")

    assert told.status == 130
    assert told.err.endswith(
        f"tapgen: interrupted: {NETWORK} may run on in AWS; "
        "follow with tapgen watch --env dev --local, or run the same command again\n"
    )
    assert updating.scene.region.status(NETWORK) == "UPDATE_IN_PROGRESS"


# cancel


def test_cancel_lists_what_it_would_roll_back_and_asks(updating: Desk) -> None:
    updating.somebody_sits_here()

    no = updating.line("cancel", "--env", "dev", answer="n\n")
    before = updating.scene.region.status(NETWORK)
    yes = updating.line("cancel", "--env", "dev", answer="y\n")

    assert "Cancel 1 update of dev? [y/N]: " in no.err
    assert (no.status, before) == (130, "UPDATE_IN_PROGRESS")
    assert (yes.status, yes.out.splitlines()[0].split()[:2]) == (0, [NETWORK, "cancelled"])
    assert updating.scene.region.status(NETWORK) == "UPDATE_ROLLBACK_COMPLETE"


def test_cancel_where_nobody_can_be_asked_wants_yes(updating: Desk) -> None:
    told = updating.line("cancel", "--env", "dev")

    assert told.status == 2
    assert told.err.endswith("Cancel 1 update of dev? Nobody can be asked here: use --yes\n")
    assert updating.scene.region.status(NETWORK) == "UPDATE_IN_PROGRESS"


def test_a_creation_is_stopped_only_by_the_flag_that_says_what_that_means(updating: Desk) -> None:
    creating(updating)

    refused = updating.line("cancel", "cache", "--env", "dev", "--yes")
    stood = updating.scene.region.status("tap-dev-cache")
    told = updating.line("cancel", "--env", "dev", "--yes", "--delete-creating")

    assert refused.status == 1
    assert "can only be stopped by deleting it: --delete-creating\n" in refused.err
    assert refused.err.endswith(
        "tapgen: nothing was cancelled: tap-dev-cache cannot be taken back\n"
    )
    assert stood == "CREATE_IN_PROGRESS"
    assert told.status == 0
    assert updating.scene.statuses() == {"network": "UPDATE_ROLLBACK_COMPLETE"}


def test_what_cannot_be_stopped_is_said(desk: Desk) -> None:
    desk.scene.deploy([tier("network")])
    desk.scene.twin.client("cloudformation").delete_stack(StackName=NETWORK)

    told = desk.line("cancel", "--env", "dev", "--yes")

    assert told.status == 1
    assert f"{NETWORK} cannot be stopped in DELETE_IN_PROGRESS\n" in told.err


# Ctrl-C under deploy


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_without_a_terminal_a_deploy_lets_go_and_says_how_to_come_back(
    desk: Desk, number: signal.Signals
) -> None:
    desk.press_ctrl_c_at(("execute_change_set", 0.0), number=number)

    told = desk.line(*DEPLOY)
    again = desk.line(*DEPLOY)

    assert told.status == 130
    assert told.err.endswith(
        f"tapgen: interrupted: {NOTIFICATION} may run on in AWS; "
        "follow with tapgen watch --env dev, or run the same command again\n"
    )
    assert again.status == 0
    assert "which this one resumes)\n" in again.err


def test_an_interrupted_run_in_json_ends_in_its_result(desk: Desk) -> None:
    desk.press_ctrl_c_at(("execute_change_set", 0.0))

    told = desk.line(*DEPLOY, "--output", "json")

    result = json.loads(told.out.splitlines()[-1])
    assert (told.status, result["type"], result["status"]) == (130, "result", 130)
    assert result["stacks"][0]["end"] == "interrupted"


def second_update(desk: Desk) -> tuple[str, ...]:
    """Deploy, and let the next deploy be an update that takes ten minutes."""
    desk.line(*DEPLOY)
    desk.scene.region.durations["ErrorTopic"] = 600.0
    desk.scene.region.durations["TopicKey"] = 600.0
    (desk.line.folder / "tapgen.toml").write_text('[env.dev]\ntags = { Team = "video" }\n')
    return (*DEPLOY, "--method", "template")


def test_on_interrupt_cancel_rolls_updates_back_without_asking(desk: Desk) -> None:
    command = ("deploy", "notification", "--env", "dev", "--yes", "--on-interrupt", "cancel")
    second_update(desk)
    desk.press_ctrl_c_at(("execute_change_set", 0.0))

    told = desk.line(*command)

    assert told.status == 130
    assert "cancelling; Ctrl-C again detaches\n" in told.err
    assert "cancelled: it is as it was before the update [UPDATE_ROLLBACK_COMPLETE]" in told.err
    assert desk.scene.region.status(NOTIFICATION) == "UPDATE_ROLLBACK_COMPLETE"


def test_on_interrupt_cancel_a_second_signal_lets_go_at_once(desk: Desk) -> None:
    command = ("deploy", "notification", "--env", "dev", "--yes", "--on-interrupt", "cancel")
    second_update(desk)
    desk.press_ctrl_c_at(("execute_change_set", 0.0), ("cancel_update_stack", 0.0))

    told = desk.line(*command)

    assert told.status == 130
    assert "tapgen: interrupted: tap-dev-notification may run on in AWS" in told.err
    assert desk.scene.statuses() == {"notification": "UPDATE_ROLLBACK_COMPLETE"}


@pytest.mark.parametrize(
    ("answer", "status", "end"),
    [("c\n", 130, "UPDATE_ROLLBACK_COMPLETE"), ("g\n", 0, "UPDATE_COMPLETE")],
)
def test_somebody_who_sits_there_is_asked(desk: Desk, answer: str, status: int, end: str) -> None:
    command = ("deploy", "notification", "--env", "dev", "--yes")
    second_update(desk)
    desk.somebody_sits_here()
    desk.press_ctrl_c_at(("execute_change_set", 0.0))

    told = desk.line(*command, answer=answer)

    assert "  c  cancel: begin nothing more; roll back tap-dev-notification\n" in told.err
    assert "\n  x  " not in told.err
    assert (told.status, desk.scene.region.status(NOTIFICATION)) == (status, end)


def test_with_nothing_under_way_yet_nobody_is_asked_and_nothing_stays(desk: Desk) -> None:
    desk.somebody_sits_here()
    desk.press_ctrl_c_at(("describe_change_set", 0.0))

    told = desk.line(*DEPLOY)

    assert (told.status, told.out) == (130, f"{NOTIFICATION}  not started\n")
    assert told.err.endswith("\ntapgen: interrupted\n")
    assert desk.scene.statuses() == {}


def test_even_a_terminal_is_not_asked_when_the_job_is_ended(desk: Desk) -> None:
    desk.somebody_sits_here()
    desk.press_ctrl_c_at(("execute_change_set", 0.0), number=signal.SIGTERM)

    told = desk.line(*DEPLOY)

    assert told.status == 130
    assert "What now?" not in told.err


# Credentials that end


def expire(desk: Desk, operation: str, *, for_good: bool) -> None:
    """Let the credentials be too old at the run's first call of this operation, or from then on."""
    begun = ended = False

    def strike(called: str, when: str) -> None:
        nonlocal begun, ended
        begun = begun or called == "create_change_set"
        if when == "before" and begun and (called == operation or ended):
            if not for_good:
                desk.scene.region.faults.interrupt = lambda called, when: None
            ended = True
            raise faults.EXPIRED

    desk.scene.region.faults.interrupt = strike


def signed_in(desk: Desk) -> None:
    """From now on they are good again."""
    desk.scene.region.faults.interrupt = lambda called, when: None


CALLS = [
    "create_change_set",
    "describe_change_set",
    "execute_change_set",
    "describe_stacks",
    "describe_stack_events",
]


@pytest.mark.parametrize("operation", CALLS)
def test_credentials_that_expire_end_the_run_and_a_new_one_takes_it_up(
    desk: Desk, operation: str
) -> None:
    expire(desk, operation, for_good=True)

    told = desk.line(*DEPLOY)
    signed_in(desk)
    desk.scene.region.settle()
    again = desk.line(*DEPLOY)

    assert told.status == 1
    assert "the AWS credentials have expired" in told.err
    assert again.status == 0
    assert desk.scene.statuses() == {"notification": "CREATE_COMPLETE"}


def test_what_runs_on_meanwhile_is_said_with_the_command_that_follows_it(desk: Desk) -> None:
    expire(desk, "describe_stack_events", for_good=True)

    told = desk.line(*DEPLOY)

    assert told.err.endswith(
        "\nsign in again, then follow with tapgen watch --env dev,\n"
        "or run the same command again: it takes up where this one ended\n"
    )
    assert "runs on in AWS" in told.err


@pytest.mark.parametrize("operation", CALLS)
def test_whoever_sits_there_signs_in_again_and_the_run_goes_on(desk: Desk, operation: str) -> None:
    desk.somebody_sits_here()
    expire(desk, operation, for_good=False)

    told = desk.line(*DEPLOY, answer="\n")

    assert told.status == 0
    assert told.err.count("Sign in again elsewhere, then press Enter (d detaches)") == 1
    assert desk.scene.statuses() == {"notification": "CREATE_COMPLETE"}
    assert len(next(iter(desk.scene.region.stacks.values())).change_sets) == 1


def test_whoever_does_not_sign_in_is_asked_once(desk: Desk) -> None:
    desk.somebody_sits_here()
    expire(desk, "describe_stack_events", for_good=True)

    told = desk.line(*DEPLOY, answer="d\n")

    assert told.status == 1
    assert told.err.count("Sign in again elsewhere") == 1
    assert "sign in again, then follow with tapgen watch --env dev" in told.err
    assert desk.scene.statuses() == {"notification": "CREATE_COMPLETE"}


def test_credentials_of_another_account_are_not_taken(desk: Desk) -> None:
    desk.somebody_sits_here()
    expire(desk, "describe_stack_events", for_good=False)
    desk.scene.twin.account.id = "999999999999"

    told = desk.line(*DEPLOY, answer="\nd\n")

    assert told.err.count("Sign in again elsewhere") == 2
    assert "these credentials are of another account (999999999999)" in told.err
