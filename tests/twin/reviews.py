"""CloudFormation's operations on change sets: made, read, carried out, forgotten.

A change set takes a while to be made and can be neither carried out nor deleted before that.
Carrying one out removes the stack's others (ExecuteChangeSet's reference).

Early validation runs while it is made: a finding in FAIL mode fails it, in words that send the
caller to DescribeEvents (aws-cdk-cli#1000); one in WARN mode only stands there.
"""

from __future__ import annotations

from twin import changes, history, shapes, templates
from twin.desk import NON_TERMINAL, STUCK, Answer, Desk, Params
from twin.operations import Steps
from twin.records import ChangeSet, Refusal, Stack

NO_CHANGES = (
    "The submitted information didn't contain changes. "
    "Submit different information to create a change set."
)
# aws-cdk-cli#1780; the status is CREATE_COMPLETE all the same.
INCOMPLETE = "[WARN] --include-property-values option can return incomplete ChangeSet data"
EARLY = (
    "The following hook(s)/validation failed: [{names}]. To troubleshoot Early Validation errors, "
    "use the DescribeEvents API for detailed failure information."
)
# The validations by the name that DescribeEvents gives them.
VALIDATIONS = {
    "PROPERTY_VALIDATION": "AWS::EarlyValidation::PropertyValidation",
    "NAME_CONFLICT_VALIDATION": "AWS::EarlyValidation::ResourceExistenceCheck",
    "BUCKET_EMPTINESS_VALIDATION": "AWS::EarlyValidation::ResourceExistenceCheck",
}


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
        if kind in ("UPDATE", "IMPORT"):
            stack = self._updatable(p["StackName"])
        version = self._version(p, stack)
        role = self._assumable(stack, p)
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
            p.get("OnStackFailure", ""),
        )
        config = p.get("DeploymentConfig", {})
        change_set.role, change_set.mode = role, config.get("Mode", "")
        change_set.stays = config.get("DisableRollback")
        change_set.operation = self.region.new_operation()
        change_set.imported = {
            item["LogicalResourceId"]: next(iter(item["ResourceIdentifier"].values()))
            for item in p.get("ResourcesToImport", [])
        }
        change_set.checked = not p.get("DisableValidation")
        stack.change_sets[change_set.id] = change_set
        self.region.clock.start(self._prepare(stack, change_set))
        return {"Id": change_set.id, "StackId": stack.id}

    def describe_change_set(self, p: Params) -> Answer:
        """One change set as it stands."""
        item, stack = self._change_set(p)
        told, changed = shapes.summary(item, stack), item.changes.plain
        if p.get("IncludePropertyValues"):
            changed = item.changes.valued
            # boto3#4178: a failure has no reason then.
            told.pop("StatusReason", None)
            if item.changes.dropped:
                lost = ", ".join(f"Logical Id: {name}" for name in item.changes.dropped)
                told["StatusReason"] = f"{INCOMPLETE} because: {lost}, failed property validation"
        return {
            **told,
            "Parameters": shapes.parameters(item.version),
            "Tags": shapes.tags(item.version),
            "Capabilities": list(item.version.capabilities),
            "Changes": [{"Type": "Resource", "ResourceChange": change} for change in changed],
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
        stays = self._unrolled({**p, "DeploymentConfig": _config(item)})
        if stack.status in STUCK and not stays:
            raise Refusal(NON_TERMINAL.format(status=stack.status))
        self._carried_out("execute", item.id, p)
        item.execution = "EXECUTE_IN_PROGRESS"
        # ExecuteChangeSet's reference: the others "aren't valid for the updated stack".
        stack.change_sets = {item.id: item}
        operations = self._operations(stack)
        if item.kind == "CREATE":
            stack.on_failure = item.on_failure or ("DO_NOTHING" if stays else "ROLLBACK")
            steps = operations.create(item.version)
        elif item.kind == "IMPORT":
            steps = operations.import_resources(item.version, item.imported)
        else:
            steps = operations.update(item.version, disable_rollback=stays)
        given = {**p, "RoleARN": item.role} if item.role else p
        self._start(stack, given, self._executing(item, stack, steps), mode=item.mode)
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
        refused = self._validated(stack, item)
        if refused:
            item.status, item.reason = "FAILED", refused
            return
        exports, habits = self.region.exports(), self.region.habits
        if item.kind == "IMPORT":
            item.changes = changes.imported(item)
            item.status, item.execution = "CREATE_COMPLETE", "AVAILABLE"
            return
        if not changes.anything(stack, version, exports, habits):
            item.status, item.reason = "FAILED", NO_CHANGES
        else:
            item.changes = changes.between(stack, version, exports, habits)
            item.status, item.execution = "CREATE_COMPLETE", "AVAILABLE"

    def _validated(self, stack: Stack, item: ChangeSet) -> str:
        """Why hooks and early validation do not let the change set be; empty when they do."""
        faults, resources = self.region.faults, item.version.document["Resources"]
        hooks = [
            hook.type
            for hook in faults.hooks
            if hook.change_set and hook.reason and hook.stack in ("*", stack.name)
            if hook.mode == "FAIL"
        ]
        if hooks:
            faults.struck["hook failed"] += 1
            # aws-cdk-cli#1768.
            return f"Change set creation failed. The following hook(s) failed: [{', '.join(hooks)}]"
        found = [one for one in faults.findings if one.stack == stack.name and item.checked]
        now = self.region.clock.date()
        item.findings = [
            history.finding(
                item, stack, number, now, one, resources.get(one.logical_id, {}).get("Type", "")
            )
            for number, one in enumerate(found)
        ]
        faults.struck["validation failed"] += len(item.findings)
        names = sorted({VALIDATIONS[one.name] for one in found if one.mode == "FAIL"})
        return EARLY.format(names=", ".join(names)) if names else ""

    def _executing(self, item: ChangeSet, stack: Stack, steps: Steps) -> Steps:
        yield from steps
        done = stack.status in ("CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE")
        item.execution = "EXECUTE_COMPLETE" if done else "EXECUTE_FAILED"

    def _made_before(self, stack: Stack | None, token: str) -> ChangeSet | None:
        if stack is None or not token or not self.region.repeats:
            return None
        return next((s for s in stack.change_sets.values() if s.token == token), None)


def _config(item: ChangeSet) -> Answer:
    """What the change set was told about the manner of its execution."""
    found: Answer = {"Mode": item.mode} if item.mode else {}
    return found if item.stays is None else {**found, "DisableRollback": item.stays}
