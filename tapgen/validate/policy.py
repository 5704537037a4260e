"""Policy documents as statements, and what a role may do: reading, for the rules that judge.

Only what the templates say counts. A role that carries a managed policy whose content is not known
here may do anything, as far as a rule about a missing permission can tell.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tapgen.validate.world import Resource, World, dig, items, mappings, strings

ROLE = "AWS::IAM::Role"
_IDENTITY_POLICIES = ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::IAM::RolePolicy")

# What AWS's own policies allow, as far as a rule asks: policy name to actions, all on any resource.
MANAGED = {
    "AmazonECSTaskExecutionRolePolicy": (
        "ecr:GetAuthorizationToken",
        "ecr:BatchCheckLayerAvailability",
        "ecr:GetDownloadUrlForLayer",
        "ecr:BatchGetImage",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
    ),
    "AWSLambdaBasicExecutionRole": (
        "logs:CreateLogGroup",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
    ),
    "AWSLambdaVPCAccessExecutionRole": (
        "logs:CreateLogGroup",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "ec2:CreateNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:DeleteNetworkInterface",
        "ec2:AssignPrivateIpAddresses",
        "ec2:UnassignPrivateIpAddresses",
    ),
    "AWSXRayDaemonWriteAccess": (
        "xray:PutTraceSegments",
        "xray:PutTelemetryRecords",
        "xray:GetSamplingRules",
        "xray:GetSamplingTargets",
        "xray:GetSamplingStatisticSummaries",
    ),
}


@dataclass(frozen=True, eq=False)
class Statement:
    """One statement: lists where the language allows a text, whoever ``owner`` is."""

    owner: Resource
    sid: str
    effect: str
    actions: tuple[str, ...]
    resources: tuple[Any, ...]
    principal: Any
    condition: Mapping[str, Any]
    negated: bool

    @property
    def services(self) -> list[str]:
        """The service principals."""
        return [str(name) for name in items(dig(self.principal, "Service"))]

    @property
    def is_public(self) -> bool:
        """Whether everybody is meant."""
        return self.principal == "*" or "*" in items(dig(self.principal, "AWS"))

    def condition_keys(self) -> set[str]:
        """The condition keys, in lower case as IAM compares them."""
        return {key.lower() for operator in self.condition.values() for key in operator}


def statements(owner: Resource, document: Any) -> list[Statement]:
    """The statements of a policy document, as far as they are known."""
    return [
        Statement(
            owner,
            str(given.get("Sid", "")),
            str(given.get("Effect", "")),
            tuple(str(action) for action in items(given.get("Action"))),
            tuple(items(given.get("Resource"))),
            given.get("Principal"),
            {
                key: value
                for operators in mappings(given.get("Condition"))
                for key, value in operators.items()
                if isinstance(value, Mapping)
            },
            "NotAction" in given or "NotResource" in given or "NotPrincipal" in given,
        )
        for given in mappings(dig(document, "Statement"))
    ]


def identity_statements(world: World) -> Iterator[Statement]:
    """Every statement that is given to an identity."""
    for role in world.of_type(ROLE):
        yield from _inline(role)
    for policy in world.of_type(*_IDENTITY_POLICIES):
        yield from statements(policy, policy.get("PolicyDocument"))


def resource_statements(world: World) -> Iterator[Statement]:
    """Every statement of a policy that a resource carries."""
    for kind, prop in (
        ("AWS::KMS::Key", "KeyPolicy"),
        ("AWS::SNS::TopicPolicy", "PolicyDocument"),
        ("AWS::SQS::QueuePolicy", "PolicyDocument"),
        ("AWS::S3::BucketPolicy", "PolicyDocument"),
        ("AWS::EFS::FileSystem", "FileSystemPolicy"),
        ("AWS::SecretsManager::ResourcePolicy", "ResourcePolicy"),
        ("AWS::EC2::VPCEndpoint", "PolicyDocument"),
    ):
        for resource in world.of_type(kind):
            yield from statements(resource, resource.get(prop))


def trust(role: Resource) -> list[Statement]:
    """Who may assume a role."""
    return statements(role, role.get("AssumeRolePolicyDocument"))


def role_of(world: World, value: Any) -> Resource | None:
    """The role that ``value``, an ARN or a name, means; None for one that is not described here."""
    role = world.by_name(ROLE, "RoleName", value)
    if role is None and isinstance(value, str) and ":role/" in value:
        role = world.by_name(ROLE, "RoleName", value.rsplit("/", 1)[1])
    return role


class Permissions:
    """What one role may do."""

    def __init__(self, world: World, role: Resource) -> None:
        self._world = world
        managed = [str(arn).rsplit("/", 1)[-1] for arn in items(role.get("ManagedPolicyArns"))]
        self._managed = {action for name in managed for action in MANAGED.get(name, ())}
        self._unknown = any(name not in MANAGED for name in managed)
        self._statements = [*_inline(role), *_attached(world, role)]

    def lacks(self, action: str, needed: Iterable[str] = ()) -> bool:
        """Whether ``action`` is allowed on none of ``needed``, the ways to spell one resource.

        Without ``needed`` any resource will do. Conditions are taken to hold.
        """
        if self._unknown or _matches_any(self._managed, action):
            return False
        spellings = tuple(needed)
        return not any(
            statement.effect == "Allow"
            and _matches_any(statement.actions, action)
            and (not spellings or _covers(statement.resources, spellings))
            for statement in self._statements
        )

    def missing(self, actions: Iterable[str], needed: Iterable[str] = ()) -> list[str]:
        """Those of ``actions`` that are lacking."""
        spellings = tuple(needed)
        return [action for action in actions if self.lacks(action, spellings)]


def spellings(world: World, resource: Resource) -> list[str]:
    """The texts that mean ``resource`` in a policy: references, and its ARN where it has a name."""
    found = [resource.token(), resource.token("Arn"), resource.token("TopicArn")]
    form = _ARNS.get(resource.type)
    if form is not None and isinstance(name := resource.get(form[0]), str):
        found.append(form[1].format(name=name))
    return found


def matches(pattern: str, text: str) -> bool:
    """Whether an IAM pattern, with ``*`` and ``?``, covers ``text``; case is the caller's."""
    form = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(form, text) is not None


# The account number and region are the ones the world is resolved with.
_HERE = "ap-northeast-1:123456789012"
_ARNS = {
    "AWS::SNS::Topic": ("TopicName", f"arn:aws:sns:{_HERE}:{{name}}"),
    "AWS::IAM::Role": ("RoleName", "arn:aws:iam::123456789012:role/{name}"),
    "AWS::ECS::TaskDefinition": ("Family", f"arn:aws:ecs:{_HERE}:task-definition/{{name}}:1"),
    "AWS::ECS::Cluster": ("ClusterName", f"arn:aws:ecs:{_HERE}:cluster/{{name}}"),
    "AWS::StepFunctions::StateMachine": (
        "StateMachineName",
        f"arn:aws:states:{_HERE}:stateMachine:{{name}}",
    ),
}


def _inline(role: Resource) -> Iterator[Statement]:
    for policy in mappings(role.get("Policies")):
        yield from statements(role, policy.get("PolicyDocument"))


def _attached(world: World, role: Resource) -> Iterator[Statement]:
    for policy in world.of_type(*_IDENTITY_POLICIES):
        holders = [*items(policy.get("Roles")), *items(policy.get("RoleName"))]
        attached = [item for item in items(role.get("ManagedPolicyArns")) if item == policy.token()]
        if attached or any(role_of(world, holder) is role for holder in holders):
            yield from statements(policy, policy.get("PolicyDocument"))


def _matches_any(patterns: Iterable[str], action: str) -> bool:
    return any(matches(pattern.lower(), action.lower()) for pattern in patterns)


def _covers(patterns: Iterable[Any], spellings: Iterable[str]) -> bool:
    texts = [text for pattern in patterns for text in strings(pattern)]
    return any(matches(pattern, text) for pattern in texts for text in spellings)
