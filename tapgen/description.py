"""Everything the code describes, as one value; and choosing among it by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tapgen import names
from tapgen.errors import UsageError
from tapgen.resolve import Document
from tapgen.scope import Scope


@dataclass(frozen=True)
class Description:
    """Every document by tier, producers before their importers, and how often its stack stands.

    ``sources`` says, by tier and logical id, which line of which module made a resource.
    """

    documents: Mapping[str, Document]
    scopes: Mapping[str, Scope]
    sources: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def stack_name(self, tier: str, env: str) -> str:
        """The name of a tier's stack in an environment, or the account's own."""
        return names.stack_name(tier, env if self.scopes[tier] is Scope.ENVIRONMENT else None)

    def chosen(self, tiers: Sequence[str]) -> tuple[str, ...]:
        """``tiers``, or all of them, in the order of the description. Raises ``UnknownTier``."""
        for tier in tiers:
            if tier not in self.documents:
                raise UnknownTier(tier, tuple(self.documents))
        return tuple(tier for tier in self.documents if not tiers or tier in tiers)


class UnknownTier(UsageError):
    """A tier that nobody describes."""

    def __init__(self, tier: str, tiers: Sequence[str]) -> None:
        from difflib import get_close_matches

        self.tier, self.tiers = tier, tuple(tiers)
        close = get_close_matches(tier, tiers, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(tiers)}"
        super().__init__(f"no tier is called {tier!r}; {hint}")
