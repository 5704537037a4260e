"""Network: the VPC, three kinds of subnet over two zones, and who may speak to whom.

Public subnets hold the NAT gateway and, one day, load balancers; private ones hold the tasks and
the function; isolated ones hold the database and the cache and have no way out. All private
subnets share one NAT gateway: it costs half of one per zone, and losing its zone costs both zones
their way out (not their way to the data). Each zone has a route table of its own, so that a second
gateway can come without replacing anything.

Nearly everything here is create-only and exported. Treat the address plan and the security
groups' descriptions as carved in stone: a change replaces what other stacks hold on to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from awacs import logs as logs_actions
from troposphere import Condition as Holds
from troposphere import GetAtt, If, Or, Ref, Sub, ec2, logs
from troposphere.iam import Role

from tapgen import iam
from tapgen.stack import Draft, Exported, Stack

VPC_CIDR = "10.0.0.0/16"
# By zone. 10.0.2-15.x is left for a third zone's public subnet, 10.0.64.0/18 and 10.0.128.0/17 for
# what nobody knows yet.
PUBLIC_CIDRS = ("10.0.0.0/24", "10.0.1.0/24")
# Every Fargate task and every Lambda interface takes an address: 4,091 a zone.
PRIVATE_CIDRS = ("10.0.16.0/20", "10.0.32.0/20")
ISOLATED_CIDRS = ("10.0.48.0/24", "10.0.49.0/24")

POSTGRES, REDIS, NFS, HTTPS = 5432, 6379, 2049, 443
ANYWHERE = "0.0.0.0/0"

# What can be reached without the NAT gateway, for some 20 USD a month each over two zones.
INTERFACE_ENDPOINTS = {
    "SecretsManager": "secretsmanager",
    "Logs": "logs",
    "StepFunctions": "states",
    "Sns": "sns",
}


@dataclass(frozen=True)
class Exports:
    """What other tiers may use of the network."""

    vpc_id: Exported
    private_subnet_ids: tuple[Exported, ...]
    isolated_subnet_ids: tuple[Exported, ...]
    ecs_security_group_id: Exported
    lambda_security_group_id: Exported
    rds_security_group_id: Exported
    redis_security_group_id: Exported
    efs_security_group_id: Exported


@dataclass(frozen=True)
class _Groups:
    ecs: ec2.SecurityGroup
    function: ec2.SecurityGroup
    rds: ec2.SecurityGroup
    redis: ec2.SecurityGroup
    efs: ec2.SecurityGroup


def describe() -> Stack[Exports]:
    """Describe the network. It needs nothing of other tiers."""
    draft = Draft("network", "Network: VPC, subnets, routing, security groups, endpoints, flow log")
    zones = _zones(draft)

    vpc = draft.add(
        ec2.VPC(
            "Vpc",
            CidrBlock=VPC_CIDR,
            # Both: EFS, RDS, ElastiCache and the endpoints are found by private names.
            EnableDnsSupport=True,
            EnableDnsHostnames=True,
            Tags=draft.name_tag("video-processing-vpc"),
        )
    )
    gateway, attachment = _internet(draft, vpc)
    public_routes = _routes(draft, "Public", vpc)
    draft.add(
        ec2.Route(
            "PublicDefaultRoute",
            # A route through a gateway that is not attached yet is refused, and nothing in the
            # properties orders the two.
            DependsOn=attachment,
            RouteTableId=Ref(public_routes),
            DestinationCidrBlock=ANYWHERE,
            GatewayId=Ref(gateway),
        )
    )
    public = _subnets(draft, "Public", vpc, zones, PUBLIC_CIDRS, [public_routes, public_routes])
    nat = _nat(draft, public[0], attachment)
    private_routes = [_private_routes(draft, letter, vpc, nat) for letter in "AB"]
    private = _subnets(draft, "Private", vpc, zones, PRIVATE_CIDRS, private_routes)
    isolated_routes = _routes(draft, "Isolated", vpc)
    isolated = _subnets(
        draft, "Isolated", vpc, zones, ISOLATED_CIDRS, [isolated_routes, isolated_routes]
    )
    groups = _security_groups(draft, vpc)
    _gateway_endpoints(draft, vpc, private_routes)
    _interface_endpoints(draft, vpc, private, groups)
    _flow_log(draft, vpc)

    for subnet, letter in zip(public, "AB", strict=True):
        draft.output(
            f"PublicSubnet{letter}Id", Ref(subnet), f"Public subnet {letter}, for load balancers"
        )
    return draft.finish(
        Exports(
            vpc_id=draft.export("VpcId", Ref(vpc), "The VPC"),
            private_subnet_ids=_export_each(draft, private, "for tasks and functions"),
            isolated_subnet_ids=_export_each(draft, isolated, "for the database and the cache"),
            ecs_security_group_id=_export_group(draft, groups.ecs, "the Fargate tasks"),
            lambda_security_group_id=_export_group(draft, groups.function, "the API function"),
            rds_security_group_id=_export_group(draft, groups.rds, "the database"),
            redis_security_group_id=_export_group(draft, groups.redis, "the cache"),
            efs_security_group_id=_export_group(draft, groups.efs, "the file system"),
        )
    )


def _zones(draft: Draft) -> list[Ref]:
    # Not Fn::GetAZs: a new order of its answer would replace every subnet. Not a and b: most
    # accounts in Tokyo have no ap-northeast-1b.
    return [
        draft.parameter(
            f"AvailabilityZone{letter}",
            group="Network",
            label=f"Zone {letter}",
            description=f"Availability zone of the subnets {letter}; a change replaces them",
            Type="AWS::EC2::AvailabilityZone::Name",
            Default=default,
        )
        for letter, default in (("A", "ap-northeast-1a"), ("B", "ap-northeast-1c"))
    ]


def _internet(draft: Draft, vpc: ec2.VPC) -> tuple[ec2.InternetGateway, ec2.VPCGatewayAttachment]:
    gateway = draft.add(
        ec2.InternetGateway("InternetGateway", Tags=draft.name_tag("video-processing-internet"))
    )
    attachment = draft.add(
        ec2.VPCGatewayAttachment(
            "InternetGatewayAttachment", VpcId=Ref(vpc), InternetGatewayId=Ref(gateway)
        )
    )
    return gateway, attachment


def _routes(draft: Draft, name: str, vpc: ec2.VPC) -> ec2.RouteTable:
    return draft.add(
        ec2.RouteTable(
            f"{name}Routes",
            VpcId=Ref(vpc),
            Tags=draft.name_tag(f"video-processing-{_kebab(name)}"),
        )
    )


def _private_routes(draft: Draft, letter: str, vpc: ec2.VPC, nat: ec2.NatGateway) -> ec2.RouteTable:
    routes = _routes(draft, f"Private{letter}", vpc)
    draft.add(
        ec2.Route(
            f"Private{letter}DefaultRoute",
            RouteTableId=Ref(routes),
            DestinationCidrBlock=ANYWHERE,
            NatGatewayId=Ref(nat),
        )
    )
    return routes


def _subnets(
    draft: Draft,
    kind: str,
    vpc: ec2.VPC,
    zones: Sequence[Ref],
    cidrs: Sequence[str],
    routes: Sequence[ec2.RouteTable],
) -> list[ec2.Subnet]:
    subnets = []
    for letter, zone, cidr, table in zip("AB", zones, cidrs, routes, strict=True):
        subnet = draft.add(
            ec2.Subnet(
                f"{kind}Subnet{letter}",
                VpcId=Ref(vpc),
                AvailabilityZone=zone,
                CidrBlock=cidr,
                # Also in public subnets: what is public there has an address of its own.
                MapPublicIpOnLaunch=False,
                Tags=draft.name_tag(f"video-processing-{kind.lower()}-{letter.lower()}"),
            )
        )
        draft.add(
            ec2.SubnetRouteTableAssociation(
                f"{kind}Subnet{letter}Routes", SubnetId=Ref(subnet), RouteTableId=Ref(table)
            )
        )
        subnets.append(subnet)
    return subnets


def _nat(draft: Draft, subnet: ec2.Subnet, attachment: ec2.VPCGatewayAttachment) -> ec2.NatGateway:
    # The attachment first, in both directions: creating needs an attached gateway, and detaching
    # is refused while the VPC has a mapped public address.
    address = draft.add(
        ec2.EIP(
            "NatAddress",
            DependsOn=attachment,
            Domain="vpc",
            Tags=draft.name_tag("video-processing-nat"),
        )
    )
    return draft.add(
        ec2.NatGateway(
            "NatGateway",
            DependsOn=attachment,
            ConnectivityType="public",
            AllocationId=GetAtt(address, "AllocationId"),
            SubnetId=Ref(subnet),
            Tags=draft.name_tag("video-processing-nat"),
        )
    )


def _security_groups(draft: Draft, vpc: ec2.VPC) -> _Groups:
    """Clients name the data's groups in their egress, standalone ingress names both: no cycle.

    A group has its rules either inline or standalone, never both, or drift detection reports the
    sibling's rules.
    """
    rds = _data_group(draft, vpc, "Rds", "The PostgreSQL database", "db")
    redis = _data_group(draft, vpc, "Redis", "The Redis cache", "cache")
    efs = _data_group(draft, vpc, "Efs", "The shared file system", "efs")
    to_data = [_to(rds, POSTGRES, "the database"), _to(redis, REDIS, "the cache")]
    to_aws = ec2.SecurityGroupRule(
        IpProtocol="tcp",
        FromPort=HTTPS,
        ToPort=HTTPS,
        CidrIp=ANYWHERE,
        Description="AWS services and image registries",
    )
    function = _group(draft, vpc, "Lambda", "The API function", "lambda", [*to_data, to_aws])
    ecs = _group(
        draft,
        vpc,
        "Ecs",
        "The Fargate tasks",
        "ecs",
        [*to_data, _to(efs, NFS, "the file system"), to_aws],
    )
    _from(draft, "Rds", rds, POSTGRES, {"Lambda": function, "Ecs": ecs})
    _from(draft, "Redis", redis, REDIS, {"Lambda": function, "Ecs": ecs})
    _from(draft, "Efs", efs, NFS, {"Ecs": ecs})
    return _Groups(ecs=ecs, function=function, rds=rds, redis=redis, efs=efs)


def _group(
    draft: Draft,
    vpc: ec2.VPC,
    name: str,
    who: str,
    stem: str,
    egress: Sequence[ec2.SecurityGroupRule],
) -> ec2.SecurityGroup:
    return draft.add(
        ec2.SecurityGroup(
            f"{name}SecurityGroup",
            # Create-only, and the id is exported: never reword it.
            GroupDescription=who,
            VpcId=Ref(vpc),
            SecurityGroupEgress=list(egress),
            Tags=draft.name_tag(f"video-processing-{stem}"),
        )
    )


def _data_group(draft: Draft, vpc: ec2.VPC, name: str, who: str, stem: str) -> ec2.SecurityGroup:
    # A group without egress rules is given one that allows everything; this one allows nothing.
    nowhere = ec2.SecurityGroupRule(
        IpProtocol="-1", CidrIp="127.0.0.1/32", Description="Nowhere: it only answers"
    )
    return _group(draft, vpc, name, who, stem, [nowhere])


def _to(group: ec2.SecurityGroup, port: int, what: str) -> ec2.SecurityGroupRule:
    return ec2.SecurityGroupRule(
        IpProtocol="tcp",
        FromPort=port,
        ToPort=port,
        DestinationSecurityGroupId=GetAtt(group, "GroupId"),
        Description=f"To {what}",
    )


def _from(
    draft: Draft,
    name: str,
    group: ec2.SecurityGroup,
    port: int,
    clients: dict[str, ec2.SecurityGroup],
) -> None:
    for client, source in clients.items():
        draft.add(
            ec2.SecurityGroupIngress(
                f"{name}From{client}",
                GroupId=GetAtt(group, "GroupId"),
                IpProtocol="tcp",
                FromPort=port,
                ToPort=port,
                SourceSecurityGroupId=GetAtt(source, "GroupId"),
                Description=_origin(source),
            )
        )


def _origin(source: ec2.SecurityGroup) -> str:
    who = source.properties["GroupDescription"]
    return f"From {who[0].lower()}{who[1:]}"


def _gateway_endpoints(draft: Draft, vpc: ec2.VPC, routes: Sequence[ec2.RouteTable]) -> None:
    # Private subnets only. From the isolated ones a route to S3 would be a way out for data;
    # backups of RDS and ElastiCache do not run through the customer's routing.
    for name, service in (("S3", "s3"), ("DynamoDb", "dynamodb")):
        draft.add(
            ec2.VPCEndpoint(
                f"{name}Endpoint",
                VpcId=Ref(vpc),
                VpcEndpointType="Gateway",
                ServiceName=Sub(f"com.amazonaws.${{AWS::Region}}.{service}"),
                RouteTableIds=[Ref(table) for table in routes],
                Tags=draft.name_tag(f"video-processing-{service}"),
            )
        )


def _interface_endpoints(
    draft: Draft, vpc: ec2.VPC, subnets: Sequence[ec2.Subnet], groups: _Groups
) -> None:
    switches = {
        name: draft.switch(
            f"{name}Endpoint",
            group="Network",
            label=f"Interface endpoint for {service}",
            description=f"Reach {service} without the NAT gateway (about 20 USD a month)",
            default=False,
        )
        for name, service in INTERFACE_ENDPOINTS.items()
    }
    some = draft.condition(
        "SomeInterfaceEndpoint", Or(*(Holds(switch) for switch in switches.values()))
    )
    group = draft.add(
        ec2.SecurityGroup(
            "EndpointSecurityGroup",
            Condition=some,
            GroupDescription="The interface endpoints",
            VpcId=Ref(vpc),
            SecurityGroupIngress=[
                ec2.SecurityGroupRule(
                    IpProtocol="tcp",
                    FromPort=HTTPS,
                    ToPort=HTTPS,
                    SourceSecurityGroupId=GetAtt(source, "GroupId"),
                    Description=_origin(source),
                )
                for source in (groups.function, groups.ecs)
            ],
            SecurityGroupEgress=[
                ec2.SecurityGroupRule(
                    IpProtocol="-1", CidrIp="127.0.0.1/32", Description="Nowhere: it only answers"
                )
            ],
            Tags=draft.name_tag("video-processing-endpoints"),
        )
    )
    for name, service in INTERFACE_ENDPOINTS.items():
        draft.add(
            ec2.VPCEndpoint(
                f"{name}InterfaceEndpoint",
                Condition=switches[name],
                VpcId=Ref(vpc),
                VpcEndpointType="Interface",
                ServiceName=Sub(f"com.amazonaws.${{AWS::Region}}.{service}"),
                PrivateDnsEnabled=True,
                SubnetIds=[Ref(subnet) for subnet in subnets],
                SecurityGroupIds=[GetAtt(group, "GroupId")],
                Tags=draft.name_tag(f"video-processing-{service}"),
            )
        )


def _flow_log(draft: Draft, vpc: ec2.VPC) -> None:
    # A switch: on a busy VPC the flow log is a real part of the bill.
    switch = draft.switch(
        "FlowLogs",
        group="Network",
        label="Flow log",
        description="Record the VPC's traffic in CloudWatch Logs, kept 7 days",
        default=True,
    )
    group = draft.add(
        logs.LogGroup(
            "FlowLogGroup",
            Condition=switch,
            LogGroupName=draft.name("/video-processing/flow-log"),
            RetentionInDays=7,
        )
    )
    role = draft.add(
        Role(
            "FlowLogRole",
            Condition=switch,
            RoleName=draft.name("video-processing-flow-log"),
            AssumeRolePolicyDocument=iam.assumed_by(
                "vpc-flow-logs.amazonaws.com",
                "arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:vpc-flow-log/*",
            ),
            Policies=[
                iam.inline(
                    "write-flow-log",
                    iam.allow(
                        "WriteFlowLog",
                        [
                            logs_actions.CreateLogStream,
                            logs_actions.DescribeLogStreams,
                            logs_actions.PutLogEvents,
                        ],
                        [GetAtt(group, "Arn")],
                    ),
                )
            ],
        )
    )
    draft.add(
        ec2.FlowLog(
            "FlowLog",
            Condition=switch,
            ResourceType="VPC",
            ResourceId=Ref(vpc),
            TrafficType="ALL",
            LogDestinationType="cloud-watch-logs",
            LogGroupName=Ref(group),
            DeliverLogsPermissionArn=GetAtt(role, "Arn"),
            Tags=draft.name_tag("video-processing-flow-log"),
        )
    )
    draft.output(
        "FlowLogGroupName", If(switch, Ref(group), "none"), "Where the flow log is written"
    )


def _export_each(draft: Draft, subnets: Sequence[ec2.Subnet], purpose: str) -> tuple[Exported, ...]:
    # One export a subnet: a joined list would change, while imported, when a zone is added.
    return tuple(
        draft.export(f"{subnet.title}Id", Ref(subnet), f"{subnet.title}, {purpose}")
        for subnet in subnets
    )


def _export_group(draft: Draft, group: ec2.SecurityGroup, whose: str) -> Exported:
    return draft.export(f"{group.title}Id", GetAtt(group, "GroupId"), f"Worn by {whose}")


def _kebab(name: str) -> str:
    return "".join(f"-{char.lower()}" if char.isupper() else char for char in name).strip("-")
