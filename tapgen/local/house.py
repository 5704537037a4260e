"""The running server: the emulator behind its gate, the leases on it, and the saving.

A lease is a connection on which the secret was sent. When the last one closes, the house takes no
more, lets stack operations finish, saves, and ends; whoever comes meanwhile is not answered and
starts the next server.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hmac
import json
import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypercorn.asyncio import serve
from hypercorn.config import Config

from tapgen.local import emulator, state

# A server that nobody leases right after the start lost the command that started it.
FIRST_LEASE_SECONDS = 10.0
# A stack operation that still runs when the last lease goes is given this long.
DRAIN_SECONDS = 10.0
# A change outside of CloudFormation is saved this long after it, together with its neighbours.
SAVE_SECONDS = 0.5
# With many stacks a save takes a while, and stands in the way of the next call. It may take a
# fifth of the time at most; what changes meanwhile is in the next one.
REST_AFTER_SAVE = 4

Told = Callable[[dict[str, Any]], None]


class House:
    """Serves until the last lease is gone. ``told`` hears once that it is ready."""

    def __init__(
        self,
        home: Path,
        http: socket.socket,
        leases: socket.socket,
        secret: str,
        store: state.Store,
        *,
        told: Told,
    ) -> None:
        self._home, self._address = home, home / "server.json"
        self._http, self._door = http, leases
        self._secret, self._store, self._told = secret, store, told
        self._leases: set[asyncio.StreamWriter] = set()
        self._closing = False
        self._stop, self._changed, self._urgent = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def run(self) -> None:
        """Serve, and save at the end."""
        self._emulator = emulator.Emulator(self._home, self._store, finished=self._save_now)
        gc.freeze()
        gc.enable()
        gate = self._emulator.gate(self._secret, ready=self._open, changed=self._changed.set)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._leave)
        config = Config()
        config.bind = [f"fd://{self._http.detach()}"]
        config.graceful_timeout = 0.3
        config.loglevel = "ERROR"
        self._server = await asyncio.start_server(self._lease, sock=self._door)
        saving = asyncio.create_task(self._keep_saving())
        await serve(gate, config, shutdown_trigger=self._stop.wait)  # type: ignore[arg-type]
        saving.cancel()
        await asyncio.to_thread(self._emulator.close)
        for lease in self._leases:
            lease.close()

    def _open(self) -> None:
        """Say where this house is, and wait for the first lease."""
        self._emulator.settle()
        address = {
            "port": int(os.environ["GATEWAY_PORT"]),
            "lease_port": self._server.sockets[0].getsockname()[1],
            "secret": self._secret,
            "pid": os.getpid(),
        }
        temporary = self._address.with_suffix(".new")
        temporary.write_text(json.dumps(address), encoding="utf-8")
        os.replace(temporary, self._address)
        asyncio.get_running_loop().call_later(FIRST_LEASE_SECONDS, self._leave_if_empty)
        self._told({"ready": address["pid"]})

    async def _lease(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One lease, from the secret to the end of the connection."""
        try:
            line = await asyncio.wait_for(reader.readline(), timeout=5)
            if self._closing or not hmac.compare_digest(line.strip(), self._secret.encode()):
                return
            self._leases.add(writer)
            writer.write(b"ok\n")
            while await reader.read(64):
                pass
        except (OSError, TimeoutError, ValueError):
            pass  # A client that was killed; its lease ends like any other.
        finally:
            self._end_lease(writer)

    def _end_lease(self, writer: asyncio.StreamWriter) -> None:
        if writer in self._leases and len(self._leases) == 1:
            # The last one hears the end of the connection when everything is saved.
            self._leave()
            return
        self._leases.discard(writer)
        writer.close()

    def _leave_if_empty(self) -> None:
        if not self._leases:
            self._leave()

    def _leave(self) -> None:
        if self._closing:
            return
        self._closing = True
        self._server.close()
        self._address.unlink(missing_ok=True)
        self._leaving = asyncio.create_task(self._finish())

    async def _finish(self) -> None:
        await self._emulator.operations.drain(DRAIN_SECONDS)
        self._stop.set()

    def _save_now(self) -> None:
        self._urgent.set()
        self._changed.set()

    async def _keep_saving(self) -> None:
        while True:
            await self._changed.wait()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._urgent.wait(), SAVE_SECONDS)
            self._changed.clear()
            self._urgent.clear()
            began = time.monotonic()
            try:
                await asyncio.to_thread(self._store.write, self._emulator.picture())
            except OSError:
                logging.getLogger("tapgen.local").exception("the state cannot be saved")
            await asyncio.sleep(REST_AFTER_SAVE * (time.monotonic() - began))
