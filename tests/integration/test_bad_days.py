"""Runs that meet trouble: failures, interrupts, rivals, throttling. What is left, and what a second
run makes of it.

The commands are processes of their own; the trouble is injected at the server, or made beforehand
through the services themselves.
"""

from __future__ import annotations

import signal
import subprocess
import time
from typing import Any

import pytest
from command_line import PATIENCE, CommandLine, ended
from local_aws import client, faults_call, faults_left, set_faults, status

from tapgen.local.lease import Embedded

DEPLOY = ("deploy", "--env", "dev", "--yes")
DATA = ("deploy", "network", "storage", "cache", "--env", "dev", "--yes")
NETWORK = ("deploy", "network", "--env", "dev", "--yes")
ALL = (
    "tap-dev-api",
    "tap-dev-cache",
    "tap-dev-compute",
    "tap-dev-network",
    "tap-dev-notification",
    "tap-dev-storage",
    "tap-dev-workflow",
    "tap-foundation",
)


def states(aws: Embedded) -> dict[str, str]:
    found = client(aws, "cloudformation").describe_stacks()["Stacks"]
    return {stack["StackName"]: stack["StackStatus"] for stack in found}


def unexecuted(aws: Embedded) -> list[str]:
    """The stacks with a change set that nobody carried out."""
    cloudformation = client(aws, "cloudformation")
    return [
        name
        for name in states(aws)
        for one in cloudformation.list_change_sets(StackName=name)["Summaries"]
        if one["ExecutionStatus"] in ("AVAILABLE", "UNAVAILABLE")
    ]


def wait_for(process: subprocess.Popen[str], text: str) -> str:
    """Read stderr until a line holds ``text``; what was read till then."""
    assert process.stderr is not None
    read = ""
    for line in process.stderr:
        read += line
        if text in line:
            return read
    pytest.fail(f"{text!r} never came:\n{read}")


def wait_until(aws: Embedded, stack: str, wanted: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while status(aws, stack) != wanted:
        assert time.monotonic() < deadline, f"{stack} is {status(aws, stack)}"
        time.sleep(0.02)


def wait_until_struck(aws: Embedded) -> None:
    """Wait for the call that a fault holds up: the run is in the middle of it then."""
    deadline = time.monotonic() + PATIENCE
    while faults_left(aws):
        assert time.monotonic() < deadline
        time.sleep(0.02)


# Failures


def test_a_failure_stops_its_dependents_only_and_a_second_run_converges(
    tapgen: CommandLine, aws_account: Embedded
) -> None:
    clash = "video-processing-task-exec-dev already exists"
    set_faults(
        aws_account,
        resources=[{"op": "create", "logical_id": "TaskExecutionRole", "message": clash}],
    )

    failed = tapgen(*DEPLOY)
    after = states(aws_account)
    again = tapgen(*DEPLOY)
    converged = tapgen(*DEPLOY, "--recreate-failed")
    still = tapgen("deploy", "--env", "dev")

    assert failed.status == 1
    rows = {line.split()[0]: line.split()[1:] for line in failed.out.splitlines()[:8]}
    assert rows["tap-dev-compute"] == ["failed"]
    assert rows["tap-dev-workflow"] == ["skipped", "tap-dev-compute", "failed"]
    assert {name: row[0] for name, row in rows.items() if row[0] == "created"}.keys() == {
        name for name in ALL if name not in ("tap-dev-compute", "tap-dev-workflow")
    }
    assert (
        f"\ntap-dev-compute: TaskExecutionRole (AWS::IAM::Role): {clash} [ROLLBACK_COMPLETE]\n"
        "  made by: tapgen/tiers/compute.py:"
    ) in failed.err
    assert "\n  what to do: something of that name stands there, " in failed.err
    assert "tap-dev-workflow" not in after
    assert after["tap-dev-compute"] == "ROLLBACK_COMPLETE"
    assert again.status == 1
    assert "what to do: look at what failed, then run again with --recreate-failed" in again.err
    assert converged.status == 0, converged.err
    assert set(states(aws_account).values()) == {"CREATE_COMPLETE"}
    assert still.out == "dev: nothing to do, 8 stacks unchanged\n"
    assert unexecuted(aws_account) == []


def test_a_bucket_of_somebody_else_stops_what_needs_it_and_nothing_else(
    tapgen: CommandLine, aws_account: Embedded
) -> None:
    s3 = client(aws_account, "s3")
    theirs = f"tap-artifacts-{aws_account.account}-ap-northeast-1"
    s3.create_bucket(
        Bucket=theirs, CreateBucketConfiguration={"LocationConstraint": "ap-northeast-1"}
    )

    told = tapgen(*DEPLOY)
    after = states(aws_account)
    s3.delete_bucket(Bucket=theirs)
    again = tapgen(*DEPLOY, "--recreate-failed")

    assert told.status == 1
    rows = [line.split(maxsplit=2) for line in told.out.splitlines()]
    assert ["tap-dev-api", "skipped", "tap-foundation failed"] in rows
    assert "tap-dev-api" not in after
    assert after["tap-dev-workflow"] == "CREATE_COMPLETE"
    assert again.status == 0, again.err
    assert set(states(aws_account)) == set(ALL)


def test_a_failed_update_is_rolled_back_and_the_next_run_finishes_it(
    tapgen: CommandLine, aws_account: Embedded
) -> None:
    tapgen("deploy", "notification", "--env", "dev", "--yes")
    (tapgen.folder / "tapgen.toml").write_text('[env.dev]\ntags = { Team = "video" }\n')
    set_faults(
        aws_account,
        resources=[{"op": "update", "logical_id": "TopicKey", "message": "key is being used"}],
    )

    failed = tapgen("deploy", "notification", "--env", "dev", "--yes")
    rolled_back = status(aws_account, "tap-dev-notification")
    again = tapgen("deploy", "notification", "--env", "dev", "--yes")

    assert failed.status == 1
    assert "TopicKey (AWS::KMS::Key): key is being used [UPDATE_ROLLBACK_COMPLETE]" in failed.err
    assert rolled_back == "UPDATE_ROLLBACK_COMPLETE"
    assert again.status == 0, again.err
    assert status(aws_account, "tap-dev-notification") == "UPDATE_COMPLETE"


def test_throttling_and_outages_are_ridden_out(tapgen: CommandLine, aws_account: Embedded) -> None:
    throttled = {"status": 400, "code": "Throttling", "message": "Rate exceeded"}
    unavailable = {"status": 503, "code": "ServiceUnavailable", "message": "try later"}
    set_faults(
        aws_account,
        requests=[
            {"service": "cloudformation", "action": "DescribeStacks", "times": 2, **throttled},
            {"service": "cloudformation", "action": "DescribeStacks", "times": 1, **unavailable},
            {"service": "cloudformation", "action": "CreateChangeSet", "times": 1, **throttled},
            {"service": "cloudformation", "action": "DescribeChangeSet", "times": 1, **unavailable},
            {"service": "cloudformation", "action": "ExecuteChangeSet", "times": 1, **throttled},
            {"service": "cloudformation", "action": "DescribeStackEvents", "times": 1, **throttled},
            {"service": "sts", "action": "GetCallerIdentity", "times": 1, **unavailable},
        ],
    )

    told = tapgen("deploy", "notification", "--env", "dev", "--yes")

    assert told.status == 0, told.err
    assert status(aws_account, "tap-dev-notification") == "CREATE_COMPLETE"
    assert faults_left(aws_account) == 0


def test_credentials_that_expire_half_way_leave_the_operation_to_the_next_run(
    tapgen: CommandLine, aws_account: Embedded
) -> None:
    slow = {"op": "create", "logical_id": "ErrorTopic", "delay": tapgen.while_running()}
    set_faults(aws_account, resources=[slow])
    process = tapgen.start("deploy", "notification", "--env", "dev", "--yes")
    wait_for(process, "creating, 6 changes")
    expired = {"status": 403, "code": "ExpiredToken", "message": "the token is expired"}
    rule = {"service": "cloudformation", "action": "DescribeStacks", "times": 99, **expired}
    set_faults(aws_account, requests=[rule])

    told = ended(process)
    faults_call(aws_account, "DELETE")
    again = tapgen("deploy", "notification", "--env", "dev", "--yes")

    assert told.status == 1
    assert "the AWS credentials have expired (the token is expired); sign in" in told.err
    assert again.status == 0, again.err
    assert status(aws_account, "tap-dev-notification") == "CREATE_COMPLETE"


# Interrupts


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_deploy_leaves_nothing_half_prepared_and_is_picked_up(
    tapgen: CommandLine, aws_account: Embedded, number: signal.Signals
) -> None:
    tiers = ("network", "storage", "compute")
    slow = {"op": "create", "type": "AWS::RDS::DBInstance", "delay": tapgen.while_running(1.5)}
    set_faults(aws_account, resources=[slow])
    process = tapgen.start("deploy", *tiers, "--env", "dev", "--yes")
    wait_for(process, "tap-dev-storage  creating, ")
    wait_until(aws_account, "tap-dev-storage", "CREATE_IN_PROGRESS")

    process.send_signal(number)
    told = ended(process)
    waiting = status(aws_account, "tap-dev-storage")
    left = unexecuted(aws_account), "REVIEW_IN_PROGRESS" in states(aws_account).values()
    again = tapgen("deploy", *tiers, "--env", "dev", "--yes")

    assert told.status == 130
    last = told.err.splitlines()[-1]
    assert last.startswith("tapgen: interrupted: ")
    assert "tap-dev-storage may run on in AWS; follow with tapgen watch --env dev, " in last
    rows = [line.split(maxsplit=2) for line in told.out.splitlines()]
    assert [row[2] for row in rows if row[0] == "tap-dev-storage"] == [
        "its operation may run on in AWS; the same command picks it up"
    ]
    assert ["tap-dev-compute", "not", "started"] in rows
    assert waiting == "CREATE_IN_PROGRESS"
    assert left == ([], False)
    assert again.status == 0, again.err
    assert "tap-dev-storage  waits for the operation under way (CREATE_IN_PROGRESS" in again.err
    assert set(states(aws_account)) == {f"tap-dev-{tier}" for tier in tiers}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_change_set_not_yet_carried_out_is_withdrawn(
    tapgen: CommandLine, aws_account: Embedded, number: signal.Signals
) -> None:
    late = {"service": "cloudformation", "status": 0, "delay": tapgen.while_running()}
    set_faults(aws_account, requests=[{"action": "DescribeChangeSet", **late}])
    process = tapgen.start(*NETWORK)
    wait_until_struck(aws_account)

    process.send_signal(number)
    told = ended(process)

    assert (told.status, told.out) == (130, "tap-dev-network  not started\n")
    assert states(aws_account) == {}


def test_a_change_set_of_a_colleague_is_named_and_left_alone(
    tapgen: CommandLine, aws_account: Embedded
) -> None:
    cloudformation = client(aws_account, "cloudformation")
    theirs: dict[str, Any] = {
        "StackName": "tap-dev-network",
        "ChangeSetName": "review",
        "ChangeSetType": "CREATE",
        "TemplateBody": '{"Resources": {"It": {"Type": "AWS::SNS::Topic"}}}',
    }
    cloudformation.create_change_set(**theirs)

    told = tapgen(*NETWORK)

    assert told.status == 1
    assert "change sets of somebody else wait there (review)" in told.err
    (left,) = cloudformation.list_change_sets(StackName="tap-dev-network")["Summaries"]
    assert left["ChangeSetName"] == "review"
    assert status(aws_account, "tap-dev-network") == "REVIEW_IN_PROGRESS"


def test_a_killed_run_is_picked_up_by_the_next(tapgen: CommandLine, aws_account: Embedded) -> None:
    late = {"service": "cloudformation", "status": 0, "delay": tapgen.while_running()}
    set_faults(aws_account, requests=[{"action": "DescribeChangeSet", **late}])
    process = tapgen.start(*NETWORK)
    wait_until_struck(aws_account)

    process.kill()
    killed = ended(process)
    told = tapgen(*NETWORK)

    assert killed.status == -signal.SIGKILL
    assert told.status == 0, told.err
    assert (
        "tap-dev-network  create  only a change set waits there: 39 resources, 10 exports\n"
        in told.err
    )
    assert status(aws_account, "tap-dev-network") == "CREATE_COMPLETE"


def test_an_interrupted_destroy_is_finished_by_the_next(
    tapgen: CommandLine, aws_account: Embedded
) -> None:
    tapgen("deploy", "notification", "--env", "dev", "--yes")
    slow = {"op": "delete", "logical_id": "ErrorTopic", "delay": tapgen.while_running()}
    set_faults(aws_account, resources=[slow])
    process = tapgen.start("destroy", "--env", "dev", "--yes")
    wait_for(process, "tap-dev-notification  deleting")
    wait_until(aws_account, "tap-dev-notification", "DELETE_IN_PROGRESS")

    process.send_signal(signal.SIGINT)
    told = ended(process)
    again = tapgen("destroy", "--env", "dev", "--yes")

    assert told.status == 130
    assert again.status == 0, again.err
    assert status(aws_account, "tap-dev-notification") == ""


# Rivals


def test_four_deploys_at_once_two_of_the_same_environment(
    tapgen: CommandLine, aws_account: Embedded
) -> None:
    processes = [
        tapgen.start("deploy", "--env", env, "--yes") for env in ("dev", "dev", "two", "three")
    ]

    told = [ended(process) for process in processes]
    calm = [tapgen("deploy", "--env", env) for env in ("dev", "two", "three")]

    assert [one.status for one in told] == [0, 0, 0, 0], [one.err for one in told]
    assert [one.out for one in calm] == [
        f"{env}: nothing to do, 8 stacks unchanged\n" for env in ("dev", "two", "three")
    ], [one.err for one in calm]
    assert len(states(aws_account)) == 3 * 7 + 1
    assert set(states(aws_account).values()) <= {"CREATE_COMPLETE", "UPDATE_COMPLETE"}
    assert unexecuted(aws_account) == []


# Data


def kept(aws: Embedded) -> dict[str, Any]:
    """What an environment may leave behind, through the services' own eyes."""
    rds = client(aws, "rds").describe_db_snapshots()["DBSnapshots"]
    cache = client(aws, "elasticache").describe_snapshots()["Snapshots"]
    systems = client(aws, "efs").describe_file_systems()["FileSystems"]
    return {
        "rds": sorted(one["DBSnapshotIdentifier"] for one in rds),
        "cache": sorted(one["SnapshotName"] for one in cache),
        "files": len(systems),
    }


def test_destroy_keeps_the_data_and_the_environment_can_be_made_again(
    tapgen: CommandLine, aws_account: Embedded
) -> None:
    assert tapgen(*DATA).status == 0

    told = tapgen("destroy", "--env", "dev", "--yes")
    found = kept(aws_account)
    again = tapgen(*DATA)

    assert told.status == 0, told.err
    rows = [line.split() for line in told.err.partition("\nkept:\n")[2].splitlines()[:4]]
    assert sorted((row[0], *row[2:]) for row in rows) == [
        ("AWS::EFS::FileSystem", "as", "it", "is"),
        ("AWS::ElastiCache::ReplicationGroup", "as", "a", "final", "snapshot"),
        ("AWS::KMS::Key", "as", "it", "is"),
        ("AWS::RDS::DBInstance", "as", "a", "final", "snapshot"),
    ]
    assert (len(found["rds"]), len(found["cache"]), found["files"]) == (1, 1, 1)
    assert again.status == 0, again.err


def test_delete_data_removes_what_this_destroy_left_and_nobody_else_s(
    tapgen: CommandLine, aws_account: Embedded
) -> None:
    assert tapgen(*DATA).status == 0
    client(aws_account, "rds").create_db_snapshot(
        DBSnapshotIdentifier="theirs", DBInstanceIdentifier="video-processing-db-dev"
    )
    client(aws_account, "elasticache").create_snapshot(
        SnapshotName="theirs", ReplicationGroupId="video-cache-dev"
    )

    told = tapgen("destroy", "--env", "dev", "--delete-data", "--confirm", "dev")

    assert told.status == 0, told.err
    assert told.err.count("\nremoved ") == 4
    assert kept(aws_account) == {"rds": ["theirs"], "cache": ["theirs"], "files": 0}
    key = told.err.partition("removed AWS::KMS::Key ")[2].split()[0]
    metadata = client(aws_account, "kms").describe_key(KeyId=key)["KeyMetadata"]
    assert metadata["KeyState"] == "PendingDeletion"
    days = (metadata["DeletionDate"].timestamp() - time.time()) / 86400
    assert 6 < days < 8
