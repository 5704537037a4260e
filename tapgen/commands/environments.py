"""Looks at what is deployed: status, outputs, envs. Changes nothing."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tapgen import names
from tapgen.commands import common, running
from tapgen.errors import TapgenError

if TYPE_CHECKING:
    from tapgen.cloud import DeployedStack


@click.command()
@common.env_option
@common.aws_options
@common.config_option
@common.output_option("table", "json")
def status(env: str, local: bool, profile: str | None, config: Path, form: str) -> None:
    """Show each stack's status, and which template it runs."""
    with common.opened(env, config, local=local, profile=profile, surveying=True) as session:
        from tapgen import graph
        from tapgen.digest import digest_of
        from tapgen.render import as_json

        description = common.describe()
        common.settled(session, env, description, config)
        order = graph.order(description.documents)
        name_of = {tier: description.stack_name(tier, env) for tier in order}
        found = session.survey(list(name_of.values()))
    rows = []
    for tier in order:
        deployed = found[name_of[tier]]
        digest = digest_of(description.documents[tier])
        rows.append((tier, name_of[tier], *_state(deployed, digest)))
    if form == "json":
        keys = ("tier", "stack", "status", "template", "changed")
        click.echo(as_json([dict(zip(keys, row, strict=True)) for row in rows]))
    else:
        common.table([row[1:] for row in rows])


@click.command()
@click.argument("tiers", nargs=-1, metavar="[TIER]...")
@common.env_option
@common.aws_options
@common.config_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "env"]),
    default="table",
    show_default=True,
    help="A table, one JSON object, or KEY=value lines for a shell.",
)
def outputs(
    tiers: tuple[str, ...], env: str, local: bool, profile: str | None, config: Path, form: str
) -> None:
    """Print what the stacks of an environment export and show."""
    with common.opened(env, config, local=local, profile=profile) as session:
        from tapgen.engine import rollout
        from tapgen.render import as_json

        description = common.describe()
        common.settled(session, env, description, config)
        chosen = rollout.selected(description, tiers)
        stacks = [description.stack_name(tier, env) for tier in chosen]
        found = session.survey(stacks)
    standing = [stack for stack in found.values() if stack is not None]
    if not standing:
        raise NotDeployed(env, stacks)
    shown = {key: value for stack in standing for key, value in running.outputs_of(stack.outputs)}
    if form == "json":
        click.echo(as_json(shown))
    elif form == "env":
        for key, value in shown.items():
            click.echo(f"{names.setting_key(key).upper()}={shlex.quote(value)}")
    else:
        common.table(list(shown.items()))


@click.command()
@common.aws_options
@common.config_option
@common.output_option("table", "json")
def envs(local: bool, profile: str | None, config: Path, form: str) -> None:
    """List the environments deployed or named in tapgen.toml."""
    with common.opened(None, config, local=local, profile=profile) as session:
        from tapgen import settings
        from tapgen.engine import recover
        from tapgen.render import as_json

        known = settings.keys(common.describe().documents.values())
        named = settings.environments(config, known)
        found: dict[str, list[DeployedStack]] = {name: [] for name in named}
        for stack in session.cloud.stacks(f"{names.PROJECT}-"):
            if recover.is_ours(stack) and "Environment" in stack.tags:
                found.setdefault(stack.tags["Environment"], []).append(stack)
    rows = [(name, *_condition(stacks)) for name, stacks in sorted(found.items())]
    if form == "json":
        keys = ("env", "stacks", "condition", "changed")
        click.echo(as_json([dict(zip(keys, row, strict=True)) for row in rows]))
    elif rows:
        common.table(rows)
    else:
        common.say("no environment is deployed here; begin with tapgen deploy --env SUFFIX")


class NotDeployed(TapgenError):
    """An environment without a single stack."""

    def __init__(self, env: str, stacks: Sequence[str]) -> None:
        self.env, self.stacks = env, tuple(stacks)
        what = stacks[0] if len(stacks) == 1 else f"environment {env!r}"
        super().__init__(f"{what} is not deployed here; tapgen envs lists what is")


def _state(deployed: DeployedStack | None, digest: str | None) -> tuple[str, str, str]:
    from tapgen.digest import DIGEST_OUTPUT

    if deployed is None:
        return "not deployed", "", ""
    current = deployed.outputs.get(DIGEST_OUTPUT) == digest
    changed = deployed.changed.strftime("%Y-%m-%d %H:%M UTC") if deployed.changed else ""
    return deployed.status, "current" if current else "other template", changed


def _condition(stacks: Sequence[DeployedStack]) -> tuple[str, str, str]:
    from tapgen.engine.plan import GOOD

    if not stacks:
        return "", "not deployed", ""
    bad = sorted({stack.status for stack in stacks if stack.status not in GOOD})
    changed = max((stack.changed for stack in stacks if stack.changed), default=None)
    when = changed.strftime("%Y-%m-%d %H:%M UTC") if changed else ""
    return common.count(len(stacks), "stack"), ", ".join(bad) or "good", when


COMMANDS = (status, outputs, envs)
