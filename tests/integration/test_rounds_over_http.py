"""Exports in use that leave, change or move, over HTTP: the command line on the embedded AWS."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from command_line import CommandLine, Told
from local_aws import client, one, status
from local_aws import deploy as deploy_stack
from small_system import describe, start
from twin.rounds import Part

from tapgen import app
from tapgen.local.lease import Embedded

DEPLOY = ("deploy", "--env", "dev", "--yes")
A, B = {"A": "a"}, {"B": "b"}
Deploy = Callable[..., Told]


@pytest.fixture
def deploy(tapgen: CommandLine, monkeypatch: pytest.MonkeyPatch) -> Deploy:
    """Deploy a system of small stacks."""

    def run(parts: Mapping[str, Part], *arguments: str) -> Told:
        monkeypatch.setattr(app, "describe", lambda: describe(parts))
        return tapgen(*DEPLOY, *arguments)

    return run


def importers(aws: Embedded, export: str) -> list[str]:
    cloudformation = client(aws, "cloudformation")
    try:
        found: list[str] = cloudformation.list_imports(ExportName=f"tap-dev-{export}")["Imports"]
    except cloudformation.exceptions.ClientError:
        return []
    return sorted(found)


def exports(aws: Embedded) -> dict[str, str]:
    found = client(aws, "cloudformation").list_exports()["Exports"]
    return {one["Name"].removeprefix("tap-dev-"): one["Value"] for one in found}


def value(aws: Embedded, tier: str, key: str) -> str:
    """What a tier's parameter for an import holds."""
    named = client(aws, "cloudformation").describe_stack_resource(
        StackName=f"tap-dev-{tier}", LogicalResourceId=f"Uses{key}"
    )["StackResourceDetail"]["PhysicalResourceId"]
    found: str = client(aws, "ssm").get_parameter(Name=named)["Parameter"]["Value"]
    return found


def reasons(aws: Embedded) -> list[str]:
    """What the stacks' events give as reasons."""
    cloudformation = client(aws, "cloudformation")
    return [
        event.get("ResourceStatusReason", "")
        for stack in cloudformation.describe_stacks()["Stacks"]
        for event in cloudformation.describe_stack_events(StackName=stack["StackName"])[
            "StackEvents"
        ]
    ]


def check_arrived(aws: Embedded, deploy: Deploy, parts: Mapping[str, Part]) -> None:
    """Imports are live, nothing was refused, and a new run finds nothing to do."""
    again = deploy(parts)
    assert again.out.endswith(f"dev: nothing to do, {len(parts)} stacks unchanged\n")
    for name, part in parts.items():
        for key in part.uses:
            assert f"tap-dev-{name}" in importers(aws, key)
            assert value(aws, name, key) == exports(aws)[key]
    assert [reason for reason in reasons(aws) if "in use by" in reason] == []


def test_an_export_leaves_after_its_consumers_moved(deploy: Deploy, aws_account: Embedded) -> None:
    deploy({"maker": Part(A), "one": Part(uses=["A"]), "two": Part(uses=["A"])})
    after = {"maker": Part(B), "one": Part(), "two": Part(uses=["B"])}

    told = deploy(after)

    assert told.status == 0, told.err
    assert (
        "\nin 2 rounds, because exports in use leave or change:\n"
        "  1 deploy: everything as wanted; exports that are still imported stay\n"
        "  2 contract: exports that nobody imports any more leave\n"
        "    tap-dev-maker\n"
    ) in told.err
    assert list(exports(aws_account)) == ["B"]
    check_arrived(aws_account, deploy, after)


CHAIN = {
    "a": Part({**A, "Old": "old"}),
    "b": Part({"B": "@A"}, uses=["A"]),
    "c": Part({"C": "c"}, uses=["B", "Old"]),
    "d": Part(uses=["A", "C"]),
}
# A value changes, and with it what b makes of it; one export leaves, and one changes house.
MOVED = {
    "a": Part({"A": "other"}),
    "b": Part({"B": "@A"}, uses=["A"]),
    "c": Part(uses=["B"]),
    "d": Part({"C": "new"}, uses=["A"]),
    "e": Part(uses=["A", "B", "C"]),
}


def test_values_change_move_and_leave_in_one_run(deploy: Deploy, aws_account: Embedded) -> None:
    deploy(CHAIN)
    before = exports(aws_account)

    told = deploy(MOVED)

    assert told.status == 0, told.err
    titles = [line for line in told.err.splitlines() if " round " in line]
    rounds = [line.rpartition(" ")[2] for line in titles]
    assert rounds == ["detach", "release", "deploy", "contract"]
    now = exports(aws_account)
    assert sorted(now) == ["A", "B", "C"]
    assert all(now[key] != before[key] for key in now)
    check_arrived(aws_account, deploy, MOVED)


@pytest.mark.parametrize(
    "sign",
    ["tap-dev-b  updating", "round 3 of 4", "tap-dev-a  updating"],
)
def test_a_process_killed_in_or_between_rounds_is_started_again_and_arrives(
    deploy: Deploy, tapgen: CommandLine, aws_account: Embedded, sign: str
) -> None:
    deploy(CHAIN)
    with start(tapgen, MOVED, *DEPLOY) as process:
        assert process.stderr is not None
        # Until the line that the plan has not.
        read = [next((line for line in process.stderr if sign in line), "")]
        process.kill()
        read.append(process.stderr.read())

    again = deploy(MOVED)

    assert sign in read[0], read
    assert process.returncode < 0
    assert again.status == 0, again.err
    check_arrived(aws_account, deploy, MOVED)


@pytest.mark.parametrize("after", [Part(B), Part({"A": "other"})], ids=["leaves", "changes"])
def test_an_importer_outside_the_project_stops_it_with_nothing_changed(
    deploy: Deploy, aws_account: Embedded, after: Part
) -> None:
    deploy({"maker": Part(A), "user": Part(uses=["A"])})
    theirs = one("AWS::SNS::Topic", DisplayName={"Fn::ImportValue": "tap-dev-A"})
    deploy_stack(aws_account, "billing", theirs)
    before = reasons(aws_account)

    told = deploy({"maker": after, "user": Part()})

    assert told.status == 1
    assert told.err.splitlines()[-1] == (
        "tapgen: tap-dev-maker would remove or change tap-dev-A, which billing imports without "
        "being part of this run; nothing was changed: let billing go of the value first"
    )
    assert reasons(aws_account) == before
    cloudformation = client(aws_account, "cloudformation")
    for name in ("tap-dev-maker", "tap-dev-user"):
        assert status(aws_account, name) == "CREATE_COMPLETE"
        found = cloudformation.list_change_sets(StackName=name)["Summaries"]
        assert all(item["ExecutionStatus"].startswith("EXECUTE_") for item in found)


def test_an_importer_that_was_not_selected_stops_it(deploy: Deploy, aws_account: Embedded) -> None:
    deploy({"maker": Part(A), "user": Part(uses=["A"])})

    told = deploy({"maker": Part(B), "user": Part()}, "maker")

    assert told.status == 1
    assert told.err.splitlines()[-1].endswith(
        "nothing was changed: deploy tap-dev-user in the same run, or name no tier to deploy all"
    )
    assert list(exports(aws_account)) == ["A"]
