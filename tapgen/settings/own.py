"""The settings of the deployer itself: where an environment may stand, and with how much care it
is changed. None of them reaches a template.
"""

from __future__ import annotations

import re
from typing import Any

from tapgen.settings.key import Key, Typed

APPROVALS = ("never", "broadening", "destructive", "any-change")


def _accounts(value: Any) -> tuple[str, ...]:
    return _all(value, "[0-9]{12}")


def _regions(value: Any) -> tuple[str, ...]:
    return _all(value, "[a-z]{2}(-[a-z]+)+-[0-9]")


def _all(value: Any, pattern: str) -> tuple[str, ...]:
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list) or not items:
        raise ValueError
    if not all(isinstance(item, str) and re.fullmatch(pattern, item.strip()) for item in items):
        raise ValueError
    return tuple(item.strip() for item in items)


def _switch(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, Typed) and value in ("true", "false"):
        return value == "true"
    raise ValueError


def _approval(value: Any) -> str:
    if value in APPROVALS:
        return str(value)
    raise ValueError


def _role(value: Any) -> str:
    # As IAM writes it: a role may have a path.
    if isinstance(value, str) and re.fullmatch(r"arn:aws:iam::[0-9]{12}:role/[\w+=,.@/-]+", value):
        return str(value)
    raise ValueError


def _words(value: Any) -> str:
    if isinstance(value, str) and value:
        return str(value)
    raise ValueError


def _concurrency(value: Any) -> int:
    number = int(value) if isinstance(value, Typed) else value
    if isinstance(number, int) and not isinstance(number, bool) and 1 <= number <= 32:
        return number
    raise ValueError


def _tags(value: Any) -> dict[str, str]:
    if isinstance(value, Typed):
        pairs = [pair.partition("=") for pair in value.split(",")]
        if not all(equals for _, equals, _ in pairs):
            raise ValueError
        value = {key.strip(): item.strip() for key, _, item in pairs}
    if not isinstance(value, dict) or not all(
        isinstance(key, str) and key and isinstance(item, str) and not key.startswith("aws:")
        for key, item in value.items()
    ):
        raise ValueError
    return dict(value)


OWN = (
    Key("account", "an account id of 12 digits in quotes, or a list of them", _accounts),
    Key("region", "a region such as 'ap-northeast-1', or a list of them", _regions),
    Key("profile", "the name of an AWS profile", _words),
    Key("role_arn", "the ARN of a role that CloudFormation acts as", _role),
    Key("concurrency", "a whole number from 1 to 32", _concurrency),
    Key("protected", "true or false", _switch),
    Key("require_approval", " or ".join(map(repr, APPROVALS)), _approval),
    Key("tags", "texts by name, as in { CostCenter = 'video' }; no name starts with aws:", _tags),
)
