"""What befalls the workflow, on every interpreter: the table is ``scenarios.py``."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import embedded
import pytest
import virtual
from differences import DIFFERENCES, EMBEDDED, VIRTUAL, lacks
from embedded import EXECUTION_LOG, TASK_LOG, Environment, Ran
from interpreter.account import TaskRun
from interpreter.machine import Interpreter
from local_aws import pass_coverage_on, server_log
from scenarios import DONE, FAILS, HANGS, SCENARIOS, STOPPED, Scenario, Seen

from tapgen.local import lease
from tapgen.local.lease import Embedded

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
# What starting a process and noting it takes here: a busy machine is slow.
OVERHEAD = 5.0

every_scenario = pytest.mark.parametrize("scenario", SCENARIOS, ids=list(BY_NAME))
every_interpreter = pytest.mark.parametrize(
    "interpreter", [VIRTUAL, pytest.param(EMBEDDED, marks=pytest.mark.served)]
)
on_the_embedded_aws = pytest.mark.served

See = Callable[[str, Scenario], Seen]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Embedded, Path]]:
    """An embedded AWS of this module's own: its folders are looked into."""
    pass_coverage_on()
    home = tmp_path_factory.mktemp("workflow")
    with lease.lease(home) as aws:
        yield aws, home


@pytest.fixture(scope="module")
def ran(served: tuple[Embedded, Path]) -> dict[str, Ran]:
    """Every scenario, run on the embedded AWS."""
    aws, home = served
    return embedded.run(SCENARIOS, lambda: embedded.deployed(aws, home))


@pytest.fixture
def see(request: pytest.FixtureRequest) -> See:
    """What an interpreter showed; the embedded AWS comes up only for who asks for it."""

    def seen(interpreter: str, scenario: Scenario) -> Seen:
        if interpreter == VIRTUAL:
            return virtual.run(scenario)
        ran: dict[str, Ran] = request.getfixturevalue("ran")
        return ran[scenario.name].seen

    return seen


# On every interpreter


@every_scenario
@every_interpreter
def test_an_execution_ends_as_it_must(see: See, interpreter: str, scenario: Scenario) -> None:
    seen = see(interpreter, scenario)

    assert (seen.status, seen.error) == (scenario.status, scenario.error)
    assert seen.states == scenario.states
    assert seen.events == scenario.events


@every_scenario
@every_interpreter
def test_a_failure_has_its_reason_in_its_cause(
    see: See, interpreter: str, scenario: Scenario
) -> None:
    seen = see(interpreter, scenario)

    # Of an execution that was cut off, DescribeExecution tells no more than its caller gave.
    if scenario.reason is not None:
        assert json.loads(seen.cause or "")["Error"] == scenario.reason
    elif scenario.status != "ABORTED":
        assert seen.cause is None


@every_scenario
@every_interpreter
def test_attempts_are_as_far_apart_as_their_waits_allow(
    see: See, interpreter: str, scenario: Scenario
) -> None:
    seen = see(interpreter, scenario)

    gaps = [later.began - earlier.ended for earlier, later in itertools.pairwise(seen.attempts)]
    slow = OVERHEAD if lacks(interpreter, "times") else 0.0
    assert len(gaps) == len(scenario.waits)
    # The jitter is full: from no wait at all to the whole of it.
    for gap, longest in zip(gaps, scenario.waits, strict=True):
        assert 0 <= gap <= longest + slow


@every_scenario
@every_interpreter
def test_each_topic_hears_what_it_is_there_for(
    see: See, interpreter: str, scenario: Scenario
) -> None:
    seen = see(interpreter, scenario)

    for told, wanted in ((seen.completed, scenario.completed), (seen.failed, scenario.failed)):
        assert len(told) == len(wanted)
        for message, members in zip(told, wanted, strict=True):
            assert {**message, **members} == message
            assert message["execution"].endswith(f":{scenario.name}")


@every_scenario
@every_interpreter
def test_a_failure_notice_says_what_went_wrong(
    see: See, interpreter: str, scenario: Scenario
) -> None:
    seen = see(interpreter, scenario)

    for message in seen.failed:
        wanted = {"status"} if scenario.error != "VideoProcessingFailed" else {"error"}
        assert set(message) == {"job", "execution", *wanted}
        if scenario.reason is not None:
            assert message["error"]["Error"] == scenario.reason


@every_interpreter
def test_a_task_that_hangs_is_ended_at_its_limit_and_not_tried_again(
    see: See, interpreter: str
) -> None:
    (attempt,) = see(interpreter, BY_NAME["task-hangs"]).attempts

    assert attempt.outcome == "TaskTimedOut"
    assert 400 <= attempt.ended - attempt.began <= 400 + OVERHEAD


@every_interpreter
def test_an_execution_is_ended_to_the_second(see: See, interpreter: str) -> None:
    seen = see(interpreter, BY_NAME["execution-out-of-time"])

    assert seen.seconds == 60


@on_the_embedded_aws
def test_the_interpreters_tell_the_same_story(ran: dict[str, Ran]) -> None:
    for scenario in SCENARIOS:
        ours, theirs = virtual.run(scenario), ran[scenario.name].seen

        assert (ours.status, ours.error) == (theirs.status, theirs.error)
        assert (ours.events, ours.states) == (theirs.events, theirs.states)
        assert [len(ours.completed), len(ours.failed)] == [
            len(theirs.completed),
            len(theirs.failed),
        ]


def test_the_differences_are_listed_once_each() -> None:
    pairs = [(difference.interpreter, difference.what) for difference in DIFFERENCES]

    assert len(set(pairs)) == len(pairs)
    assert {name for name, _ in pairs} == {VIRTUAL, EMBEDDED}


# Half an hour, on the virtual clock


def test_the_longest_way_still_ends_with_a_notice() -> None:
    # Four tries that fail in their last second, and the longest waits that the jitter has.
    world = virtual.account(*[TaskRun(exit_code=1, seconds=399)] * 4)
    machine = Interpreter(
        virtual.MACHINE, virtual.definition(), world, chance=lambda _, longest: longest
    )

    execution = machine.run("slow", "{}")

    assert execution.status == "FAILED"
    assert 4 * 399 + 10 + 20 + 40 <= execution.seconds < 1800
    assert len(world.messages[virtual.FAILED]) == 1


def test_with_notices_failing_too_it_ends_before_the_limit_that_nothing_catches() -> None:
    world = virtual.account(
        *[TaskRun(exit_code=1, seconds=399)] * 4, publishes=("SNS.InternalErrorException",) * 3
    )
    machine = Interpreter(
        virtual.MACHINE, virtual.definition(), world, chance=lambda _, longest: longest
    )

    execution = machine.run("slow", "{}")

    assert execution.status == "FAILED"
    assert execution.seconds < 1800


@pytest.mark.parametrize("seed", range(20))
def test_jitter_spreads_jobs_that_failed_together(seed: int) -> None:
    others = [virtual.run(BY_NAME["always-fails"], seed=other) for other in (seed, seed + 1)]

    first, second = (tuple(attempt.began for attempt in seen.attempts) for seen in others)

    assert first != second


# What the embedded AWS leaves behind


@on_the_embedded_aws
@every_scenario
def test_a_task_ends_with_its_containers_exit_code(ran: dict[str, Ran], scenario: Scenario) -> None:
    tasks = ran[scenario.name].environment.tasks(scenario.name)

    codes = [task["containers"][0]["exitCode"] for task in tasks]
    assert {task["lastStatus"] for task in tasks} <= {"STOPPED"}
    if set(scenario.attempts) <= {DONE, FAILS}:
        assert tuple(codes) == scenario.exit_codes
        assert {task["stopCode"] for task in tasks} == {"EssentialContainerExited"}
        assert {task["stoppedReason"] for task in tasks} == {"Essential container in task exited"}


@on_the_embedded_aws
@pytest.mark.parametrize("name", ["task-hangs", "execution-out-of-time", "execution-aborted"])
def test_a_task_that_nobody_waits_for_any_more_is_stopped(ran: dict[str, Ran], name: str) -> None:
    environment = ran[name].environment

    embedded.wait_for(
        lambda: {task["lastStatus"] for task in environment.tasks(name)} <= {"STOPPED"}
    )
    (task,) = environment.tasks(name)
    assert (task["stopCode"], task["desiredStatus"]) == ("UserInitiated", "STOPPED")
    assert task["stoppedReason"] == "Task stopped by AWS Step Functions"
    assert task["containers"][0]["exitCode"] in (137, 143)


@on_the_embedded_aws
@every_scenario
def test_the_tasks_output_is_in_their_log(ran: dict[str, Ran], scenario: Scenario) -> None:
    environment = ran[scenario.name].environment

    lines = environment.log(TASK_LOG, scenario.name)

    for number, attempt in enumerate(scenario.attempts):
        begun = f"started {scenario.name}, attempt {number}" in lines
        assert begun == (attempt in (DONE, HANGS, STOPPED))
    # It could not make its folder: the shell says why, and the script that it gives up.
    given_up = [line for line in lines if line == f"no folder for {scenario.name}"]
    assert len(given_up) == scenario.attempts.count(FAILS)


@on_the_embedded_aws
@every_scenario
def test_each_event_of_the_history_is_in_the_executions_log(
    ran: dict[str, Ran], scenario: Scenario
) -> None:
    environment, arn = ran[scenario.name].environment, ran[scenario.name].arn

    logged = [json.loads(line) for line in environment.log(EXECUTION_LOG, arn)]
    mine = [line for line in logged if line["execution_arn"] == arn]

    assert [line["type"] for line in mine] == scenario.events
    assert [int(line["id"]) for line in mine] == list(range(1, len(mine) + 1))
    assert json.loads(mine[0]["details"]["input"]) == json.loads(scenario.input)


@on_the_embedded_aws
@every_scenario
def test_a_result_is_there_for_each_task_that_succeeded_and_tells_of_its_input(
    ran: dict[str, Ran], scenario: Scenario
) -> None:
    result = ran[scenario.name].environment.files / "results" / f"{scenario.name}.json"

    assert result.exists() == (DONE in scenario.attempts)
    if result.exists():
        told = json.loads(result.read_text(encoding="utf-8"))
        given = scenario.input.encode()
        assert told["input_bytes"] == len(given)
        assert told["input_sha256"] == hashlib.sha256(given).hexdigest()
        assert told["attempt"] == scenario.attempts.index(DONE)


def test_the_large_input_is_as_large_as_it_is_meant_to_be() -> None:
    assert 200 * 1024 <= len(BY_NAME["large-input"].input.encode()) <= 262_144


@on_the_embedded_aws
def test_tasks_count_themselves_in_their_namespace(ran: dict[str, Ran]) -> None:
    environment = ran["success"].environment

    metrics = environment.client("cloudwatch").list_metrics(Namespace="VideoProcessing")["Metrics"]

    assert {metric["MetricName"] for metric in metrics} == {
        "TasksStarted",
        "TasksSucceeded",
        "TasksFailed",
        "ProcessingSeconds",
    }
    assert {(one["Name"], one["Value"]) for metric in metrics for one in metric["Dimensions"]} == {
        ("Environment", "dev")
    }


@on_the_embedded_aws
def test_nothing_is_left_running_or_lying_about(
    ran: dict[str, Ran], served: tuple[Embedded, Path]
) -> None:
    _, home = served
    files = ran["success"].environment.files

    embedded.wait_for(lambda: processes_of(home) == [])
    # A task that was killed could not clean up; it was stopped, not asked.
    left = {path.name for path in (files / "work").iterdir()}
    assert left <= {"task-hangs.0", "execution-aborted.0"}
    assert list((home / "tmp" / "tasks").iterdir()) == []
    assert "Traceback" not in server_log(home)


def processes_of(home: Path) -> list[str]:
    """The processes that were given a folder of this embedded AWS to work in."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_bytes()
        except OSError:
            continue  # It has ended meanwhile, or is somebody else's.
        if f"WORK_ROOT={home}/".encode() in environment:
            found.append((process / "cmdline").read_bytes().decode(errors="replace"))
    return found


@on_the_embedded_aws
def test_twenty_jobs_at_once_do_not_meet(served: tuple[Embedded, Path]) -> None:
    aws, home = served
    environment: Environment = embedded.deployed(aws, home, pace=1)
    names = [f"job-{number}" for number in range(20)]

    arns = [environment.start(name, json.dumps({"number": name})) for name in names]
    statuses = {environment.ended(arn) for arn in arns}

    assert statuses == {"SUCCEEDED"}
    assert sorted(message["job"] for message in environment.told("Completion")) == sorted(names)
    assert environment.told("Error") == []
    results = [json.loads(path.read_text()) for path in (environment.files / "results").iterdir()]
    assert len({result["input_sha256"] for result in results}) == 20
    assert list((environment.files / "work").iterdir()) == []
    assert {tuple(event["type"] for event in environment.history(arn)) for arn in arns} == {
        tuple(BY_NAME["success"].events)
    }
    embedded.wait_for(lambda: processes_of(home) == [])
