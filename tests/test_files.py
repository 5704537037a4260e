"""A file is written whole or not at all, whatever goes wrong, and what went wrong is told."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from permissions import common_user

from tapgen import files

OLD, NEW = b"old\n", b"new and longer\n" * 5000


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "network.yaml"
    path.write_bytes(OLD)
    return path


def failing(error: BaseException) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> Any:
        raise error

    return fail


def test_a_file_is_written_with_its_folders(tmp_path: Path) -> None:
    path = tmp_path / "deep/er/network.yaml"

    files.write(path, NEW)

    assert path.read_bytes() == NEW
    assert [found.name for found in path.parent.iterdir()] == ["network.yaml"]


def test_a_file_is_replaced_not_written_into(old: Path) -> None:
    other = old.with_name("linked.yaml")
    os.link(old, other)

    files.write(old, NEW)

    assert old.read_bytes() == NEW
    # A reader who had it open, or another name of it, still has the old one whole.
    assert other.read_bytes() == OLD


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_a_new_file_may_be_read_by_whom_the_user_lets(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        files.write(tmp_path / "a.yaml", NEW)
        after = os.umask(mask)
    finally:
        os.umask(before)

    assert (tmp_path / "a.yaml").stat().st_mode & 0o777 == 0o666 & ~mask
    assert after == mask


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.ENOSPC, "no space left on device; make room on the disk and run it again"),
        (errno.EDQUOT, "disk quota exceeded; make room on the disk and run it again"),
        (
            errno.EIO,
            "input/output error; check its permissions, or choose another folder",
        ),
    ],
)
def test_a_failure_at_any_step_keeps_the_old_file_and_leaves_nothing_else(
    old: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, told: str
) -> None:
    # No file system can be made to fail at one chosen call without root.
    monkeypatch.setattr(os, call, failing(OSError(number, os.strerror(number))))

    with pytest.raises(files.CannotWrite) as caught:
        files.write(old, NEW)

    monkeypatch.undo()
    assert str(caught.value) == f"cannot write {old}: {told}"
    assert (caught.value.path, caught.value.error.errno) == (old, number)
    assert old.read_bytes() == OLD
    assert list(old.parent.iterdir()) == [old]


def test_a_write_that_the_system_cuts_short_keeps_the_old_file(old: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(files.CannotWrite, match="file too large"):
            files.write(old, NEW)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert old.read_bytes() == OLD
    assert list(old.parent.iterdir()) == [old]


def test_a_device_that_is_full_is_told_so() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("there is no /dev/full here")
    with full.open("wb", buffering=0) as device, pytest.raises(OSError, match="No space") as met:
        device.write(NEW)

    assert str(files.CannotWrite(full, met.value)) == (
        "cannot write /dev/full: no space left on device; make room on the disk and run it again"
    )


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_an_interruption_at_any_step_keeps_the_old_file_and_goes_on_up(
    old: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    monkeypatch.setattr(os, call, failing(KeyboardInterrupt()))

    with pytest.raises(KeyboardInterrupt):
        files.write(old, NEW)

    monkeypatch.undo()
    assert old.read_bytes() == OLD
    assert list(old.parent.iterdir()) == [old]


WRITER = """
import sys
from pathlib import Path
from tapgen import files
path = Path(sys.argv[1])
print("go", flush=True)
number = 0
while True:
    number += 1
    files.write(path, (b"%d\\n" % number) * 20000)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_process_that_is_ended_while_writing_leaves_a_whole_file(
    tmp_path: Path, number: signal.Signals
) -> None:
    path = tmp_path / "network.yaml"
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "go\n"
        threading.Event().wait(0.15)
        # More than once: an interrupt that arrives in a callback of the interpreter's is dropped.
        while writer.poll() is None:
            writer.send_signal(number)
            threading.Event().wait(0.5)

    lines = path.read_text().splitlines()
    assert (len(lines), len(set(lines))) == (20000, 1)
    if number is signal.SIGINT:
        assert list(tmp_path.iterdir()) == [path]
    else:
        # Nobody can clean up after SIGKILL; what is left is hidden and taken for no template.
        assert all(found == path or found.name.startswith(".") for found in tmp_path.iterdir())


def test_many_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "network.yaml"
    contents = [bytes([65 + number]) * 50_000 for number in range(8)]
    writers = [threading.Thread(target=files.write, args=(path, text)) for text in contents]

    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert path.read_bytes() in contents
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_takes_no_files_is_named(open_folder: Path) -> None:
    folder = open_folder / "out"
    folder.mkdir(mode=0o555)

    with common_user(), pytest.raises(files.CannotWrite) as caught:
        files.write(folder / "network.yaml", NEW)

    folder.chmod(0o755)
    assert str(caught.value) == (
        f"cannot write {folder / 'network.yaml'}: permission denied; "
        "check its permissions, or choose another folder"
    )


def test_a_file_where_the_folder_should_be_is_named(old: Path) -> None:
    for path in (old / "a.yaml", old / "deep/a.yaml"):
        with pytest.raises(files.CannotWrite) as caught:
            files.write(path, NEW)

        assert str(caught.value).startswith(f"cannot write {path}: ")
        assert str(caught.value).endswith(
            "; a file stands where a folder is needed: move it, or choose another folder"
        )
    assert old.read_bytes() == OLD


def test_a_folder_where_the_file_should_be_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "network.yaml"
    (path / "something").mkdir(parents=True)

    with pytest.raises(files.CannotWrite, match="is a directory"):
        files.write(path, NEW)

    assert list(tmp_path.iterdir()) == [path]
    assert [found.name for found in path.iterdir()] == ["something"]


def test_text_is_read_as_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes("é\r\n".encode())

    assert files.read_text(path) == "é\r\n"


def test_a_file_that_is_not_there_has_no_text(old: Path) -> None:
    assert files.read_text(old.with_name("other.yaml")) is None
    assert files.read_text(old / "below.yaml") is None


def test_what_is_not_text_is_told_so(old: Path) -> None:
    old.write_bytes(b"\xff\xfe")

    with pytest.raises(files.CannotRead) as caught:
        files.read_text(old)

    assert str(caught.value) == (
        f"cannot read {old}: it is not UTF-8 text; check the file and its permissions"
    )
    assert caught.value.path == old
    assert isinstance(caught.value.error, UnicodeDecodeError)


def test_what_may_not_be_read_is_told_so(open_folder: Path) -> None:
    path = open_folder / "closed.yaml"
    path.write_bytes(OLD)
    path.chmod(0)

    with common_user(), pytest.raises(files.CannotRead) as caught:
        files.read_text(path)

    assert str(caught.value) == (
        f"cannot read {path}: permission denied; check the file and its permissions"
    )


def test_an_error_without_a_system_s_text_is_told_in_its_own(tmp_path: Path) -> None:
    assert "cannot read x: odd; check" in str(files.CannotRead(Path("x"), OSError("Odd")))
