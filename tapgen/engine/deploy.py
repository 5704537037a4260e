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
from dataclasses import dataclass, field, replace

from tapgen.cloud import (
    ChangeSet,
    CloudError,
    CloudFormation,
    DeployedStack,
    Refused,
    Throttled,
    Unreachable,
)
from tapgen.engine import causes, plan, schedule
from tapgen.engine.events import (
    Event,
    StackDone,
    StackFailed,
    StackStarted,
    StackUnchanged,
    StackWaits,
)
from tapgen.engine.operation import Watch, Watching
from tapgen.engine.plan import Action, Step, Wanted
from tapgen.engine.polling import Poller
from tapgen.engine.schedule import Clock, Pause, Procedure

# AWS words it in three ways, in change sets and in updates.
NO_CHANGES = ("didn't contain changes", "No updates are to be performed", "no changes")

# A change set takes a few seconds to be made, and can be deleted only then.
WITHDRAWAL_SECONDS = 60.0


@dataclass(frozen=True)
class Run:
    """What every step of one run needs. ``id`` is new for each run and part of its tokens."""

    id: str
    cloud: CloudFormation
    clock: Clock
    poller: Poller
    concurrency: int = 4
    # What each stack is expected to take, in seconds: who starts first, and what is shown.
    expected: Mapping[str, float] = field(default_factory=dict)
    # Start nothing more once a stack has failed.
    fail_fast: bool = False
    # Stacks whose failed creation may be deleted, because the user said so.
    recreate: frozenset[str] = frozenset()
    # Called when a stack's turn to change has come, before its change set is made.
    before: Callable[[Wanted], None] = lambda item: None
    # No resource may move: a round that only lets go of imports.
    still: bool = False

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
    yield from schedule.run(
        procedures,
        needs,
        run.clock,
        run.concurrency,
        seconds=run.expected,
        fail_fast=run.fail_fast,
    )


def _stack(run: Run, item: Wanted, deployed: DeployedStack | None) -> Procedure:
    watch = Watch(run.cloud, run.clock, run.poller, item.name)
    try:
        return (yield from _brought_up(run, item, deployed, watch))
    except CloudError as error:
        yield watch.unanswered(error)
        return False


def _brought_up(
    run: Run, item: Wanted, deployed: DeployedStack | None, watch: Watch
) -> Watching[bool]:
    attempt, tries = run, 1
    while True:
        step = plan.decide(item, deployed)
        if step.action is Action.WAIT:
            assert deployed is not None
            yield StackWaits(item.name, deployed.status)
            deployed = yield from watch.attach(deployed)
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
            if not (yield from _recreatable(attempt, item, deployed, step, watch)):
                return False
            deployed = None
        others = yield from _others_reviews(run, deployed, watch)
        if others:
            assert deployed is not None
            yield StackFailed(
                item.name,
                deployed.status,
                f"change sets of somebody else wait there ({', '.join(others)}), and this would "
                "remove them: have them carried out or deleted first",
            )
            return False
        try:
            return (yield from _changed(attempt, item, deployed, step.action, watch))
        except Refused:
            # Somebody else may have been quicker (a second deploy of the same environment, or of
            # the account's own stack): then there is a new state to judge.
            now = yield from watch.patiently(lambda: run.cloud.stack(item.name))
            if _state(now) == _state(deployed):
                raise
            deployed, tries = now, tries + 1
            # A token means one call only, and a change set's name one change set.
            attempt = replace(run, id=f"{run.id}-{tries}")


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
    yield from watch.begin(deployed.id)
    token = run.token(deployed.name, "recreate")
    yield from watch.patiently(lambda: run.cloud.delete_stack(deployed.id, token))
    left = yield from watch.to_the_end(deployed.id, deployed)
    if left is not None:
        yield watch.failure(left)
    return left is None


def _changed(
    run: Run, item: Wanted, deployed: DeployedStack | None, action: Action, watch: Watch
) -> Watching[bool]:
    started = run.clock.now()
    yield from watch.patiently(lambda: run.before(item))
    new = deployed is None or deployed.status == "REVIEW_IN_PROGRESS"
    yield from watch.begin(None if deployed is None else deployed.id)
    made, executed = "", False
    # Each call carries a token: asked again because its answer was lost, it does nothing twice.
    try:
        made = yield from watch.patiently(lambda: _made(run, item, create=new))
        found = yield from _prepared(run, made, watch)
        if found.status == "FAILED":
            return (yield from _not_prepared(item, found, deployed))
        if run.still and (moving := _moving(found)):
            yield StackFailed(item.name, "", f"{_NOT_STILL}: {', '.join(moving)}")
            return False
        expected = run.expected.get(item.name, 0.0)
        yield StackStarted(item.name, action.value, len(found.changes), expected)
        token = run.token(item.name, "execute")
        yield from watch.patiently(lambda: run.cloud.execute_change_set(made, token))
        executed = watch.running = True
    finally:
        if not executed:
            _withdraw(run, item, made, deployed)
    # By id from here on: the name may be given again.
    stack_id = deployed.id if deployed else (yield from _id_of(run, item.name, watch))
    now = yield from watch.to_the_end(stack_id, deployed)
    if now is None or now.status not in plan.GOOD:
        yield watch.failure(now) if now else StackFailed(item.name, "DELETE_COMPLETE", "it is gone")
        return False
    yield StackDone(item.name, action.value, now.outputs, run.clock.now() - started)
    return True


def _made(run: Run, item: Wanted, *, create: bool) -> str:
    return run.cloud.create_change_set(
        item.request,
        change_set_name(run, item),
        create=create,
        token=run.token(item.name, "prepare"),
    )


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
        yield Pause(min(run.poller(run.clock.now() - started), 5.0))


def _not_prepared(item: Wanted, found: ChangeSet, deployed: DeployedStack | None) -> Watching[bool]:
    if any(words in found.reason for words in NO_CHANGES) and deployed is not None:
        yield StackUnchanged(item.name, deployed.outputs)
        return True
    status = deployed.status if deployed else "not created"
    advice = causes.remedy(found.reason)
    yield StackFailed(item.name, status, f"no change set: {found.reason}", remedy=advice)
    return False


_NOT_STILL = "holding its imports literally would move resources, which it must not"


def _moving(found: ChangeSet) -> list[str]:
    # CloudFormation may list a property whose import became the same literal value, as a change
    # in place; anything more would be a real one.
    return [
        change.logical_id
        for change in found.changes
        if change.action != "Modify" or change.replacement in ("True", "Conditional")
    ]


def _withdraw(run: Run, item: Wanted, made: str, before: DeployedStack | None) -> None:
    """Take back a change set that was not carried out, as far as AWS lets us.

    This runs while the run is being closed, so it cannot wait by yielding. ``made`` is empty when
    the call that makes it was cut off: then it may be there or not.
    """
    until = run.clock.now() + WITHDRAWAL_SECONDS
    while True:
        try:
            if _withdrawn(run, item, made, before):
                return
        except (Throttled, Unreachable):
            pass
        except Refused as error:
            # A change set cannot be deleted while it is being made.
            if error.code != "InvalidChangeSetStatus":
                return
        except CloudError:
            return
        if run.clock.now() >= until:
            return
        run.clock.sleep(2.0)


def _withdrawn(run: Run, item: Wanted, made: str, before: DeployedStack | None) -> bool:
    stack = run.cloud.stack(item.name)
    if stack is None:
        # Made a moment ago, a stack may not be found yet.
        return not made
    busy = stack.status.endswith("_IN_PROGRESS") and stack.status != "REVIEW_IN_PROGRESS"
    ours = f":changeSet/{change_set_name(run, item)}/"
    found = run.cloud.change_sets(stack.id)
    for change_set in found:
        if ours in change_set:
            try:
                run.cloud.delete_change_set(change_set)
            except Refused:
                # It may be ours that is being carried out after all.
                if not busy:
                    raise
    # The empty stack that a change set for a new stack brings along, unless somebody else put a
    # change set of theirs on it meanwhile.
    alone = all(ours in change_set for change_set in found)
    if before is None and stack.status == "REVIEW_IN_PROGRESS" and alone:
        run.cloud.delete_stack(stack.id, run.token(item.name, "withdraw"))
    return True


def _others_reviews(run: Run, deployed: DeployedStack | None, watch: Watch) -> Watching[list[str]]:
    """The names of the change sets on a stack in review that no run of tapgen made.

    Carrying one change set out removes a stack's others.
    """
    if deployed is None or deployed.status != "REVIEW_IN_PROGRESS":
        return []
    found = yield from watch.patiently(lambda: run.cloud.change_sets(deployed.id))
    names = [change_set.rpartition(":changeSet/")[2].split("/")[0] for change_set in found]
    return [name for name in names if not name.startswith("tapgen-")]


def _id_of(run: Run, name: str, watch: Watch) -> Watching[str]:
    started = run.clock.now()
    while True:
        found = yield from watch.patiently(lambda: run.cloud.stack(name))
        if found is not None:
            return found.id
        # Right after its creation a stack may not be found yet.
        if run.clock.now() - started > 30.0:
            raise _Vanished(name)
        yield Pause(run.poller(0.0))


class _Vanished(CloudError):
    def __init__(self, name: str) -> None:
        self.stack = name
        super().__init__(f"{name} cannot be found after its change set was carried out")
