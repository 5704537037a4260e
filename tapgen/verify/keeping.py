"""Across all tiers: stacks, logs and how long they are kept, encryption, tags, exports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tapgen import names
from tapgen.verify import data, notices, serving, wiring, workflow
from tapgen.verify.environment import Environment, Tier
from tapgen.verify.questions import Asker, at, pairs, statements
from tapgen.verify.result import Check, Fact, Facts

GROUP = "Across all tiers"
# The ends of operations that went well; after a rollback the old state stands, but not the wanted.
_WELL = (
    "CREATE_COMPLETE",
    "UPDATE_COMPLETE",
    "IMPORT_COMPLETE",
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
)


def stacks(env: Environment, ask: Asker) -> Facts:
    """Every stack stands, and runs the template that is described."""
    for name, tier in env.tiers.items():
        if not isinstance(tier, Tier):
            yield Fact(name, str(tier.error), "deployed")
            continue
        status = tier.stack.status
        yield Fact(tier.stack.name, "deployed" if status in _WELL else status, "deployed")
        # Where it differs, other checks fail for this one reason: a deploy is due.
        described = at(tier.document, "Outputs.TemplateDigest.Value")
        running = tier.stack.outputs.get("TemplateDigest")
        yield Fact(f"{tier.stack.name} template", running, described)


def log_groups(env: Environment, ask: Asker) -> Facts:
    """Every log group is there, and forgets when it should."""
    for made in env.each("AWS::Logs::LogGroup"):
        found = ask.pages("logs", "describe_log_groups", "logGroups", logGroupNamePrefix=made.id)
        told = next((item for item in found if item.get("logGroupName") == made.id), None)
        kept = f"{told.get('retentionInDays', 'for ever')}" if told else None
        yield Fact(made.id, kept, made.wanted["RetentionInDays"])
    says = "CloudWatch log group for container logs (7-day retention)"
    kept = env.wanted("compute", "TaskLogGroup")["RetentionInDays"]
    yield Fact("container logs", kept, 7, says=says)


def at_rest(env: Environment, ask: Asker) -> Facts:
    """Data at rest is encrypted: with the environment's own keys where it has any."""
    says = "All data encrypted at rest and in transit"
    key = env.id("storage", "DataKey")
    instance, system = data.instance(env, ask), data.file_system(env, ask)
    yield Fact("database", instance.get("StorageEncrypted"), True, says=says)
    yield Fact("database's key", notices.key_id(instance.get("KmsKeyId")), key)
    yield Fact("files", system.get("Encrypted"), True, says=says)
    yield Fact("files' key", notices.key_id(system.get("KmsKeyId")), key)
    group = data.replication_group(env, ask)
    yield Fact("cache", group.get("AtRestEncryptionEnabled"), True, says=says)
    for made in env.each("AWS::KMS::Key"):
        found = ask.call("kms", "describe_key", KeyId=made.id)
        yield Fact(f"{made.logical_id} state", at(found, "KeyMetadata.KeyState"), "Enabled")
        turns = ask.call("kms", "get_key_rotation_status", KeyId=made.id)
        wanted = made.wanted["EnableKeyRotation"]
        yield Fact(f"{made.logical_id} rotation", turns.get("KeyRotationEnabled"), wanted)


def in_transit(env: Environment, ask: Asker) -> Facts:
    """Nothing is taken over a connection that is not encrypted."""
    says = "All data encrypted at rest and in transit"
    group = env.id("storage", "DbParameterGroup")
    found = ask.pages(
        "rds", "describe_db_parameters", "Parameters", DBParameterGroupName=group, Source="user"
    )
    values = {item.get("ParameterName"): item.get("ParameterValue") for item in found}
    yield Fact("database rds.force_ssl", values.get("rds.force_ssl"), 1, says=says)
    cache = data.replication_group(env, ask)
    yield Fact("cache", cache.get("TransitEncryptionEnabled"), True, says=says)
    yield Fact("cache mode", cache.get("TransitEncryptionMode"), "required")
    system = env.id("storage", "FileSystem")
    policy = ask.call("efs", "describe_file_system_policy", FileSystemId=system)
    yield Fact("files", _denies_plain(policy.get("Policy")), True, says=says)
    volumes = workflow.task_definition(env, ask)
    told = at(volumes, "volumes.0.efsVolumeConfiguration.transitEncryption")
    yield Fact("task's volume", told, "ENABLED")
    for logical_id in ("CompletionTopic", "ErrorTopic"):
        denies = _denies_plain(notices.attributes(env, ask, logical_id).get("Policy"))
        yield Fact(logical_id, denies, True)
    api = ask.call("apigateway", "get_rest_api", restApiId=env.id("api", "RestApi"))
    wanted = env.wanted("api", "RestApi")
    yield Fact("API's TLS", api.get("securityPolicy"), wanted["SecurityPolicy"])
    yield Fact("API's access mode", api.get("endpointAccessMode"), wanted["EndpointAccessMode"])


def tags(env: Environment, ask: Asker) -> Facts:
    """What costs money says whose it is: the tags of its stack are on it."""
    for (tier, logical_id), read in _TAGGED.items():
        wanted = env.tier(tier).stack.tags
        found = read(env, ask)
        yield Fact(logical_id, {name: found.get(name) for name in wanted}, dict(wanted))
    wanted = env.tier("network").stack.tags
    yield Fact("Environment", wanted.get("Environment"), env.env)
    yield Fact("ManagedBy", wanted.get("ManagedBy"), "tapgen")


def exports(env: Environment, ask: Asker) -> Facts:
    """What the document lists is exported, and each value is what the resource itself says."""
    for key, read in _EXPORTS.items():
        name = f"tap-{env.env}-{key}"
        yield Fact(name, env.exports.get(name), read(env, ask))
    described = {
        str(output["Export"]["Name"].get("Fn::Sub", "")).rpartition("-")[2]
        for name, tier in env.tiers.items()
        if isinstance(tier, Tier) and name != "foundation"
        for output in tier.document.get("Outputs", {}).values()
        if "Export" in output
    }
    missing = sorted(key for key in described if f"tap-{env.env}-{key}" not in env.exports)
    yield Fact("described and not exported", missing, [])


Read = Callable[[Environment, Asker], Any]


def _denies_plain(policy: Any) -> bool:
    """Whether a policy denies everybody what comes without TLS."""
    return any(
        item.get("Effect") == "Deny"
        and item.get("Principal") in ("*", {"AWS": "*"})
        and at(item, "Condition.Bool.aws:SecureTransport") == "false"
        for item in statements(policy)
    )


def _vpc_tags(env: Environment, ask: Asker) -> dict[str, str]:
    found = ask.one("ec2", "describe_vpcs", "Vpcs", VpcIds=[env.id("network", "Vpc")])
    return pairs(found.get("Tags"))


def _cache_tags(env: Environment, ask: Asker) -> dict[str, str]:
    arn = env.arn("cache", "ReplicationGroup")
    told = ask.call("elasticache", "list_tags_for_resource", ResourceName=arn)
    return pairs(told.get("TagList"))


def _cluster(env: Environment, ask: Asker) -> dict[str, Any]:
    id_ = env.id("compute", "Cluster")
    return ask.one(
        "ecs", "describe_clusters", "clusters", clusters=[id_], include=["SETTINGS", "TAGS"]
    )


def _api_tags(env: Environment, ask: Asker) -> dict[str, str]:
    found = ask.call("apigateway", "get_rest_api", restApiId=env.id("api", "RestApi"))
    return pairs(found.get("tags"))


def _function_tags(env: Environment, ask: Asker) -> dict[str, str]:
    arn = env.arn("api", "ApiFunction")
    return pairs(ask.call("lambda", "list_tags", Resource=arn).get("Tags"))


def _topic_tags(env: Environment, ask: Asker) -> dict[str, str]:
    arn = env.id("notification", "CompletionTopic")
    return pairs(ask.call("sns", "list_tags_for_resource", ResourceArn=arn).get("Tags"))


def _machine_tags(env: Environment, ask: Asker) -> dict[str, str]:
    arn = env.id("workflow", "Workflow")
    return pairs(ask.call("stepfunctions", "list_tags_for_resource", resourceArn=arn).get("tags"))


_TAGGED: dict[tuple[str, str], Read] = {
    ("network", "Vpc"): _vpc_tags,
    ("storage", "Database"): lambda env, ask: pairs(data.instance(env, ask).get("TagList")),
    ("storage", "FileSystem"): lambda env, ask: pairs(data.file_system(env, ask).get("Tags")),
    ("cache", "ReplicationGroup"): _cache_tags,
    ("compute", "Cluster"): lambda env, ask: pairs(_cluster(env, ask).get("tags")),
    ("api", "RestApi"): _api_tags,
    ("api", "ApiFunction"): _function_tags,
    ("notification", "CompletionTopic"): _topic_tags,
    ("workflow", "Workflow"): _machine_tags,
}


def _group(name: str) -> Read:
    return lambda env, ask: wiring.security_groups(env, ask)[name].get("GroupId")


def _node(path: str) -> Read:
    return lambda env, ask: at(data.replication_group(env, ask), f"NodeGroups.0.{path}")


def _topic(logical_id: str, *, name: bool) -> Read:
    def read(env: Environment, ask: Asker) -> Any:
        arn = str(notices.attributes(env, ask, logical_id).get("TopicArn"))
        return arn.rpartition(":")[2] if name else arn

    return read


def _url(env: Environment, ask: Asker) -> str:
    api = ask.call("apigateway", "get_rest_api", restApiId=env.id("api", "RestApi")).get("id")
    stage = serving.stage_of(env, ask).get("stageName")
    return f"https://{api}.execute-api.{names.REGION}.amazonaws.com/{stage}"


def _key(env: Environment, ask: Asker) -> Any:
    key = env.id("api", "ApiKey")
    return ask.call("apigateway", "get_api_key", apiKey=key, includeValue=False).get("id")


# The document's outputs, and where each can be heard from the resource itself.
_EXPORTS: dict[str, Read] = {
    "VpcId": lambda env, ask: ask.one(
        "ec2", "describe_vpcs", "Vpcs", VpcIds=[env.id("network", "Vpc")]
    ).get("VpcId"),
    **{f"{name}SecurityGroupId": _group(name) for name in wiring.GROUPS},
    "DbEndpointAddress": lambda env, ask: at(data.instance(env, ask), "Endpoint.Address"),
    "DbEndpointPort": lambda env, ask: at(data.instance(env, ask), "Endpoint.Port"),
    "DbSecretArn": lambda env, ask: at(data.instance(env, ask), "MasterUserSecret.SecretArn"),
    "EfsFileSystemId": lambda env, ask: data.file_system(env, ask).get("FileSystemId"),
    "RedisPrimaryEndpoint": _node("PrimaryEndpoint.Address"),
    "RedisReaderEndpoint": _node("ReaderEndpoint.Address"),
    "EcsClusterName": lambda env, ask: _cluster(env, ask).get("clusterName"),
    "EcsClusterArn": lambda env, ask: _cluster(env, ask).get("clusterArn"),
    "ApiEndpointUrl": _url,
    "ApiKeyId": _key,
    "CompletionTopicArn": _topic("CompletionTopic", name=False),
    "CompletionTopicName": _topic("CompletionTopic", name=True),
    "ErrorTopicArn": _topic("ErrorTopic", name=False),
    "ErrorTopicName": _topic("ErrorTopic", name=True),
    "StateMachineArn": lambda env, ask: workflow.machine(env, ask).get("stateMachineArn"),
    "StateMachineName": lambda env, ask: workflow.machine(env, ask).get("name"),
    "TaskDefinitionArn": lambda env, ask: workflow.task_definition(env, ask).get(
        "taskDefinitionArn"
    ),
}

CHECKS = (
    Check(GROUP, "stacks", "every stack stands and runs the described template", stacks),
    Check(GROUP, "log-groups", "log groups are there and forget in time", log_groups),
    Check(GROUP, "at-rest", "data at rest is encrypted", at_rest),
    Check(GROUP, "in-transit", "data in transit is encrypted", in_transit),
    Check(GROUP, "tags", "resources carry the tags of their stacks", tags),
    Check(GROUP, "exports", "exports are what the resources say of themselves", exports),
)
