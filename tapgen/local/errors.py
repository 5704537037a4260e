"""What can go wrong with the embedded AWS, in words that say what to do next."""

from __future__ import annotations

from pathlib import Path

from tapgen.errors import TapgenError


class LocalError(TapgenError):
    """The embedded AWS cannot be had, or not in the way that was asked for."""


class MinistackMissing(LocalError):
    """The extra that holds the emulator is not installed."""

    def __init__(self) -> None:
        super().__init__("the embedded AWS needs the extra: pip install 'tapgen[local]'")


class WrongMinistack(LocalError):
    """Another version of the emulator is installed than the one the launcher was written for."""

    def __init__(self, wanted: str, found: str) -> None:
        self.wanted, self.found = wanted, found
        super().__init__(
            f"the embedded AWS needs ministack {wanted}, but {found} is installed: "
            f"pip install 'tapgen[local]'"
        )


class StateUnreadable(LocalError):
    """The saved state is damaged, or was written by another version."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(
            f"the state of the embedded AWS cannot be read: {path}: {reason}; "
            f"start afresh with `tapgen local reset`"
        )


class PortTaken(LocalError):
    """The port that was asked for belongs to another program."""

    def __init__(self, port: int) -> None:
        self.port = port
        super().__init__(f"port {port} on 127.0.0.1 is taken by another program; choose another")


class RunsElsewhere(LocalError):
    """The embedded AWS of this folder already runs, on another port than the one asked for."""

    def __init__(self, home: Path, port: int, wanted: int) -> None:
        self.home, self.port, self.wanted = home, port, wanted
        super().__init__(
            f"the embedded AWS of {home} already runs on port {port}, not {wanted}; "
            f"use that port, or end the commands that hold it"
        )


class InUse(LocalError):
    """A reset was asked for while commands hold leases."""

    def __init__(self, home: Path) -> None:
        self.home = home
        super().__init__(
            f"the embedded AWS of {home} is in use by another tapgen command; "
            f"end that first, then reset again"
        )


class HomeUnusable(LocalError):
    """The folder of the embedded AWS cannot be made or written."""

    def __init__(self, home: Path, reason: str) -> None:
        self.home, self.reason = home, reason
        super().__init__(f"the embedded AWS cannot use {home}: {reason}")


class NotStarted(LocalError):
    """The server ended, or stayed silent, before it was ready."""

    def __init__(self, reason: str, log: Path) -> None:
        self.reason, self.log = reason, log
        super().__init__(f"the embedded AWS did not start: {reason}; see {log}")


class Gone(LocalError):
    """The server went away while it was leased."""

    def __init__(self, log: Path) -> None:
        self.log = log
        super().__init__(f"the embedded AWS ended unexpectedly; see {log}")
