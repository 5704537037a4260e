"""``tapgen local serve``: the real function behind the gateway, real databases, real processes.

One start for the module, and it is hard on it: after the requests schemathesis comes, then what it
prints is typed as it stands, then one process after another is killed, and at last all of them at
once; what was stored must be there at the next start.
"""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from command_line import PROJECT, CommandLine, Told, ended, without_aws

from tapgen import places
from tapgen.local import data

VIDEO = {"title": "Opening night", "source_uri": "s3://videos/opening.mp4"}
OPENAPI = places.LAMBDA_SOURCE / "video_metadata_api" / "openapi.yaml"
# `make fuzz` asks for more; a run of a few hundred finds what breaks often.
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "15"))
CASES = int(os.environ.get("FUZZ_CASES", "150"))
FUZZING = """\
hooks = {hooks}

[[operations]]
include-name = "GET /metadata"

[operations.checks]
positive_data_acceptance.enabled = false
"""


@dataclass
class Laptop:
    """A folder of its own, and the command that serves from it."""

    line: CommandLine
    process: subprocess.Popen[str] | None = None
    values: Mapping[str, str] | None = None
    # What it said for people.
    said: str = ""

    def start(self) -> None:
        """Serve, and wait until it says that it is up."""
        self.process = self.line.start("local", "serve", "--no-throttle")
        assert self.process.stdout is not None
        told = [self.process.stdout.readline() for _ in range(6)]
        found = [re.fullmatch(r"export (\w+)=(.+)\n", line) for line in told]
        if not all(found):
            self.process.kill()
            pytest.fail(f"{told} {ended(self.process).err}")
        self.values = {match[1]: match[2] for match in found if match}
        assert self.process.stderr is not None
        self.said = ""
        while not self.said.endswith("Ctrl-C ends it; the data is kept.\n"):
            self.said += self.process.stderr.readline()

    def typed(self, command: str) -> subprocess.Popen[str]:
        """A line typed at a shell in the folder."""
        return subprocess.Popen(
            f"exec {command}",
            shell=True,
            cwd=self.line.folder,
            env={**self.line.variables, "PYTHONPATH": str(PROJECT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def pids(self, part: str = "") -> list[int]:
        """The processes of the folder whose command lines have ``part`` in them."""
        return [int(text.partition(" ")[0]) for text in self.processes() if part in text]

    def ask(
        self, method: str, path: str, document: object = None, **headers: str
    ) -> tuple[int, Any]:
        """A request over HTTP, with the key."""
        assert self.values is not None
        request = urllib.request.Request(
            self.values["API_URL"] + path,
            data=None if document is None else json.dumps(document).encode(),
            headers={
                "X-Api-Key": self.values["API_KEY"],
                "Content-Type": "application/json",
                **headers,
            },
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def processes(self) -> list[str]:
        """All processes that belong to the folder, by their command lines or their parents."""
        return [f"{pid} {text}" for pid, text in _processes() if str(self.line.folder) in text]

    def stop(self, number: int = signal.SIGINT) -> Told:
        """End it, and say how it ended."""
        assert self.process is not None
        self.process.send_signal(number)
        told, self.process = ended(self.process), None
        return told


def _processes() -> Iterator[tuple[int, str]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                # An execution environment stands in its code's folder.
                yield int(entry.name), f"{command} {os.readlink(entry / 'cwd')}"
            except OSError:
                continue


@pytest.fixture(scope="module")
def laptop(packages: Path) -> Iterator[Laptop]:
    with data.fresh_folder() as folder:
        (folder / ".tapgen").mkdir()
        (folder / ".tapgen" / "packages").symlink_to(packages)
        found = Laptop(without_aws(folder))
        found.start()
        yield found
        if found.process is not None:
            assert found.stop().status == 0
        assert gone(found) == []


def gone(laptop: Laptop, seconds: float = 10.0) -> list[str]:
    """What is left of the folder's processes after a moment."""
    until = time.monotonic() + seconds
    while (left := laptop.processes()) and time.monotonic() < until:
        time.sleep(0.05)
    return left


def test_a_video_is_created_read_and_listed_through_the_gateway(laptop: Laptop) -> None:
    health = laptop.ask("GET", "/health")
    made, video = laptop.ask("POST", "/metadata", VIDEO, **{"Idempotency-Key": "one"})
    again = laptop.ask("POST", "/metadata", VIDEO, **{"Idempotency-Key": "one"})
    read = laptop.ask("GET", f"/metadata?video_id={video['video_id']}")
    listed = laptop.ask("GET", "/metadata?limit=1")

    assert health == (200, {"status": "ok", "checks": {"database": "ok", "cache": "ok"}})
    assert (made, video["title"], video["status"]) == (201, "Opening night", "pending")
    assert again == (201, video)
    assert read == (200, video)
    assert listed[1]["items"] == [video]


def test_gateway_and_function_refuse_in_one_shape(laptop: Laptop) -> None:
    assert laptop.values is not None
    by_gateway = laptop.ask("POST", "/metadata", {**VIDEO, "extra": 1})
    by_function = laptop.ask("GET", "/metadata?limit=1000")
    without_key = laptop.ask("GET", "/metadata", **{"X-Api-Key": "no"})

    assert (by_gateway[0], by_gateway[1]["error"]["code"]) == (400, "invalid_request")
    assert (by_function[0], by_function[1]["error"]["code"]) == (400, "invalid_request")
    assert "details" not in by_gateway[1]["error"]
    assert by_function[1]["error"]["details"][0]["field"] == "limit"
    assert (without_key[0], without_key[1]["error"]["code"]) == (403, "INVALID_API_KEY")


def test_the_logs_hold_neither_the_key_nor_a_password(laptop: Laptop) -> None:
    assert laptop.values is not None
    folder = laptop.line.folder / ".tapgen" / "local-data" / "demo"
    logs = "".join(path.read_text() for path in folder.rglob("*.log"))
    kept = json.loads((folder / "postgres.json").read_text())

    assert '"path": "/demo/health"' in logs
    assert '"type": "platform.report"' in logs
    for secret in (laptop.values["API_KEY"], *kept.values(), VIDEO["title"]):
        assert secret not in logs


def test_a_second_command_for_the_environment_is_told_who_serves_it(laptop: Laptop) -> None:
    assert laptop.process is not None

    told = laptop.line.process("local", "serve")
    reset = laptop.line.process("local", "reset", "--yes")

    assert (told.status, told.line) == (
        1,
        f"tapgen: environment 'demo' is already served by process {laptop.process.pid}; "
        "end that one, or serve another with --env",
    )
    assert reset.status == 1
    assert "is in use by another tapgen command" in reset.line


def test_schemathesis_finds_nothing(laptop: Laptop, tmp_path: Path) -> None:
    assert laptop.values is not None
    config = tmp_path / "schemathesis.toml"
    hooks = Path(__file__).with_name("fuzz_hooks.py")
    config.write_text(FUZZING.format(hooks=json.dumps(str(hooks))))

    ran = subprocess.run(
        [
            str(Path(sys.executable).with_name("st")),
            *("--config-file", str(config), "run", str(OPENAPI)),
            *("--url", laptop.values["API_URL"]),
            *("--header", f"X-Api-Key: {laptop.values['API_KEY']}"),
            *("--max-examples", str(EXAMPLES), "--seed", "7", "--continue-on-failure"),
            # API Gateway answers 403 to a method that is not there.
            *("--exclude-checks", "unsupported_method", "--no-color"),
            *(("--phases", "coverage,fuzzing") if EXAMPLES < 100 else ()),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(hooks.parent)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    cases = re.search(r"(\d+) generated", ran.stdout)
    assert cases is not None, ran.stdout
    assert int(cases[1]) >= CASES, ran.stdout
    assert laptop.ask("GET", "/health")[0] == 200


def test_the_four_commands_that_it_prints_work_as_they_are_printed(laptop: Laptop) -> None:
    assert re.match(r"(deploying \d stacks of demo .*\n)?\ndemo is up after \d", laptop.said)
    block = laptop.said.split("\n\n")[-2].replace("\\\n", "")
    health, post, run, hear = (line.strip() for line in block.splitlines())

    answers = [ended(laptop.typed(command)).out for command in (health, post)]
    hearing = laptop.typed(hear)
    ran = ended(laptop.typed(run))
    assert hearing.stdout is not None
    heard = hearing.stdout.readline()
    hearing.send_signal(signal.SIGINT)
    told = ended(hearing)

    assert json.loads(answers[0])["status"] == "ok"
    assert json.loads(answers[1])["title"] == "Opening night"
    assert ran.status == 0, ran.err
    name = ran.err.partition(" ")[0]
    assert json.loads(ran.out)["job"] == name
    assert re.search(r"ProcessVideo +attempt 1: ecs:runTask.sync\n", ran.err)
    assert heard.endswith(
        f"video-processing-completion-demo  Video processing completed (demo): {name}\n"
    )
    assert (told.status, told.err) == (130, "")


def test_local_logs_show_what_all_parts_did_for_it(laptop: Laptop) -> None:
    told = laptop.line.process("local", "logs", "--output", "json")

    lines = [json.loads(line) for line in told.out.splitlines()]
    assert told.status == 0
    assert {line["source"] for line in lines} >= {"api", "task", "workflow", "database", "cache"}
    assert [line["time"] for line in lines] == sorted(line["time"] for line in lines)


def test_after_a_kill_nothing_is_left_and_the_next_start_finds_the_data(laptop: Laptop) -> None:
    _, video = laptop.ask("POST", "/metadata", {**VIDEO, "title": "Kept"})
    before = laptop.values
    kinds = " ".join(laptop.processes())
    assert "tapgen.local.server" in kinds
    assert "postgres" in kinds
    assert "redis" in kinds
    assert "execution_process" in kinds

    killed = laptop.stop(signal.SIGKILL)
    left = gone(laptop)
    laptop.start()
    found = laptop.ask("GET", f"/metadata?video_id={video['video_id']}")

    assert killed.status == -signal.SIGKILL
    assert left == []
    assert found == (200, video)
    assert before is not None
    assert laptop.values is not None
    assert laptop.values["API_KEY"] == before["API_KEY"]


def test_a_part_that_is_killed_ends_everything_with_one_line(laptop: Laptop) -> None:
    assert laptop.process is not None

    os.kill(laptop.pids("data_supervisor")[0], signal.SIGKILL)
    told, laptop.process = ended(laptop.process), None

    assert told.status == 1
    assert re.fullmatch(
        r"tapgen: (PostgreSQL|Redis) ended unexpectedly; see \S+/(postgres|redis)\.log", told.line
    )
    assert gone(laptop) == []


def test_what_is_left_of_a_start_that_was_killed_whole_does_not_hinder_the_next(
    laptop: Laptop,
) -> None:
    laptop.start()
    _, video = laptop.ask("POST", "/metadata", {**VIDEO, "title": "Kept again"})
    # All at once, so that nobody tidies up behind another.
    for pid in laptop.pids():
        os.kill(pid, signal.SIGSTOP)
    for pid in laptop.pids():
        os.kill(pid, signal.SIGKILL)
    assert laptop.process is not None
    ended(laptop.process)
    folder = laptop.line.folder / ".tapgen"
    leftovers = (
        "local/server.json",
        "local-data/demo/lock",
        "local-data/demo/postgres/postmaster.pid",
    )
    assert [name for name in leftovers if not (folder / name).exists()] == []

    laptop.start()

    assert laptop.ask("GET", f"/metadata?video_id={video['video_id']}") == (200, video)


def test_ctrl_c_ends_it_in_order_and_reset_forgets_the_data(laptop: Laptop) -> None:
    # In the middle of an execution, which another command follows to its end.
    other = laptop.typed(f"{sys.executable} -m tapgen local run-workflow")
    assert other.stderr is not None
    while "is under way" not in other.stderr.readline():
        pass
    ended_ = laptop.stop()
    ran = ended(other)
    left = gone(laptop)
    reset = laptop.line.process("local", "reset", "--yes")

    assert ran.status == 0, ran.err
    assert (ended_.status, ended_.out, ended_.err) == (0, "", "")
    assert left == []
    assert (reset.status, reset.err) == (0, "the embedded AWS is empty\n")
    assert list((laptop.line.folder / ".tapgen" / "local-data").iterdir()) == []


def test_a_port_that_is_taken_is_one_clear_line(laptop: Laptop) -> None:
    if laptop.process is not None:
        laptop.stop()

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = laptop.line.process("local", "serve", "--api-port", str(port))

    assert (told.status, told.line) == (
        1,
        f"tapgen: port {port} on 127.0.0.1 is taken by another program; choose another",
    )
    assert gone(laptop) == []


def test_a_disk_that_fills_up_is_one_clear_line(laptop: Laptop) -> None:
    def no_file_grows() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    told = laptop.line.process("local", "serve", "--env", "full", before=no_file_grows)

    assert told.status == 1
    assert told.out == ""
    *before, line = told.err.splitlines()
    assert before in ([], ["deploying 8 stacks of full to the embedded AWS"])
    assert line.startswith(("tapgen: PostgreSQL did not start: ", "tapgen: cannot write "))
    assert gone(laptop) == []
