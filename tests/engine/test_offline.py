"""Templates against earlier ones, with nobody asked: a folder's, or those of a git revision."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from command_line import CommandLine
from twin.rounds import Part, stack_of
from twin.scene import wanted

from tapgen import app, files, render
from tapgen.engine import offline
from tapgen.engine.offline import NothingThere
from tapgen.engine.plan import Action
from tapgen.engine.review import Review, Source

BEFORE = {"maker": Part({"A": "a"}), "user": Part(uses=["A"])}


def seen(before: dict[str, Part], after: dict[str, Part]) -> Review:
    old = {name: stack_of(name, part).document() for name, part in before.items()}
    return offline.review(wanted([stack_of(name, part) for name, part in after.items()]), old)


def actions(review: Review) -> dict[str, Action]:
    return {item.wanted.tier: item.step.action for item in review.stacks}


def test_equal_templates_have_no_difference() -> None:
    found = seen(BEFORE, BEFORE)

    assert actions(found) == {"maker": Action.KEEP, "user": Action.KEEP}
    assert all(item.changes.is_empty for item in found.stacks)
    assert {item.source for item in found.stacks} == {Source.OFFLINE}


def test_a_change_is_told_by_property_and_followed_to_who_imports_it() -> None:
    found = seen(BEFORE, {"maker": Part({"A": "b"}), "user": Part(uses=["A"])})

    maker, user = (item.changes for item in found.stacks)
    assert [(p.path, p.before, p.after, p.replacement) for p in maker.resources[0].properties] == [
        ("TopicName", "a", "b", "yes")
    ]
    assert [each.logical_id for each in user.resources] == ["UsesA"]


def test_a_tier_that_is_new_is_all_additions() -> None:
    found = seen({}, {"maker": Part({"A": "a"})})

    assert actions(found) == {"maker": Action.CREATE}
    assert not found.stacks[0].changes.before


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one template, changed since its only commit."""
    folder = tmp_path / "repository" / "templates_out"
    folder.mkdir(parents=True)
    template = folder / "maker.yaml"
    template.write_text(render.text(stack_of("maker", BEFORE["maker"]).document()))
    who = ("-c", "user.name=me", "-c", "user.email=me@example.com", "-c", "commit.gpgsign=false")
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "first"]):
        subprocess.run(["git", *command], cwd=folder.parent, check=True)
    template.write_text(render.text(stack_of("maker", Part({"B": "b"})).document()))
    return folder


def test_templates_are_those_of_the_folder_or_of_the_revision(repository: Path) -> None:
    now = offline.templates(str(repository), repository)
    then = offline.templates("HEAD", repository)

    assert list(now["maker"]["Resources"]) == ["BTopic"]
    assert list(then["maker"]["Resources"]) == ["ATopic"]


@pytest.mark.parametrize("against", ["nowhere", "--output=made", "HEAD:templates_out", ""])
def test_what_is_neither_a_folder_nor_a_revision_is_said(repository: Path, against: str) -> None:
    with pytest.raises(NothingThere) as caught:
        offline.templates(against or "no such revision", repository)

    assert "it is no folder, and no revision of a git repository here" in str(caught.value)
    assert caught.value.status == 2
    assert not (repository.parent / "made").exists()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Resources: [", "maker.yaml is not YAML"),
        ("- 1", "maker.yaml is no template"),
        ("Resources: 1", "maker.yaml is no template"),
    ],
)
def test_a_file_that_is_no_template_is_named(repository: Path, text: str, why: str) -> None:
    (repository / "maker.yaml").write_text(text)

    with pytest.raises(NothingThere, match=why):
        offline.templates(str(repository), repository)


def test_an_empty_folder_and_an_unreadable_file_are_said(tmp_path: Path) -> None:
    with pytest.raises(NothingThere, match="there is no template in it"):
        offline.templates(str(tmp_path), tmp_path)
    (tmp_path / "maker.yaml").write_bytes(b"\xff")
    with pytest.raises(files.CannotRead):
        offline.templates(str(tmp_path), tmp_path)


# The command


@pytest.fixture
def earlier(offline: CommandLine) -> Path:
    """A folder with the templates as they are, one of them with another topic name."""
    folder = offline.folder / "earlier"
    folder.mkdir()
    for tier, document in app.documents().items():
        (folder / f"{tier}.yaml").write_text(render.text(document), encoding="utf-8")
    path = folder / "notification.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("video-processing-error-", "video-errors-"), encoding="utf-8")
    return folder


def test_a_change_of_the_code_is_shown_without_aws(offline: CommandLine, earlier: Path) -> None:
    told = offline("diff", "--against", str(earlier), "--exit-code")

    assert (told.status, told.out) == (3, "1 stack would be changed\n")
    assert "tap-dev-network       keep    unchanged\n" in told.err
    assert (
        "tap-dev-notification  update  template: 2 resources (offline, from templates alone)\n"
    ) in told.err
    assert (
        "      -/+ TopicName: video-errors-dev -> video-processing-error-dev\n"
        "          cannot be changed in place\n"
    ) in told.err


def test_equal_templates_are_no_difference(offline: CommandLine, earlier: Path) -> None:
    told = offline("diff", "network", "--against", str(earlier), "--exit-code")

    assert (told.status, told.out) == (0, "no differences in 1 stack\n")


def test_a_tier_that_left_the_code_is_a_difference(offline: CommandLine, earlier: Path) -> None:
    (earlier / "notification.yaml").unlink()
    (earlier / "billing.yaml").write_text("Resources: {}\n", encoding="utf-8")

    told = offline("diff", "--against", str(earlier), "--output", "json")

    found = json.loads(told.out)
    assert found["gone"] == ["billing"]
    assert "billing is no longer described\n" in told.err
    assert [s["stack"] for s in found["stacks"] if s["action"] == "create"] == [
        "tap-dev-notification"
    ]
