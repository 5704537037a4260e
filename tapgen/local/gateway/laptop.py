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
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tapgen import aws, rollout, yaml_text
from tapgen.cloud import DeployedStack
from tapgen.deploy import Run
from tapgen.description import Description
from tapgen.events import StackFailed
from tapgen.files import CannotWrite
from tapgen.local import data, lease
from tapgen.local.errors import PortTaken
from tapgen.local.gateway import errors
from tapgen.local.gateway.service import InvokeFailed, InvokeTimedOut
from tapgen.plan import Action
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
# A server that lost its process a moment ago is still writing its last checkpoint.
LEFTOVER_SECONDS = 15.0
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


@contextmanager
def served(
    description: Description,
    settings: Settings,
    places: Places,
    *,
    aws_port: int | None = None,
    api_port: int | None = None,
    throttled: bool = True,
    tell: Tell = lambda line: None,
) -> Iterator[Served]:
    """The environment of ``settings``, up for the length of the block.

    Raises a ``TapgenError``: a part missing, a port taken, the environment served already, a stack
    that does not deploy, a migration that fails.
    """
    started = time.monotonic()
    _check_parts()
    folder = places.data / settings.env
    with ExitStack() as stack:
        stack.enter_context(_alone(settings.env, folder))
        embedded = stack.enter_context(lease.lease(places.embedded, aws_port))
        session = stack.enter_context(
            connect(local=True, home=places.embedded, profile=None, variables=os.environ)
        )
        code = _deployed(session, description, settings, places, tell)
        live = _Stacks(session, description, settings.env, embedded)
        postgres, redis = _databases(stack, folder, live)
        environ = _environ(embedded, postgres, redis)
        runtimes = _runtimes(stack, live, code, folder, environ)
        _migrate(runtimes[live.migration], folder)
        service = _service(stack, live, runtimes, folder, throttled=throttled)
        port = _listen(stack, service, api_port)
        yield Served(
            env=settings.env,
            url=f"http://127.0.0.1:{port}/{service.api.stage}",
            key=next(iter(live.key_values().values()), ""),
            embedded=embedded,
            postgres=postgres,
            redis=redis,
            logs=folder / "logs",
            seconds=time.monotonic() - started,
        )


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


class _Stacks:
    """What the stacks of an environment say of themselves."""

    def __init__(
        self, session: Session, description: Description, env: str, embedded: lease.Embedded
    ) -> None:
        from tapgen.local.gateway.description import Live

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


def _deployed(
    session: Session, description: Description, settings: Settings, places: Places, tell: Tell
) -> dict[str, tuple[Path, str]]:
    """Bring the environment up in the embedded AWS; packages and digests by their key."""
    planned = rollout.prepare(
        session,
        description,
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
            for event in rollout.carry_out(session, planned, run)
            if isinstance(event, StackFailed)
        ]
        if failed:
            raise errors.NotDeployed(settings.env, ", ".join(failed))
    return {built.key: (built.path, built.digest) for _, built in planned.assets}


def _databases(
    stack: ExitStack, folder: Path, live: _Stacks
) -> tuple[data.PostgresServer, data.RedisServer]:
    postgres = _postgres(stack, folder)
    redis = stack.enter_context(data.redis(folder))
    _set_owner_password(postgres, live.secret("DbSecretArn"), folder)
    _set_cache_password(redis, live.secret("RedisSecretArn"))
    return postgres, redis


def _postgres(stack: ExitStack, folder: Path) -> data.PostgresServer:
    until = time.monotonic() + LEFTOVER_SECONDS
    while True:
        try:
            return stack.enter_context(data.postgres(folder))
        except data.ServerFailed:
            # The server of a command that was killed: it is on its way out, and then this starts.
            held = (folder / "postgres" / "postmaster.pid").exists()
            if not held or time.monotonic() > until:
                raise
            time.sleep(0.25)


def _set_owner_password(
    server: data.PostgresServer, secret: Mapping[str, str], folder: Path
) -> None:
    """RDS gives the owner the password of its secret; here somebody else has to."""
    import ssl

    import pg8000.native

    try:
        connection = pg8000.native.Connection(
            server.superuser,
            host=server.host,
            port=server.port,
            database=server.database,
            password=server.superuser_password,
            ssl_context=ssl.create_default_context(cafile=str(server.ca_file)),
        )
        role = pg8000.native.identifier(secret["username"])
        password = pg8000.native.literal(secret["password"])
        try:
            connection.run(f"ALTER ROLE {role} PASSWORD {password}")
        finally:
            connection.close()
    except pg8000.native.DatabaseError as error:
        found = error.args[0].get("C", "") if isinstance(error.args[0], dict) else ""
        raise errors.DataUnfit(folder, f"PostgreSQL refuses ({found})") from None


def _set_cache_password(server: data.RedisServer, secret: Mapping[str, str]) -> None:
    import redis

    with redis.Redis(
        host=server.host,
        port=server.port,
        username=server.admin,
        password=server.admin_password,
        ssl=True,
        ssl_ca_certs=str(server.ca_file),
        protocol=2,
    ) as client:
        client.execute_command(
            "ACL", "SETUSER", secret["username"], "resetpass", f">{secret['password']}"
        )


def _environ(
    embedded: lease.Embedded, postgres: data.PostgresServer, redis: data.RedisServer
) -> dict[str, str]:
    """Where the functions find here what the template's variables promise."""
    return {
        "AWS_ACCESS_KEY_ID": embedded.access_key,
        "AWS_ENDPOINT_URL": embedded.url,
        "AWS_SECRET_ACCESS_KEY": embedded.secret_key,
        "DB_CA_BUNDLE": str(postgres.ca_file),
        "DB_HOST": postgres.host,
        "DB_PORT": str(postgres.port),
        "REDIS_CA_BUNDLE": str(redis.ca_file),
        "REDIS_PORT": str(redis.port),
        "REDIS_PRIMARY_HOST": redis.host,
        "REDIS_READER_HOST": redis.host,
    }


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
    from tapgen.local.gateway.service import Request, Service

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
