"""Names: lengths with the longest suffix, letters, collisions, and the limits of a template."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tapgen import names
from tapgen.validate.finding import Fault, Rule
from tapgen.validate.world import LONGEST_SUFFIX, Resource, World

_LOWER = r"[a-z](?:-?[a-z0-9])*"
_WIDE = r"[A-Za-z0-9_-]+"


@dataclass(frozen=True)
class Form:
    """How a physical name may look: its longest length, its pattern, and who says so."""

    longest: int
    pattern: str


# The properties that name a resource for the whole account and region, and their forms, from the
# service's own API reference or CloudFormation page.
FORMS = {
    ("AWS::RDS::DBInstance", "DBInstanceIdentifier"): Form(63, _LOWER),
    ("AWS::RDS::DBSubnetGroup", "DBSubnetGroupName"): Form(255, r"[a-z0-9._ -]+"),
    ("AWS::RDS::DBParameterGroup", "DBParameterGroupName"): Form(255, _LOWER),
    ("AWS::ElastiCache::ReplicationGroup", "ReplicationGroupId"): Form(40, _LOWER),
    ("AWS::ElastiCache::User", "UserId"): Form(40, _LOWER),
    ("AWS::ElastiCache::UserGroup", "UserGroupId"): Form(40, _LOWER),
    ("AWS::ElastiCache::SubnetGroup", "CacheSubnetGroupName"): Form(255, r"[a-z0-9-]+"),
    ("AWS::IAM::Role", "RoleName"): Form(64, r"[\w+=,.@-]+"),
    ("AWS::IAM::ManagedPolicy", "ManagedPolicyName"): Form(128, r"[\w+=,.@-]+"),
    ("AWS::Events::Rule", "Name"): Form(64, r"[.\w-]+"),
    ("AWS::Lambda::Function", "FunctionName"): Form(64, _WIDE),
    ("AWS::StepFunctions::StateMachine", "StateMachineName"): Form(80, _WIDE),
    ("AWS::ECS::Cluster", "ClusterName"): Form(255, _WIDE),
    ("AWS::ECS::TaskDefinition", "Family"): Form(255, _WIDE),
    ("AWS::SNS::Topic", "TopicName"): Form(256, r"[A-Za-z0-9_-]+(?:\.fifo)?"),
    ("AWS::SQS::Queue", "QueueName"): Form(80, r"[A-Za-z0-9_-]+(?:\.fifo)?"),
    ("AWS::Logs::LogGroup", "LogGroupName"): Form(512, r"[.\-_/#A-Za-z0-9]+"),
    ("AWS::SecretsManager::Secret", "Name"): Form(512, r"[A-Za-z0-9/_+=.@-]+"),
    ("AWS::KMS::Alias", "AliasName"): Form(256, r"alias/[A-Za-z0-9/_-]+"),
    ("AWS::S3::Bucket", "BucketName"): Form(63, r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"),
    ("AWS::ApiGateway::RestApi", "Name"): Form(1024, r".+"),
    ("AWS::ApiGateway::ApiKey", "Name"): Form(1024, r".+"),
    ("AWS::ApiGateway::UsagePlan", "UsagePlanName"): Form(1024, r".+"),
    ("AWS::CloudWatch::Alarm", "AlarmName"): Form(255, r".+"),
    ("AWS::EC2::SecurityGroup", "GroupName"): Form(255, r".+"),
}
# Names that AWS itself keeps apart, so that two alike collide with nothing.
MAY_REPEAT = {("AWS::ApiGateway::RestApi", "Name"), ("AWS::ApiGateway::UsagePlan", "UsagePlanName")}

# CloudFormation quotas: a template body sent with the request, and what it may hold.
BODY_BYTES = 51_200
QUOTAS = {"Resources": 500, "Parameters": 200, "Outputs": 200, "Mappings": 200}


def form_of_name(world: World) -> Iterator[Fault]:
    """A name that some environment's suffix makes too long, or that the service refuses."""
    for resource, prop, name in _names(world):
        form = FORMS[resource.type, prop]
        if "${" in name:
            continue
        if len(name) > form.longest:
            yield resource.fault(
                f"{prop} {name!r} has {len(name)} characters, {form.longest} are allowed"
            )
        elif re.fullmatch(form.pattern, name, re.ASCII) is None:
            yield resource.fault(f"{prop} {name!r} has characters that the service refuses")


def one_of_each(world: World) -> Iterator[Fault]:
    """Two resources of one name: the second stack fails with "already exists"."""
    first: dict[tuple[str, str, str], Resource] = {}
    for resource, prop, name in _names(world):
        if (resource.type, prop) in MAY_REPEAT:
            continue
        other = first.setdefault((resource.type, prop, name.lower()), resource)
        if other is not resource:
            yield resource.fault(f"{prop} {name!r} is also {other.stack}'s {other.logical_id}")


def suffix_in_name(world: World) -> Iterator[Fault]:
    """A name without the suffix is the same in every environment: the second one fails."""
    for resource, prop, name in _names(world):
        document = world.sources[resource.stack].document
        of_environment = names.SUFFIX in document.get("Parameters", {})
        # A reference inside the name is to something that has its own.
        if of_environment and LONGEST_SUFFIX not in name and "${" not in name:
            yield resource.fault(f"{prop} {name!r} does not carry the environment's suffix")


def sorted_arrays(world: World) -> Iterator[Fault]:
    """AWS stores these lists alphabetically and compares them in order: unsorted is drift."""
    for kind, prop in (
        ("AWS::ECS::Cluster", "CapacityProviders"),
        ("AWS::RDS::DBInstance", "EnableCloudwatchLogsExports"),
    ):
        for resource in world.of_type(kind):
            given = resource.get(prop)
            if isinstance(given, list) and given != sorted(given, key=str):
                yield resource.fault(f"{prop} is not in alphabetical order")


def body_size(world: World) -> Iterator[Fault]:
    """A larger body must be put into a bucket first. CloudFormation quotas."""
    for source in world.sources.values():
        size = len(source.text.encode())
        if size >= BODY_BYTES:
            yield Fault(source.file, "", f"has {size} bytes, {BODY_BYTES} can be sent directly")


def template_quotas(world: World) -> Iterator[Fault]:
    """CloudFormation quotas."""
    for source in world.sources.values():
        for section, most in QUOTAS.items():
            count = len(source.document.get(section, {}))
            if count > most:
                yield Fault(source.file, section, f"has {count} entries, {most} are allowed")


def described(world: World) -> Iterator[Fault]:
    """The console's form and the outputs are read by people who have not read the template."""
    for source in world.sources.values():
        for section in ("Parameters", "Outputs"):
            for name, part in source.document.get(section, {}).items():
                if isinstance(part, dict) and not part.get("Description"):
                    yield Fault(source.file, f"{section}.{name}", "has no description")


RULES = (
    Rule("TAP801", "error", "shorten the stem, or use the allowed characters", form_of_name),
    Rule("TAP802", "error", "rename one of the two", one_of_each),
    Rule("TAP803", "error", f"end it with -${{{names.SUFFIX}}}", suffix_in_name),
    Rule("TAP804", "warning", "sort it", sorted_arrays),
    Rule("TAP805", "error", "split the stack", body_size),
    Rule("TAP806", "error", "split the stack", template_quotas),
    Rule("TAP807", "info", "say what it is for", described),
)


def _names(world: World) -> Iterator[tuple[Resource, str, str]]:
    for kind, prop in FORMS:
        for resource in world.of_type(kind):
            name = resource.get(prop)
            if isinstance(name, str):
                yield resource, prop, name
