"""EC2: addresses, NAT gateways, rules of their own, flow logs; what a VPC and an endpoint tell."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

from tapgen.local import reach
from tapgen.local.resources import plumbing
from tapgen.local.resources.plumbing import Attributes, Made, Props

_RULES = {"Ingress": "IpPermissions", "Egress": "IpPermissionsEgress"}


def install() -> None:
    """Put this corner in."""
    plumbing.add("AWS::EC2::EIP", create=_create_address, update=_retag, delete=_delete_address)
    plumbing.add("AWS::EC2::NatGateway", create=_create_nat, update=_retag, delete=_delete_nat)
    plumbing.add(
        "AWS::EC2::FlowLog", create=_create_flow_log, update=_retag, delete=_delete_flow_log
    )
    for way in _RULES:
        _install_rule(way)
    plumbing.after("AWS::EC2::VPC", _finish_vpc)
    plumbing.after("AWS::EC2::VPCEndpoint", _finish_endpoint)
    plumbing.before_delete("AWS::EC2::SecurityGroup", _refuse_while_referred_to)
    _tell_more()


def _ec2() -> Any:
    return reach.service("ec2")


def _tag(physical_id: str, props: Props, old: Props | None = None) -> None:
    reach.cloudformation("provisioners")._ec2_apply_tags(physical_id, props, old)


def _create_address(logical_id: str, props: Props, stack_name: str) -> Made:
    ec2 = reach.service("ec2")
    known = set(ec2._addresses)
    plumbing.answer("AllocateAddress", ec2._allocate_address({"Domain": ["vpc"]}))
    (allocation,) = set(ec2._addresses) - known
    address = ec2._addresses[allocation]
    _tag(allocation, props)
    return address["PublicIp"], {"AllocationId": allocation, "PublicIp": address["PublicIp"]}


def _delete_address(physical_id: str, props: Props) -> None:
    ec2 = reach.service("ec2")
    allocation = _allocation(physical_id)
    if not allocation:
        return
    if ec2._addresses[allocation]["AssociationId"]:
        raise plumbing.service_error(
            "Ec2", f"Address {physical_id} is in use and cannot be released."
        )
    plumbing.answer("ReleaseAddress", ec2._release_address({"AllocationId": [allocation]}))


def _allocation(public_ip: str) -> str:
    addresses = _ec2()._addresses
    return next((key for key, one in addresses.items() if one["PublicIp"] == public_ip), "")


def _retag(physical_id: str, old: Props, new: Props, stack_name: str) -> Made:
    """Tags are all that these types change in place."""
    allocation = _allocation(physical_id)
    _tag(allocation or physical_id, new, old)
    if allocation:
        return physical_id, {"AllocationId": allocation, "PublicIp": physical_id}
    return physical_id, {"NatGatewayId": physical_id, "Id": physical_id}


def _create_nat(logical_id: str, props: Props, stack_name: str) -> Made:
    ec2 = reach.service("ec2")
    allocation = props.get("AllocationId", "")
    if allocation and allocation not in ec2._addresses:
        raise plumbing.service_error("Ec2", f"The allocation ID '{allocation}' does not exist")
    known = set(ec2._nat_gateways)
    wanted = {
        "SubnetId": [props["SubnetId"]],
        "AllocationId": [allocation],
        "ConnectivityType": [props.get("ConnectivityType", "public")],
    }
    plumbing.answer("CreateNatGateway", ec2._create_nat_gateway(wanted))
    (nat,) = set(ec2._nat_gateways) - known
    if allocation:
        association = reach.module("core.responses").new_uuid().replace("-", "")[:17]
        ec2._addresses[allocation]["AssociationId"] = f"eipassoc-{association}"
    _tag(nat, props)
    return nat, {"NatGatewayId": nat}


def _delete_nat(physical_id: str, props: Props) -> None:
    ec2 = reach.service("ec2")
    nat = ec2._nat_gateways.get(physical_id)
    if nat is None:
        return
    address = ec2._addresses.get(nat["AllocationId"])
    if address:
        address["AssociationId"] = None
    plumbing.answer("DeleteNatGateway", ec2._delete_nat_gateway({"NatGatewayId": [physical_id]}))


def _create_flow_log(logical_id: str, props: Props, stack_name: str) -> Made:
    ec2 = reach.service("ec2")
    known = set(ec2._flow_logs)
    wanted = {
        "ResourceId.1": [props["ResourceId"]],
        "ResourceType": [props["ResourceType"]],
        "TrafficType": [props.get("TrafficType", "ALL")],
        "LogDestinationType": [props.get("LogDestinationType", "cloud-watch-logs")],
        "LogDestination": [props.get("LogDestination", "")],
        "LogGroupName": [props.get("LogGroupName", "")],
    }
    plumbing.answer("CreateFlowLogs", ec2._create_flow_logs(wanted))
    (flow_log,) = set(ec2._flow_logs) - known
    ec2._flow_logs[flow_log].update(
        LogGroupName=props.get("LogGroupName", ""),
        DeliverLogsPermissionArn=props.get("DeliverLogsPermissionArn", ""),
        MaxAggregationInterval=int(props.get("MaxAggregationInterval", 600)),
        LogDestination=props.get("LogDestination", ""),
    )
    _tag(flow_log, props)
    return flow_log, {"Id": flow_log}


def _delete_flow_log(physical_id: str, props: Props) -> None:
    _ec2()._delete_flow_logs({"FlowLogId.1": [physical_id]})


def _install_rule(way: str) -> None:
    """``AWS::EC2::SecurityGroupIngress`` or ``…Egress``: one rule as a resource of its own."""

    def create(logical_id: str, props: Props, stack_name: str) -> Made:
        ec2, permissions = reach.service("ec2"), _permissions(props["GroupId"], way)
        (rule,) = reach.cloudformation("provisioners")._ec2_sg_permissions([props])
        if any(ec2._rules_match(rule, other) for other in permissions):
            raise plumbing.service_error("Ec2", "the specified rule already exists")
        rule["SecurityGroupRuleId"] = ec2._sg_rule_id(props["GroupId"], way == "Egress", rule)
        permissions.append(rule)
        return rule["SecurityGroupRuleId"], {"Id": rule["SecurityGroupRuleId"]}

    def update(physical_id: str, old: Props, new: Props, stack_name: str) -> Made:
        # Only the description changes in place.
        delete(physical_id, old)
        return create(physical_id, new, stack_name)

    def delete(physical_id: str, props: Props) -> None:
        group = _ec2()._security_groups.get(props["GroupId"])
        if group is not None:
            rules = group[_RULES[way]]
            rules[:] = [rule for rule in rules if rule.get("SecurityGroupRuleId") != physical_id]

    plumbing.add(f"AWS::EC2::SecurityGroup{way}", create=create, update=update, delete=delete)


def _permissions(group_id: str, way: str) -> list[dict[str, Any]]:
    group = _ec2()._security_groups.get(group_id)
    if group is None:
        raise plumbing.service_error("Ec2", f"The security group '{group_id}' does not exist")
    permissions: list[dict[str, Any]] = group[_RULES[way]]
    return permissions


def _refuse_while_referred_to(physical_id: str, props: Props) -> None:
    """A group that another group's rule names cannot go, as on AWS."""
    for other_id, group in _ec2()._security_groups.items():
        rules = group["IpPermissions"] + group["IpPermissionsEgress"]
        pairs = [pair for rule in rules for pair in rule.get("UserIdGroupPairs", ())]
        if other_id != physical_id and any(pair.get("GroupId") == physical_id for pair in pairs):
            raise plumbing.service_error("Ec2", f"resource {physical_id} has a dependent object")


def _finish_vpc(physical_id: str, props: Props) -> Attributes:
    vpc = _ec2()._vpcs[physical_id]
    return {"CidrBlock": vpc["CidrBlock"], "CidrBlockAssociations": []}


def _finish_endpoint(physical_id: str, props: Props) -> Attributes:
    endpoint = _ec2()._vpc_endpoints[physical_id]
    policy = props.get("PolicyDocument")
    endpoint["PolicyDocument"] = json.dumps(policy) if isinstance(policy, dict) else policy
    endpoint["PrivateDnsEnabled"] = str(props.get("PrivateDnsEnabled", False)).lower() == "true"
    return {}


def _tell_more() -> None:
    """Fields of NAT gateways, flow logs and endpoints that the answers of the emulator lack."""
    ec2 = reach.service("ec2")
    endpoint_xml, tags_xml = ec2._vpce_fields_xml, ec2._tag_set_xml

    def telling_endpoint(endpoint: Mapping[str, Any], tag: str = "item") -> str:
        text: str = endpoint_xml(endpoint, tag)
        groups = "".join(
            f"<item><groupId>{group}</groupId></item>"
            for group in endpoint.get("SecurityGroupIds", ())
        )
        private = str(endpoint.get("PrivateDnsEnabled", False)).lower()
        policy = escape(endpoint.get("PolicyDocument") or "")
        more = (
            f"<groupSet>{groups}</groupSet><privateDnsEnabled>{private}</privateDnsEnabled>"
            f"<policyDocument>{policy}</policyDocument>"
        )
        return text.replace(f"</{tag}>", f"{more}</{tag}>")

    def telling_tags(resource_id: str) -> str:
        # The one place where the description of a flow log comes by for each of its items.
        return _more_of_flow_log(resource_id) + str(tags_xml(resource_id))

    ec2._vpce_fields_xml = telling_endpoint
    ec2._tag_set_xml = telling_tags
    describe_nats = ec2._ACTION_MAP["DescribeNatGateways"]
    ec2._ACTION_MAP["DescribeNatGateways"] = lambda params: _with_addresses(describe_nats(params))


def _with_addresses(response: tuple[int, Any, bytes]) -> tuple[int, Any, bytes]:
    """The description of NAT gateways with the addresses that the emulator leaves out of it."""
    ec2 = reach.service("ec2")
    status, headers, body = response
    before, *items = body.decode().split("<natGatewayId>")
    for number, item in enumerate(items):
        nat = ec2._nat_gateways.get(item.partition("<")[0]) or {}
        address = ec2._addresses.get(nat.get("AllocationId"))
        if address and nat["State"] == "available":
            told = (
                f"<item><allocationId>{address['AllocationId']}</allocationId>"
                f"<publicIp>{address['PublicIp']}</publicIp></item>"
            )
            items[number] = item.replace(
                "<natGatewayAddressSet/>", f"<natGatewayAddressSet>{told}</natGatewayAddressSet>"
            )
    return status, headers, "<natGatewayId>".join([before, *items]).encode()


def _more_of_flow_log(resource_id: str) -> str:
    flow_log = reach.service("ec2")._flow_logs.get(resource_id)
    if flow_log is None:
        return ""
    fields = {
        "logGroupName": flow_log.get("LogGroupName", ""),
        "deliverLogsPermissionArn": flow_log.get("DeliverLogsPermissionArn", ""),
        "maxAggregationInterval": str(flow_log.get("MaxAggregationInterval", 600)),
    }
    return "".join(f"<{name}>{escape(text)}</{name}>" for name, text in fields.items())
