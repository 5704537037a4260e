"""The state machine's role: run the one task, pass its roles, publish, log and trace."""

from __future__ import annotations

from collections.abc import Sequence

from awacs import ecs as ecs_actions
from awacs import events as events_actions
from awacs import iam as iam_actions
from awacs import logs as logs_actions
from awacs import sns as sns_actions
from awacs import xray as xray_actions
from awacs.aws import ArnEquals, Statement, StringEquals
from troposphere import Sub
from troposphere.iam import Role

from tapgen import iam
from tapgen.stack import Draft
from tapgen.tiers import compute as containers
from tapgen.tiers import notification as notify

_ARN = "arn:${AWS::Partition}:%s:${AWS::Region}:${AWS::AccountId}:%s"


def add(draft: Draft, compute: containers.Exports, notification: notify.Exports) -> Role:
    """Add the role; ``compute`` and ``notification`` say what it may touch."""
    # Its policies are inline: created after the role, they would race the state machine, which is
    # tried against them when it is made.
    return draft.add(
        Role(
            "WorkflowRole",
            RoleName=draft.name("video-processing-workflow"),
            Description="What the video processing state machine may do",
            AssumeRolePolicyDocument=iam.assumed_by(
                "states.amazonaws.com", _ARN % ("states", "stateMachine:*")
            ),
            Policies=[
                iam.inline("run-task", *_may_run_task(compute)),
                iam.inline("publish", *_may_publish(notification)),
                iam.inline("log-and-trace", *_may_log_and_trace()),
            ],
            Tags=draft.name_tag("video-processing-workflow"),
        )
    )


def _may_run_task(compute: containers.Exports) -> Sequence[Statement]:
    in_cluster = ArnEquals({"ecs:cluster": compute.ecs_cluster_arn})
    tasks = Sub(_ARN % ("ecs", "task/${ClusterName}/*"), ClusterName=compute.ecs_cluster_name)
    return [
        iam.allow(
            "RunTheTask",
            [ecs_actions.RunTask],
            # Every revision, and only in this form: IAM knows no ARN of a family.
            [Sub(_ARN % ("ecs", "task-definition/video-processing-task-${EnvironmentSuffix}:*"))],
            in_cluster,
        ),
        iam.allow(
            "WatchAndStopTasks",
            [ecs_actions.DescribeTasks, ecs_actions.StopTask],
            [tasks],
            in_cluster,
        ),
        iam.allow(
            "TagTasksWhenTheyStart",
            [ecs_actions.TagResource],
            [tasks],
            StringEquals({"ecs:CreateAction": "RunTask"}),
        ),
        iam.allow(
            "HearOfTheTasksEnd",
            [events_actions.DescribeRule, events_actions.PutRule, events_actions.PutTargets],
            # The rule that Step Functions keeps for itself in every account that runs tasks.
            [Sub(_ARN % ("events", "rule/StepFunctionsGetEventsForECSTaskRule"))],
        ),
        iam.allow(
            "PassTheTasksRoles",
            [iam_actions.PassRole],
            [compute.task_execution_role_arn, compute.task_role_arn],
            StringEquals({"iam:PassedToService": "ecs-tasks.amazonaws.com"}),
        ),
    ]


def _may_publish(topics: notify.Exports) -> Sequence[Statement]:
    return [
        iam.allow(
            "Publish",
            [sns_actions.Publish],
            [topics.completion_topic_arn, topics.error_topic_arn],
        ),
        iam.allow(
            "UseTheTopicsKey",
            notify.USE_TOPIC_KEY,
            [topics.topic_key_arn],
            StringEquals({"kms:ViaService": Sub("sns.${AWS::Region}.amazonaws.com")}),
        ),
    ]


def _may_log_and_trace() -> Sequence[Statement]:
    return [
        iam.allow(
            "DeliverLogs",
            [
                logs_actions.CreateLogDelivery,
                logs_actions.CreateLogStream,
                logs_actions.DeleteLogDelivery,
                logs_actions.DescribeLogGroups,
                logs_actions.DescribeResourcePolicies,
                logs_actions.GetLogDelivery,
                logs_actions.ListLogDeliveries,
                logs_actions.PutLogEvents,
                logs_actions.PutResourcePolicy,
                logs_actions.UpdateLogDelivery,
            ],
            # Log delivery has no resource types.
            ["*"],
        ),
        iam.allow(
            "Trace",
            [
                xray_actions.GetSamplingRules,
                xray_actions.GetSamplingTargets,
                xray_actions.PutTelemetryRecords,
                xray_actions.PutTraceSegments,
            ],
            # Nor has X-Ray.
            ["*"],
        ),
    ]
