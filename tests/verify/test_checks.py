"""Every check is shown to fail when its property is broken, and only that check.

The answers are those of the whole system deployed on the embedded AWS, recorded once; each case
changes one property in them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from command_line import in_account, without_aws
from local_aws import fresh_account
from recorded import GONE, Flaw, Recorder, Replayed, put, question

from tapgen import app, aws
from tapgen.cloud import AccessDenied, Refused, Throttled
from tapgen.description import Description
from tapgen.engine.clock import SystemClock
from tapgen.local.lease import Embedded
from tapgen.local.resources.not_kept import NOT_REPORTED
from tapgen.verify import run
from tapgen.verify.environment import Environment, Tier, Unread, survey
from tapgen.verify.questions import Absent, Answers
from tapgen.verify.result import Check, Outcome, Result, stale

FORGOTTEN = {f"{one.type}.{one.property}": one.why for one in NOT_REPORTED}


@dataclass(frozen=True)
class Recording:
    """The environment as it was surveyed, and all answers about it."""

    env: Environment
    known: Mapping[str, Any]
    results: tuple[Result, ...]
    # The questions of each check.
    asking: Mapping[str, frozenset[str]]

    def outcomes(
        self,
        flaw: Flaw | None = None,
        env: Environment | None = None,
        forgotten: Mapping[str, str] = FORGOTTEN,
    ) -> dict[str, Result]:
        """All results by check, asked again with a flaw."""
        services = Replayed(self.known, flaw)
        checks = [check for check in run.CHECKS if flaw is None or self.asks(check, flaw)]
        found = run.carry_out(checks, env or self.env, services, forgotten, SystemClock())
        results = {result.id: result for result in found}
        assert flaw is None or services.struck, f"nobody asked {flaw.asked}"
        # A check that hears nothing of the flaw ends as it did.
        return {**{result.id: result for result in self.results}, **results}

    def asks(self, check: Check, flaw: Flaw) -> bool:
        """Whether the check asks what the flaw is in."""
        return any(asked.startswith(flaw.asked) for asked in self.asking[check.id])


@pytest.fixture(scope="module")
def recording(
    embedded: Embedded, packages: Path, tmp_path_factory: pytest.TempPathFactory
) -> Recording:
    """The whole system, deployed by the command and asked once."""
    account = fresh_account(embedded)
    line = in_account(without_aws(tmp_path_factory.mktemp("verified")), account, packages)
    told = line.process("deploy", "--env", "dev", "--yes")
    assert told.status == 0, told.err
    connection = aws.connect(
        None, aws.Endpoint(account.url, account.access_key, account.secret_key)
    )
    stacks = app.describe()
    description = Description(app.documents(stacks), app.scopes(stacks))
    env = survey(aws.AwsCloudFormation(connection), description, "dev", account.account)
    recorder = Recorder(connection)
    results = tuple(run.carry_out(run.CHECKS, env, recorder, FORGOTTEN, SystemClock()))
    asking = {check.id: _questions(check, env, recorder.known) for check in run.CHECKS}
    return Recording(env, recorder.known, results, asking)


def _questions(check: Check, env: Environment, known: Mapping[str, Any]) -> frozenset[str]:
    services = Replayed(known)
    run.result(check, env, Answers(services), FORGOTTEN, SystemClock())
    return frozenset(services.heard)


def bad(results: Mapping[str, Result]) -> dict[str, str]:
    """Whatever does not pass, with its outcome."""
    return {
        id_: result.outcome.value
        for id_, result in results.items()
        if result.outcome not in (Outcome.PASSED, Outcome.NOT_KEPT)
    }


@dataclass(frozen=True)
class Case:
    """``check`` fails, and ``too`` with it, when the answer to ``asked`` is changed."""

    check: str
    asked: str
    path: str
    value: Any
    too: tuple[str, ...] = ()


def _flow(**members: str) -> dict[str, str]:
    return {"State": "active", "DestinationCidrBlock": "0.0.0.0/0", **members}


EVERYBODY = {"IpRanges": [{"CidrIp": "0.0.0.0/0"}], "IpProtocol": "tcp"}
OPEN = {**EVERYBODY, "FromPort": 5432, "ToPort": 5432, "UserIdGroupPairs": []}
EC2_TABLES, FUNCTION = "ec2 describe_route_tables", "lambda get_function_configuration"
API_FUNCTION = f'{FUNCTION} {{"FunctionName": "video-metadata-api-dev"'
RDS, EFS = "rds describe_db_instances", "efs describe_file_systems"
CACHE, NODES = "elasticache describe_replication_groups", "elasticache describe_cache_clusters"
MACHINE, TASK = "stepfunctions describe_state_machine", "ecs describe_task_definition"
STAGE, PLAN = "apigateway get_stage", "apigateway get_usage_plan {"
COMPLETION = 'sns get_topic_attributes {"TopicArn": "arn:aws:sns:ap-northeast-1:'
RUNS = "definition/States/ProcessVideo"
TASK_ROLE = 'iam get_role {"RoleName": "video-processing-task-dev"'
CALL_BACK = 'iam get_role_policy {"PolicyName": "call-back-the-workflow"'

CASES = (
    Case("vpc", "ec2 describe_vpcs", "Vpcs/0/CidrBlock", "10.1.0.0/16"),
    Case("vpc", "ec2 describe_vpcs", "Vpcs/0/Tags/Key=Name/Value", "video-processing-vpc-prod"),
    Case("vpc", "ec2 describe_vpcs", "Vpcs/0/State", "pending"),
    Case(
        "vpc",
        'ec2 describe_vpc_attribute {"Attribute": "enableDnsSupport"',
        "EnableDnsSupport/Value",
        False,
    ),
    Case("subnets", "ec2 describe_subnets", "*/AvailabilityZone", "ap-northeast-1a"),
    Case("subnets", "ec2 describe_subnets", "3/MapPublicIpOnLaunch", True),
    Case("subnets", "ec2 describe_subnets", "0", GONE),
    Case("routes", EC2_TABLES, "Tags=-private-a-/Routes/DestinationCidrBlock=0.0.0.0|0", GONE),
    Case("routes", EC2_TABLES, "Tags=-private-b-/Routes/NatGatewayId=nat-/State", "blackhole"),
    Case("routes", EC2_TABLES, "Tags=-isolated-/Routes/0", _flow(GatewayId="igw-1")),
    Case("routes", EC2_TABLES, "Tags=-public-/Associations/0", GONE),
    Case(
        "routes",
        "ec2 describe_internet_gateways",
        "InternetGateways/0/Attachments/0/VpcId",
        "vpc-1",
    ),
    Case("nat", "ec2 describe_nat_gateways", "0/State", "failed"),
    Case("nat", "ec2 describe_nat_gateways", "0/SubnetId", "subnet-1"),
    Case("nat", "ec2 describe_nat_gateways", "0/NatGatewayAddresses/0/PublicIp", "192.0.2.1"),
    Case("endpoints", "ec2 describe_vpc_endpoints", "ServiceName=.s3/State", "deleting"),
    Case("endpoints", "ec2 describe_vpc_endpoints", "ServiceName=dynamodb/RouteTableIds/0", GONE),
    Case("flow-log", "ec2 describe_flow_logs", "0/TrafficType", "REJECT"),
    Case("flow-log", "ec2 describe_flow_logs", "0/LogGroupName", "elsewhere"),
    Case("database", RDS, "DBInstances/0/DBInstanceStatus", "storage-full"),
    Case("database", RDS, "DBInstances/0/MultiAZ", False),
    Case("database", RDS, "DBInstances/0/EngineVersion", "15.9"),
    Case("database", RDS, "DBInstances/0/PubliclyAccessible", True),
    Case("database", RDS, "DBInstances/0/DBName", "postgres"),
    Case("database-storage", RDS, "DBInstances/0/StorageType", "gp2"),
    Case("database-storage", RDS, "DBInstances/0/AllocatedStorage", 20),
    Case("database-storage", RDS, "DBInstances/0/MaxAllocatedStorage", 100),
    Case("database-storage", RDS, "DBInstances/0/BackupRetentionPeriod", 0),
    Case("database-storage", RDS, "DBInstances/0/PerformanceInsightsEnabled", False),
    Case("database-place", RDS, "DBInstances/0/DBSubnetGroup/Subnets/0", GONE),
    Case(
        "database-place",
        RDS,
        "DBInstances/0/DBParameterGroups/0/ParameterApplyStatus",
        "pending-reboot",
    ),
    Case("secrets", "secretsmanager describe_secret", "VersionIdsToStages", {}),
    Case("secrets", RDS, "DBInstances/0/MasterUserSecret", GONE, too=("exports",)),
    Case("files", EFS, "FileSystems/0/ThroughputMode", "bursting"),
    Case("files", "efs describe_backup_policy", "BackupPolicy/Status", "DISABLED"),
    Case("mounts", "efs describe_mount_targets", "1", GONE),
    Case("mounts", "efs describe_mount_targets", "0/LifeCycleState", "error"),
    Case("mounts", "efs describe_access_points", "AccessPoints/0/PosixUser/Uid", 0),
    Case("cache", CACHE, "ReplicationGroups/0/AutomaticFailover", "disabled"),
    Case("cache", CACHE, "ReplicationGroups/0/MultiAZ", "disabled"),
    Case("cache", CACHE, "ReplicationGroups/0/SnapshotRetentionLimit", 0),
    Case("cache", CACHE, "ReplicationGroups/0/MemberClusters/1", GONE),
    Case(
        "cache",
        CACHE,
        "ReplicationGroups/0/NodeGroups/0/NodeGroupMembers/*/PreferredAvailabilityZone",
        "ap-northeast-1a",
    ),
    Case("cache-place", NODES, "CacheClusters/0/EngineVersion", "6.2.6"),
    Case("cache-place", CACHE, "ReplicationGroups/0/UserGroupIds", []),
    Case(
        "cache-place",
        'elasticache describe_users {"UserId": "video-cache-default-dev"',
        "Users/0/AccessString",
        "on ~* +@all",
    ),
    Case(
        "cache-place",
        "elasticache describe_cache_subnet_groups",
        "CacheSubnetGroups/0/Subnets/0/SubnetIdentifier",
        "subnet-1",
    ),
    Case("cluster", "ecs describe_clusters", "clusters/0/status", "INACTIVE"),
    Case("cluster", "ecs describe_clusters", "clusters/0/settings/0/value", "disabled"),
    Case("cluster", "ecs describe_clusters", "clusters/0/capacityProviders", []),
    Case("rest-api", "apigateway get_rest_api", "endpointConfiguration/types", ["EDGE"]),
    Case(
        "rest-api",
        "apigateway get_resources",
        "path=|metadata/resourceMethods/POST/apiKeyRequired",
        False,
    ),
    Case("rest-api", "apigateway get_resources", "path=|health/resourceMethods/GET", GONE),
    Case("cors", "apigateway get_resources", "path=|metadata/resourceMethods/OPTIONS", GONE),
    Case(
        "cors",
        "apigateway get_gateway_response",
        "responseParameters/gatewayresponse.header.Access-Control-Allow-Origin",
        "'https://example.com'",
    ),
    Case("stage", STAGE, "methodSettings/*|*/throttlingRateLimit", 10),
    Case("stage", STAGE, "methodSettings/*|*/loggingLevel", "OFF"),
    Case("stage", STAGE, "tracingEnabled", False),
    Case("stage", STAGE, "accessLogSettings/destinationArn", "elsewhere"),
    Case("stage", STAGE, "deploymentId", "old"),
    Case("api-logging", "apigateway get_account", "cloudwatchRoleArn", GONE),
    Case("function", API_FUNCTION, "Runtime", "python3.11"),
    Case("function", API_FUNCTION, "MemorySize", 128),
    Case("function", API_FUNCTION, "Timeout", 3),
    Case("function", API_FUNCTION, "State", "Failed"),
    Case("function", API_FUNCTION, "LastUpdateStatus", "InProgress"),
    Case("api-key", "apigateway get_api_key", "enabled", False),
    Case("api-key", PLAN, "quota/limit", 1000),
    Case("api-key", PLAN, "apiStages", []),
    Case("api-key", "apigateway get_usage_plan_keys", "0", GONE),
    Case("topic-key", "kms get_key_policy", "Policy/Statement/Sid=EventBridge", GONE),
    Case("state-machine", MACHINE, "status", "DELETING"),
    Case("state-machine", MACHINE, "definition/TimeoutSeconds", 60),
    Case("state-machine", MACHINE, "tracingConfiguration/enabled", False),
    Case("state-machine", MACHINE, "loggingConfiguration/level", "ERROR"),
    Case("state-machine", MACHINE, "loggingConfiguration/includeExecutionData", False),
    Case("state-machine", MACHINE, "loggingConfiguration/destinations", []),
    Case("steps", MACHINE, f"{RUNS}/Retry/ErrorEquals=TaskFailed/MaxAttempts", 1),
    Case("steps", MACHINE, f"{RUNS}/Retry/ErrorEquals=TaskFailed/BackoffRate", 1.0),
    Case("steps", MACHINE, f"{RUNS}/Catch", GONE),
    Case("steps", MACHINE, "definition/States/NotifyFailure/Parameters/TopicArn", "elsewhere"),
    Case("steps", MACHINE, "definition/States/NotifySuccess", GONE),
    Case("task", TASK, "taskDefinition/cpu", "256"),
    Case("task", TASK, "taskDefinition/memory", "512"),
    Case("task", TASK, "taskDefinition/status", "INACTIVE"),
    Case("task", TASK, "taskDefinition/containerDefinitions/0/image", "busybox:latest"),
    Case("task", TASK, "taskDefinition/containerDefinitions/0/command", ["true"]),
    Case(
        "task",
        TASK,
        "taskDefinition/volumes/0/efsVolumeConfiguration/authorizationConfig/accessPointId",
        "fsap-1",
    ),
    Case("uncaught", "events describe_rule", "State", "DISABLED"),
    Case("uncaught", "events describe_rule", "EventPattern/detail/status", ["TIMED_OUT"]),
    Case("uncaught", "events list_targets_by_rule", "0/Arn", "elsewhere"),
    Case("uncaught", "events list_targets_by_rule", "0", GONE),
    Case(
        "reach",
        "ec2 describe_security_groups",
        "Tags=processing-db-dev/IpPermissions/0",
        OPEN,
    ),
    Case("reach", "ec2 describe_security_groups", "Tags=-efs-/IpPermissions", []),
    Case("reach", "ec2 describe_security_groups", "Tags=-lambda-/IpPermissionsEgress/0", GONE),
    Case("attached", RDS, "DBInstances/0/VpcSecurityGroups/0/VpcSecurityGroupId", "sg-1"),
    Case("attached", NODES, "CacheClusters/0/SecurityGroups", []),
    Case("attached", "efs describe_mount_target_security_groups", "SecurityGroups", []),
    Case("attached", API_FUNCTION, "VpcConfig/SubnetIds", []),
    Case("roles-passed", TASK, "taskDefinition/taskRoleArn", "arn:aws:iam::1:role/admin"),
    Case("roles-passed", MACHINE, "roleArn", "arn:aws:iam::1:role/admin"),
    Case("roles-passed", API_FUNCTION, "Role", "arn:aws:iam::1:role/admin"),
    Case(
        "role-policies",
        TASK_ROLE,
        "Role/AssumeRolePolicyDocument/Statement/0/Principal",
        {"AWS": "*"},
    ),
    Case("role-policies", CALL_BACK, "PolicyDocument/Statement/0/Action", ["states:*"]),
    Case(
        "role-policies",
        'iam list_role_policies {"RoleName": "video-processing-workflow-dev"',
        "PolicyNames/0",
        GONE,
    ),
    Case(
        "role-policies",
        'iam list_attached_role_policies {"RoleName": "video-processing-task-exec-dev"',
        "0/PolicyArn",
        "arn:aws:iam::aws:policy/AdministratorAccess",
    ),
    Case("endpoints-told", API_FUNCTION, "Environment/Variables/DB_HOST", "old.example.com"),
    Case("endpoints-told", API_FUNCTION, "Environment/Variables/REDIS_READER_HOST", GONE),
    Case("endpoints-told", RDS, "DBInstances/0/Endpoint/Address", "new", too=("exports",)),
    Case(
        "api-to-function",
        "apigateway get_resources",
        "path=|metadata/resourceMethods/GET/methodIntegration/uri",
        "arn:aws:apigateway:elsewhere",
    ),
    Case("api-to-function", "lambda get_policy", "Policy/Statement/0", GONE),
    Case("log-groups", "logs describe_log_groups", "0/retentionInDays", GONE),
    Case("log-groups", "logs describe_log_groups", "0/retentionInDays", 3653),
    Case("log-groups", "logs describe_log_groups", "0", GONE),
    Case("at-rest", RDS, "DBInstances/0/StorageEncrypted", False),
    Case("at-rest", EFS, "FileSystems/0/KmsKeyId", "arn:aws:kms:ap-northeast-1:1:key/other"),
    Case("at-rest", CACHE, "ReplicationGroups/0/AtRestEncryptionEnabled", False),
    Case("at-rest", "kms describe_key", "KeyMetadata/KeyState", "PendingDeletion"),
    Case("at-rest", "kms get_key_rotation_status", "KeyRotationEnabled", False),
    Case(
        "in-transit",
        "rds describe_db_parameters",
        "ParameterName=rds.force_ssl/ParameterValue",
        "0",
    ),
    Case("in-transit", CACHE, "ReplicationGroups/0/TransitEncryptionMode", "preferred"),
    Case("in-transit", "efs describe_file_system_policy", "Policy/Statement/Sid=Tls", GONE),
    Case("in-transit", "apigateway get_rest_api", "securityPolicy", "TLS_1_0"),
    Case(
        "in-transit",
        TASK,
        "taskDefinition/volumes/0/efsVolumeConfiguration/transitEncryption",
        "DISABLED",
    ),
    Case("tags", "ec2 describe_vpcs", "Vpcs/0/Tags/Key=Environment/Value", "prod"),
    Case("tags", EFS, "FileSystems/0/Tags/Key=CostCenter", GONE),
    Case("tags", "stepfunctions list_tags_for_resource", "tags", []),
    Case("exports", "ecs describe_clusters", "clusters/0/clusterArn", "other"),
    Case("exports", "apigateway get_api_key", "id", "other"),
    Case("exports", MACHINE, "stateMachineArn", "other"),
)


def test_the_deployed_system_is_right(recording: Recording) -> None:
    open_ = {r.id: r.outcome for r in recording.results if r.outcome is not Outcome.PASSED}

    assert len(recording.results) == len(run.CHECKS) >= 13
    assert open_ == {"standby": Outcome.NOT_KEPT, "flow-delivery": Outcome.NOT_KEPT}
    assert all(result.facts for result in recording.results)


def test_every_check_but_the_stacks_own_says_what_it_asked(recording: Recording) -> None:
    silent = [result.id for result in recording.results if not result.asked]

    assert silent == ["stacks"]
    vpc = next(result for result in recording.results if result.id == "vpc")
    assert vpc.asked[0] == f"ec2 describe_vpcs {recording.env.id('network', 'Vpc')}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.check}:{case.path}")
def test_a_broken_property_fails_its_check_and_no_other(recording: Recording, case: Case) -> None:
    flaw = Flaw(case.asked, put(case.path, case.value))

    found = recording.outcomes(flaw)

    assert bad(found) == dict.fromkeys((case.check, *case.too), "failed")
    assert found[case.check].odd
    assert found[case.check].found != found[case.check].wanted


TOPICS = {"completion-topic": "completion", "error-topic": "error"}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("Attributes/KmsMasterKeyId", "alias/aws/sns"),
        ("Attributes/Policy/Statement/Sid=ThisAccount/Principal", {"AWS": "*"}),
    ],
)
@pytest.mark.parametrize("check", TOPICS)
def test_a_topic_that_is_broken_fails_its_own_check(
    recording: Recording, check: str, path: str, value: Any
) -> None:
    name = f"video-processing-{TOPICS[check]}-dev"
    arn = f"arn:aws:sns:ap-northeast-1:{recording.env.account}:{name}"

    found = recording.outcomes(
        Flaw(f'sns get_topic_attributes {{"TopicArn": "{arn}"', put(path, value))
    )

    assert bad(found) == {check: "failed"}


@pytest.mark.parametrize(
    ("asked", "path", "value"),
    [
        (RDS, "DBInstances/0/DBInstanceStatus", "backing-up"),
        (RDS, "DBInstances/0/EngineVersion", "16.99"),
        (RDS, "DBInstances/0/AllocatedStorage", 250),
        (CACHE, "ReplicationGroups/0/Status", "snapshotting"),
        (NODES, "CacheClusters/0/EngineVersion", "7.1.0"),
        ("efs describe_backup_policy", "BackupPolicy/Status", "ENABLING"),
        ("ec2 describe_vpc_endpoints", "0/State", "Available"),
        (CALL_BACK, "PolicyDocument/Statement/0/Resource", "THE SAME, BARE"),
        (COMPLETION, "Attributes/Policy/Statement/0/Action", ["sns:Subscribe", "sns:Publish"]),
    ],
)
def test_what_aws_does_by_itself_or_writes_otherwise_is_no_failure(
    recording: Recording, asked: str, path: str, value: Any
) -> None:
    if value == "THE SAME, BARE":
        value = recording.env.id("workflow", "Workflow")

    assert bad(recording.outcomes(Flaw(asked, put(path, value)))) == {}


def test_a_second_nat_gateway_is_one_too_many(recording: Recording) -> None:
    twice = Flaw(
        "ec2 describe_nat_gateways", lambda items: [*items, {**items[0], "NatGatewayId": "nat-2"}]
    )
    deleted = {"NatGatewayId": "nat-2", "State": "deleted"}
    once = Flaw("ec2 describe_nat_gateways", lambda items: [*items, deleted])

    assert bad(recording.outcomes(twice)) == {"nat": "failed"}
    assert bad(recording.outcomes(once)) == {}


def test_no_check_is_without_a_case_that_breaks_it() -> None:
    shown = {case.check for case in CASES} | set(TOPICS)
    # Broken below: they look at what is no answer to a question, or is not kept.
    elsewhere = {"stacks", "standby", "flow-delivery"}

    assert {check.id for check in run.CHECKS} == shown | elsewhere


@pytest.mark.parametrize(
    ("check", "asked", "path", "good", "wrong"),
    [
        ("standby", RDS, "DBInstances/0", "ap-northeast-1d", "ap-northeast-1a"),
        ("flow-delivery", "ec2 describe_flow_logs", "0", "SUCCESS", "FAILED"),
    ],
)
def test_what_the_embedded_aws_does_not_keep_is_judged_where_it_is_told(
    recording: Recording, check: str, asked: str, path: str, good: str, wrong: str
) -> None:
    name = {"standby": "SecondaryAvailabilityZone", "flow-delivery": "DeliverLogsStatus"}[check]

    def told(value: str) -> Flaw:
        def change(answer: Any) -> Any:
            node = answer
            for step in path.split("/"):
                node = node[int(step)] if isinstance(node, list) else node[step]
            node[name] = value
            return answer

        return Flaw(asked, change)

    assert recording.outcomes(told(good), forgotten={})[check].outcome is Outcome.PASSED
    assert recording.outcomes(told(wrong), forgotten={})[check].outcome is Outcome.FAILED
    assert recording.outcomes(None, forgotten={})[check].outcome is Outcome.FAILED


def test_the_table_of_what_is_not_kept_names_nothing_that_is(recording: Recording) -> None:
    facts = {fact.of for result in recording.results for fact in result.facts if fact.of}
    wrong = {**FORGOTTEN, "AWS::EC2::VPC.CidrBlock": "a lie"}
    kept = replace(recording.results[0].facts[0], of="AWS::EC2::VPC.CidrBlock")
    lied = replace(recording.results[0], facts=(kept,))

    assert stale(recording.results, FORGOTTEN) == []
    # Each entry is asked about, so that one that is kept after all is met here.
    assert facts == set(FORGOTTEN)
    assert stale([lied], wrong) == ["AWS::EC2::VPC.CidrBlock"]


def test_a_property_that_is_not_kept_hides_nothing_that_is_wrong_beside_it(
    recording: Recording,
) -> None:
    flaw = Flaw(RDS, put("DBInstances/0/MultiAZ", False))
    lost = {**FORGOTTEN, "AWS::RDS::DBInstance.BackupRetentionPeriod": "no backups"}

    assert bad(recording.outcomes(flaw, forgotten=lost)) == {"database": "failed"}


TIERS = ("foundation", "network", "storage", "cache", "compute", "api", "notification", "workflow")
FIRST = {
    "network": "vpc",
    "storage": "database",
    "cache": "cache",
    "compute": "cluster",
    "api": "rest-api",
    "notification": "completion-topic",
    "workflow": "steps",
}


@pytest.mark.parametrize("tier", TIERS)
def test_a_stack_that_is_missing_fails_what_needs_it_and_says_so(
    recording: Recording, tier: str
) -> None:
    missing = Absent(f"stack tap-dev-{tier}")
    tiers = {**recording.env.tiers, tier: Unread(tier, missing)}
    env = Environment("dev", recording.env.account, tiers)

    found = recording.outcomes(env=env)

    failed = bad(found)
    assert set(failed.values()) == {"failed"}
    assert f"stack tap-dev-{tier} is not there" in found["stacks"].found
    if tier in FIRST:
        assert found[FIRST[tier]].why == f"stack tap-dev-{tier} is not there"
        assert "exports" in failed
    # What stands is verified all the same.
    assert len(failed) < len(run.CHECKS) - 5


def test_a_stack_that_may_not_be_looked_at_leaves_its_checks_open(recording: Recording) -> None:
    denied = AccessDenied("cloudformation:ListStackResources", "AccessDenied", "not authorized")
    tiers = {**recording.env.tiers, "workflow": Unread("workflow", denied)}
    env = Environment("dev", recording.env.account, tiers)

    found = recording.outcomes(env=env)

    assert found["steps"].outcome is Outcome.COULD_NOT_ASK
    assert found["steps"].why == "cloudformation:ListStackResources is denied: not authorized"


@pytest.mark.parametrize("status", ["UPDATE_ROLLBACK_COMPLETE", "CREATE_IN_PROGRESS"])
def test_a_stack_that_did_not_come_to_its_end_is_told_of(recording: Recording, status: str) -> None:
    network = recording.env.tier("network")
    late = replace(network, stack=replace(network.stack, status=status))
    env = Environment("dev", recording.env.account, {**recording.env.tiers, "network": late})

    found = recording.outcomes(env=env)

    assert bad(found) == {"stacks": "failed"}
    assert found["stacks"].found == f"tap-dev-network: {status}"


@pytest.mark.parametrize(("logs", "outcome"), [([], {}), ([{"FlowLogId": "fl-1"}], "failed")])
def test_a_flow_log_that_is_switched_off_has_to_be_away(
    recording: Recording, logs: list[Any], outcome: Any
) -> None:
    network = recording.env.tier("network")
    off = replace(network.stack, parameters={**network.stack.parameters, "FlowLogs": "false"})
    tiers = {**recording.env.tiers, "network": replace(network, stack=off)}
    env = Environment("dev", recording.env.account, tiers)
    filter_ = [{"Name": "resource-id", "Values": [env.id("network", "Vpc")]}]
    asked = question("ec2", "describe_flow_logs", {"Filter": filter_})
    services = Replayed({**recording.known, asked: logs})

    found = run.carry_out(
        run.chosen(("flow-log", "flow-delivery")), env, services, {}, SystemClock()
    )

    wanted = dict.fromkeys(("flow-log", "flow-delivery"), outcome) if outcome else {}
    assert bad({result.id: result for result in found}) == wanted


def test_a_stack_that_runs_another_template_is_told_of(recording: Recording) -> None:
    network = recording.env.tier("network")
    outputs = {**network.stack.outputs, "TemplateDigest": "0" * 16}
    old = replace(network, stack=replace(network.stack, outputs=outputs))
    env = Environment("dev", recording.env.account, {**recording.env.tiers, "network": old})

    found = recording.outcomes(env=env)

    assert bad(found) == {"stacks": "failed"}
    assert found["stacks"].found == f"tap-dev-network template: {'0' * 16}"


def test_an_export_that_is_missing_is_told_of(recording: Recording) -> None:
    notify = recording.env.tier("notification")
    exports = {k: v for k, v in notify.stack.exports.items() if k != "tap-dev-ErrorTopicName"}
    bare = Tier("notification", replace(notify.stack, exports=exports), notify.ids, notify.document)
    env = Environment("dev", recording.env.account, {**recording.env.tiers, "notification": bare})

    found = recording.outcomes(env=env)

    assert bad(found) == {"exports": "failed"}
    assert found["exports"].found == (
        "tap-dev-ErrorTopicName: nothing; described and not exported: ErrorTopicName"
    )


def test_a_question_that_is_denied_leaves_open_the_checks_that_ask_it(recording: Recording) -> None:
    denied = AccessDenied("rds:DescribeDBInstances", "AccessDenied", "not authorized")

    found = recording.outcomes(Flaw(RDS, lambda _: None, denied))

    asking = {r.id for r in recording.results if any(a.startswith(RDS) for a in r.asked)}
    assert bad(found) == dict.fromkeys(asking, "could not ask")
    assert found["database"].why == "rds:DescribeDBInstances is denied: not authorized"
    assert found["vpc"].outcome is Outcome.PASSED


def test_a_resource_that_somebody_removed_is_a_failure_and_no_refusal(recording: Recording) -> None:
    gone = Refused("rds:DescribeDBInstances", "DBInstanceNotFound", "DBInstance not found.")
    busy = Throttled("rds:DescribeDBInstances")

    removed = recording.outcomes(Flaw(RDS, lambda _: None, gone))
    throttled = recording.outcomes(Flaw(RDS, lambda _: None, busy))

    assert removed["database"].outcome is Outcome.FAILED
    assert removed["database"].why == (
        "video-processing-db-dev is not there: DBInstance not found."
    )
    assert throttled["database"].outcome is Outcome.COULD_NOT_ASK


def test_no_answer_is_asked_for_in_vain_and_an_empty_one_ends_in_no_traceback(
    recording: Recording,
) -> None:
    harmless = []

    for asked, answer in recording.known.items():
        if not bad(recording.outcomes(Flaw(asked, _emptied))):
            harmless.append(answer)

    # It was as good as empty: a role has nothing attached, or no policy of its own.
    assert all(answer == [] or answer["PolicyNames"] == [] for answer in harmless)


def _emptied(answer: Any) -> Any:
    return [] if isinstance(answer, list) else {}


def test_an_answer_that_lacks_a_member_ends_in_no_traceback(recording: Recording) -> None:
    tried = 0

    for asked, answer in recording.known.items():
        checks = [check for check in run.CHECKS if asked in recording.asking[check.id]]
        for path in _members(answer):
            services = Replayed(recording.known, Flaw(asked, put(path, GONE)))
            for check in checks:
                run.result(check, recording.env, Answers(services), FORGOTTEN, SystemClock())
            tried += services.struck

    assert tried > 500


def _members(answer: Any) -> list[str]:
    """The members of an answer, and those of the first item in it."""
    if isinstance(answer, list):
        return [f"0/{name.replace('/', '|')}" for name in answer[0]] if answer else []
    found = []
    for name, value in answer.items():
        if name != "ResponseMetadata":
            found.append(name)
        inner = value[0] if isinstance(value, list) and value else value
        if isinstance(inner, dict) and name != "ResponseMetadata":
            lead = f"{name}/0" if isinstance(value, list) else name
            found += [f"{lead}/{member.replace('/', '|')}" for member in inner]
    return found


def test_everything_is_asked_once(recording: Recording) -> None:
    times: dict[str, int] = {}

    class Counting(Replayed):
        def _answer(self, asked: str) -> Any:
            times[asked] = times.get(asked, 0) + 1
            return super()._answer(asked)

    services = Counting(recording.known)
    list(run.carry_out(run.CHECKS, recording.env, services, FORGOTTEN, SystemClock()))

    assert set(times.values()) == {1}
    assert len(times) == len(recording.known)


def test_only_questions_are_put(recording: Recording) -> None:
    verbs = {asked.split()[1].split("_")[0] for asked in recording.known}

    assert verbs == {"describe", "get", "list"}
    assert "secretsmanager get_secret_value" not in " ".join(recording.known)
    keys = [asked for asked in recording.known if "get_api_key" in asked]
    assert all(json.loads(key.split(" ", 2)[2])["includeValue"] is False for key in keys)


def test_no_result_tells_a_secret(recording: Recording) -> None:
    (key,) = [v for k, v in recording.known.items() if k.startswith("apigateway get_api_key")]

    told = json.dumps([[r.found, r.wanted, r.asked] for r in recording.results])

    # The embedded AWS gives the value unasked.
    assert len(key["value"]) > 10
    assert key["value"] not in told
