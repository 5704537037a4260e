"""What must hold in the resolved world, by service: what no linter of single templates finds.

Every rule that runs stands in the ``RULES`` of its room, every room in the tuple below.
"""

from __future__ import annotations

from tapgen.validate.finding import Rule
from tapgen.validate.invariants import (
    api,
    cache,
    containers,
    database,
    encryption,
    files,
    functions,
    identity,
    leaving,
    messages,
    named,
    network,
    workflow,
)

RULES: tuple[Rule, ...] = (
    *network.RULES,
    *database.RULES,
    *files.RULES,
    *cache.RULES,
    *containers.RULES,
    *api.RULES,
    *functions.RULES,
    *messages.RULES,
    *workflow.RULES,
    *identity.RULES,
    *encryption.RULES,
    *leaving.RULES,
    *named.RULES,
)
