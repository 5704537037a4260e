"""Two values in normal form, compared down to the places where they differ.

Lists of named things (tags, statements with a Sid, environment variables) are compared by name,
other lists by content, and JSON in a string as the data that it is. What a difference means is
``compare``'s business.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tapgen.diff import values
from tapgen.diff.replaced import Answer, worst
from tapgen.diff.values import Mark, Reference

# What names an item of a list, the likelier first. Tags know no order; for the others it is part of
# the value.
_NAMED_BY = ("Key", "Sid", "PolicyName", "Name", "AttributeName", "Id")
_UNORDERED = "Key"
ORDER = "(order)"
LAYOUT = "(layout)"
# Outside every assigned character, so no template contains them.
_OPEN, _CLOSE = "\ue000", "\ue001"

Moved = Callable[[Reference], Answer]
Path = tuple[str, ...]


@dataclass(frozen=True)
class Leaf:
    """One place that differs. ``before`` or ``after`` may be ``Mark.ABSENT``.

    ``sure`` says whether the value changes: two spellings of what AWS knows may come to the same.
    ``same`` says that the template's text is the same, and only what it refers to moves.
    """

    path: Path
    before: Any
    after: Any
    sure: Answer
    same: bool = False


def differences(before: Any, after: Any, moved: Moved, path: Path = ()) -> Iterator[Leaf]:
    """Every place where ``after`` says another thing than ``before``.

    ``moved`` tells of a reference whether its value changes; what is spelled alike differs where
    such a reference stands in it.
    """
    if before is Mark.ABSENT or after is Mark.ABSENT:
        if before is not after:
            yield Leaf(path, before, after, "yes")
    elif _is_data(before, Mapping) and _is_data(after, Mapping):
        for key in [*before, *(key for key in after if key not in before)]:
            one, other = before.get(key, Mark.ABSENT), after.get(key, Mark.ABSENT)
            yield from differences(one, other, moved, (*path, str(key)))
    elif isinstance(before, list) and isinstance(after, list):
        yield from _lists(before, after, moved, path)
    elif values.fingerprint(before) == values.fingerprint(after):
        answer = worst(*(moved(reference) for reference in values.references(after)))
        if answer != "no":
            yield from _moved_within(before, after, answer, moved, path)
    else:
        yield from _texts(before, after, moved, path)


def path_text(path: Path) -> str:
    """A path as people write it: ``PolicyDocument.Statement[OnlyTls].Action``."""
    text = ""
    for step in path:
        if step.startswith("[") or not text:
            text += step
        elif step in (ORDER, LAYOUT):
            text += f" {step}"
        elif "." in step or "[" in step:
            text += f"[{step!r}]"
        else:
            text += f".{step}"
    return text


def _moved_within(
    before: Any, after: Any, answer: Answer, moved: Moved, path: Path
) -> Iterator[Leaf]:
    one, other = data_in(before), data_in(after)
    if one is None or other is None:
        yield Leaf(path, before, after, answer, same=True)
    else:
        yield from differences(one, other, moved, path)


def _texts(before: Any, after: Any, moved: Moved, path: Path) -> Iterator[Leaf]:
    one, other = data_in(before), data_in(after)
    if one is not None and other is not None and type(one) is type(other):
        found = list(differences(one, other, moved, path))
        # The same data written otherwise: CloudFormation still sees another string.
        yield from found or [Leaf((*path, LAYOUT), before, after, "yes")]
    else:
        yield Leaf(path, before, after, _surely(before, after, moved))


def data_in(node: Any) -> Any:
    """The JSON object or array that a text in normal form holds; None when it holds none."""
    pieces = values.pieces_of(node)
    if not pieces or not isinstance(pieces[0], str):
        return None
    if not pieces[0].lstrip().startswith(("{", "[")):
        return None
    unknown = [piece for piece in pieces if not isinstance(piece, str)]
    holes = iter(range(len(unknown)))
    text = "".join(
        piece if isinstance(piece, str) else f"{_OPEN}{next(holes)}{_CLOSE}" for piece in pieces
    )
    try:
        return _filled(json.loads(text), unknown)
    except ValueError:
        return None


def _filled(node: Any, unknown: Sequence[Any]) -> Any:
    if isinstance(node, dict):
        # A hole in a key stays as text: it names a member, its value is elsewhere.
        return {
            str(values.readable(_filled(key, unknown))): _filled(item, unknown)
            for key, item in node.items()
        }
    if isinstance(node, list):
        return [_filled(item, unknown) for item in node]
    if not isinstance(node, str) or _OPEN not in node:
        return node
    first, *rest = node.split(_OPEN)
    pieces: list[Any] = [first]
    for part in rest:
        number, _, text = part.partition(_CLOSE)
        pieces += [unknown[int(number)], text]
    return values.join(pieces)


def _lists(before: list[Any], after: list[Any], moved: Moved, path: Path) -> Iterator[Leaf]:
    name = _name_of_items(before, after)
    if name is None:
        yield from _by_content(before, after, moved, path)
        return
    one = {_label(item, name): item for item in before}
    other = {_label(item, name): item for item in after}
    for key in [*one, *(key for key in other if key not in one)]:
        left, right = one.get(key, Mark.ABSENT), other.get(key, Mark.ABSENT)
        yield from differences(left, right, moved, (*path, f"[{key}]"))
    kept, now = [key for key in one if key in other], [key for key in other if key in one]
    if name != _UNORDERED and kept != now:
        yield Leaf((*path, ORDER), kept, now, "yes")


def _by_content(before: list[Any], after: list[Any], moved: Moved, path: Path) -> Iterator[Leaf]:
    """Equal items are pairs wherever they stand; the rest are pairs in their order."""
    waiting: dict[str, list[int]] = {}
    for place, item in enumerate(before):
        waiting.setdefault(values.fingerprint(item), []).append(place)
    equal, added = [], []
    for place, item in enumerate(after):
        places = waiting.get(values.fingerprint(item))
        if places:
            equal.append((places.pop(0), place))
        else:
            added.append(place)
    removed = sorted(place for places in waiting.values() for place in places)
    both = min(len(removed), len(added))
    pairs = sorted([*equal, *zip(removed[:both], added[:both], strict=True)], key=lambda p: p[1])
    for left, right in pairs:
        yield from differences(before[left], after[right], moved, (*path, f"[{right}]"))
    for left in removed[both:]:
        yield Leaf((*path, f"[{left}]"), before[left], Mark.ABSENT, "yes")
    for right in added[both:]:
        yield Leaf((*path, f"[{right}]"), Mark.ABSENT, after[right], "yes")
    order = [left for left, _ in equal]
    if order != sorted(order):
        yield Leaf((*path, ORDER), before, after, "yes")


def _name_of_items(before: list[Any], after: list[Any]) -> str | None:
    if not before or not after:
        return None
    for name in _NAMED_BY:
        if all(_is_named(items, name) for items in (before, after)):
            return name
    return None


def _is_named(items: list[Any], name: str) -> bool:
    if not all(_is_data(item, Mapping) and isinstance(item.get(name), str) for item in items):
        return False
    return len({item[name] for item in items}) == len(items)


def _label(item: Mapping[str, Any], name: str) -> str:
    return str(item[name])


def _is_data(node: Any, kind: type) -> bool:
    return isinstance(node, kind) and not values.is_expression(node)


def _surely(before: Any, after: Any, moved: Moved) -> Answer:
    """Whether values spelled differently are different."""
    one, other = list(values.references(before)), list(values.references(after))
    answers = [moved(reference) for reference in other]
    if "yes" in answers or not (one or other) or one == other:
        return "yes"
    named, renamed = {(r.kind, r.name) for r in one}, {(r.kind, r.name) for r in other}
    if named and renamed and named != renamed:
        return "yes"
    return "maybe"
