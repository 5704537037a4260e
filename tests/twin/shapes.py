"""Stacks, resources and change sets in the shapes of the API's answers."""

from __future__ import annotations

from typing import Any

from twin.records import ChangeSet, Held, Operation, Stack, Version

Answer = dict[str, Any]


def summary(item: ChangeSet, stack: Stack) -> Answer:
    """A change set in short."""
    return without_blanks(
        ChangeSetId=item.id,
        ChangeSetName=item.name,
        StackId=stack.id,
        StackName=stack.name,
        CreationTime=item.created,
        Description=item.description,
        Status=item.status,
        StatusReason=item.reason,
        ExecutionStatus=item.execution,
    )


def description(stack: Stack) -> Answer:
    """A stack."""
    version = stack.version
    return without_blanks(
        StackId=stack.id,
        StackName=stack.name,
        CreationTime=stack.created,
        LastUpdatedTime=stack.updated,
        DeletionTime=stack.deleted,
        StackStatus=stack.status,
        StackStatusReason=stack.reason,
        EnableTerminationProtection=stack.protected,
        RoleARN=stack.role,
        DeploymentConfig={"Mode": stack.mode} if stack.mode else None,
        LastOperations=[
            {"OperationType": item.type, "OperationId": item.id} for item in last(stack)
        ],
        Description=version.document.get("Description") if version else None,
        Parameters=parameters(version) if version else None,
        Tags=tags(version) if version else None,
        Capabilities=list(version.capabilities) if version else None,
        Outputs=[
            without_blanks(
                OutputKey=item.key,
                OutputValue=item.value,
                Description=item.description,
                ExportName=item.export,
            )
            for item in stack.outputs
        ],
    )


def last(stack: Stack) -> list[Operation]:
    """The last attempt, newest first: a rollback stands before what it takes back
    (awslabs/mcp#4275 shows the two).
    """
    found: list[Operation] = []
    for item in reversed(stack.operations):
        found.append(item)
        if item.type not in ("ROLLBACK", "CONTINUE_ROLLBACK"):
            break
    return found


def parameters(version: Version) -> list[Answer]:
    """The parameters of a version, secret ones masked."""
    declared = version.document.get("Parameters", {})
    return [
        {
            "ParameterKey": key,
            "ParameterValue": "****"
            if str(declared.get(key, {}).get("NoEcho", "false")).lower() == "true"
            else value,
        }
        for key, value in version.parameters.items()
    ]


def tags(version: Version) -> list[Answer]:
    """The tags of a version."""
    return [{"Key": key, "Value": value} for key, value in version.tags.items()]


def resource(held: Held) -> Answer:
    """A resource of a stack."""
    return without_blanks(
        LogicalResourceId=held.logical_id,
        PhysicalResourceId=held.physical_id,
        ResourceType=held.type,
        ResourceStatus=held.status,
        ResourceStatusReason=held.reason,
    )


def without_blanks(**members: Any) -> Answer:
    """The members that have a value: AWS leaves the others out."""
    return {key: item for key, item in members.items() if item not in (None, "", [])}
