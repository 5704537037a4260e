"""The foundation's claims, over the document as it is rendered."""

from __future__ import annotations

from typing import Any

import pytest

from tapgen.scope import Scope
from tapgen.tiers import foundation

STACK = foundation.describe()
DOCUMENT = STACK.document()
RESOURCES: dict[str, Any] = DOCUMENT["Resources"]
BUCKET: dict[str, Any] = RESOURCES["ArtifactBucket"]["Properties"]
ROLE: dict[str, Any] = RESOURCES["ApiGatewayLogRole"]["Properties"]


def test_it_stands_once_per_account_so_nothing_in_it_knows_a_suffix() -> None:
    assert STACK.scope is Scope.ACCOUNT
    assert "EnvironmentSuffix" not in str(DOCUMENT)


def test_the_bucket_has_a_name_that_nobody_elses_account_has() -> None:
    assert BUCKET["BucketName"] == {"Fn::Sub": "tap-artifacts-${AWS::AccountId}-${AWS::Region}"}


def test_every_environment_finds_the_bucket_under_one_name() -> None:
    assert DOCUMENT["Outputs"]["ArtifactBucketName"]["Value"] == {"Ref": "ArtifactBucket"}
    assert DOCUMENT["Outputs"]["ArtifactBucketName"]["Export"] == {
        "Name": "tap-foundation-ArtifactBucketName"
    }
    assert STACK.exports.artifact_bucket_name.to_dict() == {
        "Fn::ImportValue": "tap-foundation-ArtifactBucketName"
    }


def test_the_bucket_is_private_encrypted_and_keeps_versions() -> None:
    encryption = BUCKET["BucketEncryption"]["ServerSideEncryptionConfiguration"]

    assert BUCKET["PublicAccessBlockConfiguration"] == {
        "BlockPublicAcls": True,
        "BlockPublicPolicy": True,
        "IgnorePublicAcls": True,
        "RestrictPublicBuckets": True,
    }
    assert BUCKET["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert encryption == [{"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
    assert BUCKET["VersioningConfiguration"] == {"Status": "Enabled"}


def test_only_what_was_replaced_or_abandoned_expires() -> None:
    assert BUCKET["LifecycleConfiguration"]["Rules"] == [
        {
            "Id": "forget-what-was-replaced",
            "Status": "Enabled",
            "NoncurrentVersionExpiration": {"NoncurrentDays": 30},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
        }
    ]


def test_the_bucket_refuses_everything_without_tls() -> None:
    policy = RESOURCES["ArtifactBucketPolicy"]["Properties"]

    assert policy["Bucket"] == {"Ref": "ArtifactBucket"}
    assert policy["PolicyDocument"]["Statement"] == [
        {
            "Sid": "NothingWithoutTls",
            "Effect": "Deny",
            "Principal": {"AWS": "*"},
            "Action": ["s3:*"],
            "Resource": [
                {"Fn::GetAtt": ["ArtifactBucket", "Arn"]},
                {"Fn::Sub": "${ArtifactBucket.Arn}/*"},
            ],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    ]


@pytest.mark.parametrize(
    "logical_id",
    ["ArtifactBucket", "ArtifactBucketPolicy", "ApiGatewayLogRole", "ApiGatewayAccount"],
)
def test_everything_stays_but_a_failed_first_create_leaves_nothing(logical_id: str) -> None:
    assert RESOURCES[logical_id]["DeletionPolicy"] == "RetainExceptOnCreate"
    assert RESOURCES[logical_id]["UpdateReplacePolicy"] == "Retain"


def test_api_gateway_may_assume_its_role_and_do_nothing_but_write_logs() -> None:
    (trust,) = ROLE["AssumeRolePolicyDocument"]["Statement"]

    assert trust == {
        "Sid": "OnlyApigateway",
        "Effect": "Allow",
        "Principal": {"Service": "apigateway.amazonaws.com"},
        "Action": ["sts:AssumeRole"],
    }
    assert ROLE["ManagedPolicyArns"] == [
        {
            "Fn::Sub": "arn:${AWS::Partition}:iam::aws:policy/service-role/"
            "AmazonAPIGatewayPushToCloudWatchLogs"
        }
    ]
    assert "Policies" not in ROLE
    assert RESOURCES["ApiGatewayAccount"]["Properties"] == {
        "CloudWatchRoleArn": {"Fn::GetAtt": ["ApiGatewayLogRole", "Arn"]}
    }


def test_an_account_that_has_a_logging_role_keeps_it_when_the_switch_is_off() -> None:
    parameter = DOCUMENT["Parameters"]["ManageApiGatewayAccount"]

    assert parameter["Default"] == "true"
    assert parameter["AllowedValues"] == ["true", "false"]
    assert DOCUMENT["Conditions"]["ManageApiGatewayAccountIsOn"] == {
        "Fn::Equals": [{"Ref": "ManageApiGatewayAccount"}, "true"]
    }
    assert RESOURCES["ApiGatewayLogRole"]["Condition"] == "ManageApiGatewayAccountIsOn"
    assert RESOURCES["ApiGatewayAccount"]["Condition"] == "ManageApiGatewayAccountIsOn"


def test_the_service_linked_role_of_ecs_is_left_to_the_deployer() -> None:
    types = {resource["Type"] for resource in RESOURCES.values()}

    # In a template it fails in every account that has one already.
    assert "AWS::IAM::ServiceLinkedRole" not in types
