"""How things are called: the form of every name, and what a wrong suffix is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapgen import names
from tapgen.errors import Exit
from tapgen.names import BadSuffix

RULE = (
    "use 1 to 20 lower-case letters and digits, single hyphens between them, as in 'dev' or 'pr-12'"
)


@pytest.mark.parametrize("suffix", ["a", "0", "dev", "pr-12", "a-b-c", "2024", "x" * 20])
def test_a_good_suffix_comes_back_as_it_is(suffix: str) -> None:
    assert names.checked_suffix(suffix) == suffix


@pytest.mark.parametrize(
    ("suffix", "why"),
    [
        ("", "is empty"),
        ("x" * 21, "has 21 characters"),
        ("Dev", "has upper-case letters"),
        ("É", "has upper-case letters"),
        ("pr--12", "has a double hyphen"),
        ("-dev", "has characters that names do not allow"),
        ("dev-", "has characters that names do not allow"),
        ("-", "has characters that names do not allow"),
        ("my_env", "has characters that names do not allow"),
        ("a b", "has characters that names do not allow"),
        ("dev\n", "has characters that names do not allow"),
        ("é", "has characters that names do not allow"),
        ("１", "has characters that names do not allow"),
        ("../dev", "has characters that names do not allow"),
        ("foundation", "is reserved for the account's own stack"),
    ],
)
def test_a_bad_suffix_is_told_what_is_wrong_and_what_would_do(suffix: str, why: str) -> None:
    with pytest.raises(BadSuffix) as caught:
        names.checked_suffix(suffix)

    assert str(caught.value) == f"environment suffix {suffix!r} {why}; {RULE}"
    assert (caught.value.suffix, caught.value.why) == (suffix, why)
    assert caught.value.status is Exit.USAGE


@given(st.text(max_size=25) | st.text("abz09-", max_size=25))
def test_no_suffix_passes_that_the_template_would_refuse(suffix: str) -> None:
    parts = suffix.split("-")
    allowed = all(
        part and set(part) <= set("abcdefghijklmnopqrstuvwxyz0123456789") for part in parts
    )

    try:
        names.checked_suffix(suffix)
        passed = True
    except BadSuffix:
        passed = False

    assert passed == (allowed and len(suffix) <= 20 and suffix != "foundation")


def test_a_stack_is_named_after_project_environment_and_tier() -> None:
    assert names.stack_name("network", "dev") == "tap-dev-network"
    assert names.stack_name("foundation", None) == "tap-foundation"


def test_no_environment_s_stack_can_be_called_like_the_account_s_own() -> None:
    with pytest.raises(BadSuffix):
        names.checked_suffix("foundation")

    assert names.stack_name("x", "foundation").startswith(names.stack_name("foundation", None))


@pytest.mark.parametrize(
    ("parameter", "key"),
    [
        ("DbInstanceClass", "db_instance_class"),
        ("AvailabilityZoneA", "availability_zone_a"),
        ("RedisNodeType", "redis_node_type"),
        ("Http2Port", "http2_port"),
        ("Single", "single"),
    ],
)
def test_a_parameter_s_settings_key_is_its_words_in_lower_case(parameter: str, key: str) -> None:
    assert names.setting_key(parameter) == key


def test_a_package_names_its_parameter_and_its_place_in_the_bucket() -> None:
    assert names.code_parameter("video_metadata_api") == "VideoMetadataApiCodeKey"
    assert names.code_key_prefix("video_metadata_api") == "lambda/video-metadata-api/"


def test_the_template_s_rule_for_the_suffix_is_the_command_line_s(
    documents: dict[str, dict[str, dict[str, object]]],
) -> None:
    rules = [
        document["Parameters"]["EnvironmentSuffix"]
        for document in documents.values()
        if "EnvironmentSuffix" in document.get("Parameters", {})
    ]

    assert len(rules) == 7
    for rule in rules:
        assert isinstance(rule, dict)
        assert rule["AllowedPattern"] == "^[a-z0-9]+(-[a-z0-9]+)*$"
        assert (rule["MinLength"], rule["MaxLength"]) == (1, 20)
