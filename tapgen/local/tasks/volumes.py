"""The folders that stand for file systems: one for each, below the state folder.

Tasks share a file system's folder as they share it on AWS; an access point is a folder in it. It
stays when the embedded AWS ends, and goes with the file system or with a reset.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tapgen.local import reach
from tapgen.local.resources import plumbing


class Volumes:
    """The folders below ``root``, by account."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def install(self) -> None:
        """Let a file system's folder go with it."""
        plumbing.before_delete("AWS::EFS::FileSystem", self._forget)

    def folders(self, definition: Mapping[str, Any], scratch: Path) -> dict[str, Path]:
        """A folder for each volume of a task, made if need be; ``scratch`` ends with the task."""
        found = {}
        for volume in definition.get("volumes") or []:
            efs = volume.get("efsVolumeConfiguration")
            folder = self._shared(efs) if efs else scratch / volume["name"]
            folder.mkdir(parents=True, exist_ok=True)
            found[volume["name"]] = folder
        return found

    def _shared(self, efs: Mapping[str, Any]) -> Path:
        point = (efs.get("authorizationConfig") or {}).get("accessPointId")
        inside = efs.get("rootDirectory") or "/"
        if point:
            record = reach.service("efs")._access_points.get(point) or {}
            inside = (record.get("RootDirectory") or {}).get("Path") or "/"
        whole = self._of(efs["fileSystemId"])
        folder = (whole / inside.strip("/")).resolve()
        # A root directory is a template's to choose, and this machine's other folders are not.
        return folder if folder.is_relative_to(whole.resolve()) else whole

    def _of(self, file_system: str) -> Path:
        account: str = reach.module("core.responses").get_account_id()
        return self._root / account / file_system

    def _forget(self, physical_id: str, props: Mapping[str, Any]) -> None:
        shutil.rmtree(self._of(physical_id), ignore_errors=True)
