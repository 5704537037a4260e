"""The log files of local processes as a feed of lines.

Each program writes its time in a form of its own. A line without one, of a traceback say, belongs
to the line before it. Files that appear later are found, and one that starts afresh is read anew.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tapgen.observe.lines import Line

# Some lines are as long as a video's metadata; none is as long as this.
_READ_BYTES = 1 << 20


@dataclass(frozen=True)
class Files:
    """Files of ``folder`` that match ``pattern`` belong to ``source``."""

    source: str
    folder: Path
    pattern: str


@dataclass
class _Read:
    """How far a file was read; ``rest`` is a line that has no end yet."""

    inode: int
    offset: int = 0
    rest: bytes = b""
    last: datetime | None = None


@dataclass
class LogFiles:
    """A feed of the lines of ``files`` from ``since`` on. A file that cannot be read has none.

    ``whole`` says that a last line without an end is told too, for who reads once.
    """

    files: Sequence[Files]
    since: datetime
    whole: bool = True
    _read: dict[Path, _Read] = field(default_factory=dict)

    def read(self) -> Iterator[Line]:
        """New lines of all files, by time."""
        found = [
            line
            for group in self.files
            for path in sorted(group.folder.glob(group.pattern))
            for line in self._new(group.source, path)
        ]
        return iter(sorted(found, key=lambda line: line.at))

    def _new(self, source: str, path: Path) -> Iterator[Line]:
        with suppress(OSError), path.open("rb") as opened:
            status = os.fstat(opened.fileno())
            read = self._read.get(path)
            if read is None or read.inode != status.st_ino or read.offset > status.st_size:
                read = self._read[path] = _Read(status.st_ino)
            opened.seek(read.offset)
            default = datetime.fromtimestamp(status.st_mtime, UTC)
            while chunk := opened.read(_READ_BYTES):
                read.offset += len(chunk)
                *ended, read.rest = (read.rest + chunk).split(b"\n")
                yield from self._told(source, path, read, ended, default)
            if self.whole and read.rest:
                yield from self._told(source, path, read, [read.rest], default)
                read.rest = b""

    def _told(
        self, source: str, path: Path, read: _Read, texts: Sequence[bytes], default: datetime
    ) -> Iterator[Line]:
        for raw in texts:
            text = raw.decode("utf-8", "replace").rstrip("\r")
            read.last = time_of(text) or read.last or default
            if text.strip() and read.last >= self.since:
                yield Line(read.last, source, str(path), _LEADING.sub("", text, 1))


def time_of(text: str) -> datetime | None:
    """When a line says that it was written; None where it does not, or in no form known."""
    for pattern, parse in _FORMS:
        found = pattern.search(text[:_LOOKED_AT])
        if found is not None:
            with suppress(ValueError, OverflowError):
                return parse(found)
    return None


def _iso(found: re.Match[str]) -> datetime:
    # 10:00:00,432+0000 too: logging's comma, and a zone without its colon.
    moment = datetime.fromisoformat(found[1].replace(",", ".").replace(" ", "T", 1).strip())
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _epoch(found: re.Match[str]) -> datetime:
    return datetime.fromtimestamp(int(found[1]) / 1000, UTC)


def _form(form: str) -> Callable[[re.Match[str]], datetime]:
    def parse(found: re.Match[str]) -> datetime:
        moment = datetime.strptime(found[1], form)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    return parse


# A time stands near the beginning, but a function's record may have its message before it.
_LOOKED_AT = 2000
_ISO = r"(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:[.,]\d{1,6})?(?:Z|[+-]\d\d:?\d\d)?)"
_REDIS = r"\d+:[A-Z] (\d\d \w{3} \d{4} \d\d:\d\d:\d\d\.\d{3}) "
# A time at the beginning is the line's, and is told with it.
_LEADING = re.compile(rf"^(?:\[?{_ISO}\]?(?: UTC)?|{_REDIS})\s*")
_FORMS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], datetime]], ...] = (
    # The fields that hold a record's own time, before any time in its text.
    (re.compile(rf'"(?:time|timestamp)": ?"{_ISO}"'), _iso),
    (
        re.compile(r'"requestTime": ?"(\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})"'),
        _form("%d/%b/%Y:%H:%M:%S %z"),
    ),
    (re.compile(r'"Timestamp": ?(\d{13})\b'), _epoch),
    # PostgreSQL, Python's logging and most others begin with it.
    (re.compile(rf"^\[?{_ISO}"), _iso),
    # Redis: 1501:M 23 Nov 2026 16:24:47.526 *
    (
        re.compile(f"^{_REDIS}"),
        _form("%d %b %Y %H:%M:%S.%f"),
    ),
)
