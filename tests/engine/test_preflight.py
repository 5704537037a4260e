"""What an account must have, and which database version is deployed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tapgen.cloud import DeployedStack
from tapgen.engine import preflight
from tapgen.engine.preflight import Database, NoSuchVersion, Version

OFFERED = ["15.9", "16.8", "16.9", "16.10", "17.2"]
GONE = "AWS no longer creates postgres 16.6: it will be 16.10, the newest of the same major version"


def decided(
    asked: str, running: str | None = None, deployed: str | None = None, offered: Any = OFFERED
) -> Version:
    return preflight.version("postgres", asked, offered=offered, running=running, deployed=deployed)


def never(running: str, asked: str) -> str:
    return f"postgres {running} runs: it is never taken back to {asked}"


def resources(**types: str) -> dict[str, Any]:
    return {"Resources": {name: {"Type": kind} for name, kind in types.items()}}


# --- roles and account settings


def test_a_cluster_needs_ecs_linked_role_and_nothing_else_does() -> None:
    cluster, topic = resources(C="AWS::ECS::Cluster"), resources(T="AWS::SNS::Topic")

    assert preflight.service_linked_roles([topic, cluster, cluster]) == ("ecs.amazonaws.com",)
    assert preflight.service_linked_roles([topic, {}]) == ()


def test_the_switch_of_the_account_settings_is_read_off_their_condition() -> None:
    document = {
        "Conditions": {"On": {"Fn::Equals": [{"Ref": "ManageAccount"}, "true"]}},
        "Resources": {
            "Account": {"Type": "AWS::ApiGateway::Account", "Condition": "On"},
            "Topic": {"Type": "AWS::SNS::Topic", "Condition": "On"},
        },
    }

    assert preflight.account_switches(document) == ("ManageAccount",)
    assert preflight.account_switches(resources(A="AWS::ApiGateway::Account")) == ()


@pytest.mark.parametrize(
    ("role", "parameters", "ours"),
    [
        (None, None, True),
        ("arn:aws:iam::1:role/theirs", None, False),
        # A stack that holds the settings goes on holding them: the role is its own.
        ("arn:aws:iam::1:role/ours", {"Manage": "true"}, True),
        ("arn:aws:iam::1:role/theirs", {"Manage": "false"}, False),
        (None, {"Manage": "false"}, False),
        # Deployed before there was a switch.
        ("arn:aws:iam::1:role/theirs", {}, False),
        (None, {}, True),
    ],
)
def test_somebody_else_s_account_settings_are_never_taken_over(
    role: str | None, parameters: dict[str, str] | None, ours: bool
) -> None:
    deployed = None
    if parameters is not None:
        deployed = DeployedStack("id", "tap-foundation", "CREATE_COMPLETE", parameters=parameters)

    assert preflight.makes_account_settings(role, deployed, "Manage") is ours


# --- databases


def test_a_database_is_found_by_its_version_parameter() -> None:
    document = {
        "Parameters": {"Suffix": {"Type": "String"}, "Version": {"Default": "16.6"}},
        "Resources": {
            "Db": {
                "Type": "AWS::RDS::DBInstance",
                "Properties": {
                    "Engine": "postgres",
                    "EngineVersion": {"Ref": "Version"},
                    "DBInstanceIdentifier": {"Fn::Sub": "video-db-${Suffix}"},
                },
            },
            "Fixed": {
                "Type": "AWS::RDS::DBInstance",
                "Properties": {"Engine": "postgres", "EngineVersion": "16.6"},
            },
            "Chosen": {
                "Type": "AWS::RDS::DBInstance",
                "Properties": {"EngineVersion": {"Fn::If": ["C", "16.6", "17.2"]}},
            },
            "Bare": {"Type": "AWS::RDS::DBInstance"},
            "Cache": {
                "Type": "AWS::ElastiCache::ReplicationGroup",
                "Properties": {"EngineVersion": {"Ref": "Version"}},
            },
        },
    }

    assert preflight.databases("storage", document, {"Suffix": "dev"}) == (
        Database("storage", "Version", "postgres", "video-db-dev"),
    )


def test_the_real_templates_need_what_they_are_known_to_need(
    documents: dict[str, dict[str, Any]],
) -> None:
    found = [
        database
        for tier, document in documents.items()
        for database in preflight.databases(tier, document, {"EnvironmentSuffix": "dev"})
    ]

    assert [(one.stack, one.parameter, one.engine) for one in found] == [
        ("storage", "DbEngineVersion", "postgres")
    ]
    assert found[0].identifier.endswith("-dev")
    assert preflight.service_linked_roles(documents.values()) == ("ecs.amazonaws.com",)
    assert [tier for tier in documents if preflight.account_switches(documents[tier])] == [
        "foundation"
    ]


@pytest.mark.parametrize(
    ("asked", "running", "deployed", "expected"),
    [
        # A new database.
        ("16.9", None, None, Version("16.9")),
        ("16", None, None, Version("16")),
        ("16.6", None, None, Version("16.10", GONE, consent=True)),
        # One that stands as asked.
        ("16.6", "16.6", "16.6", Version("16.6")),
        ("16.9", "16.9", "16.8", Version("16.9")),
        # RDS has upgraded it by itself: what the stack says stays, nothing moves.
        ("16.6", "16.8", "16.6", Version("16.6")),
        ("16", "16.8", "16", Version("16")),
        # Asked for less than runs: never back.
        ("16.8", "16.10", "16.9", Version("16.9", never("16.10", "16.8"))),
        ("16.6", "16.10", None, Version("16.10", never("16.10", "16.6"))),
        ("15", "16.8", "16", Version("16", never("16.8", "15"))),
        # Asked for more than runs.
        ("16.10", "16.8", "16.8", Version("16.10")),
        ("17.2", "16.8", "16.8", Version("17.2")),
        ("17", "16.8", "16.8", Version("17")),
        ("16.6", "16.4", "16.4", Version("16.10", GONE, consent=True)),
    ],
)
def test_the_version_follows_from_what_is_asked_offered_and_running(
    asked: str, running: str | None, deployed: str | None, expected: Version
) -> None:
    assert decided(asked, running, deployed) == expected


@pytest.mark.parametrize(
    ("asked", "offered", "told"),
    [
        ("14.1", OFFERED, "it offers 15.9, 16.8, 16.9, 16.10, 17.2"),
        # The newest of the major is older than what was asked: that is no replacement.
        ("16.11", OFFERED, "it offers 15.9, 16.8, 16.9, 16.10, 17.2"),
        ("18", OFFERED, "it offers 15.9, 16.8, 16.9, 16.10, 17.2"),
        ("16.6", [], "it offers nothing"),
        ("1", [f"9.{n}" for n in range(10)], "it offers 9.2, 9.3, 9.4, 9.5, 9.6, 9.7, 9.8, 9.9"),
    ],
)
def test_a_version_without_a_replacement_is_told_with_what_there_is(
    asked: str, offered: list[str], told: str
) -> None:
    with pytest.raises(NoSuchVersion) as caught:
        decided(asked, offered=offered)

    assert str(caught.value) == (
        f"RDS does not offer postgres {asked} in ap-northeast-1; {told}: "
        "set db_engine_version to one of them"
    )
    assert caught.value.offered == tuple(offered)


VERSIONS = st.builds("{}.{}".format, st.integers(15, 17), st.integers(1, 12))


@given(VERSIONS, VERSIONS, st.lists(VERSIONS, max_size=8))
def test_a_running_database_is_never_taken_back_unasked_or_asked(
    asked: str, running: str, offered: list[str]
) -> None:
    def place(version: str) -> tuple[int, ...]:
        return tuple(map(int, version.split(".")))

    try:
        found = decided(asked, running, running, offered)
    except NoSuchVersion:
        # Only ever about a version that is above what runs.
        assume(False)

    assert place(found.value) >= place(running)
    assert found.consent is (found.value not in (asked, running))
