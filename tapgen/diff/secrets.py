"""Values that must not be shown, recognised by the name of the place they stand in.

Hidden parameters never get here: ``values`` leaves them as names. A dynamic reference is no
secret, only where one lies, and is shown as it is written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from tapgen.diff.values import STARS

_TELLING = re.compile(
    r"(password|passwd|passphrase|secret_?string|auth_?token|access_?token|private_?key"
    r"|client_?secret|secret_?access_?key|secret_?key|api_?key)s?\]?$",
    re.IGNORECASE,
)
# Where a list pairs names with values, the name is a step up: Environment[DB_PASSWORD].Value.
_PAIRED = ("Value", "value")
_HARMLESS = ("true", "false", "")


def masked(path: Sequence[str], value: Any) -> Any:
    """``value``, which stands at ``path``, with stars for what its place calls a secret."""
    if isinstance(value, dict):
        return {key: masked((*path, key), item) for key, item in value.items()}
    if isinstance(value, list):
        return [masked((*path, _label(item)), item) for item in value]
    if isinstance(value, str):
        return STARS if _is_secret(path, value) else _within(path, value)
    return value


def _within(path: Sequence[str], value: str) -> str:
    """A text; as JSON written anew where that has a secret in it."""
    if not value.lstrip().startswith(("{", "[")):
        return value
    try:
        data = json.loads(value)
    except ValueError:
        return value
    shown = masked(path, data)
    return value if shown == data else json.dumps(shown)


def _label(item: Any) -> str:
    if isinstance(item, dict):
        for key in ("Name", "Key", "name", "key"):
            if isinstance(item.get(key), str):
                return f"[{item[key]}]"
    return "[]"


def _is_secret(path: Sequence[str], value: str) -> bool:
    if value in _HARMLESS or "{{resolve:" in value or value.startswith("${"):
        return False
    steps = [step for step in path if not step.startswith("(")]
    # A list of secrets: AuthToken[0], Passwords[].
    while len(steps) > 1 and re.fullmatch(r"\[\d*\]", steps[-1]):
        steps.pop()
    if len(steps) > 1 and steps[-1] in _PAIRED:
        steps.pop()
    return bool(steps) and _TELLING.search(steps[-1]) is not None
