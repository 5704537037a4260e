"""Commands about the embedded AWS: serve it for other programs, or forget all it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tapgen.commands import common

if TYPE_CHECKING:
    from tapgen.local.lease import Embedded


@click.group()
def local() -> None:
    """The embedded AWS on this machine: what --local talks to."""


@local.command()
@click.option("--port", type=click.IntRange(1, 65535), help="A fixed port instead of a free one.")
def serve(port: int | None) -> None:
    """Keep the embedded AWS up for other programs, until Ctrl-C."""
    from tapgen.local import lease

    lease.serve(common.WORK_FOLDER / "local", port, _announce)


@local.command()
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def reset(yes: bool) -> None:
    """Forget everything the embedded AWS holds."""
    from tapgen.local import lease

    common.confirm("Forget all stacks and data of the embedded AWS?", yes=yes)
    lease.reset(common.WORK_FOLDER / "local")
    common.say("the embedded AWS is empty")


def _announce(embedded: Embedded) -> None:
    click.echo(f"export AWS_ENDPOINT_URL={embedded.url}")
    click.echo(f"export AWS_REGION={embedded.region}")
    click.echo(f"export AWS_ACCESS_KEY_ID={embedded.access_key}")
    click.echo(f"export AWS_SECRET_ACCESS_KEY={embedded.secret_key}")
    common.say("the embedded AWS is up; Ctrl-C ends it, its state is kept")


COMMANDS = (local,)
