"""A hand for tests of the command line: ``tapgen`` in a folder of its own, and all that it told.

Most commands run in this process, through click's runner: that is quick, and the output is caught
whole. Where processes matter (signals, terminals, races), the same command starts one.
"""

from __future__ import annotations

import ctypes
import gc
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import botocore.loaders
import botocore.session
import pytest
from click.testing import CliRunner
from local_aws import pass_coverage_on

from tapgen import package, places
from tapgen.cli import main
from tapgen.local.lease import PASSED_ON, Embedded

PROJECT = Path(__file__).resolve().parents[1]
# The reader of a test that hangs should not wait for long.
PATIENCE = 60.0


@dataclass(frozen=True)
class Told:
    """How a command ended, and what it wrote."""

    status: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line of an error; anything else there fails the test."""
        assert self.out == "", self.out
        assert self.err.endswith("\n"), self.err
        assert self.err.count("\n") == 1, self.err
        return self.err[:-1]


@dataclass(frozen=True)
class CommandLine:
    """``tapgen`` in ``folder``, with no variables of the environment but ``variables``."""

    folder: Path
    variables: Mapping[str, str]

    def __call__(self, *arguments: str, answer: str | None = None, **variables: str) -> Told:
        """Run in this process. An exception that is no deliberate error fails the test."""
        told = CliRunner().invoke(
            main,
            list(arguments),
            input=answer,
            env={**self.variables, **variables},
            catch_exceptions=False,
            prog_name="tapgen",
        )
        # Commands switch it off for their short lives.
        gc.enable()
        return Told(told.exit_code, told.stdout, told.stderr)

    def start(
        self,
        *arguments: str,
        before: Callable[[], None] | None = None,
        out: int = subprocess.PIPE,
    ) -> subprocess.Popen[str]:
        """Start a process; ``before`` runs in it before Python does, ``out`` is its stdout."""
        return subprocess.Popen(
            [sys.executable, "-m", "tapgen", *arguments],
            cwd=self.folder,
            env={**self.variables, "PYTHONPATH": str(PROJECT)},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: _begin(before),
        )

    def process(self, *arguments: str, before: Callable[[], None] | None = None) -> Told:
        """Run as a process of its own."""
        return ended(self.start(*arguments, before=before))

    def while_running(self, least: float = 0.5) -> float:
        """Seconds that something must take to be still under way when the next command looks.

        Measured, because a machine may be slow, busy, or counting the lines that are run.
        """
        begun = time.monotonic()
        self("envs")
        return max(least, 6 * (time.monotonic() - begun))

    def with_variables(self, **variables: str) -> CommandLine:
        """The same, with more variables."""
        return CommandLine(self.folder, {**self.variables, **variables})


def _begin(before: Callable[[], None] | None) -> None:
    # A job in a shell's background ignores Ctrl-C, and hands that down.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if before is not None:
        before()


def ended(process: subprocess.Popen[str]) -> Told:
    """Wait for a process; one that does not end is killed, and fails the test."""
    try:
        out, err = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        pytest.fail(f"it did not end:\n{out}\n{err}")
    return Told(process.returncode, out or "", err)


@pytest.fixture(scope="session")
def packages() -> Path:
    """The project's own store of Lambda packages, filled: what a test would build, it finds."""
    store = PROJECT / ".tapgen" / "packages"
    for name in package.discover(places.LAMBDA_SOURCE):
        package.build(name, places.LAMBDA_SOURCE, store)
    return store


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CommandLine]:
    """A command line in an empty folder, of a user without AWS."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in [name for name in os.environ if _steers(name)]:
        monkeypatch.delenv(name)
    # Each command makes a session of its own, and half its time would go into reading the models
    # of the services.
    monkeypatch.setattr(botocore.session, "create_loader", _models)
    pass_coverage_on()
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    known = signal.getsignal(signal.SIGTERM)
    yield CommandLine(folder, {**kept, "HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"})
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, known)


@pytest.fixture
def tapgen(offline: CommandLine, aws_account: Embedded, packages: Path) -> CommandLine:
    """A command line in an empty folder, with an account that nobody has used."""
    return in_account(offline, aws_account, packages)


def without_aws(folder: Path) -> CommandLine:
    """The command line of a user who has no AWS, and no settings of any kind."""
    pass_coverage_on()
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    bare = {"HOME": str(folder.parent), "AWS_EC2_METADATA_DISABLED": "true"}
    # The help is as wide as the developer's window otherwise.
    return CommandLine(folder, {**kept, **bare, "COLUMNS": "80"})


def in_account(line: CommandLine, aws: Embedded, packages: Path) -> CommandLine:
    """The command line of a user of that account, who has built the packages already."""
    (line.folder / ".tapgen").mkdir(exist_ok=True)
    (line.folder / ".tapgen" / "packages").symlink_to(packages)
    return line.with_variables(
        AWS_ENDPOINT_URL=aws.url,
        AWS_ACCESS_KEY_ID=aws.access_key,
        AWS_SECRET_ACCESS_KEY=aws.secret_key,
    )


@cache
def _models(search_path: str | None) -> botocore.loaders.Loader:
    return botocore.loaders.create_loader(search_path)


def _steers(name: str) -> bool:
    """Whether a variable of the developer's own would change what a command does."""
    return name.startswith(("AWS_", "TAPGEN_")) or name in (
        "ENVIRONMENT_SUFFIX",
        "CI",
        "COLUMNS",
        "FORCE_COLOR",
        "NO_COLOR",
        "TERM",
    )


def plain(text: str, aws: Embedded | None = None) -> str:
    """``text`` with all that differs from run to run replaced by a word for it."""
    if aws is not None:
        text = text.replace(aws.account, "ACCOUNT")
    text = re.sub(r"\b(\d+ min )?\d+(\.\d)? s\b", "SECONDS", text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "TIME", text)
    text = re.sub(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "UUID", text)
    return re.sub(r"\b(subnet|vpc|sg|fs|fsap)-[0-9a-f]{17}\b", r"\1-ID", text)


def without_privilege() -> None:
    """Let permissions of files count for root too: for ``before``, in a child.

    Root reads and writes past every permission through two capabilities; out of the bounding set,
    they do not survive the exec that follows.
    """
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in (_DAC_OVERRIDE, _DAC_READ_SEARCH):
            if libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0):
                raise OSError(ctypes.get_errno(), "cannot drop a capability")


_PR_CAPBSET_DROP = 24
_DAC_OVERRIDE, _DAC_READ_SEARCH = 1, 2


def files_below(folder: Path) -> list[str]:
    """Every file below ``folder``, hidden ones too, without the store of packages."""
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and ".tapgen" not in path.parts
    )


def has(program: str) -> bool:
    """Whether there is such a program on this machine."""
    return shutil.which(program) is not None
