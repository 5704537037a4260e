"""Everything of ministack that the launcher reaches into, by name.

None of it is a public interface, so one version is pinned, and everybody comes through here: a
test reads off this package's source which names are used, and holds them against the emulator.
A new version that breaks the launcher is reported as a missing name, not as a stack that deploys
a little less.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

PINNED = "1.5.33"
_INFO = "ministack-*.dist-info"


def module(name: str) -> Any:
    """The emulator's module ``name``, below ``ministack``."""
    return importlib.import_module(f"ministack.{name}")


def service(name: str) -> Any:
    """One service of the emulator."""
    return module(f"services.{name}")


def cloudformation(name: str = "") -> Any:
    """One module of the emulator's CloudFormation, or the package that holds its stores."""
    return module("services.cloudformation" + (f".{name}" if name else ""))


def installed() -> str:
    """The installed version, read off its metadata folder; empty when there is none.

    Not by ``importlib.metadata``: its import alone takes longer than the server's other modules.
    """
    spec = importlib.util.find_spec("ministack")
    if spec is None or spec.origin is None:
        return ""
    site = Path(spec.origin).parent.parent
    return next(
        (found.name.removesuffix(".dist-info").partition("-")[2] for found in site.glob(_INFO)), ""
    )
