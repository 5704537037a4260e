"""One setting: what it is called and takes, and how a template's parameter reads a value."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tapgen import names

# Parameters of one of these types must differ: two subnets in one zone are refused by RDS and
# ElastiCache, which want two, long after the network stands.
_APART = frozenset({"AWS::EC2::AvailabilityZone::Name"})


@dataclass(frozen=True)
class Key:
    """One setting: how it is called, what it takes (in words), and how a value is checked.

    ``accept`` returns the value in its final form or raises ``ValueError``. Keys of one ``kind``
    must not have the same value; ``default`` is what one has that nobody sets.
    """

    name: str
    takes: str
    accept: Callable[[Any], Any]
    parameter: str | None = None
    kind: str | None = None
    default: str | None = None


class Typed(str):
    """A value that came as text and may stand for a number or a list."""


def key_of(title: str, parameter: Mapping[str, Any]) -> Key:
    """The setting of a parameter that has a default."""
    return Key(
        names.setting_key(title),
        _in_words(parameter),
        lambda value: _fit(value, parameter),
        title,
        parameter["Type"] if parameter["Type"] in _APART else None,
        str(parameter["Default"]),
    )


def _in_words(parameter: Mapping[str, Any]) -> str:
    if "AllowedValues" in parameter:
        return " or ".join(repr(choice) for choice in parameter["AllowedValues"])
    kind = parameter["Type"]
    words = "a number" if kind == "Number" else "a list of texts" if _is_list(kind) else "a text"
    low, high = (parameter.get(f"{end}{_measure(kind)}") for end in ("Min", "Max"))
    if low is not None and high is not None:
        words += f" from {low} to {high}" + ("" if kind == "Number" else " characters")
    elif high is not None:
        words += f" of at most {high}" + ("" if kind == "Number" else " characters")
    elif low is not None:
        words += f" of at least {low}" + ("" if kind == "Number" else " characters")
    if "AllowedPattern" in parameter:
        told = parameter.get("ConstraintDescription")
        words += f" ({told})" if told else f" matching {parameter['AllowedPattern']}"
    return words


def _fit(value: Any, parameter: Mapping[str, Any]) -> str:
    """``value`` as CloudFormation takes it, a string; ``ValueError`` when the template refuses."""
    kind = parameter["Type"]
    if _is_list(kind):
        items = value.split(",") if isinstance(value, str) else value
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise ValueError
        return ",".join(item.strip() for item in items)
    text = _as_text(value, parameter)
    if "AllowedValues" in parameter and text not in [str(v) for v in parameter["AllowedValues"]]:
        raise ValueError
    if "AllowedPattern" in parameter and re.fullmatch(parameter["AllowedPattern"], text) is None:
        raise ValueError
    measured = _number(text) if kind == "Number" else len(text)
    low, high = (parameter.get(f"{end}{_measure(kind)}") for end in ("Min", "Max"))
    if (low is not None and measured < float(low)) or (high is not None and measured > float(high)):
        raise ValueError
    return text


def _as_text(value: Any, parameter: Mapping[str, Any]) -> str:
    switch = set(map(str, parameter.get("AllowedValues", ()))) == {"true", "false"}
    if isinstance(value, bool):
        if not switch:
            raise ValueError
        return str(value).lower()
    # Numbers only where the template wants one: TOML's 16.10 is the number 16.1.
    if isinstance(value, (int, float)) and parameter["Type"] == "Number":
        return str(value)
    if not isinstance(value, str):
        raise ValueError
    return str(value)


def _number(text: str) -> float:
    # float() also takes 'nan', '1_000' and blanks, and CloudFormation none of them.
    if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text) is None:
        raise ValueError
    return float(text)


def _is_list(kind: str) -> bool:
    return kind == "CommaDelimitedList" or kind.startswith("List<")


def _measure(kind: str) -> str:
    return "Value" if kind == "Number" else "Length"
