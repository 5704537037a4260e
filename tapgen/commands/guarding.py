"""Asks for what must not happen by accident: somebody's yes, or the environment's name typed.

Which changes those are, ``engine.guard`` says; here is how a person, or a flag, answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from tapgen.commands import common
from tapgen.errors import Declined, UsageError

if TYPE_CHECKING:
    from tapgen.cloud import CloudFormation
    from tapgen.engine.guard import Guard
    from tapgen.engine.review import Review
    from tapgen.engine.rollout import Rollout
    from tapgen.settings import Settings


class NeedsTyping(UsageError):
    """Data would go, and nobody is there to type the environment's name."""

    def __init__(self, env: str, why: str) -> None:
        self.env, self.why = env, why
        super().__init__(
            f"{why}: that needs the suffix typed, and nobody can be asked here: add --confirm {env}"
        )


class NotForProtected(UsageError):
    """A way to deploy that a protected environment does not take."""

    def __init__(self, env: str, option: str) -> None:
        self.env, self.option = env, option
        super().__init__(
            f"{option} is for development: environment {env!r} is protected in tapgen.toml"
        )


def acting(cloud: CloudFormation, settings: Settings, *, express: bool) -> CloudFormation:
    """The door through which a run changes things. Raises ``NotForProtected``."""
    from tapgen.cloud import Manner

    if express and settings.protected:
        raise NotForProtected(settings.env, "--express")
    return cloud.acting(Manner(settings.role_arn, express))


def agreed(
    settings: Settings,
    seen: Review,
    question: str,
    *,
    more: Sequence[str] = (),
    yes: bool,
    typed: str | None,
) -> dict[str, frozenset[str]]:
    """Ask what must be asked before a run; returns what may go, by stack.

    ``more`` are reasons to ask beside the review's. ``yes`` answers everything but the loss of
    data, which takes the suffix. Raises ``Declined``, ``NeedsTyping``, ``common.NeedsYes``.
    """
    from tapgen.engine import guard

    lost = guard.losses(seen)
    if lost:
        for stack, finding in lost:
            common.say(f"{stack}: {finding.text}")
        what = f"{common.count(len(lost), 'resource')} with data would go"
        type_suffix(settings.env, what, typed)
        return guard.agreed_losses(lost)
    level = settings.require_approval
    reasons = (*guard.needs_approval(level, seen), *(more if level == "any-change" else ()))
    if reasons:
        if level != "any-change":
            for reason in reasons:
                common.say(f"needs approval: {reason}")
        common.confirm(question, yes=yes)
    return {}


def type_suffix(env: str, why: str, typed: str | None) -> None:
    """Have the suffix typed, on the terminal or as a flag. Raises ``Declined``, ``NeedsTyping``."""
    if typed is None:
        if not common.interactive():
            raise NeedsTyping(env, why)
        with common.asking():
            typed = click.prompt(
                f"{why}. Type {env} to go on", default="", show_default=False, err=True
            )
    if typed != env:
        raise Declined(f"{typed!r} is not {env!r}: nothing was done")


def guard_of(
    settings: Settings,
    planned: Rollout,
    agreed: dict[str, frozenset[str]],
    *,
    checking: bool,
) -> Guard:
    """What a run protects: every stack of a protected environment, not the account's own.

    ``checking`` says to look at the policies of unchanged stacks, too.
    """
    from tapgen.engine.guard import Guard

    if not settings.protected:
        return Guard()
    own = {
        item.name: item.document
        for item in planned.wanted
        if item.request.tags.get("Environment") == settings.env
    }
    return Guard(own, agreed, checking)
