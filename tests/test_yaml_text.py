"""YAML for review: read back it is the same data, and it reads well.

The hostile documents are read back by three readers: cfn-flip's, PyYAML's own parser in Python and
libyaml's, the latter two with constructors of this file, so that no mistake is shared. To look for
more of them: pytest --hypothesis-profile=search
"""

from __future__ import annotations

import copy
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import cfn_flip
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tapgen import yaml_text

# What YAML 1.1 takes for something else, what ends or begins something, what cannot be seen.
FRAGMENTS = [
    *("yes", "No", "on", "OFF", "y", "~", "null", "Null", ".inf", "-.INF", ".nan", "=", "<<"),
    *("1", "012", "0o7", "0x1F", "0b1", "1_000", "1e5", "1.", ".5", "-0", "+1", "190:20:30"),
    *(
        "007",
        "012345678901",
        "123456789012",
        "１２",
        "²",
        "٣",
        "2012-10-17",
        "2001-12-14t21:59:43Z",
    ),
    *("- a", "-", "?", ": ", "a: b", "a:", "#", " #x", "!Ref x", "!", "&a", "*a", "|", ">", "%a"),
    *("@", "`", "{", "}", "[", "]", ",", "'", '"', "\\", "---", "...", "${A}", "{{resolve:x}}"),
    *(" ", "  ", "\t", "\n", "\n\n", "\r", "\r\n", " \n", "\n ", "a\nb", "a \nb", "a\n b\n", "\ta"),
    *("\x00", "\x07", "\x1b", "\x7f", "\x80", "\x85", "\xa0", "\xad", "\u200b", "\u2028", "\u2029"),
    *("\ud7ff", "\ue000", "\ufeff", "\ufffd", "\ufffe", "\U0001f600", "\U0010ffff", "é", "e\u0301"),
    *("", "Ref", "Fn::Sub", "Condition", "x" * 130, "word " * 30),
]
FUNCTIONS = [
    *(
        "Ref",
        "Condition",
        "Fn::GetAtt",
        "Fn::Sub",
        "Fn::Join",
        "Fn::If",
        "Fn::Select",
        "Fn::Base64",
    ),
    *("Fn::ImportValue", "Fn::Transform", "Fn::ForEach::Zone", "Fn::Ref", "Fn::Condition", "Fn::"),
    *("Fn::É", "Fn::1", "Fn::a b", "fn::Sub", "Fn::²"),
]
TEXTS = st.lists(st.sampled_from(FRAGMENTS), max_size=3).map("".join) | st.text(max_size=12)
SCALARS = (
    TEXTS
    | st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
)
NODES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(TEXTS, inner, max_size=4)
        | st.dictionaries(st.sampled_from(FUNCTIONS), inner, min_size=1, max_size=1)
        | st.fixed_dictionaries({"Fn::GetAtt": st.lists(TEXTS, min_size=1, max_size=3)})
    ),
    max_leaves=20,
)
DOCUMENTS = st.fixed_dictionaries(
    {"Resources": st.dictionaries(TEXTS, NODES, max_size=4)},
    optional={"Outputs": NODES, "Description": NODES, "Metadata": NODES},
)


def reader(base: Any) -> Callable[[str], Any]:
    """A reader of short tags on one of PyYAML's parsers."""

    class Reader(base):
        pass

    def short(loader: Any, name: str, node: yaml.Node) -> dict[str, Any]:
        key = name if name in ("Ref", "Condition") else f"Fn::{name}"
        if isinstance(node, yaml.ScalarNode):
            text = loader.construct_scalar(node)
            return {key: text.split(".", 1) if key == "Fn::GetAtt" else text}
        if isinstance(node, yaml.SequenceNode):
            return {key: loader.construct_sequence(node, deep=True)}
        return {key: loader.construct_mapping(node, deep=True)}

    Reader.add_multi_constructor("!", short)
    return lambda text: yaml.load(text, Reader)


def by_cfn_flip(text: str) -> Any:
    found, form = cfn_flip.load(text)
    assert form == "yaml"
    return found


READERS = {
    "cfn-flip": by_cfn_flip,
    "python": reader(yaml.SafeLoader),
    "libyaml": reader(yaml.CSafeLoader),
}


def exact(data: Any) -> str:
    """A form in which 1, 1.0, True and '1' differ, and so do two orders of keys."""
    return json.dumps(data)


@given(DOCUMENTS)
def test_the_data_read_back_is_the_data_given_whoever_reads(document: dict[str, Any]) -> None:
    text = yaml_text.dump(document)

    expected = exact(yaml_text.in_reading_order(document))
    assert {name: exact(read(text)) for name, read in READERS.items()} == dict.fromkeys(
        READERS, expected
    )


@given(DOCUMENTS)
def test_the_same_data_gives_the_same_bytes(document: dict[str, Any]) -> None:
    text = yaml_text.dump(document)

    assert yaml_text.dump(copy.deepcopy(document)) == text
    assert yaml_text.dump(yaml_text.load(text)) == text
    assert text.encode().decode() == text


@given(DOCUMENTS)
def test_dumping_changes_nothing_in_the_document(document: dict[str, Any]) -> None:
    before = exact(document)

    yaml_text.dump(document)

    assert exact(document) == before


@given(NODES)
def test_no_anchor_is_written_where_data_is_shared(node: Any) -> None:
    document = {"Resources": {"A": {"Type": "x", "Properties": node}, "B": [node, {"c": node}]}}

    text = yaml_text.dump(document)

    events = list(yaml.parse(text, Loader=yaml.SafeLoader))
    assert not [event for event in events if isinstance(event, yaml.AliasEvent)]
    assert not [event for event in events if getattr(event, "anchor", None)]


@given(st.lists(st.text("abcxyz0159:'\"#-", min_size=1, max_size=20), min_size=20, max_size=200))
def test_long_text_is_folded_between_words(words: list[str]) -> None:
    text = yaml_text.dump({"Description": " ".join(words)})

    # A word is carried over the margin whole; quoting may double each of its characters.
    assert max(map(len, text.splitlines())) <= yaml_text.WIDTH + 2 * 20 + 2


@given(DOCUMENTS)
def test_every_resource_begins_with_its_type(document: dict[str, Any]) -> None:
    for number, (name, node) in enumerate(list(document["Resources"].items())):
        document["Resources"][name] = {"Properties": node, "Zone": number, "Type": "AWS::X"}

    resources = yaml_text.load(yaml_text.dump(document))["Resources"]

    assert {next(iter(resource)) for resource in resources.values()} <= {"Type"}
    assert all(list(resource)[1:] == ["Properties", "Zone"] for resource in resources.values())


def test_sections_and_attributes_stand_in_reading_order() -> None:
    document = {
        "Outputs": {"O": {"Value": 1}},
        "Resources": {
            "A": {
                "Properties": {"b": 1, "a": 2},
                "Surprise": 1,
                "DependsOn": "B",
                "Type": "AWS::X::Y",
                "DeletionPolicy": "Delete",
                "Condition": "C",
            }
        },
        "Later": 1,
        "Parameters": {},
        "AWSTemplateFormatVersion": "2010-09-09",
    }

    assert yaml_text.dump(document) == (
        "AWSTemplateFormatVersion: '2010-09-09'\n"
        "Parameters: {}\n"
        "Resources:\n"
        "  A:\n"
        "    Type: AWS::X::Y\n"
        "    Condition: C\n"
        "    DependsOn: B\n"
        "    DeletionPolicy: Delete\n"
        "    Properties:\n"
        "      b: 1\n"
        "      a: 2\n"
        "    Surprise: 1\n"
        "Outputs:\n"
        "  O:\n"
        "    Value: 1\n"
        "Later: 1\n"
    )


@pytest.mark.parametrize(
    ("node", "written"),
    [
        ({"Ref": "A"}, "x: !Ref A\n"),
        ({"Condition": "A"}, "x: !Condition A\n"),
        ({"Fn::GetAtt": ["A", "B.C"]}, "x: !GetAtt A.B.C\n"),
        ({"Fn::Sub": "a-${B}"}, "x: !Sub a-${B}\n"),
        ({"Fn::Join": ["", ["a", {"Ref": "B"}]]}, "x: !Join\n- ''\n- - a\n  - !Ref B\n"),
        ({"Fn::ImportValue": {"Fn::Sub": "a"}}, "x: !ImportValue\n  Fn::Sub: a\n"),
        # No short form stands for these without changing what is read back.
        ({"Fn::GetAtt": ["A.B", "C"]}, "x:\n  Fn::GetAtt:\n  - A.B\n  - C\n"),
        ({"Fn::GetAtt": "A.B"}, "x:\n  Fn::GetAtt: A.B\n"),
        ({"Fn::Ref": "A"}, "x:\n  Fn::Ref: A\n"),
        ({"Fn::ForEach::A": []}, "x:\n  Fn::ForEach::A: []\n"),
        ({"Fn::Sub": 1}, "x:\n  Fn::Sub: 1\n"),
        ({"Ref": ["A"]}, "x:\n  Ref:\n  - A\n"),
        ({"Ref": "A", "Fn::Sub": "B"}, "x:\n  Ref: A\n  Fn::Sub: B\n"),
        ({1: "A"}, "x:\n  1: A\n"),
    ],
)
def test_functions_take_their_short_form_where_there_is_one(node: Any, written: str) -> None:
    assert yaml_text.dump({"x": node}) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("first\nsecond\n", "x: |\n  first\n  second\n"),
        ("first\n\n  second", "x: |-\n  first\n\n    second\n"),
        ('{\n  "StartAt": "A"\n}', 'x: |-\n  {\n    "StartAt": "A"\n  }\n'),
        ("ends twice\n\n", "x: |+\n  ends twice\n\n...\n"),
        # A block would lose these.
        (" leading\nb", 'x: " leading\\nb"\n'),
        ("\ta\nb", 'x: "\\ta\\nb"\n'),
        ("a\r\nb", 'x: "a\\r\\nb"\n'),
        ("a\u2028\nb", 'x: "a\\L\\nb"\n'),
        ("a \nb", 'x: "a \\nb"\n'),
        # One line, and something in it that nobody would see.
        ("a\u2028b", 'x: "a\\Lb"\n'),
        ("a\ufeffb", 'x: "a\\uFEFFb"\n'),
        ("a\tb", 'x: "a\\tb"\n'),
    ],
)
def test_text_of_several_lines_is_a_literal_block_where_it_survives_one(
    value: str, written: str
) -> None:
    text = yaml_text.dump({"x": value})

    assert text == written
    assert yaml_text.load(text) == {"x": value}


def test_a_function_over_several_lines_is_a_literal_block_too() -> None:
    assert yaml_text.dump({"x": {"Fn::Sub": "#!/bin/sh\necho ${A}\n"}}) == (
        "x: !Sub |\n  #!/bin/sh\n  echo ${A}\n"
    )


@pytest.mark.parametrize("digits", ["012345678901", "123456789012", "0", "8", "１２"])
def test_an_account_id_is_text_to_every_reader_of_yaml(digits: str) -> None:
    assert yaml_text.dump({"x": digits}) == f"x: '{digits}'\n"


def test_ordered_dictionaries_and_kinds_of_text_are_written_like_plain_ones() -> None:
    class Word(str):
        pass

    given = {
        "Resources": OrderedDict(A=OrderedDict(Type=Word("X"), Properties=OrderedDict(Ref="B")))
    }

    assert yaml_text.dump(given) == yaml_text.dump(
        {"Resources": {"A": {"Type": "X", "Properties": {"Ref": "B"}}}}
    )


def test_what_is_read_is_plain_data() -> None:
    found = yaml_text.load("a:\n  b: !Ref C\n  d: [!GetAtt E.F.G, {h: 1}]\n")

    assert found == {"a": {"b": {"Ref": "C"}, "d": [{"Fn::GetAtt": ["E", "F.G"]}, {"h": 1}]}}
    assert {type(found), type(found["a"]), type(found["a"]["d"][1])} == {dict}


@pytest.mark.parametrize("text", ["a: [", "a: b: c", "\tx", "a: *nowhere", "@x"])
def test_what_is_no_yaml_is_an_error_of_yaml(text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        yaml_text.load(text)


def test_no_section_of_no_mapping_upsets_the_order() -> None:
    assert yaml_text.in_reading_order({"Resources": [], "Description": 1}) == {
        "Description": 1,
        "Resources": [],
    }


def test_our_templates_are_the_data_that_cfn_flip_itself_would_write(
    documents: Mapping[str, dict[str, Any]],
) -> None:
    # The smallest: cfn-flip's own emitter takes half a second for all of them.
    document = documents["notification"]

    theirs = cfn_flip.to_yaml(json.dumps(document))

    assert READERS["libyaml"](theirs) == READERS["libyaml"](yaml_text.dump(document)) == document


def test_our_templates_read_back_as_they_were_described(
    documents: Mapping[str, dict[str, Any]],
) -> None:
    for tier, document in documents.items():
        assert READERS["libyaml"](yaml_text.dump(document)) == document, tier


def test_our_templates_fit_the_screen_of_a_review(
    documents: Mapping[str, dict[str, Any]],
) -> None:
    for tier, document in documents.items():
        for number, line in enumerate(yaml_text.dump(document).splitlines(), 1):
            # What passes the margin is one word, such as an ARN, that cannot be folded.
            assert " " not in line[yaml_text.WIDTH + 1 :], f"{tier}.yaml:{number}"
