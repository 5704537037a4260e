"""The seven stacks and the account's own, deployed by the command line over real HTTP.

What a deployed template looks like through each service is judged here by names and counts; that
every single resource can be seen is the matter of the embedded AWS's own tests.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine, in_account, without_aws
from local_aws import client, fresh_account, status

from tapgen.local.lease import Embedded

TIERS = ("network", "notification", "cache", "storage", "api", "compute", "workflow")


@pytest.fixture(scope="module")
def account(embedded: Embedded) -> Embedded:
    """The account of this file."""
    return fresh_account(embedded)


@pytest.fixture(scope="module")
def deployed(
    account: Embedded, packages: Path, tmp_path_factory: pytest.TempPathFactory
) -> Embedded:
    """The account with the environment ``dev`` in it."""
    folder = tmp_path_factory.mktemp("pipeline")
    told = in_account(without_aws(folder), account, packages).process(
        "deploy", "--env", "dev", "--yes"
    )
    assert told.status == 0, told.err
    return account


@pytest.fixture
def line(offline: CommandLine, deployed: Embedded, packages: Path) -> CommandLine:
    """A command line in an empty folder of that account's user."""
    return in_account(offline, deployed, packages)


def all_of(aws: Embedded, service: str, operation: str, member: str, **arguments: Any) -> list[Any]:
    """Everything a service lists."""
    pages = client(aws, service).get_paginator(operation).paginate(**arguments)
    return [item for page in pages for item in page[member]]


def physical(aws: Embedded, env: str) -> dict[str, str]:
    """Stack and logical id of every resource of an environment, by type and physical id."""
    kind, list_of = "StackResourceSummaries", "list_stack_resources"
    return {
        f"{one['ResourceType']} {one['PhysicalResourceId']}": f"{tier} {one['LogicalResourceId']}"
        for tier in TIERS
        for one in all_of(aws, "cloudformation", list_of, kind, StackName=f"tap-{env}-{tier}")
    }


def unexecuted(aws: Embedded) -> list[str]:
    """The change sets that nobody carried out, over all stacks."""
    return [
        f"{one['StackName']} {one['ChangeSetName']}"
        for stack in client(aws, "cloudformation").describe_stacks()["Stacks"]
        for one in all_of(
            aws, "cloudformation", "list_change_sets", "Summaries", StackName=stack["StackId"]
        )
        if one["ExecutionStatus"] in ("AVAILABLE", "UNAVAILABLE")
    ]


def named(item: Any) -> str:
    return next((tag["Value"] for tag in item["Tags"] if tag["Key"] == "Name"), "")


@pytest.mark.parametrize("tier", TIERS)
def test_every_stack_stands_with_the_tags_of_its_environment(deployed: Embedded, tier: str) -> None:
    cloudformation = client(deployed, "cloudformation")

    (stack,) = cloudformation.describe_stacks(StackName=f"tap-dev-{tier}")["Stacks"]

    assert stack["StackStatus"] == "CREATE_COMPLETE"
    assert {tag["Key"]: tag["Value"] for tag in stack["Tags"]} == {
        "Project": "video-processing",
        "ManagedBy": "tapgen",
        "CostCenter": "video-processing",
        "Environment": "dev",
    }


def test_the_network_is_one_vpc_of_six_named_subnets(deployed: Embedded) -> None:
    ec2 = client(deployed, "ec2")
    ours = [{"Name": "tag:Environment", "Values": ["dev"]}]

    (vpc,) = ec2.describe_vpcs(Filters=ours)["Vpcs"]
    inside = [{"Name": "vpc-id", "Values": [vpc["VpcId"]]}]
    subnets = ec2.describe_subnets(Filters=inside)["Subnets"]
    groups = ec2.describe_security_groups(Filters=inside)["SecurityGroups"]
    nats = ec2.describe_nat_gateways(Filter=inside)["NatGateways"]

    assert (named(vpc), vpc["CidrBlock"]) == ("video-processing-vpc-dev", "10.0.0.0/16")
    assert sorted(map(named, subnets)) == [
        f"video-processing-{kind}-{zone}-dev"
        for kind in ("isolated", "private", "public")
        for zone in "ab"
    ]
    assert len(nats) == 1
    assert len([group for group in groups if group["GroupName"] != "default"]) >= 5


def test_data_stands_under_the_names_of_its_environment(deployed: Embedded) -> None:
    databases = all_of(deployed, "rds", "describe_db_instances", "DBInstances")
    caches = all_of(deployed, "elasticache", "describe_replication_groups", "ReplicationGroups")
    systems = all_of(deployed, "efs", "describe_file_systems", "FileSystems")
    secrets = all_of(deployed, "secretsmanager", "list_secrets", "SecretList")

    (database,) = [d for d in databases if d["DBInstanceIdentifier"].endswith("-dev")]
    assert database["DBInstanceIdentifier"] == "video-processing-db-dev"
    assert (database["StorageEncrypted"], database["PubliclyAccessible"]) == (True, False)
    assert database["EngineVersion"].startswith("16.")
    assert [c["ReplicationGroupId"] for c in caches] == ["video-cache-dev"]
    assert [system["Encrypted"] for system in systems] == [True]
    names = [secret["Name"] for secret in secrets if "/dev/" in secret["Name"]]
    assert sorted(names) == [
        "video-processing/dev/db-app-user",
        "video-processing/dev/redis-app-user",
    ]


def test_what_runs_stands_under_the_names_of_its_environment(deployed: Embedded) -> None:
    clusters = client(deployed, "ecs").list_clusters()["clusterArns"]
    functions = all_of(deployed, "lambda", "list_functions", "Functions")
    machines = all_of(deployed, "stepfunctions", "list_state_machines", "stateMachines")
    topics = all_of(deployed, "sns", "list_topics", "Topics")
    (api,) = client(deployed, "apigateway").get_rest_apis()["items"]
    (rule,) = client(deployed, "events").list_rules()["Rules"]

    assert [arn.rpartition("/")[2] for arn in clusters] == ["video-processing-cluster-dev"]
    assert sorted(function["FunctionName"] for function in functions) == [
        "video-metadata-api-dev",
        "video-metadata-migrate-dev",
    ]
    assert [machine["name"] for machine in machines] == ["video-processing-workflow-dev"]
    assert sorted(topic["TopicArn"].rpartition(":")[2] for topic in topics) == [
        "video-processing-completion-dev",
        "video-processing-error-dev",
    ]
    assert api["name"].endswith("-dev")
    assert rule["Name"] == "video-processing-uncaught-dev"


def test_the_functions_run_the_package_in_the_account_s_bucket(deployed: Embedded) -> None:
    bucket = f"tap-artifacts-{deployed.account}-ap-northeast-1"

    objects = client(deployed, "s3").list_objects_v2(Bucket=bucket)["Contents"]
    (stack,) = client(deployed, "cloudformation").describe_stacks(StackName="tap-dev-api")["Stacks"]

    parameters = {p["ParameterKey"]: p["ParameterValue"] for p in stack["Parameters"]}
    assert [item["Key"] for item in objects] == [parameters["VideoMetadataApiCodeKey"]]


def test_a_second_deploy_of_everything_changes_nothing(
    line: CommandLine, account: Embedded
) -> None:
    cloudformation = client(account, "cloudformation")
    before = cloudformation.describe_stacks()["Stacks"]

    told = line("deploy", "--env", "dev")

    assert (told.status, told.out) == (0, "dev: nothing to do, 8 stacks unchanged\n")
    assert cloudformation.describe_stacks()["Stacks"] == before
    assert unexecuted(account) == []


def test_a_setting_updates_its_own_stack_and_no_other(line: CommandLine, account: Embedded) -> None:
    logs = client(account, "logs")
    group = "/aws/lambda/video-metadata-api-dev"

    told = line("deploy", "--env", "dev", "--yes", "--set", "api_log_retention_days=60")
    (changed,) = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    back = line("deploy", "--env", "dev", "--yes", "--output", "json")
    (restored,) = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]

    assert told.status == 0, told.err
    plan = told.err.split("\n\n")[1].splitlines()
    assert [line.split(maxsplit=2) for line in plan if "  keep" not in line] == [
        [
            "tap-dev-api",
            "update",
            "parameter ApiLogRetentionDays: 4 resources (predicted from schemas)",
        ]
    ]
    assert len(plan) == 8
    assert changed["retentionInDays"] == 60
    result = json.loads(back.out.splitlines()[-1])
    assert [row["stack"] for row in result["stacks"] if row["end"] != "unchanged"] == [
        "tap-dev-api"
    ]
    assert restored["retentionInDays"] == 30


def test_two_environments_share_nothing_and_one_goes_without_the_other(
    line: CommandLine, account: Embedded
) -> None:
    made = line("deploy", "--env", "dev-2", "--yes")
    dev, second = physical(account, "dev"), physical(account, "dev-2")
    gone = line("destroy", "--env", "dev-2", "--yes")
    left = line("deploy", "--env", "dev")

    assert (made.status, gone.status) == (0, 0), made.err + gone.err
    assert sorted(dev.values()) == sorted(second.values())
    # What API Gateway calls a model is a name within its API.
    assert sorted(set(dev) & set(second)) == ["AWS::ApiGateway::Model NewVideo"]
    assert (left.status, left.out) == (0, "dev: nothing to do, 8 stacks unchanged\n")
    assert status(account, "tap-foundation") == "CREATE_COMPLETE"
    assert status(account, "tap-dev-2-network") == ""


def test_a_database_that_runs_is_never_taken_back_to_the_default(
    line: CommandLine, account: Embedded
) -> None:
    told = line("deploy", "--env", "dev", "--yes", "--set", "db_engine_version=16.6")

    assert told.status == 0, told.err
    assert "runs: it is never taken back to 16.6" in told.err
    assert told.out == "dev: nothing to do, 8 stacks unchanged\n"
