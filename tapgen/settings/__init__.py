"""The settings of one environment: checked once, then frozen.

They come from ``tapgen.toml`` (``[defaults]``, then ``[env.NAME]``), over it the environment's
variables (``TAPGEN_KEY``), over those the command line (``--set KEY=VALUE``). Which keys there are
follows from the templates: every parameter with a default is one, ``DbInstanceClass`` as
``db_instance_class``, and takes what the template says it takes. A parameter without a default is
the deployer's to fill. Beside them stand the few keys of the deployer itself.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tapgen import files, names
from tapgen.errors import UsageError
from tapgen.resolve import Document
from tapgen.settings.key import Key, Typed, key_of
from tapgen.settings.own import OWN

FILE = "tapgen.toml"
PREFIX = "TAPGEN_"
# Variables of the command line's own options; every other TAPGEN_… must be a setting.
OPTIONS = frozenset({"TAPGEN_ENV", "TAPGEN_DEBUG", "TAPGEN_CONFIG", "TAPGEN_LOCAL"})
DEFAULT_CONCURRENCY = 4


class BadSettings(UsageError):
    """A settings file, variable or flag that says something that cannot be."""

    def __init__(self, where: str, why: str) -> None:
        self.where, self.why = where, why
        super().__init__(f"{where}: {why}")


@dataclass(frozen=True)
class Settings:
    """What one environment is deployed with. ``parameters`` holds only what somebody set.

    ``account`` and ``region`` list where it may stand; empty means anywhere. ``protected`` marks
    an environment whose data must not go by accident, ``require_approval`` says which changes
    need somebody's yes.
    """

    env: str
    account: tuple[str, ...] = ()
    region: tuple[str, ...] = ()
    profile: str | None = None
    role_arn: str = ""
    concurrency: int = DEFAULT_CONCURRENCY
    protected: bool = False
    require_approval: str = "any-change"
    tags: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)


def keys(documents: Iterable[Document]) -> dict[str, Key]:
    """Every key there is: the deployer's own, and one per parameter with a default."""
    found = {key.name: key for key in OWN}
    for document in documents:
        for title, parameter in document.get("Parameters", {}).items():
            if "Default" in parameter:
                key = key_of(title, parameter)
                found.setdefault(key.name, key)
    return found


def load(
    env: str,
    known: Mapping[str, Key],
    *,
    file: Path | None,
    variables: Mapping[str, str],
    flags: Iterable[str] = (),
) -> Settings:
    """Return the settings of ``env``.

    ``file`` may be missing; ``variables`` is the process environment; ``flags`` are ``KEY=VALUE``.
    The whole file is checked, other environments' blocks too. Raises ``BadSettings``,
    ``names.BadSuffix`` or ``files.CannotRead``.
    """
    names.checked_suffix(env)
    chosen: dict[str, Any] = {}
    for block in _blocks(file, known, env):
        chosen = _over(chosen, block)
    chosen = _over(chosen, _from_variables(variables, known))
    chosen = _over(chosen, _from_flags(flags, known))
    _check_apart(env, chosen, known)
    own = {key.name for key in OWN}
    parameters = {
        str(known[name].parameter): value for name, value in chosen.items() if name not in own
    }
    kept = {name: value for name, value in chosen.items() if name in own}
    return Settings(env=env, parameters=parameters, **kept)


def profile(file: Path, env: str) -> str | None:
    """The profile that the file gives ``env``, read before anything is checked (``load`` does)."""
    try:
        data = tomllib.loads(file.read_text())
        chosen = {**data.get("defaults", {}), **data.get("env", {}).get(env, {})}.get("profile")
    except (OSError, ValueError, AttributeError, TypeError):
        return None
    return chosen if isinstance(chosen, str) else None


def environments(file: Path | None, known: Mapping[str, Key]) -> tuple[str, ...]:
    """The environments that the file names, sorted; raises as ``load`` does."""
    return tuple(sorted(_read(file, known)[1]))


def _over(low: dict[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**low, **high}
    if "tags" in low and "tags" in high:
        merged["tags"] = {**low["tags"], **high["tags"]}
    return merged


def _check_apart(env: str, chosen: Mapping[str, Any], known: Mapping[str, Key]) -> None:
    taken: dict[tuple[str, Any], str] = {}
    for key in known.values():
        if key.kind is None:
            continue
        value = chosen.get(key.name, key.default)
        first = taken.setdefault((key.kind, value), key.name)
        if first != key.name:
            raise BadSettings(
                f"environment {env}", f"{first} and {key.name} are both {value!r}; they must differ"
            )


def _blocks(file: Path | None, known: Mapping[str, Key], env: str) -> list[dict[str, Any]]:
    defaults, by_env = _read(file, known)
    return [defaults, by_env.get(env, {})]


def _read(
    file: Path | None, known: Mapping[str, Key]
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    text = None if file is None else files.read_text(file)
    if file is None or text is None:
        return {}, {}
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadSettings(str(file), f"not valid TOML: {error}") from error
    for section in data:
        if section not in ("defaults", "env"):
            raise BadSettings(
                str(file), f"unknown section [{section}]; there are [defaults] and [env.NAME]"
            )
    defaults = _checked_block(file, "defaults", data.get("defaults", {}), known)
    by_env = {}
    for name, block in _table(file, "env", data.get("env", {})).items():
        try:
            names.checked_suffix(name)
        except names.BadSuffix as error:
            raise BadSettings(f"{file}, [env.{name}]", str(error)) from error
        by_env[name] = _checked_block(file, f"env.{name}", block, known)
    return defaults, by_env


def _table(file: Path, section: str, block: Any) -> dict[str, Any]:
    if not isinstance(block, dict):
        raise BadSettings(f"{file}, {section}", "must be a table, as in [env.dev]")
    return block


def _checked_block(
    file: Path, section: str, block: Any, known: Mapping[str, Key]
) -> dict[str, Any]:
    return {
        name: _checked(f"{file}, [{section}] {name}", name, value, known)
        for name, value in _table(file, section, block).items()
    }


def _from_variables(variables: Mapping[str, str], known: Mapping[str, Key]) -> dict[str, Any]:
    return {
        name.removeprefix(PREFIX).lower(): _checked(
            name, name.removeprefix(PREFIX).lower(), _parsed(value), known
        )
        for name, value in sorted(variables.items())
        if name.startswith(PREFIX) and name not in OPTIONS
    }


def _from_flags(flags: Iterable[str], known: Mapping[str, Key]) -> dict[str, Any]:
    found = {}
    for flag in flags:
        name, equals, value = flag.partition("=")
        if not equals:
            raise BadSettings(f"--set {flag}", "is not KEY=VALUE")
        found[name] = _checked(f"--set {name}", name, _parsed(value), known)
    return found


def _parsed(value: str) -> Typed:
    return Typed(value)


def _checked(where: str, name: str, value: Any, known: Mapping[str, Key]) -> Any:
    if name not in known:
        close = difflib.get_close_matches(name, list(known), n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(sorted(known))}"
        raise BadSettings(where, f"no such setting; {hint}")
    try:
        return known[name].accept(value)
    except ValueError:
        raise BadSettings(
            where, f"{value!r} is not accepted; it takes {known[name].takes}"
        ) from None
