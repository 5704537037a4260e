"""ElastiCache: endpoints named as AWS names them, final snapshots, who a user group must hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tapgen.local import reach
from tapgen.local.resources import plumbing
from tapgen.local.resources.plumbing import Attributes, Props

_GROUP = "AWS::ElastiCache::ReplicationGroup"
# What stands for the region in the names of ElastiCache's endpoints.
_REGIONS = {"ap-northeast-1": "apne1"}


def install() -> None:
    """Put this corner in."""
    plumbing.after(_GROUP, _finish)
    plumbing.snapshot(_GROUP, _take_snapshot)
    plumbing.before("AWS::ElastiCache::UserGroup", _with_a_default_user)
    plumbing.append_xml(reach.service("elasticache"), "_rg_xml", _more)


def _finish(physical_id: str, props: Props) -> Attributes:
    group = reach.service("elasticache")._replication_groups[physical_id]
    group["KmsKeyId"] = props.get("KmsKeyId", "")
    _name_endpoints(group, int(props.get("Port") or 6379))
    attributes: Attributes = reach.cloudformation("provisioners")._ec_rg_attrs(physical_id)
    return attributes


def _name_endpoints(group: dict[str, Any], port: int) -> None:
    """Give a group of one shard, and its nodes, the names that clients would connect to.

    The identifier in the middle stays for the life of the group.
    """
    if group["ClusterEnabled"]:
        return
    name = group["ReplicationGroupId"]
    unique = group.setdefault("_unique", reach.module("core.responses").new_uuid()[:6])
    region = reach.module("core.responses").get_region()
    domain = f"{_REGIONS.get(region, region)}.cache.amazonaws.com"
    if group["TransitEncryptionEnabled"]:
        primary, reader = f"master.{name}.{unique}.{domain}", f"replica.{name}.{unique}.{domain}"
    else:
        primary, reader = f"{name}.{unique}.ng.0001.{domain}", f"{name}-ro.{unique}.{domain}"
    (shard,) = group["NodeGroups"]
    shard["PrimaryEndpoint"] = {"Address": primary, "Port": port}
    shard["ReaderEndpoint"] = {"Address": reader, "Port": port}
    zones = _zones(group["CacheSubnetGroupName"])
    for number, member in enumerate(shard["NodeGroupMembers"], 1):
        address = f"{name}-{number:03d}.{name}.{unique}.{domain}"
        member["ReadEndpoint"] = {"Address": address, "Port": port}
        node = reach.service("elasticache")._clusters[member["CacheClusterId"]]
        node["CacheNodes"][0]["Endpoint"] = member["ReadEndpoint"]
        if zones:
            zone = zones[(number - 1) % len(zones)]
            member["PreferredAvailabilityZone"] = node["PreferredAvailabilityZone"] = zone


def _zones(subnet_group: str) -> list[str]:
    """The zones of a subnet group; the emulator would put nodes where it has no subnet."""
    group = reach.service("elasticache")._subnet_groups.get(subnet_group) or {}
    subnets = reach.service("ec2")._subnets
    found = {
        subnets[subnet["SubnetIdentifier"]]["AvailabilityZone"]
        for subnet in group.get("Subnets", ())
        if subnet["SubnetIdentifier"] in subnets
    }
    return sorted(found)


def _take_snapshot(physical_id: str, props: Props) -> None:
    cache, provisioners = reach.service("elasticache"), reach.cloudformation("provisioners")
    if physical_id not in cache._replication_groups:
        return
    name = provisioners._snapshot_id(physical_id)
    wanted = {"SnapshotName": name, "ReplicationGroupId": physical_id}
    plumbing.answer("CreateSnapshot", cache._create_snapshot(wanted))


def _with_a_default_user(props: Props) -> Props:
    """A group for Redis must hold a user that is *named* default, whatever its id."""
    users = reach.service("elasticache")._users
    names = [users[user]["UserName"] for user in props.get("UserIds") or [] if user in users]
    if props.get("Engine", "redis") == "redis" and "default" not in names:
        raise plumbing.service_error(
            "ElastiCache", "User group needs to contain a user with the user name default."
        )
    return props


def _more(group: Mapping[str, Any]) -> str:
    key = group.get("KmsKeyId")
    return f"<KmsKeyId>{key}</KmsKeyId>" if key else ""
