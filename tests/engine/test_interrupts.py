"""A word with a run that is under way: heard in time, and obeyed as far as AWS can."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from allowing import NETWORK, Allowing
from hypothesis import given, settings
from hypothesis import strategies as st
from twin import Refusal, VirtualClock, faults
from twin.graphs import graphs
from twin.rounds import Part, Rounds
from twin.scene import Outcome, graph_of, tier

from tapgen.engine.events import (
    Event,
    Interrupted,
    MonitoringTrouble,
    ResourceMoved,
    StackFailed,
    StackStarted,
)
from tapgen.engine.orders import Attentive, Orders
from tapgen.errors import Exit

CHAIN = {"network": [], "data": ["network"], "alone": []}


def when(
    scene: Any, moment: Callable[[Event], bool], order: Callable[[Orders], None]
) -> tuple[Orders, list[float]]:
    """Ring at the first event that is the moment, and give the order when the run asks."""
    orders, heard = Orders(), list[float]()
    scene.allowing(orders=orders)

    def hear(event: Event) -> None:
        if isinstance(event, Interrupted):
            order(orders)
            heard.append(scene.region.clock.now())
        elif not heard and moment(event):
            orders.bell = True

    scene.hear = hear
    return orders, heard


def moved(name: str, status: str) -> Callable[[Event], bool]:
    """The moment at which a resource is seen in a status."""
    return lambda event: (
        isinstance(event, ResourceMoved)
        and (event.event.logical_id, event.event.status) == (name, status)
    )


def cancel(orders: Orders) -> None:
    orders.cancel = True


def cancel_and_delete(orders: Orders) -> None:
    orders.cancel = orders.delete_creating = True


def reasons(outcome: Outcome) -> dict[str, str]:
    return {e.stack: e.reason for e in outcome.events if isinstance(e, StackFailed)}


# The bell


def test_the_bell_ends_a_sleep_and_is_heard_within_a_fifth_of_a_second() -> None:
    clock, orders = VirtualClock(), Orders()

    def ring() -> Any:
        yield 7.0
        orders.bell = True

    clock.start(ring())
    Attentive(clock, orders).sleep(20.0)

    assert 7.0 <= clock.now() <= 7.2


def test_a_bell_that_nobody_answered_yet_does_not_keep_others_from_sleeping() -> None:
    clock = VirtualClock()

    Attentive(clock, Orders(bell=True)).sleep(20.0)

    assert clock.now() == pytest.approx(20.0)


def test_without_a_bell_a_sleep_is_as_long_as_it_should_be() -> None:
    clock = VirtualClock()

    Attentive(clock, Orders()).sleep(1.5)

    assert clock.now() == pytest.approx(1.5)


def test_a_word_that_orders_nothing_changes_nothing() -> None:
    scene = Allowing()
    _, heard = when(scene, moved("Topic0", "CREATE_IN_PROGRESS"), lambda orders: None)

    outcome = scene.deploy(graph_of(CHAIN))

    assert len(heard) == 1
    assert outcome.ends == dict.fromkeys(CHAIN, "created")


# Cancelling


def test_an_update_is_rolled_back_and_followed_to_its_end() -> None:
    scene = Allowing()
    scene.deploy(graph_of(CHAIN))
    scene.region.durations["Topic0"] = 600.0
    when(scene, moved("Topic0", "UPDATE_IN_PROGRESS"), cancel)
    before = len(scene.region.mutations)

    outcome = scene.deploy([tier("network", note="second")])

    last = scene.region.mutations[-1]
    assert scene.since(before)[-1] == "cancel_update_stack"
    assert last.parameters["ClientRequestToken"] == "tapgen-r2-tap-dev-network-cancel"
    assert reasons(outcome) == {NETWORK: "cancelled: it is as it was before the update"}
    assert scene.statuses()["network"] == "UPDATE_ROLLBACK_COMPLETE"


def test_everything_under_way_hears_of_it_at_once() -> None:
    scene = Allowing()
    tiers: dict[str, list[str]] = {"a": [], "b": [], "c": []}
    scene.deploy(graph_of(tiers))
    scene.region.durations["Topic0"] = 1200.0
    _, heard = when(scene, moved("Topic0", "UPDATE_IN_PROGRESS"), cancel)

    scene.deploy(graph_of(tiers, note="second"))

    calls = [c for c in scene.region.mutations if c.operation == "cancel_update_stack"]
    assert len(calls) == 3
    assert {call.moment for call in calls} == set(heard)


def test_nothing_more_begins_and_a_creation_runs_to_its_end() -> None:
    scene = Allowing()
    when(scene, moved("Topic0", "CREATE_IN_PROGRESS"), cancel)
    scene.concurrency = 1

    outcome = scene.deploy(graph_of({"network": [], "data": ["network"], "z": []}))

    assert outcome.ends == {"network": "created", "data": "not started", "z": "not started"}
    assert outcome.summary.status is Exit.FAILED
    assert scene.statuses() == {"network": "CREATE_COMPLETE"}


def test_a_creation_is_deleted_when_that_was_said() -> None:
    scene = Allowing()
    when(scene, moved("Topic0", "CREATE_IN_PROGRESS"), cancel_and_delete)

    outcome = scene.deploy(graph_of({"network": [], "data": ["network"]}))

    assert reasons(outcome) == {
        NETWORK: "cancelled: it was deleted again, but for what its policies keep"
    }
    assert scene.statuses() == {}
    assert scene.region.standing == {}


def test_an_update_that_cannot_be_cancelled_any_more_is_told_and_ends_well() -> None:
    scene = Allowing()
    scene.deploy([tier("network")])
    scene.region.faults.call("cancel_update_stack", Refusal("too late"))
    when(scene, moved("Topic0", "UPDATE_IN_PROGRESS"), cancel)

    outcome = scene.deploy([tier("network", note="second")])

    troubles = [e.trouble for e in outcome.events if isinstance(e, MonitoringTrouble)]
    assert troubles == ["it cannot be cancelled any more: too late"]
    assert outcome.ends == {"network": "updated"}


def test_a_lost_answer_to_the_cancelling_cancels_once() -> None:
    scene = Allowing()
    scene.deploy([tier("network")])
    scene.region.durations["Topic0"] = 600.0
    scene.region.faults.call("cancel_update_stack", faults.dropped())
    when(scene, moved("Topic0", "UPDATE_IN_PROGRESS"), cancel)

    outcome = scene.deploy([tier("network", note="second")])

    assert reasons(outcome) == {NETWORK: "cancelled: it is as it was before the update"}


def test_a_change_set_that_is_still_being_made_is_taken_back() -> None:
    scene = Allowing()
    scene.deploy([tier("network")])
    orders = Orders()
    scene.allowing(orders=orders)

    def strike(operation: str, moment: str) -> None:
        if operation == "describe_change_set":
            orders.cancel = True

    scene.region.faults.interrupt = strike
    outcome = scene.deploy([tier("network", note="second")])

    stack = scene.region.live(NETWORK)
    assert stack is not None
    assert [item.execution for item in stack.change_sets.values()] == ["EXECUTE_COMPLETE"]
    assert outcome.ends == {"network": "not started"}


def test_an_operation_of_somebody_else_is_no_longer_waited_for_and_runs_on() -> None:
    scene = Allowing()
    scene.deploy([tier("network")])
    scene.region.durations["Topic0"] = 600.0
    scene.twin.client("cloudformation").delete_stack(StackName=NETWORK)
    scene.region.durations["Topic0"] = 600.0
    when(scene, moved("Topic0", "DELETE_IN_PROGRESS"), cancel)

    outcome = scene.deploy([tier("network")])

    assert outcome.ends == {"network": "interrupted"}
    assert scene.region.status(NETWORK) == "DELETE_IN_PROGRESS"


def test_a_deletion_that_began_ends_and_no_other_begins() -> None:
    scene = Allowing()
    scene.deploy(graph_of({"network": [], "data": ["network"]}))
    when(scene, moved("Topic0", "DELETE_IN_PROGRESS"), cancel)

    outcome = scene.destroy()

    assert outcome.ends == {"network": "not started", "data": "deleted"}
    assert scene.statuses() == {"network": "CREATE_COMPLETE"}


# Rounds


class AllowingRounds(Rounds, Allowing):
    """Rounds whose runs may do more."""


def test_no_further_round_begins_and_a_new_run_finds_the_rest() -> None:
    before = {"maker": Part({"Key": "one"}), "user": Part(uses=["Key"])}
    after = {"maker": Part({"Key": "two"}), "user": Part(uses=["Key"])}
    scene = AllowingRounds()
    scene.roll_out(before)
    scene.region.literal = "listed"
    when(scene, lambda event: isinstance(event, StackStarted), cancel)

    outcome = scene.roll_out(after)
    started = [event.stack for event in outcome.events if isinstance(event, StackStarted)]
    scene.hear = lambda event: None
    scene.allowing()
    again = scene.roll_out(after)

    assert started == ["tap-dev-user"]
    assert outcome.summary.row_of("tap-dev-maker")[0] == "not started"
    assert again.summary.status is Exit.DONE
    assert scene.in_use() == []


@settings(max_examples=25)
@given(
    edges=graphs(),
    standing=st.booleans(),
    moment=st.integers(0, 60),
    deleting=st.booleans(),
)
def test_a_run_cancelled_at_any_moment_begins_nothing_more_and_a_new_one_finishes_it(
    edges: dict[str, list[str]], standing: bool, moment: int, deleting: bool
) -> None:
    scene = Allowing()
    if standing:
        scene.deploy(graph_of(edges))
    told = 0

    def at_the_moment(event: Event) -> bool:
        nonlocal told
        told += 1
        return told > moment

    calls: list[int] = []

    def order(orders: Orders) -> None:
        calls.append(len(scene.region.mutations))
        orders.cancel, orders.delete_creating = True, deleting

    when(scene, at_the_moment, order)
    before = len(scene.region.mutations)
    outcome = scene.deploy(graph_of(edges, note="second"))

    begun = ("create_change_set", "execute_change_set")
    assert not [name for name in scene.since(calls[0] if calls else 0) if calls and name in begun]
    deleted = [
        call.parameters["ClientRequestToken"].rpartition("-")[2]
        for call in scene.region.mutations[before:]
        if call.operation == "delete_stack"
    ]
    # The empty stack of a change set that was withdrawn goes too.
    assert set(deleted) <= ({"cancel", "withdraw"} if deleting else {"withdraw"})
    assert not any(stack.busy for stack in scene.region.stacks.values())
    assert outcome.summary.status is Exit.DONE or calls
    scene.hear = lambda event: None
    assert scene.allowing().deploy(graph_of(edges, note="second")).summary.status is Exit.DONE
