"""Resources that the launcher adds or completes, seen through their own services' APIs."""

from __future__ import annotations

import io
import json
import re
import urllib.error
import urllib.request
import zipfile
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from local_aws import client, delete, deploy, one, outcome, resource

from tapgen.local.lease import Embedded

ROLE = "arn:aws:iam::000000000000:role/any"


def att(name: str, attribute: str) -> dict[str, Any]:
    return {"Fn::GetAtt": [name, attribute]}


def ref(name: str) -> dict[str, str]:
    return {"Ref": name}


NETWORK: dict[str, Any] = {
    "Vpc": resource("AWS::EC2::VPC", CidrBlock="10.0.0.0/16"),
    "A": resource(
        "AWS::EC2::Subnet",
        VpcId=ref("Vpc"),
        CidrBlock="10.0.0.0/24",
        AvailabilityZone="ap-northeast-1a",
    ),
    "B": resource(
        "AWS::EC2::Subnet",
        VpcId=ref("Vpc"),
        CidrBlock="10.0.1.0/24",
        AvailabilityZone="ap-northeast-1c",
    ),
    "Group": resource("AWS::EC2::SecurityGroup", GroupDescription="g", VpcId=ref("Vpc")),
    "Client": resource("AWS::EC2::SecurityGroup", GroupDescription="c", VpcId=ref("Vpc")),
}


def test_a_nat_gateway_has_its_address_until_it_goes(aws_account: Embedded) -> None:
    ec2 = client(aws_account, "ec2")
    template = {
        "Resources": {
            **NETWORK,
            "Eip": resource("AWS::EC2::EIP", Tags=[{"Key": "Name", "Value": "nat"}]),
            "Nat": resource(
                "AWS::EC2::NatGateway", AllocationId=att("Eip", "AllocationId"), SubnetId=ref("A")
            ),
        },
        "Outputs": {"Ip": {"Value": ref("Eip")}, "Nat": {"Value": ref("Nat")}},
    }

    made = outcome(aws_account, "net", template)
    (nat,) = ec2.describe_nat_gateways(NatGatewayIds=[made.outputs["Nat"]])["NatGateways"]
    (address,) = ec2.describe_addresses()["Addresses"]
    gone = delete(aws_account, "net")

    assert made.status == "CREATE_COMPLETE", made.reasons
    assert nat["State"] == "available"
    assert nat["NatGatewayAddresses"] == [
        {"AllocationId": address["AllocationId"], "PublicIp": made.outputs["Ip"]}
    ]
    assert address["AssociationId"].startswith("eipassoc-")
    assert {"Key": "Name", "Value": "nat"} in address["Tags"]
    assert gone.status == "DELETE_COMPLETE", gone.reasons
    assert ec2.describe_addresses()["Addresses"] == []


def test_a_rule_of_its_own_joins_its_group_and_leaves_it(aws_account: Embedded) -> None:
    ec2 = client(aws_account, "ec2")
    rule = {"GroupId": ref("Group"), "IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432}
    template: dict[str, Any] = {
        "Resources": {
            **NETWORK,
            "In": resource(
                "AWS::EC2::SecurityGroupIngress",
                **rule,
                SourceSecurityGroupId=ref("Client"),
                Description="from clients",
            ),
            "Out": resource(
                "AWS::EC2::SecurityGroupEgress", **rule, CidrIp="10.0.0.0/16", Description="out"
            ),
        },
        "Outputs": {name: {"Value": ref(name)} for name in ("Group", "Client", "In", "Out")},
    }

    made = outcome(aws_account, "net", template)
    rules = ec2.describe_security_group_rules(
        SecurityGroupRuleIds=[made.outputs["In"], made.outputs["Out"]]
    )["SecurityGroupRules"]
    del template["Resources"]["In"], template["Outputs"]["In"]
    deploy(aws_account, "net", template)
    (group,) = ec2.describe_security_groups(GroupIds=[made.outputs["Group"]])["SecurityGroups"]

    described = {rule["Description"]: rule for rule in rules}
    assert described["from clients"]["ReferencedGroupInfo"]["GroupId"] == made.outputs["Client"]
    assert (described["out"]["IsEgress"], described["out"]["CidrIpv4"]) == (True, "10.0.0.0/16")
    assert group["IpPermissions"] == []


def test_a_flow_log_tells_where_it_writes(aws_account: Embedded) -> None:
    template = {
        "Resources": {
            **NETWORK,
            "Log": resource(
                "AWS::EC2::FlowLog",
                ResourceId=ref("Vpc"),
                ResourceType="VPC",
                TrafficType="ALL",
                LogDestinationType="cloud-watch-logs",
                LogGroupName="/flow",
                DeliverLogsPermissionArn=ROLE,
                MaxAggregationInterval=60,
            ),
        }
    }

    made = outcome(aws_account, "net", template)
    (log,) = client(aws_account, "ec2").describe_flow_logs()["FlowLogs"]

    assert made.status == "CREATE_COMPLETE", made.reasons
    assert (log["TrafficType"], log["FlowLogStatus"]) == ("ALL", "ACTIVE")
    assert (log["LogGroupName"], log["DeliverLogsPermissionArn"]) == ("/flow", ROLE)
    assert log["MaxAggregationInterval"] == 60


def test_an_endpoint_tells_its_groups_and_names(aws_account: Embedded) -> None:
    template = {
        "Resources": {
            **NETWORK,
            "Endpoint": resource(
                "AWS::EC2::VPCEndpoint",
                VpcId=ref("Vpc"),
                VpcEndpointType="Interface",
                ServiceName="com.amazonaws.ap-northeast-1.secretsmanager",
                SubnetIds=[ref("A")],
                SecurityGroupIds=[ref("Group")],
                PrivateDnsEnabled=True,
                PolicyDocument={"Statement": []},
            ),
        },
        "Outputs": {"Group": {"Value": ref("Group")}},
    }

    made = outcome(aws_account, "net", template)
    (endpoint,) = client(aws_account, "ec2").describe_vpc_endpoints()["VpcEndpoints"]

    assert endpoint["PrivateDnsEnabled"]
    assert [group["GroupId"] for group in endpoint["Groups"]] == [made.outputs["Group"]]
    assert json.loads(endpoint["PolicyDocument"]) == {"Statement": []}


def database(**properties: Any) -> dict[str, Any]:
    """A PostgreSQL instance, with what it takes to be created."""
    return {
        "Type": "AWS::RDS::DBInstance",
        "Properties": {
            "DBInstanceIdentifier": "video-db",
            "DBInstanceClass": "db.t4g.medium",
            "Engine": "postgres",
            "EngineVersion": "16.13",
            "AllocatedStorage": "100",
            "MasterUsername": "videoadmin",
            "ManageMasterUserPassword": True,
            **properties,
        },
    }


def instance(aws: Embedded) -> dict[str, Any]:
    found = client(aws, "rds").describe_db_instances(DBInstanceIdentifier="video-db")
    described: dict[str, Any] = found["DBInstances"][0]
    return described


def test_rds_offers_what_it_offers_today(aws_account: Embedded) -> None:
    rds = client(aws_account, "rds")

    offered = rds.describe_db_engine_versions(Engine="postgres", EngineVersion="16")
    default = rds.describe_db_engine_versions(
        Engine="postgres", EngineVersion="16", DefaultOnly=True
    )
    withdrawn = rds.describe_db_engine_versions(
        Engine="postgres", EngineVersion="16.6", IncludeAll=True
    )
    gone = rds.describe_db_engine_versions(Engine="postgres", EngineVersion="16.6")

    versions = [version["EngineVersion"] for version in offered["DBEngineVersions"]]
    assert versions == ["16.9", "16.10", "16.11", "16.12", "16.13", "16.14", "16.15"]
    assert {version["Status"] for version in offered["DBEngineVersions"]} == {"available"}
    assert offered["DBEngineVersions"][0]["DBParameterGroupFamily"] == "postgres16"
    assert "17.5" in [
        target["EngineVersion"] for target in offered["DBEngineVersions"][0]["ValidUpgradeTarget"]
    ]
    assert [version["EngineVersion"] for version in default["DBEngineVersions"]] == ["16.13"]
    assert withdrawn["DBEngineVersions"][0]["Status"] == "deprecated"
    assert gone["DBEngineVersions"] == []


def test_a_withdrawn_version_cannot_be_created(aws_account: Embedded) -> None:
    template = {"Resources": {"Db": database(EngineVersion="16.6")}}

    made = outcome(aws_account, "storage", template)
    with pytest.raises(ClientError) as caught:
        client(aws_account, "rds").create_db_instance(
            DBInstanceIdentifier="other",
            DBInstanceClass="db.t4g.medium",
            Engine="postgres",
            EngineVersion="16.6",
        )

    assert made.status == "ROLLBACK_COMPLETE"
    assert "Cannot find version 16.6 for postgres" in made.reasons
    assert caught.value.response["Error"]["Message"] == "Cannot find version 16.6 for postgres"


def test_a_major_alone_is_its_default_minor_and_nothing_is_taken_back(
    aws_account: Embedded,
) -> None:
    made = deploy(aws_account, "storage", {"Resources": {"Db": database(EngineVersion="16")}})
    first = instance(aws_account)["EngineVersion"]
    up = deploy(aws_account, "storage", {"Resources": {"Db": database(EngineVersion="16.15")}})
    second = instance(aws_account)["EngineVersion"]
    down = outcome(aws_account, "storage", {"Resources": {"Db": database()}})

    assert (made, first) == ("CREATE_COMPLETE", "16.13")
    assert (up, second) == ("UPDATE_COMPLETE", "16.15")
    assert down.status == "UPDATE_ROLLBACK_COMPLETE"
    assert "Cannot find upgrade target from 16.15 with requested version 16.13." in down.reasons


def test_rds_makes_and_deletes_the_owners_secret(aws_account: Embedded) -> None:
    secrets = client(aws_account, "secretsmanager")
    template = {
        "Resources": {"Db": {**database(), "DeletionPolicy": "Delete"}},
        "Outputs": {"Secret": {"Value": att("Db", "MasterUserSecret.SecretArn")}},
    }

    made = outcome(aws_account, "storage", template)
    arn = made.outputs["Secret"]
    value = json.loads(secrets.get_secret_value(SecretId=arn)["SecretString"])
    described = secrets.describe_secret(SecretId=arn)
    told = instance(aws_account)["MasterUserSecret"]
    delete(aws_account, "storage")

    assert re.fullmatch(r"rds!db-[0-9a-z]+", described["Name"])
    assert (sorted(value), value["username"]) == (["password", "username"], "videoadmin")
    assert len(value["password"]) == 28
    assert (described["RotationEnabled"], described["RotationRules"]) == (
        True,
        {"AutomaticallyAfterDays": 7},
    )
    assert (told["SecretArn"], told["SecretStatus"]) == (arn, "active")
    assert secrets.list_secrets()["SecretList"] == []


def test_a_database_keeps_everything_it_was_given(aws_account: Embedded) -> None:
    given = {
        "CACertificateIdentifier": "rds-ca-rsa4096-g1",
        "DatabaseInsightsMode": "standard",
        "DeletionProtection": False,
        "EnablePerformanceInsights": True,
        "EngineLifecycleSupport": "open-source-rds-extended-support-disabled",
        "MaxAllocatedStorage": 500,
        "PerformanceInsightsRetentionPeriod": 31,
        "StorageType": "gp3",
    }
    exports = {"EnableCloudwatchLogsExports": ["upgrade", "postgresql"]}

    deploy(aws_account, "storage", {"Resources": {"Db": database(**given, **exports)}})
    told = instance(aws_account)

    renamed = {"EnablePerformanceInsights": "PerformanceInsightsEnabled"}
    assert {name: told[renamed.get(name, name)] for name in given} == given
    assert told["EnabledCloudwatchLogsExports"] == ["postgresql", "upgrade"]


def test_a_protected_database_is_not_deleted(aws_account: Embedded) -> None:
    deploy(aws_account, "storage", {"Resources": {"Db": database(DeletionProtection=True)}})

    refused = delete(aws_account, "storage")

    assert refused.status == "DELETE_FAILED"
    assert "Cannot delete protected DB Instance" in refused.reasons
    assert instance(aws_account)["DBInstanceStatus"] == "available"


def test_each_deletion_of_a_database_leaves_a_snapshot_of_its_own(aws_account: Embedded) -> None:
    template = {"Resources": {"Db": {**database(), "DeletionPolicy": "Snapshot"}}}
    for _ in range(2):
        deploy(aws_account, "storage", template)
        delete(aws_account, "storage")

    snapshots = client(aws_account, "rds").describe_db_snapshots()["DBSnapshots"]

    assert len({snapshot["DBSnapshotIdentifier"] for snapshot in snapshots}) == 2
    assert {snapshot["DBInstanceIdentifier"] for snapshot in snapshots} == {"video-db"}


CACHE: dict[str, Any] = {
    **NETWORK,
    "Subnets": resource(
        "AWS::ElastiCache::SubnetGroup", Description="s", SubnetIds=[ref("A"), ref("B")]
    ),
    "Nobody": resource(
        "AWS::ElastiCache::User",
        UserId="nobody",
        UserName="default",
        Engine="redis",
        AccessString="off ~* -@all",
        NoPasswordRequired=True,
    ),
    "Users": resource(
        "AWS::ElastiCache::UserGroup", UserGroupId="users", Engine="redis", UserIds=[ref("Nobody")]
    ),
    "Cache": {
        **resource(
            "AWS::ElastiCache::ReplicationGroup",
            ReplicationGroupId="video-cache",
            ReplicationGroupDescription="c",
            Engine="redis",
            EngineVersion="7.1",
            CacheNodeType="cache.t4g.medium",
            NumCacheClusters=2,
            AutomaticFailoverEnabled=True,
            MultiAZEnabled=True,
            CacheSubnetGroupName=ref("Subnets"),
            SecurityGroupIds=[ref("Group")],
            TransitEncryptionEnabled=True,
            TransitEncryptionMode="required",
            AtRestEncryptionEnabled=True,
            UserGroupIds=[ref("Users")],
        ),
        "DeletionPolicy": "Snapshot",
    },
}


def test_a_cache_has_the_names_that_clients_connect_to(aws_account: Embedded) -> None:
    template = {
        "Resources": CACHE,
        "Outputs": {
            "Primary": {"Value": att("Cache", "PrimaryEndPoint.Address")},
            "Reader": {"Value": att("Cache", "ReaderEndPoint.Address")},
            "Port": {"Value": att("Cache", "PrimaryEndPoint.Port")},
        },
    }
    cache = client(aws_account, "elasticache")

    made = outcome(aws_account, "cache", template)
    (group,) = cache.describe_replication_groups()["ReplicationGroups"]
    (users,) = cache.describe_user_groups()["UserGroups"]
    shard = group["NodeGroups"][0]
    zones = [node["PreferredAvailabilityZone"] for node in shard["NodeGroupMembers"]]

    domain = r"[0-9a-f]{6}\.apne1\.cache\.amazonaws\.com"
    assert made.status == "CREATE_COMPLETE", made.reasons
    assert re.fullmatch(rf"master\.video-cache\.{domain}", made.outputs["Primary"])
    assert re.fullmatch(rf"replica\.video-cache\.{domain}", made.outputs["Reader"])
    assert made.outputs["Port"] == "6379"
    assert shard["PrimaryEndpoint"]["Address"] == made.outputs["Primary"]
    assert zones == ["ap-northeast-1a", "ap-northeast-1c"]
    assert users["ReplicationGroups"] == ["video-cache"]


def test_a_deleted_cache_leaves_a_snapshot(aws_account: Embedded) -> None:
    deploy(aws_account, "cache", {"Resources": CACHE})

    gone = delete(aws_account, "cache")
    (snapshot,) = client(aws_account, "elasticache").describe_snapshots()["Snapshots"]

    assert gone.status == "DELETE_COMPLETE", gone.reasons
    assert snapshot["SnapshotName"].startswith("video-cache-snapshot-")
    assert (snapshot["EngineVersion"], snapshot["CacheNodeType"]) == ("7.1", "cache.t4g.medium")


def test_a_user_group_needs_a_user_named_default(aws_account: Embedded) -> None:
    template = {
        "Resources": {
            "App": resource(
                "AWS::ElastiCache::User",
                UserId="app",
                UserName="app",
                Engine="redis",
                NoPasswordRequired=True,
            ),
            "Users": resource(
                "AWS::ElastiCache::UserGroup",
                UserGroupId="users",
                Engine="redis",
                UserIds=[ref("App")],
            ),
        }
    }

    made = outcome(aws_account, "cache", template)

    assert made.status == "ROLLBACK_COMPLETE"
    assert "needs to contain a user with the user name default" in made.reasons


def test_a_task_definition_keeps_volumes_secrets_and_platform(aws_account: Embedded) -> None:
    template = one(
        "AWS::ECS::TaskDefinition",
        Family="task",
        RequiresCompatibilities=["FARGATE"],
        NetworkMode="awsvpc",
        Cpu="1024",
        Memory="2048",
        RuntimePlatform={"CpuArchitecture": "X86_64", "OperatingSystemFamily": "LINUX"},
        Volumes=[
            {
                "Name": "work",
                "EFSVolumeConfiguration": {
                    "FilesystemId": "fs-1",
                    "TransitEncryption": "ENABLED",
                    "AuthorizationConfig": {"AccessPointId": "fsap-1", "IAM": "ENABLED"},
                },
            }
        ],
        ContainerDefinitions=[
            {
                "Name": "cli",
                "Image": "public.ecr.aws/aws-cli/aws-cli:2.31.0",
                "Secrets": [{"Name": "PASSWORD", "ValueFrom": "arn:secret"}],
                "LogConfiguration": {
                    "LogDriver": "awslogs",
                    "Options": {"awslogs-group": "/tasks", "mode": "non-blocking"},
                },
                "MountPoints": [{"SourceVolume": "work", "ContainerPath": "/work"}],
            }
        ],
    )

    made = outcome(aws_account, "compute", template)
    told = client(aws_account, "ecs").describe_task_definition(taskDefinition="task")
    definition = told["taskDefinition"]
    (container,) = definition["containerDefinitions"]

    assert made.status == "CREATE_COMPLETE", made.reasons
    assert definition["volumes"] == [
        {
            "name": "work",
            "efsVolumeConfiguration": {
                "fileSystemId": "fs-1",
                "transitEncryption": "ENABLED",
                "authorizationConfig": {"accessPointId": "fsap-1", "iam": "ENABLED"},
            },
        }
    ]
    assert definition["runtimePlatform"]["cpuArchitecture"] == "X86_64"
    assert container["secrets"] == [{"name": "PASSWORD", "valueFrom": "arn:secret"}]
    assert container["logConfiguration"]["options"]["awslogs-group"] == "/tasks"


def test_capacity_providers_can_be_associated_afterwards(aws_account: Embedded) -> None:
    template = {
        "Resources": {
            "Cluster": resource("AWS::ECS::Cluster", ClusterName="tasks"),
            "Providers": resource(
                "AWS::ECS::ClusterCapacityProviderAssociations",
                Cluster=ref("Cluster"),
                CapacityProviders=["FARGATE", "FARGATE_SPOT"],
                DefaultCapacityProviderStrategy=[{"CapacityProvider": "FARGATE", "Weight": 1}],
            ),
        }
    }

    deploy(aws_account, "compute", template)
    (cluster,) = client(aws_account, "ecs").describe_clusters(clusters=["tasks"])["clusters"]

    assert cluster["capacityProviders"] == ["FARGATE", "FARGATE_SPOT"]
    assert cluster["defaultCapacityProviderStrategy"][0]["weight"] == 1


def test_a_function_keeps_its_network_and_its_reservation(aws_account: Embedded) -> None:
    template = {
        "Resources": {
            **NETWORK,
            "Function": resource(
                "AWS::Lambda::Function",
                FunctionName="api",
                Runtime="python3.12",
                Handler="index.handler",
                Role=ROLE,
                Code={"ZipFile": "def handler(event, context): return 1"},
                VpcConfig={"SubnetIds": [ref("A")], "SecurityGroupIds": [ref("Client")]},
                ReservedConcurrentExecutions=7,
            ),
        },
        "Outputs": {name: {"Value": ref(name)} for name in ("A", "Client", "Vpc")},
    }

    made = outcome(aws_account, "api", template)
    lambda_ = client(aws_account, "lambda")
    told = lambda_.get_function_configuration(FunctionName="api")
    network = told["VpcConfig"]
    reserved = lambda_.get_function_concurrency(FunctionName="api")

    assert (told["State"], told["LastUpdateStatus"]) == ("Active", "Successful")
    assert network["SubnetIds"] == [made.outputs["A"]]
    assert network["SecurityGroupIds"] == [made.outputs["Client"]]
    assert network["VpcId"] == made.outputs["Vpc"]
    assert reserved["ReservedConcurrentExecutions"] == 7


def test_code_that_is_not_in_the_bucket_fails_the_function(aws_account: Embedded) -> None:
    template = one(
        "AWS::Lambda::Function",
        Runtime="python3.12",
        Handler="index.handler",
        Role=ROLE,
        Code={"S3Bucket": "nowhere", "S3Key": "a.zip"},
    )

    made = outcome(aws_account, "api", template)

    assert made.status == "ROLLBACK_COMPLETE"
    assert "S3 Error Code: NoSuchBucket" in made.reasons


def test_a_state_machine_keeps_logging_and_tracing(aws_account: Embedded) -> None:
    group = "arn:aws:logs:ap-northeast-1:000000000000:log-group:/aws/vendedlogs/states/w:*"
    template = one(
        "AWS::StepFunctions::StateMachine",
        StateMachineName="workflow",
        RoleArn=ROLE,
        DefinitionString=json.dumps({"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}),
        LoggingConfiguration={
            "Level": "ALL",
            "IncludeExecutionData": True,
            "Destinations": [{"CloudWatchLogsLogGroup": {"LogGroupArn": group}}],
        },
        TracingConfiguration={"Enabled": True},
    )
    template["Outputs"] = {"Arn": {"Value": ref("It")}}

    made = outcome(aws_account, "flow", template)
    machine = client(aws_account, "stepfunctions").describe_state_machine(
        stateMachineArn=made.outputs["Arn"]
    )

    assert machine["loggingConfiguration"] == {
        "level": "ALL",
        "includeExecutionData": True,
        "destinations": [{"cloudWatchLogsLogGroup": {"logGroupArn": group}}],
    }
    assert machine["tracingConfiguration"] == {"enabled": True}


def rest_api(**method: Any) -> dict[str, Any]:
    """An API with one POST that answers 200 to whoever comes through."""
    return {
        "Resources": {
            "Api": resource(
                "AWS::ApiGateway::RestApi",
                Name="api",
                EndpointConfiguration={"Types": ["REGIONAL"]},
                SecurityPolicy="SecurityPolicy_TLS13_1_2_2021_06",
                EndpointAccessMode="STRICT",
            ),
            "Model": resource(
                "AWS::ApiGateway::Model",
                RestApiId=ref("Api"),
                Name="Video",
                ContentType="application/json",
                Schema={"type": "object", "required": ["title"]},
            ),
            "Validator": resource(
                "AWS::ApiGateway::RequestValidator",
                RestApiId=ref("Api"),
                Name="body",
                ValidateRequestBody=True,
            ),
            "Post": resource(
                "AWS::ApiGateway::Method",
                RestApiId=ref("Api"),
                ResourceId=att("Api", "RootResourceId"),
                HttpMethod="POST",
                AuthorizationType="NONE",
                RequestValidatorId=ref("Validator"),
                RequestModels={"application/json": ref("Model")},
                Integration={
                    "Type": "MOCK",
                    "RequestTemplates": {"application/json": '{"statusCode": 200}'},
                    "IntegrationResponses": [{"StatusCode": "200"}],
                },
                MethodResponses=[{"StatusCode": "200"}],
                **method,
            ),
            "Deployment": {
                **resource("AWS::ApiGateway::Deployment", RestApiId=ref("Api")),
                "DependsOn": "Post",
            },
            "Stage": resource(
                "AWS::ApiGateway::Stage",
                RestApiId=ref("Api"),
                DeploymentId=ref("Deployment"),
                StageName="dev",
                AccessLogSetting={"DestinationArn": "arn:log", "Format": "$context.requestId"},
                MethodSettings=[
                    {"ResourcePath": "/*", "HttpMethod": "*", "ThrottlingRateLimit": 1000},
                    {"ResourcePath": "/~1health", "HttpMethod": "GET", "ThrottlingRateLimit": 50},
                ],
            ),
            "Key": resource("AWS::ApiGateway::ApiKey", Name="off"),
        },
        "Outputs": {name: {"Value": ref(name)} for name in ("Api", "Validator", "Key")},
    }


def test_a_validator_is_there_and_turns_away_what_does_not_fit(aws_account: Embedded) -> None:
    made = outcome(aws_account, "api", rest_api())
    api = made.outputs["Api"]
    gateway = client(aws_account, "apigateway")
    (validator,) = gateway.get_request_validators(restApiId=api)["items"]
    root = gateway.get_resources(restApiId=api)["items"][0]["id"]
    method = gateway.get_method(restApiId=api, resourceId=root, httpMethod="POST")
    url = f"{aws_account.url}/restapis/{api}/dev/_user_request_/"

    assert validator["id"] == made.outputs["Validator"]
    assert (validator["name"], validator["validateRequestBody"]) == ("body", True)
    assert method["requestValidatorId"] == validator["id"]
    assert posted(url, {"title": "a"}) == 200
    assert posted(url, {"name": "a"}) == 400


def posted(url: str, body: dict[str, str]) -> int:
    """The status that an unsigned call to the API gets."""
    request = urllib.request.Request(
        url, data=json.dumps(body).encode(), headers={"content-type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_an_api_and_its_stage_keep_their_settings(aws_account: Embedded) -> None:
    made = outcome(aws_account, "api", rest_api())
    gateway = client(aws_account, "apigateway")
    api = gateway.get_rest_api(restApiId=made.outputs["Api"])
    stage = gateway.get_stage(restApiId=made.outputs["Api"], stageName="dev")
    key = gateway.get_api_key(apiKey=made.outputs["Key"])

    assert api["endpointConfiguration"]["types"] == ["REGIONAL"]
    assert api["securityPolicy"] == "SecurityPolicy_TLS13_1_2_2021_06"
    assert stage["accessLogSettings"] == {
        "destinationArn": "arn:log",
        "format": "$context.requestId",
    }
    assert sorted(stage["methodSettings"]) == ["*/*", "~1health/GET"]
    assert key["enabled"] is False


def test_a_secret_is_referred_to_by_its_arn_and_generated_as_asked(
    aws_account: Embedded,
) -> None:
    template = one(
        "AWS::SecretsManager::Secret",
        Name="video/app",
        GenerateSecretString={
            "SecretStringTemplate": '{"username": "app"}',
            "GenerateStringKey": "password",
            "PasswordLength": 64,
            "ExcludePunctuation": True,
        },
    )
    template["Outputs"] = {"Arn": {"Value": ref("It")}}
    secrets = client(aws_account, "secretsmanager")

    made = outcome(aws_account, "app", template)
    value = json.loads(secrets.get_secret_value(SecretId="video/app")["SecretString"])
    template["Resources"]["It"]["Properties"]["Description"] = "changed"
    changed = outcome(aws_account, "app", template)
    kept = json.loads(secrets.get_secret_value(SecretId="video/app")["SecretString"])
    delete(aws_account, "app")

    assert made.outputs["Arn"].startswith("arn:aws:secretsmanager:ap-northeast-1:")
    assert value["username"] == "app"
    assert re.fullmatch("[0-9A-Za-z]{64}", value["password"])
    assert (changed.outputs, kept) == (made.outputs, value)
    assert secrets.list_secrets()["SecretList"] == []


def bucket_template(name: str) -> dict[str, Any]:
    return one(
        "AWS::S3::Bucket",
        BucketName=name,
        VersioningConfiguration={"Status": "Enabled"},
        PublicAccessBlockConfiguration={
            "BlockPublicAcls": True,
            "BlockPublicPolicy": True,
            "IgnorePublicAcls": True,
            "RestrictPublicBuckets": True,
        },
        OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
        BucketEncryption={
            "ServerSideEncryptionConfiguration": [
                {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
            ]
        },
        LifecycleConfiguration={
            "Rules": [
                {
                    "Id": "old",
                    "Status": "Enabled",
                    "NoncurrentVersionExpiration": {"NoncurrentDays": 90},
                    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
                }
            ]
        },
        Tags=[{"Key": "Name", "Value": "artifacts"}],
    )


def test_a_bucket_keeps_what_protects_it(aws_account: Embedded) -> None:
    name = f"artifacts-{aws_account.account}"
    s3 = client(aws_account, "s3")

    made = outcome(aws_account, "base", bucket_template(name))
    encryption = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]
    owner = s3.get_bucket_ownership_controls(Bucket=name)["OwnershipControls"]["Rules"]
    (rule,) = s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]

    assert made.status == "CREATE_COMPLETE", made.reasons
    assert s3.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
    assert encryption["Rules"][0]["ApplyServerSideEncryptionByDefault"] == {
        "SSEAlgorithm": "AES256"
    }
    assert owner == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 90}
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    assert {"Key": "Name", "Value": "artifacts"} in s3.get_bucket_tagging(Bucket=name)["TagSet"]
    assert all(s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"].values())


def test_a_bucket_that_is_not_empty_stays(aws_account: Embedded) -> None:
    name = f"artifacts-{aws_account.account}"
    deploy(aws_account, "base", bucket_template(name))
    client(aws_account, "s3").put_object(Bucket=name, Key="a.zip", Body=zipped())

    refused = delete(aws_account, "base")

    assert refused.status == "DELETE_FAILED"
    assert "The bucket you tried to delete is not empty" in refused.reasons


def zipped() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("index.py", "")
    return packed.getvalue()


def test_a_topic_keeps_its_key(aws_account: Embedded) -> None:
    template = one("AWS::SNS::Topic", TopicName="news", KmsMasterKeyId="alias/news")

    deploy(aws_account, "app", template)
    arn = f"arn:aws:sns:ap-northeast-1:{aws_account.account}:news"
    told = client(aws_account, "sns").get_topic_attributes(TopicArn=arn)["Attributes"]

    assert told["KmsMasterKeyId"] == "alias/news"


def test_what_is_retained_except_on_create_goes_with_a_failed_creation(
    aws_account: Embedded,
) -> None:
    kept = {
        **resource("AWS::SNS::Topic", TopicName="kept"),
        "DeletionPolicy": "RetainExceptOnCreate",
    }
    broken = {
        **resource("AWS::Lambda::Function", Role=ROLE, Code={"S3Bucket": "b", "S3Key": "k"}),
        "DependsOn": "Kept",
    }
    sns = client(aws_account, "sns")

    failed = deploy(aws_account, "a", {"Resources": {"Kept": kept, "Broken": broken}})
    after_failure = sns.list_topics()["Topics"]
    delete(aws_account, "a")
    deploy(aws_account, "a", {"Resources": {"Kept": kept}})
    delete(aws_account, "a")

    assert failed == "ROLLBACK_COMPLETE"
    assert after_failure == []
    assert len(sns.list_topics()["Topics"]) == 1


def test_a_group_that_another_one_names_cannot_go(aws_account: Embedded) -> None:
    deploy(aws_account, "net", {"Resources": {**NETWORK}})
    other = {
        **NETWORK,
        "Group": resource(
            "AWS::EC2::SecurityGroup",
            GroupDescription="g",
            VpcId=ref("Vpc"),
            SecurityGroupIngress=[
                {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, "SourceSecurityGroupId": "sg-x"}
            ],
        ),
    }

    assert deploy(aws_account, "net", {"Resources": other}) == "UPDATE_COMPLETE"
    assert delete(aws_account, "net").status == "DELETE_COMPLETE"


def test_an_unsigned_call_is_turned_away(aws_account: Embedded) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{aws_account.url}/?Action=ListStacks")
    with pytest.raises(urllib.error.HTTPError) as reset:
        urllib.request.urlopen(f"{aws_account.url}/_ministack/reset", data=b"")

    with caught.value, reset.value:
        assert (caught.value.code, reset.value.code) == (403, 403)


def test_a_link_that_was_signed_beforehand_opens(aws_account: Embedded) -> None:
    s3 = client(aws_account, "s3")
    signing = boto3.client(
        "s3",
        endpoint_url=aws_account.url,
        region_name=aws_account.region,
        aws_access_key_id=aws_account.access_key,
        aws_secret_access_key=aws_account.secret_key,
        config=Config(signature_version="s3v4"),
    )
    bucket = f"links-{aws_account.account}"
    s3.create_bucket(
        Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": aws_account.region}
    )
    s3.put_object(Bucket=bucket, Key="a b", Body=b"content")
    link = signing.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "a b"})

    with urllib.request.urlopen(link) as response:
        assert response.read() == b"content"


def test_a_change_in_place_reaches_the_service(aws_account: Embedded) -> None:
    template = rest_api()
    template["Resources"] |= {
        "Eip": resource("AWS::EC2::EIP", Tags=[{"Key": "Name", "Value": "a"}]),
        "Cluster": resource("AWS::ECS::Cluster", ClusterName="tasks"),
        "Providers": resource(
            "AWS::ECS::ClusterCapacityProviderAssociations",
            Cluster=ref("Cluster"),
            CapacityProviders=["FARGATE"],
            DefaultCapacityProviderStrategy=[{"CapacityProvider": "FARGATE"}],
        ),
    }
    made = outcome(aws_account, "app", template)
    changed = template["Resources"]
    changed["Validator"]["Properties"]["ValidateRequestParameters"] = True
    changed["Eip"]["Properties"]["Tags"] = [{"Key": "Name", "Value": "b"}]
    changed["Providers"]["Properties"]["CapacityProviders"] = ["FARGATE", "FARGATE_SPOT"]

    after = outcome(aws_account, "app", template)
    gateway, ecs = client(aws_account, "apigateway"), client(aws_account, "ecs")
    validator = gateway.get_request_validator(
        restApiId=made.outputs["Api"], requestValidatorId=made.outputs["Validator"]
    )
    (address,) = client(aws_account, "ec2").describe_addresses()["Addresses"]
    (cluster,) = ecs.describe_clusters(clusters=["tasks"])["clusters"]
    gone = delete(aws_account, "app")

    assert after.status == "UPDATE_COMPLETE", after.reasons
    assert (validator["validateRequestBody"], validator["validateRequestParameters"]) == (
        True,
        True,
    )
    assert {"Key": "Name", "Value": "b"} in address["Tags"]
    assert cluster["capacityProviders"] == ["FARGATE", "FARGATE_SPOT"]
    assert gone.status == "DELETE_COMPLETE", gone.reasons
    assert gateway.get_rest_apis()["items"] == []


def test_a_buckets_settings_change_and_go(aws_account: Embedded) -> None:
    name = f"artifacts-{aws_account.account}"
    s3 = client(aws_account, "s3")
    template = bucket_template(name)
    deploy(aws_account, "base", template)
    settings = template["Resources"]["It"]["Properties"]
    settings["VersioningConfiguration"] = {"Status": "Suspended"}
    settings["LifecycleConfiguration"]["Rules"] = [
        {"Id": "all", "Status": "Enabled", "ExpirationInDays": 30, "Prefix": "tmp/"}
    ]

    deploy(aws_account, "base", template)
    (rule,) = s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    versioning = s3.get_bucket_versioning(Bucket=name)["Status"]
    del settings["LifecycleConfiguration"]
    deploy(aws_account, "base", template)
    with pytest.raises(ClientError) as caught:
        s3.get_bucket_lifecycle_configuration(Bucket=name)

    assert (rule["Expiration"], rule["Filter"]) == ({"Days": 30}, {"Prefix": "tmp/"})
    assert versioning == "Suspended"
    assert caught.value.response["Error"]["Code"] == "NoSuchLifecycleConfiguration"


def test_a_cache_without_tls_has_the_names_of_one(aws_account: Embedded) -> None:
    cache = json.loads(json.dumps(CACHE["Cache"]))
    for name in ("TransitEncryptionEnabled", "TransitEncryptionMode", "UserGroupIds"):
        del cache["Properties"][name]
    template = {
        "Resources": {**CACHE, "Cache": cache},
        "Outputs": {"Primary": {"Value": att("Cache", "PrimaryEndPoint.Address")}},
    }

    made = outcome(aws_account, "cache", template)

    assert re.fullmatch(
        r"video-cache\.[0-9a-f]{6}\.ng\.0001\.apne1\.cache\.amazonaws\.com",
        made.outputs["Primary"],
    )


def test_the_api_of_rds_judges_versions_too(aws_account: Embedded) -> None:
    rds = client(aws_account, "rds")
    deploy(aws_account, "storage", {"Resources": {"Db": database()}})

    with pytest.raises(ClientError) as caught:
        rds.modify_db_instance(DBInstanceIdentifier="video-db", EngineVersion="16.9")
    rds.modify_db_instance(
        DBInstanceIdentifier="video-db", EngineVersion="16.14", ApplyImmediately=True
    )
    others = rds.describe_db_engine_versions(Engine="mysql")["DBEngineVersions"]

    assert caught.value.response["Error"]["Message"] == (
        "Cannot find upgrade target from 16.13 with requested version 16.9."
    )
    assert instance(aws_account)["EngineVersion"] == "16.14"
    assert {version["Engine"] for version in others} == {"mysql"}


def test_an_address_in_use_cannot_be_released(aws_account: Embedded) -> None:
    eip = {"Resources": {"Eip": resource("AWS::EC2::EIP")}}
    eip["Outputs"] = {"Id": {"Value": att("Eip", "AllocationId")}}
    made = outcome(aws_account, "ip", eip)
    nat = {
        "Resources": {
            **NETWORK,
            "Nat": resource(
                "AWS::EC2::NatGateway", AllocationId=made.outputs["Id"], SubnetId=ref("A")
            ),
        }
    }
    deploy(aws_account, "net", nat)

    refused = delete(aws_account, "ip")
    delete(aws_account, "net")
    again = delete(aws_account, "ip")

    assert refused.status == "DELETE_FAILED"
    assert "is in use and cannot be released" in refused.reasons
    assert again.status == "DELETE_COMPLETE"


def test_a_rule_for_a_group_that_is_not_there_fails(aws_account: Embedded) -> None:
    rule = {"GroupId": "sg-1", "IpProtocol": "tcp", "FromPort": 1, "ToPort": 1}

    made = outcome(
        aws_account, "net", one("AWS::EC2::SecurityGroupIngress", **rule, CidrIp="10.0.0.0/8")
    )

    assert made.status == "ROLLBACK_COMPLETE"
    assert "The security group 'sg-1' does not exist" in made.reasons
