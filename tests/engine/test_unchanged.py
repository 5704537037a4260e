"""Asking CloudFormation itself about stacks that look unchanged."""

from __future__ import annotations

from dataclasses import replace

import pytest
from allowing import NETWORK, Allowing
from twin import faults
from twin.scene import ENV, TAGS, graph_of, tier, wanted

from tapgen.engine import unchanged
from tapgen.engine.exact import Asker, NotAsked
from tapgen.engine.polling import aws_pace

CHAIN = {"network": [], "data": ["network"]}


@pytest.fixture
def scene() -> Allowing:
    """An environment of two stacks."""
    scene = Allowing()
    scene.deploy(graph_of(CHAIN))
    return scene


def doubts(scene: Allowing) -> dict[str, str]:
    items = wanted(graph_of(CHAIN))
    ask = Asker(scene.cloud, scene.region.clock, aws_pace, strict=True)
    return unchanged.doubts(scene.cloud, ask, items, scene.survey([item.name for item in items]))


def by_hand(scene: Allowing, template: str) -> None:
    """Somebody's update of the network, who leaves the digest in the template."""
    scene.twin.client("cloudformation").update_stack(
        StackName=NETWORK,
        TemplateBody=template,
        Parameters=[{"ParameterKey": "EnvironmentSuffix", "ParameterValue": ENV}],
        Tags=[{"Key": key, "Value": value} for key, value in TAGS.items()],
    )
    scene.region.settle()


def test_what_is_unchanged_is_confirmed_and_leaves_no_change_set(scene: Allowing) -> None:
    assert doubts(scene) == {}
    assert all(len(stack.change_sets) == 1 for stack in scene.region.stacks.values())


def test_a_template_changed_by_hand_is_found_though_its_digest_says_otherwise(
    scene: Allowing,
) -> None:
    text = wanted([tier("network")])[0].request.template
    by_hand(scene, text.replace("DisplayName: first", "DisplayName: by hand"))

    found = doubts(scene)
    plain = scene.deploy(graph_of(CHAIN))
    told = scene.allowing(doubted=frozenset(found)).deploy(graph_of(CHAIN))

    assert found == {
        NETWORK: "its template was changed, though its digest was not; "
        "CloudFormation would change Topic0"
    }
    assert plain.ends == {"network": "unchanged", "data": "unchanged"}
    assert told.ends == {"network": "updated", "data": "unchanged"}
    assert doubts(scene) == {}


def test_a_doubt_that_cloudformation_does_not_share_ends_as_unchanged(scene: Allowing) -> None:
    outcome = scene.allowing(doubted=frozenset({NETWORK})).deploy(graph_of(CHAIN))

    assert outcome.ends == {"network": "unchanged", "data": "unchanged"}


def test_what_cannot_be_asked_is_not_verified(scene: Allowing) -> None:
    scene.region.faults.call("create_change_set", *[faults.DENIED] * 2)

    with pytest.raises(NotAsked):
        doubts(scene)


def test_what_is_not_deployed_is_not_asked_about(scene: Allowing) -> None:
    (item,) = wanted([tier("cache")])
    ask = Asker(scene.cloud, scene.region.clock, aws_pace, strict=True)
    before = len(scene.region.calls)

    found = unchanged.doubts(scene.cloud, ask, [replace(item)], {item.name: None})

    assert (found, len(scene.region.calls)) == ({}, before)
