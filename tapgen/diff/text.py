"""Changes, findings and access as lines of text. A sign says what a style only repeats.

``+`` added, ``~`` changed, ``-`` removed, ``-/+`` replaced, ``?`` may be replaced, ``!`` what
becomes of data. Lines fit ``width`` columns; what does not fit goes on below, nothing is cut off.
"""

from __future__ import annotations

import difflib
import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tapgen.diff import AfterApply, Mark, PropertyChange, ResourceChange, StackChanges
from tapgen.diff.access import AccessChange
from tapgen.diff.findings import STATEFUL, Finding
from tapgen.diff.over import TAGS
from tapgen.diff.values import scalar_text

WIDTH = 80
# Lines around a changed one in a long text; one more each side than tells where it is.
CONTEXT = 2
_INDENT = "      "


class Line(NamedTuple):
    """A line and its style: add, change, remove, replace, maybe, keep, head, faint, or none."""

    text: str
    style: str = ""


_SIGNS = {
    "add": ("+", "add"),
    "modify": ("~", "change"),
    "remove": ("-", "remove"),
    "appears": ("+", "add"),
    "changes": ("~", "change"),
    "vanishes": ("-", "remove"),
}
_REPLACED = {"yes": ("-/+", "replace"), "maybe": ("?", "maybe")}
_FATES = {
    "kept": "is kept, outside of every stack",
    "snapshot": "leaves a snapshot",
    "deleted": "is deleted",
}
_LEVELS = {"destructive": ("!!", "remove"), "broadening": ("!", "maybe"), "info": ("i", "faint")}


def lines(
    changes: StackChanges,
    *,
    importers: Mapping[str, Sequence[str]] | None = None,
    width: int = WIDTH,
) -> list[Line]:
    """Everything that differs in one stack, under a line with its name and the numbers.

    ``importers`` maps exports to the stacks that import them now.
    """
    found = list(_wrapped(f"{changes.stack}: {summary(changes)}", "head", width))
    retagged = [each.logical_id for each in changes.resources if _is_retagged(each)]
    following = [f"{each.logical_id} ({each.why})" for each in changes.resources if _follows(each)]
    for resource in changes.resources:
        if not (_is_retagged(resource) or _follows(resource)):
            found += _resource(resource, width)
    if retagged:
        found += _wrapped(f"  ~   {TAGS}: {', '.join(retagged)}", "change", width)
    if following:
        text = f"  ?   listed, though nothing of it may change: {', '.join(following)}"
        found += _wrapped(text, "faint", width)
    exported = {(each.key, each.action) for each in changes.exports}
    for output in changes.outputs:
        if (output.key, output.action) in exported:
            # Its export says the same, under the name that others know.
            continue
        unsure = "" if output.certain else " (may stay)"
        found += _change("output", output.key, output.before, output.after, width, unsure)
    for export in changes.exports:
        unsure = "" if export.certain else " (may stay)"
        found += _change("export", export.name, export.before, export.after, width, unsure)
        if users := (importers or {}).get(export.name, ()):
            found += _wrapped(f"{_INDENT}imported by {', '.join(sorted(users))}", "faint", width)
    for parameter in changes.parameters:
        found += _change("parameter", parameter.name, parameter.before, parameter.after, width)
    for name in changes.unseen:
        text = f"  ?   parameter {name}: hidden, so nobody can say whether it changes"
        found += _wrapped(text, "maybe", width)
    for tag in changes.tags:
        found += _change("tag", tag.key, tag.before, tag.after, width)
    for section in changes.sections if changes.before and changes.after else ():
        found += _change("", section.path, section.before, section.after, width)
    if changes.digest is not None:
        found += _change("template", "digest", *changes.digest, width)
    return found


def summary(changes: StackChanges) -> str:
    """The numbers: ``1 replaced, 2 changed, 1 output``."""
    if changes.is_empty:
        return "no changes"
    verbs = ("added", "replaced", "maybe replaced", "changed", "maybe changed", "removed")
    counts = dict.fromkeys(verbs, 0)
    for each in changes.resources:
        verb = {"add": "added", "modify": "changed", "remove": "removed"}[each.action]
        if not each.certain:
            verb = "maybe changed"
        if each.replacement != "no":
            verb = "replaced" if each.replacement == "yes" else "maybe replaced"
        counts[verb] += 1
    parts = [f"{count} {verb}" for verb, count in counts.items() if count]
    for kind, found in (
        ("output", changes.outputs),
        ("export", changes.exports),
        ("parameter", changes.parameters),
        ("tag", changes.tags),
    ):
        if found:
            parts.append(f"{len(found)} {kind}{'s' if len(found) > 1 else ''}")
    return ", ".join(parts) or "only what is no resource"


def finding_lines(found: Iterable[Finding], *, width: int = WIDTH) -> list[Line]:
    """Findings, each with a sign for its severity and its id."""
    result: list[Line] = []
    for each in found:
        sign, style = _LEVELS[each.severity]
        text = f"  {sign:<3} {each.severity}: {each.text} [{each.id}]"
        result += _wrapped(text, style, width)
    return result


def access_lines(rows: Sequence[tuple[str, AccessChange]], *, width: int = WIDTH) -> list[Line]:
    """Who may do what, as a table; each row's logical id stands in for what it leaves unsaid.

    A ``!`` after the sign marks rows that allow more than before.
    """
    if not rows:
        return []
    head = ["", "Resource", "Effect", "Action", "Principal", "Condition"]
    cells = [_cells(logical_id, row) for logical_id, row in rows]
    columns = [place for place in range(len(head)) if place < 5 or any(c[5] for c in cells)]
    sizes = _sizes(
        [[row[place] for place in columns] for row in [[[h] for h in head], *cells]], width
    )
    found = [
        Line("  ".join(head[c].ljust(s) for c, s in zip(columns, sizes, strict=True)).rstrip())
    ]
    found.append(Line("  ".join("-" * size for size in sizes), "faint"))
    for (_, row), cell in zip(rows, cells, strict=True):
        style = "add" if row.sign == "+" else "remove"
        table = [
            [part for text in cell[place] for part in _folded(text, size)]
            for place, size in zip(columns, sizes, strict=True)
        ]
        for depth in range(max(map(len, table))):
            parts = (
                (column[depth] if depth < len(column) else "").ljust(size)
                for column, size in zip(table, sizes, strict=True)
            )
            found.append(Line("  ".join(parts).rstrip(), style))
    return found


def text_diff(before: str, after: str) -> list[str]:
    """Two long texts as a unified diff, without the lines that name files."""
    found = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=CONTEXT)
    return list(found)[2:]


def shown(value: Any) -> str:
    """One value as text: data as JSON, marks in brackets."""
    if isinstance(value, Mark):
        return value.value
    if isinstance(value, AfterApply):
        return f"(known after apply: {value.of})"
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    if value is None:
        return "null"
    return scalar_text(value) if value != "" else '""'


def _resource(change: ResourceChange, width: int) -> Iterator[Line]:
    sign, style = _REPLACED.get(change.replacement, _SIGNS[change.action])
    yield from _wrapped(f"  {sign:<3} {change.logical_id}  {change.type}", style, width)
    if change.why:
        yield from _wrapped(f"{_INDENT}{change.why}", "faint", width)
    for each in (*change.properties, *change.attributes):
        yield from _property(each, width)
    # Of what holds no data, that the old one goes is what replacing means.
    if change.data is not None and (change.data != "deleted" or change.type in STATEFUL):
        when = "if so, the old one" if change.replacement == "maybe" else "the old one"
        style = "remove" if change.data == "deleted" else "keep"
        yield from _wrapped(f"{_INDENT}!   {when} {_FATES[change.data]}", style, width)
    for doubt in change.doubts:
        yield from _wrapped(f"{_INDENT}?   {doubt}", "maybe", width)


def _follows(change: ResourceChange) -> bool:
    return not change.certain and change.replacement == "no"


def _is_retagged(change: ResourceChange) -> bool:
    """Whether nothing of it changes but what comes from the stack's tags."""
    return change.why == TAGS and not (change.properties or change.attributes or change.doubts)


def _property(change: PropertyChange, width: int) -> Iterator[Line]:
    sign, style = _REPLACED.get(change.replacement, _sign(change.before, change.after))
    lead = f"{_INDENT}{sign:<3} {change.path}"
    yield from _values(lead, change.before, change.after, style, width)
    if change.why:
        yield from _wrapped(f"{_INDENT}    {change.why}", style, width)


def _change(
    kind: str, name: str, before: Any, after: Any, width: int, unsure: str = ""
) -> Iterator[Line]:
    sign, style = _sign(before, after)
    if unsure:
        sign, style = "?", "maybe"
    lead = f"  {sign:<3} {kind} {name}{unsure}" if kind else f"  {sign:<3} {name}"
    yield from _values(lead, before, after, style, width)


def _sign(before: Any, after: Any) -> tuple[str, str]:
    if before is Mark.ABSENT:
        return "+", "add"
    return ("-", "remove") if after is Mark.ABSENT else ("~", "change")


def _values(lead: str, before: Any, after: Any, style: str, width: int) -> Iterator[Line]:
    if before is Mark.ABSENT or after is Mark.ABSENT:
        text = shown(after if before is Mark.ABSENT else before)
        pairs = [("", text)]
    else:
        pairs = [("- ", shown(before)), ("+ ", shown(after))]
        one_line = f"{lead}: {pairs[0][1]} -> {pairs[1][1]}"
        if len(one_line) <= width and "\n" not in one_line:
            yield Line(one_line, style)
            return
    if len(pairs) == 1 and len(f"{lead}: {pairs[0][1]}") <= width and "\n" not in pairs[0][1]:
        yield Line(f"{lead}: {pairs[0][1]}", style)
        return
    yield from _wrapped(f"{lead}:", style, width)
    below = " " * (len(lead) - len(lead.lstrip()) + 6)
    if len(pairs) == 2 and any("\n" in text for _, text in pairs):
        for line in text_diff(pairs[0][1], pairs[1][1]):
            inner = {"-": "remove", "+": "add"}.get(line[:1], "faint")
            yield from _wrapped(f"{below}{line}", inner, width, below=f"{below}  ")
        return
    for sign, text in pairs:
        inner = {"- ": "remove", "+ ": "add"}.get(sign, style)
        for line in text.splitlines() or [""]:
            yield from _wrapped(f"{below}{sign}{line}", inner, width, below=f"{below}  ")


def _wrapped(text: str, style: str, width: int, below: str | None = None) -> Iterator[Line]:
    margin = " " * (len(text) - len(text.lstrip()) + 4) if below is None else below
    for part in _folded(text, width, margin):
        yield Line(part, style)


def _folded(text: str, width: int, below: str = "") -> list[str]:
    if len(text) <= width:
        return [text]
    lead = text[: len(text) - len(text.lstrip())]
    folded = textwrap.wrap(
        text.lstrip(),
        width,
        initial_indent=lead,
        subsequent_indent=below,
        break_on_hyphens=False,
        expand_tabs=False,
    )
    return folded or [text]


def _cells(logical_id: str, row: AccessChange) -> list[list[str]]:
    own = [f"${{{logical_id}}}"]
    return [
        [row.sign + ("!" if row.broadens else "")],
        list(row.resources) or own,
        [row.effect],
        list(row.actions),
        list(row.principals) or own,
        list(row.conditions),
    ]


def _sizes(rows: list[list[list[str]]], width: int) -> list[int]:
    """Each column's width: what it needs, the widest ones giving way until all fit."""
    needed = [max(max(map(len, row[c]), default=0) for row in rows) for c in range(len(rows[0]))]
    room = width - 2 * (len(needed) - 1)
    while sum(needed) > room:
        widest = needed.index(max(needed))
        if needed[widest] <= 6:
            break
        needed[widest] -= 1
    return needed
