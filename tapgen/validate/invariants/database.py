"""The database: what RDS refuses, what it stores otherwise than written, and what loses data."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tapgen.validate.finding import Fault, Rule
from tapgen.validate.invariants.windows import overlap
from tapgen.validate.world import Resource, World, is_true, items, mappings, number

INSTANCE = "AWS::RDS::DBInstance"
_PARAMETERS = "AWS::RDS::DBParameterGroup"

# The first minor of each major that can still be created; AWS withdrew the older ones for new
# instances (RDS for PostgreSQL release calendar; 16.5 to 16.8 on 2026-05-01).
FIRST_CREATABLE = {"postgres": {"16": 9, "17": 5}}
# RDS for PostgreSQL: "admin" is reserved there, as are the service's own roles.
RESERVED_USERS = ("admin", "rdsadmin", "rdsrepladmin", "rds_superuser", "rds_replication", "user")
# From here gp3 volumes take IOPS and throughput of one's own; below, 3,000 and 125 MiB/s stand.
GP3_STRIPED_GIB = 400
# Database Insights "advanced" needs at least fifteen months of Performance Insights.
ADVANCED_RETENTION = 465


def withdrawn_parameter(world: World) -> Iterator[Fault]:
    """A version that new instances cannot have, as the default of a parameter.

    Running instances keep it, and the default stays as documented: before creating, deploy asks
    RDS what it offers and uses the newest minor of the same major. Told, so that nobody is misled
    by the number in the template.
    """
    for instance in world.of_type(INSTANCE):
        version = _withdrawn(instance)
        if version and not isinstance(_raw(instance, "EngineVersion"), str):
            yield instance.fault(
                f"asks for {instance.get('Engine')} {version} by default, which AWS has withdrawn "
                "for new instances"
            )


def withdrawn_version(world: World) -> Iterator[Fault]:
    """A version that new instances cannot have, written where nothing can replace it.

    CreateDBInstance answers "Cannot find version 16.6 for postgres".
    """
    for instance in world.of_type(INSTANCE):
        version = _withdrawn(instance)
        if version and isinstance(_raw(instance, "EngineVersion"), str):
            yield instance.fault(
                f"asks for {instance.get('Engine')} {version}, which AWS has withdrawn for new "
                "instances"
            )


def reserved_user(world: World) -> Iterator[Fault]:
    """PostgreSQL on RDS refuses some master users: "MasterUsername admin cannot be used …"."""
    for instance in world.of_type(INSTANCE):
        user = str(instance.get("MasterUsername", "")).lower()
        postgres = str(instance.get("Engine", "")).endswith("postgres")
        if postgres and (user in RESERVED_USERS or user.startswith("pg_")):
            yield instance.fault(f"has the master user {user!r}, which is reserved")


def gp3_below_striping(world: World) -> Iterator[Fault]:
    """Under 400 GiB, gp3 on RDS has fixed IOPS and throughput; asking for some is refused.

    RDS user guide, "gp3 storage".
    """
    for instance in world.of_type(INSTANCE):
        size = number(instance.get("AllocatedStorage"))
        if instance.get("StorageType") != "gp3" or size is None or size >= GP3_STRIPED_GIB:
            continue
        for prop in ("Iops", "StorageThroughput"):
            if instance.get(prop) is not None:
                yield instance.fault(f"sets {prop} on a gp3 volume of {size:g} GiB")


def room_to_grow(world: World) -> Iterator[Fault]:
    """Storage autoscaling needs a ceiling at least a tenth above the start.

    RDS user guide, "Managing capacity automatically with storage autoscaling".
    """
    for instance in world.of_type(INSTANCE):
        size = number(instance.get("AllocatedStorage"))
        most = number(instance.get("MaxAllocatedStorage"))
        if size is not None and most is not None and most * 10 < size * 11:
            yield instance.fault(f"may grow from {size:g} to {most:g} GiB only")


def encrypted(world: World) -> Iterator[Fault]:
    """Storage encryption is off by default, and create-only."""
    for instance in world.of_type(INSTANCE):
        if not is_true(instance.get("StorageEncrypted")):
            yield instance.fault("is not encrypted at rest")


def not_public(world: World) -> Iterator[Fault]:
    """Left out, PubliclyAccessible came back true from a default VPC."""
    for instance in world.of_type(INSTANCE):
        if instance.get("PubliclyAccessible") is None or is_true(
            instance.get("PubliclyAccessible")
        ):
            yield instance.fault("does not state that it is not publicly accessible")


def backed_up(world: World) -> Iterator[Fault]:
    """A retention of 0 switches automatic backups off, and point-in-time recovery with them."""
    for instance in world.of_type(INSTANCE):
        if number(instance.get("BackupRetentionPeriod", 1)) == 0:
            yield instance.fault("keeps no backups")


def no_plain_password(world: World) -> Iterator[Fault]:
    """A password in the template is in the repository, the stack's events and the console."""
    for instance in world.of_type(INSTANCE):
        password = instance.get("MasterUserPassword")
        if isinstance(password, str) and "{{resolve:" not in password:
            yield instance.fault("has its master password in the template or a parameter")


def kept_from_deletion(world: World) -> Iterator[Fault]:
    """With deletion protection written off, one wrong stack deletion ends the database."""
    for instance in world.of_type(INSTANCE):
        if _raw(instance, "DeletionProtection") in (None, False, "false"):
            yield instance.fault("can never have deletion protection")


def apart_windows(world: World) -> Iterator[Fault]:
    """Backup and maintenance windows may not overlap, and are stored in lower case.

    CreateDBInstance: "The backup window and maintenance window must not overlap".
    """
    for instance in world.of_type(INSTANCE):
        backup = instance.get("PreferredBackupWindow")
        maintenance = instance.get("PreferredMaintenanceWindow")
        if overlap(backup, maintenance):
            yield instance.fault(f"is backed up at {backup} and maintained at {maintenance}")
        if isinstance(maintenance, str) and maintenance != maintenance.lower():
            yield instance.fault(f"writes its window {maintenance!r} not in lower case")


def tls_only(world: World) -> Iterator[Fault]:
    """Without rds.force_ssl=1 the server also talks in clear text to whoever asks for that."""
    for instance in world.of_type(INSTANCE):
        if not str(instance.get("Engine", "")).endswith("postgres"):
            continue
        group = world.by_name(_PARAMETERS, "DBParameterGroupName", instance.get(_GROUP_NAME))
        given = group.get("Parameters") if group else None
        forced = given.get("rds.force_ssl") if isinstance(given, dict) else None
        if str(forced) != "1":
            yield instance.fault("does not force TLS")


def family_of_version(world: World) -> Iterator[Fault]:
    """A parameter group of another major version is refused with the instance."""
    for instance in world.of_type(INSTANCE):
        group = world.by_name(_PARAMETERS, "DBParameterGroupName", instance.get(_GROUP_NAME))
        engine, version = instance.get("Engine"), str(instance.get("EngineVersion", ""))
        family = group.get("Family") if group else None
        if engine == "postgres" and family and family != f"postgres{version.split('.')[0]}":
            yield instance.fault(f"runs {engine} {version} with parameters of {family}")


def pinned_minor(world: World) -> Iterator[Fault]:
    """Automatic minor upgrades of a full version: the template's number is soon untrue (drift).

    On by default. Drift detection compares by prefix, so "16" stays clean and "16.6" does not.
    """
    for instance in world.of_type(INSTANCE):
        version = str(instance.get("EngineVersion", ""))
        if "." in version and is_true(instance.get("AutoMinorVersionUpgrade", True)):
            yield instance.fault(f"pins {version} and upgrades it automatically")


def insights(world: World) -> Iterator[Fault]:
    """Database Insights "advanced" is refused with less than 465 days of retention."""
    for instance in world.of_type(INSTANCE):
        days = number(instance.get("PerformanceInsightsRetentionPeriod", 7))
        advanced = instance.get("DatabaseInsightsMode") == "advanced"
        if advanced and days is not None and days < ADVANCED_RETENTION:
            yield instance.fault(f"asks for advanced insights and keeps them {days:g} days")


def log_groups_first(world: World) -> Iterator[Fault]:
    """RDS makes the groups of exported logs itself, without an expiry, unless they are there."""
    for instance in world.of_type(INSTANCE):
        for kind in items(instance.get("EnableCloudwatchLogsExports")):
            name = f"/aws/rds/instance/{instance.get('DBInstanceIdentifier')}/{kind}"
            group = world.by_name("AWS::Logs::LogGroup", "LogGroupName", name)
            if group is None:
                yield instance.fault(f"exports the log {kind} to {name}, which nobody describes")
            elif group.logical_id not in instance.depends_on:
                yield instance.fault(f"does not wait for its log group {group.logical_id}")


RULES = (
    Rule(
        "TAP301",
        "info",
        "deploy resolves it before creating; running databases keep their version",
        withdrawn_parameter,
    ),
    Rule("TAP302", "error", "take a creatable minor, best as a parameter", withdrawn_version),
    Rule("TAP303", "error", "choose another name", reserved_user),
    Rule("TAP304", "error", "leave it out, or allocate 400 GiB", gp3_below_striping),
    Rule("TAP305", "error", "raise MaxAllocatedStorage", room_to_grow),
    Rule("TAP306", "error", "set StorageEncrypted", encrypted),
    Rule("TAP307", "error", "set PubliclyAccessible to false", not_public),
    Rule("TAP308", "error", "set BackupRetentionPeriod", backed_up),
    Rule("TAP309", "error", "set ManageMasterUserPassword", no_plain_password),
    Rule("TAP310", "warning", "set it, by a parameter", kept_from_deletion),
    Rule("TAP311", "error", "move one of the windows; write it in lower case", apart_windows),
    Rule("TAP312", "error", "set rds.force_ssl in a parameter group", tls_only),
    Rule("TAP313", "error", "make Family and EngineVersion agree", family_of_version),
    Rule("TAP314", "warning", "set AutoMinorVersionUpgrade to false", pinned_minor),
    Rule("TAP315", "error", "keep them 465 days, or use standard", insights),
    Rule("TAP316", "warning", "describe it with a retention, and DependsOn it", log_groups_first),
)

_GROUP_NAME = "DBParameterGroupName"
_VERSION = re.compile(r"(\d+)\.(\d+)")


def _withdrawn(instance: Resource) -> str | None:
    version = str(instance.get("EngineVersion", ""))
    first = FIRST_CREATABLE.get(str(instance.get("Engine")), {})
    match = _VERSION.fullmatch(version)
    gone = match is not None and int(match[2]) < first.get(match[1], 0)
    return version if gone else None


def _raw(instance: Resource, prop: str) -> Any:
    properties = mappings(instance.raw.get("Properties"))
    return properties[0].get(prop) if properties else None
