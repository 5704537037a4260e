"""CloudFormation: the engine's questions about stacks, asked of AWS."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tapgen.aws.connection import Connection
from tapgen.cloud import (
    Change,
    ChangeSet,
    DeployedStack,
    Failure,
    Manner,
    PropertyChange,
    Refused,
    Request,
    Resource,
    StackEvent,
)


class AwsCloudFormation:
    """``cloud.CloudFormation``, answered by CloudFormation."""

    def __init__(self, connection: Connection, manner: Manner | None = None) -> None:
        self._aws = connection
        self._manner = manner or Manner()

    def acting(self, manner: Manner) -> AwsCloudFormation:
        """The same door, through which everything is changed in this manner."""
        return AwsCloudFormation(self._aws, manner)

    def stack(self, name_or_id: str) -> DeployedStack | None:
        """The stack; None when there is none, or none any more."""
        try:
            answer = self._aws.call("cloudformation", "describe_stacks", StackName=name_or_id)
        except Refused as error:
            if _is_missing(error):
                return None
            raise
        stack = _stack(answer["Stacks"][0])
        return None if stack.status == "DELETE_COMPLETE" else stack

    def stacks(self, prefix: str) -> list[DeployedStack]:
        """All live stacks whose name starts with ``prefix``."""
        found = self._aws.pages("cloudformation", "describe_stacks", "Stacks")
        return [_stack(stack) for stack in found if stack["StackName"].startswith(prefix)]

    def create_change_set(self, request: Request, name: str, *, create: bool, token: str) -> str:
        """Start making a change set; returns its id."""
        answer = self._aws.call(
            "cloudformation",
            "create_change_set",
            StackName=request.stack,
            ChangeSetName=name,
            ChangeSetType="CREATE" if create else "UPDATE",
            **_template(request),
            Parameters=_parameters(request),
            Tags=_pairs(request.tags, "Key", "Value"),
            Capabilities=list(request.capabilities),
            ClientToken=token,
            Description=f"{'Create' if create else 'Update'} {request.stack}",
            **self._role(),
            # By itself the express mode does not roll back (user guide, "Express mode").
            **self._mode(DisableRollback=False),
        )
        return str(answer["Id"])

    def _role(self) -> dict[str, Any]:
        return {"RoleARN": self._manner.role_arn} if self._manner.role_arn else {}

    def _mode(self, **more: bool) -> dict[str, Any]:
        return {"DeploymentConfig": {"Mode": "EXPRESS", **more}} if self._manner.express else {}

    def change_set(self, change_set_id: str, *, values: bool = False) -> ChangeSet:
        """The change set as it stands now, all pages of its changes."""
        arguments: dict[str, Any] = {"ChangeSetName": change_set_id}
        if values:
            arguments["IncludePropertyValues"] = True
        changes: list[Change] = []
        while True:
            answer = self._aws.call("cloudformation", "describe_change_set", **arguments)
            changes += [_change(item["ResourceChange"]) for item in answer.get("Changes", ())]
            if "NextToken" not in answer:
                break
            arguments["NextToken"] = answer["NextToken"]
        return ChangeSet(
            change_set_id,
            answer["Status"],
            answer.get("StatusReason", ""),
            tuple(changes),
            answer.get("ExecutionStatus", ""),
        )

    def change_sets(self, stack_id: str) -> list[str]:
        """The ids of a stack's change sets, whoever made them."""
        found = self._aws.pages(
            "cloudformation", "list_change_sets", "Summaries", StackName=stack_id
        )
        return [item["ChangeSetId"] for item in found]

    def execute_change_set(self, change_set_id: str, token: str) -> None:
        """Start carrying a change set out."""
        self._aws.call(
            "cloudformation",
            "execute_change_set",
            ChangeSetName=change_set_id,
            ClientRequestToken=token,
            # What a rolled back operation made and its policy would keep is nobody's.
            RetainExceptOnCreate=True,
        )

    def delete_change_set(self, change_set_id: str) -> None:
        """Remove a change set; none there is fine."""
        try:
            self._aws.call("cloudformation", "delete_change_set", ChangeSetName=change_set_id)
        except Refused as error:
            if error.code != "ChangeSetNotFound" and not _is_missing(error):
                raise

    def delete_stack(
        self, stack_id: str, token: str, *, retain: Sequence[str] = (), force: bool = False
    ) -> None:
        """Start deleting a stack. AWS answers yes even when it then refuses."""
        arguments: dict[str, Any] = {}
        if retain:
            arguments["RetainResources"] = list(retain)
        if force:
            arguments["DeletionMode"] = "FORCE_DELETE_STACK"
        self._change("delete_stack", stack_id, token, **arguments, **self._role(), **self._mode())

    def cancel_update(self, stack_id: str, token: str) -> None:
        """Have an update that is under way rolled back; refused in every other status."""
        self._change("cancel_update_stack", stack_id, token)

    def roll_back(self, stack_id: str, token: str) -> None:
        """Take a stack in CREATE_FAILED or UPDATE_FAILED back to its last good state."""
        self._change("rollback_stack", stack_id, token, RetainExceptOnCreate=True, **self._role())

    def continue_rollback(self, stack_id: str, token: str, skip: Sequence[str] = ()) -> None:
        """Try again to roll back a stack in UPDATE_ROLLBACK_FAILED."""
        arguments = {"ResourcesToSkip": list(skip)} if skip else {}
        self._change("continue_update_rollback", stack_id, token, **arguments, **self._role())

    def _change(self, operation: str, stack_id: str, token: str, **arguments: Any) -> None:
        self._aws.call(
            "cloudformation",
            operation,
            StackName=stack_id,
            ClientRequestToken=token,
            **arguments,
        )

    def protect(self, stack_id: str, *, on: bool) -> None:
        """Switch a stack's termination protection."""
        self._aws.call(
            "cloudformation",
            "update_termination_protection",
            StackName=stack_id,
            EnableTerminationProtection=on,
        )

    def set_policy(self, stack_id: str, policy: str) -> None:
        """Give a stack a stack policy (JSON)."""
        self._aws.call(
            "cloudformation", "set_stack_policy", StackName=stack_id, StackPolicyBody=policy
        )

    def policy(self, stack_id: str) -> str:
        """A stack's policy (JSON); empty without."""
        answer = self._aws.call("cloudformation", "get_stack_policy", StackName=stack_id)
        return str(answer.get("StackPolicyBody", ""))

    def events(self, stack_id: str, after: str | None) -> list[StackEvent]:
        """The stack's events, oldest first, newer than the event with the id ``after``."""
        found = []
        # Newest first, and whole pages of history may lie behind: stop at what is known.
        for item in self._aws.pages(
            "cloudformation", "describe_stack_events", "StackEvents", StackName=stack_id
        ):
            if item["EventId"] == after:
                break
            found.append(_event(item))
        return list(reversed(found))

    def newest_event(self, stack_id: str) -> StackEvent | None:
        """The last line of the stack's history."""
        answer = self._aws.call("cloudformation", "describe_stack_events", StackName=stack_id)
        return next(map(_event, answer["StackEvents"]), None)

    def failures(
        self, stack_id: str, *, operation: str = "", change_set: str = ""
    ) -> list[Failure]:
        """What went wrong in an operation or in making a change set, oldest first."""
        arguments: dict[str, Any] = {"Filters": {"FailedEvents": True}}
        if change_set:
            arguments["ChangeSetName"] = change_set
        elif operation:
            arguments["OperationId"] = operation
        else:
            arguments["StackName"] = stack_id
        return [_failure(item) for item in reversed(list(self._operation_events(arguments)))]

    def _operation_events(self, arguments: dict[str, Any]) -> Iterator[dict[str, Any]]:
        while True:
            answer = self._aws.call("cloudformation", "describe_events", **arguments)
            yield from answer.get("OperationEvents", ())
            if "NextToken" not in answer:
                return
            arguments = {**arguments, "NextToken": answer["NextToken"]}

    def resources(self, stack_id: str) -> list[Resource]:
        """The resources of a stack."""
        return [
            Resource(
                item["LogicalResourceId"],
                item.get("PhysicalResourceId", ""),
                item["ResourceType"],
                item["ResourceStatus"],
            )
            for item in self._aws.pages(
                "cloudformation",
                "list_stack_resources",
                "StackResourceSummaries",
                StackName=stack_id,
            )
        ]

    def template(self, stack_id: str) -> str:
        """The template as it was given."""
        answer = self._aws.call(
            "cloudformation", "get_template", StackName=stack_id, TemplateStage="Original"
        )
        body = answer["TemplateBody"]
        if isinstance(body, str):
            return body
        from tapgen import yaml_text

        # botocore parses a template that was given as JSON.
        return yaml_text.dump(body)

    def importers(self, export: str) -> list[str]:
        """The names of the stacks that import ``export``."""
        try:
            found = self._aws.pages("cloudformation", "list_imports", "Imports", ExportName=export)
            return [str(name) for name in found]
        except Refused as error:
            # "Export 'x' is not imported by any stack." is how AWS says: nobody.
            if "is not imported" in error.detail or "does not exist" in error.detail:
                return []
            raise


def _is_missing(error: Refused) -> bool:
    return error.code == "ValidationError" and "does not exist" in error.detail


def _template(request: Request) -> dict[str, str]:
    if request.template_url:
        return {"TemplateURL": request.template_url}
    return {"TemplateBody": request.template}


def _parameters(request: Request) -> list[dict[str, Any]]:
    given = {k: v for k, v in request.parameters.items() if k not in request.previous}
    kept = [{"ParameterKey": name, "UsePreviousValue": True} for name in sorted(request.previous)]
    return [*_pairs(given, "ParameterKey", "ParameterValue"), *kept]


def _pairs(values: Mapping[str, str], key: str, value: str) -> list[dict[str, str]]:
    return [{key: name, value: item} for name, item in values.items()]


def _stack(item: Mapping[str, Any]) -> DeployedStack:
    outputs = item.get("Outputs", ())
    return DeployedStack(
        id=item["StackId"],
        name=item["StackName"],
        status=item["StackStatus"],
        reason=item.get("StackStatusReason", ""),
        parameters={
            p["ParameterKey"]: p.get("ParameterValue", "") for p in item.get("Parameters", ())
        },
        outputs={o["OutputKey"]: o["OutputValue"] for o in outputs},
        exports={o["ExportName"]: o["OutputValue"] for o in outputs if "ExportName" in o},
        tags={tag["Key"]: tag["Value"] for tag in item.get("Tags", ())},
        protected=bool(item.get("EnableTerminationProtection", False)),
        changed=item.get("LastUpdatedTime", item.get("CreationTime")),
        capabilities=tuple(item.get("Capabilities", ())),
    )


def _change(item: Mapping[str, Any]) -> Change:
    return Change(
        item["Action"],
        item["LogicalResourceId"],
        item["ResourceType"],
        item.get("Replacement", ""),
        physical_id=item.get("PhysicalResourceId", ""),
        policy=item.get("PolicyAction", ""),
        scope=tuple(item.get("Scope", ())),
        details=tuple(_detail(detail) for detail in item.get("Details", ())),
        before=item.get("BeforeContext", ""),
        after=item.get("AfterContext", ""),
    )


def _detail(item: Mapping[str, Any]) -> PropertyChange:
    target = item.get("Target", {})
    where = [target.get("Attribute", ""), *filter(None, [target.get("Name")])]
    return PropertyChange(
        path=target.get("Path") or "/" + "/".join(where),
        before=target.get("BeforeValue"),
        after=target.get("AfterValue"),
        recreates=target.get("RequiresRecreation", ""),
        certain=item.get("Evaluation", "Static") == "Static",
        because=item.get("CausingEntity", ""),
    )


def _failure(item: Mapping[str, Any]) -> Failure:
    modes = (item.get("HookFailureMode"), item.get("ValidationFailureMode"))
    reasons = ("ValidationStatusReason", "HookStatusReason", "ResourceStatusReason")
    return Failure(
        kind=item.get("EventType", "STACK_EVENT"),
        logical_id=item.get("LogicalResourceId", ""),
        type=item.get("ResourceType", ""),
        reason=next((item[key] for key in reasons if item.get(key)), ""),
        name=item.get("ValidationName") or item.get("HookType", ""),
        path=item.get("ValidationPath", ""),
        fatal="WARN" not in modes,
    )


def _event(item: Mapping[str, Any]) -> StackEvent:
    return StackEvent(
        id=item["EventId"],
        time=item["Timestamp"],
        logical_id=item.get("LogicalResourceId", ""),
        physical_id=item.get("PhysicalResourceId", ""),
        type=item.get("ResourceType", ""),
        status=item.get("ResourceStatus", ""),
        reason=item.get("ResourceStatusReason", ""),
        token=item.get("ClientRequestToken", ""),
        operation=item.get("OperationId", ""),
        hook=item.get("HookType", ""),
        hook_status=item.get("HookStatus", ""),
        hook_reason=item.get("HookStatusReason", ""),
        hook_mode=item.get("HookFailureMode", ""),
    )
