"""The description that is kept from last time: it is today's, or it is not used."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from test_boundaries import PACKAGE, reached

from tapgen import described
from tapgen.commands import common
from tapgen.description import Description
from tapgen.scope import Scope

SMALL = Description(
    {"queue": {"Resources": {"Jobs": {"Type": "AWS::SQS::Queue"}}}},
    {"queue": Scope.ENVIRONMENT},
    {"queue": {"Jobs": "tapgen/tiers/queue.py:7"}},
)


def never() -> Description:
    raise AssertionError("described anew")


def counted(found: Description = SMALL) -> tuple[Callable[[], Description], list[int]]:
    calls: list[int] = []

    def describe() -> Description:
        calls.append(1)
        return found

    return describe, calls


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Sources of our own, to be changed."""
    files = [tmp_path / name for name in ("stack.py", "network.py", "contract.json")]
    for file in files:
        file.write_text(file.name)
    monkeypatch.setattr(described, "sources", lambda: files)
    return files


def test_all_that_describing_loads_is_looked_at() -> None:
    modules = {
        PACKAGE.parent / f"{name.replace('.', '/')}.py"
        for name in {"tapgen.app", "tapgen.stack", *reached("tapgen.app")}
    }

    assert len(modules) > 15
    assert modules <= set(described.sources())
    assert described.sources()[-1].name == "api_model.json"


def test_what_is_kept_is_what_the_code_describes(tmp_path: Path) -> None:
    fresh = common.describe()

    described.kept(tmp_path / "kept.json", lambda: fresh)
    found = described.kept(tmp_path / "kept.json", never)

    assert found == fresh
    # Down to the order, which rendering follows.
    assert json.dumps(found.documents) == json.dumps(fresh.documents)


def test_the_same_sources_are_described_once(tmp_path: Path, copied: list[Path]) -> None:
    describe, calls = counted()

    first = described.kept(tmp_path / "kept.json", describe)
    second = described.kept(tmp_path / "kept.json", describe)

    assert (first, second, len(calls)) == (SMALL, SMALL, 1)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_any_changed_source_is_described_anew(
    tmp_path: Path, copied: list[Path], number: int
) -> None:
    described.kept(tmp_path / "kept.json", lambda: SMALL)
    copied[number].write_text("something else")
    describe, calls = counted()

    described.kept(tmp_path / "kept.json", describe)

    assert calls == [1]


def test_a_source_more_or_less_is_described_anew(tmp_path: Path, copied: list[Path]) -> None:
    described.kept(tmp_path / "kept.json", lambda: SMALL)
    describe, calls = counted()

    del copied[1]
    described.kept(tmp_path / "kept.json", describe)
    described.kept(tmp_path / "kept.json", describe)

    assert calls == [1]


@pytest.mark.parametrize(
    ("attribute", "value"),
    [("LIBRARIES", ("awacs",)), ("sys", type("Other", (), {"version": "4"}))],
)
def test_other_libraries_and_another_python_are_described_anew(
    tmp_path: Path,
    copied: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    attribute: str,
    value: object,
) -> None:
    described.kept(tmp_path / "kept.json", lambda: SMALL)
    describe, calls = counted()

    monkeypatch.setattr(described, attribute, value)
    described.kept(tmp_path / "kept.json", describe)

    assert calls == [1]


def test_the_versions_of_both_libraries_count() -> None:
    told = list(described._versions())

    assert sum(name.startswith("troposphere-") for name in told) == 1
    assert sum(name.startswith("awacs-") for name in told) == 1


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"of": 1}', "\x00"])
def test_a_damaged_file_is_as_good_as_none(
    tmp_path: Path, copied: list[Path], content: str
) -> None:
    (tmp_path / "kept.json").write_text(content)

    assert described.kept(tmp_path / "kept.json", lambda: SMALL) == SMALL
    assert described.kept(tmp_path / "kept.json", never) == SMALL


def test_where_nothing_can_be_kept_it_is_described_each_time(
    tmp_path: Path, copied: list[Path]
) -> None:
    (tmp_path / "file").write_text("in the way")
    describe, calls = counted()

    for _ in range(2):
        described.kept(tmp_path / "file" / "kept.json", describe)

    assert len(calls) == 2


def test_a_source_that_cannot_be_read_is_no_reason_to_fail(
    tmp_path: Path, copied: list[Path]
) -> None:
    copied[0].unlink()

    assert described.kept(tmp_path / "kept.json", lambda: SMALL) == SMALL
    assert not (tmp_path / "kept.json").exists()


def test_reading_what_is_kept_loads_neither_library(tmp_path: Path) -> None:
    described.kept(tmp_path / "kept.json", common.describe)
    script = (
        "import sys\nfrom pathlib import Path\nfrom tapgen import described\n"
        "found = described.kept(Path(sys.argv[1]), lambda: sys.exit('described anew'))\n"
        "print(len(found.documents), {'troposphere', 'awacs'} & set(sys.modules))\n"
    )

    told = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "kept.json")],
        capture_output=True,
        text=True,
        check=True,
    )

    assert told.stdout == "8 set()\n"


def test_a_process_that_has_described_already_describes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    common.describe_for_aws()

    # A test, or a script, may have changed what it loaded.
    assert list(tmp_path.iterdir()) == []
