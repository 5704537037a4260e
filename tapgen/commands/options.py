"""Options of the commands that change stacks.

Apart from what acts on them, which takes longer to load than --help may.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

APPROVALS = ("never", "broadening", "destructive", "any-change")
POLICIES = ("ask", "detach", "cancel")

on_interrupt_option = click.option(
    "--on-interrupt",
    type=click.Choice(POLICIES),
    default="ask",
    show_default=True,
    help="What Ctrl-C does; without a terminal, ask is detach. A second Ctrl-C detaches.",
)


def method_option(command: F) -> F:
    """``--method``: whom to ask what an update would change."""
    return click.option(
        "--method",
        type=click.Choice(["auto", "change-set", "template"]),
        default="auto",
        show_default=True,
        help="Ask CloudFormation by change sets, removed again; predict from the templates; "
        "or ask where it can be asked.",
    )(command)


def guard_options(command: F) -> F:
    """``--require-approval``, ``--confirm``, and how CloudFormation acts."""
    for option in (
        express_option,
        role_option,
        click.option(
            "--confirm", "typed", metavar="SUFFIX", help="The suffix again, where data would go."
        ),
        click.option(
            "--require-approval",
            "approval",
            type=click.Choice(APPROVALS),
            help="Ask only for changes that let more people do or see more or that destroy, only "
            "for those that destroy, for any, or never.  [default: any-change]",
        ),
    ):
        command = option(command)
    return command


role_option = click.option(
    "--role-arn", metavar="ARN", help="The role that CloudFormation acts as."
)
express_option = click.option(
    "--express", is_flag=True, help="Do not wait until resources are stable; for development."
)
