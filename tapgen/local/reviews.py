"""A stack in review keeps its id when another change set is put on it, and lists them by id too."""

from __future__ import annotations

from typing import Any

from tapgen.local import reach


def install() -> None:
    """Change what CreateChangeSet and ListChangeSets do with a stack in REVIEW_IN_PROGRESS."""
    actions = reach.cloudformation("handlers")._ACTION_HANDLERS
    helpers = reach.cloudformation("helpers")
    create, listing = actions["CreateChangeSet"], actions["ListChangeSets"]

    def creating(params: Any) -> Any:
        before = _resolved(helpers._p(params, "StackName"))
        answer = create(params)
        if before is not None and before["StackStatus"] == "REVIEW_IN_PROGRESS":
            _keep_id(before, _resolved(before["StackName"]))
            found = reach.cloudformation("changesets")._find_change_set(
                helpers._p(params, "ChangeSetName"), before["StackName"]
            )[1]
            if found is not None:
                # The answer names the stack that the emulator has just made up.
                answer = _with_id(answer, found["StackId"], before["StackId"])
                found["StackId"] = before["StackId"]
        return answer

    def by_name(params: Any) -> Any:
        stack = _resolved(helpers._p(params, "StackName"))
        return listing(params if stack is None else {**params, "StackName": [stack["StackName"]]})

    actions["CreateChangeSet"] = creating
    actions["ListChangeSets"] = by_name


def _resolved(name: str) -> dict[str, Any] | None:
    found: dict[str, Any] | None = reach.cloudformation("handlers")._resolve_stack(name)
    return found


def _keep_id(before: dict[str, Any], now: dict[str, Any] | None) -> None:
    if now is None or now["StackId"] == before["StackId"]:
        return
    events = reach.cloudformation()._stack_events
    events.pop(now["StackId"], None)
    now["StackId"] = before["StackId"]


def _with_id(answer: Any, made_up: str, kept: str) -> Any:
    status, headers, body = answer
    if isinstance(body, bytes):
        return status, headers, body.replace(made_up.encode(), kept.encode())
    return status, headers, body.replace(made_up, kept)
