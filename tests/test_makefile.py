"""The Makefile: what it lists, and that nothing is reached for that a fresh machine lacks."""

from __future__ import annotations

import re
import subprocess

import pytest
from command_line import PROJECT, has

pytestmark = pytest.mark.skipif(not has("make"), reason="needs make")


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_make_alone_lists_every_target_and_does_nothing_else() -> None:
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)

    told = make()

    assert (told.returncode, told.stderr) == (0, "")
    assert phony is not None
    assert sorted(line.split()[0] for line in told.stdout.splitlines()) == sorted(phony[1].split())
    assert all(len(line.split()) > 2 for line in told.stdout.splitlines())


def test_the_demo_renders_deploys_and_tells_what_to_try_next() -> None:
    told = make("-n", "-o", "setup", "demo", "ENV=try")

    assert told.returncode == 0, told.stderr
    lines = told.stdout.splitlines()
    assert ".venv/bin/tapgen render" in lines
    assert ".venv/bin/tapgen deploy --local --env try --yes" in lines
    assert ".venv/bin/tapgen destroy --local --env try " in told.stdout


def test_without_a_python_that_is_new_enough_it_says_what_to_install() -> None:
    told = make("-B", "PYTHON=", "VENV=.tapgen/no-such-venv", "setup")

    assert told.returncode == 2
    assert told.stderr.splitlines()[0] == (
        "make: needs Python 3.11 or later with its venv module; install it, or set PYTHON="
    )
    assert not (PROJECT / ".tapgen" / "no-such-venv").exists()


def test_what_ci_runs_is_there_to_be_run_by_hand() -> None:
    script = (PROJECT / ".ci" / "run").read_text(encoding="utf-8")

    targets = re.findall(r"^make ([a-z]+)$", script, re.MULTILINE)

    assert {"setup", "lint", "types", "validate", "coverage"} <= set(targets)
    assert ".venv/bin/tapgen render --check" in script
    assert make("-n", "-o", "setup", *targets).returncode == 0
