"""What validating needs beside the package itself, and the one error for its absence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tapgen.errors import TapgenError


class MissingExtra(TapgenError):
    """An optional dependency that is not installed."""

    def __init__(self, module: str) -> None:
        self.module = module
        super().__init__(f"validate needs the extra ({module}): pip install 'tapgen[validate]'")


@contextmanager
def needed(module: str) -> Iterator[None]:
    """Turn a failed import of ``module`` into ``MissingExtra``."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != module:
            raise
        raise MissingExtra(module) from None
