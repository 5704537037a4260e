"""Cache: the Redis replication group that stands before the database, and who may speak to it.

Two nodes in two zones, the second taking over by itself. Access is by role (RBAC), decided at
creation because a change from a shared token to roles replaces the group: the default user, which
every Redis has, is switched off, and ``video-app`` may read and write the keys under ``vm:``.

The name of the group is fixed and much of it is create-only, so a replacement cannot succeed:
treat it as immutable. It holds nothing that the database does not, and can be made anew.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from troposphere import GetAtt, Ref, Sub, elasticache, logs, secretsmanager

from tapgen.stack import Draft, Exported, Stack
from tapgen.tiers import network as net

# User, user group and replication group must agree on it.
ENGINE = "redis"
# A string, as CloudFormation wants it: YAML would read a number 7.10 as 7.1.
ENGINE_VERSION = "7.1"
NAME = "video-cache"
APP_USER = "video-app"
# Everything the function caches begins so.
KEYS = "vm:*"

# Alphabetical, as ElastiCache lists them: another order shows as drift.
DELIVERED_LOGS = ("engine-log", "slow-log")
LOG_DAYS = 7


@dataclass(frozen=True)
class Exports:
    """What other tiers may use of the cache."""

    redis_primary_endpoint: Exported
    redis_reader_endpoint: Exported
    redis_port: Exported
    redis_secret_arn: Exported


def describe(*, network: net.Exports) -> Stack[Exports]:
    """Describe the cache, in the isolated subnets of ``network``."""
    draft = Draft("cache", "Cache: Redis replication group, its users and their secret")
    node_type = _node_type(draft)

    secret = _app_secret(draft)
    users = _user_group(draft, secret)
    group = _replication_group(draft, network, node_type, users)

    return draft.finish(
        Exports(
            redis_primary_endpoint=draft.export(
                "RedisPrimaryEndpoint",
                GetAtt(group, "PrimaryEndPoint.Address"),
                "Host that takes writes",
            ),
            redis_reader_endpoint=draft.export(
                "RedisReaderEndpoint",
                GetAtt(group, "ReaderEndPoint.Address"),
                "Host that answers reads from the replica",
            ),
            redis_port=draft.export(
                "RedisPort", GetAtt(group, "PrimaryEndPoint.Port"), "Port of both hosts"
            ),
            redis_secret_arn=draft.export(
                "RedisSecretArn", Ref(secret), "Secret of the user that workloads use"
            ),
        )
    )


def _node_type(draft: Draft) -> Ref:
    return draft.parameter(
        "RedisNodeType",
        group="Cache",
        label="Node type",
        description="Size of each of the two cache nodes",
        Default="cache.t4g.medium",
        AllowedPattern=r"^cache\.[a-z0-9]+\.[a-z0-9]+$",
        ConstraintDescription="an ElastiCache node type such as cache.t4g.medium",
    )


def _app_secret(draft: Draft) -> secretsmanager.Secret:
    return draft.add(
        secretsmanager.Secret(
            "RedisAppSecret",
            Name=Sub("video-processing/${EnvironmentSuffix}/redis-app-user"),
            Description=f"Redis user {APP_USER}",
            GenerateSecretString=secretsmanager.GenerateSecretString(
                SecretStringTemplate=json.dumps({"username": APP_USER}),
                GenerateStringKey="password",
                # ElastiCache takes 16 to 128 characters and refuses most punctuation.
                PasswordLength=64,
                ExcludePunctuation=True,
            ),
        )
    )


def _user_group(draft: Draft, secret: secretsmanager.Secret) -> elasticache.UserGroup:
    # A group must have a user named default. This one can do nothing, so it needs no password.
    nobody = draft.add(
        elasticache.User(
            "DefaultUser",
            Engine=ENGINE,
            UserId=draft.name(f"{NAME}-default"),
            UserName="default",
            AccessString="off ~* -@all",
            NoPasswordRequired=True,
        )
    )
    app = draft.add(
        elasticache.User(
            "AppUser",
            Engine=ENGINE,
            UserId=draft.name(f"{NAME}-app"),
            UserName=APP_USER,
            # In the order in which ElastiCache writes it down: first nothing, then what may be.
            AccessString=f"on ~{KEYS} -@all +@read +@write +@connection -@dangerous",
            # Read when the stack is deployed. CloudFormation does not see a later rotation; that
            # one goes through the user's second password.
            Passwords=[
                Sub(f"{{{{resolve:secretsmanager:${{{secret.title}}}:SecretString:password}}}}")
            ],
        )
    )
    return draft.add(
        elasticache.UserGroup(
            "UserGroup",
            Engine=ENGINE,
            UserGroupId=draft.name(NAME),
            UserIds=[Ref(nobody), Ref(app)],
        )
    )


def _replication_group(
    draft: Draft, network: net.Exports, node_type: Ref, users: elasticache.UserGroup
) -> elasticache.ReplicationGroup:
    return draft.add(
        elasticache.ReplicationGroup(
            "ReplicationGroup",
            ReplicationGroupId=draft.name(NAME),
            ReplicationGroupDescription="Video metadata, in front of the database",
            Engine=ENGINE,
            EngineVersion=ENGINE_VERSION,
            CacheNodeType=node_type,
            CacheParameterGroupName=Ref(_parameter_group(draft)),
            AutoMinorVersionUpgrade=True,
            # A primary and a replica. Multi-AZ is refused without failover, and with one node.
            NumCacheClusters=2,
            AutomaticFailoverEnabled=True,
            MultiAZEnabled=True,
            CacheSubnetGroupName=Ref(_subnet_group(draft, network)),
            SecurityGroupIds=[network.redis_security_group_id],
            Port=net.REDIS,
            # At rest with ElastiCache's own key: what lies there is a copy, and short-lived.
            AtRestEncryptionEnabled=True,
            TransitEncryptionEnabled=True,
            TransitEncryptionMode="required",
            UserGroupIds=[Ref(users)],
            # UTC: every night at 02:00, and Mondays at 03:30, in Tokyo. They must not overlap.
            SnapshotRetentionLimit=5,
            SnapshotWindow="17:00-18:00",
            PreferredMaintenanceWindow="sun:18:30-sun:19:30",
            LogDeliveryConfigurations=[_delivered(draft, log) for log in DELIVERED_LOGS],
        )
    )


def _parameter_group(draft: Draft) -> elasticache.ParameterGroup:
    # It cannot be named in CloudFormation; the tag has to do.
    return draft.add(
        elasticache.ParameterGroup(
            "ParameterGroup",
            CacheParameterGroupFamily="redis7",
            Description="Forgets what was used least recently, drops idle connections",
            Properties={
                # Any key may go: all of them can be read again from the database.
                "maxmemory-policy": "allkeys-lru",
                # Seconds. A frozen Lambda environment never closes its connection.
                "timeout": "300",
            },
            Tags=draft.name_tag("video-cache-redis7"),
        )
    )


def _subnet_group(draft: Draft, network: net.Exports) -> elasticache.SubnetGroup:
    return draft.add(
        elasticache.SubnetGroup(
            "SubnetGroup",
            CacheSubnetGroupName=draft.name(NAME),
            Description="The isolated subnets of both zones",
            SubnetIds=list(network.isolated_subnet_ids),
        )
    )


def _delivered(draft: Draft, log: str) -> elasticache.LogDeliveryConfigurationRequest:
    name = "".join(part.capitalize() for part in log.split("-"))
    group = draft.add(
        logs.LogGroup(
            f"{name}Group",
            # vendedlogs: log delivery then needs no line in the account's resource policy, which
            # ends at 5,120 characters and so at some number of environments.
            LogGroupName=Sub(f"/aws/vendedlogs/elasticache/{NAME}-${{EnvironmentSuffix}}/{log}"),
            RetentionInDays=LOG_DAYS,
        )
    )
    return elasticache.LogDeliveryConfigurationRequest(
        LogType=log,
        LogFormat="json",
        DestinationType="cloudwatch-logs",
        DestinationDetails=elasticache.DestinationDetails(
            CloudWatchLogsDetails=elasticache.CloudWatchLogsDestinationDetails(LogGroup=Ref(group))
        ),
    )
