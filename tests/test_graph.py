"""The graph is read off the documents: edges, order, and what cannot be a graph."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapgen import graph
from tapgen.graph import (
    DanglingImport,
    DuplicateExport,
    Edge,
    Export,
    Import,
    ImportCycle,
    UnreadableName,
)

SUFFIX = {"EnvironmentSuffix": {"Type": "String"}}


def name(key: str) -> dict[str, Any]:
    return {"Fn::Sub": f"tap-${{EnvironmentSuffix}}-{key}"}


def stack(exports: str = "", imports: str = "") -> dict[str, Any]:
    """A document that exports and imports the keys named in words."""
    return {
        "Parameters": SUFFIX,
        "Resources": {
            "Part": {
                "Type": "AWS::SNS::Topic",
                "Properties": {"Tags": [{"Fn::ImportValue": name(key)} for key in imports.split()]},
            }
        },
        "Outputs": {
            key: {"Value": {"Ref": "Part"}, "Export": {"Name": name(key)}}
            for key in exports.split()
        },
    }


def test_an_edge_keeps_the_exports_that_make_it() -> None:
    documents = {
        "web": stack(imports="VpcId DbHost SubnetId"),
        "net": stack(exports="VpcId SubnetId"),
        "data": stack(exports="DbHost", imports="VpcId"),
    }

    assert graph.edges(documents) == (
        Edge("data", "net", ("VpcId",)),
        Edge("web", "data", ("DbHost",)),
        Edge("web", "net", ("SubnetId", "VpcId")),
    )
    assert graph.waves(documents) == (("net",), ("data",), ("web",))
    assert graph.order(documents) == ("net", "data", "web")
    assert graph.producers(documents) == {
        "web": frozenset({"net", "data"}),
        "net": frozenset(),
        "data": frozenset({"net"}),
    }


def test_stacks_that_do_not_need_each_other_share_a_wave_in_name_order() -> None:
    documents = {"c": stack(exports="C"), "a": stack(), "b": stack(imports="C")}

    assert graph.waves(documents) == (("a", "c"), ("b",))


def test_no_stacks_make_no_waves() -> None:
    assert graph.waves({}) == ()
    assert graph.edges({}) == ()


def test_exports_and_imports_are_named_in_one_form_for_all_environments() -> None:
    documents = {
        "net": {
            "Outputs": {
                "VpcId": {
                    "Value": "x",
                    "Export": {"Name": {"Fn::Join": ["-", ["tap", {"Ref": "EnvironmentSuffix"}]]}},
                },
                "Plain": {"Value": "x"},
            }
        },
        "web": stack(imports="VpcId"),
    }

    assert graph.exports(documents) == [Export("net", "VpcId", "tap-${EnvironmentSuffix}")]
    assert graph.imports(documents) == [Import("web", "Part", "tap-${EnvironmentSuffix}-VpcId")]


def test_an_import_written_by_hand_is_seen_wherever_it_stands() -> None:
    documents = {
        "net": stack(exports="A B C"),
        "web": {
            "Resources": {
                "Deep": {
                    "Type": "X",
                    "Properties": {
                        "Text": {"Fn::Sub": ["${a}", {"a": {"Fn::ImportValue": name("A")}}]},
                        "List": [[{"Fn::If": ["C", {"Fn::ImportValue": name("B")}, ""]}]],
                    },
                }
            },
            "Outputs": {"On": {"Value": {"Fn::ImportValue": name("C")}}},
        },
    }

    assert [(found.where, found.name[-1]) for found in graph.imports(documents)] == [
        ("Deep", "A"),
        ("Deep", "B"),
        ("Outputs.On", "C"),
    ]
    assert graph.edges(documents) == (Edge("web", "net", ("A", "B", "C")),)


def test_a_parameter_with_a_default_may_be_part_of_a_name() -> None:
    documents = {
        "net": stack(exports="VpcId"),
        "web": {
            "Parameters": {**SUFFIX, "Wanted": {"Type": "String", "Default": "VpcId"}},
            "Resources": {
                "Part": {"Fn::ImportValue": {"Fn::Sub": "tap-${EnvironmentSuffix}-${Wanted}"}}
            },
        },
    }

    assert graph.order(documents) == ("net", "web")


def test_an_import_nobody_exports_names_the_nearest_export() -> None:
    documents = {"net": stack(exports="VpcId"), "web": stack(imports="VpcID")}

    with pytest.raises(DanglingImport) as caught:
        graph.edges(documents)

    assert str(caught.value) == (
        "web: Part imports 'tap-${EnvironmentSuffix}-VpcID', which no stack exports. "
        "Did you mean 'tap-${EnvironmentSuffix}-VpcId'?"
    )
    assert (caught.value.stack, caught.value.export) == ("web", "tap-${EnvironmentSuffix}-VpcID")
    assert caught.value.close == ("tap-${EnvironmentSuffix}-VpcId",)


def test_an_import_like_no_export_is_told_without_a_guess() -> None:
    documents = {"web": {"Resources": {"Part": {"Fn::ImportValue": "zzz"}}}}

    with pytest.raises(DanglingImport) as caught:
        graph.waves(documents)

    assert str(caught.value) == "web: Part imports 'zzz', which no stack exports."


def test_two_exports_of_one_name_are_refused() -> None:
    documents = {"net": stack(exports="VpcId"), "old": stack(exports="VpcId")}

    with pytest.raises(DuplicateExport) as caught:
        graph.edges(documents)

    assert str(caught.value) == (
        "old: output VpcId exports 'tap-${EnvironmentSuffix}-VpcId', "
        "which net exports already (VpcId); rename one of the two"
    )
    assert (caught.value.first.stack, caught.value.second.stack) == ("net", "old")


def test_a_name_that_only_aws_could_tell_is_refused() -> None:
    documents = {"net": {"Outputs": {"VpcId": {"Value": "x", "Export": {"Name": {"Ref": "Vpc"}}}}}}

    with pytest.raises(UnreadableName) as caught:
        graph.edges(documents)

    assert str(caught.value) == (
        "net: the export name at Outputs.VpcId cannot be read offline (Ref Vpc is known to AWS "
        "only); use parameters with defaults and pseudo parameters only"
    )


def test_a_circle_is_told_with_the_exports_that_close_it() -> None:
    documents = {
        "c": stack(exports="C", imports="B"),
        "b": stack(exports="B", imports="A"),
        "a": stack(exports="A", imports="C"),
        "aside": stack(imports="A"),
    }

    with pytest.raises(ImportCycle) as caught:
        graph.waves(documents)

    assert str(caught.value) == (
        "stacks import from each other in a circle: a needs c for C, c needs b for B, b needs a "
        "for A"
    )
    assert caught.value.stacks == ("a", "c", "b")


def test_a_stack_that_imports_its_own_export_is_a_circle_too() -> None:
    with pytest.raises(ImportCycle, match="circle: a needs a for A"):
        graph.waves({"a": stack(exports="A", imports="A")})


def test_nearest_puts_the_likeliest_first() -> None:
    assert graph.nearest("netwrok", ["storage", "network", "notification"])[0] == "network"
    assert graph.nearest("qqq", ["storage"]) == []


@given(st.permutations(["a", "b", "c", "d", "e"]), st.sets(st.tuples(*[st.integers(0, 4)] * 2)))
def test_any_acyclic_graph_is_ordered_producers_first(
    order: list[str], pairs: set[tuple[int, int]]
) -> None:
    needs = {(order[high], order[low]) for low, high in pairs if low < high}
    documents = {
        name: stack(
            exports=name.upper(),
            imports=" ".join(sorted(low.upper() for high, low in needs if high == name)),
        )
        for name in order
    }

    found = graph.order(documents)

    assert sorted(found) == ["a", "b", "c", "d", "e"]
    assert all(found.index(low) < found.index(high) for high, low in needs)
    assert {(edge.importer, edge.exporter) for edge in graph.edges(documents)} == needs


def test_the_order_of_the_documents_does_not_matter() -> None:
    parts = {
        "net": stack(exports="VpcId"),
        "data": stack(exports="Db", imports="VpcId"),
        "web": stack(imports="Db VpcId"),
    }

    found = {
        graph.waves({tier: parts[tier] for tier in order})
        for order in itertools.permutations(parts)
    }

    assert found == {(("net",), ("data",), ("web",))}


def test_the_seven_tiers_and_the_foundation_stand_in_the_documented_order(
    documents: dict[str, dict[str, Any]],
) -> None:
    assert graph.waves(documents) == (
        ("foundation", "network", "notification"),
        ("cache", "storage"),
        ("api", "compute"),
        ("workflow",),
    )


@pytest.mark.parametrize(
    ("node", "names"),
    [
        ({"Ref": "Vpc"}, ["Vpc"]),
        ({"Condition": "IsOn"}, ["IsOn"]),
        ({"DependsOn": "Vpc"}, ["Vpc"]),
        ({"DependsOn": ["Vpc", "Gateway"]}, ["Vpc", "Gateway"]),
        ({"Fn::GetAtt": ["Db", "Endpoint.Port"]}, ["Db"]),
        ({"Fn::GetAtt": "Db.Endpoint.Port"}, ["Db"]),
        ({"Fn::Sub": "${Vpc}-${Db.Arn}-${!Not}"}, ["Vpc", "Db"]),
        # A name of its own is nobody else's.
        ({"Fn::Sub": ["${x} ${Db.Arn}", {"x": {"Ref": "Vpc"}}]}, ["Db", "Vpc"]),
        ({"Fn::Sub": ["${x}"]}, ["x"]),
        ({"Fn::If": ["IsOn", {"Ref": "A"}, {"Ref": "B"}]}, ["IsOn", "A", "B"]),
        ({"Fn::FindInMap": ["Sizes", {"Ref": "Env"}, "Nodes"]}, ["Sizes", "Env"]),
        ({"Deep": [{"er": {"Ref": "Vpc"}}, "Ref", 7]}, ["Vpc"]),
        # IAM's own key of the same name.
        ({"Condition": {"StringEquals": {"aws:x": {"Ref": "A"}}}}, ["A"]),
        ("Ref", []),
    ],
)
def test_references_are_the_names_that_a_part_of_a_document_uses(
    node: Any, names: list[str]
) -> None:
    assert list(graph.references(node)) == names


def test_every_reference_in_the_real_documents_is_to_something_there(
    documents: dict[str, dict[str, Any]],
) -> None:
    for tier, document in documents.items():
        there = {
            name
            for section in ("Parameters", "Mappings", "Conditions", "Resources")
            for name in document.get(section, {})
        }
        used = {name for name in graph.references(document) if not name.startswith("AWS::")}

        assert used - there == set(), tier
