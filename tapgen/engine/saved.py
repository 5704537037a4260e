"""A plan as data: printed for machines, kept in a file, held against the environment again later.

One document serves all three. It holds no secret: values come masked from ``diff``, templates and
parameters as digests, hidden parameters as a slow, salted one. ``deploy --plan`` makes the document
anew and goes on only when nothing ``moved``.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tapgen import files
from tapgen.cloud import Caller
from tapgen.diff import values
from tapgen.engine import review
from tapgen.engine.change_set import fingerprint
from tapgen.engine.plan import Wanted
from tapgen.engine.review import Review, Reviewed
from tapgen.engine.rollout import Rollout
from tapgen.errors import UsageError
from tapgen.render import as_json
from tapgen.settings.key import key_of

TYPE = "tapgen-plan"
# Raised when a reader of today would misread the file; members that are only added change nothing.
VERSION = 1

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Asked:
    """What a plan was asked for: tiers (none: all), ``KEY=VALUE`` settings, and by which method."""

    tiers: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    method: str = "auto"


class BadPlan(UsageError):
    """A file that is no plan, or none that this tapgen can read."""

    def __init__(self, path: Path, why: str) -> None:
        self.path, self.why = path, why
        super().__init__(f"{path}: {why}; make one with tapgen plan --out {path}")


class HiddenFlag(UsageError):
    """A secret on the command line of a plan that is to be kept."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(
            f"--set {key}: its parameter is NoEcho, and a kept plan holds no secret; "
            f"set it in tapgen.toml or as TAPGEN_{key.upper()}"
        )


def document(
    caller: Caller,
    env: str,
    asked: Asked,
    rollout: Rollout,
    seen: Review,
    *,
    made_by: str = "",
    alias: str = "",
    salt: str = "",
) -> dict[str, Any]:
    """The plan as data. ``made_by`` is tapgen's version, ``alias`` the account's, ``salt`` that of
    a plan to compare with; empty: a new one.
    """
    salt = salt or os.urandom(16).hex()
    found = review.plain(seen)
    told = {item["stack"]: item for item in found.pop("stacks")}
    return {
        "type": TYPE,
        "version": VERSION,
        "tapgen": made_by,
        "environment": env,
        "account": caller.account,
        "alias": alias,
        "region": caller.region,
        "caller": caller.arn,
        "tiers": list(asked.tiers),
        "set": list(asked.flags),
        "method": asked.method,
        "notes": [*rollout.notes, *rollout.consents],
        "packages": {asset.parameter: built.key for asset, built in rollout.assets},
        "stacks": [
            {
                **told[item.wanted.name],
                "tier": item.wanted.tier,
                "fingerprint": fingerprint(item.wanted),
                "hidden": _concealed(item.wanted, salt),
                "deployed": _standing(item, rollout),
            }
            for item in seen.stacks
        ],
        "exports": list(_exports(seen)),
        **found,
        "rounds": [
            {
                "title": phase.title,
                "stacks": [item.name for item in phase.wanted],
                "fingerprints": [fingerprint(item) for item in phase.wanted],
            }
            for phase in seen.phases
        ],
        "salt": salt,
    }


def _standing(item: Reviewed, rollout: Rollout) -> dict[str, Any] | None:
    stack = rollout.deployed.get(item.wanted.name)
    if stack is None:
        return None
    changed = stack.changed.isoformat() if stack.changed else ""
    return {"id": stack.id, "status": stack.status, "changed": changed}


def _exports(seen: Review) -> Iterator[dict[str, Any]]:
    for item in seen.stacks:
        for export in item.changes.exports:
            yield {
                "name": export.name,
                "stack": item.wanted.name,
                "action": export.action,
                "certain": export.certain,
                "importers": list(seen.importers.get(export.name, ())),
            }


def _concealed(item: Wanted, salt: str) -> str:
    """A digest of the hidden parameters' values; empty without any."""
    given = item.request.parameters
    found = {name: given[name] for name in values.hidden(item.document) if name in given}
    if not found:
        return ""
    text = json.dumps(found, sort_keys=True).encode()
    # Slow on purpose: who holds the file must not be able to try passwords on it.
    return hashlib.scrypt(text, salt=bytes.fromhex(salt), n=2**14, r=8, p=1).hex()


def check_flags(flags: Iterable[str], wanted: Iterable[Wanted]) -> None:
    """Refuse to keep a plan whose settings hold a secret. Raises ``HiddenFlag``."""
    concealed = {
        key_of(title, item.document["Parameters"][title]).name
        for item in wanted
        for title in values.hidden(item.document)
    }
    for flag in flags:
        key = flag.partition("=")[0].strip()
        if key in concealed:
            raise HiddenFlag(key)


def write(path: Path, plan: Document) -> None:
    """Put a plan into a file that only its owner can read. Raises ``files.CannotWrite``."""
    files.write(path, as_json(plan).encode(), mode=0o600)


def read(path: Path) -> Document:
    """A plan from its file. Raises ``BadPlan`` and ``files.CannotRead``."""
    text = files.read_text(path)
    if text is None:
        raise BadPlan(path, "there is no such file")
    try:
        found = json.loads(text)
    except ValueError as error:
        raise BadPlan(path, "this is no plan, or not all of one") from error
    if not isinstance(found, dict) or found.get("type") != TYPE:
        raise BadPlan(path, "this is no plan of tapgen")
    version = found.get("version")
    if isinstance(version, int) and version > VERSION:
        made_by = found.get("tapgen") or "that is newer"
        raise BadPlan(path, f"made by a tapgen {made_by}, in a form that this one cannot read")
    if version != VERSION or not _is_whole(found):
        raise BadPlan(path, "this plan is damaged")
    return found


def _is_whole(plan: Document) -> bool:
    """Whether everything that is compared later is there, in its shape."""
    texts = all(isinstance(plan.get(key), str) for key in ("environment", "account", "region"))
    lists = all(_is_list(plan.get(key), str) for key in ("tiers", "set"))
    stacks = _is_list(plan.get("stacks"), dict) and all(
        all(isinstance(stack.get(key), str) for key in ("stack", "fingerprint", "action", "source"))
        and isinstance(stack.get("deployed"), (dict, type(None)))
        and isinstance(stack.get("changes"), dict)
        for stack in plan["stacks"]
    )
    known = plan.get("method") in ("auto", "change-set", "template")
    rounds = _is_list(plan.get("rounds"), dict) and isinstance(plan.get("importers"), dict)
    salted = isinstance(plan.get("salt"), str) and len(plan["salt"]) == 32
    return texts and lists and stacks and known and rounds and salted and _is_hex(plan["salt"])


def _is_list(node: Any, kind: type) -> bool:
    return isinstance(node, list) and all(isinstance(item, kind) for item in node)


def _is_hex(text: str) -> bool:
    return all(letter in "0123456789abcdef" for letter in text)


def asked(plan: Document) -> Asked:
    """What a plan was asked for."""
    return Asked(tuple(plan["tiers"]), tuple(plan["set"]), plan["method"])
