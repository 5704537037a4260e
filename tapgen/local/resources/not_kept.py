"""What the embedded AWS takes without a word and then forgets.

Property by property, with the consequence. Whoever shows a deployed resource or compares one with
its template says of these "not kept by the embedded AWS" instead of reporting a difference.
This table needs nothing of the emulator, so every command may import it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NotKept:
    """A property of a resource type that cannot be read back, and why."""

    type: str
    property: str
    why: str


NOT_KEPT: tuple[NotKept, ...] = ()
