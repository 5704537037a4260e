"""The processing task: one container with a fixed script, on the shared file system.

It is a demonstration: it takes the job's input, works on it in a folder of its own, counts itself
in CloudWatch and leaves a result. What differs between jobs reaches the script through environment
variables alone, always quoted: nothing of an execution's input is ever read as shell. JOB_ID,
ATTEMPT and JOB_INPUT come from the execution, the other variables from the task definition.
"""

from __future__ import annotations

from troposphere import Ref, Region, Sub, ecs

from tapgen import names
from tapgen.stack import Draft
from tapgen.tiers import compute as containers
from tapgen.tiers import storage as data
from tapgen.tiers._workflow_states import CONTAINER

# Where the access point is seen in the container.
WORK_ROOT = "/mnt/video"
# As the access point: files belong to it whatever the container's user is.
UNPRIVILEGED = "1000:1000"
_VOLUME = "video"

# From the first line of the script on. What comes before, placing the task and pulling the image,
# takes Fargate a minute or so of the 400 s that the state machine allows.
TIME_LIMIT_SECONDS = 300

# Braces round a variable would look like an unused Fn::Sub to a linter: quotes do without them.
SCRIPT = r"""set -eu
umask 027
started="$(date +%s)"
# A folder for each attempt: an earlier one may not be quite dead yet.
folder="$WORK_ROOT/work/$JOB_ID.$ATTEMPT"
child=""

cleanup() {
  if [ -n "$child" ]; then kill "$child" 2>/dev/null || true; fi
  rm -rf "$folder"
}
trap cleanup EXIT
trap 'echo "told to stop" >&2; exit 143' TERM INT

# In the background and waited for, because a shell hears a signal only between commands.
within_limit() {
  left=$((started + TIME_LIMIT_SECONDS - $(date +%s)))
  if [ "$left" -le 0 ]; then echo "time limit reached" >&2; exit 124; fi
  timeout -k 5 "$left" "$@" &
  child=$!
  wait "$child"
  child=""
}

mkdir -p "$folder" "$WORK_ROOT/results"
printf '%s' "$JOB_INPUT" > "$folder/input.json"
within_limit sha256sum "$folder/input.json" > "$folder/checksum"
checksum="$(cut -d ' ' -f 1 "$folder/checksum")"
bytes=$(($(wc -c < "$folder/input.json")))
seconds=$(($(date +%s) - started))

within_limit aws cloudwatch put-metric-data --no-cli-pager \
  --namespace "$METRIC_NAMESPACE" --metric-name ProcessingSeconds \
  --dimensions "Environment=$ENVIRONMENT" --unit Seconds --value "$seconds"

printf '{"job":"%s","attempt":%s,"input_bytes":%s,"input_sha256":"%s","seconds":%s}\n' \
  "$JOB_ID" "$ATTEMPT" "$bytes" "$checksum" "$seconds" > "$folder/result.json"
cat "$folder/result.json"
# Last, and by rename: a result is there in full or not at all.
mv "$folder/result.json" "$WORK_ROOT/results/$JOB_ID.json"
"""


def add(draft: Draft, storage: data.Exports, compute: containers.Exports) -> ecs.TaskDefinition:
    """Add the task definition; its container runs as the roles of ``compute``."""
    return draft.add(
        ecs.TaskDefinition(
            "VideoTask",
            Family=draft.name("video-processing-task"),
            RequiresCompatibilities=["FARGATE"],
            NetworkMode="awsvpc",
            Cpu="1024",
            Memory="2048",
            RuntimePlatform=ecs.RuntimePlatform(
                CpuArchitecture="X86_64", OperatingSystemFamily="LINUX"
            ),
            # Both as ARNs: a role's name reads back as its ARN and is reported as drift.
            ExecutionRoleArn=compute.task_execution_role_arn,
            TaskRoleArn=compute.task_role_arn,
            ContainerDefinitions=[_container(draft, compute)],
            Volumes=[
                ecs.Volume(
                    Name=_VOLUME,
                    # No RootDirectory: the access point has one, and ECS refuses a second.
                    EFSVolumeConfiguration=ecs.EFSVolumeConfiguration(
                        FilesystemId=storage.efs_file_system_id,
                        TransitEncryption="ENABLED",
                        AuthorizationConfig=ecs.AuthorizationConfig(
                            AccessPointId=storage.efs_access_point_id, IAM="ENABLED"
                        ),
                    ),
                )
            ],
            Tags=draft.name_tag("video-processing-task"),
        )
    )


def _container(draft: Draft, compute: containers.Exports) -> ecs.ContainerDefinition:
    # A full version: with a moving tag two tries of one job could run different programs.
    draft.parameter(
        "AwsCliImageTag",
        group="Workflow",
        label="Version of the aws-cli image",
        description="Version of public.ecr.aws/aws-cli/aws-cli that the task runs",
        Default="2.31.21",
        AllowedPattern=r"^2\.\d{1,3}\.\d{1,3}$",
        ConstraintDescription="a full version of AWS CLI 2, such as 2.31.21",
    )
    return ecs.ContainerDefinition(
        Name=CONTAINER,
        # From ECR Public: Docker Hub counts what one NAT address pulls.
        Image=Sub("public.ecr.aws/aws-cli/aws-cli:${AwsCliImageTag}"),
        Essential=True,
        # The image's own entry point is the aws program, which runs no script.
        EntryPoint=["/bin/sh", "-c"],
        Command=[SCRIPT],
        Environment=[
            ecs.Environment(Name="ENVIRONMENT", Value=Ref(names.SUFFIX)),
            ecs.Environment(Name="METRIC_NAMESPACE", Value=containers.METRICS_NAMESPACE),
            ecs.Environment(Name="TIME_LIMIT_SECONDS", Value=str(TIME_LIMIT_SECONDS)),
            ecs.Environment(Name="WORK_ROOT", Value=WORK_ROOT),
        ],
        User=UNPRIVILEGED,
        ReadonlyRootFilesystem=True,
        LinuxParameters=ecs.LinuxParameters(
            Capabilities=ecs.KernelCapabilities(Drop=["ALL"]),
            # Passes a stop on to the shell, which as process 1 would not hear of it.
            InitProcessEnabled=True,
        ),
        MountPoints=[ecs.MountPoint(SourceVolume=_VOLUME, ContainerPath=WORK_ROOT, ReadOnly=False)],
        LogConfiguration=ecs.LogConfiguration(
            LogDriver="awslogs",
            Options={
                "awslogs-group": compute.task_log_group_name,
                "awslogs-region": Region,
                "awslogs-stream-prefix": CONTAINER,
                # A log service that is away must not stop the work.
                "mode": "non-blocking",
            },
        ),
    )
