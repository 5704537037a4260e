"""The one description of the API: what API Gateway takes of it, and that all else agrees."""

from __future__ import annotations

import hashlib
import inspect
import json
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pg8000.native
import pytest
from api_parts import SOURCE, Api, proxy_event, video
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

MODEL: dict[str, Any] = json.loads((SOURCE / "video_api" / "api_model.json").read_text())
PEM = SOURCE / "video_api" / "rds-ca-ap-northeast-1.pem"

# Draft-04, without what API Gateway does not take or does not do: references to other documents,
# alternatives, and formats of numbers.
TAKEN = {
    "$schema", "title", "description", "type", "properties", "required", "additionalProperties",
    "enum", "items", "minLength", "maxLength", "pattern", "minimum", "maximum", "maxItems",
    "uniqueItems", "format",
}  # fmt: skip


def schemas(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    for part in schema.get("properties", {}).values():
        yield from schemas(part)
    if "items" in schema:
        yield from schemas(schema["items"])


@pytest.mark.parametrize("name", sorted(MODEL["models"]))
def test_a_model_is_what_api_gateway_takes(name: str) -> None:
    model = MODEL["models"][name]

    assert name.isalnum()
    assert model["$schema"] == "http://json-schema.org/draft-04/schema#"
    for schema in schemas(model):
        assert set(schema) <= TAKEN
        assert isinstance(schema["type"], str)
    assert len(json.dumps(model)) < 400_000


def test_every_pattern_is_anchored_and_means_the_same_in_ecmascript_and_python() -> None:
    from video_api.validation import whole_match

    patterns = [
        schema["pattern"]
        for root in [
            *MODEL["models"].values(),
            *(p["schema"] for p in MODEL["parameters"].values()),
        ]
        for schema in schemas(root)
        if "pattern" in schema
    ]

    assert len(patterns) >= 8
    for pattern in patterns:
        whole_match(pattern)
        # Classes that differ between the two, and constructs that only one of them has.
        assert not [
            odd for odd in ("\\d", "\\w", "\\s", "\\b", "(?", "\\Z", ".*") if odd in pattern
        ]


def test_a_keyword_without_a_check_is_an_error_at_import() -> None:
    from video_api.validation import Schema

    with pytest.raises(ValueError, match="multipleOf"):
        Schema({"type": "integer", "multipleOf": 2})


def test_the_statuses_are_the_same_everywhere(owner: pg8000.native.Connection) -> None:
    listed = MODEL["models"]["NewVideo"]["properties"]["status"]["enum"]

    constraint = owner.run(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE conname = 'video_metadata_status'"
    )[0][0]

    assert MODEL["models"]["Video"]["properties"]["status"]["enum"] == listed
    assert MODEL["parameters"]["status"]["schema"]["enum"] == listed
    assert all(f"'{status}'::text" in constraint for status in listed)
    assert constraint.count("::text") == len(listed)


@pytest.mark.parametrize(
    ("field", "longest"),
    [
        ("title", "t" * 200),
        ("description", "d" * 5000),
        ("source_uri", "s3://bucket/" + "k" * 2036),
        ("content_type", "video/" + "x" * 64),
        ("duration_ms", 604_800_000),
        ("size_bytes", 54_975_581_388_800),
    ],
)
def test_what_the_model_just_allows_the_database_takes(api: Api, field: str, longest: Any) -> None:
    assert api.post(video(**{field: longest})).status == 201
    longer = longest + 1 if isinstance(longest, int) else longest + "x"
    assert api.post(video(**{field: longer})).fields == [field]


def test_answers_fit_their_models(api: Api, empty: None) -> None:
    from video_api.validation import Schema

    created = api.post(
        video(description="d", duration_ms=1, size_bytes=1, content_type="video/mp4")
    )
    page = api.get()
    answers = [
        ("Video", created.json),
        ("VideoList", page.json),
        ("Video", page.json["items"][0]),
        ("Health", api.get("/health").json),
        ("Error", api.get(limit="0").json),
        ("Error", api.send(proxy_event("PUT", "/metadata")).json),
    ]

    for name, document in answers:
        assert Schema(MODEL["models"][name]).problems(document, "") == [], name


def test_every_error_has_a_place_in_the_catalogue_and_a_class() -> None:
    from video_api import errors

    classes = {
        each.code
        for each in vars(errors).values()
        if inspect.isclass(each) and issubclass(each, errors.ApiError)
    }

    assert classes == set(MODEL["errors"])
    listed = {code for each in MODEL["operations"].values() for code in each["errors"]}
    assert listed <= classes
    assert (
        f"{MODEL['limits']['body_bytes']} bytes" in MODEL["errors"]["payload_too_large"]["message"]
    )


def test_the_roots_of_rds_in_tokyo_are_the_three_and_last() -> None:
    certificates = {
        each.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value: each
        for each in x509.load_pem_x509_certificates(PEM.read_bytes())
    }

    assert {name: hashlib.sha256(each.public_bytes(Encoding.DER)).hexdigest() for name, each in
            certificates.items()} == {
        "Amazon RDS ap-northeast-1 Root CA RSA2048 G1":
            "08544470dfa4c9dc25c481a8908d2958f90b9c1d23f275696f341d71f2f1539e",
        "Amazon RDS ap-northeast-1 Root CA RSA4096 G1":
            "dc4bd074909909f9e5288408f2a148261aa506711307ae0a6561df152e07e04c",
        "Amazon RDS ap-northeast-1 Root CA ECC384 G1":
            "1cb5dcfb2e4db29fdb966e31c5da9f620bf06a10f5880205131a0e6a5bdf80d7",
    }  # fmt: skip
    for each in certificates.values():
        each.verify_directly_issued_by(each)
        assert each.not_valid_after_utc > datetime(2061, 1, 1, tzinfo=UTC)


def test_the_database_is_trusted_by_these_roots_alone(tmp_path: Path) -> None:
    from video_api import database, settings

    environ = {"DB_HOST": "h", "DB_PORT": "5432", "DB_NAME": "n", "DB_SECRET_ARN": "a"}
    context = database.trust(settings.database(environ, variable="DB_SECRET_ARN"))

    assert context.cert_store_stats() == {"x509": 3, "crl": 0, "x509_ca": 3}
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("port", ["", "0", "65536", "5432x", "-1", "٥"])
def test_a_port_that_is_none_is_told_by_its_variable(port: str) -> None:
    from video_api import settings

    environ = {"DB_HOST": "h", "DB_PORT": port, "DB_NAME": "n", "DB_SECRET_ARN": "a"}

    with pytest.raises(settings.SettingsError, match="DB_PORT"):
        settings.database(environ, variable="DB_SECRET_ARN")
