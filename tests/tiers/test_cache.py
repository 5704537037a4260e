"""The cache's claims, over the document as it is rendered."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tapgen import resolve
from tapgen.tiers import cache, network

STACK = cache.describe(network=network.describe().exports)
DOCUMENT = STACK.document()
RESOURCES: dict[str, Any] = DOCUMENT["Resources"]
GROUP: dict[str, Any] = RESOURCES["ReplicationGroup"]["Properties"]


def properties(logical_id: str) -> dict[str, Any]:
    found: dict[str, Any] = RESOURCES[logical_id]["Properties"]
    return found


def imported(key: str) -> dict[str, Any]:
    return {"Fn::ImportValue": {"Fn::Sub": f"tap-${{EnvironmentSuffix}}-{key}"}}


def minutes(clock: str) -> int:
    hours, minute = clock.split(":")
    return int(hours) * 60 + int(minute)


def test_the_group_is_redis_7_1_under_the_documented_name() -> None:
    assert GROUP["ReplicationGroupId"] == {"Fn::Sub": "video-cache-${EnvironmentSuffix}"}
    assert GROUP["Engine"] == "redis"
    # A text: the schema has no numbers here.
    assert GROUP["EngineVersion"] == "7.1"
    assert GROUP["AutoMinorVersionUpgrade"] is True


def test_two_nodes_stand_in_two_zones_and_the_second_takes_over() -> None:
    # Multi-AZ is refused without failover, and failover with one node.
    assert GROUP["NumCacheClusters"] == 2
    assert GROUP["AutomaticFailoverEnabled"] is True
    assert GROUP["MultiAZEnabled"] is True


def test_the_number_of_nodes_is_said_once() -> None:
    assert not {"NumNodeGroups", "ReplicasPerNodeGroup", "NodeGroupConfiguration"} & GROUP.keys()


@pytest.mark.parametrize("node_type", ["cache.t4g.medium", "cache.r7g.12xlarge"])
def test_the_node_type_is_a_parameter_with_the_documented_default(node_type: str) -> None:
    parameter = DOCUMENT["Parameters"]["RedisNodeType"]

    assert GROUP["CacheNodeType"] == {"Ref": "RedisNodeType"}
    assert parameter["Default"] == "cache.t4g.medium"
    assert re.fullmatch(parameter["AllowedPattern"], node_type)
    assert not re.fullmatch(parameter["AllowedPattern"], "db.t4g.medium")


def test_data_is_encrypted_at_rest_and_nobody_comes_in_without_tls() -> None:
    assert GROUP["AtRestEncryptionEnabled"] is True
    assert GROUP["TransitEncryptionEnabled"] is True
    # "preferred" would take plain connections too.
    assert GROUP["TransitEncryptionMode"] == "required"


def test_the_nodes_stand_in_the_isolated_subnets_behind_one_group() -> None:
    assert GROUP["CacheSubnetGroupName"] == {"Ref": "SubnetGroup"}
    assert properties("SubnetGroup")["SubnetIds"] == [
        imported("IsolatedSubnetAId"),
        imported("IsolatedSubnetBId"),
    ]
    assert properties("SubnetGroup")["CacheSubnetGroupName"] == {
        "Fn::Sub": "video-cache-${EnvironmentSuffix}"
    }
    assert GROUP["SecurityGroupIds"] == [imported("RedisSecurityGroupId")]


def test_the_port_is_the_one_that_the_network_opens() -> None:
    assert GROUP["Port"] == 6379
    assert network.REDIS == 6379


def test_snapshots_are_kept_5_days_and_taken_outside_the_maintenance_window() -> None:
    snapshot, maintenance = GROUP["SnapshotWindow"], GROUP["PreferredMaintenanceWindow"]
    snapshot_ends = minutes(snapshot.split("-")[1])
    maintenance_starts = minutes(maintenance.split("-")[0].removeprefix("sun:"))

    assert GROUP["SnapshotRetentionLimit"] == 5
    assert (snapshot, maintenance) == ("17:00-18:00", "sun:18:30-sun:19:30")
    assert snapshot_ends < maintenance_starts


def test_access_is_by_role_because_a_change_from_a_token_replaces_the_group() -> None:
    assert GROUP["UserGroupIds"] == [{"Ref": "UserGroup"}]
    assert "AuthToken" not in GROUP


def test_engine_users_and_their_group_agree_on_the_engine() -> None:
    assert {
        logical_id: properties(logical_id)["Engine"]
        for logical_id in ("ReplicationGroup", "UserGroup", "DefaultUser", "AppUser")
    } == dict.fromkeys(("ReplicationGroup", "UserGroup", "DefaultUser", "AppUser"), "redis")


def test_the_default_user_is_there_because_it_must_be_and_can_do_nothing() -> None:
    user = properties("DefaultUser")

    assert {"Ref": "DefaultUser"} in properties("UserGroup")["UserIds"]
    assert user["UserName"] == "default"
    assert user["AccessString"] == "off ~* -@all"
    assert user["NoPasswordRequired"] is True
    assert "Passwords" not in user


def test_the_app_user_reads_and_writes_the_functions_keys_and_nothing_dangerous() -> None:
    user = properties("AppUser")

    assert {"Ref": "AppUser"} in properties("UserGroup")["UserIds"]
    assert user["UserName"] == "video-app"
    # -@all right after the keys: the order in which ElastiCache hands it back.
    assert user["AccessString"] == "on ~vm:* -@all +@read +@write +@connection -@dangerous"


def test_the_password_is_read_from_the_secret_and_stands_in_no_template() -> None:
    assert properties("AppUser")["Passwords"] == [
        {"Fn::Sub": "{{resolve:secretsmanager:${RedisAppSecret}:SecretString:password}}"}
    ]


def test_the_secret_holds_the_apps_name_and_a_password_that_elasticache_takes() -> None:
    secret = properties("RedisAppSecret")
    generated = secret["GenerateSecretString"]

    assert secret["Name"] == {"Fn::Sub": "video-processing/${EnvironmentSuffix}/redis-app-user"}
    assert json.loads(generated["SecretStringTemplate"]) == {
        "username": properties("AppUser")["UserName"]
    }
    assert generated["GenerateStringKey"] == "password"
    # 16 to 128 characters, and little punctuation among them.
    assert generated["PasswordLength"] == 64
    assert generated["ExcludePunctuation"] is True
    assert "KmsKeyId" not in secret


def test_identifiers_fit_with_the_longest_suffix_and_are_lower_case() -> None:
    known = resolve.Known.of(DOCUMENT, {"EnvironmentSuffix": "a-twenty-chars-long1"})
    identifiers = [
        resolve.text(properties("DefaultUser")["UserId"], known),
        resolve.text(properties("AppUser")["UserId"], known),
        resolve.text(properties("UserGroup")["UserGroupId"], known),
        resolve.text(GROUP["ReplicationGroupId"], known),
    ]

    assert identifiers[0] == "video-cache-default-a-twenty-chars-long1"
    for identifier in identifiers:
        assert len(identifier) <= 40
        assert re.fullmatch("[a-z](-?[a-z0-9])*", identifier)


def test_the_cache_forgets_what_is_least_used_and_hangs_up_on_the_idle() -> None:
    group = properties("ParameterGroup")

    assert GROUP["CacheParameterGroupName"] == {"Ref": "ParameterGroup"}
    assert group["CacheParameterGroupFamily"] == "redis7"
    assert group["Properties"] == {"maxmemory-policy": "allkeys-lru", "timeout": "300"}
    # CloudFormation cannot name it.
    assert group["Tags"] == [
        {"Key": "Name", "Value": {"Fn::Sub": "video-cache-redis7-${EnvironmentSuffix}"}}
    ]


def test_logs_are_delivered_in_the_order_in_which_elasticache_lists_them() -> None:
    assert [
        (
            entry["LogType"],
            entry["LogFormat"],
            entry["DestinationType"],
            entry["DestinationDetails"]["CloudWatchLogsDetails"]["LogGroup"],
        )
        for entry in GROUP["LogDeliveryConfigurations"]
    ] == [
        ("engine-log", "json", "cloudwatch-logs", {"Ref": "EngineLogGroup"}),
        ("slow-log", "json", "cloudwatch-logs", {"Ref": "SlowLogGroup"}),
    ]


@pytest.mark.parametrize(
    ("logical_id", "name"),
    [
        (
            "EngineLogGroup",
            "/aws/vendedlogs/elasticache/video-cache-${EnvironmentSuffix}/engine-log",
        ),
        ("SlowLogGroup", "/aws/vendedlogs/elasticache/video-cache-${EnvironmentSuffix}/slow-log"),
    ],
)
def test_logs_are_vended_because_the_accounts_resource_policy_is_small(
    logical_id: str, name: str
) -> None:
    group = properties(logical_id)

    assert group["LogGroupName"] == {"Fn::Sub": name}
    assert group["RetentionInDays"] == 7


@pytest.mark.parametrize(
    ("logical_id", "policy"),
    [
        ("ReplicationGroup", "Snapshot"),
        ("RedisAppSecret", "Delete"),
        ("EngineLogGroup", "Delete"),
        ("SlowLogGroup", "Delete"),
    ],
)
def test_the_group_leaves_a_snapshot_and_the_rest_goes(logical_id: str, policy: str) -> None:
    resource = RESOURCES[logical_id]

    assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == (policy, policy)


def test_other_tiers_get_both_endpoints_the_port_and_the_secret() -> None:
    # ReaderEndPoint: ReadEndPoint, one letter less, is a list of nodes.
    assert {
        key: output["Value"] for key, output in DOCUMENT["Outputs"].items() if "Export" in output
    } == {
        "RedisPrimaryEndpoint": {"Fn::GetAtt": ["ReplicationGroup", "PrimaryEndPoint.Address"]},
        "RedisReaderEndpoint": {"Fn::GetAtt": ["ReplicationGroup", "ReaderEndPoint.Address"]},
        "RedisPort": {"Fn::GetAtt": ["ReplicationGroup", "PrimaryEndPoint.Port"]},
        "RedisSecretArn": {"Ref": "RedisAppSecret"},
    }


def test_an_export_is_held_as_the_import_that_it_is_to_others() -> None:
    exports = STACK.exports

    assert exports.redis_primary_endpoint.to_dict() == imported("RedisPrimaryEndpoint")
    assert exports.redis_reader_endpoint.to_dict() == imported("RedisReaderEndpoint")
    assert exports.redis_port.to_dict() == imported("RedisPort")
    assert exports.redis_secret_arn.to_dict() == imported("RedisSecretArn")
