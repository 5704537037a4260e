"""What goes wrong when a test wants it to: calls, answers, and resources.

Call faults are spent in the order they were set, each at the next call of its operation. A fault
of chance is drawn from the seed, the operation and how often it was called, so that threads asking
at once do not make a run differ from its repetition.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import EndpointConnectionError, ReadTimeoutError

from twin.records import Refusal

THROTTLED = Refusal("Rate exceeded", "Throttling")
UNAVAILABLE = Refusal("Service Unavailable", "ServiceUnavailable", 503)
EXPIRED = Refusal("The security token included in the request is expired", "ExpiredToken", 403)
DENIED = Refusal("User is not authorized to perform this action", "AccessDenied", 403)
_URL = "https://cloudformation.ap-northeast-1.amazonaws.com/"


def dropped() -> Exception:
    """A connection that never came to be: nothing happened."""
    return EndpointConnectionError(endpoint_url=_URL)


def lost() -> Exception:
    """An answer that never came: what was asked for happened."""
    return ReadTimeoutError(endpoint_url=_URL)


@dataclass(frozen=True)
class Hook:
    """A hook that speaks before resources are touched; ``reason`` says why it fails."""

    type: str
    reason: str = ""
    mode: str = "FAIL"
    stack: str = "*"
    logical_id: str = "*"
    # Whether it looks at change sets instead of resources.
    change_set: bool = False


@dataclass(frozen=True)
class Finding:
    """What early validation finds when a change set of ``stack`` is made.

    ``name`` is the API's: PROPERTY_VALIDATION, NAME_CONFLICT_VALIDATION or
    BUCKET_EMPTINESS_VALIDATION; ``path`` a JSON pointer into the template.
    """

    stack: str
    logical_id: str
    reason: str
    path: str = ""
    name: str = "PROPERTY_VALIDATION"
    mode: str = "FAIL"


class Killed(BaseException):
    """The process that asks is gone: nothing it might still do at its end happens."""


@dataclass
class Faults:
    """The faults in force."""

    # Raised instead of carrying the call out, and after it was carried out, by operation.
    before: dict[str, list[Exception]] = field(default_factory=dict)
    after: dict[str, list[Exception]] = field(default_factory=dict)
    # (stack, logical id, verb) of a resource that fails, with AWS's reason, so many times.
    resources: dict[tuple[str, str, str], tuple[str, int]] = field(default_factory=dict)
    hooks: list[Hook] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    # Operations that the caller's role does not allow, every time.
    denied: set[str] = field(default_factory=set)
    # Every call has these chances, never more than three times in a row: to be throttled, to find
    # nobody there (nothing happens), and to lose its answer (it happens).
    throttling: float = 0.0
    dropping: float = 0.0
    losing: float = 0.0
    seed: int = 0
    # After so many calls more the credentials have expired, until somebody signs in.
    expires: int | None = None
    # How often each kind struck.
    struck: Counter[str] = field(default_factory=Counter)
    # Called before and after each call with its operation; may raise (a Ctrl-C, a kill).
    interrupt: Callable[[str, str], None] = lambda operation, moment: None
    _drawn: Counter[str] = field(default_factory=Counter)

    def call(self, operation: str, *faults: Exception, after: bool = False) -> None:
        """Let the next calls of ``operation`` fail so."""
        (self.after if after else self.before).setdefault(operation, []).extend(faults)

    def resource(
        self, stack: str, logical_id: str, verb: str, reason: str, times: int = 1_000_000
    ) -> None:
        """Let a resource fail. ``verb`` is CREATE, UPDATE, DELETE, IMPORT, or ROLLBACK (an
        update's) and UNIMPORT on the way back.
        """
        self.resources[stack, logical_id, verb] = (reason, times)

    def hook(self, kind: str, reason: str = "", **more: Any) -> None:
        """Have a hook of this type speak; without a ``reason`` it has nothing against anything."""
        self.hooks.append(Hook(kind, reason, **more))

    def find(self, stack: str, logical_id: str, reason: str, **more: Any) -> None:
        """Have early validation find something in the change sets of a stack."""
        self.findings.append(Finding(stack, logical_id, reason, **more))

    def hooks_of(self, stack: str, logical_id: str) -> list[Hook]:
        """The hooks that speak before this resource is touched."""
        return [
            hook
            for hook in self.hooks
            if not hook.change_set
            and hook.stack in ("*", stack)
            and hook.logical_id in ("*", logical_id)
        ]

    def mend(self) -> None:
        """From now on everything goes well."""
        self.resources.clear()
        self.hooks.clear()
        self.findings.clear()
        self.denied.clear()
        self.throttling = self.dropping = self.losing = 0.0
        self.expires = None
        self.before.clear()
        self.after.clear()

    def failure(self, stack: str, logical_id: str, verb: str) -> str:
        """Why this resource fails now; empty when it does not."""
        reason, times = self.resources.get((stack, logical_id, verb), ("", 0))
        if times <= 0:
            return ""
        self.resources[stack, logical_id, verb] = (reason, times - 1)
        self.struck[f"{verb.lower()} failed"] += 1
        return reason

    def strike(self, operation: str, faults: dict[str, list[Exception]]) -> None:
        """Raise the next fault that was set for this operation, if there is one."""
        if operation in self.denied:
            raise DENIED
        waiting = faults.get(operation) or faults.get("*")
        if waiting:
            raise waiting.pop(0)

    def chance(self, operation: str, key: str) -> None:
        """Throttle this call, or leave it unheard, if chance will have it so."""
        if self.expires is not None:
            if self.expires <= 0:
                self.struck["expired"] += 1
                raise EXPIRED
            self.expires -= 1
        if self._drawn_lot("throttled", self.throttling, operation, key):
            raise THROTTLED
        if self._drawn_lot("dropped", self.dropping, operation, key):
            raise dropped()

    def chance_after(self, operation: str, key: str) -> None:
        """Lose the answer of this call, if chance will have it so."""
        if self._drawn_lot("lost", self.losing, operation, key):
            raise lost()

    def _drawn_lot(self, kind: str, chance: float, operation: str, key: str) -> bool:
        if not chance:
            return False
        lot = kind + operation + key
        count = self._drawn[lot] = self._drawn[lot] + 1
        hit = count % 4 != 0 and random.Random(f"{self.seed}{lot}{count}").random() < chance
        self.struck[kind] += hit
        return hit
