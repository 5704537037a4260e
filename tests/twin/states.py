"""Ways into every status of a stack: somebody's operation, and what fails in it.

``bring`` goes them through the client as anybody would, so a stack in UPDATE_ROLLBACK_FAILED has
the events, the operations and the half-changed resources of one that got there.
"""

from __future__ import annotations

import itertools
import json
from typing import Any

from tapgen.engine.plan import Wanted
from twin.client import Twin
from twin.records import Stack

# By status: the operation that passes through it, the verbs that fail in it, and whether the
# failure is kept as it is.
ROUTES: dict[str, tuple[str, tuple[str, ...], bool]] = {
    "REVIEW_IN_PROGRESS": ("review", (), False),
    "CREATE_IN_PROGRESS": ("create", (), False),
    "CREATE_COMPLETE": ("create", (), False),
    "CREATE_FAILED": ("create", ("CREATE",), True),
    "ROLLBACK_IN_PROGRESS": ("create", ("CREATE",), False),
    "ROLLBACK_COMPLETE": ("create", ("CREATE",), False),
    "ROLLBACK_FAILED": ("create", ("CREATE", "DELETE"), False),
    "UPDATE_IN_PROGRESS": ("update", (), False),
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS": ("update", (), False),
    "UPDATE_COMPLETE": ("update", (), False),
    "UPDATE_FAILED": ("update", ("UPDATE",), True),
    "UPDATE_ROLLBACK_IN_PROGRESS": ("update", ("UPDATE",), False),
    "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS": ("update", ("UPDATE",), False),
    "UPDATE_ROLLBACK_COMPLETE": ("update", ("UPDATE",), False),
    "UPDATE_ROLLBACK_FAILED": ("update", ("UPDATE", "ROLLBACK"), False),
    "DELETE_IN_PROGRESS": ("delete", (), False),
    "DELETE_FAILED": ("delete", ("DELETE",), False),
    "DELETE_COMPLETE": ("delete", (), False),
    "IMPORT_IN_PROGRESS": ("import", (), False),
    "IMPORT_COMPLETE": ("import", (), False),
    "IMPORT_ROLLBACK_IN_PROGRESS": ("import", ("IMPORT",), False),
    "IMPORT_ROLLBACK_COMPLETE": ("import", ("IMPORT",), False),
    "IMPORT_ROLLBACK_FAILED": ("import", ("IMPORT", "UNIMPORT"), False),
}
REASON = "Quota exceeded"
_TAKEN_IN = "TakenIn"
_numbers = itertools.count(1)


def bring(
    twin: Twin,
    item: Wanted,
    status: str,
    *,
    resource: str = "Topic0",
    reason: str = REASON,
    times: int = 1,
    token: str = "",
) -> Stack:
    """Bring the stack of ``item`` into ``status`` and stop the clock there.

    What it imports must stand. ``resource`` is what fails, each verb so many ``times``; ``token``
    is the operation's ClientRequestToken. An update changes nothing but a tag.
    """
    kind, verbs, stays = ROUTES[status]
    name, region = item.name, twin.region
    if kind in ("update", "delete", "import") and not region.status(name):
        _operate(twin, item, "create", stays=False, token="")
        _wait(twin, name, "CREATE_COMPLETE")
    failing = _TAKEN_IN if kind == "import" else resource
    for verb in verbs:
        region.faults.resource(name, failing, verb, reason, times)
    _operate(twin, item, kind, stays=stays, token=token)
    return _wait(twin, name, status)


def _operate(twin: Twin, item: Wanted, kind: str, *, stays: bool, token: str) -> None:
    client, region = twin.client("cloudformation"), twin.region
    named = {"ClientRequestToken": token} if token else {}
    if kind == "delete":
        client.delete_stack(StackName=item.name, **named)
        return
    made = client.create_change_set(**_request(item, kind))["Id"]
    region.clock.sleep(region.change_set_seconds)
    if kind == "review":
        return
    rollback: dict[str, Any] = {"DisableRollback": True} if stays else {}
    client.execute_change_set(ChangeSetName=made, **rollback, **named)


def _request(item: Wanted, kind: str) -> dict[str, Any]:
    request, number = item.request, next(_numbers)
    tags = {**request.tags, **({"Somebody": str(number)} if kind == "update" else {})}
    found: dict[str, Any] = {
        "StackName": item.name,
        "ChangeSetName": "review" if kind == "review" else f"somebody-{number}",
        "ChangeSetType": {"update": "UPDATE", "import": "IMPORT"}.get(kind, "CREATE"),
        "TemplateBody": request.template,
        "Parameters": [
            {"ParameterKey": key, "ParameterValue": value}
            for key, value in request.parameters.items()
        ],
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
        "Capabilities": list(request.capabilities),
    }
    if kind == "import":
        more = {_TAKEN_IN: {"Type": "AWS::SNS::Topic", "DeletionPolicy": "Retain"}}
        document = {**item.document, "Resources": {**item.document["Resources"], **more}}
        found["TemplateBody"] = json.dumps(document)
        found["ResourcesToImport"] = [
            {
                "ResourceType": "AWS::SNS::Topic",
                "LogicalResourceId": _TAKEN_IN,
                "ResourceIdentifier": {"TopicArn": f"arn:aws:sns:x:1:{number}"},
            }
        ]
    return found


def _wait(twin: Twin, name: str, status: str) -> Stack:
    for _ in range(10_000):
        stack = next(item for item in reversed(twin.region.stacks.values()) if item.name == name)
        if stack.status == status:
            return stack
        twin.region.clock.sleep(0.5)
    raise AssertionError(f"{name} never was in {status}; it is in {stack.status}")
