"""Whoever runs a command that takes long: what they are asked while it is under way, and answered.

Ctrl-C is a question, not an end: the operations run in AWS either way. Credentials that expire are
waited for where somebody is there to sign in again. Without a terminal nobody is asked: the run
lets go of what it watches and says how to take it up again. The engine knows of this only
``orders``; what it makes of them is its own.
"""

from __future__ import annotations

import shlex
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from tapgen.commands import common
from tapgen.errors import Exit, TapgenError

if TYPE_CHECKING:
    from tapgen.cloud import CloudError
    from tapgen.commands.progress import Progress
    from tapgen.engine.events import Event
    from tapgen.engine.orders import Orders
    from tapgen.session import Session

Door = TypeVar("Door")


class Detached(TapgenError):
    """The user went away from operations that run on."""

    status = Exit.INTERRUPTED

    def __init__(self, resume: str, stacks: tuple[str, ...]) -> None:
        self.resume, self.stacks = resume, stacks
        super().__init__(
            f"interrupted: {', '.join(stacks)} may run on in AWS; follow with {resume}, "
            "or run the same command again"
            if stacks
            else "interrupted"
        )


def resume_command(env: str, *, local: bool, profile: str | None) -> str:
    """The command that takes up watching what runs in an environment."""
    where = " --local" if local else f" --profile {shlex.quote(profile)}" if profile else ""
    return f"tapgen watch --env {env}{where}"


@dataclass
class Attendant:
    """Stands between a run and its user. ``resume`` is the command that takes the run up again.

    ``under_way`` holds what each stack's operation is, for those that this run began.
    """

    policy: str
    resume: str
    orders: Orders
    interactive: bool
    # Whether there is a console to look at: the embedded AWS has none.
    console: bool = True
    under_way: dict[str, str] = field(default_factory=dict)
    # The credentials' end, where nobody could mend it.
    expired: bool = False
    _rung: bool = False
    _screen: Progress | None = None
    _asking: threading.Lock = field(default_factory=threading.Lock)
    _renewals: int = 0

    @contextmanager
    def listening(self, screen: Progress) -> Iterator[None]:
        """While this lasts, signals are heard as the policy says."""
        self._screen = screen
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = [(number, signal.signal(number, self._hear)) for number in numbers]
        try:
            yield
        finally:
            self._screen = None
            for number, handler in before:
                signal.signal(number, handler)

    def _hear(self, number: int, _: Any) -> None:
        asks = self.policy == "ask" and self.interactive and number == signal.SIGINT
        # With nothing under way there is nothing to ask about, and nothing to lose.
        if self._rung or not self.under_way or not (asks or self.policy == "cancel"):
            raise KeyboardInterrupt
        self._rung = self.orders.bell = True

    def learn(self, event: Event) -> None:
        """Keep up with what is under way."""
        from tapgen.engine.events import StackDone, StackFailed, StackStarted

        if isinstance(event, StackStarted):
            self.under_way[event.stack] = event.action
        elif isinstance(event, StackDone) or (isinstance(event, StackFailed) and event.status):
            self.under_way.pop(event.stack, None)

    def answer(self) -> None:
        """Find out what the user wants, who has rung. Raises ``KeyboardInterrupt`` to detach."""
        if self.orders.cancel:
            return
        choice = "c" if self.policy == "cancel" else self._menu()
        if choice == "g":
            self._rung = False
        elif choice == "d":
            raise KeyboardInterrupt
        else:
            self.orders.cancel = True
            self.orders.delete_creating = choice == "x"
            common.say("cancelling; Ctrl-C again detaches")

    def _menu(self) -> str:
        choices = dict(_choices(self.under_way))
        with self.aside():
            common.say("\ninterrupted; what is under way runs on in AWS meanwhile")
            common.table(list(choices.items()), err=True, indent="  ")
            try:
                return str(
                    click.prompt(
                        "What now?",
                        type=click.Choice(list(choices)),
                        default="g",
                        err=True,
                    )
                )
            except click.Abort:
                common.say()
                return "d"

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Have the screen to oneself."""
        screen = self._screen
        if screen is None:
            yield
            return
        screen.__exit__(None, None, None)
        try:
            yield
        finally:
            screen.__enter__()

    def attended(self, session: Session) -> Session:
        """``session``, whose doors wait for new credentials where somebody can bring them."""
        from tapgen.engine.orders import Attentive

        self.console = not session.emulated

        def mend(error: CloudError, renewals: int) -> bool:
            return self._mended(session, error, renewals)

        return replace(
            session,
            cloud=_waiting(session.cloud, mend, self),
            account=_waiting(session.account, mend, self),
            clock=Attentive(session.clock, self.orders),
        )

    def _mended(self, session: Session, error: CloudError, renewals: int) -> bool:
        """Whether the question may be asked again."""
        if not self.interactive or self.expired:
            self.expired = True
            return False
        # Several threads may have asked.
        with self._asking:
            if self._renewals == renewals and not self._signed_in(session, error):
                self.expired = True
                return False
            self._renewals = max(self._renewals, renewals + 1)
            return True

    def _signed_in(self, session: Session, error: CloudError) -> bool:
        from tapgen.cloud import CloudError

        with self.aside():
            trouble = str(error).partition(";")[0]
            while True:
                common.say(f"\n{trouble}; what is under way runs on in AWS")
                try:
                    said = click.prompt(
                        "Sign in again elsewhere, then press Enter (d detaches)",
                        default="",
                        show_default=False,
                        err=True,
                    )
                except click.Abort:
                    common.say()
                    return False
                if said.strip().lower() == "d":
                    return False
                session.renew()
                try:
                    caller = session.account.caller()
                except CloudError as still:
                    trouble = str(still).partition(";")[0]
                    continue
                if caller.account == session.caller.account:
                    return True
                trouble = f"these credentials are of another account ({caller.account})"

    def verdict(self, status: Exit) -> Exit:
        """The exit status of a run that ended with ``status``."""
        return Exit.INTERRUPTED if self.orders.cancel else status

    def take_leave(self) -> None:
        """Say how to take up what nobody could watch to its end."""
        if self.expired and self.under_way:
            common.say(f"\nsign in again, then follow with {self.resume},")
            common.say("or run the same command again: it takes up where this one ended")

    def detached(self) -> Detached:
        """What there is to say when the user has gone away."""
        return Detached(self.resume, tuple(sorted(self.under_way)))


def attendant(
    env: str, policy: str = "ask", *, local: bool = False, profile: str | None = None
) -> Attendant:
    """Whoever sits at this terminal, if there is one."""
    from tapgen.engine.orders import Orders

    resume = resume_command(env, local=local, profile=profile)
    return Attendant(policy, resume, Orders(), common.interactive())


def _choices(under_way: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    updating = sorted(stack for stack, action in under_way.items() if action == "update")
    creating = sorted(s for s, action in under_way.items() if action in ("create", "recreate"))
    others = sorted(set(under_way) - {*updating, *creating})
    parts = ["begin nothing more"]
    if updating:
        parts.append(f"roll back {', '.join(updating)}")
    staying = [*others, *creating]
    if staying:
        parts.append(
            f"{', '.join(staying)} cannot be stopped and run{'s' * (len(staying) == 1)} on"
        )
    yield "c", f"cancel: {'; '.join(parts)}"
    if creating:
        yield "x", f"cancel, and delete what is being created: {', '.join(creating)}"
    yield "d", "detach: everything under way runs on in AWS, this command ends"
    yield "g", "go on"


class _Waiting:
    """A door at which a question is asked again when the credentials for it were mended."""

    def __init__(
        self, door: object, mend: Callable[[CloudError, int], bool], attendant: Attendant
    ) -> None:
        self._door, self._mend, self._attendant = door, mend, attendant

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._door, name)

        def ask(*arguments: Any, **named: Any) -> Any:
            from tapgen.cloud import ExpiredCredentials, NoCredentials

            while True:
                renewals = self._attendant._renewals
                try:
                    answer = method(*arguments, **named)
                except (ExpiredCredentials, NoCredentials) as error:
                    if not self._mend(error, renewals):
                        raise
                    continue
                if name == "acting":
                    return _Waiting(answer, self._mend, self._attendant)
                return answer

        return ask


def _waiting(door: Door, mend: Callable[[CloudError, int], bool], attendant: Attendant) -> Door:
    return cast("Door", _Waiting(door, mend, attendant))
