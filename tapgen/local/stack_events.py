"""Which events a stack sends during an update, as CloudFormation sends them.

The emulator tells of every resource, changed or not, calls a new one updated, and removes old ones
in silence. Here an unchanged resource says nothing, a new one is created, and what is taken away
is deleted in the cleanup that follows the update itself.
"""

from __future__ import annotations

from typing import Any

from tapgen.local import reach

_STACK = "AWS::CloudFormation::Stack"
_CLEANUP = "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"

Stack = dict[str, Any]


class StackEvents:
    """Watches the operations; one for the whole server."""

    def __init__(self) -> None:
        # Logical ids that a stack had when its update began, by stack id.
        self._known: dict[str, set[str]] = {}
        # Resources that turned out to be unchanged, until their COMPLETE comes by.
        self._unchanged: set[tuple[str, str]] = set()

    def install(self) -> None:
        """Stand between the operations and what they tell and do."""
        stacks = reach.cloudformation("stacks")
        self._tell = stacks._add_event
        for name in ("stacks", "handlers", "changesets"):
            reach.cloudformation(name)._add_event = self._add_event
        self._update, self._delete = stacks._update_resource, stacks._delete_resource
        stacks._update_resource = self._update_resource
        stacks._delete_resource = self._delete_resource
        resolve_outputs = stacks._resolve_stack_outputs

        def then_clean_up(*args: Any) -> Any:
            resolved = resolve_outputs(*args)
            self._begin_cleanup(args[-2], args[-1])
            return resolved

        stacks._resolve_stack_outputs = then_clean_up

    def _add_event(
        self,
        stack_id: str,
        stack_name: str,
        logical_id: str,
        kind: str,
        status: str,
        *rest: Any,
        **more: Any,
    ) -> None:
        if kind == _STACK and status == "UPDATE_IN_PROGRESS":
            stack = _stack(stack_name)
            self._known[stack_id] = set(stack["_resources"]) if stack else set()
        elif kind == _STACK and not status.endswith("_IN_PROGRESS"):
            self._known.pop(stack_id, None)
        elif kind != _STACK and status.startswith("UPDATE_"):
            if status == "UPDATE_COMPLETE" and (stack_id, logical_id) in self._unchanged:
                self._unchanged.remove((stack_id, logical_id))
                return
            if logical_id not in self._known.get(stack_id, {logical_id}):
                status = status.replace("UPDATE_", "CREATE_")
        self._tell(stack_id, stack_name, logical_id, kind, status, *rest, **more)

    def _update_resource(
        self,
        kind: str,
        physical_id: str,
        old: Any,
        new: Any,
        stack_name: str,
        logical_id: str = "",
        attributes: dict[str, Any] | None = None,
    ) -> Any:
        stack = _stack(stack_name)
        if old != new or stack is None:
            return self._update(kind, physical_id, old, new, stack_name, logical_id, attributes)
        events = reach.cloudformation()._stack_events[stack["StackId"]]
        last = (events[-1]["LogicalResourceId"], events[-1]["ResourceStatus"]) if events else ()
        if last == (logical_id, "UPDATE_IN_PROGRESS"):
            events.pop()
            self._unchanged.add((stack["StackId"], logical_id))
        return physical_id, attributes or {}

    def _begin_cleanup(self, stack_name: str, stack_id: str) -> None:
        stack = _stack(stack_name)
        if stack is not None and stack["StackStatus"] == "UPDATE_IN_PROGRESS":
            stack["StackStatus"] = _CLEANUP
            self._tell(stack_id, stack_name, stack_name, _STACK, _CLEANUP, "", stack_id)

    def _delete_resource(
        self, kind: str, physical_id: str, props: Any, stack_name: str = "", logical_id: str = ""
    ) -> None:
        stack = _stack(stack_name)
        told = stack is not None and stack["StackStatus"] == _CLEANUP
        whose = (stack["StackId"] if stack else "", stack_name, logical_id, kind)
        if told:
            self._tell(*whose, "DELETE_IN_PROGRESS", "", physical_id)
        self._delete(kind, physical_id, props, stack_name, logical_id)
        if told:
            self._tell(*whose, "DELETE_COMPLETE", "", physical_id)


def _stack(name: str) -> Stack | None:
    stack: Stack | None = reach.cloudformation()._stacks.get(name)
    return stack
