"""Intrinsic functions worked out as far as plain values go: no AWS, no guessing.

``Known`` holds the values at hand (parameters, pseudo parameters, a template's mappings and
conditions); ``value`` puts them in. What only AWS knows, a resource's attribute or another stack's
export, raises ``Unresolvable``, or, with ``partial``, stays as it stands. Graph, plan and
validation all read names through this one module, so that an export and its import are compared
in one form.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tapgen import names
from tapgen.errors import TapgenError

Document = Mapping[str, Any]

_HOLE = re.compile(r"\$\{([^!}][^}]*)\}")
_LITERAL_HOLE = re.compile(r"\$\{!([^}]*)\}")
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
        if condition not in self.conditions:
            raise Unresolvable(f"condition {condition!r}")
        return _truth(self.conditions[condition], self)


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
    return [name.strip() for name in _HOLE.findall(template)]


def _members(node: Mapping[str, Any], known: Known) -> dict[str, Any]:
    members = {key: value(item, known) for key, item in node.items()}
    return {key: item for key, item in members.items() if not _absent(item)}


def _inner(argument: Any, known: Known) -> Any:
    if isinstance(argument, Mapping):
        return _members(argument, known)
    if isinstance(argument, list):
        return [value(item, known) for item in argument]
    return argument


def _absent(item: Any) -> bool:
    return isinstance(item, Mapping) and item.get("Ref") == NO_VALUE and len(item) == 1


def _spelled(found: object) -> str:
    return str(found).lower() if isinstance(found, bool) else str(found)


def _ref(name: Any, known: Known) -> Any:
    if name == NO_VALUE:
        return {"Ref": NO_VALUE}
    if name in known.values:
        return known.values[name]
    raise Unresolvable(f"Ref {name}")


def _sub(argument: Any, known: Known) -> str:
    template, extra = argument if isinstance(argument, list) else (argument, {})
    if not isinstance(template, str):
        raise Unresolvable(f"Fn::Sub {template!r}")

    def fill(match: re.Match[str]) -> str:
        name = match.group(1).strip()
        node = extra.get(name, {"Ref": name})
        if name not in extra and "." in name:
            raise Unresolvable(f"${{{name}}}")
        return text(node, Known(**{**vars(known), "partial": False}))

    return _LITERAL_HOLE.sub(r"${\1}", _HOLE.sub(fill, template))


def _join(argument: Any, known: Known) -> str:
    delimiter, parts = argument
    found = value(parts, known)
    if not isinstance(found, list):
        raise Unresolvable(f"Fn::Join of {found!r}")
    return str(delimiter).join(text(part, known) for part in found)


def _split(argument: Any, known: Known) -> list[str]:
    delimiter, whole = argument
    return text(whole, known).split(str(delimiter))


def _select(argument: Any, known: Known) -> Any:
    index, choices = argument
    found = value(choices, known)
    if not isinstance(found, list) or not 0 <= int(index) < len(found):
        raise Unresolvable(f"Fn::Select of {found!r}")
    return value(found[int(index)], known)


def _find_in_map(argument: Any, known: Known) -> Any:
    name, first, second = (text(part, known) for part in argument[:3])
    try:
        return known.mappings[name][first][second]
    except KeyError:
        raise Unresolvable(f"Fn::FindInMap {name}.{first}.{second}") from None


def _if(argument: Any, known: Known) -> Any:
    condition, yes, no = argument
    return value(yes if known.holds(condition) else no, known)


def _import(argument: Any, known: Known) -> Any:
    name = text(argument, Known(**{**vars(known), "partial": False}))
    if name in known.imports:
        return known.imports[name]
    raise Unresolvable(f"export {name!r}")


def _unknown(function: str) -> Callable[[Any, Known], Any]:
    def refuse(argument: Any, known: Known) -> Any:
        raise Unresolvable(f"{function} {argument!r}")

    return refuse


def _truth(node: Any, known: Known) -> bool:
    ((key, argument),) = node.items()
    if key == "Condition":
        return known.holds(argument)
    if key == "Fn::Equals":
        left, right = (text(part, known) for part in argument)
        return left == right
    if key == "Fn::Not":
        return not _truth(argument[0], known)
    if key == "Fn::And":
        return all(_truth(part, known) for part in argument)
    if key == "Fn::Or":
        return any(_truth(part, known) for part in argument)
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
