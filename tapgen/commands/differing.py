"""Compares the templates with earlier ones, without an account: for the review of a change."""

from __future__ import annotations

from pathlib import Path

import click

from tapgen.commands import common
from tapgen.errors import Exit

# In the place of what only a deploy knows, such as where a package lies; the same on both sides.
_UNKNOWN = "known-when-deployed"


@click.command()
@click.argument("tiers", nargs=-1, metavar="[TIER]...")
@click.option(
    "--against",
    metavar="FOLDER|REVISION",
    help="Earlier templates: a folder, or templates_out as a git revision has it.  "
    "[default: templates_out]",
)
@click.option(
    "--env", "-e", metavar="SUFFIX", default="dev", show_default=True, help="Whose names to show."
)
@common.config_option
@click.option("--exit-code", is_flag=True, help="Exit 3 when anything differs.")
@common.output_option("text", "json")
def diff(
    tiers: tuple[str, ...],
    against: str | None,
    env: str,
    config: Path,
    exit_code: bool,
    form: str,
) -> int:
    """Show what the code changes in the stacks, without AWS."""
    from tapgen import names, places, render
    from tapgen.commands import preparing
    from tapgen.engine import offline, plan, review, rollout
    from tapgen.scope import Scope

    names.checked_suffix(env)
    description = common.describe()
    chosen = rollout.selected(description, tiers)
    settings = common.settings_of(env, description, config)
    before = offline.templates(against or str(places.TEMPLATES_FOLDER), places.TEMPLATES_FOLDER)
    unknown = {
        title: _UNKNOWN
        for tier in chosen
        for title, parameter in description.documents[tier].get("Parameters", {}).items()
        if "Default" not in parameter
    }
    wanted = [
        plan.wanted(
            tier,
            description.documents[tier],
            render.text(description.documents[tier]),
            env=None if description.scopes[tier] is Scope.ACCOUNT else env,
            given={**unknown, **settings.parameters},
            tags={},
        )
        for tier in chosen
    ]
    seen = offline.review(wanted, before)
    gone = [] if tiers else sorted(set(before) - set(description.documents))
    acting = preparing.show(seen, [f"{tier} is no longer described" for tier in gone]) + len(gone)
    if form == "json":
        click.echo(render.as_json({**review.plain(seen), "gone": gone}))
    elif acting:
        click.echo(f"{common.count(acting, 'stack')} would be changed")
    else:
        click.echo(f"no differences in {common.count(len(seen.stacks), 'stack')}")
    return Exit.DIFFERENT if exit_code and acting else Exit.DONE


COMMANDS = (diff,)
