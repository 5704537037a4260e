"""The processing task: one container with a fixed script, on the shared file system.

It is a demonstration: it fetches its execution's input, works on it in a folder of its own, counts
itself in CloudWatch and leaves a result. What differs between jobs reaches the script through
three short environment variables, checked and always quoted; the input goes from the service into
a file, and no shell ever reads it. JOB_ID, ATTEMPT and EXECUTION_ARN come from the execution, the
other variables from the task definition.

The script's own limit stands outside of it: ``timeout`` is the container's program, and ends
whatever hangs, be it the service, the file system or the script.
"""

from __future__ import annotations

from collections.abc import Mapping

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
# For cleaning up when the limit is reached or the task is told to stop: less than the 30 s that
# ECS leaves between its two signals.
LAST_SECONDS = 10

# What the container ends with. The small ones are the BSD's (sysexits.h), the large ones a
# shell's: 128 and the signal, and 124 is what timeout says of a limit.
EXIT_CODES: Mapping[int, str] = {
    0: "the result is there",
    64: "JOB_ID, ATTEMPT or EXECUTION_ARN is missing or malformed",
    66: "the execution's input could not be had",
    73: "the folder or the result could not be written",
    74: "the input could not be worked on",
    124: "the time limit was reached",
    137: "it was killed: out of memory, or deaf to the signals before",
    143: "it was told to stop",
}

# Braces round a variable would look like an unused Fn::Sub to a linter: quotes do without them.
SCRIPT = r"""set -e
umask 027
# The CLI writes text as the locale has it, and a container has none.
export LC_ALL=C.UTF-8
began="$(date +%s)"
folder=""

say() { printf '%s\n' "$*"; }
give_up() { code="$1"; shift; say "$*" >&2; exit "$code"; }

metric() {
  printf 'MetricName=%s,Unit=%s,Value=%s,Dimensions=[{Name=Environment,Value=%s}]' \
    "$1" "$2" "$3" "$ENVIRONMENT"
}
# What cannot be counted is still done, and soon: a task that is told to stop counts that, too.
record() {
  AWS_MAX_ATTEMPTS=1 aws cloudwatch put-metric-data --namespace "$METRIC_NAMESPACE" \
    --cli-connect-timeout 3 --cli-read-timeout 3 --metric-data "$@" \
    || say "not recorded: $*" >&2
}

finish() {
  code="$?"
  trap '' TERM
  if [ "$code" -ne 0 ] && [ -n "$folder" ]; then record "$(metric TasksFailed Count 1)"; fi
  if [ -n "$folder" ]; then rm -rf "$folder"; fi
  exit "$code"
}
trap finish EXIT
# To this shell and to whatever program it waits for, which ends and so lets it hear.
trap 'say "told to stop" >&2; exit 143' TERM

# Both become part of a path and of the result's JSON.
case "$JOB_ID" in
  ""|*/*|*\"*|*\\*|*[[:cntrl:]]*) give_up 64 "JOB_ID is no name of an execution" ;;
esac
case "$ATTEMPT" in
  ""|*[!0-9]*) give_up 64 "ATTEMPT is no number" ;;
esac
case "$EXECUTION_ARN" in
  arn:*:states:*:execution:*:"$JOB_ID") ;;
  *) give_up 64 "EXECUTION_ARN is not of the execution $JOB_ID" ;;
esac

# A folder for each attempt: an earlier one may not be quite dead yet.
folder="$WORK_ROOT/work/$JOB_ID.$ATTEMPT"
# Where the CLI may keep what it keeps: the image's own root cannot be written.
export HOME="$folder"
mkdir -p "$folder" "$WORK_ROOT/results" || give_up 73 "no folder for $JOB_ID"
say "started $JOB_ID, attempt $ATTEMPT"
record "$(metric TasksStarted Count 1)"

aws stepfunctions describe-execution --execution-arn "$EXECUTION_ARN" \
  --query input --output text > "$folder/answer" || give_up 66 "no input for $JOB_ID"
# Without the line end that the CLI adds.
bytes=$(($(wc -c < "$folder/answer") - 1))
head -c "$bytes" "$folder/answer" > "$folder/input.json" || give_up 73 "no room for the input"
say "received $bytes bytes"

sha256sum "$folder/input.json" > "$folder/checksum" || give_up 74 "no checksum"
checksum="$(cut -d ' ' -f 1 "$folder/checksum")"
seconds=$(($(date +%s) - began))

printf '{"job":"%s","attempt":%s,"execution":"%s","input_bytes":%s,"input_sha256":"%s",' \
  "$JOB_ID" "$ATTEMPT" "$EXECUTION_ARN" "$bytes" "$checksum" > "$folder/result.json"
printf '"seconds":%s}\n' "$seconds" >> "$folder/result.json"
cat "$folder/result.json"
# Last, and by rename: a result is there in full or not at all.
mv "$folder/result.json" "$WORK_ROOT/results/$JOB_ID.json" || give_up 73 "no result"
record "$(metric TasksSucceeded Count 1)" "$(metric ProcessingSeconds Seconds "$seconds")"
"""

# The image's own entry point is the aws program, which runs no script.
ENTRY_POINT = ["timeout", "-k", str(LAST_SECONDS), str(TIME_LIMIT_SECONDS), "/bin/sh", "-c"]


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
        EntryPoint=ENTRY_POINT,
        Command=[SCRIPT],
        Environment=[
            ecs.Environment(Name="ENVIRONMENT", Value=Ref(names.SUFFIX)),
            ecs.Environment(Name="METRIC_NAMESPACE", Value=containers.METRICS_NAMESPACE),
            ecs.Environment(Name="WORK_ROOT", Value=WORK_ROOT),
        ],
        User=UNPRIVILEGED,
        ReadonlyRootFilesystem=True,
        LinuxParameters=ecs.LinuxParameters(
            Capabilities=ecs.KernelCapabilities(Drop=["ALL"]),
            # Passes a stop on: process 1 of a container hears no signal it has not asked for.
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
