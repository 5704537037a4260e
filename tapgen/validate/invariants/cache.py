"""The cache: what ElastiCache demands of a replication group and of its users."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tapgen.validate.finding import Fault, Rule
from tapgen.validate.invariants.windows import overlap
from tapgen.validate.world import Resource, World, is_true, items, mappings, number

GROUP = "AWS::ElastiCache::ReplicationGroup"
USER = "AWS::ElastiCache::User"
USER_GROUP = "AWS::ElastiCache::UserGroup"

# ElastiCache user guide, "Supported engine versions": what can be created.
VERSIONS = {"redis": ("6.2", "7.0", "7.1"), "valkey": ("7.2", "8.0", "8.1")}
# ModifyReplicationGroup, AuthToken: 16 to 128 printable characters, of the special ones only these.
_TOKEN = re.compile(r"[A-Za-z0-9!&#$^<>-]{16,128}")


def two_nodes(world: World) -> Iterator[Fault]:
    """Multi-AZ needs automatic failover, and failover needs a node to fail over to.

    CreateReplicationGroup: "Must enable Automatic Failover", "… at least 1 replica".
    """
    for group in world.of_type(GROUP):
        multi = is_true(group.get("MultiAZEnabled"))
        failover = is_true(group.get("AutomaticFailoverEnabled"))
        nodes = _nodes(group)
        if multi and not failover:
            yield group.fault("is Multi-AZ without automatic failover")
        if (multi or failover) and nodes is not None and nodes < 2:
            yield group.fault(f"is to fail over, with {nodes:g} node")


def encrypted(world: World) -> Iterator[Fault]:
    """Both encryptions are off by default; at rest it is create-only."""
    for group in world.of_type(GROUP):
        if not is_true(group.get("AtRestEncryptionEnabled")):
            yield group.fault("is not encrypted at rest")
        if not is_true(group.get("TransitEncryptionEnabled")):
            yield group.fault("is not encrypted in transit")
        if group.get("TransitEncryptionMode", "required") != "required":
            yield group.fault("takes connections without TLS too")


def login_needs_tls(world: World) -> Iterator[Fault]:
    """A token or users are refused without encryption in transit. AWS::ElastiCache, AuthToken."""
    for group in world.of_type(GROUP):
        for prop in ("AuthToken", "UserGroupIds"):
            if group.get(prop) and not is_true(group.get("TransitEncryptionEnabled")):
                yield group.fault(f"has {prop} and no encryption in transit")


def one_login(world: World) -> Iterator[Fault]:
    """A replication group takes a token or user groups; changing over later replaces it."""
    for group in world.of_type(GROUP):
        if group.get("AuthToken") and group.get("UserGroupIds"):
            yield group.fault("has AuthToken and UserGroupIds")


def some_login(world: World) -> Iterator[Fault]:
    """Without either, whoever reaches the port is in."""
    for group in world.of_type(GROUP):
        if not group.get("AuthToken") and not group.get("UserGroupIds"):
            yield group.fault("lets everybody in who reaches its port")


def token_form(world: World) -> Iterator[Fault]:
    """A token with other special characters is refused: '@' and '/' among them."""
    for group in world.of_type(GROUP):
        token = group.get("AuthToken")
        if isinstance(token, str) and "{{resolve:" not in token and "${?" not in token:
            if _TOKEN.fullmatch(token) is None:
                yield group.fault("has an AuthToken that ElastiCache refuses")
            yield group.fault("has its AuthToken in the template or a parameter")


def one_way_to_count(world: World) -> Iterator[Fault]:
    """Nodes are counted as NumCacheClusters, or by node groups and replicas, never both."""
    for group in world.of_type(GROUP):
        for prop in ("NumNodeGroups", "ReplicasPerNodeGroup", "NodeGroupConfiguration"):
            if group.get("NumCacheClusters") is not None and group.get(prop) is not None:
                yield group.fault(f"has NumCacheClusters and {prop}")


def known_version(world: World) -> Iterator[Fault]:
    """A version that ElastiCache does not create."""
    for group in world.of_type(GROUP):
        engine, version = group.get("Engine", "redis"), group.get("EngineVersion")
        known = VERSIONS.get(str(engine))
        if isinstance(version, str) and known and version not in known:
            yield group.fault(f"asks for {engine} {version}; there are {', '.join(known)}")


def family_of_version(world: World) -> Iterator[Fault]:
    """A parameter group of another version is refused."""
    for group in world.of_type(GROUP):
        parameters = world.resource(
            group.get("CacheParameterGroupName"), "AWS::ElastiCache::ParameterGroup"
        )
        family = parameters.get("CacheParameterGroupFamily") if parameters else None
        engine, version = group.get("Engine", "redis"), str(group.get("EngineVersion", ""))
        major, _, minor = version.partition(".")
        # Redis 6 has one family with an x; the others are named for the major.
        wanted = f"{engine}{major}.x" if (engine, major) == ("redis", "6") else f"{engine}{major}"
        if family and major and family != wanted:
            yield group.fault(f"runs {engine} {major}.{minor} with parameters of {family}")


def default_user(world: World) -> Iterator[Fault]:
    """A user group of engine redis must hold a user named default.

    CreateUserGroup: "User group needs to contain a user with the user name default".
    """
    for users in world.of_type(USER_GROUP):
        if str(users.get("Engine", "")).lower() != "redis":
            continue
        members = [world.by_name(USER, "UserId", item) for item in items(users.get("UserIds"))]
        known = [user for user in members if user is not None]
        if len(known) == len(members) and not any(u.get("UserName") == "default" for u in known):
            yield users.fault("holds no user named default")


def default_user_off(world: World) -> Iterator[Fault]:
    """The user default is who every client is that does not log in."""
    for user in world.of_type(USER):
        on = str(user.get("AccessString", "")).split()[:1] == ["on"]
        open_door = is_true(user.get("NoPasswordRequired")) or (
            user.get("AuthenticationMode.Type") == "no-password-required"
        )
        if on and open_door:
            yield user.fault(f"the user {user.get('UserName')!r} is on without a password")


def one_engine(world: World) -> Iterator[Fault]:
    """Users, their group and the replication group must name the same engine."""
    for group in world.of_type(GROUP):
        for item in items(group.get("UserGroupIds")):
            users = world.by_name(USER_GROUP, "UserGroupId", item)
            if users is None:
                continue
            members = [world.by_name(USER, "UserId", user) for user in items(users.get("UserIds"))]
            engine = str(group.get("Engine", "redis")).lower()
            for other in [users, *(user for user in members if user is not None)]:
                if str(other.get("Engine", "")).lower() != engine:
                    yield other.fault(f"is of engine {other.get('Engine')!r}, its group {engine!r}")


def apart_windows(world: World) -> Iterator[Fault]:
    """Snapshot and maintenance windows may not overlap, and are stored in lower case."""
    for group in world.of_type(GROUP):
        snapshot, maintenance = group.get("SnapshotWindow"), group.get("PreferredMaintenanceWindow")
        if overlap(snapshot, maintenance):
            yield group.fault(f"is backed up at {snapshot} and maintained at {maintenance}")
        if isinstance(maintenance, str) and maintenance != maintenance.lower():
            yield group.fault(f"writes its window {maintenance!r} not in lower case")


def backed_up(world: World) -> Iterator[Fault]:
    """Without a limit, or with 0, no automatic snapshot is taken."""
    for group in world.of_type(GROUP):
        if not number(group.get("SnapshotRetentionLimit", 0)):
            yield group.fault("keeps no snapshots")


def log_groups(world: World) -> Iterator[Fault]:
    """Delivered logs need a group that exists, best under /aws/vendedlogs/.

    Elsewhere each group adds to one resource policy of 5,120 characters. CloudWatch Logs user
    guide, "Logging that requires additional permissions".
    """
    for group in world.of_type(GROUP):
        for delivery in mappings(group.get("LogDeliveryConfigurations")):
            if delivery.get("DestinationType") != "cloudwatch-logs":
                continue
            details = delivery.get("DestinationDetails", {})
            name = details.get("CloudWatchLogsDetails", {}).get("LogGroup")
            found = world.by_name("AWS::Logs::LogGroup", "LogGroupName", name)
            if found is None:
                yield group.fault(f"delivers logs to {name}, which nobody describes")
            elif not str(found.get("LogGroupName", "")).startswith("/aws/vendedlogs/"):
                yield found.fault("takes delivered logs and is not under /aws/vendedlogs/")


RULES = (
    Rule("TAP361", "error", "set failover and two nodes, or switch both off", two_nodes),
    Rule("TAP362", "error", "switch it on, with TransitEncryptionMode required", encrypted),
    Rule("TAP363", "error", "set TransitEncryptionEnabled", login_needs_tls),
    Rule("TAP364", "error", "keep one; user groups can be changed in place", one_login),
    Rule("TAP365", "error", "set UserGroupIds", some_login),
    Rule("TAP366", "error", "take it from Secrets Manager, ExcludePunctuation on", token_form),
    Rule("TAP367", "error", "keep one of the two", one_way_to_count),
    Rule("TAP368", "error", "ask for a version on offer", known_version),
    Rule("TAP369", "error", "make the family and EngineVersion agree", family_of_version),
    Rule("TAP370", "error", "add one, switched off", default_user),
    Rule("TAP371", "error", "switch it off, or give it a password", default_user_off),
    Rule("TAP372", "error", "name the same engine", one_engine),
    Rule("TAP373", "error", "move one of the windows; write it in lower case", apart_windows),
    Rule("TAP374", "warning", "set SnapshotRetentionLimit", backed_up),
    Rule("TAP375", "warning", "describe the group, under /aws/vendedlogs/", log_groups),
)


def _nodes(group: Resource) -> float | None:
    if group.get("NumCacheClusters") is not None:
        return number(group.get("NumCacheClusters"))
    replicas = number(group.get("ReplicasPerNodeGroup"))
    return None if replicas is None else replicas + 1
