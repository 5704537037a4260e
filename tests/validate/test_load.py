"""Any folder of templates is read; what is none is refused by its name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tapgen.validate import UnreadableTemplate, load

TOPIC = "Resources: {Topic: {Type: AWS::SNS::Topic, Properties: {TopicName: !Sub 'a-${B}'}}}\n"


def test_yaml_and_json_become_the_same_plain_data_and_other_files_are_left_alone(
    tmp_path: Path,
) -> None:
    (tmp_path / "one.yaml").write_text(TOPIC)
    (tmp_path / "two.json").write_text(
        '{"Resources": {"Topic": {"Type": "AWS::SNS::Topic", '
        '"Properties": {"TopicName": {"Fn::Sub": "a-${B}"}}}}}'
    )
    (tmp_path / "notes.txt").write_text("not a template")
    (tmp_path / "sub").mkdir()

    found = load(tmp_path)

    assert list(found) == ["one", "two"]
    assert found["one"].file == "one.yaml"
    assert found["one"].text == TOPIC
    assert found["one"].document == found["two"].document
    assert found["one"].document == {
        "Resources": {
            "Topic": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": {"Fn::Sub": "a-${B}"}}}
        }
    }


def test_a_date_stays_a_text_and_a_folder_with_a_template_s_name_is_no_template(
    tmp_path: Path,
) -> None:
    (tmp_path / "one.yml").write_text(f"AWSTemplateFormatVersion: 2010-09-09\n{TOPIC}")
    (tmp_path / "two.yaml").mkdir()

    assert load(tmp_path)["one"].document["AWSTemplateFormatVersion"] == "2010-09-09"


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        (
            "bad.json",
            "{",
            "is not JSON (Expecting property name enclosed in double quotes: line 1 column 2 "
            "(char 1)); correct the file",
        ),
        (
            "list.yaml",
            "- a",
            "is not a CloudFormation template (no Resources); move it out of the folder",
        ),
        (
            "other.yaml",
            "name: x",
            "is not a CloudFormation template (no Resources); move it out of the folder",
        ),
        ("typeless.yaml", "Resources: {A: {}}", "resource A has no Type; give it one"),
        (
            "out.yaml",
            "Outputs: []\nResources: {}",
            "Outputs is not a mapping; write it as key: value",
        ),
    ],
)
def test_a_file_that_is_no_template_is_refused_in_one_line(
    tmp_path: Path, name: str, text: str, why: str
) -> None:
    (tmp_path / name).write_text(text)

    with pytest.raises(UnreadableTemplate) as caught:
        load(tmp_path)

    assert str(caught.value) == f"{tmp_path / name}: {why}"
    assert caught.value.path == tmp_path / name


def test_malformed_yaml_is_told_in_one_line_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("a: [")

    with pytest.raises(UnreadableTemplate) as caught:
        load(tmp_path)

    # The parser's wording is its own.
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'bad.yaml'}: is not YAML (")
    assert re.search(r"line \d+, column \d+", message)
    assert "\n" not in message


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(UnreadableTemplate, match="cannot be read"):
        load(tmp_path)


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text('{"Resources": {}}')
    (tmp_path / "one.yaml").write_text(TOPIC)

    with pytest.raises(UnreadableTemplate) as caught:
        load(tmp_path)

    assert str(caught.value) == (
        f"{tmp_path / 'one.yaml'}: has the same name as one.json; keep one of the two"
    )


def test_a_folder_that_is_not_there_or_holds_no_template_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableTemplate, match=r"nowhere: is not a folder; give a folder of"):
        load(tmp_path / "nowhere")
    with pytest.raises(UnreadableTemplate, match=r"holds no \*\.yaml, \*\.yml or \*\.json"):
        load(tmp_path)
