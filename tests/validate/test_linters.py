"""The linters see what they are for: Tokyo, defaults filled in, the States Language, real calls."""

from __future__ import annotations

import sys

import pytest
from judged import sources, world

from tapgen import validate
from tapgen.validate import MissingExtra, definition, linter
from tapgen.validate.load import parse_yaml

# Offered in Tokyo, unlike in us-east-1: db.t3.micro; the other way round: db.x2g.large.
INSTANCES = """
Parameters:
  Class: {Type: String, Default: db.x2g.large}
Resources:
  Written:
    Type: AWS::RDS::DBInstance
    DeletionPolicy: Snapshot
    UpdateReplacePolicy: Snapshot
    Properties: {Engine: postgres, DBInstanceClass: db.x2g.large, AllocatedStorage: "100", ManageMasterUserPassword: true, MasterUsername: u}
  Default:
    Type: AWS::RDS::DBInstance
    DeletionPolicy: Snapshot
    UpdateReplacePolicy: Snapshot
    Properties: {Engine: postgres, DBInstanceClass: !Ref Class, AllocatedStorage: "100", ManageMasterUserPassword: true, MasterUsername: u}
"""


@pytest.fixture(scope="module")
def linted() -> list[validate.Finding]:
    return linter.lint(sources(parse_yaml(INSTANCES)))


def of_rule(found: list[validate.Finding], rule: str) -> list[tuple[str, str, str]]:
    return sorted((each.file, each.logical_id, each.severity) for each in found if each.rule == rule)


def test_an_instance_class_that_tokyo_does_not_offer_is_found_also_behind_a_parameter(
    linted: list[validate.Finding],
) -> None:
    assert of_rule(linted, "E3025") == [
        ("app.yaml", "Default", "error"),
        ("app.yaml", "Written", "error"),
    ]


def test_what_filling_in_brings_about_itself_is_not_told(linted: list[validate.Finding]) -> None:
    assert {each.rule for each in linted} & {"W2001", "I4010", "W3010"} == set()


def test_informational_findings_are_asked_for() -> None:
    queue = {"Resources": {"Log": {"Type": "AWS::Logs::LogGroup"}}}

    found = linter.lint(sources(queue))

    assert [(each.logical_id, each.rule, each.severity) for each in sorted(found)] == [
        ("Log", "I3011", "info")
    ] or {each.severity for each in found} >= {"info"}


def test_a_broken_template_is_told_once_per_fault_with_its_place() -> None:
    found = linter.lint(sources({"Resources": {"Topic": {"Type": "AWS::SNS::Topic", "Propertys": {}}}}))

    assert [(each.file, each.logical_id, each.rule, each.severity) for each in found] == [
        ("app.yaml", "Topic", "E3001", "error")
    ]


def machine(text: str) -> list[str]:
    resource = {"Type": definition.machine.MACHINE, "Properties": {"DefinitionString": text}}
    return [
        f"{found.logical_id} {found.rule}: {found.message}"
        for found in definition.lint(world({"Flow": resource}))
    ]


def test_a_next_state_that_does_not_exist_is_found_by_the_language_s_linter() -> None:
    assert machine('{"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "B"}}}') == [
        'Flow TAP671: No state found named "B", referenced at State Machine.States.A.Next',
        "Flow TAP671: No terminal state found in machine at State Machine.States",
    ]


def test_whole_numbers_may_stand_where_the_language_has_fractions() -> None:
    retry = '"Retry": [{"ErrorEquals": ["States.ALL"], "BackoffRate": 2}]'
    resource = "arn:aws:states:::sns:publish"

    assert (
        machine(
            '{"StartAt": "A", "States": {"A": {"Type": "Task", "Resource": "%s", '
            '"Parameters": {"TopicArn": "t", "Message": {"any": "json"}}, %s, "End": true}}}'
            % (resource, retry)
        )
        == []
    )


def test_a_member_that_the_call_does_not_have_or_has_of_another_kind_is_found() -> None:
    parameters = (
        '{"Cluster": "c", "TaskDefinitions": "t", "EnableECSManagedTags": "yes", '
        '"Overrides": {"ContainerOverrides": [{"Name": "n", "Enviroment": []}]}, "Tags.$": "$.t"}'
    )

    assert machine(
        '{"StartAt": "A", "States": {"A": {"Type": "Task", "Resource": '
        f'"arn:aws:states:::ecs:runTask.sync", "Parameters": {parameters}, "End": true}}}}'
    ) == [
        "Flow TAP672: A: TaskDefinitions is not a member of RunTaskRequest",
        "Flow TAP672: A: EnableECSManagedTags is str, and boolean is wanted",
        "Flow TAP672: A: Overrides.ContainerOverrides.Enviroment is not a member of "
        "ContainerOverride",
    ]


@pytest.mark.parametrize(
    "resource", ["arn:aws:states:::aws-sdk:nothing:doIt", "arn:aws:states:::http:invoke"]
)
def test_a_service_without_a_model_is_left_alone(resource: str) -> None:
    state = '{"Type": "Task", "Resource": "%s", "Parameters": {"Any": 1}, "End": true}' % resource

    assert machine('{"StartAt": "A", "States": {"A": %s}}' % state) == []


@pytest.mark.parametrize("module", ["cfnlint", "statelint"])
def test_a_linter_that_is_not_installed_is_named_with_the_extra(
    monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    template = {"Flow": {"Type": definition.machine.MACHINE, "Properties": {"DefinitionString": "{}"}}}

    with pytest.raises(MissingExtra) as caught:
        validate.run(sources(template))

    assert str(caught.value) == (
        f"validate needs the extra ({module}): pip install 'tapgen[validate]'"
    )
    assert validate.run(sources(template), linters=False) != []
