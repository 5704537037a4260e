"""Storage: the PostgreSQL database, its credentials, the shared file system, and their key.

The database's owner is known to RDS alone, which keeps and rotates the password; workloads sign in
as ``video_app``, a role that owns nothing, with a secret of its own. The file system holds what a
task is working on. It is reached through one access point and over TLS, and by nobody without both.

One key encrypts the database and the file system. It outlives the stack: a snapshot without its
key is noise. The secrets use AWS' own key, so that a reader needs no right on ours.

Identifiers, encryption and the access point are create-only, and the endpoint and the secrets are
exported: a change there means a new database, by way of a snapshot. PostgreSQL 16.6 is the
documented version and AWS no longer creates it; the parameter takes the minor that AWS offers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from awacs import elasticfilesystem
from awacs.aws import Bool, PolicyDocument, StringNotLike
from troposphere import And, Equals, GetAtt, If, Ref, Sub, efs, kms, logs, rds, secretsmanager
from troposphere import Condition as Holds

from tapgen import iam
from tapgen.stack import Draft, Exported, Stack
from tapgen.tiers import network as net

# The documents' name for the database. It lives inside the instance, so it needs no suffix; the
# instance's identifier, unique in the account, has one.
DATABASE = "videometadata"
# "admin" is a reserved word in PostgreSQL.
OWNER = "videoadmin"
APP_USER = "video_app"
INSTANCE = "video-processing-db"

# Alphabetical, as RDS lists them: another order shows as drift.
EXPORTED_LOGS = ("postgresql", "upgrade")
LOG_DAYS = 7

# The uid and gid that the access point gives every client, whoever the client is.
FILE_OWNER = "1000"


@dataclass(frozen=True)
class Exports:
    """What other tiers may use of the storage."""

    db_endpoint_address: Exported
    db_endpoint_port: Exported
    db_secret_arn: Exported
    db_app_secret_arn: Exported
    efs_file_system_id: Exported
    efs_file_system_arn: Exported
    efs_access_point_id: Exported
    efs_access_point_arn: Exported


def describe(*, network: net.Exports) -> Stack[Exports]:
    """Describe the storage, in the subnets and security groups of ``network``."""
    draft = Draft("storage", "Storage: PostgreSQL database, its secrets, file system, key")

    key = _key(draft)
    database = _database(draft, network, key)
    app_secret = _app_secret(draft)
    files = _file_system(draft, network, key)
    access_point = _access_point(draft, files)

    return draft.finish(
        Exports(
            db_endpoint_address=draft.export(
                "DbEndpointAddress", GetAtt(database, "Endpoint.Address"), "Host of the database"
            ),
            db_endpoint_port=draft.export(
                "DbEndpointPort", GetAtt(database, "Endpoint.Port"), "Port of the database"
            ),
            db_secret_arn=draft.export(
                "DbSecretArn",
                GetAtt(database, "MasterUserSecret.SecretArn"),
                "Secret of the database's owner, for migrations",
            ),
            db_app_secret_arn=draft.export(
                "DbAppSecretArn", Ref(app_secret), "Secret of the database role that workloads use"
            ),
            efs_file_system_id=draft.export("EfsFileSystemId", Ref(files), "The file system"),
            efs_file_system_arn=draft.export(
                "EfsFileSystemArn", GetAtt(files, "Arn"), "The file system, for IAM policies"
            ),
            efs_access_point_id=draft.export(
                "EfsAccessPointId", Ref(access_point), "The tasks' way into the file system"
            ),
            efs_access_point_arn=draft.export(
                "EfsAccessPointArn",
                GetAtt(access_point, "Arn"),
                "The tasks' way into the file system, for IAM policies",
            ),
        )
    )


def _key(draft: Draft) -> kms.Key:
    key = draft.add(
        kms.Key(
            "DataKey",
            Description=Sub("Database and files of environment ${EnvironmentSuffix}"),
            EnableKeyRotation=True,
            KeyPolicy=iam.document(iam.account_keeps_key()),
            Tags=draft.name_tag("video-processing-data"),
        )
    )
    draft.add(
        kms.Alias(
            "DataKeyAlias",
            AliasName=draft.name("alias/video-processing-data"),
            # The id: the ARN, which KMS takes too, reads back as the id and shows as drift.
            TargetKeyId=Ref(key),
        )
    )
    return key


def _database(draft: Draft, network: net.Exports, key: kms.Key) -> rds.DBInstance:
    version, instance_class = _version(draft), _instance_class(draft)
    protected, upgrades = _protection(draft), _minor_upgrades(draft, version)
    subnets = draft.add(
        rds.DBSubnetGroup(
            "DbSubnetGroup",
            DBSubnetGroupName=draft.name(INSTANCE),
            DBSubnetGroupDescription="The isolated subnets of both zones",
            SubnetIds=list(network.isolated_subnet_ids),
        )
    )
    return draft.add(
        rds.DBInstance(
            "Database",
            # RDS would make the log groups on its own, kept for ever, and ours would then fail.
            DependsOn=_log_groups(draft),
            DBInstanceIdentifier=draft.name(INSTANCE),
            DBInstanceClass=instance_class,
            Engine="postgres",
            EngineVersion=version,
            DBParameterGroupName=Ref(_parameter_group(draft)),
            # After the end of standard support AWS would keep an old major running, at a price
            # that rises. RDS takes this choice at creation and never again.
            EngineLifecycleSupport="open-source-rds-extended-support-disabled",
            AutoMinorVersionUpgrade=If(upgrades, True, False),
            DBName=DATABASE,
            MasterUsername=OWNER,
            ManageMasterUserPassword=True,
            # No Iops and no StorageThroughput: under 400 GB gp3 has its fixed 3,000 and 125 MiB/s,
            # and RDS refuses a value. Storage that has grown never shrinks: do not lower it.
            AllocatedStorage="100",
            MaxAllocatedStorage=500,
            StorageType="gp3",
            StorageEncrypted=True,
            KmsKeyId=GetAtt(key, "Arn"),
            MultiAZ=True,
            DBSubnetGroupName=Ref(subnets),
            # One: RDS keeps them in an order of its own, which shows as drift.
            VPCSecurityGroups=[network.rds_security_group_id],
            # Said although it looks like the default: left out, RDS decides by the subnets.
            PubliclyAccessible=False,
            CACertificateIdentifier="rds-ca-rsa2048-g1",
            # UTC: every night at 02:00, and Mondays at 03:30, in Tokyo. They must not overlap. In
            # lower case, as RDS keeps them.
            BackupRetentionPeriod=7,
            PreferredBackupWindow="17:00-18:00",
            PreferredMaintenanceWindow="sun:18:30-sun:19:30",
            CopyTagsToSnapshot=True,
            DeletionProtection=If(protected, True, False),
            EnablePerformanceInsights=True,
            # 7 days are free of charge. "advanced" takes 465 and more.
            PerformanceInsightsRetentionPeriod=7,
            DatabaseInsightsMode="standard",
            EnableCloudwatchLogsExports=list(EXPORTED_LOGS),
        )
    )


def _version(draft: Draft) -> Ref:
    return draft.parameter(
        "DbEngineVersion",
        group="Database",
        label="PostgreSQL version",
        description="Minor of PostgreSQL 16, or 16 alone for the one that RDS prefers; AWS no "
        "longer creates 16.6",
        Default="16.6",
        AllowedPattern=r"^16(\.[0-9]{1,2})?$",
        ConstraintDescription="16, or a minor of it such as 16.13",
    )


def _instance_class(draft: Draft) -> Ref:
    return draft.parameter(
        "DbInstanceClass",
        group="Database",
        label="Instance class",
        description="Size of each of the two database instances",
        Default="db.t4g.medium",
        AllowedPattern=r"^db\.[a-z0-9]+\.[a-z0-9]+$",
        ConstraintDescription="an RDS instance class such as db.t4g.medium or db.m7g.large",
    )


def _protection(draft: Draft) -> str:
    return draft.switch(
        "DbDeletionProtection",
        group="Database",
        label="Deletion protection",
        description="Refuse to delete the database, and with it this stack, until switched off",
        default=False,
    )


def _minor_upgrades(draft: Draft, version: Ref) -> str:
    switch = draft.switch(
        "DbAutoMinorVersionUpgrade",
        group="Database",
        label="Automatic minor upgrades",
        description="Let RDS install new minors in the maintenance window, as long as the version "
        "is 16 alone",
        default=False,
    )
    # A pinned minor that RDS moves on is drift for ever; drift detection compares by prefix.
    prefix = draft.condition("DbEngineVersionIsPrefix", Equals(version, "16"))
    return draft.condition("DbUpgradesItself", And(Holds(switch), Holds(prefix)))


def _log_groups(draft: Draft) -> list[logs.LogGroup]:
    return [
        draft.add(
            logs.LogGroup(
                f"Db{log.capitalize()}LogGroup",
                # The name is RDS' choice.
                LogGroupName=Sub(f"/aws/rds/instance/{INSTANCE}-${{EnvironmentSuffix}}/{log}"),
                RetentionInDays=LOG_DAYS,
            )
        )
        for log in EXPORTED_LOGS
    ]


def _parameter_group(draft: Draft) -> rds.DBParameterGroup:
    return draft.add(
        rds.DBParameterGroup(
            "DbParameterGroup",
            # With the family, which is create-only: the next major needs a group beside this one.
            DBParameterGroupName=draft.name("video-processing-postgres16"),
            Description="TLS for everybody, connections and slow statements in the log",
            Family="postgres16",
            Parameters={
                "log_connections": "1",
                "log_disconnections": "1",
                # Milliseconds. The API gives up on a statement after 5,000.
                "log_min_duration_statement": "1000",
                "rds.force_ssl": "1",
            },
        )
    )


def _app_secret(draft: Draft) -> secretsmanager.Secret:
    return draft.add(
        secretsmanager.Secret(
            "DbAppSecret",
            Name=Sub("video-processing/${EnvironmentSuffix}/db-app-user"),
            Description=f"Database role {APP_USER}, which owns nothing; the migrations create it",
            GenerateSecretString=secretsmanager.GenerateSecretString(
                SecretStringTemplate=json.dumps({"username": APP_USER}),
                GenerateStringKey="password",
                PasswordLength=64,
                # Letters and digits: it is put between quotes in SQL and into connection strings.
                ExcludePunctuation=True,
            ),
        )
    )


def _file_system(draft: Draft, network: net.Exports, key: kms.Key) -> efs.FileSystem:
    files = draft.add(
        efs.FileSystem(
            "FileSystem",
            Encrypted=True,
            KmsKeyId=GetAtt(key, "Arn"),
            PerformanceMode="generalPurpose",
            ThroughputMode="elastic",
            BackupPolicy=efs.BackupPolicy(Status="ENABLED"),
            # Work that nobody touched for a month gets cheap, and comes back when somebody does.
            LifecyclePolicies=[
                efs.LifecyclePolicy(TransitionToIA="AFTER_30_DAYS"),
                efs.LifecyclePolicy(TransitionToPrimaryStorageClass="AFTER_1_ACCESS"),
            ],
            # troposphere takes a plain dict here, and no policy document.
            FileSystemPolicy=_file_system_policy().JSONrepr(),
            FileSystemTags=draft.name_tag("video-processing-files"),
        )
    )
    # Where the tasks run, in both zones: a task in a zone without one cannot mount.
    for letter, subnet in zip("AB", network.private_subnet_ids, strict=True):
        draft.add(
            efs.MountTarget(
                f"MountTarget{letter}",
                FileSystemId=Ref(files),
                SubnetId=subnet,
                SecurityGroups=[network.efs_security_group_id],
            )
        )
    return files


def _file_system_policy() -> PolicyDocument:
    """Refusals only: what is allowed stands with the role that may.

    Any policy of ours also ends the default one, which lets everybody in who reaches a mount
    target. No role is named: a role that is made anew under its name would be locked out.
    """
    client = [
        elasticfilesystem.ClientMount,
        elasticfilesystem.ClientRootAccess,
        elasticfilesystem.ClientWrite,
    ]
    # No resource: EFS takes only this very file system, whose ARN the file system itself cannot
    # refer to, and fills it in.
    return iam.document(
        iam.deny_to_all("OnlyOverTls", client, None, Bool({"aws:SecureTransport": "false"})),
        iam.deny_to_all(
            "OnlyThroughAnAccessPoint",
            client,
            None,
            # A negated match also holds when there is no access point at all.
            StringNotLike(
                {
                    "elasticfilesystem:AccessPointArn": Sub(
                        "arn:${AWS::Partition}:elasticfilesystem:${AWS::Region}"
                        ":${AWS::AccountId}:access-point/*"
                    )
                }
            ),
        ),
    )


def _access_point(draft: Draft, files: efs.FileSystem) -> efs.AccessPoint:
    # Create-only from top to bottom, and the id is exported.
    return draft.add(
        efs.AccessPoint(
            "AccessPoint",
            FileSystemId=Ref(files),
            PosixUser=efs.PosixUser(Uid=FILE_OWNER, Gid=FILE_OWNER),
            RootDirectory=efs.RootDirectory(
                Path="/video-processing",
                # Without it the folder is not made, and the first mount fails.
                CreationInfo=efs.CreationInfo(
                    OwnerUid=FILE_OWNER, OwnerGid=FILE_OWNER, Permissions="0750"
                ),
            ),
            AccessPointTags=draft.name_tag("video-processing-tasks"),
        )
    )
