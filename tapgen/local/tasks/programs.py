"""What a task definition and its overrides ask to be run: a value, without running it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# What ECS gives a container to end in after SIGTERM when its definition says nothing.
STOP_SECONDS = 30.0


class CannotRun(Exception):
    """The container has nothing that could be run here; the text is the task's stopped reason."""


@dataclass(frozen=True)
class Log:
    """Where a container's output goes: the options of its awslogs driver."""

    group: str
    stream: str
    region: str


@dataclass(frozen=True)
class Program:
    """One container's process."""

    container: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    log: Log | None
    essential: bool
    stop_seconds: float


def of_task(
    definition: Mapping[str, Any],
    overrides: Sequence[Mapping[str, Any]],
    folders: Mapping[str, Path],
    *,
    task_id: str,
    region: str,
) -> tuple[Program, ...]:
    """Every container's program; ``folders`` stand for the task's volumes, by name.

    Raises ``CannotRun`` for a container whose program is known only to its image.
    """
    by_name = {override.get("name"): override for override in overrides}
    return tuple(
        _program(container, by_name.get(container["name"], {}), folders, task_id, region)
        for container in definition["containerDefinitions"]
    )


def _program(
    container: Mapping[str, Any],
    override: Mapping[str, Any],
    folders: Mapping[str, Path],
    task_id: str,
    region: str,
) -> Program:
    entry = container.get("entryPoint") or []
    if not entry:
        raise CannotRun(
            f"CannotPullContainerError: the embedded AWS pulls no images, and container "
            f"{container['name']} has no entryPoint of its own"
        )
    command = override.get("command") or container.get("command") or []
    mounts = {
        point["containerPath"]: folders[point["sourceVolume"]]
        for point in container.get("mountPoints") or []
        if point.get("sourceVolume") in folders
    }
    return Program(
        container["name"],
        (*entry, *command),
        {
            name: _there(value, mounts)
            for given in (container.get("environment"), override.get("environment"))
            for name, value in _pairs(given)
        },
        _log(container, task_id, region),
        bool(container.get("essential", True)),
        float(container.get("stopTimeout") or STOP_SECONDS),
    )


def _pairs(given: Any) -> list[tuple[str, str]]:
    return [(item["name"], item.get("value") or "") for item in given or []]


def _there(value: str, mounts: Mapping[str, Path]) -> str:
    """A path below a mount point, as it is on this machine, which mounts nothing."""
    for path, folder in mounts.items():
        if value == path or value.startswith(f"{path}/"):
            return f"{folder}{value[len(path) :]}"
    return value


def _log(container: Mapping[str, Any], task_id: str, region: str) -> Log | None:
    logging = container.get("logConfiguration") or {}
    options = logging.get("options") or {}
    if logging.get("logDriver") != "awslogs" or not options.get("awslogs-group"):
        return None
    prefix = options.get("awslogs-stream-prefix", "")
    stream = f"{prefix}/{container['name']}/{task_id}".lstrip("/")
    return Log(options["awslogs-group"], stream, options.get("awslogs-region") or region)
