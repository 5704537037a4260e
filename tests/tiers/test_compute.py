"""The compute tier's claims, over the document as it is rendered."""

from __future__ import annotations

from typing import Any

import pytest

from tapgen.tiers import compute, network, storage

STACK = compute.describe(storage=storage.describe(network=network.describe().exports).exports)
DOCUMENT = STACK.document()
RESOURCES: dict[str, Any] = DOCUMENT["Resources"]
CLUSTER: dict[str, Any] = RESOURCES["Cluster"]["Properties"]


def properties(logical_id: str) -> dict[str, Any]:
    found: dict[str, Any] = RESOURCES[logical_id]["Properties"]
    return found


def imported(key: str) -> dict[str, Any]:
    return {"Fn::ImportValue": {"Fn::Sub": f"tap-${{EnvironmentSuffix}}-{key}"}}


def task_may() -> dict[str, dict[str, Any]]:
    (policy,) = properties("TaskRole")["Policies"]
    return {statement["Sid"]: statement for statement in policy["PolicyDocument"]["Statement"]}


def test_the_cluster_has_the_documented_name() -> None:
    assert CLUSTER["ClusterName"] == {"Fn::Sub": "video-processing-cluster-${EnvironmentSuffix}"}


def test_the_cluster_runs_on_fargate_with_its_providers_in_the_order_of_ecs() -> None:
    assert CLUSTER["CapacityProviders"] == ["FARGATE", "FARGATE_SPOT"]
    assert CLUSTER["DefaultCapacityProviderStrategy"] == [
        {"CapacityProvider": "FARGATE", "Base": 0, "Weight": 1}
    ]


def test_the_providers_have_one_owner() -> None:
    assert "AWS::ECS::ClusterCapacityProviderAssociations" not in {
        resource["Type"] for resource in RESOURCES.values()
    }


def test_container_insights_are_enabled_and_can_be_enhanced_but_not_left_out() -> None:
    parameter = DOCUMENT["Parameters"]["ContainerInsights"]

    assert CLUSTER["ClusterSettings"] == [
        {"Name": "containerInsights", "Value": {"Ref": "ContainerInsights"}}
    ]
    assert parameter["Default"] == "enabled"
    assert parameter["AllowedValues"] == ["enabled", "enhanced"]


def test_the_insights_log_group_comes_first_because_ecs_would_make_it_without_an_end() -> None:
    group = properties("ContainerInsightsLogGroup")

    assert RESOURCES["Cluster"]["DependsOn"] == "ContainerInsightsLogGroup"
    assert group["LogGroupName"] == {
        "Fn::Sub": "/aws/ecs/containerinsights/video-processing-cluster-${EnvironmentSuffix}"
        "/performance"
    }
    assert group["RetentionInDays"] == 7


def test_the_tasks_log_is_kept_7_days() -> None:
    group = properties("TaskLogGroup")

    assert group["LogGroupName"] == {"Fn::Sub": "/video-processing/task-${EnvironmentSuffix}"}
    assert group["RetentionInDays"] == 7


@pytest.mark.parametrize("logical_id", ["TaskLogGroup", "ContainerInsightsLogGroup"])
def test_log_groups_go_with_the_stack_or_their_names_would_block_the_next(logical_id: str) -> None:
    group = RESOURCES[logical_id]

    assert (group["DeletionPolicy"], group["UpdateReplacePolicy"]) == ("Delete", "Delete")


@pytest.mark.parametrize("logical_id", ["TaskRole", "TaskExecutionRole"])
def test_only_ecs_tasks_of_this_account_and_region_have_the_roles(logical_id: str) -> None:
    (trust,) = properties(logical_id)["AssumeRolePolicyDocument"]["Statement"]

    assert trust["Effect"] == "Allow"
    assert trust["Action"] == ["sts:AssumeRole"]
    assert trust["Principal"] == {"Service": "ecs-tasks.amazonaws.com"}
    assert trust["Condition"] == {
        "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}},
        "ArnLike": {
            "aws:SourceArn": {
                "Fn::Sub": "arn:${AWS::Partition}:ecs:${AWS::Region}:${AWS::AccountId}:*"
            }
        },
    }


def test_the_execution_role_has_the_ecs_execution_policy_and_nothing_else() -> None:
    role = properties("TaskExecutionRole")

    assert role["RoleName"] == {"Fn::Sub": "video-processing-task-exec-${EnvironmentSuffix}"}
    assert role["ManagedPolicyArns"] == [
        {
            "Fn::Sub": "arn:${AWS::Partition}:iam::aws:policy/service-role"
            "/AmazonECSTaskExecutionRolePolicy"
        }
    ]
    assert "Policies" not in role


def test_the_task_role_can_do_four_things() -> None:
    role = properties("TaskRole")

    assert role["RoleName"] == {"Fn::Sub": "video-processing-task-${EnvironmentSuffix}"}
    assert "ManagedPolicyArns" not in role
    assert list(task_may()) == [
        "UseFilesThroughTheAccessPoint",
        "ReadDatabaseSecret",
        "WriteMetrics",
        "WriteTaskLog",
    ]
    assert {statement["Effect"] for statement in task_may().values()} == {"Allow"}


def test_the_task_uses_the_files_through_the_access_point_only() -> None:
    statement = task_may()["UseFilesThroughTheAccessPoint"]

    assert set(statement["Action"]) == {
        "elasticfilesystem:ClientMount",
        "elasticfilesystem:ClientWrite",
        "elasticfilesystem:ClientRootAccess",
    }
    assert statement["Resource"] == [imported("EfsFileSystemArn")]
    assert statement["Condition"] == {
        "StringEquals": {"elasticfilesystem:AccessPointArn": imported("EfsAccessPointArn")}
    }


def test_the_task_reads_the_workloads_secret_and_not_the_owners() -> None:
    statement = task_may()["ReadDatabaseSecret"]

    assert statement["Action"] == ["secretsmanager:GetSecretValue"]
    assert statement["Resource"] == [imported("DbAppSecretArn")]
    assert "-DbSecretArn" not in str(DOCUMENT)


def test_the_task_writes_metrics_in_one_namespace_because_iam_knows_no_smaller_resource() -> None:
    statement = task_may()["WriteMetrics"]

    assert statement["Action"] == ["cloudwatch:PutMetricData"]
    assert statement["Resource"] == ["*"]
    assert statement["Condition"] == {"StringEquals": {"cloudwatch:namespace": "VideoProcessing"}}


def test_the_task_writes_into_its_own_log_group() -> None:
    statement = task_may()["WriteTaskLog"]

    assert statement["Action"] == ["logs:CreateLogStream", "logs:PutLogEvents"]
    assert statement["Resource"] == [{"Fn::GetAtt": ["TaskLogGroup", "Arn"]}]


def test_metrics_are_all_that_is_allowed_on_everything() -> None:
    wide = [sid for sid, statement in task_may().items() if "*" in statement["Resource"]]

    assert wide == ["WriteMetrics"]


def test_the_callback_to_the_workflow_is_left_to_the_workflow() -> None:
    assert "states:" not in str(DOCUMENT)


def test_other_tiers_get_the_cluster_the_roles_and_the_log() -> None:
    # Roles by ARN: a task definition with a role's name drifts. The name is for adding policies.
    assert {
        key: output["Value"] for key, output in DOCUMENT["Outputs"].items() if "Export" in output
    } == {
        "EcsClusterName": {"Ref": "Cluster"},
        "EcsClusterArn": {"Fn::GetAtt": ["Cluster", "Arn"]},
        "TaskExecutionRoleArn": {"Fn::GetAtt": ["TaskExecutionRole", "Arn"]},
        "TaskRoleArn": {"Fn::GetAtt": ["TaskRole", "Arn"]},
        "TaskRoleName": {"Ref": "TaskRole"},
        "TaskLogGroupName": {"Ref": "TaskLogGroup"},
    }


def test_an_export_is_held_as_the_import_that_it_is_to_others() -> None:
    exports = STACK.exports

    assert exports.ecs_cluster_name.to_dict() == imported("EcsClusterName")
    assert exports.ecs_cluster_arn.to_dict() == imported("EcsClusterArn")
    assert exports.task_execution_role_arn.to_dict() == imported("TaskExecutionRoleArn")
    assert exports.task_role_arn.to_dict() == imported("TaskRoleArn")
    assert exports.task_role_name.to_dict() == imported("TaskRoleName")
    assert exports.task_log_group_name.to_dict() == imported("TaskLogGroupName")
