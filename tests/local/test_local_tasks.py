"""Tasks on the embedded AWS: what runs, what it sees, how it ends, and that it does end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from local_aws import client, delete, deploy, fresh_account, pass_coverage_on, resource, set_pace

from tapgen.local import lease
from tapgen.local.lease import Embedded

CLUSTER, GROUP = "cluster", "/tasks"
NETWORK = {"awsvpcConfiguration": {"subnets": ["subnet-1"]}}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tasks")


@pytest.fixture(scope="module")
def served(home: Path) -> Iterator[Embedded]:
    pass_coverage_on()
    with lease.lease(home) as aws:
        yield aws


@pytest.fixture
def account(served: Embedded) -> Embedded:
    """An account with a cluster and a log group, in which nobody waits long."""
    aws = fresh_account(served)
    client(aws, "ecs").create_cluster(clusterName=CLUSTER)
    client(aws, "logs").create_log_group(logGroupName=GROUP)
    set_pace(aws, 0.01)
    return aws


def container(script: str, name: str = "main", **more: Any) -> dict[str, Any]:
    """A container that runs a script in a shell."""
    options = {"awslogs-group": GROUP, "awslogs-region": "ap-northeast-1"}
    return {
        "name": name,
        "image": "any",
        "entryPoint": ["/bin/sh", "-c"],
        "command": [script],
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {**options, "awslogs-stream-prefix": "out"},
        },
        **more,
    }


def task_definition(aws: Embedded, *containers: dict[str, Any], **more: Any) -> str:
    made = client(aws, "ecs").register_task_definition(
        family="family",
        containerDefinitions=list(containers),
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        cpu="256",
        memory="512",
        **more,
    )
    arn: str = made["taskDefinition"]["taskDefinitionArn"]
    return arn


def run(aws: Embedded, *containers: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Run a task of these containers; what RunTask answers of it."""
    volumes = {"volumes": more.pop("volumes")} if "volumes" in more else {}
    tags = {"tags": more.pop("definition_tags")} if "definition_tags" in more else {}
    answer = client(aws, "ecs").run_task(
        cluster=CLUSTER,
        taskDefinition=task_definition(aws, *containers, **volumes, **tags),
        networkConfiguration=NETWORK,
        **more,
    )
    (task,) = answer["tasks"]
    return dict(task)


def described(aws: Embedded, task: dict[str, Any]) -> dict[str, Any]:
    found = client(aws, "ecs").describe_tasks(
        cluster=CLUSTER, tasks=[task["taskArn"]], include=["TAGS"]
    )
    return dict(found["tasks"][0])


def wait_for(done: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.01)


def finished(aws: Embedded, task: dict[str, Any]) -> dict[str, Any]:
    """Wait for a task's end; its description."""
    wait_for(lambda: described(aws, task)["lastStatus"] == "STOPPED")
    return described(aws, task)


def lines(aws: Embedded, task: dict[str, Any], name: str = "main") -> list[str]:
    stream = f"out/{name}/{task['taskArn'].rpartition('/')[2]}"
    found = client(aws, "logs").get_log_events(
        logGroupName=GROUP, logStreamName=stream, startFromHead=True
    )
    return [event["message"] for event in found["events"]]


def said(aws: Embedded, task: dict[str, Any], line: str) -> None:
    """Wait until the task has said it."""
    stream = f"out/main/{task['taskArn'].rpartition('/')[2]}"
    logs = client(aws, "logs")
    wait_for(
        lambda: any(
            found["logStreamName"] == stream
            for found in logs.describe_log_streams(logGroupName=GROUP)["logStreams"]
        )
    )
    wait_for(lambda: line in lines(aws, task))


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


# To the end


def test_a_task_runs_ends_and_says_so_in_the_words_of_ecs(account: Embedded) -> None:
    started = run(account, container("echo one; echo two >&2; echo three; exit 3"))

    task = finished(account, started)

    assert started["lastStatus"] == "PROVISIONING"
    assert started["group"] == "family:family"
    assert task["containers"][0]["exitCode"] == 3
    assert task["containers"][0]["lastStatus"] == "STOPPED"
    assert (task["stopCode"], task["stoppedReason"]) == (
        "EssentialContainerExited",
        "Essential container in task exited",
    )
    assert task["startedAt"] <= task["stoppedAt"]
    # Both streams, in their order.
    assert lines(account, started) == ["one", "two", "three"]


def test_a_line_too_long_for_an_event_is_split_and_an_empty_one_left_out(
    account: Embedded,
) -> None:
    started = run(account, container("printf '%300000d\\n\\nend' 0"))

    finished(account, started)

    assert [len(line) for line in lines(account, started)] == [262_118, 37_882, 3]


def test_overrides_win_over_the_definition(account: Embedded) -> None:
    script = 'echo "$A $B $C"'
    given = [{"name": "A", "value": "1"}, {"name": "B", "value": "1"}]
    override = {
        "name": "main",
        "environment": [{"name": "B", "value": "'2'"}, {"name": "C", "value": "3"}],
    }

    changed = run(
        account, container(script, environment=given), overrides={"containerOverrides": [override]}
    )
    finished(account, changed)
    other = run(
        account,
        container("exit 1"),
        overrides={"containerOverrides": [{"name": "main", "command": ["echo other"]}]},
    )

    assert finished(account, other)["containers"][0]["exitCode"] == 0
    assert (lines(account, changed), lines(account, other)) == (["1 '2' 3"], ["other"])


def test_a_task_sees_its_account_and_nothing_of_who_started_the_embedded_aws(
    account: Embedded,
) -> None:
    started = run(account, container("env"))

    finished(account, started)

    seen = dict(line.partition("=")[::2] for line in lines(account, started))
    assert seen["AWS_ACCESS_KEY_ID"] == account.account
    assert seen["AWS_REGION"] == seen["AWS_DEFAULT_REGION"] == account.region
    assert seen["AWS_ENDPOINT_URL"] == account.url
    assert set(seen) - {"PWD", "SHLVL", "_", "OLDPWD"} == {
        "AWS_ACCESS_KEY_ID",
        "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL",
        "AWS_EXECUTION_ENV",
        "AWS_REGION",
        "AWS_SECRET_ACCESS_KEY",
        "HOME",
        "PATH",
        "TMPDIR",
    }


def test_a_task_finds_the_aws_program_of_its_two_commands(account: Embedded) -> None:
    started = run(account, container("aws s3 ls; echo $?"))

    finished(account, started)

    assert lines(account, started)[-1] == "252"


def test_volumes_are_folders_that_variables_name(account: Embedded, home: Path) -> None:
    efs = client(account, "efs")
    file_system = efs.create_file_system(CreationToken="one")["FileSystemId"]
    shared = {
        "name": "shared",
        "efsVolumeConfiguration": {"fileSystemId": file_system, "rootDirectory": "/deep/down"},
    }
    mounts = [
        {"sourceVolume": "shared", "containerPath": "/mnt/shared"},
        {"sourceVolume": "own", "containerPath": "/scratch"},
    ]
    variables = [
        {"name": "PLACE", "value": "/mnt/shared/jobs"},
        {"name": "OTHER", "value": "/mnt/sharedness"},
        {"name": "OWN", "value": "/scratch"},
    ]
    script = 'mkdir "$PLACE"; echo kept > "$PLACE/file"; echo "$OTHER"; touch "$OWN/gone"'

    started = run(
        account,
        container(script, mountPoints=mounts, environment=variables),
        volumes=[shared, {"name": "own"}],
    )
    finished(account, started)

    assert lines(account, started) == ["/mnt/sharedness"]
    folder = home / "volumes" / account.account / file_system
    assert (folder / "deep/down/jobs/file").read_text() == "kept\n"
    assert not list((home / "tmp" / "tasks").rglob("gone"))


def test_no_volume_leads_out_of_its_file_system(account: Embedded, home: Path) -> None:
    volume = {
        "name": "shared",
        "efsVolumeConfiguration": {"fileSystemId": "fs-1", "rootDirectory": "/../../.."},
    }
    mounts = [{"sourceVolume": "shared", "containerPath": "/mnt"}]

    started = run(
        account,
        container(
            "echo $ROOT", mountPoints=mounts, environment=[{"name": "ROOT", "value": "/mnt"}]
        ),
        volumes=[volume],
    )
    finished(account, started)

    assert lines(account, started) == [str(home / "volumes" / account.account / "fs-1")]


def test_a_file_systems_folder_goes_with_it(account: Embedded, home: Path) -> None:
    template = {"Resources": {"Files": resource("AWS::EFS::FileSystem")}}
    deploy(account, "files", template)
    (found,) = client(account, "efs").describe_file_systems()["FileSystems"]
    folder = home / "volumes" / account.account / found["FileSystemId"]
    folder.mkdir(parents=True)

    delete(account, "files")

    assert not folder.exists()


# Several containers


def test_the_end_of_an_essential_container_ends_the_others(account: Embedded) -> None:
    patient = container("exec sleep 60", "patient")

    task = finished(account, run(account, container("exit 0"), patient))

    codes = {one["name"]: one["exitCode"] for one in task["containers"]}
    assert codes == {"main": 0, "patient": 143}
    assert task["stopCode"] == "EssentialContainerExited"


def test_the_end_of_another_container_does_not(account: Embedded) -> None:
    sidecar = container("exit 1", "sidecar", essential=False)

    task = finished(account, run(account, container("sleep 0.2; exit 0"), sidecar))

    codes = {one["name"]: one["exitCode"] for one in task["containers"]}
    assert codes == {"main": 0, "sidecar": 1}


def test_what_a_container_leaves_running_goes_with_it(account: Embedded) -> None:
    started = run(account, container("sleep 60 & echo $!; exit 5"))

    task = finished(account, started)

    (pid,) = lines(account, started)
    assert task["containers"][0]["exitCode"] == 5
    wait_for(lambda: not alive(int(pid)))


# Stopped


def test_a_task_that_is_stopped_is_asked_first(account: Embedded) -> None:
    script = 'trap "echo heard; exit 7" TERM; echo ready; while :; do sleep 0.05; done'
    started = run(account, container(script))
    said(account, started, "ready")

    stopping = client(account, "ecs").stop_task(
        cluster=CLUSTER, task=started["taskArn"], reason="enough"
    )["task"]

    task = finished(account, started)
    assert (stopping["desiredStatus"], stopping["lastStatus"]) == ("STOPPED", "RUNNING")
    assert (task["stopCode"], task["stoppedReason"]) == ("UserInitiated", "enough")
    assert task["containers"][0]["exitCode"] == 7
    assert lines(account, started) == ["ready", "heard"]


def test_a_task_that_is_deaf_is_killed_after_its_time(account: Embedded) -> None:
    deaf = 'trap "" TERM; echo ready; while :; do sleep 0.05; done'
    started = run(account, container(deaf, stopTimeout=10))
    said(account, started, "ready")

    began = time.monotonic()
    client(account, "ecs").stop_task(cluster=CLUSTER, task=started["taskArn"])

    task = finished(account, started)
    # A hundredth of the ten seconds.
    assert time.monotonic() - began >= 0.1
    assert task["containers"][0]["exitCode"] == 137


def test_a_task_is_stopped_once(account: Embedded) -> None:
    ecs = client(account, "ecs")
    started = run(account, container("exit 0"))
    finished(account, started)

    task = ecs.stop_task(cluster=CLUSTER, task=started["taskArn"], reason="late")["task"]

    assert task["stoppedReason"] == "Essential container in task exited"


# Not started


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"entryPoint": []}, "CannotPullContainerError: the embedded AWS pulls no images"),
        ({"entryPoint": ["no-such-program"]}, "CannotStartContainerError: [Errno 2] No such file"),
        (
            {
                "logConfiguration": {
                    "logDriver": "awslogs",
                    "options": {"awslogs-group": "/none", "awslogs-stream-prefix": "out"},
                }
            },
            "ResourceInitializationError: failed to validate logger args: failed to create "
            "Cloudwatch log stream: ResourceNotFoundException",
        ),
    ],
)
def test_a_task_that_cannot_start_says_why(
    account: Embedded, wrong: dict[str, Any], reason: str
) -> None:
    task = finished(account, run(account, container("exit 0", **wrong)))

    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith(reason)
    assert "exitCode" not in task["containers"][0]
    assert "startedAt" not in task


def test_with_one_container_that_cannot_start_none_runs_on(account: Embedded, home: Path) -> None:
    started = run(account, container("exec sleep 60"), container("", "bad", entryPoint=["no-such"]))

    task = finished(account, started)

    assert task["stopCode"] == "TaskFailedToStart"
    wait_for(lambda: not at_work_in(home / "tmp" / "tasks" / started["taskArn"].rpartition("/")[2]))


def at_work_in(folder: Path) -> list[str]:
    """The processes whose working folder this is, or was."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.readlink(process / "cwd").startswith(str(folder)):
                found.append(process.name)
    return found


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "no cluster": ({"cluster": "none"}, "ClusterNotFoundException", "Cluster not found."),
    "no network": (
        {"networkConfiguration": {}},
        "InvalidParameterException",
        "Network Configuration must be provided when networkMode 'awsvpc' is specified.",
    ),
    "unknown container": (
        {"overrides": {"containerOverrides": [{"name": "other"}]}},
        "InvalidParameterException",
        "Override for container named other is not a container in the TaskDefinition.",
    ),
    "large overrides": (
        {
            "overrides": {
                "containerOverrides": [
                    {"name": "main", "environment": [{"name": "A", "value": "x" * 8192}]}
                ]
            }
        },
        "InvalidParameterException",
        "Container Overrides length must be at most 8192",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_ecs_would_not_run_is_not_run(account: Embedded, name: str) -> None:
    ecs = client(account, "ecs")
    definition = task_definition(account, container("exit 0"))
    given, code, message = REFUSED[name]
    whole = {"cluster": CLUSTER, "taskDefinition": definition, "networkConfiguration": NETWORK}

    with pytest.raises(ClientError) as refused:
        ecs.run_task(**{**whole, **given})

    assert refused.value.response["Error"]["Code"] == code
    assert refused.value.response["Error"]["Message"] == message
    assert ecs.list_tasks(cluster=CLUSTER)["taskArns"] == []


def test_a_revision_that_was_taken_back_is_not_run(account: Embedded) -> None:
    ecs = client(account, "ecs")
    definition = task_definition(account, container("exit 0"))
    ecs.deregister_task_definition(taskDefinition=definition)

    with pytest.raises(ClientError, match="TaskDefinition is inactive"):
        ecs.run_task(cluster=CLUSTER, taskDefinition=definition, networkConfiguration=NETWORK)


def test_a_task_has_the_tags_of_its_definition_and_those_that_ecs_gives(account: Embedded) -> None:
    started = run(
        account,
        container("exit 0"),
        definition_tags=[{"key": "Name", "value": "it"}],
        tags=[{"key": "Own", "value": "1"}],
        propagateTags="TASK_DEFINITION",
        enableECSManagedTags=True,
    )

    tags = {tag["key"]: tag["value"] for tag in finished(account, started)["tags"]}

    assert tags == {"Name": "it", "Own": "1", "aws:ecs:clusterName": CLUSTER}


# With the embedded AWS


def sleeping(aws: Embedded) -> tuple[dict[str, Any], int]:
    """A task that runs, and the number of its process."""
    client(aws, "ecs").create_cluster(clusterName=CLUSTER)
    client(aws, "logs").create_log_group(logGroupName=GROUP)
    started = run(aws, container("echo $$; exec sleep 60"))
    wait_for(lambda: described(aws, started)["lastStatus"] == "RUNNING")
    wait_for(lambda: bool(lines(aws, started)))
    return started, int(lines(aws, started)[0])


def test_no_task_outlives_the_embedded_aws_and_its_record_says_stopped(tmp_path: Path) -> None:
    pass_coverage_on()
    with lease.lease(tmp_path) as aws:
        started, pid = sleeping(aws)
        assert alive(pid)

    with lease.lease(tmp_path) as again:
        task = described(again, started)

    assert not alive(pid)
    assert task["lastStatus"] == "STOPPED"
    lease.reset(tmp_path)
    assert not (tmp_path / "volumes").exists()
    assert not (tmp_path / "bin").exists()


def test_what_a_killed_server_left_running_is_ended_by_the_next(tmp_path: Path) -> None:
    with lease.lease(tmp_path) as aws:
        _, pid = sleeping(aws)
        server = json.loads((tmp_path / "server.json").read_text())["pid"]
        os.kill(server, signal.SIGKILL)
    assert alive(pid)

    with lease.lease(tmp_path):
        wait_for(lambda: not alive(pid))
