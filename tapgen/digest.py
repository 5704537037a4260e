"""The digest that a finished template carries: how an unchanged stack is recognised.

It stands in the template's own outputs, written by ``render``, so that one DescribeStacks tells
which template a stack runs, and the bytes that were reviewed are the bytes that run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

DIGEST_OUTPUT = "TemplateDigest"


def digest(document: Mapping[str, Any]) -> str:
    """Of everything but the digest itself."""
    outputs = {k: item for k, item in document.get("Outputs", {}).items() if k != DIGEST_OUTPUT}
    bare = {**document, "Outputs": outputs}
    # 64 bits: the digest tells two versions of one template apart, it guards against nobody.
    text = json.dumps(bare, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def sealed(document: Mapping[str, Any]) -> dict[str, Any]:
    """``document``, with the digest that belongs to it: for a variant of a finished template."""
    outputs = document.get("Outputs", {})
    seal = {**outputs.get(DIGEST_OUTPUT, {}), "Value": digest(document)}
    return {**document, "Outputs": {**outputs, DIGEST_OUTPUT: seal}}


def digest_of(document: Mapping[str, Any]) -> str | None:
    """The digest that a finished template carries; None for a template that tapgen did not make."""
    found = document.get("Outputs", {}).get(DIGEST_OUTPUT, {}).get("Value")
    return found if isinstance(found, str) else None
