"""Which changed property replaces a resource, as the resource providers' schemas say.

The emulator has a table for half of the types used here and answers ``Conditionally`` for the
rest, so a change set would not say that a new CIDR block replaces a VPC. ``replacement_table.py``
is taken from the schemas that come with cfn-lint, which a server must not load (it is larger than
the emulator). After a new cfn-lint write it anew: ``python -m tapgen.local.replacement > …``.
"""

from __future__ import annotations

import sys
from typing import Any

REGION = "ap-northeast-1"

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


def install() -> None:
    """Put the table over the emulator's own."""
    from tapgen.local import reach
    from tapgen.local.replacement_table import ALWAYS, CONDITIONALLY

    provisioners = reach.cloudformation("provisioners")
    for kind in TYPES:
        provisioners._REPLACING_PROPERTIES[kind] = ALWAYS.get(kind, ())
        provisioners._CONDITIONALLY_REPLACING_PROPERTIES[kind] = CONDITIONALLY.get(kind, ())


def from_schemas() -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    """The two tables, read off cfn-lint's schemas: (always, conditionally)."""
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

    always, conditionally = {}, {}
    for kind in TYPES:
        schema: Any = PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, kind).schema
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
    """The text of ``replacement_table.py``."""
    lines = [
        '"""Create-only properties by type; written by ``replacement.py``, not by hand."""',
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
