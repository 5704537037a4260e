"""What replaces a resource: the generated table, the second source, what follows a change."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from tapgen.diff import replaced, replaced_table
from tapgen.diff.replaced import Answer


def schema(kind: str) -> dict[str, Any]:
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

    found: dict[str, Any] = PROVIDER_SCHEMA_MANAGER.get_resource_schema(
        "ap-northeast-1", kind
    ).schema
    return found


def test_the_table_is_what_the_schemas_say() -> None:
    always, conditionally = replaced.from_schemas()

    assert always == replaced_table.ALWAYS
    assert conditionally == replaced_table.CONDITIONALLY


def test_the_table_is_what_its_generator_writes() -> None:
    written = Path(replaced_table.__file__).read_text(encoding="utf-8")

    assert ast.dump(ast.parse(written)) == ast.dump(ast.parse(replaced.source()))


def test_every_type_of_the_tiers_is_in_the_table(documents: dict[str, dict[str, Any]]) -> None:
    used = {
        resource["Type"]
        for document in documents.values()
        for resource in document["Resources"].values()
    }

    assert used - set(replaced.TYPES) == set()


@pytest.mark.parametrize(
    ("kind", "name", "answer"),
    [
        ("AWS::RDS::DBInstance", "DBName", "yes"),
        ("AWS::RDS::DBInstance", "StorageEncrypted", "yes"),
        ("AWS::RDS::DBInstance", "MultiAZ", "maybe"),
        ("AWS::RDS::DBInstance", "DBInstanceClass", "no"),
        ("AWS::EC2::VPC", "CidrBlock", "yes"),
        ("AWS::EC2::VPC", "Tags", "no"),
        # The schema has both as changeable in place; the second source has not.
        ("AWS::RDS::DBInstance", "Port", "yes"),
        ("AWS::RDS::DBInstance", "StorageType", "maybe"),
        # The schema says maybe, the second source yes.
        ("AWS::Events::Rule", "EventBusName", "yes"),
        # The schema says maybe, the second source no.
        ("AWS::Lambda::Function", "DurableConfig", "maybe"),
        # A type with nothing that replaces it is known, too.
        ("AWS::SNS::TopicPolicy", "PolicyDocument", "no"),
        ("Custom::Thing", "Anything", "maybe"),
        ("Custom::Thing", "Tags", "no"),
    ],
)
def test_the_worse_of_both_sources_stands(kind: str, name: str, answer: Answer) -> None:
    assert replaced.by_change(kind, name) == answer


def test_the_second_source_is_only_kept_where_it_says_more() -> None:
    for kind, properties in replaced.SECOND_SOURCE.items():
        for name, answer in properties.items():
            schema_says = "maybe" if name in replaced_table.CONDITIONALLY.get(kind, ()) else "no"
            assert name not in replaced_table.ALWAYS.get(kind, ()), (kind, name)
            assert replaced.worst(answer, "no") != schema_says, (kind, name)


@pytest.mark.parametrize("kind", sorted(replaced.NAMES))
def test_what_names_a_resource_cannot_be_changed_in_place(kind: str) -> None:
    assert replaced.by_change(kind, replaced.NAMES[kind]) == "yes"


@pytest.mark.parametrize("table", [replaced.FOLLOWS, replaced.GIVEN], ids=["follows", "given"])
def test_attributes_and_properties_of_the_tables_exist(
    table: dict[str, dict[str, tuple[str, ...]]],
) -> None:
    for kind, attributes in table.items():
        known = schema(kind)
        readable = {path.removeprefix("/properties/") for path in known["readOnlyProperties"]}
        for attribute, properties in attributes.items():
            # A list is also offered joined, and a whole structure by its members.
            plain = attribute.removesuffix(".List").replace(".", "/")
            assert plain in readable | set(known["properties"]), (kind, attribute)
            assert set(properties) <= set(known["properties"]), (kind, attribute)


def test_what_ref_gives_never_changes_without_replacement() -> None:
    assert not replaced.attribute_follows("AWS::RDS::DBInstance", "", "Port")
    assert replaced.attribute_follows("AWS::RDS::DBInstance", "Endpoint.Port", "Port")
    assert not replaced.attribute_follows("AWS::RDS::DBInstance", "Endpoint.Port", "MultiAZ")
    assert replaced.attribute_follows("Custom::Thing", "Answer", "Anything")


@pytest.mark.parametrize(
    ("answers", "worst", "least"),
    [
        (("no", "yes", "maybe"), "yes", "no"),
        (("maybe", "yes"), "yes", "maybe"),
        ((), "no", "no"),
    ],
)
def test_answers_are_ordered(answers: tuple[Answer, ...], worst: Answer, least: Answer) -> None:
    assert replaced.worst(*answers) == worst
    assert replaced.least(*answers) == least
