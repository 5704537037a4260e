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
from tapgen.commands import (
    deploying,
    describing,
    destroying,
    differing,
    environments,
    local,
    observing,
    operating,
    planning,
    verifying,
)
from tapgen.errors import Exit, TapgenError


class _Cli(click.Group):
    """Turns every way to end into an exit status, for a shell and for ``CliRunner`` alike."""

    # Whether an error keeps its traceback.
    debug = False

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
        self.debug = False
        try:
            outcome = super().main(arguments, prog_name or "tapgen", complete_var, **extra)
            sys.exit(outcome if isinstance(outcome, int) else Exit.DONE)
        except TapgenError as error:
            if self.debug:
                if details := getattr(error, "details", ""):
                    # What another program said at length, pip above all.
                    error.add_note(details)
                raise
            _report(str(error))
            sys.exit(error.status)
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            sys.exit(error.exit_code)
        except click.ClickException as error:
            _report(_told(error))
            sys.exit(error.exit_code)
        except (click.Abort, KeyboardInterrupt):
            _report("interrupted")
            sys.exit(Exit.INTERRUPTED)
        except OSError as error:
            if error.filename is not None or error.errno not in _OUTPUT_ENDED:
                raise
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for the interpreter's last flush
            if error.errno != errno.EPIPE:
                _report(f"cannot write the output: {os.strerror(error.errno).lower()}")
            sys.exit(Exit.FAILED)


# Whoever read our output has had enough (| head), or where it goes is full (> file).
_OUTPUT_ENDED = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _told(error: click.ClickException) -> str:
    """What click has to say, and where to read on; by itself it would take three lines."""
    message = error.format_message()
    context = error.ctx if isinstance(error, click.UsageError) else None
    return message if context is None else f"{message} Try '{context.command_path} --help'."


def _report(message: str) -> None:
    # One line, whatever AWS put into its text.
    click.echo(f"tapgen: {' '.join(message.split())}", err=True)


def _remember(context: click.Context, _: click.Parameter, value: bool) -> None:
    root = context.find_root().command
    if value and isinstance(root, _Cli):
        root.debug = True


# Accepted by every command too: who needs it has just typed one, and adds it at the end.
_DEBUG = click.option(
    "--debug",
    is_flag=True,
    expose_value=False,
    callback=_remember,
    envvar="TAPGEN_DEBUG",
    help="Show the traceback of an error (or TAPGEN_DEBUG=1).",
)


@click.group("tapgen", cls=_Cli, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tapgen")
@_DEBUG
def main() -> None:
    """The video processing pipeline as CloudFormation: render, review, deploy.

    \b
    Exit status: 0 done (also: nothing to do), 1 failed or refused, 2 usage,
    3 differences found, 130 interrupted or declined.
    """
    # A CI runner ends a job with SIGTERM: clean up as after Ctrl-C.
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _add(command: click.Command, group: click.Group) -> None:
    group.add_command(command)
    if isinstance(command, click.Group):
        for below in command.commands.values():
            _DEBUG(below)
    else:
        _DEBUG(command)


# A module a group of commands, a line a module.
_MODULES = (
    describing,
    differing,
    planning,
    deploying,
    destroying,
    environments,
    operating,
    verifying,
    observing,
    local,
)
for module in _MODULES:
    for command in module.COMMANDS:
        _add(command, main)
