"""``tapgen validate``: judge templates before AWS does, our own or any folder of them.

All templates are resolved into one world, rules look at it, and two linters are asked about what
they know best. Nothing here reaches AWS. Each room of rules lists what it runs; the command line
decides what a finding means for the exit status.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tapgen.validate import cross_stack, definition, grammar, invariants, linter
from tapgen.validate.extras import MissingExtra
from tapgen.validate.finding import Finding, Rule, Severity, Source
from tapgen.validate.load import UnreadableTemplate, load
from tapgen.validate.world import World

# A rule that could not be judged.
NOT_JUDGED = "TAP001"
RULES: tuple[Rule, ...] = (*cross_stack.RULES, *invariants.RULES, *definition.RULES)


def run(sources: Mapping[str, Source], *, linters: bool = True) -> list[Finding]:
    """Judge ``sources``, keyed by stack, and return every finding once, in a stable order.

    Sorted by file, logical id, rule and message. With ``linters`` off only the project's own rules
    run: fast, and without the extra. Raises ``MissingExtra`` when a linter is not installed.
    """
    worlds = [World.of(sources), World.of(sources, turned=True)]
    found = {finding for world in worlds for rule in RULES for finding in judged(rule, world)}
    if linters:
        for world in worlds:
            found.update(grammar.lint(world))
        found.update(linter.lint(sources))
    return sorted(found)


def judged(rule: Rule, world: World) -> Iterator[Finding]:
    """What ``rule`` finds; when it trips over a malformed template, that too is a finding.

    Rules read properties as AWS documents them. Where one has another shape the linter says so,
    and the other rules still have their say; that this one could not is never left untold.
    """
    try:
        yield from rule.findings(world)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        files = ", ".join(source.file for source in world.sources.values())
        yield Finding(
            files,
            "",
            NOT_JUDGED,
            f"{rule.id} could not be judged, some property has a shape of its own ({error})",
            "correct what cfn-lint finds, then validate again",
            "error",
        )


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
