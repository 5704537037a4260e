"""Bad days of a plan: it asks with change sets, and may leave none behind and change nothing."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from unittest import mock

from twin import changes
from twin.region import READS, Region
from twin.scene import Scene, graph_of, wanted

from faults.scenario import Scenario
from faults.stage import Played, calm, cut_off, runs_to_its_end, set_up, upset
from faults.witness import PREFIX, Broken
from tapgen.cloud import CloudError
from tapgen.engine import exact
from tapgen.engine.exact import Answer, Asker, Question
from tapgen.engine.polling import aws_pace

MAY = ("create_change_set", "delete_change_set")


class OneAtATime:
    """A pool of no threads at all."""

    def __init__(self, max_workers: int) -> None:
        self.max_workers = max_workers

    def submit(self, act: Callable[[str], None], stack: str) -> Future[None]:
        """Do it now."""
        future: Future[None] = Future()
        try:
            act(stack)
            future.set_result(None)
        except BaseException as error:
            future.set_exception(error)
        return future

    def shutdown(self, *, cancel_futures: bool) -> None:
        """There is nothing to wait for."""


def play_plan(scenario: Scenario) -> Played:
    """Ask about every stack that stands, half of which would change. Raises ``Broken``."""
    scene = Scene()
    set_up(scene, scenario)
    questions = _questions(scene, scenario)
    theirs = _reviews(scene, scenario)
    before, calls = _state(scene.region), len(scene.region.calls)
    upset(scene, scenario.trouble, scenario.seed)
    cut_off(scene, scenario.cut)
    told: list[str] = []
    asker = Asker(
        scene.cloud,
        scene.region.clock,
        aws_pace,
        tell=told.append,
        nonce=f"{scenario.seed:08x}",
    )
    answers: dict[str, Answer] = {}
    stopped = False

    def ask() -> None:
        # Threads would make a run differ from its repetition.
        with mock.patch.object(exact, "ThreadPoolExecutor", OneAtATime):
            answers.update(asker(questions))

    try:
        ended = runs_to_its_end(ask)
    except CloudError:
        ended, stopped = False, True

    played = Played(scene.region.faults.struck, "" if ended or stopped else scenario.cut.how)
    played.calls = len(scene.region.calls) - calls
    scene.region.settle(max(scenario.cut.wait, scenario.trouble.stale))
    done = {c.operation for c in scene.region.calls[calls:] if not c.operation.startswith(READS)}
    if not done <= set(MAY):
        raise Broken(f"a plan called {', '.join(sorted(done - set(MAY)))}")
    if _state(scene.region) != before:
        raise Broken("a plan changed something")
    _check_sets(scene, scenario, theirs, told, cut=played.cut)
    calm(scene)
    for item, stack in questions:
        if item.name in answers:
            _check_answer(scene.region, item.name, stack.id, answers[item.name], item)
    return played


def _questions(scene: Scene, scenario: Scenario) -> list[Question]:
    """What stands, as it is wanted: every second tier with another note."""
    notes = {tier: ("first", "second")[place % 2] for place, tier in enumerate(scenario.edges)}
    by_note = {
        note: {item.tier: item for item in wanted(graph_of(scenario.edges, note=note))}
        for note in ("first", "second")
    }
    found = []
    for tier in sorted(scenario.standing):
        stack = scene.cloud.stack(PREFIX + tier)
        assert stack is not None
        found.append((by_note[notes[tier]][tier], stack))
    return found


def _reviews(scene: Scene, scenario: Scenario) -> set[str]:
    """A colleague's change set on every stack that stands."""
    client = scene.twin.client("cloudformation")
    made = set()
    for item in wanted(graph_of(scenario.edges, note="theirs")):
        if item.tier in scenario.standing:
            parameters = [
                {"ParameterKey": key, "ParameterValue": value}
                for key, value in item.request.parameters.items()
            ]
            answer = client.create_change_set(
                StackName=item.name,
                ChangeSetName="review",
                TemplateBody=item.request.template,
                Parameters=parameters,
            )
            made.add(answer["Id"])
    scene.region.settle(10.0)
    return made


def _state(region: Region) -> object:
    return (
        {stack.id: (stack.status, len(stack.events)) for stack in region.stacks.values()},
        sorted(region.standing),
    )


def _check_sets(
    scene: Scene, scenario: Scenario, theirs: set[str], told: list[str], *, cut: str
) -> None:
    left = {key: item for s in scene.region.stacks.values() for key, item in s.change_sets.items()}
    if theirs - set(left):
        raise Broken("a change set of somebody else is gone")
    ours = [item.name for item in left.values() if item.name.startswith("tapgen-plan-")]
    untold = [name for name in ours if not any(name in text for text in told)]
    # Nobody knows the id of what was made by a call whose answer never came, and a list that is
    # older than the patience of whoever pressed Ctrl-C does not have it either.
    unknown = scenario.trouble.stale and (scenario.trouble.losing or cut)
    if untold and cut != "killed" and not unknown:
        raise Broken(f"a plan left {', '.join(untold)}, and does not say so")


def _check_answer(region: Region, name: str, stack_id: str, answer: Answer, item: object) -> None:
    """An answer says what CloudFormation sees, or that it has none."""
    stack = region.stacks[stack_id]
    seen = [change for change in region.calls if change.operation == "create_change_set"]
    asked = next(
        (
            call
            for call in reversed(seen)
            if call.parameters["StackName"] == name
            and str(call.parameters["ChangeSetName"]).startswith("tapgen-plan-")
        ),
        None,
    )
    if answer.changes is None or asked is None or stack.version is None:
        return
    from twin.service import Service

    version = Service(region)._version(asked.parameters, stack)
    difference = changes.between(stack, version, region.exports(), region.habits).plain
    names = sorted(str(change["LogicalResourceId"]) for change in difference)
    told = sorted(change.logical_id for change in answer.changes)
    if names != told:
        raise Broken(f"{name}: the plan tells of {told}, CloudFormation of {names}")
    if answer.same != (not changes.anything(stack, version, region.exports(), region.habits)):
        raise Broken(f"{name}: the plan says same={answer.same}")
