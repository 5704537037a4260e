"""Intrinsic functions worked out from what is known, and what is done about the rest."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapgen import resolve
from tapgen.resolve import Known, Unresolvable

GONE = {"Ref": "AWS::NoValue"}
DOCUMENT: dict[str, Any] = {
    "Parameters": {
        "Env": {"Type": "String", "Default": "dev"},
        "Size": {"Type": "Number", "Default": 3},
        "Asked": {"Type": "String"},
    },
    "Mappings": {"Sizes": {"dev": {"Nodes": 2}, "prod": {"Nodes": 3}}},
    "Conditions": {
        "IsDev": {"Fn::Equals": [{"Ref": "Env"}, "dev"]},
        "IsBig": {"Fn::Equals": [{"Ref": "Size"}, "10"]},
        "IsAsked": {"Fn::Equals": [{"Ref": "Asked"}, "yes"]},
        "Both": {"Fn::And": [{"Condition": "IsDev"}, {"Condition": "IsBig"}]},
        "Either": {"Fn::Or": [{"Condition": "IsDev"}, {"Condition": "IsBig"}]},
        "Neither": {"Fn::Not": [{"Condition": "Either"}]},
        "Round": {"Fn::Not": [{"Condition": "About"}]},
        "About": {"Condition": "Round"},
        "Odd": {"Fn::Xor": [True, False]},
        "Empty": {},
    },
}


def known(*, partial: bool = False, **values: Any) -> Known:
    return Known.of(DOCUMENT, values, imports={"tap-dev-VpcId": "vpc-1"}, partial=partial)


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ("plain", "plain"),
        (7, 7),
        (None, None),
        ({"Ref": "Env"}, "dev"),
        ({"Ref": "AWS::Region"}, "ap-northeast-1"),
        ({"Ref": "AWS::AccountId"}, "123456789012"),
        ({"Fn::Sub": "a-${Env}-${AWS::Partition}"}, "a-dev-aws"),
        ({"Fn::Sub": "${ Env }"}, "dev"),
        ({"Fn::Sub": "${!Env} ${Env} ${}"}, "${Env} dev ${}"),
        ({"Fn::Sub": ["${a}.${Env}", {"a": {"Ref": "Size"}}]}, "3.dev"),
        ({"Fn::Sub": ["${a.b}", {"a.b": "c"}]}, "c"),
        ({"Fn::Join": ["-", ["a", {"Ref": "Env"}, 1]]}, "a-dev-1"),
        ({"Fn::Join": [",", {"Fn::Split": ["-", "a-b"]}]}, "a,b"),
        ({"Fn::Split": ["-", "a-b"]}, ["a", "b"]),
        ({"Fn::Select": [1, ["a", "b"]]}, "b"),
        ({"Fn::Select": ["0", {"Fn::Split": [",", "a,b"]}]}, "a"),
        ({"Fn::Select": [{"Ref": "Size"}, [0, 1, 2, "three"]]}, "three"),
        ({"Fn::FindInMap": ["Sizes", {"Ref": "Env"}, "Nodes"]}, 2),
        ({"Fn::FindInMap": ["Sizes", "dev", "Nodes", {"DefaultValue": 9}]}, 2),
        ({"Fn::If": ["IsDev", "yes", "no"]}, "yes"),
        ({"Fn::If": ["IsBig", "yes", {"Ref": "Env"}]}, "dev"),
        ({"Fn::ImportValue": {"Fn::Sub": "tap-${Env}-VpcId"}}, "vpc-1"),
        ({"Fn::ImportValue": "tap-dev-VpcId"}, "vpc-1"),
        ({"a": {"Ref": "Env"}, "b": [{"Ref": "Size"}]}, {"a": "dev", "b": [3]}),
        ({"Only": {"Ref": "Env"}}, {"Only": "dev"}),
        (("a", {"Ref": "Env"}), ["a", "dev"]),
    ],
)
def test_a_function_over_known_values_is_worked_out(node: Any, expected: Any) -> None:
    assert resolve.value(node, known()) == expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [("IsDev", True), ("IsBig", False), ("Both", False), ("Either", True), ("Neither", False)],
)
def test_a_condition_follows_from_the_parameters(condition: str, expected: bool) -> None:
    assert known().holds(condition) is expected


def test_given_values_win_over_defaults() -> None:
    assert resolve.value({"Ref": "Env"}, known(Env="prod")) == "prod"
    assert resolve.value({"Fn::If": ["IsBig", 1, 0]}, known(Size="10")) == 1


def test_a_switch_given_as_a_boolean_equals_its_word() -> None:
    document = {"Conditions": {"On": {"Fn::Equals": [{"Ref": "Switch"}, "true"]}}}

    assert Known.of(document, {"Switch": True}).holds("On")
    assert not Known.of(document, {"Switch": False}).holds("On")


def test_no_value_takes_its_member_or_item_away() -> None:
    node = {
        "a": {"Fn::If": ["IsBig", 1, GONE]},
        "b": [GONE, 2],
        "c": {"Fn::Join": ["-", ["x", GONE, "y"]]},
    }

    assert resolve.value(node, known()) == {"b": [2], "c": "x-y"}


@pytest.mark.parametrize(
    ("node", "what"),
    [
        ({"Ref": "Asked"}, "Ref Asked"),
        ({"Ref": ["Asked"]}, "Ref ['Asked']"),
        ({"Fn::GetAtt": ["Vpc", "Id"]}, "Fn::GetAtt ['Vpc', 'Id']"),
        ({"Fn::GetAZs": ""}, "Fn::GetAZs ''"),
        ({"Fn::Cidr": ["10.0.0.0/16", 2]}, "Fn::Cidr ['10.0.0.0/16', 2]"),
        ({"Fn::Base64": "x"}, "Fn::Base64 'x'"),
        ({"Fn::Transform": {"Name": "X"}}, "Fn::Transform {'Name': 'X'}"),
        ({"Fn::Sub": "${Vpc.Id}"}, "${Vpc.Id}"),
        ({"Fn::Sub": "${Vpc}"}, "Ref Vpc"),
        ({"Fn::Sub": ["${a}", {"a": {"Fn::Split": [",", "x,y"]}}]}, "['x', 'y']"),
        ({"Fn::ImportValue": "tap-dev-VpcID"}, "export 'tap-dev-VpcID'"),
        ({"Fn::FindInMap": ["Sizes", "qa", "Nodes"]}, "Fn::FindInMap Sizes.qa.Nodes"),
        ({"Fn::Select": [2, ["a", "b"]]}, "Fn::Select 2 of ['a', 'b']"),
        ({"Fn::Select": [0, "a"]}, "Fn::Select 0 of 'a'"),
        ({"Fn::Join": ["", "abc"]}, "Fn::Join of 'abc'"),
        ({"Fn::If": ["IsAsked", 1, 2]}, "Ref Asked"),
        ({"Fn::If": ["Nowhere", 1, 2]}, "condition 'Nowhere'"),
        ({"Fn::If": [{"Condition": "IsDev"}, 1, 2]}, "condition {'Condition': 'IsDev'}"),
        ({"Fn::If": ["Odd", 1, 2]}, "condition function Fn::Xor"),
        ({"Fn::If": ["Empty", 1, 2]}, "condition {}"),
    ],
)
def test_what_only_aws_knows_is_named(node: Any, what: str) -> None:
    with pytest.raises(Unresolvable) as caught:
        resolve.value(node, known())

    assert str(caught.value) == f"{what} is known to AWS only"
    assert caught.value.what == what


@pytest.mark.parametrize(
    "node",
    [
        {"Fn::Join": ["-"]},
        {"Fn::Join": "-"},
        {"Fn::Sub": ["${a}"]},
        {"Fn::Sub": 7},
        {"Fn::Sub": [7, {}]},
        {"Fn::Sub": ["${a}", "b"]},
        {"Fn::Split": "a"},
        {"Fn::Select": []},
        {"Fn::Select": ["one", ["a", "b"]]},
        {"Fn::Select": [-1, ["a", "b"]]},
        {"Fn::If": ["IsDev", 1]},
        {"Fn::FindInMap": ["Sizes"]},
        {"Fn::FindInMap": "Sizes"},
        {"Fn::FindInMap": ["Sizes", "dev", {"a": "b"}]},
        {"Fn::ImportValue": ["a"]},
        {"Fn::ImportValue": None},
    ],
)
def test_a_malformed_function_is_as_good_as_unknown(node: Any) -> None:
    with pytest.raises(Unresolvable):
        resolve.value(node, known())

    assert resolve.value(node, known(partial=True)) == node


def test_a_mapping_with_a_hole_in_it_is_unknown() -> None:
    document = {"Mappings": {"Flat": {"dev": "no second level"}}}

    with pytest.raises(Unresolvable, match=r"Flat\.dev\.Nodes"):
        resolve.value({"Fn::FindInMap": ["Flat", "dev", "Nodes"]}, Known.of(document, {}))


def test_conditions_that_go_round_in_a_circle_end() -> None:
    with pytest.raises(Unresolvable, match="condition 'Round'"):
        known().holds("Round")


@pytest.mark.parametrize(
    ("node", "kept"),
    [
        ({"Fn::GetAtt": ["Vpc", "Id"]}, {"Fn::GetAtt": ["Vpc", "Id"]}),
        ({"Ref": "Vpc"}, {"Ref": "Vpc"}),
        (
            {"Fn::ImportValue": {"Fn::Sub": "tap-${Env}-Unknown"}},
            {"Fn::ImportValue": "tap-dev-Unknown"},
        ),
        (
            {"Fn::Join": ["-", [{"Ref": "Env"}, {"Ref": "Vpc"}]]},
            {"Fn::Join": ["-", ["dev", {"Ref": "Vpc"}]]},
        ),
        (
            {"Fn::Sub": ["${a}${b}", {"a": {"Ref": "Env"}, "b": {"Ref": "Vpc"}}]},
            {"Fn::Sub": ["${a}${b}", {"a": "dev", "b": {"Ref": "Vpc"}}]},
        ),
        ({"Fn::Sub": "${Env}-${Vpc}"}, {"Fn::Sub": "${Env}-${Vpc}"}),
        (
            {"Fn::If": ["IsAsked", {"Ref": "Env"}, GONE]},
            # A place in the arguments, not an item to leave out.
            {"Fn::If": ["IsAsked", "dev", GONE]},
        ),
        ({"Fn::Base64": {"Fn::Sub": "${Env}"}}, {"Fn::Base64": "dev"}),
        ({"Fn::Select": [0, {"Fn::GetAZs": ""}]}, {"Fn::Select": [0, {"Fn::GetAZs": ""}]}),
        (
            {"Fn::Transform": {"Name": {"Ref": "Env"}, "Parameters": {"a": GONE}}},
            {"Fn::Transform": {"Name": "dev", "Parameters": {}}},
        ),
    ],
)
def test_partly_resolved_the_unknown_stays_and_the_known_inside_it_goes_in(
    node: Any, kept: Any
) -> None:
    assert resolve.value(node, known(partial=True)) == kept


def test_a_value_that_looks_like_a_hole_is_left_as_it_is() -> None:
    asked = known(Asked="${!Env}")

    assert resolve.value({"Fn::Sub": "${Asked}"}, asked) == "${!Env}"


def test_a_text_is_one_string_however_it_was_written() -> None:
    assert resolve.text({"Ref": "Size"}, known()) == "3"
    assert resolve.text(True, known()) == "true"
    with pytest.raises(Unresolvable):
        resolve.text(["a"], known())
    with pytest.raises(Unresolvable):
        resolve.text({"Ref": "Vpc"}, known(partial=True))


def test_holes_are_the_names_that_a_text_would_fill() -> None:
    assert resolve.holes("${A}-${!B}-${ C.D }-${AWS::Region}-${}-$E") == [
        "A",
        "C.D",
        "AWS::Region",
    ]


def test_pseudo_parameters_are_those_of_the_one_region() -> None:
    assert resolve.pseudo_parameters("1" * 12, "tap-dev-api") == {
        "AWS::Region": "ap-northeast-1",
        "AWS::Partition": "aws",
        "AWS::URLSuffix": "amazonaws.com",
        "AWS::AccountId": "111111111111",
        "AWS::StackName": "tap-dev-api",
    }


NAMES = st.sampled_from(["Env", "Size", "Vpc", "IsDev", "Nowhere", "AWS::NoValue", "${Env}", "1"])
FUNCTIONS = st.sampled_from([*resolve._FUNCTIONS, "Condition", "Fn::Equals", "Fn::Other"])
NODES = st.recursive(
    NAMES | st.none() | st.booleans() | st.integers(-2, 2) | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(FUNCTIONS, inner, min_size=1, max_size=1)
        | st.dictionaries(NAMES, inner, max_size=3)
    ),
    max_leaves=12,
)


@given(NODES, NODES)
def test_no_node_is_too_odd_to_be_told_about(node: Any, condition: Any) -> None:
    odd = Known.of({**DOCUMENT, "Conditions": {"IsDev": condition}}, {})

    # Anything but a value or this one refusal fails.
    with suppress(Unresolvable):
        resolve.value(node, odd)


@given(NODES)
def test_resolving_partly_never_refuses(node: Any) -> None:
    resolve.value(node, known(partial=True))
