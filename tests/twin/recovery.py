"""CloudFormation's ways out of a failure, and its guards: cancel, roll back, go on, protect.

The words of the refusals: "CancelUpdateStack cannot be called from current stack status" stands in
aws/copilot-cli's error handling; ContinueUpdateRollback calls itself RollbackUpdatedStack in the
same sentence (seen in public run books); RollbackStack's was not found and follows the two.
"""

from __future__ import annotations

from twin import policies
from twin.desk import STUCK, Answer, Desk, Params
from twin.operations import USER
from twin.records import Refusal

NOT_NOW = "{operation} cannot be called from current stack status"


class Recovery(Desk):
    """Operations on a stack that is on a wrong way, or is not to go one."""

    def cancel_update_stack(self, p: Params) -> Answer:
        """Roll an update back that is under way."""
        stack = self._standing(p)
        if self._repeated("cancel", stack.id, p):
            return {}
        if stack.status != "UPDATE_IN_PROGRESS":
            raise Refusal(NOT_NOW.format(operation="CancelUpdateStack"))
        self._carried_out("cancel", stack.id, p)
        operations = self._operations(stack)
        operations.interrupt()
        # The role and the manner are those of the update; only the token is the cancel's.
        stack.token = p.get("ClientRequestToken", "")
        stack.process = self.region.clock.start(operations.roll_back(USER))
        return {}

    def continue_update_rollback(self, p: Params) -> Answer:
        """Go on with a rollback that failed."""
        stack = self._standing(p)
        if self._repeated("continue", stack.id, p):
            return {}
        if stack.status != "UPDATE_ROLLBACK_FAILED":
            raise Refusal(NOT_NOW.format(operation="RollbackUpdatedStack"))
        operations, skip = self._operations(stack), p.get("ResourcesToSkip", [])
        for name in skip:
            if name not in stack.held:
                # The end of the sentence is from a run book; its beginning was not quoted there.
                raise Refusal(f"Resource [{name}] does not belong to stack {stack.name}")
            if not operations.can_skip(name):
                # ContinueUpdateRollback's reference: only what failed because a rollback failed.
                raise Refusal(
                    f"Resource [{name}] is not in UPDATE_FAILED state because of a rollback"
                )
        self._assumable(stack, p)
        self._carried_out("continue", stack.id, p)
        self._start(stack, p, operations.roll_back(USER, skip, "CONTINUE_ROLLBACK"))
        return {}

    def rollback_stack(self, p: Params) -> Answer:
        """Take back an operation that failed with its rollback disabled."""
        stack = self._standing(p)
        if self._repeated("rollback", stack.id, p):
            return {"StackId": stack.id, "OperationId": stack.operation}
        if stack.status not in STUCK:
            raise Refusal(NOT_NOW.format(operation="RollbackStack"))
        self._assumable(stack, p)
        self._carried_out("rollback", stack.id, p)
        operations = self._operations(stack)
        steps = (
            operations.roll_back(USER)
            if stack.status == "UPDATE_FAILED"
            else operations.undo_creation(USER)
        )
        self._start(stack, p, steps)
        return {"StackId": stack.id, "OperationId": stack.operation}

    def update_termination_protection(self, p: Params) -> Answer:
        """Allow or forbid the deletion."""
        stack = self._standing(p)
        stack.protected = p["EnableTerminationProtection"]
        return {"StackId": stack.id}

    def set_stack_policy(self, p: Params) -> Answer:
        """Say what updates may not touch."""
        stack = self._standing(p)
        policy = p.get("StackPolicyBody", "")
        if not policies.valid(policy):
            raise Refusal("Error validating stack policy: Invalid stack policy")
        stack.policy = policy
        return {}

    def get_stack_policy(self, p: Params) -> Answer:
        """What updates may not touch; nothing where nobody said."""
        policy = self._standing(p).policy
        return {"StackPolicyBody": policy} if policy else {}
