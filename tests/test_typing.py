"""A misspelt export is an error of mypy, and at the latest one of Python."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tapgen import places
from tapgen.tiers import network

MISSPELT = Path(__file__).with_name("typing_misspelt.py")
IGNORE = re.compile(r"  # type: ignore\[([a-z-]+)\]$", re.MULTILINE)
ERROR = re.compile(r"^[^:]+:(\d+): error: .*\[([a-z-]+)\]$", re.MULTILINE)


def test_every_misspelt_line_is_refused_by_mypy_for_the_reason_it_names(tmp_path: Path) -> None:
    text = MISSPELT.read_text(encoding="utf-8")
    expected = {
        (number, match.group(1))
        for number, line in enumerate(text.splitlines(), 1)
        if (match := IGNORE.search(line))
    }
    bare = tmp_path / "bare.py"
    bare.write_text(IGNORE.sub("", text), encoding="utf-8")

    # The project's own settings and cache: the second run takes a second.
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", str(bare)],
        cwd=places.PROJECT_FOLDER,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.stderr == ""
    found = {(int(number), code) for number, code in ERROR.findall(ran.stdout)}
    assert found == expected, ran.stdout
    assert len(expected) == 17
    assert ran.returncode == 1


def test_a_misspelt_export_is_an_attribute_error_at_the_latest() -> None:
    exports = network.describe().exports

    with pytest.raises(AttributeError, match="vpc_idd"):
        _ = exports.vpc_idd  # type: ignore[attr-defined]
