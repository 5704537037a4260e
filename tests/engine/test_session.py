"""A session's first questions: those that are likely leave at once, and each answer serves once."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path

import pytest
from twin.rounds import Rounds
from twin.scene import tier

from tapgen.cloud import DeployedStack, Throttled
from tapgen.commands import common

NETWORK, CACHE = "tap-dev-network", "tap-dev-cache"


@pytest.fixture
def scene() -> Rounds:
    """An environment with a network."""
    scene = Rounds()
    scene.deploy([tier("network")])
    return scene


def answered(answer: DeployedStack | None) -> Future[DeployedStack | None]:
    future: Future[DeployedStack | None] = Future()
    future.set_result(answer)
    return future


def asked(scene: Rounds) -> list[str]:
    return [
        call.parameters["StackName"]
        for call in scene.region.calls
        if call.operation == "describe_stacks"
    ]


def test_a_question_that_is_under_way_is_not_asked_twice(scene: Rounds) -> None:
    scene.session.begun[NETWORK] = answered(scene.cloud.stack(NETWORK))
    before = len(asked(scene))

    found = scene.session.survey([CACHE, NETWORK])

    assert list(found) == [CACHE, NETWORK]
    assert (found[CACHE], found[NETWORK] is not None) == (None, True)
    assert asked(scene)[before:] == [CACHE]


def test_a_second_survey_sees_what_has_changed_since(scene: Rounds) -> None:
    scene.session.begun[CACHE] = answered(None)
    first = scene.session.survey([CACHE])
    scene.deploy([tier("cache")])

    second = scene.session.survey([CACHE])

    assert first == {CACHE: None}
    assert second[CACHE] is not None


def test_a_question_that_failed_on_the_way_fails_the_survey(scene: Rounds) -> None:
    failed: Future[DeployedStack | None] = Future()
    failed.set_exception(Throttled("cloudformation:DescribeStacks"))
    scene.session.begun[NETWORK] = failed

    with pytest.raises(Throttled):
        scene.session.survey([NETWORK])


def test_a_likely_stack_that_nobody_asks_about_harms_nobody(scene: Rounds) -> None:
    scene.session.begun["tap-dev-gone"] = answered(None)

    assert list(scene.session.survey([NETWORK])) == [NETWORK]


def test_the_stacks_of_last_time_are_remembered_by_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    common.remember_stacks("dev", [NETWORK, CACHE])

    assert common._stacks_of_last_time("dev") == [NETWORK, CACHE]
    assert common._stacks_of_last_time("prod") == []


@pytest.mark.parametrize("content", ["", "{}", "[1]", '"x"', "\x00"])
def test_a_damaged_memory_is_as_good_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = common._last_time("dev")
    path.parent.mkdir(parents=True)
    path.write_text(content)

    assert common._stacks_of_last_time("dev") == []


def test_a_folder_that_cannot_be_written_to_is_no_reason_to_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".tapgen").write_text("in the way")

    common.remember_stacks("dev", [NETWORK])

    assert common._stacks_of_last_time("dev") == []
