"""Stack policies: what an update may do to a resource.

The rules are the user guide's ("Prevent updates to stack resources"): once there is a policy
everything is denied that no statement allows, a Deny beats every Allow, and conditions look at the
resource's type. The words of a denial were seen in stack events that people published; those of
what nobody allowed in the tests that LocalStack holds against AWS.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Mapping
from typing import Any


def refusal(policy: str, action: str, logical_id: str, kind: str) -> str:
    """Why ``policy`` (JSON, empty: none) keeps ``action`` from the resource; empty when it may be.

    ``action`` is Update:Modify, Update:Replace or Update:Delete.
    """
    if not policy:
        return ""
    allowed = False
    for number, statement in enumerate(_listed(json.loads(policy)["Statement"]), start=1):
        if not _applies(statement, action, logical_id, kind):
            continue
        if statement["Effect"] == "Deny":
            return (
                f"Action denied by stack policy: Statement [#{number}] does not allow [{action}] "
                f"for resource [LogicalResourceId/{logical_id}];"
            )
        allowed = True
    return "" if allowed else "Action not allowed by stack policy"


def valid(policy: str) -> bool:
    """Whether CloudFormation takes the text for a policy."""
    try:
        statements = _listed(json.loads(policy)["Statement"])
    except (ValueError, KeyError, TypeError):
        return False
    return all(
        item.get("Effect") in ("Allow", "Deny") and item.get("Principal") == "*"
        for item in statements
    )


def _applies(statement: Mapping[str, Any], action: str, logical_id: str, kind: str) -> bool:
    if not _matches(statement, "Action", action):
        return False
    if not _matches(statement, "Resource", f"LogicalResourceId/{logical_id}"):
        return False
    return all(
        any(_alike(pattern, kind, operator) for pattern in _listed(keys.get("ResourceType", "*")))
        for operator, keys in statement.get("Condition", {}).items()
    )


def _matches(statement: Mapping[str, Any], key: str, text: str) -> bool:
    if f"Not{key}" in statement:
        return not any(fnmatch.fnmatchcase(text, item) for item in _listed(statement[f"Not{key}"]))
    return any(fnmatch.fnmatchcase(text, item) for item in _listed(statement.get(key, ())))


def _alike(pattern: str, kind: str, operator: str) -> bool:
    return fnmatch.fnmatchcase(kind, pattern) if "Like" in operator else pattern in ("*", kind)


def _listed(item: Any) -> list[Any]:
    return list(item) if isinstance(item, list | tuple) else [item]
