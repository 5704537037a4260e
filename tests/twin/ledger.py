"""What a stack tells: its operations, its statuses, and every line of its history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twin.records import Event, Held, HookAnswer, Operation, Stack

if TYPE_CHECKING:
    from twin.region import Region

# Statuses that say of an operation that it went well.
WELL = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "DELETE_COMPLETE", "IMPORT_COMPLETE")
BACK = ("ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_ROLLBACK_COMPLETE")


class Ledger:
    """The history of one stack, while it is written."""

    def __init__(self, region: Region, stack: Stack) -> None:
        self.region, self.stack = region, stack

    def _begin(self, kind: str) -> None:
        """Open an operation; one that was under way has failed, or was cut off."""
        stack, now = self.stack, self.region.clock.date()
        self._end("FAILED")
        stack.gone.clear()
        stack.operations.append(Operation(self.region.new_operation(), kind, stack.token, now))

    def _end(self, status: str) -> None:
        last = self.stack.operations[-1] if self.stack.operations else None
        if last is not None and last.ended is None:
            last.status, last.ended = status, self.region.clock.date()

    def _move(self, status: str, reason: str = "") -> None:
        self.stack.status, self.stack.reason = status, reason
        self._tell_stack(status, reason)
        if not status.endswith("_IN_PROGRESS"):
            self._end("SUCCEEDED" if status in (*WELL, *BACK) else "FAILED")

    def _tell_stack(self, status: str, reason: str) -> None:
        stack = self.stack
        self._event(stack.name, stack.id, "AWS::CloudFormation::Stack", status, reason)

    def _tell(self, held: Held, status: str, reason: str = "") -> None:
        held.status, held.reason, held.changed = status, reason, self.region.clock.date()
        self._event(held.logical_id, held.physical_id, held.type, status, reason)

    def _speak(self, held: Held, status: str, hook: HookAnswer) -> None:
        self._event(held.logical_id, held.physical_id, held.type, status, "", hook)

    def _event(
        self,
        logical_id: str,
        physical_id: str,
        kind: str,
        status: str,
        reason: str,
        hook: HookAnswer | None = None,
    ) -> None:
        stack = self.stack
        stack.events.append(
            Event(
                f"{logical_id}-{status}-{len(stack.events)}",
                self.region.clock.date(),
                logical_id,
                physical_id,
                kind,
                status,
                reason,
                stack.token,
                stack.operation,
                hook,
            )
        )
