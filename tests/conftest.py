"""What many tests start from: the described documents, the embedded AWS; only where asked for."""

from __future__ import annotations

from typing import Any

import pytest

# The fixtures' names are what makes them known to pytest.
from command_line import offline, packages, tapgen
from hypothesis import settings
from local_aws import aws_account, embedded
from permissions import open_folder

from tapgen import app

# A red run is about the change at hand: the same examples each time, and no clock. To look for new
# ones: pytest --hypothesis-profile=search
settings.register_profile("same", max_examples=50, derandomize=True, deadline=None)
settings.register_profile("search", max_examples=5000, deadline=None)
settings.load_profile("same")

__all__ = ["aws_account", "documents", "embedded", "offline", "open_folder", "packages", "tapgen"]


@pytest.fixture(scope="session")
def documents() -> dict[str, dict[str, Any]]:
    """Every stack's document by tier name. Shared: read it, change a copy."""
    return app.documents()
