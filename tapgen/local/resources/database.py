"""RDS: what can be created today, the managed secret, protection, and everything an instance is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

from tapgen.local import reach
from tapgen.local.resources import managed_secret, plumbing, postgres
from tapgen.local.resources.plumbing import Attributes, Props

_KIND = "AWS::RDS::DBInstance"

# What the emulator's record lacks, or holds with a fixed value.
_KEPT = (
    "CACertificateIdentifier",
    "DatabaseInsightsMode",
    "EngineLifecycleSupport",
    "Iops",
    "PerformanceInsightsKMSKeyId",
    "PerformanceInsightsRetentionPeriod",
    "StorageThroughput",
)
_TOLD = ("DatabaseInsightsMode", "EngineLifecycleSupport", "PerformanceInsightsKMSKeyId")


def install() -> None:
    """Put this corner in."""
    postgres.install()
    plumbing.before(_KIND, _known_version)
    plumbing.after(_KIND, _finish)
    plumbing.before_delete(_KIND, _leave)
    rds = reach.service("rds")
    plumbing.append_xml(rds, "_instance_xml", _more)
    # The emulator writes this element itself, and always empty.
    instance_xml = rds._instance_xml
    rds._instance_xml = lambda record: instance_xml(record).replace(
        "<EnabledCloudwatchLogsExports/>", _exported_logs(record)
    )
    provisioners = reach.cloudformation("provisioners")
    # The emulator gives every final snapshot the same name: the second would replace the first.
    provisioners._snapshot_id = _snapshot_id


def _snapshot_id(physical_id: str) -> str:
    unique = reach.module("core.responses").new_uuid().replace("-", "")[:12]
    return f"{physical_id}-snapshot-{unique}"


def _known_version(props: Props) -> Props:
    """Refuse a version that RDS does not offer; a major alone becomes its default minor."""
    if props.get("Engine") != "postgres":
        return props
    instance = reach.service("rds")._instances.get(props.get("DBInstanceIdentifier", ""))
    running = (instance or {}).get("EngineVersion", "")
    wanted = str(props.get("EngineVersion", ""))
    refusal = postgres.refusal(wanted, running)
    if refusal:
        raise plumbing.service_error("Rds", refusal)
    return {**props, "EngineVersion": postgres.resolved(wanted, running)}


def _finish(physical_id: str, props: Props) -> Attributes:
    instance = reach.service("rds")._instances[physical_id]
    instance.update({name: props[name] for name in _KEPT if name in props})
    exports = props.get("EnableCloudwatchLogsExports") or []
    instance["EnabledCloudwatchLogsExports"] = sorted(exports)
    if not props.get("DBName"):
        # Without a name RDS makes no database; the emulator would invent one.
        instance["DBName"] = ""
    if str(props.get("ManageMasterUserPassword", False)).lower() != "true":
        return {}
    secret = managed_secret.of(instance, props.get("MasterUserSecret") or {})
    return {"MasterUserSecret.SecretArn": secret}


def _leave(physical_id: str, props: Props) -> None:
    instance = reach.service("rds")._instances.get(physical_id)
    if instance is None:
        return
    if instance.get("DeletionProtection"):
        raise plumbing.service_error(
            "Rds",
            "Cannot delete protected DB Instance, "
            "please disable deletion protection and try again.",
        )
    managed_secret.drop(instance)


def _more(instance: Mapping[str, Any]) -> str:
    text = "".join(
        f"<{field}>{escape(str(instance[field]))}</{field}>"
        for field in _TOLD
        if instance.get(field)
    )
    secret = instance.get("MasterUserSecret")
    if secret:
        members = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in secret.items())
        text += f"<MasterUserSecret>{members}</MasterUserSecret>"
    return text


def _exported_logs(instance: Mapping[str, Any]) -> str:
    logs = instance.get("EnabledCloudwatchLogsExports", ())
    members = "".join(f"<member>{log}</member>" for log in logs)
    return f"<EnabledCloudwatchLogsExports>{members}</EnabledCloudwatchLogsExports>"
