"""Compute: the cluster that Fargate tasks run in, and the two roles that a task has.

The execution role is the agent's: it pulls the image and opens the log. The task role is the
program's: it reaches the files through their access point, reads the one secret that workloads
have, writes metrics and its log. What a task runs, and its right to call back to the workflow,
belong to the workflow tier, which holds both ends of that.
"""

from __future__ import annotations

from dataclasses import dataclass

from awacs import cloudwatch, elasticfilesystem, secretsmanager
from awacs import logs as logs_actions
from awacs.aws import StringEquals
from troposphere import GetAtt, Ref, Sub, ecs, logs
from troposphere.iam import Role

from tapgen import iam
from tapgen.stack import Draft, Exported, Stack
from tapgen.tiers import storage as data

CLUSTER = "video-processing-cluster"
METRICS_NAMESPACE = "VideoProcessing"
LOG_DAYS = 7

# Tasks of this account and region, and of nobody else, may have the roles.
TASKS = "arn:${AWS::Partition}:ecs:${AWS::Region}:${AWS::AccountId}:*"


@dataclass(frozen=True)
class Exports:
    """What other tiers may use of the compute tier."""

    ecs_cluster_name: Exported
    ecs_cluster_arn: Exported
    task_execution_role_arn: Exported
    task_role_arn: Exported
    task_role_name: Exported
    task_log_group_name: Exported


def describe(*, storage: data.Exports) -> Stack[Exports]:
    """Describe the cluster and the roles of tasks that use ``storage``."""
    draft = Draft("compute", "Compute: ECS cluster for Fargate, task roles, task log")

    cluster = _cluster(draft)
    group = draft.add(
        logs.LogGroup(
            "TaskLogGroup",
            LogGroupName=draft.name("/video-processing/task"),
            RetentionInDays=LOG_DAYS,
        )
    )
    execution_role = _execution_role(draft)
    task_role = _task_role(draft, storage, group)

    return draft.finish(
        Exports(
            ecs_cluster_name=draft.export("EcsClusterName", Ref(cluster), "The cluster"),
            ecs_cluster_arn=draft.export(
                "EcsClusterArn", GetAtt(cluster, "Arn"), "The cluster, for running tasks in it"
            ),
            task_execution_role_arn=draft.export(
                "TaskExecutionRoleArn",
                GetAtt(execution_role, "Arn"),
                "Role that starts tasks: image and log",
            ),
            task_role_arn=draft.export(
                "TaskRoleArn", GetAtt(task_role, "Arn"), "Role that tasks act in"
            ),
            task_role_name=draft.export(
                "TaskRoleName", Ref(task_role), "Role that tasks act in, for adding policies to it"
            ),
            task_log_group_name=draft.export(
                "TaskLogGroupName", Ref(group), "Where the tasks' output is written"
            ),
        )
    )


def _cluster(draft: Draft) -> ecs.Cluster:
    insights = draft.parameter(
        "ContainerInsights",
        group="Compute",
        label="Container Insights",
        description="Detail of the cluster's metrics; enhanced also has single tasks, and costs "
        "more",
        Default="enabled",
        AllowedValues=["enabled", "enhanced"],
    )
    performance = draft.add(
        logs.LogGroup(
            "ContainerInsightsLogGroup",
            # The name is Container Insights' choice.
            LogGroupName=Sub(
                f"/aws/ecs/containerinsights/{CLUSTER}-${{EnvironmentSuffix}}/performance"
            ),
            RetentionInDays=LOG_DAYS,
        )
    )
    return draft.add(
        ecs.Cluster(
            "Cluster",
            # ECS would make the log group on its own terms, and ours would then fail.
            DependsOn=performance,
            ClusterName=draft.name(CLUSTER),
            # Alphabetical, as ECS lists them: another order shows as drift. Here and not in an
            # association of its own: that would be a second owner of the same list.
            CapacityProviders=["FARGATE", "FARGATE_SPOT"],
            DefaultCapacityProviderStrategy=[
                ecs.CapacityProviderStrategyItem(CapacityProvider="FARGATE", Base=0, Weight=1)
            ],
            ClusterSettings=[ecs.ClusterSetting(Name="containerInsights", Value=insights)],
        )
    )


def _execution_role(draft: Draft) -> Role:
    return draft.add(
        Role(
            "TaskExecutionRole",
            RoleName=draft.name("video-processing-task-exec"),
            Description="ECS starting video processing tasks: image and log",
            AssumeRolePolicyDocument=iam.assumed_by("ecs-tasks.amazonaws.com", TASKS),
            ManagedPolicyArns=[
                Sub(
                    "arn:${AWS::Partition}:iam::aws:policy"
                    "/service-role/AmazonECSTaskExecutionRolePolicy"
                )
            ],
        )
    )


def _task_role(draft: Draft, storage: data.Exports, group: logs.LogGroup) -> Role:
    return draft.add(
        Role(
            "TaskRole",
            RoleName=draft.name("video-processing-task"),
            Description="Video processing tasks at work",
            AssumeRolePolicyDocument=iam.assumed_by("ecs-tasks.amazonaws.com", TASKS),
            Policies=[
                iam.inline(
                    "work-on-videos",
                    # Root access by name only: the access point makes everybody user 1000.
                    iam.allow(
                        "UseFilesThroughTheAccessPoint",
                        [
                            elasticfilesystem.ClientMount,
                            elasticfilesystem.ClientRootAccess,
                            elasticfilesystem.ClientWrite,
                        ],
                        [storage.efs_file_system_arn],
                        StringEquals(
                            {"elasticfilesystem:AccessPointArn": storage.efs_access_point_arn}
                        ),
                    ),
                    iam.allow(
                        "ReadDatabaseSecret",
                        [secretsmanager.GetSecretValue],
                        [storage.db_app_secret_arn],
                    ),
                    iam.allow(
                        "WriteMetrics",
                        [cloudwatch.PutMetricData],
                        # IAM knows no resource for metrics; the namespace is the limit.
                        ["*"],
                        StringEquals({"cloudwatch:namespace": METRICS_NAMESPACE}),
                    ),
                    iam.allow(
                        "WriteTaskLog",
                        [logs_actions.CreateLogStream, logs_actions.PutLogEvents],
                        # Ends in :*, which is how IAM names the streams of a group.
                        [GetAtt(group, "Arn")],
                    ),
                )
            ],
        )
    )
