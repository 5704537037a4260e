"""X-Ray subsegments without the X-Ray SDK, as a provider for the tracer of powertools.

Lambda makes the function's segment and runs the daemon; what is inside the function is sent to it
here, one UDP datagram each, in the daemon's documented form. The SDK would bring a compiled
dependency and botocore's import at every cold start. Outside Lambda there is no daemon in the
environment, and nothing is sent.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from time import time
from typing import Any

from aws_lambda_powertools.tracing.base import BaseProvider, BaseSegment

_HEADER = b'{"format":"json","version":1}\n'


class Subsegment(BaseSegment):
    """A timed part of a request, told to the daemon when it ends."""

    def __init__(self, name: str, parent: str, started: float) -> None:
        self.id = secrets.token_hex(8)
        self.parent = parent
        self._document: dict[str, Any] = {
            "name": name,
            "id": self.id,
            "parent_id": parent,
            "start_time": started,
            "type": "subsegment",
        }

    def put_annotation(self, key: str, value: Any) -> None:
        """A key that traces can be searched by."""
        self._document.setdefault("annotations", {})[key] = value

    def put_metadata(self, key: str, value: Any, namespace: str = "default") -> None:
        """Left out on purpose: powertools would put whole answers and errors there."""

    def add_exception(
        self, exception: BaseException, stack: list[Any], remote: bool = False
    ) -> None:
        """Mark as failed, with the class of the error and nothing of its text."""
        self._document["fault"] = True
        self._document["cause"] = {
            "exceptions": [{"id": secrets.token_hex(8), "type": type(exception).__name__}]
        }

    def add_subsegment(self, subsegment: Any) -> None:
        """Nothing to do: each names its parent."""

    def remove_subsegment(self, subsegment: Any) -> None:
        """Nothing to do: each names its parent."""

    def close(self, end_time: float | None = None) -> None:
        """Note the end."""
        self._document["end_time"] = end_time

    def datagram(self, trace_id: str) -> bytes:
        """What the daemon is sent."""
        return _HEADER + json.dumps({**self._document, "trace_id": trace_id}).encode()


class DaemonProvider(BaseProvider):
    """Sends subsegments to the daemon that the environment names."""

    def __init__(
        self, environ: Mapping[str, str] = os.environ, clock: Callable[[], float] = time
    ) -> None:
        self._environ = environ
        self._clock = clock
        self._open: list[Subsegment] = []
        self._socket: socket.socket | None = None

    @contextlib.contextmanager
    def in_subsegment(self, name: str = "", **kwargs: Any) -> Iterator[Subsegment]:
        """A subsegment around a block; never a reason for the block to fail."""
        trace = _trace_header(self._environ.get("_X_AMZN_TRACE_ID", ""))
        parent = self._open[-1].id if self._open else trace.get("Parent", "")
        subsegment = Subsegment(name, parent, self._clock())
        self._open.append(subsegment)
        try:
            yield subsegment
        except BaseException as error:
            subsegment.add_exception(error, [])
            raise
        finally:
            self._open.remove(subsegment)
            subsegment.close(self._clock())
            if trace.get("Sampled") == "1" and trace.get("Root") and parent:
                self._send(subsegment.datagram(trace["Root"]))

    @contextlib.asynccontextmanager
    async def in_subsegment_async(self, name: str = "", **kwargs: Any) -> AsyncIterator[Subsegment]:
        """The same for coroutines."""
        with self.in_subsegment(name) as subsegment:
            yield subsegment

    def put_annotation(self, key: str, value: Any) -> None:
        """Annotate the innermost open subsegment."""
        if self._open:
            self._open[-1].put_annotation(key, value)

    def put_metadata(self, key: str, value: Any, namespace: str = "default") -> None:
        """Left out, as on a subsegment."""

    def patch(self, modules: Sequence[str]) -> None:
        """Nothing is patched: what is worth a subsegment opens one."""

    def patch_all(self) -> None:
        """Nothing is patched."""

    def _send(self, datagram: bytes) -> None:
        host, _, port = self._environ.get("AWS_XRAY_DAEMON_ADDRESS", "").partition(":")
        if not port.isdigit():
            return
        with contextlib.suppress(OSError):
            if self._socket is None:
                self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                self._socket.setblocking(False)
            self._socket.sendto(datagram, (host, int(port)))


def _trace_header(text: str) -> dict[str, str]:
    """``Root=1-…;Parent=…;Sampled=1`` as a dictionary."""
    pairs = (part.partition("=") for part in text.split(";"))
    return {name.strip(): value for name, separator, value in pairs if separator}
