"""How exports in use leave or change: planned rounds over small stacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tapgen import phases, plan, stack, yaml_text
from tapgen.cloud import DeployedStack
from tapgen.plan import Wanted
from tapgen.resolve import Document

TOPIC = {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": {"Fn::Sub": "t-${Name}"}}}
SUFFIX = {"EnvironmentSuffix": {"Type": "String"}}


def exported(key: str, value: Any) -> dict[str, Any]:
    name = {"Fn::Sub": f"tap-${{EnvironmentSuffix}}-{key}"}
    return {"Value": value, "Export": {"Name": name}}


def imported(key: str) -> dict[str, Any]:
    return {"Fn::ImportValue": {"Fn::Sub": f"tap-${{EnvironmentSuffix}}-{key}"}}


def document(
    resources: Mapping[str, Any], outputs: Mapping[str, Any] | None = None, **sections: Any
) -> Document:
    parameters = {**SUFFIX, **sections.pop("Parameters", {})}
    shown = {**(outputs or {}), stack.DIGEST_OUTPUT: {"Value": "x"}}
    return stack.sealed(
        {"Parameters": parameters, "Resources": dict(resources), "Outputs": shown, **sections}
    )


def wanted(tier: str, body: Document) -> Wanted:
    return plan.wanted(tier, body, yaml_text.dump(body), env="dev", given={}, tags={})


def standing(
    documents: Mapping[str, Document],
    exports: Mapping[str, Mapping[str, str]],
    importers: Mapping[str, tuple[str, ...]],
) -> phases.Standing:
    stacks = {
        name: DeployedStack(
            id=f"arn:{name}",
            name=name,
            status="CREATE_COMPLETE",
            parameters={"EnvironmentSuffix": "dev", "Name": "old"},
            exports=exports.get(name, {}),
        )
        for name in documents
    }
    return phases.Standing(stacks, documents, importers)


USER = document({"Rule": {"Type": "X", "Properties": {"Topic": imported("Topic")}}})
FREE = document({"Rule": {"Type": "X", "Properties": {"Topic": "none"}}})


def test_nothing_in_the_way_is_one_round_of_what_is_wanted() -> None:
    maker = wanted("maker", document({"T": {"Type": "X"}}))

    found = phases.phases([maker], standing({}, {}, {}), {})

    assert found == (phases.Phase("deploy", (maker,)),)


def test_an_export_that_leaves_while_imported_is_kept_until_its_importer_moved() -> None:
    old = document(
        {"Topic": TOPIC, "Other": {"Type": "X"}},
        {"Topic": exported("Topic", {"Ref": "Topic"})},
        Parameters={"Name": {"Type": "String", "Default": "old"}},
    )
    maker, user = wanted("maker", document({"Other": {"Type": "X"}})), wanted("user", FREE)
    now = standing(
        {"tap-dev-maker": old, "tap-dev-user": USER},
        {"tap-dev-maker": {"tap-dev-Topic": "arn:topic"}},
        {"tap-dev-Topic": ("tap-dev-user",)},
    )

    deploy, contract = phases.phases([maker, user], now, {})

    kept = deploy.wanted[0].document
    assert (deploy.title, contract.title) == ("deploy", "contract")
    assert list(kept["Resources"]) == ["Other", "Topic"]
    assert kept["Outputs"]["Topic"] == exported("Topic", {"Ref": "Topic"})
    assert deploy.wanted[0].request.parameters == {"EnvironmentSuffix": "dev", "Name": "old"}
    assert deploy.wanted[1] is user
    assert deploy.gone == ("tap-dev-Topic",)
    assert contract.wanted == (maker,)


def test_an_export_that_nobody_imports_leaves_at_once() -> None:
    old = document({"T": TOPIC}, {"Topic": exported("Topic", {"Ref": "T"})})
    maker = wanted("maker", document({"Other": {"Type": "X"}}))
    now = standing({"tap-dev-maker": old}, {"tap-dev-maker": {"tap-dev-Topic": "arn"}}, {})

    found = phases.phases([maker], now, {})

    assert [phase.title for phase in found] == ["deploy"]
    assert found[0].wanted == (maker,)


def test_importers_of_a_changing_value_hold_it_literally_in_the_template_they_run() -> None:
    body = document({"Topic": TOPIC}, {"Topic": exported("Topic", {"Ref": "Topic"})})
    maker, user = wanted("maker", body), wanted("user", USER)
    now = standing(
        {"tap-dev-maker": body, "tap-dev-user": USER},
        {"tap-dev-maker": {"tap-dev-Topic": "arn:topic"}},
        {"tap-dev-Topic": ("tap-dev-user",)},
    )

    detach, deploy = phases.phases([maker, user], now, {"tap-dev-maker": ["tap-dev-Topic"]})

    (held,) = detach.wanted
    assert (detach.still, detach.gone) == (True, ("tap-dev-Topic",))
    rule = held.document["Resources"]["Rule"]
    assert rule["Properties"] == {"Topic": "arn:topic"}
    # Something that CloudFormation always takes for a change, and that changes nothing.
    assert rule["Metadata"] == {"HeldLiterally": ["tap-dev-Topic"]}
    assert stack.digest_of(held.document) != stack.digest_of(USER)
    assert deploy.wanted == (maker, user)


def test_a_chain_lets_go_of_every_changing_value_in_the_first_round() -> None:
    first = document({"T": TOPIC}, {"A": exported("A", {"Ref": "T"})})
    second = document(
        {"M": {"Type": "X", "Properties": {"P": imported("A")}}}, {"B": exported("B", {"Ref": "M"})}
    )
    third = document({"L": {"Type": "X", "Properties": {"P": imported("B")}}})
    now = standing(
        {"tap-dev-one": first, "tap-dev-two": second, "tap-dev-three": third},
        {"tap-dev-one": {"tap-dev-A": "a"}, "tap-dev-two": {"tap-dev-B": "b"}},
        {"tap-dev-A": ("tap-dev-two",), "tap-dev-B": ("tap-dev-three",)},
    )
    all_three = [wanted("one", first), wanted("two", second), wanted("three", third)]
    changing = {"tap-dev-one": ["tap-dev-A"], "tap-dev-two": ["tap-dev-B"]}

    detach, _ = phases.phases(all_three, now, changing)

    assert [item.name for item in detach.wanted] == ["tap-dev-two", "tap-dev-three"]
    assert detach.wanted[0].document["Resources"]["M"]["Properties"] == {"P": "a"}
    assert detach.wanted[1].document["Resources"]["L"]["Properties"] == {"P": "b"}


def test_an_importer_outside_the_run_stops_everything_by_name() -> None:
    old = document({"T": TOPIC}, {"Topic": exported("Topic", {"Ref": "T"})})
    maker = wanted("maker", document({"Other": {"Type": "X"}}))
    now = standing(
        {"tap-dev-maker": old},
        {"tap-dev-maker": {"tap-dev-Topic": "arn"}},
        {"tap-dev-Topic": ("billing",)},
    )

    with pytest.raises(phases.ForeignImporter) as caught:
        phases.phases([maker], now, {})

    assert str(caught.value) == (
        "tap-dev-maker would remove or change tap-dev-Topic, which billing imports without being "
        "part of this run; nothing was changed: let it go of the value, or deploy it in the same "
        "run"
    )
