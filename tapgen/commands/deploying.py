"""Brings an environment to what the templates describe."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from tapgen.commands import common, running


@click.command()
@click.argument("tiers", nargs=-1, metavar="[TIER]...")
@common.env_option
@common.aws_options
@common.config_option
@click.option("--set", "flags", multiple=True, metavar="KEY=VALUE", help="A setting of this run.")
@click.option("--concurrency", metavar="N", help="At most so many stacks at a time.")
@click.option("--fail-fast", is_flag=True, help="Start nothing more once a stack has failed.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option(
    "--recreate-failed", is_flag=True, help="Delete stacks whose creation failed, and make anew."
)
@click.option("--verbose", "-v", is_flag=True, help="A line for every resource.")
@common.output_option("text", "json")
def deploy(
    tiers: tuple[str, ...],
    env: str,
    local: bool,
    profile: str | None,
    config: Path,
    flags: tuple[str, ...],
    concurrency: str | None,
    fail_fast: bool,
    yes: bool,
    recreate_failed: bool,
    verbose: bool,
    form: str,
) -> int:
    """Bring an environment to what the templates describe.

    All tiers, or those named; the foundation too, where the account has none yet.
    """
    with common.opened(env, config, local=local, profile=profile) as session:
        from tapgen.commands import planning
        from tapgen.engine import durations, rounds

        if concurrency is not None:
            flags = (*flags, f"concurrency={concurrency}")
        settings, planned, seen = planning.prepared(session, env, config, flags, tiers)
        waiting = planning.show(seen, (*planned.notes, *planned.consents))
        failed = [step.stack for step in planned.steps() if step.action.value == "recreate"]
        if waiting:
            common.confirm(f"Deploy {common.count(waiting, 'stack')} to {env}?", yes=yes)
        remembered = running.durations_of(session, env)
        past = durations.load(remembered)
        run = replace(
            running.run_of(session, settings.concurrency, failed if recreate_failed else ()),
            expected=past.expected(planned.steps(), planned.wanted, guessed=not session.emulated),
            fail_fast=fail_fast,
        )
        stacks = [item.name for item in planned.wanted]
        carried = rounds.carry_out(session, planned, run, seen.phases)
        events = durations.learning(past, remembered, carried)
        # Even with nothing to change: a run that died before its migrations is made up for.
        show = waiting > 0
        summary = running.follow(
            events, stacks, session, form=form, verbose=verbose, unchanged=show
        )
        return running.concluded(summary, env, form)


COMMANDS = (deploy,)
