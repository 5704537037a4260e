"""--local and ``tapgen local``: the embedded AWS of a folder, from its first command to its last.

These start servers of their own; what does not need that is tested on the shared one.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import pytest
from command_line import CommandLine, Told, ended, plain

LINES = (
    r"export AWS_ENDPOINT_URL=(http://127\.0\.0\.1:\d+)\n",
    r"export AWS_REGION=(ap-northeast-1)\n",
    r"export AWS_ACCESS_KEY_ID=(000000000000)\n",
    r"export AWS_SECRET_ACCESS_KEY=([0-9a-f]{40})\n",
)


@pytest.fixture
def here(offline: CommandLine, packages: Path) -> CommandLine:
    """An empty folder of a user without AWS, who has built the packages already."""
    (offline.folder / ".tapgen").mkdir()
    (offline.folder / ".tapgen" / "packages").symlink_to(packages)
    return offline


@contextmanager
def serving(line: CommandLine, *arguments: str) -> Iterator[tuple[list[str], list[Told]]]:
    """``tapgen local serve`` for the block: the values it told; how it ended comes afterwards."""
    process = line.start("local", "serve", "--aws-only", *arguments)
    assert process.stdout is not None
    ends: list[Told] = []
    try:
        told = [process.stdout.readline() for _ in LINES]
        values = [re.fullmatch(form, text) for form, text in zip(LINES, told, strict=True)]
        assert all(values), told
        yield [match[1] for match in values if match], ends
    finally:
        process.send_signal(signal.SIGINT)
        ends.append(ended(process))


def left(folder: Path) -> list[str]:
    """The processes of ``folder`` that are still there a moment after its last command."""
    deadline = time.monotonic() + 5
    while (found := _processes(folder)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def _processes(folder: Path) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if str(folder) in command:
                found.append(command.replace("\0", " "))
    return found


def test_the_whole_pipeline_stands_after_one_command_and_goes_with_another(
    here: CommandLine,
) -> None:
    deployed = here.process("deploy", "--local", "--env", "demo", "--yes")
    again = here.process("deploy", "--local", "--env", "demo")
    destroyed = here.process("destroy", "--local", "--env", "demo", "--yes")

    assert deployed.status == 0, deployed.err
    assert deployed.err.startswith(
        "the embedded AWS, ap-northeast-1, as arn:aws:iam::000000000000:root\nenvironment demo\n\n"
    )
    assert plain(deployed.out).startswith(
        """\
tap-foundation         created  SECONDS
tap-demo-network       created  SECONDS
tap-demo-notification  created  SECONDS
tap-demo-cache         created  SECONDS
tap-demo-storage       created  SECONDS
tap-demo-api           created  SECONDS
tap-demo-compute       created  SECONDS
tap-demo-workflow      created  SECONDS

tap-foundation
  ArtifactBucketName  tap-artifacts-000000000000-ap-northeast-1
"""
    )
    assert (again.status, again.out) == (0, "demo: nothing to do, 8 stacks unchanged\n")
    assert destroyed.status == 0, destroyed.err
    assert destroyed.out.count("  deleted  ") == 7
    assert left(here.folder) == []
    assert sorted(path.name for path in here.folder.iterdir()) == [".tapgen"]


def test_serve_tells_a_shell_how_to_reach_it_until_ctrl_c(here: CommandLine) -> None:
    with serving(here) as (values, ends):
        url, region, key, secret = values
        sns = boto3.client(
            "sns",
            endpoint_url=url,
            region_name=region,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
        )
        made = sns.create_topic(Name="news")["TopicArn"]
        seen = here("envs", "--local")

    assert made == "arn:aws:sns:ap-northeast-1:000000000000:news"
    assert (seen.status, seen.out) == (0, "")
    assert ends == [Told(0, "", "the embedded AWS is up; Ctrl-C ends it, its state is kept\n")]
    assert left(here.folder) == []


def test_what_serve_exports_is_all_that_a_shell_needs(here: CommandLine) -> None:
    with serving(here) as (values, _):
        url, region, key, secret = values
        line = here.with_variables(
            AWS_ENDPOINT_URL=url,
            AWS_REGION=region,
            AWS_ACCESS_KEY_ID=key,
            AWS_SECRET_ACCESS_KEY=secret,
        )
        told = line("deploy", "notification", "--env", "dev", "--yes")
        seen = here("status", "--local", "--env", "dev", "--output", "json")

    assert told.status == 0, told.err
    assert "account 000000000000, ap-northeast-1" in told.err
    (row,) = [row for row in json.loads(seen.out) if row["tier"] == "notification"]
    assert (row["status"], row["template"]) == ("CREATE_COMPLETE", "current")


def test_serve_on_a_fixed_port_and_a_second_one_elsewhere(here: CommandLine) -> None:
    with serving(here) as (values, _):
        port = int(values[0].rpartition(":")[2])
        other = here.process("local", "serve", "--aws-only", "--port", str(port % 60000 + 1024))
        joined = here("envs", "--local")

    with serving(here, "--port", str(port)) as (again, _):
        pass

    assert other.status == 1
    assert f"already runs on port {port}, not {port % 60000 + 1024}" in other.line
    assert joined.status == 0
    assert again[0] == f"http://127.0.0.1:{port}"


def test_reset_asks_and_forgets_everything_when_told_to(here: CommandLine) -> None:
    here("deploy", "notification", "--local", "--env", "dev", "--yes")

    unasked = here("local", "reset")
    stood = here("envs", "--local")
    with serving(here):
        in_use = here("local", "reset", "--yes")
    done = here("local", "reset", "--yes")
    gone = here("envs", "--local")

    assert (unasked.status, unasked.line) == (
        2,
        "tapgen: Forget all stacks and data of the embedded AWS? "
        "Nobody can be asked here: use --yes",
    )
    assert plain(stood.out) == "dev  1 stack  good  TIME\n"
    assert in_use.status == 1
    assert "is in use by another tapgen command; end that first, then reset again" in in_use.line
    assert (done.status, done.out, done.err) == (0, "", "the embedded AWS is empty\n")
    assert gone.err.startswith("no environment is deployed here")


def test_reset_of_nothing_is_fine(offline: CommandLine) -> None:
    told = offline("local", "reset", "--yes")

    assert (told.status, told.err) == (0, "the embedded AWS is empty\n")


def test_local_never_looks_at_the_user_s_own_credentials(here: CommandLine) -> None:
    told = here(
        *("deploy", "notification", "--local", "--env", "dev", "--yes"),
        AWS_PROFILE="nobody",
        AWS_ACCESS_KEY_ID="AKIAIOSFODNN7EXAMPLE",
        AWS_SECRET_ACCESS_KEY="wrong",
        AWS_ENDPOINT_URL="http://127.0.0.1:9",
    )

    assert told.status == 0, told.err
    assert told.err.startswith(
        "the embedded AWS, ap-northeast-1, as arn:aws:iam::000000000000:root"
    )


def test_two_commands_at_once_share_one_server_and_leave_none(here: CommandLine) -> None:
    processes: list[subprocess.Popen[str]] = [
        here.start("deploy", "notification", "--local", "--env", env, "--yes")
        for env in ("one", "two")
    ]

    told = [ended(process) for process in processes]

    assert [one.status for one in told] == [0, 0], told
    assert plain(here("envs", "--local").out) == (
        "one  1 stack  good  TIME\ntwo  1 stack  good  TIME\n"
    )
    assert left(here.folder) == []
