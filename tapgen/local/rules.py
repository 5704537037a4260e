"""What CloudFormation refuses at the door, and the emulator lets in.

Each call is judged before the emulator sees it, with the words of AWS: a stack in a state that
forbids the operation, a template that refers to nothing, parameters nobody declared, capabilities
not acknowledged.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlparse

from tapgen.local import exports, reach
from tapgen.local.operations import Operations

Stack = dict[str, Any]
Params = dict[str, Any]

_NOT_UPDATABLE = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED")
_PSEUDO = "AWS::"
_BUCKET_HOST = re.compile(r"(?P<bucket>.+)\.s3(?:[.-][a-z0-9-]+)?\.amazonaws\.com")


class Refusal(Exception):
    """An answer instead of the emulator's: ``code`` and ``message``."""

    def __init__(self, message: str, code: str = "ValidationError") -> None:
        self.code, self.message = code, message
        super().__init__(message)


def install(operations: Operations) -> None:
    """Stand before CloudFormation's actions and its template checks."""
    _judge_actions(operations)
    _judge_templates()
    _judge_parameters()
    reach.cloudformation("handlers")._capabilities_enforced = lambda: True
    _read_virtual_hosted_urls()


def _judge_actions(operations: Operations) -> None:
    actions = reach.cloudformation("handlers")._ACTION_HANDLERS
    helpers = reach.cloudformation("helpers")
    delete = actions["DeleteStack"]

    def judged(name: str, judge: Any) -> None:
        original = actions[name]

        def judging(params: Params) -> Any:
            try:
                judge(params)
            except Refusal as refusal:
                return helpers._error(refusal.code, refusal.message)
            return original(params)

        actions[name] = judging

    def deleting(params: Params) -> Any:
        stack = _stack(params)
        if stack is not None:
            answer = _delete(stack, params, operations, delete)
            if answer is not None:
                return answer
        return delete(params)

    judged("CreateStack", _judge_creation)
    judged("CreateChangeSet", _judge_change_set)
    judged("UpdateStack", lambda params: _judge_update(_stack(params)))
    judged("ExecuteChangeSet", _judge_execution)
    actions["DeleteStack"] = deleting
    create_change_set = actions["CreateChangeSet"]

    def noticing_outputs(params: Params) -> Any:
        answer = create_change_set(params)
        if answer[0] == 200:
            _notice_outputs(params)
        return answer

    actions["CreateChangeSet"] = noticing_outputs


def _judge_creation(params: Params) -> None:
    stack = _stack(params)
    if stack is not None and stack["StackStatus"] != "DELETE_COMPLETE":
        raise Refusal(f"Stack [{stack['StackName']}] already exists", "AlreadyExistsException")


def _judge_change_set(params: Params) -> None:
    stack = _stack(params)
    kind = reach.cloudformation("helpers")._p(params, "ChangeSetType", "UPDATE")
    if kind == "UPDATE":
        if stack is not None and stack["StackStatus"] == "REVIEW_IN_PROGRESS":
            raise Refusal(f"Stack [{stack['StackName']}] does not exist")
        _judge_update(stack)
    elif kind == "CREATE" and stack is not None and stack["StackStatus"] == "ROLLBACK_COMPLETE":
        raise Refusal(f"Stack [{stack['StackName']}] already exists", "AlreadyExistsException")


def _judge_update(stack: Stack | None) -> None:
    """A stack in the middle of something, or without a good state, cannot be updated."""
    if stack is None:
        return
    status = stack["StackStatus"]
    if status == "REVIEW_IN_PROGRESS":
        return
    if status.endswith("_IN_PROGRESS") or status in _NOT_UPDATABLE:
        raise Refusal(f"Stack:{stack['StackId']} is in {status} state and can not be updated.")


def _judge_execution(params: Params) -> None:
    helpers = reach.cloudformation("helpers")
    _, change_set = reach.cloudformation("changesets")._find_change_set(
        helpers._p(params, "ChangeSetName"), helpers._p(params, "StackName")
    )
    if change_set is not None and change_set["ExecutionStatus"] == "AVAILABLE":
        stack = reach.cloudformation()._stacks.get(change_set["StackName"])
        _judge_update(stack)
        if stack is not None:
            stack["StackStatusReason"] = ""


def _notice_outputs(params: Params) -> None:
    """A change of outputs alone is a change; the emulator looks at resources only."""
    helpers = reach.cloudformation("helpers")
    _, change_set = reach.cloudformation("changesets")._find_change_set(
        helpers._p(params, "ChangeSetName"), helpers._p(params, "StackName")
    )
    stack = _stack(params)
    if stack is None or (change_set["Status"], change_set["ChangeSetType"]) != ("FAILED", "UPDATE"):
        return
    before, after = stack["_resolved_params"], change_set["_resolved_params"]
    changed = {name for name in after if before.get(name) != after[name]}
    outputs = change_set["_template"].get("Outputs") or {}
    references = reach.cloudformation("engine")._intrinsic_references(outputs)
    if outputs != (stack["_template"].get("Outputs") or {}) or any(
        name in changed for name, _ in references
    ):
        change_set.update(Status="CREATE_COMPLETE", ExecutionStatus="AVAILABLE", StatusReason="")


def _delete(stack: Stack, params: Params, operations: Operations, delete: Any) -> Any:
    """The answer to a deletion that cannot start now; ``None`` when it can."""
    helpers = reach.cloudformation("helpers")
    status, stack_id = stack["StackStatus"], stack["StackId"]
    answered = helpers._xml(200, "DeleteStackResponse", "")
    if status == "DELETE_COMPLETE" or stack.get("EnableTerminationProtection"):
        return None
    if status == "DELETE_IN_PROGRESS":
        return answered
    running = operations.running(stack_id)
    if running is not None and status in ("CREATE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS"):
        # AWS cancels the creation. Here it comes to its end first, and is then deleted.
        asyncio.get_running_loop().create_task(_after(running, lambda: delete(params)))
        return answered
    if status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS":
        message = f"Stack [{stack_id}] cannot be deleted while in status {status}"
        return helpers._error("ValidationError", message)
    reason = exports.deletion_refusal(stack)
    if reason:
        stack["StackStatusReason"] = reason
        return answered
    return None


async def _after(running: asyncio.Task[Any], then: Any) -> None:
    await asyncio.wait([running])
    then()


def _stack(params: Params) -> Stack | None:
    helpers, handlers = reach.cloudformation("helpers"), reach.cloudformation("handlers")
    stack: Stack | None = handlers._resolve_stack(helpers._p(params, "StackName"))
    return stack


def _judge_templates() -> None:
    """Refuse references to nothing and circles, before there is a stack."""
    engine = reach.cloudformation("engine")
    validate = engine.validate_template_support

    def validating(
        template: dict[str, Any],
        conditions: Mapping[str, bool],
        params: Mapping[str, Any] | None = None,
    ) -> None:
        validate(template, conditions, params=params)
        judge_references(template, conditions)
        try:
            engine._topological_sort(template.get("Resources") or {}, conditions)
        except ValueError as error:
            circle = str(error).rpartition(":")[2].strip()
            raise ValueError(f"Circular dependency between resources: [{circle}]") from None

    for module in (reach.cloudformation("handlers"), reach.cloudformation("changesets")):
        module.validate_template_support = validating


def judge_references(template: Mapping[str, Any], conditions: Mapping[str, bool]) -> None:
    """Raise ``ValueError`` in AWS's words when something refers to what is not there.

    A resource whose condition is false is not there, except in a branch that is not taken.
    """
    resources = _present(template.get("Resources"), conditions)
    known = set(resources) | set(template.get("Parameters") or {})
    outputs = _present(template.get("Outputs"), conditions)
    for block, members in (("Resources", resources), ("Outputs", outputs)):
        missing = sorted(set(_references(members, conditions)) - known)
        if missing:
            raise ValueError(
                "Template format error: Unresolved resource dependencies "
                f"[{', '.join(missing)}] in the {block} block of the template"
            )


def _present(members: Any, conditions: Mapping[str, bool]) -> dict[str, Any]:
    return {
        name: member
        for name, member in (members or {}).items()
        if isinstance(member, dict) and conditions.get(member.get("Condition", ""), True)
    }


def _references(members: Mapping[str, Any], conditions: Mapping[str, bool]) -> Iterator[str]:
    engine = reach.cloudformation("engine")
    for member in members.values():
        taken = _taken(member, conditions)
        for name, _ in engine._intrinsic_references(taken):
            if not name.startswith(_PSEUDO):
                yield name
        depends = taken.get("DependsOn") or []
        yield from [depends] if isinstance(depends, str) else depends


def _taken(node: Any, conditions: Mapping[str, bool]) -> Any:
    """The node with each ``Fn::If`` replaced by the branch that counts."""
    if isinstance(node, list):
        return [_taken(item, conditions) for item in node]
    if not isinstance(node, dict):
        return node
    choice = node.get("Fn::If")
    if isinstance(choice, list) and len(choice) == 3 and choice[0] in conditions:
        return _taken(choice[1] if conditions[choice[0]] else choice[2], conditions)
    return {key: _taken(value, conditions) for key, value in node.items()}


def _judge_parameters() -> None:
    """Refuse parameters that are not declared, and name all that have no value."""
    engine = reach.cloudformation("engine")
    resolve = engine._resolve_parameters

    def resolving(
        template: Mapping[str, Any],
        provided: list[dict[str, Any]],
        previous: Mapping[str, Any] | None = None,
    ) -> Any:
        declared = template.get("Parameters") or {}
        given = {entry["Key"] for entry in provided if "Key" in entry}
        unknown = sorted(given - set(declared))
        if unknown:
            raise ValueError(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
        empty = [name for name in declared if name not in given and "Default" not in declared[name]]
        if empty:
            raise ValueError(f"Parameters: [{', '.join(empty)}] must have values")
        for entry in provided:
            allowed = declared[entry["Key"]].get("AllowedValues")
            if allowed and "Value" in entry and entry["Value"] not in map(str, allowed):
                reason = "must be one of AllowedValues"
                raise worded(entry["Key"], declared[entry["Key"]], reason)
        return resolve(template, provided, previous)

    def worded(name: str, definition: Mapping[str, Any], reason: str) -> ValueError:
        description = definition.get("ConstraintDescription")
        if description:
            return ValueError(f"Parameter {name} failed to satisfy constraint: {description}")
        return ValueError(f"Parameter '{name}' {reason}")

    engine._constraint_error = worded

    for module in (reach.cloudformation("handlers"), reach.cloudformation("changesets")):
        module._resolve_parameters = resolving


def _read_virtual_hosted_urls() -> None:
    """Understand ``https://bucket.s3.region.amazonaws.com/key`` beside the path form."""
    helpers = reach.cloudformation("helpers")
    resolve = helpers._resolve_document

    def resolving(params: Params, body_key: str, url_key: str, label: str) -> Any:
        url = urlparse(helpers._p(params, url_key))
        host = _BUCKET_HOST.fullmatch(url.hostname or "")
        if host:
            path = f"https://s3.amazonaws.com/{host['bucket']}{url.path}"
            params = {**params, url_key: [path]}
        return resolve(params, body_key, url_key, label)

    helpers._resolve_document = resolving
