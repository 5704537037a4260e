"""Outputs and exports: which appear, change or vanish, and whether that is certain.

An export in use can neither change nor vanish, so the difference between "changes" and "may
change" decides whether a deployment needs phases. Values that AWS told of the deployed outputs
are used wherever the same reference comes back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tapgen.diff import leaves, secrets, values
from tapgen.diff.changes import Course, ExportChange, OutputChange
from tapgen.diff.leaves import Moved
from tapgen.diff.replaced import Answer, worst
from tapgen.diff.values import AfterApply, Mark, Scope
from tapgen.resolve import Document


@dataclass(frozen=True)
class Output:
    """An output that exists: ``node`` in normal form, ``live`` where AWS told its value."""

    key: str
    node: Any
    export: str | None
    live: str | None


@dataclass(frozen=True)
class _Course:
    action: Course
    before: Any
    after: Any
    certain: bool


def read(document: Document, scope: Scope, live: Mapping[str, str], digest: str) -> list[Output]:
    """The outputs of ``document`` whose condition is not false, without the ``digest``."""
    found = []
    for key, output in document.get("Outputs", {}).items():
        condition = output.get("Condition")
        if key == digest or (condition is not None and scope.holds(condition) is False):
            continue
        name = output.get("Export", {}).get("Name")
        export = None if name is None else str(values.readable(values.normal(name, scope)))
        found.append(Output(key, values.normal(output.get("Value"), scope), export, live.get(key)))
    return found


def compared(
    before: list[Output], after: list[Output], moved: Moved, hidden: frozenset[str]
) -> tuple[tuple[OutputChange, ...], tuple[ExportChange, ...]]:
    """The outputs and exports that differ; ``hidden`` parameters stay stars."""
    # What AWS told of a reference in one output holds for it in every other.
    told = {values.fingerprint(each.node): each.live for each in before if each.live is not None}
    judge = _Judge(told, moved, hidden)
    outputs = tuple(
        OutputChange(key, each.action, each.before, each.after, each.certain)
        for key, each in judge.pairs(
            {each.key: each for each in before}, {each.key: each for each in after}
        )
    )
    had = {each.export: each for each in before if each.export is not None}
    has = {each.export: each for each in after if each.export is not None}
    exports = tuple(
        ExportChange(
            name,
            (has.get(name) or had[name]).key,
            each.action,
            each.before,
            each.after,
            each.certain,
        )
        for name, each in judge.pairs(had, has)
    )
    return outputs, exports


class _Judge:
    def __init__(
        self, told: Mapping[str, str | None], moved: Moved, hidden: frozenset[str]
    ) -> None:
        self._told, self._moved, self._hidden = told, moved, hidden

    def pairs(
        self, before: Mapping[str, Output], after: Mapping[str, Output]
    ) -> Iterator[tuple[str, _Course]]:
        for name in [*before, *(each for each in after if each not in before)]:
            old, new = before.get(name), after.get(name)
            if new is None and old is not None:
                yield name, _Course("vanishes", self._now(old), Mark.ABSENT, True)
            elif old is None and new is not None:
                yield name, _Course("appears", Mark.ABSENT, self._then(new, "yes"), True)
            elif old is not None and new is not None:
                course = self._both(old, new)
                if course is not None:
                    yield name, course

    def _both(self, old: Output, new: Output) -> _Course | None:
        found = list(leaves.differences(old.node, new.node, self._moved))
        if not found:
            return None
        sure = worst(*(leaf.sure for leaf in found))
        now, then = self._now(old), self._then(new, sure)
        if isinstance(then, AfterApply):
            return _Course("changes", now, then, sure == "yes")
        # Another spelling of the value that is there.
        if isinstance(now, str) and isinstance(then, str) and now == then:
            return None
        return _Course("changes", now, then, True)

    def _now(self, output: Output) -> Any:
        if self._is_hidden(output):
            return Mark.MASKED
        if output.live is not None:
            return secrets.masked((output.key,), output.live)
        return _text(values.readable(output.node))

    def _then(self, output: Output, sure: Answer) -> Any:
        if self._is_hidden(output):
            return Mark.MASKED
        references = list(values.references(output.node))
        shown = values.readable(output.node)
        if not references and not values.is_expression(output.node):
            return secrets.masked((output.key,), _text(shown))
        told = self._told.get(values.fingerprint(output.node))
        if told is not None and all(self._moved(each) == "no" for each in references):
            return told
        return AfterApply(_text(shown), sure == "yes")

    def _is_hidden(self, output: Output) -> bool:
        return any(each.name in self._hidden for each in values.references(output.node))


def _text(value: Any) -> str:
    return values.scalar_text(value)
