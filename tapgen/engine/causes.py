"""Why an operation failed: the one event to read first, and what people do about it.

CloudFormation reports one fault many times: siblings are cancelled, parents repeat it. The cause is
the earliest failure that does neither.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from tapgen.cloud import StackEvent

# Siblings that were stopped, and summaries of failures told elsewhere.
_ECHOES = re.compile(
    r"cancel?led|^The following resource\(s\) failed|^Rollback requested|^$", re.IGNORECASE
)
_ROUTINE = "User Initiated"
_EXPORT_IN_USE = re.compile(
    r"Export (\S+) cannot be (?:deleted|updated) as it is in use by (.+?)\.?$"
)

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
        r"already exists",
        "something of that name stands there, often kept from an earlier environment: "
        "remove or rename it, or use another suffix",
    ),
    (
        r"not authorized|AccessDenied|is not allowed",
        "the deploying role lacks that permission: README, 'Deploying to real AWS'",
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
        r"limit|quota|maximum number",
        "an account limit is reached: raise it in Service Quotas, or destroy an environment",
    ),
)


def root_cause(events: Iterable[StackEvent]) -> StackEvent | None:
    """The earliest failure of its own among an operation's events (oldest first), or None."""
    for event in events:
        if event.status.endswith("_FAILED") and not _ECHOES.search(event.reason):
            return event
    return None


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


def export_in_use(reason: str) -> tuple[str, str] | None:
    """The export, and its importers in words, when ``reason`` says that one is in use."""
    match = _EXPORT_IN_USE.search(reason)
    return None if match is None else (match.group(1), match.group(2))
