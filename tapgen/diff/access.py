"""Who may do what, read off policies as data, and how that differs between two resources.

Every document with statements counts wherever it stands, so does JSON in a string; managed
policies, permission boundaries and Lambda permissions are read as the statements they amount to.
What is compared is what is allowed, not how it is written: an action that a wildcard covered
before is not new.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tapgen.diff import leaves, values

MANAGED = "(managed policy)"
BOUNDARY = "(permissions boundary)"
# What such a resource lets happen while it has no policy at all.
_OPEN_WITHOUT = {
    "AWS::EC2::VPCEndpoint": ("PolicyDocument", "*"),
    "AWS::EFS::FileSystem": ("FileSystemPolicy", "elasticfilesystem:Client*"),
}
# Types that are nothing but a policy on something that stays when they go.
POLICY_TYPES = (
    "AWS::ApiGateway::RestApiPolicy",
    "AWS::ECR::RepositoryPolicy",
    "AWS::EC2::VPCEndpointPolicy",
    "AWS::IAM::GroupPolicy",
    "AWS::IAM::ManagedPolicy",
    "AWS::IAM::Policy",
    "AWS::IAM::RolePolicy",
    "AWS::IAM::UserPolicy",
    "AWS::Logs::ResourcePolicy",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::QueuePolicy",
    "AWS::SecretsManager::ResourcePolicy",
)
# Operators that hold for everything but the values listed.
_NEGATIVE = re.compile(r"Not")
_PERMISSION_CONDITIONS = (
    "SourceArn",
    "SourceAccount",
    "PrincipalOrgID",
    "EventSourceToken",
    "FunctionUrlAuthType",
)

Clause = tuple[str, str, frozenset[str]]


@dataclass(frozen=True)
class Statement:
    """One statement. ``actions`` and the like may start with ``not`` for NotAction and its like."""

    effect: str
    actions: frozenset[str]
    resources: frozenset[str]
    principals: frozenset[str] = frozenset()
    conditions: frozenset[Clause] = frozenset()


@dataclass(frozen=True)
class AccessChange:
    """A statement, or the part of one, that comes (``+``) or goes (``-``), in texts to read."""

    sign: str
    effect: str
    actions: tuple[str, ...]
    principals: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: tuple[str, ...]

    @property
    def broadens(self) -> bool:
        """Whether more is allowed than before."""
        return (self.sign, self.effect) in (("+", "Allow"), ("-", "Deny"))


def changes(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> tuple[AccessChange, ...]:
    """How access differs between two states of one resource, each whole and in normal form."""
    exists = before is not None and after is not None
    old, new = statements(before, exists=exists), statements(after, exists=exists)
    found = [row for each in new for row in _rest("+", each, old)]
    found += [row for each in old for row in _rest("-", each, new)]
    return tuple(dict.fromkeys(found))


def statements(resource: Mapping[str, Any] | None, *, exists: bool = False) -> list[Statement]:
    """Every statement of a resource. ``exists``: on both sides, so a missing policy has meaning."""
    if resource is None:
        return []
    kind, properties = str(resource.get("Type")), resource.get("Properties", {})
    found = list(_in(properties))
    if kind in _OPEN_WITHOUT and exists:
        name, action = _OPEN_WITHOUT[kind]
        if name not in properties:
            everything = frozenset({"*"})
            found.append(Statement("Allow", frozenset({action}), everything, everything))
    if kind == "AWS::Lambda::Permission":
        found.append(_permission(properties))
    for arn in _many(properties.get("ManagedPolicyArns", [])):
        found.append(Statement("Allow", frozenset({MANAGED}), frozenset({arn})))
    for arn in _many(properties.get("PermissionsBoundary", [])):
        found.append(Statement("Deny", frozenset({BOUNDARY}), frozenset({arn})))
    return found


def _in(node: Any) -> Iterator[Statement]:
    data = leaves.data_in(node)
    if data is not None:
        node = data
    if isinstance(node, Mapping) and not values.is_expression(node):
        listed = node.get("Statement")
        if isinstance(listed, (list, Mapping)):
            each = [listed] if isinstance(listed, Mapping) else listed
            yield from (_statement(item) for item in each if isinstance(item, Mapping))
        else:
            for item in node.values():
                yield from _in(item)
    elif isinstance(node, list):
        for item in node:
            yield from _in(item)


def _statement(node: Mapping[str, Any]) -> Statement:
    return Statement(
        str(values.readable(node.get("Effect", "Deny"))),
        _elements(node, "Action"),
        _elements(node, "Resource"),
        _principals(node),
        _clauses(node.get("Condition", {})),
    )


def _elements(node: Mapping[str, Any], name: str) -> frozenset[str]:
    if f"Not{name}" in node:
        return frozenset({"not " + " ".join(sorted(_many(node[f"Not{name}"])))})
    # In a trust policy or on a topic the resource is the one that the policy hangs on.
    return frozenset(_many(node.get(name, [])))


def _principals(node: Mapping[str, Any]) -> frozenset[str]:
    found = {
        f"{prefix}{text}"
        for key, prefix in (("Principal", ""), ("NotPrincipal", "not "))
        if key in node
        for text in _principal(node[key])
    }
    return frozenset(found)


def _principal(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping) and not values.is_expression(node):
        for kind, names in node.items():
            for name in _many(names):
                # The service's own words: {"AWS": "*"} is everybody.
                yield name if name == "*" or kind == "AWS" else f"{kind}:{name}"
    else:
        yield from _many(node)


def _clauses(node: Any) -> frozenset[Clause]:
    found = set()
    if isinstance(node, Mapping) and not values.is_expression(node):
        for operator, keys in node.items():
            if isinstance(keys, Mapping) and not values.is_expression(keys):
                for key, wanted in keys.items():
                    found.add((str(operator), str(key), frozenset(_many(wanted))))
            else:
                found.add((str(operator), "", frozenset(_many(keys))))
    elif node:
        found.add(("", "", frozenset(_many(node))))
    return frozenset(found)


def _permission(properties: Mapping[str, Any]) -> Statement:
    clauses = {
        ("is", name, frozenset(_many(properties[name])))
        for name in _PERMISSION_CONDITIONS
        if name in properties
    }
    return Statement(
        "Allow",
        frozenset(_many(properties.get("Action", []))),
        frozenset(_many(properties.get("FunctionName", []))),
        frozenset(_many(properties.get("Principal", []))),
        frozenset(clauses),
    )


def _many(node: Any) -> list[str]:
    items = node if isinstance(node, list) else [node]
    return [_text(values.readable(item)) for item in items]


def _text(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return json.dumps(value, sort_keys=True)
    return values.scalar_text(value)


def _rest(sign: str, statement: Statement, others: Iterable[Statement]) -> Iterator[AccessChange]:
    """What of ``statement`` none of ``others`` covers, as one row."""
    same = [
        other
        for other in others
        if other.effect == statement.effect and _implies(statement.conditions, other.conditions)
    ]
    open_atoms = [
        atom for atom in _atoms(statement) if not any(_covers(other, atom) for other in same)
    ]
    if open_atoms:
        actions, resources, principals = (
            tuple(sorted({atom[place] for atom in open_atoms} - {""})) for place in range(3)
        )
        conditions = tuple(sorted(_clause_text(clause) for clause in statement.conditions))
        yield AccessChange(sign, statement.effect, actions, principals, resources, conditions)


Atom = tuple[str, str, str]


def _atoms(statement: Statement) -> Iterator[Atom]:
    for action in statement.actions or {""}:
        for resource in statement.resources or {""}:
            for principal in statement.principals or {""}:
                yield action, resource, principal


def _covers(other: Statement, atom: Atom) -> bool:
    action, resource, principal = atom
    return (
        any(_matches(each.lower(), action.lower()) for each in other.actions or {""})
        and any(_matches(each, resource) for each in other.resources or {""})
        and any(each in ("*", principal) for each in other.principals or {""})
    )


def _matches(pattern: str, text: str) -> bool:
    if pattern == text:
        return True
    if (
        pattern.startswith("not ")
        or text.startswith("not ")
        or not ("*" in pattern or "?" in pattern)
    ):
        return False
    parts = (".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern)
    return re.fullmatch("".join(parts), text, re.DOTALL) is not None


def _implies(mine: frozenset[Clause], theirs: frozenset[Clause]) -> bool:
    """Whether everything that meets ``mine`` meets ``theirs`` too."""
    return all(any(_narrower(one, other) for one in mine) for other in theirs)


def _narrower(one: Clause, other: Clause) -> bool:
    if one[:2] != other[:2]:
        return False
    if ":" in one[0] or one[0].startswith("Null"):
        # ForAllValues and its like: sets of values do not simply contain each other.
        return one[2] == other[2]
    return one[2] >= other[2] if _NEGATIVE.search(one[0]) else one[2] <= other[2]


def _clause_text(clause: Clause) -> str:
    operator, key, wanted = clause
    return " ".join(part for part in (key, operator, ", ".join(sorted(wanted))) if part)
