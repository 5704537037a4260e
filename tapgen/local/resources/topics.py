"""SNS: the attributes of a topic that the emulator loses."""

from __future__ import annotations

import json
from typing import Any

from tapgen.local import reach
from tapgen.local.resources import plumbing
from tapgen.local.resources.plumbing import Attributes, Props

_KEPT = ("DisplayName", "KmsMasterKeyId", "SignatureVersion", "TracingConfig", "DeliveryPolicy")


def install() -> None:
    """Put this corner in."""
    plumbing.after("AWS::SNS::Topic", _finish)


def _finish(physical_id: str, props: Props) -> Attributes:
    attributes: dict[str, Any] = reach.service("sns")._topics[physical_id]["attributes"]
    for name in _KEPT:
        value = props.get(name)
        if value in (None, ""):
            attributes.pop(name, None)
        else:
            attributes[name] = value if isinstance(value, str) else json.dumps(value)
    attributes.setdefault("DisplayName", "")
    return {}
