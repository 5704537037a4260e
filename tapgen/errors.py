"""Everything that tapgen reports on purpose, and the exit status of each kind.

A ``TapgenError`` is one line: what, where, what next. Its facts are attributes, so that a caller
can act on them. An exception of another class is a bug and keeps its traceback.
"""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """The whole vocabulary of exit statuses."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    DIFFERENT = 3
    INTERRUPTED = 130


class TapgenError(Exception):
    """A refusal or a failure that the user can do something about."""

    status = Exit.FAILED


class UsageError(TapgenError):
    """The command line or a settings file asks for something that is not there."""

    status = Exit.USAGE


class Declined(TapgenError):
    """A prompt was answered with no: nothing was done, and that is not success."""

    status = Exit.INTERRUPTED
