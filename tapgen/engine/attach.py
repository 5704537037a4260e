"""Operations that another run began, or somebody else: followed to their end, or stopped.

Which stacks, and whether they may be stopped, is decided before; one procedure a stack does it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from tapgen.cloud import DeployedStack
from tapgen.engine import plan, schedule, stopping
from tapgen.engine.events import Event, StackDone, StackFailed, StackStarted, StackUnchanged
from tapgen.engine.operation import Watch
from tapgen.engine.run import Run
from tapgen.engine.schedule import Procedure

# Only these can be stopped: an update by rolling it back, a creation by deleting what there is.
UPDATING, CREATING = "UPDATE_IN_PROGRESS", "CREATE_IN_PROGRESS"


def follow(run: Run, stacks: Sequence[DeployedStack]) -> Iterator[Event]:
    """Follow what is under way to the end; each stack's end says whether it went well."""
    yield from _all(run, stacks, _followed)


def cancel(run: Run, stacks: Sequence[DeployedStack]) -> Iterator[Event]:
    """Stop the updates and creations under way, and follow them to their end. A stack that ended
    before it could be stopped has failed to be cancelled.
    """
    yield from _all(run, stacks, _cancelled)


def _all(
    run: Run, stacks: Sequence[DeployedStack], act: Callable[[Run, DeployedStack, Watch], Procedure]
) -> Iterator[Event]:
    procedures: dict[str, Callable[[], Procedure]] = {
        stack.name: lambda stack=stack: _one(run, stack, act)  # type: ignore[misc]
        for stack in stacks
    }
    # Nothing is begun here, so nobody has to wait for a turn.
    yield from schedule.run(procedures, {}, run.clock, max(len(stacks), 1), orders=run.orders)


def _one(
    run: Run, stack: DeployedStack, act: Callable[[Run, DeployedStack, Watch], Procedure]
) -> Procedure:
    watch = Watch(run.cloud, run.clock, run.poller, stack.name)
    return watch.reported(act(run, stack, watch))


def _followed(run: Run, stack: DeployedStack, watch: Watch) -> Procedure:
    if not stack.under_way:
        yield StackUnchanged(stack.name, stack.outputs)
        return True
    action = _action(stack.status)
    yield StackStarted(stack.name, action)
    now = yield from watch.attach(stack)
    if now is None and action == "delete":
        yield StackDone(stack.name, action, {}, _seconds(watch))
        return True
    if now is not None and now.status in plan.GOOD and action != "delete":
        yield StackDone(stack.name, action, now.outputs, _seconds(watch))
        return True
    yield stopping.ended_badly(watch, stopping.Followed(now, cancelled=False))
    return False


def _cancelled(run: Run, stack: DeployedStack, watch: Watch) -> Procedure:
    creating = stack.status == CREATING
    yield StackStarted(stack.name, "cancel")
    watch.running = True
    stopped = yield from stopping.stopped(run, watch, stack.id, creating=creating)
    now = yield from watch.attach(stack)
    if stopped and (now is None if creating else now and now.status == "UPDATE_ROLLBACK_COMPLETE"):
        yield StackDone(stack.name, "cancel", now.outputs if now else {}, _seconds(watch))
        return True
    if now is not None and now.status in plan.GOOD:
        yield StackFailed(stack.name, now.status, "it ended before it could be cancelled")
    else:
        yield stopping.ended_badly(watch, stopping.Followed(now, cancelled=False))
    return False


def _action(status: str) -> str:
    verb = status.partition("_")[0]
    return {"CREATE": "create", "ROLLBACK": "create", "DELETE": "delete"}.get(verb, "update")


def _seconds(watch: Watch) -> float:
    """What the operation took, as its events tell; it began before this run did."""
    if not watch.seen:
        return 0.0
    return (watch.seen[-1].time - watch.seen[0].time).total_seconds()
