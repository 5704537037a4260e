"""Exports that leave or change while somebody imports them: the way round the deadlock. Pure.

CloudFormation refuses to remove or change an export in use, half-way through an update. What it
documents as the cure (knowledge centre, "export … cannot be updated as it is in use") is planned
here beforehand, as up to four rounds of ordinary deployments:

1. *detach*: importers of a value that will change get that value literally, in the template they
   run now; no resource of theirs may change;
2. *release*: stacks whose export another stack takes over let go of its name, in the template they
   run now, because a name can be exported by one stack only;
3. *deploy*: everything as wanted, but an exporter keeps outputs that are still imported, and what
   those need;
4. *contract*: such exporters as wanted, now that nobody imports from them.

An export that leaves is kept only where nothing behind it moves meanwhile; otherwise its importers
are detached like those of a value that changes.

Each round leaves a state from which a new plan finds the rest by itself, so a run that died between
two of them is simply started again. An importer outside the run stops the plan before anything
changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tapgen.cloud import DeployedStack
from tapgen.diff import values
from tapgen.engine.plan import Wanted
from tapgen.engine.variants import (
    Standing,
    detach,
    expand,
    exporting,
    holds,
    imported,
    needed,
    release,
)
from tapgen.errors import TapgenError
from tapgen.resolve import Known, text


@dataclass(frozen=True)
class Phase:
    """One round. ``still`` says that no resource may change in it; ``gone`` names the exports that
    nobody may import when it ends.
    """

    title: str
    wanted: tuple[Wanted, ...]
    still: bool = False
    gone: tuple[str, ...] = ()


class ForeignImporter(TapgenError):
    """Somebody who is not part of this run imports what would leave or change.

    ``ours`` are those of the importers that the project describes: they were not selected.
    """

    def __init__(
        self, export: str, exporter: str, importers: Sequence[str], ours: Sequence[str] = ()
    ) -> None:
        self.export, self.exporter = export, exporter
        self.importers, self.ours = tuple(importers), tuple(ours)
        verb = "imports" if len(importers) == 1 else "import"
        if len(ours) == len(importers):
            way_out = f"deploy {', '.join(ours)} in the same run, or name no tier to deploy all"
        else:
            others = [name for name in importers if name not in ours]
            way_out = f"let {', '.join(others)} go of the value first"
        super().__init__(
            f"{exporter} would remove or change {export}, which {', '.join(importers)} "
            f"{verb} without being part of this run; nothing was changed: {way_out}"
        )


def vanishing(item: Wanted, deployed: DeployedStack) -> tuple[str, ...]:
    """The exports that the deployed stack has and the wanted has not, sorted."""
    return tuple(sorted(set(deployed.exports) - set(export_keys(item))))


def export_keys(item: Wanted) -> dict[str, str]:
    """The wanted stack's exports: full name to output key. What a condition leaves out is none."""
    known = Known.of(item.document, item.request.parameters)
    return {
        text(output["Export"]["Name"], known): key
        for key, output in item.document.get("Outputs", {}).items()
        if "Export" in output and holds(output.get("Condition"), known)
    }


def phases(
    wanted: Sequence[Wanted], standing: Standing, changing: Mapping[str, Sequence[str]]
) -> tuple[Phase, ...]:
    """The rounds that bring ``standing`` to ``wanted``, in order; one where nothing is in the way.

    ``changing`` holds, by stack, the exports whose value is expected to change. Raises
    ``ForeignImporter`` and ``HiddenParameter``.
    """
    courses = _Courses.of(wanted, standing, changing)
    rounds = []
    literal = {
        item.name: detach(item, standing, courses.detached[item.name])
        for item in wanted
        if item.name in courses.detached
    }
    if literal:
        gone = tuple(sorted(set().union(*courses.detached.values())))
        rounds.append(Phase("detach", tuple(literal.values()), still=True, gone=gone))
    if courses.moved:
        without = tuple(
            release(item, standing, courses.moved[item.name], literal.get(item.name))
            for item in wanted
            if item.name in courses.moved
        )
        rounds.append(Phase("release", without, still=True))
    kept = courses.kept
    main = tuple(
        expand(item, standing, kept[item.name]) if item.name in kept else item for item in wanted
    )
    let_go = tuple(sorted(export for exports in kept.values() for export in exports))
    rounds.append(Phase("deploy", main, gone=let_go))
    if kept:
        rounds.append(Phase("contract", tuple(item for item in wanted if item.name in kept)))
    return tuple(rounds)


@dataclass(frozen=True)
class _Courses:
    """What becomes of the exports in the way: kept or given away, by exporter; let go of, by
    importer.
    """

    kept: dict[str, list[str]]
    moved: dict[str, set[str]]
    detached: dict[str, set[str]]

    @classmethod
    def of(
        cls,
        wanted: Sequence[Wanted],
        standing: Standing,
        changing: Mapping[str, Sequence[str]],
    ) -> _Courses:
        found = cls({}, {}, {})
        leaving = {
            item.name: vanishing(item, standing.stacks[item.name])
            for item in wanted
            if item.name in standing.stacks
        }
        unsettled = {name for names in (*leaving.values(), *changing.values()) for name in names}
        names = {item.name for item in wanted} & set(standing.documents)
        taken = {export for item in wanted for export in export_keys(item)}
        for item in wanted:
            if item.name not in standing.documents:
                # New, or in a state that nothing is done to: nothing leaves here.
                continue
            for export in (*leaving.get(item.name, ()), *changing.get(item.name, ())):
                importers = standing.importers.get(export, ())
                _refuse_strangers(export, item.name, importers, names, standing)
                leaves = export in leaving[item.name]
                if leaves and export in taken:
                    found.moved.setdefault(item.name, set()).add(export)
                elif leaves and importers and _rests(item, standing, export, unsettled):
                    found.kept.setdefault(item.name, []).append(export)
                    continue
                for importer in importers:
                    found.detached.setdefault(importer, set()).add(export)
        return found


def _refuse_strangers(
    export: str, exporter: str, importers: Sequence[str], names: set[str], standing: Standing
) -> None:
    foreign = [name for name in importers if name not in names]
    if foreign:
        ours = [name for name in foreign if name in standing.stacks]
        raise ForeignImporter(export, exporter, foreign, ours)


def _rests(item: Wanted, standing: Standing, export: str, unsettled: set[str]) -> bool:
    """Whether the deployed output of ``export``, put into the wanted template, keeps its value.

    Only where all that it refers to is the same, or gone, there; anything else may move.
    """
    old, new = standing.documents[item.name], item.document
    parameters = standing.stacks[item.name].parameters
    known = Known.of(old, parameters)
    outputs = exporting(old, known, {export})
    behind = needed(old, outputs)
    for section in ("Resources", "Conditions", "Mappings"):
        for name in behind[section]:
            if new.get(section, {}).get(name, old[section][name]) != old[section][name]:
                return False
    if behind["Parameters"] & values.hidden(old):
        return False
    given = item.request.parameters
    if any(given.get(n, parameters.get(n)) != parameters.get(n) for n in behind["Parameters"]):
        return False
    parts = [*outputs.values(), *(old["Resources"][name] for name in behind["Resources"])]
    used = {name for part in parts for name in imported(part, known)}
    return bool(outputs) and not used & unsettled
