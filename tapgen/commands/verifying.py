"""Asks a deployed environment whether it is what the document says."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tapgen.commands import common
from tapgen.errors import Exit, TapgenError

if TYPE_CHECKING:
    from tapgen.session import Session
    from tapgen.verify.environment import Environment
    from tapgen.verify.report import Subject
    from tapgen.verify.result import Result
    from tapgen.verify.smoke import Smoke


class NothingDeployed(TapgenError):
    """An environment without a single stack."""

    def __init__(self, env: str) -> None:
        self.env = env
        super().__init__(
            f"environment {env!r} has no stack here; deploy it with tapgen deploy --env {env}"
        )


class NothingServes(TapgenError):
    """The embedded AWS has no front door of its own."""

    def __init__(self, env: str) -> None:
        self.env = env
        super().__init__(
            f"nothing serves the API of {env!r}: run tapgen local serve --env {env} in this "
            "folder, or name its URL with --api-url (or API_URL)"
        )


@click.command()
@click.argument("checks", nargs=-1, metavar="[CHECK]...")
@common.env_option
@common.aws_options
@common.config_option
@click.option(
    "--smoke",
    is_flag=True,
    help="Also write and read a video, run the workflow once and receive its notice.",
)
@click.option("--api-url", metavar="URL", help="The API to ask, if not the exported one.")
@click.option("--all", "whole", is_flag=True, help="Show what was found for what passed, too.")
@common.output_option("table", "json", "junit")
def verify(
    checks: tuple[str, ...],
    env: str,
    local: bool,
    profile: str | None,
    config: Path,
    smoke: bool,
    api_url: str | None,
    whole: bool,
    form: str,
) -> int:
    """Ask a deployed environment whether it is right.

    It changes nothing but with --smoke, which leaves a video and an execution.

    CHECK is a check's name or a group's: network, data, serving, topics, workflow, wiring,
    all-tiers. Exit status 1: a check failed, or could not be asked.
    """
    from tapgen.verify import report, run

    wanted = run.chosen(checks)
    with common.opened(env, config, local=local, profile=profile) as session:
        described = common.describe()
        common.settled(session, env, described, config)
        common.head(session, env)
        from tapgen.verify.environment import Tier, survey

        caller = session.caller
        deployed = survey(session.cloud, described, env, caller.account)
        own = [tier for name, tier in deployed.tiers.items() if name != "foundation"]
        if not any(isinstance(tier, Tier) for tier in own):
            raise NothingDeployed(env)
        forgotten = _forgotten() if session.emulated else {}
        results = list(run.carry_out(wanted, deployed, session.services, forgotten, session.clock))
        if smoke:
            common.say("smoke: a video, an execution and a notice; this takes some minutes on AWS")
            results += _smoke(session, deployed, api_url).carry_out()
        subject = report.Subject(env, caller.account, caller.region, session.emulated)
        _show(subject, results, form, whole=whole)
    return Exit.DONE if all(result.outcome.is_good for result in results) else Exit.FAILED


def _forgotten() -> Mapping[str, str]:
    from tapgen.local.resources.not_kept import NOT_KEPT, NOT_REPORTED

    return {f"{one.type}.{one.property}": one.why for one in (*NOT_KEPT, *NOT_REPORTED)}


def _smoke(session: Session, env: Environment, api_url: str | None) -> Smoke:
    from tapgen.session import new_run_id
    from tapgen.verify import web
    from tapgen.verify.smoke import Smoke

    url: str | TapgenError
    if api_url:
        url = api_url
    elif session.emulated:
        url = os.environ.get("API_URL") or _served_here(env.env) or NothingServes(env.env)
    else:
        try:
            url = env.export("ApiEndpointUrl")
        except TapgenError as error:
            url = error
    run_id = new_run_id()
    return Smoke(env, session.services, web.send, url, session.clock, session.pace, run_id)


def _served_here(env: str) -> str | None:
    """Where ``tapgen local serve`` of this folder serves the environment's API, if it does."""
    try:
        return (common.WORK_FOLDER / "local-data" / env / "url").read_text()
    except OSError:
        return None


def _show(subject: Subject, results: Sequence[Result], form: str, *, whole: bool) -> None:
    from tapgen.render import as_json
    from tapgen.verify import report

    if form == "json":
        click.echo(as_json(report.as_plain(subject, results)))
    elif form == "junit":
        click.echo(report.as_junit(subject, results), nl=False)
    else:
        plain = bool(os.environ.get("NO_COLOR"))
        for line in report.table(results, whole=whole):
            if plain or line.outcome is None:
                click.echo(line.text)
            else:
                click.secho(line.text, fg=report.COLOURS[line.outcome])
        click.echo(f"{subject.env}: {report.summary(results)}")
    if form != "table":
        common.say(f"{subject.env}: {report.summary(results)}")


COMMANDS = (verify,)
