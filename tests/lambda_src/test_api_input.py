"""Bad input of every kind is a 4xx of the one shape, and nothing of it reaches the database."""

from __future__ import annotations

import base64
import json
import sys
from typing import Any

import pg8000.native
import pytest
from api_parts import SOURCE, Api, proxy_event, video
from hypothesis import HealthCheck, given, settings, strategies

NUL = "\x00"
MODEL = json.loads((SOURCE / "video_api" / "api_model.json").read_text())


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({}, "title"),
        ({"title": "t"}, "source_uri"),
        (video(title=""), "title"),
        (video(title=" t"), "title"),
        (video(title="t" * 201), "title"),
        (video(title=f"a{NUL}b"), "title"),
        (video(title="a\nb"), "title"),
        (video(title="ab\n"), "title"),
        (video(title=7), "title"),
        (video(title=None), "title"),
        (video(title=["t"]), "title"),
        (video(description=NUL), "description"),
        (video(description="d" * 5001), "description"),
        (video(source_uri="ftp://host/file"), "source_uri"),
        (video(source_uri="javascript://host/%0aalert(1)"), "source_uri"),
        (video(source_uri="file:///etc/passwd"), "source_uri"),
        (video(source_uri="https://user:secret@host/file"), "source_uri"),
        (video(source_uri="https://host/a b"), "source_uri"),
        (video(source_uri="https://host/file\n"), "source_uri"),
        (video(source_uri="S3://bucket/key"), "source_uri"),
        (video(source_uri="s3://bucket/" + "k" * 2048), "source_uri"),
        (video(status="done"), "status"),
        (video(status="pending'; DROP TABLE video_metadata; --"), "status"),
        (video(status=["pending"]), "status"),
        (video(duration_ms=-1), "duration_ms"),
        (video(duration_ms=1.0), "duration_ms"),
        (video(duration_ms=True), "duration_ms"),
        (video(duration_ms="1"), "duration_ms"),
        (video(duration_ms=None), "duration_ms"),
        (video(duration_ms=10**30), "duration_ms"),
        (video(size_bytes=2**63), "size_bytes"),
        (video(content_type="text/html"), "content_type"),
        (video(content_type="video/MP4"), "content_type"),
        (video(tags="news"), "tags"),
        (video(tags=["a"] * 2), "tags"),
        (video(tags=[str(n) for n in range(21)]), "tags"),
        (video(tags=["ok", ""]), "tags[1]"),
        (video(tags=[{"a": 1}, {"a": 1}]), "tags[0]"),
        (video(video_id="00000000-0000-4000-8000-000000000000"), "video_id"),
        (video(created_at="2026-01-01"), "created_at"),
        (video(**{"<script>": 1}), "(unnamed)"),
        (video(**{"a" * 65: 1}), "(unnamed)"),
    ],
    ids=str,
)
def test_a_body_that_does_not_fit_is_told_which_field(
    api: Api, document: dict[str, Any], field: str
) -> None:
    answer = api.post(document)

    assert (answer.status, answer.code) == (400, "invalid_request")
    assert field in answer.fields


@pytest.mark.parametrize("document", ["[]", '"text"', "7", "null", "true", "[{}]"])
def test_a_body_that_is_no_object_is_refused(api: Api, document: str) -> None:
    assert (api.post(document).status, api.post(document).code) == (400, "invalid_request")


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{}{}",
        "\ufeff{}",
        "{'title': 1}",
        '{"title": NaN}',
        '{"title": Infinity}',
        '{"title": "a", "title": "b", "source_uri": "s3://b-b/k"}',
        '{"title": "\\ud800", "source_uri": "s3://b-b/k"}',
        '{"title": "\\x00"}',
        '{"duration_ms": ' + "9" * 5000 + "}",
        "[" * 60_000 + "]" * 60_000,
        '{"a":' * 20_000,
        "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n",
        "--boundary\r\nContent-Disposition: form-data",
        "title=a&source_uri=b",
        "<xml/>",
        " ",
    ],
    ids=lambda text: text[:20],
)
def test_a_body_that_is_no_json_is_refused(api: Api, text: str) -> None:
    answer = api.post(text)

    assert (answer.status, answer.code) == (400, "invalid_json")


def test_a_body_nested_about_as_deep_as_can_be_read_is_refused(api: Api) -> None:
    # Some of these can still be read and no longer be written, at whatever depth that begins.
    deepest = sys.getrecursionlimit()
    answers = [
        api.post(
            '{"title": "t", "source_uri": "s3://b-b/k", "tags": [%s]}' % (left * depth + right)
        )
        for depth in range(deepest - 150, deepest)
        for left, right in (("[", "]" * depth), ('{"a":', "0" + "}" * depth))
    ]

    assert {answer.code for answer in answers} <= {"invalid_request", "invalid_json"}


@pytest.mark.parametrize("body", [None, "", 7, {"title": "t"}, [1]])
def test_a_body_that_is_none_is_refused(api: Api, body: Any) -> None:
    event = proxy_event("POST", "/metadata", headers={"Content-Type": "application/json"})

    assert api.send({**event, "body": body}).code == "invalid_json"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (base64.b64encode(json.dumps(video()).encode()).decode(), None),
        ("not base64!", "invalid_json"),
        (base64.b64encode(b"\xff\xfe{}").decode(), "invalid_json"),
        (base64.b64encode(b" " * 131_073).decode(), "payload_too_large"),
    ],
)
def test_a_body_in_base64_is_read_or_refused(api: Api, body: str, code: str | None) -> None:
    headers = {"Content-Type": "application/json"}
    answer = api.send(proxy_event("POST", "/metadata", headers=headers, body=body, encoded=True))

    assert answer.status == 201 if code is None else answer.code == code


def test_a_body_above_the_limit_is_too_large_however_it_is_counted(api: Api) -> None:
    narrow = api.post(" " * 131_072 + "x")
    wide = api.post('"' + "映" * 50_000 + '"')

    assert [(a.status, a.code) for a in (narrow, wide)] == [(413, "payload_too_large")] * 2


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 201),
        ("APPLICATION/JSON; Charset=UTF-8", 201),
        ('application/json;charset="utf-8"', 201),
        ("application/json; charset=utf-16", 415),
        ("application/json, text/html", 415),
        ("application/jsonx", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data", 415),
        ("multipart/form-data; boundary=", 415),
        ("", 415),
        (";", 415),
        (NUL, 415),
    ],
)
def test_only_plain_json_is_taken(api: Api, content_type: str, status: int) -> None:
    assert api.post(video(), headers={"Content-Type": content_type}).status == status


def test_a_compressed_body_is_refused(api: Api) -> None:
    answer = api.post(video(), headers={"Content-Encoding": "gzip"})

    assert (answer.status, answer.code) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "key",
    ["", " ", "a b", "ключ", "k" * 129, NUL, "k\n", "k\r\nSET vm:1 x", "'; DROP TABLE x; --"],
)
def test_an_idempotency_key_of_another_form_is_refused(api: Api, key: str) -> None:
    answer = api.post(video(), key=key)

    assert (answer.code, answer.fields) == ("invalid_request", ["Idempotency-Key"])


def test_two_idempotency_keys_are_refused(api: Api) -> None:
    event = proxy_event("POST", "/metadata", body=json.dumps(video()))
    event["multiValueHeaders"]["Idempotency-Key"] = ["a", "b"]

    assert api.send(event).fields == ["Idempotency-Key"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"limit": "-5"}, "limit"),
        ({"limit": "1.0"}, "limit"),
        ({"limit": "1e1"}, "limit"),
        ({"limit": "٥"}, "limit"),
        ({"limit": "+5"}, "limit"),
        ({"limit": "5\n"}, "limit"),
        ({"limit": " 5"}, "limit"),
        ({"limit": "0x10"}, "limit"),
        ({"limit": ""}, "limit"),
        ({"limit": "9" * 100}, "limit"),
        ({"limit": ["1", "2"]}, "limit"),
        ({"limit": "1; DROP TABLE video_metadata"}, "limit"),
        ({"status": "PENDING"}, "status"),
        ({"status": ""}, "status"),
        ({"status": "pending' OR '1'='1"}, "status"),
        ({"cursor": ""}, "cursor"),
        ({"cursor": "A" * 31}, "cursor"),
        ({"cursor": "A" * 33}, "cursor"),
        ({"cursor": "+" * 32}, "cursor"),
        ({"cursor": "_" * 32}, "cursor"),
        ({"cursor": "A" * 30 + "=="}, "cursor"),
        ({"cursor": NUL * 32}, "cursor"),
        ({"video_id": ""}, "video_id"),
        ({"video_id": NUL}, "video_id"),
        ({"video_id": "1"}, "video_id"),
        ({"video_id": "00000000-0000-4000-8000-00000000000g"}, "video_id"),
        ({"video_id": "00000000-0000-4000-8000-000000000000\n"}, "video_id"),
        ({"video_id": "{00000000-0000-4000-8000-000000000000}"}, "video_id"),
        ({"video_id": "00000000-0000-4000-8000-000000000000", "limit": "5"}, "video_id"),
        ({"video_id": ["00000000-0000-4000-8000-000000000000"] * 2}, "video_id"),
        ({"offset": "1"}, "offset"),
        ({"Limit": "1"}, "Limit"),
        ({NUL: "1"}, "(unnamed)"),
        ({"": ""}, "(unnamed)"),
    ],
    ids=str,
)
def test_a_query_that_does_not_fit_is_told_which_parameter(
    api: Api, query: dict[str, Any], field: str
) -> None:
    answer = api.get("/metadata", **query)

    assert (answer.status, answer.code) == (400, "invalid_request")
    assert field in answer.fields


def test_what_was_sent_is_never_repeated(api: Api) -> None:
    marker = "MARKER-<b>"

    answers = [
        api.post(video(title=f" {marker}")),
        api.post(video(**{marker: marker})),
        api.post(marker),
        api.get(video_id=marker),
        api.send(proxy_event("GET", "/metadata", query={marker: marker})),
        api.send(proxy_event("GET", f"/{marker}")),
    ]

    assert [answer.status for answer in answers] == [400, 400, 400, 400, 400, 404]
    assert not [answer.text for answer in answers if "MARKER" in answer.text]


def test_an_answer_lists_twenty_problems_at_most(api: Api) -> None:
    answer = api.post({f"field{n}": n for n in range(5000)})

    assert len(answer.fields) == 20


def test_hostile_text_that_is_allowed_is_kept_as_it_is(
    api: Api, empty: None, owner: pg8000.native.Connection
) -> None:
    hostile = "'; DROP TABLE video_metadata; -- :id $1 %s \\ \r\nFLUSHALL\r\n"
    created = api.post(
        video(
            title="Robert'); DROP TABLE students;--", description=hostile, tags=['"]}', "{{7*7}}"]
        )
    )

    found = api.get(video_id=created.json["video_id"])

    assert found.json["description"] == hostile
    assert found.json["tags"] == ['"]}', "{{7*7}}"]
    assert owner.run("SELECT description FROM video_metadata") == [[hostile]]


@pytest.mark.parametrize(
    "event",
    [{}, [], None, "text", 7, {"path": 1, "httpMethod": 2}, {"path": "/metadata"}],
    ids=str,
)
def test_an_event_that_is_not_api_gateways_is_not_found(api: Api, event: Any) -> None:
    assert api.send(event if isinstance(event, dict) else {"Records": event}).status == 404


_json = strategies.recursive(
    strategies.none()
    | strategies.booleans()
    | strategies.integers()
    | strategies.floats()
    | strategies.text(max_size=20),
    lambda inner: (
        strategies.lists(inner, max_size=3)
        | strategies.dictionaries(strategies.text(max_size=10), inner, max_size=3)
    ),
    max_leaves=8,
)
_fields = strategies.sampled_from([*MODEL["models"]["Video"]["properties"], "other"])
_quick = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@_quick
@given(changes=strategies.dictionaries(_fields, _json, max_size=4), key=strategies.text(max_size=5))
def test_no_document_is_a_server_error(api: Api, changes: dict[str, Any], key: str) -> None:
    answer = api.post(json.dumps({**video(), **changes}), key=key)

    assert answer.status in (201, 400, 409)


@_quick
@given(
    query=strategies.dictionaries(
        strategies.sampled_from(["limit", "cursor", "status", "video_id"]) | strategies.text(),
        strategies.text() | strategies.from_regex(r"\A[A-Za-z0-9_-]{32}\Z"),
        max_size=3,
    )
)
def test_no_query_is_a_server_error(api: Api, query: dict[str, str]) -> None:
    event = proxy_event("GET", "/metadata", query=query)

    assert api.send(event).status in (200, 400)


@_quick
@given(
    body=strategies.text() | strategies.binary().map(lambda raw: base64.b64encode(raw).decode()),
    encoded=strategies.booleans(),
    headers=strategies.dictionaries(
        strategies.sampled_from(["Content-Type", "Idempotency-Key", "Origin", "X-Odd"]),
        strategies.text(max_size=30),
    ),
)
def test_no_body_is_a_server_error(
    api: Api, body: str, encoded: bool, headers: dict[str, str]
) -> None:
    event = proxy_event("POST", "/metadata", body=body, encoded=encoded, headers=headers)

    assert api.send(event).status in (201, 400, 413, 415)


_parts = strategies.sampled_from([*proxy_event("GET", "/metadata")])


@_quick
@given(
    method=strategies.sampled_from(["GET", "POST", "OPTIONS"]),
    changes=strategies.dictionaries(_parts, _json, min_size=1, max_size=4),
)
def test_no_damaged_event_is_without_an_answer(
    api: Api, method: str, changes: dict[str, Any]
) -> None:
    event = proxy_event(method, "/metadata", body=json.dumps(video()))

    answer = api.send({**event, **changes})

    assert answer.status < 500
