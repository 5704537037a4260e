"""CloudFormation's operations: what each refuses, starts and answers.

A method a call, with the call's own parameters (checked by botocore before they come here) and the
answer's members (checked by botocore afterwards). Sources: CloudFormation's API reference for
parameters, errors and answers; public threads for the words of the refusals. Questions and change
sets have files of their own; here are the operations on stacks.
"""

from __future__ import annotations

from twin import changes
from twin.desk import Answer, Params
from twin.operations import USER
from twin.questions import Questions
from twin.records import Refusal
from twin.reviews import Reviews


class Service(Questions, Reviews):
    """The service in one region."""

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
        offered = self._offered(version)
        if not changes.anything(stack, version, offered, literal=self.region.literal):
            raise Refusal("No updates are to be performed.")
        stack.policy = p.get("StackPolicyBody", stack.policy)
        for item in stack.change_sets.values():
            if item.execution == "AVAILABLE":
                item.execution = "OBSOLETE"
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
