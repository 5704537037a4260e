"""Which changes need a second look, each with an id and a severity. Tables first, rules below.

``destructive``: something that holds data, or is in use, goes or is put at risk. ``broadening``:
more people or programs can do or see more. ``info``: worth knowing, no reason to stop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tapgen.diff import access, replaced, values
from tapgen.diff.changes import ResourceChange, StackChanges
from tapgen.diff.fates import fate, worse
from tapgen.diff.switches import SWITCHES, Properties, Severity, at
from tapgen.diff.values import scalar_text


@dataclass(frozen=True)
class Finding:
    """``subject`` is the logical id, the export's name or the stack that ``text`` is about."""

    id: str
    severity: Severity
    subject: str
    text: str

    @property
    def kind(self) -> Kind:
        """What an approval is asked for: also what only may destroy is ``destructive``."""
        if self.severity != "info":
            return self.severity
        return "destructive" if self.id in MAY_DESTROY else "other"


Kind = Literal["broadening", "destructive", "other"]
# Findings of severity ``info`` that come to a loss if what only may happen does.
MAY_DESTROY = ("may-replace-stateful", "export-may-change")


# What is lost with a resource of the type.
STATEFUL = {
    "AWS::ApiGateway::ApiKey": "the key that clients send",
    "AWS::Cognito::UserPool": "its users",
    "AWS::DynamoDB::GlobalTable": "its items",
    "AWS::DynamoDB::Table": "its items",
    "AWS::EC2::EIP": "the address that others may have allowed",
    "AWS::EC2::Volume": "what is on it",
    "AWS::ECR::Repository": "its images",
    "AWS::EFS::FileSystem": "its files",
    "AWS::ElastiCache::CacheCluster": "what is cached",
    "AWS::ElastiCache::ReplicationGroup": "what is cached",
    "AWS::KMS::Key": "everything that is encrypted with it",
    "AWS::Kinesis::Stream": "its records",
    "AWS::Logs::LogGroup": "its logs",
    "AWS::OpenSearchService::Domain": "its indices",
    "AWS::RDS::DBCluster": "its databases",
    "AWS::RDS::DBInstance": "its databases",
    "AWS::S3::Bucket": "its objects",
    "AWS::SQS::Queue": "its messages",
    "AWS::SecretsManager::Secret": "its value",
}
_LEFT_WITH = {
    "kept": "the old one is kept, outside of every stack",
    "snapshot": "a snapshot of the old one is kept",
    "deleted": "the old one is deleted",
}
_WORLD = ("0.0.0.0/0", "::/0")


def findings(
    changes: StackChanges,
    *,
    importers: Mapping[str, Sequence[str]] | None = None,
    protection: tuple[bool, bool] = (False, False),
) -> tuple[Finding, ...]:
    """What ``changes`` do that needs a second look, the most severe first.

    ``importers`` maps export names to the stacks that import them now; ``protection`` is the
    stack's termination protection before and after.
    """
    found = [
        each for change in changes.resources for rule in _OF_RESOURCES for each in rule(change)
    ]
    found += _names_taken(changes)
    found += _exports(changes, importers or {})
    if protection == (True, False):
        text = "termination protection is switched off"
        found.append(Finding("termination-protection-off", "destructive", changes.stack, text))
    order = ("destructive", "broadening", "info")
    return tuple(sorted(found, key=lambda each: order.index(each.severity)))


def access_changes(changes: StackChanges) -> tuple[tuple[str, access.AccessChange], ...]:
    """Every difference in who may do what, with the resource that has the policy."""
    return tuple(
        (change.logical_id, row)
        for change in changes.resources
        for row in access.changes(change.before, change.after)
    )


def _stateful(change: ResourceChange) -> Iterator[Finding]:
    lost = STATEFUL.get(_old_type(change))
    if lost is None or change.data is None:
        return
    left, name = _LEFT_WITH[change.data], f"{change.logical_id} ({_old_type(change)})"
    if change.action == "remove":
        text = f"{name} leaves the stack, and with it {lost}; {left}"
        yield Finding("removes-stateful", "destructive", change.logical_id, text)
    elif change.replacement == "yes":
        text = f"{name} is replaced{_because(change, 'yes')}, and with it {lost}; {left}"
        yield Finding("replaces-stateful", "destructive", change.logical_id, text)
    else:
        text = f"{name} may be replaced{_because(change, 'maybe')}; if so, {left}"
        yield Finding("may-replace-stateful", "info", change.logical_id, text)


def _because(change: ResourceChange, answer: str) -> str:
    paths = [each.path for each in change.properties if each.replacement == answer]
    return f" because of {', '.join(paths)}" if paths else ""


def _keeps_its_name(change: ResourceChange) -> Iterator[Finding]:
    name = replaced.NAMES.get(change.type)
    if change.replacement == "no" or name is None or change.type != _old_type(change):
        return
    had, has = (at(_properties(side), name) for side in (change.before, change.after))
    if had is None or values.fingerprint(had) != values.fingerprint(has):
        return
    surely = change.replacement == "yes"
    verb = "has to be replaced" if surely else "may have to be replaced"
    text = (
        f"{change.logical_id} {verb} but keeps its {name}: CloudFormation refuses that; "
        "give it another name too"
    )
    severity: Severity = "destructive" if surely else "info"
    yield Finding("keeps-its-name", severity, change.logical_id, text)


def _names_taken(changes: StackChanges) -> Iterator[Finding]:
    """What comes under another logical id is made before the old one goes, if that goes at all."""
    going = {_name_of(each.before): each for each in changes.removes()}
    for change in changes.resources:
        taken = going.get(_name_of(change.after)) if change.action == "add" else None
        if taken is not None and _name_of(change.after) is not None:
            text = (
                f"{change.logical_id} is to be created under the name that {taken.logical_id} "
                "still has: it already exists then; give it another name, or keep the logical id"
            )
            yield Finding("name-taken", "destructive", change.logical_id, text)


def _name_of(resource: Mapping[str, Any] | None) -> tuple[str, str] | None:
    kind = str(resource["Type"]) if resource else ""
    name = at(_properties(resource), replaced.NAMES.get(kind, ""))
    return None if name is None else (kind, values.fingerprint(name))


def _retyped(change: ResourceChange) -> Iterator[Finding]:
    if change.action == "modify" and change.type != _old_type(change):
        text = (
            f"{change.logical_id} changes its type from {_old_type(change)} to {change.type}: "
            "CloudFormation refuses that; give it another logical id"
        )
        yield Finding("type-changed", "destructive", change.logical_id, text)


def _policies(change: ResourceChange) -> Iterator[Finding]:
    if change.before is None or change.after is None:
        return
    for policy in ("DeletionPolicy", "UpdateReplacePolicy"):
        had, has = _stated(change.before, policy), _stated(change.after, policy)
        old, new = fate(change.before, policy), fate(change.after, policy)
        if old != new and worse(old, new) == new:
            text = f"{change.logical_id}: {policy} is weakened from {had} to {has}"
            yield Finding("deletion-policy-weakened", "destructive", change.logical_id, text)


def _stated(resource: Mapping[str, Any], policy: str) -> str:
    stated = resource.get(policy)
    return str(stated) if stated else f"the default ({fate(resource, policy)})"


def _access(change: ResourceChange) -> Iterator[Finding]:
    # What goes with the resource that it protected, or was given to, broadens nothing.
    if change.action == "remove" and change.type not in access.POLICY_TYPES:
        return
    for row in access.changes(change.before, change.after):
        if row.broadens:
            verb = "allows" if row.effect == "Allow" else "no longer denies"
            text = f"{change.logical_id} {verb} {_said(row)}"
            yield Finding("access-broadened", "broadening", change.logical_id, text)


def _said(row: access.AccessChange) -> str:
    parts = [_some(row.actions)]
    if row.principals:
        parts.append(f"to {_some(row.principals)}")
    if row.resources:
        parts.append(f"on {_some(row.resources)}")
    if row.conditions:
        parts.append(f"if {_some(row.conditions)}")
    return " ".join(parts)


def _some(texts: Sequence[str], limit: int = 4) -> str:
    more = f" and {len(texts) - limit} more" if len(texts) > limit else ""
    return ", ".join(texts[:limit]) + more


Opening = tuple[str, int, int, str]


def _ingress(change: ResourceChange) -> Iterator[Finding]:
    old, new = _openings(change.before), _openings(change.after)
    for opening in new:
        if not any(_wider(other, opening) for other in old):
            protocol, low, high, source = opening
            ports = "every port" if low < 0 or protocol == "-1" else f"port {low}"
            if high != low and low >= 0:
                ports = f"ports {low} to {high}"
            kind = "every protocol" if protocol == "-1" else protocol
            text = f"{change.logical_id} opens {ports} ({kind}) to {source}, the whole internet"
            yield Finding("ingress-opened", "broadening", change.logical_id, text)


def _openings(resource: Mapping[str, Any] | None) -> list[Opening]:
    properties = _properties(resource)
    if resource is not None and resource["Type"] == "AWS::EC2::SecurityGroupIngress":
        rules: Any = [properties]
    elif resource is not None and resource["Type"] == "AWS::EC2::SecurityGroup":
        rules = properties.get("SecurityGroupIngress", [])
    else:
        rules = []
    found = []
    for rule in rules if isinstance(rules, list) else [rules]:
        for name in ("CidrIp", "CidrIpv6"):
            if isinstance(rule, Mapping) and rule.get(name) in _WORLD:
                low, high = (_port(rule.get(end)) for end in ("FromPort", "ToPort"))
                found.append((scalar_text(rule.get("IpProtocol")), low, high, str(rule[name])))
    return found


def _port(value: Any) -> int:
    text = scalar_text(value)
    # Without a port, or with one that only AWS knows, the rule is for every port.
    return int(text) if text.removeprefix("-").isdecimal() else -1


def _wider(old: Opening, new: Opening) -> bool:
    every = old[1] < 0 or old[0] == "-1"
    return (
        old[3] == new[3]
        and old[0] in ("-1", new[0])
        and (every or (new[1] >= 0 and old[1] <= new[1] and new[2] <= old[2]))
    )


def _switches(change: ResourceChange) -> Iterator[Finding]:
    if change.after is None:
        return
    for switch in SWITCHES:
        if switch.type != change.type or not switch.bad(_properties(change.after)):
            continue
        was_bad = switch.bad(_properties(change.before)) if change.before else not switch.new
        if not was_bad:
            text = f"{change.logical_id} {switch.text}"
            yield Finding(switch.id, switch.severity, change.logical_id, text)


def _secret(change: ResourceChange) -> Iterator[Finding]:
    paths = [
        each.path for each in change.properties if each.path.startswith("GenerateSecretString")
    ]
    if change.type == "AWS::SecretsManager::Secret" and paths and change.replacement == "no":
        text = f"{change.logical_id} gets a new generated value because of {', '.join(paths)}"
        yield Finding("secret-regenerated", "destructive", change.logical_id, text)


def _exports(changes: StackChanges, importers: Mapping[str, Sequence[str]]) -> Iterator[Finding]:
    for change in changes.exports:
        users = importers.get(change.name, ())
        if not users or change.action == "appears":
            continue
        by = ", ".join(sorted(users))
        if change.action == "vanishes":
            text = f"export {change.name} vanishes, and is imported by {by}"
            yield Finding("export-removed", "destructive", change.name, text)
        elif change.certain:
            text = f"export {change.name} changes, and is imported by {by}"
            yield Finding("export-changed", "destructive", change.name, text)
        else:
            text = f"export {change.name} may change, and is imported by {by}"
            yield Finding("export-may-change", "info", change.name, text)


def _old_type(change: ResourceChange) -> str:
    return change.type if change.before is None else str(change.before["Type"])


def _properties(resource: Mapping[str, Any] | None) -> Properties:
    found: Properties = resource["Properties"] if resource else {}
    return found


_OF_RESOURCES: tuple[Callable[[ResourceChange], Iterator[Finding]], ...] = (
    _stateful,
    _keeps_its_name,
    _retyped,
    _policies,
    _access,
    _ingress,
    _switches,
    _secret,
)
