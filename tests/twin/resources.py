"""What happens to the resources of a stack while it is created, updated, rolled back or deleted.

- Resources start as soon as those they refer to are complete, side by side. The first failure
  cancels those still under way ("Resource creation cancelled").
- A new resource tells CREATE_IN_PROGRESS twice: when it is asked for, and when it has an id.
- A replacement makes the new one first; the old one is for the clean-up.
- What a policy keeps is let go of (DELETE_SKIPPED) and stands on.
- Hooks speak before a resource is touched; those in FAIL mode stop it (the hooks user guide's
  "Testing a custom Hook" shows the events).
- In express mode a resource counts as complete when its API call was answered, and becomes ready
  in the background (the user guide's page on express mode).
"""

from __future__ import annotations

import copy
import heapq
import itertools
from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any

from twin import changes, policies, templates
from twin.ledger import Ledger
from twin.records import Before, Held, HookAnswer, Stack, Version

if TYPE_CHECKING:
    from twin.region import Region

# Returns why the resource failed; empty when it did not.
Act = Generator[float, None, str]

INITIATED = "Resource creation Initiated"
# Two blanks, as in the guide's example.
HOOKS_DONE = "Hook invocations complete.  Resource creation initiated"
NO_REPLACEMENT = "Replacement type updates not supported on stack with disable-rollback."
REPLACES = "Requested update requires the creation of a new physical resource; hence creating one."


class Resources(Ledger):
    """The resources of one stack."""

    def __init__(self, region: Region, stack: Stack) -> None:
        super().__init__(region, stack)
        self._before: Before | None = None
        # Physical resources that the clean-up deletes, as the stack held them.
        self._leavings: list[Held] = []
        self._last: tuple[Version, dict[str, frozenset[str]]] | None = None
        self._policy, self._stays = "", False

    def _bring(self, name: str, version: Version | None = None) -> Act:
        """Create or update one resource."""
        version = version or self.stack.version
        assert version is not None
        resource = version.document["Resources"][name]
        wanted = self._wanted(name, version)
        held = self.stack.held.get(name)
        if held is not None and held.status == "CREATE_FAILED":
            # A creation that failed and stayed is tried again from its beginning.
            self.region.standing.pop(held.physical_id, None)
            held = None
        if held is None:
            held = Held(name, resource["Type"], "", "", self.region.clock.date())
            self.stack.held[name] = held
            self._describe(held, version)
            return (yield from self._create(held, wanted))
        self._describe(held, version)
        names = changes.differing(held.properties, wanted)
        retagged = self.stack.version is not None and self.stack.version.tags != version.tags
        again = held.status.endswith("_FAILED")
        if held.type == resource["Type"] and not names and not retagged and not again:
            return ""
        fatal = held.type != resource["Type"] or set(names) & set(changes.replacing(held.type))
        return (yield from self._update(held, resource["Type"], wanted, replaces=bool(fatal)))

    def _create(self, held: Held, wanted: Mapping[str, Any]) -> Act:
        self._tell(held, "CREATE_IN_PROGRESS")
        stopped = yield from self._hooked(held, "CREATE")
        if stopped:
            return stopped
        seconds = self._seconds(held, "CREATE")
        yield seconds / 4
        self._stand(held, held.type, wanted)
        self._tell(held, "CREATE_IN_PROGRESS", INITIATED)
        if self.stack.mode == "EXPRESS":
            self.region.readying[held.physical_id] = self.region.clock.now() + seconds * 3 / 4
        else:
            yield seconds * 3 / 4
        return self._ended(held, "CREATE")

    def _hooked(self, held: Held, verb: str) -> Act:
        """Ask the hooks of this resource; returns why it may not be touched."""
        hooks, failed = self.region.faults.hooks_of(self.stack.name, held.logical_id), []
        for hook in hooks:
            status = f"{verb}_IN_PROGRESS"
            self._speak(held, status, HookAnswer(hook.type, "HOOK_IN_PROGRESS", "", hook.mode))
            yield 1.0
            how = "FAILED" if hook.reason else "SUCCEEDED"
            told = f"Hook {how.lower()} with message: {hook.reason or 'all is well'}"
            self._speak(
                held, status, HookAnswer(hook.type, f"HOOK_COMPLETE_{how}", told, hook.mode)
            )
            if hook.reason and hook.mode == "FAIL":
                failed.append(hook.type)
        if failed:
            self.region.faults.struck["hook failed"] += 1
            reason = f"The following hook(s) failed: [{', '.join(failed)}]"
            self._tell(held, f"{verb}_FAILED", reason)
            return reason
        if hooks and verb == "CREATE":
            self._tell(held, "CREATE_IN_PROGRESS", HOOKS_DONE)
        return ""

    def _update(self, held: Held, kind: str, wanted: Mapping[str, Any], *, replaces: bool) -> Act:
        action = "Update:Replace" if replaces else "Update:Modify"
        denied = policies.refusal(self._policy, action, held.logical_id, held.type)
        if not denied and replaces and self._stays:
            denied = NO_REPLACEMENT
        self._tell(held, "UPDATE_IN_PROGRESS", REPLACES if replaces else "")
        stopped = yield from self._hooked(held, "UPDATE")
        if stopped:
            return stopped
        yield self._quick(self._seconds(held, "CREATE" if replaces else "UPDATE"))
        if denied:
            self._tell(held, "UPDATE_FAILED", denied)
            return denied
        reason = self._ended(held, "UPDATE", only_failure=True)
        if reason:
            return reason
        if replaces:
            self._leavings.append(copy.deepcopy(held))
            self._stand(held, kind, wanted)
        else:
            held.properties = wanted
            self.region.standing[held.physical_id] = held
        self._tell(held, "UPDATE_COMPLETE")
        return ""

    def _restore(self, name: str) -> Act:
        assert self._before is not None
        held, old = self.stack.held[name], self._before.held[name]
        self._tell(held, "UPDATE_IN_PROGRESS")
        yield self._quick(self._seconds(held, "UPDATE"))
        reason = self.region.faults.failure(self.stack.name, name, "ROLLBACK")
        if reason:
            self._before.stuck.add(name)
            self._tell(held, "UPDATE_FAILED", reason)
            return reason
        if held.physical_id != old.physical_id:
            self._leavings.append(copy.deepcopy(held))
        held.type, held.physical_id, held.properties = old.type, old.physical_id, old.properties
        held.needs, held.deletion_policy = old.needs, old.deletion_policy
        held.replace_policy = old.replace_policy
        self._tell(held, "UPDATE_COMPLETE")
        return ""

    def _remove(
        self, due: list[Held], *, created_now: bool = False, detached: bool = False
    ) -> Generator[float, None, list[str]]:
        """Delete resources, those that need others first; returns the ids of those that stay.

        ``detached`` ones are no longer the stack's: another stands under their logical id.
        """
        by_name = {held.logical_id: held for held in due}
        users: dict[str, frozenset[str]] = {
            name: frozenset(other for other, held in by_name.items() if name in held.needs)
            for name in by_name
        }

        def act(name: str) -> Act:
            return self._delete(by_name[name], created_now=created_now, detached=detached)

        return (yield from self._together(users, act, None))

    def _delete(self, held: Held, *, created_now: bool, detached: bool) -> Act:
        policy = held.replace_policy if detached else held.deletion_policy
        if policy == "RetainExceptOnCreate":
            policy = "Delete" if created_now else "Retain"
        elif policy == "Retain" and created_now and self.stack.retain_except_on_create:
            policy = "Delete"
        if not held.physical_id:
            self.stack.held.pop(held.logical_id, None)
            return ""
        if policy == "Retain":
            self._let_go(held)
        else:
            self._tell(held, "DELETE_IN_PROGRESS")
            yield self._quick(self._seconds(held, "DELETE"))
            reason = self._ended(held, "DELETE", only_failure=True)
            if reason:
                return reason
            self._tell(held, "DELETE_COMPLETE")
            self.region.remove(self.stack, held, snapshot=policy == "Snapshot")
        if not detached:
            self.stack.held.pop(held.logical_id, None)
            self.stack.gone[held.logical_id] = held
        return ""

    def _let_go(self, held: Held) -> None:
        self._tell(held, "DELETE_SKIPPED")
        self.region.kept.add(held.physical_id)

    def _together(
        self,
        needs: Mapping[str, frozenset[str]],
        act: Callable[[str], Act],
        cancelled: Callable[[str], None] | None,
    ) -> Generator[float, None, list[str]]:
        """Act on every resource, each after those it needs; returns those that failed.

        With ``cancelled`` the first failure stops all others; without, only those that need it.
        """
        clock, order = self.region.clock, itertools.count()
        waiting = {name: set(others) & set(needs) for name, others in needs.items()}
        running: list[tuple[float, int, str, Act]] = []
        failed: list[str] = []
        while True:
            for name in sorted(name for name, others in waiting.items() if not others):
                del waiting[name]
                heapq.heappush(running, (clock.now(), next(order), name, act(name)))
            if not running:
                return sorted(failed)
            moment, _, name, steps = heapq.heappop(running)
            if moment > clock.now():
                yield moment - clock.now()
            try:
                heapq.heappush(running, (clock.now() + next(steps), next(order), name, steps))
            except StopIteration as end:
                if not end.value:
                    for others in waiting.values():
                        others.discard(name)
                    continue
                failed.append(name)
                if cancelled is not None:
                    for _, _, other, _ in running:
                        cancelled(other)
                    return sorted(failed)

    def _cancelled(self, name: str) -> None:
        held = self.stack.held.get(name)
        if held is not None and held.status.endswith("_IN_PROGRESS"):
            verb = held.status.removesuffix("_IN_PROGRESS")
            what = "creation" if verb == "CREATE" else "update"
            self._tell(held, f"{verb}_FAILED", f"Resource {what} cancelled")

    def _is_off(self, old: Held) -> bool:
        held = self.stack.held[old.logical_id]
        return held.status.endswith("_FAILED") or (held.physical_id, held.properties) != (
            old.physical_id,
            old.properties,
        )

    def _ids(self) -> dict[str, str]:
        ids = {name: held.physical_id for name, held in self.stack.held.items()}
        return {**ids, "AWS::StackId": self.stack.id, "AWS::StackName": self.stack.name}

    def _needs(self, version: Version) -> dict[str, frozenset[str]]:
        """For each resource those it waits for; worked out once, it is asked for each resource."""
        if self._last is None or self._last[0] is not version:
            found = templates.dependencies(version.document, version.parameters)
            self._last = (version, found)
        return self._last[1]

    def _wanted(self, name: str, version: Version) -> dict[str, Any]:
        return templates.properties(
            version.document, name, version.parameters, self._ids(), self.region.exports()
        )

    def _quick(self, seconds: float) -> float:
        return seconds / 4 if self.stack.mode == "EXPRESS" else seconds

    def _seconds(self, held: Held, verb: str) -> float:
        return self.region.seconds(self.stack.name, held.logical_id, held.type, verb)

    def _describe(self, held: Held, version: Version) -> None:
        resource = version.document["Resources"][held.logical_id]
        held.deletion_policy = resource.get("DeletionPolicy", "Delete")
        held.replace_policy = resource.get("UpdateReplacePolicy", "Delete")
        held.needs = self._needs(version)[held.logical_id]

    def _stand(self, held: Held, kind: str, wanted: Mapping[str, Any]) -> None:
        held.type, held.properties = kind, wanted
        held.physical_id = self.region.new_id(self.stack.name, held.logical_id)
        self.region.standing[held.physical_id] = held

    def _ended(self, held: Held, verb: str, *, only_failure: bool = False) -> str:
        reason = self.region.faults.failure(self.stack.name, held.logical_id, verb)
        if reason:
            self._tell(held, f"{verb}_FAILED", reason)
        elif not only_failure:
            self._tell(held, f"{verb}_COMPLETE")
        return reason
