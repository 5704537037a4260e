"""PostgreSQL and Redis in the place of RDS and ElastiCache: started, and given their passwords.

``tapgen.local.data`` runs the servers; the passwords are those of the stacks' secrets, set anew at
each start, since the embedded AWS may have been emptied in between.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from tapgen.local import data
from tapgen.local.gateway import errors
from tapgen.local.lease import Embedded

# A server that lost its process a moment ago is still writing its last checkpoint.
LEFTOVER_SECONDS = 15.0


def redis(stack: ExitStack, folder: Path) -> data.RedisServer:
    """Start Redis, to end with ``stack``. Raises what ``data.redis`` raises."""
    return stack.enter_context(data.redis(folder))


def postgres(stack: ExitStack, folder: Path) -> data.PostgresServer:
    """Start PostgreSQL, to end with ``stack``. Raises what ``data.postgres`` raises."""
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


def set_owner_password(
    server: data.PostgresServer, secret: Mapping[str, str], folder: Path
) -> None:
    """Do what RDS does: give the owner the password of its secret. Raises ``DataUnfit``."""
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
    except (pg8000.native.Error, OSError) as error:
        state = error.args[0].get("C") if error.args and isinstance(error.args[0], dict) else None
        why = f"PostgreSQL refuses ({state or type(error).__name__})"
        raise errors.DataUnfit(folder, why) from None


def set_cache_password(server: data.RedisServer, secret: Mapping[str, str], folder: Path) -> None:
    """Do what ElastiCache does with the user's secret. Raises ``DataUnfit``."""
    from redis import Redis, RedisError

    try:
        with Redis(
            host=server.host,
            port=server.port,
            username=server.admin,
            password=server.admin_password,
            ssl=True,
            ssl_ca_certs=str(server.ca_file),
            protocol=2,
        ) as client:
            password = f">{secret['password']}"
            client.execute_command("ACL", "SETUSER", secret["username"], "resetpass", password)
    except RedisError as error:
        raise errors.DataUnfit(folder, f"Redis refuses ({type(error).__name__})") from None


def environ(
    embedded: Embedded, database: data.PostgresServer, cache: data.RedisServer
) -> dict[str, str]:
    """Where the functions find here what the template's variables promise."""
    return {
        "AWS_ACCESS_KEY_ID": embedded.access_key,
        "AWS_ENDPOINT_URL": embedded.url,
        "AWS_SECRET_ACCESS_KEY": embedded.secret_key,
        "DB_CA_BUNDLE": str(database.ca_file),
        "DB_HOST": database.host,
        "DB_PORT": str(database.port),
        "REDIS_CA_BUNDLE": str(cache.ca_file),
        "REDIS_PORT": str(cache.port),
        "REDIS_PRIMARY_HOST": cache.host,
        "REDIS_READER_HOST": cache.host,
    }
