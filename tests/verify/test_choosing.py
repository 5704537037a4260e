"""Which checks are run, and how stacks are looked at before the first of them."""

from __future__ import annotations

import pytest

from tapgen.cloud import AccessDenied, DeployedStack, Resource
from tapgen.description import Description
from tapgen.scope import Scope
from tapgen.verify import run
from tapgen.verify.environment import Tier, Unread, survey
from tapgen.verify.questions import Absent


def test_every_check_has_a_name_of_its_own_that_is_no_group_s() -> None:
    ids = [check.id for check in run.CHECKS]

    assert len(set(ids)) == len(ids)
    assert not set(ids) & set(run.GROUPS)
    assert {check.group for check in run.CHECKS} == set(run.GROUPS.values())


def test_names_and_groups_choose_in_the_order_of_all() -> None:
    assert run.chosen(()) == run.CHECKS
    assert [c.id for c in run.chosen(("uncaught", "topics", "vpc"))] == [
        "vpc",
        "completion-topic",
        "error-topic",
        "topic-key",
        "uncaught",
    ]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("databse", "did you mean 'database'?"),
        (
            "xyz",
            "groups are network, data, serving, topics, workflow, wiring, all-tiers",
        ),
    ],
)
def test_a_name_that_is_neither_is_refused_with_a_way_on(name: str, hint: str) -> None:
    with pytest.raises(run.UnknownCheck) as caught:
        run.chosen(("vpc", name))

    assert str(caught.value) == f"no check or group is called {name!r}; {hint}"
    assert caught.value.name == name


class _Stacks:
    """Three stacks: one stands, one is missing, of one the resources may not be listed."""

    def stack(self, name: str) -> DeployedStack | None:
        return None if name == "tap-dev-b" else DeployedStack(name, name, "CREATE_COMPLETE")

    def resources(self, stack_id: str) -> list[Resource]:
        if stack_id == "tap-dev-c":
            raise AccessDenied("cloudformation:ListStackResources", "AccessDenied", "no")
        return [Resource("It", "it-1", "AWS::SNS::Topic", "CREATE_COMPLETE")]


def test_a_stack_that_is_missing_or_closed_is_noted_and_keeps_nobody_from_the_others() -> None:
    description = Description(
        {name: {"Resources": {}} for name in "abc"}, dict.fromkeys("abc", Scope.ENVIRONMENT)
    )

    found = survey(_Stacks(), description, "dev", "123456789012")  # type: ignore[arg-type]

    first, second, third = (found.tiers[name] for name in "abc")
    assert isinstance(first, Tier)
    assert (found.id("a", "It"), found.called("it-1"), found.called("it-2")) == (
        "it-1",
        "It",
        "it-2",
    )
    assert isinstance(second, Unread)
    assert str(second.error) == "stack tap-dev-b is not there"
    assert isinstance(third, Unread)
    with pytest.raises(AccessDenied):
        found.tier("c")
    with pytest.raises(Absent) as caught:
        found.id("a", "Other")
    assert str(caught.value) == "Other of tap-dev-a is not there"
