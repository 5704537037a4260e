"""CloudFormation's operations: what each refuses, starts and answers.

A method a call, with the call's own parameters (checked by botocore before they come here) and the
answer's members (checked by botocore afterwards). Lists are answered whole; paging is the
client's. Sources: CloudFormation's API reference for parameters, errors and answers; public
threads for the words of the refusals.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twin import changes, templates
from twin.operations import USER, Operations, Steps
from twin.records import ChangeSet, Held, Refusal, Stack, Version
from twin.region import Region

Params = Mapping[str, Any]
Answer = dict[str, Any]

UPDATABLE = (
    "CREATE_COMPLETE",
    "UPDATE_COMPLETE",
    "IMPORT_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE",
    "IMPORT_ROLLBACK_COMPLETE",
    "UPDATE_FAILED",
)
NO_CHANGES = (
    "The submitted information didn't contain changes. "
    "Submit different information to create a change set."
)


class Service:
    """The service in one region."""

    def __init__(self, region: Region) -> None:
        self.region = region

    # Change sets

    def create_change_set(self, p: Params) -> Answer:
        """Start making a change set; one of kind CREATE brings an empty stack along."""
        stack, kind = self.region.live(p["StackName"]), p.get("ChangeSetType", "UPDATE")
        token = p.get("ClientToken", "")
        made = self._made_before(stack, token)
        if made is not None:
            return {"Id": made.id, "StackId": made.stack_id}
        if kind == "CREATE" and stack is not None and stack.status != "REVIEW_IN_PROGRESS":
            raise Refusal(f"Stack [{stack.name}] already exists", "AlreadyExistsException")
        if kind == "UPDATE":
            stack = self._updatable(p["StackName"])
        version = self._version(p, stack)
        if stack is not None and any(
            item.name == p["ChangeSetName"] for item in stack.change_sets.values()
        ):
            raise Refusal(
                f"ChangeSet [{p['ChangeSetName']}] already exists", "AlreadyExistsException"
            )
        if stack is None:
            stack = self.region.new_stack(p["StackName"])
            self._operations(stack)._move("REVIEW_IN_PROGRESS", USER)
        change_set = ChangeSet(
            self.region.arn("changeSet", p["ChangeSetName"]),
            p["ChangeSetName"],
            stack.id,
            kind,
            version,
            self.region.clock.date(),
            p.get("Description", ""),
            token,
            p.get("OnStackFailure", "ROLLBACK"),
        )
        stack.change_sets[change_set.id] = change_set
        self.region.clock.start(self._prepare(stack, change_set))
        return {"Id": change_set.id, "StackId": stack.id}

    def describe_change_set(self, p: Params) -> Answer:
        """One change set as it stands."""
        item, stack = self._change_set(p)
        return {
            **_summary(item, stack),
            "Parameters": _parameters(item.version),
            "Tags": _tags(item.version),
            "Capabilities": list(item.version.capabilities),
            "Changes": [{"Type": "Resource", "ResourceChange": change} for change in item.changes],
        }

    def list_change_sets(self, p: Params) -> Answer:
        """Those of one stack."""
        stack = self._stack(p)
        return {"Summaries": [_summary(item, stack) for item in stack.change_sets.values()]}

    def delete_change_set(self, p: Params) -> Answer:
        """Forget one. The empty stack that it brought along stays; one that is not there is fine,
        if only its name is given together with the stack's.
        """
        try:
            item, stack = self._change_set(p)
        except Refusal as refusal:
            if refusal.code == "ChangeSetNotFound" and p["ChangeSetName"].startswith("arn:"):
                return {}
            raise
        if item.status in ("CREATE_PENDING", "CREATE_IN_PROGRESS"):
            # The words are aws-cdk#26182's.
            raise Refusal(
                "An operation on this ChangeSet is currently in progress.  "
                "Please attempt this operation again later.",
                "InvalidChangeSetStatus",
            )
        if item.execution == "EXECUTE_IN_PROGRESS":
            raise Refusal(
                f"ChangeSet [{item.id}] cannot be deleted in its current execution status of "
                f"[{item.execution}]",
                "InvalidChangeSetStatus",
            )
        del stack.change_sets[item.id]
        return {}

    def execute_change_set(self, p: Params) -> Answer:
        """Carry a change set out, and forget the stack's others."""
        item, stack = self._change_set(p)
        if self._repeated("execute", item.id, p):
            return {}
        if stack.busy:
            raise Refusal(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")
        if item.execution != "AVAILABLE":
            raise Refusal(
                f"ChangeSet [{item.id}] cannot be executed in its current status of "
                f"[{item.status}]",
                "InvalidChangeSetStatus",
            )
        item.execution = "EXECUTE_IN_PROGRESS"
        # ExecuteChangeSet's reference: the others "aren't valid for the updated stack".
        stack.change_sets = {item.id: item}
        operations = self._operations(stack)
        if item.kind == "CREATE":
            stack.on_failure = "DO_NOTHING" if p.get("DisableRollback") else item.on_failure
            steps = operations.create(item.version)
        else:
            steps = operations.update(item.version, disable_rollback=bool(p.get("DisableRollback")))
        self._start(stack, p, self._executing(item, stack, steps))
        return {}

    # Stacks

    def create_stack(self, p: Params) -> Answer:
        """Create a stack without a change set."""
        token = p.get("ClientRequestToken", "")
        before = self.region.live(p["StackName"])
        if before is not None and token and before.token == token and self.region.repeats:
            return {"StackId": before.id}
        if before is not None:
            raise Refusal(f"Stack [{before.name}] already exists", "AlreadyExistsException")
        version = self._version(p, None)
        stack = self.region.new_stack(p["StackName"])
        stack.on_failure = p.get(
            "OnFailure", "DO_NOTHING" if p.get("DisableRollback") else "ROLLBACK"
        )
        stack.protected = bool(p.get("EnableTerminationProtection"))
        stack.policy = p.get("StackPolicyBody", "")
        self._start(stack, p, self._operations(stack).create(version))
        return {"StackId": stack.id}

    def update_stack(self, p: Params) -> Answer:
        """Update a stack without a change set."""
        token = p.get("ClientRequestToken", "")
        before = self.region.found(p["StackName"])
        if before is not None and token and before.token == token and self.region.repeats:
            return {"StackId": before.id}
        stack = self._updatable(p["StackName"])
        version = self._version(p, stack)
        if not changes.anything(stack, version, self._offered(version)):
            raise Refusal("No updates are to be performed.")
        stack.policy = p.get("StackPolicyBody", stack.policy)
        steps = self._operations(stack).update(
            version, disable_rollback=bool(p.get("DisableRollback"))
        )
        self._start(stack, p, steps)
        return {"StackId": stack.id}

    def delete_stack(self, p: Params) -> Answer:
        """Start deleting. Answers yes where there is nothing, and where exports forbid it."""
        stack = self.region.found(p["StackName"])
        if stack is None or stack.status in ("DELETE_COMPLETE", "DELETE_IN_PROGRESS"):
            return {}
        if self._repeated("delete", stack.id, p):
            return {}
        if stack.protected:
            raise Refusal(
                f"Stack [{stack.id}] cannot be deleted while TerminationProtection is enabled"
            )
        retain = p.get("RetainResources", [])
        if retain and stack.status != "DELETE_FAILED":
            raise Refusal(
                f"Invalid operation on stack [{stack.id}]. RetainResources may only be specified "
                "when the stack is in DELETE_FAILED state"
            )
        if stack.busy and stack.status not in ("CREATE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS"):
            raise Refusal(f"Stack [{stack.id}] cannot be deleted while in status {stack.status}")
        operations = self._operations(stack)
        operations.interrupt()
        steps = operations.delete(retain, force=p.get("DeletionMode") == "FORCE_DELETE_STACK")
        self._start(stack, p, steps)
        return {}

    def cancel_update_stack(self, p: Params) -> Answer:
        """Roll an update back that is under way."""
        stack = self._stack(p)
        if stack.status != "UPDATE_IN_PROGRESS":
            raise Refusal(
                f"CancelUpdateStack cannot be called from current stack status [{stack.status}]"
            )
        operations = self._operations(stack)
        operations.interrupt()
        self._start(stack, p, operations.roll_back(USER))
        return {}

    def continue_update_rollback(self, p: Params) -> Answer:
        """Go on with a rollback that failed."""
        stack = self._stack(p)
        if stack.status != "UPDATE_ROLLBACK_FAILED":
            raise Refusal(
                f"Stack:{stack.id} is in {stack.status} state and can not continue update rollback."
            )
        skip = p.get("ResourcesToSkip", [])
        for name in skip:
            if name not in stack.held or stack.held[name].status != "UPDATE_FAILED":
                raise Refusal(f"Resource [{name}] is not in UPDATE_FAILED state")
        self._start(stack, p, self._operations(stack).roll_back(USER, skip))
        return {}

    def rollback_stack(self, p: Params) -> Answer:
        """Take back an operation that failed with its rollback disabled."""
        stack = self._stack(p)
        operations = self._operations(stack)
        if stack.status == "UPDATE_FAILED":
            self._start(stack, p, operations.roll_back(USER))
        elif stack.status == "CREATE_FAILED":
            self._start(stack, p, operations.undo_creation(USER))
        else:
            raise Refusal(f"Stack [{stack.id}] cannot be rolled back in status {stack.status}")
        return {"StackId": stack.id}

    def update_termination_protection(self, p: Params) -> Answer:
        """Allow or forbid the deletion."""
        stack = self._stack(p)
        stack.protected = p["EnableTerminationProtection"]
        return {"StackId": stack.id}

    def set_stack_policy(self, p: Params) -> Answer:
        """Say what updates may not touch."""
        self._stack(p).policy = p.get("StackPolicyBody", "")
        return {}

    # Questions

    def describe_stacks(self, p: Params) -> Answer:
        """One stack, or all that are not deleted."""
        if "StackName" not in p:
            live = [s for s in self.region.stacks.values() if s.status != "DELETE_COMPLETE"]
            return {"Stacks": [_description(stack) for stack in live]}
        stack = self.region.found(p["StackName"])
        if stack is None:
            raise Refusal(f"Stack with id {p['StackName']} does not exist")
        return {"Stacks": [_description(stack)]}

    def list_stacks(self, p: Params) -> Answer:
        """Every stack, deleted ones included, in the statuses asked for."""
        wanted = p.get("StackStatusFilter")
        members = (
            "StackId",
            "StackName",
            "CreationTime",
            "LastUpdatedTime",
            "DeletionTime",
            "StackStatus",
            "StackStatusReason",
        )
        found = [_description(stack) for stack in self.region.stacks.values()]
        return {
            "StackSummaries": [
                {key: item[key] for key in members if key in item}
                for item in found
                if not wanted or item["StackStatus"] in wanted
            ]
        }

    def describe_stack_events(self, p: Params) -> Answer:
        """The history, newest first."""
        stack = self._stack(p)
        return {
            "StackEvents": [
                _without_blanks(
                    StackId=stack.id,
                    EventId=event.id,
                    StackName=stack.name,
                    LogicalResourceId=event.logical_id,
                    PhysicalResourceId=event.physical_id,
                    ResourceType=event.type,
                    Timestamp=event.time,
                    ResourceStatus=event.status,
                    ResourceStatusReason=event.reason,
                    ClientRequestToken=event.token,
                )
                for event in reversed(stack.events)
            ]
        }

    def list_stack_resources(self, p: Params) -> Answer:
        """The resources in short."""
        stack = self._stack(p)
        return {
            "StackResourceSummaries": [
                {**_resource(held), "LastUpdatedTimestamp": held.changed}
                for held in stack.held.values()
            ]
        }

    def describe_stack_resources(self, p: Params) -> Answer:
        """The resources, or one of them."""
        if "StackName" not in p:
            name = p["PhysicalResourceId"]
            owner = next((s for s in self.region.stacks.values() if name in _physical_ids(s)), None)
            if owner is None:
                raise Refusal(f"Stack for {name} does not exist")
            p = {"StackName": owner.id}
        stack = self._stack(p)
        wanted = p.get("LogicalResourceId")
        return {
            "StackResources": [
                {
                    **_resource(held),
                    "StackName": stack.name,
                    "StackId": stack.id,
                    "Timestamp": held.changed,
                }
                for held in stack.held.values()
                if wanted in (None, held.logical_id)
            ]
        }

    def get_template(self, p: Params) -> Answer:
        """The template as it was given, of a stack or of a change set."""
        if "ChangeSetName" in p:
            version: Version | None = self._change_set(p)[0].version
        else:
            version = self._stack(p).version
        return {
            "TemplateBody": version.text if version else "",
            "StagesAvailable": ["Original", "Processed"],
        }

    def list_exports(self, p: Params) -> Answer:
        """Every export of the region."""
        return {
            "Exports": [
                {"ExportingStackId": stack.id, "Name": name, "Value": value}
                for stack in self.region.stacks.values()
                for name, value in stack.exports.items()
            ]
        }

    def list_imports(self, p: Params) -> Answer:
        """Who imports an export; an error where nobody does."""
        name = p["ExportName"]
        if self.region.exporter(name) is None:
            raise Refusal(f"Export '{name}' does not exist.")
        users = self.region.importers(name)
        if not users:
            raise Refusal(f"Export '{name}' is not imported by any stack.")
        return {"Imports": users}

    # Helpers

    def _stack(self, p: Params) -> Stack:
        stack = self.region.found(p["StackName"])
        if stack is None:
            raise Refusal(f"Stack [{p['StackName']}] does not exist")
        return stack

    def _updatable(self, name: str) -> Stack:
        stack = self.region.found(name)
        if stack is None or stack.status in ("REVIEW_IN_PROGRESS", "DELETE_COMPLETE"):
            raise Refusal(f"Stack [{name}] does not exist")
        if stack.status not in UPDATABLE:
            raise Refusal(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")
        return stack

    def _change_set(self, p: Params) -> tuple[ChangeSet, Stack]:
        name = p["ChangeSetName"]
        if name.startswith("arn:"):
            candidates = list(self.region.stacks.values())
        elif "StackName" in p:
            candidates = [self._stack(p)]
        else:
            raise Refusal(
                "StackName must be specified if ChangeSetName is not specified as an ARN."
            )
        for stack in candidates:
            for item in stack.change_sets.values():
                if name in (item.id, item.name):
                    return item, stack
        raise Refusal(f"ChangeSet [{name}] does not exist", "ChangeSetNotFound", 404)

    def _version(self, p: Params, stack: Stack | None) -> Version:
        """What the call asks for, judged."""
        before = stack.version if stack else None
        if p.get("UsePreviousTemplate") and before is not None:
            text = before.text
        else:
            text = p.get("TemplateBody", "")
        document = templates.read(text)
        given = {}
        for item in p.get("Parameters", []):
            key = item["ParameterKey"]
            if item.get("UsePreviousValue") and before is not None:
                given[key] = before.parameters[key]
            else:
                given[key] = item["ParameterValue"]
        values = templates.parameters(document, given)
        templates.judge(document, values)
        granted = tuple(p.get("Capabilities", ()))
        templates.capabilities(document, granted)
        tags = {tag["Key"]: tag["Value"] for tag in p.get("Tags", [])}
        return Version(text, document, values, tags, granted)

    def _offered(self, version: Version) -> dict[str, str]:
        """The exports, with something in the place of those that are not there."""
        wanted = templates.imports(version.document, version.parameters)
        return {**dict.fromkeys(wanted, ""), **self.region.exports()}

    def _prepare(self, stack: Stack, item: ChangeSet) -> Steps:
        yield self.region.change_set_seconds / 3
        item.status = "CREATE_IN_PROGRESS"
        yield self.region.change_set_seconds * 2 / 3
        version = item.version
        missing = sorted(
            templates.imports(version.document, version.parameters) - set(self.region.exports())
        )
        if missing:
            item.status, item.reason = "FAILED", f"No export named {missing[0]} found."
        elif not changes.anything(stack, version, self.region.exports()):
            item.status, item.reason = "FAILED", NO_CHANGES
        else:
            item.changes = changes.between(stack, version, self.region.exports())
            item.status, item.execution = "CREATE_COMPLETE", "AVAILABLE"

    def _executing(self, item: ChangeSet, stack: Stack, steps: Steps) -> Steps:
        yield from steps
        done = stack.status in ("CREATE_COMPLETE", "UPDATE_COMPLETE")
        item.execution = "EXECUTE_COMPLETE" if done else "EXECUTE_FAILED"

    def _start(self, stack: Stack, p: Params, steps: Steps) -> None:
        stack.token = p.get("ClientRequestToken", "")
        stack.process = self.region.clock.start(steps)

    def _operations(self, stack: Stack) -> Operations:
        return self.region.operations[stack.id]

    def _made_before(self, stack: Stack | None, token: str) -> ChangeSet | None:
        if stack is None or not token or not self.region.repeats:
            return None
        return next((s for s in stack.change_sets.values() if s.token == token), None)

    def _repeated(self, operation: str, target: str, p: Params) -> bool:
        """Whether this very call was carried out before. A token means one operation only."""
        token = p.get("ClientRequestToken")
        if not token or not self.region.repeats:
            return False
        first = self.region.tokens.setdefault(token, (operation, target))
        if first != (operation, target):
            raise Refusal(
                f"A client request token [{token}] already exists", "TokenAlreadyExistsException"
            )
        key = f"{token}/done"
        if key in self.region.tokens:
            return True
        self.region.tokens[key] = first
        return False


def _summary(item: ChangeSet, stack: Stack) -> Answer:
    return _without_blanks(
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


def _description(stack: Stack) -> Answer:
    version = stack.version
    return _without_blanks(
        StackId=stack.id,
        StackName=stack.name,
        CreationTime=stack.created,
        LastUpdatedTime=stack.updated,
        DeletionTime=stack.deleted,
        StackStatus=stack.status,
        StackStatusReason=stack.reason,
        EnableTerminationProtection=stack.protected,
        Description=version.document.get("Description") if version else None,
        Parameters=_parameters(version) if version else None,
        Tags=_tags(version) if version else None,
        Capabilities=list(version.capabilities) if version else None,
        Outputs=[
            _without_blanks(
                OutputKey=item.key,
                OutputValue=item.value,
                Description=item.description,
                ExportName=item.export,
            )
            for item in stack.outputs
        ],
    )


def _parameters(version: Version) -> list[Answer]:
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


def _tags(version: Version) -> list[Answer]:
    return [{"Key": key, "Value": value} for key, value in version.tags.items()]


def _resource(held: Held) -> Answer:
    return _without_blanks(
        LogicalResourceId=held.logical_id,
        PhysicalResourceId=held.physical_id,
        ResourceType=held.type,
        ResourceStatus=held.status,
        ResourceStatusReason=held.reason,
    )


def _physical_ids(stack: Stack) -> set[str]:
    return {held.physical_id for held in stack.held.values()}


def _without_blanks(**members: Any) -> Answer:
    """The members that have a value: AWS leaves the others out."""
    return {key: item for key, item in members.items() if item not in (None, "", [])}
