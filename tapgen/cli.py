"""The command line: which commands there are, and what every one of them does about errors.

A deliberate error is one line on stderr and its own exit status, an unexpected one keeps its
traceback because it is a bug. The commands themselves stand in ``commands``; they import what they
need when they run, so that ``--help`` pays for click alone.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from tapgen import __version__
from tapgen.commands import describing, environments, local
from tapgen.errors import Exit, TapgenError


class _Cli(click.Group):
    """Turns every way to end into an exit status, for a shell and for ``CliRunner`` alike."""

    def main(  # type: ignore[override]
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        **extra: Any,
    ) -> NoReturn:
        """Run, report, and leave with the status. Never returns."""
        extra["standalone_mode"] = False
        arguments = list(sys.argv[1:] if args is None else args)
        try:
            outcome = super().main(arguments, prog_name or "tapgen", complete_var, **extra)
            sys.exit(outcome if isinstance(outcome, int) else Exit.DONE)
        except TapgenError as error:
            if "--debug" in arguments:
                raise
            _report(str(error))
            sys.exit(error.status)
        except click.ClickException as error:
            error.show()
            sys.exit(error.exit_code)
        except (click.Abort, KeyboardInterrupt):
            _report("interrupted")
            sys.exit(Exit.INTERRUPTED)
        except OSError as error:
            if error.errno != errno.EPIPE:
                raise
            # Whoever read our output has had enough (| head): nothing more to say, or to flush.
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for the interpreter's last flush
            sys.exit(Exit.FAILED)


def _report(message: str) -> None:
    # One line, whatever AWS put into its text.
    click.echo(f"tapgen: {' '.join(message.split())}", err=True)


@click.group(cls=_Cli, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tapgen")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """The video processing pipeline as CloudFormation: render, review, deploy.

    \b
    Exit status: 0 done (also: nothing to do), 1 failed or refused, 2 usage,
    3 differences found, 130 interrupted or declined.
    """
    # A CI runner ends a job with SIGTERM: clean up as after Ctrl-C.
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


for command in (*describing.COMMANDS, *environments.COMMANDS, *local.COMMANDS):
    main.add_command(command)
