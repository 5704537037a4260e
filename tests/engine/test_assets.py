"""Which Lambda packages the documents run, read off the functions."""

from __future__ import annotations

from typing import Any

import pytest

from tapgen import package, places
from tapgen.engine import assets
from tapgen.engine.assets import Asset, BucketNotImported, UnknownPackage

BUCKET = {"Fn::ImportValue": "tap-foundation-ArtifactBucketName"}


def function(code: dict[str, Any], kind: str = "AWS::Lambda::Function") -> dict[str, Any]:
    return {"Type": kind, "Properties": {"Code": code}}


def needed(*packages: str, **functions: dict[str, Any]) -> tuple[Asset, ...]:
    return assets.needed({"api": {"Resources": functions}, "none": {}}, packages)


def test_a_function_takes_the_package_that_its_key_s_parameter_is_named_after() -> None:
    found = needed(
        "video_api",
        "other",
        Api=function({"S3Bucket": BUCKET, "S3Key": {"Ref": "VideoApiCodeKey"}}),
    )

    assert found == (Asset("video_api", "VideoApiCodeKey", "tap-foundation-ArtifactBucketName"),)


def test_two_functions_of_one_package_need_it_once_and_packages_are_sorted() -> None:
    code = {"S3Bucket": BUCKET, "S3Key": {"Ref": "VideoApiCodeKey"}}

    found = needed(
        "video_api",
        "a_tool",
        Api=function(code),
        Migrate=function(code),
        Tool=function({"S3Bucket": BUCKET, "S3Key": {"Ref": "AToolCodeKey"}}),
    )

    assert [asset.package for asset in found] == ["a_tool", "video_api"]


@pytest.mark.parametrize(
    "code",
    [
        {"ZipFile": "def handler(event, context): ..."},
        {"S3Bucket": "theirs", "S3Key": "their.zip"},
        {"S3Bucket": "theirs", "S3Key": {"Fn::Sub": "${A}.zip"}},
        {},
    ],
)
def test_code_that_no_parameter_names_needs_no_package(code: dict[str, Any]) -> None:
    assert needed("video_api", Api=function(code)) == ()


def test_only_functions_run_packages() -> None:
    code = {"S3Bucket": BUCKET, "S3Key": {"Ref": "VideoApiCodeKey"}}

    assert needed("video_api", Layer=function(code, "AWS::Lambda::LayerVersion")) == ()


@pytest.mark.parametrize(
    ("packages", "known"), [(("video_api", "other"), "video_api, other"), ((), "none")]
)
def test_a_package_nobody_has_written_is_named(packages: tuple[str, ...], known: str) -> None:
    with pytest.raises(UnknownPackage) as caught:
        needed(*packages, Api=function({"S3Bucket": BUCKET, "S3Key": {"Ref": "VideoAppCodeKey"}}))

    assert str(caught.value) == (
        f"parameter VideoAppCodeKey names no package of lambda_src (there is {known})"
    )


def test_a_package_needs_a_bucket_that_some_stack_exports() -> None:
    with pytest.raises(BucketNotImported) as caught:
        needed("video_api", Api=function({"S3Bucket": "b", "S3Key": {"Ref": "VideoApiCodeKey"}}))

    assert str(caught.value) == (
        "api: function Api imports no bucket; give its Code the foundation's artifact bucket"
    )


def test_the_real_functions_run_the_package_of_lambda_src(
    documents: dict[str, dict[str, Any]],
) -> None:
    found = assets.needed(documents, package.discover(places.LAMBDA_SOURCE))

    assert found == (
        Asset(
            "video_metadata_api",
            "VideoMetadataApiCodeKey",
            "tap-foundation-ArtifactBucketName",
        ),
    )
