"""The environment contract: what the template sets on the functions, read once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

RDS_ROOTS = Path(__file__).with_name("rds-ca-ap-northeast-1.pem")


class SettingsError(Exception):
    """An environment variable is missing or is not what it should be."""

    def __init__(self, name: str, problem: str) -> None:
        self.name, self.problem = name, problem
        super().__init__(f"environment variable {name} {problem}: the function's template sets it")


@dataclass(frozen=True)
class Endpoint:
    """A host and a port."""

    host: str
    port: int


@dataclass(frozen=True)
class DatabaseSettings:
    """Where the database is and which secret logs in."""

    endpoint: Endpoint
    name: str
    secret_arn: str
    ca_file: Path


@dataclass(frozen=True)
class CacheSettings:
    """Where Redis is: writes go to the primary, reads to the reader."""

    primary: Endpoint
    reader: Endpoint
    secret_arn: str
    ca_file: Path | None


@dataclass(frozen=True)
class Settings:
    """Everything the API's function is told."""

    environment: str
    database: DatabaseSettings
    cache: CacheSettings


def _text(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "")
    if not value:
        raise SettingsError(name, "is not set")
    return value


def _port(environ: Mapping[str, str], name: str) -> int:
    value = _text(environ, name)
    if not value.isascii() or not value.isdigit() or not 0 < int(value) < 65536:
        raise SettingsError(name, "is not a port")
    return int(value)


def database(environ: Mapping[str, str], *, variable: str) -> DatabaseSettings:
    """The database's part; ``variable`` holds the ARN of the secret. Raises SettingsError."""
    bundle = environ.get("DB_CA_BUNDLE")
    return DatabaseSettings(
        endpoint=Endpoint(_text(environ, "DB_HOST"), _port(environ, "DB_PORT")),
        name=_text(environ, "DB_NAME"),
        secret_arn=_text(environ, variable),
        ca_file=Path(bundle) if bundle else RDS_ROOTS,
    )


def read(environ: Mapping[str, str]) -> Settings:
    """The settings of the API's function. Raises SettingsError."""
    port = _port(environ, "REDIS_PORT")
    bundle = environ.get("REDIS_CA_BUNDLE")
    return Settings(
        environment=_text(environ, "ENVIRONMENT"),
        database=database(environ, variable="DB_SECRET_ARN"),
        cache=CacheSettings(
            primary=Endpoint(_text(environ, "REDIS_PRIMARY_HOST"), port),
            reader=Endpoint(_text(environ, "REDIS_READER_HOST"), port),
            secret_arn=_text(environ, "REDIS_SECRET_ARN"),
            ca_file=Path(bundle) if bundle else None,
        ),
    )


def app_secret_arn(environ: Mapping[str, str]) -> str:
    """The secret of the API's role, for the function that makes the role. Raises SettingsError."""
    return _text(environ, "DB_SECRET_ARN")
