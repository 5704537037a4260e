"""What can go wrong with the local API, in words that say what to do next."""

from __future__ import annotations

from pathlib import Path

from tapgen.local.errors import LocalError


class NotRunnable(LocalError):
    """The template says something that the local gateway cannot do."""

    def __init__(self, where: str, why: str) -> None:
        self.where, self.why = where, why
        super().__init__(f"the local gateway cannot serve this template: {where}: {why}")


class ExtraMissing(LocalError):
    """A package that the local system needs is not installed."""

    def __init__(self, package: str) -> None:
        self.package = package
        super().__init__(f"{package} is not installed: pip install 'tapgen[local]'")


class AlreadyServed(LocalError):
    """Another process serves the environment from this folder."""

    def __init__(self, env: str, pid: str) -> None:
        self.env, self.pid = env, pid
        super().__init__(
            f"environment {env!r} is already served by process {pid or 'unknown'}; "
            "end that one, or serve another with --env"
        )


class NotMigrated(LocalError):
    """The migration function failed."""

    def __init__(self, reason: str, log: Path) -> None:
        self.reason, self.log = reason, log
        super().__init__(f"the schema could not be brought up to date: {reason}; see {log}")


class NotDeployed(LocalError):
    """A stack did not come up in the embedded AWS."""

    def __init__(self, env: str, stacks: str) -> None:
        self.env, self.stacks = env, stacks
        super().__init__(
            f"{stacks} did not deploy to the embedded AWS; look closer with: "
            f"tapgen deploy --local --env {env}"
        )


class DataUnfit(LocalError):
    """The kept data does not go with what is deployed, or cannot be read."""

    def __init__(self, folder: Path, reason: str) -> None:
        self.folder, self.reason = folder, reason
        super().__init__(
            f"the data in {folder} cannot be used: {reason}; "
            "`tapgen local reset` forgets it and starts afresh"
        )


class PartEnded(LocalError):
    """Something the API needs ended while it was served."""

    def __init__(self, part: str, log: Path) -> None:
        self.part, self.log = part, log
        super().__init__(f"{part} ended unexpectedly; see {log}")
