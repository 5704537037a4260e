"""What is wrong between stacks: exports, imports, and what one stack makes of another's value.

The graph stops at the first fault, because nothing can be deployed past it; here every one is
told. Whether a single template is right is for other rooms.
"""

from __future__ import annotations

import graphlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tapgen import graph, resolve
from tapgen.validate.finding import Fault, Rule
from tapgen.validate.world import LONGEST_SUFFIX, Resource, World, items

# CloudFormation user guide, "Outputs": letters, digits, colons and hyphens, 255 characters.
_EXPORT_NAME = re.compile(r"[A-Za-z0-9:-]{1,255}")

# Values that change with every revision: exported for people and scripts, not for other stacks.
VOLATILE = {
    ("AWS::ECS::TaskDefinition", ""): "is a new ARN with every revision",
    ("AWS::ECS::TaskDefinition", "TaskDefinitionArn"): "is a new ARN with every revision",
    ("AWS::ApiGateway::Deployment", ""): "is a new id with every deployment",
    ("AWS::ApiGateway::Deployment", "DeploymentId"): "is a new id with every deployment",
    ("AWS::Lambda::Version", ""): "is a new ARN with every version",
    ("AWS::Lambda::Version", "Version"): "is a new number with every version",
    ("AWS::Lambda::Version", "FunctionArn"): "is a new ARN with every version",
    ("AWS::Lambda::LayerVersion", ""): "is a new ARN with every version",
    ("AWS::EC2::LaunchTemplate", "LatestVersionNumber"): "is a new number with every version",
    ("AWS::EC2::LaunchTemplate", "DefaultVersionNumber"): "is a new number with every version",
}

_SUBNET = ("AWS::EC2::Subnet", ("", "SubnetId"))
_GROUP = ("AWS::EC2::SecurityGroup", ("", "GroupId"))
_ROLE_ARN = ("AWS::IAM::Role", ("Arn",))
# What a property wants: the type of resource, and the attributes that give the right form of it.
WANTED: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "SubnetId": _SUBNET,
    "SubnetIds": _SUBNET,
    "Subnets": _SUBNET,
    "VpcId": ("AWS::EC2::VPC", ("", "VpcId")),
    "GroupId": _GROUP,
    "SecurityGroupIds": _GROUP,
    "SecurityGroups": _GROUP,
    "VPCSecurityGroups": _GROUP,
    "SourceSecurityGroupId": _GROUP,
    "DestinationSecurityGroupId": _GROUP,
    "RouteTableId": ("AWS::EC2::RouteTable", ("", "RouteTableId")),
    "RouteTableIds": ("AWS::EC2::RouteTable", ("", "RouteTableId")),
    "NatGatewayId": ("AWS::EC2::NatGateway", ("", "NatGatewayId")),
    "FileSystemId": ("AWS::EFS::FileSystem", ("", "FileSystemId")),
    "FilesystemId": ("AWS::EFS::FileSystem", ("", "FileSystemId")),
    "AccessPointId": ("AWS::EFS::AccessPoint", ("", "AccessPointId")),
    "ExecutionRoleArn": _ROLE_ARN,
    "TaskRoleArn": _ROLE_ARN,
    "RoleArn": _ROLE_ARN,
    "DeliverLogsPermissionArn": _ROLE_ARN,
    "CloudWatchRoleArn": _ROLE_ARN,
    "TaskDefinition": ("AWS::ECS::TaskDefinition", ("", "TaskDefinitionArn")),
    "Cluster": ("AWS::ECS::Cluster", ("", "Arn")),
    "TopicArn": ("AWS::SNS::Topic", ("", "TopicArn")),
    "RestApiId": ("AWS::ApiGateway::RestApi", ("", "RestApiId")),
}
LISTS = (
    "SubnetIds",
    "Subnets",
    "SecurityGroupIds",
    "SecurityGroups",
    "VPCSecurityGroups",
    "RouteTableIds",
)


def dangling_import(world: World) -> Iterator[Fault]:
    """An import that no stack exports is refused when the importer is created.

    CloudFormation user guide, "Fn::ImportValue".
    """
    offered = {export.name for export in _exports(world)}
    for wanted in _imports(world):
        if wanted.name not in offered:
            close = graph.nearest(wanted.name, sorted(offered))
            hint = f"; the nearest is {close[0]!r}" if close else ""
            yield _at(
                world,
                wanted.stack,
                wanted.where,
                f"imports {wanted.name!r}, which no stack exports{hint}",
            )


def duplicate_export(world: World) -> Iterator[Fault]:
    """Export names are unique per account and region: the second stack to export one fails.

    CloudFormation user guide, "Outputs".
    """
    first: dict[str, graph.Export] = {}
    for export in _exports(world):
        other = first.setdefault(export.name, export)
        if other is not export:
            yield _at(
                world,
                export.stack,
                f"Outputs.{export.key}",
                f"exports {export.name!r}, which {other.stack} exports already as {other.key}",
            )


def unused_export(world: World) -> Iterator[Fault]:
    """An export that nobody imports: meant for people and scripts, or left over.

    Only its author knows which, so it is told and not held against anybody. A world of one stack
    has no importers to miss.
    """
    if len(world.sources) < 2:
        return
    used = {wanted.name for wanted in _imports(world)}
    for export in _exports(world):
        if export.name not in used:
            yield _at(
                world,
                export.stack,
                f"Outputs.{export.key}",
                f"exports {export.name!r}, which no stack imports",
            )


def self_import(world: World) -> Iterator[Fault]:
    """A stack cannot import its own export: it does not exist before the stack does."""
    own = {(export.stack, export.name) for export in _exports(world)}
    for wanted in _imports(world):
        if (wanted.stack, wanted.name) in own:
            yield _at(
                world, wanted.stack, wanted.where, f"imports {wanted.name!r} from its own stack"
            )


def import_cycle(world: World) -> Iterator[Fault]:
    """Stacks that import from each other cannot be created in any order."""
    offered = {export.name: export.stack for export in reversed(list(_exports(world)))}
    needs: dict[str, dict[str, str]] = {stack: {} for stack in world.sources}
    for wanted in _imports(world):
        source = offered.get(wanted.name)
        if source is not None and source != wanted.stack:
            needs[wanted.stack].setdefault(source, wanted.name)
    while True:
        try:
            graphlib.TopologicalSorter(needs).prepare()
        except graphlib.CycleError as error:
            # graphlib lists each stack before the one that needs it, the first again at the end.
            ring = list(reversed(error.args[1]))[:-1]
            start = ring.index(min(ring))
            ring = ring[start:] + ring[:start]
            pairs = list(zip(ring, [*ring[1:], ring[0]], strict=True))
            path = ", ".join(f"{a} needs {b} for {needs[a][b]!r}" for a, b in pairs)
            yield _at(world, ring[0], "", f"imports in a circle: {path}")
            # One circle told, open it and look for the next.
            del needs[pairs[-1][0]][pairs[-1][1]]
        else:
            return


def export_name(world: World) -> Iterator[Fault]:
    """Export names have up to 255 letters, digits, colons and hyphens, also in the longest case.

    CloudFormation user guide, "Outputs".
    """
    for output in world.outputs:
        if output.export is not None and _EXPORT_NAME.fullmatch(output.export) is None:
            length = len(output.export)
            yield output.fault(
                f"export name {output.export[:60]!r} has {length} characters with the suffix "
                f"{LONGEST_SUFFIX!r}, or others than letters, digits, ':' and '-'"
            )


def unreadable_name(world: World) -> Iterator[Fault]:
    """An export's name takes parameters and pseudo parameters, no resource's attribute.

    CloudFormation user guide, "Outputs" and "Fn::ImportValue".
    """
    for stack, source in world.sources.items():
        for reader in (graph.exports, graph.imports):
            for where, part in _parts(source.document):
                try:
                    reader({stack: _alone(source.document, where, part)})
                except graph.UnreadableName as error:
                    yield Fault(source.file, where, f"an export name cannot be read ({error.why})")


def volatile_value(world: World) -> Iterator[Fault]:
    """An exported value cannot change while it is imported; these change with every update.

    CloudFormation refuses the exporter's update: "Export … cannot be updated as it is in use by …".
    """
    used = {name for _, _, name in _resolved_imports(world)}
    for output in world.outputs:
        if output.export not in used:
            continue
        for target in world.targets(output.value):
            why = VOLATILE.get((target.resource.type, target.attribute))
            if why is not None:
                yield output.fault(
                    f"{output.export!r} is imported, and {target.resource.logical_id} {why}"
                )


def list_export(world: World) -> Iterator[Fault]:
    """An output's value is one text; a list is refused, or arrives as the text of one."""
    for output in world.outputs:
        if isinstance(output.value, list):
            yield output.fault("its value is a list, and an output is one text")


def list_as_scalar(world: World) -> Iterator[Fault]:
    """A joined list taken where one id is wanted is refused by the service, as one long id."""
    for resource, path, wanted, value in _uses(world):
        if isinstance(value, str) and "," in value and len(world.targets(value)) > 1:
            yield resource.fault(f"{path} wants one {wanted} and is given a joined list: {value}")


def scalar_as_list(world: World) -> Iterator[Fault]:
    """A list property that is given one imported text: the type is refused when updating."""
    for resource in world.resources:
        for path, key, value in _properties(resource.properties):
            if key in LISTS and isinstance(value, str) and world.target(value):
                yield resource.fault(f"{path} wants a list and is given one text: {value}")


def wrong_kind(world: World) -> Iterator[Fault]:
    """A property is given the id of another kind of thing, or another form of the right one.

    ``Ref`` of a role is its name where an ARN is wanted; a security group is no subnet. Every such
    id is a text, so nothing but the service itself would notice.
    """
    for resource, path, _, value in _uses(world):
        target = world.target(value)
        kind, attributes = WANTED[path.rsplit(".", 1)[-1]]
        if target is None:
            continue
        if target.resource.type != kind:
            yield resource.fault(
                f"{path} wants {kind} and is given {target.resource.type} ({value})"
            )
        elif target.attribute not in attributes:
            wanted = attributes[0] or "Ref"
            given = target.attribute or "Ref"
            yield resource.fault(f"{path} wants {wanted} of {kind} and is given {given} ({value})")


def conditional_export(world: World) -> Iterator[Fault]:
    """An export that a condition can take away, while another stack counts on it."""
    used = {name for _, _, name in _resolved_imports(world)}
    for output in world.outputs:
        if "Condition" in output.raw and output.export in used:
            yield output.fault(
                f"{output.export!r} is imported, and exists only while "
                f"{output.raw['Condition']} holds"
            )


RULES = (
    Rule("TAP101", "error", "correct the name, or export it", dangling_import),
    Rule("TAP102", "error", "rename one of the two exports", duplicate_export),
    Rule("TAP103", "info", "keep it if people or scripts read it, or remove it", unused_export),
    Rule("TAP104", "error", "use the value directly, with Ref or Fn::GetAtt", self_import),
    Rule("TAP105", "error", "move one of the resources to the other stack", import_cycle),
    Rule("TAP106", "error", "shorten the name, or use the allowed characters", export_name),
    Rule("TAP107", "error", "use parameters with defaults and pseudo parameters", unreadable_name),
    Rule("TAP108", "error", "import something stable, a name or a family", volatile_value),
    Rule("TAP109", "error", "export each member under a name of its own", list_export),
    Rule("TAP110", "error", "select one with Fn::Select and Fn::Split", list_as_scalar),
    Rule("TAP111", "error", "put it in a list", scalar_as_list),
    Rule("TAP112", "error", "use the resource and the attribute that are wanted", wrong_kind),
    Rule("TAP113", "error", "export it always, under any condition", conditional_export),
)


def _exports(world: World) -> Iterator[graph.Export]:
    for stack, source in world.sources.items():
        for where, part in _parts(source.document):
            try:
                yield from graph.exports({stack: _alone(source.document, where, part)})
            except graph.UnreadableName:
                continue


def _imports(world: World) -> Iterator[graph.Import]:
    for stack, source in world.sources.items():
        for where, part in _parts(source.document):
            try:
                yield from graph.imports({stack: _alone(source.document, where, part)})
            except graph.UnreadableName:
                continue


def _resolved_imports(world: World) -> Iterator[tuple[str, str, str]]:
    # The graph's names keep the suffix as a hole; outputs of the world have it filled in.
    by_name = {(export.stack, export.key): export.name for export in _exports(world)}
    names = {by_name.get((o.stack, o.key)): o.export for o in world.outputs if o.export}
    for wanted in _imports(world):
        if wanted.name in names:
            yield wanted.stack, wanted.where, str(names[wanted.name])


def _parts(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for section, prefix in (("Resources", ""), ("Outputs", "Outputs.")):
        for key, part in document.get(section, {}).items():
            yield f"{prefix}{key}", part


def _alone(document: Mapping[str, Any], where: str, part: Any) -> resolve.Document:
    # One part at a time, so that one unreadable name does not hide the others.
    section, _, key = where.rpartition(".")
    emptied = {**document, "Resources": {}, "Outputs": {}}
    return {**emptied, section or "Resources": {key: part}}


def _at(world: World, stack: str, where: str, message: str) -> Fault:
    return Fault(world.sources[stack].file, where, message)


def _uses(world: World) -> Iterator[tuple[Resource, str, str, Any]]:
    for resource in world.resources:
        for path, key, value in _properties(resource.properties):
            if key in WANTED:
                for item in items(value):
                    yield resource, path, WANTED[key][0], item


def _properties(node: Any, path: str = "") -> Iterator[tuple[str, str, Any]]:
    if isinstance(node, Mapping):
        for key, item in node.items():
            here = f"{path}.{key}" if path else str(key)
            yield here, str(key), item
            yield from _properties(item, here)
    elif isinstance(node, list):
        for item in node:
            yield from _properties(item, path)
