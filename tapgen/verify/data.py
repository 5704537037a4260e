"""RDS, EFS, ElastiCache: the database, the shared files, the cache, and their secrets."""

from __future__ import annotations

from typing import Any

from tapgen.verify.environment import Environment, Made
from tapgen.verify.questions import Asker, at
from tapgen.verify.result import Check, Fact, Facts

GROUP = "RDS, EFS, ElastiCache"
DATABASE = "AWS::RDS::DBInstance"
_ANSWERING = ("available", "backing-up", "snapshotting", "storage-optimization")


def database(env: Environment, ask: Asker) -> Facts:
    """PostgreSQL as it was asked for, up, in two zones."""
    made = env.get("storage", "Database")
    found = instance(env, ask)
    yield Fact("DBInstanceStatus", _up(found.get("DBInstanceStatus")), "available")
    yield Fact("Engine", found.get("Engine"), "postgres", says="RDS PostgreSQL")
    yield _version(made, found)
    yield Fact("DBName", found.get("DBName"), "videometadata", says="RDS: videometadata")
    yield Fact("MultiAZ", found.get("MultiAZ"), True, says="Multi-AZ deployment")
    for name in ("DBInstanceClass", "DeletionProtection", "PubliclyAccessible"):
        yield Fact(name, found.get(name), made.wanted[name])


def standby(env: Environment, ask: Asker) -> Facts:
    """The database's second half exists, in another zone than the first."""
    found = instance(env, ask)
    first, second = found.get("AvailabilityZone"), found.get("SecondaryAvailabilityZone")
    apart = bool(second) and second != first
    yield Fact(
        "SecondaryAvailabilityZone",
        "another" if apart else second,
        "another",
        of=f"{DATABASE}.SecondaryAvailabilityZone",
        says="Multi-AZ deployment for high availability",
    )


def database_storage(env: Environment, ask: Asker) -> Facts:
    """Storage that grows, and backups of seven days."""
    found = instance(env, ask)
    yield Fact("StorageType", found.get("StorageType"), "gp3", says="GP3 storage")
    # It grows by itself, and never shrinks.
    size = found.get("AllocatedStorage")
    enough = isinstance(size, int) and 100 <= size <= 500
    yield Fact("AllocatedStorage", "100 to 500" if enough else size, "100 to 500", says="100GB")
    yield Fact("MaxAllocatedStorage", found.get("MaxAllocatedStorage"), 500, says="-500GB")
    yield Fact("BackupRetentionPeriod", found.get("BackupRetentionPeriod"), 7, says="7-day")
    yield Fact(
        "PerformanceInsightsEnabled",
        found.get("PerformanceInsightsEnabled"),
        True,
        says="Performance Insights enabled",
    )
    yield Fact("CopyTagsToSnapshot", found.get("CopyTagsToSnapshot"), True)


def database_place(env: Environment, ask: Asker) -> Facts:
    """In the isolated subnets, with the parameter group in force."""
    made = env.get("storage", "Database")
    found = instance(env, ask)
    subnets = at(found, "DBSubnetGroup.Subnets") or ()
    yield Fact(
        "subnets",
        {item.get("SubnetIdentifier") for item in subnets},
        {env.export("IsolatedSubnetAId"), env.export("IsolatedSubnetBId")},
        says="Isolated database subnets for RDS and ElastiCache",
    )
    group = at(found, "DBParameterGroups.0") or {}
    yield Fact(
        "DBParameterGroupName",
        group.get("DBParameterGroupName"),
        made.wanted["DBParameterGroupName"],
    )
    # Anything else waits for a restart, and the settings with it.
    yield Fact("ParameterApplyStatus", group.get("ParameterApplyStatus"), "in-sync")


def secrets(env: Environment, ask: Asker) -> Facts:
    """Credentials in Secrets Manager, with a version to read. Their values are not asked for."""
    managed = at(instance(env, ask), "MasterUserSecret.SecretArn")
    yield Fact("MasterUserSecret", managed, env.export("DbSecretArn"))
    wanted = {"DbSecretArn": None, "DbAppSecretArn": "db-app", "RedisSecretArn": "redis-app"}
    for key, name in wanted.items():
        arn = env.export(key)
        found = ask.call("secretsmanager", "describe_secret", SecretId=arn)
        yield Fact(f"{key} ARN", found.get("ARN"), arn)
        stages = [
            stage for all_ in (found.get("VersionIdsToStages") or {}).values() for stage in all_
        ]
        yield Fact(f"{key} current version", "AWSCURRENT" in stages, True)
        yield Fact(f"{key} deleted", found.get("DeletedDate"), None)
        if name:
            yield Fact(f"{key} Name", found.get("Name"), f"video-processing/{env.env}/{name}-user")


def files(env: Environment, ask: Asker) -> Facts:
    """The shared file system, elastic and backed up."""
    made = env.get("storage", "FileSystem")
    found = file_system(env, ask)
    yield Fact("LifeCycleState", found.get("LifeCycleState"), "available")
    yield Fact("ThroughputMode", found.get("ThroughputMode"), "elastic", says="Elastic throughput")
    yield Fact("PerformanceMode", found.get("PerformanceMode"), made.wanted["PerformanceMode"])
    backup = ask.call("efs", "describe_backup_policy", FileSystemId=made.id)
    status = at(backup, "BackupPolicy.Status")
    # It is switched on by a process that takes minutes.
    is_on = "ENABLED" if status == "ENABLING" else status
    yield Fact("BackupPolicy", is_on, "ENABLED", says="Automatic backups enabled")


def mounts(env: Environment, ask: Asker) -> Facts:
    """A mount target in each zone's private subnet, and the tasks' access point."""
    system = env.id("storage", "FileSystem")
    found = ask.pages("efs", "describe_mount_targets", "MountTargets", FileSystemId=system)
    by_id = {item.get("MountTargetId"): item for item in found}
    for zone in ("A", "B"):
        made = env.get("storage", f"MountTarget{zone}")
        told = by_id.get(made.id, {})
        yield Fact(f"{made.logical_id} SubnetId", told.get("SubnetId"), made.wanted["SubnetId"])
        yield Fact(f"{made.logical_id} LifeCycleState", told.get("LifeCycleState"), "available")
    zones = {item.get("AvailabilityZoneName") for item in found} - {None}
    yield Fact("zones", len(zones), 2, says="multi-AZ configuration where applicable")
    point = env.get("storage", "AccessPoint")
    access = ask.one("efs", "describe_access_points", "AccessPoints", AccessPointId=point.id)
    yield Fact("AccessPoint FileSystemId", access.get("FileSystemId"), system)
    for name in ("PosixUser", "RootDirectory"):
        yield Fact(f"AccessPoint {name}", access.get(name), point.wanted[name])


def cache(env: Environment, ask: Asker) -> Facts:
    """Redis on two nodes in two zones, with snapshots of five days."""
    made = env.get("cache", "ReplicationGroup")
    found = replication_group(env, ask)
    yield Fact("ReplicationGroupId", found.get("ReplicationGroupId"), f"video-cache-{env.env}")
    yield Fact("Status", _up(found.get("Status")), "available")
    yield Fact("nodes", len(found.get("MemberClusters") or ()), 2, says="2 cache nodes")
    yield Fact("MultiAZ", found.get("MultiAZ"), "enabled", says="Multi-AZ enabled")
    failover = found.get("AutomaticFailover")
    yield Fact("AutomaticFailover", failover, "enabled", says="with automatic failover")
    members = at(found, "NodeGroups.0.NodeGroupMembers") or ()
    zones = {item.get("PreferredAvailabilityZone") for item in members} - {None}
    yield Fact("zones", len(zones), 2, says="across multiple AZs")
    yield Fact("CacheNodeType", found.get("CacheNodeType"), made.wanted["CacheNodeType"])
    kept = found.get("SnapshotRetentionLimit")
    yield Fact("SnapshotRetentionLimit", kept, 5, says="5-day retention")


def cache_place(env: Environment, ask: Asker) -> Facts:
    """Redis 7.1 in the isolated subnets; the application's user may enter, the default may not."""
    clusters = members(env, ask)
    for cluster in clusters:
        name = cluster.get("CacheClusterId")
        version = str(cluster.get("EngineVersion"))
        yield Fact(
            f"{name} EngineVersion", ".".join(version.split(".")[:2]), "7.1", says="Redis 7.1"
        )
        status = _up(cluster.get("CacheClusterStatus"))
        yield Fact(f"{name} CacheClusterStatus", status, "available")
    group = env.get("cache", "SubnetGroup")
    told = ask.one(
        "elasticache",
        "describe_cache_subnet_groups",
        "CacheSubnetGroups",
        CacheSubnetGroupName=group.id,
    )
    found = {item.get("SubnetIdentifier") for item in told.get("Subnets", ())}
    yield Fact("subnets", found, set(group.wanted["SubnetIds"]))
    users = env.get("cache", "UserGroup")
    admitted = replication_group(env, ask).get("UserGroupIds")
    yield Fact("UserGroupIds", admitted, [users.id])
    for logical_id in ("DefaultUser", "AppUser"):
        user = env.get("cache", logical_id)
        person = ask.one("elasticache", "describe_users", "Users", UserId=user.id)
        yield Fact(f"{logical_id} Status", person.get("Status"), "active")
        rights = str(person.get("AccessString")).split()
        yield Fact(f"{logical_id} rights", rights, user.wanted["AccessString"].split())


def instance(env: Environment, ask: Asker) -> dict[str, Any]:
    """The database instance. Raises ``Absent``."""
    id_ = env.id("storage", "Database")
    return ask.one("rds", "describe_db_instances", "DBInstances", DBInstanceIdentifier=id_)


def file_system(env: Environment, ask: Asker) -> dict[str, Any]:
    """The file system. Raises ``Absent``."""
    id_ = env.id("storage", "FileSystem")
    return ask.one("efs", "describe_file_systems", "FileSystems", FileSystemId=id_)


def replication_group(env: Environment, ask: Asker) -> dict[str, Any]:
    """The replication group. Raises ``Absent``."""
    id_ = env.id("cache", "ReplicationGroup")
    operation, member = "describe_replication_groups", "ReplicationGroups"
    return ask.one("elasticache", operation, member, ReplicationGroupId=id_)


def members(env: Environment, ask: Asker) -> list[dict[str, Any]]:
    """The nodes of the replication group."""
    names = sorted(replication_group(env, ask).get("MemberClusters") or ())
    return [
        ask.one("elasticache", "describe_cache_clusters", "CacheClusters", CacheClusterId=name)
        for name in names
    ]


def _up(status: Any) -> Any:
    """A status that does not keep it from answering, as a nightly backup does not."""
    return "available" if status in _ANSWERING else status


def _version(made: Made, found: dict[str, Any]) -> Fact:
    """16 stands for any minor of it, and RDS moves minors that are retired on by itself."""
    wanted, is_ = str(made.wanted["EngineVersion"]), str(found.get("EngineVersion"))
    parts, minimum = is_.split("."), wanted.split(".")
    later = (
        parts[0] == minimum[0]
        and all(part.isdecimal() for part in parts)
        and [int(part) for part in parts] >= [int(part) for part in minimum]
    )
    return Fact("EngineVersion", f"{wanted} or later" if later else is_, f"{wanted} or later")


CHECKS = (
    Check(GROUP, "database", "PostgreSQL is up, Multi-AZ, not public", database),
    Check(GROUP, "standby", "the database's standby is in another zone", standby),
    Check(
        GROUP, "database-storage", "storage grows to 500 GB; backups of 7 days", database_storage
    ),
    Check(GROUP, "database-place", "the database stands in the isolated subnets", database_place),
    Check(GROUP, "secrets", "credentials are in Secrets Manager", secrets),
    Check(GROUP, "files", "the shared files are elastic and backed up", files),
    Check(GROUP, "mounts", "the files can be mounted in both zones", mounts),
    Check(GROUP, "cache", "Redis on two nodes in two zones, kept 5 days", cache),
    Check(GROUP, "cache-place", "Redis 7.1 in the isolated subnets, own user only", cache_place),
)
