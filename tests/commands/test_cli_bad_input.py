"""What the command line does with input that cannot be: one line, its status, and nothing lost."""

from __future__ import annotations

import errno
import os
import re
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from command_line import CommandLine, ended, files_below, without_privilege
from local_aws import client, set_faults

from tapgen.local.lease import Embedded

FORM = (
    "use 1 to 20 lower-case letters and digits, single hyphens between them, as in 'dev' or 'pr-12'"
)
TALKING = ("deploy", "destroy", "status", "outputs")


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def stacks(aws: Embedded) -> list[str]:
    found = client(aws, "cloudformation").describe_stacks()["Stacks"]
    return sorted(stack["StackName"] for stack in found)


@contextmanager
def taken_port() -> Iterator[int]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(1)
        yield sock.getsockname()[1]


def free_port() -> int:
    with taken_port() as port:
        return port


# The environment's suffix and its tiers


@pytest.mark.parametrize(
    ("suffix", "why"),
    [
        ("", "is empty"),
        ("Dev", "has upper-case letters"),
        ("a" * 21, "has 21 characters"),
        ("pr--12", "has a double hyphen"),
        ("-dev", "has characters that names do not allow"),
        ("dev_1", "has characters that names do not allow"),
        ("dév", "has characters that names do not allow"),
        ("dev\n", "has characters that names do not allow"),
        ("foundation", "is reserved for the account's own stack"),
    ],
)
@pytest.mark.parametrize("command", TALKING)
def test_a_bad_suffix_is_refused_before_anything_is_opened(
    offline: CommandLine, command: str, suffix: str, why: str
) -> None:
    told = offline(command, "--local", "--env", suffix)

    assert told.status == 2
    shown = " ".join(f"tapgen: environment suffix {suffix!r} {why}; {FORM}".split())
    assert told.line == shown
    assert listed(offline.folder) == []


def test_no_suffix_at_all_says_which_option_is_missing(offline: CommandLine) -> None:
    told = offline("deploy")

    assert told.status == 2
    assert told.line == "tapgen: Missing option '--env' / '-e'. Try 'tapgen deploy --help'."


@pytest.mark.parametrize("command", [("deploy", "--yes"), ("outputs",)])
def test_an_unknown_tier_is_refused_with_the_nearest(
    tapgen: CommandLine, aws_account: Embedded, command: tuple[str, ...]
) -> None:
    told = tapgen(command[0], "netwrok", *command[1:], "--env", "dev")

    assert told.status == 2
    assert told.line == "tapgen: no tier is called 'netwrok'; did you mean 'network'?"
    assert stacks(aws_account) == []


def test_rendering_an_unknown_tier_writes_nothing(offline: CommandLine) -> None:
    told = offline("render", "network", "queue", "--out", "seen")

    assert told.status == 2
    assert told.line == (
        "tapgen: no tier is called 'queue'; there are foundation, network, storage, cache, "
        "compute, api, notification, workflow"
    )
    assert listed(offline.folder) == []


# The command line itself


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("frobnicate",), "No such command 'frobnicate'. Try 'tapgen --help'."),
        (
            ("deploy", "--env", "dev", "--lcoal"),
            "No such option '--lcoal'. (Did you mean one of: '--local', '--plan'?) "
            "Try 'tapgen deploy --help'.",
        ),
        (
            ("render", "--format", "yml"),
            "Invalid value for '--format': 'yml' is not one of 'yaml', 'json'. "
            "Try 'tapgen render --help'.",
        ),
        (
            ("local", "serve", "--port", "70000"),
            "Invalid value for '--port': 70000 is not in the range 1<=x<=65535. "
            "Try 'tapgen local serve --help'.",
        ),
        (
            ("graph", "network"),
            "Got unexpected extra argument (network) Try 'tapgen graph --help'.",
        ),
    ],
)
def test_a_command_line_that_says_nothing_known_is_one_line_and_where_to_read(
    offline: CommandLine, arguments: tuple[str, ...], line: str
) -> None:
    told = offline(*arguments)

    assert told.status == 2
    assert told.line == f"tapgen: {line}"
    assert listed(offline.folder) == []


@pytest.mark.parametrize("where", ["before", "after", "variable"])
def test_debug_adds_the_traceback_wherever_it_is_said(offline: CommandLine, where: str) -> None:
    before = ["--debug"] if where == "before" else []
    after = ["--debug"] if where == "after" else []
    variables = {"TAPGEN_DEBUG": "1"} if where == "variable" else {}

    line = offline.with_variables(**variables)
    told = line.process(*before, "status", "--env", "Dev", *after)

    assert told.status == 1
    lines = told.err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1].startswith("tapgen.names.BadSuffix: environment suffix 'Dev' has upper-case")


def test_without_debug_a_process_tells_one_line(offline: CommandLine) -> None:
    told = offline.with_variables(TAPGEN_DEBUG="0").process("status", "--env", "Dev")

    assert told.status == 2
    assert told.line.startswith("tapgen: environment suffix 'Dev' has upper-case letters; ")


# Which AWS


@pytest.mark.parametrize("variable", ["AWS_REGION", "AWS_DEFAULT_REGION"])
@pytest.mark.parametrize("command", TALKING)
def test_another_region_is_refused_by_the_variable_s_name(
    offline: CommandLine, command: str, variable: str
) -> None:
    told = offline(command, "--env", "dev", "--local", **{variable: "us-east-1"})

    assert told.status == 2
    assert told.line == (
        f"tapgen: {variable} is 'us-east-1', but this system lives in ap-northeast-1 only; "
        "unset it, or set it to ap-northeast-1"
    )
    assert listed(offline.folder) == []


def test_the_region_that_counts_is_the_first_one(tapgen: CommandLine) -> None:
    told = tapgen("envs", AWS_REGION="ap-northeast-1", AWS_DEFAULT_REGION="us-east-1")

    assert told.status == 0


@pytest.mark.parametrize("command", [*TALKING, "envs"])
def test_without_credentials_it_says_where_to_get_some(offline: CommandLine, command: str) -> None:
    told = offline(command, *(["--env", "dev"] if command != "envs" else []))

    assert told.status == 1
    assert told.line == (
        "tapgen: no AWS credentials: Unable to locate credentials; sign in (aws sso login), "
        "set AWS_PROFILE, or use --local for the embedded AWS"
    )
    assert listed(offline.folder) == []


@pytest.mark.parametrize("how", ["flag", "variable", "file"])
def test_a_profile_that_is_not_there_is_named(offline: CommandLine, how: str) -> None:
    if how == "file":
        (offline.folder / "tapgen.toml").write_text('[env.dev]\nprofile = "nobody"\n')
    flags = ["--profile", "nobody"] if how == "flag" else []
    variables = {"AWS_PROFILE": "nobody"} if how == "variable" else {}

    told = offline("status", "--env", "dev", *flags, **variables)

    assert told.status == 1
    assert "The config profile (nobody) could not be found" in told.line


@pytest.mark.parametrize("command", [*TALKING, "envs"])
def test_an_expired_token_says_to_sign_in_again(
    tapgen: CommandLine, aws_account: Embedded, command: str
) -> None:
    expired = {"times": 9, "status": 403, "code": "ExpiredToken", "message": "the token is expired"}
    set_faults(
        aws_account,
        requests=[
            {"service": "sts", "action": "GetCallerIdentity", **expired},
            {"service": "cloudformation", "action": "DescribeStacks", **expired},
        ],
    )

    told = tapgen(command, *(["--env", "dev"] if command != "envs" else []))

    assert told.status == 1
    assert told.line == (
        "tapgen: the AWS credentials have expired (the token is expired); sign in and run it again"
    )


def test_a_wrong_secret_is_told_as_bad_credentials(tapgen: CommandLine) -> None:
    told = tapgen("status", "--env", "dev", AWS_SECRET_ACCESS_KEY="wrong")

    assert told.status == 1
    assert told.line.startswith("tapgen: no AWS credentials: ")


@pytest.mark.parametrize("command", [*TALKING, "envs"])
def test_an_endpoint_where_nobody_answers_is_named(
    tapgen: CommandLine, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    # botocore waits between its tries; here nobody will come.
    monkeypatch.setattr(time, "sleep", lambda _: None)
    url = f"http://127.0.0.1:{free_port()}"

    told = tapgen(command, *(["--env", "dev"] if command != "envs" else []), AWS_ENDPOINT_URL=url)

    assert told.status == 1
    service = "cloudformation" if command == "envs" else "sts"
    assert told.line == (
        f"tapgen: cannot reach {service} at {url}/; check the network, the proxy and "
        "AWS_ENDPOINT_URL"
    )


@pytest.mark.parametrize("url", ["localhost:4566", "http://", "http://[", "http://127.0.0.1:99999"])
def test_an_endpoint_that_is_no_address_is_refused(offline: CommandLine, url: str) -> None:
    told = offline("status", "--env", "dev", AWS_ENDPOINT_URL_STS=url)

    assert told.status == 2
    assert told.line == (
        f"tapgen: AWS_ENDPOINT_URL_STS is {url!r}, which is no address; "
        "write it as in http://127.0.0.1:4566, or unset it"
    )


@pytest.mark.parametrize("command", TALKING)
def test_the_wrong_account_is_refused_before_anything_is_done(
    tapgen: CommandLine, aws_account: Embedded, command: str
) -> None:
    (tapgen.folder / "tapgen.toml").write_text('[env.dev]\naccount = "999999999999"\n')
    yes = ["--yes"] if command in ("deploy", "destroy") else []

    told = tapgen(command, "--env", "dev", *yes)

    assert told.status == 1
    assert told.line == (
        "tapgen: environment 'dev' belongs to account 999999999999, but these credentials are of "
        f"{aws_account.account}; choose another profile (AWS_PROFILE), or mend 'account' in "
        "tapgen.toml"
    )
    assert stacks(aws_account) == []


# tapgen.toml and the settings

KINDS = [
    ("[env.dev\n", "tapgen.toml: not valid TOML: "),
    ("[prod]\n", "tapgen.toml: unknown section [prod]; there are [defaults] and [env.NAME]"),
    ("defaults = 3\n", "tapgen.toml, defaults: must be a table, as in [env.dev]"),
    ("env = 3\n", "tapgen.toml, env: must be a table, as in [env.dev]"),
    ("[env]\ndev = 3\n", "tapgen.toml, env.dev: must be a table, as in [env.dev]"),
    (
        "[env.dev]\ndb_instance_clas = 'db.t4g.medium'\n",
        "tapgen.toml, [env.dev] db_instance_clas: no such setting; "
        "did you mean 'db_instance_class'?",
    ),
    (
        "[env.dev]\nconcurrency = '4'\n",
        "tapgen.toml, [env.dev] concurrency: '4' is not accepted; "
        "it takes a whole number from 1 to 32",
    ),
    (
        "[env.dev]\naccount = 123456789012\n",
        "tapgen.toml, [env.dev] account: 123456789012 is not accepted; "
        "it takes an account id of 12 digits in quotes",
    ),
    (
        "[defaults]\ndb_deletion_protection = 'yes'\n",
        "tapgen.toml, [defaults] db_deletion_protection: 'yes' is not accepted; "
        "it takes 'true' or 'false'",
    ),
    (
        "[env.Prod]\n",
        "tapgen.toml, [env.Prod]: environment suffix 'Prod' has upper-case letters; " + FORM,
    ),
]


@pytest.mark.parametrize(("text", "line"), KINDS)
@pytest.mark.parametrize("command", ["status", "envs"])
def test_a_settings_file_that_says_what_cannot_be_is_named_with_place_and_remedy(
    tapgen: CommandLine, command: str, text: str, line: str
) -> None:
    (tapgen.folder / "tapgen.toml").write_text(text)

    told = tapgen(command, *(["--env", "dev"] if command == "status" else []))

    assert told.status == 2
    assert told.line.startswith(f"tapgen: {line}")
    assert (tapgen.folder / "tapgen.toml").read_text() == text


def test_a_bad_setting_stops_a_deploy_before_its_first_stack(
    tapgen: CommandLine, aws_account: Embedded
) -> None:
    (tapgen.folder / "tapgen.toml").write_text("[env.prod]\nconcurrency = 0\n")

    told = tapgen("deploy", "--env", "dev", "--yes")

    assert told.status == 2
    assert told.line == (
        "tapgen: tapgen.toml, [env.prod] concurrency: 0 is not accepted; "
        "it takes a whole number from 1 to 32"
    )
    assert stacks(aws_account) == []


def test_a_file_that_is_not_utf_8_is_named(tapgen: CommandLine) -> None:
    (tapgen.folder / "tapgen.toml").write_bytes(b"[env.dev]\naccount = \xff\n")

    told = tapgen("status", "--env", "dev")

    assert told.status == 1
    assert told.line == (
        "tapgen: cannot read tapgen.toml: it is not UTF-8 text; check the file and its permissions"
    )


def test_a_file_that_is_a_folder_is_named(tapgen: CommandLine) -> None:
    (tapgen.folder / "tapgen.toml").mkdir()

    told = tapgen("status", "--env", "dev")

    assert told.status == 2
    assert told.line == (
        "tapgen: Invalid value for '--config': File 'tapgen.toml' is a directory. "
        "Try 'tapgen status --help'."
    )


@pytest.mark.parametrize("forbidden", ["file", "folder"])
def test_a_file_that_may_not_be_read_is_named(tapgen: CommandLine, forbidden: str) -> None:
    (tapgen.folder / "private").mkdir()
    config = tapgen.folder / "private" / "tapgen.toml"
    config.write_text("[env.dev]\n")
    closed = config if forbidden == "file" else config.parent
    closed.chmod(0)

    told = tapgen.process(
        *("status", "--env", "dev", "--config", "private/tapgen.toml"), before=without_privilege
    )
    closed.chmod(0o700)

    assert told.status == 1
    assert told.line == (
        "tapgen: cannot read private/tapgen.toml: permission denied; "
        "check the file and its permissions"
    )


@pytest.mark.parametrize(
    ("flag", "line"),
    [
        ("flow_logs", "--set flow_logs: is not KEY=VALUE"),
        ("flowlogs=true", "--set flowlogs: no such setting; did you mean 'flow_logs'?"),
        ("flow_logs=1", "--set flow_logs: '1' is not accepted; it takes 'true' or 'false'"),
    ],
)
def test_a_flag_that_sets_nothing_known_is_named(
    tapgen: CommandLine, aws_account: Embedded, flag: str, line: str
) -> None:
    told = tapgen("deploy", "--env", "dev", "--yes", "--set", flag)

    assert told.status == 2
    assert told.line == f"tapgen: {line}"
    assert stacks(aws_account) == []


def test_a_variable_that_sets_nothing_known_is_named(tapgen: CommandLine) -> None:
    told = tapgen("status", "--env", "dev", TAPGEN_FLOWLOGS="true")

    assert told.status == 2
    assert told.line == "tapgen: TAPGEN_FLOWLOGS: no such setting; did you mean 'flow_logs'?"


# Files and disks


def read_only(folder: Path) -> Path:
    made = folder / "closed"
    made.mkdir()
    made.chmod(0o555)
    return made


def small_files() -> None:
    """No file may grow beyond eight kilobytes, as on a disk that is full."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))


def test_a_read_only_folder_gets_no_half_file(offline: CommandLine) -> None:
    closed = read_only(offline.folder)

    told = offline.process("render", "--out", "closed", before=without_privilege)

    assert told.status == 1
    assert told.line == (
        "tapgen: cannot write closed/api.yaml: permission denied; "
        "check its permissions, or choose another folder"
    )
    assert listed(closed) == []


def test_a_read_only_folder_for_packages_is_named(offline: CommandLine) -> None:
    closed = read_only(offline.folder)

    told = offline.process("package", "--out", "closed", before=without_privilege)

    assert told.status == 1
    assert told.line == (
        "tapgen: cannot write closed: Permission denied; "
        "check the folder's permissions, or name another one"
    )
    assert listed(closed) == []


def test_a_read_only_project_cannot_hold_the_embedded_aws(offline: CommandLine) -> None:
    offline.folder.chmod(0o555)

    told = offline.process("status", "--local", "--env", "dev", before=without_privilege)
    offline.folder.chmod(0o755)

    assert told.status == 1
    assert told.line == (
        f"tapgen: the embedded AWS cannot use {offline.folder}/.tapgen/local: Permission denied"
    )
    assert listed(offline.folder) == []


def test_a_file_in_the_way_of_the_output_folder_is_left_alone(offline: CommandLine) -> None:
    (offline.folder / "seen").write_text("mine")

    told = offline("render", "--out", "seen")

    assert told.status == 2
    assert told.line == (
        "tapgen: Invalid value for '--out': Directory 'seen' is a file. Try 'tapgen render --help'."
    )
    assert (offline.folder / "seen").read_text() == "mine"


def test_a_full_disk_keeps_every_file_whole(offline: CommandLine) -> None:
    offline("render", "--out", "seen")
    seen = offline.folder / "seen"
    (seen / "api.yaml").write_text("old: 1\n")
    (seen / "cache.yaml").write_text("old: 2\n")

    told = offline.process("render", "--out", "seen", before=small_files)

    assert told.status == 1
    assert told.line.startswith("tapgen: cannot write seen/api.yaml: file too large; ")
    assert (seen / "api.yaml").read_text() == "old: 1\n"
    assert (seen / "cache.yaml").read_text() == "old: 2\n"
    assert len(files_below(offline.folder)) == 8


def test_no_space_left_says_to_make_room(
    offline: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)

    told = offline("render", "--out", "seen")

    assert told.status == 1
    assert told.line == (
        "tapgen: cannot write seen/api.yaml: no space left on device; "
        "make room on the disk and run it again"
    )
    assert files_below(offline.folder) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_an_output_that_is_full_is_told_on_stderr(offline: CommandLine) -> None:
    offline("render", "--out", "seen")
    with open("/dev/full", "w") as full:
        process = offline.start("render", "--stdout", out=full.fileno())
        told = ended(process)

    assert told.status == 1
    assert told.err == "tapgen: cannot write the output: no space left on device\n"


def test_a_render_that_is_interrupted_leaves_whole_files_only(
    offline: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = os.replace, []

    def interrupted(*names: str) -> None:
        calls.append(names)
        if len(calls) == 3:
            raise KeyboardInterrupt
        real(*names)

    monkeypatch.setattr(os, "replace", interrupted)

    told = offline("render", "--out", "seen")
    monkeypatch.undo()
    again = offline("render", "--out", str(offline.folder / "seen"), "--check")

    assert (told.status, told.out, told.err) == (130, "", "\ntapgen: interrupted\n")
    assert files_below(offline.folder) == ["seen/api.yaml", "seen/cache.yaml"]
    assert again.status == 3
    assert again.err.count("missing") == 6


# Lambda packages


@contextmanager
def silent_index() -> Iterator[tuple[str, threading.Event]]:
    """A package index that takes calls and never answers; the event tells of the first."""
    called = threading.Event()
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(4)
        held: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    held.append(listening.accept()[0])
                except OSError:
                    return
                called.set()

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/simple", called
        listening.shutdown(socket.SHUT_RDWR)
        for sock in held:
            sock.close()


def test_a_dependency_that_cannot_be_had_is_named_and_leaves_no_zip(offline: CommandLine) -> None:
    index = f"http://127.0.0.1:{free_port()}/simple"

    told = offline("package", "--out", "store", PIP_INDEX_URL=index, PIP_RETRIES="0")

    assert told.status == 1
    assert re.fullmatch(
        r"tapgen: video_metadata_api: [a-z0-9-]+==[0-9.]+ cannot be had: the package index cannot "
        r"be reached, or refuses to answer; check the network and pip's index settings, then run "
        r"again",
        told.line,
    )
    assert listed(offline.folder / "store") == [".lock"]


def test_a_deploy_without_its_dependencies_changes_nothing(
    tapgen: CommandLine, aws_account: Embedded
) -> None:
    (tapgen.folder / ".tapgen" / "packages").unlink()
    index = f"http://127.0.0.1:{free_port()}/simple"

    told = tapgen("deploy", "--env", "dev", "--yes", PIP_INDEX_URL=index, PIP_RETRIES="0")

    assert told.status == 1
    assert "the package index cannot be reached" in told.line
    assert stacks(aws_account) == []


def test_debug_shows_what_pip_said(offline: CommandLine) -> None:
    index = f"http://127.0.0.1:{free_port()}/simple"

    line = offline.with_variables(PIP_INDEX_URL=index, PIP_RETRIES="0")
    told = line.process("package", "--out", "store", "--debug")

    assert told.status == 1
    assert "tapgen.package.errors.IndexUnreachable: video_metadata_api: " in told.err
    assert "ERROR: No matching distribution found" in told.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_package_that_is_interrupted_leaves_nothing_half_done(
    offline: CommandLine, number: signal.Signals
) -> None:
    with silent_index() as (index, called):
        process = offline.with_variables(PIP_INDEX_URL=index).start("package", "--out", "store")
        assert called.wait(30)
        process.send_signal(number)
        told = ended(process)

    assert (told.status, told.out, told.err) == (130, "", "\ntapgen: interrupted\n")
    assert listed(offline.folder / "store") == [".lock"]


def test_an_unknown_package_is_refused(offline: CommandLine) -> None:
    told = offline("package", "video_metadata", "--out", "store")

    assert told.status == 2
    assert "holds no package 'video_metadata'" in told.line
    assert listed(offline.folder) == []


# What is not installed, or taken


def test_without_the_emulator_local_names_the_extra(
    offline: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ministack", None)

    told = offline("status", "--local", "--env", "dev")

    assert told.status == 1
    assert told.line == "tapgen: the embedded AWS needs the extra: pip install 'tapgen[local]'"


def test_without_the_linter_validate_names_the_extra(
    offline: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    offline("render", "foundation", "--out", "ours")
    for name in [name for name in sys.modules if name.split(".")[0] == "cfnlint"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cfnlint", None)
    for name in [name for name in sys.modules if name.startswith("tapgen.validate")]:
        monkeypatch.delitem(sys.modules, name)

    told = offline("validate", "ours")

    assert told.status == 1
    assert told.line == (
        "tapgen: validate needs the extra (cfnlint): pip install 'tapgen[validate]'"
    )


def test_a_port_that_is_taken_is_refused(offline: CommandLine) -> None:
    with taken_port() as port:
        told = offline.process("local", "serve", "--aws-only", "--port", str(port))

    assert told.status == 1
    assert told.line == (
        f"tapgen: port {port} on 127.0.0.1 is taken by another program; choose another"
    )


# What AWS refuses


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        (
            {"status": 403, "code": "AccessDenied", "message": "User: x is not authorized"},
            "AccessDenied",
        ),
        ({"status": 400, "code": "Throttling", "message": "Rate exceeded"}, "AWS throttles"),
    ],
)
def test_a_refusal_at_the_start_is_one_line(
    tapgen: CommandLine,
    aws_account: Embedded,
    monkeypatch: pytest.MonkeyPatch,
    fault: dict[str, object],
    line: str,
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    rule = {"service": "cloudformation", "action": "DescribeStacks", "times": 99, **fault}
    set_faults(aws_account, requests=[rule])

    told = tapgen("envs")

    assert told.status == 1
    assert line in told.line
