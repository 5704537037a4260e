"""The emulator with everything put in: this is the only place that knows all the extensions."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tapgen.local import (
    conditions,
    exports,
    operations,
    reach,
    replacement,
    resources,
    reviews,
    rules,
    stack_events,
    state,
)
from tapgen.local.executions.engine import Engine
from tapgen.local.faults import Faults
from tapgen.local.gate import Gate
from tapgen.local.pace import Paces, of_environment
from tapgen.local.tasks.service import Tasks


class Emulator:
    """ministack in this process, extended; made on the server's loop.

    ``finished`` is called there after each stack operation and each execution. ``home`` is where
    tasks find their folders.
    """

    def __init__(self, home: Path, store: state.Store, *, finished: Callable[[], None]) -> None:
        self._app = reach.module("app")
        self._store = store
        self.faults = Faults()
        self.operations = operations.Operations(finished)
        loop = asyncio.get_running_loop()
        self._paces = Paces(of_environment())
        self._tasks = Tasks(home, self._paces)
        self._engine = Engine(
            self.faults,
            self._tasks,
            self._paces,
            ended=lambda: _called_soon(loop, finished),
        )
        self._keep_to_itself()
        self._save_in_one_file()
        resources.install()
        replacement.install()
        conditions.install()
        exports.install()
        self.operations.install()
        rules.install(self.operations)
        reviews.install()
        self.faults.install()
        stack_events.StackEvents().install()
        self._tasks.install()
        self._engine.install()

    def gate(self, secret: str, *, ready: Callable[[], None], changed: Callable[[], None]) -> Gate:
        """The application to serve."""
        return Gate(self._app.app, secret, self.faults, self._paces, ready=ready, changed=changed)

    def picture(self) -> state.Collected:
        """The state of every service that was used, to be taken on the server's own thread."""
        services: Mapping[str, Callable[[], Any]] = self._app._build_persistence_save_dict()
        return self._store.collect(services)

    def settle(self) -> None:
        """After the state was read: stacks that were cut off get a state they can be left from."""
        operations.settle_cut_off(reach.cloudformation()._stacks._data)

    def close(self) -> None:
        """After everything was saved: executions are left as they are, and no task runs on."""
        self._engine.close()
        self._tasks.close()

    def _keep_to_itself(self) -> None:
        """No scripts from well-known folders are run, at start or when ready."""
        self._app._collect_scripts = lambda *folders: []

    def _save_in_one_file(self) -> None:
        app, store = self._app, self._store
        app.load_state = store.payload
        app.save_all = lambda services: store.write(store.collect(services))


def _called_soon(loop: asyncio.AbstractEventLoop, finished: Callable[[], None]) -> None:
    """From another thread; a loop that has ended saves nothing any more."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(finished)
