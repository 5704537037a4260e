"""The state machine's definition in Amazon States Language, with its budget of time.

The machine's own time-out cannot be caught: an execution that runs into it ends without a word to
anybody. So each state has a limit of its own, and the longest way through all of them, retries and
waits included, ends before the machine's.

Placeholders in ``${...}`` are filled in by CloudFormation; this module knows their names only.
"""

from __future__ import annotations

from typing import Any

CONTAINER = "video-processing"

# The document's. The longest way through: four tries of the task and the waits between them
# (4 x 400 + 10 + 20 + 40), then both notices, three tries each (2 x (3 x 10 + 2 + 4)): 1742.
EXECUTION_SECONDS = 1800
TASK_SECONDS = 400
TASK_RETRIES, TASK_FIRST_WAIT = 3, 10
NOTICE_SECONDS = 10
NOTICE_RETRIES, NOTICE_FIRST_WAIT = 2, 2
# The language calls this a float.
BACKOFF = 2.0


def definition() -> dict[str, Any]:
    """The definition, placeholders still in it."""
    return {
        "Comment": "Process one video in a Fargate task and tell how it went",
        "StartAt": "AcceptJob",
        "TimeoutSeconds": EXECUTION_SECONDS,
        "States": {
            "AcceptJob": _accept_job(),
            "ProcessVideo": _process_video(),
            "NotifySuccess": _notify(
                "${CompletionTopicArn}",
                "Video processing completed (${EnvironmentSuffix})",
                then="Succeeded",
                # A success that nobody hears of is a failure of the workflow.
                otherwise=_catch("NotifyFailure", "$.error"),
            ),
            "NotifyFailure": _notify(
                "${ErrorTopicArn}",
                "Video processing failed (${EnvironmentSuffix})",
                then="Failed",
                # Beside the error that the notice was about, which is worth more.
                otherwise=_catch("Failed", "$.notice"),
            ),
            "Succeeded": {"Type": "Succeed"},
            "Failed": {
                "Type": "Fail",
                # Not the name of the error met: names in States. are the service's own.
                "Error": "VideoProcessingFailed",
                "CausePath": "States.JsonToString($.error)",
            },
        },
    }


def _accept_job() -> dict[str, Any]:
    # Whatever the input is, a list or a bare string too, from here on there is an object to which
    # results and errors can be added. The input itself is left behind: a state's data may be
    # 262,144 bytes, which an input of that size with anything beside it exceeds, and no state
    # catches that; and a notice goes to people's mail. Who needs it asks for the execution.
    return {
        "Type": "Pass",
        "Parameters": {"job.$": "$$.Execution.Name", "execution.$": "$$.Execution.Id"},
        "Next": "ProcessVideo",
    }


def _process_video() -> dict[str, Any]:
    return {
        "Type": "Task",
        "Comment": "Runs to the end of the container, which asks for its execution's input itself",
        "Resource": "arn:${AWS::Partition}:states:::ecs:runTask.sync",
        "TimeoutSeconds": TASK_SECONDS,
        "Parameters": {
            "Cluster": "${ClusterArn}",
            "TaskDefinition": "${VideoTask}",
            "LaunchType": "FARGATE",
            "EnableECSManagedTags": True,
            "PropagateTags": "TASK_DEFINITION",
            "NetworkConfiguration": {
                "AwsvpcConfiguration": {
                    "AssignPublicIp": "DISABLED",
                    "SecurityGroups": ["${TaskSecurityGroupId}"],
                    "Subnets": ["${SubnetAId}", "${SubnetBId}"],
                }
            },
            "Overrides": {
                "ContainerOverrides": [
                    {
                        "Name": CONTAINER,
                        # Who the job is, and where its input is to be had: ECS takes 8,192
                        # characters of overrides in all, an execution 262,144 bytes of input.
                        "Environment": [
                            {"Name": "JOB_ID", "Value.$": "$.job"},
                            {
                                "Name": "ATTEMPT",
                                "Value.$": "States.Format('{}', $$.State.RetryCount)",
                            },
                            {"Name": "EXECUTION_ARN", "Value.$": "$.execution"},
                        ],
                    }
                ]
            },
        },
        # The whole description of a task is large, and a state carries 256 KB at most.
        "ResultSelector": {
            "taskArn.$": "$.TaskArn",
            "exitCode.$": "$.Containers[0].ExitCode",
            "stopCode.$": "$.StopCode",
        },
        "ResultPath": "$.task",
        "Retry": [
            # A job that took too long once will do so again.
            {"ErrorEquals": ["States.Timeout"], "MaxAttempts": 0},
            # Everything else.
            _retry(TASK_RETRIES, TASK_FIRST_WAIT, longest_wait=60),
        ],
        "Catch": [_catch("NotifyFailure", "$.error")],
        "Next": "NotifySuccess",
    }


def _notify(topic: str, subject: str, *, then: str, otherwise: dict[str, Any]) -> dict[str, Any]:
    return {
        "Type": "Task",
        "Resource": "arn:${AWS::Partition}:states:::sns:publish",
        "TimeoutSeconds": NOTICE_SECONDS,
        "Parameters": {
            "TopicArn": topic,
            "Subject": subject,
            "Message.$": "States.JsonToString($)",
        },
        # The receipt is of no use: the execution's result is the job's.
        "ResultPath": None,
        "Retry": [_retry(NOTICE_RETRIES, NOTICE_FIRST_WAIT, "States.Timeout")],
        "Catch": [otherwise],
        "Next": then,
    }


def _retry(
    retries: int, first_wait: int, *also: str, longest_wait: int | None = None
) -> dict[str, Any]:
    return {
        "ErrorEquals": ["States.TaskFailed", *also],
        "IntervalSeconds": first_wait,
        "BackoffRate": BACKOFF,
        "MaxAttempts": retries,
        # Jobs that failed together do not come back together.
        "JitterStrategy": "FULL",
        **({} if longest_wait is None else {"MaxDelaySeconds": longest_wait}),
    }


def _catch(then: str, where: str) -> dict[str, Any]:
    return {"ErrorEquals": ["States.ALL"], "ResultPath": where, "Next": then}
