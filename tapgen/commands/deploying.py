"""Brings an environment to what the templates describe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tapgen.commands import common, options

if TYPE_CHECKING:
    from tapgen.engine.rollout import Rollout
    from tapgen.session import Session


@click.command()
@click.argument("tiers", nargs=-1, metavar="[TIER]...")
@common.env_option
@common.aws_options
@common.config_option
@click.option("--set", "flags", multiple=True, metavar="KEY=VALUE", help="A setting of this run.")
@click.option(
    "--plan",
    "plan_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Carry out the plan kept there, without asking; refuse when anything moved since.",
)
@options.method_option
@click.option("--concurrency", metavar="N", help="At most so many stacks at a time.")
@click.option("--fail-fast", is_flag=True, help="Start nothing more once a stack has failed.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask (never enough where data would go).")
@options.guard_options
@click.option(
    "--recreate-failed", is_flag=True, help="Delete stacks whose creation failed, and make anew."
)
@click.option(
    "--recover", is_flag=True, help="Take failed updates back that are stuck half-way, first."
)
@click.option(
    "--skip",
    multiple=True,
    metavar="[STACK/]ID",
    help="With --recover: a resource to give up, which then differs from the template.",
)
@click.option("--no-wait-existing", is_flag=True, help="Fail where an operation is under way.")
@click.option("--verify", is_flag=True, help="Ask CloudFormation about unchanged stacks, too.")
@options.on_interrupt_option
@click.option("--verbose", "-v", is_flag=True, help="A line for every resource.")
@common.output_option("text", "json")
def deploy(
    tiers: tuple[str, ...],
    env: str,
    local: bool,
    profile: str | None,
    config: Path,
    flags: tuple[str, ...],
    plan_file: Path | None,
    method: str,
    concurrency: str | None,
    fail_fast: bool,
    yes: bool,
    approval: str | None,
    typed: str | None,
    role_arn: str | None,
    express: bool,
    recreate_failed: bool,
    recover: bool,
    skip: tuple[str, ...],
    no_wait_existing: bool,
    verify: bool,
    on_interrupt: str,
    verbose: bool,
    form: str,
) -> int:
    """Bring an environment to what the templates describe.

    All tiers, or those named; the foundation too, where the account has none yet.
    """
    from tapgen.commands import attending, guarding, preparing, recovering, running

    told = recovering.Flags(recreate_failed, recover, skip, yes or plan_file is not None)
    told.check()
    kept = preparing.kept(plan_file, tiers, flags, method)
    if kept is not None:
        tiers, flags, method = kept.asked.tiers, kept.asked.flags, kept.asked.method
    with common.opened(env, config, local=local, profile=profile, surveying=True) as session:
        from tapgen.engine import durations, rounds

        if kept is not None:
            kept.check_place(session, env)
        flags = (*flags, *_as_settings(concurrency, approval, role_arn))
        settings, planned, seen = preparing.prepared(
            session, env, config, flags, tiers, method=method
        )
        if kept is not None:
            kept.check(session, env, planned, seen)
        waiting = preparing.show(seen, (*planned.notes, *planned.consents))
        allowed = recovering.allowed(session.cloud, planned.steps(), planned.deployed, told)
        doubted = _doubted(session, planned) if verify else ()
        waiting += len(doubted)
        going: dict[str, frozenset[str]] = {}
        if waiting:
            _tell_orphans(session, env, planned)
            going = guarding.agreed(
                settings,
                seen,
                f"Deploy {common.count(waiting, 'stack')} to {env}?",
                more=doubted,
                yes=yes or kept is not None,
                typed=typed,
            )
        attendant = attending.attendant(env, on_interrupt, local=local, profile=profile)
        door = guarding.acting(session.cloud, settings, express=express)
        session = attendant.attended(replace(session, cloud=door))
        remembered = running.durations_of(session, env)
        past = durations.load(remembered)
        run = replace(
            running.run_of(session, settings.concurrency, attendant),
            expected=past.expected(planned.steps(), planned.wanted, guessed=not session.emulated),
            fail_fast=fail_fast,
            recreate=allowed.recreate,
            recover=allowed.recover,
            skip=allowed.skip,
            doubted=frozenset(doubted),
            patient=not no_wait_existing,
            sources=planned.sources,
        )
        stacks = [item.name for item in planned.wanted]
        guard = guarding.guard_of(settings, planned, going, checking=verify)
        carried = rounds.carry_out(session, planned, run, seen.phases, guard)
        events = durations.learning(past, remembered, carried)
        # Even with nothing to change: a run that died before its migrations is made up for.
        show = waiting > 0
        summary = running.follow(
            events, stacks, session, attendant, form=form, verbose=verbose, unchanged=show
        )
        return running.concluded(summary, env, form, attendant)


def _as_settings(concurrency: str | None, approval: str | None, role_arn: str | None) -> list[str]:
    """The options that are settings too, as ``--set`` would say them."""
    given = {"concurrency": concurrency, "require_approval": approval, "role_arn": role_arn}
    return [f"{key}={value}" for key, value in given.items() if value is not None]


def _doubted(session: Session, planned: Rollout) -> Sequence[str]:
    """The stacks that look unchanged and are not, each told with the reason."""
    from tapgen.engine import exact, unchanged
    from tapgen.engine.plan import Action

    kept = [
        item
        for item, step in zip(planned.wanted, planned.steps(), strict=True)
        if step.action is Action.KEEP
    ]
    ask = exact.Asker(session.cloud, session.clock, session.pace, strict=True, tell=common.say)
    found = unchanged.doubts(session.cloud, ask, kept, planned.deployed)
    for stack, why in found.items():
        common.say(f"{stack}: {why}")
    common.say(f"verified: {common.count(len(kept) - len(found), 'stack')} unchanged")
    return tuple(found)


def _tell_orphans(session: Session, env: str, planned: Rollout) -> None:
    from tapgen.commands import recovering, running
    from tapgen.engine import destroy

    found = destroy.orphans(running.stacks_of(session, env), planned.deployed)
    recovering.tell_orphans(found, env)


COMMANDS = (deploy,)
