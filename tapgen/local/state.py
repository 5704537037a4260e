"""What outlives the server: one file with the state of every service.

The emulator would write one file a service, one after another, at a clean stop only. Here all of
them go into one file that is put in place whole, so a crash finds the last complete picture: taken
after each stack operation, shortly after any other change, and at the end. Objects in buckets and
the code of functions lie beside it, written by the emulator as they come.

The first line says who wrote the file and how many lines follow; then one line a service.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tapgen.local import reach

FORMAT = 1

_log = logging.getLogger("tapgen.local")

Collected = dict[str, Any]


class Unreadable(Exception):
    """The file is damaged or was written by another version."""


class Store:
    """The saved state in ``folder``.

    ``load`` raises ``Unreadable``; ``payload`` gives one service its part; ``collect`` takes a
    picture of the running services (on the server's own thread), ``write`` puts it on disk (on
    any thread, one at a time).
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "state.json"
        self._lines: dict[str, str] = {}
        self._writing = threading.Lock()

    def load(self) -> None:
        """Read the file; a folder without one is an empty account."""
        try:
            first, *lines = self.path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return
        except ValueError:
            raise Unreadable("it is damaged") from None
        except OSError as error:
            raise Unreadable(error.strerror or str(error)) from None
        try:
            header = json.loads(first)
            written_by = (header["format"], header["ministack"])
            if written_by != (FORMAT, reach.PINNED):
                raise Unreadable(
                    f"written by format {header['format']} with ministack {header['ministack']}, "
                    f"not by format {FORMAT} with ministack {reach.PINNED}"
                )
            self._lines = {json.loads(line)["service"]: line for line in lines}
            if len(self._lines) != header["services"]:
                raise Unreadable(f"{len(self._lines)} of {header['services']} services are there")
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Unreadable("it is damaged") from None

    def payload(self, service: str) -> Any:
        """What was saved of ``service``, or ``None``."""
        line = self._lines.get(service)
        if line is None:
            return None
        persistence = reach.module("core.persistence")
        return json.loads(line, object_hook=persistence._json_object_hook)["payload"]

    @staticmethod
    def collect(services: Mapping[str, Callable[[], Any]]) -> Collected:
        """A picture of every service that has something to say.

        A worker thread can change a service while it is copied; the copy is then tried again.
        """
        collected: Collected = {}
        for name, picture in services.items():
            for attempt in range(3):
                try:
                    state = picture()
                except RuntimeError:
                    _log.warning("%s changed while it was copied (%d)", name, attempt)
                    continue
                if state is not None:
                    collected[name] = state
                break
        return collected

    def write(self, collected: Collected) -> None:
        """Put a picture in place of the last one; a service that is not in it keeps its part."""
        with self._writing:
            for service, state in collected.items():
                self._keep(service, state)
            header = {"format": FORMAT, "ministack": reach.PINNED, "services": len(self._lines)}
            temporary = self.path.with_suffix(".new")
            with temporary.open("w", encoding="utf-8") as file:
                file.write("\n".join([json.dumps(header), *self._lines.values()]) + "\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path)

    def _keep(self, service: str, state: Any) -> None:
        persistence = reach.module("core.persistence")
        line = {"service": service, "payload": state}
        try:
            self._lines[service] = json.dumps(line, default=persistence._json_default)
        except (TypeError, ValueError):
            _log.exception("the state of %s cannot be written; the last one stays", service)
