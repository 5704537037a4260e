"""What CloudFormation does to a stack, step by step: create, update, roll back, clean up, delete.

The rules, from CloudFormation's guides and the public threads that the words are taken from:

- The first resource that fails rolls the stack back, unless that is disabled.
- What an update replaced or no longer describes is deleted last, in
  UPDATE_COMPLETE_CLEANUP_IN_PROGRESS, after the outputs were accepted.
- Exports are judged at the end: a name of another stack, or a change of one in use, rolls back,
  with the reason on the first event of the rollback and on no resource.
- A rollback that fails stays where it is (UPDATE_ROLLBACK_FAILED) until it is continued. What is
  skipped then counts as UPDATE_COMPLETE and stands as the failed update left it.
- A rollback is an operation of its own, with its own OperationId (awslabs/mcp#4275).
- With rollback disabled, what does not need the failed resource goes on, and replacements are
  refused (aws-sam-cli#4164).
- Deleting a stack whose exports are in use answers yes, changes nothing, and says why in
  StackStatusReason and one event with the status as it was (rlister/stax#40).
- A stack that rests in a COMPLETE state has no reason any more: it must be read off the events.
"""

from __future__ import annotations

import copy
from collections.abc import Generator, Iterable, Mapping

from twin import policies, templates
from twin.records import Before, Held, Output, Version
from twin.resources import Resources

Steps = Generator[float, None, None]
USER = "User Initiated"


class Operations(Resources):
    """Everything that can go on with one stack. Each public method but the last is a process."""

    def review(self) -> None:
        """Begin the history of a stack that a change set brought along."""
        self._move("REVIEW_IN_PROGRESS", USER)

    def create(self, version: Version) -> Steps:
        """Create everything; roll back, stop or delete where something fails."""
        stack = self.stack
        stack.version = version
        self._begin("CREATE_STACK")
        self._move("CREATE_IN_PROGRESS", USER)
        yield 1.0
        trouble = self._missing(version)
        if not trouble:
            stays = stack.on_failure == "DO_NOTHING"
            failed = yield from self._together(
                self._needs(version), self._bring, None if stays else self._cancelled
            )
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
        self._begin("ROLLBACK")
        self._move("ROLLBACK_IN_PROGRESS", reason)
        yield 1.0
        failed = yield from self._remove(list(self.stack.held.values()), created_now=True)
        if failed:
            self._move("ROLLBACK_FAILED", _failed("delete", failed))
        else:
            self.stack.imports = frozenset()
            self._move("ROLLBACK_COMPLETE")

    def update(
        self, version: Version, *, disable_rollback: bool = False, policy: str = ""
    ) -> Steps:
        """Bring everything to ``version``, or back; ``policy`` is in force for this time only."""
        stack = self.stack
        if stack.status not in ("CREATE_FAILED", "UPDATE_FAILED") or self._before is None:
            # What failed and stayed has the state before it to go back to still.
            self._before = Before(copy.deepcopy(stack.held), stack.imports)
            self._leavings = []
        self._policy, self._stays = policy or stack.policy, disable_rollback
        self._begin("UPDATE_STACK")
        stack.updated = self.region.clock.date()
        self._move("UPDATE_IN_PROGRESS", USER)
        yield 1.0
        trouble = self._missing(version) or self._unremovable(version)
        if not trouble:
            failed = yield from self._together(
                self._needs(version),
                lambda name: self._bring(name, version),
                None if disable_rollback else self._cancelled,
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

    def roll_back(self, reason: str, skip: Iterable[str] = (), kind: str = "ROLLBACK") -> Steps:
        """Take every resource back to where the update found it, but for those in ``skip``."""
        before, stack = self._before, self.stack
        assert before is not None
        self._begin(kind)
        before.skipped |= set(skip)
        self._leavings = []
        self._move("UPDATE_ROLLBACK_IN_PROGRESS", reason)
        for name in skip:
            self._skip(stack.held[name], before.held[name])
        before.stuck.clear()
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
        self._move("UPDATE_ROLLBACK_COMPLETE")

    def delete(
        self, retain: Iterable[str] = (), *, force: bool = False, reason: str = USER
    ) -> Steps:
        """Delete the stack, unless somebody imports from it."""
        stack = self.stack
        self._begin("DELETE_STACK")
        blocked = self.region.in_use(stack, {})
        if blocked:
            self._end("FAILED")
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

    def can_skip(self, name: str) -> bool:
        """Whether this resource failed because a rollback failed, the one thing to be skipped."""
        return self._before is not None and name in self._before.stuck

    def import_resources(self, version: Version, identifiers: Mapping[str, str]) -> Steps:
        """Take resources in that stand already; ``identifiers`` are physical ids by logical id."""
        stack = self.stack
        self._begin("UPDATE_STACK")
        self._move("IMPORT_IN_PROGRESS", USER)
        yield 1.0
        for name, physical_id in identifiers.items():
            kind = version.document["Resources"][name]["Type"]
            held = Held(name, kind, physical_id, "", self.region.clock.date())
            stack.held[name] = held
            self._describe(held, version)
            self._tell(held, "IMPORT_IN_PROGRESS")
            yield 1.0
            reason = self.region.faults.failure(stack.name, name, "IMPORT")
            if reason:
                self._tell(held, "IMPORT_FAILED", reason)
                yield from self._unimport(set(identifiers))
                return
            held.properties = self._wanted(name, version)
            self.region.standing[physical_id] = held
            self._tell(held, "IMPORT_COMPLETE")
        stack.version = version
        self._move("IMPORT_COMPLETE")

    def _unimport(self, names: set[str]) -> Steps:
        self._begin("ROLLBACK")
        self._move("IMPORT_ROLLBACK_IN_PROGRESS", "The following resource(s) failed to import.")
        yield 1.0
        for name in sorted(names & set(self.stack.held)):
            reason = self.region.faults.failure(self.stack.name, name, "UNIMPORT")
            if reason:
                self._tell(self.stack.held[name], "IMPORT_ROLLBACK_FAILED", reason)
                self._move("IMPORT_ROLLBACK_FAILED", reason)
                return
            self.stack.held.pop(name)
        self._move("IMPORT_ROLLBACK_COMPLETE")

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
        for held in gone:
            # What cannot be deleted now is left to itself: the stack forgets it all the same.
            stack.held.pop(held.logical_id, None)
        yield from self._remove(self._leavings, detached=True)
        self._move("UPDATE_COMPLETE")

    def _unremovable(self, version: Version) -> str:
        """Why the stack policy keeps what the version no longer describes; empty when it does not.

        CloudFormation deletes it last, and asks the policy first.
        """
        wanted = templates.resources(version.document, version.parameters)
        denied = []
        for name, held in self.stack.held.items():
            reason = (
                policies.refusal(self._policy, "Update:Delete", name, held.type)
                if name not in wanted
                else ""
            )
            if reason:
                self._tell(held, "UPDATE_FAILED", reason)
                denied.append(name)
        return _failed("update", sorted(denied))

    def _skip(self, held: Held, old: Held) -> None:
        """Count a resource as rolled back though it is not: only the template says so."""
        self.region.unlike.add((self.stack.name, held.logical_id))
        held.properties, held.needs = old.properties, old.needs
        held.deletion_policy, held.replace_policy = old.deletion_policy, old.replace_policy
        self._tell(held, "UPDATE_COMPLETE")

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

    def _imports(self, version: Version) -> frozenset[str]:
        return templates.imports(version.document, version.parameters)

    def _failed_ids(self, status: str) -> list[str]:
        return sorted(name for name, held in self.stack.held.items() if held.status == status)


def _failed(verb: str, names: Iterable[str]) -> str:
    listed = ", ".join(names)
    return f"The following resource(s) failed to {verb}: [{listed}]. " if listed else ""
