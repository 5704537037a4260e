"""What the embedded AWS takes without a word and then forgets.

Property by property, with the consequence. Whoever shows a deployed resource or compares one with
its template says of these "not kept by the embedded AWS" instead of reporting a difference.
This table needs nothing of the emulator, so every command may import it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NotKept:
    """A property of a resource type that cannot be read back, and why."""

    type: str
    property: str
    why: str


_CANARY = "no canary: a stage serves one deployment"
_ONE_ADDRESS = "a NAT gateway has one address"
_NO_RECORD = "its service's record has no place for it"

NOT_KEPT: tuple[NotKept, ...] = (
    NotKept("AWS::ApiGateway::Deployment", "DeploymentCanarySettings", _CANARY),
    NotKept("AWS::ApiGateway::Stage", "CanarySetting", _CANARY),
    NotKept("AWS::ApiGateway::Stage", "ClientCertificateId", "back ends are not called over TLS"),
    NotKept("AWS::EC2::EIP", "NetworkBorderGroup", _NO_RECORD),
    NotKept("AWS::EC2::FlowLog", "DestinationOptions", _NO_RECORD),
    NotKept("AWS::EC2::FlowLog", "LogFormat", "no traffic is logged"),
    NotKept("AWS::EC2::NatGateway", "AvailabilityMode", "a NAT gateway stands in one zone"),
    NotKept("AWS::EC2::NatGateway", "PrivateIpAddress", _ONE_ADDRESS),
    NotKept("AWS::EC2::NatGateway", "SecondaryAllocationIds", _ONE_ADDRESS),
    NotKept("AWS::ECS::Cluster", "ServiceConnectDefaults", _NO_RECORD),
    NotKept("AWS::Lambda::Function", "CodeSigningConfigArn", "signatures are not checked"),
    NotKept("AWS::Lambda::Function", "RecursiveLoop", _NO_RECORD),
    NotKept("AWS::Lambda::Function", "RuntimeManagementConfig", "there is one runtime: this one"),
    NotKept("AWS::RDS::DBInstance", "AssociatedRoles", _NO_RECORD),
    NotKept("AWS::RDS::DBInstance", "OptionGroupName", "the default group is always told"),
    NotKept("AWS::RDS::DBInstance", "ProcessorFeatures", _NO_RECORD),
    NotKept("AWS::S3::Bucket", "AccelerateConfiguration", _NO_RECORD),
    NotKept("AWS::S3::Bucket", "LoggingConfiguration", _NO_RECORD),
    NotKept("AWS::S3::Bucket", "ReplicationConfiguration", "a bucket has no second place"),
)

# The same of what a service reports of a resource, and no template sets.
NOT_REPORTED: tuple[NotKept, ...] = (
    NotKept("AWS::EC2::FlowLog", "DeliverLogsStatus", "no traffic is logged"),
    NotKept("AWS::RDS::DBInstance", "SecondaryAvailabilityZone", "there is no standby"),
)

# What is kept and shown, and not acted on: a task is a process of whoever runs the embedded AWS,
# on this machine, and nothing stands between it and the rest of the machine.
NOT_HONOURED: tuple[NotKept, ...] = (
    NotKept(
        "AWS::ECS::TaskDefinition",
        "ContainerDefinitions.Image",
        "no image is pulled: a container runs this machine's programs, and an aws of two commands",
    ),
    NotKept(
        "AWS::ECS::TaskDefinition",
        "ContainerDefinitions.LinuxParameters",
        "capabilities and the init process are a container's",
    ),
    NotKept(
        "AWS::ECS::TaskDefinition",
        "ContainerDefinitions.MountPoints",
        "nothing is mounted: variables that name the path are given the volume's folder instead",
    ),
    NotKept(
        "AWS::ECS::TaskDefinition",
        "ContainerDefinitions.ReadonlyRootFilesystem",
        "a process sees this machine's files, and may write where its user may",
    ),
    NotKept(
        "AWS::ECS::TaskDefinition",
        "ContainerDefinitions.Secrets",
        "no secret is put into a variable",
    ),
    NotKept(
        "AWS::ECS::TaskDefinition",
        "ContainerDefinitions.User",
        "a process runs as the user who started the embedded AWS",
    ),
    NotKept("AWS::ECS::TaskDefinition", "Cpu", "a process takes what it gets"),
    NotKept("AWS::ECS::TaskDefinition", "Memory", "a process takes what it needs"),
    NotKept("AWS::ECS::TaskDefinition", "NetworkMode", "a process has this machine's network"),
    NotKept("AWS::ECS::TaskDefinition", "RuntimePlatform", "a process runs on this machine's"),
    NotKept(
        "AWS::ECS::TaskDefinition",
        "TaskRoleArn",
        "a process acts with the account's key: no policy is asked",
    ),
    NotKept(
        "AWS::ECS::TaskDefinition",
        "Volumes.EFSVolumeConfiguration",
        "a file system is a folder, without encryption and without the role",
    ),
    NotKept(
        "AWS::StepFunctions::StateMachine",
        "RoleArn",
        "an execution may do everything: no policy is asked",
    ),
    NotKept("AWS::StepFunctions::StateMachine", "TracingConfiguration", "nothing is traced"),
)

# What a stack is given and never acts on: parameters of CreateStack, UpdateStack and their kin.
STACK_OPTIONS_NOT_KEPT: tuple[tuple[str, str], ...] = (
    ("NotificationARNs", "nobody is notified"),
    ("RoleARN", "every stack has all rights"),
    ("RollbackConfiguration", "no alarm rolls a stack back"),
    ("StackPolicyBody", "it is kept and shown, and forbids nothing"),
    ("TimeoutInMinutes", "a creation takes as long as it takes"),
)
