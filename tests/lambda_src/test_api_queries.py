"""Every query is read off an index, on tables of a size at which the planner has a choice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pg8000.native
import pytest
from api_parts import Api, video

ROWS = 20_000


@pytest.fixture(scope="module")
def filled(owner: pg8000.native.Connection) -> Iterator[None]:
    owner.run("TRUNCATE video_metadata, idempotency_keys")
    owner.run(
        "INSERT INTO video_metadata (id, title, source_uri, status, created_at)"
        " SELECT gen_random_uuid(), 'title ' || n, 's3://bucket/' || n,"
        " (ARRAY['pending','processing','completed','failed'])[1 + (n % 100) / 34],"
        " now() - make_interval(secs => n)"
        f" FROM generate_series(1, {ROWS}) n"
    )
    owner.run(
        "INSERT INTO idempotency_keys SELECT 'key/' || n, repeat('0', 64), '{}', now()"
        f" FROM generate_series(1, {ROWS}) n"
    )
    owner.run("ANALYZE video_metadata, idempotency_keys")
    yield
    owner.run("TRUNCATE video_metadata, idempotency_keys")


@pytest.fixture
def explained(
    api: Api, filled: None, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, dict[str, Any]], dict[str, Any]]:
    """PostgreSQL's plan of a statement, over the API's own connection with its own settings."""
    from video_api import handler
    from video_api.budget import Deadline

    database = handler.application().database

    def explain(statement: str, parameters: dict[str, Any]) -> dict[str, Any]:
        text = f"EXPLAIN (FORMAT JSON) {statement}"
        # More often than the five runs after which PostgreSQL may settle on a general plan.
        for _ in range(7):
            rows = database.run(text, Deadline(10), **parameters)
        plan: dict[str, Any] = rows[0][0][0]["Plan"]
        return plan

    return explain


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """A plan's nodes, outermost first."""
    return [plan] + [node for inner in plan.get("Plans", []) for node in nodes(inner)]


AFTER = {"after": "2020-01-01T00:00:00Z", "after_id": "00000000-0000-4000-8000-000000000000"}
PAGES = [
    ((False, False), {}, "video_metadata_newest"),
    ((False, True), AFTER, "video_metadata_newest"),
    ((True, False), {"status": "failed"}, "video_metadata_newest_of_status"),
    ((True, False), {"status": "pending"}, "video_metadata_newest_of_status"),
    ((True, True), {"status": "completed", **AFTER}, "video_metadata_newest_of_status"),
]


@pytest.mark.parametrize("limit", ["2", "101"])
@pytest.mark.parametrize(("which", "parameters", "index"), PAGES)
def test_a_page_is_read_off_an_index_without_sorting(
    explained: Any, which: tuple[bool, bool], parameters: dict[str, str], index: str, limit: str
) -> None:
    from video_api import queries

    plan = explained(queries.PAGES[which], {**parameters, "limit": limit})

    scans = [(node["Node Type"], node.get("Index Name")) for node in nodes(plan)]
    # A rare status may be found through either index; neither sorts nor reads the table through.
    assert [kind for kind, _ in scans if kind != "Result"] == ["Limit", "Index Scan"]
    assert scans[-1][1] in {index, "video_metadata_newest"}


def test_a_late_page_starts_where_it_starts(explained: Any, owner: Any) -> None:
    from video_api import queries

    middle = owner.run(
        "SELECT created_at::text, id::text"
        f" FROM video_metadata ORDER BY created_at DESC OFFSET {ROWS // 2} LIMIT 1"
    )[0]

    plan = explained(
        queries.PAGES[False, True], {"after": middle[0], "after_id": middle[1], "limit": "21"}
    )

    scan = nodes(plan)[-1]
    assert scan["Node Type"] == "Index Scan"
    assert "created_at" in scan["Index Cond"]
    assert "Filter" not in scan


def test_one_video_is_read_off_the_primary_key(explained: Any) -> None:
    from video_api import queries

    plan = explained(queries.ONE, {"id": "00000000-0000-4000-8000-000000000000"})

    assert [(n["Node Type"], n["Index Name"]) for n in nodes(plan)] == [
        ("Index Scan", "video_metadata_pkey")
    ]


def test_a_first_answer_is_read_off_the_primary_key(explained: Any) -> None:
    from video_api import queries

    plan = explained(queries.FIRST_ANSWER, {"key": "key/7"})

    assert [(n["Node Type"], n["Index Name"]) for n in nodes(plan)] == [
        ("Index Scan", "idempotency_keys_pkey")
    ]


def test_creates_read_no_table(explained: Any) -> None:
    from video_api import queries

    new = {
        "video_id": "00000000-0000-4000-8000-000000000000",
        **video(status="pending", tags=[]),
        "created_at": "2026-01-01T00:00:00Z",
    }
    once = {"key": "k", "request_hash": "0" * 64, "response": json.dumps(new)}

    plain = nodes(explained(queries.CREATE, queries.values(new)))
    keyed = nodes(explained(queries.CREATE_ONCE, {**queries.values(new), **once}))

    reads = {"Seq Scan", "Index Scan", "Bitmap Heap Scan"}
    assert not reads & {node["Node Type"] for node in plain + keyed}
    assert {node.get("Conflict Arbiter Indexes", [""])[0] for node in plain + keyed} == {
        "", "video_metadata_pkey", "idempotency_keys_pkey"
    }  # fmt: skip


def test_old_keys_are_found_by_their_index(owner: Any, filled: None) -> None:
    rows = owner.run(
        "EXPLAIN (FORMAT JSON) DELETE FROM idempotency_keys"
        " WHERE created_at < now() - make_interval(days => 7)"
    )

    plan = nodes(rows[0][0][0]["Plan"])
    assert [node.get("Index Name") for node in plan][-1] == "idempotency_keys_oldest"


def test_a_statement_is_prepared_once(settings: Callable[..., None], empty: None) -> None:
    from video_api import handler
    from video_api.budget import Deadline

    database = handler.application().database
    for _ in range(3):
        database.run("SELECT :n::int", Deadline(5), n="1")

    names = database.run("SELECT count(*) FROM pg_prepared_statements", Deadline(5))
    assert names[0][0] == 2
