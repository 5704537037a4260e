"""The workflow's role and surroundings: what the definition does against what the role may do."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tapgen.validate import machine, policy
from tapgen.validate.finding import Fault, Rule
from tapgen.validate.world import Resource, World, dig, is_true, items, mappings

# Step Functions developer guide, "Logging": the role needs all of them, on any resource.
LOG_DELIVERY = (
    "logs:CreateLogDelivery",
    "logs:GetLogDelivery",
    "logs:UpdateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:DescribeResourcePolicies",
    "logs:DescribeLogGroups",
)
TRACING = (
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
)
MANAGED_RULE = (
    "arn:aws:events:ap-northeast-1:123456789012:rule/StepFunctionsGetEventsForECSTaskRule"
)
UNCAUGHT = {"TIMED_OUT", "ABORTED"}


def may_pass_roles(world: World) -> Iterator[Fault]:
    """Running a task hands it its roles: iam:PassRole on both, or AccessDenied at run time.

    Step Functions developer guide, "Run ECS or Fargate tasks".
    """
    for run, may in _runs(world):
        for prop in ("TaskRoleArn", "ExecutionRoleArn"):
            role = policy.role_of(world, run.task.get(prop)) if run.task else None
            if role and may.lacks("iam:PassRole", policy.spellings(world, role)):
                yield run.machine.fault(f"{run.state}: its role may not pass {role.logical_id}")


def may_run(world: World) -> Iterator[Fault]:
    """ecs:RunTask must name the family that is run, with a revision: ``family:*``.

    A family ARN without a revision matches no call.
    """
    for run, may in _runs(world):
        if run.task and may.lacks("ecs:RunTask", policy.spellings(world, run.task)):
            yield run.machine.fault(f"{run.state}: its role may not run {run.task.logical_id}")


def may_wait(world: World) -> Iterator[Fault]:
    """``.sync`` waits by a managed rule of EventBridge, and stops the task when aborted.

    Without the rights, creating fails: "not authorized to create managed-rule". Step Functions
    developer guide, "IAM policies for integrated services".
    """
    for run, may in _runs(world):
        if not run.waits:
            continue
        rule = ("events:PutTargets", "events:PutRule", "events:DescribeRule")
        lacking = may.missing(rule, [MANAGED_RULE])
        lacking += may.missing(("ecs:StopTask", "ecs:DescribeTasks"))
        if lacking:
            yield run.machine.fault(f"{run.state}: its role may not {', '.join(lacking)}")


def may_tag(world: World) -> Iterator[Fault]:
    """Tags given to the started task need ecs:TagResource."""
    for run, may in _runs(world):
        tags = run.parameters.get("PropagateTags") or is_true(
            run.parameters.get("EnableECSManagedTags")
        )
        if (tags or run.parameters.get("Tags")) and may.lacks("ecs:TagResource"):
            yield run.machine.fault(f"{run.state}: its role may not ecs:TagResource")


def may_publish(world: World) -> Iterator[Fault]:
    """Each topic that is published to, and the key that encrypts it.

    SNS developer guide, "Encryption at rest": publishers need kms:GenerateDataKey and kms:Decrypt.
    """
    for found, whole in machine.readable(world):
        role = policy.role_of(world, found.get("RoleArn"))
        may = policy.Permissions(world, role) if role else None
        for name, state in machine.states(whole):
            if may is None or not str(state.get("Resource", "")).endswith("states:::sns:publish"):
                continue
            topic = world.resource(machine.parameters(state).get("TopicArn"), "AWS::SNS::Topic")
            if topic is None:
                continue
            if may.lacks("sns:Publish", policy.spellings(world, topic)):
                yield found.fault(f"{name}: its role may not publish to {topic.logical_id}")
            key = world.resource(topic.get("KmsMasterKeyId"), "AWS::KMS::Key")
            needed = policy.spellings(world, key) if key else []
            lacking = may.missing(("kms:GenerateDataKey", "kms:Decrypt"), needed) if key else []
            if lacking:
                yield found.fault(
                    f"{name}: its role may not {', '.join(lacking)} with the key of "
                    f"{topic.logical_id}"
                )


def may_log(world: World) -> Iterator[Fault]:
    """Logging is set up by the role itself when the state machine is created.

    "The state machine IAM Role is not authorized to access the Log Destination".
    """
    for found in _machines(world):
        role = policy.role_of(world, found.get("RoleArn"))
        if role is None or found.get("LoggingConfiguration.Level", "OFF") == "OFF":
            continue
        lacking = policy.Permissions(world, role).missing(LOG_DELIVERY)
        if lacking:
            yield found.fault(f"{role.logical_id} may not {', '.join(lacking)}")


def may_trace(world: World) -> Iterator[Fault]:
    """Tracing without the right to send segments is silent."""
    for found in _machines(world):
        role = policy.role_of(world, found.get("RoleArn"))
        if role is None or not is_true(found.get("TracingConfiguration.Enabled")):
            continue
        lacking = policy.Permissions(world, role).missing(TRACING)
        if lacking:
            yield found.fault(f"{role.logical_id} may not {', '.join(lacking)}")


def logged_and_traced(world: World) -> Iterator[Fault]:
    """An execution that failed without a log or a trace is a riddle."""
    for found in _machines(world):
        if found.get("LoggingConfiguration.Level", "OFF") == "OFF":
            yield found.fault("logs nothing")
        if not is_true(found.get("TracingConfiguration.Enabled")):
            yield found.fault("is not traced")


def log_arn(world: World) -> Iterator[Fault]:
    """Step Functions wants the group's ARN with ``:*`` (which GetAtt Arn gives), API Gateway not.

    "Log destination must be an ARN of a log group ending with :*".
    """
    for found in _machines(world):
        for destination in mappings(found.get("LoggingConfiguration.Destinations")):
            arn = dig(destination, "CloudWatchLogsLogGroup.LogGroupArn")
            target = world.target(arn)
            whole = target is not None and target.attribute == "Arn"
            if not whole and not str(arn).endswith(":*"):
                yield found.fault(f"logs to {arn}, which does not end with ':*'")


def vended_log_group(world: World) -> Iterator[Fault]:
    """Groups outside /aws/vendedlogs/ share one resource policy of 5,120 characters.

    The environment that no longer fits fails with "not authorized to access the Log Destination".
    """
    for found in _machines(world):
        for target in world.targets(found.get("LoggingConfiguration.Destinations")):
            name = target.resource.get("LogGroupName")
            kind = target.resource.type == "AWS::Logs::LogGroup"
            if kind and not str(name).startswith("/aws/vendedlogs/"):
                yield target.resource.fault(f"{name} takes delivered logs")


def told_of_timeouts(world: World) -> Iterator[Fault]:
    """No state catches the execution's own timeout or an abort; only EventBridge hears of them.

    Step Functions developer guide, "Handling errors": catchers are for states.
    """
    for found, whole in machine.readable(world):
        if whole.get("TimeoutSeconds") is None:
            continue
        heard = {
            status
            for rule in world.of_type("AWS::Events::Rule")
            if _listens(world, rule, found)
            for status in items(_pattern(rule).get("status"))
        }
        missing = sorted(UNCAUGHT - heard)
        if missing:
            yield found.fault(f"can end as {' or '.join(missing)} with nobody told")


def read_back(world: World) -> Iterator[Fault]:
    """DefinitionSubstitutions and Definition are write-only: they drift, or hide real drift."""
    for found in _machines(world):
        for prop in ("DefinitionSubstitutions", "Definition"):
            if found.get(prop):
                yield found.fault(f"has {prop}, which cannot be read back")


RULES = (
    Rule("TAP621", "error", "allow iam:PassRole on exactly that role", may_pass_roles),
    Rule("TAP622", "error", "allow ecs:RunTask on task-definition/family:*", may_run),
    Rule("TAP623", "error", "allow them", may_wait),
    Rule("TAP624", "error", "allow it, ecs:CreateAction being RunTask", may_tag),
    Rule("TAP625", "error", "allow it on that topic and key", may_publish),
    Rule("TAP626", "error", "allow them on '*'; there are no resource types", may_log),
    Rule("TAP627", "error", "allow them on '*'; there are no resource types", may_trace),
    Rule("TAP628", "warning", "set LoggingConfiguration, TracingConfiguration", logged_and_traced),
    Rule("TAP629", "error", "use Fn::GetAtt of the log group's Arn", log_arn),
    Rule("TAP630", "warning", "name the group /aws/vendedlogs/…", vended_log_group),
    Rule(
        "TAP631",
        "error",
        "send these statuses to a topic, by an EventBridge rule",
        told_of_timeouts,
    ),
    Rule("TAP632", "warning", "use DefinitionString with Fn::Sub", read_back),
)


def _machines(world: World) -> list[Resource]:
    return world.of_type(machine.MACHINE)


def _runs(world: World) -> Iterator[tuple[machine.TaskRun, policy.Permissions]]:
    for run in machine.task_runs(world):
        role = policy.role_of(world, run.machine.get("RoleArn"))
        if role is not None:
            yield run, policy.Permissions(world, role)


def _pattern(rule: Resource) -> dict[str, object]:
    pattern = rule.get("EventPattern")
    if isinstance(pattern, str):
        try:
            pattern = json.loads(pattern)
        except ValueError:
            return {}
    found = dig(pattern, "detail", {})
    return dict(found) if isinstance(found, dict) else {}


def _listens(world: World, rule: Resource, found: Resource) -> bool:
    meant = set(policy.spellings(world, found))
    named = {str(arn) for arn in items(_pattern(rule).get("stateMachineArn"))}
    on = rule.get("State", "ENABLED") != "DISABLED" and bool(rule.get("Targets"))
    return on and (not named or bool(named & meant))
