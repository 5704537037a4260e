"""Bad days of exports in use that leave, change or move: the same troubles, over several rounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random

from twin.region import READS, Call
from twin.rounds import Part, Rounds, imports_of
from twin.scene import Outcome

from faults.scenario import Cut, Trouble, draw_cut, draw_edges
from faults.stage import Played, calm, cancelled, cut_off, runs_to_its_end, upset
from faults.witness import PREFIX, Broken, Witness, check_nothing_left, check_truth
from tapgen.cloud import ExpiredCredentials
from tapgen.engine.events import RoundStarted, StackFailed
from tapgen.engine.plan import Wanted
from tapgen.errors import Exit

LITERALS = ("no changes", "accepted", "listed")
Parts = Mapping[str, Part]


@dataclass(frozen=True)
class Moving:
    """An environment as deployed and as wanted, and the bad day on which it is brought there."""

    seed: int
    before: Parts
    after: Parts
    literal: str = "no changes"
    trouble: Trouble = field(default_factory=Trouble)
    cut: Cut = field(default_factory=Cut)


def draw_moving(seed: int) -> Moving:
    """The bad day of that seed."""
    rng = Random(f"rounds/{seed}")
    before, after = draw_states(rng)
    resources = []
    if rng.random() < 0.3:
        tier = rng.choice(sorted(after))
        for key in after[tier].makes:
            resources.append((tier, f"{key}Topic", rng.choice(["CREATE", "UPDATE"]), 1))
    losing = rng.choice([0.0, 0.0, 0.15])
    trouble = Trouble(
        throttling=rng.choice([0.0, 0.0, 0.2]),
        dropping=rng.choice([0.0, 0.0, 0.15]),
        losing=losing,
        stale=rng.choice([0.0, 0.0, 10.0]),
        expires=rng.choice([None, None, None, rng.randint(0, 200)]),
        repeats=bool(losing) or rng.random() < 0.7,
        resources=tuple(resources),
    )
    return Moving(seed, before, after, rng.choice(LITERALS), trouble, draw_cut(rng))


def draw_states(rng: Random) -> tuple[dict[str, Part], dict[str, Part]]:
    """A graph of stacks as deployed, and as wanted with exports removed, changed, moved."""
    before: dict[str, Part] = {}
    after: dict[str, Part] = {}
    given_away: list[str] = []
    for name, needs in draw_edges(rng).items():
        old = [key for need in needs for key in before[need].makes]
        new = [key for need in needs for key in after[need].makes]
        makes, wants = {}, {}
        for key in (f"{name}1", f"{name}2"):
            makes[key] = rng.choice([key, *(f"@{each}" for each in old)])
            fate = rng.choice(["keep", "keep", "change", "leave", "move", "follow"])
            if fate == "move":
                given_away.append(key)
            if fate == "leave":
                continue
            if fate == "follow" and new:
                wants[key] = f"@{rng.choice(new)}"
            elif fate == "keep" and makes[key] in (key, *(f"@{each}" for each in new)):
                wants[key] = makes[key]
            elif fate != "move":
                wants[key] = f"{key}-other"
        if given_away and rng.random() < 0.5:
            wants[given_away.pop()] = "taken-over"
        before[name] = Part(makes, rng.sample(old, rng.randint(0, len(old))))
        after[name] = Part(wants, rng.sample(new, rng.randint(0, len(new))))
    return before, after


def play_rounds(day: Moving) -> Played:
    """Play one such day, and the day after. Raises ``Broken``."""
    stage = Rounds()
    stage.region.literal, stage.region.page_size = day.literal, 100
    first = stage.roll_out(day.before)
    assert first.summary.status is Exit.DONE
    planned, seen = stage.plan(day.after)
    edges: dict[str, list[str]] = {tier: [] for tier in day.after}
    witness = Witness(stage.region, edges, {item.tier: item for item in planned.wanted})
    upset(stage, day.trouble, day.seed)
    cut_off(stage, day.cut)
    _watch(stage, witness)
    witness.cancelling = day.cut.how == "cancelled"

    try:
        ended = runs_to_its_end(lambda: stage.carry_out_plan(planned, seen))
        ended = ended and not cancelled(stage)
    except ExpiredCredentials:
        # Between two rounds there is no stack to fail for it: the command ends with the error.
        ended = False

    played = Played(stage.region.faults.struck, "" if ended else day.cut.how)
    played.calls = len(stage.region.calls)
    check_truth(witness, Outcome(stage.heard, stage.summary), whole=ended, halfway=_halfway(stage))
    _check_exports(stage)
    unanswered = day.cut.how == "interrupted" or day.trouble.losing
    # As in ``play``: what was made in a call that nobody answered has no id to delete it by.
    cut_in_a_call = day.trouble.stale and unanswered and not ended
    expired = stage.region.faults.expires is not None and stage.region.faults.expires <= 0
    if not ((day.cut.how == "killed" and not ended) or cut_in_a_call or expired):
        check_nothing_left(stage.region, witness.run)
    stage.region.settle(max(day.cut.wait, day.trouble.stale))
    calm(stage)
    _arrives(stage, day.after, list(planned.wanted))
    return played


def _rounds(stage: Rounds) -> list[RoundStarted]:
    return [event for event in stage.heard if isinstance(event, RoundStarted)]


def _halfway(stage: Rounds) -> frozenset[str]:
    """The stacks of an environment that came through some of its rounds and not through all."""
    told = _rounds(stage)
    failed = any(isinstance(event, StackFailed) for event in stage.heard)
    if told and (told[-1].number < told[-1].of or failed):
        return frozenset(stage.summary.stacks)
    return frozenset()


def _watch(stage: Rounds, witness: Witness) -> None:
    witness.begin(f"r{stage.runs + 1}")

    def see(call: Call) -> None:
        witness.see(call)
        if call.operation == "execute_change_set":
            _check_imports(stage, str(call.parameters["ChangeSetName"]))

    stage.region.watch = see


def _check_imports(stage: Rounds, change_set: str) -> None:
    """Whatever is started finds the exports that it imports."""
    from twin import templates

    for stack in stage.region.stacks.values():
        item = stack.change_sets.get(change_set)
        if item is not None:
            wanted = templates.imports(item.version.document, item.version.parameters)
            missing = wanted - set(stage.region.exports())
            if missing:
                raise Broken(f"{stack.name} was started before {', '.join(sorted(missing))} was")


def _check_exports(stage: Rounds) -> None:
    if stage.in_use():
        raise Broken(f"CloudFormation had to refuse: {stage.in_use()[0]}")


def _arrives(stage: Rounds, after: Parts, items: list[Wanted]) -> None:
    """A new run brings it there, and one more changes nothing."""
    names = frozenset(item.name for item in items)
    stage.allowed = {"recreate": names, "recover": names}
    arrived = stage.roll_out(after)
    if arrived.summary.status is not Exit.DONE:
        raise Broken(f"a new run does not arrive: {arrived.summary.rows()}")
    _check_exports(stage)
    before = len(stage.region.calls)
    again = stage.roll_out(after)
    changed = [
        call.operation
        for call in stage.region.calls[before:]
        if call.service == "cloudformation" and not call.operation.startswith(READS)
    ]
    if changed or not again.summary.unchanged:
        raise Broken(f"a run over what is right changes something: {changed}")
    standing = {tier: stage.imports().get(tier) for tier in after}
    if standing != imports_of(after):
        raise Broken(f"imported is {standing}, wanted {imports_of(after)}")
    held = [s.name for s in stage.region.stacks.values() if s.version and _is_held(s.version.text)]
    if held:
        raise Broken(f"{', '.join(held)} still holds imports literally")
    check_nothing_left(stage.region)


def _is_held(text: str) -> bool:
    return "HeldLiterally" in text


def describe(day: Moving) -> str:
    """The day in one line, for who looks for its fault."""
    tiers = ", ".join(f"{PREFIX}{tier}" for tier in day.after)
    return f"{tiers}; {day.literal}; {day.trouble}; {day.cut}"
