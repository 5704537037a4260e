"""The command line in front of a twin: quick, on a virtual clock, with a user who may answer."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from allowing import Allowing
from command_line import CommandLine
from twin.rounds import Rounds

from tapgen import session
from tapgen.commands import common
from tapgen.session import Session


class Account(Rounds, Allowing):
    """An account whose session the command line opens."""


@dataclass
class Desk:
    """The command line and the account that it meets."""

    line: CommandLine
    scene: Account
    patch: pytest.MonkeyPatch

    def somebody_sits_here(self) -> None:
        """From now on questions can be answered."""
        self.patch.setattr(common, "interactive", lambda: True)

    def press_ctrl_c_at(self, *moments: tuple[str, float], number: int = signal.SIGINT) -> None:
        """Send a signal after each first call of the operation at or after that second."""
        waiting = list(moments)

        def strike(operation: str, when: str) -> None:
            now = self.scene.region.clock.now()
            if (
                when == "after"
                and waiting
                and (operation, True)
                == (
                    waiting[0][0],
                    now >= waiting[0][1],
                )
            ):
                waiting.pop(0)
                os.kill(os.getpid(), number)

        self.scene.region.faults.interrupt = strike


@pytest.fixture
def desk(offline: CommandLine, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A command line in an empty folder, in front of an empty account."""
    scene = Account()

    @contextmanager
    def connect(**_: Any) -> Iterator[Session]:
        yield scene.session

    monkeypatch.setattr(session, "connect", connect)
    return Desk(offline, scene, monkeypatch)
