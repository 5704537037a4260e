"""Which versions of PostgreSQL RDS offers, as of November 2026, and how it says so.

AWS withdrew 16.5 to 16.8 for new instances on 2026-05-01. The emulator knows one minor of each
major, withdrawn or not, and creates whatever it is asked for.
"""

from __future__ import annotations

from typing import Any

from tapgen.local import reach

# Newest last. The default of a major is the one RDS takes for the major alone.
AVAILABLE = {
    "14": tuple(f"14.{minor}" for minor in range(18, 24)),
    "15": tuple(f"15.{minor}" for minor in range(13, 20)),
    "16": tuple(f"16.{minor}" for minor in range(9, 16)),
    "17": tuple(f"17.{minor}" for minor in range(5, 12)),
}
DEFAULTS = {"14": "14.22", "15": "15.17", "16": "16.13", "17": "17.9"}
WITHDRAWN = {"16": ("16.5", "16.6", "16.7", "16.8")}
ENGINE_DEFAULT = DEFAULTS["17"]

Params = dict[str, Any]


def install() -> None:
    """Answer for PostgreSQL in the emulator's place."""
    rds = reach.service("rds")
    actions = rds._ACTION_MAP
    describe, create = actions["DescribeDBEngineVersions"], actions["CreateDBInstance"]
    modify, default = actions["ModifyDBInstance"], rds._default_engine_version

    def describing(params: Params) -> Any:
        if (rds._p(params, "Engine") or "postgres") != "postgres":
            return describe(params)
        return _description(params)

    def creating(params: Params) -> Any:
        wanted = rds._p(params, "EngineVersion")
        if rds._p(params, "Engine") == "postgres" and refusal(wanted):
            return rds._error("InvalidParameterCombination", refusal(wanted), 400)
        return create(params)

    def modifying(params: Params) -> Any:
        instance = rds._instances.get(rds._p(params, "DBInstanceIdentifier")) or {}
        wanted = rds._p(params, "EngineVersion")
        if wanted and instance.get("Engine") == "postgres":
            reason = refusal(wanted, instance["EngineVersion"])
            if reason:
                return rds._error("InvalidParameterCombination", reason, 400)
        return modify(params)

    actions.update(
        DescribeDBEngineVersions=describing, CreateDBInstance=creating, ModifyDBInstance=modifying
    )
    rds._default_engine_version = lambda engine: (
        ENGINE_DEFAULT if engine == "postgres" else default(engine)
    )


def refusal(wanted: str, running: str = "") -> str:
    """Why RDS would not give this version, in its words; empty when it would.

    ``running`` is the version of an instance that is there already, which is never taken back.
    """
    if not wanted or wanted == running or running.startswith(f"{wanted}."):
        return ""
    known = wanted in AVAILABLE or any(wanted in minors for minors in AVAILABLE.values())
    if running:
        if known and _ordered(resolved(wanted)) > _ordered(running):
            return ""
        return f"Cannot find upgrade target from {running} with requested version {wanted}."
    return "" if known else f"Cannot find version {wanted} for postgres"


def resolved(wanted: str, running: str = "") -> str:
    """The minor that a version stands for."""
    if running and (not wanted or running.startswith(f"{wanted}.")):
        return running
    return DEFAULTS.get(wanted, wanted) if wanted else ENGINE_DEFAULT


def _ordered(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _description(params: Params) -> Any:
    rds = reach.service("rds")
    wanted, family = rds._p(params, "EngineVersion"), rds._p(params, "DBParameterGroupFamily")
    default_only = rds._p(params, "DefaultOnly").lower() == "true"
    default = DEFAULTS.get(wanted, ENGINE_DEFAULT) if "." not in wanted else wanted
    offered = {minor: "available" for minors in AVAILABLE.values() for minor in minors}
    if rds._p(params, "IncludeAll").lower() == "true":
        offered |= {minor: "deprecated" for minors in WITHDRAWN.values() for minor in minors}
    members = "".join(
        _version_xml(minor, offered[minor])
        for minor in sorted(offered, key=_ordered)
        if (not wanted or wanted in (minor, minor.partition(".")[0]))
        and (not family or family == f"postgres{minor.partition('.')[0]}")
        and (not default_only or minor == default)
    )
    return rds._xml(
        200,
        "DescribeDBEngineVersionsResponse",
        f"<DescribeDBEngineVersionsResult><DBEngineVersions>{members}</DBEngineVersions>"
        "</DescribeDBEngineVersionsResult>",
    )


def _version_xml(version: str, status: str) -> str:
    major = version.partition(".")[0]
    targets = "".join(
        "<UpgradeTarget><Engine>postgres</Engine>"
        f"<EngineVersion>{target}</EngineVersion>"
        f"<Description>PostgreSQL {target}</Description><AutoUpgrade>false</AutoUpgrade>"
        f"<IsMajorVersionUpgrade>{str(target.partition('.')[0] != major).lower()}"
        "</IsMajorVersionUpgrade></UpgradeTarget>"
        for minors in AVAILABLE.values()
        for target in minors
        if _ordered(target) > _ordered(version)
    )
    return (
        "<DBEngineVersion><Engine>postgres</Engine>"
        f"<EngineVersion>{version}</EngineVersion><MajorEngineVersion>{major}</MajorEngineVersion>"
        f"<DBParameterGroupFamily>postgres{major}</DBParameterGroupFamily>"
        "<DBEngineDescription>PostgreSQL</DBEngineDescription>"
        f"<DBEngineVersionDescription>PostgreSQL {version}</DBEngineVersionDescription>"
        f"<ValidUpgradeTarget>{targets}</ValidUpgradeTarget>"
        "<ExportableLogTypes><member>postgresql</member><member>upgrade</member>"
        "</ExportableLogTypes>"
        "<SupportsLogExportsToCloudwatchLogs>true</SupportsLogExportsToCloudwatchLogs>"
        "<SupportsReadReplica>true</SupportsReadReplica>"
        f"<Status>{status}</Status></DBEngineVersion>"
    )
