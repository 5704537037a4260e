"""S3: encryption, ownership, lifecycle and tags of a bucket, and no deletion of a full one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tapgen.local import reach
from tapgen.local.resources import plumbing
from tapgen.local.resources.plumbing import Attributes, Props

_KIND = "AWS::S3::Bucket"


def install() -> None:
    """Put this corner in."""
    plumbing.after(_KIND, _finish)
    plumbing.before_delete(_KIND, _refuse_when_full)


def _finish(physical_id: str, props: Props) -> Attributes:
    for prop, operation, put, drop, translated in _settings():
        if props.get(prop):
            parameters = {"Bucket": physical_id, **translated(props[prop])}
            body = plumbing.request_body("s3", operation, parameters)
            plumbing.answer(operation, put(physical_id, body))
        else:
            drop(physical_id)
    if (props.get("VersioningConfiguration") or {}).get("Status") == "Suspended":
        reach.service("s3")._bucket_versioning[physical_id] = "Suspended"
    return {}


_Setting = tuple[str, str, Callable[..., Any], Callable[[str], Any], Callable[[Any], Props]]


def _settings() -> list[_Setting]:
    """Property, the API's operation, how the emulator takes and drops it, the translation."""
    s3 = reach.service("s3")
    return [
        (
            "BucketEncryption",
            "PutBucketEncryption",
            s3._put_bucket_encryption,
            lambda name: None,
            _encryption,
        ),
        (
            "OwnershipControls",
            "PutBucketOwnershipControls",
            s3._put_bucket_ownership_controls,
            lambda name: None,
            lambda value: {"OwnershipControls": value},
        ),
        (
            "LifecycleConfiguration",
            "PutBucketLifecycleConfiguration",
            s3._put_bucket_lifecycle,
            s3._delete_bucket_lifecycle,
            _lifecycle,
        ),
        (
            "Tags",
            "PutBucketTagging",
            s3._put_bucket_tagging,
            s3._delete_bucket_tagging,
            lambda value: {"Tagging": {"TagSet": value}},
        ),
    ]


def _encryption(value: Props) -> Props:
    rules = []
    for rule in value["ServerSideEncryptionConfiguration"]:
        default = rule.get("ServerSideEncryptionByDefault")
        made = {"ApplyServerSideEncryptionByDefault": default} if default else {}
        if "BucketKeyEnabled" in rule:
            made["BucketKeyEnabled"] = str(rule["BucketKeyEnabled"]).lower() == "true"
        rules.append(made)
    return {"ServerSideEncryptionConfiguration": {"Rules": rules}}


def _lifecycle(value: Props) -> Props:
    rules = [_lifecycle_rule(rule) for rule in value["Rules"]]
    return {"LifecycleConfiguration": {"Rules": rules}}


def _lifecycle_rule(rule: Props) -> Props:
    made = plumbing.shaped("s3", "LifecycleRule", rule)
    made.pop("Prefix", None)
    made["Filter"] = {"Prefix": rule.get("Prefix", "")}
    expiration: Props = {}
    if "ExpirationInDays" in rule:
        expiration["Days"] = int(rule["ExpirationInDays"])
    if "ExpiredObjectDeleteMarker" in rule:
        expiration["ExpiredObjectDeleteMarker"] = True
    if expiration:
        made["Expiration"] = expiration
    return {name: part for name, part in made.items() if part not in (None, "")}


def _refuse_when_full(physical_id: str, props: Props) -> None:
    s3 = reach.service("s3")
    bucket = s3._buckets.get(physical_id)
    if bucket is None:
        return
    versions = any(
        versions and name == physical_id for (name, _), versions in s3._object_versions.items()
    )
    if bucket["objects"] or versions:
        raise plumbing.service_error("S3", "The bucket you tried to delete is not empty")
