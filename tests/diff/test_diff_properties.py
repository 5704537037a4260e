"""What holds of every two templates, over random ones."""

from __future__ import annotations

import copy
import json
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tapgen import diff
from tapgen.diff import Mark, Side, leaves, values
from tapgen.diff.replaced import Answer
from tapgen.diff.values import Reference

NAMES = st.sampled_from(["a", "b", "c.d", "Name", "Key", "Value"])
SCALARS = st.one_of(st.integers(0, 3), st.booleans(), st.sampled_from(["x", "y", "{", "3", ""]))
REFERENCES = st.sampled_from([{"Ref": "R"}, {"Fn::GetAtt": "R.Arn"}, {"Fn::ImportValue": "e"}])
TREES = st.recursive(
    SCALARS | REFERENCES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
MAPPINGS = st.recursive(
    SCALARS | REFERENCES,
    lambda inner: st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


def still(reference: Reference) -> Answer:
    return "no"


def apply(node: Any, changes: list[leaves.Leaf]) -> Any:
    """``node``, which holds no lists, with ``changes`` made."""
    changed = copy.deepcopy(node)
    for leaf in changes:
        if not leaf.path:
            return leaf.after
        holder = changed
        for step in leaf.path[:-1]:
            holder = holder[step]
        if leaf.after is Mark.ABSENT:
            del holder[leaf.path[-1]]
        else:
            holder[leaf.path[-1]] = leaf.after
    return changed


def ends(found: list[leaves.Leaf], *, turned: bool = False) -> Counter[tuple[str, str]]:
    def text(node: Any) -> str:
        return str(node) if node is Mark.ABSENT else values.fingerprint(node)

    pairs = ((text(leaf.before), text(leaf.after)) for leaf in found)
    return Counter((b, a) if turned else (a, b) for a, b in pairs)


@given(TREES)
def test_nothing_differs_from_itself(tree: Any) -> None:
    assert list(leaves.differences(tree, copy.deepcopy(tree), still)) == []


@given(MAPPINGS, MAPPINGS)
def test_the_differences_are_what_makes_one_the_other(before: Any, after: Any) -> None:
    found = list(leaves.differences(before, after, still))

    made = apply(before, found)

    assert values.fingerprint(made) == values.fingerprint(after)


@given(TREES, TREES)
def test_what_differs_is_reported_unless_only_tags_changed_places(before: Any, after: Any) -> None:
    def tagless(node: Any) -> Any:
        if isinstance(node, list):
            items = [tagless(item) for item in node]
            keys = [item.get("Key") if isinstance(item, dict) else None for item in items]
            if all(isinstance(key, str) for key in keys) and len(set(keys)) == len(keys):
                return sorted(items, key=values.fingerprint)
            return items
        return {k: tagless(v) for k, v in node.items()} if isinstance(node, dict) else node

    found = list(leaves.differences(before, after, still))

    same = values.fingerprint(tagless(before)) == values.fingerprint(tagless(after))
    assert (found == []) == same


@given(TREES, TREES)
def test_backwards_the_same_places_differ_the_other_way_round(before: Any, after: Any) -> None:
    there = list(leaves.differences(before, after, still))
    back = list(leaves.differences(after, before, still))

    assert ends(there) == ends(back, turned=True)


IDS = st.sampled_from([f"R{number}" for number in range(6)])
CIDRS = st.sampled_from(["10.0.0.0/16", "10.1.0.0/16"])
# A property that replaces, one that does not; each a value or a reference to another resource.
RESOURCES = st.fixed_dictionaries(
    {
        "Type": st.just("AWS::EC2::Subnet"),
        "Properties": st.fixed_dictionaries(
            {"VpcId": CIDRS | IDS.map(lambda name: {"Ref": name})},
            optional={"MapPublicIpOnLaunch": st.booleans() | IDS.map(lambda name: {"Ref": name})},
        ),
    }
)
DOCUMENTS = st.dictionaries(IDS, RESOURCES, max_size=6).map(lambda found: {"Resources": found})


@given(DOCUMENTS, DOCUMENTS)
def test_every_resource_that_comes_goes_or_differs_is_told_once(before: Any, after: Any) -> None:
    changes = diff.compare("s", Side(before), Side(after))

    told = {each.logical_id: each.action for each in changes.resources}
    one, other = before["Resources"], after["Resources"]
    assert len(told) == len(changes.resources)
    assert {name for name, action in told.items() if action == "add"} == set(other) - set(one)
    assert {name for name, action in told.items() if action == "remove"} == set(one) - set(other)
    assert {name for name in one.keys() & other.keys() if one[name] != other[name]} <= set(told)
    assert diff.compare("s", Side(before), Side(before)).is_empty


@given(DOCUMENTS, DOCUMENTS)
def test_backwards_what_was_added_is_removed(before: Any, after: Any) -> None:
    there = diff.compare("s", Side(before), Side(after)).resources
    back = diff.compare("s", Side(after), Side(before)).resources

    def named(changes: Any, action: str) -> set[str]:
        return {each.logical_id for each in changes if each.action == action}

    assert named(there, "add") == named(back, "remove")
    assert named(there, "remove") == named(back, "add")


@given(DOCUMENTS, DOCUMENTS)
def test_replacement_goes_as_far_as_create_only_references_carry_it(
    before: Any, after: Any
) -> None:
    changes = diff.compare("s", Side(before), Side(after))

    one, other = before["Resources"], after["Resources"]
    answers = {each.logical_id: each.replacement for each in changes.resources}
    for name in one.keys() & other.keys():
        was, fed = one[name]["Properties"]["VpcId"], other[name]["Properties"]["VpcId"]
        source = fed["Ref"] if isinstance(fed, dict) else None
        if source in answers and (answers[source] == "yes" or source not in one):
            assert answers[name] == "yes"
        elif was == fed and answers.get(source or "", "no") == "no":
            assert answers.get(name, "no") == "no"


SECRET = "s3cr3t-value"
HOLES = st.sampled_from(
    [
        {"Ref": "Password"},
        {"Fn::Sub": "x-${Password}-${R}"},
        {"Fn::Join": ["", ["a", {"Ref": "Password"}]]},
        {"Fn::If": ["IsSet", {"Ref": "Password"}, "none"]},
        {"Fn::Base64": {"Ref": "Password"}},
        {"Fn::Select": [0, {"Fn::Split": [",", {"Ref": "Password"}]}]},
        '{"plain": "text"}',
        {"Fn::Sub": '{"password": "${Password}"}'},
    ]
)


@settings(max_examples=60)
@given(
    st.lists(HOLES, min_size=1, max_size=3), st.lists(HOLES, min_size=1, max_size=3), st.booleans()
)
def test_a_hidden_value_is_nowhere_in_what_is_shown(
    before: list[Any], after: list[Any], rotated: bool
) -> None:
    def side(holes: list[Any], password: str) -> Side:
        document = {
            "Parameters": {"Password": {"Type": "String", "NoEcho": True, "Default": SECRET}},
            "Conditions": {"IsSet": {"Fn::Equals": [{"Ref": "Password"}, SECRET]}},
            "Resources": {
                "R": {"Type": "Custom::R", "Properties": {"Holes": holes, "One": holes[0]}}
            },
            "Outputs": {"O": {"Value": holes[0], "Export": {"Name": "e"}}},
        }
        return Side(document, {"Password": password}, live={"O": f"live-{password}"})

    changes = diff.compare("s", side(before, SECRET), side(after, SECRET + "2" * rotated))

    # What AWS told of an output that came of no hidden parameter is its own.
    shown = json.dumps(diff.plain(changes)).replace(f"live-{SECRET}", "")
    assert SECRET not in shown
