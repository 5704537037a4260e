"""What a stack is expected to take: seen before, or usual for what is in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tapgen import yaml_text
from tapgen.engine import durations, plan
from tapgen.engine.durations import Durations
from tapgen.engine.events import Event, StackDone, StackFailed
from tapgen.engine.plan import Action, Step, Wanted
from tapgen.resolve import Document


def resource(kind: str, **properties: Any) -> dict[str, Any]:
    return {"Type": kind, "Properties": properties}


STORAGE: Document = {
    "Resources": {
        "Subnets": resource("AWS::RDS::DBSubnetGroup"),
        "Database": resource("AWS::RDS::DBInstance", DBSubnetGroupName={"Ref": "Subnets"}),
        "Alarm": resource("AWS::CloudWatch::Alarm", Watched={"Ref": "Database"}),
        "Cache": resource("AWS::ElastiCache::ReplicationGroup"),
    }
}


def item(tier: str, document: Document) -> Wanted:
    return plan.wanted(tier, document, yaml_text.dump(document), env="dev", given={}, tags={})


def done(seconds: float, action: str = "create") -> StackDone:
    return StackDone("tap-dev-storage", action, {}, seconds)


def test_usual_is_the_longest_chain_and_not_the_sum() -> None:
    # Subnet group, database, alarm; the cache goes on beside them.
    assert durations.usual(STORAGE) == 5.0 + 1200.0 + 5.0


def test_what_depends_on_another_by_name_waits_for_it_too() -> None:
    document = {
        "Resources": {
            "Gateway": resource("AWS::EC2::NatGateway"),
            "Late": {"Type": "AWS::SNS::Topic", "DependsOn": ["Gateway"]},
        }
    }

    assert durations.usual(document) == 155.0


def test_a_template_without_resources_takes_no_time() -> None:
    assert durations.usual({}) == 0.0


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (Action.CREATE, 1210.0),
        (Action.RECREATE, 1210.0),
        (Action.UPDATE, 302.5),
        (Action.WAIT, 302.5),
    ],
)
def test_where_nothing_was_seen_the_resources_tell(action: Action, expected: float) -> None:
    step = Step("storage", "tap-dev-storage", action, "")

    assert Durations().expected([step], [item("storage", STORAGE)]) == {"tap-dev-storage": expected}


def test_nothing_is_expected_of_stacks_that_stay_or_of_an_emulator() -> None:
    kept = Step("storage", "tap-dev-storage", Action.KEEP, "")
    made = Step("storage", "tap-dev-storage", Action.CREATE, "")

    assert Durations().expected([kept], [item("storage", STORAGE)]) == {}
    assert Durations().expected([made], [item("storage", STORAGE)], guessed=False) == {}


def test_what_was_seen_counts_more_than_what_is_usual() -> None:
    past = Durations()
    for seconds in (900.0, 5000.0, 1000.0):
        past.take(done(seconds))

    step = Step("storage", "tap-dev-storage", Action.CREATE, "")
    assert past.expected([step], [item("storage", STORAGE)]) == {"tap-dev-storage": 1000.0}


def test_only_the_last_five_runs_are_remembered() -> None:
    past = Durations()
    for seconds in (1, 1, 1, 7, 8, 9, 10, 11):
        past.take(done(float(seconds)))

    assert past.seen == {"tap-dev-storage": {"create": [7.0, 8.0, 9.0, 10.0, 11.0]}}
    assert past.of("tap-dev-storage", "create") == 9.0
    assert past.of("tap-dev-storage", "update") is None


def test_a_run_is_passed_on_unchanged_and_remembered(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "dev.json"
    events: list[Event] = [done(10.04), StackFailed("tap-dev-api", "ROLLBACK_COMPLETE", "broken")]

    heard = list(durations.learning(Durations(), path, iter_of(events)))

    assert heard == events
    assert durations.load(path).seen == {"tap-dev-storage": {"create": [10.0]}}


def iter_of(events: list[Event]) -> Any:
    yield from events


def test_a_run_that_is_cut_off_closes_what_it_follows_and_keeps_what_it_learnt(
    tmp_path: Path,
) -> None:
    path, closed = tmp_path / "dev.json", []

    def endless() -> Any:
        try:
            while True:
                yield done(3.0)
        finally:
            closed.append(True)

    events = durations.learning(Durations(), path, endless())
    next(events)
    events.close()  # type: ignore[attr-defined]

    assert closed == [True]
    assert durations.load(path).of("tap-dev-storage", "create") == 3.0


def test_a_run_without_an_end_to_remember_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "dev.json"

    list(durations.learning(Durations(), path, iter_of([])))

    assert not path.exists()


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', '{"a": {"create": ["x"]}}', "\x00"])
def test_a_file_that_is_not_ours_is_as_good_as_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "dev.json"
    path.write_text(content)

    assert durations.load(path).seen == {}
    assert durations.load(tmp_path / "none.json").seen == {}


def test_a_place_that_cannot_be_written_to_fails_no_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    heard = list(durations.learning(Durations(), tmp_path / "file" / "x", iter_of([done(1.0)])))

    assert heard == [done(1.0)]
