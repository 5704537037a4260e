"""What goes wrong between the API and its servers: a link with faults, and servers that babble."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Link:
    """A TCP connection through here to a server, in one of several moods.

    pass: nothing is wrong. refuse: connections are closed at once. silent: what is sent is taken
    and nothing comes back. drip: the server's bytes come one at a time.
    """

    def __init__(self, port: int, mood: str = "pass") -> None:
        self._target = port
        self.mood = mood
        self.connections = 0
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def cut(self) -> None:
        """Break every connection, as a failover does."""
        for sock in self._open:
            with contextlib.suppress(OSError):
                # Linger 0: a reset, not an orderly end.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def close(self) -> None:
        """End it."""
        self.mood = "refuse"
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(2)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            if self.mood == "refuse":
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self._target))
            for sock in (client, server):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open += [client, server]
            for source, sink, answers in ((client, server, False), (server, client, True)):
                thread = threading.Thread(
                    target=self._pump, args=(source, sink, answers), daemon=True
                )
                thread.start()
                self._threads.append(thread)

    def _pump(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        with source, contextlib.suppress(OSError):
            while data := source.recv(65536):
                if self.mood == "silent":
                    continue
                if answers and self.mood == "drip":
                    for byte in data:
                        sink.sendall(bytes([byte]))
                        time.sleep(0.05)
                else:
                    sink.sendall(data)
            with contextlib.suppress(OSError):
                sink.shutdown(socket.SHUT_WR)


@contextmanager
def link(port: int, mood: str = "pass") -> Iterator[Link]:
    """A link for a block."""
    made = Link(port, mood)
    try:
        yield made
    finally:
        made.close()


class Babbler:
    """A TLS server that answers whatever is sent with the same bytes.

    ``heard`` is what came through TLS: nothing, as long as the client does not trust the server.
    """

    def __init__(self, certificate: Path, key: Path, answer: bytes, *, postgres: bool) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._answer = answer
        self._postgres = postgres
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self.heard = b""
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            client.settimeout(5)
            with client, contextlib.suppress(OSError):
                self._talk(client)

    def _talk(self, client: socket.socket) -> None:
        if self._postgres:
            client.recv(8)
            client.sendall(b"S")
        with self._context.wrap_socket(client, server_side=True) as secured:
            while data := secured.recv(65536):
                self.heard += data
                secured.sendall(self._answer)


@contextmanager
def babbler(certificate: Path, key: Path, answer: bytes, *, postgres: bool) -> Iterator[Babbler]:
    """A babbling server for a block."""
    made = Babbler(certificate, key, answer, postgres=postgres)
    try:
        yield made
    finally:
        made.close()
