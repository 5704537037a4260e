"""What many tests start from: the described documents, the embedded AWS; only where asked for."""

from __future__ import annotations

import gc
import signal
from pathlib import Path
from typing import Any

import pytest

# The fixtures' names are what makes them known to pytest.
from command_line import offline, packages, tapgen
from command_on_twin import desk
from hypothesis import settings
from local_aws import aws_account, embedded
from permissions import open_folder
from worlds import world

from tapgen import app

# Whoever starts the tests in the background of a shell without job control has them ignore Ctrl-C,
# and with them every process they start and interrupt on purpose.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A red run is about the change at hand: the same examples each time, and no clock. To look for new
# ones: pytest --hypothesis-profile=search
settings.register_profile("same", max_examples=50, derandomize=True, deadline=None)
settings.register_profile("search", max_examples=5000, deadline=None)
settings.load_profile("same")

__all__ = [
    "aws_account",
    "desk",
    "documents",
    "embedded",
    "offline",
    "open_folder",
    "packages",
    "tapgen",
    "world",
]


@pytest.fixture(scope="session")
def documents() -> dict[str, dict[str, Any]]:
    """Every stack's document by tier name. Shared: read it, change a copy."""
    return app.documents()


# What starts servers and processes, by fixture or by folder; `make quick` leaves it out.
_SERVED = {"embedded", "aws_account", "tapgen", "deployed", "account", "postgres", "redis"}
_FOLDERS = ("integration", "gateway", "lambda_src", "local")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that needs a server, so that the others can be run without thinking."""
    for item in items:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        if folder in _FOLDERS or _SERVED & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.served)


def pytest_collection_finish() -> None:
    """Look no more at what was collected: it stays to the end, and looking costs a tenth."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
