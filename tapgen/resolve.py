"""Intrinsic functions worked out as far as plain values go: no AWS, no guessing.

``Known`` holds the values at hand (parameters, pseudo parameters, a template's mappings and
conditions); ``value`` puts them in. What only AWS knows, a resource's attribute or another stack's
export, raises ``Unresolvable``, or, with ``partial``, stays as it stands. Graph, plan and
validation all read names through this one module, so that an export and its import are compared
in one form.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tapgen import names
from tapgen.errors import TapgenError

Document = Mapping[str, Any]

# The first group marks a literal one, ${!x}, which stands for ${x}.
_HOLE = re.compile(r"\$\{(!?)([^}]+)\}")
NO_VALUE = "AWS::NoValue"


class Unresolvable(TapgenError):
    """A value that only AWS could tell."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(f"{what} is known to AWS only")


def pseudo_parameters(account: str = "123456789012", stack: str = "stack") -> dict[str, str]:
    """The pseudo parameters of a stack in the one region that tapgen deploys to."""
    return {
        "AWS::Region": names.REGION,
        "AWS::Partition": "aws",
        "AWS::URLSuffix": "amazonaws.com",
        "AWS::AccountId": account,
        "AWS::StackName": stack,
    }


@dataclass(frozen=True)
class Known:
    """What is known while resolving one document.

    ``values`` maps parameters and pseudo parameters to theirs; ``imports`` maps export names to
    values, where somebody knows them. With ``partial`` set, what is unknown stays as it stands.
    """

    values: Mapping[str, Any]
    mappings: Mapping[str, Any] = field(default_factory=dict)
    conditions: Mapping[str, Any] = field(default_factory=dict)
    imports: Mapping[str, Any] = field(default_factory=dict)
    partial: bool = False

    @classmethod
    def of(
        cls,
        document: Document,
        values: Mapping[str, Any],
        *,
        imports: Mapping[str, Any] | None = None,
        partial: bool = False,
    ) -> Known:
        """Everything known of ``document``: its parameters' defaults, overlaid by ``values``."""
        defaults = {
            name: parameter["Default"]
            for name, parameter in document.get("Parameters", {}).items()
            if "Default" in parameter
        }
        return cls(
            {**pseudo_parameters(), **defaults, **values},
            document.get("Mappings", {}),
            document.get("Conditions", {}),
            imports or {},
            partial,
        )

    def holds(self, condition: str) -> bool:
        """Whether a named condition of the document is true."""
        if not isinstance(condition, str) or condition not in self.conditions:
            raise Unresolvable(f"condition {condition!r}")
        # Without itself: conditions that go round in a circle end as one that is not there.
        others = {name: node for name, node in self.conditions.items() if name != condition}
        return _truth(self.conditions[condition], replace(self, conditions=others))


def value(node: Any, known: Known) -> Any:
    """Return ``node`` with its intrinsic functions worked out.

    Raises ``Unresolvable`` for what is not known, unless ``known.partial``.
    """
    if isinstance(node, Mapping):
        if len(node) == 1:
            ((key, argument),) = node.items()
            function = _FUNCTIONS.get(key)
            if function is not None:
                try:
                    return function(argument, known)
                except Unresolvable:
                    if not known.partial:
                        raise
                    return {key: _inner(argument, known)}
        return _members(node, known)
    if isinstance(node, (list, tuple)):
        kept = (value(item, known) for item in node)
        return [item for item in kept if not _absent(item)]
    return node


def text(node: Any, known: Known) -> str:
    """Return ``node`` as the one string it resolves to; raises ``Unresolvable`` otherwise."""
    found = value(node, known)
    if isinstance(found, (str, int, float)):
        return _spelled(found)
    raise Unresolvable(f"{found!r}")


def holes(template: str) -> list[str]:
    """The names between ``${`` and ``}`` in a Fn::Sub text, literal ones (``${!x}``) left out."""
    return [name.strip() for literal, name in _HOLE.findall(template) if not literal]


def _members(node: Mapping[str, Any], known: Known) -> dict[str, Any]:
    members = {key: value(item, known) for key, item in node.items()}
    return {key: item for key, item in members.items() if not _absent(item)}


def _inner(argument: Any, known: Known) -> Any:
    # Nothing is dropped from a list here: a function's arguments count by their place.
    if isinstance(argument, (list, tuple)):
        return [value(item, known) for item in argument]
    return value(argument, known)


def _parts(function: str, argument: Any, count: int) -> Sequence[Any]:
    """The arguments of ``function``, or ``Unresolvable`` where there are not ``count`` of them."""
    if not isinstance(argument, (list, tuple)) or len(argument) != count:
        raise Unresolvable(f"{function} {argument!r}")
    return argument


def _absent(item: Any) -> bool:
    return isinstance(item, Mapping) and item.get("Ref") == NO_VALUE and len(item) == 1


def _spelled(found: object) -> str:
    return str(found).lower() if isinstance(found, bool) else str(found)


def _ref(name: Any, known: Known) -> Any:
    if name == NO_VALUE:
        return {"Ref": NO_VALUE}
    if isinstance(name, str) and name in known.values:
        return known.values[name]
    raise Unresolvable(f"Ref {name}")


def _sub(argument: Any, known: Known) -> str:
    template, extra = (
        (argument, {}) if isinstance(argument, str) else _parts("Fn::Sub", argument, 2)
    )
    if not isinstance(template, str) or not isinstance(extra, Mapping):
        raise Unresolvable(f"Fn::Sub {argument!r}")

    def fill(match: re.Match[str]) -> str:
        literal, name = match.group(1), match.group(2).strip()
        if literal:
            return f"${{{match.group(2)}}}"
        if name not in extra and "." in name:
            raise Unresolvable(f"${{{name}}}")
        return text(extra.get(name, {"Ref": name}), replace(known, partial=False))

    return _HOLE.sub(fill, template)


def _join(argument: Any, known: Known) -> str:
    delimiter, parts = _parts("Fn::Join", argument, 2)
    found = value(parts, known)
    if not isinstance(found, list):
        raise Unresolvable(f"Fn::Join of {found!r}")
    return str(delimiter).join(text(part, known) for part in found)


def _split(argument: Any, known: Known) -> list[str]:
    delimiter, whole = _parts("Fn::Split", argument, 2)
    return text(whole, known).split(str(delimiter))


def _select(argument: Any, known: Known) -> Any:
    index, choices = _parts("Fn::Select", argument, 2)
    place, found = text(index, known), value(choices, known)
    if not isinstance(found, list) or not place.isdecimal() or int(place) >= len(found):
        raise Unresolvable(f"Fn::Select {place} of {found!r}")
    return found[int(place)]


def _find_in_map(argument: Any, known: Known) -> Any:
    # A fourth part, a default, needs a transform; without it the first three decide.
    path = argument[:3] if isinstance(argument, list) else argument
    name, first, second = (text(part, known) for part in _parts("Fn::FindInMap", path, 3))
    try:
        return known.mappings[name][first][second]
    except (KeyError, TypeError):
        raise Unresolvable(f"Fn::FindInMap {name}.{first}.{second}") from None


def _if(argument: Any, known: Known) -> Any:
    condition, yes, no = _parts("Fn::If", argument, 3)
    return value(yes if known.holds(condition) else no, known)


def _import(argument: Any, known: Known) -> Any:
    name = text(argument, replace(known, partial=False))
    if name in known.imports:
        return known.imports[name]
    raise Unresolvable(f"export {name!r}")


def _unknown(function: str) -> Callable[[Any, Known], Any]:
    def refuse(argument: Any, known: Known) -> Any:
        raise Unresolvable(f"{function} {argument!r}")

    return refuse


def _truth(node: Any, known: Known) -> bool:
    if not isinstance(node, Mapping) or len(node) != 1:
        raise Unresolvable(f"condition {node!r}")
    ((key, argument),) = node.items()
    if key == "Condition":
        return known.holds(argument)
    if key == "Fn::Equals":
        left, right = (text(part, known) for part in _parts(key, argument, 2))
        return left == right
    if key == "Fn::Not":
        return not _truth(_parts(key, argument, 1)[0], known)
    if key in ("Fn::And", "Fn::Or") and isinstance(argument, (list, tuple)):
        every = (_truth(part, known) for part in argument)
        return all(every) if key == "Fn::And" else any(every)
    raise Unresolvable(f"condition function {key}")


_FUNCTIONS: dict[str, Callable[[Any, Known], Any]] = {
    "Ref": _ref,
    "Fn::Sub": _sub,
    "Fn::Join": _join,
    "Fn::Split": _split,
    "Fn::Select": _select,
    "Fn::FindInMap": _find_in_map,
    "Fn::If": _if,
    "Fn::ImportValue": _import,
    "Fn::GetAtt": _unknown("Fn::GetAtt"),
    "Fn::GetAZs": _unknown("Fn::GetAZs"),
    "Fn::Cidr": _unknown("Fn::Cidr"),
    "Fn::Base64": _unknown("Fn::Base64"),
    "Fn::GetStackOutput": _unknown("Fn::GetStackOutput"),
    "Fn::Transform": _unknown("Fn::Transform"),
}
