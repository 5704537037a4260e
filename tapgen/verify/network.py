"""VPC and networking: address space, subnets in two zones, ways in and out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tapgen.verify.environment import Environment
from tapgen.verify.questions import Absent, Asker, at, pairs
from tapgen.verify.result import Check, Fact, Facts

GROUP = "VPC and networking"
TIER = "network"
KINDS = ("Public", "Private", "Isolated")
ZONES = ("A", "B")
_ANYWHERE = "0.0.0.0/0"


def vpc(env: Environment, ask: Asker) -> Facts:
    """The address space, under its name, with names resolved inside."""
    made = env.get(TIER, "Vpc")
    found = ask.one("ec2", "describe_vpcs", "Vpcs", VpcIds=[made.id])
    yield Fact("CidrBlock", found.get("CidrBlock"), "10.0.0.0/16", says="CIDR 10.0.0.0/16")
    yield Fact("Name", pairs(found.get("Tags")).get("Name"), f"video-processing-vpc-{env.env}")
    yield Fact("State", found.get("State"), "available")
    for name in ("EnableDnsSupport", "EnableDnsHostnames"):
        attribute = name[0].lower() + name[1:]
        told = ask.call("ec2", "describe_vpc_attribute", VpcId=made.id, Attribute=attribute)
        yield Fact(name, at(told, f"{name}.Value"), made.wanted[name])


def subnets(env: Environment, ask: Asker) -> Facts:
    """Three subnets in each of two zones, none of which hands out public addresses."""
    found = {
        item.get("SubnetId"): item
        for item in ask.pages("ec2", "describe_subnets", "Subnets", Filters=_in_vpc(env))
    }
    zones = set()
    for kind in KINDS:
        for zone in ZONES:
            made = env.get(TIER, f"{kind}Subnet{zone}")
            told = found.get(made.id, {})
            zones.add(told.get("AvailabilityZone"))
            for name in ("CidrBlock", "AvailabilityZone", "MapPublicIpOnLaunch", "VpcId"):
                yield Fact(f"{made.logical_id} {name}", told.get(name), made.wanted[name])
    yield Fact("zones", len(zones - {None}), 2, says="spanning 2 availability zones")


def routes(env: Environment, ask: Asker) -> Facts:
    """Public subnets lead to the internet gateway, private ones to the NAT, isolated nowhere."""
    tables = _tables(env, ask)
    gateway, nat = env.id(TIER, "InternetGateway"), env.id(TIER, "NatGateway")
    wanted = {"Public": gateway, "Private": nat, "Isolated": None}
    for kind in KINDS:
        for zone in ZONES:
            subnet = env.id(TIER, f"{kind}Subnet{zone}")
            table = tables.get(subnet)
            yield Fact(f"{kind}Subnet{zone} has a route table", table is not None, True)
            yield Fact(f"{kind}Subnet{zone} {_ANYWHERE}", _way_out(table or {}), wanted[kind])
    found = ask.one(
        "ec2", "describe_internet_gateways", "InternetGateways", InternetGatewayIds=[gateway]
    )
    attached = [at(item, "VpcId") for item in found.get("Attachments", ())]
    yield Fact("InternetGateway attached to", attached, [env.id(TIER, "Vpc")])


def nat(env: Environment, ask: Asker) -> Facts:
    """One NAT gateway, in a public subnet, with the address the stack holds for it."""
    made = env.get(TIER, "NatGateway")
    found = ask.pages("ec2", "describe_nat_gateways", "NatGateways", Filter=_in_vpc(env))
    # Deleted ones are listed for an hour.
    live = [item for item in found if item.get("State") not in ("deleted", "deleting", "failed")]
    yield Fact("NAT gateways", len(live), 1, says="1 NAT gateway for cost optimization")
    ours = next((item for item in live if item.get("NatGatewayId") == made.id), {})
    yield Fact("State", ours.get("State"), "available")
    yield Fact("SubnetId", ours.get("SubnetId"), made.wanted["SubnetId"])
    yield Fact("ConnectivityType", ours.get("ConnectivityType"), made.wanted["ConnectivityType"])
    addresses = [item.get("PublicIp") for item in ours.get("NatGatewayAddresses", ())]
    yield Fact("PublicIp", addresses, [env.id(TIER, "NatAddress")])


def endpoints(env: Environment, ask: Asker) -> Facts:
    """S3 and DynamoDB are reached without the NAT gateway; interface endpoints as asked for."""
    found = {
        item.get("VpcEndpointId"): item
        for item in ask.pages("ec2", "describe_vpc_endpoints", "VpcEndpoints", Filters=_in_vpc(env))
    }
    for made in env.each("AWS::EC2::VPCEndpoint"):
        told = found.get(made.id, {})
        # EC2's own documents write it both ways.
        state = str(told.get("State")).lower()
        yield Fact(f"{made.logical_id} State", state, "available")
        for name in ("ServiceName", "VpcEndpointType"):
            yield Fact(f"{made.logical_id} {name}", told.get(name), made.wanted[name])
        for name in ("RouteTableIds", "SubnetIds"):
            if name in made.wanted:
                is_, should = set(told.get(name) or ()), set(made.wanted[name])
                yield Fact(f"{made.logical_id} {name}", is_, should)


def flow_log(env: Environment, ask: Asker) -> Facts:
    """All traffic of the VPC is logged, unless the environment's settings switch that off."""
    if not env.has(TIER, "FlowLog"):
        yield _no_flow_log(env, ask)
        return
    made, told = env.get(TIER, "FlowLog"), _flow_log(env, ask)
    yield Fact("FlowLogStatus", told.get("FlowLogStatus"), "ACTIVE")
    for name in ("ResourceId", "TrafficType", "LogGroupName", "DeliverLogsPermissionArn"):
        yield Fact(name, told.get(name), made.wanted[name])


def flow_delivery(env: Environment, ask: Asker) -> Facts:
    """What is logged arrives: a log that is active may have a role that may not write."""
    if not env.has(TIER, "FlowLog"):
        yield _no_flow_log(env, ask)
        return
    yield Fact(
        "DeliverLogsStatus",
        _flow_log(env, ask).get("DeliverLogsStatus"),
        "SUCCESS",
        of="AWS::EC2::FlowLog.DeliverLogsStatus",
    )


def _flow_log(env: Environment, ask: Asker) -> dict[str, Any]:
    id_ = env.id(TIER, "FlowLog")
    found = ask.pages("ec2", "describe_flow_logs", "FlowLogs", FlowLogIds=[id_])
    if not found:
        raise Absent(id_)
    return found[0]


def _no_flow_log(env: Environment, ask: Asker) -> Fact:
    filter_ = _in_vpc(env, "resource-id")
    found = ask.pages("ec2", "describe_flow_logs", "FlowLogs", Filter=filter_)
    return Fact("flow logs (switched off)", len(found), 0)


def _in_vpc(env: Environment, filter_: str = "vpc-id") -> list[dict[str, Any]]:
    return [{"Name": filter_, "Values": [env.id(TIER, "Vpc")]}]


def _tables(env: Environment, ask: Asker) -> dict[str, Mapping[str, Any]]:
    """Route tables by the subnets that are explicitly theirs."""
    found = ask.pages("ec2", "describe_route_tables", "RouteTables", Filters=_in_vpc(env))
    return {
        association["SubnetId"]: table
        for table in found
        for association in table.get("Associations", ())
        if "SubnetId" in association
    }


def _way_out(table: Mapping[str, Any]) -> str | None:
    for route in table.get("Routes", ()):
        if route.get("DestinationCidrBlock") == _ANYWHERE:
            target: str | None = route.get("GatewayId") or route.get("NatGatewayId")
            # A route to something that was deleted stays, as a black hole.
            return target if route.get("State", "active") == "active" else f"{target} (blackhole)"
    return None


CHECKS = (
    Check(GROUP, "vpc", "the VPC is 10.0.0.0/16 and resolves names", vpc),
    Check(GROUP, "subnets", "public, private and isolated subnets in two zones", subnets),
    Check(GROUP, "routes", "each subnet leads where its tier may go", routes),
    Check(GROUP, "nat", "one NAT gateway, available, in a public subnet", nat),
    Check(GROUP, "endpoints", "S3 and DynamoDB have endpoints in the VPC", endpoints),
    Check(GROUP, "flow-log", "the VPC's traffic is logged", flow_log),
    Check(GROUP, "flow-delivery", "what is logged of it arrives", flow_delivery),
)
