"""Writing a file whole or not at all, and saying in one line why not."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from tapgen.errors import TapgenError


class CannotWrite(TapgenError):
    """A file or folder that could not be written; what stood there before still stands."""

    def __init__(self, path: Path, error: OSError) -> None:
        self.path, self.error = path, error
        super().__init__(f"cannot write {path}: {_reason(error)}; {_remedy(error)}")


class CannotRead(TapgenError):
    """A file that is there and could not be read as text."""

    def __init__(self, path: Path, error: Exception) -> None:
        self.path, self.error = path, error
        why = _reason(error) if isinstance(error, OSError) else "it is not UTF-8 text"
        super().__init__(f"cannot read {path}: {why}; check the file and its permissions")


def read_text(path: Path) -> str | None:
    """Return the text of ``path``, None where there is no such file. Raises ``CannotRead``."""
    try:
        return path.read_bytes().decode()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise CannotRead(path, error) from error


def write(path: Path, content: bytes, *, mode: int = 0o666) -> None:
    """Put ``content`` at ``path``: written beside it, flushed to the disk, then renamed onto it.

    ``mode`` are the permissions of the new file, before the umask takes its own. Raises
    ``CannotWrite``. Whatever interrupts it, the old file stays and nothing else is left.
    """
    # Named before it is made: an interruption finds what to remove, whenever it comes.
    part = path.with_name(f".{path.name}.{os.urandom(8).hex()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(part, "xb", opener=lambda name, how: os.open(name, how, mode)) as opened:
                opened.write(content)
                opened.flush()
                os.fsync(opened.fileno())
            os.replace(part, path)
        except BaseException:
            with contextlib.suppress(OSError):
                part.unlink()
            raise
    except OSError as error:
        raise CannotWrite(path, error) from error


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _remedy(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "make room on the disk and run it again"
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return "a file stands where a folder is needed: move it, or choose another folder"
    return "check its permissions, or choose another folder"
