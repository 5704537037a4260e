"""What a review says of each stack before anything changes, how it knows, and what it asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

import pytest
from twin import Killed, faults
from twin.rounds import Part, Rounds

from tapgen.cloud import AccessDenied
from tapgen.engine.phases import ForeignImporter
from tapgen.engine.plan import Action
from tapgen.engine.review import Review, Reviewed, Source

MAKER, USER = Part({"A": "a"}), Part(uses=["A"])
BOTH = {"maker": MAKER, "user": USER}
RENAMED = {"maker": Part({"A": "other"}), "user": USER}


def reviewed(stage: Rounds, parts: Mapping[str, Part], only: Sequence[str] = ()) -> Review:
    """The review of a run; nothing is changed by it."""
    calls = len(stage.region.mutations)
    _, seen = stage.plan(parts, only)
    assert stage.region.mutations[calls:] == []
    return seen


def standing(parts: Mapping[str, Part] = BOTH) -> Rounds:
    """An environment that stands, with nothing asked yet."""
    stage = Rounds()
    stage.roll_out(parts)
    stage.region.calls.clear()
    return stage


def by_tier(seen: Review) -> dict[str, Reviewed]:
    return {item.wanted.tier: item for item in seen.stacks}


def sources(seen: Review) -> dict[str, tuple[Action, Source]]:
    return {item.wanted.tier: (item.step.action, item.source) for item in seen.stacks}


def asked(stage: Rounds, operation: str, parameter: str) -> list[str]:
    """What the calls of an operation were about, sorted."""
    return sorted(
        str(call.parameters[parameter])
        for call in stage.region.calls
        if call.operation == operation
    )


def templates_read(stage: Rounds) -> list[str]:
    return [name.split("/")[1] for name in asked(stage, "get_template", "StackName")]


def test_a_new_environment_is_all_additions_and_nothing_is_read() -> None:
    stage = Rounds()

    seen = reviewed(stage, BOTH)

    assert sources(seen) == dict.fromkeys(BOTH, (Action.CREATE, Source.NEW))
    maker = by_tier(seen)["maker"]
    assert (maker.changes.before, maker.changes.after) == (False, True)
    assert [(change.logical_id, change.action) for change in maker.changes.resources] == [
        ("ATopic", "add")
    ]
    assert maker.findings == ()
    assert [phase.title for phase in seen.phases] == ["deploy"]
    assert templates_read(stage) == []
    assert asked(stage, "list_imports", "ExportName") == []


def test_an_unchanged_environment_is_known_by_one_question_a_stack() -> None:
    stage = standing()

    seen = reviewed(stage, BOTH)

    assert sources(seen) == dict.fromkeys(BOTH, (Action.KEEP, Source.SAME))
    assert all(item.changes.is_empty for item in seen.stacks)
    assert [call.operation for call in stage.region.calls] == ["describe_stacks"] * 2


def test_an_update_is_told_by_property_and_only_its_template_is_read() -> None:
    stage = standing({**BOTH, "alone": Part({"B": "b"})})

    seen = reviewed(stage, {**BOTH, "alone": Part({"B": "other"})})

    assert sources(seen) == {
        "maker": (Action.KEEP, Source.SAME),
        "user": (Action.KEEP, Source.SAME),
        "alone": (Action.UPDATE, Source.PREDICTED),
    }
    (change,) = by_tier(seen)["alone"].changes.resources
    (name,) = change.properties
    assert (change.logical_id, change.replacement) == ("BTopic", "yes")
    assert (name.path, name.before, name.after) == ("TopicName", "b", "other")
    assert templates_read(stage) == ["tap-dev-alone"]
    assert asked(stage, "list_imports", "ExportName") == ["tap-dev-B"]


def test_a_stack_can_change_through_what_it_imports_alone() -> None:
    stage = standing()

    seen = reviewed(stage, RENAMED)

    assert sources(seen)["user"] == (Action.KEEP, Source.PREDICTED)
    (change,) = by_tier(seen)["user"].changes.resources
    (value,) = change.properties
    assert (change.logical_id, value.path) == ("UsesA", "Value")
    assert (value.before, value.after) == (
        stage.region.exports()["tap-dev-A"],
        "${import tap-dev-A}",
    )
    assert seen.importers == {"tap-dev-A": ("tap-dev-user",)}
    assert [phase.title for phase in seen.phases] == ["detach", "deploy"]
    # The importer's too, though it is unchanged itself: it will be taken off the import in it.
    assert templates_read(stage) == ["tap-dev-maker", "tap-dev-user"]


def test_a_change_is_followed_down_a_chain() -> None:
    chain = {"b": Part({"B": "@A"}), "c": Part({"C": "@B"}), "d": Part(uses=["C"])}
    stage = standing({"a": MAKER, **chain})

    seen = reviewed(stage, {"a": Part({"A": "other"}), **chain})

    changes = {tier: item.changes for tier, item in by_tier(seen).items()}
    assert [each.logical_id for each in changes["c"].replaces(maybe=True)] == ["CTopic"]
    assert [each.logical_id for each in changes["d"].resources] == ["UsesC"]
    assert seen.importers == {
        "tap-dev-A": ("tap-dev-b",),
        "tap-dev-B": ("tap-dev-c",),
        "tap-dev-C": ("tap-dev-d",),
    }


def test_an_export_that_moves_to_a_stack_before_is_still_there_for_its_importers() -> None:
    stage = standing({"b": MAKER, "a": Part({"B": "b"}), "user": USER})

    seen = reviewed(stage, {"a": Part({"B": "b", "A": "new"}), "b": Part(), "user": USER})

    (change,) = by_tier(seen)["user"].changes.resources
    assert change.properties[0].after == "${import tap-dev-A}"
    assert [phase.title for phase in seen.phases] == ["detach", "release", "deploy"]


def test_an_export_that_leaves_unused_asks_once_and_needs_no_round() -> None:
    stage = standing({"maker": Part({"A": "a", "B": "b"}), "user": USER})

    seen = reviewed(stage, BOTH)

    (gone,) = by_tier(seen)["maker"].changes.exports
    assert (gone.name, gone.action) == ("tap-dev-B", "vanishes")
    assert asked(stage, "list_imports", "ExportName") == ["tap-dev-B"]
    assert seen.importers == {}
    assert [phase.title for phase in seen.phases] == ["deploy"]


def test_who_imports_what_leaves_is_a_finding_of_its_stack() -> None:
    stage = standing()

    seen = reviewed(stage, {"maker": Part({"B": "b"}), "user": Part()})

    told = seen.findings("destructive")
    assert [(stack, finding.subject) for stack, finding in told] == [("tap-dev-maker", "tap-dev-A")]
    assert "tap-dev-user" in told[0][1].text


def test_an_importer_that_was_not_selected_is_named() -> None:
    stage = standing()

    with pytest.raises(ForeignImporter) as caught:
        reviewed(stage, RENAMED, only=["maker"])

    error = caught.value
    assert (error.export, error.exporter) == ("tap-dev-A", "tap-dev-maker")
    assert (error.importers, error.ours) == (("tap-dev-user",), ("tap-dev-user",))


@pytest.mark.parametrize("after", [Part({"A": "other"}), Part({"B": "b"})])
def test_ours_and_others_among_the_importers_are_told_apart(after: Part) -> None:
    stage = standing()
    theirs = (
        "Resources: {It: {Type: AWS::SSM::Parameter, Properties: {Type: String, Value: x}}}\n"
        "Outputs: {Seen: {Value: !ImportValue tap-dev-A}}\n"
    )
    stage.twin.client("cloudformation").create_stack(StackName="billing", TemplateBody=theirs)
    stage.region.settle()

    with pytest.raises(ForeignImporter) as caught:
        reviewed(stage, {"maker": after, "user": Part()}, only=["maker"])

    assert str(caught.value) == (
        "tap-dev-maker would remove or change tap-dev-A, which billing, tap-dev-user import "
        "without being part of this run; nothing was changed: let billing go of the value first"
    )


def test_a_stack_under_way_is_read_and_said_to_be_unknown() -> None:
    stage = standing()
    stage.kill_at(1, "after")
    with suppress(Killed):
        stage.roll_out({"maker": Part({"A": "a", "B": "b"}), "user": USER})
    stage.revive()
    stage.region.calls.clear()
    assert stage.region.status("tap-dev-maker") == "UPDATE_IN_PROGRESS"

    seen = reviewed(stage, {"maker": Part({"C": "c"}), "user": Part()})

    assert sources(seen)["maker"] == (Action.WAIT, Source.UNKNOWN)
    # Or the export that its operation leaves as it is would go while it is imported.
    assert seen.importers == {"tap-dev-A": ("tap-dev-user",)}
    assert [phase.title for phase in seen.phases] == ["deploy", "contract"]


def test_a_stack_that_can_only_be_made_anew_is_new() -> None:
    stage = Rounds()
    stage.region.faults.resource("tap-dev-maker", "ATopic", "CREATE", "Quota exceeded")
    stage.roll_out({"maker": MAKER})
    stage.region.calls.clear()

    seen = reviewed(stage, {"maker": MAKER})

    assert sources(seen) == {"maker": (Action.RECREATE, Source.NEW)}
    assert not by_tier(seen)["maker"].changes.before
    assert templates_read(stage) == []


def test_a_stack_that_nothing_can_be_done_about_is_unknown_and_not_read() -> None:
    stage = standing()
    for verb in ("UPDATE", "ROLLBACK"):
        stage.region.faults.resource("tap-dev-maker", "ATopic", verb, "Quota exceeded")
    stage.roll_out(RENAMED)
    stage.region.calls.clear()
    assert stage.region.status("tap-dev-maker") == "UPDATE_ROLLBACK_FAILED"

    seen = reviewed(stage, RENAMED)

    assert sources(seen)["maker"] == (Action.RECOVER, Source.UNKNOWN)
    assert "tap-dev-maker" not in templates_read(stage)
    # Nobody is taken off an export that will stay as it is.
    assert [phase.title for phase in seen.phases] == ["deploy"]


def test_a_template_that_may_not_be_read_ends_the_review() -> None:
    stage = standing()
    stage.region.faults.call("get_template", faults.DENIED)

    with pytest.raises(AccessDenied):
        reviewed(stage, RENAMED)


def test_a_rolled_back_stack_with_the_template_wanted_is_updated_without_a_change() -> None:
    stage = standing()
    stage.region.faults.resource("tap-dev-user", "UsesB", "CREATE", "Quota exceeded")
    stage.roll_out({"maker": Part({"A": "a", "B": "b"}), "user": Part(uses=["A", "B"])})

    seen = reviewed(stage, {"maker": Part({"A": "a", "B": "b"}), "user": USER})

    assert sources(seen)["user"] == (Action.UPDATE, Source.PREDICTED)
    assert by_tier(seen)["user"].changes.is_empty
