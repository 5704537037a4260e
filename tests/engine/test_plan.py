"""What is to be done about a stack: wanted against deployed, in every status there is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import botocore.session
import pytest
from twin.scene import tier, wanted

from tapgen.cloud import DeployedStack
from tapgen.engine import plan
from tapgen.engine.plan import Action, MissingParameter, Wanted

ITEM = wanted([tier("network")])[0]


def as_wanted(item: Wanted, status: str = "CREATE_COMPLETE") -> DeployedStack:
    """The stack as it stands when ``item`` was deployed."""
    return DeployedStack(
        "id",
        item.name,
        status,
        parameters=item.request.parameters,
        outputs={"TemplateDigest": item.document["Outputs"]["TemplateDigest"]["Value"]},
        tags=item.request.tags,
    )


def test_what_is_not_there_is_created() -> None:
    step = plan.decide(ITEM, None)

    assert (step.tier, step.stack) == ("network", "tap-dev-network")
    assert (step.action, step.why) == (Action.CREATE, "not deployed yet")


def test_what_is_as_wanted_is_kept() -> None:
    step = plan.decide(ITEM, as_wanted(ITEM))

    assert (step.action, step.why) == (Action.KEEP, "unchanged")


def test_every_difference_is_named() -> None:
    deployed = replace(
        as_wanted(ITEM),
        outputs={"TemplateDigest": "another"},
        parameters={"EnvironmentSuffix": "dev", "Removed": "x"},
        tags={**ITEM.request.tags, "Project": "other"},
    )

    step = plan.decide(ITEM, deployed)

    assert step.action is Action.UPDATE
    assert step.why == "template, parameter Removed, tag Project"


def test_a_capability_that_was_not_granted_is_a_difference() -> None:
    needs = replace(ITEM, request=replace(ITEM.request, capabilities=("CAPABILITY_NAMED_IAM",)))

    step = plan.decide(needs, as_wanted(needs))

    assert (step.action, step.why) == (Action.UPDATE, "capability CAPABILITY_NAMED_IAM")


@pytest.mark.parametrize(
    "granted", [("CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"), ("CAPABILITY_IAM",)]
)
def test_more_than_was_needed_or_the_same_by_another_name_is_none(granted: tuple[str, ...]) -> None:
    needs = replace(ITEM, request=replace(ITEM.request, capabilities=("CAPABILITY_NAMED_IAM",)))

    step = plan.decide(needs, replace(as_wanted(needs), capabilities=granted))

    assert step.action is Action.KEEP


def test_a_template_without_a_digest_is_never_taken_for_unchanged() -> None:
    document = {"Resources": {"It": {"Type": "AWS::SNS::Topic"}}}
    item = plan.wanted("network", document, "{}", env="dev", given={}, tags={})

    step = plan.decide(item, DeployedStack("id", item.name, "CREATE_COMPLETE"))

    assert (step.action, step.why) == (Action.UPDATE, "template")


def test_a_rolled_back_update_is_tried_again_though_nothing_differs() -> None:
    step = plan.decide(ITEM, as_wanted(ITEM, "UPDATE_ROLLBACK_COMPLETE"))

    assert step.action is Action.UPDATE
    assert step.why == "its last update was rolled back (UPDATE_ROLLBACK_COMPLETE)"


@pytest.mark.parametrize(
    ("status", "action"),
    [
        ("CREATE_IN_PROGRESS", Action.WAIT),
        ("CREATE_FAILED", Action.RECREATE),
        ("CREATE_COMPLETE", Action.KEEP),
        ("ROLLBACK_IN_PROGRESS", Action.WAIT),
        ("ROLLBACK_FAILED", Action.RECREATE),
        ("ROLLBACK_COMPLETE", Action.RECREATE),
        ("DELETE_IN_PROGRESS", Action.WAIT),
        ("DELETE_FAILED", Action.REFUSE),
        ("UPDATE_IN_PROGRESS", Action.WAIT),
        ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", Action.WAIT),
        ("UPDATE_COMPLETE", Action.KEEP),
        ("UPDATE_FAILED", Action.RECOVER),
        ("UPDATE_ROLLBACK_IN_PROGRESS", Action.WAIT),
        ("UPDATE_ROLLBACK_FAILED", Action.RECOVER),
        ("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", Action.WAIT),
        ("UPDATE_ROLLBACK_COMPLETE", Action.UPDATE),
        ("REVIEW_IN_PROGRESS", Action.CREATE),
        ("IMPORT_IN_PROGRESS", Action.WAIT),
        ("IMPORT_COMPLETE", Action.KEEP),
        ("IMPORT_ROLLBACK_IN_PROGRESS", Action.WAIT),
        ("IMPORT_ROLLBACK_FAILED", Action.REFUSE),
        ("IMPORT_ROLLBACK_COMPLETE", Action.UPDATE),
    ],
)
def test_every_status_has_its_row(status: str, action: Action) -> None:
    assert plan.decide(ITEM, as_wanted(ITEM, status)).action is action


def test_the_rows_are_all_the_statuses_that_cloudformation_has() -> None:
    model = botocore.session.get_session().get_service_model("cloudformation")
    marks = test_every_status_has_its_row.pytestmark  # type: ignore[attr-defined]
    rows = {status for status, _ in marks[0].args[1]}

    # A deleted stack is answered as none at all.
    shape: Any = model.shape_for("StackStatus")
    assert rows | {"DELETE_COMPLETE"} == set(shape.enum)


def test_a_template_too_long_for_cloudformation_is_refused_beforehand() -> None:
    long = replace(ITEM, request=replace(ITEM.request, written=lambda: "é" * 500_001))

    step = plan.decide(long, None)

    assert step.action is Action.REFUSE
    assert step.why == "its template has 1,000,002 bytes, more than 1,000,000; split the tier"


def test_a_template_too_long_for_the_request_itself_is_deployed_all_the_same() -> None:
    long = replace(ITEM, request=replace(ITEM.request, written=lambda: "é" * 25_601))

    assert plan.decide(long, None).action is Action.CREATE


def test_parameters_come_from_what_is_given_then_from_their_defaults() -> None:
    document = {
        "Parameters": {
            "EnvironmentSuffix": {"Type": "String"},
            "Size": {"Type": "Number", "Default": 3},
            "Zone": {"Type": "String", "Default": "a"},
        },
        "Resources": {"It": {"Type": "AWS::SNS::Topic"}},
    }
    given = {"Zone": "c", "Unknown": "x"}

    item = plan.wanted("network", document, "text", env="dev", given=given, tags={"A": "b"})

    assert item.request.stack == "tap-dev-network"
    assert item.request.parameters == {"EnvironmentSuffix": "dev", "Size": "3", "Zone": "c"}
    assert item.request.tags == {"A": "b"}


def test_a_parameter_that_nobody_fills_is_an_error_that_names_it() -> None:
    document = {"Parameters": {"Key": {"Type": "String"}}, "Resources": {}}

    with pytest.raises(MissingParameter) as caught:
        plan.wanted("api", document, "text", env=None, given={}, tags={})

    assert (caught.value.tier, caught.value.parameter) == ("api", "Key")


@pytest.mark.parametrize(
    ("document", "needed"),
    [
        ({"Resources": {"A": {"Type": "AWS::SNS::Topic"}}}, ()),
        ({"Resources": {"A": {"Type": "AWS::IAM::Role"}}}, ("CAPABILITY_NAMED_IAM",)),
        (
            {"Resources": {"A": {"Type": "AWS::IAM::Role"}}, "Transform": "AWS::Serverless"},
            ("CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"),
        ),
    ],
)
def test_only_the_capabilities_that_are_needed_are_given(
    document: dict[str, object], needed: tuple[str, ...]
) -> None:
    assert plan.capabilities(document) == needed


HIDING = {
    "Parameters": {"Password": {"Type": "String", "NoEcho": True}},
    "Resources": {"It": {"Type": "AWS::SNS::Topic"}},
}


def test_a_hidden_value_that_nobody_gives_stays_as_it_is_and_is_no_change() -> None:
    before = DeployedStack("id", "tap-dev-api", "CREATE_COMPLETE", parameters={"Password": "****"})

    item = plan.wanted("api", HIDING, "{}", env="dev", given={}, tags={}, deployed=before)

    assert item.request.parameters["Password"] == "****"
    assert item.request.previous == {"Password"}
    assert "parameter Password" not in plan.differences(item, before)


def test_a_hidden_value_that_is_given_cannot_be_compared_and_counts_as_a_change() -> None:
    before = DeployedStack("id", "tap-dev-api", "CREATE_COMPLETE", parameters={"Password": "****"})
    given = {"Password": "new"}

    item = plan.wanted("api", HIDING, "{}", env="dev", given=given, tags={}, deployed=before)

    assert item.request.previous == set()
    assert "parameter Password" in plan.differences(item, before)


def test_a_stack_that_never_stood_has_no_hidden_value_to_keep() -> None:
    failed = DeployedStack("id", "tap-dev-api", "ROLLBACK_COMPLETE", parameters={"Password": "**"})

    with pytest.raises(MissingParameter):
        plan.wanted("api", HIDING, "{}", env="dev", given={}, tags={}, deployed=failed)
