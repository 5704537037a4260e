"""How the emulator's handlers are added to and changed, and how properties become API shapes.

A handler takes ``(logical_id, properties, stack_name)`` and gives ``(physical_id, attributes)``;
an update takes ``(physical_id, old, new, stack_name)``. To fail a resource, raise ``ValueError``
with the reason that its stack event shall carry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from tapgen.local import reach

Props = dict[str, Any]
Attributes = dict[str, Any]
Made = tuple[str, Attributes]
Create = Callable[[str, Props, str], Made]
Update = Callable[[str, Props, Props, str], Made]
Delete = Callable[[str, Props], None]
# What is done to a resource after it was created or updated: more attributes come out.
Finish = Callable[[str, Props], Attributes]


def add(kind: str, *, create: Create, update: Update | None = None, delete: Delete) -> None:
    """Teach CloudFormation a type; without ``update`` every change replaces."""
    handler: dict[str, Any] = {"create": create, "delete": delete}
    if update is not None:
        handler["update"] = update
    _handlers()[kind] = handler


def before(kind: str, prepared: Callable[[Props], Props]) -> None:
    """Look at, or change, the properties before a resource is created or updated."""
    handler = _own(kind)
    create: Any = handler["create"]
    update: Any = handler.get("update")

    def creating(logical_id: str, props: Props, stack_name: str) -> Made:
        made: Made = create(logical_id, prepared(props), stack_name)
        return made

    def updating(physical_id: str, old: Props, new: Props, *rest: Any) -> Made:
        made: Made = update(physical_id, old, prepared(new), *rest)
        return made

    handler["create"] = creating
    if update is not None:
        handler["update"] = updating


def after(kind: str, finish: Finish) -> None:
    """Complete a resource after it was created or updated."""
    handler = _own(kind)
    create: Any = handler["create"]
    update: Any = handler.get("update")

    def creating(logical_id: str, props: Props, stack_name: str) -> Made:
        physical_id, attributes = create(logical_id, props, stack_name)
        return physical_id, {**attributes, **finish(physical_id, props)}

    def updating(physical_id: str, old: Props, new: Props, *rest: Any) -> Made:
        physical_id, attributes = update(physical_id, old, new, *rest)
        return physical_id, {**attributes, **finish(physical_id, new)}

    handler["create"] = creating
    if update is not None:
        handler["update"] = updating


def before_delete(kind: str, look: Delete) -> None:
    """Look at a resource before it is deleted; ``look`` may refuse."""
    handler = _own(kind)
    delete = handler["delete"]

    def deleting(physical_id: str, props: Props, *rest: Any) -> None:
        look(physical_id, props)
        delete(physical_id, props, *rest)

    handler["delete"] = deleting


def snapshot(kind: str, take: Delete) -> None:
    """What a ``DeletionPolicy: Snapshot`` does to the type."""
    _own(kind)["snapshot"] = take


def append_xml(module: Any, name: str, more: Callable[[Mapping[str, Any]], str]) -> None:
    """Let one of a service's record-to-XML functions tell more of the record."""
    original = getattr(module, name)
    setattr(module, name, lambda record: original(record) + more(record))


def answer(what: str, response: tuple[int, Any, Any]) -> Any:
    """The body of a service's answer. Raises ``ValueError`` when it refused."""
    status, _, body = response
    if status >= 400:
        text = body.decode() if isinstance(body, bytes) else str(body)
        raise ValueError(f"{what}: {text}")
    return body


def service_error(service: str, message: str) -> ValueError:
    """A service's refusal, in the words of CloudFormation's resource handlers."""
    helpers, provisioners = reach.cloudformation("helpers"), reach.cloudformation("provisioners")
    error: ValueError = provisioners._sfn_handler_error(helpers._sdk_error(message, service, 400))
    return error


def shaped(service: str, shape: str, value: Any) -> Any:
    """Template properties in the shape of the service's API: its member names, its types.

    CloudFormation writes ``FilesystemId`` and ``"5"`` where the API has ``fileSystemId`` and 5.
    Members that the API does not know are left out.
    """
    return _shaped(_model(service).shape_for(shape), value)


def request_body(service: str, operation: str, parameters: Props) -> bytes:
    """The body that a client would send for this call."""
    from botocore.serialize import create_serializer

    model = _model(service)
    serializer: Any = create_serializer(model.metadata["protocol"], include_validation=False)
    request = serializer.serialize_to_request(parameters, model.operation_model(operation))
    body = request["body"]
    return body if isinstance(body, bytes) else bytes(body, "utf-8")


@cache
def _model(service: str) -> Any:
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    return ServiceModel(Loader().load_service_model(service, "service-2"), service)


def _shaped(shape: Any, value: Any) -> Any:
    if shape.type_name == "structure" and isinstance(value, Mapping):
        members = {name.lower(): name for name in shape.members}
        named = {members[key.lower()]: key for key in value if key.lower() in members}
        return {name: _shaped(shape.members[name], value[key]) for name, key in named.items()}
    if shape.type_name == "list" and isinstance(value, list):
        return [_shaped(shape.member, item) for item in value]
    if shape.type_name == "map" and isinstance(value, Mapping):
        return {str(key): _shaped(shape.value, item) for key, item in value.items()}
    if shape.type_name in ("integer", "long"):
        return int(value)
    if shape.type_name == "boolean":
        return str(value).lower() == "true"
    if shape.type_name == "string" and not isinstance(value, str):
        return str(value)
    return value


def _handlers() -> dict[str, Any]:
    handlers: dict[str, Any] = reach.cloudformation("provisioners")._RESOURCE_HANDLERS
    return handlers


def _own(kind: str) -> dict[str, Any]:
    """The type's handler, to be changed: types of the emulator may share one."""
    handler = dict(_handlers()[kind])
    _handlers()[kind] = handler
    return handler
