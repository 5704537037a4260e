"""What ECS refuses of a RunTask, and the emulator would take. The words are ECS'."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tapgen.local import reach

# ECS API reference, RunTask: all overrides together, "includes the JSON formatting characters".
OVERRIDE_CHARACTERS = 8192

Refusal = tuple[int, Any, Any]


def of_run_task(data: Mapping[str, Any]) -> Refusal | None:
    """ECS' answer to a call that it would not take; ``None`` for one that it would."""
    ecs = reach.service("ecs")
    cluster = ecs._resolve_cluster_name(data.get("cluster", "default"))
    # The emulator would make it.
    if cluster is not None and cluster not in ecs._clusters:
        return _error("ClusterNotFoundException", "Cluster not found.")
    definition = ecs._task_defs.get(ecs._resolve_td_key(data.get("taskDefinition", "")))
    if definition is None:
        return None  # It refuses that itself.
    if definition.get("status") == "INACTIVE":
        return _error("ClientException", "TaskDefinition is inactive")
    found = next(_wrong_parameters(data, definition), None)
    return None if found is None else _error("InvalidParameterException", found)


def _wrong_parameters(data: Mapping[str, Any], definition: Mapping[str, Any]) -> Iterator[str]:
    overrides = data.get("overrides") or {}
    known = {container["name"] for container in definition["containerDefinitions"]}
    for override in overrides.get("containerOverrides") or []:
        if override.get("name") not in known:
            yield (
                f"Override for container named {override.get('name')} is not a container in the "
                "TaskDefinition."
            )
    text = json.dumps(overrides, ensure_ascii=False, separators=(",", ":"))
    if len(text) > OVERRIDE_CHARACTERS:
        yield f"Container Overrides length must be at most {OVERRIDE_CHARACTERS}"
    network = (data.get("networkConfiguration") or {}).get("awsvpcConfiguration")
    if definition.get("networkMode") == "awsvpc" and not network:
        yield "Network Configuration must be provided when networkMode 'awsvpc' is specified."


def _error(code: str, message: str) -> Refusal:
    refusal: Refusal = reach.module("core.responses").error_response_json(code, message, 400)
    return refusal
