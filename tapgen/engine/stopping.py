"""Stopping what is under way: updates by rolling them back, creations by deleting what there is.

A run looks at its orders here while it follows what it began; ``attach`` stops what others began.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from typing import TypeVar

from tapgen.cloud import DeployedStack, Refused
from tapgen.engine.events import MonitoringTrouble, StackFailed
from tapgen.engine.operation import Watch, Watching
from tapgen.engine.run import Run

T = TypeVar("T")


def unless_cancelled(run: Run, watching: Watching[T]) -> Watching[T | None]:
    """As ``watching``, but None as soon as the run is cancelled."""
    with closing(watching):
        while not run.orders.cancel:
            try:
                step = next(watching)
            except StopIteration as end:
                found: T = end.value
                return found
            yield step
    return None


@dataclass(frozen=True)
class Followed:
    """How an operation of this run ended; ``stack`` is None when it is gone."""

    stack: DeployedStack | None
    cancelled: bool


def followed(
    run: Run, watch: Watch, stack_id: str, before: DeployedStack | None, *, creating: bool
) -> Watching[Followed]:
    """Follow what this run began to its end; on the order to cancel, stop it where AWS can."""
    asked = cancelled = False
    watching = watch.to_the_end(stack_id, before)
    with closing(watching):
        while True:
            if run.orders.cancel and not asked:
                asked = True
                if not creating or run.orders.delete_creating:
                    cancelled = yield from stopped(run, watch, stack_id, creating=creating)
            try:
                step = next(watching)
            except StopIteration as end:
                found: DeployedStack | None = end.value
                break
            yield step
    if cancelled and creating and found is not None and found.status == "CREATE_COMPLETE":
        # Read before the deletion was heard of: what comes after it is the end.
        found = yield from watch.to_the_end(stack_id, found)
    return Followed(found, cancelled)


def stopped(run: Run, watch: Watch, stack_id: str, *, creating: bool) -> Watching[bool]:
    """Have an update rolled back, or a stack that is being created deleted; False where AWS says
    that it is too late.
    """
    token = run.token(watch.stack, "cancel")

    def ask() -> None:
        if creating:
            run.cloud.delete_stack(stack_id, token)
        else:
            run.cloud.cancel_update(stack_id, token)

    try:
        yield from watch.patiently(ask)
    except Refused as error:
        yield MonitoringTrouble(watch.stack, f"it cannot be cancelled any more: {error.detail}")
        return False
    return True


def ended_badly(watch: Watch, followed: Followed) -> StackFailed:
    """The report of an operation of this run that did not end well."""
    now = followed.stack
    if now is None:
        if followed.cancelled:
            reason = "cancelled: it was deleted again, but for what its policies keep"
        else:
            reason = "it is gone"
        return StackFailed(watch.stack, "DELETE_COMPLETE", reason)
    if followed.cancelled and now.status == "UPDATE_ROLLBACK_COMPLETE":
        return StackFailed(watch.stack, now.status, "cancelled: it is as it was before the update")
    told = watch.failure(now)
    advice = "; ".join(filter(None, [told.remedy, _NEXT.get(now.status, "")]))
    return replace(told, remedy=advice)


_NEXT = {
    "UPDATE_FAILED": "it was not rolled back: run again with --recover",
    "UPDATE_ROLLBACK_FAILED": "its rollback failed too: run again to see what is in the way",
}
