"""The network's claims, over the document as it is rendered."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from tapgen import resolve
from tapgen.tiers import network

DOCUMENT = network.describe().document()
RESOURCES: dict[str, Any] = DOCUMENT["Resources"]
CLIENT_GROUPS = ("LambdaSecurityGroup", "EcsSecurityGroup")
DATA_GROUPS = ("RdsSecurityGroup", "RedisSecurityGroup", "EfsSecurityGroup")


def properties(logical_id: str) -> dict[str, Any]:
    found: dict[str, Any] = RESOURCES[logical_id]["Properties"]
    return found


def of_type(resource_type: str) -> dict[str, dict[str, Any]]:
    return {
        logical_id: resource.get("Properties", {})
        for logical_id, resource in RESOURCES.items()
        if resource["Type"] == resource_type
    }


def route_table_of(subnet: str) -> str:
    (table,) = (
        association["RouteTableId"]["Ref"]
        for association in of_type("AWS::EC2::SubnetRouteTableAssociation").values()
        if association["SubnetId"] == {"Ref": subnet}
    )
    return str(table)


def routes_of(table: str) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in route.items() if key != "RouteTableId"}
        for route in of_type("AWS::EC2::Route").values()
        if route["RouteTableId"] == {"Ref": table}
    ]


def egress(group: str) -> set[tuple[Any, ...]]:
    return {
        (
            rule["FromPort"],
            rule["ToPort"],
            rule.get("CidrIp") or rule["DestinationSecurityGroupId"]["Fn::GetAtt"][0],
        )
        for rule in properties(group)["SecurityGroupEgress"]
    }


def test_the_vpc_has_the_documented_range_and_name() -> None:
    vpc = properties("Vpc")

    assert vpc["CidrBlock"] == "10.0.0.0/16"
    assert vpc["Tags"] == [
        {"Key": "Name", "Value": {"Fn::Sub": "video-processing-vpc-${EnvironmentSuffix}"}}
    ]


def test_everything_stands_in_the_one_vpc() -> None:
    placed = {
        name: resource["Properties"].get("VpcId")
        for name, resource in RESOURCES.items()
        if resource["Type"]
        in {
            "AWS::EC2::RouteTable",
            "AWS::EC2::SecurityGroup",
            "AWS::EC2::Subnet",
            "AWS::EC2::VPCEndpoint",
            "AWS::EC2::VPCGatewayAttachment",
        }
    }

    # Without it a security group would land in the account's default VPC.
    assert len(placed) == 6 + 4 + 6 + 6 + 1
    assert [name for name, vpc in placed.items() if vpc != {"Ref": "Vpc"}] == []
    assert properties("InternetGatewayAttachment")["InternetGatewayId"] == {
        "Ref": "InternetGateway"
    }


def test_what_people_meet_in_consoles_and_bills_says_whose_it_is() -> None:
    named = {
        name: tag["Value"]["Fn::Sub"].removesuffix("-${EnvironmentSuffix}")
        for name, resource in RESOURCES.items()
        for tag in resource["Properties"].get("Tags", [])
        if tag["Key"] == "Name"
    }

    assert named == {
        "Vpc": "video-processing-vpc",
        "InternetGateway": "video-processing-internet",
        "NatAddress": "video-processing-nat",
        "NatGateway": "video-processing-nat",
        "PublicRoutes": "video-processing-public",
        "PrivateARoutes": "video-processing-private-a",
        "PrivateBRoutes": "video-processing-private-b",
        "IsolatedRoutes": "video-processing-isolated",
        "PublicSubnetA": "video-processing-public-a",
        "PublicSubnetB": "video-processing-public-b",
        "PrivateSubnetA": "video-processing-private-a",
        "PrivateSubnetB": "video-processing-private-b",
        "IsolatedSubnetA": "video-processing-isolated-a",
        "IsolatedSubnetB": "video-processing-isolated-b",
        "RdsSecurityGroup": "video-processing-db",
        "RedisSecurityGroup": "video-processing-cache",
        "EfsSecurityGroup": "video-processing-efs",
        "LambdaSecurityGroup": "video-processing-lambda",
        "EcsSecurityGroup": "video-processing-ecs",
        "EndpointSecurityGroup": "video-processing-endpoints",
        "S3Endpoint": "video-processing-s3",
        "DynamoDbEndpoint": "video-processing-dynamodb",
        "SecretsManagerInterfaceEndpoint": "video-processing-secretsmanager",
        "LogsInterfaceEndpoint": "video-processing-logs",
        "StepFunctionsInterfaceEndpoint": "video-processing-states",
        "SnsInterfaceEndpoint": "video-processing-sns",
        "FlowLog": "video-processing-flow-log",
    }
    assert properties("FlowLogGroup")["LogGroupName"] == {
        "Fn::Sub": "/video-processing/flow-log-${EnvironmentSuffix}"
    }
    assert properties("FlowLogRole")["RoleName"] == {
        "Fn::Sub": "video-processing-flow-log-${EnvironmentSuffix}"
    }


def test_private_names_work_because_efs_rds_and_the_endpoints_are_found_by_them() -> None:
    vpc = properties("Vpc")

    assert vpc["EnableDnsSupport"] is True
    assert vpc["EnableDnsHostnames"] is True


def test_two_zones_have_a_subnet_of_each_of_three_kinds() -> None:
    assert {
        (name, subnet["AvailabilityZone"]["Ref"], subnet["CidrBlock"])
        for name, subnet in of_type("AWS::EC2::Subnet").items()
    } == {
        ("PublicSubnetA", "AvailabilityZoneA", "10.0.0.0/24"),
        ("PublicSubnetB", "AvailabilityZoneB", "10.0.1.0/24"),
        ("PrivateSubnetA", "AvailabilityZoneA", "10.0.16.0/20"),
        ("PrivateSubnetB", "AvailabilityZoneB", "10.0.32.0/20"),
        ("IsolatedSubnetA", "AvailabilityZoneA", "10.0.48.0/24"),
        ("IsolatedSubnetB", "AvailabilityZoneB", "10.0.49.0/24"),
    }


def test_subnets_lie_in_the_vpc_and_do_not_overlap() -> None:
    ranges = [
        ipaddress.IPv4Network(subnet["CidrBlock"])
        for subnet in of_type("AWS::EC2::Subnet").values()
    ]
    vpc = ipaddress.IPv4Network("10.0.0.0/16")

    assert all(range_.subnet_of(vpc) for range_ in ranges)
    assert not [
        (one, other) for one in ranges for other in ranges if one != other and one.overlaps(other)
    ]


def test_zones_are_asked_for_by_name_because_a_new_order_would_replace_every_subnet() -> None:
    zones = {
        name: DOCUMENT["Parameters"][name] for name in ("AvailabilityZoneA", "AvailabilityZoneB")
    }

    assert {zone["Type"] for zone in zones.values()} == {"AWS::EC2::AvailabilityZone::Name"}
    # Most accounts in Tokyo have no ap-northeast-1b.
    assert zones["AvailabilityZoneA"]["Default"] == "ap-northeast-1a"
    assert zones["AvailabilityZoneB"]["Default"] == "ap-northeast-1c"
    assert "Fn::GetAZs" not in str(DOCUMENT)


def test_no_subnet_hands_out_public_addresses() -> None:
    assert {subnet["MapPublicIpOnLaunch"] for subnet in of_type("AWS::EC2::Subnet").values()} == {
        False
    }


@pytest.mark.parametrize("subnet", ["PublicSubnetA", "PublicSubnetB"])
def test_public_subnets_go_out_through_the_internet_gateway(subnet: str) -> None:
    assert routes_of(route_table_of(subnet)) == [
        {"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": {"Ref": "InternetGateway"}}
    ]


@pytest.mark.parametrize("subnet", ["PrivateSubnetA", "PrivateSubnetB"])
def test_private_subnets_go_out_through_the_nat_gateway(subnet: str) -> None:
    assert routes_of(route_table_of(subnet)) == [
        {"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": {"Ref": "NatGateway"}}
    ]


@pytest.mark.parametrize("subnet", ["IsolatedSubnetA", "IsolatedSubnetB"])
def test_isolated_subnets_have_no_way_out(subnet: str) -> None:
    table = route_table_of(subnet)
    endpoints = of_type("AWS::EC2::VPCEndpoint").values()

    assert routes_of(table) == []
    assert {"Ref": table} not in [
        entry for endpoint in endpoints for entry in endpoint.get("RouteTableIds", [])
    ]


def test_private_zones_have_route_tables_of_their_own_so_that_a_second_nat_replaces_nothing() -> (
    None
):
    assert route_table_of("PrivateSubnetA") != route_table_of("PrivateSubnetB")


def test_there_is_one_nat_gateway_in_a_public_subnet_with_an_address_of_its_own() -> None:
    (nat,) = of_type("AWS::EC2::NatGateway").values()

    assert nat["ConnectivityType"] == "public"
    assert nat["SubnetId"] == {"Ref": "PublicSubnetA"}
    assert nat["AllocationId"] == {"Fn::GetAtt": ["NatAddress", "AllocationId"]}
    assert properties("NatAddress")["Domain"] == "vpc"


@pytest.mark.parametrize("logical_id", ["NatAddress", "NatGateway", "PublicDefaultRoute"])
def test_what_needs_an_attached_gateway_waits_for_it(logical_id: str) -> None:
    assert RESOURCES[logical_id]["DependsOn"] == "InternetGatewayAttachment"


def test_a_data_group_only_answers_because_without_a_rule_it_could_call_everybody() -> None:
    for group in (*DATA_GROUPS, "EndpointSecurityGroup"):
        (rule,) = properties(group)["SecurityGroupEgress"]
        assert (rule["IpProtocol"], rule["CidrIp"]) == ("-1", "127.0.0.1/32")


def test_the_function_speaks_to_the_database_the_cache_and_https() -> None:
    assert egress("LambdaSecurityGroup") == {
        (5432, 5432, "RdsSecurityGroup"),
        (6379, 6379, "RedisSecurityGroup"),
        (443, 443, "0.0.0.0/0"),
    }


def test_the_tasks_speak_to_the_database_the_cache_the_files_and_https() -> None:
    assert egress("EcsSecurityGroup") == {
        (5432, 5432, "RdsSecurityGroup"),
        (6379, 6379, "RedisSecurityGroup"),
        (2049, 2049, "EfsSecurityGroup"),
        (443, 443, "0.0.0.0/0"),
    }


def test_the_data_is_reached_from_the_function_and_the_tasks_alone() -> None:
    rules = of_type("AWS::EC2::SecurityGroupIngress").values()

    assert {
        (
            rule["GroupId"]["Fn::GetAtt"][0],
            rule["IpProtocol"],
            rule["FromPort"],
            rule["ToPort"],
            rule["SourceSecurityGroupId"]["Fn::GetAtt"][0],
        )
        for rule in rules
    } == {
        ("RdsSecurityGroup", "tcp", 5432, 5432, "LambdaSecurityGroup"),
        ("RdsSecurityGroup", "tcp", 5432, 5432, "EcsSecurityGroup"),
        ("RedisSecurityGroup", "tcp", 6379, 6379, "LambdaSecurityGroup"),
        ("RedisSecurityGroup", "tcp", 6379, 6379, "EcsSecurityGroup"),
        ("EfsSecurityGroup", "tcp", 2049, 2049, "EcsSecurityGroup"),
    }


def test_nobody_comes_in_from_an_address_range() -> None:
    inline = [
        rule
        for group in of_type("AWS::EC2::SecurityGroup").values()
        for rule in group.get("SecurityGroupIngress", [])
    ]
    standalone = of_type("AWS::EC2::SecurityGroupIngress").values()

    assert inline, "the endpoints' group has rules"
    for rule in [*inline, *standalone]:
        assert "SourceSecurityGroupId" in rule
        assert not {"CidrIp", "CidrIpv6", "SourcePrefixListId"} & rule.keys()


def test_no_group_mixes_inline_and_standalone_ingress_because_the_mix_shows_as_drift() -> None:
    standalone = {
        rule["GroupId"]["Fn::GetAtt"][0]
        for rule in of_type("AWS::EC2::SecurityGroupIngress").values()
    }
    inline = {
        name
        for name, group in of_type("AWS::EC2::SecurityGroup").items()
        if "SecurityGroupIngress" in group
    }

    assert standalone == set(DATA_GROUPS)
    assert not standalone & inline
    assert not inline & set(CLIENT_GROUPS)


def test_groups_name_no_later_group_so_that_they_can_be_made_at_all() -> None:
    named = {
        group: {
            rule["DestinationSecurityGroupId"]["Fn::GetAtt"][0]
            for rule in properties(group)["SecurityGroupEgress"]
            if "DestinationSecurityGroupId" in rule
        }
        for group in (*CLIENT_GROUPS, *DATA_GROUPS)
    }

    assert all(named[group] <= set(DATA_GROUPS) for group in CLIENT_GROUPS)
    assert all(named[group] == set() for group in DATA_GROUPS)


def test_group_descriptions_are_as_they_were_because_a_new_one_replaces_an_exported_group() -> None:
    assert {
        name: group["GroupDescription"]
        for name, group in of_type("AWS::EC2::SecurityGroup").items()
    } == {
        "RdsSecurityGroup": "The PostgreSQL database",
        "RedisSecurityGroup": "The Redis cache",
        "EfsSecurityGroup": "The shared file system",
        "LambdaSecurityGroup": "The API function",
        "EcsSecurityGroup": "The Fargate tasks",
        "EndpointSecurityGroup": "The interface endpoints",
    }


def test_groups_have_no_name_of_their_own_because_it_is_create_only() -> None:
    assert not [
        name for name, group in of_type("AWS::EC2::SecurityGroup").items() if "GroupName" in group
    ]


def test_ingress_says_in_words_who_comes_in() -> None:
    assert {
        name: rule["Description"]
        for name, rule in of_type("AWS::EC2::SecurityGroupIngress").items()
    } == {
        "RdsFromLambda": "From the API function",
        "RdsFromEcs": "From the Fargate tasks",
        "RedisFromLambda": "From the API function",
        "RedisFromEcs": "From the Fargate tasks",
        "EfsFromEcs": "From the Fargate tasks",
    }


@pytest.mark.parametrize(
    ("logical_id", "service"), [("S3Endpoint", "s3"), ("DynamoDbEndpoint", "dynamodb")]
)
def test_s3_and_dynamodb_are_reached_past_the_nat_gateway_from_private_subnets_only(
    logical_id: str, service: str
) -> None:
    endpoint = properties(logical_id)

    assert endpoint["VpcEndpointType"] == "Gateway"
    assert endpoint["ServiceName"] == {"Fn::Sub": f"com.amazonaws.${{AWS::Region}}.{service}"}
    assert endpoint["RouteTableIds"] == [{"Ref": "PrivateARoutes"}, {"Ref": "PrivateBRoutes"}]
    # Those belong to interface endpoints; AWS refuses them here.
    assert not {"SubnetIds", "SecurityGroupIds", "PrivateDnsEnabled"} & endpoint.keys()


def test_interface_endpoints_are_off_until_asked_for_because_they_cost() -> None:
    known = resolve.Known.of(DOCUMENT, {"EnvironmentSuffix": "dev"})
    switched = {
        RESOURCES[name]["Condition"]: endpoint["ServiceName"]["Fn::Sub"]
        for name, endpoint in of_type("AWS::EC2::VPCEndpoint").items()
        if endpoint["VpcEndpointType"] == "Interface"
    }

    assert switched == {
        "SecretsManagerEndpointIsOn": "com.amazonaws.${AWS::Region}.secretsmanager",
        "LogsEndpointIsOn": "com.amazonaws.${AWS::Region}.logs",
        "StepFunctionsEndpointIsOn": "com.amazonaws.${AWS::Region}.states",
        "SnsEndpointIsOn": "com.amazonaws.${AWS::Region}.sns",
    }
    assert not [condition for condition in switched if known.holds(condition)]
    assert not known.holds("SomeInterfaceEndpoint")


@pytest.mark.parametrize("switch", ["SecretsManager", "Logs", "StepFunctions", "Sns"])
def test_one_interface_endpoint_brings_the_group_that_it_wears(switch: str) -> None:
    known = resolve.Known.of(DOCUMENT, {"EnvironmentSuffix": "dev", f"{switch}Endpoint": "true"})
    endpoint = properties(f"{switch}InterfaceEndpoint")

    assert known.holds(f"{switch}EndpointIsOn")
    assert known.holds(RESOURCES["EndpointSecurityGroup"]["Condition"])
    assert endpoint["PrivateDnsEnabled"] is True
    assert endpoint["SubnetIds"] == [{"Ref": "PrivateSubnetA"}, {"Ref": "PrivateSubnetB"}]
    assert endpoint["SecurityGroupIds"] == [{"Fn::GetAtt": ["EndpointSecurityGroup", "GroupId"]}]


def test_interface_endpoints_answer_the_function_and_the_tasks_over_https() -> None:
    assert {
        (rule["FromPort"], rule["ToPort"], rule["SourceSecurityGroupId"]["Fn::GetAtt"][0])
        for rule in properties("EndpointSecurityGroup")["SecurityGroupIngress"]
    } == {(443, 443, "LambdaSecurityGroup"), (443, 443, "EcsSecurityGroup")}


def test_the_flow_log_records_all_traffic_of_the_vpc() -> None:
    flow_log = properties("FlowLog")

    assert flow_log["ResourceType"] == "VPC"
    assert flow_log["ResourceId"] == {"Ref": "Vpc"}
    assert flow_log["TrafficType"] == "ALL"
    assert flow_log["LogDestinationType"] == "cloud-watch-logs"
    assert flow_log["LogGroupName"] == {"Ref": "FlowLogGroup"}
    assert flow_log["DeliverLogsPermissionArn"] == {"Fn::GetAtt": ["FlowLogRole", "Arn"]}
    assert properties("FlowLogGroup")["RetentionInDays"] == 7


def test_the_flow_log_goes_with_its_switch_and_takes_everything_of_its_own_along() -> None:
    assert {
        name for name, resource in RESOURCES.items() if resource.get("Condition") == "FlowLogsIsOn"
    } == {"FlowLog", "FlowLogGroup", "FlowLogRole"}
    assert DOCUMENT["Parameters"]["FlowLogs"]["Default"] == "true"


def test_only_flow_logs_of_this_account_may_write_and_only_into_their_group() -> None:
    role = properties("FlowLogRole")
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    (statement,) = role["Policies"][0]["PolicyDocument"]["Statement"]

    assert trust["Principal"] == {"Service": "vpc-flow-logs.amazonaws.com"}
    assert trust["Condition"] == {
        "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}},
        "ArnLike": {
            "aws:SourceArn": {
                "Fn::Sub": "arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}"
                ":vpc-flow-log/*"
            }
        },
    }
    assert statement["Action"] == [
        "logs:CreateLogStream",
        "logs:DescribeLogStreams",
        "logs:PutLogEvents",
    ]
    assert statement["Resource"] == [{"Fn::GetAtt": ["FlowLogGroup", "Arn"]}]


def test_other_tiers_get_the_vpc_the_inner_subnets_and_the_groups_and_no_public_subnet() -> None:
    exported = {
        key: output["Value"] for key, output in DOCUMENT["Outputs"].items() if "Export" in output
    }

    assert exported == {
        "VpcId": {"Ref": "Vpc"},
        "PrivateSubnetAId": {"Ref": "PrivateSubnetA"},
        "PrivateSubnetBId": {"Ref": "PrivateSubnetB"},
        "IsolatedSubnetAId": {"Ref": "IsolatedSubnetA"},
        "IsolatedSubnetBId": {"Ref": "IsolatedSubnetB"},
        "EcsSecurityGroupId": {"Fn::GetAtt": ["EcsSecurityGroup", "GroupId"]},
        "LambdaSecurityGroupId": {"Fn::GetAtt": ["LambdaSecurityGroup", "GroupId"]},
        "RdsSecurityGroupId": {"Fn::GetAtt": ["RdsSecurityGroup", "GroupId"]},
        "RedisSecurityGroupId": {"Fn::GetAtt": ["RedisSecurityGroup", "GroupId"]},
        "EfsSecurityGroupId": {"Fn::GetAtt": ["EfsSecurityGroup", "GroupId"]},
    }
    assert {"PublicSubnetAId", "PublicSubnetBId"} <= DOCUMENT["Outputs"].keys()
