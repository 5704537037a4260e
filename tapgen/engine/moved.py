"""What moved since a plan was made: the plan of then held against one of now. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from tapgen.engine.saved import Document
from tapgen.errors import TapgenError


class PlanMoved(TapgenError):
    """The environment, or the code, is no longer what the plan was made from.

    ``moved`` maps stacks (or the environment, the account) to what is another there now.
    """

    def __init__(self, path: Path, moved: Mapping[str, str]) -> None:
        self.path, self.moved = path, dict(moved)
        told = "; ".join(f"{subject} {what}" for subject, what in moved.items())
        super().__init__(
            f"{path} no longer holds: {told}; nothing was changed: make a new plan and have it "
            "approved"
        )


def check_place(path: Path, plan: Document, env: str, account: str, region: str) -> None:
    """Refuse a plan of another environment, account or region. Raises ``PlanMoved``."""
    here = {"environment": env, "account": account, "region": region}
    moved = {
        f"the {what}": f"is {now}, and the plan is for {plan[what]}"
        for what, now in here.items()
        if plan[what] != now
    }
    if moved:
        raise PlanMoved(path, moved)


def check(path: Path, plan: Document, now: Document) -> None:
    """Refuse to go on when anything moved since. Raises ``PlanMoved``, naming every stack."""
    found = dict(moved(plan, now))
    if found:
        raise PlanMoved(path, found)


def moved(plan: Document, now: Document) -> Iterator[tuple[str, str]]:
    """Stack by stack what is another now than in the plan; of each stack the first reason."""
    then, there = ({each["stack"]: each for each in one["stacks"]} for one in (plan, now))
    importers = {
        stack: f"has {export}, which {_names(now['importers'].get(export, ()))} imports now"
        for export, stack in _exporters(plan, now).items()
        if _sorted(plan["importers"].get(export)) != _sorted(now["importers"].get(export))
    }
    told = False
    for stack in dict.fromkeys([*then, *there]):
        if stack not in there:
            why = "is no longer described"
        elif stack not in then:
            why = "is not in the plan"
        else:
            why = _moved(then[stack], there[stack], importers.get(stack, ""))
        if why:
            told = True
            yield stack, why
    if not told and plan["rounds"] != now["rounds"]:
        yield "the order", "is another: exports in use leave or change otherwise than planned"


def _moved(then: Document, now: Document, importers: str) -> str:
    had, has = then["deployed"], now["deployed"]
    if had is None or has is None:
        if had is not has:
            return "was not deployed then" if had is None else "is not deployed any more"
    elif had.get("id") != has["id"]:
        return "was deleted and made anew"
    elif had.get("changed") != has["changed"]:
        return f"was changed at {_clock(has['changed'])} and is in {has['status']}"
    elif had.get("status") != has["status"]:
        return f"is in {has['status']} now, not in {had.get('status')}"
    if then["fingerprint"] != now["fingerprint"] or then.get("hidden") != now["hidden"]:
        return "has another template, or other parameters or tags"
    if importers:
        return importers
    # What was asked of somebody else cannot be compared.
    if then["source"] == now["source"] and _courses(then) != _courses(now):
        return "would change in another way"
    return f"would be: {now['action']}" if then["action"] != now["action"] else ""


def _clock(moment: str) -> str:
    """A moment of AWS's to the second: nobody acts upon microseconds."""
    return f"{datetime.fromisoformat(moment):%Y-%m-%d %H:%M:%S} UTC" if moment else "some time"


def _courses(stack: Document) -> list[tuple[str, ...]]:
    keys = ("logical_id", "action", "replacement")
    resources: Sequence[Any] = stack["changes"].get("resources", ())
    return sorted(
        tuple(str(each.get(key)) for key in keys) for each in resources if isinstance(each, dict)
    )


def _exporters(*plans: Document) -> dict[str, str]:
    return {
        export["name"]: export["stack"]
        for plan in plans
        for export in plan.get("exports", ())
        if isinstance(export, dict) and {"name", "stack"} <= set(export)
    }


def _sorted(names: Any) -> list[str]:
    return sorted(map(str, names)) if isinstance(names, (list, tuple)) else []


def _names(names: Sequence[str]) -> str:
    return ", ".join(sorted(names)) or "nobody"
