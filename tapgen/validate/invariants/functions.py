"""Functions: what they may do, how long they run, and what stands in their environment."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from tapgen.validate import policy
from tapgen.validate.finding import Fault, Rule
from tapgen.validate.invariants import network
from tapgen.validate.world import Resource, World, mappings, number

FUNCTION = "AWS::Lambda::Function"
# API Gateway answers 504 after 29 s; the documented 30 s leave the function a second to find out.
BEHIND_AN_API = 30
NETWORK_INTERFACES = (
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DeleteNetworkInterface",
)
_SECRET = re.compile(r"(PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|PRIVATE_?KEY|CREDENTIAL)", re.I)
# Such a name may hold where the secret is, or how it is used.
_ABOUT = re.compile(r"(_?(ARN|ID|NAME|HEADER|TTL|SECONDS|URL|ENDPOINT|VERSION))$", re.I)


def no_secret_in_environment(world: World) -> Iterator[Fault]:
    """An environment variable is shown by the console and by every Describe call.

    A dynamic reference is resolved into it just the same. Lambda and ECS best practices: hand over
    the ARN and read the secret when running.
    """
    for owner, where, name, value in _environments(world):
        if "{{resolve:secretsmanager" in str(value) or "{{resolve:ssm-secure" in str(value):
            yield owner.fault(f"{where}{name} holds a secret's value")
        elif _SECRET.search(name) and not _ABOUT.search(name) and not _is_reference(world, value):
            yield owner.fault(f"{where}{name} looks like a secret's value")


def timeout_behind_api(world: World) -> Iterator[Fault]:
    """API Gateway answers 504 after 29 seconds; the function runs on and is paid for."""
    called = {
        target.resource.token()
        for method in world.of_type("AWS::ApiGateway::Method")
        for target in world.targets(method.get("Integration.Uri"))
    }
    for function in world.of_type(FUNCTION):
        timeout = number(function.get("Timeout"))
        if function.token() in called and timeout is not None and timeout > BEHIND_AN_API:
            yield function.fault(f"may run {timeout:g} s for a caller who waits 29 s")


def may_join_the_network(world: World) -> Iterator[Fault]:
    """A function in a VPC makes network interfaces; without the right, creating it fails.

    "The provided execution role does not have permissions to call CreateNetworkInterface on EC2".
    Only policies of the role itself are there in time.
    """
    for function in world.of_type(FUNCTION):
        role = policy.role_of(world, function.get("Role"))
        if role is None or not function.get("VpcConfig.SubnetIds"):
            continue
        lacking = policy.Permissions(world, role).missing(NETWORK_INTERFACES)
        if lacking:
            yield function.fault(f"{role.logical_id} may not {', '.join(lacking)}")


def may_read_its_secrets(world: World) -> Iterator[Fault]:
    """A secret whose ARN is handed over is meant to be read; a key of one's own needs decrypting.

    Secrets Manager user guide, "Secret encryption and decryption": kms:Decrypt for the reader.
    """
    for function in world.of_type(FUNCTION):
        role = policy.role_of(world, function.get("Role"))
        if role is None:
            continue
        may = policy.Permissions(world, role)
        for name, value in _variables(function):
            for target in world.targets(value):
                if not _is_secret(target.resource, target.attribute):
                    continue
                if may.lacks("secretsmanager:GetSecretValue", [str(value)]):
                    yield function.fault(f"{role.logical_id} may not read the secret of {name}")
                # A database's own KmsKeyId is its storage's; the secret has one of its own.
                managed = target.attribute.startswith("MasterUserSecret")
                place = "MasterUserSecret.KmsKeyId" if managed else "KmsKeyId"
                needed = _key_spellings(world, target.resource.get(place))
                if needed and may.lacks("kms:Decrypt", needed):
                    yield function.fault(f"{role.logical_id} may not decrypt the secret of {name}")


def data_reachable(world: World) -> Iterator[Fault]:
    """A function that is told an endpoint needs a way to it; otherwise each call times out."""
    for function in world.of_type(FUNCTION):
        clients = network.groups(world, function.get("VpcConfig.SecurityGroupIds"))
        seen: set[str] = set()
        for name, value in _variables(function):
            for target in world.targets(value):
                port, held = _door(world, target.resource)
                endpoint = "ndpoint" in target.attribute or "EndPoint" in target.attribute
                if not endpoint or target.resource.token() in seen or not (held and port):
                    continue
                seen.add(target.resource.token())
                if not network.admits(world, held, clients, port):
                    yield function.fault(
                        f"is told {name}, and its security groups have no way to "
                        f"{target.resource.logical_id} on port {port}"
                    )


def log_group_first(world: World) -> Iterator[Fault]:
    """Lambda makes its log group itself, without an expiry, unless it is given one."""
    for function in world.of_type(FUNCTION):
        name = function.get("LoggingConfig.LogGroup") or (
            f"/aws/lambda/{function.get('FunctionName')}"
        )
        if world.by_name("AWS::Logs::LogGroup", "LogGroupName", name) is None:
            yield function.fault(f"logs to {name}, which nobody describes")


def levels_need_json(world: World) -> Iterator[Fault]:
    """Log levels are refused unless the format is JSON. AWS::Lambda::Function LoggingConfig."""
    for function in world.of_type(FUNCTION):
        levels = [
            name
            for name in ("ApplicationLogLevel", "SystemLogLevel")
            if function.get(f"LoggingConfig.{name}")
        ]
        if levels and function.get("LoggingConfig.LogFormat") != "JSON":
            yield function.fault(f"sets {' and '.join(levels)} without LogFormat JSON")


def may_trace(world: World) -> Iterator[Fault]:
    """Active tracing without the right to send segments is silent."""
    for function in world.of_type(FUNCTION):
        role = policy.role_of(world, function.get("Role"))
        if role is None or function.get("TracingConfig.Mode") != "Active":
            continue
        asked = ("xray:PutTraceSegments", "xray:PutTelemetryRecords")
        lacking = policy.Permissions(world, role).missing(asked)
        if lacking:
            yield function.fault(f"{role.logical_id} may not {', '.join(lacking)}")


RULES = (
    Rule("TAP531", "error", "hand over the secret's ARN instead", no_secret_in_environment),
    Rule("TAP532", "warning", "set Timeout to 30 or less", timeout_behind_api),
    Rule(
        "TAP533",
        "error",
        "attach AWSLambdaVPCAccessExecutionRole, or the same rights inline",
        may_join_the_network,
    ),
    Rule("TAP534", "error", "allow it on exactly that secret and key", may_read_its_secrets),
    Rule("TAP535", "error", "add the rules between the two groups", data_reachable),
    Rule("TAP536", "warning", "describe the group with a retention", log_group_first),
    Rule("TAP537", "error", "set LogFormat to JSON", levels_need_json),
    Rule("TAP538", "error", "allow it", may_trace),
)


def _variables(function: Resource) -> list[tuple[str, Any]]:
    found = function.get("Environment.Variables")
    return [(str(k), v) for k, v in found.items()] if isinstance(found, Mapping) else []


def _environments(world: World) -> Iterator[tuple[Resource, str, str, Any]]:
    for function in world.of_type(FUNCTION):
        for name, value in _variables(function):
            yield function, "", name, value
    for task in world.of_type("AWS::ECS::TaskDefinition"):
        for container in mappings(task.get("ContainerDefinitions")):
            for pair in mappings(container.get("Environment")):
                where = f"{container.get('Name')}: "
                yield task, where, str(pair.get("Name")), pair.get("Value")


def _is_reference(world: World, value: Any) -> bool:
    # The Ref of a secret is its ARN. A parameter's value is not: it would be shown.
    return bool(world.targets(value)) or not isinstance(value, str) or value.startswith("arn:")


def _is_secret(resource: Resource, attribute: str) -> bool:
    return (
        resource.type in ("AWS::SecretsManager::Secret",) and attribute in ("", "Id")
    ) or attribute == "MasterUserSecret.SecretArn"


def _key_spellings(world: World, key: Any) -> list[str]:
    found = world.resource(key, "AWS::KMS::Key")
    return policy.spellings(world, found) if found else []


def _door(world: World, data: Resource) -> tuple[int | None, list[Resource]]:
    if data.type == "AWS::RDS::DBInstance":
        port = number(data.get("Port")) or 5432
        return int(port), network.groups(world, data.get("VPCSecurityGroups"))
    if data.type == "AWS::ElastiCache::ReplicationGroup":
        port = number(data.get("Port")) or 6379
        return int(port), network.groups(world, data.get("SecurityGroupIds"))
    return None, []
