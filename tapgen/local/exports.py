"""CloudFormation's guards on exports, which the emulator has only in part.

An export in use can be neither changed nor removed, a name belongs to one stack, and a stack whose
exports are in use is not deleted. The first two are met in the middle of an operation, which is
then rolled back with the reason on the rollback's first event. The last is answered with 200 by
the API: the stack stays as it was, and only its StackStatusReason tells.
"""

from __future__ import annotations

import re
from typing import Any

from tapgen.local import reach

Stack = dict[str, Any]

_MISSING = re.compile(r"Export '(.*)' not found")
# A stack in one of these has no resources that could use an import.
_WITHOUT_IMPORTS = ("REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE", "DELETE_COMPLETE")

# Why a stack is about to be rolled back, by stack id: from the guard to the rollback.
_reasons: dict[str, str] = {}


def install() -> None:
    """Put the guards in."""
    stacks = reach.cloudformation("stacks")
    resolve_outputs = stacks._resolve_stack_outputs
    resolve = stacks._resolve_refs
    roll_back = stacks._roll_back_operation

    def guarded_outputs(*args: Any) -> tuple[list[Any], dict[str, Any]]:
        outputs, exports = resolve_outputs(*args)
        stack_name, stack_id = args[-2:]
        reason = _refusal(stack_name, stack_id, exports)
        if reason:
            _reasons[stack_id] = reason
            raise ValueError(reason)
        _withdraw(stack_id, exports)
        return outputs, exports

    def resolve_with_texts(*args: Any) -> Any:
        try:
            return resolve(*args)
        except ValueError as error:
            missing = _MISSING.fullmatch(str(error))
            if missing is None:
                raise
            reason = f"No export named {missing.group(1)} found"
            _reasons[args[-1]] = f"{reason}. Rollback requested by user."
            raise ValueError(reason) from None

    async def roll_back_with_reason(
        stack_name: str,
        stack_id: str,
        stack: Stack,
        operation: dict[str, Any],
        reason_override: str = "",
    ) -> None:
        reason = _reasons.pop(stack_id, "")
        if reason:
            _drop_failed_event(stack_id, reason)
        elif not operation["is_update"] and operation["failed_logical_id"]:
            failed = operation["failed_logical_id"]
            reason = (
                f"The following resource(s) failed to create: [{failed}]. "
                "Rollback requested by user."
            )
        await roll_back(stack_name, stack_id, stack, operation, reason_override or reason)

    handlers = reach.cloudformation("handlers")
    imported = handlers._imported_export_names
    # An import counts when its resource is there; the emulator counts what is written.
    handlers._imported_export_names = lambda stack, name: imported(_standing(stack), name)
    stacks._resolve_stack_outputs = guarded_outputs
    stacks._resolve_refs = resolve_with_texts
    stacks._roll_back_operation = roll_back_with_reason


def deletion_refusal(stack: Stack) -> str:
    """Why this stack cannot be deleted now; empty when it can."""
    for export in _exports_of(stack["StackId"]):
        users = importers(export, besides=stack["StackName"])
        if users:
            return f"Export {export} cannot be deleted as it is in use by {_listed(users)}"
    return ""


def importers(export: str, besides: str) -> list[str]:
    """The stacks that import ``export`` with a resource that exists, sorted."""
    handlers = reach.cloudformation("handlers")
    using = []
    for name, stack in reach.cloudformation()._stacks.items():
        if name == besides or stack["StackStatus"] in _WITHOUT_IMPORTS:
            continue
        if export in handlers._imported_export_names(stack, name):
            using.append(name)
    return sorted(using)


def _standing(stack: Stack) -> Stack:
    """The stack without the resources and outputs whose condition is false."""
    conditions = stack.get("_conditions") or {}
    template = dict(stack.get("_template") or {})
    for section in ("Resources", "Outputs"):
        template[section] = {
            name: member
            for name, member in (template.get(section) or {}).items()
            if conditions.get(member.get("Condition"), True)
        }
    return {**stack, "_template": template}


def _refusal(stack_name: str, stack_id: str, exports: dict[str, Any]) -> str:
    table = reach.cloudformation()._exports
    for name in exports:
        owner = (table.get(name) or {}).get("StackId", stack_id)
        if owner != stack_id:
            return f"Export with name {name} is already exported by stack {_name_of(owner)}"
    for name in _exports_of(stack_id):
        unchanged = name in exports and exports[name]["Value"] == table[name]["Value"]
        users = [] if unchanged else importers(name, besides=stack_name)
        if users:
            verb = "updated" if name in exports else "deleted"
            return f"Export {name} cannot be {verb} as it is in use by {_listed(users)}"
    return ""


def _withdraw(stack_id: str, exports: dict[str, Any]) -> None:
    """Take what the stack exports no longer out of the table; the emulator only adds."""
    table = reach.cloudformation()._exports
    for name in _exports_of(stack_id):
        if name not in exports:
            del table[name]


def _exports_of(stack_id: str) -> list[str]:
    table = reach.cloudformation()._exports
    return [name for name, export in table.items() if export["StackId"] == stack_id]


def _name_of(stack_id: str) -> str:
    return stack_id.split("/")[1]


def _listed(names: list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _drop_failed_event(stack_id: str, reason: str) -> None:
    """The emulator tells the reason by a FAILED event of the stack, which AWS does not send."""
    events = reach.cloudformation()._stack_events[stack_id]
    last = events[-1] if events else {"ResourceType": "", "ResourceStatusReason": ""}
    told = (last["ResourceType"], last["ResourceStatusReason"])
    if told == ("AWS::CloudFormation::Stack", reason):
        events.pop()
