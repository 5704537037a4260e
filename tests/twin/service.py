"""CloudFormation's operations: what each refuses, starts and answers.

A method a call, with the call's own parameters (checked by botocore before they come here) and the
answer's members (checked by botocore afterwards). Sources: CloudFormation's API reference for
parameters, errors and answers; public threads for the words of the refusals. Questions, change sets
and the ways out of a failure have files of their own; here are creating, updating and deleting.
"""

from __future__ import annotations

from twin import changes
from twin.desk import NON_TERMINAL, STUCK, Answer, Params
from twin.history import History
from twin.questions import Questions
from twin.records import Refusal, Stack
from twin.recovery import Recovery
from twin.reviews import Reviews


class Service(Questions, History, Reviews, Recovery):
    """The service in one region."""

    def create_stack(self, p: Params) -> Answer:
        """Create a stack without a change set."""
        token = p.get("ClientRequestToken", "")
        before = self.region.live(p["StackName"])
        if before is not None and token and before.token == token and self.region.repeats:
            return {"StackId": before.id, "OperationId": before.operation}
        if before is not None:
            raise Refusal(f"Stack [{before.name}] already exists", "AlreadyExistsException")
        if "DisableRollback" in p and "OnFailure" in p:
            raise Refusal("Either DisableRollback or OnFailure can be specified, not both.")
        version = self._version(p, None)
        self._assumable(None, p)
        stack = self.region.new_stack(p["StackName"])
        stack.on_failure = p.get("OnFailure", "DO_NOTHING" if self._unrolled(p) else "ROLLBACK")
        stack.protected = bool(p.get("EnableTerminationProtection"))
        stack.policy = p.get("StackPolicyBody", "")
        self._start(stack, p, self._operations(stack).create(version))
        return {"StackId": stack.id, "OperationId": stack.operation}

    def update_stack(self, p: Params) -> Answer:
        """Update a stack without a change set."""
        token = p.get("ClientRequestToken", "")
        before = self.region.found(p["StackName"])
        if before is not None and token and before.token == token and self.region.repeats:
            return {"StackId": before.id, "OperationId": before.operation}
        stack = self._updatable(p["StackName"])
        if stack.status in STUCK and not self._unrolled(p):
            raise Refusal(NON_TERMINAL.format(status=stack.status))
        version = self._version(p, stack)
        self._assumable(stack, p)
        offered = self._offered(version)
        again = stack.status in STUCK
        if not again and not changes.anything(stack, version, offered, self.region.habits):
            raise Refusal("No updates are to be performed.")
        stack.policy = p.get("StackPolicyBody", stack.policy)
        _outdate(stack)
        steps = self._operations(stack).update(
            version,
            disable_rollback=self._unrolled(p),
            policy=p.get("StackPolicyDuringUpdateBody", ""),
        )
        self._start(stack, p, steps)
        return {"StackId": stack.id, "OperationId": stack.operation}

    def delete_stack(self, p: Params) -> Answer:
        """Start deleting. Answers yes where there is nothing, and where exports forbid it."""
        stack = self.region.found(p["StackName"])
        if stack is None or stack.status in ("DELETE_COMPLETE", "DELETE_IN_PROGRESS"):
            return {}
        if self._repeated("delete", stack.id, p):
            return {}
        self._deletable(stack, p)
        self._assumable(stack, p)
        self._carried_out("delete", stack.id, p)
        operations = self._operations(stack)
        operations.interrupt()
        retain, force = p.get("RetainResources", []), _forced(p)
        self._start(stack, p, operations.delete(retain, force=force))
        return {}

    def _deletable(self, stack: Stack, p: Params) -> None:
        if stack.protected:
            raise Refusal(
                f"Stack [{stack.id}] cannot be deleted while TerminationProtection is enabled"
            )
        retain, failed = p.get("RetainResources", []), stack.status == "DELETE_FAILED"
        if retain and not failed:
            # aws/sagemaker-hyperpod-cli looks for these words, Eucalyptus gave them whole.
            raise Refusal(
                f"Invalid operation on stack [{stack.id}]. When you delete a stack, specify which "
                "resources to retain only when the stack is in the DELETE_FAILED state."
            )
        if _forced(p) and not failed:
            # awslabs/eks-perf-tests#517.
            raise Refusal(
                f"Invalid operation on stack [{stack.id}]. You can activate DeletionMode "
                "FORCE_DELETE_STACK in a delete stack operation only when the stack is in the "
                "DELETE_FAILED state."
            )
        for name in retain:
            if name in stack.gone:
                # rebuy-de/aws-nuke#270.
                raise Refusal(
                    "The specified resources to retain must be in a valid state. Do not specify "
                    "resources that are in the DELETE_COMPLETE state."
                )
            if name not in stack.held:
                raise Refusal(f"Resource [{name}] does not belong to stack {stack.name}")
        if stack.busy and stack.status not in ("CREATE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS"):
            raise Refusal(f"Stack [{stack.id}] cannot be deleted while in status {stack.status}")


def _forced(p: Params) -> bool:
    return p.get("DeletionMode") == "FORCE_DELETE_STACK"


def _outdate(stack: Stack) -> None:
    """After an update past them, change sets are not valid for the stack any more."""
    for item in stack.change_sets.values():
        if item.execution == "AVAILABLE":
            item.execution = "OBSOLETE"
