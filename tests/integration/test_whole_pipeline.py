"""The seven stacks and the account's own, deployed by the command line over real HTTP.

What a deployed template looks like through each service is judged here by names and counts; that
every single resource can be seen is the matter of the embedded AWS's own tests.
"""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from command_line import CommandLine, ended, in_account, without_aws
from local_aws import client, faults_left, fresh_account, set_faults, status

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


def verified(line: CommandLine, *arguments: str) -> tuple[int, dict[str, str]]:
    """Exit status of the verification, and whatever did not pass with its outcome."""
    told = line("verify", "--env", "dev", "--output", "json", *arguments)
    checks = json.loads(told.out)["checks"]
    return told.status, {c["id"]: c["outcome"] for c in checks if c["outcome"] != "passed"}


# What the embedded AWS does not tell of any environment.
NOT_KEPT = {"flow-delivery": "not_kept", "standby": "not_kept"}


def test_the_deployed_environment_is_verified_and_nothing_is_changed(
    line: CommandLine, account: Embedded
) -> None:
    cloudformation, queues = client(account, "cloudformation"), client(account, "sqs")
    before = cloudformation.describe_stacks()["Stacks"]

    told = line("verify", "--env", "dev")

    assert told.status == 0, told.out
    assert told.out.splitlines()[-1] == "dev: 40 passed, 0 failed, 2 not kept"
    assert max(map(len, told.out.splitlines())) <= 80
    assert "\x1b" not in told.out
    assert cloudformation.describe_stacks()["Stacks"] == before
    assert queues.list_queues().get("QueueUrls", []) == []


def test_the_verification_is_read_by_a_ci_server(line: CommandLine) -> None:
    told = line("verify", "--env", "dev", "--output", "junit", "network", "standby")

    root = ElementTree.fromstring(told.out)
    assert told.status == 0
    assert (root.get("tests"), root.get("failures"), root.get("skipped")) == ("8", "0", "2")
    assert [suite.get("name") for suite in root] == ["VPC and networking", "RDS, EFS, ElastiCache"]


def test_what_somebody_changed_by_hand_is_found_and_mended_is_well_again(
    line: CommandLine, account: Embedded
) -> None:
    ec2, logs = client(account, "ec2"), client(account, "logs")
    group = "/video-processing/task-dev"
    named_private = [{"Name": "tag:Name", "Values": ["video-processing-private-a-dev"]}]
    (table,) = ec2.describe_route_tables(Filters=named_private)["RouteTables"]
    (way,) = [route for route in table["Routes"] if "NatGatewayId" in route]
    where = {"RouteTableId": table["RouteTableId"], "DestinationCidrBlock": "0.0.0.0/0"}

    logs.delete_retention_policy(logGroupName=group)
    forgets_nothing = line("verify", "--env", "dev", "log-groups")
    logs.put_retention_policy(logGroupName=group, retentionInDays=7)
    ec2.delete_route(**where)
    leads_nowhere = verified(line)
    ec2.create_route(**where, NatGatewayId=way["NatGatewayId"])
    mended = verified(line)

    assert forgets_nothing.status == 1
    assert "  FAILED     log-groups " in forgets_nothing.out
    assert f"{group}\n               found   for ever\n               wanted  7\n" in (
        forgets_nothing.out
    )
    assert forgets_nothing.out.endswith("dev: 0 passed, 1 failed\n")
    assert leads_nowhere == (1, {**NOT_KEPT, "routes": "failed"})
    assert mended == (0, NOT_KEPT)


def test_a_smoke_runs_the_workflow_hears_its_notice_and_takes_its_queue_away(
    line: CommandLine, account: Embedded
) -> None:
    nobody = "http://127.0.0.1:9/dev"

    told = line("verify", "--env", "dev", "vpc", "--smoke", "--api-url", nobody, "-o", "json")

    checks = {check["id"]: check for check in json.loads(told.out)["checks"]}
    assert told.status == 1
    assert {id_: check["outcome"] for id_, check in checks.items()} == {
        "vpc": "passed",
        "health": "failed",
        "closed": "failed",
        "metadata": "failed",
        "execution": "passed",
        "notice": "passed",
    }, told.out
    assert checks["health"]["why"].startswith(f"no answer from {nobody}/health")
    assert client(account, "sqs").list_queues().get("QueueUrls", []) == []
    assert client(account, "sns").list_subscriptions()["Subscriptions"] == []


def test_a_smoke_that_is_interrupted_takes_its_queue_away(
    line: CommandLine, account: Embedded
) -> None:
    topics, queues = client(account, "sns"), client(account, "sqs")
    late = {"service": "states", "action": "DescribeExecution", "status": 0, "delay": 20.0}
    set_faults(account, requests=[late])
    process = line.start(
        "verify", "--env", "dev", "vpc", "--smoke", "--api-url", "http://127.0.0.1:9/dev"
    )
    # It looks at the execution, and will not hear of it for long.
    while faults_left(account) and process.poll() is None:
        time.sleep(0.02)
    heard = topics.list_subscriptions()["Subscriptions"]

    process.send_signal(signal.SIGINT)
    told = ended(process)

    assert len(heard) == 1
    assert told.status == 130, told.err
    assert queues.list_queues().get("QueueUrls", []) == []
    assert topics.list_subscriptions()["Subscriptions"] == []


def test_a_smoke_on_the_embedded_aws_says_who_could_serve_the_api(line: CommandLine) -> None:
    told = line("verify", "--env", "dev", "vpc", "--smoke")

    assert told.status == 1
    assert "run tapgen local serve --env dev in this folder" in " ".join(told.out.split())


def test_an_environment_or_a_check_that_is_not_there_is_one_line(line: CommandLine) -> None:
    nothing = line("verify", "--env", "nothing")
    unknown = line("verify", "--env", "dev", "route")

    assert nothing.status == 1
    assert nothing.err.splitlines()[-1] == (
        "tapgen: environment 'nothing' has no stack here; "
        "deploy it with tapgen deploy --env nothing"
    )
    assert (unknown.status, unknown.line) == (
        2,
        "tapgen: no check or group is called 'route'; did you mean 'routes'?",
    )


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
            "parameter ApiLogRetentionDays: 4 resources (change set)",
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
