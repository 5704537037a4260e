"""What several commands share: options, the description, settings, prompts, tables."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tapgen import names
from tapgen.errors import Declined, UsageError

if TYPE_CHECKING:
    from tapgen.description import Description
    from tapgen.session import Session
    from tapgen.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])

# One for all commands: click looks for a translation of its name each time one is made.
_SETTINGS_FILE = click.Path(path_type=Path, dir_okay=False, readable=False)
# Everything that tapgen keeps between two commands, beside the project.
WORK_FOLDER = Path(".tapgen")


class NeedsYes(UsageError):
    """A question with nobody there to answer it."""

    def __init__(self, question: str) -> None:
        self.question = question
        super().__init__(f"{question} Nobody can be asked here: use --yes")


def env_option(command: F) -> F:
    """``--env SUFFIX``, or the variable that the users' scripts have always set."""
    return click.option(
        "--env",
        "-e",
        metavar="SUFFIX",
        envvar=["TAPGEN_ENV", "ENVIRONMENT_SUFFIX"],
        required=True,
        help="The environment: 1 to 20 lower-case letters, digits and single hyphens "
        "(or ENVIRONMENT_SUFFIX).",
    )(command)


def aws_options(command: F) -> F:
    """Which AWS: the embedded one, or a profile of the real one."""
    command = click.option(
        "--local", is_flag=True, envvar="TAPGEN_LOCAL", help="Use the embedded AWS on this machine."
    )(command)
    return click.option(
        "--profile", "-p", metavar="NAME", help="The AWS profile to use (or AWS_PROFILE)."
    )(command)


def config_option(command: F) -> F:
    """Where the settings file is."""
    return click.option(
        "--config",
        type=_SETTINGS_FILE,
        default=Path("tapgen.toml"),
        envvar="TAPGEN_CONFIG",
        show_default=True,
        help="The settings file; it may be missing.",
    )(command)


def output_option(*forms: str) -> Callable[[F], F]:
    """``--output``, the first of ``forms`` being the default."""
    return click.option(
        "--output",
        "-o",
        "form",
        type=click.Choice(forms),
        default=forms[0],
        show_default=True,
        help="How to print the result.",
    )


def describe_for_aws() -> Description:
    """Everything the code describes, as ``describe`` has it, or as it was kept since."""
    if "tapgen.app" in sys.modules:
        # Loaded already, and perhaps changed by whoever did that: nothing to save.
        return describe()
    from tapgen import described

    return described.kept(WORK_FOLDER / "described.json", describe)


def describe() -> Description:
    """Everything the code describes."""
    from tapgen import app
    from tapgen.description import Description

    stacks = app.describe()
    return Description(app.documents(stacks), app.scopes(stacks), app.sources(stacks))


def settings_of(
    env: str, description: Description, config: Path, flags: Sequence[str] = ()
) -> Settings:
    """The environment's settings, from the file, the variables and the flags."""
    from tapgen import settings
    from tapgen.scope import Scope

    documents = [
        document
        for tier, document in description.documents.items()
        if description.scopes[tier] is Scope.ENVIRONMENT
    ]
    return settings.load(
        env, settings.keys(documents), file=config, variables=os.environ, flags=flags
    )


@contextmanager
def opened(
    env: str | None,
    config: Path,
    *,
    local: bool,
    profile: str | None,
    surveying: bool = False,
) -> Iterator[Session]:
    """A session, opened before anything else is read: what AWS is asked first takes longest.

    ``env`` None is no particular environment; ``surveying`` says that its stacks will be asked
    about: those of last time are at once.
    """
    if env is not None:
        names.checked_suffix(env)
    from tapgen import session

    if profile is None and env is not None:
        profile = os.environ.get("TAPGEN_PROFILE") or _profile(config, env)
    with session.connect(
        local=local,
        home=WORK_FOLDER / "local",
        profile=profile,
        variables=os.environ,
        likely=_stacks_of_last_time(env) if surveying and env is not None else (),
    ) as connected:
        yield connected


def _stacks_of_last_time(env: str) -> list[str]:
    """The stacks that an environment had when it was last surveyed; a guess, and only that."""
    import json

    try:
        known = json.loads(_last_time(env).read_bytes())
    except (OSError, ValueError):
        return []
    good = isinstance(known, list) and all(isinstance(name, str) for name in known)
    return known if good else []


def remember_stacks(env: str, stacks: Sequence[str]) -> None:
    """Keep the names for next time, where they changed; no harm where that cannot be."""
    import json
    from contextlib import suppress

    from tapgen import files

    if list(stacks) != _stacks_of_last_time(env):
        with suppress(files.CannotWrite):
            files.write(_last_time(env), json.dumps(list(stacks)).encode())


def _last_time(env: str) -> Path:
    return WORK_FOLDER / "stacks" / f"{env}.json"


def _profile(config: Path, env: str) -> str | None:
    # os.path: a folder that may not be looked into is told of when the file is read.
    if not os.path.exists(config):
        return None
    from tapgen import settings

    return settings.profile(config, env)


def settled(
    session: Session, env: str, description: Description, config: Path, flags: Sequence[str] = ()
) -> Settings:
    """The environment's settings, and the certainty that this is its account."""
    from tapgen.session import check_place

    found = settings_of(env, description, config, flags)
    if not session.local:
        check_place(env, found, session.caller)
    return found


def confirm(question: str, *, yes: bool) -> None:
    """Ask, unless ``yes``. Raises ``Declined`` on no, ``NeedsYes`` where nobody can answer."""
    if yes:
        return
    if not interactive():
        raise NeedsYes(question)
    with asking():
        agreed = click.confirm(question, default=False, err=True)
    if not agreed:
        raise Declined("nothing was done")


@contextmanager
def asking() -> Iterator[None]:
    """Around a question: Ctrl-C leaves the cursor behind it, and what follows starts a line."""
    try:
        yield
    except click.Abort:
        say()
        raise


def interactive() -> bool:
    """Whether somebody can answer a question."""
    return sys.stdin.isatty() and not os.environ.get("CI")


def live_screen() -> bool:
    """Whether stderr is a terminal that can be drawn on, and rich is there to do it."""
    if not sys.stderr.isatty() or os.environ.get("CI") or os.environ.get("TERM") == "dumb":
        return False
    from importlib.util import find_spec

    return find_spec("rich") is not None


def say(text: str = "") -> None:
    """Tell a person something that is not the result."""
    click.echo(text, err=True)


def head(session: Session, env: str, alias: str = "") -> None:
    """Say who asks, where, and about which environment; ``alias`` is the account's, if known."""
    caller = session.caller
    where = "the embedded AWS" if session.local else f"account {caller.account}"
    if alias:
        where += f" ({alias})"
    say(f"{where}, {caller.region}, as {caller.arn}")
    say(f"environment {env}")
    say()


def say_unchanged(env: str, stacks: int) -> None:
    """The result of a run, or a plan, that has nothing to do."""
    click.echo(f"{env}: nothing to do, {count(stacks, 'stack')} unchanged")


def count(number: int, noun: str) -> str:
    """``1 stack``, ``8 stacks``."""
    return f"{number} {noun}{'s' * (number != 1)}"


def say_styled(text: str, colour: str | None) -> None:
    """``say`` in a colour, where the terminal wants any (click strips it elsewhere)."""
    wanted = colour is not None and not os.environ.get("NO_COLOR")
    click.secho(text, err=True, fg=colour if wanted else None)


def table(rows: Sequence[Sequence[str]], *, err: bool = False, indent: str = "") -> None:
    """Print rows in columns, as wide as they need; the last column runs on."""
    if not rows:
        return
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]) - 1)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        click.echo((indent + "  ".join([*cells, row[-1]])).rstrip(), err=err)
