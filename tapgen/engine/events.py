"""What can happen during a run, as values: the engine tells, others show.

Every run of ``deploy`` and ``destroy`` is a sequence of these; what a terminal, a log or a machine
shows is read off them, and so is the exit status.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tapgen.cloud import StackEvent


@dataclass(frozen=True)
class StackStarted:
    """An operation began: ``action`` is ``create``, ``update``, ``recreate``, ``delete``,
    ``recover`` (an update that failed is taken back) or ``cancel``.

    ``changes`` is how many resources it is about, ``expected`` the seconds it took before, or
    resources like these usually take; 0 where nobody knows.
    """

    stack: str
    action: str
    changes: int = 0
    expected: float = 0.0


@dataclass(frozen=True)
class StackWaits:
    """An operation is under way that this run did not begin; the stack's turn comes when it ends.
    ``who`` says whose it is, as far as it can be told.
    """

    stack: str
    status: str
    who: str = ""


@dataclass(frozen=True)
class ResourceMoved:
    """A resource changed its status."""

    stack: str
    event: StackEvent


@dataclass(frozen=True)
class StackUnchanged:
    """Nothing to do: the stack is what the template describes, or is not there to be deleted."""

    stack: str
    outputs: Mapping[str, str]


@dataclass(frozen=True)
class StackDone:
    """An operation ended well."""

    stack: str
    action: str
    outputs: Mapping[str, str]
    seconds: float


@dataclass(frozen=True)
class StackFailed:
    """An operation ended badly, or was refused. ``cause`` is the earliest resource that failed on
    its own account, where one is known, ``source`` the line that made it; ``remedy`` says what to
    do, ``stack_id`` where to look.
    """

    stack: str
    status: str
    reason: str
    cause: StackEvent | None = None
    remedy: str = ""
    source: str = ""
    stack_id: str = ""


@dataclass(frozen=True)
class StackSkipped:
    """Not tried, because the stack ``because`` failed: this one needs it, directly or not, or
    (``needed`` is False) the run was to start nothing more after a failure.
    """

    stack: str
    because: str
    needed: bool = True


@dataclass(frozen=True)
class Migrated:
    """The database's schema is what the stack's code expects; ``detail`` is the answer."""

    stack: str
    detail: str


@dataclass(frozen=True)
class StackProtected:
    """Termination protection was switched on; with ``data``, a stack policy keeps what it holds."""

    stack: str
    data: bool


@dataclass(frozen=True)
class RoundStarted:
    """One of several rounds begins, ``number`` of ``of``, for ``stacks``: what ended well for them
    in an earlier one was half of the way. So is what ends well for those that have their turn
    ``later`` once more. ``stack`` is empty, it is about many.
    """

    title: str
    number: int
    of: int
    stack: str = ""
    stacks: tuple[str, ...] = ()
    later: tuple[str, ...] = ()


@dataclass(frozen=True)
class Interrupted:
    """Somebody wants a word; everything under way goes on meanwhile. ``stack`` is empty."""

    stack: str = ""


@dataclass(frozen=True)
class MonitoringTrouble:
    """A question went unanswered; the operation runs on and is asked after again."""

    stack: str
    trouble: str


Event = (
    StackStarted
    | StackWaits
    | ResourceMoved
    | StackUnchanged
    | StackDone
    | StackFailed
    | StackSkipped
    | Migrated
    | StackProtected
    | RoundStarted
    | Interrupted
    | MonitoringTrouble
)
