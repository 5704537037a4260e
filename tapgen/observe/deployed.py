"""Where an environment's logs and state machine are: the documents say which, the stacks where.

A source of logs is known by what writes to it, a function or a task definition; the log groups are
those that such a resource refers to, in its own stack or through an import. Their names come from
the deployed stacks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tapgen import graph
from tapgen.cloud import CloudFormation, Resource
from tapgen.description import Description
from tapgen.errors import TapgenError
from tapgen.resolve import Document

# Who writes to a source's log groups.
WRITERS: Mapping[str, frozenset[str]] = {
    "api": frozenset({"AWS::ApiGateway::Stage", "AWS::Lambda::Function"}),
    "task": frozenset({"AWS::ECS::TaskDefinition"}),
    "workflow": frozenset({"AWS::StepFunctions::StateMachine"}),
}
SOURCES = tuple(WRITERS)
_LOG_GROUP = "AWS::Logs::LogGroup"
_MACHINE = "AWS::StepFunctions::StateMachine"
_TOPIC = "AWS::SNS::Topic"


class NothingDeployed(TapgenError):
    """An environment without the stacks that hold what was asked for."""

    def __init__(self, env: str, what: str, stacks: Sequence[str]) -> None:
        self.env, self.what, self.stacks = env, what, tuple(stacks)
        super().__init__(
            f"{env} has no {what} here: {', '.join(stacks)} "
            f"{'is' if len(stacks) == 1 else 'are'} not deployed; "
            "deploy first (tapgen deploy, or on this machine tapgen local serve)"
        )


@dataclass(frozen=True, order=True)
class Place:
    """A resource in the documents: its tier and its logical id."""

    tier: str
    logical_id: str


@dataclass(frozen=True)
class Group:
    """A log group, and the source it belongs to."""

    source: str
    name: str


def log_places(documents: Mapping[str, Document], source: str) -> list[Place]:
    """The log groups that ``source`` writes to, sorted."""
    found: set[Place] = set()
    for tier, document in documents.items():
        for logical_id, resource in document["Resources"].items():
            if resource["Type"] in WRITERS[source]:
                found |= _used(documents, tier, logical_id, resource)
    return sorted(found)


def groups(
    cloud: CloudFormation, description: Description, env: str, sources: Sequence[str] = SOURCES
) -> list[Group]:
    """The deployed log groups of ``sources``, in their order.

    A source whose stacks are not there has none. Raises ``NothingDeployed`` where no source has
    any, and ``CloudError``.
    """
    places = {source: log_places(description.documents, source) for source in sources}
    found = _Deployed(cloud, description, env)
    named = [
        Group(source, resource.physical_id)
        for source, wanted in places.items()
        for resource in found.at(wanted)
    ]
    if not named:
        tiers = sorted({place.tier for wanted in places.values() for place in wanted})
        raise NothingDeployed(env, "logs", [description.stack_name(tier, env) for tier in tiers])
    return named


def state_machine(cloud: CloudFormation, description: Description, env: str) -> str:
    """The ARN of the environment's state machine. Raises ``NothingDeployed``, ``CloudError``."""
    return _of_type(cloud, description, env, _MACHINE, "state machine")[0].physical_id


def topics(cloud: CloudFormation, description: Description, env: str) -> dict[str, str]:
    """The topics' ARNs by logical id. Raises ``NothingDeployed``, ``CloudError``."""
    found = _of_type(cloud, description, env, _TOPIC, "topics")
    return {topic.logical_id: topic.physical_id for topic in found}


def _of_type(
    cloud: CloudFormation, description: Description, env: str, kind: str, what: str
) -> list[Resource]:
    wanted = [
        Place(tier, logical_id)
        for tier, document in description.documents.items()
        for logical_id, resource in document["Resources"].items()
        if resource["Type"] == kind
    ]
    found = list(_Deployed(cloud, description, env).at(wanted))
    if not found:
        tiers = sorted({place.tier for place in wanted})
        raise NothingDeployed(env, what, [description.stack_name(tier, env) for tier in tiers])
    return found


class _Deployed:
    """The resources of an environment's stacks, each stack asked for once."""

    def __init__(self, cloud: CloudFormation, description: Description, env: str) -> None:
        self._cloud = cloud
        self._name: Callable[[str], str] = lambda tier: description.stack_name(tier, env)
        self._stacks: dict[str, dict[str, Resource]] = {}

    def at(self, places: Sequence[Place]) -> Iterator[Resource]:
        """Those of the places where something stands."""
        for place in places:
            if place.tier not in self._stacks:
                stack = self._cloud.stack(self._name(place.tier))
                standing = [] if stack is None else self._cloud.resources(stack.id)
                self._stacks[place.tier] = {one.logical_id: one for one in standing}
            found = self._stacks[place.tier].get(place.logical_id)
            if found is not None and found.physical_id and found.status != "DELETE_COMPLETE":
                yield found


def _used(
    documents: Mapping[str, Document], tier: str, logical_id: str, resource: Mapping[str, Any]
) -> set[Place]:
    """The log groups that one resource refers to."""
    document = documents[tier]
    found = {(tier, name) for name in graph.references(resource)}
    for name in graph.import_names(resource, document, tier, logical_id):
        for export in graph.exports(documents):
            if export.name == name:
                value = documents[export.stack]["Outputs"][export.key]["Value"]
                found |= {(export.stack, used) for used in graph.references(value)}
    return {Place(*place) for place in found if _is_group(documents, *place)}


def _is_group(documents: Mapping[str, Document], tier: str, logical_id: str) -> bool:
    resource = documents[tier]["Resources"].get(logical_id)
    return resource is not None and resource["Type"] == _LOG_GROUP
