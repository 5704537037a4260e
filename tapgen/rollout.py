"""From a description and settings to the stacks that one run wants: what ``deploy`` does before it
deploys.

Everything that must be known first is asked here (what stands, which versions RDS offers, which
packages the functions run), and put into plain values. Nothing is changed until ``carry_out``.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from tapgen import assets, deploy, graph, migration, names, package, plan, preflight, render
from tapgen.assets import Asset
from tapgen.cloud import AccessDenied, CloudError, DeployedStack
from tapgen.deploy import Run
from tapgen.description import Description
from tapgen.errors import TapgenError
from tapgen.events import (
    Event,
    MonitoringTrouble,
    RoundStarted,
    StackDone,
    StackFailed,
    StackSkipped,
    StackUnchanged,
)
from tapgen.operation import STALE_SECONDS, Watch
from tapgen.package import Package
from tapgen.phases import Phase
from tapgen.plan import Action, Step, Wanted
from tapgen.preflight import Database, Version
from tapgen.resolve import Document
from tapgen.schedule import Pause
from tapgen.session import Session
from tapgen.settings import Settings
from tapgen.stack import Scope

T = TypeVar("T")

# Stack tags spread to every resource that takes tags, so nothing volatile is among them.
PROJECT_TAGS = {
    "Project": "video-processing",
    "ManagedBy": "tapgen",
    "CostCenter": "video-processing",
}


@dataclass(frozen=True)
class Rollout:
    """Everything one run will do, before it does any of it."""

    wanted: tuple[Wanted, ...]
    deployed: Mapping[str, DeployedStack | None]
    producers: Mapping[str, frozenset[str]]
    roles: tuple[str, ...]
    assets: tuple[tuple[Asset, Package], ...]
    bucket_stacks: Mapping[str, str]
    notes: tuple[str, ...]
    consents: tuple[str, ...]

    def steps(self) -> tuple[Step, ...]:
        """What would be done about each stack, in dependency order."""
        return tuple(plan.decide(item, self.deployed.get(item.name)) for item in self.wanted)


class NoBucket(CloudError):
    """Nowhere to put a package."""

    def __init__(self, export: str) -> None:
        self.export = export
        super().__init__(f"no bucket for the packages: {export} is not exported; deploy foundation")


class MissingProducer(TapgenError):
    """A tier that was asked for alone, and whose imports are not there."""

    def __init__(self, tier: str, producer: str, stack: str) -> None:
        self.tier, self.producer, self.stack = tier, producer, stack
        super().__init__(
            f"{tier} imports from {producer}, and {stack} is not deployed; "
            f"deploy {producer} too, or name no tier to deploy them all"
        )


def selected(description: Description, tiers: Sequence[str]) -> tuple[str, ...]:
    """The tiers to act on, in dependency order: ``tiers``, or all. Raises ``UnknownTier``."""
    chosen = description.chosen(tiers)
    return tuple(tier for tier in graph.order(description.documents) if tier in chosen)


def prepare(
    session: Session,
    description: Description,
    settings: Settings,
    tiers: Sequence[str],
    *,
    lambda_source: Path,
    packages_folder: Path,
) -> Rollout:
    """Find out all that one run needs. Builds packages, and asks AWS; changes nothing there.

    Raises ``UnknownTier``, ``MissingProducer``, ``cloud.CloudError`` and what packaging raises.
    """
    documents, env = description.documents, settings.env
    chosen = selected(description, tiers)
    stack_of = {tier: description.stack_name(tier, env) for tier in documents}
    deployed = deploy.survey(session.cloud, list(stack_of.values()))
    producers = graph.producers(documents)
    chosen = _with_account_stacks(description, chosen, deployed, producers, stack_of)
    _check_producers(chosen, producers, deployed, stack_of)

    built = _build(documents, chosen, lambda_source, packages_folder)
    given = dict(settings.parameters)
    given.update({asset.parameter: item.key for asset, item in built})
    given.update(_account_switches(session, documents, chosen, deployed, stack_of))
    resolved = _versions(session, description, chosen, given, deployed, env)
    given.update({parameter: found.value for parameter, found in resolved.items()})

    return Rollout(
        wanted=tuple(_wanted(description, tier, settings, given) for tier in chosen),
        deployed=deployed,
        producers=producers,
        roles=preflight.service_linked_roles(documents[tier] for tier in chosen),
        assets=built,
        bucket_stacks={export.name: stack_of[export.stack] for export in graph.exports(documents)},
        # Not when nobody asked: the documented default is older than any database still running.
        notes=tuple(
            found.note
            for parameter, found in resolved.items()
            if found.note and not found.consent and parameter in settings.parameters
        ),
        consents=tuple(found.note for found in resolved.values() if found.consent),
    )


def carry_out(
    session: Session, rollout: Rollout, run: Run, phases: Sequence[Phase] = ()
) -> Iterator[Event]:
    """Change AWS to what the rollout wants, and tell what happens. Raises ``cloud.CloudError``.

    ``phases`` are the rounds to do it in; none means one round of everything.
    """
    if any(step.action in (Action.CREATE, Action.RECREATE) for step in rollout.steps()):
        yield from _linked_roles(session, rollout.roles)
    sending = replace(run, before=lambda item: _send(session, rollout, item))
    rounds = list(phases) or [Phase("deploy", rollout.wanted)]
    deployed = rollout.deployed

    def survey() -> Mapping[str, DeployedStack | None]:
        return deploy.survey(session.cloud, list(rollout.deployed))

    if len(rounds) > 1:
        deployed = yield from _patiently(run, survey)
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
        if len(rounds) > 1:
            names = tuple(item.name for item in phase.wanted)
            yield RoundStarted(phase.title, number, len(rounds), stacks=names)
        if number > 1:
            deployed = yield from _patiently(run, survey)
        # A round's calls need tokens of their own: the same stack may have its turn in each.
        turn = replace(sending, id=f"{run.id}-{number}", still=phase.still)
        failed = yield from _one_round(session, rollout, turn, phase, deployed, outputs)
        if failed:
            # Also those whose own turn went well: what they stand at now is half of the way.
            later = {item.name for rest in rounds[number:] for item in rest.wanted}
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
    for export in () if failed else phase.gone:
        for importer in (yield from _importers(run, export)):
            if importer in ours:
                reason = f"still imports {export}, although its template no longer does"
            else:
                reason = f"imports {export} since a moment ago, and is not part of this run"
            yield StackFailed(importer, "", reason)
            failed.append(importer)
    return failed


def _importers(run: Run, export: str) -> Generator[Event, None, list[str]]:
    """Who imports ``export``, asked of CloudFormation itself: the next round relies on nobody."""
    started = run.clock.now()
    while True:
        found = yield from _patiently(run, lambda: run.cloud.importers(export))
        # The answer may be older than the operation that has just ended.
        if not found or run.clock.now() - started > STALE_SECONDS:
            return found
        run.clock.sleep(run.pace(0.0))


def _patiently(run: Run, question: Callable[[], T]) -> Generator[Event, None, T]:
    """Ask what no stack is about, with the patience that watching a stack has."""
    asking = Watch(run.cloud, run.clock, run.pace, "account").patiently(question)
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


def _send(session: Session, rollout: Rollout, item: Wanted) -> None:
    for asset, built in rollout.assets:
        if asset.parameter in item.request.parameters:
            session.account.upload(built.path, _bucket(session, rollout, asset), built.key)


def _bucket(session: Session, rollout: Rollout, asset: Asset) -> str:
    # Read now: the account's own stack may have been made in this run.
    stack = session.cloud.stack(rollout.bucket_stacks[asset.bucket_export])
    if stack is None or asset.bucket_export not in stack.exports:
        raise NoBucket(asset.bucket_export)
    return stack.exports[asset.bucket_export]


def _with_account_stacks(
    description: Description,
    chosen: Sequence[str],
    deployed: Mapping[str, DeployedStack | None],
    producers: Mapping[str, frozenset[str]],
    stack_of: Mapping[str, str],
) -> tuple[str, ...]:
    """``chosen``, and the account's own stacks that they import from and nobody deployed yet."""
    missing = {
        producer
        for tier in chosen
        for producer in producers[tier]
        if description.scopes[producer] is Scope.ACCOUNT and deployed[stack_of[producer]] is None
    }
    return selected(description, [*chosen, *missing])


def _check_producers(
    chosen: Sequence[str],
    producers: Mapping[str, frozenset[str]],
    deployed: Mapping[str, DeployedStack | None],
    stack_of: Mapping[str, str],
) -> None:
    for tier in chosen:
        for producer in sorted(producers[tier] - set(chosen)):
            if deployed[stack_of[producer]] is None:
                raise MissingProducer(tier, producer, stack_of[producer])


def _build(
    documents: Mapping[str, Document],
    chosen: Sequence[str],
    lambda_source: Path,
    packages_folder: Path,
) -> tuple[tuple[Asset, Package], ...]:
    found = assets.needed(
        {tier: documents[tier] for tier in chosen}, package.discover(lambda_source)
    )
    return tuple(
        (asset, package.build(asset.package, lambda_source, packages_folder)) for asset in found
    )


def _account_switches(
    session: Session,
    documents: Mapping[str, Document],
    chosen: Sequence[str],
    deployed: Mapping[str, DeployedStack | None],
    stack_of: Mapping[str, str],
) -> dict[str, str]:
    found = {}
    for tier in chosen:
        for switch in preflight.account_switches(documents[tier]):
            stack = deployed[stack_of[tier]]
            known = stack is not None and switch in stack.parameters
            role = None if known else session.account.api_gateway_log_role()
            ours = preflight.makes_account_settings(role, stack, switch)
            found[switch] = str(ours).lower()
    return found


def _versions(
    session: Session,
    description: Description,
    chosen: Sequence[str],
    given: Mapping[str, str],
    deployed: Mapping[str, DeployedStack | None],
    env: str,
) -> dict[str, Version]:
    found = {}
    for tier in chosen:
        document = description.documents[tier]
        for database in preflight.databases(tier, document, {**given, names.SUFFIX: env}):
            default = document["Parameters"][database.parameter].get("Default", "")
            asked = given.get(database.parameter, str(default))
            stack = deployed[description.stack_name(tier, env)]
            found[database.parameter] = _version(session, database, asked, stack)
    return found


def _version(
    session: Session, database: Database, asked: str, stack: DeployedStack | None
) -> Version:
    live = stack is not None and stack.status not in {*plan.STILLBORN, "REVIEW_IN_PROGRESS"}
    before = stack.parameters.get(database.parameter) if stack and live else None
    if before == asked:
        return Version(asked)
    return preflight.version(
        database.engine,
        asked,
        offered=session.account.offered_versions(database.engine),
        running=session.account.running_version(database.identifier) if live else None,
        deployed=before,
    )


def _wanted(
    description: Description, tier: str, settings: Settings, given: Mapping[str, str]
) -> Wanted:
    document = description.documents[tier]
    if description.scopes[tier] is Scope.ACCOUNT:
        # The same from every environment: its settings must not fight over the account's stack.
        env, tags = None, PROJECT_TAGS
    else:
        env = settings.env
        tags = {**PROJECT_TAGS, "Environment": settings.env, **settings.tags}
    return plan.wanted(tier, document, render.text(document), env=env, given=given, tags=tags)
