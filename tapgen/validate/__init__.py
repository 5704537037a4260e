"""``tapgen validate``: judge templates before AWS does, our own or any folder of them.

All templates are resolved into one world, rules look at it, and two linters are asked about what
they know best. Nothing here reaches AWS. Each room of rules lists what it runs; the command line
decides what a finding means for the exit status.
"""

from __future__ import annotations

from collections.abc import Mapping

from tapgen.validate import cross_stack, definition, invariants, linter
from tapgen.validate.extras import MissingExtra
from tapgen.validate.finding import Finding, Rule, Severity, Source
from tapgen.validate.load import UnreadableTemplate, load
from tapgen.validate.world import World

RULES: tuple[Rule, ...] = (*cross_stack.RULES, *invariants.RULES, *definition.RULES)


def run(sources: Mapping[str, Source], *, linters: bool = True) -> list[Finding]:
    """Judge ``sources``, keyed by stack, and return every finding once, in a stable order.

    Sorted by file, logical id, rule and message. With ``linters`` off only the project's own rules
    run: fast, and without the extra. Raises ``MissingExtra`` when a linter is not installed.
    """
    worlds = [World.of(sources), World.of(sources, turned=True)]
    found = {finding for world in worlds for rule in RULES for finding in rule.findings(world)}
    if linters:
        for world in worlds:
            found.update(definition.lint(world))
        found.update(linter.lint(sources))
    return sorted(found)


__all__ = [
    "RULES",
    "Finding",
    "MissingExtra",
    "Rule",
    "Severity",
    "Source",
    "UnreadableTemplate",
    "World",
    "load",
    "run",
]
