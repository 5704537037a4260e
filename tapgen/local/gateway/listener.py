"""HTTP on 127.0.0.1 for a ``Service``: connections kept alive, bodies read to their limit.

The standard library's threading server: one thread a connection, which waits while a function runs.
"""

from __future__ import annotations

import contextlib
import errno
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tapgen.local.errors import PortTaken
from tapgen.local.gateway.service import BODY_BYTES, Service
from tapgen.local.gateway.turn import Request

HOST = "127.0.0.1"
# A client that says nothing for so long has gone.
IDLE_SECONDS = 60
_CHUNK = re.compile(rb"[0-9A-Fa-f]{1,8}")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class _TooLarge(Exception):
    """The body is larger than anybody takes."""


class _Broken(Exception):
    """What was sent is not HTTP."""


@contextmanager
def listening(service: Service, port: int = 0) -> Iterator[int]:
    """Serve for the length of the block; yields the port. Raises ``PortTaken``."""

    class Handler(_Handler):
        answering = service

    try:
        server = _Server((HOST, port), Handler)
    except OSError as error:
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            raise PortTaken(port) from None
        raise
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="gateway")
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        server.hang_up()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._open: set[socket.socket] = set()
        super().__init__(address, handler)

    def server_bind(self) -> None:
        # Not HTTPServer's: it asks the resolver for this machine's name, which may take seconds.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = HOST, self.server_address[1]

    def process_request_thread(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override]
        self._open.add(request)
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._open.discard(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients come and go; a bug of ours is told by the test that meets it."""

    def hang_up(self) -> None:
        """End the connections that are still open."""
        for request in list(self._open):
            with contextlib.suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    answering: Service
    protocol_version = "HTTP/1.1"
    # Buffered, so that an answer is one packet; with Nagle's algorithm on, two would wait 40 ms.
    wbufsize = -1
    disable_nagle_algorithm = True
    timeout = IDLE_SECONDS

    def handle_one_request(self) -> None:
        """Any method there is, or is not: which ones exist is the API's to say."""
        try:
            self.raw_requestline = self.rfile.readline(65537)
            if not self.raw_requestline:
                self.close_connection = True
                return
            if len(self.raw_requestline) > 65536:
                self.requestline = self.request_version = self.command = ""
                self.send_error(HTTPStatus.REQUEST_URI_TOO_LONG)
                return
            if self.parse_request():
                self._answer()
            self.wfile.flush()
        except (TimeoutError, ConnectionError, BrokenPipeError):
            self.close_connection = True

    def _answer(self) -> None:
        if not _TOKEN.fullmatch(self.command):
            self._refuse()
            return
        body, too_large = b"", False
        try:
            body = self._body()
        except _TooLarge:
            # What follows is still the body.
            too_large = self.close_connection = True
        except _Broken:
            self._refuse()
            return
        target, _, query = self._target().partition("?")
        answer = self.answering.answer(
            Request(
                method=self.command,
                path=target,
                query=query.partition("#")[0],
                headers=tuple((name, _text(value)) for name, value in self.headers.items()),
                body=body,
                source_ip=self.client_address[0],
                protocol=self.request_version,
                too_large=too_large,
            )
        )
        self._send(answer.status, answer.headers, answer.body)

    def _target(self) -> str:
        # An absolute target is allowed of every client.
        return re.sub(r"^https?://[^/?#]*", "", self.path) or "/"

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return self._chunks()
        length = self.headers.get("Content-Length", "0").strip()
        if not (length.isascii() and length.isdigit()):
            raise _Broken("Content-Length is no number")
        if int(length) > BODY_BYTES:
            raise _TooLarge
        return self._read(int(length))

    def _chunks(self) -> bytes:
        body = bytearray()
        while True:
            size = self.rfile.readline(1024).partition(b";")[0].strip()
            if not _CHUNK.fullmatch(size):
                raise _Broken("a chunk has no size")
            length = int(size, 16)
            if len(body) + length > BODY_BYTES:
                raise _TooLarge
            if length == 0:
                while self.rfile.readline(65537).strip():
                    pass
                return bytes(body)
            body += self._read(length)
            self.rfile.readline(1024)

    def _read(self, length: int) -> bytes:
        body = self.rfile.read(length)
        if len(body) < length:
            raise ConnectionError
        return body

    def _send(self, status: int, headers: tuple[tuple[str, str], ...], body: bytes) -> None:
        self.send_response_only(status)
        self.send_header("Date", self.date_time_string())
        for name, value in headers:
            # Written as UTF-8, by way of the Latin-1 that send_header writes.
            self.send_header(name, value.encode("utf-8", "replace").decode("latin-1"))
        without_body = status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED) or status < 200
        if not without_body:
            self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if body and self.command != "HEAD" and not without_body:
            self.wfile.write(body)

    def _refuse(self) -> None:
        self.close_connection = True
        body = b'{"message":"Bad Request"}'
        self._send(400, (("Content-Type", "application/json"),), body)

    def log_message(self, *args: object) -> None:
        """Nothing: the API writes its own log."""


def _text(value: str) -> str:
    """A header's value: http.server reads bytes as Latin-1, clients send UTF-8."""
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value
