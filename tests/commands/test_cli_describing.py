"""render, graph, validate and package as a user meets them: files, streams, exit statuses."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest
import yaml
from command_line import PROJECT, CommandLine, files_below, plain

from tapgen import places

TIERS = ("api", "cache", "compute", "foundation", "network", "notification", "storage", "workflow")


def test_help_says_what_each_command_does_in_a_whole_sentence(offline: CommandLine) -> None:
    told = offline("--help")

    assert (told.status, told.err) == (0, "")
    assert told.out.startswith("Usage: tapgen [OPTIONS] COMMAND [ARGS]...\n")
    assert "  3 differences found, 130 interrupted or declined.\n" in told.out
    commands = told.out.partition("Commands:\n")[2].splitlines()
    assert len(commands) >= 10
    assert [line for line in commands if not line.endswith(".") or line.endswith("...")] == []


def test_every_help_text_fits_eighty_columns(offline: CommandLine) -> None:
    commands = ("deploy", "destroy", "envs", "graph", "outputs", "package", "render", "status")

    for command in (*commands, "validate", "local", "local serve", "local reset"):
        told = offline(*command.split(), "--help")

        assert told.status == 0
        assert "..." not in told.out.replace("]...", ""), command
        assert max(map(len, told.out.splitlines())) <= 80, command


def test_the_version_is_one_line(offline: CommandLine) -> None:
    told = offline("--version")

    assert (told.status, told.err) == (0, "")
    assert told.out.startswith("tapgen, version ")
    assert told.out.count("\n") == 1


def test_render_writes_each_tier_once_and_leaves_what_is_right_alone(offline: CommandLine) -> None:
    first = offline("render", "--out", "seen")
    again = offline("render", "--out", "seen")

    assert (first.status, first.out) == (0, "")
    assert first.err == "".join(f"seen/{tier}.yaml  written\n" for tier in TIERS)
    assert (again.status, again.out, again.err) == (0, "", "8 unchanged in seen\n")
    assert files_below(offline.folder) == [f"seen/{tier}.yaml" for tier in TIERS]


def test_render_writes_only_the_tier_that_differs(offline: CommandLine) -> None:
    offline("render", "--out", "seen")
    network = offline.folder / "seen" / "network.yaml"
    network.write_text("")
    others = {path: path.stat().st_mtime_ns for path in (offline.folder / "seen").iterdir()}

    told = offline("render", "--out", "seen")

    assert told.err == "seen/network.yaml  written\n7 unchanged in seen\n"
    changed = [path for path, then in others.items() if path.stat().st_mtime_ns != then]
    assert changed == [network]


def test_render_of_one_tier_leaves_the_rest_of_the_folder_alone(offline: CommandLine) -> None:
    (offline.folder / "seen").mkdir()
    (offline.folder / "seen" / "mine.yaml").write_text("a: 1\n")

    told = offline("render", "network", "--out", "seen")

    assert (told.status, told.err) == (0, "seen/network.yaml  written\n")
    assert files_below(offline.folder) == ["seen/mine.yaml", "seen/network.yaml"]


def test_render_names_a_leftover_and_deletes_nobody_s_file(offline: CommandLine) -> None:
    offline("render", "--out", "seen")
    (offline.folder / "seen" / "queue.yaml").write_text("a: 1\n")

    told = offline("render", "--out", "seen")

    assert told.status == 0
    assert told.err == (
        "seen/queue.yaml  leftover: no tier renders it; delete it if nobody needs it\n"
        "8 unchanged in seen\n"
    )
    assert (offline.folder / "seen" / "queue.yaml").read_text() == "a: 1\n"


def test_check_shows_what_is_stale_and_writes_nothing(offline: CommandLine) -> None:
    offline("render", "--out", "seen")
    seen = offline.folder / "seen"
    old = (seen / "cache.yaml").read_text()
    (seen / "cache.yaml").write_text(old.replace("Outputs:", "Results:"))
    (seen / "api.yaml").unlink()

    told = offline("render", "--check", "--out", "seen")

    assert told.status == 3
    assert "-Results:\n+Outputs:\n" in told.out
    assert "--- seen/cache.yaml (on disk)\n+++ seen/cache.yaml (as described)\n" in told.out
    assert told.err == (
        "seen/api.yaml  missing\n"
        "seen/cache.yaml  changed\n"
        "stale: run tapgen render, read the diff, commit it\n"
    )
    assert not (seen / "api.yaml").exists()
    assert "Results:" in (seen / "cache.yaml").read_text()


def test_check_of_a_fresh_folder_says_nothing_and_is_content(offline: CommandLine) -> None:
    offline("render", "--out", "seen")

    told = offline("render", "--check", "--out", "seen")

    assert (told.status, told.out, told.err) == (0, "", "")


def test_the_committed_templates_are_fresh_seen_from_anywhere(offline: CommandLine) -> None:
    told = offline("render", "--check")

    assert told.status == 0, f"run `make render` and read the diff:\n{told.err}"
    assert files_below(offline.folder) == []


def test_stdout_is_one_yaml_stream_of_the_committed_files(offline: CommandLine) -> None:
    told = offline("render", "--stdout", "network", "cache")

    committed = [
        (PROJECT / "templates_out" / f"{tier}.yaml").read_text() for tier in ("network", "cache")
    ]
    assert (told.status, told.err) == (0, "")
    assert told.out == "".join(f"---\n{text}" for text in committed)
    assert files_below(offline.folder) == []


def test_stdout_of_one_tier_is_the_file_and_nothing_else(offline: CommandLine) -> None:
    told = offline("render", "--stdout", "storage")

    assert told.out == (PROJECT / "templates_out" / "storage.yaml").read_text()


def test_json_says_the_same_as_yaml(offline: CommandLine, documents: dict[str, object]) -> None:
    told = offline("render", "--format", "json", "--out", "seen")

    assert told.status == 0
    for tier in TIERS:
        found = json.loads((offline.folder / "seen" / f"{tier}.json").read_text())
        assert found == documents[tier]


def test_check_and_stdout_together_are_refused(offline: CommandLine) -> None:
    told = offline("render", "--check", "--stdout")

    assert told.status == 2
    assert told.line == (
        "tapgen: --check compares files and --stdout writes none: choose one. "
        "Try 'tapgen render --help'."
    )


def test_graph_shows_the_waves_and_what_each_stack_needs(offline: CommandLine) -> None:
    told = offline("graph")

    assert (told.status, told.err) == (0, "")
    assert told.out == textwrap.dedent(
        """\
        1  foundation
        1  network
        1  notification
        2  cache         needs network
        2  storage       needs network
        3  api           needs cache, foundation, network, storage
        3  compute       needs storage
        4  workflow      needs compute, network, notification, storage
        """
    )


def test_graph_with_exports_names_what_makes_each_edge(offline: CommandLine) -> None:
    told = offline("graph", "--exports")

    assert max(map(len, told.out.splitlines())) <= 80
    assert told.out.endswith(
        """\
4  workflow      needs compute, network, notification, storage
                 compute: EcsClusterArn, EcsClusterName, TaskExecutionRoleArn,
                   TaskLogGroupName, TaskRoleArn, TaskRoleName
                 network: EcsSecurityGroupId, PrivateSubnetAId, PrivateSubnetBId
                 notification: CompletionTopicArn, ErrorTopicArn, TopicKeyArn
                 storage: EfsAccessPointId, EfsFileSystemId
"""
    )


@pytest.mark.parametrize(
    ("form", "opening", "edge"),
    [
        ("mermaid", "flowchart LR\n", "  network --> cache\n"),
        ("dot", "digraph stacks {\n", '  "network" -> "cache";\n'),
    ],
)
def test_graph_speaks_the_languages_of_drawing_programs(
    offline: CommandLine, form: str, opening: str, edge: str
) -> None:
    told = offline("graph", "--format", form)

    assert told.status == 0
    assert told.out.startswith(opening)
    assert edge in told.out


def test_graph_as_json_holds_order_and_edges(offline: CommandLine) -> None:
    told = offline("graph", "--format", "json")

    found = json.loads(told.out)
    assert found["order"] == [name for wave in found["waves"] for name in wave]
    assert {
        "from": "network",
        "to": "cache",
        "exports": ["IsolatedSubnetAId", "IsolatedSubnetBId", "RedisSecurityGroupId"],
    } in found["edges"]


def test_validate_names_file_resource_rule_and_what_to_do(offline: CommandLine) -> None:
    (offline.folder / "theirs").mkdir()
    (offline.folder / "theirs" / "app.yaml").write_text(
        "Resources:\n  Topic:\n    Type: AWS::SNS::Topic\n    Properties:\n"
        "      TopicName: !ImportValue tap-dev-Nobody\n"
    )

    told = offline("validate", "theirs")
    as_json = offline("validate", "theirs", "--output", "json")

    assert told.status == as_json.status == 1
    assert told.out.startswith(
        "app.yaml: Topic: error TAP101: imports 'tap-dev-Nobody', which no stack exports\n"
        "    correct the name, or export it\n"
    )
    findings = json.loads(as_json.out)
    assert findings[0]["rule"] == "TAP101"
    assert len(told.out.splitlines()) == 2 * len(findings)
    assert told.err == f"1 template: {len(findings)} errors, 0 warnings, 0 notes\n"
    assert as_json.err == ""


def test_validate_is_content_with_notes_alone(offline: CommandLine) -> None:
    offline("render", "foundation", "--out", "ours")

    told = offline("validate", "ours")

    assert told.status == 0
    assert "error" not in told.out
    notes = told.out.count("foundation.yaml: ")
    plural = "" if notes == 1 else "s"
    assert told.err == f"1 template: 0 errors, 0 warnings, {notes} note{plural}\n"


def test_package_builds_once_and_says_so(offline: CommandLine, packages: Path) -> None:
    (offline.folder / "store").symlink_to(packages)

    told = offline("package", "--out", "store")

    assert (told.status, told.err) == (0, "")
    name, *_, key, state = told.out.split()
    assert name == "video_metadata_api"
    assert key.startswith("lambda/video-metadata-api/")
    assert state == "unchanged"


def test_a_pipeline_of_commands_reads_yaml_from_stdout(offline: CommandLine) -> None:
    told = offline.process("render", "--stdout")

    assert (told.status, told.err) == (0, "")
    documents = list(yaml.compose_all(told.out))
    assert len(documents) == len(TIERS)


def test_commands_work_from_any_folder_and_leave_nothing_there(offline: CommandLine) -> None:
    outcomes = [
        offline.process(*command).status
        for command in (("graph",), ("render", "--check"), ("render", "--stdout", "network"))
    ]

    assert outcomes == [0, 0, 0]
    assert sorted(path.name for path in offline.folder.iterdir()) == []


def test_the_described_order_is_the_committed_one() -> None:
    committed = sorted(path.stem for path in places.TEMPLATES_FOLDER.glob("*.yaml"))

    assert committed == list(TIERS)


def test_what_differs_from_run_to_run_is_named(offline: CommandLine) -> None:
    text = "vpc-0a2c4c405a87dc322 in 0.3 s, at 2026-11-23 13:55 UTC, 12 min 5 s"

    assert plain(text) == "vpc-ID in SECONDS, at TIME, SECONDS"
