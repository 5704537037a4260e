"""Why an operation failed: the one event to read first, and what people do about it.

CloudFormation reports one fault many times: siblings are cancelled, parents repeat it. The cause is
the earliest failure that does neither.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from tapgen.cloud import Failure, StackEvent

# Siblings that were stopped, and summaries of failures told elsewhere.
_ECHOES = re.compile(
    r"cancel?led|^The following resource\(s\) failed|^Rollback requested|^$", re.IGNORECASE
)
_HOOKED = re.compile(r"hook\(s\) failed")
_ROUTINE = "User Initiated"
# The statuses that the first event of an operation has, a rollback's excepted.
_BEGINNINGS = tuple(f"{verb}_IN_PROGRESS" for verb in ("CREATE", "UPDATE", "DELETE", "IMPORT"))

# What the reason says, and what to do: refusals met on AWS and reported in public threads.
_REMEDIES = (
    (
        r"Export \S+ cannot be (deleted|updated)",
        "other stacks import that value: deploy them without it first, then this one",
    ),
    (
        r"No export named",
        "the stack that exports it is not deployed in this environment: deploy it first",
    ),
    (
        r"stack policy",
        "the stack's policy protects its data: say so in the settings (protected) and deploy again",
    ),
    (
        r"hook",
        "a hook of this account refuses it: change what it names, or ask who keeps the hook",
    ),
    (
        r"already exists|NAME_CONFLICT",
        "something of that name stands there, often kept from an earlier environment: "
        "remove or rename it, or use another suffix",
    ),
    (
        r"not empty|BucketNotEmpty|BUCKET_EMPTINESS",
        "the bucket holds objects: empty it (every version), then run again",
    ),
    (
        r"not authorized|AccessDenied|is not allowed|no identity-based policy",
        "the deploying role lacks that permission: README, 'Deploying to real AWS'",
    ),
    (
        r"Requires capabilities|InsufficientCapabilities",
        "the template needs a capability that was not given: render again and deploy from there",
    ),
    (
        r"Cannot find version",
        "RDS does not create that version any more: set db_engine_version to one it offers",
    ),
    (
        r"CloudWatch Logs role ARN must be set",
        "API Gateway has no logging role in this account: deploy the foundation tier",
    ),
    (
        r"service.linked role",
        "the role of the service was made just now: run the same command again",
    ),
    (
        r"InsufficientDBInstanceCapacity|InsufficientCacheClusterCapacity|capacity",
        "the zone has none of that size now: try again later, or set another class or zone",
    ),
    (
        r"limit|quota|maximum number",
        "an account limit is reached: raise it in Service Quotas, or destroy an environment",
    ),
    (
        r"has dependencies|has a dependent object|in use by|DependencyViolation",
        "something outside the stack still uses it (often a function's network interface, which "
        "goes after some minutes): run the same command again, or remove what uses it",
    ),
    (
        r"deletion protection|DeletionProtection",
        "turn its protection off in the settings, deploy, then delete",
    ),
    (
        r"Rate exceeded|Throttling",
        "AWS was asked too often by everybody together: run the same command again",
    ),
    (
        r"did not stabilize|timed? ?out",
        "it took longer than CloudFormation waits: look at the resource's own console, run again",
    ),
)


def last_operation(events: Sequence[StackEvent], stack_id: str) -> list[StackEvent]:
    """The events of the last operation and of what followed from it, oldest first."""
    first = 0
    for number, event in enumerate(events):
        if event.physical_id == stack_id and event.status in _BEGINNINGS:
            first = number
    return list(events[first:])


def root_cause(events: Iterable[StackEvent]) -> StackEvent | None:
    """The earliest failure of its own among an operation's events (oldest first), or None."""
    for event in events:
        if event.status.endswith("_FAILED") and not _ECHOES.search(event.reason):
            return event
    return None


def own_words(cause: StackEvent, events: Iterable[StackEvent]) -> str:
    """The reason of a failure, in the words of the hook that failed it where one did.

    The resource's event only says "The following hook(s) failed: [Type]"; why is told by the
    hook's own event before it (hooks user guide, "View invocations").
    """
    if not _HOOKED.search(cause.reason):
        return cause.reason
    told = [
        f"{event.hook}: {event.hook_reason}"
        for event in events
        if event.logical_id == cause.logical_id
        and event.hook_status in ("HOOK_COMPLETE_FAILED", "HOOK_FAILED")
        and event.hook_mode != "WARN"
    ]
    return "; ".join([cause.reason, *told])


def refused_early(failures: Iterable[Failure]) -> str:
    """What early validation or hooks had against a change set, the fatal ones; empty without.

    CloudFormation's own reason only says to call DescribeEvents.
    """
    told = []
    for failure in failures:
        if failure.fatal and failure.kind in ("VALIDATION_ERROR", "HOOK_INVOCATION_ERROR"):
            where = " ".join(filter(None, [failure.logical_id, failure.path]))
            told.append(f"{where}: {failure.reason} ({failure.name})")
    return "; ".join(dict.fromkeys(told))


def console(stack_id: str) -> str:
    """The address of a stack's events in the console; ``stack_id`` is its ARN."""
    region = stack_id.split(":")[3]
    return (
        f"https://{region}.console.aws.amazon.com/cloudformation/home?region={region}"
        f"#/stacks/events?stackId={quote(stack_id, safe='')}"
    )


def stack_reason(events: Iterable[StackEvent]) -> str:
    """The first reason that the stack itself gives among an operation's events; empty without.

    Where no resource failed (an export in use, an import that is missing) it is the only one.
    """
    for event in events:
        if event.type == "AWS::CloudFormation::Stack" and event.reason not in ("", _ROUTINE):
            return event.reason
    return ""


def remedy(reason: str) -> str:
    """What to do about a failure with this reason; empty where nobody knows."""
    for pattern, advice in _REMEDIES:
        if re.search(pattern, reason, re.IGNORECASE):
            return advice
    return ""
