"""The whole run: every finding once, in one order, whatever the templates look like."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from judged import sources

from tapgen import app, validate
from tapgen.validate.load import parse_yaml

TWO = """
stacks:
  one: {Outputs: {A: {Value: x, Export: {Name: a}, Description: d}}}
  two: {Log: {Type: AWS::Logs::LogGroup, Properties: {LogGroupName: /x}}}
"""


def test_findings_are_told_once_sorted_by_file_place_and_rule() -> None:
    found = validate.run(sources(parse_yaml(TWO)), linters=False)

    assert [(each.file, each.logical_id, each.rule, each.severity) for each in found] == [
        ("one.yaml", "Outputs.A", "TAP103", "info"),
        ("two.yaml", "Log", "TAP741", "error"),
        ("two.yaml", "Log", "TAP741", "error"),
        ("two.yaml", "Log", "TAP746", "error"),
    ]
    assert len(set(found)) == 4


def test_the_order_of_the_templates_does_not_matter() -> None:
    given = sources(parse_yaml(TWO))
    turned = dict(reversed(given.items()))

    assert validate.run(turned, linters=False) == validate.run(given, linters=False)


def test_what_is_switched_off_by_default_is_judged_too() -> None:
    text = """
    Parameters:
      Open: {Type: String, Default: "false", AllowedValues: ["true", "false"], Description: d}
    Conditions: {IsOpen: !Equals [!Ref Open, "true"]}
    Resources:
      In:
        Type: AWS::EC2::SecurityGroupIngress
        Properties: {CidrIp: !If [IsOpen, 0.0.0.0/0, 10.0.0.0/8], IpProtocol: "-1"}
    """

    found = validate.run(sources(parse_yaml(text)), linters=False)

    assert [(each.rule, each.message) for each in found] == [
        ("TAP202", "lets 0.0.0.0/0 in on every port")
    ]


def test_a_rule_that_trips_over_a_malformed_template_says_so_and_the_others_go_on() -> None:
    template = {
        "Method": {"Type": "AWS::ApiGateway::Method", "Properties": {"Integration": ["x"]}},
        "Key": {"Type": "AWS::ApiGateway::ApiKey", "Properties": {}},
    }

    found = {each.rule: each for each in validate.run(sources(template), linters=False)}

    assert found["TAP001"] == validate.Finding(
        "app.yaml",
        "",
        "TAP001",
        "TAP502 could not be judged, some property has a shape of its own "
        "('list' object has no attribute 'get')",
        "correct what cfn-lint finds, then validate again",
        "error",
    )
    assert found["TAP501"].logical_id == "Key"


JUNK = [
    None,
    [],
    {},
    "x",
    7,
    [[1]],
    ["x", {}],
    {"Ref": "Nothing"},
    {"Fn::If": ["Nope", "a", "b"]},
    {"Fn::Join": ["x"]},
    {"Fn::Sub": 7},
    {"Fn::Sub": ["x"]},
    {"Fn::ImportValue": "zz"},
    {"Fn::GetAZs": ""},
]


@pytest.mark.parametrize("seed", range(3))
def test_no_template_however_odd_ends_the_run(seed: int) -> None:
    chance = random.Random(seed)
    odd = copy.deepcopy(app.documents())
    places = [(tier, path) for tier, document in odd.items() for path in _places(document)]
    for tier, path in chance.sample(places, 80):
        _put(odd[tier], path, chance.choice(JUNK))

    found = validate.run(
        {
            tier: validate.Source(f"{tier}.yaml", document, json.dumps(document))
            for tier, document in odd.items()
        },
        linters=False,
    )

    assert found == sorted(found)
    assert len(found) > 20


def _places(document: Any) -> Iterator[tuple[Any, ...]]:
    """Whatever stands inside a resource's properties, a parameter or an output's value."""
    for name, resource in document["Resources"].items():
        for path in _paths(resource.get("Properties", {})):
            yield ("Resources", name, "Properties", *path)
    for section in ("Parameters", "Outputs"):
        for name, part in document.get(section, {}).items():
            yield from ((section, name, key) for key in part if key != "Export")


def _paths(node: Any) -> Iterator[tuple[Any, ...]]:
    pairs = node.items() if isinstance(node, dict) else enumerate(node)
    for key, item in pairs:
        yield (key,)
        if isinstance(item, (dict, list)):
            yield from ((key, *rest) for rest in _paths(item))


def _put(node: Any, path: tuple[Any, ...], value: object) -> None:
    try:
        for step in path[:-1]:
            node = node[step]
        node[path[-1]] = value
    except (KeyError, IndexError, TypeError):
        # Something above it was replaced before.
        return
