"""What CloudFormation does to a stack, step by step: create, update, roll back, clean up, delete.

The rules, from CloudFormation's guides and the public threads that the words are taken from:

- Resources start as soon as those they refer to are complete, side by side. The first failure
  cancels those still under way ("Resource creation cancelled"), then the stack rolls back.
- A new resource tells CREATE_IN_PROGRESS twice: when it is asked for, and when it has an id.
- An update replaces where a create-only property changed: the new one first, the old one in
  UPDATE_COMPLETE_CLEANUP_IN_PROGRESS, after the outputs were accepted.
- Exports are judged at the end: a name of another stack, or a change of one in use, rolls back,
  with the reason on the first event of the rollback and on no resource.
- A rollback that fails stays where it is (UPDATE_ROLLBACK_FAILED) until it is continued.
- Deleting a stack whose exports are in use answers yes, changes nothing, and says why in
  StackStatusReason and one event with the status as it was (rlister/stax#40).
- What a policy keeps is let go of (DELETE_SKIPPED) and stands on.
- A stack that rests in a COMPLETE state has no reason any more: it must be read off the events.
"""

from __future__ import annotations

import copy
import fnmatch
import heapq
import itertools
import json
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from twin import changes, templates
from twin.records import Event, Held, Output, Stack, Version

if TYPE_CHECKING:
    from twin.region import Region

Steps = Generator[float, None, None]
# Returns why the resource failed; empty when it did not.
Act = Generator[float, None, str]

USER = "User Initiated"
INITIATED = "Resource creation Initiated"
REPLACES = "Requested update requires the creation of a new physical resource; hence creating one."


@dataclass
class Before:
    """A stack as it was before an update, to go back to."""

    held: dict[str, Held]
    imports: frozenset[str]
    skipped: set[str] = field(default_factory=set)


class Operations:
    """Everything that can go on with one stack. Each public method is a process."""

    def __init__(self, region: Region, stack: Stack) -> None:
        self.region, self.stack = region, stack
        self._before: Before | None = None
        # Physical resources that the clean-up deletes, as the stack held them.
        self._leavings: list[Held] = []
        self._last: tuple[Version, dict[str, frozenset[str]]] | None = None

    def create(self, version: Version) -> Steps:
        """Create everything; roll back, stop or delete where something fails."""
        stack = self.stack
        stack.version = version
        self._move("CREATE_IN_PROGRESS", USER)
        yield 1.0
        trouble = self._missing(version)
        if not trouble:
            failed = yield from self._together(self._needs(version), self._bring, self._cancelled)
            trouble = _failed("create", self._failed_ids("CREATE_FAILED")) if failed else ""
        if not trouble:
            trouble = self._exported(version)
        if not trouble:
            self._move("CREATE_COMPLETE")
        elif stack.on_failure == "DO_NOTHING":
            self._move("CREATE_FAILED", trouble)
        elif stack.on_failure == "DELETE":
            yield from self.delete(reason=f"{trouble}Delete requested by user.")
        else:
            yield from self.undo_creation(f"{trouble}Rollback requested by user.")

    def undo_creation(self, reason: str) -> Steps:
        """Delete what a failed creation made."""
        self._move("ROLLBACK_IN_PROGRESS", reason)
        yield 1.0
        failed = yield from self._remove(list(self.stack.held.values()), created_now=True)
        if failed:
            self._move("ROLLBACK_FAILED", _failed("delete", failed))
        else:
            self.stack.imports = frozenset()
            self._move("ROLLBACK_COMPLETE")

    def update(self, version: Version, *, disable_rollback: bool = False) -> Steps:
        """Bring everything to ``version``, or back."""
        stack = self.stack
        self._before = Before(copy.deepcopy(stack.held), stack.imports)
        self._leavings = []
        stack.updated = self.region.clock.date()
        self._move("UPDATE_IN_PROGRESS", USER)
        yield 1.0
        trouble = self._missing(version)
        if not trouble:
            failed = yield from self._together(
                self._needs(version), lambda name: self._bring(name, version), self._cancelled
            )
            if failed:
                created, updated = (
                    self._failed_ids("CREATE_FAILED"),
                    self._failed_ids("UPDATE_FAILED"),
                )
                trouble = _failed("create", created) + _failed("update", updated)
        if not trouble:
            trouble = self._exported(version)
        if trouble and disable_rollback:
            self._move("UPDATE_FAILED", trouble)
        elif trouble:
            yield from self.roll_back(trouble)
        else:
            yield from self._clean_up(version)

    def roll_back(self, reason: str, skip: Iterable[str] = ()) -> Steps:
        """Take every resource back to where the update found it."""
        before, stack = self._before, self.stack
        assert before is not None
        before.skipped |= set(skip)
        self._leavings = []
        self._move("UPDATE_ROLLBACK_IN_PROGRESS", reason)
        yield 1.0
        due = {
            name: old.needs
            for name, old in before.held.items()
            if name not in before.skipped and self._is_off(old)
        }
        failed = yield from self._together(due, self._restore, self._cancelled)
        if failed:
            self._move(
                "UPDATE_ROLLBACK_FAILED", _failed("update", self._failed_ids("UPDATE_FAILED"))
            )
            return
        self._move("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
        yield 1.0
        new = [held for name, held in stack.held.items() if name not in before.held]
        yield from self._remove(new, created_now=True)
        yield from self._remove(self._leavings, created_now=True, detached=True)
        stack.imports = before.imports
        for name in before.skipped:
            stack.held[name].status = "UPDATE_COMPLETE"
        self._move("UPDATE_ROLLBACK_COMPLETE")

    def delete(
        self, retain: Iterable[str] = (), *, force: bool = False, reason: str = USER
    ) -> Steps:
        """Delete the stack, unless somebody imports from it."""
        stack = self.stack
        blocked = self.region.in_use(stack, {})
        if blocked:
            yield 0.5
            stack.reason = blocked
            self._tell_stack(stack.status, blocked)
            return
        self._move("DELETE_IN_PROGRESS", reason)
        yield 1.0
        for name in retain:
            held = stack.held.pop(name)
            self._let_go(held)
        failed = yield from self._remove(list(stack.held.values()))
        if failed and not force:
            self._move("DELETE_FAILED", _failed("delete", failed))
            return
        stack.deleted = self.region.clock.date()
        stack.outputs, stack.imports = (), frozenset()
        stack.change_sets.clear()
        self._move("DELETE_COMPLETE")

    def interrupt(self) -> None:
        """Stop what is under way; the resources in the middle of something have failed."""
        if self.stack.process is not None:
            self.stack.process.stop()
        for name, held in self.stack.held.items():
            if held.status.endswith("_IN_PROGRESS"):
                self._cancelled(name)

    def _clean_up(self, version: Version) -> Steps:
        stack = self.stack
        stack.version, stack.imports = version, self._imports(version)
        self._move("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        yield 1.0
        wanted = templates.resources(version.document, version.parameters)
        gone = [held for name, held in stack.held.items() if name not in wanted]
        yield from self._remove(gone)
        yield from self._remove(self._leavings, detached=True)
        self._move("UPDATE_COMPLETE")

    def _bring(self, name: str, version: Version | None = None) -> Act:
        """Create or update one resource."""
        version = version or self.stack.version
        assert version is not None
        resource = version.document["Resources"][name]
        wanted = templates.properties(
            version.document, name, version.parameters, self._ids(), self.region.exports()
        )
        held = self.stack.held.get(name)
        if held is None:
            held = Held(name, resource["Type"], "", "", self.region.clock.date())
            self.stack.held[name] = held
            self._describe(held, version)
            return (yield from self._create(held, wanted))
        self._describe(held, version)
        names = changes.differing(held.properties, wanted)
        retagged = self.stack.version is not None and self.stack.version.tags != version.tags
        if held.type == resource["Type"] and not names and not retagged:
            return ""
        fatal = held.type != resource["Type"] or set(names) & set(changes.replacing(held.type))
        return (yield from self._update(held, resource["Type"], wanted, replaces=bool(fatal)))

    def _create(self, held: Held, wanted: Mapping[str, Any]) -> Act:
        self._tell(held, "CREATE_IN_PROGRESS")
        seconds = self._seconds(held, "CREATE")
        yield seconds / 4
        self._stand(held, held.type, wanted)
        self._tell(held, "CREATE_IN_PROGRESS", INITIATED)
        yield seconds * 3 / 4
        return self._ended(held, "CREATE")

    def _update(self, held: Held, kind: str, wanted: Mapping[str, Any], *, replaces: bool) -> Act:
        denied = self._denied(held, replaces=replaces)
        self._tell(held, "UPDATE_IN_PROGRESS", REPLACES if replaces else "")
        yield self._seconds(held, "CREATE" if replaces else "UPDATE")
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
        yield self._seconds(held, "UPDATE")
        reason = self.region.faults.failure(self.stack.name, name, "ROLLBACK")
        if reason:
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
        if not held.physical_id:
            self.stack.held.pop(held.logical_id, None)
            return ""
        if policy == "Retain":
            self._let_go(held)
        else:
            self._tell(held, "DELETE_IN_PROGRESS")
            yield self._seconds(held, "DELETE")
            reason = self._ended(held, "DELETE", only_failure=True)
            if reason:
                return reason
            self._tell(held, "DELETE_COMPLETE")
            self.region.remove(self.stack, held, snapshot=policy == "Snapshot")
        if not detached:
            self.stack.held.pop(held.logical_id, None)
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

    def _missing(self, version: Version) -> str:
        """Why the imports cannot be had; else they are taken, and lock their exports."""
        wanted = self._imports(version)
        missing = sorted(wanted - set(self.region.exports()))
        if missing:
            return f"No export named {missing[0]} found. "
        self.stack.imports |= wanted
        return ""

    def _exported(self, version: Version) -> str:
        """Put the outputs out, unless an export's rules forbid it: then why."""
        found = templates.outputs(
            version.document, version.parameters, self._ids(), self.region.exports()
        )
        outputs = tuple(
            Output(
                item["Key"],
                str(item["Value"]),
                item.get("Description", ""),
                item.get("Export", {}).get("Name"),
            )
            for item in found
        )
        exports = {item.export: item.value for item in outputs if item.export is not None}
        for name in sorted(exports):
            owner = self.region.exporter(name)
            if owner is not None and owner is not self.stack:
                return f"Export with name {name} is already exported by stack {owner.name}. "
        reason = self.region.in_use(self.stack, exports)
        if not reason:
            self.stack.outputs = outputs
        return reason

    def _needs(self, version: Version) -> dict[str, frozenset[str]]:
        """For each resource those it waits for; worked out once, it is asked for each resource."""
        if self._last is None or self._last[0] is not version:
            found = templates.dependencies(version.document, version.parameters)
            self._last = (version, found)
        return self._last[1]

    def _imports(self, version: Version) -> frozenset[str]:
        return templates.imports(version.document, version.parameters)

    def _is_off(self, old: Held) -> bool:
        held = self.stack.held[old.logical_id]
        return held.status.endswith("_FAILED") or (held.physical_id, held.properties) != (
            old.physical_id,
            old.properties,
        )

    def _denied(self, held: Held, *, replaces: bool) -> str:
        """The stack policy's refusal of an update; it denies where a statement says so."""
        if not self.stack.policy:
            return ""
        action = "Update:Replace" if replaces else "Update:Modify"
        statements = json.loads(self.stack.policy)["Statement"]
        for number, statement in enumerate(statements, start=1):
            actions, targets = _listed(statement["Action"]), _listed(statement["Resource"])
            if (
                statement["Effect"] == "Deny"
                and any(fnmatch.fnmatch(action, pattern) for pattern in actions)
                and any(
                    fnmatch.fnmatch(f"LogicalResourceId/{held.logical_id}", pattern)
                    for pattern in targets
                )
            ):
                return (
                    f"Action denied by stack policy: Statement [#{number}] does not allow "
                    f"[{action}] for resource [{held.logical_id}];"
                )
        return ""

    def _ids(self) -> dict[str, str]:
        ids = {name: held.physical_id for name, held in self.stack.held.items()}
        return {**ids, "AWS::StackId": self.stack.id, "AWS::StackName": self.stack.name}

    def _failed_ids(self, status: str) -> list[str]:
        return sorted(name for name, held in self.stack.held.items() if held.status == status)

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

    def _tell(self, held: Held, status: str, reason: str = "") -> None:
        held.status, held.reason, held.changed = status, reason, self.region.clock.date()
        self._event(held.logical_id, held.physical_id, held.type, status, reason)

    def _move(self, status: str, reason: str = "") -> None:
        self.stack.status, self.stack.reason = status, reason
        self._tell_stack(status, reason)

    def _tell_stack(self, status: str, reason: str) -> None:
        stack = self.stack
        self._event(stack.name, stack.id, "AWS::CloudFormation::Stack", status, reason)

    def _event(
        self, logical_id: str, physical_id: str, kind: str, status: str, reason: str
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
            )
        )


def _listed(item: Any) -> list[str]:
    return [item] if isinstance(item, str) else list(item)


def _failed(verb: str, names: Iterable[str]) -> str:
    listed = ", ".join(names)
    return f"The following resource(s) failed to {verb}: [{listed}]. " if listed else ""
