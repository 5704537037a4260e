"""Carries a destruction out, and offers to leave behind what cannot be deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import click

from tapgen.commands import common, recovering, running

if TYPE_CHECKING:
    from tapgen.cloud import DeployedStack
    from tapgen.commands.attending import Attendant
    from tapgen.engine.destroy import Standing
    from tapgen.engine.run import Run
    from tapgen.engine.summary import Summary
    from tapgen.session import Session


@dataclass(frozen=True)
class View:
    """How the run is shown, and whether anybody is asked."""

    env: str
    form: str
    verbose: bool
    yes: bool


def taken_down(
    session: Session,
    run: Run,
    attendant: Attendant,
    standing: Sequence[Standing],
    importers: Mapping[str, Sequence[str]],
    view: View,
) -> Summary:
    """Delete them all; what could not be is offered to be left behind, where somebody can say."""
    from tapgen.engine import destroy as destroying
    from tapgen.engine import durations

    remembered = running.durations_of(session, view.env)
    past = durations.load(remembered)
    ordered = [item.stack.name for item in standing]
    run = replace(run, expected=past.deleting(ordered))

    def once(run: Run, items: Sequence[Standing]) -> Summary:
        carried = destroying.destroy(run, items, importers)
        events = durations.learning(past, remembered, carried)
        return running.follow(
            events, ordered, session, attendant, form=view.form, verbose=view.verbose
        )

    summary = once(run, standing)
    retain = _offered(session, summary, view)
    if not retain or attendant.orders.cancel:
        return summary
    ended = [item for item in standing if summary.row_of(item.stack.name)[0] in _GONE]
    again = [item for item in standing if item not in ended]
    ends = {item.stack.name: summary.ends[item.stack.name] for item in ended}
    second = once(replace(run, id=f"{run.id}-2", retain=retain), _anew(session, again))
    second.ends.update(ends)
    return second


_GONE = ("deleted", "unchanged")


def _anew(session: Session, standing: Sequence[Standing]) -> list[Standing]:
    found = []
    for item in standing:
        now = session.cloud.stack(item.stack.id)
        if now is not None:
            found.append(replace(item, stack=now))
    return found


def _offered(session: Session, summary: Summary, view: View) -> dict[str, list[str]]:
    """The resources that whoever sits there wants left behind, by stack."""
    from tapgen.engine import recover

    if view.yes or view.form == "json" or not common.interactive():
        return {}
    found: dict[str, list[str]] = {}
    for name, how, _ in summary.rows():
        stack = session.cloud.stack(name) if how == "failed" else None
        if stack is None or stack.status != "DELETE_FAILED":
            continue
        told = recover.diagnose(session.cloud, stack)
        stuck = [item for item in told.stuck if item.may_be_retained]
        common.say()
        recovering.tell(told, "its deletion failed")
        ids = [item.resource.logical_id for item in stuck]
        question = f"Leave {', '.join(ids)} behind, where no stack holds it, and finish {name}?"
        with common.asking():
            if ids and click.confirm(question, default=False, err=True):
                found[name] = ids
    return found


def tell_failed(session: Session, stacks: Sequence[DeployedStack]) -> None:
    """Print why earlier deletions failed, and what happens now."""
    from tapgen.engine import recover

    for stack in stacks:
        if stack.status == "DELETE_FAILED":
            recovering.tell(recover.diagnose(session.cloud, stack), "its last deletion failed")
            common.say("  it is tried again; --retain ID or --force leave behind what fails again")
