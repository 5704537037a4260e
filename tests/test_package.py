"""Packaging: real pip on small wheels made here, real files, real signals.

Only the last test needs the network; without it, it is skipped.
"""

from __future__ import annotations

import base64
import errno
import fcntl
import hashlib
import json
import os
import resource
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tapgen import package
from tapgen.package import archive, errors, lock
from tapgen.package.lock import Pin

ROOT = Path(__file__).parents[1]
LOCK = "requirements.lock"
ZEROS = "0" * 64


class Shelf:
    """A folder of wheels that stands for the index."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.pip_args = ("--no-index", f"--find-links={folder}")

    def add(
        self,
        name: str,
        files: Mapping[str, str],
        *,
        version: str = "1.0",
        tag: str = "py3-none-any",
    ) -> str:
        """Put a wheel there and return the line that locks it."""
        info = f"{name}-{version}.dist-info"
        members = {
            **files,
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
            f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
            f"{info}/top_level.txt": f"{name}\n",
            f"{info}/licenses/LICENSE": "Do as you like.\n",
        }
        record = "".join(f"{path},{_record(text)}\n" for path, text in members.items())
        wheel = self.folder / f"{name}-{version}-{tag}.whl"
        with zipfile.ZipFile(wheel, "w") as target:
            for path, text in {**members, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
                target.writestr(zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0)), text)
        return f"{name}=={version} --hash=sha256:{_sha256(wheel)}"


def _record(text: str) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"sha256={digest.rstrip('=')},{len(text.encode())}"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "wheels")


@pytest.fixture
def src(tmp_path: Path) -> Path:
    """A ``lambda_src`` with one package, ``tiny_api``, that needs nothing."""
    folder = tmp_path / "lambda_src"
    write(folder / "tiny_api", {"app/__init__.py": "", "app/main.py": "x = 1\n", LOCK: "# none\n"})
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "state" / "packages"


def write(folder: Path, files: Mapping[str, str]) -> None:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


def members(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as made:
        return made.namelist()


def left_in(out: Path) -> list[str]:
    """What a build left in the output folder beside zips and manifests."""
    return sorted(p.name for p in out.iterdir() if p.suffix not in (".zip", ".json"))


@contextmanager
def a_common_user() -> Iterator[None]:
    """Permissions mean nothing to root; be somebody else for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that another user reaches too; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


# --- what is found


def test_a_package_is_a_folder_with_a_lock(src: Path) -> None:
    write(src / "another_one", {"main.py": "", LOCK: ""})
    write(src / "shared_notes", {"notes.md": ""})
    write(src, {"README.md": ""})

    assert package.discover(src) == ("another_one", "tiny_api")


def test_a_folder_that_was_never_locked_is_not_passed_over_in_silence(src: Path) -> None:
    write(src / "new_api", {"requirements.in": "redis\n"})

    with pytest.raises(errors.MissingLock) as caught:
        package.discover(src)

    assert caught.value.package == "new_api"
    assert str(caught.value).startswith(
        f"{src}/new_api/requirements.lock is missing, so new_api cannot be packed; write it with"
    )


def test_a_folder_whose_name_makes_no_parameter_is_refused(src: Path) -> None:
    write(src / "Tiny-API", {"main.py": "", LOCK: ""})

    with pytest.raises(errors.BadPackageName, match="lower-case words joined by underscores"):
        package.discover(src)
    with pytest.raises(errors.BadPackageName):
        package.inputs_of("../tiny_api", src)


def test_a_missing_lambda_src_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(errors.NoLambdaSources) as caught:
        package.discover(tmp_path / "none")

    assert caught.value.status == 2


def test_a_misspelt_package_names_the_nearest(src: Path, out: Path) -> None:
    with pytest.raises(errors.UnknownPackage) as caught:
        package.build("tiny_apo", src, out)

    assert str(caught.value) == f"{src} holds no package 'tiny_apo'; did you mean 'tiny_api'?"


# --- what the zip holds


def test_the_zip_holds_sources_and_dependencies_and_nothing_of_either_workshop(
    src: Path, out: Path, shelf: Shelf
) -> None:
    pure = shelf.add(
        "pure", {"pure/__init__.py": "p = 1\n", "pure-1.0.data/scripts/run": "#!python"}
    )
    native = shelf.add("native", {"native.so": "\x7fELF"}, tag="cp312-cp312-manylinux_2_28_aarch64")
    write(
        src / "tiny_api",
        {
            LOCK: f"{pure}\n{native}\n",
            "requirements.in": "pure\nnative\n",
            "tests/test_main.py": "",
            "app/__pycache__/main.cpython-312.pyc": "",
            "app/main.py~": "",
            ".env": "PASSWORD=secret",
            "migrations/001_start.sql": "select 1;\n",
        },
    )

    made = package.build("tiny_api", src, out, pip_args=shelf.pip_args)

    assert members(made.path) == [
        "app/__init__.py",
        "app/main.py",
        "migrations/001_start.sql",
        "native-1.0.dist-info/METADATA",
        "native-1.0.dist-info/licenses/LICENSE",
        "native.so",
        "pure-1.0.dist-info/METADATA",
        "pure-1.0.dist-info/licenses/LICENSE",
        "pure/__init__.py",
    ]
    assert (made.rebuilt, made.files, left_in(out)) == (True, 9, [".lock"])


def test_every_entry_is_a_plain_file_of_1980_that_all_may_read(src: Path, out: Path) -> None:
    (src / "tiny_api/app/main.py").chmod(0o700)

    made = package.build("tiny_api", src, out)

    with zipfile.ZipFile(made.path) as opened:
        assert {
            (stat.filemode(e.external_attr >> 16), e.date_time, e.create_system, e.compress_type)
            for e in opened.infolist()
        } == {("-rw-r--r--", (1980, 1, 1, 0, 0, 0), 3, zipfile.ZIP_DEFLATED)}
        assert opened.testzip() is None


def test_key_and_parameter_are_those_of_the_templates(src: Path, out: Path) -> None:
    made = package.build("tiny_api", src, out)

    assert made.key == f"lambda/tiny-api/{made.digest}.zip"
    assert made.parameter == "TinyApiCodeKey"
    assert len(made.digest) == 64


def test_a_known_package_has_known_content_so_a_changed_builder_must_raise_its_format(
    src: Path, out: Path, shelf: Shelf
) -> None:
    write(src / "tiny_api", {LOCK: shelf.add("pure", {"pure/__init__.py": "p = 1\n"})})

    made = package.build("tiny_api", src, out, pip_args=shelf.pip_args)

    # When the second differs and the first does not, raise inputs.FORMAT: zips that were sent
    # under the first would stand for the new content.
    assert made.digest == "86de51339513cbfb905b5e21974cbe041fef79d38f3f5a92ee9823974c790641"
    assert made.content == "2d5f2acc54720288a6d37c34c8ea517f9ac2ae9c0af6fd8dd335728c1675a148"


def test_the_content_digest_is_over_paths_and_hashes_of_files(src: Path, out: Path) -> None:
    made = package.build("tiny_api", src, out)

    files = {"app/__init__.py": b"", "app/main.py": b"x = 1\n"}
    lines = "".join(f"{hashlib.sha256(data).hexdigest()} {path}\n" for path, data in files.items())
    assert made.content == hashlib.sha256(lines.encode()).hexdigest()


def test_a_link_to_an_own_file_is_packed_as_that_file(src: Path, out: Path) -> None:
    (src / "tiny_api/app/alias.py").symlink_to("main.py")

    made = package.build("tiny_api", src, out)

    with zipfile.ZipFile(made.path) as opened:
        assert opened.read("app/alias.py") == b"x = 1\n"


# --- same input, same bytes


SCRIPT = """
import sys
from pathlib import Path
from tapgen import package
made = package.build("tiny_api", Path(sys.argv[1]), Path(sys.argv[2]), pip_args=sys.argv[3:])
print(made.digest, made.content)
"""


def other_python(python: str, *args: object, seed: str = "0", zone: str = "UTC") -> str:
    variables = {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed, "TZ": zone}
    command = [python, "-c", SCRIPT, *map(str, args)]
    done = subprocess.run(
        command, env={**os.environ, **variables}, umask=0o077, text=True, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_bytes_are_the_same_whatever_the_seed_zone_umask_times_and_order(
    tmp_path: Path, src: Path, out: Path, shelf: Shelf
) -> None:
    locked = [shelf.add("one", {"one.py": "1"}), shelf.add("two", {"two.py": "2"})]
    write(src / "tiny_api", {LOCK: "\n".join(locked), "zz.py": "", "aa.py": ""})
    made = package.build("tiny_api", src, out, pip_args=shelf.pip_args)
    # Another order of creation, times of long ago, and a lock laid out otherwise.
    copy = tmp_path / "copy"
    for path in sorted((src / "tiny_api").rglob("*.py"), reverse=True):
        write(copy, {str(path.relative_to(src)): path.read_text()})
        os.utime(copy / path.relative_to(src), (1, 1))
    reordered = "\n\n".join(f"{line}  # via nobody" for line in reversed(locked))
    write(copy / "tiny_api", {LOCK: reordered.replace(" --hash", " \\\n    --hash")})

    said = other_python(
        sys.executable, copy, tmp_path / "out2", *shelf.pip_args, seed="77", zone="Asia/Tokyo"
    )

    assert said == f"{made.digest} {made.content}"
    assert (tmp_path / "out2" / made.path.name).read_bytes() == made.path.read_bytes()


def _python(minor: int) -> str | None:
    """Return a Python 3.``minor`` that starts; pyenv's stand-ins on the path may not."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    installed = map(str, pyenv.glob(f"3.{minor}.*/bin/python"))
    for python in filter(None, [shutil.which(f"python3.{minor}"), *installed]):
        if subprocess.run([python, "-c", ""], capture_output=True).returncode == 0:
            return python
    return None


@pytest.mark.parametrize("minor", [11, 12, 13, 14])
def test_the_bytes_are_the_same_from_other_pythons(
    minor: int, tmp_path: Path, src: Path, out: Path
) -> None:
    python = _python(minor)
    if python is None:
        pytest.skip(f"there is no python3.{minor} to compare with")
    made = package.build("tiny_api", src, out)

    said = other_python(python, src, tmp_path / "out2")

    assert said == f"{made.digest} {made.content}"
    assert (tmp_path / "out2" / made.path.name).read_bytes() == made.path.read_bytes()


# --- rebuilt only when inputs change


def test_an_unchanged_tree_is_not_built_again_and_needs_no_pip(
    src: Path, out: Path, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(src / "tiny_api", {LOCK: shelf.add("pure", {"pure.py": ""})})
    first = package.build("tiny_api", src, out, pip_args=shelf.pip_args)
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")

    again = package.build("tiny_api", src, out)
    write(src / "tiny_api", {"app/main.py": "x = 2\n"})
    changed = package.build("tiny_api", src, out)

    assert (first.rebuilt, again.rebuilt, changed.rebuilt) == (True, False, True)
    assert (again.key, again.content) == (first.key, first.content)
    assert changed.key != first.key
    assert "pure.py" in members(changed.path)


def test_the_key_is_known_without_building(src: Path, out: Path) -> None:
    before = package.inputs_digest("tiny_api", src)

    assert before == package.build("tiny_api", src, out).digest


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("requirements.in", "redis\n"),
        ("tests/test_main.py", "assert True\n"),
        (LOCK, "# another remark\n"),
        (".DS_Store", "x"),
    ],
)
def test_what_is_not_packed_does_not_change_the_key(src: Path, path: str, text: str) -> None:
    before = package.inputs_digest("tiny_api", src)

    write(src / "tiny_api", {path: text})

    assert package.inputs_digest("tiny_api", src) == before


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("app/main.py", "x = 2\n"),
        ("app/new.py", ""),
        (LOCK, f"redis==8.1.0 --hash=sha256:{ZEROS}\n"),
    ],
)
def test_what_is_packed_changes_the_key(src: Path, path: str, text: str) -> None:
    before = package.inputs_digest("tiny_api", src)

    write(src / "tiny_api", {path: text})

    assert package.inputs_digest("tiny_api", src) != before


def _shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _claim_other_inputs(path: Path) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), "inputs": ZEROS}))


def _lose_a_count(path: Path) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), "files": "many"}))


@pytest.mark.parametrize(
    ("suffix", "damage"),
    [
        (".zip", _shorten),
        (".zip", Path.unlink),
        (".json", lambda path: path.write_text("{")),
        (".json", lambda path: path.write_text("[]")),
        (".json", Path.unlink),
        (".json", _claim_other_inputs),
        (".json", _lose_a_count),
    ],
)
def test_a_damaged_zip_or_manifest_is_made_again(
    src: Path, out: Path, suffix: str, damage: Callable[[Path], object]
) -> None:
    whole = package.build("tiny_api", src, out).path.read_bytes()
    damage(next(out.glob(f"tiny_api-*{suffix}")))

    made = package.build("tiny_api", src, out)

    assert made.rebuilt
    assert made.path.read_bytes() == whole
    assert not package.build("tiny_api", src, out).rebuilt


def test_going_back_to_an_earlier_tree_builds_nothing_but_zips_do_not_pile_up(
    src: Path, out: Path
) -> None:
    for number in range(8):
        write(src / "tiny_api", {"app/main.py": f"x = {number}\n"})
        package.build("tiny_api", src, out)
    write(src / "tiny_api", {"app/main.py": "x = 5\n"})

    assert not package.build("tiny_api", src, out).rebuilt
    assert len(list(out.glob("tiny_api-*.zip"))) == 5
    assert len(list(out.glob("tiny_api-*.json"))) == 5


# --- the lock


@pytest.mark.parametrize(
    ("line", "error", "why"),
    [
        ("redis==8.1.0", errors.UnhashedRequirement, "has no hash"),
        ("redis>=8 --hash=sha256:" + ZEROS, errors.BadLock, "is not a pinned version"),
        ("-r other.txt", errors.BadLock, "is not a pinned version"),
        ("--index-url https://example.org/simple", errors.BadLock, "is not a pinned version"),
        ("redis @ https://example.org/redis.whl", errors.BadLock, "is not a pinned version"),
        ("redis==8.1.0 --hash=md5:" + "0" * 32, errors.BadLock, "is not a sha256"),
        ("redis==8.1.0 --hash=sha256:short", errors.BadLock, "is not a sha256"),
        ("redis==8.1.0 --global-option=x", errors.BadLock, "is not a sha256"),
        (
            f"redis==8.1.0 ; python_version < '3.12' --hash=sha256:{ZEROS}",
            errors.BadLock,
            "depends on the machine that installs it",
        ),
        (
            f"a.b==1 --hash=sha256:{ZEROS}\nA_B==2 --hash=sha256:{ZEROS}",
            errors.BadLock,
            "is the second line for one name",
        ),
    ],
)
def test_a_line_that_does_not_say_what_will_be_packed_is_refused(
    src: Path, out: Path, line: str, error: type[errors.BadLock], why: str
) -> None:
    write(src / "tiny_api", {LOCK: f"# the lock\n{line}\n"})

    with pytest.raises(error) as caught:
        package.build("tiny_api", src, out)

    assert caught.value.line == 2 + line.count("\n")
    assert f"{why}" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not out.exists()


def test_a_lock_is_read_as_its_tools_write_it(tmp_path: Path) -> None:
    text = f"""\
        # written by a tool
        Scramp[extra]==1.4.5 \\
            --hash=sha256:{ZEROS} \\
            --hash=sha256:{"1" * 64}
            # via pg8000
        pg8000==1.31.6 --hash=sha512:{"2" * 128}  # direct
        six==1.17.0 \\
            --hash=sha256:{ZEROS} \\"""
    (tmp_path / LOCK).write_text(textwrap.dedent(text))

    assert lock.read("tiny_api", tmp_path / LOCK) == (
        Pin("pg8000", "1.31.6", ("sha512:" + "2" * 128,)),
        Pin("scramp", "1.4.5", ("sha256:" + ZEROS, "sha256:" + "1" * 64)),
        Pin("six", "1.17.0", ("sha256:" + ZEROS,)),
    )


def test_a_missing_lock_says_how_to_write_one(src: Path, out: Path) -> None:
    (src / "tiny_api" / LOCK).unlink()

    with pytest.raises(errors.MissingLock, match="uv pip compile --generate-hashes"):
        package.build("tiny_api", src, out)


def test_a_lock_that_is_not_text_is_refused(src: Path) -> None:
    (src / "tiny_api" / LOCK).write_bytes(b"\xff\xfe")

    with pytest.raises(errors.BadSource, match=r"requirements.lock cannot be read: not UTF-8"):
        package.inputs_digest("tiny_api", src)


# --- the sources


def _outside(folder: Path) -> None:
    (folder / "app/leak.py").symlink_to("/etc/passwd")


def _nowhere(folder: Path) -> None:
    (folder / "app/lost.py").symlink_to("gone.py")


def _to_itself(folder: Path) -> None:
    (folder / "app/loop").symlink_to("..")


def _pipe(folder: Path) -> None:
    os.mkfifo(folder / "app/pipe")


def _unprintable(folder: Path) -> None:
    (folder / "app/a\nb.py").write_text("")


def _empty(folder: Path) -> None:
    shutil.rmtree(folder / "app")


@pytest.mark.parametrize(
    ("spoil", "where", "why"),
    [
        (_outside, "app/leak.py", "is a link to /etc/passwd, outside the package"),
        (_nowhere, "app/lost.py", "which is not a file"),
        (_to_itself, "app/loop", "which is not a file"),
        (_pipe, "app/pipe", "is neither a file nor a folder"),
        (_unprintable, "app/a\nb.py", "has a name that does not print"),
        (_empty, "", "holds no file to pack"),
    ],
)
def test_a_source_that_cannot_be_packed_is_named(
    src: Path, out: Path, spoil: Callable[[Path], None], where: str, why: str
) -> None:
    spoil(src / "tiny_api")

    with pytest.raises(errors.BadSource) as caught:
        package.build("tiny_api", src, out)

    assert caught.value.path == src / "tiny_api" / where
    assert why in caught.value.why
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("what", ["app", "app/main.py"])
def test_a_source_without_permission_is_named(open_folder: Path, what: str) -> None:
    write(open_folder / "tiny_api", {"app/main.py": "", LOCK: ""})
    (open_folder / "tiny_api" / what).chmod(0)

    with a_common_user(), pytest.raises(errors.BadSource) as caught:
        package.inputs_digest("tiny_api", open_folder)

    (open_folder / "tiny_api" / what).chmod(0o755)
    assert caught.value.path == open_folder / "tiny_api" / what
    assert "Permission denied; check its permissions" in str(caught.value)


@pytest.mark.parametrize(
    ("meddle", "why"),
    [
        (lambda path: path.write_text("x = 'other'\n"), "changed while it was packed; run again"),
        (Path.unlink, "cannot be read: No such file or directory"),
    ],
)
def test_a_source_that_changes_while_it_is_packed_is_noticed(
    src: Path,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    meddle: Callable[[Path], object],
    why: str,
) -> None:
    # The moment between digest and zip, made certain: the lock for the output folder is taken then.
    taken = fcntl.flock

    def meddle_and_take(lock_file: int, operation: int) -> None:
        meddle(src / "tiny_api/app/main.py")
        taken(lock_file, operation)

    monkeypatch.setattr(fcntl, "flock", meddle_and_take)

    with pytest.raises(errors.BadSource, match=rf"main.py {why}"):
        package.build("tiny_api", src, out)

    assert left_in(out) == [".lock"]
    assert not list(out.glob("tiny_api*"))


def test_an_own_module_that_a_dependency_would_hide_is_refused(
    src: Path, out: Path, shelf: Shelf
) -> None:
    write(
        src / "tiny_api",
        {LOCK: shelf.add("pure", {"pure/__init__.py": ""}), "pure.py": "mine = 1\n"},
    )

    with pytest.raises(errors.BadSource, match=r"pure.py has the name of a module"):
        package.build("tiny_api", src, out, pip_args=shelf.pip_args)


def test_more_than_lambda_unpacks_is_refused_with_the_largest_parts(src: Path, out: Path) -> None:
    with (src / "tiny_api/video.mp4").open("wb") as video:
        video.truncate(250 * 1024 * 1024)

    with pytest.raises(errors.TooLarge) as caught:
        package.build("tiny_api", src, out)

    assert str(caught.value) == (
        "tiny_api is 262144006 bytes unzipped and Lambda takes at most 262144000; the largest "
        "parts are video.mp4 (262144000 bytes), app (6 bytes): leave one out"
    )


# --- dependencies that cannot be had


def failure(src: Path, out: Path, line: str, *pip_args: str) -> errors.DependencyError:
    """Build with one locked requirement; give the error, having seen that nothing was left."""
    write(src / "tiny_api", {LOCK: line})
    with pytest.raises(errors.DependencyError) as caught:
        package.build("tiny_api", src, out, pip_args=pip_args)
    assert left_in(out) == [".lock"]
    assert not list(out.glob("*.zip"))
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_dependency_that_is_not_what_was_locked_is_not_installed(
    src: Path, out: Path, shelf: Shelf
) -> None:
    real = shelf.add("pure", {"pure.py": ""}).split(":")[1]

    error = failure(src, out, f"Pure==1.0 --hash=sha256:{ZEROS}", *shelf.pip_args)

    assert isinstance(error, errors.HashMismatch)
    assert (error.requirement, error.expected, error.got) == ("pure==1.0", (ZEROS,), real)
    assert str(error) == (
        f"tiny_api: pure==1.0 has the hash {real[:12]}…, which the lock does not list; do not "
        "install it: find out whether the index or the lock is wrong, then lock again"
    )
    assert "DO NOT MATCH THE HASHES" in error.details


def test_a_version_that_is_not_there_is_named_with_what_is(
    src: Path, out: Path, shelf: Shelf
) -> None:
    shelf.add("pure", {"pure.py": ""})

    error = failure(src, out, f"pure==2.0 --hash=sha256:{ZEROS}", *shelf.pip_args)

    assert isinstance(error, errors.NoSuchDependency)
    assert error.offered == ("1.0",)
    assert str(error) == (
        "tiny_api: pure==2.0 is not on the index as a wheel for Python 3.12 on aarch64 "
        "(those on offer end with 1.0); lock another version"
    )


def test_a_wheel_for_another_machine_does_not_do(src: Path, out: Path, shelf: Shelf) -> None:
    line = shelf.add("native", {"native.so": ""}, tag="cp312-cp312-manylinux2014_x86_64")

    error = failure(src, out, line, *shelf.pip_args)

    assert isinstance(error, errors.NoSuchDependency)
    assert error.offered == ()


def test_a_dependency_with_only_a_source_archive_is_not_built_here(
    src: Path, out: Path, shelf: Shelf
) -> None:
    (shelf.folder / "old_style-1.0.tar.gz").write_bytes(b"never opened")

    error = failure(src, out, f"old-style==1.0 --hash=sha256:{ZEROS}", *shelf.pip_args)

    assert isinstance(error, errors.OnlySource)
    assert error.requirement == "old-style==1.0"
    assert "as a source archive only, with no wheel for Python 3.12 on aarch64" in str(error)


def test_an_index_that_does_not_answer_is_told_from_a_missing_version(src: Path, out: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    error = failure(
        src,
        out,
        f"pure==1.0 --hash=sha256:{ZEROS}",
        f"--index-url=http://127.0.0.1:{port}/simple",
        "--retries=0",
    )

    assert isinstance(error, errors.IndexUnreachable)
    assert str(error).startswith("tiny_api: pure==1.0 cannot be had: the package index cannot be")


def test_a_failure_of_another_kind_keeps_what_pip_said(src: Path, out: Path, shelf: Shelf) -> None:
    (shelf.folder / "pure-1.0-py3-none-any.whl").write_bytes(b"not a zip")
    digest = hashlib.sha256(b"not a zip").hexdigest()

    error = failure(src, out, f"pure==1.0 --hash=sha256:{digest}", *shelf.pip_args)

    assert type(error) is errors.DependencyError
    assert str(error).endswith("cannot be installed: pip failed; see what it said with --debug")
    assert "is invalid" in error.details


def test_a_python_without_pip_says_how_to_get_it(
    tmp_path: Path, src: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    monkeypatch.setattr(sys, "executable", str(bare / "bin/python"))

    error = failure(src, out, f"pure==1.0 --hash=sha256:{ZEROS}")

    assert isinstance(error, errors.NoPip)
    assert f"{bare}/bin/python -m ensurepip" in str(error)


def test_settings_of_pip_reach_the_index_but_not_the_content(
    tmp_path: Path, src: Path, out: Path, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each of these four would make pip refuse, or do something else than told.
    monkeypatch.setenv("PIP_USER", "1")
    monkeypatch.setenv("PIP_PREFIX", str(tmp_path))
    monkeypatch.setenv("PIP_CONSTRAINT", str(tmp_path / "none.txt"))
    monkeypatch.setenv("PIP_NO_BINARY", ":all:")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf.folder))
    # A pip.py where one stands is not pip.
    (tmp_path / "pip.py").write_text("raise SystemExit('not pip')")
    monkeypatch.chdir(tmp_path)
    write(src / "tiny_api", {LOCK: shelf.add("pure", {"pure.py": ""})})

    assert "pure.py" in members(package.build("tiny_api", src, out).path)


# --- what stops a build half-way


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_the_old_zip_and_nothing_else(
    src: Path, out: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    old = package.build("tiny_api", src, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    write(src / "tiny_api", {"app/main.py": "x = 2\n"})

    def full(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(errors.DiskFull) as caught:
        package.build("tiny_api", src, out)

    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert zipfile.ZipFile(old.path).testzip() is None
    assert str(caught.value) == (
        f"cannot write {out}: {os.strerror(number)}; "
        "make room and run again; what was there before is untouched"
    )


def test_a_write_cut_short_by_the_system_leaves_nothing(src: Path, out: Path) -> None:
    (src / "tiny_api/noise.bin").write_bytes(os.urandom(300_000))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(errors.DiskFull):
            package.build("tiny_api", src, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert left_in(out) == [".lock"]
    assert not list(out.glob("tiny_api*"))


def test_a_full_disk_that_pip_meets_is_told_as_one(
    tmp_path: Path, src: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A stand-in for pip's process: a disk cannot be filled for it alone.
    twin = tmp_path / "python"
    twin.write_text("#!/bin/sh\necho 'ERROR: [Errno 28] No space left on device'\nexit 2\n")
    twin.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(twin))
    write(src / "tiny_api", {LOCK: f"pure==1.0 --hash=sha256:{ZEROS}"})

    with pytest.raises(errors.DiskFull, match="make room and run again"):
        package.build("tiny_api", src, out)


def test_an_output_folder_that_takes_no_files_is_named(open_folder: Path) -> None:
    write(open_folder / "src/tiny_api", {"main.py": "", LOCK: ""})
    out = open_folder / "packages"
    out.mkdir(mode=0o555)

    with a_common_user(), pytest.raises(errors.CannotWrite) as caught:
        package.build("tiny_api", open_folder / "src", out)

    assert str(caught.value) == (
        f"cannot write {out}: Permission denied; "
        "check the folder's permissions, or name another one"
    )


def test_a_zip_that_is_there_is_used_from_a_read_only_folder(open_folder: Path) -> None:
    write(open_folder / "src/tiny_api", {"main.py": "", LOCK: ""})
    out = open_folder / "packages"
    package.build("tiny_api", open_folder / "src", out)
    out.chmod(0o555)

    with a_common_user():
        again = package.build("tiny_api", open_folder / "src", out)

    out.chmod(0o755)
    assert not again.rebuilt


def test_an_output_path_through_a_file_is_named(src: Path, tmp_path: Path) -> None:
    write(tmp_path, {"file": ""})

    with pytest.raises(errors.CannotWrite, match="Not a directory"):
        package.build("tiny_api", src, tmp_path / "file" / "packages")


@pytest.fixture
def hung_index() -> Iterator[tuple[str, threading.Event]]:
    """An index that takes a connection and never answers; the event tells that one has come."""
    asked, held = threading.Event(), list[socket.socket]()
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                held.append(server.accept()[0])
                asked.set()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"--index-url=http://127.0.0.1:{server.getsockname()[1]}/simple", asked
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join(5)
    for connection in held:
        connection.close()


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_a_build_ended_by_a_signal_harms_nothing(
    tmp_path: Path,
    src: Path,
    out: Path,
    hung_index: tuple[str, threading.Event],
    number: signal.Signals,
    status: int,
) -> None:
    address, asked = hung_index
    package.build("tiny_api", src, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    write(src / "tiny_api", {LOCK: f"pure==1.0 --hash=sha256:{ZEROS}"})
    command = [sys.executable, "-c", SCRIPT, str(src), str(out), address]
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    # A session of its own, so that pip, its child, can be ended with it below.
    child = subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        assert asked.wait(20)
        child.send_signal(number)
        assert child.wait(20) == status
        if number is signal.SIGKILL:
            assert [name[:6] for name in left_in(out)] == [".lock", ".work-"]
            # The next build is not kept waiting, and clears up.
            write(src / "tiny_api", {"app/main.py": "x = 2\n", LOCK: ""})
            package.build("tiny_api", src, out)
            assert left_in(out) == [".lock"]
        else:
            assert {path.name: path.read_bytes() for path in out.iterdir()} == before
        assert list(temporary.iterdir()) == []
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def test_the_handler_of_a_program_that_has_one_is_kept(src: Path, out: Path) -> None:
    mine = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        package.build("tiny_api", src, out)

        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, mine)


def test_builds_at_the_same_time_make_one_zip(src: Path, out: Path, shelf: Shelf) -> None:
    write(src / "tiny_api", {LOCK: shelf.add("pure", {"pure.py": ""})})
    with ThreadPoolExecutor(4) as pool:
        made = list(
            pool.map(
                lambda _: package.build("tiny_api", src, out, pip_args=shelf.pip_args), range(4)
            )
        )

    assert sorted(one.rebuilt for one in made) == [False, False, False, True]
    assert len({(one.path, one.digest, one.content, one.size) for one in made}) == 1
    assert left_in(out) == [".lock"]


def test_builds_of_two_processes_wait_for_each_other(src: Path, out: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(src), str(out)]
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    children = [
        subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]

    said = {child.communicate(timeout=30)[0] for child in children}

    assert [child.returncode for child in children] == [0, 0, 0]
    assert len(said) == 1
    assert left_in(out) == [".lock"]


# --- what is shown


def test_the_listing_says_what_was_built(src: Path, out: Path) -> None:
    write(src / "second", {"main.py": "y = 1\n", LOCK: ""})
    built = package.build("tiny_api", src, out)
    package.build("second", src, out)
    unchanged = package.build("second", src, out)

    lines = package.listing([built, unchanged]).splitlines()

    assert lines == [
        f"tiny_api  2 files  0.0 MB (0.0 unzipped)  {built.key}  built",
        f"second    1 files  0.0 MB (0.0 unzipped)  {unchanged.key}    unchanged",
    ]
    assert package.listing([]) == ""


def test_the_inputs_can_be_read_by_a_person(src: Path) -> None:
    write(src / "tiny_api", {LOCK: f"redis==8.1.0 --hash=sha256:{ZEROS}"})
    inputs = package.inputs_of("tiny_api", src)

    assert package.describe_inputs(inputs).splitlines() == [
        f"tiny_api: lambda/tiny-api/{inputs.digest}.zip",
        "  app/__init__.py  0 bytes",
        "  app/main.py  6 bytes",
        "  redis==8.1.0",
    ]


def test_importing_the_module_takes_nothing_but_the_standard_library() -> None:
    code = (
        "import sys; before = set(sys.modules); import tapgen.package; "
        "print(*sorted({m.partition('.')[0] for m in set(sys.modules) - before} "
        "- set(sys.stdlib_module_names)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == ["tapgen"]


# --- the real thing

PACKAGES = sorted(path.parent.name for path in (ROOT / "lambda_src").glob(f"*/{LOCK}"))


@pytest.mark.parametrize("name", PACKAGES)
def test_each_package_of_the_project_is_built_from_the_index_and_runs_anywhere(
    name: str, out: Path
) -> None:
    started = time.monotonic()
    try:
        made = package.build(name, ROOT / "lambda_src", out, pip_args=("--retries=0",))
    except errors.IndexUnreachable as error:
        pytest.skip(f"needs the package index, which is out of reach: {error.requirement}")

    assert time.monotonic() - started < 300
    assert archive.load(made.path, made.digest) is not None
    assert made.key == f"lambda/{name.replace('_', '-')}/{made.digest}.zip"
    # Pure Python: the bytes that are tested on any machine are those that run on the target.
    assert [path for path in members(made.path) if path.endswith((".so", ".pyc"))] == []
    # A tenth of what Lambda takes; more would be felt at each cold start.
    assert made.unzipped < 25_000_000
