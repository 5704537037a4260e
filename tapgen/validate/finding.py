"""What goes into a judgement and what comes out of it: ``Source``, ``Finding``, and a ``Rule``.

A rule looks at the resolved world and yields ``Fault``s; its id, its severity and its remedy are
the same for every fault and stand once, in the table of the room that the rule lives in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from tapgen.validate.world import World

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True)
class Source:
    """One template: the file's name for messages, its content as data, and its text as written."""

    file: str
    document: Mapping[str, Any]
    text: str


@dataclass(frozen=True, order=True)
class Finding:
    """One thing that is wrong, or worth knowing, and what to do about it.

    ``logical_id`` is empty for what concerns the whole file; outputs and parameters are written
    ``Outputs.Key`` and ``Parameters.Name``.
    """

    file: str
    logical_id: str
    rule: str
    message: str
    remedy: str
    severity: Severity


@dataclass(frozen=True)
class Fault:
    """Where a rule does not hold, and the facts of it."""

    file: str
    logical_id: str
    message: str


@dataclass(frozen=True)
class Rule:
    """A named check. ``check`` is pure; its docstring gives AWS's reason."""

    id: str
    severity: Severity
    remedy: str
    check: Callable[[World], Iterable[Fault]]

    def findings(self, world: World) -> Iterator[Finding]:
        """Every fault of ``world`` against this rule."""
        for fault in self.check(world):
            yield Finding(
                fault.file, fault.logical_id, self.id, fault.message, self.remedy, self.severity
            )
