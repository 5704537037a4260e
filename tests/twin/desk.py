"""What every operation needs: finding stacks and change sets, judging, starting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twin import templates
from twin.operations import Operations, Steps
from twin.records import ChangeSet, Refusal, Stack, Version
from twin.region import Region

Params = Mapping[str, Any]
Answer = dict[str, Any]

UPDATABLE = (
    "CREATE_COMPLETE",
    "UPDATE_COMPLETE",
    "IMPORT_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE",
    "IMPORT_ROLLBACK_COMPLETE",
    "UPDATE_FAILED",
)


class Desk:
    """The service in one region, before it has any operation."""

    def __init__(self, region: Region) -> None:
        self.region = region

    def _stack(self, p: Params) -> Stack:
        stack = self.region.found(p["StackName"])
        if stack is None:
            raise Refusal(f"Stack [{p['StackName']}] does not exist")
        return stack

    def _updatable(self, name: str) -> Stack:
        stack = self.region.found(name)
        if stack is None or stack.status in ("REVIEW_IN_PROGRESS", "DELETE_COMPLETE"):
            raise Refusal(f"Stack [{name}] does not exist")
        if stack.status not in UPDATABLE:
            raise Refusal(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")
        return stack

    def _change_set(self, p: Params) -> tuple[ChangeSet, Stack]:
        name = p["ChangeSetName"]
        if name.startswith("arn:"):
            candidates = list(self.region.stacks.values())
        elif "StackName" in p:
            candidates = [self._stack(p)]
        else:
            raise Refusal(
                "StackName must be specified if ChangeSetName is not specified as an ARN."
            )
        for stack in candidates:
            for item in stack.change_sets.values():
                if name in (item.id, item.name):
                    return item, stack
        raise Refusal(f"ChangeSet [{name}] does not exist", "ChangeSetNotFound", 404)

    def _version(self, p: Params, stack: Stack | None) -> Version:
        """What the call asks for, judged."""
        before = stack.version if stack else None
        if p.get("UsePreviousTemplate") and before is not None:
            text = before.text
        else:
            text = p.get("TemplateBody", "")
        document = templates.read(text)
        given = {}
        for item in p.get("Parameters", []):
            key = item["ParameterKey"]
            if item.get("UsePreviousValue") and before is not None:
                given[key] = before.parameters[key]
            else:
                given[key] = item["ParameterValue"]
        values = templates.parameters(document, given)
        templates.judge(document, values)
        granted = tuple(p.get("Capabilities", ()))
        templates.capabilities(document, granted)
        tags = {tag["Key"]: tag["Value"] for tag in p.get("Tags", [])}
        return Version(text, document, values, tags, granted)

    def _offered(self, version: Version) -> dict[str, str]:
        """The exports, with something in the place of those that are not there."""
        wanted = templates.imports(version.document, version.parameters)
        return {**dict.fromkeys(wanted, ""), **self.region.exports()}

    def _start(self, stack: Stack, p: Params, steps: Steps) -> None:
        stack.token = p.get("ClientRequestToken", "")
        stack.process = self.region.clock.start(steps)

    def _operations(self, stack: Stack) -> Operations:
        return self.region.operations[stack.id]

    def _repeated(self, operation: str, target: str, p: Params) -> bool:
        """Whether this very call was carried out before. A token means one operation only."""
        token = p.get("ClientRequestToken")
        if not token or not self.region.repeats:
            return False
        first = self.region.tokens.setdefault(token, (operation, target))
        if first != (operation, target):
            raise Refusal(
                f"A client request token [{token}] already exists", "TokenAlreadyExistsException"
            )
        key = f"{token}/done"
        if key in self.region.tokens:
            return True
        self.region.tokens[key] = first
        return False
