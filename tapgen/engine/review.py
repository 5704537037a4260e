"""What a whole run would change, before it changes anything: every stack, property by property.

Stacks are compared in dependency order, each with the exports as those before it would leave them.
Templates are read, importers asked after; nothing is changed here. Where AWS itself can be asked
(``exact``), its answer is put over the prediction, and every stack says which of the two it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from tapgen import diff
from tapgen.cloud import CloudFormation, DeployedStack
from tapgen.diff import StackChanges
from tapgen.diff.access import AccessChange
from tapgen.diff.findings import Finding, access_changes, findings
from tapgen.engine import phases, plan, variants
from tapgen.engine.exact import Answer, Question
from tapgen.engine.phases import Phase
from tapgen.engine.plan import Action, Step, Wanted
from tapgen.engine.variants import Standing
from tapgen.resolve import Document, Known

# Asks CloudFormation about many stacks at once: an ``exact.Asker``.
Ask = Callable[[Sequence[Question]], Mapping[str, Answer]]


class Source(Enum):
    """How the answer about a stack was got."""

    NEW = "new stack: everything in it is added"
    SAME = "same template, parameters and tags"
    CHANGE_SET = "change set"
    PREDICTED = "predicted from schemas"
    OFFLINE = "offline, from templates alone"
    UNKNOWN = "not known before the stack is at rest"


@dataclass(frozen=True)
class Reviewed:
    """One stack of the run: what would be done, what would change, how that is known.

    ``note`` says why CloudFormation could not be asked, where it was tried.
    """

    wanted: Wanted
    step: Step
    changes: StackChanges
    source: Source
    findings: tuple[Finding, ...] = ()
    note: str = ""

    @property
    def access(self) -> tuple[tuple[str, AccessChange], ...]:
        """Who may do what from now on, or no longer; of a stack that stands."""
        return access_changes(self.changes) if self.changes.before else ()


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
    ask: Ask | None = None,
) -> Review:
    """Compare ``wanted`` (in dependency order) with what stands.

    ``ask`` asks CloudFormation about the stacks that can be asked about; without it all is
    predicted. Raises ``phases.ForeignImporter``, ``variants.HiddenParameter``,
    ``cloud.CloudError`` and what ``ask`` raises.
    """
    standing = {name: stack for name, stack in deployed.items() if stack is not None}
    steps = {item.name: plan.decide(item, deployed.get(item.name)) for item in wanted}
    if all(step.action is Action.KEEP for step in steps.values()):
        # Nothing moves, so nothing can follow from it.
        return Review(
            tuple(
                Reviewed(item, steps[item.name], StackChanges(item.name), Source.SAME)
                for item in wanted
            ),
            (Phase("deploy", tuple(wanted)),),
            {},
        )
    documents = _templates(cloud, [standing[name] for name in _readable(wanted, steps, standing)])
    answers: dict[str, Answer] = {}
    while True:
        compared, settled = _compared(wanted, standing, documents, account, answers)
        due = [
            (item, standing[item.name])
            for item in wanted
            if steps[item.name].action is Action.UPDATE
            and item.name in settled
            and item.name not in answers
        ]
        if ask is None or not due:
            break
        # What it says of a producer can settle what an importer gets: then that one's turn comes.
        answers |= ask(due)
    importers = _importers(cloud, compared, standing)
    missing = {name for names in importers.values() for name in names} - set(documents)
    documents.update(_templates(cloud, [standing[n] for n in sorted(missing) if n in standing]))
    rounds = phases.phases(
        wanted, Standing(standing, documents, importers), _changing(compared, importers)
    )
    reviewed = []
    for item in wanted:
        changes, answer = compared[item.name], answers.get(item.name, Answer())
        step = _corrected(steps[item.name], answer)
        found = findings(changes, importers=importers) if changes.before else ()
        source = _source(step, changes) if answer.changes is None else Source.CHANGE_SET
        reviewed.append(Reviewed(item, step, changes, source, found, answer.note))
    return Review(tuple(reviewed), rounds, importers)


def _corrected(step: Step, answer: Answer) -> Step:
    """What is to be done, where CloudFormation knows better than the comparison."""
    if answer.same:
        return replace(step, action=Action.KEEP, why="CloudFormation sees no change")
    return step


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
    # Here, because most runs read no template and the library takes its time.
    from tapgen import yaml_text

    with ThreadPoolExecutor(max_workers=8) as pool:
        texts = pool.map(lambda stack: cloud.template(stack.id), stacks)
        return {stack.name: yaml_text.load(text) for stack, text in zip(stacks, texts, strict=True)}


def _compared(
    wanted: Sequence[Wanted],
    standing: Mapping[str, DeployedStack],
    documents: Mapping[str, Document],
    account: str,
    answers: Mapping[str, Answer],
) -> tuple[dict[str, StackChanges], set[str]]:
    """Each stack's changes, and the names of those whose imports are there and stay."""
    live: dict[str, Any] = {
        name: value for stack in standing.values() for name, value in stack.exports.items()
    }
    coming = dict(live)
    taken: dict[str, Any] = {}
    found, settled = {}, set()
    for item in wanted:
        stack = standing.get(item.name)
        before = None
        if stack is not None and item.name in documents:
            before = diff.deployed_side(stack, documents[item.name], live)
        elif stack is not None and stack.status in plan.GOOD:
            # Unchanged by digest: the template that runs is the wanted one.
            before = diff.deployed_side(stack, item.document, live)
        known = Known.of(item.document, item.request.parameters)
        used = variants.imported(dict(item.document), known)
        if all(name in live and coming.get(name) == live[name] for name in used):
            settled.add(item.name)
        changes = diff.compare(
            item.name,
            before,
            diff.wanted_side(item, coming),
            account=account,
            listed=answers.get(item.name, Answer()).changes,
        )
        found[item.name] = changes
        # What one stack gives up, one before it may have taken over.
        taken |= {each.name: each.after for each in changes.exports if each.action == "appears"}
        coming = {**diff.exported(coming, changes), **taken}
    return found, settled


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
    if step.action in (Action.WAIT, Action.RECOVER, Action.REFUSE):
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
                "findings": [{**diff.plain(each), "kind": each.kind} for each in item.findings],
                "access": [
                    {"logical_id": name, "broadens": row.broadens, **diff.plain(row)}
                    for name, row in item.access
                ],
                "note": item.note,
            }
            for item in review.stacks
        ],
        "rounds": [
            {"title": phase.title, "stacks": [item.name for item in phase.wanted]}
            for phase in review.phases
        ],
        "importers": diff.plain(review.importers),
    }
