"""Brings the stacks of an environment to what the templates describe: wanted stacks to events.

Each stack goes through a change set of its own, made when its turn comes (an importer's cannot be
made before the exports exist), and carried out at once. A change set that this run made and did not
carry out is removed again, also after Ctrl-C; nobody else's ever is. An operation that somebody
else started is waited for, then judged anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from tapgen.cloud import CloudError, CloudFormation, DeployedStack, Refused, Unreachable
from tapgen.engine import change_set, plan, recover, schedule, stopping
from tapgen.engine.events import (
    Event,
    StackDone,
    StackFailed,
    StackStarted,
    StackUnchanged,
    StackWaits,
)
from tapgen.engine.operation import STALE_SECONDS, Watch, Watching
from tapgen.engine.plan import Action, Step, Wanted
from tapgen.engine.run import Run
from tapgen.engine.schedule import Pause, Procedure

# Refusals that tell of somebody else's work; so often it is looked for again when it is not seen.
_OVERTAKEN = frozenset({"AlreadyExistsException", "ChangeSetNotFound", "InvalidChangeSetStatus"})
_TRIES = 8


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
    yield from schedule.run(
        procedures,
        needs,
        run.clock,
        run.concurrency,
        seconds=run.expected,
        fail_fast=run.fail_fast,
        orders=run.orders,
    )


def _stack(run: Run, item: Wanted, deployed: DeployedStack | None) -> Procedure:
    sources = run.sources.get(item.name, {})
    watch = Watch(run.cloud, run.clock, run.poller, item.name, sources)
    return watch.reported(_brought_up(run, item, deployed, watch))


def _brought_up(
    run: Run, item: Wanted, deployed: DeployedStack | None, watch: Watch
) -> Watching[bool]:
    attempt, tries = run, 1
    while not run.orders.cancel:
        step = _step(run, item, deployed)
        if step.action is Action.WAIT:
            assert deployed is not None
            if not (yield from _may_wait(run, step, deployed, watch)):
                return False
            deployed = yield from stopping.unless_cancelled(run, watch.attach(deployed))
            continue
        if step.action is Action.KEEP:
            assert deployed is not None
            yield StackUnchanged(item.name, deployed.outputs)
            return True
        if _is_refused(run, step):
            yield from recover.refused(run, step, deployed, watch)
            return False
        try:
            if step.action is Action.RECOVER:
                assert deployed is not None
                deployed = yield from recover.taken_back(attempt, deployed, watch)
                if deployed is None:
                    return False
                continue
            if step.action is Action.RECREATE:
                assert deployed is not None
                if not (yield from recover.removed(attempt, deployed, watch)):
                    return False
                deployed = None
            if (yield from _is_in_review(run, item, deployed, watch)):
                return False
            return (yield from _changed(attempt, item, deployed, step.action, watch))
        except Refused as error:
            # Somebody else may have been quicker (a second deploy of the same environment, or of
            # the account's own stack): then there is a new state to judge.
            now = yield from watch.patiently(lambda: run.cloud.stack(item.name))
            # Or what they did is not seen yet: DescribeStacks may be some seconds behind.
            unseen = tries < _TRIES and (
                error.code in _OVERTAKEN or "can not be updated" in error.detail
            )
            if _state(now) == _state(deployed) and not unseen:
                raise
            yield Pause(run.poller(0.0))
            deployed, tries = now, tries + 1
            # A token means one call only, and a change set's name one change set.
            attempt = replace(run, id=f"{run.id}-{tries}")
    return False


def _step(run: Run, item: Wanted, deployed: DeployedStack | None) -> Step:
    step = plan.decide(item, deployed)
    if step.action is Action.KEEP and item.name in run.doubted:
        return replace(step, action=Action.UPDATE, why="CloudFormation sees changes")
    return step


def _is_refused(run: Run, step: Step) -> bool:
    if step.action is Action.RECREATE:
        return step.stack not in run.recreate
    if step.action is Action.RECOVER:
        return step.stack not in run.recover
    return step.action is Action.REFUSE


def _may_wait(run: Run, step: Step, deployed: DeployedStack, watch: Watch) -> Watching[bool]:
    """Tell whose operation is under way, and whether this run waits for it."""
    newest = yield from watch.patiently(lambda: run.cloud.newest_event(deployed.id))
    who = recover.whose(newest)
    if run.patient:
        yield StackWaits(step.stack, deployed.status, who)
    else:
        yield StackFailed(
            step.stack,
            deployed.status,
            f"{step.why}, {who}, and --no-wait-existing says not to wait",
            remedy="follow it to its end with tapgen watch, then deploy",
        )
    return run.patient


def _is_in_review(
    run: Run, item: Wanted, deployed: DeployedStack | None, watch: Watch
) -> Watching[bool]:
    others = yield from change_set.others_reviews(run, deployed, watch)
    if deployed is None or not others:
        return False
    yield StackFailed(
        item.name,
        deployed.status,
        f"change sets of somebody else wait there ({', '.join(others)}), and this would "
        "remove them: have them carried out or deleted first",
    )
    return True


def _state(stack: DeployedStack | None) -> tuple[object, ...]:
    return () if stack is None else (stack.id, stack.status, stack.changed)


def _changed(
    run: Run, item: Wanted, deployed: DeployedStack | None, action: Action, watch: Watch
) -> Watching[bool]:
    started = run.clock.now()
    item = yield from watch.patiently(lambda: run.before(item))
    new = deployed is None or deployed.status == "REVIEW_IN_PROGRESS"
    yield from watch.begin(None if deployed is None else deployed.id)
    made, executed = "", False
    # Each call carries a token: asked again because its answer was lost, it does nothing twice.
    try:
        made = yield from watch.patiently(lambda: change_set.make(run, item, create=new))
        found = yield from change_set.prepared(run, made, watch)
        if found.status == "FAILED":
            return (yield from change_set.not_prepared(run, item, found, deployed))
        moving = (yield from change_set.moving(run, found, watch)) if run.still else ()
        if moving:
            yield StackFailed(item.name, "", f"{change_set.NOT_STILL}: {', '.join(moving)}")
            return False
        if run.orders.cancel:
            return False
        expected = run.expected.get(item.name, 0.0)
        yield StackStarted(item.name, action.value, len(found.changes), expected)
        token = run.token(item.name, "execute")
        yield from watch.patiently(lambda: _execute(run, made, token, watch))
        executed = watch.running = True
    finally:
        if not executed:
            change_set.withdraw(run, item, made, deployed)
    # By id from here on: the name may be given again.
    stack_id = deployed.id if deployed else (yield from _id_of(run, item.name, watch))
    end = yield from stopping.followed(run, watch, stack_id, deployed, creating=new)
    now = end.stack
    if now is None or now.status not in plan.GOOD:
        yield stopping.ended_badly(watch, end)
        return False
    yield StackDone(item.name, action.value, now.outputs, run.clock.now() - started)
    return True


def _execute(run: Run, made: str, token: str, watch: Watch) -> None:
    try:
        run.cloud.execute_change_set(made, token)
    except Unreachable:
        # It may have been heard, and only its answer be lost.
        watch.running = True
        raise


def _id_of(run: Run, name: str, watch: Watch) -> Watching[str]:
    started = run.clock.now()
    while True:
        found = yield from watch.patiently(lambda: run.cloud.stack(name))
        if found is not None:
            return found.id
        # Right after its creation a stack may not be found yet.
        if run.clock.now() - started > STALE_SECONDS:
            raise _Vanished(name)
        yield Pause(run.poller(0.0))


class _Vanished(CloudError):
    def __init__(self, name: str) -> None:
        self.stack = name
        super().__init__(f"{name} cannot be found after its change set was carried out")
