"""Who is talked to, and what a scanner says of the code; roles, logs and locks have their own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
from api_faults import babbler
from api_parts import SOURCE, Api
from test_api_operation import lock

from tapgen.local.data_tls import Authority

Settings = Callable[..., None]


def bandit(folder: Path) -> dict[str, Any]:
    """What bandit reports of everything in a folder, however slight."""
    done = subprocess.run(
        [sys.executable, "-m", "bandit", "-q", "-r", "-f", "json", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_bandit_finds_nothing_and_is_told_to_overlook_nothing() -> None:
    found = bandit(SOURCE / "video_api")

    assert [(each["test_id"], each["filename"]) for each in found["results"]] == []
    assert found["errors"] == []
    read = {Path(name).name for name in found["metrics"]} - {"_totals"}
    assert read == {path.name for path in (SOURCE / "video_api").glob("*.py")}
    totals = found["metrics"]["_totals"]
    assert (totals["nosec"], totals["skipped_tests"]) == (0, 0)


def test_bandit_would_find_a_statement_made_of_what_was_sent(tmp_path: Path) -> None:
    (tmp_path / "planted.py").write_text(
        "def one(connection, sent):\n"
        "    return connection.run(f\"SELECT * FROM videos WHERE id = '{sent}'\")\n"
    )

    assert [each["test_id"] for each in bandit(tmp_path)["results"]] == ["B608"]


@pytest.mark.parametrize("name", sorted(lock()))
def test_what_is_brought_along_is_pure_python(name: str) -> None:
    found = distribution(name)

    assert "Root-Is-Purelib: true" in (found.read_text("WHEEL") or "")
    assert "-none-any" in (found.read_text("WHEEL") or "")
    endings = {file.suffix for file in found.files or ()}
    assert ".py" in endings
    assert not endings & {".so", ".pyd", ".dylib"}


@pytest.mark.parametrize(
    ("host", "answers"),
    # The second is the same address; the certificates are for 127.0.0.1 and localhost.
    [("localhost", "ok"), ("127.1", "unavailable")],
)
def test_a_certificate_must_be_of_the_host_that_was_asked_for(
    api: Api, settings: Settings, host: str, answers: str
) -> None:
    settings(DB_HOST=host, REDIS_PRIMARY_HOST=host, REDIS_READER_HOST=host)

    assert api.get("/health").json["checks"] == {"database": answers, "cache": answers}


def test_a_server_that_is_not_trusted_hears_no_user_and_no_password(
    api: Api, settings: Settings, folder: Path
) -> None:
    issued = Authority(folder / "stranger-tls").issue("server")
    key = (issued.certificate, issued.key, b"\x00")
    with babbler(*key, postgres=True) as database, babbler(*key, postgres=False) as cache:
        settings(DB_PORT=str(database.port), REDIS_PORT=str(cache.port))

        answer = api.get("/health")

        assert answer.json["checks"] == {"database": "unavailable", "cache": "unavailable"}
        assert database.connections > 0
        assert cache.connections > 0
        assert (database.heard, cache.heard) == (b"", b"")
