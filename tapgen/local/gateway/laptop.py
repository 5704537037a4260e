"""The whole system on a laptop: what ``tapgen local serve`` brings up, and in which order.

The embedded AWS holds the stacks, their secrets and the API key; the environment is deployed there
through the same rollout as anywhere, without asking, since it is local. PostgreSQL and Redis are
real servers behind the endpoints that the stacks export, with the passwords that the stacks'
secrets hold; the schema is brought up by the migration function in its own runtime. The gateway
then serves the template as it is deployed. A queue listens to the topics, for whoever asks what was
announced. The data stays in a folder of the environment's.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tapgen import files
from tapgen.description import Description
from tapgen.engine import rollout, rounds
from tapgen.engine.events import StackFailed
from tapgen.engine.plan import Action
from tapgen.engine.run import Run
from tapgen.files import CannotWrite
from tapgen.local import data, lease
from tapgen.local.errors import PortTaken
from tapgen.local.gateway import databases, errors, room
from tapgen.local.gateway.service import InvokeFailed, InvokeTimedOut
from tapgen.local.gateway.stacks import Stacks
from tapgen.observe import deployed, notices
from tapgen.observe.files import Files
from tapgen.session import Session, connect, new_run_id
from tapgen.settings import Settings

if TYPE_CHECKING:
    from tapgen.local.gateway.description import Function
    from tapgen.local.gateway.runtime import Runtime
    from tapgen.local.gateway.service import Service

# Modules of the extra, and the packages they come with.
NEEDED = {
    "awslambdaric": "awslambdaric",
    "boto3": "boto3",
    "cryptography": "cryptography",
    "jsonschema": "jsonschema",
    "ministack": "ministack",
    "pg8000": "pg8000",
    "redis": "redis",
}
# Tried in turn, so that a second environment finds a place beside the first.
PORTS = range(8080, 8100)
# How long the kept data may take to come up with a new schema.
MIGRATION_SECONDS = 120.0

Tell = Callable[[str], object]
# In the environment's folder, while its API is served.
URL_FILE = "url"


@dataclass(frozen=True)
class Places:
    """Folders: the embedded AWS's, the environments' data, built packages, functions' sources."""

    embedded: Path
    data: Path
    packages: Path
    lambda_source: Path


@dataclass(frozen=True)
class Served:
    """What is up, and where."""

    env: str
    url: str
    key: str
    embedded: lease.Embedded
    postgres: data.PostgresServer
    redis: data.RedisServer
    logs: Path
    seconds: float


@dataclass(frozen=True)
class Order:
    """What to serve. A port that is None is any that is free."""

    description: Description
    settings: Settings
    places: Places
    aws_port: int | None = None
    api_port: int | None = None
    throttled: bool = True


@contextmanager
def served(order: Order, tell: Tell = lambda line: None) -> Iterator[Served]:
    """The ordered environment, up for the length of the block.

    Raises a ``TapgenError``: a part missing, a port taken, the environment served already, a stack
    that does not deploy, a migration that fails.
    """
    _check_parts()
    if order.api_port is not None:
        # Before all the work, not after it.
        _check_port(order.api_port)
    with ExitStack() as stack:
        try:
            up = _brought_up(order, stack, tell)
        except OSError as error:
            if isinstance(error, ConnectionError):
                raise
            raise CannotWrite(Path(error.filename or order.places.data), error) from error
        yield up


def wait(up: Served, embedded_home: Path, tell: Tell = lambda line: None) -> None:
    """Wait for Ctrl-C. Raises ``PartEnded`` when something that is needed ends before."""
    port = int(up.embedded.url.rpartition(":")[2])
    folder = up.logs.parent
    low = False
    while True:
        time.sleep(0.5)
        if not _answers(port):
            raise errors.PartEnded("the embedded AWS", embedded_home / "server.log")
        # A supervisor is our child: its server may be nobody's, and then its end is not seen.
        if not (_runs(up.postgres.pid) and _runs(up.postgres.supervisor_pid)):
            raise errors.PartEnded("PostgreSQL", folder / "postgres.log")
        if not (_runs(up.redis.pid) and _runs(up.redis.supervisor_pid)):
            raise errors.PartEnded("Redis", folder / "redis.log")
        was_low, low = low, room.free(folder) < room.LOW_BYTES
        if low and not was_low:
            tell(f"the disk of {folder} is full: what changes now may be lost; make room")


def log_files(places: Places, env: str) -> tuple[Files, ...]:
    """The log files of everything that runs here for an environment, by source."""
    folder = places.data / env
    return (
        Files("api", folder / "logs", "*.log"),
        Files("database", folder, "postgres.log"),
        Files("cache", folder, "redis.log"),
        Files("aws", places.embedded, "server.log"),
    )


def _brought_up(order: Order, stack: ExitStack, tell: Tell) -> Served:
    started = time.monotonic()
    settings, places = order.settings, order.places
    folder = places.data / settings.env
    room.check(folder)
    stack.enter_context(_alone(settings.env, folder))
    embedded = stack.enter_context(lease.lease(places.embedded, order.aws_port))
    session = stack.enter_context(
        connect(local=True, home=places.embedded, profile=None, variables=os.environ)
    )
    with ThreadPoolExecutor(2) as pool:
        # The servers come up while the stacks do.
        starting = pool.submit(databases.postgres, stack, folder)
        redis_starting = pool.submit(databases.redis, stack, folder)
        code = _deployed(session, order, tell)
    postgres, redis = starting.result(), redis_starting.result()
    live = Stacks(session, order.description, settings.env, embedded)
    databases.set_owner_password(postgres, live.secret("DbSecretArn"), folder)
    databases.set_cache_password(redis, live.secret("RedisSecretArn"), folder)
    environ = databases.environ(embedded, postgres, redis)
    runtimes = _runtimes(stack, live, code, folder, environ)
    _migrate(runtimes[live.migration], folder)
    topics = deployed.topics(session.cloud, order.description, settings.env)
    notices.listen(session.services, topics, notices.queue_name(settings.env))
    service = _service(stack, live, runtimes, folder, throttled=order.throttled)
    port = _listen(stack, service, order.api_port)
    url = f"http://127.0.0.1:{port}/{service.api.stage}"
    stack.enter_context(_told(folder / URL_FILE, url))
    return Served(
        env=settings.env,
        url=url,
        key=next(iter(live.key_values().values()), ""),
        embedded=embedded,
        postgres=postgres,
        redis=redis,
        logs=folder / "logs",
        seconds=time.monotonic() - started,
    )


def _check_parts() -> None:
    for module, package in NEEDED.items():
        if importlib.util.find_spec(module) is None:
            raise errors.ExtraMissing(package)


def _check_port(port: int) -> None:
    from tapgen.local.gateway.listener import HOST

    try:
        socket.create_server((HOST, port)).close()
    except OSError:
        raise PortTaken(port) from None


@contextmanager
def _told(path: Path, url: str) -> Iterator[None]:
    """Let other commands know where the API is, for as long as it is there."""
    files.write(path, url.encode())
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def _alone(env: str, folder: Path) -> Iterator[None]:
    """Hold the environment's folder; a process that is gone holds nothing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("a+")
    except OSError as error:
        raise CannotWrite(folder, error) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise errors.AlreadyServed(env, lock.read().strip()) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _deployed(session: Session, order: Order, tell: Tell) -> dict[str, tuple[Path, str]]:
    """Bring the environment up in the embedded AWS; packages and digests by their key."""
    settings, places = order.settings, order.places
    planned = rollout.prepare(
        session,
        order.description,
        settings,
        (),
        lambda_source=places.lambda_source,
        packages_folder=places.packages,
    )
    steps = [step for step in planned.steps() if step.action is not Action.KEEP]
    if steps:
        tell(f"deploying {len(steps)} stacks of {settings.env} to the embedded AWS")
        run = Run(
            new_run_id(),
            session.cloud,
            session.clock,
            session.poller(),
            settings.concurrency,
            # It is local: what never came up has nothing to lose.
            recreate=frozenset(s.stack for s in steps if s.action is Action.RECREATE),
        )
        failed = [
            event.stack
            for event in rounds.carry_out(session, planned, run)
            if isinstance(event, StackFailed)
        ]
        if failed:
            raise errors.NotDeployed(settings.env, ", ".join(failed))
    return {built.key: (built.path, built.digest) for _, built in planned.assets}


def _runtimes(
    stack: ExitStack,
    live: Stacks,
    code: Mapping[str, tuple[Path, str]],
    folder: Path,
    environ: Mapping[str, str],
) -> dict[str, Runtime]:
    """A runtime for each function of the API's stack, by the function's name."""
    from tapgen.local.gateway import description
    from tapgen.local.gateway.runtime import Deployed, Runtime
    from tapgen.local.gateway.unpacked import unpacked

    found = {}
    for function in description.functions(live.document, live.live).values():
        package, digest = code[function.code_key]
        place = unpacked(package.resolve(), digest, folder.resolve() / "code")
        runtime = Runtime(Deployed(function, place, environ, _log(folder, function)))
        stack.callback(runtime.close)
        found[function.name] = runtime
    return found


def _log(folder: Path, function: Function) -> Path:
    return folder / "logs" / f"{function.name}.log"


def _migrate(runtime: Runtime, folder: Path) -> None:
    log = folder / "logs"
    try:
        runtime.invoke(b"{}", seconds=MIGRATION_SECONDS)
    except InvokeFailed as error:
        raise errors.NotMigrated(str(error), log) from None
    except InvokeTimedOut:
        raise errors.NotMigrated(f"no end within {MIGRATION_SECONDS:.0f} seconds", log) from None
    finally:
        # Nobody needs it again.
        runtime.close()


def _service(
    stack: ExitStack,
    live: Stacks,
    runtimes: Mapping[str, Runtime],
    folder: Path,
    *,
    throttled: bool,
) -> Service:
    from tapgen.local.gateway import description
    from tapgen.local.gateway.service import Service
    from tapgen.local.gateway.turn import Request

    functions = description.functions(live.document, live.live)
    access_log = stack.enter_context((folder / "logs" / "access.log").open("a", buffering=1))

    def invoke(function: str, payload: bytes, *, seconds: float, trace: str = "") -> bytes:
        runtime = runtimes[functions[function].name]
        return runtime.invoke(payload, seconds=seconds, trace=trace)

    service = Service(
        description.api(live.document, live.live),
        invoke=invoke,
        key_values=live.key_values(),
        log=lambda line: access_log.write(f"{line}\n"),
        throttled=throttled,
    )
    # The first environment is made now: whoever sends the first request would wait for it.
    service.answer(Request("GET", f"/{service.api.stage}/health"))
    return service


def _listen(stack: ExitStack, service: Service, port: int | None) -> int:
    from tapgen.local.gateway.listener import listening

    if port is not None:
        return stack.enter_context(listening(service, port))
    for candidate in PORTS:
        try:
            return stack.enter_context(listening(service, candidate))
        except PortTaken:
            continue
    return stack.enter_context(listening(service))


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


def _runs(pid: int) -> bool:
    try:
        # A child of ours that has ended is there until somebody asks how.
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return False
    except ChildProcessError:
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def forget(places: Places) -> None:
    """Remove the data of every environment. Raises ``AlreadyServed`` when one is in use."""
    import shutil

    if not places.data.is_dir():
        return
    for folder in sorted(places.data.iterdir()):
        with _alone(folder.name, folder):
            for entry in folder.iterdir():
                if entry.name != "lock":
                    _remove(entry)
        shutil.rmtree(folder, ignore_errors=True)


def _remove(entry: Path) -> Any:
    import shutil

    return shutil.rmtree(entry, ignore_errors=True) if entry.is_dir() else entry.unlink()
