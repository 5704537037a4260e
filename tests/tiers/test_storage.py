"""The storage's claims, over the document as it is rendered."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tapgen import resolve
from tapgen.tiers import network, storage

STACK = storage.describe(network=network.describe().exports)
DOCUMENT = STACK.document()
RESOURCES: dict[str, Any] = DOCUMENT["Resources"]
PARAMETERS: dict[str, Any] = DOCUMENT["Parameters"]
DATABASE: dict[str, Any] = RESOURCES["Database"]["Properties"]
FILES: dict[str, Any] = RESOURCES["FileSystem"]["Properties"]


def properties(logical_id: str) -> dict[str, Any]:
    found: dict[str, Any] = RESOURCES[logical_id]["Properties"]
    return found


def imported(key: str) -> dict[str, Any]:
    return {"Fn::ImportValue": {"Fn::Sub": f"tap-${{EnvironmentSuffix}}-{key}"}}


def database_with(**parameters: str) -> dict[str, Any]:
    known = resolve.Known.of(DOCUMENT, {"EnvironmentSuffix": "dev", **parameters}, partial=True)
    found: dict[str, Any] = resolve.value(DATABASE, known)
    return found


def minutes(clock: str) -> int:
    hours, minute = clock.split(":")
    return int(hours) * 60 + int(minute)


def test_the_database_is_postgresql_in_the_documented_version_until_told_otherwise() -> None:
    assert DATABASE["Engine"] == "postgres"
    assert DATABASE["EngineVersion"] == {"Ref": "DbEngineVersion"}
    assert PARAMETERS["DbEngineVersion"]["Default"] == "16.6"


@pytest.mark.parametrize("version", ["16", "16.6", "16.13"])
def test_every_minor_of_16_is_a_version_because_16_6_can_no_longer_be_created(version: str) -> None:
    assert re.fullmatch(PARAMETERS["DbEngineVersion"]["AllowedPattern"], version)


@pytest.mark.parametrize("version", ["", "15.8", "16.", "16.x", "17", "160", "16.6.1"])
def test_another_major_is_no_version_because_the_parameter_group_is_of_16(version: str) -> None:
    assert not re.fullmatch(PARAMETERS["DbEngineVersion"]["AllowedPattern"], version)


@pytest.mark.parametrize("instance_class", ["db.t4g.medium", "db.m7g.large", "db.x2iedn.32xlarge"])
def test_the_instance_class_is_a_parameter(instance_class: str) -> None:
    assert DATABASE["DBInstanceClass"] == {"Ref": "DbInstanceClass"}
    assert PARAMETERS["DbInstanceClass"]["Default"] == "db.t4g.medium"
    assert re.fullmatch(PARAMETERS["DbInstanceClass"]["AllowedPattern"], instance_class)


@pytest.mark.parametrize("instance_class", ["t4g.medium", "db.t4g", "cache.t4g.medium", "DB.T4G.X"])
def test_what_is_no_instance_class_is_refused_in_the_form(instance_class: str) -> None:
    assert not re.fullmatch(PARAMETERS["DbInstanceClass"]["AllowedPattern"], instance_class)


def test_the_database_is_called_videometadata_and_its_instance_has_the_suffix() -> None:
    # Instance identifiers are unique in an account, names of databases inside an instance.
    assert DATABASE["DBName"] == "videometadata"
    assert DATABASE["DBInstanceIdentifier"] == {
        "Fn::Sub": "video-processing-db-${EnvironmentSuffix}"
    }


def test_what_people_meet_in_consoles_and_bills_says_whose_it_is() -> None:
    group, subnets = properties("DbParameterGroup"), properties("DbSubnetGroup")
    tags = {
        "DataKey": properties("DataKey")["Tags"],
        "FileSystem": FILES["FileSystemTags"],
        "AccessPoint": properties("AccessPoint")["AccessPointTags"],
    }

    # With the family: the group of the next major stands beside this one.
    assert group["DBParameterGroupName"] == {
        "Fn::Sub": "video-processing-postgres16-${EnvironmentSuffix}"
    }
    assert subnets["DBSubnetGroupName"] == {"Fn::Sub": "video-processing-db-${EnvironmentSuffix}"}
    assert {name: tag for name, (tag,) in tags.items()} == {
        "DataKey": {
            "Key": "Name",
            "Value": {"Fn::Sub": "video-processing-data-${EnvironmentSuffix}"},
        },
        "FileSystem": {
            "Key": "Name",
            "Value": {"Fn::Sub": "video-processing-files-${EnvironmentSuffix}"},
        },
        "AccessPoint": {
            "Key": "Name",
            "Value": {"Fn::Sub": "video-processing-tasks-${EnvironmentSuffix}"},
        },
    }


def test_a_standby_stands_in_the_other_zone() -> None:
    assert DATABASE["MultiAZ"] is True
    assert properties("DbSubnetGroup")["SubnetIds"] == [
        imported("IsolatedSubnetAId"),
        imported("IsolatedSubnetBId"),
    ]
    assert DATABASE["DBSubnetGroupName"] == {"Ref": "DbSubnetGroup"}


def test_the_database_is_reached_through_one_group_and_never_from_outside() -> None:
    # Unset, RDS decides by the subnets; two groups would show as drift in either order.
    assert DATABASE["PubliclyAccessible"] is False
    assert DATABASE["VPCSecurityGroups"] == [imported("RdsSecurityGroupId")]


def test_storage_grows_from_100_to_500_gb_of_gp3() -> None:
    assert DATABASE["StorageType"] == "gp3"
    assert DATABASE["AllocatedStorage"] == "100"
    assert DATABASE["MaxAllocatedStorage"] == 500


def test_no_iops_are_asked_for_because_rds_refuses_them_under_400_gb() -> None:
    assert not {"Iops", "StorageThroughput"} & DATABASE.keys()


def test_the_database_is_encrypted_with_the_key_of_the_environment() -> None:
    assert DATABASE["StorageEncrypted"] is True
    # The ARN: the id would read back as the ARN.
    assert DATABASE["KmsKeyId"] == {"Fn::GetAtt": ["DataKey", "Arn"]}


def test_backups_are_kept_7_days_and_taken_outside_the_maintenance_window() -> None:
    backup, maintenance = DATABASE["PreferredBackupWindow"], DATABASE["PreferredMaintenanceWindow"]
    backup_ends = minutes(backup.split("-")[1])
    maintenance_starts = minutes(maintenance.split("-")[0].removeprefix("sun:"))

    assert DATABASE["BackupRetentionPeriod"] == 7
    assert DATABASE["CopyTagsToSnapshot"] is True
    assert (backup, maintenance) == ("17:00-18:00", "sun:18:30-sun:19:30")
    assert backup_ends < maintenance_starts


def test_performance_insights_are_on_in_the_mode_whose_retention_is_free() -> None:
    # "advanced" is refused with less than 465 days.
    assert DATABASE["EnablePerformanceInsights"] is True
    assert DATABASE["PerformanceInsightsRetentionPeriod"] == 7
    assert DATABASE["DatabaseInsightsMode"] == "standard"


def test_rds_keeps_the_owners_password_and_no_template_has_one() -> None:
    assert DATABASE["ManageMasterUserPassword"] is True
    assert "MasterUserPassword" not in DATABASE


def test_the_owner_has_a_name_that_postgresql_has_not_taken() -> None:
    owner = DATABASE["MasterUsername"]

    assert owner == "videoadmin"
    assert owner not in {"admin", "postgres", "rdsadmin", "rds_superuser"}
    assert not owner.startswith("pg_")


def test_logs_are_exported_in_the_order_in_which_rds_lists_them() -> None:
    assert DATABASE["EnableCloudwatchLogsExports"] == ["postgresql", "upgrade"]


def test_log_groups_come_first_because_rds_would_make_them_without_an_end() -> None:
    groups = {name: properties(name) for name in ("DbPostgresqlLogGroup", "DbUpgradeLogGroup")}

    assert RESOURCES["Database"]["DependsOn"] == list(groups)
    assert [group["RetentionInDays"] for group in groups.values()] == [7, 7]
    assert [group["LogGroupName"]["Fn::Sub"] for group in groups.values()] == [
        "/aws/rds/instance/video-processing-db-${EnvironmentSuffix}/postgresql",
        "/aws/rds/instance/video-processing-db-${EnvironmentSuffix}/upgrade",
    ]


def test_deletion_protection_follows_its_switch_and_is_off_at_first() -> None:
    assert database_with()["DeletionProtection"] is False
    assert database_with(DbDeletionProtection="true")["DeletionProtection"] is True


@pytest.mark.parametrize(
    ("version", "switch", "upgrades"),
    [
        ("16.6", "false", False),
        ("16.6", "true", False),
        ("16", "false", False),
        ("16", "true", True),
    ],
)
def test_rds_upgrades_minors_only_while_none_is_pinned_because_the_pin_would_drift(
    version: str, switch: str, upgrades: bool
) -> None:
    database = database_with(DbEngineVersion=version, DbAutoMinorVersionUpgrade=switch)

    assert database["AutoMinorVersionUpgrade"] is upgrades


def test_extended_support_is_declined_at_creation_because_it_cannot_be_later() -> None:
    assert DATABASE["EngineLifecycleSupport"] == "open-source-rds-extended-support-disabled"


def test_the_certificate_authority_is_the_one_whose_root_the_function_ships() -> None:
    assert DATABASE["CACertificateIdentifier"] == "rds-ca-rsa2048-g1"


def test_the_parameter_group_forces_tls_and_logs_what_is_worth_a_look() -> None:
    group = properties("DbParameterGroup")

    assert DATABASE["DBParameterGroupName"] == {"Ref": "DbParameterGroup"}
    assert group["Family"] == "postgres16"
    # Texts: the API hands every value back as one.
    assert group["Parameters"] == {
        "rds.force_ssl": "1",
        "log_connections": "1",
        "log_disconnections": "1",
        "log_min_duration_statement": "1000",
    }


def test_what_cannot_be_read_back_is_left_out_because_it_would_show_as_drift() -> None:
    assert (
        not {
            "AllowMajorVersionUpgrade",
            "ApplyImmediately",
            "DeleteAutomatedBackups",
        }
        & DATABASE.keys()
    )


def test_the_workloads_have_a_role_and_a_secret_of_their_own() -> None:
    secret = properties("DbAppSecret")
    generated = secret["GenerateSecretString"]

    assert secret["Name"] == {"Fn::Sub": "video-processing/${EnvironmentSuffix}/db-app-user"}
    assert json.loads(generated["SecretStringTemplate"]) == {"username": "video_app"}
    assert generated["GenerateStringKey"] == "password"
    assert generated["PasswordLength"] == 64
    # It is put between quotes in SQL and into connection strings.
    assert generated["ExcludePunctuation"] is True


def test_secrets_stay_on_the_key_of_aws_so_that_readers_need_no_right_on_ours() -> None:
    assert "KmsKeyId" not in properties("DbAppSecret")
    assert "MasterUserSecret" not in DATABASE


def test_the_file_system_is_encrypted_elastic_and_backed_up() -> None:
    assert FILES["Encrypted"] is True
    assert FILES["KmsKeyId"] == {"Fn::GetAtt": ["DataKey", "Arn"]}
    assert FILES["ThroughputMode"] == "elastic"
    # Elastic throughput is refused with maxIO.
    assert FILES["PerformanceMode"] == "generalPurpose"
    assert FILES["BackupPolicy"] == {"Status": "ENABLED"}


def test_each_lifecycle_policy_is_one_move_because_efs_takes_one_an_entry() -> None:
    assert FILES["LifecyclePolicies"] == [
        {"TransitionToIA": "AFTER_30_DAYS"},
        {"TransitionToPrimaryStorageClass": "AFTER_1_ACCESS"},
    ]


def test_each_zone_with_tasks_has_a_mount_target_or_they_could_not_mount() -> None:
    targets = [properties("MountTargetA"), properties("MountTargetB")]

    assert [target["SubnetId"] for target in targets] == [
        imported("PrivateSubnetAId"),
        imported("PrivateSubnetBId"),
    ]
    for target in targets:
        assert target["FileSystemId"] == {"Ref": "FileSystem"}
        assert target["SecurityGroups"] == [imported("EfsSecurityGroupId")]


def test_the_access_point_makes_everybody_user_1000_in_a_folder_that_it_creates() -> None:
    point = properties("AccessPoint")

    assert point["FileSystemId"] == {"Ref": "FileSystem"}
    assert point["PosixUser"] == {"Uid": "1000", "Gid": "1000"}
    assert point["RootDirectory"] == {
        "Path": "/video-processing",
        "CreationInfo": {"OwnerUid": "1000", "OwnerGid": "1000", "Permissions": "0750"},
    }


def test_the_file_system_refuses_clients_without_tls_and_without_an_access_point() -> None:
    statements = {
        statement["Sid"]: statement for statement in FILES["FileSystemPolicy"]["Statement"]
    }

    assert {sid: statement["Condition"] for sid, statement in statements.items()} == {
        "OnlyOverTls": {"Bool": {"aws:SecureTransport": "false"}},
        "OnlyThroughAnAccessPoint": {
            "StringNotLike": {
                "elasticfilesystem:AccessPointArn": {
                    "Fn::Sub": "arn:${AWS::Partition}:elasticfilesystem:${AWS::Region}"
                    ":${AWS::AccountId}:access-point/*"
                }
            }
        },
    }
    for statement in statements.values():
        assert statement["Effect"] == "Deny"
        assert statement["Principal"] == {"AWS": "*"}
        assert statement["Action"] == [
            "elasticfilesystem:ClientMount",
            "elasticfilesystem:ClientRootAccess",
            "elasticfilesystem:ClientWrite",
        ]
        # EFS takes only the file system itself, which cannot refer to its own ARN.
        assert "Resource" not in statement


def test_the_file_systems_policy_names_no_role_because_a_new_one_would_be_locked_out() -> None:
    assert ":role/" not in json.dumps(FILES["FileSystemPolicy"])


def test_the_key_rotates_and_is_decided_on_by_the_account() -> None:
    key = properties("DataKey")
    (statement,) = key["KeyPolicy"]["Statement"]

    assert key["EnableKeyRotation"] is True
    assert statement["Principal"] == {
        "AWS": {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}
    }
    # The first: or KMS refuses the policy. The rest: what RDS and EFS do for who creates them.
    assert {
        "kms:PutKeyPolicy",
        "kms:CreateGrant",
        "kms:DescribeKey",
        "kms:Encrypt",
        "kms:Decrypt",
        "kms:GenerateDataKey",
        "kms:GenerateDataKeyWithoutPlaintext",
        "kms:ReEncryptFrom",
        "kms:ReEncryptTo",
    } <= set(statement["Action"])
    assert not [action for action in statement["Action"] if "*" in action]


def test_the_alias_names_the_key_by_its_id_because_the_arn_shows_as_drift() -> None:
    alias = properties("DataKeyAlias")

    assert alias["AliasName"] == {"Fn::Sub": "alias/video-processing-data-${EnvironmentSuffix}"}
    assert alias["TargetKeyId"] == {"Ref": "DataKey"}


@pytest.mark.parametrize(
    ("logical_id", "deletion", "replacement"),
    [
        ("Database", "Snapshot", "Snapshot"),
        ("FileSystem", "RetainExceptOnCreate", "Retain"),
        # Deleted, it would take every retained snapshot along.
        ("DataKey", "RetainExceptOnCreate", "Retain"),
        ("DbAppSecret", "Delete", "Delete"),
        ("DbPostgresqlLogGroup", "Delete", "Delete"),
        ("DbUpgradeLogGroup", "Delete", "Delete"),
    ],
)
def test_data_outlives_the_stack(logical_id: str, deletion: str, replacement: str) -> None:
    resource = RESOURCES[logical_id]

    assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == (deletion, replacement)


def test_other_tiers_get_the_endpoint_both_secrets_and_the_way_into_the_files() -> None:
    assert {
        key: output["Value"] for key, output in DOCUMENT["Outputs"].items() if "Export" in output
    } == {
        "DbEndpointAddress": {"Fn::GetAtt": ["Database", "Endpoint.Address"]},
        "DbEndpointPort": {"Fn::GetAtt": ["Database", "Endpoint.Port"]},
        "DbSecretArn": {"Fn::GetAtt": ["Database", "MasterUserSecret.SecretArn"]},
        "DbAppSecretArn": {"Ref": "DbAppSecret"},
        "EfsFileSystemId": {"Ref": "FileSystem"},
        "EfsFileSystemArn": {"Fn::GetAtt": ["FileSystem", "Arn"]},
        "EfsAccessPointId": {"Ref": "AccessPoint"},
        "EfsAccessPointArn": {"Fn::GetAtt": ["AccessPoint", "Arn"]},
    }


def test_an_export_is_held_as_the_import_that_it_is_to_others() -> None:
    exports = STACK.exports

    assert exports.db_endpoint_address.to_dict() == imported("DbEndpointAddress")
    assert exports.db_endpoint_port.to_dict() == imported("DbEndpointPort")
    assert exports.db_secret_arn.to_dict() == imported("DbSecretArn")
    assert exports.db_app_secret_arn.to_dict() == imported("DbAppSecretArn")
    assert exports.efs_file_system_id.to_dict() == imported("EfsFileSystemId")
    assert exports.efs_file_system_arn.to_dict() == imported("EfsFileSystemArn")
    assert exports.efs_access_point_id.to_dict() == imported("EfsAccessPointId")
    assert exports.efs_access_point_arn.to_dict() == imported("EfsAccessPointArn")
