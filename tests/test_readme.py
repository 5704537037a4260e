"""README.md and docs/ against the program: generated parts, commands, links, paths, figures."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import botocore.session
import click
import pytest
import readme
from click.testing import CliRunner
from command_line import PROJECT
from faults import run as bad_days
from readme import PAGES, README, filled

from tapgen import app, settings
from tapgen.cli import main
from tapgen.engine import durations, plan, polling
from tapgen.local import pace
from tapgen.scope import Scope
from tapgen.settings import own
from tapgen.settings.key import Key
from tapgen.verify.run import CHECKS

TEXTS = {page.relative_to(PROJECT).as_posix(): page.read_text(encoding="utf-8") for page in PAGES}
TEXTS["CHANGELOG.md"] = (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")
ALL = "\n".join(TEXTS.values())


def commands() -> Iterator[str]:
    """Every ``tapgen …`` that the pages tell their reader to type."""
    for kind, block in re.findall(r"```(console|sh)\n(.*?)```", ALL, re.DOTALL):
        for line in block.splitlines():
            if kind == "sh" or line.startswith("$ "):
                yield from typed(line.removeprefix("$ "))
    for quoted in re.findall(r"`((?:\.venv/bin/)?tapgen [^`]*)`", ALL):
        yield from typed(quoted)


def typed(line: str) -> Iterator[str]:
    """What a line has tapgen do; what follows two blanks or a # is about it."""
    found = re.match(r"(?:\S*/)?tapgen (?=[a-z-])", line)
    if found:
        yield re.split(r"  | #", line[found.end() :])[0].strip()


@cache
def known(command: click.Command) -> frozenset[str]:
    """The options of a command, ``--help`` included."""
    names = {
        name
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for name in (*parameter.opts, *parameter.secondary_opts)
    }
    return frozenset({*names, "--help", "-h"})


def every(group: click.Group, above: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by what is typed for it."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from every(command, f"{above}{name} ")
        else:
            yield f"{above}{name}", command


def meant(line: str) -> tuple[click.Command, list[str]]:
    """The command of a line, and the words after its name."""
    words = shlex.split(line)
    command: click.Command = main
    while words and isinstance(command, click.Group) and not words[0].startswith("-"):
        assert words[0] in command.commands, f"tapgen {line}"
        command = command.commands[words.pop(0)]
    return command, words


def keys() -> dict[str, Key]:
    """Every setting of an environment."""
    stacks = [stack for stack in app.describe() if stack.scope is Scope.ENVIRONMENT]
    return settings.keys(stack.document() for stack in stacks)


def part(name: str) -> str:
    """A generated part, wherever it stands."""
    return ALL.partition(f"<!-- begin: {name} -->")[2].partition(f"<!-- end: {name} -->")[0]


# Generated parts


def test_the_generated_parts_are_what_the_program_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    stale = [page.name for page in PAGES if filled(page.read_text(encoding="utf-8")) != _read(page)]

    assert stale == [], "stale: run `make readme` and read the diff"


def _read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def test_every_part_stands_on_one_page_and_is_closed() -> None:
    begun = re.findall(r"<!-- begin: (.+?) -->", ALL)
    ended = re.findall(r"<!-- end: (.+?) -->", ALL)

    assert begun == ended
    assert sorted(begun) == sorted(readme.PARTS)


def test_every_status_of_cloudformation_has_its_row() -> None:
    model = botocore.session.get_session().get_service_model("cloudformation")
    statuses = set(model.shape_for("StackStatus").metadata["enum"])

    rows = re.findall(r"^\| ([A-Z_]+|not there) \|", part("statuses"), re.MULTILINE)

    assert {*rows, "DELETE_COMPLETE"} == statuses | {"not there"}


def test_the_levels_of_approval_are_those_of_the_settings() -> None:
    assert set(readme.LEVELS) == set(own.APPROVALS)


def test_every_module_that_asks_aws_is_among_the_permissions() -> None:
    asking = {
        path.relative_to(PROJECT / "tapgen").as_posix()
        for folder in ("verify", "observe")
        for path in (PROJECT / "tapgen" / folder).glob("*.py")
        if list(readme._actions(path.relative_to(PROJECT / "tapgen").as_posix()))
    }

    listed = {place for places in readme._CALLS.values() for place in places}

    # These start, follow and hear an execution on this machine only.
    assert asking - listed == {"observe/execution.py", "observe/notices.py"}


def test_every_setting_of_the_program_has_its_row() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", part("settings"), re.MULTILINE)

    assert sorted(rows) == sorted(keys())


# Commands


@pytest.mark.parametrize("line", sorted(set(commands())))
def test_every_command_on_the_pages_exists_with_its_options(line: str) -> None:
    command, words = meant(line)

    options = {word.partition("=")[0] for word in words if word.startswith("-")}
    assert sorted(options - known(command)) == []


def test_every_option_that_is_named_alone_is_one_of_some_command() -> None:
    options = {name for _, command in every(main) for name in known(command)} | known(main)

    named = {text.partition(" ")[0] for text in re.findall(r"`(--[^`]+)`", ALL)}

    assert sorted(named - options) == []


def test_every_command_is_on_the_pages_and_has_a_help() -> None:
    there = [f"{line} " for line in commands()]

    assert [n for n, _ in every(main) if not any(x.startswith(f"{n} ") for x in there)] == []
    assert "Every command has its own `--help`." in TEXTS["README.md"]
    for name, _ in every(main):
        assert CliRunner().invoke(main, [*name.split(), "--help"]).exit_code == 0


def test_the_pages_have_commands_to_look_at() -> None:
    found = set(commands())

    assert {"graph", "deploy", "render --check", "plan --env prod --out plan.json"} <= found


@pytest.mark.parametrize("target", sorted(set(re.findall(r"[`$] ?make ([a-z]+)", ALL))))
def test_every_make_target_on_the_pages_exists(target: str) -> None:
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")

    assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_a_command_or_an_option_that_is_not_there_would_be_seen() -> None:
    with pytest.raises(AssertionError):
        test_every_command_on_the_pages_exists_with_its_options("frobnicate --all")
    with pytest.raises(AssertionError):
        test_every_command_on_the_pages_exists_with_its_options("deploy --frobnicate")


# Links, paths, variables


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_every_link_leads_somewhere(name: str) -> None:
    page = PROJECT / name
    for link in re.findall(r"\]\(([^)]+)\)", TEXTS[name]):
        if "://" in link:
            continue
        place, _, anchor = link.partition("#")
        target = page.parent / place if place else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as they are made on GitHub."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_path_on_the_pages_is_there() -> None:
    quoted = re.findall(r"`((?:tapgen|tests|docs|templates_out|lambda_src)/[\w./]*)`", ALL)

    assert quoted
    assert [path for path in quoted if not (PROJECT / path).exists()] == []


def test_every_page_is_linked_from_the_front_door() -> None:
    linked = re.findall(r"\]\((docs/\w+\.md)\)", TEXTS["README.md"])

    assert sorted(linked) == sorted(name for name in TEXTS if name.startswith("docs/"))


def test_every_variable_on_the_pages_is_read() -> None:
    named = set(re.findall(r"\b(TAPGEN_[A-Z_]+)", ALL))
    read = {f"TAPGEN_{key.upper()}" for key in keys()} | settings.OPTIONS | {pace.VARIABLE}

    assert named
    assert sorted(named - read) == []


def test_what_an_error_says_to_read_is_there() -> None:
    sources = "\n".join(p.read_text(encoding="utf-8") for p in (PROJECT / "tapgen").rglob("*.py"))

    told = re.findall(r"(README|docs/\w+\.md), '([^']+)'", sources)

    assert told
    for page, title in told:
        assert f"## {title}\n" in TEXTS["README.md" if page == "README" else page]


# Examples and figures


@pytest.mark.parametrize("example", re.findall(r"```toml\n(.*?)```", ALL, re.DOTALL))
def test_an_example_of_a_settings_file_is_accepted(
    example: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("readme") / "tapgen.toml"
    file.write_text(example, encoding="utf-8")

    found = settings.load("prod", settings.keys(app.documents().values()), file=file, variables={})

    block = tomllib.loads(example)["env"]["prod"]
    assert found.account == (block["account"],)
    assert found.protected is block["protected"]


def test_the_checks_that_an_example_shows_are_made() -> None:
    shown = re.findall(r"^  (?:ok|not kept) +([a-z-]+)  +(\S.*)$", ALL, re.MULTILINE)

    assert len(shown) > 5
    assert set(shown) <= {(check.id, check.title) for check in CHECKS}


def test_the_checks_of_a_smoke_are_those_of_the_program() -> None:
    source = (PROJECT / "tapgen" / "verify" / "smoke.py").read_text(encoding="utf-8")
    table = TEXTS["docs/verifying.md"].partition("With `--smoke` also:")[2]

    rows = re.findall(r"^\| `([a-z]+)` \| (.+) \|$", table, re.MULTILINE)

    assert [name for name, _ in rows] == ["health", "closed", "metadata", "execution", "notice"]
    assert all(f'"{name}"' in source and f'"{title}"' in source for name, title in rows)


@pytest.mark.parametrize(
    ("said", "value"),
    [
        (f"A template over {plan.INLINE_BYTES:,} bytes goes through", plan.INLINE_BYTES == 51_200),
        ("at most four at a time (`--concurrency`)", settings.DEFAULT_CONCURRENCY == 4),
        ("the median of the last five", durations.REMEMBERED == 5),
        ("under one call a second on average", polling.CALLS_A_SECOND < 1),
        ("Reviewers read eight files", len(app.describe()) == 8),
    ],
)
def test_a_figure_in_the_prose_is_the_program_s(said: str, value: bool) -> None:
    assert said in ALL
    assert value


def test_the_bad_days_are_of_every_kind_and_a_broken_one_is_told() -> None:
    text = TEXTS["docs/proof.md"].partition("<!-- measured: faults -->")[2].partition("<!--")[0]
    table = text.partition("python tests/faults/run.py")[2].partition("\n")[2].partition("\n\n")[0]
    head, *days, total = (line.split() for line in table.splitlines())

    assert head == ["kind", "runs", "calls", *bad_days.COLUMNS, "seeds", "broken"]
    assert [row[0] for row in days] == [*bad_days.KINDS, bad_days.HTTP]
    sums = [str(sum(int(row[place]) for row in days)) for place in range(1, len(head) - 2)]
    broken = sum(int(row[-1]) for row in days)
    assert total == ["all", *sums, str(broken)]
    assert broken == text.count("  again: python tests/faults/run.py --kind ")


def test_the_ratios_are_those_that_the_benchmark_measures() -> None:
    text = TEXTS["docs/proof.md"].partition("<!-- measured: speed -->")[2].partition("<!--")[0]
    source = (PROJECT / "tests" / "bench" / "run.py").read_text(encoding="utf-8")

    rows = re.findall(r"^(\S.*?)  +\d+\.\d\d  (\S+ \S+) +(.+)$", text, re.MULTILINE)

    assert len(rows) == source.count("        Comparison(") + source.count("return Comparison(") + 1
    assert all(name in source and aim in source and floor in source for name, aim, floor in rows)


def test_what_the_front_door_says_of_speed_is_what_was_measured() -> None:
    text = TEXTS["docs/proof.md"].partition("<!-- measured: speed -->")[2].partition("<!--")[0]
    ratios = dict(re.findall(r"^(tapgen \S.*?)  +(\d+\.\d\d)  ", text, re.MULTILINE))
    makespans = re.findall(r"times of AWS +[\d.]+ +[\d.]+ +([\d.]+)", part("makespan"))

    assert "less than one per cent longer" in TEXTS["README.md"]
    assert len(makespans) == 3
    assert all(1.0 <= float(ratio) < 1.01 for ratio in makespans)
    about = ("tapgen render (nothing there)", "tapgen deploy, nothing to do")
    assert all(float(ratios[name]) <= 1.25 for name in about)


def test_the_front_door_is_a_page_and_no_book() -> None:
    assert len(TEXTS["README.md"].splitlines()) <= 220
    assert README.name == "README.md"
