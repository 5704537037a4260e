"""For schemathesis: the two rules of the API that an OpenAPI schema cannot say.

A ``cursor`` is made by the API, not by its clients, and ``video_id`` goes with no other parameter.
Its own check that valid data is accepted is off for that operation; this one stands in for it, and
takes a refusal only when it names one of the two.
"""

from __future__ import annotations

from typing import Any

import schemathesis
from schemathesis import GenerationMode

UNSAID = {
    ("cursor", "is not a cursor of this API"),
    ("video_id", "goes with no other parameter"),
}


@schemathesis.check
def refused_only_for_what_a_schema_cannot_say(
    ctx: Any, response: schemathesis.Response, case: schemathesis.Case[Any]
) -> None:
    """Valid parameters of ``GET /metadata`` are refused for these reasons alone."""
    meta = case.meta
    if case.operation.label != "GET /metadata" or response.status_code != 400:
        return
    if meta is None or meta.generation.mode is not GenerationMode.POSITIVE:
        return
    details = response.json()["error"].get("details", [])
    found = {(detail["field"], detail["problem"]) for detail in details}
    assert found, "a refusal that does not say why"
    assert found <= UNSAID, found
