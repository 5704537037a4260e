"""Leases on the embedded AWS, with real processes: who starts it, who ends it, what outlives it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from local_aws import client, delete, deploy, one, pass_coverage_on, set_faults, start, status

from tapgen.local import errors, lease
from tapgen.local.lease import Embedded

PROJECT = Path(__file__).resolve().parents[2]
TOPIC = one("AWS::SNS::Topic", TopicName="news")


@pytest.fixture(autouse=True)
def _measured() -> None:
    pass_coverage_on()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "local"


def server_pid(home: Path) -> int:
    return int(json.loads((home / "server.json").read_text())["pid"])


def is_alive(pid: int) -> bool:
    """Whether there is such a process, a zombie included."""
    return Path(f"/proc/{pid}").exists()


def wait_until_gone(pid: int, seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not is_alive(pid)


def wait_until_silent(port: int, seconds: float = 5.0) -> bool:
    """Whether nobody listens on the port any more, soon."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            return True
        time.sleep(0.01)
    return False


def topics(aws: Embedded) -> list[str]:
    found = client(aws, "sns").list_topics()["Topics"]
    return [topic["TopicArn"].rpartition(":")[2] for topic in found]


@contextmanager
def command(home: Path, code: str) -> Iterator[subprocess.Popen[str]]:
    """Another tapgen process, which runs ``code`` with ``home`` and ``lease`` at hand."""
    prelude = "import sys, time\nfrom pathlib import Path\nfrom tapgen.local import lease\n"
    program = prelude + f"home = Path({str(home)!r})\n" + textwrap.dedent(code)
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


HOLD = """
with lease.lease(home) as aws:
    print(aws.url, flush=True)
    sys.stdin.readline()
"""


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_the_server_lives_from_the_first_lease_to_the_last(home: Path) -> None:
    with lease.lease(home):
        pid = server_pid(home)
        with lease.lease(home):
            second = server_pid(home)
        after_one = is_alive(pid)

    assert second == pid
    assert after_one
    assert wait_until_gone(pid)
    assert not (home / "server.json").exists()


def test_two_first_commands_at_once_share_one_server(home: Path) -> None:
    with command(home, HOLD) as one_, command(home, HOLD) as two, command(home, HOLD) as three:
        urls = {said(one_), said(two), said(three)}
        pid = server_pid(home)
        for process in (one_, two, three):
            process.communicate("\n", timeout=20)

    assert len(urls) == 1
    assert wait_until_gone(pid)


def test_a_killed_command_gives_its_lease_back(home: Path) -> None:
    with command(home, HOLD) as holder:
        said(holder)
        server = json.loads((home / "server.json").read_text())
        holder.kill()
        ended = wait_until_silent(server["port"])

    assert ended


def test_a_command_that_comes_while_the_last_one_leaves_is_served(home: Path) -> None:
    served = []

    def come_and_go() -> None:
        for _ in range(2):
            with (
                lease.lease(home) as aws,
                socket.create_connection(("127.0.0.1", int(aws.url.rpartition(":")[2]))),
            ):
                served.append(aws.url)

    comers = [threading.Thread(target=come_and_go) for _ in range(2)]
    for comer in comers:
        comer.start()
    for comer in comers:
        comer.join()

    assert len(served) == 4


def test_what_was_deployed_is_there_for_the_next_command(home: Path) -> None:
    with lease.lease(home) as aws:
        deploy(aws, "notices", TOPIC)

    with lease.lease(home) as again:
        assert status(again, "notices") == "CREATE_COMPLETE"
        assert topics(again) == ["news"]


def test_a_deployed_stack_survives_the_servers_sudden_death(home: Path) -> None:
    with lease.lease(home) as aws:
        deploy(aws, "notices", TOPIC)
        saved = time.monotonic() + 5
        while not (home / "state" / "state.json").exists() and time.monotonic() < saved:
            time.sleep(0.01)
        pid = server_pid(home)
        os.kill(pid, signal.SIGKILL)
        wait_until_gone(pid)

    # Its address is still written down; nobody answers there.
    assert (home / "server.json").exists()
    with lease.lease(home) as again:
        assert status(again, "notices") == "CREATE_COMPLETE"
        assert topics(again) == ["news"]


def test_a_stack_cut_off_in_its_creation_can_be_deleted(home: Path) -> None:
    with lease.lease(home) as aws:
        set_faults(aws, resources=[{"op": "create", "delay": 30}])
        start(aws, "notices", TOPIC)
        client(aws, "sns").create_topic(Name="another")
        path, deadline = home / "state" / "state.json", time.monotonic() + 5
        while not path.exists() or "another" not in path.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        pid = server_pid(home)
        os.kill(pid, signal.SIGKILL)
        wait_until_gone(pid)

    with lease.lease(home) as again:
        assert status(again, "notices") == "CREATE_FAILED"
        delete(again, "notices")
        assert status(again, "notices") == ""


def test_a_file_that_leads_to_a_stranger_is_not_believed(home: Path) -> None:
    home.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        address = {"port": port, "lease_port": port, "secret": "x", "pid": 1}
        (home / "server.json").write_text(json.dumps(address))
        threading.Thread(target=lambda: stranger.accept()[0].close(), daemon=True).start()

        with lease.lease(home) as aws:
            assert aws.url != f"http://127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "it is damaged"),
        ("nonsense", "it is damaged"),
        (
            '{"format": 1, "ministack": "1.5.33", "services": 2}\n'
            '{"service": "sns", "payload": {}}\n',
            "1 of 2 services are there",
        ),
        (
            '{"format": 1, "ministack": "9.9.9", "services": 0}\n',
            "written by format 1 with ministack 9.9.9, not by format 1 with ministack 1.5.33",
        ),
    ],
    ids=["empty", "no JSON", "cut short", "another version"],
)
def test_a_state_that_cannot_be_read_names_the_reset(home: Path, content: str, reason: str) -> None:
    (home / "state").mkdir(parents=True)
    path = home / "state" / "state.json"
    path.write_text(content)

    with pytest.raises(errors.StateUnreadable) as caught, lease.lease(home):
        pass

    assert str(caught.value) == (
        f"the state of the embedded AWS cannot be read: {path}: {reason}; "
        f"start afresh with `tapgen local reset`"
    )


def test_a_reset_forgets_everything_and_only_when_nobody_looks(home: Path) -> None:
    with lease.lease(home) as aws:
        deploy(aws, "notices", TOPIC)
        client(aws, "s3").create_bucket(
            Bucket="a-bucket", CreateBucketConfiguration={"LocationConstraint": aws.region}
        )
        client(aws, "s3").put_object(Bucket="a-bucket", Key="a/b", Body=b"x")
        with pytest.raises(errors.InUse) as caught:
            lease.reset(home)
    lease.reset(home)

    assert str(caught.value) == (
        f"the embedded AWS of {home} is in use by another tapgen command; "
        f"end that first, then reset again"
    )
    assert sorted(path.name for path in home.iterdir()) == ["lock", "server.lock"]
    with lease.lease(home) as again:
        assert status(again, "notices") == ""


def test_a_port_that_another_program_has_is_refused(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(errors.PortTaken) as caught, lease.lease(home, port=port):
            pass

    assert str(caught.value) == (
        f"port {port} on 127.0.0.1 is taken by another program; choose another"
    )


def test_a_second_command_cannot_have_another_port(running: Path) -> None:
    with lease.lease(running) as aws:
        port = int(aws.url.rpartition(":")[2])
        with lease.lease(running, port=port) as same:
            assert same == aws
        with pytest.raises(errors.RunsElsewhere) as caught, lease.lease(running, port=port + 1):
            pass

    assert (caught.value.port, caught.value.wanted) == (port, port + 1)


def test_the_port_and_the_keys_are_those_of_last_time(home: Path) -> None:
    with lease.lease(home) as aws:
        pass
    with lease.lease(home) as again:
        pass

    assert again == aws


def test_serving_ends_with_the_interrupt_and_leaves_nothing_running(home: Path) -> None:
    code = "lease.serve(home, None, lambda aws: print(aws.url, flush=True))\nprint('ended')"
    with command(home, code) as server:
        url = said(server)
        server.send_signal(signal.SIGINT)
        output, _ = server.communicate(timeout=10)

    assert (server.returncode, output.strip()) == (0, "ended")
    assert wait_until_silent(int(url.rpartition(":")[2]))


def test_serving_tells_when_the_server_went_away(home: Path) -> None:
    def end_it(aws: Embedded) -> None:
        os.kill(server_pid(home), signal.SIGKILL)

    with pytest.raises(errors.Gone) as caught:
        lease.serve(home, None, end_it)

    log = home / "server.log"
    assert str(caught.value) == f"the embedded AWS ended unexpectedly; see {log}"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a server that was started by a user with secrets."""
    folder = tmp_path_factory.mktemp("running") / "local"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SECRET_CANARY", "sings")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "the real one")
        with lease.lease(folder):
            yield folder


def test_the_server_sees_nothing_of_the_users_environment(running: Path) -> None:
    raw = Path(f"/proc/{server_pid(running)}/environ").read_bytes()
    seen = dict(line.split("=", 1) for line in raw.decode().split("\0") if line)

    assert "SECRET_CANARY" not in seen
    assert "AWS_SECRET_ACCESS_KEY" not in seen
    assert seen["HOME"] == str(running / "home")
    assert seen["TMPDIR"] == str(running / "tmp")


def test_the_server_listens_on_loopback_only(running: Path) -> None:
    listening = listening_addresses(server_pid(running))

    assert len(listening) == 2
    assert {address.rpartition(":")[0] for address in listening} == {"0100007F"}


def listening_addresses(pid: int) -> list[str]:
    """The addresses, in the kernel's notation, on which a process accepts connections."""
    sockets = set()
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(handle)
        except OSError:
            continue
        if target.startswith("socket:["):
            sockets.add(target.removeprefix("socket:[").removesuffix("]"))
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in sockets:
                found.append(fields[1])
    return found


def test_only_who_knows_the_secret_gets_a_lease(running: Path) -> None:
    port = json.loads((running / "server.json").read_text())["lease_port"]
    with socket.create_connection(("127.0.0.1", port)) as stranger:
        stranger.sendall(b"guess\n")
        answer = stranger.recv(3)
    mode = (running / "server.json").stat().st_mode & 0o777

    assert answer == b""
    assert mode == 0o600


def test_nothing_is_written_outside_the_folder(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))

    with lease.lease(home) as aws:
        deploy(aws, "notices", TOPIC)

    assert list(temporary.iterdir()) == []
    assert list((home / "tmp").iterdir()) == []


def test_the_processes_of_functions_end_with_the_server(home: Path) -> None:
    function = one(
        "AWS::Lambda::Function",
        FunctionName="warm",
        Runtime="python3.12",
        Handler="index.handler",
        Role="arn:aws:iam::000000000000:role/any",
        Code={"ZipFile": "import os\ndef handler(event, context): return os.getpid()"},
    )
    with lease.lease(home) as aws:
        deploy(aws, "app", function)
        answer = client(aws, "lambda").invoke(FunctionName="warm", Payload=b"{}")
        worker = int(answer["Payload"].read())
        was_alive = is_alive(worker)

    assert was_alive
    assert wait_until_gone(worker)
    assert list((home / "tmp").iterdir()) == []


def test_another_version_of_the_emulator_is_refused(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom tapgen.local import reach, server\nreach.PINNED = '0.0.1'\n"
        "sys.exit(server.main(sys.argv[1:]))"
    )
    (tmp_path / "state").mkdir()
    reading, writing = os.pipe()
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), str(writing)],
        cwd=PROJECT,
        pass_fds=(writing,),
        check=False,
    )
    os.close(writing)
    with os.fdopen(reading) as pipe:
        told = json.loads(pipe.read())

    assert ended.returncode == 1
    assert told == {"refused": "version", "facts": {"wanted": "0.0.1", "found": "1.5.33"}}
    assert str(errors.WrongMinistack(**told["facts"])) == (
        "the embedded AWS needs ministack 0.0.1, but 1.5.33 is installed: "
        "pip install 'tapgen[local]'"
    )


def test_without_the_extra_the_error_says_what_to_install(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(errors.MinistackMissing) as caught, lease.lease(home):
        pass

    assert str(caught.value) == "the embedded AWS needs the extra: pip install 'tapgen[local]'"


def test_a_server_that_fails_says_why_and_where_to_look(home: Path) -> None:
    (home / "state" / "address.json.new").mkdir(parents=True)
    (home / "state" / "address.json").mkdir()

    with pytest.raises(errors.NotStarted) as caught, lease.lease(home):
        pass

    assert caught.value.reason.startswith("IsADirectoryError")
    assert caught.value.log == home / "server.log"


def test_a_terminated_server_saves_first(home: Path) -> None:
    with lease.lease(home) as aws:
        client(aws, "sns").create_topic(Name="late")
        pid = server_pid(home)
        os.kill(pid, signal.SIGTERM)
        assert wait_until_gone(pid)

    with lease.lease(home) as again:
        assert topics(again) == ["late"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(errors.HomeUnusable) as caught, lease.lease(tmp_path / "file" / "local"):
        pass

    assert caught.value.home == tmp_path / "file" / "local"


def test_the_commands_side_loads_nothing_but_the_standard_library() -> None:
    code = (
        "import sys\nbefore = set(sys.modules)\nimport tapgen.local.lease\n"
        "print(sorted({name.partition('.')[0] for name in set(sys.modules) - before}"
        " - set(sys.stdlib_module_names)))"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    ).stdout

    assert output == "['tapgen']\n"
