"""Setting a bad day up: what stands, the trouble, and where the run is cut off."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from twin import Killed
from twin.scene import Scene, graph_of, wanted
from twin.states import bring

from faults.scenario import Cut, Scenario, Trouble
from faults.witness import PREFIX
from tapgen.engine.orders import Orders
from tapgen.errors import Exit


@dataclass
class Played:
    """What a bad day had: faults by kind, and how the run was cut off."""

    struck: Counter[str] = field(default_factory=Counter)
    cut: str = ""
    calls: int = 0


def upset(scene: Scene, trouble: Trouble, seed: int) -> None:
    """Let the trouble begin."""
    region, faults = scene.region, scene.region.faults
    faults.throttling, faults.dropping, faults.losing = (
        trouble.throttling,
        trouble.dropping,
        trouble.losing,
    )
    faults.seed, faults.expires = seed, trouble.expires
    region.stale_seconds, region.events_late = trouble.stale, trouble.late
    region.repeats = trouble.repeats
    for tier, logical_id, verb, times in trouble.resources:
        faults.resource(PREFIX + tier, logical_id, verb, "Quota exceeded", times)
    for tier in trouble.invalid:
        faults.find(PREFIX + tier, "Topic0", "extraneous key [Colour] is not permitted")
    for tier in trouble.hooked:
        faults.hook("Acme::Rules::Hook", "Encrypt it", stack=PREFIX + tier)
    if trouble.throttling or trouble.dropping:
        # A question is asked again as a whole: with many pages it would never get through.
        region.page_size = 100


def calm(scene: Scene) -> None:
    """Let the trouble end."""
    scene.region.faults.mend()
    scene.region.faults.interrupt = lambda operation, moment: None
    scene.region.watch = lambda call: None
    scene.hear = lambda event: None
    scene.allowed = {key: item for key, item in scene.allowed.items() if key != "orders"}
    scene.region.stale_seconds = scene.region.events_late = 0.0
    scene.region.repeats = True


def cut_off(scene: Scene, cut: Cut) -> None:
    """Have the next run stopped where ``cut`` says."""
    seen = 0

    def strike(operation: str, moment: str) -> None:
        nonlocal seen
        seen += moment == cut.moment
        # Who is dead stays dead; Ctrl-C is pressed once.
        if moment == cut.moment and (seen > cut.at if cut.how == "killed" else seen == cut.at + 1):
            raise Killed if cut.how == "killed" else KeyboardInterrupt

    def close(_: Any) -> None:
        nonlocal seen
        seen += 1
        if seen == cut.at + 1:
            raise KeyboardInterrupt

    orders = Orders()

    def cancel(_: Any) -> None:
        nonlocal seen
        seen += 1
        if seen == cut.at + 1:
            orders.cancel, orders.delete_creating = True, cut.moment == "after"

    if cut.how == "cancelled":
        scene.allowed = {**scene.allowed, "orders": orders}
        scene.hear = cancel
    elif cut.how == "closed":
        scene.hear = close
    elif cut.how:
        scene.region.faults.interrupt = strike


def set_up(scene: Scene, scenario: Scenario) -> None:
    """Deploy what stands already, and bring into other states what was found in them."""
    edges = {name: scenario.edges[name] for name in scenario.edges if name in scenario.standing}
    if edges:
        outcome = scene.deploy(graph_of(edges))
        assert outcome.summary.status is Exit.DONE
    items = {item.tier: item for item in wanted(graph_of(scenario.edges))}
    for tier, status in scenario.found.items():
        bring(scene.twin, items[tier], status)


def runs_to_its_end(run: Callable[[], object]) -> bool:
    """Whether it came to its end, and was not cut off."""
    try:
        run()
    except (Killed, KeyboardInterrupt):
        return False
    return True


def cancelled(scene: Scene) -> bool:
    """Whether the order to cancel was given."""
    orders = scene.allowed.get("orders")
    return isinstance(orders, Orders) and orders.cancel
