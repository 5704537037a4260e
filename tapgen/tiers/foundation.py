"""Foundation: what an account needs once, before the first environment.

API Gateway has one role per account and region for all its logs, so a stack of an environment must
not own it: deleting that environment would silence every other API. The bucket that Lambda code is
created from must lie in the functions' region, and environments share it because packages are
named by their content. ECS' service-linked role belongs here too, but CloudFormation fails where
it exists already: the deployer creates it.

Nothing here carries an environment's suffix. Both things stay when the stack goes.
"""

from __future__ import annotations

from dataclasses import dataclass

from awacs import s3 as s3_actions
from awacs.aws import Bool
from troposphere import GetAtt, Ref, Sub, Tags, apigateway, s3
from troposphere.iam import Role

from tapgen import iam, policies
from tapgen.stack import Draft, Exported, Scope, Stack

# A package is found by its content, so an overwritten or deleted one is at most asked for by a
# rollback; a month is long enough to notice.
NONCURRENT_DAYS = 30
ABANDONED_UPLOAD_DAYS = 7


@dataclass(frozen=True)
class Exports:
    """What every environment uses of the account."""

    artifact_bucket_name: Exported


def describe() -> Stack[Exports]:
    """Describe the account's own stack."""
    draft = Draft(
        "foundation",
        "Foundation, once per account: API Gateway's logging role and the artifact bucket",
        scope=Scope.ACCOUNT,
    )

    bucket = _artifact_bucket(draft)
    _api_gateway_account(draft)

    return draft.finish(
        Exports(
            artifact_bucket_name=draft.export(
                "ArtifactBucketName", Ref(bucket), "Where Lambda packages lie"
            )
        )
    )


def _artifact_bucket(draft: Draft) -> s3.Bucket:
    bucket = draft.add(
        s3.Bucket(
            "ArtifactBucket",
            BucketName=Sub("tap-artifacts-${AWS::AccountId}-${AWS::Region}"),
            VersioningConfiguration=s3.VersioningConfiguration(Status="Enabled"),
            PublicAccessBlockConfiguration=s3.PublicAccessBlockConfiguration(
                BlockPublicAcls=True,
                BlockPublicPolicy=True,
                IgnorePublicAcls=True,
                RestrictPublicBuckets=True,
            ),
            OwnershipControls=s3.OwnershipControls(
                Rules=[s3.OwnershipControlsRule(ObjectOwnership="BucketOwnerEnforced")]
            ),
            # Not a key of our own: whoever deploys a function would need to decrypt with it.
            BucketEncryption=s3.BucketEncryption(
                ServerSideEncryptionConfiguration=[
                    s3.ServerSideEncryptionRule(
                        ServerSideEncryptionByDefault=s3.ServerSideEncryptionByDefault(
                            SSEAlgorithm="AES256"
                        )
                    )
                ]
            ),
            LifecycleConfiguration=s3.LifecycleConfiguration(
                Rules=[
                    s3.LifecycleRule(
                        Id="forget-what-was-replaced",
                        Status="Enabled",
                        NoncurrentVersionExpiration=s3.NoncurrentVersionExpiration(
                            NoncurrentDays=NONCURRENT_DAYS
                        ),
                        AbortIncompleteMultipartUpload=s3.AbortIncompleteMultipartUpload(
                            DaysAfterInitiation=ABANDONED_UPLOAD_DAYS
                        ),
                    )
                ]
            ),
            Tags=Tags(Name="tap-artifacts"),
        )
    )
    draft.add(
        s3.BucketPolicy(
            "ArtifactBucketPolicy",
            Bucket=Ref(bucket),
            PolicyDocument=iam.document(
                iam.deny_to_all(
                    "NothingWithoutTls",
                    # A deny has to cover every action, also those that S3 has not thought of yet.
                    [s3_actions.Action("*")],
                    [GetAtt(bucket, "Arn"), Sub("${ArtifactBucket.Arn}/*")],
                    Bool({"aws:SecureTransport": "false"}),
                )
            ),
        ),
        # It stays with its bucket, which would otherwise accept plain HTTP.
        policies.RETAIN,
    )
    return bucket


def _api_gateway_account(draft: Draft) -> None:
    switch = draft.switch(
        "ManageApiGatewayAccount",
        group="API Gateway",
        label="Set the logging role of API Gateway",
        description=(
            "Give this region's API Gateway a role to write logs with; turn it off where the "
            "account has such a role already"
        ),
        default=True,
    )
    role = draft.add(
        Role(
            "ApiGatewayLogRole",
            Condition=switch,
            # Roles are global, this stack is not.
            RoleName=Sub("tap-api-gateway-logs-${AWS::Region}"),
            Description="API Gateway writes the logs of all APIs of the region with it",
            # No condition on the source: the account's setting is no resource with an ARN, and
            # API Gateway tries the role before it accepts it.
            AssumeRolePolicyDocument=iam.trusted("apigateway.amazonaws.com"),
            ManagedPolicyArns=[
                Sub(
                    "arn:${AWS::Partition}:iam::aws:policy/service-role/"
                    "AmazonAPIGatewayPushToCloudWatchLogs"
                )
            ],
            Tags=Tags(Name="tap-api-gateway-logs"),
        ),
        policies.RETAIN,
    )
    draft.add(
        apigateway.Account(
            "ApiGatewayAccount",
            Condition=switch,
            CloudWatchRoleArn=GetAtt(role, "Arn"),
        ),
        # Deleting it would end the logging of every API in the region.
        policies.RETAIN,
    )
