"""The Runtime API of one execution environment, as the developer guide documents it.

A socket on 127.0.0.1 for one process. ``next`` waits until there is an invocation. AWS's client
crashes without a Content-Type on it, and every answer leaves in one packet: two would wait 40 ms
for each other.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

from tapgen.local.gateway.proxy import PAYLOAD_BYTES

if TYPE_CHECKING:
    from tapgen.local.gateway.environment import Environment, Invocation

_BASE = "/2018-06-01/runtime/"


class RuntimeApi:
    """Listens until closed; ``address`` is what AWS_LAMBDA_RUNTIME_API says."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self._next: queue.SimpleQueue[Invocation | None] = queue.SimpleQueue()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True, name="runtime-api").start()

    def offer(self, invocation: Invocation) -> None:
        """Give the next ``next`` its invocation."""
        self._next.put(invocation)

    def take(self) -> Invocation | None:
        """Wait for an invocation; None when there will be no more."""
        return self._next.get()

    def close(self) -> None:
        """Stop listening, and let ``next`` go."""
        self._next.put(None)
        with contextlib.suppress(OSError):
            # Wakes the thread that accepts; closing alone would not.
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, address = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection, address), daemon=True).start()

    def _serve(self, connection: socket.socket, address: Any) -> None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _Handler(connection, address, self)  # type: ignore[arg-type]
        connection.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    server: Any

    def do_GET(self) -> None:
        """``invocation/next``."""
        if self.path != f"{_BASE}invocation/next":
            self._send(404, b'{"errorType":"NotFound"}')
            return
        api: RuntimeApi = self.server
        invocation = api.take()
        if invocation is None:
            self.close_connection = True
            return
        deadline = api.environment.delivered(invocation)
        self._send(
            200,
            invocation.payload,
            {
                "Lambda-Runtime-Aws-Request-Id": invocation.id,
                "Lambda-Runtime-Deadline-Ms": deadline,
                "Lambda-Runtime-Invoked-Function-Arn": api.environment.arn,
                **({"Lambda-Runtime-Trace-Id": invocation.trace} if invocation.trace else {}),
            },
        )

    def do_POST(self) -> None:
        """An invocation's ``response`` or ``error``, and ``init/error``."""
        from tapgen.local.gateway.environment import Outcome

        environment: Environment = self.server.environment
        body = self._body()
        error = self.headers.get("Lambda-Runtime-Function-Error-Type") or "Unhandled"
        if self.path == f"{_BASE}init/error":
            environment.unfit(Outcome(body, error))
            self._send(202, b'{"status":"OK"}')
            return
        parts = self.path.removeprefix(f"{_BASE}invocation/").split("/")
        if len(parts) != 2 or parts[1] not in ("response", "error"):
            self._send(404, b'{"errorType":"NotFound"}')
            return
        outcome = Outcome(body, error if parts[1] == "error" else "")
        if len(body) > PAYLOAD_BYTES:
            outcome = Outcome.failed(
                "Function.ResponseSizeTooLarge",
                "Response payload size exceeded maximum allowed payload size "
                f"({PAYLOAD_BYTES} bytes).",
            )
        if environment.answered(parts[0], outcome):
            self._send(202, b'{"status":"OK"}')
        else:
            self._send(400, b'{"errorType":"InvalidRequestID"}')

    def log_message(self, *args: object) -> None:
        """Nothing: Lambda's log is the function's."""

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response_only(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()
