"""Network: what orders the gateway, who may speak to whom, and what has a way out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tapgen import names
from tapgen.validate.finding import Fault, Rule
from tapgen.validate.world import Resource, World, is_true, items, mappings, number, strings

GROUP = "AWS::EC2::SecurityGroup"
INGRESS = "AWS::EC2::SecurityGroupIngress"
EGRESS = "AWS::EC2::SecurityGroupEgress"
ATTACHMENT = "AWS::EC2::VPCGatewayAttachment"
ANYWHERE = ("0.0.0.0/0", "::/0")
# What may be open to the world: a web server's ports, should there ever be a load balancer.
PUBLIC_PORTS = (80, 443)

_REGION = re.compile(
    r"(?<![a-z])(?:af|ap|ca|cn|eu|il|me|mx|sa|us)-(?:gov-)?"
    r"(?:central|(?:north|south)(?:east|west)?|east|west)-\d"
)
# EC2 API reference, CreateSecurityGroup: the characters of a description in a VPC.
_DESCRIPTION = re.compile(r"[a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{0,255}")


def after_attachment(world: World) -> Iterator[Fault]:
    """A public address, a NAT gateway and a route to the internet need an attached gateway.

    No property orders them: creating fails with "no internet gateway attached", deleting with
    "mapped public address". EC2 user guide; AWS::EC2::EIP, "DependsOn".
    """
    for stack in world.sources:
        attachments = [found for found in world.of_type(ATTACHMENT) if found.stack == stack]
        if not attachments:
            continue
        gateways = {found.get("InternetGatewayId") for found in attachments}
        for resource in _need_attachment(world, stack, gateways):
            if not any(_waits_for(world, resource, found) for found in attachments):
                yield resource.fault(
                    f"does not wait for {attachments[0].logical_id}, and nothing else orders them"
                )


def open_to_the_world(world: World) -> Iterator[Fault]:
    """Ingress from anywhere lets the whole internet knock."""
    for resource, rule in _rules(world, "Ingress"):
        source = rule.get("CidrIp") or rule.get("CidrIpv6")
        low, high = number(rule.get("FromPort")), number(rule.get("ToPort"))
        if source in ANYWHERE and not (low == high and low in PUBLIC_PORTS):
            port = "every port" if low is None else f"port {low:g} to {high or low:g}"
            yield resource.fault(f"lets {source} in on {port}")


def mixed_rules(world: World) -> Iterator[Fault]:
    """Inline rules beside standalone ones: drift detection reports the sibling's for ever.

    It compares the properties that are in the template with all rules of the group.
    """
    for kind, prop in ((INGRESS, "SecurityGroupIngress"), (EGRESS, "SecurityGroupEgress")):
        for rule in world.of_type(kind):
            group = world.resource(rule.get("GroupId"), GROUP)
            if group is not None and group.get(prop):
                yield rule.fault(f"{group.logical_id} has inline rules of the same direction")


def lower_case_protocol(world: World) -> Iterator[Fault]:
    """EC2 stores protocols in lower case; other spellings drift for ever."""
    for direction in ("Ingress", "Egress"):
        for resource, rule in _rules(world, direction):
            protocol = str(rule.get("IpProtocol", ""))
            if protocol != protocol.lower():
                yield resource.fault(f"has the protocol {protocol!r}")


def stated_egress(world: World) -> Iterator[Fault]:
    """A group without an egress rule is given one that allows everything.

    AWS::EC2::SecurityGroup, SecurityGroupEgress.
    """
    standalone = {rule.get("GroupId") for rule in world.of_type(EGRESS)}
    for group in world.of_type(GROUP):
        tokens = {group.token(), group.token("GroupId")}
        if not group.get("SecurityGroupEgress") and not tokens & standalone:
            yield group.fault("states no egress, so everything may leave it")


def group_description(world: World) -> Iterator[Fault]:
    """Descriptions take up to 255 characters of a small set, no apostrophes or accents.

    EC2 API reference, CreateSecurityGroup.
    """
    for group in world.of_type(GROUP):
        texts = [group.get("GroupDescription")]
        for direction in ("Ingress", "Egress"):
            rules = mappings(group.get(f"SecurityGroup{direction}"))
            texts += [rule.get("Description") for rule in rules]
        for text in texts:
            if isinstance(text, str) and _DESCRIPTION.fullmatch(text) is None:
                yield group.fault(f"has a description that EC2 refuses: {text!r}")
    for rule in world.of_type(INGRESS, EGRESS):
        text = rule.get("Description")
        if isinstance(text, str) and _DESCRIPTION.fullmatch(text) is None:
            yield rule.fault(f"has a description that EC2 refuses: {text!r}")


def both_sides(world: World) -> Iterator[Fault]:
    """A way between two groups needs a rule at both ends; with one, packets vanish silently."""
    egress = list(_ways(world, "Egress", "DestinationSecurityGroupId"))
    ingress = list(_ways(world, "Ingress", "SourceSecurityGroupId"))
    admitted = [(peer, group, rule) for _, group, peer, rule in ingress]
    sent = [(group, peer, rule) for _, group, peer, rule in egress]
    for resource, client, data, rule in egress:
        if not any((a, b) == (client, data) and _covers(o, rule) for a, b, o in admitted):
            yield resource.fault(
                f"may reach {data.logical_id} on {_ports(rule)}, which does not let it in"
            )
    for resource, data, client, rule in ingress:
        if not any((a, b) == (client, data) and _covers(o, rule) for a, b, o in sent) and not (
            _all_may_leave(world, client, rule)
        ):
            yield resource.fault(
                f"lets {client.logical_id} in on {_ports(rule)}, which may not send there"
            )


def admits(world: World, data: list[Resource], clients: list[Resource], port: int) -> bool:
    """Whether some group of ``data`` lets some group of ``clients`` in on ``port``."""
    asked = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port}
    return any(
        group in data and peer in clients and _covers(rule, asked)
        for _, group, peer, rule in _ways(world, "Ingress", "SourceSecurityGroupId")
    )


def groups(world: World, value: Any) -> list[Resource]:
    """The security groups that a list of ids means."""
    found = (world.resource(item, GROUP) for item in items(value))
    return [group for group in found if group is not None]


def one_zone_each(world: World) -> Iterator[Fault]:
    """A file system takes one mount target a zone; the second is refused with a conflict.

    EFS API reference, CreateMountTarget.
    """
    taken: dict[tuple[Any, Any], Resource] = {}
    for mount in world.of_type("AWS::EFS::MountTarget"):
        zone = zone_of(world, mount.get("SubnetId"))
        first = taken.setdefault((mount.get("FileSystemId"), zone), mount)
        if first is not mount:
            yield mount.fault(f"is in the zone of {first.logical_id} ({zone})")


def two_zones(world: World) -> Iterator[Fault]:
    """A subnet group over one zone is refused by RDS, and leaves a cache no second zone."""
    for kind in ("AWS::RDS::DBSubnetGroup", "AWS::ElastiCache::SubnetGroup"):
        for group in world.of_type(kind):
            zones = {zone_of(world, subnet) for subnet in items(group.get("SubnetIds"))}
            if len(zones) < 2:
                yield group.fault(f"has subnets in one zone only ({', '.join(map(str, zones))})")


def data_off_the_internet(world: World) -> Iterator[Fault]:
    """Data in a subnet with a route to an internet gateway is one mistake from being public."""
    public = {
        route.get("RouteTableId")
        for route in world.of_type("AWS::EC2::Route")
        if route.get("GatewayId") and route.get("DestinationCidrBlock") in ANYWHERE
    }
    exposed = {
        link.get("SubnetId")
        for link in world.of_type("AWS::EC2::SubnetRouteTableAssociation")
        if link.get("RouteTableId") in public
    }
    for kind in ("AWS::RDS::DBSubnetGroup", "AWS::ElastiCache::SubnetGroup"):
        for group in world.of_type(kind):
            for subnet in items(group.get("SubnetIds")):
                if subnet in exposed:
                    yield group.fault(f"holds {subnet}, which has a route to the internet")


def private_names(world: World) -> Iterator[Fault]:
    """File systems, databases, caches and interface endpoints are found by private DNS names.

    EFS user guide, "Mounting with a DNS name": both switches of the VPC must be on.
    """
    for vpc in world.of_type("AWS::EC2::VPC"):
        for prop in ("EnableDnsSupport", "EnableDnsHostnames"):
            if not is_true(vpc.get(prop)):
                yield vpc.fault(f"has {prop} off")


def no_public_address(world: World) -> Iterator[Fault]:
    """A subnet that hands out public addresses gives one to whatever is put there by mistake."""
    for subnet in world.of_type("AWS::EC2::Subnet"):
        if is_true(subnet.get("MapPublicIpOnLaunch")):
            yield subnet.fault("gives a public address to everything launched in it")


def gateway_endpoint(world: World) -> Iterator[Fault]:
    """Gateway endpoints work through route tables, and take nothing of interface endpoints.

    AWS::EC2::VPCEndpoint.
    """
    for endpoint in world.of_type("AWS::EC2::VPCEndpoint"):
        if endpoint.get("VpcEndpointType", "Gateway") != "Gateway":
            continue
        if not endpoint.get("RouteTableIds"):
            yield endpoint.fault("is in no route table, so nothing goes through it")
        for prop in ("SubnetIds", "SecurityGroupIds", "PrivateDnsEnabled"):
            if endpoint.get(prop) is not None:
                yield endpoint.fault(f"has {prop}, which is for interface endpoints")


def other_region(world: World) -> Iterator[Fault]:
    """A region written out that is not the one deployed to: its ARN or zone does not exist here."""
    for resource in world.resources:
        for text in strings(resource.properties):
            for region in sorted(set(_REGION.findall(text)) - {names.REGION}):
                yield resource.fault(f"names the region {region}: {text[:80]!r}")


RULES = (
    Rule("TAP201", "error", "add DependsOn the gateway attachment", after_attachment),
    Rule("TAP202", "error", "let a security group in instead of an address", open_to_the_world),
    Rule("TAP203", "warning", "keep a group's rules all inline or all standalone", mixed_rules),
    Rule("TAP204", "warning", "write the protocol in lower case", lower_case_protocol),
    Rule(
        "TAP205",
        "warning",
        "state the egress; '-1' to 127.0.0.1/32 for none at all",
        stated_egress,
    ),
    Rule("TAP206", "error", "use letters, digits and ._-:/()#,@[]+=&;{}!$*", group_description),
    Rule("TAP207", "error", "add the missing rule, or remove this one", both_sides),
    Rule("TAP208", "error", "give each zone one mount target", one_zone_each),
    Rule("TAP209", "error", "use subnets of two zones", two_zones),
    Rule("TAP210", "error", "use subnets without a route to the internet", data_off_the_internet),
    Rule("TAP211", "error", "set it to true", private_names),
    Rule("TAP212", "error", "set MapPublicIpOnLaunch to false", no_public_address),
    Rule("TAP213", "error", "see AWS::EC2::VPCEndpoint for gateway endpoints", gateway_endpoint),
    Rule("TAP214", "error", f"use ${{AWS::Region}}, or {names.REGION}", other_region),
)


def zone_of(world: World, subnet: Any) -> Any:
    """The availability zone of a subnet; the subnet itself when it is not described here."""
    found = world.resource(subnet, "AWS::EC2::Subnet")
    zone = found.get("AvailabilityZone") if found else None
    return zone if isinstance(zone, str) else subnet


def _need_attachment(world: World, stack: str, gateways: set[Any]) -> Iterator[Resource]:
    for kind in ("AWS::EC2::EIP", "AWS::EC2::NatGateway", "AWS::EC2::Route"):
        for resource in world.of_type(kind):
            private = resource.get("ConnectivityType") == "private"
            elsewhere = kind == "AWS::EC2::Route" and resource.get("GatewayId") not in gateways
            if resource.stack == stack and not private and not elsewhere:
                yield resource


def _waits_for(world: World, resource: Resource, last: Resource) -> bool:
    seen: set[str] = set()
    waiting = [resource]
    while waiting:
        current = waiting.pop()
        if current is last:
            return True
        if current.logical_id in seen:
            continue
        seen.add(current.logical_id)
        named = (world.find(resource.stack, name) for name in current.depends_on)
        waiting += [found for found in named if found is not None]
        waiting += [
            target.resource
            for target in world.targets(current.properties)
            if target.resource.stack == resource.stack
        ]
    return False


def _rules(world: World, direction: str) -> Iterator[tuple[Resource, Any]]:
    for group in world.of_type(GROUP):
        for rule in mappings(group.get(f"SecurityGroup{direction}")):
            yield group, rule
    for rule_resource in world.of_type(f"{GROUP}{direction}"):
        yield rule_resource, rule_resource.properties


def _ways(
    world: World, direction: str, peer_key: str
) -> Iterator[tuple[Resource, Resource, Resource, Any]]:
    for resource, rule in _rules(world, direction):
        own = resource if resource.type == GROUP else world.resource(rule.get("GroupId"), GROUP)
        peer = world.resource(rule.get(peer_key), GROUP)
        if own is not None and peer is not None:
            yield resource, own, peer, rule


def _all_may_leave(world: World, client: Resource, wanted: Any) -> bool:
    rules = [
        rule
        for resource, rule in _rules(world, "Egress")
        if resource is client or world.resource(rule.get("GroupId"), GROUP) is client
    ]
    wide = (rule for rule in rules if rule.get("CidrIp") in ANYWHERE)
    return not rules or any(_covers(rule, wanted) for rule in wide)


def _covers(rule: Any, wanted: Any) -> bool:
    if str(rule.get("IpProtocol")) == "-1":
        return True
    if str(rule.get("IpProtocol")).lower() != str(wanted.get("IpProtocol")).lower():
        return False
    low, high = number(rule.get("FromPort")), number(rule.get("ToPort"))
    first, last = number(wanted.get("FromPort")), number(wanted.get("ToPort"))
    if low is None or high is None or first is None or last is None:
        return True
    return low <= first and last <= high


def _ports(rule: Any) -> str:
    return f"port {rule.get('FromPort', 'any')}"
