"""Time: what a request may still use, and how a peer is kept to it.

A socket's own time-out starts again with every byte, so a peer that answers a byte at a time is
never late. A guard shuts the connection at a fixed moment instead, whatever the peer does.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")

# API Gateway gives up at 29 s and answers 504 in our place.
REQUEST_SECONDS = 28.0
# What is left for making the answer when Lambda's own clock is the tighter one.
MARGIN_SECONDS = 1.0


class TimeIsUp(Exception):
    """Nothing is left of the budget, or a step took longer than it may."""


class Deadline:
    """A moment by which an answer must be there."""

    def __init__(self, seconds: float, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._end = clock() + seconds

    @classmethod
    def of_request(
        cls, remaining_ms: int | None, clock: Callable[[], float] = monotonic
    ) -> Deadline:
        """The budget of a request that Lambda leaves ``remaining_ms`` for."""
        if remaining_ms is None:
            return cls(REQUEST_SECONDS, clock)
        seconds = max(remaining_ms / 1000 - MARGIN_SECONDS, 0.0)
        return cls(min(REQUEST_SECONDS, seconds), clock)

    def left(self) -> float:
        """Seconds left; negative when it is past."""
        return self._end - self._clock()

    def at_most(self, seconds: float) -> float:
        """Seconds that a step of at most ``seconds`` may take. Raises TimeIsUp when none are."""
        left = self.left()
        if left <= 0.01:
            raise TimeIsUp
        return min(seconds, left)

    def within(self, seconds: float) -> Deadline:
        """A deadline for a part: ``seconds`` from now, and never after this one."""
        return Deadline(min(seconds, max(self.left(), 0.0)), self._clock)


class _Outcome(Generic[T]):
    """What a step in another thread came to; late ones are handed to ``discard``."""

    def __init__(self, discard: Callable[[T], object] | None) -> None:
        self._lock = threading.Lock()
        self._discard = discard
        self._abandoned = False
        self.done = threading.Event()
        self.value: list[T] = []
        self.error: Exception | None = None

    def run(self, step: Callable[[], T]) -> None:
        try:
            value = step()
        except Exception as error:
            self.error = error
        else:
            with self._lock:
                if not self._abandoned:
                    self.value.append(value)
            if not self.value and self._discard is not None:
                self._discard(value)
        finally:
            self.done.set()

    def abandon(self) -> bool:
        with self._lock:
            self._abandoned = not self.value
            return self._abandoned


def bounded(
    step: Callable[[], T], seconds: float, discard: Callable[[T], object] | None = None
) -> T:
    """Run ``step`` in a thread of its own and wait ``seconds`` at most.

    For steps that cannot be told to hurry: name resolution and the AWS client. What comes too
    late goes to ``discard``. Raises TimeIsUp, or what ``step`` raised.
    """
    outcome = _Outcome(discard)
    threading.Thread(target=outcome.run, args=(step,), daemon=True).start()
    if not outcome.done.wait(seconds) and outcome.abandon():
        raise TimeIsUp
    if outcome.error is not None:
        raise outcome.error
    return outcome.value[0]


def dial(host: str, port: int, seconds: float) -> socket.socket:
    """A TCP connection within ``seconds``, name resolution included. Raises OSError, TimeIsUp."""

    def connect() -> socket.socket:
        return socket.create_connection((host, port), timeout=seconds)

    sock = bounded(connect, seconds, discard=socket.socket.close)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return sock


class Cuttable(Protocol):
    """What a guard can end."""

    def cut(self) -> None:
        """End the connection, from any thread."""


class Line:
    """A second handle on a connection, by which another thread may end it.

    The TLS object on top of a socket is not to be touched from two threads; a duplicate of the
    descriptor is, and shutting it down ends the connection for both.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._handle: socket.socket | None = sock.dup()

    def cut(self) -> None:
        """End the connection; a reader gets an end of file at once."""
        handle = self._handle
        if handle is not None:
            with contextlib.suppress(OSError):
                handle.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the handle back."""
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.close()


class Watchdog:
    """One thread that cuts the lines whose time is up.

    A guard costs a dictionary entry; the thread wakes when the earliest guard would end, not
    for each of them.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._guards: dict[int, tuple[float, Cuttable]] = {}
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None
        self._wakes = 0.0

    @contextlib.contextmanager
    def guard(self, line: Cuttable, seconds: float) -> Iterator[None]:
        """Cut ``line`` when the block takes longer than ``seconds``."""
        number = next(self._numbers)
        end = monotonic() + seconds
        with self._changed:
            self._guards[number] = (end, line)
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, daemon=True)
                self._thread.start()
            elif end < self._wakes:
                self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._guards.pop(number, None)

    def _watch(self) -> None:
        with self._changed:
            while True:
                now = monotonic()
                for number, (end, line) in list(self._guards.items()):
                    if end <= now:
                        line.cut()
                        del self._guards[number]
                ends = [end for end, _ in self._guards.values()]
                self._wakes = min(ends, default=float("inf"))
                self._changed.wait(None if not ends else max(self._wakes - now, 0.0))
