"""What becomes of a resource that leaves its stack or is replaced in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Fate = Literal["kept", "snapshot", "deleted"]

_OF: dict[str, Fate] = {
    "Retain": "kept",
    "RetainExceptOnCreate": "kept",
    "Snapshot": "snapshot",
    "Delete": "deleted",
}
_ORDER: tuple[Fate, ...] = ("deleted", "snapshot", "kept")


def fate(resource: Mapping[str, Any], policy: str) -> Fate:
    """What ``policy`` (DeletionPolicy or UpdateReplacePolicy) does to a whole resource.

    A database that does not say is kept as a snapshot when it is deleted, everything else is
    deleted (user guide, DeletionPolicy).
    """
    stated = resource.get(policy)
    if stated is not None:
        return _OF.get(str(stated), "deleted")
    kind, alone = resource["Type"], "DBClusterIdentifier" not in resource["Properties"]
    database = kind == "AWS::RDS::DBCluster" or (kind == "AWS::RDS::DBInstance" and alone)
    return "snapshot" if database and policy == "DeletionPolicy" else "deleted"


def worse(one: Fate, other: Fate) -> Fate:
    """The one that keeps less."""
    return min(one, other, key=_ORDER.index)
