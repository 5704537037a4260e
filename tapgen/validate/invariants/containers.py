"""Containers: clusters, task definitions, and what a task needs to start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tapgen.validate import machine, policy
from tapgen.validate.finding import Fault, Rule
from tapgen.validate.invariants import network
from tapgen.validate.world import Resource, World, dig, is_true, items, mappings

CLUSTER = "AWS::ECS::Cluster"
TASK = "AWS::ECS::TaskDefinition"
NFS = 2049


def container_insights(world: World) -> Iterator[Fault]:
    """Without Container Insights a task that ran out of memory leaves no number behind."""
    for cluster in world.of_type(CLUSTER):
        settings = mappings(cluster.get("ClusterSettings"))
        found = {setting.get("Name"): setting.get("Value") for setting in settings}
        if found.get("containerInsights") not in ("enabled", "enhanced"):
            yield cluster.fault("has no Container Insights")


def one_owner_of_providers(world: World) -> Iterator[Fault]:
    """Providers on the cluster and in an association have two owners, who undo each other."""
    for link in world.of_type("AWS::ECS::ClusterCapacityProviderAssociations"):
        cluster = world.by_name(CLUSTER, "ClusterName", link.get("Cluster"))
        if cluster is not None and cluster.get("CapacityProviders"):
            yield link.fault(f"{cluster.logical_id} lists its capacity providers itself")


def access_point_root(world: World) -> Iterator[Fault]:
    """With an access point the root directory is the access point's, and TLS must be on.

    ECS API reference, EFSAuthorizationConfig: otherwise registering is refused.
    """
    for task, volume in _efs_volumes(world):
        if not dig(volume, "AuthorizationConfig.AccessPointId"):
            continue
        if volume.get("RootDirectory", "/") != "/":
            yield task.fault(
                f"mounts {volume['RootDirectory']} of an access point, which has a root of its own"
            )
        if volume.get("TransitEncryption") != "ENABLED":
            yield task.fault("mounts an access point without TransitEncryption")


def mounts_with_tls(world: World) -> Iterator[Fault]:
    """A volume without TransitEncryption is mounted in clear text; without IAM, by anybody."""
    for task, volume in _efs_volumes(world):
        if volume.get("TransitEncryption") != "ENABLED":
            yield task.fault("mounts a file system in clear text")
        if dig(volume, "AuthorizationConfig.IAM") != "ENABLED":
            yield task.fault("mounts a file system without its task role")


def known_volume(world: World) -> Iterator[Fault]:
    """A mount point names a volume of the task; a volume that nobody mounts does nothing."""
    for task in world.of_type(TASK):
        volumes = {volume.get("Name") for volume in mappings(task.get("Volumes"))}
        mounted = {
            (container.get("Name"), point.get("SourceVolume"))
            for container in _containers(task)
            for point in mappings(container.get("MountPoints"))
        }
        for name, source in sorted(mounted, key=str):
            if source not in volumes:
                yield task.fault(f"container {name} mounts {source!r}, which is no volume of it")
        for unused in sorted(map(str, volumes - {source for _, source in mounted})):
            yield task.fault(f"no container mounts the volume {unused!r}")


def hardened(world: World) -> Iterator[Fault]:
    """What a container is not given cannot be used against its neighbours.

    ECS best practices, "Task and container security".
    """
    for task in world.of_type(TASK):
        for container in _containers(task):
            name = container.get("Name")
            if is_true(container.get("Privileged")):
                yield task.fault(f"container {name} is privileged")
            if not is_true(container.get("ReadonlyRootFilesystem")):
                yield task.fault(f"container {name} may write to its root file system")
            if str(container.get("User", "root")).split(":")[0] in ("root", "0"):
                yield task.fault(f"container {name} runs as root")


def pinned_image(world: World) -> Iterator[Fault]:
    """An image without a tag, or with latest, is another program tomorrow."""
    for task in world.of_type(TASK):
        for container in _containers(task):
            image = container.get("Image")
            if not isinstance(image, str) or image.startswith("${"):
                continue
            last = image.rsplit("/", 1)[-1]
            if "@sha256:" not in last and (":" not in last or last.endswith(":latest")):
                yield task.fault(f"container {container.get('Name')} runs {image}, not one version")


def logs_arrive(world: World) -> Iterator[Fault]:
    """Fargate needs group, region and stream prefix; a group that is missing stops the task.

    ECS developer guide, "Send Amazon ECS logs to CloudWatch".
    """
    for task in world.of_type(TASK):
        for container in _containers(task):
            name, options = container.get("Name"), dig(container, "LogConfiguration.Options")
            if not isinstance(options, Mapping):
                yield task.fault(f"container {name} logs nowhere")
                continue
            for key in ("awslogs-group", "awslogs-region", "awslogs-stream-prefix"):
                if dig(container, "LogConfiguration.LogDriver") == "awslogs" and not options.get(
                    key
                ):
                    yield task.fault(f"container {name} logs without {key}")


def secrets_readable(world: World) -> Iterator[Fault]:
    """Container secrets are read by the execution role before the container starts.

    ECS developer guide, "Task execution IAM role": secretsmanager:GetSecretValue.
    """
    for task in world.of_type(TASK):
        role = policy.role_of(world, task.get("ExecutionRoleArn"))
        for container in _containers(task):
            for secret in mappings(container.get("Secrets")):
                source = secret.get("ValueFrom")
                if role is None or not isinstance(source, str) or ":ssm:" in source:
                    continue
                if policy.Permissions(world, role).lacks("secretsmanager:GetSecretValue", [source]):
                    yield task.fault(
                        f"container {container.get('Name')} is given {secret.get('Name')}, which "
                        f"{role.logical_id} may not read"
                    )


def files_reachable(world: World) -> Iterator[Fault]:
    """A task that cannot reach its file system fails before its container starts.

    ECS: "ResourceInitializationError: failed to invoke EFS utils commands to set up EFS volumes".
    It needs a mount target in every zone it may run in, and a way to it on port 2049.
    """
    for run in machine.task_runs(world):
        wanted = {volume.get("FilesystemId") for _, volume in _efs_volumes(world, run.task)}
        clients = network.groups(world, dig(run.network, "SecurityGroups"))
        zones = {network.zone_of(world, item) for item in items(dig(run.network, "Subnets"))}
        for files in sorted(map(str, wanted)):
            mounts = [
                mount
                for mount in world.of_type("AWS::EFS::MountTarget")
                if mount.get("FileSystemId") == files
            ]
            found = {network.zone_of(world, mount.get("SubnetId")) for mount in mounts}
            for zone in sorted(map(str, zones - found)):
                yield run.machine.fault(
                    f"{run.state}: the file system has no mount target in {zone}"
                )
            held = [
                g for mount in mounts for g in network.groups(world, mount.get("SecurityGroups"))
            ]
            if clients and held and not network.admits(world, held, clients, NFS):
                yield run.machine.fault(
                    f"{run.state}: {clients[0].logical_id} has no way to the file system"
                )


def no_stop_timeout(world: World) -> Iterator[Fault]:
    """StopTimeout shows as drift although nobody changed it."""
    for task in world.of_type(TASK):
        for container in _containers(task):
            if container.get("StopTimeout") is not None:
                yield task.fault(f"container {container.get('Name')} sets StopTimeout")


RULES = (
    Rule("TAP401", "warning", "set containerInsights in ClusterSettings", container_insights),
    Rule("TAP402", "error", "drop the association", one_owner_of_providers),
    Rule("TAP403", "error", "leave RootDirectory out, set TransitEncryption", access_point_root),
    Rule("TAP404", "error", "set TransitEncryption and IAM to ENABLED", mounts_with_tls),
    Rule("TAP405", "error", "make the names of Volumes and MountPoints agree", known_volume),
    Rule("TAP406", "error", "set User and ReadonlyRootFilesystem, no Privileged", hardened),
    Rule("TAP407", "error", "name a version, or a digest", pinned_image),
    Rule("TAP408", "error", "set awslogs-group, -region and -stream-prefix", logs_arrive),
    Rule("TAP409", "error", "allow the execution role to read it", secrets_readable),
    Rule("TAP410", "error", "add the mount target or the rules on port 2049", files_reachable),
    Rule("TAP411", "warning", "leave StopTimeout out", no_stop_timeout),
)


def _containers(task: Resource) -> list[Mapping[str, Any]]:
    return mappings(task.get("ContainerDefinitions"))


def _efs_volumes(
    world: World, only: Resource | None = None
) -> Iterator[tuple[Resource, Mapping[str, Any]]]:
    for task in world.of_type(TASK):
        for volume in mappings(task.get("Volumes")):
            found = volume.get("EFSVolumeConfiguration")
            if isinstance(found, Mapping) and only in (None, task):
                yield task, found
