"""Templates as files: what each should hold, which are stale, and writing only those."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tapgen import files, render
from tapgen.render import Stale

DOCUMENTS: dict[str, dict[str, Any]] = {
    "net": {"Resources": {"Vpc": {"Properties": {"Name": "é"}, "Type": "AWS::EC2::VPC"}}},
    "web": {"Description": "Web", "Resources": {}},
}
NET = "Resources:\n  Vpc:\n    Type: AWS::EC2::VPC\n    Properties:\n      Name: é\n"
WEB = "Description: Web\nResources: {}\n"
WANTED = {"net.yaml": NET, "web.yaml": WEB}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that holds what is wanted."""
    for name, text in WANTED.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_a_document_is_one_file_named_after_its_tier() -> None:
    assert render.texts(DOCUMENTS) == WANTED


def test_json_is_in_reading_order_too() -> None:
    texts = render.texts(DOCUMENTS, "json")

    assert list(texts) == ["net.json", "web.json"]
    assert texts["net.json"] == (
        "{\n"
        '  "Resources": {\n'
        '    "Vpc": {\n'
        '      "Type": "AWS::EC2::VPC",\n'
        '      "Properties": {\n'
        '        "Name": "é"\n'
        "      }\n"
        "    }\n"
        "  }\n"
        "}\n"
    )
    assert json.loads(texts["net.json"]) == DOCUMENTS["net"]


def test_nothing_is_stale_where_every_file_is_as_wanted(folder: Path) -> None:
    assert render.stale(WANTED, folder) == []


def test_in_a_new_folder_everything_is_missing(tmp_path: Path) -> None:
    folder = tmp_path / "new"

    stale = render.stale(WANTED, folder)

    assert [(item.path.name, item.why) for item in stale] == [
        ("net.yaml", "missing"),
        ("web.yaml", "missing"),
    ]
    assert not folder.exists()
    assert render.write(stale) == stale
    assert render.stale(WANTED, folder) == []


def test_each_way_to_be_stale_has_its_word(folder: Path) -> None:
    (folder / "net.yaml").write_text("changed\n")
    (folder / "old.yaml").write_text("of a tier that is gone\n")
    (folder / "web.yaml").unlink()
    (folder / "README.md").write_text("no template\n")
    (folder / ".net.yaml.x7.part.yaml").write_text("what a killed run left\n")

    stale = render.stale(WANTED, folder)

    assert stale == [
        Stale(folder / "net.yaml", "changed\n", NET),
        Stale(folder / "old.yaml", "of a tier that is gone\n", None),
        Stale(folder / "web.yaml", None, WEB),
    ]
    assert [item.why for item in stale] == ["changed", "leftover", "missing"]


def test_one_tier_s_rendering_knows_no_leftovers(folder: Path) -> None:
    (folder / "web.yaml").write_text("changed\n")

    assert render.stale({"net.yaml": NET}, folder, whole=False) == []


def test_only_what_changed_is_written(folder: Path) -> None:
    (folder / "net.yaml").write_text("changed\n")
    (folder / "old.yaml").write_text("left\n")
    before = (folder / "web.yaml").stat()

    written = render.write(render.stale(WANTED, folder))

    after = (folder / "web.yaml").stat()
    assert [item.path.name for item in written] == ["net.yaml"]
    assert (folder / "net.yaml").read_text(encoding="utf-8") == NET
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    # Somebody's file: it is named, and left where it is.
    assert (folder / "old.yaml").read_text() == "left\n"


def test_another_kind_of_line_break_is_a_change(folder: Path) -> None:
    (folder / "web.yaml").write_bytes(WEB.replace("\n", "\r\n").encode())

    assert [item.path.name for item in render.stale(WANTED, folder)] == ["web.yaml"]


def test_the_diff_shows_what_rendering_would_change(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    changed = Stale(path, "a\nb\nc\n", "a\nB\nc\n")

    assert changed.diff() == (
        f"--- {path} (on disk)\n"
        f"+++ {path} (as described)\n"
        "@@ -1,3 +1,3 @@\n"
        " a\n"
        "-b\n"
        "+B\n"
        " c\n"
    )  # fmt: skip


def test_the_diff_of_a_missing_file_is_all_plus_and_of_a_leftover_all_minus() -> None:
    missing, leftover = Stale(Path("a"), None, "x\ny\n"), Stale(Path("a"), "x\ny\n", None)

    assert missing.diff().splitlines()[2:] == ["@@ -0,0 +1,2 @@", "+x", "+y"]
    assert leftover.diff().splitlines()[2:] == ["@@ -1,2 +0,0 @@", "-x", "-y"]


def test_a_diff_keeps_its_lines_apart_where_the_file_has_no_last_line_break() -> None:
    diff = Stale(Path("a"), "x", "y\n").diff()

    assert diff.splitlines()[2:] == [
        "@@ -1 +1 @@",
        "-x",
        "\\ No newline at end of file",
        "+y",
    ]


def test_a_disk_that_fills_up_leaves_every_file_whole(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "net.yaml").write_text("changed\n")
    (folder / "web.yaml").write_text("changed\n")
    stale = render.stale(WANTED, folder)
    really, calls = os.fsync, []

    def fsync(handle: int) -> None:
        calls.append(handle)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        really(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(files.CannotWrite) as caught:
        render.write(stale)

    monkeypatch.undo()
    assert caught.value.path == folder / "web.yaml"
    # The first is done, the second as it was; the same command goes on where it stopped.
    assert (folder / "net.yaml").read_text(encoding="utf-8") == NET
    assert (folder / "web.yaml").read_text() == "changed\n"
    assert sorted(os.listdir(folder)) == ["net.yaml", "web.yaml"]
    render.write(render.stale(WANTED, folder))
    assert render.stale(WANTED, folder) == []


def test_a_file_in_the_folder_s_place_is_told(folder: Path) -> None:
    with pytest.raises(files.CannotRead, match=r"net\.yaml: not a directory"):
        render.stale(WANTED, folder / "net.yaml")


def test_a_committed_file_that_is_no_text_is_told(folder: Path) -> None:
    (folder / "net.yaml").write_bytes(b"\xff")

    with pytest.raises(files.CannotRead, match="it is not UTF-8 text"):
        render.stale(WANTED, folder)


def test_json_for_machines_keeps_order_and_letters() -> None:
    assert render.as_json({"b": "é", "a": [1]}) == '{\n  "b": "é",\n  "a": [\n    1\n  ]\n}'
