"""Change sets of a run: made, awaited, and taken back where they are not carried out.

One that this run made and did not carry out is removed again, also after Ctrl-C; nobody else's
ever is.
"""

from __future__ import annotations

import hashlib
import json

from tapgen.cloud import (
    ChangeSet,
    CloudError,
    CloudFormation,
    DeployedStack,
    Failure,
    Refused,
    Throttled,
    Unreachable,
)
from tapgen.diff import asked, values
from tapgen.engine import causes
from tapgen.engine.events import StackFailed, StackUnchanged
from tapgen.engine.operation import Watch, Watching
from tapgen.engine.plan import Wanted
from tapgen.engine.run import Run
from tapgen.engine.schedule import Pause

# AWS words it in three ways, in change sets and in updates.
_NO_CHANGES = ("didn't contain changes", "No updates are to be performed", "no changes")

# A change set takes a few seconds to be made, and can be deleted only then.
WITHDRAWAL_SECONDS = 60.0


def make(run: Run, item: Wanted, *, create: bool) -> str:
    """Start making the change set of ``item``; returns its id. Raises ``CloudError``."""
    return run.cloud.create_change_set(
        item.request,
        name_of(run, item),
        create=create,
        token=run.token(item.name, "prepare"),
    )


def name_of(run: Run, item: Wanted) -> str:
    """``tapgen-<digest of all that goes in>-<run>``: the same content is told from another's."""
    return f"tapgen-{fingerprint(item)[:12]}-{run.id}"


def fingerprint(item: Wanted) -> str:
    """A digest of all that a stack is deployed from: template, parameters, tags, capabilities.

    Hidden parameters go in by name only: the digest is shown, and a short secret could be guessed
    from it.
    """
    request = item.request
    concealed = values.hidden(item.document)
    parameters = {
        name: None if name in concealed else value for name, value in request.parameters.items()
    }
    content = [
        request.template,
        parameters,
        dict(request.tags),
        sorted(request.capabilities),
        sorted(request.previous),
    ]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def prepared(run: Run, made: str, watch: Watch) -> Watching[ChangeSet]:
    """Wait until a change set is made, or cannot be; returns it."""
    started = run.clock.now()
    while True:
        found = yield from watch.patiently(lambda: run.cloud.change_set(made))
        if found.status in ("CREATE_COMPLETE", "FAILED"):
            return found
        yield Pause(min(run.poller(run.clock.now() - started), 5.0))


def sees_nothing(found: ChangeSet) -> bool:
    """Whether a change set could not be made because there is nothing to change."""
    return any(words in found.reason for words in _NO_CHANGES)


def not_prepared(
    run: Run, item: Wanted, found: ChangeSet, deployed: DeployedStack | None
) -> Watching[bool]:
    """Tell what a change set that could not be made means; nothing to change is fine."""
    if sees_nothing(found) and deployed is not None:
        yield StackUnchanged(item.name, deployed.outputs)
        return True
    status = deployed.status if deployed else "not created"
    failures = fatal(run.cloud, found)
    reason = causes.refused_early(failures) or found.reason
    sources = run.sources.get(item.name, {})
    made_by = [sources[each.logical_id] for each in failures if each.logical_id in sources]
    yield StackFailed(
        item.name,
        status,
        f"no change set: {reason}",
        remedy=causes.remedy(reason),
        source=next(iter(made_by), ""),
        stack_id=deployed.id if deployed else "",
    )
    return False


def fatal(cloud: CloudFormation, found: ChangeSet) -> list[Failure]:
    """What early validation and hooks have against a change set that failed; nothing where nobody
    tells. The change set's own reason then only says to ask this.
    """
    try:
        return [each for each in cloud.failures("", change_set=found.id) if each.fatal]
    except CloudError:
        return []


NOT_STILL = "holding its imports literally would move resources, which it must not"


def moving(run: Run, found: ChangeSet, watch: Watch) -> Watching[list[str]]:
    """The resources that something real happens to, by their values before and after.

    CloudFormation may list a property whose import became the same literal value, as a change in
    place; where it does not tell the values, such a one is let pass.
    """
    try:
        valued = yield from watch.patiently(lambda: run.cloud.change_set(found.id, values=True))
    except Refused:
        # An endpoint that does not know of property values yet.
        valued = found
    return [change.logical_id for change in asked.merged(found, valued) if asked.is_real(change)]


def withdraw(run: Run, item: Wanted, made: str, before: DeployedStack | None) -> None:
    """Take back a change set that was not carried out, as far as AWS lets us.

    This runs while the run is being closed, so it cannot wait by yielding. ``made`` is empty when
    the call that makes it was cut off: then it may be there or not. Ctrl-C meanwhile ends it when
    that is done, twice at once.
    """
    try:
        _withdraw(run, item, made, before)
    except KeyboardInterrupt:
        _withdraw(run, item, made, before)
        raise


def _withdraw(run: Run, item: Wanted, made: str, before: DeployedStack | None) -> None:
    until = run.clock.now() + WITHDRAWAL_SECONDS
    while True:
        try:
            if _withdrawn(run, item, made, before):
                return
        except (Throttled, Unreachable):
            pass
        except Refused as error:
            # A change set cannot be deleted while it is being made.
            if error.code != "InvalidChangeSetStatus":
                return
        except CloudError:
            return
        if run.clock.now() >= until:
            return
        run.clock.sleep(2.0)


def _withdrawn(run: Run, item: Wanted, made: str, before: DeployedStack | None) -> bool:
    stack = run.cloud.stack(item.name)
    if stack is None:
        # Made a moment ago, a stack may not be found yet.
        return not made
    ours = f":changeSet/{name_of(run, item)}/"
    found = run.cloud.change_sets(stack.id)
    # A list may be older than what was made a moment ago; an id from the maker is not.
    for change_set in dict.fromkeys([*filter(None, [made]), *found]):
        if ours in change_set:
            try:
                run.cloud.delete_change_set(change_set)
            except Refused:
                # It may be ours that is being carried out after all.
                if not stack.under_way:
                    raise
    # The empty stack that a change set for a new stack brings along, unless somebody else put a
    # change set of theirs on it meanwhile.
    alone = all(ours in change_set for change_set in found)
    # And unless they carry it out already: a description may be older than that, events are not.
    if before is None and stack.status == "REVIEW_IN_PROGRESS" and alone and _rests(run, stack):
        run.cloud.delete_stack(stack.id, run.token(item.name, "withdraw"))
    return True


def _rests(run: Run, stack: DeployedStack) -> bool:
    newest = run.cloud.newest_event(stack.id)
    return newest is None or newest.status == "REVIEW_IN_PROGRESS"


def others_reviews(run: Run, deployed: DeployedStack | None, watch: Watch) -> Watching[list[str]]:
    """The names of the change sets on a stack in review that no run of tapgen made.

    Carrying one change set out removes a stack's others.
    """
    if deployed is None or deployed.status != "REVIEW_IN_PROGRESS":
        return []
    found = yield from watch.patiently(lambda: run.cloud.change_sets(deployed.id))
    names = [change_set.rpartition(":changeSet/")[2].split("/")[0] for change_set in found]
    return [name for name in names if not name.startswith("tapgen-")]
