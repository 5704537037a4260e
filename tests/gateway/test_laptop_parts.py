"""Parts of ``tapgen local serve`` that need no system around them."""

from __future__ import annotations

import dataclasses
import os
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import CommandLine

from tapgen.files import CannotWrite
from tapgen.local.data import PostgresServer, RedisServer
from tapgen.local.gateway import laptop, room
from tapgen.local.gateway.errors import ExtraMissing, PartEnded
from tapgen.local.gateway.unpacked import unpacked
from tapgen.local.lease import Embedded


@pytest.fixture
def ended() -> int:
    """The pid of a process that is gone."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def up(tmp_path: Path) -> Iterator[laptop.Served]:
    """Everything running, as far as pids and ports tell."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        me, ca = os.getpid(), tmp_path / "ca.pem"
        yield laptop.Served(
            env="demo",
            url="",
            key="",
            embedded=Embedded(url, "ap-northeast-1", "0", "0", "0"),
            postgres=PostgresServer("127.0.0.1", 1, ca, "d", "u", "p", "s", "p", me, me),
            redis=RedisServer("127.0.0.1", 1, ca, "u", "p", "a", "p", me, me),
            logs=tmp_path / "logs",
            seconds=1.0,
        )


@pytest.mark.parametrize(
    ("part", "text"),
    [
        ("postgres", "PostgreSQL ended unexpectedly; see {}/postgres.log"),
        ("redis", "Redis ended unexpectedly; see {}/redis.log"),
    ],
)
def test_a_server_that_ends_is_told_with_its_log(
    up: laptop.Served, ended: int, tmp_path: Path, part: str, text: str
) -> None:
    server = dataclasses.replace(getattr(up, part), pid=ended)
    broken = dataclasses.replace(up, **{part: server})

    with pytest.raises(PartEnded) as caught:
        laptop.wait(broken, tmp_path)

    assert str(caught.value) == text.format(tmp_path)


@pytest.mark.parametrize("part", ["postgres", "redis"])
def test_a_supervisor_that_ended_counts_before_anybody_has_asked_how(
    up: laptop.Served, tmp_path: Path, part: str
) -> None:
    supervisor = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, supervisor.pid, os.WEXITED | os.WNOWAIT)
    server = dataclasses.replace(getattr(up, part), supervisor_pid=supervisor.pid)

    with pytest.raises(PartEnded):
        laptop.wait(dataclasses.replace(up, **{part: server}), tmp_path)
    supervisor.wait()


def test_too_little_room_is_told_before_anything_is_made(
    offline: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "free", lambda folder: 60_000_000)

    told = offline("local", "serve")

    assert (told.status, told.line) == (
        1,
        "tapgen: the disk of .tapgen/local-data/demo has 60 MB left, and the local system takes "
        "up to 150 MB; make room and run it again",
    )
    assert not (offline.folder / ".tapgen").exists()


def test_kept_data_needs_less_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "free", lambda folder: 60_000_000)
    (tmp_path / "postgres").mkdir()

    room.check(tmp_path)


def test_the_room_of_a_folder_to_be_is_that_of_the_nearest_there_is(tmp_path: Path) -> None:
    there, to_be = room.free(tmp_path), room.free(tmp_path / "a" / "b")

    assert there > 0
    assert abs(there - to_be) < 100_000_000


def test_a_disk_that_gets_full_while_it_serves_is_told_once(
    up: laptop.Served, tmp_path: Path, ended: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = iter([50_000_000, 5_000_000, 4_000_000, 50_000_000, 3_000_000])
    redis = dataclasses.replace(up.redis, pid=ended)
    told: list[str] = []

    def free(folder: Path) -> int:
        found = next(left)
        if found == 3_000_000:
            # The next look is the last one.
            object.__setattr__(up, "redis", redis)
        return found

    monkeypatch.setattr(room, "free", free)
    monkeypatch.setattr("time.sleep", lambda seconds: None)

    with pytest.raises(PartEnded):
        laptop.wait(up, tmp_path, told.append)

    assert told == [f"the disk of {tmp_path} is full: what changes now may be lost; make room"] * 2


def test_an_embedded_aws_that_ends_is_told_with_its_log(up: laptop.Served, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    broken = dataclasses.replace(up, embedded=dataclasses.replace(up.embedded, url=url))

    with pytest.raises(PartEnded) as caught:
        laptop.wait(broken, tmp_path)

    assert str(caught.value) == f"the embedded AWS ended unexpectedly; see {tmp_path}/server.log"


def test_a_part_that_is_not_installed_is_named_with_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(laptop.NEEDED, "no_such_module", "no-such-package")

    with pytest.raises(ExtraMissing) as caught:
        laptop._check_parts()

    assert str(caught.value) == "no-such-package is not installed: pip install 'tapgen[local]'"


def test_a_file_where_the_data_should_go_is_one_line(offline: CommandLine) -> None:
    (offline.folder / ".tapgen").mkdir()
    (offline.folder / ".tapgen" / "local-data").write_text("in the way")

    told = offline("local", "serve")

    assert told.status == 1
    assert told.line.startswith("tapgen: cannot write .tapgen/local-data/demo: ")


def test_an_environment_needs_a_suffix_that_names_allow(offline: CommandLine) -> None:
    told = offline("local", "serve", "--env", "Not One")

    assert told.status == 2
    assert told.line.startswith("tapgen: environment suffix 'Not One' has upper-case letters")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    path = tmp_path / "package.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("code/handler.py", "x = 1")
    return path


def test_a_package_is_unpacked_once_by_its_digest(package: Path, tmp_path: Path) -> None:
    first = unpacked(package, "a" * 64, tmp_path / "code")
    (first / "mark").touch()
    again = unpacked(package, "a" * 64, tmp_path / "code")

    assert (first / "code" / "handler.py").read_text() == "x = 1"
    assert again == first
    assert (again / "mark").exists()


def test_older_code_goes_and_leftovers_with_it(package: Path, tmp_path: Path) -> None:
    cache = tmp_path / "code"
    (cache / ".part-left").mkdir(parents=True)
    os.utime(cache / ".part-left", (1, 1))

    for number, digest in enumerate("abc"):
        os.utime(unpacked(package, digest * 64, cache), (number + 10, number + 10))

    assert sorted(path.name[:1] for path in cache.iterdir()) == ["b", "c"]


def test_a_package_that_cannot_be_unpacked_leaves_nothing(tmp_path: Path, package: Path) -> None:
    (tmp_path / "code").write_text("in the way")

    with pytest.raises(CannotWrite):
        unpacked(package, "a" * 64, tmp_path / "code")
