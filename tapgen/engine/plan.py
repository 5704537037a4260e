"""What is to be done about each stack: the wanted against the deployed. Pure.

A stack is unchanged when its status is good, its digest, parameters and tags are the wanted ones
and it was granted the capabilities; one DescribeStacks tells all of it. Every status of
CloudFormation has its row here, so that no run starts an operation that must be refused half-way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from tapgen import names
from tapgen.cloud import DeployedStack, Request
from tapgen.diff.values import hidden
from tapgen.digest import DIGEST_OUTPUT, digest_of
from tapgen.errors import TapgenError
from tapgen.resolve import Document

GOOD = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"})
# Rolled back to the state before: as good a ground for an update as any.
UPDATABLE = GOOD | {"UPDATE_ROLLBACK_COMPLETE", "IMPORT_ROLLBACK_COMPLETE"}
# Never got anywhere: CloudFormation lets them be deleted and nothing else.
STILLBORN = frozenset({"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED"})
# Half-way back from an update: CloudFormation takes them the rest of the way when asked to.
STUCK = frozenset({"UPDATE_FAILED", "UPDATE_ROLLBACK_FAILED"})
# Enough for a template that names no role, and a stack that runs one was granted what it needs.
_SAME_GRANT = {"CAPABILITY_IAM": "CAPABILITY_NAMED_IAM"}
# CloudFormation's limit for a template in the request itself (its quotas page).
INLINE_BYTES = 51_200
# And for one that lies in a bucket.
STORED_BYTES = 1_000_000


class Action(Enum):
    """What a run does about a stack."""

    CREATE = "create"
    UPDATE = "update"
    KEEP = "keep"
    RECREATE = "recreate"
    RECOVER = "recover"
    WAIT = "wait"
    REFUSE = "refuse"


@dataclass(frozen=True)
class Wanted:
    """A stack as it should be: the document, its text as rendered, and what it is deployed with."""

    tier: str
    document: Document
    request: Request

    @property
    def name(self) -> str:
        """The stack's name."""
        return self.request.stack


@dataclass(frozen=True)
class Step:
    """What to do about one stack, and why."""

    tier: str
    stack: str
    action: Action
    why: str


class MissingParameter(TapgenError):
    """A parameter without a default that nothing gives a value."""

    def __init__(self, tier: str, parameter: str) -> None:
        self.tier, self.parameter = tier, parameter
        super().__init__(
            f"{tier}: parameter {parameter} has no default and tapgen does not know what to give it"
        )


def wanted(
    tier: str,
    document: Document,
    text: str | Callable[[], str],
    *,
    env: str | None,
    given: Mapping[str, str],
    tags: Mapping[str, str],
    deployed: DeployedStack | None = None,
) -> Wanted:
    """A tier's stack in the environment ``env`` (None: the account's own).

    ``text`` is the document as rendered, or what renders it when it is first needed.

    ``given`` holds values by parameter for all stacks; each takes the ones it declares, and its
    defaults for the rest. A NoEcho parameter that nobody gives a value keeps the one that the
    ``deployed`` stack has, which AWS does not show. Raises ``MissingParameter``.
    """
    values = dict(given)
    if env is not None:
        values[names.SUFFIX] = env
    parameters = {}
    before = deployed.parameters if deployed and deployed.status not in STILLBORN else {}
    previous = frozenset(hidden(document) & set(before) - set(values))
    for title, parameter in document.get("Parameters", {}).items():
        if title in values:
            parameters[title] = values[title]
        elif title in previous:
            parameters[title] = before[title]
        elif "Default" in parameter:
            parameters[title] = str(parameter["Default"])
        else:
            raise MissingParameter(tier, title)
    request = Request(
        names.stack_name(tier, env),
        text if callable(text) else lambda: text,
        parameters,
        dict(tags),
        capabilities(document),
        previous=previous,
    )
    return Wanted(tier, document, request)


def capabilities(document: Document) -> tuple[str, ...]:
    """The capabilities that the template needs, and no others."""
    resources: Iterable[Any] = document.get("Resources", {}).values()
    needed = []
    if any(str(resource.get("Type", "")).startswith("AWS::IAM::") for resource in resources):
        needed.append("CAPABILITY_NAMED_IAM")
    if "Transform" in document:
        needed.append("CAPABILITY_AUTO_EXPAND")
    return tuple(needed)


def decide(item: Wanted, deployed: DeployedStack | None) -> Step:
    """What to do about one stack, from what AWS says of it now."""
    action, why = _decide(item, deployed)
    if action in (Action.CREATE, Action.UPDATE):
        size = len(item.request.template.encode())
        if size > STORED_BYTES:
            action = Action.REFUSE
            why = f"its template has {size:,} bytes, more than {STORED_BYTES:,}; split the tier"
    return Step(item.tier, item.name, action, why)


def _decide(item: Wanted, deployed: DeployedStack | None) -> tuple[Action, str]:
    if deployed is None:
        return Action.CREATE, "not deployed yet"
    status = deployed.status
    if status == "REVIEW_IN_PROGRESS":
        return Action.CREATE, "only a change set waits there"
    if status.endswith("_IN_PROGRESS"):
        return Action.WAIT, f"an operation is under way ({status})"
    if status in STILLBORN:
        return Action.RECREATE, f"its creation failed ({status}); it can only be deleted"
    if status in STUCK:
        return Action.RECOVER, _STUCK[status]
    if status not in UPDATABLE:
        return Action.REFUSE, _way_out(status)
    differing = differences(item, deployed)
    if status in GOOD and not differing:
        return Action.KEEP, "unchanged"
    return Action.UPDATE, ", ".join(differing) or f"its last update was rolled back ({status})"


def differences(item: Wanted, deployed: DeployedStack) -> list[str]:
    """In what the deployed stack differs: ``template``, ``parameter X``, ``tag X``,
    ``capability X``; or nothing.
    """
    found = []
    digest = digest_of(item.document)
    if digest is None or deployed.outputs.get(DIGEST_OUTPUT) != digest:
        found.append("template")
    found += _differing("parameter", item.request.parameters, deployed.parameters)
    found += _differing("tag", item.request.tags, deployed.tags)
    # More than is needed may have been granted by whoever deployed it first; that changes nothing.
    granted = {_SAME_GRANT.get(name, name) for name in deployed.capabilities}
    missing = set(item.request.capabilities) - granted
    found += [f"capability {name}" for name in sorted(missing)]
    return found


def _differing(kind: str, want: Mapping[str, str], have: Mapping[str, str]) -> list[str]:
    keys = sorted(key for key in {*want, *have} if want.get(key) != have.get(key))
    return [f"{kind} {key}" for key in keys]


_STUCK = {
    "UPDATE_FAILED": "its update failed and was not rolled back (UPDATE_FAILED)",
    "UPDATE_ROLLBACK_FAILED": "its rollback failed (UPDATE_ROLLBACK_FAILED)",
}


def _way_out(status: str) -> str:
    if status == "DELETE_FAILED":
        return f"its deletion failed ({status}): finish it with tapgen destroy, then deploy"
    if status == "IMPORT_ROLLBACK_FAILED":
        return (
            f"taking an import of resources back failed ({status}): whoever imported them finishes "
            "it in the console; tapgen never imports"
        )
    return f"tapgen does not know what to do with a stack in {status}: look at it in the console"
