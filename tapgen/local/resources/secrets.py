"""Secrets Manager: ``Ref`` is the ARN, and a generated password keeps to what was asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tapgen.local import reach
from tapgen.local.resources import plumbing
from tapgen.local.resources.plumbing import Made, Props

_KIND = "AWS::SecretsManager::Secret"


def install() -> None:
    """Put this corner in."""
    provisioners = reach.cloudformation("provisioners")
    handler = dict(provisioners._RESOURCE_HANDLERS[_KIND])
    create, update = handler["create"], handler["update"]
    delete: Callable[[str, Props], None] = handler["delete"]

    def creating(logical_id: str, props: Props, stack_name: str) -> Made:
        _, attributes = create(logical_id, props, stack_name)
        return attributes["Arn"], attributes

    def updating(physical_id: str, old: Props, new: Props, *rest: Any) -> Made:
        _, attributes = update(_name(physical_id), old, new, *rest)
        return attributes["Arn"], attributes

    provisioners._RESOURCE_HANDLERS[_KIND] = {
        **handler,
        "create": creating,
        "update": updating,
        "delete": lambda physical_id, props: delete(_name(physical_id), props),
    }
    provisioners._sm_secret_string = _secret_string


def _name(arn: str) -> str:
    """The name that the emulator keeps a secret under."""
    name, secret = reach.service("secretsmanager")._resolve(arn)
    return str(name) if secret is not None else arn


def _secret_string(props: Props) -> str:
    """The first value of a secret: as written, or generated as Secrets Manager would."""
    wanted = props.get("GenerateSecretString")
    if props.get("SecretString") or not wanted:
        return str(props.get("SecretString") or "")
    limits = plumbing.shaped("secretsmanager", "GetRandomPasswordRequest", wanted)
    generated = reach.service("secretsmanager")._get_random_password(limits)
    password = json.loads(plumbing.answer("GetRandomPassword", generated))["RandomPassword"]
    template = wanted.get("SecretStringTemplate")
    if not template:
        return str(password)
    return json.dumps({**json.loads(template), wanted["GenerateStringKey"]: password})
