"""How exports in use leave or change: planned rounds over small stacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tapgen import yaml_text
from tapgen.cloud import DeployedStack
from tapgen.digest import DIGEST_OUTPUT, digest_of, sealed
from tapgen.engine import phases, plan, variants
from tapgen.engine.plan import Wanted
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
    shown = {**(outputs or {}), DIGEST_OUTPUT: {"Value": "x"}}
    return sealed(
        {"Parameters": parameters, "Resources": dict(resources), "Outputs": shown, **sections}
    )


def wanted(tier: str, body: Document) -> Wanted:
    return plan.wanted(tier, body, yaml_text.dump(body), env="dev", given={}, tags={})


def standing(
    documents: Mapping[str, Document],
    exports: Mapping[str, Mapping[str, str]],
    importers: Mapping[str, tuple[str, ...]],
    **parameters: str,
) -> variants.Standing:
    stacks = {
        name: DeployedStack(
            id=f"arn:{name}",
            name=name,
            status="CREATE_COMPLETE",
            parameters={"EnvironmentSuffix": "dev", "Name": "old", **parameters},
            exports=exports.get(name, {}),
        )
        for name in documents
    }
    return variants.Standing(stacks, documents, importers)


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
    assert digest_of(held.document) != digest_of(USER)
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
        "part of this run; nothing was changed: let billing go of the value first"
    )


def leaving(
    old: Document, new: Document, *, changing: Mapping[str, list[str]] | None = None
) -> list[phases.Phase]:
    """The rounds in which ``Topic`` leaves the maker, while a user imports it until then."""
    now = standing(
        {"tap-dev-maker": old, "tap-dev-user": USER},
        {"tap-dev-maker": {"tap-dev-Topic": "arn:topic"}},
        {"tap-dev-Topic": ("tap-dev-user",)},
    )
    return list(phases.phases([wanted("maker", new), wanted("user", FREE)], now, changing or {}))


NAME = {"Name": {"Type": "String", "Default": "old"}}
OLD = document(
    {"T": TOPIC, "Other": {"Type": "X"}},
    {"Topic": exported("Topic", {"Ref": "T"})},
    Parameters=NAME,
)


@pytest.mark.parametrize(
    "new",
    [
        document({"T": {"Type": "X"}}),
        document({"T": {**TOPIC, "Properties": {"TopicName": "another"}}}),
        document({"T": TOPIC}, Parameters={"Name": {"Type": "String", "Default": "new"}}),
    ],
    ids=["type", "property", "parameter"],
)
def test_an_export_is_not_kept_when_what_is_behind_it_moves(new: Document) -> None:
    found = leaving(OLD, new)

    assert [phase.title for phase in found] == ["detach", "deploy"]
    assert found[0].wanted[0].document["Resources"]["Rule"]["Properties"] == {"Topic": "arn:topic"}
    assert found[1].wanted[0].document == new


def test_an_export_is_not_kept_when_a_value_behind_it_is_imported_and_changes() -> None:
    resource = {"Type": "X", "Properties": {"P": imported("Base")}}
    old = document({"T": resource}, {"Topic": exported("Topic", {"Ref": "T"})})

    found = leaving(old, document({"N": {"Type": "X"}}), changing={"base": ["tap-dev-Base"]})

    assert [phase.title for phase in found] == ["detach", "deploy"]


def test_an_export_that_a_condition_leaves_out_leaves_too() -> None:
    shown = {"Topic": {**exported("Topic", {"Ref": "T"}), "Condition": "Shown"}}
    when = {"Shown": {"Fn::Equals": [{"Ref": "Name"}, "old"]}}
    other = {"Name": {"Type": "String", "Default": "other"}}
    old = document({"T": {"Type": "X"}}, shown, Parameters=NAME, Conditions=when)
    new = document({"T": {"Type": "X"}}, shown, Parameters=other, Conditions=when)

    found = leaving(old, new)

    # The condition would leave it out of any variant as well.
    assert [phase.title for phase in found] == ["detach", "deploy"]
    assert found[1].wanted[0].document == new


def test_a_kept_output_makes_room_for_another_of_its_key() -> None:
    renamed = exported("Renamed", {"Ref": "T"})
    deploy, contract = leaving(OLD, document({"T": TOPIC}, {"Topic": renamed}, Parameters=NAME))

    kept = deploy.wanted[0].document["Outputs"]
    assert kept["Topic"] == renamed
    assert kept["TopicKept"] == exported("Topic", {"Ref": "T"})
    assert contract.wanted[0].document["Outputs"]["Topic"] == renamed


def test_a_variant_has_the_capabilities_that_it_needs() -> None:
    role = {"Type": "AWS::IAM::Role"}
    old = document({"Role": role}, {"Topic": exported("Topic", {"Ref": "Role"})})

    deploy, contract = leaving(old, document({"N": {"Type": "X"}}))

    assert deploy.wanted[0].request.capabilities == ("CAPABILITY_NAMED_IAM",)
    assert contract.wanted[0].request.capabilities == ()


def test_an_export_that_another_stack_takes_over_is_released_first() -> None:
    taking = document({"N": {"Type": "X"}}, {"Mine": exported("Topic", {"Ref": "N"})})
    maker, taker = wanted("maker", document({"Other": {"Type": "X"}})), wanted("taker", taking)
    now = standing({"tap-dev-maker": OLD}, {"tap-dev-maker": {"tap-dev-Topic": "arn"}}, {})

    release, deploy = phases.phases([maker, taker], now, {})

    (held,) = release.wanted
    assert (release.title, release.still) == ("release", True)
    assert held.document["Resources"] == OLD["Resources"]
    assert list(held.document["Outputs"]) == [DIGEST_OUTPUT]
    assert held.request.parameters == {"EnvironmentSuffix": "dev", "Name": "old"}
    assert deploy.wanted == (maker, taker)


def test_a_value_that_cloudformation_hides_is_never_repeated_as_stars() -> None:
    secret = {"Password": {"Type": "String", "NoEcho": True}}
    body = document({"Topic": TOPIC}, {"Topic": exported("Topic", {"Ref": "Topic"})})
    rule = {"Rule": {"Type": "X", "Properties": {"Topic": imported("Topic")}}}
    user = document(rule, Parameters=secret)
    item = plan.wanted(
        "user", user, yaml_text.dump(user), env="dev", given={"Password": "p"}, tags={}
    )
    now = standing(
        {"tap-dev-maker": body, "tap-dev-user": user},
        {"tap-dev-maker": {"tap-dev-Topic": "arn:topic"}},
        {"tap-dev-Topic": ("tap-dev-user",)},
        Password="****",
    )

    rounds = phases.phases([wanted("maker", body), item], now, {"tap-dev-maker": ["tap-dev-Topic"]})

    detached = rounds[0].wanted[0].request
    assert rounds[0].title == "detach"
    assert detached.previous == {"Password"}
    # The new value comes with everything else that is wanted.
    assert rounds[1].wanted[1].request.previous == set()
    assert rounds[1].wanted[1].request.parameters["Password"] == "p"
