"""Shows what a run would change, and keeps it to be carried out later. Changes nothing."""

from __future__ import annotations

from pathlib import Path

import click

from tapgen.commands import common
from tapgen.commands.options import method_option
from tapgen.errors import Exit


@click.command()
@click.argument("tiers", nargs=-1, metavar="[TIER]...")
@common.env_option
@common.aws_options
@common.config_option
@click.option("--set", "flags", multiple=True, metavar="KEY=VALUE", help="A setting of this run.")
@method_option
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Keep the plan, for deploy --plan FILE.",
)
@click.option("--exit-code", is_flag=True, help="Exit 3 when anything would change.")
@common.output_option("text", "json")
def plan(
    tiers: tuple[str, ...],
    env: str,
    local: bool,
    profile: str | None,
    config: Path,
    flags: tuple[str, ...],
    method: str,
    out: Path | None,
    exit_code: bool,
    form: str,
) -> int:
    """Show what a deploy would change, and change nothing."""
    from tapgen.commands import preparing

    with common.opened(env, config, local=local, profile=profile, surveying=True) as session:
        from tapgen import __version__
        from tapgen.engine import saved
        from tapgen.render import as_json

        asked = saved.Asked(tiers, flags, method)
        alias = preparing.alias_of(session)
        _, planned, seen = preparing.prepared(
            session, env, config, flags, tiers, method=method, alias=alias
        )
        if out is not None:
            saved.check_flags(flags, planned.wanted)
        acting = preparing.show(seen, (*planned.notes, *planned.consents))
        if out is not None or form == "json":
            document = saved.document(
                session.caller, env, asked, planned, seen, made_by=__version__, alias=alias()
            )
        if out is not None:
            saved.write(out, document)
            where = " --local" if local else f" --profile {profile}" if profile else ""
            command = f"tapgen deploy --env {env}{where} --plan {out}"
            common.say(f"kept as {out}; to carry it out: {command}")
        if form == "json":
            click.echo(as_json(document))
        elif not acting:
            common.say_unchanged(env, len(seen.stacks))
        else:
            click.echo(f"{env}: {common.count(acting, 'stack')} would be deployed")
        return Exit.DIFFERENT if exit_code and acting else Exit.DONE


COMMANDS = (plan,)
