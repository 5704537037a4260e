"""Carries a rollout out, round by round: roles first, packages as their stacks' turns come,
migrations last.

What is to be done was found out before (``rollout``) and so were the rounds (``phases``); each
round is a deployment of its own (``deploy``). Between two rounds CloudFormation itself is asked
whether the next one may rely on what this one did.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from tapgen import names
from tapgen.cloud import AccessDenied, CloudError, DeployedStack
from tapgen.engine import deploy, migration
from tapgen.engine.assets import Asset
from tapgen.engine.events import (
    Event,
    MonitoringTrouble,
    RoundStarted,
    StackDone,
    StackFailed,
    StackSkipped,
    StackUnchanged,
)
from tapgen.engine.guard import Guard
from tapgen.engine.operation import STALE_SECONDS, Watch
from tapgen.engine.phases import Phase
from tapgen.engine.plan import INLINE_BYTES, Action, Wanted
from tapgen.engine.rollout import Rollout
from tapgen.engine.run import Run
from tapgen.engine.schedule import Pause
from tapgen.session import Session

T = TypeVar("T")


class NoBucket(CloudError):
    """Nowhere to put a package."""

    def __init__(self, export: str) -> None:
        self.export = export
        super().__init__(
            f"no bucket for packages and templates: {export} is not exported; deploy foundation"
        )


def carry_out(
    session: Session,
    rollout: Rollout,
    run: Run,
    phases: Sequence[Phase] = (),
    guard: Guard | None = None,
) -> Iterator[Event]:
    """Change AWS to what the rollout wants, and tell what happens. Raises ``cloud.CloudError``.

    ``phases`` are the rounds to do it in; none means one round of everything. ``guard`` protects
    what it names as soon as it stands.
    """
    guard = guard or Guard()
    if any(step.action in (Action.CREATE, Action.RECREATE) for step in rollout.steps()):
        yield from _linked_roles(session, rollout.roles)
    sending = replace(run, before=lambda item: _ready(session, rollout, guard, item))
    rounds = list(phases) or [Phase("deploy", rollout.wanted)]
    deployed = rollout.deployed

    if len(rounds) > 1:
        deployed = yield from _survey(run, rollout.deployed)
        moved = [item.name for item in rollout.wanted if _has_moved(item.name, rollout, deployed)]
        for name in moved:
            yield StackFailed(name, "", "it has changed since the plan was made: run it again")
        if moved:
            for item in rollout.wanted:
                if item.name not in moved:
                    yield StackSkipped(item.name, because=moved[0])
            return

    outputs: dict[str, Mapping[str, str]] = {}
    for number, phase in enumerate(rounds, 1):
        later = {item.name for rest in rounds[number:] for item in rest.wanted}
        if len(rounds) > 1:
            stacks = tuple(item.name for item in phase.wanted)
            yield RoundStarted(
                phase.title, number, len(rounds), stacks=stacks, later=tuple(sorted(later))
            )
        if number > 1:
            deployed = yield from _survey(run, rollout.deployed)
        # A round's calls need tokens of their own: the same stack may have its turn in each.
        turn = replace(sending, id=f"{run.id}-{number}", still=phase.still)
        failed = yield from _guarded(
            guard, turn, _one_round(session, rollout, turn, phase, deployed, outputs)
        )
        if run.orders.cancel:
            return
        if failed:
            # Also those whose own turn went well: what they stand at now is half of the way.
            for name in sorted(later - set(failed)):
                yield StackSkipped(name, because=failed[0])
            outputs = {name: told for name, told in outputs.items() if name not in later}
            break
    if not session.emulated:
        yield from _migrations(session, rollout, outputs)


def _has_moved(name: str, rollout: Rollout, deployed: Mapping[str, DeployedStack | None]) -> bool:
    """Whether a stack is another than the rounds were planned for: they hold its template and its
    values. One that was under way then is judged by its values.
    """
    then, now = rollout.deployed.get(name), deployed.get(name)
    if then is None or now is None:
        return then is not now
    if then.status.endswith("_IN_PROGRESS"):
        return (then.id, then.exports) != (now.id, now.exports)
    return (then.id, then.status, then.changed) != (now.id, now.status, now.changed)


def _one_round(
    session: Session,
    rollout: Rollout,
    run: Run,
    phase: Phase,
    deployed: Mapping[str, DeployedStack | None],
    outputs: dict[str, Mapping[str, str]],
) -> Generator[Event, None, list[str]]:
    """Carry one round out; returns the names of the stacks that failed, and puts the outputs of
    those that stand as the round wants them into ``outputs``.
    """
    failed = []
    for event in deploy.deploy(run, phase.wanted, deployed, rollout.producers):
        if isinstance(event, StackFailed):
            failed.append(event.stack)
        elif isinstance(event, (StackDone, StackUnchanged)):
            outputs[event.stack] = event.outputs
        yield event
    ours = {item.name for item in rollout.wanted}
    for export in () if failed or run.orders.cancel else phase.gone:
        for importer in (yield from _importers(run, export)):
            if importer in ours:
                reason = f"still imports {export}, although its template no longer does"
            else:
                reason = f"imports {export} since a moment ago, and is not part of this run"
            yield StackFailed(importer, "", reason)
            failed.append(importer)
    return failed


def _guarded(
    guard: Guard, run: Run, events: Generator[Event, None, list[str]]
) -> Generator[Event, None, list[str]]:
    """Pass a round on, and close the guard behind each of its stacks, however the round ends."""
    open_now = set(guard.agreed)
    try:
        while True:
            try:
                event = next(events)
            except StopIteration as end:
                failed: list[str] = end.value
                return failed
            yield event
            if isinstance(event, (StackDone, StackUnchanged, StackFailed)):
                open_now.discard(event.stack)
                yield from _closed(guard, run, event)
    finally:
        events.close()
        for name in sorted(open_now):
            # Nobody hears of it any more; a run that is killed outright leaves it to the next.
            with suppress(CloudError):
                stack = run.cloud.stack(name)
                if stack is not None:
                    list(guard.close(run.cloud, stack, changed=True))


def _closed(
    guard: Guard, run: Run, event: StackDone | StackUnchanged | StackFailed
) -> Iterator[Event]:
    if event.stack not in guard.documents:
        return
    try:
        stack = run.cloud.stack(event.stack)
    except CloudError as error:
        yield MonitoringTrouble(event.stack, f"not protected: {error}")
        return
    if stack is not None and not stack.status.startswith(("ROLLBACK", "REVIEW", "DELETE")):
        changed = not isinstance(event, StackUnchanged)
        yield from guard.close(run.cloud, stack, changed=changed)


def _survey(
    run: Run, stacks: Iterable[str]
) -> Generator[Event, None, dict[str, DeployedStack | None]]:
    """What stands now, each stack asked after with a patience of its own: of many questions at
    once one would always go unanswered on a bad day.
    """
    found = {}
    for name in stacks:
        found[name] = yield from _patiently(run, lambda name=name: run.cloud.stack(name))  # type: ignore[misc]
    return found


def _importers(run: Run, export: str) -> Generator[Event, None, list[str]]:
    """Who imports ``export``, asked of CloudFormation itself: the next round relies on nobody."""
    started = run.clock.now()
    while True:
        found = yield from _patiently(run, lambda: run.cloud.importers(export))
        # The answer may be older than the operation that has just ended.
        if not found or run.clock.now() - started > STALE_SECONDS:
            return found
        run.clock.sleep(run.poller(0.0))


def _patiently(run: Run, question: Callable[[], T]) -> Generator[Event, None, T]:
    """Ask what no stack is about, with the patience that watching a stack has."""
    asking = Watch(run.cloud, run.clock, run.poller, "account").patiently(question)
    while True:
        try:
            step = next(asking)
        except StopIteration as end:
            answer: T = end.value
            return answer
        if isinstance(step, Pause):
            run.clock.sleep(step.seconds)
        else:
            yield step


def _migrations(
    session: Session, rollout: Rollout, outputs: Mapping[str, Mapping[str, str]]
) -> Iterator[Event]:
    for item in rollout.wanted:
        for asset, built in rollout.assets:
            if item.name in outputs and asset.parameter in item.request.parameters:
                bucket = _bucket(session, rollout, asset)
                due = migration.of(item, outputs[item.name], bucket, built.key)
                if due is not None:
                    yield from migration.run(session.account, due)


def _linked_roles(session: Session, services: Sequence[str]) -> Iterator[Event]:
    for service in services:
        try:
            session.account.ensure_service_linked_role(service)
        except AccessDenied as error:
            # Nearly every account has the role; only its very first cluster would miss it.
            yield MonitoringTrouble("account", f"{error}; going on without")


def _ready(session: Session, rollout: Rollout, guard: Guard, item: Wanted) -> Wanted:
    """All that must be in place before the change set of ``item`` is made; returns ``item`` as it
    is to be asked for.
    """
    _send(session, rollout, item)
    standing = rollout.deployed.get(item.name)
    if standing is not None:
        guard.make_room(session.cloud, standing)
    content = item.request.template.encode()
    if len(content) <= INLINE_BYTES:
        return item
    if rollout.template_bucket is None:
        raise NoBucket("the artifact bucket")
    bucket = _exported(session, rollout, rollout.template_bucket)
    key = f"templates/{item.name}/{hashlib.sha256(content).hexdigest()}.yaml"
    if not session.account.has_object(bucket, key):
        session.account.put_object(bucket, key, content)
    url = f"https://{bucket}.s3.{names.REGION}.amazonaws.com/{key}"
    return replace(item, request=replace(item.request, template_url=url))


def _send(session: Session, rollout: Rollout, item: Wanted) -> None:
    for asset, built in rollout.assets:
        if asset.parameter in item.request.parameters:
            session.account.upload(built.path, _bucket(session, rollout, asset), built.key)


def _bucket(session: Session, rollout: Rollout, asset: Asset) -> str:
    return _exported(session, rollout, asset.bucket_export)


def _exported(session: Session, rollout: Rollout, export: str) -> str:
    # Read now: the account's own stack may have been made in this run.
    stack = session.cloud.stack(rollout.bucket_stacks[export])
    if stack is None or export not in stack.exports:
        raise NoBucket(export)
    return stack.exports[export]
