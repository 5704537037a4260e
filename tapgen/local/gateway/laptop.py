"""The whole API on a laptop: what ``tapgen local serve`` brings up, and in which order.

The embedded AWS holds the stacks, their secrets and the API key; the environment is deployed there
through the same rollout as anywhere, without asking, since it is local. PostgreSQL and Redis are
real servers behind the endpoints that the stacks export, with the passwords that the stacks'
secrets hold; the schema is brought up by the migration function in its own runtime. The gateway
then serves the template as it is deployed. The data stays in a folder of the environment's.
"""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tapgen import aws, yaml_text
from tapgen.cloud import DeployedStack
from tapgen.description import Description
from tapgen.engine import rollout, rounds
from tapgen.engine.deploy import Run
from tapgen.engine.events import StackFailed
from tapgen.engine.plan import Action
from tapgen.files import CannotWrite
from tapgen.local import data, lease
from tapgen.local.errors import PortTaken
from tapgen.local.gateway import databases, errors
from tapgen.local.gateway.service import InvokeFailed, InvokeTimedOut
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
            raise CannotWrite(Path(error.filename or order.places.data), error) from error
        yield up


def wait(up: Served, embedded_home: Path) -> None:
    """Wait for Ctrl-C. Raises ``PartEnded`` when something that is needed ends before."""
    port = int(up.embedded.url.rpartition(":")[2])
    folder = up.logs.parent
    while True:
        time.sleep(0.5)
        if not _answers(port):
            raise errors.PartEnded("the embedded AWS", embedded_home / "server.log")
        if not _runs(up.postgres.pid):
            raise errors.PartEnded("PostgreSQL", folder / "postgres.log")
        if not _runs(up.redis.pid):
            raise errors.PartEnded("Redis", folder / "redis.log")


def _brought_up(order: Order, stack: ExitStack, tell: Tell) -> Served:
    started = time.monotonic()
    settings, places = order.settings, order.places
    folder = places.data / settings.env
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
    live = _Stacks(session, order.description, settings.env, embedded)
    databases.set_owner_password(postgres, live.secret("DbSecretArn"), folder)
    databases.set_cache_password(redis, live.secret("RedisSecretArn"), folder)
    environ = databases.environ(embedded, postgres, redis)
    runtimes = _runtimes(stack, live, code, folder, environ)
    _migrate(runtimes[live.migration], folder)
    service = _service(stack, live, runtimes, folder, throttled=order.throttled)
    port = _listen(stack, service, order.api_port)
    return Served(
        env=settings.env,
        url=f"http://127.0.0.1:{port}/{service.api.stage}",
        key=next(iter(live.key_values().values()), ""),
        embedded=embedded,
        postgres=postgres,
        redis=redis,
        logs=folder / "logs",
        seconds=time.monotonic() - started,
    )


class _Stacks:
    """What the stacks of an environment say of themselves."""

    def __init__(
        self, session: Session, description: Description, env: str, embedded: lease.Embedded
    ) -> None:
        from tapgen.local.gateway.reading import Live

        self.api = self._stack(session, description.stack_name("api", env))
        self.document = yaml_text.load(session.cloud.template(self.api.id))
        self.exports = {
            name: value
            for stack in session.cloud.stacks("tap-")
            for name, value in stack.exports.items()
        }
        self.live = Live(
            account=embedded.account,
            region=embedded.region,
            parameters=self.api.parameters,
            ids={
                item.logical_id: item.physical_id for item in session.cloud.resources(self.api.id)
            },
            exports=self.exports,
        )
        self.migration = self.api.outputs["MigrationFunctionName"]
        self._env = env
        self._aws = aws.connect(
            None, aws.Endpoint(embedded.url, embedded.access_key, embedded.secret_key)
        )

    def key_values(self) -> dict[str, str]:
        """Values of the API's keys by id."""
        found = self._aws.call(
            "apigateway", "get_api_key", apiKey=self.api.outputs["ApiKeyId"], includeValue=True
        )
        return {found["id"]: found["value"]}

    def secret(self, export: str) -> Mapping[str, str]:
        """User and password of the secret whose ARN is exported."""
        arn = self.exports[f"tap-{self._env}-{export}"]
        answer = self._aws.call("secretsmanager", "get_secret_value", SecretId=arn)
        found: dict[str, str] = json.loads(answer["SecretString"])
        return found

    def _stack(self, session: Session, name: str) -> DeployedStack:
        found = session.cloud.stack(name)
        if found is None:
            raise errors.NotDeployed(name, name)
        return found


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
            session.pace,
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
    live: _Stacks,
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
    live: _Stacks,
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
