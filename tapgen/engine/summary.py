"""How a run ended: read off its events, and nothing else.

A stack that never reported an end counts as interrupted; a summary never rounds up to success.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tapgen.engine.events import (
    Event,
    RoundStarted,
    StackDone,
    StackFailed,
    StackSkipped,
    StackStarted,
    StackUnchanged,
    StackWaits,
)
from tapgen.errors import Exit

End = StackDone | StackFailed | StackSkipped | StackUnchanged

DONE_WORDS = {
    "create": "created",
    "update": "updated",
    "recreate": "recreated",
    "delete": "deleted",
    "cancel": "cancelled",
}


@dataclass
class Summary:
    """The ends of ``stacks``, in their order, as far as they are known."""

    stacks: Sequence[str]
    ends: dict[str, End] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)
    # Stacks that have their turn once more in a later round: a good end is not their last.
    later: frozenset[str] = frozenset()

    def take(self, event: Event) -> None:
        """Learn from one event."""
        if isinstance(event, (StackStarted, StackWaits)):
            self.begun.add(event.stack)
        elif isinstance(event, RoundStarted):
            self.later = frozenset(event.later)
            for stack in event.stacks:
                self.ends.pop(stack, None)
        elif isinstance(event, (StackDone, StackFailed, StackSkipped, StackUnchanged)):
            self.ends[event.stack] = event

    def rows(self) -> list[tuple[str, str, str]]:
        """Stack, how it ended, and what there is to say of it."""
        return [(stack, *self.row_of(stack)) for stack in self.stacks]

    def row_of(self, stack: str) -> tuple[str, str]:
        """How one stack ended, and what there is to say of it."""
        end = self.ends.get(stack)
        if stack in self.later and isinstance(end, (StackDone, StackUnchanged)):
            return "interrupted", "half of its rounds are done; the same command goes on"
        if isinstance(end, StackDone):
            return DONE_WORDS[end.action], clock_time(end.seconds)
        if isinstance(end, StackUnchanged):
            return "unchanged", ""
        if isinstance(end, StackSkipped):
            return "skipped", f"{end.because} failed{'' if end.needed else ' (--fail-fast)'}"
        if isinstance(end, StackFailed):
            return "failed", end.reason
        if stack in self.begun:
            return "interrupted", "its operation may run on in AWS; the same command picks it up"
        return "not started", ""

    @property
    def unchanged(self) -> bool:
        """Whether there was nothing to do."""
        return all(isinstance(self.ends.get(stack), StackUnchanged) for stack in self.stacks)

    @property
    def status(self) -> Exit:
        """The exit status of the run."""
        good = (StackDone, StackUnchanged)
        if not self.later and all(isinstance(self.ends.get(s), good) for s in self.stacks):
            return Exit.DONE
        return Exit.FAILED

    def outputs(self) -> dict[str, Mapping[str, str]]:
        """The outputs of every stack that stands as wanted."""
        ends = [(stack, self.ends.get(stack)) for stack in self.stacks]
        return {
            stack: end.outputs
            for stack, end in ends
            if isinstance(end, (StackDone, StackUnchanged)) and stack not in self.later
        }


def clock_time(seconds: float) -> str:
    """``0.3 s``, ``42 s`` or ``12 min 5 s``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"
