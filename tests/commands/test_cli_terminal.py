"""The command line at a terminal, in a pipe and in CI: who is asked, what is drawn, what is not."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from command_line import PATIENCE, PROJECT, CommandLine, ended, plain
from local_aws import set_faults, settled, status

from tapgen.local.lease import Embedded

NOTIFICATION = "tap-dev-notification"
DEPLOY = ("deploy", "notification", "--env", "dev")
QUESTION = "Deploy 1 stack to dev? [y/N]: "
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class Terminal:
    """A process whose three streams are one terminal, and what it has drawn so far."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self._process, self._master = process, master
        self.drawn = ""

    def wait_for(self, text: str) -> None:
        """Read on until ``text`` is there; it ending before that fails the test."""
        while text not in self.drawn:
            assert self._read(), f"{text!r} never came:\n{self.drawn}"

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._master, text.encode())

    def end(self) -> int:
        """Read to the end; returns the exit status."""
        while self._read():
            pass
        return self._process.wait(PATIENCE)

    @property
    def lines(self) -> list[str]:
        """What was drawn, line by line and redraw by redraw; no empty ones, no moves."""
        return [line for line in re.split("[\r\n]+", ESCAPE.sub("", self.drawn)) if line]

    def _read(self) -> bool:
        ready, _, _ = select.select([self._master], [], [], PATIENCE)
        assert ready, f"nothing for {PATIENCE} seconds:\n{self.drawn}"
        try:
            read = os.read(self._master, 65536)
        except OSError:  # The other side is closed.
            return False
        self.drawn += read.decode("utf-8", "replace")
        return bool(read)


@contextmanager
def terminal(
    line: CommandLine, *arguments: str, columns: int = 80, program: str = "", **variables: str
) -> Iterator[Terminal]:
    """Run at a terminal ``columns`` wide; ``program`` comes before ``main()``, to prepare it."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    kept = {name: value for name, value in line.variables.items() if name != "COLUMNS"}
    process = subprocess.Popen(
        [sys.executable, "-c", f"{program}\nfrom tapgen.cli import main\nmain()", *arguments],
        cwd=line.folder,
        env={**kept, "TERM": "xterm-256color", "PYTHONPATH": str(PROJECT), **variables},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        # The keys reach the foreground job of a terminal only when it controls that job.
        preexec_fn=lambda: _take(0),
    )
    os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(master)


def _take(descriptor: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    fcntl.ioctl(descriptor, termios.TIOCSCTTY, 0)


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ("n\n", "tapgen: nothing was done"),
        ("\n", "tapgen: nothing was done"),
        ("\x03", "tapgen: interrupted"),
        ("\x04", "tapgen: interrupted"),
    ],
    ids=["no", "enter", "Ctrl-C", "Ctrl-D"],
)
def test_a_question_not_answered_with_yes_changes_nothing(
    tapgen: CommandLine, aws_account: Embedded, keys: str, line: str
) -> None:
    with terminal(tapgen, *DEPLOY) as screen:
        screen.wait_for(QUESTION)
        # Python's input() loses a signal that comes after its prompt and before its read.
        time.sleep(0.2)
        screen.type(keys)

        assert screen.end() == 130

    assert screen.lines[-1] == line
    assert status(aws_account, NOTIFICATION) == ""


def test_yes_deploys_and_the_live_table_gives_way_to_the_summary(
    tapgen: CommandLine, aws_account: Embedded
) -> None:
    with terminal(tapgen, *DEPLOY) as screen:
        screen.wait_for(QUESTION)
        screen.type("y\n")

        assert screen.end() == 0

    assert status(aws_account, NOTIFICATION) == "CREATE_COMPLETE"
    # Cursor hidden while drawing, and shown again.
    assert screen.drawn.count("\x1b[?25l") == screen.drawn.count("\x1b[?25h") == 1
    after = ESCAPE.sub("", screen.drawn.rpartition("\x1b[?25h")[2])
    assert plain(after).lstrip().startswith("tap-dev-notification  created  SECONDS\r\n")


def test_what_is_drawn_stays_within_eighty_columns(tapgen: CommandLine) -> None:
    with terminal(tapgen, "deploy", "--env", "dev", "--yes") as screen:
        assert screen.end() == 0

    drawn = screen.drawn.partition("\x1b[?25l")[2].partition("\x1b[?25h")[0]
    live = re.split("[\r\n]+", ESCAPE.sub("", drawn))
    assert max(map(len, live)) <= 80
    assert any(re.match(r"tap-dev-network +\d+/\d+  \d\.\d s  ", line) for line in live)


def test_an_answer_is_asked_for_the_data_by_name(
    tapgen: CommandLine, aws_account: Embedded
) -> None:
    tapgen(*DEPLOY, "--yes")

    with terminal(tapgen, "destroy", "--env", "dev", "--delete-data", "--yes") as screen:
        screen.wait_for("all its data goes. Type dev to go on: ")
        screen.type("dve\n")
        refused = screen.end()
    stood = status(aws_account, NOTIFICATION)
    with terminal(tapgen, "destroy", "--env", "dev", "--delete-data") as screen:
        screen.wait_for("all its data goes. Type dev to go on: ")
        screen.type("dev\n")
        done = screen.end()

    assert (refused, stood) == (130, "CREATE_COMPLETE")
    assert (done, status(aws_account, NOTIFICATION)) == (0, "")


def test_ci_asks_nobody_and_draws_nothing_even_at_a_terminal(
    tapgen: CommandLine, aws_account: Embedded
) -> None:
    with terminal(tapgen, *DEPLOY, CI="true") as screen:
        assert screen.end() == 2
    with terminal(tapgen, *DEPLOY, "--yes", CI="true") as deployed:
        assert deployed.end() == 0

    assert screen.lines[-1] == "tapgen: Deploy 1 stack to dev? Nobody can be asked here: use --yes"
    assert "\x1b" not in screen.drawn + deployed.drawn
    assert "tap-dev-notification  creating, 6 changes" in deployed.lines


def test_a_dumb_terminal_gets_lines_and_no_escapes(tapgen: CommandLine) -> None:
    with terminal(tapgen, *DEPLOY, "--yes", TERM="dumb") as screen:
        assert screen.end() == 0

    assert "\x1b" not in screen.drawn
    assert "tap-dev-notification  creating, 6 changes" in screen.lines


def test_without_rich_a_terminal_gets_lines(tapgen: CommandLine) -> None:
    program = "import sys; sys.modules['rich'] = None"
    with terminal(tapgen, *DEPLOY, "--yes", program=program) as screen:
        assert screen.end() == 0

    assert "\x1b" not in screen.drawn
    assert "tap-dev-notification  creating, 6 changes" in screen.lines


def test_verbose_gets_lines_that_can_be_scrolled_back(tapgen: CommandLine) -> None:
    with terminal(tapgen, *DEPLOY, "--yes", "--verbose") as screen:
        assert screen.end() == 0

    assert "tap-dev-notification  CREATE_COMPLETE TopicKey (AWS::KMS::Key)" in screen.lines


def test_no_color_means_no_colour(tapgen: CommandLine) -> None:
    with terminal(tapgen, *DEPLOY, "--yes", NO_COLOR="1") as screen:
        assert screen.end() == 0

    assert COLOUR.findall(screen.drawn) == []


def test_json_at_a_terminal_is_json_alone_on_stdout(tapgen: CommandLine) -> None:
    with terminal(tapgen, *DEPLOY, "--yes", "--output", "json") as screen:
        assert screen.end() == 0

    assert "\x1b" not in screen.drawn


@pytest.mark.parametrize("forced", [{}, {"FORCE_COLOR": "1"}], ids=["plain", "FORCE_COLOR"])
def test_a_pipe_gets_lines_and_no_escapes(tapgen: CommandLine, forced: dict[str, str]) -> None:
    told = tapgen.with_variables(TERM="xterm-256color", **forced).process(*DEPLOY, "--yes")

    assert told.status == 0
    assert "\x1b" not in told.out + told.err
    assert "tap-dev-notification  creating, 6 changes\n" in told.err


def test_a_reader_that_has_had_enough_ends_it_quietly(offline: CommandLine) -> None:
    reading, writing = os.pipe()
    process = offline.start("render", "--stdout", out=writing)
    os.close(writing)
    assert os.read(reading, 4) == b"---\n"
    os.close(reading)

    told = ended(process)

    assert (told.status, told.err) == (1, "")


MENU = "What now? (c, x, d, g) [g]: "
DETACHED = [
    "tap-dev-notification  interrupted  its operation may run on in AWS; "
    "the same command picks it up",
    "tapgen: interrupted: tap-dev-notification may run on in AWS; follow with "
    "tapgen watch --env dev, or run the same command again",
]


@pytest.mark.parametrize("keys", ["d\n", "\x03"], ids=["detach", "Ctrl-C again"])
def test_ctrl_c_while_it_deploys_asks_and_gives_the_terminal_back(
    tapgen: CommandLine, aws_account: Embedded, keys: str
) -> None:
    slow = {"op": "create", "logical_id": "ErrorTopic", "delay": tapgen.while_running()}
    set_faults(aws_account, resources=[slow])

    with terminal(tapgen, *DEPLOY, "--yes") as screen:
        screen.wait_for("CREATE_IN_PROGRESS ErrorTopic")
        screen.type("\x03")
        screen.wait_for(MENU)
        time.sleep(0.2)
        screen.type(keys)

        assert screen.end() == 130

    # Once for the menu, once for the end.
    assert screen.drawn.count("\x1b[?25l") == screen.drawn.count("\x1b[?25h") == 2
    assert "  x  cancel, and delete what is being created: tap-dev-notification" in screen.lines
    assert screen.lines[-2:] == DETACHED
    assert settled(aws_account, NOTIFICATION).status == "CREATE_COMPLETE"


def test_ctrl_c_and_go_on_is_as_if_nothing_had_been(
    tapgen: CommandLine, aws_account: Embedded
) -> None:
    slow = {"op": "create", "logical_id": "ErrorTopic", "delay": tapgen.while_running()}
    set_faults(aws_account, resources=[slow])

    with terminal(tapgen, *DEPLOY, "--yes") as screen:
        screen.wait_for("CREATE_IN_PROGRESS ErrorTopic")
        screen.type("\x03")
        screen.wait_for(MENU)
        screen.type("\n")

        assert screen.end() == 0

    assert status(aws_account, NOTIFICATION) == "CREATE_COMPLETE"


def test_a_creation_that_is_cancelled_is_deleted_when_told_so(
    tapgen: CommandLine, aws_account: Embedded
) -> None:
    slow = {"op": "create", "logical_id": "ErrorTopic", "delay": tapgen.while_running()}
    set_faults(aws_account, resources=[slow])

    with terminal(tapgen, *DEPLOY, "--yes") as screen:
        screen.wait_for("CREATE_IN_PROGRESS ErrorTopic")
        screen.type("\x03")
        screen.wait_for(MENU)
        screen.type("x\n")

        assert screen.end() == 130

    assert (
        "tap-dev-notification: cancelled: it was deleted again, but for what its policies keep "
        "[DELETE_COMPLETE]"
    ) in screen.lines
    assert status(aws_account, NOTIFICATION) == ""


def test_the_seconds_run_while_aws_is_silent(tapgen: CommandLine, aws_account: Embedded) -> None:
    set_faults(aws_account, resources=[{"op": "create", "type": "AWS::SNS::Topic", "delay": 0.6}])

    with terminal(tapgen, *DEPLOY, "--yes") as screen:
        assert screen.end() == 0

    seen = {found for line in screen.lines for found in re.findall(r"\d\.\d s", line)}
    assert len(seen) >= 3
