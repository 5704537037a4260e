"""Commands about this machine: serve the whole system, watch it at work, forget all it holds."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tapgen.commands import common, executing, observing
from tapgen.errors import Exit

if TYPE_CHECKING:
    from datetime import datetime

    from tapgen.local.gateway.laptop import Places, Served
    from tapgen.local.lease import Embedded
    from tapgen.observe.lines import Feed
    from tapgen.session import Session

# What runs beside the deployed system has files for its logs.
LOCAL_SOURCES = (*observing.SOURCES, "database", "cache", "aws")
_PORT = click.IntRange(1, 65535)
_NEW_VIDEO = '{"title": "Opening night", "source_uri": "s3://videos/opening.mp4"}'


@click.group()
def local() -> None:
    """The whole system on this machine, on the embedded AWS."""


@local.command()
@click.option(
    "--env",
    "-e",
    metavar="SUFFIX",
    envvar=["TAPGEN_ENV", "ENVIRONMENT_SUFFIX"],
    default="demo",
    show_default=True,
    help="The environment to serve; deployed to the embedded AWS where it is not yet.",
)
@common.config_option
@click.option("--port", type=_PORT, help="A fixed port for the embedded AWS.")
@click.option("--api-port", type=_PORT, help="A fixed port for the API.  [default: 8080 or next]")
@click.option("--no-throttle", is_flag=True, help="Leave the API's limits and quota out.")
@click.option("--aws-only", is_flag=True, help="The embedded AWS alone.")
def serve(
    env: str,
    config: Path,
    port: int | None,
    api_port: int | None,
    no_throttle: bool,
    aws_only: bool,
) -> None:
    """Serve an environment on this machine until Ctrl-C.

    The embedded AWS with its workflow, PostgreSQL, Redis and the API; the data is kept for the
    next time.
    """
    if aws_only:
        from tapgen.local import lease

        lease.serve(common.WORK_FOLDER / "local", port, _announce_aws)
        return
    from tapgen import names

    names.checked_suffix(env)
    from tapgen.local.gateway import laptop

    description, where = common.describe(), _places()
    settings = common.settings_of(env, description, config)
    order = laptop.Order(description, settings, where, port, api_port, throttled=not no_throttle)
    try:
        with laptop.served(order, common.say) as up:
            _announce(up)
            laptop.wait(up, where.embedded, common.say)
    except KeyboardInterrupt:
        return


@local.command()
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def reset(yes: bool) -> None:
    """Forget all stacks and data held on this machine."""
    from tapgen.local import lease

    common.confirm("Forget all stacks and data of the embedded AWS?", yes=yes)
    lease.reset(common.WORK_FOLDER / "local")
    places = _places()
    if places.data.exists():
        from tapgen.local.gateway import laptop

        laptop.forget(places)
    common.say("the embedded AWS is empty")


@local.command("logs")
@click.argument("sources", nargs=-1, type=click.Choice(LOCAL_SOURCES), metavar="[SOURCE]...")
@executing.local_env_option
@common.config_option
@observing.follow_option
@observing.since_option("1h")
@common.output_option("text", "json")
def local_logs(
    sources: tuple[str, ...], env: str, config: Path, follow: bool, since: str, form: str
) -> int:
    """Show the logs of what runs on this machine, merged by time.

    Of all sources, or of those named: api, task, workflow (as tapgen logs), database, cache, aws.
    """
    from datetime import UTC, datetime

    from tapgen import names
    from tapgen.observe import lines

    names.checked_suffix(env)
    begin = lines.moment(since, datetime.now(UTC))
    wanted = sources or LOCAL_SOURCES
    feeds = _log_files(env, wanted, begin, whole=not follow)
    with ExitStack() as stack:
        if deployed := [source for source in observing.SOURCES if source in wanted]:
            # Only these are asked of the embedded AWS; a log file can be read without it.
            opened = common.opened(env, config, local=True, profile=None)
            session = stack.enter_context(opened)
            feeds += _log_groups(session, env, config, deployed, begin)
        return observing.show(feeds, emulated=True, follow=follow, form=form, since=since)


@click.command()
@click.option("--write", is_flag=True, help="Write it beside the function instead of printing it.")
@click.option("--check", is_flag=True, help="Print nothing; exit 3 if the written one is stale.")
def openapi(write: bool, check: bool) -> int:
    """Print the OpenAPI description of the API.

    It is made from the contract and the template.
    """
    import json

    from tapgen import files, places
    from tapgen import openapi as describing

    contract = json.loads((places.LAMBDA_SOURCE / places.API_CONTRACT).read_bytes())
    text = describing.text(describing.document(contract, common.describe().documents["api"]))
    if not (write or check):
        click.echo(text, nl=False)
        return Exit.DONE
    path = places.LAMBDA_SOURCE / "video_metadata_api" / "openapi.yaml"
    fresh = files.read_text(path) == text
    if check and not fresh:
        common.say(f"{path} is stale: run tapgen openapi --write")
        return Exit.DIFFERENT
    if write and not fresh:
        files.write(path, text.encode())
        common.say(f"{path}  written")
    return Exit.DONE


def _places() -> Places:
    from tapgen import places
    from tapgen.local.gateway.laptop import Places

    return Places(
        embedded=common.WORK_FOLDER / "local",
        data=common.WORK_FOLDER / "local-data",
        packages=common.WORK_FOLDER / "packages",
        lambda_source=places.LAMBDA_SOURCE,
    )


def _log_files(env: str, sources: Sequence[str], begin: datetime, *, whole: bool) -> list[Feed]:
    from tapgen.local.gateway import laptop
    from tapgen.observe.files import LogFiles

    found = [one for one in laptop.log_files(_places(), env) if one.source in sources]
    return [LogFiles(found, begin, whole)] if found else []


def _log_groups(
    session: Session, env: str, config: Path, sources: Sequence[str], begin: datetime
) -> list[Feed]:
    from tapgen.observe.deployed import NothingDeployed

    try:
        return observing.groups(session, env, config, sources, begin)
    except NothingDeployed:
        # The files of an environment that was destroyed, or never came up, are worth reading.
        return []


def _announce(up: Served) -> None:
    _exports(up.embedded)
    click.echo(f"export API_URL={up.url}")
    click.echo(f"export API_KEY={up.key}")
    tapgen = _program()
    env = "" if up.env == "demo" else f" --env {up.env}"
    common.say(
        f"\n{up.env} is up after {up.seconds:.1f} s. Try, elsewhere in this folder:\n\n"
        f"  curl {up.url}/health\n"
        f"  curl {up.url}/metadata -H 'x-api-key: {up.key}' \\\n"
        f"    -H 'content-type: application/json' -d '{_NEW_VIDEO}'\n"
        f"  {tapgen} local run-workflow{env}\n"
        f"  {tapgen} local notices --follow{env}\n\n"
        f"Logs: {tapgen} local logs --follow{env}\n"
        "Ctrl-C ends it; the data is kept."
    )


def _program() -> str:
    """How to call tapgen from the shell that called this one."""
    import shlex
    import shutil

    called = sys.argv[0]
    if not os.access(called, os.X_OK) or os.path.basename(called) == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m tapgen"
    found = shutil.which("tapgen")
    if found is not None and os.path.realpath(found) == os.path.realpath(called):
        return "tapgen"
    return shlex.quote(called)


def _announce_aws(embedded: Embedded) -> None:
    _exports(embedded)
    common.say("the embedded AWS is up; Ctrl-C ends it, its state is kept")


def _exports(embedded: Embedded) -> None:
    click.echo(f"export AWS_ENDPOINT_URL={embedded.url}")
    click.echo(f"export AWS_REGION={embedded.region}")
    click.echo(f"export AWS_ACCESS_KEY_ID={embedded.access_key}")
    click.echo(f"export AWS_SECRET_ACCESS_KEY={embedded.secret_key}")


local.add_command(executing.run_workflow)
local.add_command(executing.notices)

COMMANDS = (local, openapi)
