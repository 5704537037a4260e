"""States that a resource should not get into: one table, judged over its properties.

Whether a state is worse than the one before is ``findings``'; here stands only what is bad.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tapgen.diff.values import scalar_text

Severity = Literal["destructive", "broadening", "info"]
Properties = Mapping[str, Any]


def on(value: Any) -> bool:
    """Whether a switch is on, in whichever spelling."""
    return scalar_text(value).lower() == "true"


def at(properties: Properties, path: str) -> Any:
    """What stands at ``path`` (steps divided by slashes); None for nothing."""
    node: Any = properties
    for step in path.split("/"):
        node = node.get(step) if isinstance(node, Mapping) else None
    return node


def _off(path: str) -> Callable[[Properties], bool]:
    return lambda properties: not on(at(properties, path))


def _on(path: str) -> Callable[[Properties], bool]:
    return lambda properties: on(at(properties, path))


def _missing(path: str) -> Callable[[Properties], bool]:
    return lambda properties: at(properties, path) in (None, "", [], {})


def _is(path: str, *wrong: str) -> Callable[[Properties], bool]:
    return lambda properties: scalar_text(at(properties, path)) in wrong


def _method_open(properties: Properties) -> bool:
    # OPTIONS is how browsers ask; it carries no credentials by design.
    return (
        at(properties, "AuthorizationType") in (None, "NONE")
        and not on(at(properties, "ApiKeyRequired"))
        and at(properties, "HttpMethod") != "OPTIONS"
    )


def _api_public(properties: Properties) -> bool:
    return "PRIVATE" not in (at(properties, "EndpointConfiguration/Types") or [])


def _volume_in_clear(properties: Properties) -> bool:
    mounts = (at(volume, "EFSVolumeConfiguration") for volume in at(properties, "Volumes") or [])
    return any(mount and at(mount, "TransitEncryption") != "ENABLED" for mount in mounts)


BLOCKS = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")


@dataclass(frozen=True)
class Switch:
    """A state that a resource should not get into: ``bad`` is told its properties.

    ``new`` says whether it counts for a resource that is only just added, too.
    """

    id: str
    severity: Severity
    type: str
    bad: Callable[[Properties], bool]
    text: str
    new: bool = False


SWITCHES = (
    Switch(
        "public-access",
        "broadening",
        "AWS::RDS::DBInstance",
        _on("PubliclyAccessible"),
        "gets a public address",
        new=True,
    ),
    *(
        Switch(
            "public-access",
            "broadening",
            "AWS::S3::Bucket",
            _off(f"PublicAccessBlockConfiguration/{block}"),
            f"no longer has {block}",
        )
        for block in BLOCKS
    ),
    Switch(
        "public-access",
        "broadening",
        "AWS::S3::Bucket",
        _is("AccessControl", "PublicRead", "PublicReadWrite", "AuthenticatedRead"),
        "can be read by everybody",
        new=True,
    ),
    Switch(
        "public-access",
        "broadening",
        "AWS::ApiGateway::Method",
        _method_open,
        "can be called without credentials",
        new=True,
    ),
    Switch(
        "public-access",
        "broadening",
        "AWS::ApiGateway::RestApi",
        _api_public,
        "can be reached from the internet",
    ),
    Switch(
        "public-access",
        "broadening",
        "AWS::Lambda::Url",
        _is("AuthType", "NONE"),
        "can be called without credentials",
        new=True,
    ),
    Switch(
        "public-access",
        "broadening",
        "AWS::EC2::Subnet",
        _on("MapPublicIpOnLaunch"),
        "gives public addresses to what starts in it",
    ),
    *(
        Switch("encryption-off", "broadening", kind, bad, text)
        for kind, bad, text in (
            ("AWS::RDS::DBInstance", _off("StorageEncrypted"), "is no longer encrypted"),
            ("AWS::RDS::DBCluster", _off("StorageEncrypted"), "is no longer encrypted"),
            (
                "AWS::RDS::DBParameterGroup",
                _is("Parameters/rds.force_ssl", "0", "none"),
                "no longer insists on TLS",
            ),
            ("AWS::EFS::FileSystem", _off("Encrypted"), "is no longer encrypted"),
            (
                "AWS::ElastiCache::ReplicationGroup",
                _off("AtRestEncryptionEnabled"),
                "is no longer encrypted at rest",
            ),
            (
                "AWS::ElastiCache::ReplicationGroup",
                _off("TransitEncryptionEnabled"),
                "is no longer encrypted in transit",
            ),
            (
                "AWS::ElastiCache::ReplicationGroup",
                _is("TransitEncryptionMode", "preferred"),
                "accepts connections in clear text",
            ),
            ("AWS::S3::Bucket", _missing("BucketEncryption"), "no longer states its encryption"),
            ("AWS::SNS::Topic", _missing("KmsMasterKeyId"), "is no longer encrypted"),
            ("AWS::Logs::LogGroup", _missing("KmsKeyId"), "no longer has a key of its own"),
            ("AWS::SecretsManager::Secret", _missing("KmsKeyId"), "no longer has a key of its own"),
            ("AWS::DynamoDB::Table", _off("SSESpecification/SSEEnabled"), "loses its own key"),
            ("AWS::ECS::TaskDefinition", _volume_in_clear, "mounts files without encryption"),
        )
    ),
    *(
        Switch("deletion-protection-off", "destructive", kind, _off(path), "can be deleted")
        for kind, path in (
            ("AWS::RDS::DBInstance", "DeletionProtection"),
            ("AWS::RDS::DBCluster", "DeletionProtection"),
            ("AWS::DynamoDB::Table", "DeletionProtectionEnabled"),
        )
    ),
)
