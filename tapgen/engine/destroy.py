"""Takes an environment down: importers before their producers, data kept unless told otherwise.

What is kept follows from the deletion policies of the templates as deployed. Whoever imports from
this environment without belonging to it is found before anything is deleted. A resource that cannot
be deleted is left behind only where the user named it, or said that anything may be.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from tapgen import graph, resolve, yaml_text
from tapgen.cloud import Account, CloudFormation, DeployedStack, Kept, Resource
from tapgen.engine import recover, schedule, stopping
from tapgen.engine.events import (
    Event,
    StackDone,
    StackFailed,
    StackStarted,
    StackUnchanged,
    StackWaits,
)
from tapgen.engine.operation import Watch, Watching
from tapgen.engine.run import Run
from tapgen.engine.schedule import Procedure
from tapgen.errors import TapgenError
from tapgen.resolve import Document


@dataclass(frozen=True)
class Standing:
    """A deployed stack with its template and resources: all that taking it down needs to know."""

    stack: DeployedStack
    document: Document
    resources: tuple[Resource, ...]


@dataclass(frozen=True)
class Keeping:
    """A resource that leaves something behind: ``how`` is ``snapshot`` or ``kept``."""

    stack: str
    resource: Resource
    how: str


class Blocked(TapgenError):
    """Something stands in the way of destroying; nothing was changed."""

    def __init__(self, blockers: Sequence[str]) -> None:
        self.blockers = tuple(blockers)
        super().__init__(f"nothing was destroyed: {'; '.join(blockers)}")


def look(cloud: CloudFormation, stack: DeployedStack) -> Standing:
    """Read a deployed stack's template and resources. Raises ``CloudError``."""
    if stack.status == "REVIEW_IN_PROGRESS":
        # Nothing was ever made of it: it has no template and no resources.
        return Standing(stack, {}, ())
    document = yaml_text.load(cloud.template(stack.id))
    return Standing(stack, document, tuple(cloud.resources(stack.id)))


def keeping(standing: Standing) -> tuple[Keeping, ...]:
    """What deleting the stack leaves behind, by the policies of its deployed template."""
    policies = {
        logical_id: str(resource.get("DeletionPolicy", "Delete"))
        for logical_id, resource in standing.document.get("Resources", {}).items()
    }
    found = []
    for resource in standing.resources:
        policy = policies.get(resource.logical_id, "Delete")
        if policy != "Delete" and resource.physical_id and resource.status != "DELETE_COMPLETE":
            how = "snapshot" if policy == "Snapshot" else "kept"
            found.append(Keeping(standing.stack.name, resource, how))
    return tuple(found)


def links(cloud: CloudFormation, standing: Sequence[Standing]) -> Mapping[str, tuple[str, ...]]:
    """By export of these stacks, the names of the stacks that import it now, whatever the code
    says. Raises ``CloudError``.
    """
    exports = sorted({export for item in standing for export in item.stack.exports})
    with ThreadPoolExecutor(max_workers=8) as pool:
        answers = pool.map(cloud.importers, exports)
        return {export: tuple(found) for export, found in zip(exports, answers, strict=True)}


def blockers(
    standing: Sequence[Standing],
    importers: Mapping[str, Sequence[str]],
    unselected: Collection[str] = (),
    *,
    protected: bool = True,
) -> list[str]:
    """What would refuse the deletion, in words; the stacks among themselves do not count.

    ``unselected`` are stacks of the same environment that are to stay. Termination protection
    counts unless ``protected`` is False: then the run takes it off itself.
    """
    ours = {item.stack.name for item in standing}
    found = []
    for item in standing:
        if protected and item.stack.protected:
            found.append(f"{item.stack.name} has termination protection")
        found += _protected_resources(item)
        for export in sorted(item.stack.exports):
            others = sorted(set(importers.get(export, ())) - ours)
            if others:
                found.append(f"{export} is imported by {', '.join(others)}")
    dependents = {
        name for item in standing for e in item.stack.exports for name in importers.get(e, ())
    } - ours
    if stay := sorted(dependents & set(unselected)):
        found.append(
            f"to take {', '.join(stay)} down too, name {'it' if len(stay) == 1 else 'them'}"
        )
    return found


def _protected_resources(item: Standing) -> list[str]:
    known = resolve.Known.of(item.document, item.stack.parameters, partial=True)
    found = []
    for logical_id, resource in item.document.get("Resources", {}).items():
        guarded = resource.get("Properties", {}).get("DeletionProtection")
        if str(resolve.value(guarded, known)).lower() == "true":
            found.append(
                f"{logical_id} of {item.stack.name} has deletion protection "
                "(turn its setting off and deploy first)"
            )
    return found


def destroy(
    run: Run, standing: Sequence[Standing], importers: Mapping[str, Sequence[str]] | None = None
) -> Iterator[Event]:
    """Delete the stacks, each as soon as nobody of them imports from it any more.

    Who imports from whom is read off the deployed templates, and off CloudFormation's own answer
    (``importers``, as from ``links``).
    """
    by_name = {item.stack.name: item for item in standing}
    users = _users(standing, importers or {})
    procedures: dict[str, Callable[[], Procedure]] = {
        name: lambda item=item: _stack(run, item.stack)  # type: ignore[misc]
        for name, item in by_name.items()
    }
    yield from schedule.run(
        procedures,
        users,
        run.clock,
        run.concurrency,
        seconds=run.expected,
        fail_fast=run.fail_fast,
        orders=run.orders,
    )


def _users(
    standing: Sequence[Standing], importers: Mapping[str, Sequence[str]]
) -> dict[str, frozenset[str]]:
    """By stack, those of the others that import from it and must go first."""
    documents = {item.stack.name: item.document for item in standing}
    found: dict[str, set[str]] = {name: set() for name in documents}
    for stack, needs in _producers(documents).items():
        for producer in needs:
            found[producer].add(stack)
    for item in standing:
        for export in item.stack.exports:
            found[item.stack.name] |= set(importers.get(export, ())) & set(documents)
    return {name: frozenset(users - {name}) for name, users in found.items()}


def orphans(stacks: Iterable[DeployedStack], described: Collection[str]) -> list[DeployedStack]:
    """The stacks of an environment that the code does not describe any more."""
    return [stack for stack in stacks if stack.name not in described]


def leftovers(
    account: Account, kept: Sequence[Keeping], before: Mapping[str, frozenset[str]]
) -> list[Kept]:
    """What the deletion really left, to be removed with ``--delete-data``.

    ``before`` holds the ids of the snapshots that stood there already, by resource: those are
    somebody's, and stay. Keys come last, because what they encrypt cannot be read without them.
    """
    found = []
    for item in kept:
        if item.how == "snapshot":
            old = before.get(item.resource.physical_id, frozenset())
            found += [kept for kept in account.snapshots(item.resource) if kept.id not in old]
        else:
            found.append(Kept(item.resource.type, item.resource.physical_id))
    return sorted(found, key=lambda kept: (kept.kind == "AWS::KMS::Key", kept.kind, kept.id))


def _producers(documents: Mapping[str, Document]) -> dict[str, set[str]]:
    """As ``graph.producers``, over deployed templates: what is not among them is not ours."""
    offered = {export.name: export.stack for export in graph.exports(documents)}
    found: dict[str, set[str]] = {name: set() for name in documents}
    for wanted in graph.imports(documents):
        producer = offered.get(wanted.name)
        if producer is not None and producer != wanted.stack:
            found[wanted.stack].add(producer)
    return found


def _stack(run: Run, stack: DeployedStack) -> Procedure:
    watch = Watch(run.cloud, run.clock, run.poller, stack.name)
    return watch.reported(_gone(run, stack, watch))


def _gone(run: Run, stack: DeployedStack, watch: Watch) -> Watching[bool]:
    now: DeployedStack | None = stack
    while now is not None and now.under_way:
        newest = yield from watch.patiently(lambda: run.cloud.newest_event(stack.id))
        yield StackWaits(stack.name, now.status, recover.whose(newest))
        now = yield from stopping.unless_cancelled(run, watch.attach(now))
        if run.orders.cancel:
            return False
    if now is None:
        yield StackUnchanged(stack.name, {})
        return True
    started = run.clock.now()
    yield StackStarted(stack.name, "delete", expected=run.expected.get(stack.name, 0.0))
    if now.protected:
        yield from watch.patiently(lambda: run.cloud.protect(stack.id, on=False))
    left: DeployedStack | None = now
    if now.status != "DELETE_FAILED" or not _may_give_up(run, now):
        left = yield from _deleted(run, now, watch, "delete")
    if left is not None and left.status == "DELETE_FAILED" and _may_give_up(run, left):
        left = yield from _given_up(run, left, watch)
    if left is not None:
        if stack.protected:
            yield from watch.patiently(lambda: run.cloud.protect(stack.id, on=True))
        yield (yield from _not_deleted(run, left, watch))
        return False
    yield StackDone(stack.name, "delete", {}, run.clock.now() - started)
    return True


def _deleted(
    run: Run, stack: DeployedStack, watch: Watch, step: str, retain: Sequence[str] = ()
) -> Watching[DeployedStack | None]:
    yield from watch.begin(stack.id)
    token, force = run.token(stack.name, step), step == "force"
    yield from watch.patiently(
        lambda: run.cloud.delete_stack(stack.id, token, retain=retain, force=force)
    )
    return (yield from watch.to_the_end(stack.id, stack))


def _may_give_up(run: Run, stack: DeployedStack) -> bool:
    return run.force or bool(run.retain.get(stack.name))


def _given_up(run: Run, stack: DeployedStack, watch: Watch) -> Watching[DeployedStack | None]:
    """Delete a stack in DELETE_FAILED once more, without what may be left behind."""
    if run.force:
        return (yield from _deleted(run, stack, watch, "force"))
    found = yield from watch.patiently(lambda: recover.diagnose(run.cloud, stack))
    # CloudFormation takes only those that could not be deleted.
    failed = [item.resource.logical_id for item in found.stuck if item.may_be_retained]
    retain = [name for name in run.retain[stack.name] if name in failed]
    if not retain:
        return stack
    return (yield from _deleted(run, stack, watch, "retain", retain))


def _not_deleted(run: Run, left: DeployedStack, watch: Watch) -> Watching[StackFailed]:
    failed = watch.failure(left)
    if left.status != "DELETE_FAILED":
        return failed
    found = yield from watch.patiently(lambda: recover.diagnose(run.cloud, left))
    stuck = [item for item in found.stuck if item.may_be_retained]
    ids = " ".join(f"--retain {item.resource.logical_id}" for item in stuck)
    way_out = f"run it again when nothing holds them, or leave them behind: {ids}" if ids else ""
    remedy = "; ".join(filter(None, [failed.remedy, way_out]))
    others = [item.told for item in stuck if item.resource.logical_id != _id(failed)]
    reason = "; ".join([failed.reason, *others])
    return replace(failed, reason=reason, remedy=remedy)


def _id(failed: StackFailed) -> str:
    return failed.cause.logical_id if failed.cause else ""
