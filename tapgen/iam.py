"""The few shapes that IAM documents of this system take, over awacs' actions and conditions.

A statement always has a Sid that reads as a sentence, because the Sid is what a reviewer and an
access-denied message show. Which actions on which resources is the tiers' business.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from awacs.aws import (
    Action,
    Allow,
    ArnLike,
    Condition,
    Deny,
    PolicyDocument,
    Principal,
    Statement,
    StringEquals,
)
from awacs.sts import AssumeRole
from troposphere import AccountId, Sub
from troposphere.iam import Policy


def document(*statements: Statement) -> PolicyDocument:
    """A policy document of the current language version."""
    return PolicyDocument(Version="2012-10-17", Statement=list(statements))


def allow(
    sid: str, actions: Sequence[Action], resources: Sequence[Any], *conditions: Any
) -> Statement:
    """What an identity may do: ``actions`` on ``resources``, all ``conditions`` holding."""
    return _statement(Allow, sid, actions, resources, conditions)


def allow_to(
    principal: Principal,
    sid: str,
    actions: Sequence[Action],
    resources: Sequence[Any],
    *conditions: Any,
) -> Statement:
    """What a resource lets ``principal`` do with it."""
    return _statement(Allow, sid, actions, resources, conditions, principal)


def deny_to_all(
    sid: str, actions: Sequence[Action], resources: Sequence[Any], *conditions: Any
) -> Statement:
    """What a resource refuses to everybody while ``conditions`` hold."""
    return _statement(Deny, sid, actions, resources, conditions, Principal("*"))


def assumed_by(service: str, source_arn: str) -> PolicyDocument:
    """Trust in one AWS service, acting for this account and for ``source_arn`` (an ARN pattern).

    The two conditions keep another account's resource from using the role through the service
    (IAM user guide, "The confused deputy problem").
    """
    return document(
        _statement(
            Allow,
            f"Only{''.join(part.capitalize() for part in service.split('.')[0].split('-'))}",
            [AssumeRole],
            None,
            [
                StringEquals({"aws:SourceAccount": AccountId}),
                ArnLike({"aws:SourceArn": Sub(source_arn)}),
            ],
            Principal("Service", service),
        )
    )


def inline(name: str, *statements: Statement) -> Policy:
    """A policy that is created with its role, so that what needs it never races it."""
    return Policy(PolicyName=name, PolicyDocument=document(*statements))


def _statement(
    effect: str,
    sid: str,
    actions: Sequence[Action],
    resources: Sequence[Any] | None,
    conditions: Sequence[Any],
    principal: Principal | None = None,
) -> Statement:
    parts: dict[str, Any] = {"Sid": sid, "Effect": effect}
    if principal is not None:
        parts["Principal"] = principal
    parts["Action"] = list(actions)
    if resources is not None:
        parts["Resource"] = list(resources)
    if conditions:
        parts["Condition"] = Condition(list(conditions))
    return Statement(**parts)
