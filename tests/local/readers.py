"""How each type of resource is read back, through its own service's API.

A reader takes the account, the physical id and the properties, and gives everything the service
tells about the resource.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from local_aws import client

from tapgen.local.lease import Embedded

Props = dict[str, Any]
Reader = Callable[[Embedded, str, Props], Any]


def call(service: str, operation: str, parameter: str = "", **fixed: Any) -> Reader:
    """A reader of one call; ``parameter`` takes the physical id, in a list when it ends in []."""

    def read(aws: Embedded, physical_id: str, props: Props) -> Any:
        named: dict[str, Any] = {}
        if parameter.endswith("[]"):
            named[parameter[:-2]] = [physical_id]
        elif parameter:
            named[parameter] = physical_id
        return getattr(client(aws, service), operation)(**named, **fixed)

    return read


def calls(*readers: Reader) -> Reader:
    """One reader after another."""
    return lambda aws, physical_id, props: [read(aws, physical_id, props) for read in readers]


def taking(service: str, operation: str, **where: str) -> Reader:
    """A reader whose parameters come from properties; ``"Ref"`` stands for the physical id."""

    def read(aws: Embedded, physical_id: str, props: Props) -> Any:
        known = {**props, "Ref": physical_id}
        named = {parameter: known[prop] for parameter, prop in where.items()}
        return getattr(client(aws, service), operation)(**named)

    return read


def policies_of_role(aws: Embedded, role: str, props: Props) -> Any:
    iam = client(aws, "iam")
    names = iam.list_role_policies(RoleName=role)["PolicyNames"]
    return [iam.get_role_policy(RoleName=role, PolicyName=name) for name in names]


def policy_of_roles(aws: Embedded, physical_id: str, props: Props) -> Any:
    iam = client(aws, "iam")
    return [
        iam.get_role_policy(RoleName=role, PolicyName=props["PolicyName"])
        for role in props["Roles"]
    ]


def topic_policies(aws: Embedded, physical_id: str, props: Props) -> Any:
    topics = client(aws, "sns")
    return [topics.get_topic_attributes(TopicArn=arn)["Attributes"] for arn in props["Topics"]]


def cache_tags(kind: str) -> Reader:
    def read(aws: Embedded, physical_id: str, props: Props) -> Any:
        arn = f"arn:aws:elasticache:{aws.region}:{aws.account}:{kind}:{physical_id}"
        return client(aws, "elasticache").list_tags_for_resource(ResourceName=arn)

    return read


def rule_tags(aws: Embedded, physical_id: str, props: Props) -> Any:
    arn = f"arn:aws:events:{aws.region}:{aws.account}:rule/{physical_id}"
    return client(aws, "events").list_tags_for_resource(ResourceARN=arn)


def stage(aws: Embedded, physical_id: str, props: Props) -> Any:
    told = client(aws, "apigateway").get_stage(restApiId=props["RestApiId"], stageName=physical_id)
    # The keys of the settings are their paths and methods.
    paths = [part for key in told["methodSettings"] for part in key.split("/")]
    return [told, paths, [f"/{path}" for path in paths]]


READERS: dict[str, Reader] = {
    "AWS::ApiGateway::Account": call("apigateway", "get_account"),
    "AWS::ApiGateway::ApiKey": call("apigateway", "get_api_key", "apiKey"),
    "AWS::ApiGateway::Deployment": taking(
        "apigateway", "get_deployment", restApiId="RestApiId", deploymentId="Ref"
    ),
    "AWS::ApiGateway::GatewayResponse": taking(
        "apigateway", "get_gateway_response", restApiId="RestApiId", responseType="ResponseType"
    ),
    "AWS::ApiGateway::Method": taking(
        "apigateway",
        "get_method",
        restApiId="RestApiId",
        resourceId="ResourceId",
        httpMethod="HttpMethod",
    ),
    "AWS::ApiGateway::Model": taking(
        "apigateway", "get_model", restApiId="RestApiId", modelName="Ref"
    ),
    "AWS::ApiGateway::RequestValidator": taking(
        "apigateway", "get_request_validator", restApiId="RestApiId", requestValidatorId="Ref"
    ),
    "AWS::ApiGateway::Resource": taking(
        "apigateway", "get_resource", restApiId="RestApiId", resourceId="Ref"
    ),
    "AWS::ApiGateway::RestApi": call("apigateway", "get_rest_api", "restApiId"),
    "AWS::ApiGateway::Stage": stage,
    "AWS::ApiGateway::UsagePlan": call("apigateway", "get_usage_plan", "usagePlanId"),
    "AWS::ApiGateway::UsagePlanKey": taking(
        "apigateway", "get_usage_plan_keys", usagePlanId="UsagePlanId"
    ),
    "AWS::EC2::EIP": call("ec2", "describe_addresses"),
    "AWS::EC2::FlowLog": call("ec2", "describe_flow_logs", "FlowLogIds[]"),
    "AWS::EC2::InternetGateway": call("ec2", "describe_internet_gateways", "InternetGatewayIds[]"),
    "AWS::EC2::NatGateway": call("ec2", "describe_nat_gateways", "NatGatewayIds[]"),
    "AWS::EC2::Route": call("ec2", "describe_route_tables"),
    "AWS::EC2::RouteTable": call("ec2", "describe_route_tables", "RouteTableIds[]"),
    "AWS::EC2::SecurityGroup": call("ec2", "describe_security_groups", "GroupIds[]"),
    "AWS::EC2::SecurityGroupIngress": call(
        "ec2", "describe_security_group_rules", "SecurityGroupRuleIds[]"
    ),
    "AWS::EC2::Subnet": call("ec2", "describe_subnets", "SubnetIds[]"),
    "AWS::EC2::SubnetRouteTableAssociation": call("ec2", "describe_route_tables"),
    "AWS::EC2::VPC": calls(
        call("ec2", "describe_vpcs", "VpcIds[]"),
        call("ec2", "describe_vpc_attribute", "VpcId", Attribute="enableDnsSupport"),
        call("ec2", "describe_vpc_attribute", "VpcId", Attribute="enableDnsHostnames"),
    ),
    "AWS::EC2::VPCEndpoint": call("ec2", "describe_vpc_endpoints", "VpcEndpointIds[]"),
    "AWS::EC2::VPCGatewayAttachment": call("ec2", "describe_internet_gateways"),
    "AWS::ECS::Cluster": call(
        "ecs", "describe_clusters", "clusters[]", include=["SETTINGS", "TAGS"]
    ),
    "AWS::ECS::TaskDefinition": call(
        "ecs", "describe_task_definition", "taskDefinition", include=["TAGS"]
    ),
    "AWS::EFS::AccessPoint": call("efs", "describe_access_points", "AccessPointId"),
    "AWS::EFS::FileSystem": calls(
        call("efs", "describe_file_systems", "FileSystemId"),
        call("efs", "describe_backup_policy", "FileSystemId"),
        call("efs", "describe_lifecycle_configuration", "FileSystemId"),
        call("efs", "describe_file_system_policy", "FileSystemId"),
    ),
    "AWS::EFS::MountTarget": calls(
        call("efs", "describe_mount_targets", "MountTargetId"),
        call("efs", "describe_mount_target_security_groups", "MountTargetId"),
    ),
    "AWS::ElastiCache::ParameterGroup": calls(
        call("elasticache", "describe_cache_parameter_groups", "CacheParameterGroupName"),
        call("elasticache", "describe_cache_parameters", "CacheParameterGroupName", Source="user"),
        cache_tags("parametergroup"),
    ),
    "AWS::ElastiCache::ReplicationGroup": calls(
        call("elasticache", "describe_replication_groups", "ReplicationGroupId"),
        call("elasticache", "describe_cache_clusters", ShowCacheNodeInfo=True),
        cache_tags("replicationgroup"),
    ),
    "AWS::ElastiCache::SubnetGroup": call(
        "elasticache", "describe_cache_subnet_groups", "CacheSubnetGroupName"
    ),
    "AWS::ElastiCache::User": call("elasticache", "describe_users", "UserId"),
    "AWS::ElastiCache::UserGroup": call("elasticache", "describe_user_groups", "UserGroupId"),
    "AWS::Events::Rule": calls(
        call("events", "describe_rule", "Name"),
        call("events", "list_targets_by_rule", "Rule"),
        rule_tags,
    ),
    "AWS::IAM::Policy": policy_of_roles,
    "AWS::IAM::Role": calls(
        call("iam", "get_role", "RoleName"),
        call("iam", "list_attached_role_policies", "RoleName"),
        policies_of_role,
    ),
    "AWS::KMS::Alias": call("kms", "list_aliases"),
    "AWS::KMS::Key": calls(
        call("kms", "describe_key", "KeyId"),
        call("kms", "get_key_rotation_status", "KeyId"),
        call("kms", "get_key_policy", "KeyId", PolicyName="default"),
        call("kms", "list_resource_tags", "KeyId"),
    ),
    "AWS::Lambda::Function": call("lambda", "get_function", "FunctionName"),
    "AWS::Lambda::Permission": taking("lambda", "get_policy", FunctionName="FunctionName"),
    "AWS::Logs::LogGroup": call("logs", "describe_log_groups", "logGroupNamePrefix"),
    "AWS::RDS::DBInstance": call("rds", "describe_db_instances", "DBInstanceIdentifier"),
    "AWS::RDS::DBParameterGroup": calls(
        call("rds", "describe_db_parameter_groups", "DBParameterGroupName"),
        call("rds", "describe_db_parameters", "DBParameterGroupName", Source="user"),
    ),
    "AWS::RDS::DBSubnetGroup": call("rds", "describe_db_subnet_groups", "DBSubnetGroupName"),
    "AWS::S3::Bucket": calls(
        call("s3", "get_bucket_versioning", "Bucket"),
        call("s3", "get_public_access_block", "Bucket"),
        call("s3", "get_bucket_encryption", "Bucket"),
        call("s3", "get_bucket_ownership_controls", "Bucket"),
        call("s3", "get_bucket_lifecycle_configuration", "Bucket"),
        call("s3", "get_bucket_tagging", "Bucket"),
    ),
    "AWS::S3::BucketPolicy": taking("s3", "get_bucket_policy", Bucket="Bucket"),
    "AWS::SNS::Topic": calls(
        call("sns", "get_topic_attributes", "TopicArn"),
        call("sns", "list_tags_for_resource", "ResourceArn"),
    ),
    "AWS::SNS::TopicPolicy": topic_policies,
    "AWS::SecretsManager::Secret": calls(
        call("secretsmanager", "describe_secret", "SecretId"),
        call("secretsmanager", "get_secret_value", "SecretId"),
    ),
    "AWS::StepFunctions::StateMachine": calls(
        call("stepfunctions", "describe_state_machine", "stateMachineArn"),
        call("stepfunctions", "list_tags_for_resource", "resourceArn"),
    ),
}


def leaves(value: Any, path: str = "") -> list[tuple[str, str]]:
    """Every scalar of a value with the path to it; text that is JSON is opened."""
    if isinstance(value, str) and value[:1] in "{[":
        try:
            value = json.loads(value)
        except ValueError:
            return [(path, value.lower())]
    if isinstance(value, dict):
        return [leaf for key, one in value.items() for leaf in leaves(one, f"{path}.{key}")]
    if isinstance(value, list):
        return [leaf for one in value for leaf in leaves(one, f"{path}[]")]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return [(path, str(value).lower())]


def words(value: Any) -> set[str]:
    """Everything a service said, member names included, in lower case."""
    if isinstance(value, dict):
        return {str(key).lower() for key in value} | {
            word for one in value.values() for word in words(one)
        }
    if isinstance(value, list):
        return {word for one in value for word in words(one)}
    if isinstance(value, str) and value[:1] in "{[":
        try:
            return words(json.loads(value)) | {value.lower()}
        except ValueError:
            return {value.lower()}
    if isinstance(value, float) and value.is_integer():
        return {str(int(value))}
    return {str(value).lower()}
