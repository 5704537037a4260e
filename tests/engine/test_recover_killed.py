"""A run that recovers, stops or gives up, killed at any call: the same again finishes it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from allowing import NETWORK, Allowing, update
from twin import Killed
from twin.scene import tier

from tapgen.engine import attach, destroy
from tapgen.errors import Exit

SECOND = [tier("network", topics=2, note="second")]
# More than any of these runs makes.
LAST = 40


def kill_at(scene: Allowing, call: int, moment: str) -> None:
    """Let the process be gone before or after its ``call``-th call from now."""
    seen = 0

    def strike(operation: str, when: str) -> None:
        nonlocal seen
        seen += when == moment
        if seen > call:
            raise Killed

    scene.region.faults.interrupt = strike


def revive(scene: Allowing) -> None:
    """From now on nobody is killed; what went on in AWS meanwhile has ended."""
    scene.region.faults.interrupt = lambda operation, moment: None
    scene.region.settle()


def stuck(scene: Allowing) -> None:
    """A network whose update failed and could not be taken back."""
    scene.deploy([tier("network", topics=2)])
    scene.region.faults.resource(NETWORK, "Topic1", "UPDATE", "Not today", times=1)
    scene.region.faults.resource(NETWORK, "Topic0", "ROLLBACK", "Not back", times=1)
    scene.region.durations["Topic1"] = 60.0
    update(scene, "theirs")
    scene.region.settle()
    scene.region.durations.clear()
    assert scene.region.status(NETWORK) == "UPDATE_ROLLBACK_FAILED"


def stillborn(scene: Allowing) -> None:
    """A network whose creation failed."""
    scene.region.faults.resource(NETWORK, "Topic1", "CREATE", "Quota met", times=1)
    scene.deploy(SECOND)
    assert scene.region.status(NETWORK) == "ROLLBACK_COMPLETE"


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("prepared", [stuck, stillborn])
def test_a_recovery_that_died_anywhere_is_finished_by_the_next(prepared: Any, moment: str) -> None:
    for call in range(LAST):
        scene = Allowing()
        prepared(scene)
        scene.allowing(recover=frozenset({NETWORK}), recreate=frozenset({NETWORK}))
        kill_at(scene, call, moment)
        try:
            scene.deploy(SECOND)
            died = False
        except Killed:
            died = True
        revive(scene)
        outcome = scene.deploy(SECOND)
        before = len(scene.region.mutations)
        again = scene.deploy(SECOND)

        assert outcome.summary.status is Exit.DONE, (call, outcome.summary.rows())
        assert again.summary.unchanged
        assert scene.since(before) == []
        if not died:
            return
    pytest.fail("it makes more calls than expected")


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("allowed", [{"force": True}, {"retain": {NETWORK: ["Topic0"]}}])
def test_a_deletion_that_gives_up_and_died_anywhere_is_finished_by_the_next(
    allowed: dict[str, Any], moment: str
) -> None:
    for call in range(LAST):
        scene = Allowing()
        scene.deploy([tier("network", topics=2)])
        scene.region.faults.resource(NETWORK, "Topic0", "DELETE", "Still in use")
        kill_at(scene, call, moment)
        try:
            take_down(scene, allowed)
            died = False
        except Killed:
            died = True
        revive(scene)

        assert take_down(scene, allowed) is Exit.DONE
        assert scene.statuses() == {}
        assert [held.logical_id for held in scene.region.standing.values()] == ["Topic0"]
        if not died:
            return
    pytest.fail("it makes more calls than expected")


def take_down(scene: Allowing, allowed: dict[str, Any]) -> Exit:
    standing = [destroy.look(scene.cloud, stack) for stack in scene.cloud.stacks("tap-dev-")]
    run = replace(scene.run(), **allowed)
    names = [item.stack.name for item in standing]
    return scene.follow(destroy.destroy(run, standing), names).summary.status


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_cancelling_that_died_anywhere_leaves_nothing_that_the_next_cannot_end(
    moment: str,
) -> None:
    for call in range(LAST):
        scene = Allowing()
        scene.deploy([tier("network", topics=2)])
        scene.region.durations["Topic0"] = 20.0
        update(scene, "second")
        scene.region.clock.sleep(5.0)
        stacks = scene.cloud.stacks("tap-dev-")
        kill_at(scene, call, moment)
        try:
            scene.follow(attach.cancel(scene.run(), stacks), [NETWORK])
            died = False
        except Killed:
            died = True
        scene.region.faults.interrupt = lambda operation, moment: None
        under_way = [stack for stack in scene.cloud.stacks("tap-dev-") if _updating(stack)]
        scene.follow(attach.cancel(scene.run(), under_way), [NETWORK])

        assert scene.statuses() == {"network": "UPDATE_ROLLBACK_COMPLETE"}
        if not died:
            return
    pytest.fail("it makes more calls than expected")


def _updating(stack: Any) -> bool:
    return bool(stack.status == attach.UPDATING)
