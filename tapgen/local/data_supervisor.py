"""Runs one server with TLS in front, and ends it when the process that asked for it is gone.

    python -m tapgen.local.data_supervisor '{"argv": [...], ...}'

Standard input is the lifeline: whoever started this holds its other end, so the kernel closes it
however that process ends, and the server is then stopped. On Linux the server in turn is told by
the kernel when this process dies. One line of JSON on standard output says where it listens, or
what went wrong. Needs the standard library alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tapgen.local.data_tls import TlsProxy, server_context

START_SECONDS = 30.0
# A fast shutdown of PostgreSQL writes a checkpoint; on a busy disk that takes a moment.
STOP_SECONDS = 10.0
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Order:
    """What to run, and how it is reached, stopped and cleaned up after."""

    argv: tuple[str, ...]
    user: int | None
    log: str
    server_socket: str
    postgres: bool
    certificate: str
    key: str
    port: int
    # The socket's folder, and whatever else is to go with the server.
    scratch: str
    # PostgreSQL's: SIGINT is a fast shutdown, SIGQUIT an immediate one.
    stop_signal: int
    death_signal: int

    @classmethod
    def parse(cls, text: str) -> Order:
        """Read an order. Raises ValueError, KeyError or TypeError."""
        fields: dict[str, Any] = json.loads(text)
        return cls(**{**fields, "argv": tuple(fields["argv"])})


def spawn(order: Order, log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start the server as the user of the order."""
    parent = os.getpid()

    def with_parent() -> None:
        # After the change of user, which would clear it.
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, order.death_signal)
            if os.getppid() != parent:
                os._exit(1)

    user: dict[str, Any] = {}
    if order.user is not None:
        user = {"user": order.user, "group": order.user, "extra_groups": []}
    return subprocess.Popen(
        order.argv,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        cwd="/",
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
        preexec_fn=with_parent,
        **user,
    )


def ready(order: Order) -> bool:
    """Whether the server takes requests, not only connections."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(1)
        try:
            sock.connect(order.server_socket)
            if order.postgres:
                startup = b"\0\3\0\0user\0postgres\0\0"
                sock.sendall((len(startup) + 4).to_bytes(4, "big") + startup)
                # R: who are you? E: still starting.
                return sock.recv(1) == b"R"
            sock.sendall(b"PING\r\n")
            return sock.recv(8).startswith((b"+PONG", b"-NOAUTH", b"-NOPERM"))
        except OSError:
            return False


def stop(server: subprocess.Popen[bytes], order: Order) -> None:
    """End the server, in order if it will, and take its scratch folder away."""
    with contextlib.suppress(ProcessLookupError):
        server.send_signal(order.stop_signal)
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            server.send_signal(order.death_signal)
        time.sleep(0.2)
        server.kill()
        server.wait()
    shutil.rmtree(order.scratch, ignore_errors=True)


async def serve(order: Order, server: subprocess.Popen[bytes]) -> None:
    """Wait until the server is ready, tell so, and proxy until one side ends."""
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, over.set)
    _watch_lifeline(loop, over)
    proxy = TlsProxy(
        server_context(Path(order.certificate), Path(order.key)),
        order.server_socket,
        postgres=order.postgres,
    )
    port = await proxy.listen(order.port)
    until = loop.time() + START_SECONDS
    while not ready(order):
        if server.poll() is not None:
            raise RuntimeError(f"ended with status {server.returncode}, see {order.log}")
        if loop.time() > until:
            raise RuntimeError(f"not ready after {START_SECONDS:.0f} s, see {order.log}")
        if over.is_set():
            return
        await asyncio.sleep(0.01)
    tell(port=port, pid=server.pid)
    while not over.is_set() and server.poll() is None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), 0.5)
    proxy.close()


def _watch_lifeline(loop: asyncio.AbstractEventLoop, over: asyncio.Event) -> None:
    def read() -> None:
        if not os.read(0, 4096):
            loop.remove_reader(0)
            over.set()

    loop.add_reader(0, read)


def tell(**facts: object) -> None:
    """Say something to whoever started this, if it is still there."""
    with contextlib.suppress(OSError):
        sys.stdout.write(json.dumps(facts) + "\n")
        sys.stdout.flush()


def main(text: str) -> int:
    """Run an order to its end."""
    order = Order.parse(text)
    with Path(order.log).open("ab") as log:
        server = spawn(order, log)
        try:
            asyncio.run(serve(order, server))
        except (OSError, RuntimeError) as error:
            tell(error=str(error))
            return 1
        finally:
            stop(server, order)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
