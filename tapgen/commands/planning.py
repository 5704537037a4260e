"""Shows what a run would change, whole, before it changes anything."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tapgen.commands import common
from tapgen.errors import Exit

if TYPE_CHECKING:
    from tapgen.engine.phases import Phase
    from tapgen.engine.review import Review, Reviewed
    from tapgen.engine.rollout import Rollout
    from tapgen.session import Session
    from tapgen.settings import Settings

# How a line of a change looks; the sign before it says the same without colour.
_STYLES = {
    "add": "green",
    "change": "yellow",
    "remove": "red",
    "replace": "red",
    "maybe": "magenta",
    "keep": "cyan",
}

_ROUNDS = {
    "detach": "importers of values that will change hold them literally; no resource changes",
    "release": "exports that move to another stack leave the old one; no resource changes",
    "deploy": "everything as wanted; exports that are still imported stay",
    "contract": "exports that nobody imports any more leave",
}


@click.command()
@click.argument("tiers", nargs=-1, metavar="[TIER]...")
@common.env_option
@common.aws_options
@common.config_option
@click.option("--set", "flags", multiple=True, metavar="KEY=VALUE", help="A setting of this run.")
@click.option("--exit-code", is_flag=True, help="Exit 3 when anything would change.")
@common.output_option("text", "json")
def plan(
    tiers: tuple[str, ...],
    env: str,
    local: bool,
    profile: str | None,
    config: Path,
    flags: tuple[str, ...],
    exit_code: bool,
    form: str,
) -> int:
    """Show what a deploy would change, and change nothing."""
    with common.opened(env, config, local=local, profile=profile) as session:
        from tapgen.engine import review
        from tapgen.render import as_json

        _, planned, seen = prepared(session, env, config, flags, tiers)
        acting = show(seen, (*planned.notes, *planned.consents))
        if form == "json":
            click.echo(as_json(review.plain(seen)))
        elif not acting:
            common.say_unchanged(env, len(seen.stacks))
        else:
            click.echo(f"{env}: {common.count(acting, 'stack')} would be deployed")
        return Exit.DIFFERENT if exit_code and acting else Exit.DONE


def prepared(
    session: Session, env: str, config: Path, flags: Sequence[str], tiers: Sequence[str]
) -> tuple[Settings, Rollout, Review]:
    """All that a run would need and change, with a line on who asks; nothing is changed."""
    from tapgen import app
    from tapgen.engine import review, rollout

    description = common.describe()
    description.chosen(tiers)
    settings = common.settled(session, env, description, config, flags)
    planned = rollout.prepare(
        session,
        description,
        settings,
        tiers,
        lambda_source=app.LAMBDA_SOURCE,
        packages_folder=common.WORK_FOLDER / "packages",
    )
    common.head(session, env)
    account = session.caller.account
    return (
        settings,
        planned,
        review.review(session.cloud, planned.wanted, planned.deployed, account),
    )


def show(review: Review, notes: Sequence[str]) -> int:
    """Print the review to stderr; returns how many stacks would be acted on."""
    from tapgen.engine.plan import Action

    common.table(
        [(item.wanted.name, item.step.action.value, _why(item)) for item in review.stacks], err=True
    )
    for item in review.stacks:
        if item.changes.before and not item.changes.is_empty:
            _show_changes(item)
    _show_rounds(review.phases)
    common.say()
    for note in notes:
        common.say(note)
    touched = {item.name for phase in review.phases[:-1] for item in phase.wanted}
    acting = (Action.CREATE, Action.UPDATE, Action.RECREATE, Action.WAIT, Action.REFUSE)
    return sum(item.step.action in acting or item.wanted.name in touched for item in review.stacks)


def _why(item: Reviewed) -> str:
    from tapgen.engine.plan import Action

    count = common.count(len(item.changes.resources), "resource")
    if item.step.action is Action.CREATE:
        return f"{item.step.why}: {count}"
    if item.step.action is Action.UPDATE:
        return f"{item.step.why}: {count} ({item.source.value})"
    return item.step.why


def _show_changes(item: Reviewed) -> None:
    from tapgen.diff import text as diff_text

    common.say()
    for line in (*diff_text.lines(item.changes), *diff_text.finding_lines(item.findings)):
        common.say_styled(line.text, _STYLES.get(line.style))


def _show_rounds(phases: Sequence[Phase]) -> None:
    if len(phases) == 1:
        return
    common.say(f"\nin {len(phases)} rounds, because exports in use leave or change:")
    for number, phase in enumerate(phases, 1):
        common.say(f"  {number} {phase.title}: {_ROUNDS[phase.title]}")
        if phase.title != "deploy":
            common.say(f"    {', '.join(item.name for item in phase.wanted)}")


COMMANDS = (plan,)
