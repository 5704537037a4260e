"""Cases of the rules: small templates in YAML, and what is said of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tapgen import validate
from tapgen.validate.load import parse_yaml
from tapgen.validate.world import World

CASES_FOLDER = Path(__file__).parent / "cases"


@dataclass(frozen=True)
class Case:
    """A rule with templates that keep it and templates that break it."""

    rule: str
    good: Mapping[str, Any]
    bad: Mapping[str, Any]
    found: tuple[str, ...]


def cases() -> list[Case]:
    """Every case of every file."""
    return [
        Case(case["rule"], case["good"], case["bad"], tuple(case["found"]))
        for path in sorted(CASES_FOLDER.glob("*.yaml"))
        for case in parse_yaml(path.read_text())
    ]


def sources(given: Mapping[str, Any]) -> dict[str, validate.Source]:
    """``stacks``, one whole template, or the mere resources of one, as sources."""
    if "stacks" in given:
        documents = {name: _whole(part) for name, part in given["stacks"].items()}
    else:
        documents = {"app": _whole(given)}
    return {
        name: validate.Source(f"{name}.yaml", document, json.dumps(document))
        for name, document in documents.items()
    }


def world(given: Mapping[str, Any]) -> World:
    """The resolved world of ``sources(given)``."""
    return World.of(sources(given))


def faults(rule: str, given: Mapping[str, Any]) -> list[str]:
    """What one rule says, as ``LogicalId: message``, sorted."""
    (chosen,) = [candidate for candidate in validate.RULES if candidate.id == rule]
    return sorted(
        f"{finding.logical_id}: {finding.message}" for finding in chosen.findings(world(given))
    )


def _whole(given: Mapping[str, Any]) -> Mapping[str, Any]:
    if "Resources" in given or "Outputs" in given:
        return {"Resources": {}, **given}
    return {"Resources": given}
