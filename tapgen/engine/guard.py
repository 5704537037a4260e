"""What must not happen by accident: which changes need somebody's yes, and what CloudFormation
itself refuses in a protected environment.

A protected environment's stacks have termination protection, and those that hold data a stack
policy that denies replacing and deleting it. Both are put in place after a stack was changed; for a
loss that somebody agreed to, the policy makes room for exactly that resource and closes again.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tapgen.cloud import CloudError, CloudFormation, DeployedStack
from tapgen.diff.findings import Finding
from tapgen.engine.events import Event, MonitoringTrouble, StackProtected
from tapgen.engine.plan import Action
from tapgen.engine.review import Review
from tapgen.resolve import Document

# What a data tier is made of: nothing brings these back but a snapshot or a backup.
DATA = (
    "AWS::EFS::FileSystem",
    "AWS::ElastiCache::ReplicationGroup",
    "AWS::KMS::Key",
    "AWS::RDS::DBInstance",
    "AWS::S3::Bucket",
    "AWS::SecretsManager::Secret",
)
# Findings that say that data goes.
LOSSES = frozenset({"removes-stateful", "replaces-stateful"})
_ALLOW = {"Effect": "Allow", "Principal": "*", "Action": "Update:*", "Resource": "*"}
_ASKED_FOR = {
    "never": frozenset[str](),
    "destructive": frozenset({"destructive"}),
    "broadening": frozenset({"broadening", "destructive"}),
}


def losses(review: Review) -> tuple[tuple[str, Finding], ...]:
    """The findings that say that data would go, each with its stack."""
    return tuple(
        (item.wanted.name, finding)
        for item in review.stacks
        for finding in item.findings
        if finding.id in LOSSES
    )


def needs_approval(level: str, review: Review) -> tuple[str, ...]:
    """Why somebody must agree, in words; nothing where ``level`` lets the run go ahead.

    ``destructive`` asks for what destroys or may destroy, ``broadening`` also for what lets more
    people or programs do or see more, ``any-change`` for everything, ``never`` for nothing.
    A stack that is made anew after a failed creation counts as destroyed.
    """
    acting = [item for item in review.stacks if item.step.action is not Action.KEEP]
    if level == "any-change":
        return tuple(f"{item.wanted.name}: {item.step.action.value}" for item in acting)
    kinds = _ASKED_FOR[level]
    found = [
        f"{item.wanted.name}: {finding.text}"
        for item in review.stacks
        for finding in item.findings
        if finding.kind in kinds
    ]
    if "destructive" in kinds:
        found += [
            f"{item.wanted.name}: it is deleted and made anew"
            for item in acting
            if item.step.action is Action.RECREATE
        ]
    return tuple(found)


def policy(document: Document, allowing: Collection[str] = ()) -> str | None:
    """The stack policy that keeps a template's data (JSON); None where it holds none.

    ``allowing`` are the logical ids that may be replaced or deleted after all.
    """
    types = {resource.get("Type") for resource in document.get("Resources", {}).values()}
    if not types & set(DATA):
        return None
    # By type: it holds for what is there now and for what comes. CloudFormation denies what no
    # statement allows (stack policy guide).
    kept = {"Resource": "*"} if not allowing else {"NotResource": _resources(allowing)}
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": ["Update:Replace", "Update:Delete"],
        **kept,
        "Condition": {"StringEquals": {"ResourceType": sorted(DATA)}},
    }
    return _as_policy(_ALLOW, deny)


def _as_policy(*statements: Mapping[str, object]) -> str:
    return json.dumps({"Statement": statements}, separators=(",", ":"))


def _resources(logical_ids: Collection[str]) -> list[str]:
    return [f"LogicalResourceId/{name}" for name in sorted(logical_ids)]


@dataclass(frozen=True)
class Guard:
    """What is protected in one run: ``documents`` by stack, and the logical ids, by stack, whose
    loss somebody agreed to. ``checking`` looks at the policies of unchanged stacks, too: a run that
    was killed may have left one open.
    """

    documents: Mapping[str, Document] = field(default_factory=dict)
    agreed: Mapping[str, frozenset[str]] = field(default_factory=dict)
    checking: bool = False

    def make_room(self, cloud: CloudFormation, deployed: DeployedStack) -> None:
        """Let what was agreed to happen to a stack that stands. Raises ``CloudError``."""
        agreed = self.agreed.get(deployed.name)
        document = self.documents.get(deployed.name)
        if not agreed or document is None:
            return
        opened = policy(document, allowing=agreed)
        # The only data of the old template may be what goes: then the new one asks for no policy.
        cloud.set_policy(deployed.id, opened or _as_policy(_ALLOW))

    def close(
        self, cloud: CloudFormation, stack: DeployedStack, *, changed: bool
    ) -> Iterator[Event]:
        """Put the protection of a stack in place; told as an event, and as trouble where AWS
        refuses: the stack itself stands as wanted.
        """
        if stack.name not in self.documents:
            return
        if stack.protected and not changed and not self.checking:
            return
        kept = policy(self.documents[stack.name])
        try:
            if kept is not None and (changed or cloud.policy(stack.id) != kept):
                cloud.set_policy(stack.id, kept)
            if not stack.protected:
                cloud.protect(stack.id, on=True)
                yield StackProtected(stack.name, data=kept is not None)
        except CloudError as error:
            yield MonitoringTrouble(stack.name, f"not protected: {error}")


def agreed_losses(found: Sequence[tuple[str, Finding]]) -> dict[str, frozenset[str]]:
    """The logical ids of the findings, by stack."""
    return {
        stack: frozenset(finding.subject for name, finding in found if name == stack)
        for stack, _ in found
    }
