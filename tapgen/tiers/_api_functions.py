"""The API's two functions: one answers requests, the other migrates the database's schema.

Both run the same package in the private subnets and write to a log of their own. They are told
where things are and which secrets open them, never what is in a secret; each may read its own
secrets and no more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from awacs import ec2 as ec2_actions
from awacs import logs as logs_actions
from awacs import secretsmanager as secrets_actions
from awacs import xray as xray_actions
from awacs.aws import ArnEquals
from troposphere import Equals, GetAtt, If, Not, NoValue, Ref, Sub, awslambda, logs
from troposphere.iam import Role

from tapgen import iam, names
from tapgen.stack import Draft, Exported
from tapgen.tiers import cache as redis
from tapgen.tiers import compute as containers
from tapgen.tiers import foundation as account
from tapgen.tiers import network as net
from tapgen.tiers import storage as data

PACKAGE = "video_metadata_api"
API_STEM = "video-metadata-api"
MIGRATE_STEM = "video-metadata-migrate"
# Without a suffix: a database's name is its own inside its instance.
DATABASE = "videometadata"

# The document's. API Gateway has given up a second before.
FUNCTION_SECONDS = 30
# An index over a large table takes its time.
MIGRATION_SECONDS = 300
MEMORY = 512


@dataclass(frozen=True)
class Functions:
    """Both functions as added to the draft."""

    answering: awslambda.Function
    migrating: awslambda.Function


class _LoggingConfig(awslambda.LoggingConfig):
    """With the format, which troposphere 4.11 loses to a later type of the same name."""

    props = {**awslambda.LoggingConfig.props, "LogFormat": (str, False)}  # noqa: RUF012


@dataclass(frozen=True)
class _Common:
    """What both functions have alike."""

    draft: Draft
    network: net.Exports
    code: awslambda.Code
    log_level: Ref
    log_days: Ref
    environment: Mapping[str, object]


def add(
    draft: Draft,
    *,
    network: net.Exports,
    storage: data.Exports,
    cache: redis.Exports,
    foundation: account.Exports,
    log_days: Ref,
) -> Functions:
    """Add both functions, each with its role and its log, and the parameters they share."""
    common = _Common(
        draft=draft,
        network=network,
        code=awslambda.Code(
            S3Bucket=foundation.artifact_bucket_name,
            S3Key=draft.parameter(
                names.code_parameter(PACKAGE),
                group="API",
                label="Key of the Lambda package",
                description="Where in the artifact bucket the functions' package lies",
                AllowedPattern=f"^{names.code_key_prefix(PACKAGE)}[A-Za-z0-9._-]+\\.zip$",
                ConstraintDescription=f"a key such as {names.code_key_prefix(PACKAGE)}<digest>.zip",
            ),
        ),
        log_level=draft.parameter(
            "ApiLogLevel",
            group="API",
            label="Level of the functions' log",
            description="The least important messages that the functions still log",
            Default="INFO",
            AllowedValues=["DEBUG", "INFO", "WARN", "ERROR"],
        ),
        log_days=log_days,
        environment={
            "DB_HOST": storage.db_endpoint_address,
            "DB_NAME": DATABASE,
            "DB_PORT": storage.db_endpoint_port,
            "DB_SECRET_ARN": storage.db_app_secret_arn,
            "ENVIRONMENT": Ref(names.SUFFIX),
            "LOG_LEVEL": Ref("ApiLogLevel"),
            "POWERTOOLS_METRICS_NAMESPACE": containers.METRICS_NAMESPACE,
        },
    )
    return Functions(
        answering=_answering(common, storage, cache),
        migrating=_migrating(common, storage),
    )


def _answering(common: _Common, storage: data.Exports, cache: redis.Exports) -> awslambda.Function:
    reserved = common.draft.parameter(
        "ApiReservedConcurrency",
        group="API",
        label="Reserved concurrency",
        description=(
            "How many requests the function answers at once, each with a database connection; "
            "0 sets no limit of its own"
        ),
        Type="Number",
        # A new account has 10 to 50 in all, and a reservation it cannot spare is refused.
        Default=0,
        MinValue=0,
        # A db.t4g.medium takes some 450 connections.
        MaxValue=200,
    )
    is_reserved = common.draft.condition("ApiConcurrencyIsReserved", Not(Equals(reserved, "0")))
    return _function(
        common,
        "ApiFunction",
        API_STEM,
        "Answers the video metadata API",
        secrets=[storage.db_app_secret_arn, cache.redis_secret_arn],
        Handler="video_api.handler.handler",
        Timeout=FUNCTION_SECONDS,
        ReservedConcurrentExecutions=If(is_reserved, reserved, NoValue),
        Environment=awslambda.Environment(
            Variables={
                **common.environment,
                "POWERTOOLS_SERVICE_NAME": API_STEM,
                "REDIS_PORT": cache.redis_port,
                "REDIS_PRIMARY_HOST": cache.redis_primary_endpoint,
                "REDIS_READER_HOST": cache.redis_reader_endpoint,
                "REDIS_SECRET_ARN": cache.redis_secret_arn,
            }
        ),
    )


def _migrating(common: _Common, storage: data.Exports) -> awslambda.Function:
    return _function(
        common,
        "MigrationFunction",
        MIGRATE_STEM,
        "Brings the schema of the metadata database up to date; the deployer invokes it",
        # The second to give the API's role its password.
        secrets=[storage.db_secret_arn, storage.db_app_secret_arn],
        Handler="video_api.migrate.handler",
        Timeout=MIGRATION_SECONDS,
        Environment=awslambda.Environment(
            Variables={
                **common.environment,
                "DB_MASTER_SECRET_ARN": storage.db_secret_arn,
                "POWERTOOLS_SERVICE_NAME": MIGRATE_STEM,
            }
        ),
    )


def _function(
    common: _Common,
    title: str,
    stem: str,
    description: str,
    *,
    secrets: Sequence[Exported],
    **properties: Any,
) -> awslambda.Function:
    draft = common.draft
    group = draft.add(
        logs.LogGroup(
            f"{title}LogGroup",
            LogGroupName=draft.name(f"/aws/lambda/{stem}"),
            RetentionInDays=common.log_days,
        )
    )
    role = _role(draft, f"{title}Role", stem, group, secrets)
    return draft.add(
        awslambda.Function(
            title,
            FunctionName=draft.name(stem),
            Description=description,
            Runtime="python3.12",
            Architectures=["arm64"],
            MemorySize=MEMORY,
            Code=common.code,
            Role=GetAtt(role, "Arn"),
            VpcConfig=awslambda.VPCConfig(
                SecurityGroupIds=[common.network.lambda_security_group_id],
                SubnetIds=list(common.network.private_subnet_ids),
            ),
            # Levels can be set for this format only.
            LoggingConfig=_LoggingConfig(
                LogFormat="JSON",
                LogGroup=Ref(group),
                ApplicationLogLevel=common.log_level,
                SystemLogLevel="INFO",
            ),
            TracingConfig=awslambda.TracingConfig(Mode="Active"),
            Tags=draft.name_tag(stem),
            **properties,
        )
    )


def _role(
    draft: Draft, title: str, stem: str, group: logs.LogGroup, secrets: Sequence[Exported]
) -> Role:
    network_interfaces = [
        ec2_actions.AssignPrivateIpAddresses,
        ec2_actions.CreateNetworkInterface,
        ec2_actions.DeleteNetworkInterface,
        ec2_actions.DescribeNetworkInterfaces,
        ec2_actions.DescribeSubnets,
        ec2_actions.UnassignPrivateIpAddresses,
    ]
    function = Sub(
        "arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:function:"
        f"{stem}-${{{names.SUFFIX}}}"
    )
    return draft.add(
        Role(
            title,
            RoleName=draft.name(stem),
            Description=f"What {stem} may do",
            # Without conditions: Lambda tells no source when it assumes a function's role.
            AssumeRolePolicyDocument=iam.trusted("lambda.amazonaws.com"),
            # Inline, since Lambda refuses a function in a VPC whose role cannot make interfaces
            # yet. Instead of AWS' policy for that, which writes to every log group.
            Policies=[
                iam.inline(
                    "run-in-vpc",
                    # Interfaces are made before there is anything to name: Lambda asks for all.
                    iam.allow("LambdaMayAttachToTheVpc", network_interfaces, ["*"]),
                    # Lambda makes them on its own behalf; the code has no business with them.
                    iam.deny(
                        "TheCodeItselfMayNot",
                        network_interfaces,
                        ["*"],
                        ArnEquals({"lambda:SourceFunctionArn": [function]}),
                    ),
                ),
                iam.inline(
                    "log-and-trace",
                    iam.allow(
                        "WriteOwnLog",
                        [logs_actions.CreateLogStream, logs_actions.PutLogEvents],
                        [GetAtt(group, "Arn")],
                    ),
                    iam.allow(
                        "Trace",
                        [xray_actions.PutTelemetryRecords, xray_actions.PutTraceSegments],
                        # X-Ray has no resource types.
                        ["*"],
                    ),
                ),
                iam.inline(
                    "read-secrets",
                    iam.allow("ReadSecrets", [secrets_actions.GetSecretValue], secrets),
                ),
            ],
            Tags=draft.name_tag(stem),
        )
    )
