"""PostgreSQL and Redis as real processes on 127.0.0.1, over TLS, for tests and a laptop.

``postgres`` and ``redis`` are context managers: a server lives as long as the block, and no longer
than the process, however that ends. They run as an unprivileged user, also when root asks. With the
same folder again, PostgreSQL goes on with its data; Redis, a cache, always starts empty. The roles
are those of the deployed system: an owner that is no superuser, a cache user confined to ``vm:*``.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tapgen.local.data_binaries import check_reach, postgres_binaries, redis_binary, server_user
from tapgen.local.data_supervisor import STOP_SECONDS, Order
from tapgen.local.data_tls import HOST, Authority, Certificate
from tapgen.local.errors import LocalError

# Of the storage tier: the database's name and its owner.
DATABASE = "videometadata"
OWNER = "videoadmin"
# Of the cache tier, word for word.
CACHE_USER = "video-app"
CACHE_ACCESS = "on ~vm:* -@all +@read +@write +@connection -@dangerous"
SUPERUSER = "postgres"


class ServerFailed(LocalError):
    """A server did not start."""

    def __init__(self, server: str, reason: str) -> None:
        self.server, self.reason = server, reason
        super().__init__(f"{server} did not start: {reason}")


@dataclass(frozen=True)
class PostgresServer:
    """Where PostgreSQL listens and who may log in.

    ``user`` owns the database as RDS's master user does; ``superuser`` is what RDS keeps to itself.
    """

    host: str
    port: int
    ca_file: Path
    database: str
    user: str
    password: str = field(repr=False)
    superuser: str
    superuser_password: str = field(repr=False)
    # The server's process and that of its supervisor.
    pid: int
    supervisor_pid: int


@dataclass(frozen=True)
class RedisServer:
    """Where Redis listens and who may log in.

    ``user`` is the application's; ``admin`` may do everything, and exists for looking behind it.
    """

    host: str
    port: int
    ca_file: Path
    user: str
    password: str = field(repr=False)
    admin: str
    admin_password: str = field(repr=False)
    pid: int
    supervisor_pid: int


@contextmanager
def fresh_folder() -> Iterator[Path]:
    """A folder that a server of root's can reach too, gone after the block.

    pytest's own folders are closed to all but their user, and root's servers are not root.
    """
    folder = Path(tempfile.mkdtemp(prefix="tapgen-data-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def postgres(
    folder: Path,
    *,
    port: int = 0,
    durable: bool = True,
    settings: Mapping[str, str] | None = None,
) -> Iterator[PostgresServer]:
    """Run PostgreSQL 16 on the data in ``folder``, which is made when there is none.

    ``port`` 0 is any free one. ``durable`` False gives up safety of the data for speed.
    Raises BinaryMissing, OutOfReach or ServerFailed.
    """
    binaries = postgres_binaries()
    folder = _open_folder(folder)
    data, authority = folder / "postgres", Authority(folder / "postgres-tls")
    passwords = _passwords(folder / "postgres.json", (OWNER, SUPERUSER))
    if not (data / "PG_VERSION").exists():
        _make_cluster(binaries.initdb, binaries.postgres, data, passwords)
    scratch = _scratch()
    options = {
        "listen_addresses": "",
        "unix_socket_directories": str(scratch),
        "unix_socket_permissions": "0700",
        "password_encryption": "scram-sha-256",
        "log_min_messages": "warning",
        "shared_buffers": "32MB",
        "timezone": "UTC",
        **({} if durable else {"fsync": "off", "full_page_writes": "off"}),
        **(settings or {}),
    }
    order = _order(
        argv=(
            str(binaries.postgres),
            "-D",
            str(data),
            *(part for name, value in options.items() for part in ("-c", f"{name}={value}")),
        ),
        log=folder / "postgres.log",
        server_socket=scratch / ".s.PGSQL.5432",
        postgres=True,
        certificate=authority.issue("server"),
        port=port,
        scratch=scratch,
        # A fast shutdown writes everything down; an immediate one is for data nobody keeps.
        stop_signal=signal.SIGINT if durable else signal.SIGQUIT,
        death_signal=signal.SIGQUIT,
    )
    with _supervised("PostgreSQL", order) as (found, pid, supervisor):
        yield PostgresServer(
            host=HOST,
            port=found,
            ca_file=authority.ca_file,
            database=DATABASE,
            user=OWNER,
            password=passwords[OWNER],
            superuser=SUPERUSER,
            superuser_password=passwords[SUPERUSER],
            pid=pid,
            supervisor_pid=supervisor,
        )


@contextmanager
def redis(folder: Path, *, port: int = 0) -> Iterator[RedisServer]:
    """Run Redis with the users of the cache tier; ``port`` 0 is any free one.

    Raises BinaryMissing, OutOfReach or ServerFailed.
    """
    binary = redis_binary()
    folder = _open_folder(folder)
    authority = Authority(folder / "redis-tls")
    passwords = _passwords(folder / "redis.json", (CACHE_USER, "admin"))
    scratch = _scratch()
    socket = scratch / "redis"
    hashes = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in passwords.items()}
    # A file, not arguments: those can be read by everybody on the machine.
    config = scratch / "redis.conf"
    _private(
        config,
        "\n".join(
            (
                "port 0",
                f"unixsocket {socket}",
                "unixsocketperm 700",
                'save ""',
                "appendonly no",
                f"dir {scratch}",
                "maxmemory 64mb",
                "maxmemory-policy allkeys-lru",
                "user default off",
                f"user {CACHE_USER} {CACHE_ACCESS} #{hashes[CACHE_USER]}",
                f"user admin on ~* &* +@all #{hashes['admin']}",
                "",
            )
        ),
        server_user(),
    )
    order = _order(
        argv=(str(binary), str(config)),
        log=folder / "redis.log",
        server_socket=socket,
        postgres=False,
        certificate=authority.issue("server"),
        port=port,
        scratch=scratch,
        stop_signal=signal.SIGTERM,
        death_signal=signal.SIGKILL,
    )
    with _supervised("Redis", order) as (found, pid, supervisor):
        yield RedisServer(
            host=HOST,
            port=found,
            ca_file=authority.ca_file,
            user=CACHE_USER,
            password=passwords[CACHE_USER],
            admin="admin",
            admin_password=passwords["admin"],
            pid=pid,
            supervisor_pid=supervisor,
        )


def _order(
    *,
    argv: tuple[str, ...],
    log: Path,
    server_socket: Path,
    postgres: bool,
    certificate: Certificate,
    port: int,
    scratch: Path,
    stop_signal: int,
    death_signal: int,
) -> Order:
    return Order(
        argv=argv,
        user=server_user(),
        log=str(log),
        server_socket=str(server_socket),
        postgres=postgres,
        certificate=str(certificate.certificate),
        key=str(certificate.key),
        port=port,
        scratch=str(scratch),
        stop_signal=stop_signal,
        death_signal=death_signal,
    )


@contextmanager
def _supervised(name: str, order: Order) -> Iterator[tuple[int, int, int]]:
    """Run an order under a supervisor; yields port, the server's pid and the supervisor's."""
    supervisor = subprocess.Popen(
        [sys.executable, "-m", "tapgen.local.data_supervisor", json.dumps(asdict(order))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # A Ctrl-C is for the program in front; the server ends when that one lets go.
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    )
    assert supervisor.stdin is not None
    assert supervisor.stdout is not None
    try:
        line = supervisor.stdout.readline()
        facts: dict[str, Any] = json.loads(line) if line else {"error": "its supervisor ended"}
        if "error" in facts:
            raise ServerFailed(name, facts["error"])
        yield facts["port"], facts["pid"], supervisor.pid
    finally:
        with contextlib.suppress(OSError):
            supervisor.stdin.close()
        try:
            supervisor.wait(2 * STOP_SECONDS)
        except subprocess.TimeoutExpired:
            supervisor.kill()
            supervisor.wait()
        supervisor.stdout.close()


def _make_cluster(
    initdb: Path, postgres_program: Path, data: Path, passwords: Mapping[str, str]
) -> None:
    """A new cluster with the owner's role and database; it appears whole or not at all."""
    user = server_user()
    building = data.with_name(f"{data.name}.new")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(mode=0o700)
    if user is not None:
        os.chown(building, user, user)
    scratch = _scratch()
    try:
        secret = scratch / "password"
        _private(secret, passwords[SUPERUSER], user)
        _run_as(
            user,
            [
                str(initdb),
                f"--pgdata={building}",
                f"--username={SUPERUSER}",
                f"--pwfile={secret}",
                "--auth=scram-sha-256",
                "--locale=C",
                "--encoding=UTF8",
                "--no-sync",
            ],
        )
        statements = (
            # What RDS gives its master user, and no more.
            f"CREATE ROLE {OWNER} LOGIN CREATEDB CREATEROLE PASSWORD '{passwords[OWNER]}'",
            f"CREATE DATABASE {DATABASE} OWNER {OWNER}",
        )
        _run_as(
            user,
            [str(postgres_program), "--single", "-D", str(building), "-c", "fsync=off", "postgres"],
            "\n".join((*statements, "")),
        )
        building.rename(data)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.rmtree(building, ignore_errors=True)


def _run_as(user: int | None, argv: list[str], text: str = "") -> None:
    done = subprocess.run(
        argv,
        input=text.encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
        user=user,
        group=user,
        extra_groups=None if user is None else [],
        check=False,
    )
    output = done.stdout.decode(errors="replace")
    if done.returncode or "ERROR:" in output:
        lines = [line for line in output.splitlines() if line.strip() and "PASSWORD" not in line]
        # The last line may only tell of cleaning up after what a line before it is about.
        telling = [line for line in lines if _TELLING.search(line)] or lines or ["no output"]
        name = Path(argv[0]).name
        raise ServerFailed("PostgreSQL", f"{name}: {telling[-1].removeprefix(f'{name}: ')}")


_TELLING = re.compile(r"error:|ERROR:|FATAL:|PANIC:|could not ")


def _open_folder(folder: Path) -> Path:
    """The folder, absolute and reachable by the server's user. Raises OutOfReach."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    check_reach(folder / "data")
    return folder


def _scratch() -> Path:
    """A folder with a short name: a Unix socket's path has about a hundred characters."""
    # Not TMPDIR, which on a Mac alone takes half of them.
    folder = Path(tempfile.mkdtemp(prefix="tg-", dir="/tmp"))
    user = server_user()
    if user is not None:
        os.chown(folder, user, user)
    return folder


def _private(path: Path, text: str, user: int | None) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    if user is not None:
        os.chown(path, user, user)


def _passwords(path: Path, names: tuple[str, ...]) -> dict[str, str]:
    """Passwords kept beside the data they belong to; made when there are none."""
    if path.exists():
        kept: dict[str, str] = json.loads(path.read_text())
        return kept
    made = {name: secrets.token_hex(24) for name in names}
    _private(path, json.dumps(made), None)
    return made
