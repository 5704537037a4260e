"""How a state's data is selected, built and placed: paths, templates, two intrinsic functions."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

_STEP = re.compile(r"\.([A-Za-z_][A-Za-z0-9_]*)|\[(\d+)\]")
_FORMAT = re.compile(r"States\.Format\('\{\}', (\$[^)]*)\)")
_TO_STRING = re.compile(r"States\.JsonToString\((\$[^)]*)\)")


class NoSuchPath(Exception):
    """A path that leads nowhere in the data."""


class Unknown(Exception):
    """A part of the language that this interpreter does not know."""


def text(value: Any) -> str:
    """JSON as Step Functions writes it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def at(path: str, data: Any, context: Any) -> Any:
    """What a path, or a context path, points to. Raises ``NoSuchPath``."""
    found, rest = (context, path[2:]) if path.startswith("$$") else (data, path[1:])
    read = 0
    for step in _STEP.finditer(rest):
        if step.start() != read:
            break
        read = step.end()
        name, index = step.groups()
        try:
            found = found[name] if name is not None else found[int(index)]
        except (KeyError, IndexError, TypeError):
            raise NoSuchPath(path) from None
    if read != len(rest):
        raise Unknown(path)
    return found


def evaluated(expression: str, data: Any, context: Any) -> Any:
    """The value of what stands under a name that ends in ``.$``."""
    if match := _FORMAT.fullmatch(expression):
        value = at(match[1], data, context)
        return value if isinstance(value, str) else text(value)
    if match := _TO_STRING.fullmatch(expression):
        return text(at(match[1], data, context))
    if expression.startswith("$"):
        return at(expression, data, context)
    raise Unknown(expression)


def built(template: Any, data: Any, context: Any) -> Any:
    """A template with its paths filled in."""
    if isinstance(template, dict):
        return {
            name.removesuffix(".$"): (
                evaluated(value, data, context)
                if name.endswith(".$")
                else built(value, data, context)
            )
            for name, value in template.items()
        }
    if isinstance(template, list):
        return [built(item, data, context) for item in template]
    return template


def placed(path: str | None, whole: Any, value: Any) -> Any:
    """``whole`` with ``value`` where a ResultPath puts it."""
    if path is None:
        return whole
    if path == "$":
        return value
    match = re.fullmatch(r"\$\.([A-Za-z_]\w*)", path)
    if match is None:
        raise Unknown(path)
    return {**copy.deepcopy(whole), match[1]: value}
