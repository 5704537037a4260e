"""Brings the stacks of an environment to what the templates describe: wanted stacks to events.

Each stack goes through a change set of its own, made when its turn comes (an importer's cannot be
made before the exports exist), and carried out at once. A change set that this run made and did not
carry out is removed again, also after Ctrl-C; nobody else's ever is. An operation that somebody
else started is waited for, then judged anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from tapgen import causes, plan, schedule
from tapgen.cloud import ChangeSet, CloudError, CloudFormation, DeployedStack, Refused
from tapgen.events import (
    Event,
    StackDone,
    StackFailed,
    StackStarted,
    StackUnchanged,
    StackWaits,
)
from tapgen.operation import Pace, Watch, Watching
from tapgen.plan import Action, Step, Wanted
from tapgen.schedule import Clock, Pause, Procedure

# AWS words it in three ways, in change sets and in updates.
NO_CHANGES = ("didn't contain changes", "No updates are to be performed", "no changes")


@dataclass(frozen=True)
class Run:
    """What every step of one run needs. ``id`` is new for each run and part of its tokens."""

    id: str
    cloud: CloudFormation
    clock: Clock
    pace: Pace
    concurrency: int = 4
    # Stacks whose failed creation may be deleted, because the user said so.
    recreate: frozenset[str] = frozenset()
    # Called when a stack's turn to change has come, before its change set is made.
    before: Callable[[Wanted], None] = lambda item: None

    def token(self, stack: str, step: str) -> str:
        """A ClientRequestToken: repeating the call with it does nothing twice."""
        return f"tapgen-{self.id}-{stack}-{step}"[:128]


def survey(cloud: CloudFormation, stacks: Sequence[str]) -> dict[str, DeployedStack | None]:
    """What stands there now: one question a stack, all at once. Raises ``CloudError``."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        return dict(zip(stacks, pool.map(cloud.stack, stacks), strict=True))


def deploy(
    run: Run,
    wanted: Sequence[Wanted],
    deployed: Mapping[str, DeployedStack | None],
    producers: Mapping[str, frozenset[str]],
) -> Iterator[Event]:
    """Carry it out, each stack as soon as its producers (tiers, by tier) went well.

    ``deployed`` is a survey of this moment. Yields events; an unexpected ``CloudError`` in one
    stack fails that stack.
    """
    name_of = {item.tier: item.name for item in wanted}
    needs = {
        item.name: frozenset(name_of[t] for t in producers[item.tier] if t in name_of)
        for item in wanted
    }
    procedures: dict[str, Callable[[], Procedure]] = {
        item.name: lambda item=item: _stack(run, item, deployed.get(item.name))  # type: ignore[misc]
        for item in wanted
    }
    yield from schedule.run(procedures, needs, run.clock, run.concurrency)


def _stack(run: Run, item: Wanted, deployed: DeployedStack | None) -> Procedure:
    watch = Watch(run.cloud, run.clock, run.pace, item.name)
    try:
        return (yield from _brought_up(run, item, deployed, watch))
    except CloudError as error:
        yield StackFailed(item.name, "", str(error))
        return False


def _brought_up(
    run: Run, item: Wanted, deployed: DeployedStack | None, watch: Watch
) -> Watching[bool]:
    while True:
        step = plan.decide(item, deployed)
        if step.action is Action.WAIT:
            assert deployed is not None
            yield StackWaits(item.name, deployed.status)
            deployed = yield from watch.to_the_end(deployed.id, None)
            continue
        if step.action is Action.KEEP:
            assert deployed is not None
            yield StackUnchanged(item.name, deployed.outputs)
            return True
        if step.action is Action.REFUSE:
            yield StackFailed(item.name, deployed.status if deployed else "", step.why)
            return False
        if step.action is Action.RECREATE:
            assert deployed is not None
            if not (yield from _recreatable(run, item, deployed, step, watch)):
                return False
            deployed = None
        try:
            return (yield from _changed(run, item, deployed, step.action, watch))
        except Refused:
            # Somebody else may have been quicker (a second deploy of the same environment, or of
            # the account's own stack): then there is a new state to judge.
            now = run.cloud.stack(item.name)
            if _state(now) == _state(deployed):
                raise
            deployed = now


def _state(stack: DeployedStack | None) -> tuple[object, ...]:
    return () if stack is None else (stack.id, stack.status, stack.changed)


def _recreatable(
    run: Run, item: Wanted, deployed: DeployedStack, step: Step, watch: Watch
) -> Watching[bool]:
    if item.name in run.recreate:
        return (yield from _removed(run, deployed, watch))
    yield StackFailed(
        item.name,
        deployed.status,
        step.why,
        remedy="look at what failed, then run again with --recreate-failed",
    )
    return False


def _removed(run: Run, deployed: DeployedStack, watch: Watch) -> Watching[bool]:
    yield StackStarted(deployed.name, "delete")
    watch.begin(deployed.id)
    run.cloud.delete_stack(deployed.id, run.token(deployed.name, "recreate"))
    left = yield from watch.to_the_end(deployed.id, deployed)
    if left is not None:
        yield watch.failure(left)
    return left is None


def _changed(
    run: Run, item: Wanted, deployed: DeployedStack | None, action: Action, watch: Watch
) -> Watching[bool]:
    started = run.clock.now()
    run.before(item)
    new = deployed is None or deployed.status == "REVIEW_IN_PROGRESS"
    watch.begin(None if deployed is None else deployed.id)
    made = run.cloud.create_change_set(
        item.request,
        change_set_name(run, item),
        create=new,
        token=run.token(item.name, "prepare"),
    )
    executed = False
    try:
        found = yield from _prepared(run, made, watch)
        if found.status == "FAILED":
            return (yield from _not_prepared(item, found, deployed))
        yield StackStarted(item.name, action.value, len(found.changes))
        run.cloud.execute_change_set(made, run.token(item.name, "execute"))
        executed = True
    finally:
        if not executed:
            with suppress(CloudError):
                _withdraw(run, made, item.name, deployed)
    # By id from here on: the name may be given again.
    stack_id = deployed.id if deployed else (yield from _id_of(run, item.name, watch))
    now = yield from watch.to_the_end(stack_id, deployed)
    if now is None or now.status not in plan.GOOD:
        yield watch.failure(now) if now else StackFailed(item.name, "DELETE_COMPLETE", "it is gone")
        return False
    yield StackDone(item.name, action.value, now.outputs, run.clock.now() - started)
    return True


def change_set_name(run: Run, item: Wanted) -> str:
    """``tapgen-<digest of all that goes in>-<run>``: the same content is told from another's."""
    request = item.request
    content = [request.template, dict(request.parameters), dict(request.tags)]
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return f"tapgen-{digest[:12]}-{run.id}"


def _prepared(run: Run, made: str, watch: Watch) -> Watching[ChangeSet]:
    started = run.clock.now()
    while True:
        found = yield from watch.patiently(lambda: run.cloud.change_set(made))
        if found.status in ("CREATE_COMPLETE", "FAILED"):
            return found
        yield Pause(min(run.pace(run.clock.now() - started), 5.0))


def _not_prepared(item: Wanted, found: ChangeSet, deployed: DeployedStack | None) -> Watching[bool]:
    if any(words in found.reason for words in NO_CHANGES) and deployed is not None:
        yield StackUnchanged(item.name, deployed.outputs)
        return True
    status = deployed.status if deployed else "not created"
    advice = causes.remedy(found.reason)
    yield StackFailed(item.name, status, f"no change set: {found.reason}", remedy=advice)
    return False


def _withdraw(run: Run, made: str, name: str, before: DeployedStack | None) -> None:
    run.cloud.delete_change_set(made)
    if before is None:
        # The empty stack that a change set for a new stack brings along, unless somebody else put
        # a change set of theirs on it meanwhile.
        left = run.cloud.stack(name)
        if left is None or left.status != "REVIEW_IN_PROGRESS" or run.cloud.change_sets(left.id):
            return
        run.cloud.delete_stack(left.id, run.token(name, "withdraw"))


def _id_of(run: Run, name: str, watch: Watch) -> Watching[str]:
    started = run.clock.now()
    while True:
        found = yield from watch.patiently(lambda: run.cloud.stack(name))
        if found is not None:
            return found.id
        # Right after its creation a stack may not be found yet.
        if run.clock.now() - started > 30.0:
            raise _Vanished(name)
        yield Pause(run.pace(0.0))


class _Vanished(CloudError):
    def __init__(self, name: str) -> None:
        self.stack = name
        super().__init__(f"{name} cannot be found after its change set was carried out")
