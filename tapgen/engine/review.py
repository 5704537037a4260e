"""What a whole run would change, before it changes anything: every stack, property by property.

Stacks are compared in dependency order, each with the exports as those before it would leave them.
Templates are read, importers asked after; nothing is changed here. Where AWS itself can be asked
(``exact``), its answer is put over the prediction, and every stack says which of the two it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from typing import Any

from tapgen import diff, yaml_text
from tapgen.cloud import CloudFormation, DeployedStack
from tapgen.diff import StackChanges
from tapgen.diff.findings import Finding, findings
from tapgen.engine import phases, plan
from tapgen.engine.phases import Phase
from tapgen.engine.plan import Action, Step, Wanted
from tapgen.engine.variants import Standing
from tapgen.resolve import Document


class Source(Enum):
    """How the answer about a stack was got."""

    NEW = "new stack: everything in it is added"
    SAME = "same template, parameters and tags"
    CHANGE_SET = "change set"
    PREDICTED = "predicted from schemas"
    UNKNOWN = "not known while an operation is under way"


@dataclass(frozen=True)
class Reviewed:
    """One stack of the run: what would be done, what would change, how that is known."""

    wanted: Wanted
    step: Step
    changes: StackChanges
    source: Source
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Review:
    """The whole run. ``phases`` has more than one round where exports in use leave or change."""

    stacks: tuple[Reviewed, ...]
    phases: tuple[Phase, ...]
    importers: Mapping[str, tuple[str, ...]]

    def findings(self, severity: str) -> tuple[tuple[str, Finding], ...]:
        """The findings of one severity, each with its stack."""
        return tuple(
            (item.wanted.name, finding)
            for item in self.stacks
            for finding in item.findings
            if finding.severity == severity
        )


def review(
    cloud: CloudFormation,
    wanted: Sequence[Wanted],
    deployed: Mapping[str, DeployedStack | None],
    account: str,
) -> Review:
    """Compare ``wanted`` (in dependency order) with what stands.

    Raises ``phases.ForeignImporter``, ``phases.HiddenParameter`` and ``cloud.CloudError``.
    """
    standing = {name: stack for name, stack in deployed.items() if stack is not None}
    steps = {item.name: plan.decide(item, deployed.get(item.name)) for item in wanted}
    documents = _templates(cloud, [standing[name] for name in _readable(wanted, steps, standing)])
    compared = _compared(wanted, standing, documents, account)
    importers = _importers(cloud, compared, standing)
    missing = {name for names in importers.values() for name in names} - set(documents)
    documents.update(_templates(cloud, [standing[n] for n in sorted(missing) if n in standing]))
    rounds = phases.phases(
        wanted, Standing(standing, documents, importers), _changing(compared, importers)
    )
    reviewed = []
    for item in wanted:
        changes = compared[item.name]
        found = findings(changes, importers=importers) if changes.before else ()
        source = _source(steps[item.name], changes)
        reviewed.append(Reviewed(item, steps[item.name], changes, source, found))
    return Review(tuple(reviewed), rounds, importers)


def _readable(
    wanted: Sequence[Wanted], steps: Mapping[str, Step], standing: Mapping[str, DeployedStack]
) -> list[str]:
    """The stacks whose deployed template must be read: those that would be updated, now or when
    the operation under way has ended. A template without changes is known by its digest.
    """
    acting = (Action.UPDATE, Action.WAIT)
    return [
        item.name for item in wanted if item.name in standing and steps[item.name].action in acting
    ]


def _templates(cloud: CloudFormation, stacks: Sequence[DeployedStack]) -> dict[str, Document]:
    with ThreadPoolExecutor(max_workers=8) as pool:
        texts = pool.map(lambda stack: cloud.template(stack.id), stacks)
        return {stack.name: yaml_text.load(text) for stack, text in zip(stacks, texts, strict=True)}


def _compared(
    wanted: Sequence[Wanted],
    standing: Mapping[str, DeployedStack],
    documents: Mapping[str, Document],
    account: str,
) -> dict[str, StackChanges]:
    live: dict[str, Any] = {
        name: value for stack in standing.values() for name, value in stack.exports.items()
    }
    coming = dict(live)
    taken: dict[str, Any] = {}
    found = {}
    for item in wanted:
        stack = standing.get(item.name)
        before = None
        if stack is not None and item.name in documents:
            before = diff.deployed_side(stack, documents[item.name], live)
        elif stack is not None and stack.status in plan.GOOD:
            # Unchanged by digest: the template that runs is the wanted one.
            before = diff.deployed_side(stack, item.document, live)
        changes = diff.compare(item.name, before, diff.wanted_side(item, coming), account=account)
        found[item.name] = changes
        # What one stack gives up, one before it may have taken over.
        taken |= {each.name: each.after for each in changes.exports if each.action == "appears"}
        coming = {**diff.exported(coming, changes), **taken}
    return found


def _importers(
    cloud: CloudFormation,
    compared: Mapping[str, StackChanges],
    standing: Mapping[str, DeployedStack],
) -> dict[str, tuple[str, ...]]:
    asked = [
        change.name
        for name, changes in compared.items()
        for change in changes.exports
        if name in standing and change.action != "appears" and change.name in standing[name].exports
    ]
    with ThreadPoolExecutor(max_workers=8) as pool:
        answers = pool.map(cloud.importers, asked)
        return {name: tuple(found) for name, found in zip(asked, answers, strict=True) if found}


def _changing(
    compared: Mapping[str, StackChanges], importers: Mapping[str, tuple[str, ...]]
) -> dict[str, list[str]]:
    # Also those that only may change: rounds that were not needed do no harm, a refusal half-way
    # through does.
    return {
        name: [c.name for c in changes.exports if c.action == "changes" and c.name in importers]
        for name, changes in compared.items()
    }


def _source(step: Step, changes: StackChanges) -> Source:
    if step.action is Action.KEEP and changes.is_empty:
        return Source.SAME
    if step.action in (Action.CREATE, Action.RECREATE):
        return Source.NEW
    if step.action in (Action.WAIT, Action.REFUSE):
        return Source.UNKNOWN
    return Source.PREDICTED


def plain(review: Review) -> dict[str, Any]:
    """The review as data for JSON."""
    return {
        "stacks": [
            {
                "stack": item.wanted.name,
                "action": item.step.action.value,
                "why": item.step.why,
                "source": item.source.value,
                "changes": diff.plain(item.changes),
                "findings": diff.plain(item.findings),
            }
            for item in review.stacks
        ],
        "rounds": [
            {"title": phase.title, "stacks": [item.name for item in phase.wanted]}
            for phase in review.phases
        ],
        "importers": diff.plain(review.importers),
    }
