"""The workflow tier's claims, over the document as it is rendered, and its script as it runs."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.model import ListShape, StructureShape
from statelint.linter import Linter

from tapgen.tiers import compute, network, notification, storage, workflow
from tapgen.tiers._workflow_task import EXIT_CODES

_NETWORK = network.describe().exports
_STORAGE = storage.describe(network=_NETWORK).exports
STACK = workflow.describe(
    network=_NETWORK,
    storage=_STORAGE,
    compute=compute.describe(storage=_STORAGE).exports,
    notification=notification.describe().exports,
)
DOCUMENT = STACK.document()
RESOURCES: dict[str, Any] = DOCUMENT["Resources"]
MACHINE: dict[str, Any] = RESOURCES["Workflow"]["Properties"]
TASK: dict[str, Any] = RESOURCES["VideoTask"]["Properties"]
(CONTAINER,) = TASK["ContainerDefinitions"]

# What CloudFormation puts into the definition.
VALUES = {
    "AWS::Partition": "aws",
    "ClusterArn": "arn:aws:ecs:ap-northeast-1:123456789012:cluster/video-processing-cluster-dev",
    "CompletionTopicArn": "arn:aws:sns:ap-northeast-1:123456789012:video-processing-completion-dev",
    "EnvironmentSuffix": "dev",
    "ErrorTopicArn": "arn:aws:sns:ap-northeast-1:123456789012:video-processing-error-dev",
    "SubnetAId": "subnet-0a",
    "SubnetBId": "subnet-0b",
    "TaskSecurityGroupId": "sg-0e",
    "VideoTask": "arn:aws:ecs:ap-northeast-1:123456789012:task-definition/video-task:1",
}


def definition() -> dict[str, Any]:
    text, mapping = MACHINE["DefinitionString"]["Fn::Sub"]
    assert set(mapping) == set(VALUES) - {"AWS::Partition", "EnvironmentSuffix"}
    filled = re.sub(r"\$\{([^}]+)\}", lambda match: VALUES[match[1]], text)
    read: dict[str, Any] = json.loads(filled)
    return read


def state(name: str) -> dict[str, Any]:
    found: dict[str, Any] = definition()["States"][name]
    return found


def imported(key: str) -> dict[str, Any]:
    return {"Fn::ImportValue": {"Fn::Sub": f"tap-${{EnvironmentSuffix}}-{key}"}}


def role_may() -> dict[str, dict[str, Any]]:
    return {
        statement["Sid"]: statement
        for policy in RESOURCES["WorkflowRole"]["Properties"]["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
    }


# The state machine


def test_the_state_machine_is_a_standard_one_with_the_documented_name() -> None:
    assert MACHINE["StateMachineName"] == {
        "Fn::Sub": "video-processing-workflow-${EnvironmentSuffix}"
    }
    assert MACHINE["StateMachineType"] == "STANDARD"


def test_an_execution_ends_after_30_minutes() -> None:
    assert definition()["TimeoutSeconds"] == 1800


def test_the_longest_way_ends_before_the_time_out_that_nothing_can_catch() -> None:
    task, success, failure = state("ProcessVideo"), state("NotifySuccess"), state("NotifyFailure")

    # Four tries and three waits of the task, then both notices at their worst.
    worst = 4 * 400 + (10 + 20 + 40) + 2 * (3 * 10 + (2 + 4))

    assert worst == 1742 < 1800
    assert task["TimeoutSeconds"] == 400
    assert task["Retry"][1]["MaxAttempts"] == 3
    assert [success["TimeoutSeconds"], failure["TimeoutSeconds"]] == [10, 10]
    assert [success["Retry"][0]["MaxAttempts"], failure["Retry"][0]["MaxAttempts"]] == [2, 2]


def test_the_definition_passes_the_linter_of_its_language() -> None:
    assert Linter.validate(definition()) == []


def test_the_definition_is_filled_in_by_sub_because_substitutions_read_back_as_drift() -> None:
    assert "DefinitionSubstitutions" not in MACHINE
    assert "Definition" not in MACHINE
    text, mapping = MACHINE["DefinitionString"]["Fn::Sub"]
    assert text.splitlines()[0] == "{"
    assert mapping["VideoTask"] == {"Ref": "VideoTask"}
    assert mapping["ClusterArn"] == imported("EcsClusterArn")
    assert mapping["SubnetAId"] == imported("PrivateSubnetAId")
    assert mapping["SubnetBId"] == imported("PrivateSubnetBId")
    assert mapping["TaskSecurityGroupId"] == imported("EcsSecurityGroupId")
    assert mapping["CompletionTopicArn"] == imported("CompletionTopicArn")
    assert mapping["ErrorTopicArn"] == imported("ErrorTopicArn")


def test_input_of_any_kind_and_size_is_left_behind_for_an_object_that_errors_can_be_added_to() -> (
    None
):
    assert definition()["StartAt"] == "AcceptJob"
    assert state("AcceptJob") == {
        "Type": "Pass",
        "Parameters": {"execution.$": "$$.Execution.Id", "job.$": "$$.Execution.Name"},
        "Next": "ProcessVideo",
    }


def test_the_task_runs_to_its_end_on_fargate_in_the_private_subnets() -> None:
    parameters = state("ProcessVideo")["Parameters"]

    assert state("ProcessVideo")["Resource"] == "arn:aws:states:::ecs:runTask.sync"
    assert parameters["LaunchType"] == "FARGATE"
    # One or the other: together they are refused.
    assert "CapacityProviderStrategy" not in parameters
    assert parameters["NetworkConfiguration"]["AwsvpcConfiguration"] == {
        "AssignPublicIp": "DISABLED",
        "SecurityGroups": ["sg-0e"],
        "Subnets": ["subnet-0a", "subnet-0b"],
    }


def test_the_container_is_told_which_execution_it_works_for_and_no_more() -> None:
    # ECS takes 8,192 characters of overrides: the input, up to 262,144 bytes, is not among them.
    (override,) = state("ProcessVideo")["Parameters"]["Overrides"]["ContainerOverrides"]

    assert override == {
        "Name": CONTAINER["Name"],
        "Environment": [
            {"Name": "JOB_ID", "Value.$": "$.job"},
            {"Name": "ATTEMPT", "Value.$": "States.Format('{}', $$.State.RetryCount)"},
            {"Name": "EXECUTION_ARN", "Value.$": "$.execution"},
        ],
    }


@pytest.mark.parametrize(
    ("name", "service", "operation"),
    [
        ("ProcessVideo", "ecs", "RunTask"),
        ("NotifySuccess", "sns", "Publish"),
        ("NotifyFailure", "sns", "Publish"),
    ],
)
def test_parameters_have_the_names_that_the_called_service_knows(
    name: str, service: str, operation: str
) -> None:
    model = botocore.session.get_session().get_service_model(service).operation_model(operation)

    assert list(unknown_names(state(name)["Parameters"], model.input_shape)) == []


def unknown_names(given: Any, shape: Any, where: str = "") -> Iterator[str]:
    """Names in ``given`` that ``shape`` lacks; Step Functions writes the first letter large."""
    if isinstance(shape, StructureShape) and isinstance(given, Mapping):
        members = {member[0].upper() + member[1:]: of for member, of in shape.members.items()}
        for key, value in given.items():
            plain = key.removesuffix(".$")
            if plain not in members:
                yield f"{where}.{key}"
            else:
                yield from unknown_names(value, members[plain], f"{where}.{key}")
    elif isinstance(shape, ListShape):
        for value in given:
            yield from unknown_names(value, shape.member, where)


def test_a_wrong_parameter_name_would_be_noticed() -> None:
    model = botocore.session.get_session().get_service_model("ecs").operation_model("RunTask")
    wrong = {"launchType": "FARGATE", "Overrides": {"ContainerOverrides": [{"Env": []}]}}

    assert list(unknown_names(wrong, model.input_shape)) == [
        ".launchType",
        ".Overrides.ContainerOverrides.Env",
    ]


def test_a_failed_task_is_tried_three_times_more_with_doubled_waits_but_not_after_a_time_out() -> (
    None
):
    assert state("ProcessVideo")["Retry"] == [
        {"ErrorEquals": ["States.Timeout"], "MaxAttempts": 0},
        {
            "ErrorEquals": ["States.TaskFailed"],
            "IntervalSeconds": 10,
            "BackoffRate": 2.0,
            "MaxAttempts": 3,
            "MaxDelaySeconds": 60,
            "JitterStrategy": "FULL",
        },
    ]


def test_only_the_few_facts_of_a_task_are_kept() -> None:
    assert state("ProcessVideo")["ResultPath"] == "$.task"
    assert state("ProcessVideo")["ResultSelector"] == {
        "taskArn.$": "$.TaskArn",
        "exitCode.$": "$.Containers[0].ExitCode",
        "stopCode.$": "$.StopCode",
    }


def test_success_is_told_to_the_completion_topic_and_ends_the_execution() -> None:
    success = state("NotifySuccess")

    assert state("ProcessVideo")["Next"] == "NotifySuccess"
    assert success["Resource"] == "arn:aws:states:::sns:publish"
    assert success["Parameters"]["TopicArn"] == VALUES["CompletionTopicArn"]
    assert success["Next"] == "Succeeded"
    assert state("Succeeded") == {"Type": "Succeed"}


def test_failure_of_any_kind_is_told_to_the_error_topic_and_ends_as_a_failure() -> None:
    failure = state("NotifyFailure")

    to_failure = [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "NotifyFailure"}]
    assert state("ProcessVideo")["Catch"] == to_failure
    # A success that cannot be told is one.
    assert state("NotifySuccess")["Catch"] == to_failure
    assert failure["Parameters"]["TopicArn"] == VALUES["ErrorTopicArn"]
    assert failure["Next"] == "Failed"
    # Also when the notice itself fails, and then the first error is still there.
    assert failure["Catch"] == [
        {"ErrorEquals": ["States.ALL"], "ResultPath": "$.notice", "Next": "Failed"}
    ]
    assert state("Failed") == {
        "Type": "Fail",
        "Error": "VideoProcessingFailed",
        "CausePath": "States.JsonToString($.error)",
    }


@pytest.mark.parametrize("name", ["NotifySuccess", "NotifyFailure"])
def test_a_subject_is_ascii_and_short_enough_for_the_longest_suffix(name: str) -> None:
    subject = state(name)["Parameters"]["Subject"].replace("dev", "x" * 20)

    assert subject.isascii()
    assert len(subject) <= 100


def test_every_event_is_logged_with_its_data() -> None:
    group = RESOURCES["WorkflowLogGroup"]

    assert MACHINE["LoggingConfiguration"] == {
        "Level": "ALL",
        "IncludeExecutionData": True,
        "Destinations": [
            {
                "CloudWatchLogsLogGroup": {
                    # Ends in :*, which Step Functions wants and API Gateway does not.
                    "LogGroupArn": {"Fn::GetAtt": ["WorkflowLogGroup", "Arn"]}
                }
            }
        ],
    }
    # Elsewhere than under this prefix the resource policy of the logs fills up.
    assert group["Properties"]["LogGroupName"] == {
        "Fn::Sub": "/aws/vendedlogs/states/video-processing-workflow-${EnvironmentSuffix}"
    }
    assert group["DeletionPolicy"] == "Delete"


def test_executions_are_traced() -> None:
    assert MACHINE["TracingConfiguration"] == {"Enabled": True}


def test_what_the_state_machine_cannot_report_a_rule_does_without_a_role() -> None:
    rule = RESOURCES["UncaughtEnd"]["Properties"]

    assert rule["Name"] == {"Fn::Sub": "video-processing-uncaught-${EnvironmentSuffix}"}
    assert rule["EventPattern"] == {
        "source": ["aws.states"],
        "detail-type": ["Step Functions Execution Status Change"],
        "detail": {
            "stateMachineArn": [{"Ref": "Workflow"}],
            "status": ["ABORTED", "TIMED_OUT"],
        },
    }
    (target,) = rule["Targets"]
    assert (target["Id"], target["Arn"]) == ("error-topic", imported("ErrorTopicArn"))
    assert set(target) == {"Id", "Arn", "InputTransformer"}


def test_its_notice_names_the_execution_and_leaves_the_input_out() -> None:
    (target,) = RESOURCES["UncaughtEnd"]["Properties"]["Targets"]

    assert target["InputTransformer"] == {
        "InputPathsMap": {
            "execution": "$.detail.executionArn",
            "job": "$.detail.name",
            "status": "$.detail.status",
        },
        "InputTemplate": '{"execution":<execution>,"job":<job>,"status":<status>}',
    }


# Its role


def test_only_this_accounts_state_machines_assume_the_role() -> None:
    (trust,) = RESOURCES["WorkflowRole"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]

    assert trust["Principal"] == {"Service": "states.amazonaws.com"}
    assert trust["Condition"] == {
        "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}},
        "ArnLike": {
            "aws:SourceArn": {
                "Fn::Sub": "arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}"
                ":stateMachine:*"
            }
        },
    }


def test_its_policies_are_inline_because_others_would_race_the_state_machine() -> None:
    policies = RESOURCES["WorkflowRole"]["Properties"]["Policies"]

    assert [policy["PolicyName"] for policy in policies] == [
        "run-task",
        "publish",
        "log-and-trace",
    ]


def test_it_runs_revisions_of_the_one_task_in_the_one_cluster() -> None:
    statement = role_may()["RunTheTask"]

    assert statement["Action"] == ["ecs:RunTask"]
    assert statement["Resource"] == [
        {
            "Fn::Sub": "arn:${AWS::Partition}:ecs:${AWS::Region}:${AWS::AccountId}"
            ":task-definition/video-processing-task-${EnvironmentSuffix}:*"
        }
    ]
    assert statement["Condition"] == {"ArnEquals": {"ecs:cluster": imported("EcsClusterArn")}}
    # The family that the pattern is about.
    assert TASK["Family"] == {"Fn::Sub": "video-processing-task-${EnvironmentSuffix}"}


def test_it_watches_stops_and_tags_tasks_of_the_one_cluster() -> None:
    tasks = [
        {
            "Fn::Sub": [
                "arn:${AWS::Partition}:ecs:${AWS::Region}:${AWS::AccountId}:task/${ClusterName}/*",
                {"ClusterName": imported("EcsClusterName")},
            ]
        }
    ]

    assert role_may()["WatchAndStopTasks"]["Action"] == ["ecs:DescribeTasks", "ecs:StopTask"]
    assert role_may()["WatchAndStopTasks"]["Resource"] == tasks
    assert role_may()["TagTasksWhenTheyStart"]["Action"] == ["ecs:TagResource"]
    assert role_may()["TagTasksWhenTheyStart"]["Resource"] == tasks
    assert role_may()["TagTasksWhenTheyStart"]["Condition"] == {
        "StringEquals": {"ecs:CreateAction": "RunTask"}
    }


def test_it_keeps_the_managed_rule_that_tells_it_of_the_tasks_end() -> None:
    statement = role_may()["HearOfTheTasksEnd"]

    assert statement["Action"] == ["events:DescribeRule", "events:PutRule", "events:PutTargets"]
    assert statement["Resource"] == [
        {
            "Fn::Sub": "arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}"
            ":rule/StepFunctionsGetEventsForECSTaskRule"
        }
    ]


def test_it_passes_the_two_roles_of_the_task_and_only_to_tasks() -> None:
    statement = role_may()["PassTheTasksRoles"]

    assert statement["Action"] == ["iam:PassRole"]
    assert statement["Resource"] == [imported("TaskExecutionRoleArn"), imported("TaskRoleArn")]
    assert statement["Condition"] == {
        "StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}
    }
    assert TASK["ExecutionRoleArn"] == imported("TaskExecutionRoleArn")
    assert TASK["TaskRoleArn"] == imported("TaskRoleArn")


def test_it_publishes_to_both_topics_and_uses_their_key_through_sns_alone() -> None:
    assert role_may()["Publish"]["Resource"] == [
        imported("CompletionTopicArn"),
        imported("ErrorTopicArn"),
    ]
    key = role_may()["UseTheTopicsKey"]
    assert key["Action"] == ["kms:Decrypt", "kms:GenerateDataKey*"]
    assert key["Resource"] == [imported("TopicKeyArn")]
    assert key["Condition"] == {
        "StringEquals": {"kms:ViaService": {"Fn::Sub": "sns.${AWS::Region}.amazonaws.com"}}
    }


def test_every_resource_is_named_but_those_of_log_delivery_and_tracing() -> None:
    everywhere = {sid for sid, statement in role_may().items() if "*" in statement["Resource"]}

    assert everywhere == {"DeliverLogs", "Trace"}
    assert all("*" not in action for action in role_may()["DeliverLogs"]["Action"])


def test_the_task_may_call_back_to_this_state_machine_alone() -> None:
    policy = RESOURCES["TaskCallback"]["Properties"]
    statement, _ = policy["PolicyDocument"]["Statement"]

    assert policy["Roles"] == [imported("TaskRoleName")]
    assert statement["Action"] == [
        "states:SendTaskFailure",
        "states:SendTaskHeartbeat",
        "states:SendTaskSuccess",
    ]
    assert statement["Resource"] == [{"Ref": "Workflow"}]


def test_the_task_may_read_the_input_of_this_state_machines_executions_alone() -> None:
    _, statement = RESOURCES["TaskCallback"]["Properties"]["PolicyDocument"]["Statement"]

    assert statement["Action"] == ["states:DescribeExecution"]
    assert statement["Resource"] == [
        {
            "Fn::Sub": [
                "arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}"
                ":execution:${Machine}:*",
                {"Machine": {"Fn::GetAtt": ["Workflow", "Name"]}},
            ]
        }
    ]


# The task


def test_the_task_has_one_cpu_and_two_gigabytes_on_fargate() -> None:
    assert TASK["RequiresCompatibilities"] == ["FARGATE"]
    assert TASK["NetworkMode"] == "awsvpc"
    assert [TASK["Cpu"], TASK["Memory"]] == ["1024", "2048"]
    assert TASK["RuntimePlatform"] == {
        "CpuArchitecture": "X86_64",
        "OperatingSystemFamily": "LINUX",
    }


def test_replaced_revisions_are_kept_for_executions_under_way() -> None:
    assert RESOURCES["VideoTask"]["UpdateReplacePolicy"] == "Retain"
    assert RESOURCES["VideoTask"]["DeletionPolicy"] == "Delete"


def test_the_image_is_the_aws_cli_at_a_full_version() -> None:
    parameter = DOCUMENT["Parameters"]["AwsCliImageTag"]
    allowed = re.compile(parameter["AllowedPattern"])

    assert CONTAINER["Image"] == {"Fn::Sub": "public.ecr.aws/aws-cli/aws-cli:${AwsCliImageTag}"}
    assert allowed.search(parameter["Default"])
    assert not allowed.search("latest")
    assert not allowed.search("2.31")


def test_files_come_through_the_access_point_over_tls_with_the_tasks_role() -> None:
    # A RootDirectory beside an access point is refused, and so is one without TLS.
    assert TASK["Volumes"] == [
        {
            "Name": "video",
            "EFSVolumeConfiguration": {
                "FilesystemId": imported("EfsFileSystemId"),
                "TransitEncryption": "ENABLED",
                "AuthorizationConfig": {
                    "AccessPointId": imported("EfsAccessPointId"),
                    "IAM": "ENABLED",
                },
            },
        }
    ]
    assert CONTAINER["MountPoints"] == [
        {"SourceVolume": "video", "ContainerPath": "/mnt/video", "ReadOnly": False}
    ]


def test_the_container_is_unprivileged_and_writes_to_its_volume_only() -> None:
    assert CONTAINER["User"] == "1000:1000"
    assert CONTAINER["ReadonlyRootFilesystem"] is True
    assert CONTAINER["LinuxParameters"]["Capabilities"] == {"Drop": ["ALL"]}


def test_a_stop_reaches_the_script_because_it_is_not_process_1() -> None:
    assert CONTAINER["LinuxParameters"]["InitProcessEnabled"] is True
    # Reads back differently and shows as drift for ever.
    assert "StopTimeout" not in CONTAINER


def test_the_containers_log_goes_to_the_compute_tiers_group_and_never_blocks() -> None:
    assert CONTAINER["LogConfiguration"] == {
        "LogDriver": "awslogs",
        "Options": {
            "awslogs-group": imported("TaskLogGroupName"),
            "awslogs-region": {"Ref": "AWS::Region"},
            "awslogs-stream-prefix": "video-processing",
            "mode": "non-blocking",
        },
    }


def test_the_script_is_one_fixed_text_without_placeholders() -> None:
    assert CONTAINER["EntryPoint"][-2:] == ["/bin/sh", "-c"]
    (script,) = CONTAINER["Command"]
    assert isinstance(script, str)
    assert "${" not in script


def test_the_scripts_own_limit_leaves_a_minute_for_placing_the_task() -> None:
    assert CONTAINER["EntryPoint"][:4] == ["timeout", "-k", "10", "300"]
    assert state("ProcessVideo")["TimeoutSeconds"] >= 300 + 10 + 60


def test_state_machine_and_task_are_exported() -> None:
    outputs = DOCUMENT["Outputs"]

    assert {key: outputs[key]["Value"] for key in outputs if "Export" in outputs[key]} == {
        "StateMachineArn": {"Ref": "Workflow"},
        "StateMachineName": {"Fn::GetAtt": ["Workflow", "Name"]},
        "TaskDefinitionArn": {"Ref": "VideoTask"},
    }


# The script, run by this machine's shells with an `aws` that writes down what it is asked

ARN = "arn:aws:states:ap-northeast-1:123456789012:execution:video-processing-workflow-dev:job-1"
# Answers as the CLI does: the text and a line end.
ANSWERS = """
if [ "$1" = stepfunctions ]; then cat "$WORK_ROOT/../input"; echo; fi
"""


def variables() -> dict[str, Any]:
    return {item["Name"]: item["Value"] for item in CONTAINER["Environment"]}


@pytest.fixture(params=["/bin/sh", "/bin/bash"])
def shell(request: pytest.FixtureRequest) -> str:
    """The machine's shell, and the one that the image has under that name."""
    if not Path(request.param).exists():
        pytest.skip(f"there is no {request.param}")
    found: str = request.param
    return found


class Worker:
    """A folder in the file system's place, and a program in that of the AWS CLI."""

    def __init__(self, folder: Path, shell: str = "/bin/sh", aws: str = ANSWERS) -> None:
        self.root = folder / "mnt"
        self.root.mkdir()
        self.given = folder / "input"
        self.given.write_text("{}")
        self.shell = shell
        programs = folder / "bin"
        programs.mkdir()
        note = 'for word in "$@"; do printf "%s " "$word"; done >> "$WORK_ROOT/../asked"\n'
        note += 'echo >> "$WORK_ROOT/../asked"'
        (programs / "aws").write_text(f"#!/bin/sh\n{note}\n{aws}\n")
        (programs / "aws").chmod(0o755)
        self.path = f"{programs}:{os.environ['PATH']}"

    def start(self, job: Mapping[str, str], limit: int = 300) -> subprocess.Popen[str]:
        environment = {
            **{name: value for name, value in variables().items() if isinstance(value, str)},
            "ENVIRONMENT": "dev",
            "WORK_ROOT": str(self.root),
            "PATH": self.path,
            "JOB_ID": "job-1",
            "ATTEMPT": "0",
            "EXECUTION_ARN": ARN,
            **job,
        }
        swapped = {"300": str(limit), "/bin/sh": self.shell}
        return subprocess.Popen(
            [swapped.get(word, word) for word in CONTAINER["EntryPoint"]] + CONTAINER["Command"],
            env={name: value for name, value in environment.items() if value != "unset"},
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, limit: int = 300, **job: str) -> tuple[int, str, str]:
        with self.start(job, limit) as process:
            out, err = process.communicate(timeout=20)
        return process.returncode, out, err

    def asked(self) -> list[str]:
        """What the CLI was called with, a line a call."""
        return (self.root.parent / "asked").read_text().splitlines()

    def metrics(self) -> list[str]:
        """The names of the metrics, in the order in which they were recorded."""
        return re.findall(r"MetricName=(\w+)", "\n".join(self.asked()))

    def left_behind(self) -> list[str]:
        return sorted(path.name for path in (self.root / "work").iterdir())


def test_the_script_leaves_a_result_and_nothing_else(tmp_path: Path, shell: str) -> None:
    worker = Worker(tmp_path, shell)
    worker.given.write_text('{"video":"s3://in/a.mp4"}')

    status, out, err = worker.run(ATTEMPT="2")

    assert (status, err) == (0, "")
    result = json.loads((worker.root / "results/job-1.json").read_text())
    assert result.pop("seconds") in (0, 1)
    assert result == {
        "job": "job-1",
        "attempt": 2,
        "execution": ARN,
        "input_bytes": 25,
        "input_sha256": "71795da0f47201d280ab61bc7fdcd5fc41158356d06f95a67c622a609573d735",
    }
    told = out.splitlines()
    assert told[:2] == ["started job-1, attempt 2", "received 25 bytes"]
    assert json.loads(told[2])["job"] == "job-1"
    assert worker.left_behind() == []


def test_the_script_counts_itself_in_the_namespace_that_its_role_allows(tmp_path: Path) -> None:
    worker = Worker(tmp_path)

    worker.run()

    first, question, last = worker.asked()
    assert first.startswith("cloudwatch put-metric-data --namespace VideoProcessing ")
    assert first.endswith(
        "MetricName=TasksStarted,Unit=Count,Value=1,Dimensions=[{Name=Environment,Value=dev}] "
    )
    assert question == (
        f"stepfunctions describe-execution --execution-arn {ARN} --query input --output text "
    )
    assert re.findall(r"MetricName=(\w+),Unit=(\w+)", last) == [
        ("TasksSucceeded", "Count"),
        ("ProcessingSeconds", "Seconds"),
    ]


@pytest.mark.parametrize(
    "hostile",
    [
        '"; touch "$WORK_ROOT/owned"; "',
        "$(touch $WORK_ROOT/owned)",
        "`touch $WORK_ROOT/owned`",
        "'; touch $WORK_ROOT/owned; '",
        "%s%n\\c -n -e",
        '{"title": "caf\u00e9 \U0001f3ac"}\n\n',
    ],
)
def test_no_input_is_ever_read_as_shell(tmp_path: Path, hostile: str, shell: str) -> None:
    worker = Worker(tmp_path, shell)
    worker.given.write_bytes(hostile.encode())

    status, _, _ = worker.run()

    assert status == 0
    result = json.loads((worker.root / "results/job-1.json").read_text())
    assert result["input_bytes"] == len(hostile.encode())
    assert result["input_sha256"] == hashlib.sha256(hostile.encode()).hexdigest()
    assert sorted(path.name for path in worker.root.iterdir()) == ["results", "work"]


def test_the_largest_input_that_an_execution_takes_is_worked_on(tmp_path: Path) -> None:
    worker = Worker(tmp_path)
    worker.given.write_text(json.dumps("x" * 262_142))

    status, _, _ = worker.run()

    assert status == 0
    assert json.loads((worker.root / "results/job-1.json").read_text())["input_bytes"] == 262_144


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("JOB_ID", "unset"),
        ("JOB_ID", "../../etc"),
        ("JOB_ID", 'a","b":"c'),
        ("JOB_ID", "two\nlines"),
        ("ATTEMPT", "unset"),
        ("ATTEMPT", "1;touch owned"),
        ("EXECUTION_ARN", "unset"),
        ("EXECUTION_ARN", ARN.replace("job-1", "job-2")),
        ("EXECUTION_ARN", "--profile=other"),
    ],
)
def test_variables_that_no_execution_would_give_are_refused_before_anything_is_done(
    tmp_path: Path, shell: str, variable: str, value: str
) -> None:
    worker = Worker(tmp_path, shell)

    with worker.start({variable: value}) as process:
        out, err = process.communicate(timeout=20)

    assert (process.returncode, out) == (64, "")
    assert err.startswith(variable)
    assert list(worker.root.iterdir()) == []
    assert not (tmp_path / "asked").exists()


def test_a_task_without_its_input_fails_without_a_result_or_a_rest(
    tmp_path: Path, shell: str
) -> None:
    refusing = 'if [ "$1" = stepfunctions ]; then echo AccessDenied >&2; exit 254; fi'
    worker = Worker(tmp_path, shell, refusing)

    status, _, err = worker.run()

    assert (status, err) == (66, "AccessDenied\nno input for job-1\n")
    assert worker.metrics() == ["TasksStarted", "TasksFailed"]
    assert list((worker.root / "results").iterdir()) == []
    assert worker.left_behind() == []


def test_a_task_without_a_place_to_work_says_so(tmp_path: Path, shell: str) -> None:
    worker = Worker(tmp_path, shell)
    (worker.root / "work").mkdir()
    (worker.root / "work/job-1.0").write_text("in the way")

    status, _, err = worker.run()

    assert status == 73
    assert err.splitlines()[-1] == "no folder for job-1"


def test_a_metric_that_is_refused_does_not_stop_the_work(tmp_path: Path) -> None:
    worker = Worker(tmp_path, aws=f'if [ "$1" = cloudwatch ]; then exit 254; fi\n{ANSWERS}')

    status, _, err = worker.run()

    assert status == 0
    assert [line.partition(":")[0] for line in err.splitlines()] == ["not recorded"] * 2
    assert (worker.root / "results/job-1.json").exists()


def test_a_step_that_hangs_is_ended_at_the_time_limit(tmp_path: Path, shell: str) -> None:
    worker = Worker(tmp_path, shell, 'if [ "$1" = stepfunctions ]; then exec sleep 60; fi')

    began = time.monotonic()
    status, _, _ = worker.run(limit=1)

    assert status == 124
    assert time.monotonic() - began < 10
    assert worker.metrics() == ["TasksStarted", "TasksFailed"]
    assert worker.left_behind() == []


def test_a_stop_is_heard_at_once_and_still_cleans_up(tmp_path: Path, shell: str) -> None:
    hanging = 'if [ "$1" = stepfunctions ]; then touch "$WORK_ROOT/hangs"; exec sleep 60; fi'
    worker = Worker(tmp_path, shell, hanging)

    with worker.start({}) as process:
        until = time.monotonic() + 10
        while not (worker.root / "hangs").exists() and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=10)

    assert process.returncode == 143
    assert "told to stop" in err
    assert worker.left_behind() == []


def test_every_way_to_end_is_documented() -> None:
    (script,) = CONTAINER["Command"]

    given_up = {int(code) for code in re.findall(r"give_up (\d+)", script)}

    # 0, and what timeout and the signals make of it.
    assert set(EXIT_CODES) == given_up | {0, 124, 137, 143}


def test_two_attempts_of_one_job_do_not_share_a_folder(tmp_path: Path) -> None:
    worker = Worker(tmp_path)
    (worker.root / "work/job-1.0").mkdir(parents=True)

    status, _, _ = worker.run(ATTEMPT="1")

    assert status == 0
    assert worker.left_behind() == ["job-1.0"]
