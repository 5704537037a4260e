"""What holds for every stack that the application describes, whoever adds the next one.

Parametrised over the application itself: there is no list to forget a stack in. What AWS and the
house demand of resources is judged by ``validate``, once, over all of them; here stands what needs
the descriptions, the rendering or several processes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tapgen import app, names, render, validate
from tapgen.digest import DIGEST_OUTPUT, digest_of
from tapgen.scope import Scope
from tapgen.stack import Stack

STACKS = app.describe()
DOCUMENTS = app.documents(STACKS)
SCOPES = app.scopes(STACKS)
each_stack = pytest.mark.parametrize("tier", DOCUMENTS)
OF_ENVIRONMENT = [tier for tier, scope in SCOPES.items() if scope is Scope.ENVIRONMENT]


def judgement() -> list[validate.Finding]:
    """Everything that is found, linters and all, from a process of its own.

    There nothing traces every line of the linter, which takes six times as long under coverage.
    """
    script = (
        "import dataclasses, json; from tapgen import app, render, validate; "
        "found = validate.run({tier: validate.Source(f'{tier}.yaml', document, "
        "render.text(document)) for tier, document in app.documents().items()}); "
        "print(json.dumps([dataclasses.asdict(each) for each in found]))"
    )
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, text=True
    ).stdout
    return [validate.Finding(**each) for each in json.loads(said)]


def test_nothing_is_wrong_and_the_withdrawn_version_of_the_baseline_is_told_not_hidden() -> None:
    found = judgement()

    # The one other thing told is exports that no stack imports: they are for people.
    assert [each for each in found if (each.rule, each.severity) != ("TAP103", "info")] == [
        validate.Finding(
            file="storage.yaml",
            logical_id="Database",
            rule="TAP301",
            message="asks for postgres 16.6 by default, which AWS has withdrawn for new instances",
            remedy="deploy resolves it before creating; running databases keep their version",
            severity="info",
        )
    ]


@each_stack
def test_parameters_stand_in_the_console_s_form_once_each_with_a_label(tier: str) -> None:
    form = DOCUMENTS[tier]["Metadata"]["AWS::CloudFormation::Interface"]
    grouped = [name for group in form["ParameterGroups"] for name in group["Parameters"]]

    assert sorted(grouped) == sorted(DOCUMENTS[tier].get("Parameters", {}))
    assert sorted(form["ParameterLabels"]) == sorted(grouped)
    assert all(group["Label"]["default"] for group in form["ParameterGroups"])
    assert all(label["default"] for label in form["ParameterLabels"].values())


@each_stack
def test_every_parameter_says_what_it_is_for_and_what_it_takes(tier: str) -> None:
    loose = []
    for name, parameter in DOCUMENTS[tier].get("Parameters", {}).items():
        bounds = {"AllowedValues", "AllowedPattern", "MinValue", "MaxValue", "MinLength"}
        own_type = str(parameter["Type"]).startswith("AWS::")
        if not parameter.get("Description") or not (own_type or bounds & set(parameter)):
            loose.append(name)

    assert loose == []


@each_stack
def test_a_default_keeps_the_parameter_s_own_bounds(tier: str) -> None:
    for name, parameter in DOCUMENTS[tier].get("Parameters", {}).items():
        default = parameter.get("Default")
        if default is None:
            continue
        assert default in parameter.get("AllowedValues", [default]), name
        assert re.fullmatch(parameter.get("AllowedPattern", ".*"), str(default)), name
        assert float(parameter.get("MinValue", "-inf")) <= _number(default, parameter), name
        assert float(parameter.get("MaxValue", "inf")) >= _number(default, parameter), name


def test_a_parameter_of_one_name_is_the_same_in_every_stack() -> None:
    seen: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for tier, document in DOCUMENTS.items():
        for name, parameter in document.get("Parameters", {}).items():
            first, definition = seen.setdefault(name, (tier, parameter))
            assert definition == parameter, f"{name} in {first} and {tier}"


@pytest.mark.parametrize("tier", OF_ENVIRONMENT)
def test_a_stack_of_an_environment_asks_for_its_suffix_and_has_no_default_for_it(
    tier: str,
) -> None:
    suffix = DOCUMENTS[tier]["Parameters"][names.SUFFIX]

    assert "Default" not in suffix
    assert suffix["AllowedPattern"] == "^[a-z0-9]+(-[a-z0-9]+)*$"
    assert (suffix["MinLength"], suffix["MaxLength"]) == (1, 20)


def test_no_stack_of_the_account_asks_for_a_suffix() -> None:
    asking = [
        tier
        for tier, scope in SCOPES.items()
        if scope is Scope.ACCOUNT and names.SUFFIX in DOCUMENTS[tier].get("Parameters", {})
    ]

    assert asking == []


def test_export_names_carry_the_suffix_or_the_account_s_own_prefix() -> None:
    wrong = []
    for tier, document in DOCUMENTS.items():
        for key, output in document["Outputs"].items():
            name = output.get("Export", {}).get("Name")
            own = SCOPES[tier] is Scope.ACCOUNT
            wanted = (
                f"tap-{tier}-{key}" if own else {"Fn::Sub": f"tap-${{EnvironmentSuffix}}-{key}"}
            )
            if name is not None and name != wanted:
                wrong.append((tier, key, name))

    assert wrong == []


def test_no_environment_can_take_a_name_that_an_account_s_stack_exports_under() -> None:
    own = [tier for tier, scope in SCOPES.items() if scope is Scope.ACCOUNT]

    assert own
    assert set(own) <= set(names.RESERVED)


@each_stack
def test_every_output_and_the_template_say_what_they_are(tier: str) -> None:
    document = DOCUMENTS[tier]

    assert document["Description"]
    assert [key for key, out in document["Outputs"].items() if not out.get("Description")] == []


@each_stack
def test_the_template_can_be_sent_without_a_bucket(tier: str) -> None:
    assert len(render.text(DOCUMENTS[tier]).encode()) < 51_200
    assert len(json.dumps(DOCUMENTS[tier]).encode()) < 51_200


@each_stack
def test_a_name_tag_ends_with_the_suffix(tier: str) -> None:
    if SCOPES[tier] is Scope.ACCOUNT:
        return
    for name, resource in DOCUMENTS[tier]["Resources"].items():
        tags = resource.get("Properties", {}).get("Tags", [])
        for tag in tags if isinstance(tags, list) else []:
            if tag["Key"] == "Name":
                assert tag["Value"]["Fn::Sub"].endswith("-${EnvironmentSuffix}"), name


@each_stack
def test_what_a_person_meets_has_a_name(tier: str) -> None:
    nameless = [
        name
        for name, resource in DOCUMENTS[tier]["Resources"].items()
        if resource["Type"] in MET_BY_NAME_TAG and "Tags" not in resource.get("Properties", {})
    ]

    assert nameless == []


@each_stack
def test_every_condition_is_used(tier: str) -> None:
    document = DOCUMENTS[tier]
    used = {str(value) for key, value in _pairs(document) if key == "Condition"}
    used |= {str(value[0]) for key, value in _pairs(document) if key == "Fn::If"}

    assert sorted(set(document.get("Conditions", {})) - used) == []


@each_stack
def test_the_template_deploys_in_tokyo_only(tier: str) -> None:
    document = DOCUMENTS[tier]
    look_up = {"Fn::FindInMap": ["OnlyRegion", {"Ref": "AWS::Region"}, "Is"]}

    assert document["Mappings"]["OnlyRegion"] == {"ap-northeast-1": {"Is": "supported"}}
    assert document["Conditions"]["InThatRegion"] == {"Fn::Equals": [look_up, "supported"]}
    assert document["Outputs"][DIGEST_OUTPUT]["Condition"] == "InThatRegion"


def test_digests_tell_the_stacks_apart() -> None:
    digests = [digest_of(document) for document in DOCUMENTS.values()]

    assert None not in digests
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize("stack", STACKS, ids=lambda stack: stack.tier)
def test_the_digest_is_of_everything_else_in_the_template(stack: Stack[Any]) -> None:
    bare = json.loads(json.dumps(stack.document()))
    bare["Outputs"].pop(DIGEST_OUTPUT)
    text = json.dumps(bare, sort_keys=True, separators=(",", ":"))

    assert digest_of(DOCUMENTS[stack.tier]) == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_any_process_describes_the_same_bytes() -> None:
    script = (
        "import json; from tapgen import app, render; "
        "print(json.dumps(render.texts(app.documents())))"
    )
    answers = [
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("0", "1", "4242")
    ]

    assert json.loads(answers[0]) == render.texts(DOCUMENTS)
    assert answers[1] == answers[0]
    assert answers[2] == answers[0]


def test_describing_twice_gives_equal_documents_that_share_nothing() -> None:
    again = app.documents()

    assert again == DOCUMENTS
    first = next(iter(again.values()))
    first["Resources"].clear()
    assert app.documents() == DOCUMENTS


# What consoles and bills list by its Name tag, having no name of its own.
MET_BY_NAME_TAG = {
    "AWS::EC2::EIP",
    "AWS::EC2::FlowLog",
    "AWS::EC2::InternetGateway",
    "AWS::EC2::NatGateway",
    "AWS::EC2::RouteTable",
    "AWS::EC2::SecurityGroup",
    "AWS::EC2::Subnet",
    "AWS::EC2::VPC",
    "AWS::EC2::VPCEndpoint",
}


def _number(default: object, parameter: Mapping[str, Any]) -> float:
    # Bounds on a value are for numbers; a text has none to break.
    return float(str(default)) if parameter["Type"] == "Number" else 0.0


def _pairs(node: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping):
        for key, item in node.items():
            yield str(key), item
            yield from _pairs(item)
    elif isinstance(node, list):
        for item in node:
            yield from _pairs(item)
