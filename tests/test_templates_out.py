"""The committed templates are what the code describes, in every process and on every Python."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tapgen import places, render

OTHER_PYTHONS = ("python3.12", "python3.13", "python3.14")


def test_the_committed_templates_are_what_the_code_describes(
    documents: dict[str, dict[str, Any]],
) -> None:
    stale = render.stale(render.texts(documents), places.TEMPLATES_FOLDER)

    told = [f"{item.path.name} ({item.why})" for item in stale]
    assert not stale, f"{', '.join(told)}: run `make render`, read the diff, commit it"


def test_a_template_that_was_changed_by_hand_is_found(
    tmp_path: Path, documents: dict[str, dict[str, Any]]
) -> None:
    folder = tmp_path / "templates_out"
    shutil.copytree(places.TEMPLATES_FOLDER, folder)
    path = folder / "network.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("10.0.0.0/16", "10.1.0.0/16"))

    (stale,) = render.stale(render.texts(documents), folder)

    assert stale.path == path
    assert "-      CidrBlock: 10.1.0.0/16\n+      CidrBlock: 10.0.0.0/16\n" in stale.diff()


def check(python: str, seed: str, form: str, folder: Path) -> subprocess.Popen[str]:
    """Start ``tapgen render --check`` of ``folder`` in a process of its own."""
    command = [python, "-m", "tapgen", "render", "--check", "--format", form, "--out", str(folder)]
    return subprocess.Popen(
        command,
        env={"PATH": os.defpath, "PYTHONPATH": str(places.PROJECT_FOLDER), "PYTHONHASHSEED": seed},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_any_hash_seed_renders_the_same_bytes(
    tmp_path: Path, documents: dict[str, dict[str, Any]]
) -> None:
    for name, text in render.texts(documents, "json").items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    running = [
        check(sys.executable, "0", "yaml", places.TEMPLATES_FOLDER),
        check(sys.executable, "1", "yaml", places.TEMPLATES_FOLDER),
        check(sys.executable, "4242", "json", tmp_path),
    ]

    ended = [(process.communicate()[0], process.returncode) for process in running]

    assert ended == [("", 0)] * 3


@pytest.mark.parametrize("python", OTHER_PYTHONS)
def test_another_python_renders_the_same_bytes(python: str) -> None:
    found = shutil.which(python)
    if found is None:
        pytest.skip(f"there is no {python} here")
    needs = "import awacs, cfn_flip, click, troposphere, yaml; yaml.CSafeDumper"
    tried = subprocess.run([found, "-c", needs], capture_output=True, text=True, check=False)
    if tried.returncode:
        why = (tried.stderr.strip().splitlines() or ["it does not start"])[0]
        pytest.skip(f"{python} cannot import what rendering needs: {why}")

    process = check(found, "7", "yaml", places.TEMPLATES_FOLDER)

    assert (process.communicate()[0], process.returncode) == ("", 0)
