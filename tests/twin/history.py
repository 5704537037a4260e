"""What happened to stacks: DescribeStackEvents in full, and DescribeEvents by operation.

DescribeEvents shows an operation's beginning and end (STACK_EVENT), what its resources went through
(PROGRESS_EVENT, PROVISIONING_ERROR), hooks that failed (HOOK_INVOCATION_ERROR) and what early
validation found (VALIDATION_ERROR). Known from public threads:

- By a stack's name it answers for the last operation only. After a rollback that went well that is
  the rollback, so its failures are none (awslabs/mcp#4275); the failed one must be named by its
  OperationId.
- A change set is found by its ARN, not by its bare name (cloudformation-cli#1116); hooks that look
  at change sets leave nothing here (aws-cdk-cli#1768).
- A path looks like /Resources/Bucket, a validation's name like NAME_CONFLICT_VALIDATION
  (aws-cdk-cli's early-validation.ts, rain#744).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from twin import shapes
from twin.desk import Answer, Desk, Params
from twin.records import ChangeSet, Event, Operation, Refusal, Stack

FAILURES = ("PROVISIONING_ERROR", "HOOK_INVOCATION_ERROR", "VALIDATION_ERROR")


class History(Desk):
    """The two questions about what happened."""

    def describe_stack_events(self, p: Params) -> Answer:
        """The history, newest first."""
        stack = self._stack(p)
        told = self.region.clock.date() - timedelta(seconds=self.region.events_late)
        found = [event for event in reversed(stack.events) if event.time <= told]
        return {"StackEvents": [_stack_event(stack, event) for event in found]}

    def describe_events(self, p: Params) -> Answer:
        """The events of one operation, or of making a change set, newest first."""
        found = self._events_asked_for(p)
        if p.get("Filters", {}).get("FailedEvents"):
            found = [
                event
                for event in found
                if event["EventType"] in FAILURES
                or (event["EventType"] == "STACK_EVENT" and event["OperationStatus"] == "FAILED")
            ]
        return {"OperationEvents": found[::-1]}

    def _events_asked_for(self, p: Params) -> list[Answer]:
        name = p.get("ChangeSetName", "")
        if name.startswith("arn:") or (name and "StackName" in p):
            return list(self._change_set(p)[0].findings)
        if "OperationId" in p:
            return self._by_operation(p["OperationId"])
        if "StackName" not in p:
            raise Refusal("One of ChangeSetName, OperationId or StackName must be specified")
        stack = self._stack(p)
        return _of(stack, stack.operations[-1]) if stack.operations else []

    def _by_operation(self, wanted: str) -> list[Answer]:
        for stack in self.region.stacks.values():
            for operation in stack.operations:
                if operation.id == wanted:
                    return _of(stack, operation)
            for item in stack.change_sets.values():
                if item.operation == wanted:
                    return list(item.findings)
        return []


def finding(
    item: ChangeSet, stack: Stack, number: int, moment: Any, found: Any, kind: str
) -> Answer:
    """What early validation found, as DescribeEvents lists it."""
    return shapes.without_blanks(
        EventId=f"{item.operation}-{number}",
        StackId=stack.id,
        OperationId=item.operation,
        OperationType="CREATE_CHANGESET",
        OperationStatus="FAILED" if found.mode == "FAIL" else "SUCCEEDED",
        EventType="VALIDATION_ERROR",
        LogicalResourceId=found.logical_id,
        ResourceType=kind,
        Timestamp=moment,
        ValidationFailureMode=found.mode,
        ValidationName=found.name,
        ValidationStatus="FAILED",
        ValidationStatusReason=found.reason,
        ValidationPath=found.path or f"/Resources/{found.logical_id}",
    )


def _of(stack: Stack, operation: Operation) -> list[Answer]:
    """The events of an operation, oldest first."""
    bracket = {
        "StackId": stack.id,
        "OperationId": operation.id,
        "OperationType": operation.type,
        "EventType": "STACK_EVENT",
        "StartTime": operation.began,
    }
    if operation.token:
        bracket["ClientRequestToken"] = operation.token
    found: list[Answer] = [
        {
            **bracket,
            "EventId": f"{operation.id}-began",
            "OperationStatus": "IN_PROGRESS",
            "Timestamp": operation.began,
        }
    ]
    found += [
        _operation_event(stack, operation, event)
        for event in stack.events
        if event.operation == operation.id and event.logical_id != stack.name
    ]
    if operation.ended is not None:
        # Whether AWS repeats the stack's reason here is not known: it is left out.
        end = {"OperationStatus": operation.status, "Timestamp": operation.ended}
        found.append(
            {**bracket, **end, "EventId": f"{operation.id}-ended", "EndTime": operation.ended}
        )
    return found


def _operation_event(stack: Stack, operation: Operation, event: Event) -> Answer:
    if event.hook is not None and event.hook.status.endswith("_FAILED"):
        kind = "HOOK_INVOCATION_ERROR"
    elif event.status.endswith("_FAILED"):
        kind = "PROVISIONING_ERROR"
    else:
        kind = "PROGRESS_EVENT"
    told = _stack_event(stack, event)
    told.pop("StackName")
    return {**told, "OperationType": operation.type, "EventType": kind}


def _stack_event(stack: Stack, event: Event) -> Answer:
    hook = event.hook
    return shapes.without_blanks(
        StackId=stack.id,
        EventId=event.id,
        StackName=stack.name,
        OperationId=event.operation,
        LogicalResourceId=event.logical_id,
        PhysicalResourceId=event.physical_id,
        ResourceType=event.type,
        Timestamp=event.time,
        ResourceStatus=event.status,
        ResourceStatusReason=event.reason,
        ClientRequestToken=event.token,
        HookType=hook and hook.type,
        HookStatus=hook and hook.status,
        HookStatusReason=hook and hook.reason,
        HookInvocationPoint=hook and "PRE_PROVISION",
        HookFailureMode=hook and hook.mode,
    )
