"""What needs somebody's yes, and what a protected environment refuses by itself."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from troposphere import s3
from twin import faults
from twin.faults import Killed
from twin.rounds import Part, Rounds, stack_of

from tapgen.cloud import Request
from tapgen.diff import StackChanges
from tapgen.diff.findings import Finding
from tapgen.engine import guard
from tapgen.engine.events import MonitoringTrouble, StackProtected
from tapgen.engine.guard import Guard
from tapgen.engine.plan import Action, Step, Wanted
from tapgen.engine.review import Review, Reviewed, Source

LOSS = Finding("replaces-stateful", "destructive", "Database", "Database is replaced")
WEAKER = Finding("deletion-policy-weakened", "destructive", "Files", "Files would be deleted")
MAYBE = Finding("may-replace-stateful", "info", "Cache", "Cache may be replaced")
WIDER = Finding("access-broadened", "broadening", "Role", "Role may do more")
NOTE = Finding("keeps-its-name", "info", "Topic", "Topic keeps its name")


def reviewed(action: Action, *findings: Finding, tier: str = "storage") -> Reviewed:
    name = f"tap-dev-{tier}"
    wanted = Wanted(tier, {}, Request(name, str, {}, {}, ()))
    changes = StackChanges(name)
    return Reviewed(wanted, Step(tier, name, action, ""), changes, Source.SAME, findings)


def review(*items: Reviewed) -> Review:
    return Review(items, (), {})


# What needs a yes


@pytest.mark.parametrize(
    ("level", "asked"),
    [
        ("never", []),
        (
            "destructive",
            ["Database is replaced", "Files would be deleted", "Cache may be replaced"],
        ),
        (
            "broadening",
            [
                "Database is replaced",
                "Files would be deleted",
                "Cache may be replaced",
                "Role may do more",
            ],
        ),
    ],
)
def test_a_level_asks_for_its_kind_of_findings_and_the_worse_ones(
    level: str, asked: list[str]
) -> None:
    seen = review(reviewed(Action.UPDATE, LOSS, WEAKER, MAYBE, WIDER, NOTE))

    found = guard.needs_approval(level, seen)

    assert list(found) == [f"tap-dev-storage: {text}" for text in asked]


def test_any_change_asks_for_every_stack_that_is_acted_on() -> None:
    seen = review(
        reviewed(Action.CREATE), reviewed(Action.KEEP, tier="api"), reviewed(Action.UPDATE, NOTE)
    )

    assert guard.needs_approval("any-change", seen) == (
        "tap-dev-storage: create",
        "tap-dev-storage: update",
    )


def test_a_stack_that_is_made_anew_counts_as_destroyed() -> None:
    seen = review(reviewed(Action.RECREATE))

    asked = ("tap-dev-storage: it is deleted and made anew",)
    assert guard.needs_approval("destructive", seen) == asked
    assert guard.needs_approval("broadening", seen) == asked
    assert guard.needs_approval("never", seen) == ()


def test_only_what_surely_takes_data_away_is_a_loss() -> None:
    seen = review(reviewed(Action.UPDATE, LOSS, WEAKER, MAYBE, WIDER))

    assert guard.losses(seen) == (("tap-dev-storage", LOSS),)
    assert guard.agreed_losses(guard.losses(seen)) == {"tap-dev-storage": frozenset({"Database"})}


# The policy


def test_the_policy_denies_replacing_and_deleting_data_and_nothing_else() -> None:
    document = {"Resources": {"Db": {"Type": "AWS::RDS::DBInstance"}}}

    policy = json.loads(guard.policy(document) or "")

    allow, deny = policy["Statement"]
    assert allow == {"Effect": "Allow", "Principal": "*", "Action": "Update:*", "Resource": "*"}
    assert (deny["Effect"], deny["Action"]) == ("Deny", ["Update:Replace", "Update:Delete"])
    assert "AWS::RDS::DBInstance" in deny["Condition"]["StringEquals"]["ResourceType"]


def test_a_stack_without_data_needs_no_policy() -> None:
    assert guard.policy({"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}) is None
    assert guard.policy({}) is None


def test_every_kind_of_data_of_the_real_tiers_is_kept(documents: dict[str, Any]) -> None:
    holding = {tier for tier, document in documents.items() if guard.policy(document)}

    assert {"storage", "cache"} <= holding
    assert len(guard.policy(documents["storage"]) or "") < 16_384


# On the twin

WITH_BUCKET = {"storage": Part({"Data": "data"}, beside=(s3.Bucket("Files", BucketName="first"),))}
RENAMED = {"storage": Part({"Data": "data"}, beside=(s3.Bucket("Files", BucketName="second"),))}
PLAIN = {"api": Part({"Api": "api"})}


def guarded(parts: dict[str, Part], *agreed: str) -> Guard:
    documents = {f"tap-dev-{tier}": stack_of(tier, part).document() for tier, part in parts.items()}
    return Guard(documents, {name: frozenset({"Files"}) for name in agreed})


def stack(scene: Rounds, tier: str) -> Any:
    found = scene.region.live(f"tap-dev-{tier}")
    assert found is not None
    return found


def test_a_protected_environment_is_protected_as_soon_as_it_stands() -> None:
    parts = {**WITH_BUCKET, **PLAIN}
    scene = Rounds(guard=guarded(parts))

    outcome = scene.roll_out(parts)

    told = {e.stack: e.data for e in outcome.events if isinstance(e, StackProtected)}
    assert told == {"tap-dev-storage": True, "tap-dev-api": False}
    assert stack(scene, "storage").protected
    assert "Update:Replace" in stack(scene, "storage").policy
    assert stack(scene, "api").policy == ""


def test_an_environment_that_becomes_protected_is_though_nothing_changes() -> None:
    scene = Rounds()
    scene.roll_out(WITH_BUCKET)
    scene.guard = guarded(WITH_BUCKET)

    outcome = scene.roll_out(WITH_BUCKET)

    assert outcome.ends == {"storage": "unchanged"}
    assert stack(scene, "storage").protected
    before = len(scene.region.mutations)
    scene.roll_out(WITH_BUCKET)
    assert scene.region.mutations[before:] == []


def test_what_nobody_agreed_to_is_refused_by_cloudformation_itself() -> None:
    scene = Rounds(guard=guarded(WITH_BUCKET))
    scene.roll_out(WITH_BUCKET)

    outcome = scene.roll_out(RENAMED)

    assert outcome.ends == {"storage": "failed"}
    assert "stack policy" in outcome.summary.rows()[0][2]
    assert scene.region.removed == []


def test_what_somebody_agreed_to_happens_and_the_policy_closes_behind_it() -> None:
    scene = Rounds(guard=guarded(WITH_BUCKET))
    scene.roll_out(WITH_BUCKET)
    closed = stack(scene, "storage").policy
    scene.guard = guarded(RENAMED, "tap-dev-storage")

    outcome = scene.roll_out(RENAMED)

    assert outcome.ends == {"storage": "updated"}
    assert stack(scene, "storage").policy == closed
    # The template keeps the bucket that is replaced; it is only not the stack's any more.
    assert stack(scene, "storage").held["Files"].properties == {"BucketName": "second"}


def test_the_policy_closes_also_behind_an_update_that_fails() -> None:
    scene = Rounds(guard=guarded(WITH_BUCKET))
    scene.roll_out(WITH_BUCKET)
    closed = stack(scene, "storage").policy
    scene.guard = guarded(RENAMED, "tap-dev-storage")
    scene.region.faults.resource("tap-dev-storage", "Files", "UPDATE", "no such name")

    outcome = scene.roll_out(RENAMED)

    assert outcome.ends == {"storage": "failed"}
    assert stack(scene, "storage").policy == closed


def test_the_policy_closes_also_when_the_run_is_closed() -> None:
    scene = Rounds(guard=guarded(WITH_BUCKET))
    scene.roll_out(WITH_BUCKET)
    closed = stack(scene, "storage").policy
    scene.guard = guarded(RENAMED, "tap-dev-storage")

    def leave(event: object) -> None:
        if type(event).__name__ == "StackStarted":
            assert stack(scene, "storage").policy != closed
            raise KeyboardInterrupt

    scene.hear = leave
    with pytest.raises(KeyboardInterrupt):
        scene.roll_out(RENAMED)

    assert stack(scene, "storage").policy == closed


def test_a_protection_that_is_refused_is_told_and_the_stack_stands() -> None:
    scene = Rounds(guard=guarded(WITH_BUCKET))
    scene.region.faults.call("set_stack_policy", faults.DENIED)

    outcome = scene.roll_out(WITH_BUCKET)

    troubles = [e.trouble for e in outcome.events if isinstance(e, MonitoringTrouble)]
    assert outcome.ends == {"storage": "created"}
    assert len(troubles) == 1
    assert troubles[0].startswith("not protected: ")


def test_a_run_that_died_before_protecting_is_made_up_for_by_the_next() -> None:
    scene = Rounds(guard=guarded(WITH_BUCKET))

    def strike(operation: str, when: str) -> None:
        if operation == "set_stack_policy":
            raise Killed

    scene.region.faults.interrupt = strike
    with pytest.raises(Killed):
        scene.roll_out(WITH_BUCKET)
    scene.revive()

    scene.roll_out(WITH_BUCKET)

    assert stack(scene, "storage").protected
    assert "Update:Replace" in stack(scene, "storage").policy


def test_a_policy_that_a_killed_run_left_open_is_closed_when_somebody_checks() -> None:
    scene = Rounds(guard=guarded(WITH_BUCKET))
    scene.roll_out(WITH_BUCKET)
    closed = stack(scene, "storage").policy
    stack(scene, "storage").policy = ""
    scene.roll_out(WITH_BUCKET)
    unasked = stack(scene, "storage").policy
    scene.guard = replace(guarded(WITH_BUCKET), checking=True)

    scene.roll_out(WITH_BUCKET)
    before = len(scene.region.mutations)
    scene.roll_out(WITH_BUCKET)

    assert (unasked, stack(scene, "storage").policy) == ("", closed)
    assert scene.region.mutations[before:] == []
