"""The linters see what they are for: Tokyo, defaults filled in, the States Language, real calls."""

from __future__ import annotations

import json
import sys

import pytest
from judged import sources, world

from tapgen import validate
from tapgen.validate import MissingExtra, grammar, linter, machine
from tapgen.validate.invariants.database import FIRST_CREATABLE
from tapgen.validate.load import parse_yaml

# db.x2g.large is offered in us-east-1, not in Tokyo.
INSTANCES = """
Parameters:
  Class: {Type: String, Default: db.x2g.large}
Resources:
  Written:
    Type: AWS::RDS::DBInstance
    DeletionPolicy: Snapshot
    UpdateReplacePolicy: Snapshot
    Properties:
      {Engine: postgres, DBInstanceClass: db.x2g.large, AllocatedStorage: "100", MasterUsername: u,
      ManageMasterUserPassword: true}
  Default:
    Type: AWS::RDS::DBInstance
    DeletionPolicy: Snapshot
    UpdateReplacePolicy: Snapshot
    Properties:
      {Engine: postgres, DBInstanceClass: !Ref Class, AllocatedStorage: "100", MasterUsername: u,
      ManageMasterUserPassword: true}
"""


def _instance(version: str) -> dict[str, object]:
    return {
        "Type": "AWS::RDS::DBInstance",
        "Properties": {"Engine": "postgres", "EngineVersion": version},
    }


@pytest.fixture(scope="module")
def linted() -> list[validate.Finding]:
    return linter.lint(
        sources(
            {
                "stacks": {
                    "app": parse_yaml(INSTANCES),
                    "log": {"Log": {"Type": "AWS::Logs::LogGroup"}},
                    "versions": {
                        f"V{major}x{minor}": _instance(f"{major}.{minor}")
                        for major, first in FIRST_CREATABLE["postgres"].items()
                        for minor in (first - 1, first)
                    },
                    "topic": {"Topic": {"Type": "AWS::SNS::Topic", "Propertys": {}}},
                }
            }
        )
    )


def of_rule(found: list[validate.Finding], rule: str) -> list[tuple[str, str, str]]:
    return sorted(
        (each.file, each.logical_id, each.severity) for each in found if each.rule == rule
    )


def test_an_instance_class_that_tokyo_does_not_offer_is_found_also_behind_a_parameter(
    linted: list[validate.Finding],
) -> None:
    assert of_rule(linted, "E3025") == [
        ("app.yaml", "Default", "error"),
        ("app.yaml", "Written", "error"),
    ]


def test_the_linter_knows_the_same_versions_as_withdrawn(linted: list[validate.Finding]) -> None:
    assert of_rule(linted, "W3691") == [
        ("versions.yaml", "V16x8", "warning"),
        ("versions.yaml", "V17x4", "warning"),
    ]


def test_what_filling_in_brings_about_itself_is_not_told(linted: list[validate.Finding]) -> None:
    assert {each.rule for each in linted} & {"W2001", "I4010", "W3010"} == set()


def test_informational_findings_are_asked_for(linted: list[validate.Finding]) -> None:
    # One for each of the two policies that are not stated.
    of_log = [each for each in linted if each.file == "log.yaml"]
    assert of_rule(of_log, "I3011") == [("log.yaml", "Log", "info"), ("log.yaml", "Log", "info")]


def test_what_both_passes_find_is_told_once_with_its_place(linted: list[validate.Finding]) -> None:
    found = [each for each in linted if each.file == "topic.yaml"]

    assert [(each.logical_id, each.rule, each.severity) for each in found] == [
        ("Topic", "E3001", "error")
    ]


def said_of(state: dict[str, object]) -> list[str]:
    """What is said of a machine with the one state A."""
    text = json.dumps({"StartAt": "A", "States": {"A": state}})
    flow = {"Type": machine.MACHINE, "Properties": {"DefinitionString": text}}
    return [f"{each.logical_id} {each.rule}: {each.message}" for each in _lint({"Flow": flow})]


def _lint(resources: dict[str, object]) -> list[validate.Finding]:
    return grammar.lint(world(resources))


def task(resource: str, parameters: dict[str, object]) -> dict[str, object]:
    return {"Type": "Task", "Resource": resource, "Parameters": parameters, "End": True}


def test_a_next_state_that_does_not_exist_is_found_by_the_language_s_linter() -> None:
    assert said_of({"Type": "Pass", "Next": "B"}) == [
        'Flow TAP671: No state found named "B", referenced at State Machine.States.A.Next',
        "Flow TAP671: No terminal state found in machine at State Machine.States",
    ]


def test_whole_numbers_may_stand_where_the_language_has_fractions() -> None:
    publish = task("arn:aws:states:::sns:publish", {"TopicArn": "t", "Message": {"any": "json"}})
    retry = [{"ErrorEquals": ["States.ALL"], "BackoffRate": 2}]

    assert said_of({**publish, "Retry": retry}) == []


def test_a_member_that_the_call_does_not_have_or_has_of_another_kind_is_found() -> None:
    run = task(
        "arn:aws:states:::ecs:runTask.sync",
        {
            "Cluster": "c",
            "TaskDefinitions": "t",
            "EnableECSManagedTags": "yes",
            "Overrides": {"ContainerOverrides": [{"Name": "n", "Enviroment": []}]},
            "Tags.$": "$.t",
        },
    )

    assert said_of(run) == [
        "Flow TAP672: A: TaskDefinitions is not a member of RunTaskRequest",
        "Flow TAP672: A: EnableECSManagedTags is str, and boolean is wanted",
        "Flow TAP672: A: Overrides.ContainerOverrides.Enviroment is not a member of "
        "ContainerOverride",
    ]


@pytest.mark.parametrize(
    "resource",
    [
        "arn:aws:states:::aws-sdk:nothing:doIt",
        "arn:aws:states:::http:invoke",
        "arn:aws:states:::sns:whisper",
        "arn:aws:lambda:ap-northeast-1:123456789012:function:f",
    ],
)
def test_a_call_without_a_model_is_left_alone(resource: str) -> None:
    assert said_of(task(resource, {"Any": 1})) == []


def test_an_sdk_call_is_read_by_its_service_s_model() -> None:
    describe = task("arn:aws:states:::aws-sdk:ecs:describeTasks", {"Cluster": "c", "Task": ["t"]})

    assert said_of(describe) == ["Flow TAP672: A: Task is not a member of DescribeTasksRequest"]


@pytest.mark.parametrize("module", ["cfnlint", "statelint"])
def test_a_linter_that_is_not_installed_is_named_with_the_extra(
    monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    template = {"Flow": {"Type": machine.MACHINE, "Properties": {"DefinitionString": "{}"}}}

    with pytest.raises(MissingExtra) as caught:
        validate.run(sources(template))

    assert str(caught.value) == (
        f"validate needs the extra ({module}): pip install 'tapgen[validate]'"
    )
    assert validate.run(sources(template), linters=False) != []
