"""Who may import whom: read off the sources, and off a process that has run.

The description knows no engine, the engine knows no tier, one module knows boto3, and asking for
help loads none of the heavy libraries.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import tapgen

PACKAGE = Path(tapgen.__file__).parent

# Modules that read botocore's description of the APIs, inside a function; none makes a client.
READS_API_MODELS = {
    # Which parameters an SDK call of a state machine takes.
    "tapgen.validate.grammar",
    # The embedded AWS answers in the shapes that botocore reads.
    "tapgen.local.resources.plumbing",
}
# Brings up the API on this machine: it deploys, and asks the embedded AWS for what was deployed.
LAPTOP = "tapgen.local.gateway.laptop"
# What a tier is written with.
TIERS_USE = {"tapgen.iam", "tapgen.names", "tapgen.policies", "tapgen.stack"}

# What renders, asks AWS and changes it.
ENGINE = {"aws", "cloud", "engine", "render", "session", "settings"}


@dataclass(frozen=True)
class Use:
    """``module`` imports ``name``; ``at_once`` says when it is itself imported."""

    module: str
    name: str
    at_once: bool

    def of(self, *tops: str) -> bool:
        """Whether it is one of these packages, or in it."""
        return any(self.name == top or self.name.startswith(f"{top}.") for top in tops)


@cache
def sources() -> dict[str, ast.Module]:
    """Every module of tapgen, by its dotted name."""
    return {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(
            ".__init__"
        ): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(PACKAGE.rglob("*.py"))
    }


def imports(module: str, tree: ast.Module, modules: Iterable[str]) -> Iterator[Use]:
    """Every import of a module, typing-only ones left out."""
    skipped = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test).endswith("TYPE_CHECKING")
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (Use(module, name.name, node in tree.body) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: a relative import would pass these tests unseen"
            for name in node.names:
                whole = f"{node.module}.{name.name}"
                found = whole if whole in modules else str(node.module)
                yield Use(module, found, node in tree.body)


@cache
def uses() -> tuple[Use, ...]:
    return tuple(
        use for name, tree in sources().items() for use in imports(name, tree, set(sources()))
    )


def users(*tops: str) -> set[str]:
    """The modules outside ``tops`` that import something of them."""
    return {
        use.module for use in uses() if use.of(*tops) and not Use("", use.module, True).of(*tops)
    }


def reached(module: str) -> set[str]:
    """The modules of tapgen that ``module`` brings in, over any number of steps."""
    found, due = set[str](), [module]
    while due:
        name = due.pop()
        if name not in found and name in sources():
            found.add(name)
            due += [use.name for use in uses() if use.module == name]
    return found - {module}


def test_the_reader_of_these_tests_sees_every_form_of_import() -> None:
    text = (
        "import a.b, c\n"
        "from d import e as f, g\n"
        "if TYPE_CHECKING:\n    import unseen\n"
        "def later():\n    from d.e import h\n"
        "try:\n    import i\nexcept ImportError:\n    pass\n"
    )

    found = set(imports("m", ast.parse(text), {"d.e"}))

    assert {(use.name, use.at_once) for use in found} == {
        ("a.b", True),
        ("c", True),
        ("d.e", True),
        ("d", True),
        ("d.e", False),
        ("i", False),
    }
    assert len(sources()) > 50


def test_one_module_talks_to_aws() -> None:
    assert users("boto3") == {"tapgen.aws.connection"}
    assert users("botocore") - READS_API_MODELS == {"tapgen.aws.connection"}
    assert users("tapgen.aws") - {LAPTOP} == {"tapgen.session"}


def test_modules_that_read_api_models_load_them_when_asked_and_make_no_client() -> None:
    for use in uses():
        if use.module in READS_API_MODELS and use.of("botocore"):
            assert not use.at_once, use
            assert use.of(
                "botocore.exceptions", "botocore.loaders", "botocore.model", "botocore.serialize"
            ), use
    # None stands in the list that no longer needs to.
    assert users("botocore") >= READS_API_MODELS


def test_only_the_server_s_side_of_the_embedded_aws_reaches_into_the_emulator() -> None:
    reaching = {
        module
        for module, tree in sources().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).endswith(("import_module", "find_spec", "__import__"))
        and "ministack" in ast.unparse(node.args[0])
    }

    assert users("ministack") == set()
    # The commands' side asks whether it is installed, and no more.
    assert reaching == {"tapgen.local.reach", "tapgen.local.lease"}
    assert {
        name for name in users("tapgen.local.reach") if not name.startswith("tapgen.local.")
    } == (set())


def test_outside_the_embedded_aws_is_known_how_to_lease_it_and_how_to_serve_the_api() -> None:
    outside = {
        use.name
        for use in uses()
        if use.of("tapgen.local") and not use.module.startswith("tapgen.local")
    }

    # Verifying says what the embedded AWS does not keep, from its own table.
    known = {"tapgen.local.lease", "tapgen.local.errors", "tapgen.local.resources.not_kept", LAPTOP}
    assert outside <= known
    assert reached("tapgen.local.lease") <= {"tapgen.errors", "tapgen.local.errors"}


def test_the_embedded_aws_knows_nothing_of_what_is_deployed_on_it_or_how() -> None:
    server = reached("tapgen.local.server")

    assert "tapgen.local.emulator" in server
    assert LAPTOP not in server
    assert {
        name for name in server if name.split(".")[1] in {"app", "tiers", "commands", *ENGINE}
    } == set()


def test_tiers_are_written_with_four_modules_and_each_other() -> None:
    for use in uses():
        if use.module.startswith("tapgen.tiers") and use.of("tapgen"):
            assert use.name in TIERS_USE or use.of("tapgen.tiers"), use


def test_one_module_knows_the_tiers() -> None:
    assert users("tapgen.tiers") == {"tapgen.app"}
    assert {name.split(".")[1] for name in users("tapgen.app")} == {"commands"}


def test_describing_brings_in_nothing_of_the_engine() -> None:
    assert not {name for name in reached("tapgen.app") if name.split(".")[1] in ENGINE}
    assert "tapgen.tiers.network" in reached("tapgen.app")


def test_the_engine_knows_no_tier_no_command_and_no_emulator() -> None:
    inside = {name for name in sources() if name.startswith("tapgen.engine.")}
    met = {other for name in inside for other in reached(name)}

    assert len(inside) > 10
    assert not {name for name in met if name.split(".")[1] in {"app", "cli", "commands", "tiers"}}
    # The session may lease the embedded AWS; the engine is handed the session.
    assert {use.name for use in uses() if use.module in inside and use.of("tapgen.local")} == set()


def test_the_command_line_is_the_outermost_layer() -> None:
    assert users("tapgen.commands") == {"tapgen.cli"}
    assert users("tapgen.cli") == {"tapgen.__main__"}


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert [module for module in sources() if module in _far(module)] == []


def _far(module: str) -> set[str]:
    """What is reached from the imports of ``module``; itself only over a circle."""
    found: set[str] = set()
    for use in uses():
        if use.module == module and use.name in sources() and use.at_once:
            found |= {use.name} | _at_once(use.name)
    return found


@cache
def _at_once(module: str) -> frozenset[str]:
    found, due = set[str](), [use.name for use in uses() if use.module == module and use.at_once]
    while due:
        name = due.pop()
        if name not in found and name in sources():
            found.add(name)
            due += [use.name for use in uses() if use.module == name and use.at_once]
    return frozenset(found)


HEAVY = {
    "awacs",
    "boto3",
    "botocore",
    "cfn_flip",
    "cfnlint",
    "ministack",
    "rich",
    "statelint",
    "troposphere",
    "yaml",
}
LOADED = """
import sys
from tapgen.cli import main
sys.argv = ["tapgen", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    loaded = {name.partition(".")[0] for name in sys.modules}
    print(end.code or 0, *sorted(loaded), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        ("--help", set()),
        ("deploy --help", set()),
        ("validate --help", set()),
        ("--version", set()),
        ("graph", {"awacs", "cfn_flip", "troposphere", "yaml"}),
        ("render --check", {"awacs", "cfn_flip", "troposphere", "yaml"}),
    ],
)
def test_a_command_loads_what_it_needs_and_nothing_heavy_besides(
    arguments: str, needed: set[str]
) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", LOADED, *arguments.split()],
        capture_output=True,
        text=True,
        check=False,
    )

    status, *loaded = ran.stderr.split()
    assert status == "0"
    assert "click" in loaded
    assert HEAVY & set(loaded) <= needed
