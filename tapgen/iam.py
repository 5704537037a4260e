"""The few shapes that IAM documents of this system take, over awacs' actions and conditions.

A statement always has a Sid that reads as a sentence, because the Sid is what a reviewer and an
access-denied message show. Which actions on which resources is the tiers' business.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from awacs import kms
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


def deny(
    sid: str, actions: Sequence[Action], resources: Sequence[Any], *conditions: Any
) -> Statement:
    """What an identity may not do while ``conditions`` hold, whatever else allows it."""
    return _statement(Deny, sid, actions, resources, conditions)


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
    sid: str, actions: Sequence[Action], resources: Sequence[Any] | None, *conditions: Any
) -> Statement:
    """What a resource refuses to everybody while ``conditions`` hold.

    ``resources`` is None where the service itself fills in the one that the policy hangs on.
    """
    # Means the same as a bare "*"; it is the form in which AWS writes file system policies.
    return _statement(Deny, sid, actions, resources, conditions, Principal("AWS", "*"))


def account_keeps_key() -> Statement:
    """What every key policy starts with: the account's own IAM policies decide about the key.

    Without it nobody could change the policy again, and KMS refuses such a key. The actions are
    listed, those of a symmetric key, so that a new one is not handed over unseen.
    """
    return allow_to(
        Principal("AWS", Sub("arn:${AWS::Partition}:iam::${AWS::AccountId}:root")),
        "IamPoliciesOfThisAccountDecide",
        [
            kms.CancelKeyDeletion,
            kms.CreateAlias,
            kms.CreateGrant,
            kms.Decrypt,
            kms.DeleteAlias,
            kms.DescribeKey,
            kms.DisableKey,
            kms.DisableKeyRotation,
            kms.EnableKey,
            kms.EnableKeyRotation,
            kms.Encrypt,
            kms.GenerateDataKey,
            kms.GenerateDataKeyWithoutPlaintext,
            kms.GetKeyPolicy,
            kms.GetKeyRotationStatus,
            kms.ListGrants,
            kms.ListKeyPolicies,
            kms.ListKeyRotations,
            kms.ListResourceTags,
            kms.PutKeyPolicy,
            kms.ReEncryptFrom,
            kms.ReEncryptTo,
            kms.RetireGrant,
            kms.RevokeGrant,
            kms.RotateKeyOnDemand,
            kms.ScheduleKeyDeletion,
            kms.TagResource,
            kms.UntagResource,
            kms.UpdateAlias,
            kms.UpdateKeyDescription,
        ],
        # In a key policy this is the key itself.
        ["*"],
    )


def assumed_by(service: str, source_arn: str) -> PolicyDocument:
    """Trust in one AWS service, acting for this account and for ``source_arn`` (an ARN pattern).

    The two conditions keep another account's resource from using the role through the service
    (IAM user guide, "The confused deputy problem").
    """
    return document(
        _statement(
            Allow,
            _only(service),
            [AssumeRole],
            None,
            [
                StringEquals({"aws:SourceAccount": AccountId}),
                ArnLike({"aws:SourceArn": Sub(source_arn)}),
            ],
            Principal("Service", service),
        )
    )


def trusted(service: str) -> PolicyDocument:
    """Trust in one AWS service that names no source when it assumes the role.

    Safe only where the service takes roles of its own account alone, as Lambda and API Gateway do:
    passing a role needs iam:PassRole, which does not reach across accounts.
    """
    return document(
        _statement(Allow, _only(service), [AssumeRole], None, [], Principal("Service", service))
    )


def inline(name: str, *statements: Statement) -> Policy:
    """A policy that is created with its role, so that what needs it never races it."""
    return Policy(PolicyName=name, PolicyDocument=document(*statements))


def _only(service: str) -> str:
    return f"Only{''.join(part.capitalize() for part in service.split('.')[0].split('-'))}"


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
