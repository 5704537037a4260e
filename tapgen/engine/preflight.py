"""What an account must have, and still offer, before the stacks can stand: read off the documents.

Three things no template can do for itself. ECS needs its service-linked role before the first
cluster with capacity providers. API Gateway logs with one role per account, which may be there
already. And a database version that AWS has withdrawn must be replaced by one it still creates,
without ever taking a running database back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tapgen import names, resolve
from tapgen.cloud import DeployedStack
from tapgen.errors import TapgenError
from tapgen.resolve import Document

# "Unable to assume the service linked role" on the very first cluster of an account, and success
# on the second try (coverage-roadmap #818): made beforehand, nobody meets it.
SERVICE_LINKED = {"AWS::ECS::Cluster": "ecs.amazonaws.com"}


@dataclass(frozen=True)
class Database:
    """A database whose version is a parameter; ``identifier`` is what RDS calls it."""

    stack: str
    parameter: str
    engine: str
    identifier: str


@dataclass(frozen=True)
class Version:
    """What to create or keep a database with. ``note`` says why, where it is not what was asked."""

    value: str
    note: str = ""
    consent: bool = False


class NoSuchVersion(TapgenError):
    """A version that RDS does not offer, and none to take instead."""

    def __init__(self, engine: str, asked: str, offered: Sequence[str]) -> None:
        self.engine, self.asked, self.offered = engine, asked, tuple(offered)
        nearby = ", ".join(offered[-8:]) or "nothing"
        super().__init__(
            f"RDS does not offer {engine} {asked} in {names.REGION}; it offers {nearby}: "
            "set db_engine_version to one of them"
        )


def service_linked_roles(documents: Iterable[Document]) -> tuple[str, ...]:
    """The services whose linked role must exist before these documents are deployed."""
    types = {resource["Type"] for document in documents for resource in _resources(document)}
    return tuple(sorted({service for kind, service in SERVICE_LINKED.items() if kind in types}))


def account_switches(document: Document) -> tuple[str, ...]:
    """The parameters that decide whether this document makes API Gateway's account settings."""
    found = []
    for resource in _resources(document):
        if resource["Type"] == "AWS::ApiGateway::Account":
            condition = document.get("Conditions", {}).get(resource.get("Condition"), {})
            found += [
                part["Ref"]
                for part in condition.get("Fn::Equals", ())
                if isinstance(part, Mapping) and "Ref" in part
            ]
    return tuple(found)


def makes_account_settings(role: str | None, deployed: DeployedStack | None, switch: str) -> bool:
    """Whether the account's own stack should hold API Gateway's settings.

    Yes where it does already, or nobody else does: an existing role is somebody's, and overwriting
    it would break their logs.
    """
    if deployed is not None and switch in deployed.parameters:
        return deployed.parameters[switch] == "true"
    return role is None


def databases(tier: str, document: Document, values: Mapping[str, str]) -> tuple[Database, ...]:
    """The databases of a document whose EngineVersion is a parameter."""
    known = resolve.Known.of(document, values)
    found = []
    for resource in _resources(document):
        properties = resource.get("Properties", {})
        version = properties.get("EngineVersion")
        if resource["Type"] != "AWS::RDS::DBInstance":
            continue
        if isinstance(version, Mapping) and isinstance(version.get("Ref"), str):
            found.append(
                Database(
                    tier,
                    version["Ref"],
                    resolve.text(properties["Engine"], known),
                    resolve.text(properties["DBInstanceIdentifier"], known),
                )
            )
    return tuple(found)


def version(
    engine: str,
    asked: str,
    *,
    offered: Sequence[str],
    running: str | None,
    deployed: str | None,
) -> Version:
    """The engine version to deploy with. Raises ``NoSuchVersion``.

    ``offered`` is what RDS creates instances with; ``running`` the version of the instance that is
    there, if one is; ``deployed`` what its stack was deployed with. A running database is never
    taken back; one that stands where it should keeps what its stack says, even if RDS has since
    upgraded it by itself.
    """
    if asked == running:
        return Version(asked)
    if running is not None and _key(asked) <= _key(running)[: len(_key(asked))]:
        kept = deployed or running
        note = (
            "" if kept == asked else f"{engine} {running} runs: it is never taken back to {asked}"
        )
        return Version(kept, note)
    if asked in offered or (_is_major(asked) and _newest(asked, offered)):
        return Version(asked)
    newest = _newest(asked, offered)
    if newest is None or _key(newest) < _key(asked):
        raise NoSuchVersion(engine, asked, offered)
    return Version(
        newest,
        f"AWS no longer creates {engine} {asked}: it will be {newest}, "
        "the newest of the same major version",
        consent=True,
    )


def _newest(asked: str, offered: Iterable[str]) -> str | None:
    major = asked.split(".")[0]
    same = [item for item in offered if item.split(".")[0] == major]
    return max(same, key=_key, default=None)


def _is_major(version: str) -> bool:
    return "." not in version


def _key(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _resources(document: Document) -> list[dict[str, Any]]:
    return list(document.get("Resources", {}).values())
