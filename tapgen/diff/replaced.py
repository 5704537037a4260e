"""Which changed property replaces its resource, and which attributes follow a change without it.

``replaced_table.py`` is taken from the resource providers' schemas as cfn-lint ships them, which a
command must not load only to ask this. After a new cfn-lint write it anew:
``python -m tapgen.diff.replaced > ...``. A second source, CDK's service specification, disagrees
about a few properties; which of the two is right only AWS knows, so the worse answer stands.
"""

from __future__ import annotations

import sys
from typing import Any, Literal

from tapgen import names
from tapgen.diff.replaced_table import ALWAYS, CONDITIONALLY

Answer = Literal["no", "maybe", "yes"]
_ORDER: tuple[Answer, ...] = ("no", "maybe", "yes")

# Every type that the tiers use or are likely to.
TYPES = (
    "AWS::ApiGateway::Account",
    "AWS::ApiGateway::ApiKey",
    "AWS::ApiGateway::Deployment",
    "AWS::ApiGateway::GatewayResponse",
    "AWS::ApiGateway::Method",
    "AWS::ApiGateway::Model",
    "AWS::ApiGateway::RequestValidator",
    "AWS::ApiGateway::Resource",
    "AWS::ApiGateway::RestApi",
    "AWS::ApiGateway::Stage",
    "AWS::ApiGateway::UsagePlan",
    "AWS::ApiGateway::UsagePlanKey",
    "AWS::CloudWatch::Alarm",
    "AWS::CloudWatch::Dashboard",
    "AWS::EC2::EIP",
    "AWS::EC2::FlowLog",
    "AWS::EC2::InternetGateway",
    "AWS::EC2::NatGateway",
    "AWS::EC2::Route",
    "AWS::EC2::RouteTable",
    "AWS::EC2::SecurityGroup",
    "AWS::EC2::SecurityGroupEgress",
    "AWS::EC2::SecurityGroupIngress",
    "AWS::EC2::Subnet",
    "AWS::EC2::SubnetRouteTableAssociation",
    "AWS::EC2::VPC",
    "AWS::EC2::VPCEndpoint",
    "AWS::EC2::VPCGatewayAttachment",
    "AWS::ECS::Cluster",
    "AWS::ECS::ClusterCapacityProviderAssociations",
    "AWS::ECS::TaskDefinition",
    "AWS::EFS::AccessPoint",
    "AWS::EFS::FileSystem",
    "AWS::EFS::MountTarget",
    "AWS::ElastiCache::ParameterGroup",
    "AWS::ElastiCache::ReplicationGroup",
    "AWS::ElastiCache::SubnetGroup",
    "AWS::ElastiCache::User",
    "AWS::ElastiCache::UserGroup",
    "AWS::Events::Rule",
    "AWS::IAM::ManagedPolicy",
    "AWS::IAM::Policy",
    "AWS::IAM::Role",
    "AWS::IAM::RolePolicy",
    "AWS::KMS::Alias",
    "AWS::KMS::Key",
    "AWS::Lambda::Function",
    "AWS::Lambda::Permission",
    "AWS::Logs::LogGroup",
    "AWS::Logs::MetricFilter",
    "AWS::Logs::ResourcePolicy",
    "AWS::RDS::DBInstance",
    "AWS::RDS::DBParameterGroup",
    "AWS::RDS::DBSubnetGroup",
    "AWS::S3::Bucket",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::Subscription",
    "AWS::SNS::Topic",
    "AWS::SNS::TopicPolicy",
    "AWS::SSM::Parameter",
    "AWS::SecretsManager::ResourcePolicy",
    "AWS::SecretsManager::Secret",
    "AWS::SecretsManager::SecretTargetAttachment",
    "AWS::StepFunctions::StateMachine",
)

# Where @aws-cdk/aws-service-spec 0.1.216 says more than the schemas of cfn-lint 1.58.
SECOND_SOURCE: dict[str, dict[str, Answer]] = {
    "AWS::EC2::EIP": {"Domain": "yes"},
    "AWS::ElastiCache::ReplicationGroup": {
        "Engine": "yes",
        "NumNodeGroups": "maybe",
        "ReplicasPerNodeGroup": "yes",
    },
    "AWS::ElastiCache::User": {"Engine": "yes"},
    "AWS::ElastiCache::UserGroup": {"Engine": "yes"},
    "AWS::Events::Rule": {"EventBusName": "yes"},
    "AWS::RDS::DBInstance": {"Port": "yes", "StorageType": "maybe"},
    "AWS::S3::Bucket": {"ObjectLockEnabled": "yes"},
}

# The property that gives a resource its name. CloudFormation makes the new one before it removes
# the old, so it refuses to replace what keeps its name: "cannot update a stack when a custom-named
# resource requires replacing".
NAMES: dict[str, str] = {
    "AWS::ApiGateway::ApiKey": "Name",
    "AWS::CloudWatch::Alarm": "AlarmName",
    "AWS::CloudWatch::Dashboard": "DashboardName",
    "AWS::ECS::Cluster": "ClusterName",
    "AWS::ElastiCache::ReplicationGroup": "ReplicationGroupId",
    "AWS::ElastiCache::SubnetGroup": "CacheSubnetGroupName",
    "AWS::ElastiCache::User": "UserId",
    "AWS::ElastiCache::UserGroup": "UserGroupId",
    "AWS::Events::Rule": "Name",
    "AWS::IAM::ManagedPolicy": "ManagedPolicyName",
    "AWS::IAM::Role": "RoleName",
    "AWS::KMS::Alias": "AliasName",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::RDS::DBInstance": "DBInstanceIdentifier",
    "AWS::RDS::DBParameterGroup": "DBParameterGroupName",
    "AWS::RDS::DBSubnetGroup": "DBSubnetGroupName",
    "AWS::S3::Bucket": "BucketName",
    "AWS::SNS::Topic": "TopicName",
    "AWS::SSM::Parameter": "Name",
    "AWS::SecretsManager::Secret": "Name",
    "AWS::StepFunctions::StateMachine": "StateMachineName",
}

_ENDPOINT = ("TransitEncryptionEnabled", "TransitEncryptionMode", "ClusterMode", "NumNodeGroups")
_NODES = (*_ENDPOINT, "NumCacheClusters", "ReplicasPerNodeGroup", "NodeGroupConfiguration")
_INTERFACES = ("SubnetIds", "IpAddressType", "PrivateDnsEnabled", "DnsOptions")
# Attributes that an update in place can change, and the properties that do it. Every other
# attribute of a type in TYPES stays as long as the resource does.
FOLLOWS: dict[str, dict[str, tuple[str, ...]]] = {
    "AWS::EC2::Subnet": {"Ipv6CidrBlocks": ("Ipv6CidrBlock", "AssignIpv6AddressOnCreation")},
    "AWS::EC2::VPCEndpoint": {"DnsEntries": _INTERFACES, "NetworkInterfaceIds": _INTERFACES},
    "AWS::ElastiCache::ReplicationGroup": {
        # Encryption in transit puts another prefix before the endpoint's host name.
        "PrimaryEndPoint.Address": _ENDPOINT,
        "ReaderEndPoint.Address": _ENDPOINT,
        "ConfigurationEndPoint.Address": _ENDPOINT,
        "ReadEndPoint.Addresses": _NODES,
        "ReadEndPoint.Addresses.List": _NODES,
        "ReadEndPoint.Ports": _NODES,
        "ReadEndPoint.Ports.List": _NODES,
    },
    "AWS::Lambda::Function": {
        "SnapStartResponse.ApplyOn": ("SnapStart",),
        "SnapStartResponse.OptimizationStatus": ("SnapStart",),
    },
    "AWS::RDS::DBInstance": {
        "Endpoint.Port": ("Port",),
        "MasterUserSecret.SecretArn": ("ManageMasterUserPassword", "MasterUserSecret"),
        "CertificateDetails.CAIdentifier": ("CACertificateIdentifier",),
        "CertificateDetails.ValidTill": ("CACertificateIdentifier",),
    },
    "AWS::SSM::Parameter": {"Type": ("Type",), "Value": ("Value",)},
    "AWS::StepFunctions::StateMachine": {
        "StateMachineRevisionId": (
            "Definition",
            "DefinitionString",
            "DefinitionS3Location",
            "DefinitionSubstitutions",
            "RoleArn",
        )
    },
}

_PORT = ("Port", "Engine", "EngineVersion")
# Attributes that only repeat properties: they survive a replacement that leaves those alone.
GIVEN: dict[str, dict[str, tuple[str, ...]]] = {
    "AWS::EC2::Subnet": {
        "AvailabilityZone": ("AvailabilityZone", "AvailabilityZoneId"),
        "CidrBlock": ("CidrBlock", "Ipv4IpamPoolId"),
    },
    "AWS::EC2::VPC": {"CidrBlock": ("CidrBlock", "Ipv4IpamPoolId")},
    "AWS::ElastiCache::ReplicationGroup": {
        "ConfigurationEndPoint.Port": _PORT,
        "PrimaryEndPoint.Port": _PORT,
        "ReaderEndPoint.Port": _PORT,
    },
    "AWS::RDS::DBInstance": {"Endpoint.Port": _PORT},
    "AWS::SNS::Topic": {"TopicName": ("TopicName",)},
}


def worst(*answers: Answer) -> Answer:
    """The answer nearest to yes; ``no`` of none."""
    return max(answers, key=_ORDER.index, default="no")


def least(*answers: Answer) -> Answer:
    """The answer nearest to no; ``no`` of none."""
    return min(answers, key=_ORDER.index, default="no")


def known(kind: str) -> bool:
    """Whether the tables speak of this type at all."""
    return kind in TYPES


def by_change(kind: str, name: str) -> Answer:
    """Whether a change of the property ``name`` replaces a resource of type ``kind``.

    Of a type that the tables do not know, anything but its tags may.
    """
    if not known(kind):
        return "no" if name == "Tags" else "maybe"
    schema: Answer = "no"
    if name in ALWAYS.get(kind, ()):
        schema = "yes"
    elif name in CONDITIONALLY.get(kind, ()):
        schema = "maybe"
    return worst(schema, SECOND_SOURCE.get(kind, {}).get(name, "no"))


def attribute_follows(kind: str, attribute: str, name: str) -> bool:
    """Whether a change of the property ``name``, without replacement, may change ``attribute``.

    ``attribute`` is empty for what ``Ref`` gives, which never changes without replacement.
    """
    if not attribute:
        return False
    return not known(kind) or name in FOLLOWS.get(kind, {}).get(attribute, ())


def attribute_repeats(kind: str, attribute: str) -> tuple[str, ...]:
    """The properties that ``attribute`` repeats; none for one that a new resource has anew."""
    return GIVEN.get(kind, {}).get(attribute, ())


def from_schemas() -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    """The two tables, read off cfn-lint's schemas: (always, conditionally)."""
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

    always, conditionally = {}, {}
    for kind in TYPES:
        schema: Any = PROVIDER_SCHEMA_MANAGER.get_resource_schema(names.REGION, kind).schema
        paths = [path.split("/")[2:] for path in schema.get("createOnlyProperties", ())]
        # Of a create-only member of a structure the change of the structure may replace or not.
        whole = {path[0] for path in paths if len(path) == 1}
        part = {path[0] for path in paths if len(path) > 1}
        part |= {path.split("/")[2] for path in schema.get("conditionalCreateOnlyProperties", ())}
        if whole:
            always[kind] = tuple(sorted(whole))
        if part - whole:
            conditionally[kind] = tuple(sorted(part - whole))
    return always, conditionally


def source() -> str:
    """The text of ``replaced_table.py``."""
    lines = [
        '"""Create-only properties by type; written by ``replaced.py``, not by hand."""',
        "",
        "from __future__ import annotations",
        "",
    ]
    for name, table in zip(("ALWAYS", "CONDITIONALLY"), from_schemas(), strict=True):
        lines.append(f"{name}: dict[str, tuple[str, ...]] = {{")
        for kind, properties in table.items():
            lines.append(f'    "{kind}": (')
            lines += [f'        "{name}",' for name in properties]
            lines.append("    ),")
        lines += ["}", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(source())
