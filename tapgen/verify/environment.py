"""A deployed environment as its stacks tell of it, beside the documents that describe it.

What is wanted of a resource is its properties in tapgen's own document, with the stack's
parameters, the physical ids and the exports put in; nothing is written down a second time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tapgen import names, resolve
from tapgen.cloud import CloudError, CloudFormation, DeployedStack
from tapgen.description import Description
from tapgen.errors import TapgenError
from tapgen.verify.questions import Absent

_ATTRIBUTE = re.compile(r"\$\{([A-Za-z0-9]+)\.([A-Za-z0-9.]+)\}")


def _arn(service: str, what: str, *, regional: bool = True) -> Callable[[str, str], str]:
    region = names.REGION if regional else ""
    return lambda id_, account: f"arn:aws:{service}:{region}:{account}:{what.format(id_)}"


def _last(id_: str, _: str) -> str:
    return id_.rpartition(":")[2]


# What Fn::GetAtt gives that follows from the physical id. The rest only the services know.
_ATTRIBUTES: Mapping[tuple[str, str], Callable[[str, str], str]] = {
    ("AWS::EC2::SecurityGroup", "GroupId"): lambda id_, _: id_,
    ("AWS::ECS::Cluster", "Arn"): _arn("ecs", "cluster/{}"),
    ("AWS::EFS::AccessPoint", "Arn"): _arn("elasticfilesystem", "access-point/{}"),
    ("AWS::EFS::FileSystem", "Arn"): _arn("elasticfilesystem", "file-system/{}"),
    ("AWS::ElastiCache::ReplicationGroup", "Arn"): _arn("elasticache", "replicationgroup:{}"),
    ("AWS::IAM::Role", "Arn"): _arn("iam", "role/{}", regional=False),
    ("AWS::KMS::Key", "Arn"): _arn("kms", "key/{}"),
    ("AWS::Lambda::Function", "Arn"): _arn("lambda", "function:{}"),
    ("AWS::Logs::LogGroup", "Arn"): _arn("logs", "log-group:{}:*"),
    ("AWS::SNS::Topic", "TopicName"): _last,
    ("AWS::StepFunctions::StateMachine", "Name"): _last,
}


@dataclass(frozen=True)
class Tier:
    """One stack that stands: itself, its resources by logical id, its document."""

    name: str
    stack: DeployedStack
    ids: Mapping[str, str]
    document: resolve.Document


@dataclass(frozen=True)
class Unread:
    """A stack that could not be looked at, and why: it is missing, or AWS would not say."""

    name: str
    error: TapgenError


@dataclass(frozen=True)
class Made:
    """A resource of a template: where it is described, its physical id, its wanted properties."""

    tier: str
    logical_id: str
    id: str
    wanted: Mapping[str, Any]


class Environment:
    """All stacks of an environment, the account's own included."""

    def __init__(self, env: str, account: str, tiers: Mapping[str, Tier | Unread]) -> None:
        self.env, self.account = env, account
        self.tiers = tiers
        stand = [tier for tier in tiers.values() if isinstance(tier, Tier)]
        self.exports = {name: value for tier in stand for name, value in tier.stack.exports.items()}
        self._wanted: dict[tuple[str, str], dict[str, Any]] = {}
        self._known = {tier.name: self._all_known(tier) for tier in stand}

    def tier(self, name: str) -> Tier:
        """A stack that stands. Raises ``Absent`` and ``CloudError``."""
        found = self.tiers[name]
        if isinstance(found, Unread):
            raise found.error
        return found

    def id(self, tier: str, logical_id: str) -> str:
        """A resource's physical id. Raises ``Absent`` and ``CloudError``."""
        standing = self.tier(tier)
        if not standing.ids.get(logical_id):
            raise Absent(f"{logical_id} of {standing.stack.name}")
        return standing.ids[logical_id]

    def arn(self, tier: str, logical_id: str) -> str:
        """A resource's ARN. Raises ``Absent`` and ``CloudError``."""
        self.id(tier, logical_id)
        found = self._attribute(self.tier(tier), logical_id, "Arn")
        if found is None:
            raise Absent(f"the ARN of {logical_id}")
        return found

    def get(self, tier: str, logical_id: str) -> Made:
        """A resource. Raises ``Absent`` and ``CloudError``."""
        return Made(tier, logical_id, self.id(tier, logical_id), self.wanted(tier, logical_id))

    def wanted(self, tier: str, logical_id: str) -> dict[str, Any]:
        """A resource's properties, as far as they can be told without asking its service.

        Raises ``Absent``, also for an export that it takes, and ``CloudError``.
        """
        if (tier, logical_id) not in self._wanted:
            self._wanted[tier, logical_id] = self._resolved(tier, logical_id)
        return self._wanted[tier, logical_id]

    def _resolved(self, tier: str, logical_id: str) -> dict[str, Any]:
        standing = self.tier(tier)
        properties = standing.document["Resources"][logical_id].get("Properties", {})
        known = self._known[tier]
        found: dict[str, Any] = resolve.value(self._plain(properties, standing), known)
        return found

    def has(self, tier: str, logical_id: str) -> bool:
        """Whether the stack's parameters ask for a resource at all."""
        standing = self.tier(tier)
        condition = standing.document["Resources"][logical_id].get("Condition")
        return condition is None or self._known[tier].holds(condition)

    def each(self, *kinds: str) -> Iterator[Made]:
        """The resources of these types, over all the environment's own stacks."""
        for name in sorted(self.tiers):
            if name == "foundation":
                continue
            standing = self.tier(name)
            for logical_id, resource in standing.document["Resources"].items():
                if resource["Type"] in kinds and self.has(name, logical_id):
                    yield self.get(name, logical_id)

    def export(self, key: str) -> str:
        """The value of an export of this environment. Raises ``Absent``."""
        name = f"{names.PROJECT}-{self.env}-{key}"
        if name not in self.exports:
            raise Absent(f"export {name}")
        return self.exports[name]

    def called(self, id_: str) -> str:
        """An id as the templates call it; itself where they do not."""
        for tier in self.tiers.values():
            if isinstance(tier, Tier):
                for logical_id, known in tier.ids.items():
                    if known == id_:
                        return logical_id
        return id_

    def _all_known(self, tier: Tier) -> resolve.Known:
        pseudo = resolve.pseudo_parameters(self.account, tier.stack.name)
        values = {**tier.ids, **pseudo, **tier.stack.parameters}
        return resolve.Known.of(tier.document, values, imports=self.exports, partial=True)

    def _plain(self, node: Any, tier: Tier) -> Any:
        """``node`` with the attributes put in that follow from the physical ids."""
        if isinstance(node, list):
            return [self._plain(item, tier) for item in node]
        if isinstance(node, str) or not isinstance(node, Mapping):
            return node
        if len(node) == 1:
            ((key, argument),) = node.items()
            if key == "Fn::GetAtt":
                logical_id, *rest = (
                    argument.split(".", 1) if isinstance(argument, str) else argument
                )
                return self._attribute(tier, logical_id, ".".join(rest)) or node
            if key == "Fn::ImportValue":
                return self._imported(argument, tier)
            if key == "Fn::Sub" and isinstance(argument, str):
                return {key: self._filled(argument, tier)}
            if key == "Fn::Sub" and isinstance(argument, list):
                return {key: [self._filled(argument[0], tier), self._plain(argument[1], tier)]}
        return {key: self._plain(item, tier) for key, item in node.items()}

    def _imported(self, argument: Any, tier: Tier) -> str:
        name = resolve.text(argument, self._known[tier.name])
        if name not in self.exports:
            raise Absent(f"export {name}")
        return self.exports[name]

    def _filled(self, text: str, tier: Tier) -> str:
        return _ATTRIBUTE.sub(
            lambda match: self._attribute(tier, match[1], match[2]) or match[0], text
        )

    def _attribute(self, tier: Tier, logical_id: str, attribute: str) -> str | None:
        kind = tier.document["Resources"].get(logical_id, {}).get("Type")
        make = _ATTRIBUTES.get((kind, attribute))
        id_ = tier.ids.get(logical_id)
        return make(id_, self.account) if make and id_ else None


def survey(cloud: CloudFormation, description: Description, env: str, account: str) -> Environment:
    """Look at every stack of the environment. A stack that cannot be read is noted as such."""

    def look(name: str) -> Tier | Unread:
        stack_name = description.stack_name(name, env)
        try:
            stack = cloud.stack(stack_name)
            if stack is None:
                return Unread(name, Absent(f"stack {stack_name}"))
            ids = {item.logical_id: item.physical_id for item in cloud.resources(stack.id)}
        except CloudError as error:
            return Unread(name, error)
        return Tier(name, stack, ids, description.documents[name])

    with ThreadPoolExecutor(4) as pool:
        found = dict(zip(description.documents, pool.map(look, description.documents), strict=True))
    return Environment(env, account, found)
