"""CloudFormation's operations on change sets: made, read, carried out, forgotten.

A change set takes a while to be made and can be neither carried out nor deleted before that.
Carrying one out removes the stack's others (ExecuteChangeSet's reference).
"""

from __future__ import annotations

from twin import changes, shapes, templates
from twin.desk import Answer, Desk, Params
from twin.operations import Steps
from twin.records import ChangeSet, Refusal, Stack

NO_CHANGES = (
    "The submitted information didn't contain changes. "
    "Submit different information to create a change set."
)


class Reviews(Desk):
    """Everything about change sets."""

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
            self._operations(stack).review()
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
            **shapes.summary(item, stack),
            "Parameters": shapes.parameters(item.version),
            "Tags": shapes.tags(item.version),
            "Capabilities": list(item.version.capabilities),
            "Changes": [{"Type": "Resource", "ResourceChange": change} for change in item.changes],
        }

    def list_change_sets(self, p: Params) -> Answer:
        """Those of one stack."""
        stack = self._stack(p)
        return {"Summaries": [shapes.summary(item, stack) for item in stack.change_sets.values()]}

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
            return
        exports, literal = self.region.exports(), self.region.literal
        if not changes.anything(stack, version, exports, literal=literal):
            item.status, item.reason = "FAILED", NO_CHANGES
        else:
            item.changes = changes.between(stack, version, exports, literal=literal)
            item.status, item.execution = "CREATE_COMPLETE", "AVAILABLE"

    def _executing(self, item: ChangeSet, stack: Stack, steps: Steps) -> Steps:
        yield from steps
        done = stack.status in ("CREATE_COMPLETE", "UPDATE_COMPLETE")
        item.execution = "EXECUTE_COMPLETE" if done else "EXECUTE_FAILED"

    def _made_before(self, stack: Stack | None, token: str) -> ChangeSet | None:
        if stack is None or not token or not self.region.repeats:
            return None
        return next((s for s in stack.change_sets.values() if s.token == token), None)
