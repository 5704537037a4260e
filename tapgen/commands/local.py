"""Commands about this machine: serve the API and the embedded AWS, or forget all they hold."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tapgen.commands import common
from tapgen.errors import Exit

if TYPE_CHECKING:
    from tapgen.local.gateway.laptop import Places, Served
    from tapgen.local.lease import Embedded

_PORT = click.IntRange(1, 65535)
_NEW_VIDEO = '{"title": "Opening night", "source_uri": "s3://videos/opening.mp4"}'


@click.group()
def local() -> None:
    """The embedded AWS on this machine, and the API that runs on it."""


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
    """Serve the API of an environment, and the embedded AWS, until Ctrl-C.

    PostgreSQL and Redis run beside it; the data is kept for the next time.
    """
    if aws_only:
        from tapgen.local import lease

        lease.serve(common.WORK_FOLDER / "local", port, _announce_aws)
        return
    from tapgen import names

    names.checked_suffix(env)
    from tapgen.local.gateway import laptop

    description, places = common.describe(), _places()
    settings = common.settings_of(env, description, config)
    order = laptop.Order(description, settings, places, port, api_port, throttled=not no_throttle)
    try:
        with laptop.served(order, common.say) as up:
            _announce(up)
            laptop.wait(up, places.embedded)
    except KeyboardInterrupt:
        return


@local.command()
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def reset(yes: bool) -> None:
    """Forget everything the embedded AWS and the local databases hold."""
    from tapgen.local import lease

    common.confirm("Forget all stacks and data of the embedded AWS?", yes=yes)
    lease.reset(common.WORK_FOLDER / "local")
    places = _places()
    if places.data.exists():
        from tapgen.local.gateway import laptop

        laptop.forget(places)
    common.say("the embedded AWS is empty")


@click.command()
@click.option("--write", is_flag=True, help="Write it beside the function instead of printing it.")
@click.option("--check", is_flag=True, help="Print nothing; exit 3 if the written one is stale.")
def openapi(write: bool, check: bool) -> int:
    """Print the OpenAPI description of the API.

    It is made from the contract and the template.
    """
    import json

    from tapgen import app, files
    from tapgen import openapi as describing

    contract = json.loads((app.LAMBDA_SOURCE / app.API_CONTRACT).read_bytes())
    text = describing.text(describing.document(contract, common.describe().documents["api"]))
    if not (write or check):
        click.echo(text, nl=False)
        return Exit.DONE
    path = app.LAMBDA_SOURCE / "video_metadata_api" / "openapi.yaml"
    fresh = files.read_text(path) == text
    if check and not fresh:
        common.say(f"{path} is stale: run tapgen openapi --write")
        return Exit.DIFFERENT
    if write and not fresh:
        files.write(path, text.encode())
        common.say(f"{path}  written")
    return Exit.DONE


def _places() -> Places:
    from tapgen import app
    from tapgen.local.gateway.laptop import Places

    return Places(
        embedded=common.WORK_FOLDER / "local",
        data=common.WORK_FOLDER / "local-data",
        packages=common.WORK_FOLDER / "packages",
        lambda_source=app.LAMBDA_SOURCE,
    )


def _announce(up: Served) -> None:
    _exports(up.embedded)
    click.echo(f"export API_URL={up.url}")
    click.echo(f"export API_KEY={up.key}")
    common.say(
        f"\n{up.env} is up after {up.seconds:.1f} s; logs are in {up.logs}. Try, elsewhere:\n\n"
        f"  curl {up.url}/health\n"
        f"  curl {up.url}/metadata -H 'x-api-key: {up.key}' \\\n"
        f"    -H 'content-type: application/json' -d '{_NEW_VIDEO}'\n"
        f"  curl '{up.url}/metadata?limit=5' -H 'x-api-key: {up.key}'\n\n"
        "Ctrl-C ends it; the data is kept."
    )


def _announce_aws(embedded: Embedded) -> None:
    _exports(embedded)
    common.say("the embedded AWS is up; Ctrl-C ends it, its state is kept")


def _exports(embedded: Embedded) -> None:
    click.echo(f"export AWS_ENDPOINT_URL={embedded.url}")
    click.echo(f"export AWS_REGION={embedded.region}")
    click.echo(f"export AWS_ACCESS_KEY_ID={embedded.access_key}")
    click.echo(f"export AWS_SECRET_ACCESS_KEY={embedded.secret_key}")


COMMANDS = (local, openapi)
