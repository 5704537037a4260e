"""A template's resources with the values of its stack put in, as far as they are known.

Ids and ARNs stand for ``Ref`` and ``Fn::GetAtt``; what nobody here knows stays as it stands, and is
complained about by whoever needs it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tapgen import names, resolve
from tapgen.local.gateway.errors import NotRunnable

Document = Mapping[str, Any]

APIS = "AWS::ApiGateway::"
FUNCTION = "AWS::Lambda::Function"
_ATTRIBUTE = re.compile(r"\$\{([A-Za-z0-9]+)\.([A-Za-z0-9.]+)\}")


@dataclass(frozen=True)
class Live:
    """What is known of the template's stack: its parameters, its physical ids, all exports."""

    account: str = "000000000000"
    region: str = names.REGION
    parameters: Mapping[str, str] = field(default_factory=dict)
    # By logical id. A resource that is not in it goes by its logical id.
    ids: Mapping[str, str] = field(default_factory=dict)
    exports: Mapping[str, str] = field(default_factory=dict)


class Reader:
    """Resources with their values put in."""

    def __init__(self, document: Document, live: Live) -> None:
        self.live = live
        self._resources: Mapping[str, Any] = document.get("Resources", {})
        ids = {name: live.ids.get(name, name) for name in self._resources}
        stack = resolve.pseudo_parameters(live.account)
        values = {**stack, "AWS::Region": live.region, **live.parameters}
        self._known = resolve.Known.of(document, values, imports=live.exports, partial=True)
        for name, resource in self._resources.items():
            if resource["Type"] == f"{APIS}Stage":
                # A stage's name is its id, which usage plans and permissions go by.
                ids[name] = resolve.value(resource["Properties"]["StageName"], self._known)
        self._known = resolve.Known.of(
            document, {**values, **ids}, imports=live.exports, partial=True
        )
        self._ids = ids
        self._attributes: dict[tuple[str, str], str] = {}
        for name, resource in self._resources.items():
            if resource["Type"] == FUNCTION:
                arn = f"arn:aws:lambda:{live.region}:{live.account}:function:{ids[name]}"
                self._attributes[name, "Arn"] = arn

    def id(self, logical_id: str) -> str:
        """A resource's physical id."""
        return str(self._ids[logical_id])

    def arn(self, logical_id: str) -> str:
        """A function's ARN."""
        return self._attributes[logical_id, "Arn"]

    def each(self, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """The resources of a type, with their properties."""
        for name, resource in self._resources.items():
            if resource["Type"] != kind:
                continue
            if "Condition" in resource and not self._known.holds(resource["Condition"]):
                continue
            yield name, resolve.value(self._plain(resource.get("Properties", {})), self._known)

    def only(self, kind: str) -> tuple[str, dict[str, Any]]:
        """The one resource of API Gateway's of a kind. Raises ``NotRunnable``."""
        found = list(self.each(f"{APIS}{kind}"))
        if len(found) != 1:
            raise NotRunnable("Resources", f"it has {len(found)} of {APIS}{kind}, not one")
        return found[0]

    def paths(self) -> dict[str, str]:
        """Paths by the physical id of their resource; the root has none of its own."""
        parts = {self.id(name): read for name, read in self.each(f"{APIS}Resource")}

        def path(resource: str) -> str:
            read = parts[resource]
            parent = read["ParentId"]
            above = path(parent) if isinstance(parent, str) and parent in parts else ""
            return f"{above}/{read['PathPart']}"

        return {resource: path(resource) for resource in parts}

    def _plain(self, node: Any) -> Any:
        """``node`` with the attributes put in that need no asking."""
        if isinstance(node, list):
            return [self._plain(item) for item in node]
        if not isinstance(node, Mapping):
            return node
        if len(node) == 1:
            ((key, argument),) = node.items()
            if key == "Fn::GetAtt":
                parts = argument.split(".", 1) if isinstance(argument, str) else argument
                return self._attributes.get((parts[0], ".".join(parts[1:])), node)
            if key == "Fn::Sub" and isinstance(argument, str):
                return {key: self._filled(argument)}
            if key == "Fn::Sub" and isinstance(argument, list):
                return {key: [self._filled(argument[0]), self._plain(argument[1])]}
        return {key: self._plain(item) for key, item in node.items()}

    def _filled(self, text: str) -> str:
        return _ATTRIBUTE.sub(
            lambda match: self._attributes.get((match[1], match[2]), match[0]), text
        )


def true(value: object) -> bool:
    """A boolean, also as a parameter would give it."""
    return value is True or value == "true"


def text(value: object, where: str) -> str:
    """A value as text. Raises ``NotRunnable`` when it could not be worked out."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (str, int, float)):
        return str(value)
    raise NotRunnable(where, f"only AWS knows {json.dumps(value)}")
