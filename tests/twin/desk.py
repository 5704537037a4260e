"""What every operation needs: finding stacks and change sets, judging, starting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

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
)
# Failed with rollback disabled: an update may go on from there if it stays disabled.
STUCK = ("CREATE_FAILED", "UPDATE_FAILED")
# ansible-collections/amazon.aws#1655.
NON_TERMINAL = (
    "This stack is currently in a non-terminal [{status}] state. To update the stack from this "
    "state, please use the disable-rollback parameter with update-stack API. To rollback to the "
    "last known good state, use the rollback-stack API"
)
# Without the failure's own words of S3 in front; all of CloudFormation's S3 errors end so.
_MORE = (
    "For more information check http://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html"
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
        if stack.status not in UPDATABLE + STUCK:
            raise Refusal(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")
        return stack

    def _standing(self, p: Params) -> Stack:
        """A stack that is not deleted, for what changes it."""
        stack = self._stack(p)
        if stack.status == "DELETE_COMPLETE":
            raise Refusal(f"Stack [{p['StackName']}] does not exist")
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
            text, inline = before.text, False
        elif "TemplateURL" in p:
            text, inline = self._fetched(p["TemplateURL"]), False
        else:
            text, inline = p.get("TemplateBody", ""), True
        document = templates.read(text, inline=inline)
        given = {}
        for item in p.get("Parameters", []):
            key = item["ParameterKey"]
            if item.get("UsePreviousValue"):
                if before is None or key not in before.parameters:
                    raise Refusal(
                        f"Invalid input for parameter key {key}. Cannot specify usePreviousValue "
                        "as true for a parameter key not in the previous template"
                    )
                given[key] = before.parameters[key]
            else:
                given[key] = item["ParameterValue"]
        values = templates.parameters(document, given)
        templates.judge(document, values)
        granted = tuple(p.get("Capabilities", ()))
        templates.capabilities(document, granted)
        tags = {tag["Key"]: tag["Value"] for tag in p.get("Tags", [])}
        return Version(text, document, values, tags, granted)

    def _fetched(self, url: str) -> str:
        """The template at an S3 URL, in either of its two forms."""
        place = _place(url)
        if place is None:
            raise Refusal("TemplateURL must be a supported URL.")
        if place[0] not in {bucket for bucket, _ in self.region.objects}:
            raise Refusal(f"S3 error: Access Denied\n{_MORE}")
        if place not in self.region.objects:
            raise Refusal(f"S3 error: The specified key does not exist.\n{_MORE}")
        return self.region.objects[place].decode()

    def _offered(self, version: Version) -> dict[str, str]:
        """The exports, with something in the place of those that are not there."""
        wanted = templates.imports(version.document, version.parameters)
        return {**dict.fromkeys(wanted, ""), **self.region.exports()}

    def _assumable(self, stack: Stack | None, p: Params) -> str:
        """The role that acts: the one named now, or the stack's own from an earlier time."""
        role = str(p.get("RoleARN") or (stack.role if stack else ""))
        if role and self.region.roles is not None and role not in self.region.roles:
            raise Refusal(f"Role {role} is invalid or cannot be assumed")
        return role

    def _start(self, stack: Stack, p: Params, steps: Steps, *, mode: str | None = None) -> None:
        """Begin an operation. ``mode`` is that of the change set; else the call's."""
        stack.role = self._assumable(stack, p)
        stack.mode = p.get("DeploymentConfig", {}).get("Mode", "") if mode is None else mode
        stack.retain_except_on_create = bool(p.get("RetainExceptOnCreate"))
        stack.token = p.get("ClientRequestToken", "")
        stack.process = self.region.clock.start(steps)

    def _operations(self, stack: Stack) -> Operations:
        return self.region.operations[stack.id]

    @staticmethod
    def _unrolled(p: Params) -> bool:
        """Whether a failure is to stay as it is. In express mode that is the default."""
        config = p.get("DeploymentConfig", {})
        told = p.get("DisableRollback", config.get("DisableRollback"))
        return bool(config.get("Mode") == "EXPRESS" if told is None else told)

    def _repeated(self, operation: str, target: str, p: Params) -> bool:
        """Whether this very call was carried out before. A token means one operation only."""
        token = p.get("ClientRequestToken")
        if not token or not self.region.repeats:
            return False
        first = self.region.tokens.get(token)
        if first not in (None, (operation, target)):
            raise Refusal(
                f"A client request token [{token}] already exists", "TokenAlreadyExistsException"
            )
        return first is not None

    def _carried_out(self, operation: str, target: str, p: Params) -> None:
        """Remember a call by its token, once nothing refuses it any more."""
        if p.get("ClientRequestToken"):
            self.region.tokens[p["ClientRequestToken"]] = (operation, target)


def _place(url: str) -> tuple[str, str] | None:
    """Bucket and key of an S3 URL; None where it is none."""
    parts = urlsplit(url)
    host, path = parts.netloc, unquote(parts.path.lstrip("/"))
    if parts.scheme != "https" or not host.endswith(".amazonaws.com"):
        return None
    if host.startswith(("s3.", "s3-")):
        bucket, _, key = path.partition("/")
        return bucket, key
    bucket, s3, _ = host.partition(".s3")
    return (bucket, path) if s3 else None
