"""From settings to a deployed system: the real tiers, and small ones where a rule is the matter."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from twin import Account, faults
from twin.stage import AWS_TIMES, REAL, Stage

from tapgen import graph
from tapgen.description import Description, UnknownTier
from tapgen.digest import sealed
from tapgen.engine import destroy, rollout, rounds
from tapgen.engine.events import Migrated, MonitoringTrouble, StackFailed, StackStarted
from tapgen.engine.plan import Action
from tapgen.engine.rollout import MissingProducer, Rollout
from tapgen.engine.rounds import NoBucket
from tapgen.scope import Scope


def parameters(planned: Rollout, stack: str) -> Mapping[str, str]:
    (item,) = (item for item in planned.wanted if item.name == stack)
    return item.request.parameters


# The whole system


def test_the_whole_system_stands_up_in_order_and_then_there_is_nothing_to_do(
    packages: Path,
) -> None:
    stage = Stage()
    stage.region.durations.update(AWS_TIMES)

    ends = stage.roll_out(stage.prepare(packages))
    took, before = stage.region.clock.now(), len(stage.region.mutations)
    again = stage.prepare(packages)

    order = [stack_of(tier) for tier in graph.order(REAL.documents)]
    assert list(ends) == order
    assert set(ends.values()) == {"created"}
    assert {step.action for step in again.steps()} == {Action.KEEP}
    assert set(stage.roll_out(again).values()) == {"unchanged"}
    assert stage.region.mutations[before:] == []
    # Network, then the slower of database and cache, then what needs it; nothing waits for more.
    assert took < 1800.0


def stack_of(tier: str, env: str = "dev") -> str:
    return REAL.stack_name(tier, env)


def test_functions_find_their_package_in_the_bucket_that_this_run_made(packages: Path) -> None:
    stage = Stage()

    stage.roll_out(stage.prepare(packages))

    (bucket,) = (
        value
        for name, value in stage.region.exports().items()
        if name == "tap-foundation-ArtifactBucketName"
    )
    ((where, key),) = (at for at in stage.account.objects if at[1].startswith("lambda/"))
    api = stage.cloud.stack(stack_of("api"))
    assert api is not None
    assert where == bucket
    assert key in api.parameters.values()
    assert stage.account.objects[where, key].startswith(b"PK")


def test_a_setting_changes_the_stacks_that_take_it_and_no_others(packages: Path) -> None:
    stage = Stage()
    stage.roll_out(stage.prepare(packages))

    planned = stage.prepare(packages, parameters={"DbInstanceClass": "db.r6g.large"})
    ends = stage.roll_out(planned)

    assert {stack for stack, how in ends.items() if how == "updated"} == {stack_of("storage")}
    assert [step.why for step in planned.steps() if step.action is Action.UPDATE] == [
        "parameter DbInstanceClass"
    ]


def test_two_environments_share_the_accounts_stack(packages: Path) -> None:
    stage = Stage()
    stage.roll_out(stage.prepare(packages, tags={"Team": "a"}))

    ends = stage.roll_out(stage.prepare(packages, env="pr-7", tags={"Team": "b"}))

    assert ends["tap-foundation"] == "unchanged"
    assert ends["tap-pr-7-network"] == "created"
    tags = {
        stack.name: dict(stack.version.tags)
        for stack in stage.region.stacks.values()
        if stack.version
    }
    assert "Team" not in tags["tap-foundation"]
    assert tags["tap-dev-network"] == {
        **rollout.PROJECT_TAGS,
        "Environment": "dev",
        "Team": "a",
    }


def test_the_system_goes_down_in_reverse_and_keeps_its_data(packages: Path) -> None:
    stage = Stage()
    stage.roll_out(stage.prepare(packages))

    standing = [destroy.look(stage.cloud, stack) for stack in stage.cloud.stacks("tap-dev-")]
    kept = [item.resource.type for stack in standing for item in destroy.keeping(stack)]
    outcome = stage.follow(
        destroy.destroy(stage.run(), standing), [item.stack.name for item in standing]
    )

    begun = [event.stack for event in outcome.events if isinstance(event, StackStarted)]
    assert set(outcome.ends.values()) == {"deleted"}
    assert begun.index(stack_of("network")) == len(begun) - 1
    assert set(kept) == {
        "AWS::EFS::FileSystem",
        "AWS::ElastiCache::ReplicationGroup",
        "AWS::KMS::Key",
        "AWS::RDS::DBInstance",
    }
    left = {held.type for held in stage.region.standing.values() if held.logical_id in _ids(stage)}
    assert {"AWS::EFS::FileSystem", "AWS::KMS::Key"} <= left
    assert len(stage.region.snapshots) == 2


def _ids(stage: Stage) -> set[str]:
    """Logical ids of what no live stack holds."""
    held = {
        item.physical_id
        for stack in stage.region.stacks.values()
        if stack.status != "DELETE_COMPLETE"
        for item in stack.held.values()
    }
    return {
        item.logical_id
        for physical_id, item in stage.region.standing.items()
        if physical_id not in held
    }


# Choosing tiers


def test_a_tier_alone_needs_its_producers_deployed(packages: Path) -> None:
    stage = Stage()

    with pytest.raises(MissingProducer) as caught:
        stage.prepare(packages, "cache")

    assert str(caught.value) == (
        "cache imports from network, and tap-dev-network is not deployed; "
        "deploy network too, or name no tier to deploy them all"
    )


def test_the_accounts_own_stack_comes_along_where_it_is_missing() -> None:
    description = Description(
        {
            "base": {
                "Resources": {"It": {"Type": "AWS::SNS::Topic"}},
                "Outputs": {"Arn": {"Value": {"Ref": "It"}, "Export": {"Name": "tap-base-Arn"}}},
            },
            "user": {
                "Resources": {
                    "It": {
                        "Type": "AWS::SSM::Parameter",
                        "Properties": {
                            "Type": "String",
                            "Value": {"Fn::ImportValue": "tap-base-Arn"},
                        },
                    }
                }
            },
        },
        {"base": Scope.ACCOUNT, "user": Scope.ENVIRONMENT},
    )
    stage = Stage(description=description)

    first = stage.prepare(Path("unused"), "user")
    ends = stage.roll_out(first)
    second = stage.prepare(Path("unused"), "user")

    assert ends == {"tap-base": "created", "tap-dev-user": "created"}
    assert [item.name for item in second.wanted] == ["tap-dev-user"]


def test_a_tier_that_nobody_describes_is_refused(packages: Path) -> None:
    with pytest.raises(UnknownTier, match="did you mean 'network'"):
        rollout.selected(REAL, ["netwrk"])


# What is asked before anything changes


def test_nothing_is_changed_by_preparing(packages: Path) -> None:
    stage = Stage()

    stage.prepare(packages)

    assert stage.region.mutations == []
    assert stage.account.linked_roles == set()


def test_linked_roles_are_made_before_the_first_stack_only(packages: Path) -> None:
    stage = Stage()

    stage.roll_out(stage.prepare(packages))
    calls = [call.operation for call in stage.region.mutations]
    before = len(calls)
    stage.roll_out(stage.prepare(packages, parameters={"DbInstanceClass": "db.r6g.large"}))

    assert calls[0] == "create_service_linked_role"
    assert stage.account.linked_roles == {"ecs.amazonaws.com"}
    later = [call.operation for call in stage.region.mutations[before:]]
    assert "create_service_linked_role" not in later


def test_a_linked_role_that_may_not_be_made_is_told_and_the_run_goes_on(packages: Path) -> None:
    stage = Stage()
    stage.region.faults.call("create_service_linked_role", faults.DENIED)

    planned = stage.prepare(packages)
    outcome = stage.follow(
        rounds.carry_out(stage.session, planned, stage.run()),
        [item.name for item in planned.wanted],
    )

    first = outcome.events[0]
    assert isinstance(first, MonitoringTrouble)
    assert first.trouble.endswith("going on without")
    assert set(outcome.summary.outputs()) == {item.name for item in planned.wanted}


@pytest.mark.parametrize(("role", "ours"), [("", "true"), ("arn:aws:iam::1:role/x", "false")])
def test_the_accounts_logging_role_is_made_only_where_there_is_none(
    packages: Path, role: str, ours: str
) -> None:
    stage = Stage(Account(log_role=role))

    planned = stage.prepare(packages)

    assert ours in parameters(planned, "tap-foundation").values()


def test_the_accounts_logging_role_stays_whose_it_is(packages: Path) -> None:
    stage = Stage()
    stage.roll_out(stage.prepare(packages))
    stage.account.log_role = "ours, made by the stack"

    planned = stage.prepare(packages)

    assert {step.action for step in planned.steps()} == {Action.KEEP}


def test_a_version_that_aws_withdrew_is_replaced_with_consent(packages: Path) -> None:
    stage = Stage(Account(versions={"postgres": ["15.10", "16.8", "16.10", "17.2"]}))

    planned = stage.prepare(packages)

    (note,) = planned.consents
    assert note.startswith("AWS no longer creates postgres 16.6: it will be 16.10")
    assert parameters(planned, stack_of("storage"))["DbEngineVersion"] == "16.10"


def test_a_running_database_is_never_taken_back(packages: Path) -> None:
    stage = Stage()
    tiers = ("network", "storage")
    stage.roll_out(stage.prepare(packages, *tiers, parameters={"DbEngineVersion": "16.8"}))
    stage.account.running = {"video-metadata-db-dev": "16.8", **_every_database("16.8")}

    planned = stage.prepare(packages, *tiers)
    asked = stage.prepare(packages, *tiers, parameters={"DbEngineVersion": "16.4"})

    assert parameters(planned, stack_of("storage"))["DbEngineVersion"] == "16.8"
    assert (planned.notes, planned.consents) == ((), ())
    assert asked.notes == ("postgres 16.8 runs: it is never taken back to 16.4",)


def test_what_a_default_version_became_is_not_asked_for_again(packages: Path) -> None:
    stage = Stage(Account(versions={"postgres": ["15.10", "16.8", "16.12", "17.2"]}))
    stage.roll_out(stage.prepare(packages))
    asked = len(stage.region.calls)

    again = stage.prepare(packages)

    assert {call.service for call in stage.region.calls[asked:]} <= {"cloudformation", "sts"}
    assert parameters(again, "tap-dev-storage")["DbEngineVersion"] == "16.12"
    assert {step.action for step in again.steps()} == {Action.KEEP}


def _every_database(version: str) -> dict[str, str]:
    names = {
        resource["Properties"]["DBInstanceIdentifier"]["Fn::Sub"]
        for resource in REAL.documents["storage"]["Resources"].values()
        if resource["Type"] == "AWS::RDS::DBInstance"
    }
    return {name.replace("${EnvironmentSuffix}", "dev"): version for name in names}


def test_a_package_without_a_bucket_fails_its_stack_in_words(packages: Path) -> None:
    stage = Stage()
    planned = stage.prepare(packages)
    missing = dict.fromkeys(planned.bucket_stacks, "tap-nobody")

    outcome = stage.follow(
        rounds.carry_out(stage.session, replace(planned, bucket_stacks=missing), stage.run()),
        [item.name for item in planned.wanted],
    )

    (failed,) = (event for event in outcome.events if isinstance(event, StackFailed))
    assert failed.stack == stack_of("api")
    assert failed.reason == str(NoBucket("tap-foundation-ArtifactBucketName"))


def test_packages_are_sent_once(packages: Path) -> None:
    stage = Stage()
    stage.roll_out(stage.prepare(packages))
    stage.roll_out(stage.prepare(packages, tags={"Team": "a"}))

    sent = [call for call in stage.region.calls if call.operation == "put_object"]
    assert [call.parameters["Key"].split("/")[0] for call in sent] == ["lambda", "migrated"]


# Migrations


def test_migrations_run_once_for_a_code_after_the_stack_that_has_them_stands(
    packages: Path,
) -> None:
    stage = Stage()

    events = list(stage.carried_out(stage.prepare(packages)))
    again = list(stage.carried_out(stage.prepare(packages)))

    told = [event for event in events if isinstance(event, Migrated)]
    assert told == [Migrated(stack_of("api"), '{"applied": []}')]
    (function,) = stage.account.invoked
    assert "MigrationFunction" in function
    assert not [event for event in again if isinstance(event, Migrated)]


def test_failed_migrations_fail_their_stack_and_the_next_run_makes_up_for_them(
    packages: Path,
) -> None:
    stage = Stage()
    stage.account.function_error = "relation exists"

    events = list(stage.carried_out(stage.prepare(packages)))
    stage.account.function_error = ""
    again = list(stage.carried_out(stage.prepare(packages)))

    (failed,) = (event for event in events if isinstance(event, StackFailed))
    assert failed.stack == stack_of("api")
    assert failed.reason == (
        f"the stack stands, its migrations do not: {stage.account.invoked[0]} failed: "
        "relation exists; its log group has the whole story"
    )
    assert [event for event in again if isinstance(event, (Migrated, StackFailed))] == [
        Migrated(stack_of("api"), '{"applied": []}')
    ]


def test_an_emulator_has_no_database_to_migrate(packages: Path) -> None:
    stage = Stage()
    stage.session = replace(stage.session, emulated=True)

    list(stage.carried_out(stage.prepare(packages)))

    assert stage.account.invoked == []


def names(items: Sequence[Any]) -> list[str]:
    return [item.name for item in items]


def test_the_plan_is_told_in_dependency_order(packages: Path) -> None:
    planned = Stage().prepare(packages)

    assert [step.stack for step in planned.steps()] == names(planned.wanted)
    producers = graph.producers(REAL.documents)
    place = {item.tier: position for position, item in enumerate(planned.wanted)}
    assert all(place[p] < place[tier] for tier in place for p in producers[tier])


# Templates too long for a request


def test_a_long_template_goes_through_the_bucket_and_the_rest_does_not(packages: Path) -> None:
    long = dict(REAL.documents["notification"])
    long["Metadata"] = {**long.get("Metadata", {}), "Padding": ["x" * 100] * 700}
    documents = {**REAL.documents, "notification": sealed(long)}
    stage = Stage(description=Description(documents, REAL.scopes))
    stage.roll_out(stage.prepare(packages, "foundation"))

    ends = stage.roll_out(stage.prepare(packages, "foundation", "notification"))

    assert ends == {"tap-foundation": "unchanged", "tap-dev-notification": "created"}
    made = [call for call in stage.region.calls if call.operation == "create_change_set"]
    url = made[-1].parameters["TemplateURL"]
    assert "TemplateBody" not in made[-1].parameters
    assert "TemplateURL" not in made[0].parameters
    assert re.fullmatch(
        r"https://[A-Za-z0-9-]+\.s3\.ap-northeast-1\.amazonaws\.com"
        r"/templates/tap-dev-notification/[0-9a-f]{64}\.yaml",
        url,
    )


def test_a_long_template_without_a_bucket_fails_its_stack_and_says_what_to_deploy(
    packages: Path,
) -> None:
    long = dict(REAL.documents["notification"])
    long["Metadata"] = {**long.get("Metadata", {}), "Padding": ["x" * 100] * 700}
    documents = {**REAL.documents, "notification": sealed(long)}
    stage = Stage(description=Description(documents, REAL.scopes))
    planned = stage.prepare(packages, "notification")

    failures = [e for e in stage.carried_out(planned) if isinstance(e, StackFailed)]

    assert [failure.stack for failure in failures] == ["tap-dev-notification"]
    assert "deploy foundation" in failures[0].reason
