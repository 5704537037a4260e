"""Conditions, where the emulator leaves something out.

Its evaluation knows no look-up in a mapping, and every template of this system has one: the one
that only Tokyo can answer. Its change sets list resources that a condition keeps out of the stack.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tapgen.local import reach


def install() -> None:
    """Let conditions use Fn::FindInMap; one that finds nothing is refused, as AWS does. And leave
    what a condition keeps out of a stack out of its change sets.
    """
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
    changesets = reach.cloudformation("changesets")
    resolve = changesets._resolve_props_for_diff

    def resolving(template: dict[str, Any], params: Mapping[str, Any], *place: Any) -> Any:
        found = resolve(template, params, *place)
        held = evaluating(template, params) if template else {}
        resources = found.get("Resources", {})
        there = {k: item for k, item in resources.items() if held.get(item.get("Condition"), True)}
        return {**found, "Resources": there} if template else found

    changesets._resolve_props_for_diff = resolving


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
