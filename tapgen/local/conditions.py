"""Conditions that look a value up in a mapping, which the emulator's own evaluation leaves out.

Every template of this system has one: the look-up that only Tokyo can answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tapgen.local import reach


def install() -> None:
    """Let conditions use Fn::FindInMap; one that finds nothing is refused, as AWS does."""
    evaluate = reach.cloudformation("engine")._evaluate_conditions

    def evaluating(template: dict[str, Any], params: Mapping[str, Any]) -> Any:
        conditions = template.get("Conditions")
        if not conditions:
            return evaluate(template, params)
        found = looked_up(conditions, template.get("Mappings") or {}, params)
        return evaluate({**template, "Conditions": found}, params)

    reach.cloudformation("handlers")._evaluate_conditions = evaluating
    reach.cloudformation("changesets")._evaluate_conditions = evaluating
    reach.cloudformation("stacks")._evaluate_conditions = evaluating


def looked_up(node: Any, mappings: Mapping[str, Any], params: Mapping[str, Any]) -> Any:
    """``node`` with every Fn::FindInMap replaced by what it finds. Raises ``ValueError``."""
    if isinstance(node, list):
        return [looked_up(item, mappings, params) for item in node]
    if not isinstance(node, dict):
        return node
    if set(node) != {"Fn::FindInMap"}:
        return {key: looked_up(item, mappings, params) for key, item in node.items()}
    name, first, second = (_plain(part, params) for part in node["Fn::FindInMap"])
    try:
        return mappings[name][first][second]
    except KeyError:
        raise ValueError(
            f"Template error: Unable to get mapping for {name}::{first}::{second}"
        ) from None


def _plain(part: Any, params: Mapping[str, Any]) -> str:
    if not isinstance(part, dict):
        return str(part)
    name = part.get("Ref")
    if name == "AWS::Region":
        return str(reach.module("core.responses").get_region())
    known = params.get(str(name))
    return str(name) if known is None else str(known["Value"])
