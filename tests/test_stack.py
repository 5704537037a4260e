"""What a draft puts into every template, and what holding an export means."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from troposphere import Equals, Ref, s3, sqs

from tapgen import digest, policies, stack
from tapgen.digest import digest_of, sealed
from tapgen.scope import Scope
from tapgen.stack import Draft, Exported

GUARD = {
    "Fn::Equals": [
        {"Fn::FindInMap": ["OnlyRegion", {"Ref": "AWS::Region"}, "Is"]},
        "supported",
    ]
}


def finished(draft: Draft) -> dict[str, Any]:
    return draft.finish(None).document()


def test_an_empty_draft_has_suffix_form_region_guard_and_digest() -> None:
    document = finished(Draft("queue", "Queue: jobs to come"))

    digest = digest_of(document)
    assert document == {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "Queue: jobs to come",
        "Metadata": {
            "AWS::CloudFormation::Interface": {
                "ParameterGroups": [
                    {"Label": {"default": "Environment"}, "Parameters": ["EnvironmentSuffix"]}
                ],
                "ParameterLabels": {"EnvironmentSuffix": {"default": "Environment"}},
            }
        },
        "Parameters": {
            "EnvironmentSuffix": {
                "Type": "String",
                "Description": "Ends every name, so that environments can stand side by side",
                "AllowedPattern": "^[a-z0-9]+(-[a-z0-9]+)*$",
                "ConstraintDescription": "lower-case letters, digits and single inner hyphens",
                "MinLength": 1,
                "MaxLength": 20,
            }
        },
        "Mappings": {"OnlyRegion": {"ap-northeast-1": {"Is": "supported"}}},
        "Conditions": {"InThatRegion": GUARD},
        "Resources": {},
        "Outputs": {
            "TemplateDigest": {
                "Condition": "InThatRegion",
                "Description": "Digest of the template this stack runs",
                "Value": digest,
            }
        },
    }


def test_the_region_guard_knows_tokyo_and_no_other_region() -> None:
    document = finished(Draft("queue", "Queue"))

    assert list(document["Mappings"]["OnlyRegion"]) == ["ap-northeast-1"]
    assert document["Outputs"]["TemplateDigest"]["Condition"] == "InThatRegion"
    assert document["Conditions"]["InThatRegion"] == GUARD


def test_a_stack_of_the_account_takes_no_suffix() -> None:
    draft = Draft("base", "Base", scope=Scope.ACCOUNT)
    draft.export("BucketName", "b", "A bucket")

    finish = draft.finish(None)

    assert finish.scope is Scope.ACCOUNT
    assert "Parameters" not in finish.document()
    assert finish.document()["Outputs"]["BucketName"]["Export"] == {"Name": "tap-base-BucketName"}


def test_an_export_is_used_elsewhere_as_the_import_of_its_name() -> None:
    draft = Draft("queue", "Queue")
    queue = draft.add(sqs.Queue("Jobs"))

    exported = draft.export("JobsUrl", Ref(queue), "Where jobs wait")

    name = {"Fn::Sub": "tap-${EnvironmentSuffix}-JobsUrl"}
    assert finished(draft)["Outputs"]["JobsUrl"] == {
        "Description": "Where jobs wait",
        "Value": {"Ref": "Jobs"},
        "Export": {"Name": name},
    }
    assert isinstance(exported, Exported)
    assert exported.key == "JobsUrl"
    assert exported.to_dict() == {"Fn::ImportValue": name}


def test_a_plain_output_can_be_imported_by_nobody() -> None:
    draft = Draft("queue", "Queue")

    draft.output("Where", "here", "For people")

    assert finished(draft)["Outputs"]["Where"] == {"Description": "For people", "Value": "here"}


def test_two_outputs_of_one_key_are_refused() -> None:
    draft = Draft("queue", "Queue")
    draft.export("JobsUrl", "a", "One")

    with pytest.raises(ValueError, match="duplicate key"):
        draft.export("JobsUrl", "b", "Two")


def test_a_switch_is_a_choice_of_two_words_and_a_condition() -> None:
    draft = Draft("queue", "Queue")

    condition = draft.switch(
        "DeadLetters", group="Queue", label="Dead letters", description="Keep them", default=False
    )

    document = finished(draft)
    assert condition == "DeadLettersIsOn"
    assert document["Parameters"]["DeadLetters"] == {
        "Type": "String",
        "Description": "Keep them",
        "Default": "false",
        "AllowedValues": ["true", "false"],
    }
    assert document["Conditions"]["DeadLettersIsOn"] == {
        "Fn::Equals": [{"Ref": "DeadLetters"}, "true"]
    }


def test_parameters_of_one_group_stand_together_in_the_form() -> None:
    draft = Draft("queue", "Queue")
    for title in ("Depth", "Width"):
        draft.parameter(title, group="Size", label=title.lower(), description="How much")

    form = finished(draft)["Metadata"]["AWS::CloudFormation::Interface"]

    assert form["ParameterGroups"] == [
        {"Label": {"default": "Environment"}, "Parameters": ["EnvironmentSuffix"]},
        {"Label": {"default": "Size"}, "Parameters": ["Depth", "Width"]},
    ]
    assert form["ParameterLabels"]["Width"] == {"default": "width"}


def test_a_parameter_may_say_its_own_type() -> None:
    draft = Draft("queue", "Queue")

    ref = draft.parameter(
        "Depth", group="Size", label="d", description="How deep", Type="Number", Default=3
    )

    assert ref.to_dict() == {"Ref": "Depth"}
    assert finished(draft)["Parameters"]["Depth"] == {
        "Type": "Number",
        "Description": "How deep",
        "Default": 3,
    }


def test_names_and_name_tags_end_with_the_suffix() -> None:
    draft = Draft("queue", "Queue")

    assert draft.name("jobs").to_dict() == {"Fn::Sub": "jobs-${EnvironmentSuffix}"}
    assert draft.name_tag("jobs").to_dict() == [
        {"Key": "Name", "Value": {"Fn::Sub": "jobs-${EnvironmentSuffix}"}}
    ]


def test_a_resource_leaves_as_its_kind_does_unless_said_otherwise() -> None:
    draft = Draft("queue", "Queue")
    draft.add(s3.Bucket("Kept"))
    draft.add(s3.Bucket("Gone"), policies.DELETE)

    resources = finished(draft)["Resources"]

    assert resources["Kept"]["DeletionPolicy"] == "RetainExceptOnCreate"
    assert resources["Gone"]["DeletionPolicy"] == "Delete"


def test_a_condition_is_called_as_it_was_named() -> None:
    draft = Draft("queue", "Queue")

    assert draft.condition("Always", Equals("a", "a")) == "Always"
    assert finished(draft)["Conditions"]["Always"] == {"Fn::Equals": ["a", "a"]}


def test_the_digest_changes_with_anything_in_the_template_and_with_nothing_else() -> None:
    def digest(purpose: str, value: str) -> str | None:
        draft = Draft("queue", purpose)
        draft.output("Where", value, "For people")
        return digest_of(finished(draft))

    first = digest("Queue", "here")

    assert first is not None
    assert len(first) == 16
    assert digest("Queue", "here") == first
    assert digest("Queue", "there") != first
    assert digest("Queue!", "here") != first


def test_the_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert digest.digest({"a": 1, "b": [1, 2]}) == digest.digest({"b": [1, 2], "a": 1})
    assert digest.digest({"a": [1, 2]}) != digest.digest({"a": [2, 1]})


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"Outputs": {}},
        {"Outputs": {"TemplateDigest": {"Value": 12}}},
        {"Outputs": {"TemplateDigest": {"Value": {"Ref": "Digest"}}}},
    ],
)
def test_a_template_of_somebody_else_has_no_digest(document: dict[str, Any]) -> None:
    assert digest_of(document) is None


def test_a_finished_stack_is_frozen() -> None:
    done = Draft("queue", "Queue").finish("exports")

    with pytest.raises(FrozenInstanceError):
        done.tier = "other"  # type: ignore[misc]
    assert done.exports == "exports"


def test_a_sealed_variant_carries_the_digest_of_what_it_has_become() -> None:
    def draft(value: str) -> dict[str, Any]:
        written = Draft("queue", "Queue")
        written.output("Where", value, "For people")
        return finished(written)

    here, there = draft("here"), draft("there")
    variant = {**here, "Outputs": {**here["Outputs"], "Where": there["Outputs"]["Where"]}}

    assert sealed(here) == here
    assert digest_of(variant) == digest_of(here)
    assert sealed(variant) == there


def test_a_resource_remembers_the_line_that_wrote_it_down() -> None:
    draft = Draft("queue", "Queue")
    draft.add(sqs.Queue("Jobs"))
    made = draft.finish(None)

    module, _, line = made.sources["Jobs"].rpartition(":")
    with open(__file__, encoding="utf-8") as here:
        assert "draft.add(sqs.Queue(" in here.readlines()[int(line) - 1]
    assert module == "test_stack.py"


def test_a_resource_made_by_a_helper_is_the_caller_s(monkeypatch: pytest.MonkeyPatch) -> None:
    draft = Draft("queue", "Queue")
    monkeypatch.setattr(stack, "_HELPERS", stack._HELPERS | {"maker"})
    helper: dict[str, Any] = {"__name__": "maker"}
    exec("def make(draft, resource):\n    return draft.add(resource)\n", helper)

    helper["make"](draft, sqs.Queue("Jobs"))

    assert draft.finish(None).sources["Jobs"].startswith("test_stack.py:")
