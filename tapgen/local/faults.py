"""Faults on demand: what AWS does on a bad day, asked for by a test.

Two kinds. A request fault answers a call before the service sees it (throttled, unavailable,
late). A resource fault makes one resource of a stack fail or take its time. Both are counted down
and scoped to one account, so that tests which share a server do not meet each other's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tapgen.local import reach

THROTTLED = 400
UNAVAILABLE = 503


@dataclass
class RequestFault:
    """Answers ``times`` calls of ``service``/``action`` with an error, after ``delay`` seconds.

    ``service`` is the name it signs with (``states``, ``elasticfilesystem``);
    ``action`` is the operation's name, for REST services the method and the path's beginning
    (``"PUT /2015-02-01/file-systems"``). ``status`` 0 lets the call through: a delay only.
    """

    account: str
    service: str
    action: str
    times: int = 1
    status: int = THROTTLED
    code: str = "Throttling"
    message: str = "Rate exceeded"
    delay: float = 0.0


@dataclass
class ResourceFault:
    """Fails ``times`` operations ``op`` (create, update, delete) on a resource, after ``delay``.

    An empty ``type``, ``logical_id`` or ``stack`` stands for any. An empty ``message`` lets the
    operation succeed: a delay only.
    """

    account: str
    op: str
    type: str = ""
    logical_id: str = ""
    stack: str = ""
    times: int = 1
    delay: float = 0.0
    message: str = ""


class Faults:
    """The rules in force."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: list[RequestFault] = []
        self._resources: list[ResourceFault] = []

    def add(self, wanted: Mapping[str, Any]) -> None:
        """Put rules in force. Raises ``TypeError`` or ``KeyError`` for one that is not understood.

        ``wanted`` is ``{"account": …, "requests": [{…}], "resources": [{…}]}``.
        """
        account = wanted["account"]
        requests = [RequestFault(account, **rule) for rule in wanted.get("requests", ())]
        resources = [ResourceFault(account, **rule) for rule in wanted.get("resources", ())]
        with self._lock:
            self._requests += requests
            self._resources += resources

    def clear(self, account: str) -> None:
        """Lift every rule of one account."""
        with self._lock:
            self._requests = [rule for rule in self._requests if rule.account != account]
            self._resources = [rule for rule in self._resources if rule.account != account]

    def left(self, account: str) -> int:
        """How many more times the rules of one account would strike."""
        rules: list[RequestFault | ResourceFault] = [*self._requests, *self._resources]
        return sum(rule.times for rule in rules if rule.account == account)

    def for_request(self, account: str, service: str, action: str) -> RequestFault | None:
        """The rule that this call meets, counted down."""
        with self._lock:
            for rule in self._requests:
                here = rule.times > 0 and (rule.account, rule.service) == (account, service)
                if here and f"{action}/".startswith(f"{rule.action}/"):
                    rule.times -= 1
                    return rule
        return None

    def install(self) -> None:
        """Stand between the stack operations and the resources they handle."""
        stacks = reach.cloudformation("stacks")
        blocks: Callable[[str], bool] = stacks._runs_on_worker_thread
        # A delay must not stop the whole server, so the resource moves to a thread.
        stacks._runs_on_worker_thread = lambda kind: blocks(kind) or self._waits_for(kind)
        self._stand_before(stacks, "_provision_resource", "create", _of_provision)
        self._stand_before(stacks, "_update_resource", "update", _of_update)
        self._stand_before(stacks, "_delete_resource", "delete", _of_delete)

    def _stand_before(
        self, stacks: Any, name: str, op: str, who: Callable[..., tuple[str, str, str]]
    ) -> None:
        original = getattr(stacks, name)

        def faulty(*args: Any) -> Any:
            rule = self._for_resource(op, *who(*args))
            if rule is not None:
                time.sleep(rule.delay)
                if rule.message:
                    raise ValueError(rule.message)
            return original(*args)

        setattr(stacks, name, faulty)

    def _for_resource(
        self, op: str, kind: str, logical_id: str, stack: str
    ) -> ResourceFault | None:
        account = reach.module("core.responses").get_account_id()
        with self._lock:
            for rule in self._resources:
                if (
                    rule.times > 0
                    and (rule.account, rule.op) == (account, op)
                    and rule.type in ("", kind)
                    and rule.logical_id in ("", logical_id)
                    and rule.stack in ("", stack)
                ):
                    rule.times -= 1
                    return rule
        return None

    def _waits_for(self, kind: str) -> bool:
        return any(
            rule.times > 0 and rule.delay > 0 and rule.type in ("", kind)
            for rule in self._resources
        )


def _of_provision(kind: str, logical_id: str, props: object, stack: str) -> tuple[str, str, str]:
    return kind, logical_id, stack


def _of_update(
    kind: str, physical_id: str, old: object, new: object, stack: str, logical_id: str, *_: object
) -> tuple[str, str, str]:
    return kind, logical_id, stack


def _of_delete(
    kind: str, physical_id: str, props: object, stack: str = "", logical_id: str = ""
) -> tuple[str, str, str]:
    return kind, logical_id, stack
