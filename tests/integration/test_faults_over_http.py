"""A few bad days over real HTTP, always the same: throttling, 503, nobody there, half an answer,
and a process that dies. Many more are for ``python tests/faults/run.py --http``.
"""

from __future__ import annotations

from collections import Counter

from faults.over_http import play_http

from tapgen.local.lease import Embedded

# Between them they have every kind of trouble, and both ways to be cut off.
SEEDS = (8, 10, 12, 14, 18, 25)


def test_what_must_hold_holds_over_http_as_well(embedded: Embedded) -> None:
    struck, cuts = Counter[str](), Counter[str]()
    for seed in SEEDS:
        played = play_http(embedded, seed)
        struck += played.struck
        cuts[played.cut] += 1

    # What was tried at all; what must hold is judged on the way.
    assert set(struck) == {"throttled", "unavailable", "dropped", "truncated", "failures"}
    assert cuts["killed"] > 0
    assert cuts["interrupted"] > 0
