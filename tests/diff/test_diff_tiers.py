"""The changes that people make to the real tiers, and what comes of them."""

from __future__ import annotations

import copy
from typing import Any

from tapgen import diff, names, yaml_text
from tapgen.diff import AfterApply, Side, StackChanges
from tapgen.diff.compare import DIGEST
from tapgen.digest import DIGEST_OUTPUT

Documents = dict[str, dict[str, Any]]
ENV = {names.SUFFIX: "dev"}


def changed(document: dict[str, Any], *path: str, to: Any) -> dict[str, Any]:
    """A copy of ``document`` with something else at ``path`` under Resources."""
    copied = copy.deepcopy(document)
    node = copied["Resources"]
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = to
    return copied


def compare(
    before: dict[str, Any], after: dict[str, Any] | None = None, /, **parameters: str
) -> StackChanges:
    one = Side(before, ENV)
    return diff.compare("tap-dev-x", one, Side(after or before, {**ENV, **parameters}))


def replaced(changes: StackChanges) -> set[str]:
    return {each.logical_id for each in changes.replaces()}


def test_the_digest_is_found_by_the_name_that_drafts_give_it() -> None:
    assert DIGEST == DIGEST_OUTPUT


def test_no_tier_differs_from_itself_nor_from_its_rendered_text(documents: Documents) -> None:
    for tier, document in documents.items():
        assert compare(document).is_empty, tier
    rendered = yaml_text.load(yaml_text.dump(documents["storage"]))
    assert compare(rendered, documents["storage"]).is_empty


def test_another_instance_class_is_an_update_in_place(documents: Documents) -> None:
    changes = compare(documents["storage"], DbInstanceClass="db.m7g.large")

    (database,) = changes.resources
    assert (database.logical_id, database.replacement) == ("Database", "no")
    assert [each.path for each in database.properties] == ["DBInstanceClass"]
    assert [each.name for each in changes.parameters] == ["DbInstanceClass"]
    assert changes.exports == ()


def test_another_database_name_replaces_the_database_and_unsettles_its_exports(
    documents: Documents,
) -> None:
    storage = documents["storage"]

    changes = compare(storage, changed(storage, "Database", "Properties", "DBName", to="other"))

    assert replaced(changes) == {"Database"}
    assert changes.resources[0].data == "snapshot"
    assert {each.name: each.after for each in changes.exports} == {
        "tap-dev-DbEndpointAddress": AfterApply("${Database.Endpoint.Address}"),
        "tap-dev-DbEndpointPort": AfterApply("${Database.Endpoint.Port}", certain=False),
        "tap-dev-DbSecretArn": AfterApply("${Database.MasterUserSecret.SecretArn}"),
    }


def test_another_performance_mode_replaces_the_files_their_mounts_and_the_access_point(
    documents: Documents,
) -> None:
    storage = documents["storage"]

    changes = compare(
        storage, changed(storage, "FileSystem", "Properties", "PerformanceMode", to="maxIO")
    )

    assert replaced(changes) == {"FileSystem", "MountTargetA", "MountTargetB", "AccessPoint"}


def test_another_parameter_group_family_may_replace_the_database(documents: Documents) -> None:
    storage = documents["storage"]

    changes = compare(
        storage, changed(storage, "DbParameterGroup", "Properties", "Family", to="postgres17")
    )

    assert {each.logical_id: each.replacement for each in changes.resources} == {
        "DbParameterGroup": "yes",
        "Database": "maybe",
    }


def test_another_address_range_of_the_network_reaches_every_stack_behind_it(
    documents: Documents,
) -> None:
    network, storage = documents["network"], documents["storage"]
    exports = {
        f"tap-dev-{key}": f"id-of-{key}"
        for key, output in network["Outputs"].items()
        if "Export" in output
    }
    keys = {key: f"id-of-{key}" for key in network["Outputs"]}

    first = diff.compare(
        "tap-dev-network",
        Side(network, ENV, live=keys),
        Side(changed(network, "Vpc", "Properties", "CidrBlock", to="10.9.0.0/16"), ENV),
    )
    second = diff.compare(
        "tap-dev-storage",
        Side(storage, ENV, imports=exports),
        Side(storage, ENV, imports=diff.exported(exports, first)),
    )

    kept = {
        each["Type"]
        for name, each in network["Resources"].items()
        # Interface endpoints, which this environment has not.
        if name not in replaced(first) and "Condition" not in each
    }
    assert kept == {"AWS::EC2::EIP", "AWS::EC2::InternetGateway"}
    assert {each.action for each in first.exports} == {"changes"}
    assert set(exports) == {each.name for each in first.exports}
    assert replaced(second) == {"MountTargetA", "MountTargetB"}
    assert {each.logical_id for each in second.resources} - replaced(second) == {
        "DbSubnetGroup",
        "Database",
    }


def test_another_suffix_is_another_environment(documents: Documents) -> None:
    changes = diff.compare(
        "x", Side(documents["storage"], ENV), Side(documents["storage"], {names.SUFFIX: "two"})
    )

    assert "Database" in replaced(changes)
    assert {each.action for each in changes.exports} == {"appears", "vanishes"}


def test_only_a_tag_only_an_output_only_a_policy(documents: Documents) -> None:
    storage = documents["storage"]
    tagged = diff.compare("x", Side(storage, ENV), Side(storage, ENV, {"owner": "me"}))
    output = copy.deepcopy(storage)
    output["Outputs"]["Size"] = {"Value": "100"}
    policy = changed(storage, "FileSystem", "UpdateReplacePolicy", to="Delete")

    assert (tagged.resources, [each.key for each in tagged.tags]) == ((), ["owner"])
    shown = compare(storage, output)
    assert (shown.resources, [each.key for each in shown.outputs]) == ((), ["Size"])
    (files,) = compare(storage, policy).resources
    assert (files.properties, [each.path for each in files.attributes]) == (
        (),
        ["UpdateReplacePolicy"],
    )


def test_a_word_in_the_state_machine_is_told_by_its_place(documents: Documents) -> None:
    workflow = copy.deepcopy(documents["workflow"])
    definition = workflow["Resources"]["Workflow"]["Properties"]["DefinitionString"]["Fn::Sub"]
    definition[0] = definition[0].replace('"VideoProcessingFailed"', '"Broken"')

    (change,) = compare(documents["workflow"], workflow).resources

    assert [(each.path, each.before, each.after) for each in change.properties] == [
        ("DefinitionString.States.Failed.Error", "VideoProcessingFailed", "Broken")
    ]
