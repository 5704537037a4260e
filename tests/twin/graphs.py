"""Random graphs of stacks, for properties."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hypothesis import strategies as st

TIERS = "abcdef"


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, list[str]]:
    """Up to six stacks, each importing from some before it."""
    names = TIERS[: draw(st.integers(1, len(TIERS)))]
    return {
        name: draw(st.lists(st.sampled_from(names[:place]), unique=True)) if place else []
        for place, name in enumerate(names)
    }


def producers_of(edges: Mapping[str, Sequence[str]], name: str) -> set[str]:
    """All that ``name`` imports from, directly or not."""
    direct = set(edges[name])
    return direct.union(*(producers_of(edges, other) for other in direct))
