"""What a run would change, found out and shown whole, before it changes anything.

The first screen of ``deploy`` and all of ``plan``; plans that were kept are read here and compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tapgen.commands import common
from tapgen.errors import UsageError

if TYPE_CHECKING:
    from tapgen.engine.phases import Phase
    from tapgen.engine.review import Review, Reviewed
    from tapgen.engine.rollout import Rollout
    from tapgen.engine.saved import Asked
    from tapgen.session import Session
    from tapgen.settings import Settings

# How a line of a change looks; the sign before it says the same without colour.
_STYLES = {
    "add": "green",
    "change": "yellow",
    "remove": "red",
    "replace": "red",
    "maybe": "magenta",
    "keep": "cyan",
}

_ROUNDS = {
    "detach": "importers of values that will change hold them literally; no resource changes",
    "release": "exports that move to another stack leave the old one; no resource changes",
    "deploy": "everything as wanted; exports that are still imported stay",
    "contract": "exports that nobody imports any more leave",
}


class PlanAndMore(UsageError):
    """A kept plan, and beside it what the plan says already."""

    def __init__(self, option: str) -> None:
        self.option = option
        super().__init__(f"--plan says already what is deployed: leave out {option}")


@dataclass(frozen=True)
class Kept:
    """A plan from its file, to be carried out."""

    path: Path
    document: Mapping[str, Any]
    asked: Asked

    def check_place(self, session: Session, env: str) -> None:
        """Refuse a plan of another environment or account. Raises ``moved.PlanMoved``."""
        from tapgen.engine import moved

        caller = session.caller
        moved.check_place(self.path, self.document, env, caller.account, caller.region)

    def check(self, session: Session, env: str, planned: Rollout, seen: Review) -> None:
        """Refuse to go on when anything moved since. Raises ``moved.PlanMoved``."""
        from tapgen.engine import moved, saved

        salt = str(self.document["salt"])
        now = saved.document(session.caller, env, self.asked, planned, seen, salt=salt)
        moved.check(self.path, self.document, now)


def kept(path: Path | None, tiers: Sequence[str], flags: Sequence[str], method: str) -> Kept | None:
    """The plan that ``--plan`` names; None without. Raises ``PlanAndMore``, ``saved.BadPlan``."""
    if path is None:
        return None
    given = {"the tiers": tiers, "--set": flags, "--method": method != "auto"}
    for option, value in given.items():
        if value:
            raise PlanAndMore(option)
    from tapgen.engine import saved

    document = saved.read(path)
    return Kept(path, document, saved.asked(document))


def prepared(
    session: Session,
    env: str,
    config: Path,
    flags: Sequence[str],
    tiers: Sequence[str],
    *,
    method: str = "auto",
    alias: Callable[[], str] | None = None,
) -> tuple[Settings, Rollout, Review]:
    """All that a run would need and change, with a line on who asks; nothing is changed.

    ``method`` is ``--method``'s, ``alias`` an ``alias_of`` the session.
    """
    from tapgen import places
    from tapgen.cloud import Manner
    from tapgen.engine import review, rollout
    from tapgen.engine.exact import Asker
    from tapgen.engine.plan import Action

    description = common.describe_for_aws()
    description.chosen(tiers)
    settings = common.settled(session, env, description, config, flags)
    planned = rollout.prepare(
        session,
        description,
        settings,
        tiers,
        lambda_source=places.LAMBDA_SOURCE,
        packages_folder=common.WORK_FOLDER / "packages",
    )
    common.remember_stacks(env, list(planned.deployed))
    # Of an environment at rest nobody needs to know it, and it is to be known fast.
    acting = any(step.action is not Action.KEEP for step in planned.steps())
    common.head(session, env, (alias or alias_of(session))() if acting else "")
    ask = Asker(
        # As it would be deployed: what a role may do is part of the answer.
        session.cloud.acting(Manner(settings.role_arn)),
        session.clock,
        session.pace,
        strict=method == "change-set",
        tell=common.say,
    )
    seen = review.review(
        session.cloud,
        planned.wanted,
        planned.deployed,
        session.caller.account,
        None if method == "template" else ask,
    )
    return settings, planned, seen


# IAM answers from another region, and from behind some networks not at all.
ALIAS_SECONDS = 2.0


def alias_of(session: Session) -> Callable[[], str]:
    """The account's alias, asked when it is first wanted; empty where nobody tells it in time."""
    from queue import Empty, SimpleQueue
    from threading import Thread

    from tapgen.cloud import CloudError

    told: list[str] = []

    def ask(answers: SimpleQueue[str]) -> None:
        try:
            answers.put(session.account.alias())
        except CloudError:
            # The number is what counts; the name only helps to recognise it.
            answers.put("")

    def alias() -> str:
        if not told and not session.local:
            answers: SimpleQueue[str] = SimpleQueue()
            Thread(target=ask, args=(answers,), daemon=True).start()
            try:
                told.append(answers.get(timeout=ALIAS_SECONDS))
            except Empty:
                told.append("")
        return told[0] if told else ""

    return alias


def show(review: Review, notes: Sequence[str]) -> int:
    """Print the review to stderr; returns how many stacks would be acted on."""
    from tapgen.engine.plan import Action

    common.table(
        [(item.wanted.name, item.step.action.value, _why(item)) for item in review.stacks], err=True
    )
    for item in review.stacks:
        if item.changes.before and not item.changes.is_empty:
            _show_changes(item, review.importers)
    _show_rounds(review.phases)
    common.say()
    for item in review.stacks:
        if item.note:
            common.say(f"{item.wanted.name}: {item.note}; so it is predicted from the templates")
    for note in notes:
        common.say(note)
    touched = {item.name for phase in review.phases[:-1] for item in phase.wanted}
    return sum(
        item.step.action is not Action.KEEP or item.wanted.name in touched for item in review.stacks
    )


def _why(item: Reviewed) -> str:
    from tapgen.engine.plan import Action

    count = common.count(sum(each.certain for each in item.changes.resources), "resource")
    if item.step.action is Action.CREATE:
        exports = len(item.changes.exports)
        more = f", {common.count(exports, 'export')}" if exports else ""
        return f"{item.step.why}: {count}{more}"
    if item.step.action is Action.UPDATE:
        return f"{item.step.why}: {count} ({item.source.value})"
    if item.step.action is Action.KEEP and item.changes.resources:
        return f"{item.step.why}, but what it imports changes: {count} ({item.source.value})"
    return item.step.why


def _show_changes(item: Reviewed, importers: Mapping[str, Sequence[str]]) -> None:
    from tapgen.diff import text as diff_text

    lines = [
        *diff_text.lines(item.changes, importers=importers),
        *diff_text.finding_lines(item.findings),
    ]
    common.say()
    for line in lines:
        common.say_styled(line.text, _STYLES.get(line.style))
    if item.access:
        common.say(f"\nwho may do what in {item.wanted.name} (! is more than before):")
        for line in diff_text.access_lines(item.access):
            common.say_styled(line.text, _STYLES.get(line.style))


def _show_rounds(phases: Sequence[Phase]) -> None:
    if len(phases) < 2:
        return
    common.say(f"\nin {len(phases)} rounds, because exports in use leave or change:")
    for number, phase in enumerate(phases, 1):
        common.say(f"  {number} {phase.title}: {_ROUNDS[phase.title]}")
        if phase.title != "deploy":
            common.say(f"    {', '.join(item.name for item in phase.wanted)}")
