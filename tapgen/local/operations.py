"""The stack operations that run, and what becomes of those that a crash cut off.

The emulator starts each operation as a task and forgets it. Here they are kept, so that the
server can save after each, wait for them before it ends, and delete a stack that is still being
created once its creation is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from tapgen.local import reach

# What CloudFormation would carry on with, a restarted server cannot: the task is gone.
_CUT_OFF = {
    "CREATE_IN_PROGRESS": "CREATE_FAILED",
    "ROLLBACK_IN_PROGRESS": "ROLLBACK_FAILED",
    "DELETE_IN_PROGRESS": "DELETE_FAILED",
    "UPDATE_IN_PROGRESS": "UPDATE_ROLLBACK_FAILED",
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS": "UPDATE_COMPLETE",
    "UPDATE_ROLLBACK_IN_PROGRESS": "UPDATE_ROLLBACK_FAILED",
    "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS": "UPDATE_ROLLBACK_COMPLETE",
    "IMPORT_IN_PROGRESS": "IMPORT_ROLLBACK_FAILED",
}
_CUT_OFF_REASON = "The embedded AWS was stopped in the middle of this operation."

Stack = dict[str, Any]


class Operations:
    """The running stack operations, by stack id. ``finished`` is called after each."""

    def __init__(self, finished: Callable[[], None]) -> None:
        self._finished = finished
        self._running: dict[str, asyncio.Task[Any]] = {}

    def install(self) -> None:
        """Take the place of the emulator's way to start an operation."""
        for name in ("stacks", "handlers", "changesets"):
            reach.cloudformation(name)._create_stack_task_in_region = self._start

    def running(self, stack_id: str) -> asyncio.Task[Any] | None:
        """The operation under way on this stack, if there is one."""
        return self._running.get(stack_id)

    async def drain(self, seconds: float) -> None:
        """Wait for the running operations, but not for ever."""
        if self._running:
            await asyncio.wait(self._running.values(), timeout=seconds)

    def _start(
        self, operation: Coroutine[Any, Any, Any], stack: Stack | None, stack_id: str | None = None
    ) -> None:
        key = stack_id or (stack or {}).get("StackId", "")
        with reach.cloudformation("stacks")._stack_region_context(stack, stack_id):
            task = asyncio.get_running_loop().create_task(operation)
        self._running[key] = task
        task.add_done_callback(lambda done: self._ended(key, done))

    def _ended(self, key: str, task: asyncio.Task[Any]) -> None:
        if self._running.get(key) is task:
            del self._running[key]
        self._finished()


def settle_cut_off(stacks: dict[Any, Stack]) -> None:
    """Give every stack that was saved in the middle of an operation a state it can be left from.

    A creation can be deleted, a deletion tried again, an update's rollback continued.
    """
    for stack in stacks.values():
        settled = _CUT_OFF.get(stack.get("StackStatus", ""))
        if settled is not None:
            stack["StackStatus"] = settled
            stack["StackStatusReason"] = _CUT_OFF_REASON
