"""What many tests start from: the described documents, the embedded AWS; only where asked for."""

from __future__ import annotations

from typing import Any

import pytest

# The fixtures' names are what makes them known to pytest.
from local_aws import aws_account, embedded

from tapgen import app

__all__ = ["aws_account", "documents", "embedded"]


@pytest.fixture(scope="session")
def documents() -> dict[str, dict[str, Any]]:
    """Every stack's document by tier name. Shared: read it, change a copy."""
    return app.documents()
