"""From a description and settings to the stacks that one run wants: what ``deploy`` does before it
deploys.

Everything that must be known first is asked here (what stands, which versions RDS offers, which
packages the functions run), and put into plain values. Nothing is changed here: that is
``rounds``' business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tapgen import graph, names, package, render
from tapgen.cloud import DeployedStack
from tapgen.description import Description
from tapgen.digest import DIGEST_OUTPUT, digest_of
from tapgen.engine import assets, plan, preflight
from tapgen.engine.assets import Asset
from tapgen.engine.plan import Step, Wanted
from tapgen.engine.preflight import Database, Version
from tapgen.errors import TapgenError
from tapgen.package import Package
from tapgen.resolve import Document
from tapgen.scope import Scope
from tapgen.session import Session
from tapgen.settings import Settings

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
    # The export that names the bucket for templates too long for a request.
    template_bucket: str | None = None
    # Which line of which module made a resource, by stack and logical id.
    sources: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def steps(self) -> tuple[Step, ...]:
        """What would be done about each stack, in dependency order."""
        return tuple(plan.decide(item, self.deployed.get(item.name)) for item in self.wanted)


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
    deployed = session.survey(list(stack_of.values()))
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
        wanted=tuple(_wanted(description, tier, settings, given, deployed) for tier in chosen),
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
        template_bucket=_template_bucket(documents, lambda_source),
        sources={stack_of[tier]: made for tier, made in description.sources.items()},
    )


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


def _template_bucket(documents: Mapping[str, Document], lambda_source: Path) -> str | None:
    """The bucket that the functions' packages lie in: the one that deploying may write to."""
    found = assets.needed(documents, package.discover(lambda_source))
    return found[0].bucket_export if found else None


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
            if database.parameter not in given and _runs(document, stack):
                # What a default became was settled when this template was deployed.
                assert stack is not None
                found[database.parameter] = Version(stack.parameters[database.parameter])
            else:
                found[database.parameter] = _version(session, database, asked, stack)
    return found


def _runs(document: Document, stack: DeployedStack | None) -> bool:
    """Whether the stack stands, and runs this very template."""
    digest = digest_of(document)
    return (
        stack is not None
        and stack.status in plan.UPDATABLE
        and digest is not None
        and stack.outputs.get(DIGEST_OUTPUT) == digest
    )


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
    description: Description,
    tier: str,
    settings: Settings,
    given: Mapping[str, str],
    deployed: Mapping[str, DeployedStack | None],
) -> Wanted:
    document = description.documents[tier]
    if description.scopes[tier] is Scope.ACCOUNT:
        # The same from every environment: its settings must not fight over the account's stack.
        env, tags = None, PROJECT_TAGS
    else:
        env = settings.env
        tags = {**PROJECT_TAGS, "Environment": settings.env, **settings.tags}
    return plan.wanted(
        tier,
        document,
        lambda: render.text(document),
        env=env,
        given=given,
        tags=tags,
        deployed=deployed.get(description.stack_name(tier, settings.env)),
    )
