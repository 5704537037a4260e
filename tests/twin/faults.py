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
    # Every call has this chance of being throttled, never more than three times in a row.
    throttling: float = 0.0
    seed: int = 0
    # Called before and after each call with its operation; may raise (a Ctrl-C, a kill).
    interrupt: Callable[[str, str], None] = lambda operation, moment: None
    _drawn: Counter[str] = field(default_factory=Counter)

    def call(self, operation: str, *faults: Exception, after: bool = False) -> None:
        """Let the next calls of ``operation`` fail so."""
        (self.after if after else self.before).setdefault(operation, []).extend(faults)

    def resource(
        self, stack: str, logical_id: str, verb: str, reason: str, times: int = 1_000_000
    ) -> None:
        """Let a resource fail: ``verb`` is CREATE, UPDATE, DELETE or ROLLBACK (an update's)."""
        self.resources[stack, logical_id, verb] = (reason, times)

    def mend(self) -> None:
        """From now on everything goes well."""
        self.resources.clear()
        self.before.clear()
        self.after.clear()
        self.throttling = 0.0

    def failure(self, stack: str, logical_id: str, verb: str) -> str:
        """Why this resource fails now; empty when it does not."""
        reason, times = self.resources.get((stack, logical_id, verb), ("", 0))
        if times <= 0:
            return ""
        self.resources[stack, logical_id, verb] = (reason, times - 1)
        return reason

    def strike(self, operation: str, faults: dict[str, list[Exception]]) -> None:
        """Raise the next fault that was set for this operation, if there is one."""
        waiting = faults.get(operation) or faults.get("*")
        if waiting:
            raise waiting.pop(0)

    def chance(self, operation: str, key: str) -> None:
        """Throttle this call, if chance will have it."""
        if not self.throttling:
            return
        count = self._drawn[operation + key] = self._drawn[operation + key] + 1
        if count % 4 and random.Random(f"{self.seed}{operation}{key}{count}").random() < (
            self.throttling
        ):
            raise THROTTLED
