"""Interconnections: who may reach whom, who may do what, and who is told of whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tapgen.verify import data, serving, workflow
from tapgen.verify.environment import Environment
from tapgen.verify.questions import Absent, Asker, at, by_sid, statements
from tapgen.verify.result import Check, Fact, Facts, plain

GROUP = "Interconnections"
GROUPS = ("Rds", "Redis", "Efs", "Lambda", "Ecs")


def reach(env: Environment, ask: Asker) -> Facts:
    """Every security group lets in and out what is described, and nothing else."""
    found = security_groups(env, ask)
    rules = [made.wanted for made in env.each("AWS::EC2::SecurityGroupIngress")]
    for name, told in found.items():
        id_ = env.id("network", f"{name}SecurityGroup")
        made = env.wanted("network", f"{name}SecurityGroup")
        yield Fact(f"{name} VpcId", told.get("VpcId"), env.id("network", "Vpc"))
        wanted = sorted(_described(env, rule) for rule in rules if rule["GroupId"] == id_)
        yield Fact(f"{name} in", sorted(_allowed(env, told.get("IpPermissions"))), wanted)
        wanted = sorted(_described(env, rule) for rule in made["SecurityGroupEgress"])
        yield Fact(f"{name} out", sorted(_allowed(env, told.get("IpPermissionsEgress"))), wanted)


def attached(env: Environment, ask: Asker) -> Facts:
    """Each group protects what it was made for, and nothing stands beside it there."""
    group = {name: env.export(f"{name}SecurityGroupId") for name in GROUPS}
    told = [
        item.get("VpcSecurityGroupId")
        for item in data.instance(env, ask).get("VpcSecurityGroups") or ()
    ]
    yield Fact("database", told, [group["Rds"]])
    for node in data.members(env, ask):
        told = [item.get("SecurityGroupId") for item in node.get("SecurityGroups") or ()]
        yield Fact(f"cache {node.get('CacheClusterId')}", told, [group["Redis"]])
    for made in env.each("AWS::EFS::MountTarget"):
        found = ask.call("efs", "describe_mount_target_security_groups", MountTargetId=made.id)
        yield Fact(made.logical_id, found.get("SecurityGroups"), [group["Efs"]])
    private = {env.export("PrivateSubnetAId"), env.export("PrivateSubnetBId")}
    for made in env.each("AWS::Lambda::Function"):
        found = serving.function_of(env, ask, made.logical_id).get("VpcConfig") or {}
        yield Fact(f"{made.logical_id} groups", found.get("SecurityGroupIds"), [group["Lambda"]])
        yield Fact(f"{made.logical_id} subnets", set(found.get("SubnetIds") or ()), private)
    for name, state in _running(env, ask):
        net = at(state, "Parameters.NetworkConfiguration.AwsvpcConfiguration") or {}
        yield Fact(f"{name} groups", net.get("SecurityGroups"), [group["Ecs"]])
        yield Fact(f"{name} subnets", set(net.get("Subnets") or ()), private)
        yield Fact(f"{name} AssignPublicIp", net.get("AssignPublicIp"), "DISABLED")


def roles_passed(env: Environment, ask: Asker) -> Facts:
    """Everything runs as its own role: the task, the functions, the state machine."""
    task, execution = env.export("TaskRoleArn"), env.export("TaskExecutionRoleArn")
    found = workflow.task_definition(env, ask)
    yield Fact("task runs as", found.get("taskRoleArn"), task)
    yield Fact("task is started as", found.get("executionRoleArn"), execution)
    wanted = env.wanted("workflow", "Workflow")["RoleArn"]
    yield Fact("state machine runs as", workflow.machine(env, ask).get("roleArn"), wanted)
    for made in env.each("AWS::Lambda::Function"):
        told = serving.function_of(env, ask, made.logical_id).get("Role")
        yield Fact(f"{made.logical_id} runs as", told, made.wanted["Role"])
    for name, state in _running(env, ask):
        told = at(state, "Parameters.Cluster")
        yield Fact(f"{name} runs in", told, env.export("EcsClusterArn"))
        told = at(state, "Parameters.TaskDefinition")
        yield Fact(f"{name} runs", told, env.id("workflow", "VideoTask"))


def role_policies(env: Environment, ask: Asker) -> Facts:
    """Every role is trusted to whom it was made for and may do what is described, no more."""
    beside = [made.wanted for made in env.each("AWS::IAM::Policy")]
    for made in env.each("AWS::IAM::Role"):
        name = made.id
        role = ask.call("iam", "get_role", RoleName=name).get("Role") or {}
        trust = made.wanted["AssumeRolePolicyDocument"]
        told = role.get("AssumeRolePolicyDocument")
        yield Fact(f"{name} trusts", by_sid(told), by_sid(trust))
        wanted = {
            item["PolicyName"]: item["PolicyDocument"] for item in made.wanted.get("Policies", ())
        }
        for policy in beside:
            if name in policy["Roles"]:
                wanted[policy["PolicyName"]] = policy["PolicyDocument"]
        found = ask.call("iam", "list_role_policies", RoleName=name).get("PolicyNames") or []
        yield Fact(f"{name} policies", set(found), set(wanted))
        for policy_name in sorted(set(found) & set(wanted)):
            told = ask.call("iam", "get_role_policy", RoleName=name, PolicyName=policy_name)
            document = by_sid(told.get("PolicyDocument"))
            yield Fact(f"{name} {policy_name}", document, by_sid(wanted[policy_name]))
        managed = ask.pages("iam", "list_attached_role_policies", "AttachedPolicies", RoleName=name)
        arns = {item.get("PolicyArn") for item in managed}
        yield Fact(f"{name} managed policies", arns, set(made.wanted.get("ManagedPolicyArns", ())))


def told_endpoints(env: Environment, ask: Asker) -> Facts:
    """The function is told the endpoints that the database and the cache answer with."""
    found = at(serving.function_of(env, ask), "Environment.Variables") or {}
    instance = data.instance(env, ask)
    group = data.replication_group(env, ask)
    node = at(group, "NodeGroups.0")
    wanted = {
        **env.wanted("api", "ApiFunction")["Environment"]["Variables"],
        "DB_HOST": at(instance, "Endpoint.Address"),
        "DB_PORT": at(instance, "Endpoint.Port"),
        "REDIS_PRIMARY_HOST": at(node, "PrimaryEndpoint.Address"),
        "REDIS_READER_HOST": at(node, "ReaderEndpoint.Address"),
        "REDIS_PORT": at(node, "PrimaryEndpoint.Port"),
    }
    for name in sorted({*found, *wanted}):
        yield Fact(name, found.get(name), wanted.get(name))


def api_to_function(env: Environment, ask: Asker) -> Facts:
    """The API's methods call the function, and only they may."""
    arn = serving.function_of(env, ask).get("FunctionArn")
    for path, methods in serving.methods_of(env, ask).items():
        for name, method in sorted(methods.items()):
            if name != "OPTIONS":
                uri = str(at(method, "methodIntegration.uri"))
                called = uri.rpartition("/functions/")[2].removesuffix("/invocations")
                yield Fact(f"{name} {path} calls", called, arn)
    found = ask.call("lambda", "get_policy", FunctionName=env.id("api", "ApiFunction"))
    from_ = {
        at(item, "Condition.ArnLike.AWS:SourceArn") for item in statements(found.get("Policy"))
    }
    wanted = {made.wanted["SourceArn"] for made in env.each("AWS::Lambda::Permission")}
    yield Fact("may be called from", {str(arn) for arn in from_}, wanted)


def security_groups(env: Environment, ask: Asker) -> dict[str, dict[str, Any]]:
    """The five groups by their first names; one that is not there is empty."""
    ids = {name: env.id("network", f"{name}SecurityGroup") for name in GROUPS}
    found = ask.pages(
        "ec2", "describe_security_groups", "SecurityGroups", GroupIds=sorted(ids.values())
    )
    by_id = {item.get("GroupId"): item for item in found}
    return {name: by_id.get(id_, {}) for name, id_ in ids.items()}


def _running(env: Environment, ask: Asker) -> Iterator[tuple[str, dict[str, Any]]]:
    """The states that run a task. Raises ``Absent`` when there is none."""
    states = workflow.definition(workflow.machine(env, ask)).get("States") or {}
    found = [(n, s) for n, s in states.items() if "ecs:runTask" in str(s.get("Resource"))]
    if not found:
        raise Absent("a state that runs a task")
    yield from found


def _described(env: Environment, rule: Mapping[str, Any]) -> str:
    """A rule of a template in words: ``tcp 5432 LambdaSecurityGroup``."""
    whom = (
        rule.get("SourceSecurityGroupId")
        or rule.get("DestinationSecurityGroupId")
        or rule.get("CidrIp")
    )
    return _words(env, rule, str(whom))


def _allowed(env: Environment, permissions: Any) -> Iterator[str]:
    """The same of what EC2 answers, one for each peer."""
    for item in permissions or ():
        whom = [pair.get("GroupId") for pair in item.get("UserIdGroupPairs") or ()]
        whom += [span.get("CidrIp") for span in item.get("IpRanges") or ()]
        whom += [span.get("CidrIpv6") for span in item.get("Ipv6Ranges") or ()]
        whom += [span.get("PrefixListId") for span in item.get("PrefixListIds") or ()]
        yield from (_words(env, item, str(one)) for one in whom)


def _words(env: Environment, rule: Mapping[str, Any], whom: str) -> str:
    protocol = rule.get("IpProtocol")
    if protocol in ("-1", -1):
        return f"all {env.called(whom)}"
    ports = sorted({str(plain(rule.get("FromPort"))), str(plain(rule.get("ToPort")))})
    return f"{protocol} {'-'.join(ports)} {env.called(whom)}"


CHECKS = (
    Check(GROUP, "reach", "security groups let through what is described", reach),
    Check(GROUP, "attached", "each security group stands where it belongs", attached),
    Check(GROUP, "roles-passed", "everything runs as its own role", roles_passed),
    Check(GROUP, "role-policies", "roles may do what is described, no more", role_policies),
    Check(GROUP, "endpoints-told", "the function knows the database and the cache", told_endpoints),
    Check(GROUP, "api-to-function", "the API calls the function, nobody else may", api_to_function),
)
