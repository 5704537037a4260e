"""The file system: encryption, throughput, access points, and who may mount without TLS."""

from __future__ import annotations

from collections.abc import Iterator

from tapgen.validate import policy
from tapgen.validate.finding import Fault, Rule
from tapgen.validate.world import World, dig, is_true, mappings

FILE_SYSTEM = "AWS::EFS::FileSystem"
ACCESS_POINT = "AWS::EFS::AccessPoint"
_TRANSITIONS = ("TransitionToIA", "TransitionToArchive", "TransitionToPrimaryStorageClass")


def encrypted(world: World) -> Iterator[Fault]:
    """Encryption of a file system is create-only."""
    for files in world.of_type(FILE_SYSTEM):
        if not is_true(files.get("Encrypted")):
            yield files.fault("is not encrypted at rest")


def elastic_mode(world: World) -> Iterator[Fault]:
    """Elastic throughput exists with the performance mode generalPurpose only.

    EFS user guide, "Throughput modes".
    """
    for files in world.of_type(FILE_SYSTEM):
        if files.get("ThroughputMode") == "elastic" and files.get("PerformanceMode") == "maxIO":
            yield files.fault("asks for elastic throughput with maxIO")


def one_transition(world: World) -> Iterator[Fault]:
    """PutLifecycleConfiguration takes each transition as an object of its own."""
    for files in world.of_type(FILE_SYSTEM):
        for rule in mappings(files.get("LifecyclePolicies")):
            given = [name for name in _TRANSITIONS if name in rule]
            if len(given) > 1:
                yield files.fault(f"has {' and '.join(given)} in one lifecycle policy")


def mounts_with_tls(world: World) -> Iterator[Fault]:
    """Without a statement that denies it, the file system is mounted in clear text too.

    EFS user guide, "Using IAM to control file system data access": aws:SecureTransport.
    """
    for files in world.of_type(FILE_SYSTEM):
        denies = any(
            statement.effect == "Deny" and "aws:securetransport" in statement.condition_keys()
            for statement in policy.statements(files, files.get("FileSystemPolicy"))
        )
        if not denies:
            yield files.fault("can be mounted without TLS")


def made_root(world: World) -> Iterator[Fault]:
    """A root directory that does not exist yet is created only when told whose it is.

    EFS user guide, "Creating access points": otherwise every mount fails.
    """
    for point in world.of_type(ACCESS_POINT):
        path = point.get("RootDirectory.Path", "/")
        if path != "/" and not dig(point.properties, "RootDirectory.CreationInfo"):
            yield point.fault(f"starts at {path} and does not say how to create it")


def one_identity(world: World) -> Iterator[Fault]:
    """Without a POSIX user the access point lets its clients choose their own, root included."""
    for point in world.of_type(ACCESS_POINT):
        if not point.get("PosixUser"):
            yield point.fault("does not fix the POSIX user")


RULES = (
    Rule("TAP331", "error", "set Encrypted", encrypted),
    Rule("TAP332", "error", "use generalPurpose", elastic_mode),
    Rule("TAP333", "error", "one transition an object", one_transition),
    Rule(
        "TAP334",
        "error",
        "deny everything while aws:SecureTransport is false, in FileSystemPolicy",
        mounts_with_tls,
    ),
    Rule("TAP335", "error", "add CreationInfo", made_root),
    Rule("TAP336", "warning", "set PosixUser", one_identity),
)
