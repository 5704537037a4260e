"""How fast tapgen is, as ratios of what it cannot do without, within one run.

A machine's speed changes from minute to minute, so every command is run in turn with its own floor,
and the median of the pairwise ratios is what counts. Limits are printed, never asserted: this is a
benchmark, not a test.

    python tests/bench/run.py [RUNS]
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from far import far

PROJECT = Path(__file__).resolve().parent.parent.parent
TAPGEN = str(Path(sys.executable).with_name("tapgen"))
PYTHON = sys.executable

# F: what any program needs that builds the templates and writes them in the cheapest way.
FLOOR_RENDER = "import click, json, sys\nfrom tapgen import app\njson.dumps(app.documents())\n"
FLOOR_HELP = "import click"
FLOOR_DEPLOY = (
    "import boto3\n"
    "from botocore.config import Config\n"
    "c = boto3.client('sts', 'ap-northeast-1', config=Config(retries={'total_max_attempts': 1}))\n"
    "c.get_caller_identity()\n"
)
FLOOR_ANSWER = (
    "import boto3\n"
    "c = boto3.client('cloudformation', 'ap-northeast-1')\n"
    "c.describe_stacks(StackName='tap-bench-network')\n"
)


@dataclass(frozen=True)
class Comparison:
    """A command against its floor; ``limit`` is the ratio aimed at."""

    name: str
    floor: str
    limit: str
    ours: Callable[[], float]
    theirs: Callable[[], float]


def main() -> None:
    """Run every comparison and print a line for each."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 11
    subprocess.run([PYTHON, "-m", "compileall", "-q", str(PROJECT / "tapgen")], check=True)
    with tempfile.TemporaryDirectory() as folder, far(Path(folder), "bench") as variables:
        print(f"{'':34}{'ratio':>7}  {'aim':<8} against")  # noqa: T201
        for comparison in [*comparisons(Path(folder)), nothing_to_do(Path(folder), variables)]:
            ratio = compare(comparison, runs)
            print(f"{comparison.name:<34}{ratio:>7.2f}  {comparison.limit:<8} {comparison.floor}")  # noqa: T201
        peer = sceptre(Path(folder), runs)
        told = f"{peer:>7.2f}" if peer else "  not installed here (make bench does it)"
        print(f"{'sceptre generate':<34}{told}  >= 4     tapgen render of the same templates")  # noqa: T201


def comparisons(folder: Path) -> list[Comparison]:
    """What is measured; ``folder`` is for what the commands write."""
    out = str(folder / "templates")
    return [
        Comparison(
            "tapgen render (nothing there)",
            "import click + tiers, build, json.dumps",
            "<= 1.25",
            lambda: timed([TAPGEN, "render", "--out", fresh(folder)]),
            lambda: timed([PYTHON, "-c", FLOOR_RENDER]),
        ),
        Comparison(
            "tapgen render (nothing changed)",
            "the same",
            "<= 1.25",
            lambda: timed([TAPGEN, "render", "--out", out]),
            lambda: timed([PYTHON, "-c", FLOOR_RENDER]),
        ),
        Comparison(
            "tapgen --help",
            "import click",
            "<= 1.3",
            lambda: timed([TAPGEN, "--help"]),
            lambda: timed([PYTHON, "-c", FLOOR_HELP]),
        ),
        Comparison(
            "tapgen deploy, to its first call",
            "import boto3, one client, one call",
            "<= 1.2",
            lambda: to_first_call([TAPGEN, "deploy", "--env", "bench", "--yes"]),
            lambda: to_first_call([PYTHON, "-c", FLOOR_DEPLOY]),
        ),
    ]


def nothing_to_do(folder: Path, variables: Mapping[str, str]) -> Comparison:
    """A deploy of an environment at rest, from start to end, on an AWS that is 60 ms away."""

    def timed_there(command: list[str]) -> float:
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, env=variables, cwd=folder)
        return time.perf_counter() - started

    return Comparison(
        "tapgen deploy, nothing to do",
        "import boto3, one client, one call, its answer 60 ms away",
        "<= 1.25",
        lambda: timed_there([TAPGEN, "deploy", "--env", "bench", "--yes"]),
        lambda: timed_there([PYTHON, "-c", FLOOR_ANSWER]),
    )


def compare(comparison: Comparison, runs: int) -> float:
    """The median ratio of ``runs`` pairs, after one of each that does not count."""
    comparison.ours(), comparison.theirs()
    return statistics.median(comparison.ours() / comparison.theirs() for _ in range(runs))


def timed(command: list[str]) -> float:
    """Seconds from start to end of a command that must go well."""
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=environment(), cwd=PROJECT)
    return time.perf_counter() - started


def to_first_call(command: list[str]) -> float:
    """Seconds from start until the command knocks at the AWS that it was told of."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        door.settimeout(30)
        url = f"http://127.0.0.1:{door.getsockname()[1]}"
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            env={**environment(), "AWS_ENDPOINT_URL": url},
            cwd=PROJECT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            connection, _ = door.accept()
            seconds = time.perf_counter() - started
            connection.close()
        finally:
            process.kill()
            process.wait()
    return seconds


def sceptre(folder: Path, runs: int) -> float | None:
    """How many times as long ``sceptre generate`` takes for the same templates, if it is here.

    It has an environment of its own (``make bench`` makes it), because its pins are not ours.
    """
    program = PROJECT / ".tapgen" / "bench" / "bin" / "sceptre"
    if not program.exists():
        return None
    project = folder / "sceptre"
    (project / "config").mkdir(parents=True)
    (project / "templates").mkdir()
    (project / "config" / "config.yaml").write_text("project_code: tap\nregion: ap-northeast-1\n")
    for tier in sorted(path.stem for path in (PROJECT / "templates_out").glob("*.yaml")):
        (project / "config" / f"{tier}.yaml").write_text(
            f"template:\n  type: file\n  path: {tier}.py\n"
        )
        (project / "templates" / f"{tier}.py").write_text(
            "from tapgen import app\n\n\n"
            "def sceptre_handler(sceptre_user_data):\n"
            f"    stacks = {{stack.tier: stack for stack in app.describe()}}\n"
            f"    return stacks[{tier!r}].template.to_yaml()\n"
        )
    command = [str(program), "--dir", str(project), "generate", "."]
    theirs = lambda: timed(command)  # noqa: E731 - the same shape as the others
    ours = lambda: timed([TAPGEN, "render", "--out", fresh(folder)])  # noqa: E731
    ours(), theirs()
    return statistics.median(theirs() / ours() for _ in range(max(3, runs // 3)))


def fresh(folder: Path) -> str:
    """A folder that is not there yet."""
    return tempfile.mktemp(dir=folder)


def environment() -> dict[str, str]:
    """The process environment, without what would change a measurement or reach a real account."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "TAPGEN_")) and name != "PYTHONDONTWRITEBYTECODE"
    }
    return {
        **kept,
        "AWS_ACCESS_KEY_ID": "000000000000",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_REGION": "ap-northeast-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


if __name__ == "__main__":
    main()
