"""What every step of one run needs: the door to AWS, the clock, and what the user allowed.

A run is one call of a command that changes stacks; its id is in the tokens of all its calls, so
that a call repeated does nothing twice and its operations are known for its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tapgen.cloud import CloudFormation
from tapgen.engine.clock import Clock
from tapgen.engine.orders import Orders
from tapgen.engine.plan import Wanted
from tapgen.engine.polling import Poller


@dataclass(frozen=True)
class Run:
    """What every step of one run needs. ``id`` is new for each run and part of its tokens."""

    id: str
    cloud: CloudFormation
    clock: Clock
    poller: Poller
    concurrency: int = 4
    # What each stack is expected to take, in seconds: who starts first, and what is shown.
    expected: Mapping[str, float] = field(default_factory=dict)
    # Which line of which module made a resource, by stack and logical id.
    sources: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    # Start nothing more once a stack has failed.
    fail_fast: bool = False
    # Stacks whose failed creation may be deleted, because the user said so.
    recreate: frozenset[str] = frozenset()
    # Stacks whose failed update may be taken back, and what to give up in it, by stack.
    recover: frozenset[str] = frozenset()
    skip: Mapping[str, Sequence[str]] = field(default_factory=dict)
    # Stacks that look unchanged, and of which CloudFormation says otherwise.
    doubted: frozenset[str] = frozenset()
    # Whether to wait for an operation that is under way already.
    patient: bool = True
    # What a deletion that fails may leave behind: logical ids by stack, or whatever fails.
    retain: Mapping[str, Sequence[str]] = field(default_factory=dict)
    force: bool = False
    # What the user wants meanwhile.
    orders: Orders = field(default_factory=Orders)
    # Called when a stack's turn to change has come, before its change set is made; returns the
    # stack as it is to be asked for.
    before: Callable[[Wanted], Wanted] = lambda item: item
    # No resource may move: a round that only lets go of imports.
    still: bool = False

    def token(self, stack: str, step: str) -> str:
        """A ClientRequestToken: repeating the call with it does nothing twice."""
        return f"tapgen-{self.id}-{stack}-{step}"[:128]
