"""Takes an environment down: importers before their producers, data kept unless told otherwise.

What is kept follows from the deletion policies of the templates as deployed. Whoever imports from
this environment without belonging to it is found before anything is deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tapgen import graph, resolve, yaml_text
from tapgen.cloud import Account, CloudError, CloudFormation, DeployedStack, Kept, Resource
from tapgen.engine import schedule
from tapgen.engine.deploy import Run
from tapgen.engine.events import Event, StackDone, StackStarted, StackUnchanged, StackWaits
from tapgen.engine.operation import Watch, Watching
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


def blockers(cloud: CloudFormation, standing: Sequence[Standing]) -> list[str]:
    """What would refuse the deletion, in words; the stacks among themselves do not count."""
    ours = {item.stack.name for item in standing}
    found = []
    for item in standing:
        if item.stack.protected:
            found.append(f"{item.stack.name} has termination protection")
        found += _protected_resources(item)
        for export in sorted(item.stack.exports):
            others = sorted(set(cloud.importers(export)) - ours)
            if others:
                found.append(f"{export} is imported by {', '.join(others)}")
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


def destroy(run: Run, standing: Sequence[Standing]) -> Iterator[Event]:
    """Delete the stacks, each as soon as nobody of them imports from it any more."""
    by_name = {item.stack.name: item for item in standing}
    documents = {name: item.document for name, item in by_name.items()}
    importers: dict[str, set[str]] = {name: set() for name in by_name}
    for stack, needs in _producers(documents).items():
        for producer in needs:
            importers[producer].add(stack)
    procedures: dict[str, Callable[[], Procedure]] = {
        name: lambda item=item: _stack(run, item.stack)  # type: ignore[misc]
        for name, item in by_name.items()
    }
    needs_gone = {name: frozenset(names) for name, names in importers.items()}
    yield from schedule.run(
        procedures,
        needs_gone,
        run.clock,
        run.concurrency,
        seconds=run.expected,
        fail_fast=run.fail_fast,
    )


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
    try:
        return (yield from _gone(run, stack, watch))
    except CloudError as error:
        yield watch.unanswered(error)
        return False


def _gone(run: Run, stack: DeployedStack, watch: Watch) -> Watching[bool]:
    now: DeployedStack | None = stack
    while now is not None and now.status.endswith("_IN_PROGRESS"):
        if now.status == "REVIEW_IN_PROGRESS":
            break
        yield StackWaits(stack.name, now.status)
        now = yield from watch.attach(now)
    if now is None:
        yield StackUnchanged(stack.name, {})
        return True
    started = run.clock.now()
    yield StackStarted(stack.name, "delete")
    yield from watch.begin(stack.id)
    token = run.token(stack.name, "delete")
    yield from watch.patiently(lambda: run.cloud.delete_stack(stack.id, token))
    left = yield from watch.to_the_end(stack.id, now)
    if left is not None:
        yield watch.failure(left)
        return False
    yield StackDone(stack.name, "delete", {}, run.clock.now() - started)
    return True
