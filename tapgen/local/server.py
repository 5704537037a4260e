"""The server's process: ``python -m tapgen.local.server HOME READY_FD [PORT]``.

It is started by ``lease.py`` and by nobody else. It waits for its predecessor to end, reads the
state, listens on loopback, says so on the file descriptor, and lives until the last lease is gone.
Nothing here is imported by the commands.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import json
import logging
import os
import secrets
import shutil
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

from tapgen.local import reach, state
from tapgen.local.lease import ACCOUNT, REGION

# Longer than a predecessor may take to finish its stack operations and to save.
PREDECESSOR_SECONDS = 30.0

# The emulator's optional packages. It would use what it happens to find: another listener, a
# container, a slower start. Hidden, it is the same everywhere.
_OPTIONAL = ("asyncssh", "cryptography", "docker", "duckdb", "psycopg2", "pymysql", "samtranslator")

_log = logging.getLogger("tapgen.local")


class Refused(Exception):
    """The server cannot start; ``kind`` and ``facts`` let the command say why."""

    def __init__(self, kind: str, **facts: Any) -> None:
        self.kind, self.facts = kind, facts
        super().__init__(kind)


class Herald:
    """Tells the command that waits, once, how the start went."""

    def __init__(self, handle: int) -> None:
        self._handle: int | None = handle

    def say(self, message: dict[str, Any]) -> None:
        """One line; the command may have gone."""
        if self._handle is not None:
            with contextlib.suppress(OSError):
                os.write(self._handle, json.dumps(message).encode() + b"\n")
                os.close(self._handle)
            self._handle = None


def main(argv: list[str]) -> int:
    """Run the server; the exit status tells only the log."""
    home, herald = Path(argv[0]), Herald(int(argv[1]))
    port = int(argv[2]) if len(argv) > 2 else None
    os.umask(0o077)
    # Hundreds of modules are about to be loaded, none of which will ever be garbage.
    gc.disable()
    try:
        _run(home, port, herald)
    except Refused as refused:
        herald.say({"refused": refused.kind, "facts": refused.facts})
        return 1
    except Exception as error:
        # Whatever it is, the command that waits must hear of it; the log has the whole story.
        _log.exception("the embedded AWS failed")
        herald.say({"refused": "other", "facts": {"reason": f"{type(error).__name__}: {error}"}})
        return 1
    return 0


def _run(home: Path, port: int | None, herald: Herald) -> None:
    _take_the_house(home)
    http, leases, secret = _listen(home, port)
    settings(home, http.getsockname()[1], secret)
    if reach.installed() != reach.PINNED:
        raise Refused("version", wanted=reach.PINNED, found=reach.installed() or "none")
    sys.modules.update(dict.fromkeys(_OPTIONAL))  # type: ignore[arg-type]
    store = _read_state(home)
    from tapgen.local.house import House  # The emulator reads its settings when it is loaded.

    house = House(home, http, leases, secret, store, told=herald.say)
    try:
        asyncio.run(house.run())
    finally:
        _sweep(home)


def _sweep(home: Path) -> None:
    """End the processes of functions that are still warm, and throw their folders away."""
    if os.getpgid(0) == os.getpid():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(os.getpid(), signal.SIGTERM)
        deadline = time.monotonic() + 1.0
        with contextlib.suppress(ChildProcessError):
            while time.monotonic() < deadline:
                if os.waitpid(-1, os.WNOHANG) == (0, 0):
                    time.sleep(0.01)
    for left in (home / "tmp").iterdir():
        shutil.rmtree(left, ignore_errors=True)


def settings(home: Path, port: int, secret: str) -> None:
    """Replace the environment: what the emulator reads, and what functions are run with."""
    os.environ.pop("PYTHONPATH", None)
    os.environ.update(
        {
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "MINISTACK_ACCOUNT_ID": ACCOUNT,
            "MINISTACK_REGION": REGION,
            "LOG_LEVEL": "ERROR",
            # Listeners of their own, on all interfaces.
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            # A container engine on the machine would be used, and its containers swept.
            "DOCKER_HOST": f"unix://{home}/no-container-engine",
            "PERSIST_STATE": "1",
            "STATE_DIR": str(home / "state"),
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(home / "s3"),
            # A function calls the embedded AWS with the key of its account and this secret.
            "AWS_SECRET_ACCESS_KEY": secret,
        }
    )


def _take_the_house(home: Path) -> None:
    """Hold the server's lock, from now to the end of the process, which gives it back."""
    handle = os.open(home / "server.lock", os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + PREDECESSOR_SECONDS
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise Refused("other", reason="the one before it does not end") from None
            time.sleep(0.01)


def _listen(home: Path, wanted: int | None) -> tuple[socket.socket, socket.socket, str]:
    """The two listening sockets, and the secret: both kept from last time where possible.

    A link to the API or a shell with exported keys so goes on working the next day.
    """
    try:
        last = json.loads((home / "state" / "address.json").read_text(encoding="utf-8"))
        last_port, secret = int(last["port"]), str(last["secret"])
    except (OSError, ValueError, KeyError, TypeError):
        last_port, secret = 0, secrets.token_hex(20)
    http = _socket(wanted if wanted is not None else last_port)
    if http is None and wanted is not None:
        raise Refused("port", port=wanted)
    http = http or _socket(0)
    leases = _socket(0)
    if http is None or leases is None:
        raise Refused("other", reason="no free port on 127.0.0.1")
    kept = json.dumps({"port": http.getsockname()[1], "secret": secret})
    _write_private(home / "state" / "address.json", kept)
    return http, leases, secret


def _socket(port: int) -> socket.socket | None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(("127.0.0.1", port))
        sock.listen(128)
    except OSError:
        sock.close()
        return None
    return sock


def _write_private(path: Path, text: str) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def _read_state(home: Path) -> state.Store:
    store = state.Store(home / "state")
    try:
        store.load()
    except state.Unreadable as unreadable:
        raise Refused("state", path=str(store.path), reason=str(unreadable)) from None
    return store


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
