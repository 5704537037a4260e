"""ECS, Lambda and Step Functions: the parts of a definition that the emulator loses."""

from __future__ import annotations

from typing import Any

from tapgen.local import reach
from tapgen.local.resources import plumbing
from tapgen.local.resources.plumbing import Attributes, Made, Props

_ASSOCIATIONS = "AWS::ECS::ClusterCapacityProviderAssociations"


def install() -> None:
    """Put this corner in."""
    plumbing.after("AWS::ECS::TaskDefinition", _finish_task_definition)
    plumbing.add(_ASSOCIATIONS, create=_associate, update=_associate_anew, delete=_end_association)
    plumbing.before("AWS::Lambda::Function", _code_is_there)
    plumbing.after("AWS::Lambda::Function", _finish_function)
    plumbing.after("AWS::StepFunctions::StateMachine", _finish_state_machine)


def _finish_task_definition(physical_id: str, props: Props) -> Attributes:
    """Put the definition in as RegisterTaskDefinition would have taken it."""
    definitions = reach.service("ecs")._task_defs
    definition = definitions[physical_id.rpartition("/")[2]]
    registered = plumbing.shaped("ecs", "RegisterTaskDefinitionRequest", props)
    for container in registered["containerDefinitions"]:
        # What the service fills in.
        for part in ("environment", "mountPoints", "portMappings", "volumesFrom"):
            container.setdefault(part, [])
        container.setdefault("cpu", 0)
        container.setdefault("essential", True)
    registered.pop("tags", None)
    definition.update(registered)
    return {}


def _associate(logical_id: str, props: Props, stack_name: str) -> Made:
    cluster = reach.service("ecs")._clusters.get(props["Cluster"].rpartition("/")[2])
    if cluster is None:
        raise plumbing.service_error("Ecs", "Cluster not found.")
    shaped = plumbing.shaped("ecs", "PutClusterCapacityProvidersRequest", props)
    cluster["capacityProviders"] = shaped.get("capacityProviders", [])
    cluster["defaultCapacityProviderStrategy"] = shaped.get("defaultCapacityProviderStrategy", [])
    return props["Cluster"], {}


def _associate_anew(physical_id: str, old: Props, new: Props, stack_name: str) -> Made:
    return _associate("", new, stack_name)


def _end_association(physical_id: str, props: Props) -> None:
    if physical_id.rpartition("/")[2] in reach.service("ecs")._clusters:
        _associate("", {"Cluster": physical_id}, "")


def _code_is_there(props: Props) -> Props:
    """Code that is not in the bucket fails the function; the emulator makes one without code."""
    code = props.get("Code") or {}
    bucket, key = code.get("S3Bucket"), code.get("S3Key")
    if bucket and key:
        s3 = reach.service("s3")
        if s3._get_object_data(bucket, key, version_id=code.get("S3ObjectVersion")) is None:
            missing = "NoSuchKey" if bucket in s3._buckets else "NoSuchBucket"
            what = "key" if bucket in s3._buckets else "bucket"
            raise plumbing.service_error(
                "Lambda",
                f"Error occurred while GetObject. S3 Error Code: {missing}. "
                f"S3 Error Message: The specified {what} does not exist.",
            )
    return props


def _finish_function(physical_id: str, props: Props) -> Attributes:
    lambda_ = reach.service("lambda_svc")
    function = lambda_._functions[physical_id]
    config: dict[str, Any] = function["config"]
    vpc = plumbing.shaped("lambda", "VpcConfig", props.get("VpcConfig") or {})
    config["VpcConfig"] = _with_vpc_id({"SubnetIds": [], "SecurityGroupIds": [], **vpc})
    for name in ("KMSKeyArn", "DeadLetterConfig", "FileSystemConfigs"):
        given = {key.lower(): value for key, value in props.items()}.get(name.lower())
        if given:
            config[name] = given
        else:
            config.pop(name, None)
    # CloudFormation is done with a function when it is ready; the emulator's timer says so half a
    # second later, and a server that ends before never does.
    config["State"], config["LastUpdateStatus"] = "Active", "Successful"
    reserved = props.get("ReservedConcurrentExecutions")
    function["concurrency"] = None if reserved in (None, "") else int(reserved)
    return {}


def _with_vpc_id(vpc: dict[str, Any]) -> dict[str, Any]:
    subnets = reach.service("ec2")._subnets
    found = [subnets[subnet]["VpcId"] for subnet in vpc["SubnetIds"] if subnet in subnets]
    return {**vpc, "VpcId": found[0] if found else "", "Ipv6AllowedForDualStack": False}


def _finish_state_machine(physical_id: str, props: Props) -> Attributes:
    machine = reach.service("stepfunctions")._state_machines[physical_id]
    for prop, shape, field in (
        ("LoggingConfiguration", "LoggingConfiguration", "loggingConfiguration"),
        ("TracingConfiguration", "TracingConfiguration", "tracingConfiguration"),
    ):
        machine[field] = plumbing.shaped("stepfunctions", shape, props.get(prop) or {})
    machine["loggingConfiguration"].setdefault("level", "OFF")
    machine["loggingConfiguration"].setdefault("includeExecutionData", False)
    machine["tracingConfiguration"].setdefault("enabled", False)
    return {}
