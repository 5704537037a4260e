"""The commands' side of the embedded AWS: join the server of a folder, or start it.

All tapgen processes of one folder share one server. A lease is an open connection to it, so the
kernel gives it back however the process ends. Three files make the races come out right:

``lock``         held while a process joins or starts; two first commands wait for each other.
``server.lock``  held by the server for its whole life. A new server waits for it, so it never
                 reads the state before the old one has written it. A crash frees it.
``server.json``  where the server listens, and the secret that lets only this user in (mode 0600).
                 Only believed when the server behind it answers.

A server that is saving answers nobody: a process that meets it starts the next one.

This module needs the standard library alone, so that ``--help`` and a deploy to the real AWS do
not pay for the emulator.
"""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tapgen.local import errors

REGION = "ap-northeast-1"
ACCOUNT = "000000000000"

# The server compiles the emulator's eight megabytes of source on its very first start.
START_SECONDS = 60.0
# A server that ends waits this long for stack operations that are still running (server.py).
RELEASE_SECONDS = 15.0

# Everything else stays behind: code of a Lambda function inherits the server's environment.
PASSED_ON: tuple[str, ...] = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TAPGEN_LOCAL_PACE")

_LOG_BYTES = 1_000_000


@dataclass(frozen=True)
class Embedded:
    """What a client has to know of the embedded AWS.

    Any twelve digits as the access key are an account of their own on the same server;
    the secret key is the same for all of them.
    """

    url: str
    region: str
    account: str
    access_key: str
    secret_key: str


@dataclass(frozen=True)
class _Address:
    """The content of ``server.json``."""

    port: int
    lease_port: int
    secret: str


class _Connection:
    """One lease: the server lives at least as long as this connection."""

    def __init__(self, sock: socket.socket, address: _Address) -> None:
        self._sock, self.address = sock, address

    def wait_for_end(self) -> None:
        """Block until the server closes the connection, that is until it is gone."""
        self._sock.settimeout(None)
        while self._sock.recv(64):
            pass

    def release(self) -> None:
        """Give the lease back; when it was the last one, return after the state is saved."""
        try:
            self._sock.shutdown(socket.SHUT_WR)
            self._sock.settimeout(RELEASE_SECONDS)
            while self._sock.recv(64):
                pass
        except OSError:
            pass  # The server is gone already, or slow: either way the lease is no longer ours.
        finally:
            self._sock.close()


@contextmanager
def lease(home: Path, port: int | None = None) -> Iterator[Embedded]:
    """The embedded AWS whose state lies in ``home``, for the length of the block.

    ``port`` asks for a fixed one; without it the last used port is taken again when it is free.
    Raises a ``LocalError``: the extra missing, the state unreadable, the port taken.
    """
    connection = _acquire(home, port)
    try:
        yield _embedded(connection.address)
    finally:
        connection.release()


def serve(home: Path, port: int | None, announce: Callable[[Embedded], None]) -> None:
    """Hold a lease until interrupted; ``announce`` hears where the embedded AWS listens.

    Returns on Ctrl-C, after the state is saved if no other command holds a lease.
    Raises what ``lease`` raises, and ``Gone`` when the server ends by itself.
    """
    connection = _acquire(home, port)
    try:
        announce(_embedded(connection.address))
        connection.wait_for_end()
    except KeyboardInterrupt:
        return
    finally:
        connection.release()
    raise errors.Gone(home / "server.log")


def reset(home: Path) -> None:
    """Forget everything the embedded AWS of ``home`` knows.

    Raises ``InUse`` while another command holds a lease. The two lock files stay: to remove a
    lock that somebody waits for would let two processes hold it.
    """
    if not home.exists():
        return
    with _locked(home / "lock"), _server_gone(home):
        for name in ("state", "s3", "tmp", "home", "bin", "volumes"):
            shutil.rmtree(home / name, ignore_errors=True)
        for name in ("server.json", "server.log"):
            (home / name).unlink(missing_ok=True)


def _acquire(home: Path, port: int | None) -> _Connection:
    home = home.absolute()
    _prepare(home)
    with _locked(home / "lock"):
        connection = _join(home)
        if connection is None:
            _start(home, port)
            connection = _join(home)
    if connection is None:
        raise errors.NotStarted("it does not answer", home / "server.log")
    if port is not None and connection.address.port != port:
        connection.release()
        raise errors.RunsElsewhere(home, connection.address.port, port)
    return connection


def _prepare(home: Path) -> None:
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in ("state", "tmp", "home"):
            (home / name).mkdir(exist_ok=True, mode=0o700)
    except OSError as error:
        raise errors.HomeUnusable(home, error.strerror or str(error)) from None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise errors.HomeUnusable(path.parent, error.strerror or str(error)) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def _server_gone(home: Path, patience: float = 1.0) -> Iterator[None]:
    """Hold the server's lock; a server whose last lease just ended gets time to save."""
    handle = os.open(home / "server.lock", os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + patience
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise errors.InUse(home) from None
                time.sleep(0.02)
        yield
    finally:
        os.close(handle)


def _join(home: Path) -> _Connection | None:
    """A lease on the server that runs; ``None`` when none does, or when it is on its way out."""
    address = _address(home / "server.json")
    if address is None:
        return None
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.settimeout(5.0)
    try:
        sock.connect(("127.0.0.1", address.lease_port))
        sock.sendall(address.secret.encode() + b"\n")
        if sock.recv(3) == b"ok\n":
            return _Connection(sock, address)
    except OSError:
        pass  # A stale file from a crash: nobody listens there, or somebody else does.
    sock.close()
    return None


def _address(path: Path) -> _Address | None:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return _Address(int(raw["port"]), int(raw["lease_port"]), str(raw["secret"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _embedded(address: _Address) -> Embedded:
    return Embedded(
        url=f"http://127.0.0.1:{address.port}",
        region=REGION,
        account=ACCOUNT,
        access_key=ACCOUNT,
        secret_key=address.secret,
    )


def _environment(home: Path, inherited: Mapping[str, str]) -> dict[str, str]:
    """What the server gets to see: a short list, and its own folders instead of the user's."""
    kept = {name: inherited[name] for name in PASSED_ON if name in inherited}
    package_root = Path(__file__).resolve().parents[2]
    return kept | {
        "HOME": str(home / "home"),
        "TMPDIR": str(home / "tmp"),
        "PYTHONPATH": str(package_root),
    }


def _start(home: Path, port: int | None) -> None:
    """Start the server and wait until it is ready. Raises what kept it from being so."""
    if importlib.util.find_spec("ministack") is None:
        raise errors.MinistackMissing
    log = home / "server.log"
    if log.exists() and log.stat().st_size > _LOG_BYTES:
        log.unlink()
    reading, writing = os.pipe()
    try:
        command = [sys.executable, "-m", "tapgen.local.server", str(home), str(writing)]
        with log.open("ab") as output:
            process = subprocess.Popen(
                command + ([str(port)] if port is not None else []),
                cwd=home,
                env=_environment(home, os.environ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(writing,),
                # A Ctrl-C in the terminal is meant for the command, not for the shared server.
                start_new_session=True,
            )
    finally:
        os.close(writing)
    # The server outlives this command as often as not. Whoever is still here when it ends
    # collects it, so that it never stays behind as a zombie.
    threading.Thread(target=process.wait, daemon=True, name="embedded-aws-reaper").start()
    try:
        _hear(reading, home)
    except BaseException:
        if process.poll() is None:
            process.terminate()
        raise
    finally:
        os.close(reading)


def _hear(reading: int, home: Path) -> None:
    """Read the server's one line: ready, or why not."""
    deadline = time.monotonic() + START_SECONDS
    heard = b""
    while not heard.endswith(b"\n"):
        ready, _, _ = select.select([reading], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise errors.NotStarted(
                f"no answer within {START_SECONDS:.0f} seconds", home / "server.log"
            )
        chunk = os.read(reading, 4096)
        if not chunk:
            raise errors.NotStarted("it ended at once", home / "server.log")
        heard += chunk
    message: dict[str, Any] = json.loads(heard)
    if "refused" in message:
        raise _refusal(message, home)


def _refusal(message: Mapping[str, Any], home: Path) -> errors.LocalError:
    """The error that the server named, as one of ours."""
    facts = message["facts"]
    if message["refused"] == "state":
        return errors.StateUnreadable(Path(facts["path"]), facts["reason"])
    if message["refused"] == "port":
        return errors.PortTaken(facts["port"])
    if message["refused"] == "version":
        return errors.WrongMinistack(facts["wanted"], facts["found"])
    return errors.NotStarted(facts["reason"], home / "server.log")
