"""deploy, destroy, status, outputs and envs as a user meets them, on the embedded AWS.

The commands run against a server that all tests share, each in an account of its own.
"""

from __future__ import annotations

import json
import re
import textwrap

import pytest
from command_line import PROJECT, CommandLine, plain
from local_aws import client, one, set_faults, start, status
from local_aws import deploy as deploy_stack

from tapgen.local.lease import Embedded

NOTIFICATION = "tap-dev-notification"


@pytest.fixture
def deployed(tapgen: CommandLine) -> CommandLine:
    """An environment with one small stack."""
    assert tapgen("deploy", "notification", "--env", "dev", "--yes").status == 0
    return tapgen


def test_a_deploy_tells_who_where_and_what_and_prints_the_outputs(
    tapgen: CommandLine, aws_account: Embedded
) -> None:
    told = tapgen("deploy", "notification", "--env", "dev", "--yes")

    assert told.status == 0
    assert plain(told.err, aws_account) == textwrap.dedent(
        """\
        account ACCOUNT, ap-northeast-1, as arn:aws:iam::ACCOUNT:root
        environment dev

        tap-dev-notification  create  not deployed yet: 6 resources, 5 exports

        tap-dev-notification  creating, 6 changes
        tap-dev-notification  created in SECONDS

        """
    )
    assert plain(told.out, aws_account) == textwrap.dedent(
        """\
        tap-dev-notification  created  SECONDS

        tap-dev-notification
          CompletionTopicArn   arn:aws:sns:ap-northeast-1:ACCOUNT:video-processing-completion-dev
          CompletionTopicName  video-processing-completion-dev
          ErrorTopicArn        arn:aws:sns:ap-northeast-1:ACCOUNT:video-processing-error-dev
          ErrorTopicName       video-processing-error-dev
          TopicKeyArn          arn:aws:kms:ap-northeast-1:ACCOUNT:key/UUID
        """
    )


def test_a_second_deploy_says_that_there_is_nothing_to_do(deployed: CommandLine) -> None:
    told = deployed("deploy", "notification", "--env", "dev")

    assert told.status == 0
    assert told.out == "dev: nothing to do, 1 stack unchanged\n"
    assert told.err.splitlines()[3:] == ["tap-dev-notification  keep  unchanged", ""]


def test_a_changed_setting_is_an_update_that_names_it(
    deployed: CommandLine, aws_account: Embedded
) -> None:
    (deployed.folder / "tapgen.toml").write_text('[env.dev]\ntags = { Team = "video" }\n')

    told = deployed("deploy", "notification", "--env", "dev", "--yes")

    assert told.status == 0
    assert "tap-dev-notification  update  tag Team: 6 resources (change set)\n" in told.err
    assert "\ntap-dev-notification: 6 changed, 1 tag\n" in told.err
    assert "\n  +   tag Team: video\n" in told.err
    assert plain(told.out).startswith("tap-dev-notification  updated  SECONDS\n")
    assert status(aws_account, NOTIFICATION) == "UPDATE_COMPLETE"


def test_verbose_shows_a_line_for_every_resource(tapgen: CommandLine) -> None:
    told = tapgen("deploy", "notification", "--env", "dev", "--yes", "--verbose")

    lines = told.err.splitlines()
    assert "tap-dev-notification  CREATE_COMPLETE TopicKey (AWS::KMS::Key)" in lines
    assert sum("CREATE_COMPLETE" in line for line in lines) == 7


def test_json_is_all_that_is_on_stdout_and_ends_in_one_result(tapgen: CommandLine) -> None:
    told = tapgen("deploy", "notification", "--env", "dev", "--yes", "--output", "json")

    values = [json.loads(line) for line in told.out.splitlines()]
    assert values[0] == {"type": "version", "tapgen": values[0]["tapgen"], "ui": "1.0"}
    assert [value["type"] for value in values].count("result") == 1
    result = values[-1]
    assert result["status"] == 0
    assert [(row["stack"], row["end"]) for row in result["stacks"]] == [(NOTIFICATION, "created")]
    assert result["outputs"][NOTIFICATION]["ErrorTopicName"] == "video-processing-error-dev"
    moves = [value for value in values if value["type"] == "ResourceMoved"]
    assert {move["event"]["logical_id"] for move in moves} >= {"TopicKey", "ErrorTopic"}


def test_json_of_nothing_to_do_is_a_result_too(deployed: CommandLine) -> None:
    told = deployed("deploy", "notification", "--env", "dev", "--output", "json")

    result = json.loads(told.out.splitlines()[-1])
    assert (told.status, result["type"], result["status"]) == (0, "result", 0)
    assert result["stacks"] == [{"stack": NOTIFICATION, "end": "unchanged", "detail": ""}]


def test_a_question_that_nobody_can_answer_changes_nothing(
    tapgen: CommandLine, aws_account: Embedded
) -> None:
    told = tapgen("deploy", "notification", "--env", "dev")

    assert told.status == 2
    assert told.err.splitlines()[-1] == (
        "tapgen: Deploy 1 stack to dev? Nobody can be asked here: use --yes"
    )
    assert status(aws_account, NOTIFICATION) == ""


def test_a_tier_whose_producer_is_missing_is_refused_by_name(
    tapgen: CommandLine, aws_account: Embedded
) -> None:
    told = tapgen("deploy", "cache", "--env", "dev", "--yes")

    assert told.status == 1
    assert told.line == (
        "tapgen: cache imports from network, and tap-dev-network is not deployed; "
        "deploy network too, or name no tier to deploy them all"
    )
    assert status(aws_account, "tap-dev-cache") == ""


def test_the_environment_can_come_from_the_variable_that_scripts_set(
    tapgen: CommandLine, aws_account: Embedded
) -> None:
    told = tapgen("deploy", "notification", "--yes", ENVIRONMENT_SUFFIX="pr-12")

    assert told.status == 0
    assert status(aws_account, "tap-pr-12-notification") == "CREATE_COMPLETE"


def test_a_flag_beats_a_variable_and_a_variable_beats_the_file(
    tapgen: CommandLine, aws_account: Embedded
) -> None:
    (tapgen.folder / "tapgen.toml").write_text(
        '[defaults]\navailability_zone_a = "ap-northeast-1d"\n'
        'availability_zone_b = "ap-northeast-1d"\nflow_logs = false\n'
    )

    told = tapgen(
        *("deploy", "network", "--env", "dev", "--yes"),
        *("--set", "availability_zone_b=ap-northeast-1c"),
        TAPGEN_AVAILABILITY_ZONE_A="ap-northeast-1a",
        TAPGEN_AVAILABILITY_ZONE_B="ap-northeast-1a",
    )

    assert told.status == 0
    subnets = client(aws_account, "ec2").describe_subnets()["Subnets"]
    ours = [subnet for subnet in subnets if subnet["CidrBlock"].startswith("10.0.")]
    zones = {subnet["AvailabilityZone"] for subnet in ours}
    assert zones == {"ap-northeast-1a", "ap-northeast-1c"}
    groups = client(aws_account, "logs").describe_log_groups()["logGroups"]
    assert [group["logGroupName"] for group in groups] == []


def test_a_failure_shows_its_cause_what_to_do_and_status_one(
    tapgen: CommandLine, aws_account: Embedded
) -> None:
    set_faults(
        aws_account,
        resources=[
            {
                "op": "create",
                "type": "AWS::SNS::Topic",
                "logical_id": "ErrorTopic",
                "message": "video-processing-error-dev already exists",
            }
        ],
    )

    told = tapgen("deploy", "notification", "--env", "dev", "--yes")

    assert told.status == 1
    assert told.out == "tap-dev-notification  failed\n"
    assert re.sub(r"notification.py:\d+", "notification.py:LINE", told.err).endswith(
        "\ntap-dev-notification: ErrorTopic (AWS::SNS::Topic): "
        "video-processing-error-dev already exists [ROLLBACK_COMPLETE]\n"
        "  made by: tapgen/tiers/notification.py:LINE\n"
        "  what to do: something of that name stands there, often kept from an earlier "
        "environment: remove or rename it, or use another suffix\n"
    )


def test_a_failed_creation_is_deleted_only_when_told_to(
    tapgen: CommandLine, aws_account: Embedded
) -> None:
    set_faults(aws_account, resources=[{"op": "create", "message": "no luck"}])
    assert tapgen("deploy", "notification", "--env", "dev", "--yes").status == 1

    refused = tapgen("deploy", "notification", "--env", "dev", "--yes")
    stood = status(aws_account, NOTIFICATION)
    recreated = tapgen("deploy", "notification", "--env", "dev", "--yes", "--recreate-failed")

    assert refused.status == 1
    assert "its creation failed (ROLLBACK_COMPLETE); it can only be deleted" in refused.err
    assert "what to do: look at what failed, then run again with --recreate-failed" in refused.err
    assert stood == "ROLLBACK_COMPLETE"
    assert recreated.status == 0
    assert plain(recreated.out).startswith("tap-dev-notification  recreated  SECONDS\n")
    assert status(aws_account, NOTIFICATION) == "CREATE_COMPLETE"


def test_status_tells_each_stack_and_whether_it_runs_today_s_template(
    deployed: CommandLine,
) -> None:
    told = deployed("status", "--env", "dev")

    assert (told.status, told.err) == (0, "")
    assert plain(told.out) == textwrap.dedent(
        """\
        tap-foundation        not deployed
        tap-dev-network       not deployed
        tap-dev-notification  CREATE_COMPLETE  current  TIME
        tap-dev-cache         not deployed
        tap-dev-storage       not deployed
        tap-dev-api           not deployed
        tap-dev-compute       not deployed
        tap-dev-workflow      not deployed
        """
    )


def test_status_sees_a_stack_that_runs_another_template(
    tapgen: CommandLine, aws_account: Embedded
) -> None:
    deploy_stack(aws_account, NOTIFICATION, one("AWS::SNS::Topic", TopicName="old"))

    told = tapgen("status", "--env", "dev", "--output", "json")

    found = {row["tier"]: row for row in json.loads(told.out)}
    assert found["notification"]["template"] == "other template"
    assert found["notification"]["status"] == "CREATE_COMPLETE"
    assert found["network"] == {
        "tier": "network",
        "stack": "tap-dev-network",
        "status": "not deployed",
        "template": "",
        "changed": "",
    }


def test_outputs_come_as_a_table_as_json_and_for_a_shell(
    deployed: CommandLine, aws_account: Embedded
) -> None:
    table = deployed("outputs", "--env", "dev")
    as_json = deployed("outputs", "--env", "dev", "--format", "json")
    shell = deployed("outputs", "--env", "dev", "--format", "env")

    assert table.status == as_json.status == shell.status == 0
    arn = f"arn:aws:sns:ap-northeast-1:{aws_account.account}:video-processing-error-dev"
    assert f"ErrorTopicArn        {arn}\n" in table.out
    assert json.loads(as_json.out)["ErrorTopicArn"] == arn
    assert f"ERROR_TOPIC_ARN={arn}\n" in shell.out
    assert "TemplateDigest" not in table.out + as_json.out + shell.out


def test_outputs_of_what_is_not_deployed_is_an_error(tapgen: CommandLine) -> None:
    everything = tapgen("outputs", "--env", "dev")
    one_tier = tapgen("outputs", "network", "--env", "dev")

    assert (everything.status, one_tier.status) == (1, 1)
    assert everything.line == (
        "tapgen: environment 'dev' is not deployed here; tapgen envs lists what is"
    )
    assert (
        one_tier.line == "tapgen: tap-dev-network is not deployed here; tapgen envs lists what is"
    )


def test_envs_lists_what_is_deployed_and_what_the_file_names(deployed: CommandLine) -> None:
    deployed("deploy", "notification", "--env", "dev-2", "--yes")
    (deployed.folder / "tapgen.toml").write_text("[env.prod]\n")

    told = deployed("envs")
    as_json = deployed("envs", "--output", "json")

    assert (told.status, told.err) == (0, "")
    assert plain(told.out) == textwrap.dedent(
        """\
        dev    1 stack  good          TIME
        dev-2  1 stack  good          TIME
        prod            not deployed
        """
    )
    assert [row["env"] for row in json.loads(as_json.out)] == ["dev", "dev-2", "prod"]


def test_envs_of_an_empty_account_says_how_to_begin(tapgen: CommandLine) -> None:
    told = tapgen("envs")

    assert (told.status, told.out) == (0, "")
    assert told.err == "no environment is deployed here; begin with tapgen deploy --env SUFFIX\n"


def test_envs_shows_a_stack_in_a_bad_state(tapgen: CommandLine, aws_account: Embedded) -> None:
    set_faults(aws_account, resources=[{"op": "create", "message": "no luck"}])
    tapgen("deploy", "notification", "--env", "dev", "--yes")

    told = tapgen("envs")

    assert plain(told.out) == "dev  1 stack  ROLLBACK_COMPLETE  TIME\n"


def test_destroy_says_beforehand_what_goes_and_what_is_kept(
    deployed: CommandLine, aws_account: Embedded
) -> None:
    told = deployed("destroy", "--env", "dev", "--yes")

    assert told.status == 0
    assert plain(told.err, aws_account) == textwrap.dedent(
        """\
        account ACCOUNT, ap-northeast-1, as arn:aws:iam::ACCOUNT:root
        environment dev

        to be deleted:
          tap-dev-notification  CREATE_COMPLETE
        nothing of it is kept: no stack holds data

        tap-dev-notification  deleting
        tap-dev-notification  deleted in SECONDS

        """
    )
    assert plain(told.out) == "tap-dev-notification  deleted  SECONDS\n"
    assert status(aws_account, NOTIFICATION) == ""


def test_destroy_takes_only_the_stacks_of_its_environment(
    deployed: CommandLine, aws_account: Embedded
) -> None:
    deployed("deploy", "notification", "--env", "dev-2", "--yes")
    deploy_stack(aws_account, "tap-dev-theirs", one("AWS::SNS::Topic", TopicName="theirs"))

    told = deployed("destroy", "--env", "dev", "--yes")

    assert told.status == 0
    assert status(aws_account, NOTIFICATION) == ""
    assert status(aws_account, "tap-dev-2-notification") == "CREATE_COMPLETE"
    assert status(aws_account, "tap-dev-theirs") == "CREATE_COMPLETE"


def test_destroy_of_what_is_not_there_is_done_already(tapgen: CommandLine) -> None:
    told = tapgen("destroy", "--env", "dev")

    assert (told.status, told.out) == (0, "")
    assert told.err.splitlines()[-1] == "dev is not deployed; nothing to destroy"


def test_destroy_asks_and_where_nobody_answers_keeps_everything(
    deployed: CommandLine, aws_account: Embedded
) -> None:
    told = deployed("destroy", "--env", "dev")

    assert told.status == 2
    assert told.err.splitlines()[-1] == (
        "tapgen: Destroy 1 stack of dev? Nobody can be asked here: use --yes"
    )
    assert status(aws_account, NOTIFICATION) == "CREATE_COMPLETE"


def test_data_is_not_deleted_on_yes_alone(deployed: CommandLine, aws_account: Embedded) -> None:
    unasked = deployed("destroy", "--env", "dev", "--delete-data", "--yes")
    mistyped = deployed("destroy", "--env", "dev", "--delete-data", "--confirm", "dve")

    assert (unasked.status, mistyped.status) == (2, 130)
    assert unasked.err.splitlines()[-1] == (
        "tapgen: all its data goes: that needs the suffix typed, and nobody can be asked here: "
        "add --confirm dev"
    )
    assert mistyped.err.splitlines()[-1] == "tapgen: 'dve' is not 'dev': nothing was done"
    assert status(aws_account, NOTIFICATION) == "CREATE_COMPLETE"


def test_a_stack_of_others_that_imports_from_us_stops_destroy(
    deployed: CommandLine, aws_account: Embedded
) -> None:
    theirs = one("AWS::SNS::Topic", TopicName="theirs")
    theirs["Outputs"] = {
        "Seen": {"Value": {"Fn::ImportValue": "tap-dev-ErrorTopicName"}},
    }
    deploy_stack(aws_account, "theirs", theirs)

    told = deployed("destroy", "--env", "dev", "--yes")

    assert told.status == 1
    assert told.err.splitlines()[-1] == (
        "tapgen: nothing was destroyed: tap-dev-ErrorTopicName is imported by theirs"
    )
    assert status(aws_account, NOTIFICATION) == "CREATE_COMPLETE"


def test_a_stack_with_termination_protection_stops_destroy(
    deployed: CommandLine, aws_account: Embedded
) -> None:
    client(aws_account, "cloudformation").update_termination_protection(
        StackName=NOTIFICATION, EnableTerminationProtection=True
    )

    told = deployed("destroy", "--env", "dev", "--yes")

    assert told.status == 1
    assert told.err.splitlines()[-1] == (
        "tapgen: nothing was destroyed: tap-dev-notification has termination protection"
    )
    assert status(aws_account, NOTIFICATION) == "CREATE_COMPLETE"


def test_a_deletion_that_fails_is_told_with_its_reason(
    deployed: CommandLine, aws_account: Embedded
) -> None:
    set_faults(
        aws_account,
        resources=[{"op": "delete", "logical_id": "ErrorTopic", "message": "somebody listens"}],
    )

    told = deployed("destroy", "--env", "dev", "--yes")
    again = deployed("destroy", "--env", "dev", "--yes")

    assert told.status == 1
    assert told.out == "tap-dev-notification  failed\n"
    assert "ErrorTopic (AWS::SNS::Topic): somebody listens [DELETE_FAILED]" in told.err
    assert again.status == 0
    assert status(aws_account, NOTIFICATION) == ""


def test_an_operation_of_somebody_else_is_waited_for(
    deployed: CommandLine, aws_account: Embedded
) -> None:
    slow = {"op": "update", "type": "AWS::KMS::Key", "delay": deployed.while_running()}
    set_faults(aws_account, resources=[slow])
    theirs = (PROJECT / "templates_out" / "notification.yaml").read_text()
    theirs = re.sub("Value: '?[0-9a-f]{16}'?$", "Value: 0123456789abcdef", theirs)
    theirs = theirs.replace("Description: !Sub Messages", "Description: !Sub All messages")
    start(aws_account, NOTIFICATION, theirs, EnvironmentSuffix="dev")

    told = deployed("deploy", "notification", "--env", "dev", "--yes")

    assert told.status == 0
    assert "tap-dev-notification  waits for the operation under way (UPDATE_" in told.err
    assert plain(told.out).startswith("tap-dev-notification  updated  SECONDS\n")


def test_an_update_under_way_is_cancelled_and_followed_back(
    deployed: CommandLine, aws_account: Embedded
) -> None:
    slow = {"op": "update", "type": "AWS::KMS::Key", "delay": deployed.while_running()}
    set_faults(aws_account, resources=[slow])
    theirs = (PROJECT / "templates_out" / "notification.yaml").read_text()
    theirs = theirs.replace("Description: !Sub Messages", "Description: !Sub All messages")
    start(aws_account, NOTIFICATION, theirs, EnvironmentSuffix="dev")

    told = deployed("cancel", "--env", "dev", "--yes")

    assert told.status == 0, told.err
    assert plain(told.out).startswith("tap-dev-notification  cancelled  SECONDS\n")
    assert status(aws_account, NOTIFICATION) == "UPDATE_ROLLBACK_COMPLETE"
