"""Whether the disk has room for the local system, asked before the work and while it runs."""

from __future__ import annotations

import os
from pathlib import Path

from tapgen.local.errors import LocalError

# A cluster takes some 40 MB, its log of changes 16 MB at a time, two releases of code 30 MB.
NEW_BYTES = 150_000_000
# Kept data is there already, and so is most of the rest.
AGAIN_BYTES = 40_000_000
# With less than this left, somebody who may still do something about it is told.
LOW_BYTES = 10_000_000


class NoRoom(LocalError):
    """The disk is too full to begin."""

    def __init__(self, folder: Path, free: int, wanted: int) -> None:
        self.folder, self.free, self.wanted = folder, free, wanted
        super().__init__(
            f"the disk of {folder} has {free // 1_000_000} MB left, and the local system takes up "
            f"to {wanted // 1_000_000} MB; make room and run it again"
        )


def check(folder: Path) -> None:
    """Refuse to begin in ``folder`` with too little room. Raises ``NoRoom``.

    Before the work: a cluster that is half made is as bad as none, and takes as long.
    """
    wanted = AGAIN_BYTES if (folder / "postgres").exists() else NEW_BYTES
    left = free(folder)
    if left < wanted:
        raise NoRoom(folder, left, wanted)


def free(folder: Path) -> int:
    """What the disk of ``folder``, or of where it is to be, has left for us."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    found = os.statvfs(place)
    return found.f_bavail * found.f_frsize
