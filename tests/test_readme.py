"""README.md against the program: its generated parts, its commands, its links, its settings."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner
from command_line import PROJECT
from readme import README, filled

from tapgen import app, settings
from tapgen.cli import main
from tapgen.scope import Scope

TEXT = README.read_text(encoding="utf-8")


def commands() -> Iterator[str]:
    """Every ``tapgen …`` that the page tells its reader to type."""
    blocks = re.findall(r"```(?:console|sh|bash)\n(.*?)```", TEXT, re.DOTALL)
    typed = [line for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    quoted = re.findall(r"`(?:\.venv/bin/)?(tapgen [^`]*)`", TEXT)
    for line in [*(line.removeprefix("$ ") for line in typed), *quoted]:
        found = re.match(r"(?:\S*/)?tapgen (?=[a-z-])", line)
        if found:
            yield line[found.end() :].partition("  ")[0].strip()


def known(command: click.Command) -> set[str]:
    """The options of a command, ``--help`` included."""
    names = {
        name
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for name in (*parameter.opts, *parameter.secondary_opts)
    }
    return {*names, "--help", "-h"}


def keys() -> dict[str, settings.Key]:
    """Every setting of an environment."""
    stacks = [stack for stack in app.describe() if stack.scope is Scope.ENVIRONMENT]
    return settings.keys(stack.document() for stack in stacks)


def test_the_generated_parts_are_what_the_program_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    assert filled(TEXT) == TEXT, "README.md is stale: run `make readme` and read the diff"


def test_every_part_that_can_be_generated_is_marked_as_such() -> None:
    begun = re.findall(r"<!-- begin: (.+?) -->", TEXT)
    ended = re.findall(r"<!-- end: (.+?) -->", TEXT)

    assert begun == ended
    assert sorted(begun) == ["graph", "settings", "tapgen --help", "tapgen graph", "tiers"]


@pytest.mark.parametrize("line", sorted(set(commands())))
def test_every_command_on_the_page_exists_with_its_options(line: str) -> None:
    words = shlex.split(line)

    command: click.Command = main
    while words and isinstance(command, click.Group) and not words[0].startswith("-"):
        assert words[0] in command.commands, f"tapgen {line}"
        command = command.commands[words.pop(0)]

    options = {word.partition("=")[0] for word in words if word.startswith("-")}
    assert sorted(options - known(command)) == []


def test_the_page_has_commands_to_look_at() -> None:
    assert {"graph", "deploy", "render --check", "--help"} <= set(commands())


def test_every_command_has_a_help_that_the_page_refers_to() -> None:
    listed = re.findall(r"^  ([a-z]+)  +\S", TEXT.partition("Commands:\n")[2], re.MULTILINE)

    assert set(listed) >= set(main.commands)
    assert "Every command has its own `--help`." in TEXT
    for name in main.commands:
        assert CliRunner().invoke(main, [name, "--help"]).exit_code == 0


@pytest.mark.parametrize("target", sorted(set(re.findall(r"`make ([a-z]+)", TEXT))))
def test_every_make_target_on_the_page_exists(target: str) -> None:
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")

    assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_every_path_on_the_page_is_there() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)", TEXT) if "://" not in link]
    quoted = re.findall(r"`((?:tapgen|tests|templates_out|lambda_src)/[\w./]*)`", TEXT)

    missing = [path for path in [*links, *quoted] if not (PROJECT / path).exists()]

    assert missing == []


def test_the_example_of_a_settings_file_is_accepted(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    file = tmp_path_factory.mktemp("readme") / "tapgen.toml"
    file.write_text(example, encoding="utf-8")
    documents = app.documents()

    found = settings.load("prod", settings.keys(documents.values()), file=file, variables={})

    assert found.account == tomllib.loads(example)["env"]["prod"]["account"]
    assert found.parameters["DbInstanceClass"] == "db.m7g.large"


def test_every_setting_of_the_program_has_its_row() -> None:
    table = TEXT.partition("<!-- begin: settings -->")[2].partition("<!-- end: settings -->")[0]

    rows = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)

    assert sorted(rows) == sorted(keys())


def test_a_command_that_is_not_there_would_be_seen() -> None:
    with pytest.raises(AssertionError):
        test_every_command_on_the_page_exists_with_its_options("frobnicate --all")
    with pytest.raises(AssertionError):
        test_every_command_on_the_page_exists_with_its_options("deploy --frobnicate")
