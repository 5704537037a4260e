"""Identity: what roles may do, and whom they and other policies trust."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tapgen.validate import policy
from tapgen.validate.finding import Fault, Rule
from tapgen.validate.world import World, items, strings

# Actions for which '*' is the least that works, with the reason.
ON_ANY_RESOURCE = {
    "ecr:GetAuthorizationToken": "has no resource types",
    "logs:CreateLogDelivery": "log delivery has no resource types",
    "logs:GetLogDelivery": "log delivery has no resource types",
    "logs:UpdateLogDelivery": "log delivery has no resource types",
    "logs:DeleteLogDelivery": "log delivery has no resource types",
    "logs:ListLogDeliveries": "log delivery has no resource types",
    "logs:PutResourcePolicy": "resource policies belong to the account",
    "logs:DescribeResourcePolicies": "resource policies belong to the account",
    "logs:DescribeLogGroups": "lists; with a resource it would still need all groups",
    "xray:PutTraceSegments": "has no resource types",
    "xray:PutTelemetryRecords": "has no resource types",
    "xray:GetSamplingRules": "has no resource types",
    "xray:GetSamplingTargets": "has no resource types",
    "cloudwatch:PutMetricData": "has no resource types; a condition names the namespace",
    "ec2:CreateNetworkInterface": "Lambda asks for it before the interface exists",
    "ec2:DescribeNetworkInterfaces": "has no resource types",
    "ec2:DescribeSubnets": "has no resource types",
    "ec2:DeleteNetworkInterface": "Lambda asks for it on interfaces of its own making",
    "ec2:AssignPrivateIpAddresses": "Lambda asks for it on interfaces of its own making",
    "ec2:UnassignPrivateIpAddresses": "Lambda asks for it on interfaces of its own making",
}
# Actions of ON_ANY_RESOURCE that are harmless only under a condition.
ONLY_WITH = {"cloudwatch:PutMetricData": "cloudwatch:namespace"}
# Parts of log delivery, as Step Functions documents its role: on any resource, and only beside it.
WITH_DELIVERY = ("logs:CreateLogStream", "logs:PutLogEvents")

# Which service takes on a role, by the type and property that hand the role over.
TRUSTED = {
    ("AWS::Lambda::Function", "Role"): "lambda.amazonaws.com",
    ("AWS::ECS::TaskDefinition", "TaskRoleArn"): "ecs-tasks.amazonaws.com",
    ("AWS::ECS::TaskDefinition", "ExecutionRoleArn"): "ecs-tasks.amazonaws.com",
    ("AWS::StepFunctions::StateMachine", "RoleArn"): "states.amazonaws.com",
    ("AWS::EC2::FlowLog", "DeliverLogsPermissionArn"): "vpc-flow-logs.amazonaws.com",
    ("AWS::ApiGateway::Account", "CloudWatchRoleArn"): "apigateway.amazonaws.com",
    ("AWS::RDS::DBInstance", "MonitoringRoleArn"): "monitoring.rds.amazonaws.com",
}
# Services that say for whom they act; their trust takes aws:SourceAccount or aws:SourceArn.
SAY_FOR_WHOM = ("ecs-tasks.amazonaws.com", "states.amazonaws.com", "vpc-flow-logs.amazonaws.com")
TOO_MUCH = ("AdministratorAccess", "PowerUserAccess", "IAMFullAccess")


def no_wild_actions(world: World) -> Iterator[Fault]:
    """``*`` and ``service:*`` also allow what does not exist yet.

    A key's policy gives ``kms:*`` to the account, which is how IAM gets a say over the key at all.
    """
    for statement in _given(world):
        if statement.effect != "Allow" or _is_root(statement):
            continue
        for action in statement.actions:
            if action == "*" or action.endswith(":*"):
                yield statement.owner.fault(f"{_sid(statement)} allows {action}")


def narrow_resources(world: World) -> Iterator[Fault]:
    """``*`` as a resource, for an action that knows a narrower one."""
    for statement in policy.identity_statements(world):
        if statement.effect != "Allow" or "*" not in statement.resources:
            continue
        delivery = WITH_DELIVERY if "logs:CreateLogDelivery" in statement.actions else ()
        for action in statement.actions:
            if action in delivery:
                continue
            if action not in ON_ANY_RESOURCE:
                yield statement.owner.fault(f"{_sid(statement)} allows {action} on every resource")
            elif ONLY_WITH.get(action, "") not in {"", *statement.condition_keys()}:
                yield statement.owner.fault(
                    f"{_sid(statement)} allows {action} without {ONLY_WITH[action]}"
                )


def narrow_pass_role(world: World) -> Iterator[Fault]:
    """Who may pass any role to any service may do what any role may.

    IAM user guide, "Grant a user permissions to pass a role": name the roles, and the service by
    iam:PassedToService.
    """
    for statement in policy.identity_statements(world):
        passes = any(policy.matches(a.lower(), "iam:passrole") for a in statement.actions)
        if statement.effect != "Allow" or not passes:
            continue
        wide = [text for text in strings(list(statement.resources)) if text.endswith("*")]
        if wide:
            yield statement.owner.fault(f"{_sid(statement)} passes the roles {', '.join(wide)}")
        if "iam:passedtoservice" not in statement.condition_keys():
            yield statement.owner.fault(f"{_sid(statement)} passes roles to any service")


def nothing_but(world: World) -> Iterator[Fault]:
    """Allow with NotAction, NotResource or NotPrincipal allows everything else there is."""
    for statement in [*_given(world), *_trusts(world)]:
        if statement.effect == "Allow" and statement.negated:
            yield statement.owner.fault(f"{_sid(statement)} allows everything but a list")


def no_public_policy(world: World) -> Iterator[Fault]:
    """Allow to everybody, without a condition, is public."""
    for statement in [*policy.resource_statements(world), *_trusts(world)]:
        if statement.effect == "Allow" and statement.is_public and not statement.condition:
            yield statement.owner.fault(f"{_sid(statement)} allows everybody")


def no_full_access(world: World) -> Iterator[Fault]:
    """AWS's own policies for people, given to a machine."""
    for role in world.of_type(policy.ROLE):
        for arn in items(role.get("ManagedPolicyArns")):
            name = str(arn).rsplit("/", 1)[-1]
            if name in TOO_MUCH or name.endswith("FullAccess"):
                yield role.fault(f"carries {name}")


def trusted_by_its_user(world: World) -> Iterator[Fault]:
    """A role must trust the service that it is handed to, or creating or running fails.

    "The role defined for the function cannot be assumed by Lambda", "ECS was unable to assume the
    role".
    """
    for (kind, prop), service in TRUSTED.items():
        for resource in world.of_type(kind):
            role = policy.role_of(world, resource.get(prop))
            if role is not None and not any(
                service in statement.services for statement in policy.trust(role)
            ):
                yield role.fault(f"is {prop} of {resource.logical_id} and does not trust {service}")


def for_this_account(world: World) -> Iterator[Fault]:
    """A service acts for whoever asks it: without a condition also for another account.

    IAM user guide, "The confused deputy problem": aws:SourceAccount, aws:SourceArn.
    """
    for statement in _trusts(world):
        for service in statement.services:
            bound = statement.condition_keys() & {"aws:sourceaccount", "aws:sourcearn"}
            if service in SAY_FOR_WHOM and not bound:
                yield statement.owner.fault(f"trusts {service} whomever it acts for")


RULES = (
    Rule("TAP701", "error", "list the actions that are used", no_wild_actions),
    Rule("TAP702", "error", "name the resources", narrow_resources),
    Rule("TAP703", "error", "name the roles, add iam:PassedToService", narrow_pass_role),
    Rule("TAP704", "error", "list what is allowed", nothing_but),
    Rule("TAP705", "error", "name the principal, or add a condition", no_public_policy),
    Rule("TAP706", "error", "write down what it needs", no_full_access),
    Rule("TAP707", "error", "name the service in AssumeRolePolicyDocument", trusted_by_its_user),
    Rule("TAP708", "warning", "add aws:SourceAccount and aws:SourceArn", for_this_account),
)


def _given(world: World) -> list[policy.Statement]:
    return [*policy.identity_statements(world), *policy.resource_statements(world)]


def _trusts(world: World) -> list[policy.Statement]:
    return [statement for role in world.of_type(policy.ROLE) for statement in policy.trust(role)]


def _is_root(statement: policy.Statement) -> bool:
    own: list[Any] = items(statement.principal.get("AWS")) if _named(statement) else []
    account = "123456789012"
    return bool(own) and all(str(arn).endswith((":root", account)) for arn in own)


def _named(statement: policy.Statement) -> bool:
    return isinstance(statement.principal, dict)


def _sid(statement: policy.Statement) -> str:
    return f"statement {statement.sid}" if statement.sid else "a statement"
