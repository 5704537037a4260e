"""An environment's settings: where they come from, which win, and what a wrong one is told."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest
from permissions import common_user

from tapgen import files, settings
from tapgen.errors import Exit
from tapgen.names import BadSuffix
from tapgen.settings import BadSettings, Settings

ZONE = "AWS::EC2::AvailabilityZone::Name"
DOCUMENTS: list[dict[str, Any]] = [
    {
        "Parameters": {
            "EnvironmentSuffix": {"Type": "String"},
            "DbInstanceClass": {
                "Type": "String",
                "Default": "db.t4g.medium",
                "AllowedPattern": r"db\.[a-z0-9.]+",
                "ConstraintDescription": "an RDS class such as db.t4g.medium",
            },
            "DbEngineVersion": {"Type": "String", "Default": "16.6", "AllowedPattern": "16[.0-9]*"},
            "DeletionProtection": {
                "Type": "String",
                "Default": "true",
                "AllowedValues": ["true", "false"],
            },
            "Concurrency5": {"Type": "Number", "Default": 5, "MinValue": 0, "MaxValue": 100},
        }
    },
    {
        "Parameters": {
            "EnvironmentSuffix": {"Type": "String"},
            "AvailabilityZoneA": {"Type": ZONE, "Default": "ap-northeast-1a"},
            "AvailabilityZoneB": {"Type": ZONE, "Default": "ap-northeast-1c"},
            "Note": {"Type": "String", "Default": "", "MinLength": 2, "MaxLength": 5},
            "Short": {"Type": "String", "Default": "", "MaxLength": 3},
            "Long": {"Type": "String", "Default": "", "MinLength": 3},
            "AtMost": {"Type": "Number", "Default": 1, "MaxValue": "1.5"},
            "AtLeast": {"Type": "Number", "Default": 1, "MinValue": 1},
            "LogDays": {"Type": "Number", "Default": 7, "AllowedValues": [7, 30]},
            "Cidrs": {"Type": "CommaDelimitedList", "Default": "a,b"},
            "SubnetIds": {"Type": "List<AWS::EC2::Subnet::Id>", "Default": "a"},
            "CodeKey": {"Type": "String"},
        }
    },
    {},
]
KNOWN = settings.keys(DOCUMENTS)
FILE = Path("tapgen.toml")


def load(
    folder: Path,
    toml: str = "",
    *,
    env: str = "dev",
    variables: dict[str, str] | None = None,
    flags: tuple[str, ...] = (),
) -> Settings:
    path = folder / FILE
    path.write_text(toml, encoding="utf-8")
    return settings.load(env, KNOWN, file=path, variables=variables or {}, flags=flags)


def refused(folder: Path, toml: str = "", **given: Any) -> str:
    """The message, the folder taken out of it."""
    with pytest.raises(BadSettings) as caught:
        load(folder, toml, **given)

    assert caught.value.status is Exit.USAGE
    assert str(caught.value) == f"{caught.value.where}: {caught.value.why}"
    return str(caught.value).replace(f"{folder}/", "")


# --- which keys there are


def test_every_parameter_with_a_default_is_a_key_beside_the_deployer_s_own() -> None:
    assert sorted(KNOWN) == [
        "account",
        "at_least",
        "at_most",
        "availability_zone_a",
        "availability_zone_b",
        "cidrs",
        "concurrency",
        "concurrency5",
        "db_engine_version",
        "db_instance_class",
        "deletion_protection",
        "log_days",
        "long",
        "note",
        "profile",
        "protected",
        "region",
        "require_approval",
        "role_arn",
        "short",
        "subnet_ids",
        "tags",
    ]
    assert KNOWN["db_instance_class"].parameter == "DbInstanceClass"
    assert KNOWN["account"].parameter is None


@pytest.mark.parametrize(
    ("key", "takes"),
    [
        ("db_instance_class", "a text (an RDS class such as db.t4g.medium)"),
        ("db_engine_version", "a text matching 16[.0-9]*"),
        ("deletion_protection", "'true' or 'false'"),
        ("concurrency5", "a number from 0 to 100"),
        ("availability_zone_a", "a text"),
        ("note", "a text from 2 to 5 characters"),
        ("short", "a text of at most 3 characters"),
        ("long", "a text of at least 3 characters"),
        ("at_most", "a number of at most 1.5"),
        ("at_least", "a number of at least 1"),
        ("log_days", "7 or 30"),
        ("cidrs", "a list of texts"),
        ("subnet_ids", "a list of texts"),
    ],
)
def test_a_key_says_in_words_what_it_takes(key: str, takes: str) -> None:
    assert KNOWN[key].takes == takes


def test_the_real_templates_keys_are_the_documented_ones(
    documents: dict[str, dict[str, Any]],
) -> None:
    found = settings.keys(documents.values())

    assert {"db_engine_version", "availability_zone_a", "redis_node_type", "account"} <= set(found)
    # Theirs are not to be set: the suffix is the command's, the code's key the packager's.
    assert not {"environment_suffix", "video_metadata_api_code_key"} & set(found)
    for key in found.values():
        if key.default is not None:
            assert key.accept(key.default) == key.default, key.name


# --- where values come from


def test_without_file_variables_and_flags_nothing_is_set(tmp_path: Path) -> None:
    for file in (None, tmp_path / "missing.toml"):
        found = settings.load("dev", KNOWN, file=file, variables={"HOME": "/"})

        assert found == Settings(env="dev")
    assert (found.account, found.profile, found.concurrency) == ((), None, 4)
    assert (found.tags, found.parameters) == ({}, {})


def test_settings_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings("dev").env = "prod"  # type: ignore[misc]


def test_an_environment_s_block_lies_over_the_defaults(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        """
        [defaults]
        db_instance_class = "db.t4g.small"
        concurrency = 2
        account = "123456789012"
        profile = "work"

        [env.dev]
        db_instance_class = "db.t4g.large"

        [env.prod]
        db_instance_class = "db.r7g.large"
        """,
    )

    assert found == Settings(
        env="dev",
        account=("123456789012",),
        profile="work",
        concurrency=2,
        parameters={"DbInstanceClass": "db.t4g.large"},
    )


def test_flags_win_over_variables_and_variables_over_the_file(tmp_path: Path) -> None:
    toml = '[env.dev]\nnote = "file"\nshort = "f"\nlong = "file"\n'
    variables = {"TAPGEN_NOTE": "var", "TAPGEN_SHORT": "v", "OTHER_NOTE": "x", "NOTE": "y"}

    found = load(tmp_path, toml, variables=variables, flags=("note=flag",))

    assert found.parameters == {"Note": "flag", "Short": "v", "Long": "file"}


def test_the_last_of_two_flags_wins_and_a_value_may_hold_an_equals_sign(tmp_path: Path) -> None:
    assert load(tmp_path, flags=("note=aa", "note=a=b")).parameters == {"Note": "a=b"}


def test_tags_of_all_sources_are_put_together(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        "[defaults]\ntags = { Team = 'video', Stage = 'x' }\n[env.dev.tags]\nStage = 'dev'\n",
        variables={"TAPGEN_TAGS": "Owner=me, Stage = local"},
        flags=("tags=Empty=",),
    )

    assert found.tags == {"Team": "video", "Stage": "local", "Owner": "me", "Empty": ""}


@pytest.mark.parametrize("name", ["TAPGEN_ENV", "TAPGEN_DEBUG", "TAPGEN_CONFIG", "TAPGEN_LOCAL"])
def test_the_command_line_s_own_variables_are_no_settings(tmp_path: Path, name: str) -> None:
    assert load(tmp_path, variables={name: "1"}) == Settings("dev")


def test_the_file_names_its_environments(tmp_path: Path) -> None:
    path = tmp_path / FILE
    path.write_text("[env.prod]\n[env.dev]\n[defaults]\n")

    assert settings.environments(path, KNOWN) == ("dev", "prod")
    assert settings.environments(tmp_path / "missing.toml", KNOWN) == ()
    assert settings.environments(None, KNOWN) == ()


# --- what a value becomes


@pytest.mark.parametrize(
    ("written", "key", "value"),
    [
        ("concurrency5 = 7", "Concurrency5", "7"),
        ("concurrency5 = 0", "Concurrency5", "0"),
        ("concurrency5 = '100'", "Concurrency5", "100"),
        ("at_most = 1.5", "AtMost", "1.5"),
        ("at_most = -3", "AtMost", "-3"),
        ("log_days = 30", "LogDays", "30"),
        ("deletion_protection = true", "DeletionProtection", "true"),
        ("deletion_protection = 'false'", "DeletionProtection", "false"),
        ("cidrs = ['a', ' b ']", "Cidrs", "a,b"),
        ("cidrs = 'a, b'", "Cidrs", "a,b"),
        ("note = '12345'", "Note", "12345"),
        ("db_engine_version = '16.10'", "DbEngineVersion", "16.10"),
    ],
)
def test_a_value_becomes_the_text_that_cloudformation_takes(
    tmp_path: Path, written: str, key: str, value: str
) -> None:
    assert load(tmp_path, f"[env.dev]\n{written}\n").parameters == {key: value}


def test_a_variable_is_text_that_may_stand_for_more(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        variables={
            "TAPGEN_CONCURRENCY": "8",
            "TAPGEN_CONCURRENCY5": "9",
            "TAPGEN_DELETION_PROTECTION": "false",
            "TAPGEN_SUBNET_IDS": "a,b",
            "TAPGEN_ACCOUNT": "123456789012",
        },
    )

    assert (found.concurrency, found.account) == (8, ("123456789012",))
    assert found.parameters == {
        "Concurrency5": "9",
        "DeletionProtection": "false",
        "SubnetIds": "a,b",
    }


# --- wrong values


ACCOUNTS = "an account id of 12 digits in quotes, or a list of them"
APPROVALS = "'never' or 'broadening' or 'destructive' or 'any-change'"
TAGS = "texts by name, as in { CostCenter = 'video' }; no name starts with aws:"


@pytest.mark.parametrize(
    ("written", "value", "takes"),
    [
        ("db_instance_class = 'large'", "'large'", "a text (an RDS class such as db.t4g.medium)"),
        ("db_instance_class = 3", "3", "a text (an RDS class such as db.t4g.medium)"),
        # TOML reads the number 16.1 here, an older version than was meant.
        ("db_engine_version = 16.10", "16.1", "a text matching 16[.0-9]*"),
        ("db_engine_version = ['16']", "['16']", "a text matching 16[.0-9]*"),
        ("deletion_protection = 'yes'", "'yes'", "'true' or 'false'"),
        ("deletion_protection = 'True'", "'True'", "'true' or 'false'"),
        ("deletion_protection = 1", "1", "'true' or 'false'"),
        ("concurrency5 = -1", "-1", "a number from 0 to 100"),
        ("concurrency5 = 101", "101", "a number from 0 to 100"),
        ("concurrency5 = 'many'", "'many'", "a number from 0 to 100"),
        ("concurrency5 = nan", "nan", "a number from 0 to 100"),
        ("concurrency5 = inf", "inf", "a number from 0 to 100"),
        ("concurrency5 = ' 5'", "' 5'", "a number from 0 to 100"),
        ("concurrency5 = '1_0'", "'1_0'", "a number from 0 to 100"),
        ("concurrency5 = true", "True", "a number from 0 to 100"),
        ("at_most = 1.6", "1.6", "a number of at most 1.5"),
        ("at_least = 0", "0", "a number of at least 1"),
        ("log_days = 8", "8", "7 or 30"),
        ("note = 'a'", "'a'", "a text from 2 to 5 characters"),
        ("note = 'abcdef'", "'abcdef'", "a text from 2 to 5 characters"),
        ("short = 'abcd'", "'abcd'", "a text of at most 3 characters"),
        ("long = 'ab'", "'ab'", "a text of at least 3 characters"),
        ("availability_zone_a = false", "False", "a text"),
        ("cidrs = [1]", "[1]", "a list of texts"),
        ("cidrs = 1", "1", "a list of texts"),
        ("note = 2024-01-01", "datetime.date(2024, 1, 1)", "a text from 2 to 5 characters"),
        ("account = 123456789012", "123456789012", ACCOUNTS),
        ("account = '12345678901'", "'12345678901'", ACCOUNTS),
        ("account = []", "[]", ACCOUNTS),
        ("account = [1]", "[1]", ACCOUNTS),
        ("region = 'tokyo'", "'tokyo'", "a region such as 'ap-northeast-1', or a list of them"),
        ("protected = 'yes'", "'yes'", "true or false"),
        ("protected = 1", "1", "true or false"),
        ("require_approval = 'all'", "'all'", APPROVALS),
        ("role_arn = 'deployer'", "'deployer'", "the ARN of a role that CloudFormation acts as"),
        ("profile = ''", "''", "the name of an AWS profile"),
        ("profile = 1", "1", "the name of an AWS profile"),
        ("concurrency = 0", "0", "a whole number from 1 to 32"),
        ("concurrency = 33", "33", "a whole number from 1 to 32"),
        ("concurrency = 2.0", "2.0", "a whole number from 1 to 32"),
        ("concurrency = '4'", "'4'", "a whole number from 1 to 32"),
        ("concurrency = true", "True", "a whole number from 1 to 32"),
        ("tags = ['a']", "['a']", TAGS),
        ("tags = { a = 1 }", "{'a': 1}", TAGS),
        ("tags = { 'aws:x' = 'y' }", "{'aws:x': 'y'}", TAGS),
        ("tags = { '' = 'y' }", "{'': 'y'}", TAGS),
        ("tags = 'a=b'", "'a=b'", TAGS),
    ],
)
def test_a_wrong_value_is_told_with_file_key_and_what_is_accepted(
    tmp_path: Path, written: str, value: str, takes: str
) -> None:
    key = written.split(" = ")[0]

    assert refused(tmp_path, f"[env.dev]\n{written}\n") == (
        f"tapgen.toml, [env.dev] {key}: {value} is not accepted; it takes {takes}"
    )


def test_a_wrong_variable_and_a_wrong_flag_are_named_as_they_were_given(tmp_path: Path) -> None:
    takes = "is not accepted; it takes a whole number from 1 to 32"

    assert refused(tmp_path, variables={"TAPGEN_CONCURRENCY": "lots"}) == (
        f"TAPGEN_CONCURRENCY: 'lots' {takes}"
    )
    assert refused(tmp_path, flags=("concurrency=0",)) == f"--set concurrency: '0' {takes}"
    assert refused(tmp_path, flags=("tags=Team",)) == (
        f"--set tags: 'Team' is not accepted; it takes {TAGS}"
    )
    assert refused(tmp_path, flags=("tags=",)).startswith("--set tags: '' is not accepted")


def test_a_flag_without_a_value_is_told_its_form(tmp_path: Path) -> None:
    assert refused(tmp_path, flags=("note",)) == "--set note: is not KEY=VALUE"


def test_an_unknown_key_is_told_the_nearest_one(tmp_path: Path) -> None:
    assert refused(tmp_path, "[defaults]\ndb_instance_clas = 'x'\n") == (
        "tapgen.toml, [defaults] db_instance_clas: no such setting; "
        "did you mean 'db_instance_class'?"
    )
    assert refused(tmp_path, variables={"TAPGEN_ACOUNT": "1"}) == (
        "TAPGEN_ACOUNT: no such setting; did you mean 'account'?"
    )
    assert refused(tmp_path, flags=("Note=x",)) == (
        "--set Note: no such setting; did you mean 'note'?"
    )


def test_an_unknown_key_like_no_other_is_told_all_there_are(tmp_path: Path) -> None:
    assert refused(tmp_path, flags=("zzz=1",)) == (
        f"--set zzz: no such setting; there are {', '.join(sorted(KNOWN))}"
    )


def test_a_parameter_that_the_deployer_fills_cannot_be_set(tmp_path: Path) -> None:
    assert refused(tmp_path, "[env.dev]\ncode_key = 'x'\n").startswith(
        "tapgen.toml, [env.dev] code_key: no such setting; "
    )
    assert refused(tmp_path, flags=("environment_suffix=x",)).startswith(
        "--set environment_suffix: no such setting; "
    )


def test_a_mistake_in_another_environment_s_block_is_found_too(tmp_path: Path) -> None:
    assert refused(tmp_path, "[env.dev]\n[env.prod]\nlog_days = 8\n") == (
        "tapgen.toml, [env.prod] log_days: 8 is not accepted; it takes 7 or 30"
    )


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("[env.dev\n", "tapgen.toml: not valid TOML: "),
        ("a = 1\na = 2\n", "tapgen.toml: not valid TOML: "),
        ("[dev]\n", "tapgen.toml: unknown section [dev]; there are [defaults] and [env.NAME]"),
        ("note = 'x'\n", "tapgen.toml: unknown section [note]; there are [defaults] and"),
        ("defaults = 1\n", "tapgen.toml, defaults: must be a table, as in [env.dev]"),
        ("env = 'dev'\n", "tapgen.toml, env: must be a table, as in [env.dev]"),
        ("[env]\ndev = 3\n", "tapgen.toml, env.dev: must be a table, as in [env.dev]"),
        ("[[env.dev]]\n", "tapgen.toml, env.dev: must be a table, as in [env.dev]"),
        ("[env.Prod]\n", "tapgen.toml, [env.Prod]: environment suffix 'Prod' has upper-case"),
        ("[env.foundation]\n", "tapgen.toml, [env.foundation]: environment suffix 'foundation' is"),
    ],
)
def test_a_malformed_file_is_told_where(tmp_path: Path, toml: str, message: str) -> None:
    found = refused(tmp_path, toml)

    assert found.startswith(message)
    assert "\n" not in found


def test_malformed_toml_is_told_its_line(tmp_path: Path) -> None:
    assert "(at line 2, column 8)" in refused(tmp_path, "[env.dev]\nnote = x\n")


def test_a_bad_suffix_is_refused_before_any_file_is_read(tmp_path: Path) -> None:
    with pytest.raises(BadSuffix, match="has upper-case letters"):
        load(tmp_path, "[[[", env="Dev")


# --- files that cannot be read


def test_an_unreadable_file_is_told_so_and_not_passed_over(open_folder: Path) -> None:
    path = open_folder / FILE
    path.write_text("[env.dev]\n")
    path.chmod(0)

    with common_user(), pytest.raises(files.CannotRead) as caught:
        settings.load("dev", KNOWN, file=path, variables={})

    assert str(caught.value) == (
        f"cannot read {path}: permission denied; check the file and its permissions"
    )


def test_a_folder_or_bytes_in_the_file_s_place_are_told_so(tmp_path: Path) -> None:
    path = tmp_path / "latin.toml"
    path.write_bytes("[env.dev]\nnote = 'é'\n".encode("latin-1"))

    with pytest.raises(files.CannotRead, match="it is not UTF-8 text"):
        settings.load("dev", KNOWN, file=path, variables={})
    with pytest.raises(files.CannotRead, match="is a directory"):
        settings.load("dev", KNOWN, file=tmp_path, variables={})


# --- values that must fit together


def test_two_zones_must_differ(tmp_path: Path) -> None:
    toml = "[env.dev]\navailability_zone_a = 'x'\navailability_zone_b = 'x'\n"

    assert refused(tmp_path, toml) == (
        "environment dev: availability_zone_a and availability_zone_b are both 'x'; "
        "they must differ"
    )


def test_a_zone_must_differ_from_the_other_s_default(tmp_path: Path) -> None:
    assert refused(tmp_path, flags=("availability_zone_a=ap-northeast-1c",)) == (
        "environment dev: availability_zone_a and availability_zone_b are both "
        "'ap-northeast-1c'; they must differ"
    )


def test_zones_may_be_exchanged_and_other_texts_may_agree(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        flags=(
            "availability_zone_a=ap-northeast-1c",
            "availability_zone_b=ap-northeast-1a",
            "note=abc",
            "long=abc",
        ),
    )

    assert found.parameters == {
        "AvailabilityZoneA": "ap-northeast-1c",
        "AvailabilityZoneB": "ap-northeast-1a",
        "Note": "abc",
        "Long": "abc",
    }


# --- the profile, known before the rest


@pytest.mark.parametrize(
    ("toml", "profile"),
    [
        ("[defaults]\nprofile = 'work'\n", "work"),
        ("[defaults]\nprofile = 'work'\n[env.dev]\nprofile = 'mine'\n", "mine"),
        ("[env.prod]\nprofile = 'theirs'\n", None),
        # Told as an error by ``load``, which comes next.
        ("[env.dev]\nprofile = 3\n", None),
        ("env = 3\n", None),
        ("defaults = 3\n", None),
        ("[[[", None),
        ("", None),
    ],
)
def test_the_profile_is_found_before_anything_is_checked(
    tmp_path: Path, toml: str, profile: str | None
) -> None:
    path = tmp_path / FILE
    path.write_text(toml)

    assert settings.profile(path, "dev") == profile
    assert settings.profile(tmp_path / "missing.toml", "dev") is None


def test_where_and_how_carefully_an_environment_may_be_changed(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        """
        [env.dev]
        account = ["111111111111", "222222222222"]
        region = "ap-northeast-1"
        protected = true
        require_approval = "broadening"
        role_arn = "arn:aws:iam::111111111111:role/deploy/tapgen"
        """,
    )

    assert found == Settings(
        env="dev",
        account=("111111111111", "222222222222"),
        region=("ap-northeast-1",),
        protected=True,
        require_approval="broadening",
        role_arn="arn:aws:iam::111111111111:role/deploy/tapgen",
    )


def test_a_variable_can_protect_an_environment_and_list_accounts(tmp_path: Path) -> None:
    variables = {
        "TAPGEN_PROTECTED": "true",
        "TAPGEN_ACCOUNT": "111111111111, 222222222222",
    }

    found = load(tmp_path, variables=variables)

    assert (found.protected, found.account) == (True, ("111111111111", "222222222222"))
