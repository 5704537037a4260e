"""``tapgen`` as it is, over a system of a few small stacks that a test makes up.

Run as a program: the first argument is the system in JSON, the rest is tapgen's own. So it can be
killed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from command_line import PROJECT, CommandLine
from twin.rounds import Part, stack_of

from tapgen import app, cli
from tapgen.stack import Stack


def describe(parts: Mapping[str, Part]) -> tuple[Stack[Any], ...]:
    """What stands in the place of ``app.describe``'s answer."""
    return tuple(stack_of(name, part) for name, part in parts.items())


def start(line: CommandLine, parts: Mapping[str, Part], *arguments: str) -> subprocess.Popen[str]:
    """Start ``tapgen`` over ``parts`` as a process of its own."""
    system = json.dumps({name: asdict(part) for name, part in parts.items()})
    path = os.pathsep.join([str(PROJECT), str(PROJECT / "tests")])
    return subprocess.Popen(
        [sys.executable, str(Path(__file__)), system, *arguments],
        cwd=line.folder,
        env={**line.variables, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


if __name__ == "__main__":
    described = {name: Part(**part) for name, part in json.loads(sys.argv[1]).items()}
    setattr(app, "describe", lambda: describe(described))  # noqa: B010 - as a test would patch it
    cli.main(sys.argv[2:], prog_name="tapgen")
