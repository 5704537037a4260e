"""The template's models and the application's validation give one verdict, case by case.

The gateway's validator is jsonschema, the application's its own; both read one schema. Documents
come from the schema itself and from changes to them that hit its edges. What only the application
judges (how the JSON is written) is listed at the end, so that the difference is known.
"""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapgen import places
from tapgen.local.gateway.validation import Model

sys.path.insert(0, str(places.LAMBDA_SOURCE / "video_metadata_api"))

from video_api import request as application
from video_api.errors import ApiError
from video_api.model import NEW_VIDEO
from video_api.validation import Schema

TEMPLATE = Model(NEW_VIDEO)
APPLICATION = Schema(NEW_VIDEO)

# Values that schemas disagree about, if any do.
EDGES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 1.0, 1.5, -0.0, 1e308, 2**31, 2**53, 2**63, 10**30),
    *(604_800_000, 604_800_001, 54_975_581_388_800, 54_975_581_388_801),
    *("", " ", "a", "a\n", "\n", "\0", "a\0", "\x7f", "\x85a", "\u2028", "\ud7ff", "😀", "é"),
    *("a" * 200, "a" * 201, "😀" * 200, "😀" * 201, "a" * 5000, "a" * 5001),
    *("pending", "pending\n", "Pending", "٣", "video/mp4", "video/mp4\n", "video/", "VIDEO/mp4"),
    *("s3://bucket/key", "s3://b/k", "s3://bucket/k\n", "https://host/p", "https://h:65/p"),
    *("https://u:p@host/p", "http://host/p", "https://höst/p", "s3://bucket/" + "k" * 2036),
    *("s3://bucket/" + "k" * 2037, "https://host:٣/p", "https://host/a b", "https://host/"),
    *([], ["a"], ["a", "a"], ["a", "b"], [1, True], [1, 1.0], [0, False], ["a", None], [[]]),
    *([{}], ["😀" * 50], ["😀" * 51], [str(n) for n in range(20)], [str(n) for n in range(21)]),
    *({}, {"title": "a"}, {"a": {"b": []}}),
)
NAMES = (*NEW_VIDEO["properties"], "extra", "", "__proto__", "Title", "video_id")
PLAIN = {"title": "Opening night", "source_uri": "s3://videos/opening.mp4"}


def generated(schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """Values that the schema takes, as far as its keywords say."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema["type"] == "integer":
        return st.integers(schema.get("minimum"), schema.get("maximum"))
    if schema["type"] == "array":
        items = generated(schema["items"])
        return st.lists(items, max_size=schema["maxItems"], unique=schema["uniqueItems"])
    if schema["type"] == "object":
        fields = {name: generated(part) for name, part in schema["properties"].items()}
        needed = {name: fields.pop(name) for name in schema["required"]}
        return st.fixed_dictionaries(needed, optional=fields)
    texts = st.from_regex(schema["pattern"].replace("$", r"\Z"))
    return texts.filter(lambda text: len(text) <= schema["maxLength"])


def verdicts(document: object) -> tuple[bool, bool]:
    """Whether the template's model takes it, and whether the application does."""
    return not TEMPLATE.judge(document), not APPLICATION.problems(document, "")


@given(generated(NEW_VIDEO))
@settings(max_examples=60)
def test_what_the_schema_generates_both_take(document: Any) -> None:
    assert verdicts(document) == (True, True), document


@given(st.data())
@settings(max_examples=200)
def test_a_change_at_any_place_is_judged_alike(data: st.DataObject) -> None:
    document: Any = copy.deepcopy(PLAIN)
    for _ in range(data.draw(st.integers(1, 3))):
        name = data.draw(st.sampled_from(NAMES))
        if data.draw(st.booleans()):
            document[name] = data.draw(st.sampled_from(EDGES) | st.text(max_size=60))
        else:
            document.pop(name, None)

    template, application = verdicts(document)

    assert template == application, document


@pytest.mark.parametrize("name", NAMES)
def test_every_edge_in_every_field_is_judged_alike(name: str) -> None:
    for value in EDGES:
        template, application = verdicts({**PLAIN, name: value})
        assert template == application, (name, value)


@pytest.mark.parametrize("document", EDGES, ids=lambda document: repr(document)[:20])
def test_a_document_that_is_no_object_is_judged_alike(document: object) -> None:
    assert len(set(verdicts(document))) == 1


def test_both_verdicts_occur_in_these_cases() -> None:
    found = {verdicts({**PLAIN, name: value}) for name in NAMES for value in EDGES}

    assert found == {(True, True), (False, False)}


@pytest.mark.parametrize(
    ("body", "gateway", "code"),
    [
        (json.dumps(PLAIN), True, ""),
        ('{"title": "a", "title": "b", "source_uri": "s3://bucket/key"}', True, "invalid_json"),
        ('{"title": "\\ud800", "source_uri": "s3://bucket/key"}', True, "invalid_json"),
        (
            '{"title": "a", "source_uri": "s3://b1/k", "size_bytes": NaN}',
            False,
            "invalid_json",
        ),
        ("", False, "invalid_json"),
        ("{", False, "invalid_json"),
        ("[]", False, "invalid_request"),
        ("{}", False, "invalid_request"),
    ],
)
def test_how_json_is_written_is_for_the_application_to_judge(
    body: str, gateway: bool, code: str
) -> None:
    event = {"path": "/metadata", "httpMethod": "POST", "body": body}

    try:
        application.new_video(event)
        found = ""
    except ApiError as error:
        found = error.code

    assert (not TEMPLATE.problems(body.encode()), found) == (gateway, code)
