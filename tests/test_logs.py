"""Log lines: where they come from, in which order they are told, and how they read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from observed import BEGINNING, Logs, at, milliseconds, stopped_task
from twin.clock import VirtualClock

from tapgen import app
from tapgen.cloud import DeployedStack, ExpiredCredentials, Resource, Throttled
from tapgen.description import Description
from tapgen.observe import deployed, readable
from tapgen.observe.deployed import Group, NothingDeployed, Place
from tapgen.observe.files import Files, LogFiles, time_of
from tapgen.observe.lines import BadMoment, Line, LogGroup, followed, merged, moment

API, TASK = Group("api", "/aws/lambda/api"), Group("task", "/task")


def texts(lines: Iterator[Line]) -> list[str]:
    return [f"{line.source} {line.message}" for line in lines]


# Where logs are


def test_the_sources_log_groups_are_read_off_what_writes_to_them(
    documents: dict[str, dict[str, Any]],
) -> None:
    assert {source: deployed.log_places(documents, source) for source in deployed.SOURCES} == {
        "api": [
            Place("api", "AccessLogGroup"),
            Place("api", "ApiFunctionLogGroup"),
            Place("api", "ExecutionLogGroup"),
            Place("api", "MigrationFunctionLogGroup"),
        ],
        # Through the export of another tier.
        "task": [Place("compute", "TaskLogGroup")],
        "workflow": [Place("workflow", "WorkflowLogGroup")],
    }


class Stacks:
    """Deployed stacks with their resources, each of which says when it is asked for."""

    def __init__(self, **stacks: dict[str, str]) -> None:
        self.stacks, self.asked = stacks, list[str]()

    def stack(self, name: str) -> DeployedStack | None:
        self.asked.append(name)
        tier = name.rpartition("-")[2]
        return DeployedStack(tier, name, "CREATE_COMPLETE") if tier in self.stacks else None

    def resources(self, stack_id: str) -> list[Resource]:
        return [
            Resource(logical_id, physical_id, "", "CREATE_COMPLETE")
            for logical_id, physical_id in self.stacks[stack_id].items()
        ]


@pytest.fixture
def description() -> Description:
    stacks = app.describe()
    return Description(app.documents(stacks), app.scopes(stacks))


def test_names_come_from_the_stacks_and_each_stack_is_asked_once(description: Description) -> None:
    cloud: Any = Stacks(
        api={"ApiFunctionLogGroup": "/aws/lambda/api", "AccessLogGroup": "/access"},
        compute={"TaskLogGroup": "/task", "ContainerInsightsLogGroup": "/insights"},
    )

    found = deployed.groups(cloud, description, "dev")

    # What is in the documents and not in the stack yet is left out, and so is a stack.
    assert found == [Group("api", "/access"), API, TASK]
    assert cloud.asked == ["tap-dev-api", "tap-dev-compute", "tap-dev-workflow"]


def test_an_environment_without_the_stacks_is_told_which_are_missing(
    description: Description,
) -> None:
    cloud: Any = Stacks()

    with pytest.raises(NothingDeployed) as logs:
        deployed.groups(cloud, description, "dev", ["task", "workflow"])
    with pytest.raises(NothingDeployed) as machine:
        deployed.state_machine(cloud, description, "dev")

    assert str(logs.value) == (
        "dev has no logs here: tap-dev-compute, tap-dev-workflow are not deployed; "
        "deploy first (tapgen deploy, or on this machine tapgen local serve)"
    )
    assert str(machine.value).startswith(
        "dev has no state machine here: tap-dev-workflow is not deployed; "
    )


def test_the_state_machine_and_the_topics_are_found_by_their_type(description: Description) -> None:
    cloud: Any = Stacks(
        workflow={"Workflow": "arn:machine"},
        notification={"CompletionTopic": "arn:done", "ErrorTopic": "arn:bad", "Key": "k"},
    )

    assert deployed.state_machine(cloud, description, "dev") == "arn:machine"
    assert deployed.topics(cloud, description, "dev") == {
        "CompletionTopic": "arn:done",
        "ErrorTopic": "arn:bad",
    }


# In which order they are told


def test_log_groups_are_merged_by_time() -> None:
    logs = Logs()
    for seconds, group, text in [(3, API, "c"), (1, API, "a"), (2, TASK, "b"), (4, TASK, "d")]:
        logs.put(group.name, seconds, text)
    feeds = [LogGroup(logs, group, at(0)) for group in (API, TASK)]

    found = list(merged(feeds))

    assert texts(iter(found)) == ["api a", "task b", "api c", "task d"]
    assert found[0] == Line(at(1), "api", "/aws/lambda/api one", "a")


def test_lines_of_before_the_moment_are_left_out() -> None:
    logs = Logs()
    logs.put(API.name, 1, "before")
    logs.put(API.name, 2, "at")

    assert texts(LogGroup(logs, API, at(2)).read()) == ["api at"]


def test_a_group_that_is_not_there_has_no_lines_until_it_is() -> None:
    logs = Logs()
    feed = LogGroup(logs, API, at(0))

    before = list(feed.read())
    logs.put(API.name, 1, "a")

    assert before == []
    assert texts(feed.read()) == ["api a"]


def test_each_event_is_told_once_however_often_the_group_is_read() -> None:
    logs = Logs()
    feed = LogGroup(logs, API, at(0))
    logs.put(API.name, 10, "a")
    logs.put(API.name, 10, "a")

    first = texts(feed.read())
    logs.put(API.name, 10, "same millisecond, another stream", stream="two")
    second = texts(feed.read())

    assert first == ["api a", "api a"]
    assert second == ["api same millisecond, another stream"]
    assert texts(feed.read()) == []


def test_an_event_that_shows_up_late_is_told_up_to_half_a_minute_behind() -> None:
    logs = Logs()
    feed = LogGroup(logs, API, at(0))
    logs.put(API.name, 100, "newest")
    texts(feed.read())

    logs.put(API.name, 71, "late")
    logs.put(API.name, 69, "too late")

    assert texts(feed.read()) == ["api late"]


class Scripted(VirtualClock):
    """A clock on which things happen while somebody waits; it ends with Ctrl-C."""

    def __init__(self, script: dict[float, Any], until: float) -> None:
        super().__init__()
        self._until = until
        for seconds, act in script.items():
            self.start(self._at(seconds, act))

    @staticmethod
    def _at(seconds: float, act: Any) -> Iterator[float]:
        yield seconds
        act()

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if self.now() >= self._until:
            raise KeyboardInterrupt


def test_following_tells_what_comes_by_time_until_it_is_interrupted() -> None:
    logs = Logs()
    logs.put(API.name, 0, "old")
    clock = Scripted(
        {
            1: lambda: logs.put(TASK.name, 1, "second"),
            1.5: lambda: logs.put(API.name, 0.5, "first, and late"),
            5: lambda: logs.put(API.name, 5, "third"),
        },
        until=9,
    )
    feeds = [LogGroup(logs, group, at(-10)) for group in (API, TASK)]
    told: list[tuple[float, str]] = []

    def follow() -> None:
        for line in followed(feeds, clock, 2.0):
            told.append((clock.now(), line.message))

    with pytest.raises(KeyboardInterrupt):
        follow()
    assert told == [(0, "old"), (2, "first, and late"), (2, "second"), (6, "third")]


def test_an_answer_that_does_not_come_is_asked_for_again_more_slowly_and_loses_nothing() -> None:
    logs, trouble = Logs(), list[str]()
    logs.put(API.name, 1, "a")
    logs.put(TASK.name, 2, "b")
    feeds = [LogGroup(logs, group, at(0)) for group in (API, TASK)]
    clock = VirtualClock()
    lines = followed(feeds, clock, 2.0, trouble.append)

    first = next(lines)
    logs.errors = [Throttled("logs:FilterLogEvents")] * 3
    logs.put(API.name, 3, "c")
    rest = list(islice(lines, 2))

    assert [line.message for line in (first, *rest)] == ["a", "b", "c"]
    assert trouble == ["AWS throttles logs:FilterLogEvents; wait a minute and run it again"] * 3
    assert clock.now() == 2 + 4 + 8 + 16


def test_lines_of_a_round_that_broke_off_are_told_all_the_same() -> None:
    logs = Logs()
    logs.put(API.name, 1, "a")
    answered = LogGroup(logs, API, at(0))

    class Broken:
        def read(self) -> Iterator[Line]:
            raise Throttled("logs:FilterLogEvents")

    lines = followed([answered, Broken()], VirtualClock(), 2.0)

    assert next(lines).message == "a"


def test_who_follows_gives_up_after_ten_minutes_and_at_once_without_credentials() -> None:
    logs, clock = Logs(), VirtualClock()
    logs.errors = [Throttled("logs:FilterLogEvents")] * 100

    with pytest.raises(Throttled):
        next(followed([LogGroup(logs, API, at(0))], clock, 2.0))
    assert 600 < clock.now() <= 660

    logs.errors = [ExpiredCredentials("token")]
    with pytest.raises(ExpiredCredentials):
        next(followed([LogGroup(logs, API, at(0))], VirtualClock(), 2.0))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("90s", BEGINNING - timedelta(seconds=90)),
        ("1h", BEGINNING - timedelta(hours=1)),
        (" 2D ", BEGINNING - timedelta(days=2)),
        ("1w", BEGINNING - timedelta(weeks=1)),
        ("2026-11-23T09:30", datetime(2026, 11, 23, 9, 30, tzinfo=UTC)),
        ("2026-11-23 09:30:15", datetime(2026, 11, 23, 9, 30, 15, tzinfo=UTC)),
        ("2026-11-23T09:30+09:00", datetime(2026, 11, 23, 0, 30, tzinfo=UTC)),
        ("2026-11-20", datetime(2026, 11, 20, tzinfo=UTC)),
    ],
)
def test_since_is_an_age_or_a_moment(text: str, found: datetime) -> None:
    assert moment(text, BEGINNING) == found


@pytest.mark.parametrize("text", ["", "yesterday", "1y", "-1h", "2026-13-01", "999999w", "10:00"])
def test_any_other_since_is_refused_with_the_forms(text: str) -> None:
    with pytest.raises(BadMoment) as caught:
        moment(text, BEGINNING)

    assert str(caught.value) == (
        f"--since {text!r} is no time: write an age as in 30m, 2h or 1d, "
        "or a moment as in 2026-11-23T10:00 (UTC unless it says otherwise)"
    )


# From files


@pytest.mark.parametrize(
    ("line", "time"),
    [
        ("2026-11-23 16:24:48.557 UTC [1523] LOG:  listening", "16:24:48.557"),
        ("1501:M 23 Nov 2026 16:24:47.526 * Ready", "16:24:47.526"),
        ('{"time": "2026-11-23T16:24:52.686Z", "type": "platform.report"}', "16:24:52.686"),
        ('{"level":"INFO","timestamp":"2026-11-23 16:25:10,432+0000"}', "16:25:10.432"),
        ('{"timestamp": "2026-11-24T01:25:10+09:00", "level": "INFO"}', "16:25:10.000"),
        ('{"requestTime": "23/Nov/2026:16:24:51 +0000", "status": "200"}', "16:24:51.000"),
        ('{"_aws":{"Timestamp":1795451092685,"CloudWatchMetrics":[]}}', "16:24:52.685"),
        ('{"message": "at 2020-01-01 00:00:00", "time": "2026-11-23T16:00:00Z"}', "16:00:00.000"),
        ("[2026-11-23 16:24:48 +0000] [12] [ERROR] no", "16:24:48.000"),
    ],
)
def test_each_program_s_time_is_read(line: str, time: str) -> None:
    found = time_of(line)

    assert found is not None
    assert readable.stamp(found.astimezone(UTC)) == f"2026-11-23T{time}Z"


@pytest.mark.parametrize("line", ["Traceback (most recent call last):", "2026-99-99 16:24:48", ""])
def test_a_line_without_a_time_has_none(line: str) -> None:
    assert time_of(line) is None


def database_line(second: int, text: str) -> str:
    return f"2026-11-23 10:00:{second:02d}.000 UTC [1] LOG:  {text}\n"


def test_files_are_merged_and_a_line_without_a_time_stays_behind_its_line(tmp_path: Path) -> None:
    (tmp_path / "postgres.log").write_text(
        database_line(1, "a") + "\tDETAIL: more\n" + database_line(5, "c")
    )
    (tmp_path / "redis.log").write_text("7:M 23 Nov 2026 10:00:03.000 * b\n")
    files = [Files("database", tmp_path, "postgres.log"), Files("cache", tmp_path, "redis.log")]

    found = list(LogFiles(files, at(0)).read())

    assert texts(iter(found)) == [
        "database [1] LOG:  a",
        "database \tDETAIL: more",
        "cache * b",
        "database [1] LOG:  c",
    ]
    assert [line.at for line in found] == [at(1), at(1), at(3), at(5)]


def test_a_file_is_followed_by_whole_lines_over_being_started_afresh(tmp_path: Path) -> None:
    path = tmp_path / "postgres.log"
    feed = LogFiles([Files("database", tmp_path, "*.log")], at(0), whole=False)

    told = [texts(feed.read())]
    path.write_text(database_line(1, "a") + database_line(2, "b")[:-5])
    told.append(texts(feed.read()))
    with path.open("a") as opened:
        opened.write(database_line(2, "b")[-5:])
    told.append(texts(feed.read()))
    path.write_text(database_line(3, "c"))
    told.append(texts(feed.read()))
    (tmp_path / "new.log").write_text(database_line(4, "d"))
    told.append(texts(feed.read()))

    assert told == [
        [],
        ["database [1] LOG:  a"],
        ["database [1] LOG:  b"],
        ["database [1] LOG:  c"],
        ["database [1] LOG:  d"],
    ]


def test_who_reads_once_gets_the_last_line_without_its_end_too(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(database_line(1, "a").rstrip("\n"))

    feed = LogFiles([Files("database", tmp_path, "*.log")], at(0))

    assert texts(feed.read()) == ["database [1] LOG:  a"]
    assert texts(feed.read()) == []


def test_a_file_without_any_time_counts_as_old_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "server.log"
    path.write_bytes(b"Traceback \xff\n  boom\n")
    os.utime(path, (at(7).timestamp(),) * 2)

    (first, second) = LogFiles([Files("aws", tmp_path, "server.log")], at(0)).read()
    late = list(LogFiles([Files("aws", tmp_path, "server.log")], at(8)).read())

    assert (first.at, first.message, second.message) == (at(7), "Traceback �", "  boom")
    assert late == []


def test_a_folder_that_is_not_there_and_a_file_that_cannot_be_read_have_no_lines(
    tmp_path: Path,
) -> None:
    (tmp_path / "folder.log").mkdir()
    files = [Files("api", tmp_path / "none", "*.log"), Files("api", tmp_path, "*.log")]

    assert list(LogFiles(files, at(0)).read()) == []


# How they read


def execution_event(kind: str, **details: Any) -> str:
    told = {
        "id": "4",
        "type": kind,
        "details": details,
        "previous_event_id": "3",
        "event_timestamp": str(milliseconds(0)),
        "execution_arn": "arn:aws:states:ap-northeast-1:1:execution:workflow-dev:j",
        "redrive_count": "0",
    }
    return json.dumps(told)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (
            execution_event("ExecutionStarted", input='{"a": 1}', roleArn="arn:role"),
            'j ExecutionStarted {"a": 1}',
        ),
        (
            execution_event("TaskStateEntered", name="ProcessVideo", input="{}"),
            "j TaskStateEntered ProcessVideo",
        ),
        (
            execution_event("TaskScheduled", resource="runTask.sync", resourceType="ecs"),
            "j TaskScheduled ecs:runTask.sync",
        ),
        (
            execution_event(
                "TaskFailed",
                resource="runTask.sync",
                resourceType="ecs",
                error="States.TaskFailed",
                cause=stopped_task(3),
            ),
            "j TaskFailed ecs:runTask.sync "
            "States.TaskFailed: Essential container in task exited (exit code 3)",
        ),
        (execution_event("ExecutionSucceeded", output='{"b": 2}'), 'j ExecutionSucceeded {"b": 2}'),
        (execution_event("ExecutionTimedOut"), "j ExecutionTimedOut"),
        (
            '{"requestId": "r", "requestTime": "23/Nov/2026:16:24:51 +0000", "method": "GET", '
            '"path": "/dev/metadata", "status": "403", "responseType": "INVALID_API_KEY", '
            '"responseLength": "55", "latency": "4", "ip": "192.0.2.1"}',
            "GET /dev/metadata 403 INVALID_API_KEY 4 ms 55 bytes from 192.0.2.1",
        ),
        (
            '{"time": "t", "type": "platform.report", "record": {"requestId": "r", '
            '"status": "timeout", "errorType": "Sandbox.Timedout", '
            '"metrics": {"durationMs": 30000.0, "initDurationMs": 300.1}}}',
            "platform.report timeout 30000.0 ms cold start Sandbox.Timedout",
        ),
        (
            '{"_aws": {"Timestamp": 1, "CloudWatchMetrics": [{"Metrics": [{"Name": "Requests"}, '
            '{"Name": "Latency"}]}]}, "Requests": [1.0], "Latency": [54.09878799946455]}',
            "metrics Requests=1 Latency=54.0988",
        ),
        (
            '{"level": "INFO", "location": "_tell:143", "message": "request", "timestamp": "t", '
            '"service": "s", "operation": "GET /health", "status": 200, "correlation_id": "c"}',
            "INFO request operation=GET /health status=200",
        ),
        (
            '{"level": "ERROR", "message": {"a": 1}, "exception": "Traceback:\\n  boom\\n"}',
            'ERROR {"a": 1}\nTraceback:\n  boom',
        ),
        ("plain text\n", "plain text"),
        ('{"job": "j", "seconds": 2}', '{"job": "j", "seconds": 2}'),
        ('{"half": ', '{"half": '),
        ("[1, 2]", "[1, 2]"),
        ("", ""),
    ],
)
def test_a_message_of_a_known_kind_is_told_as_a_sentence(message: str, text: str) -> None:
    assert readable.text(message) == text


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("\x1b[2Jgone\x07", "\\x1b[2Jgone\\x07"),
        ("a\rb", "a\\rb"),
        ("one\r\ntwo", "one\ntwo"),
        ("a\u202eb\u2028c", "a\\u202eb\\u2028c"),
        ("夜の\u3000開演\tétude 👩\u200d🎤", "夜の\u3000開演\tétude 👩\u200d🎤"),
        ('{"level": "INFO", "message": "\\u001b]0;x\\u0007"}', "INFO \\x1b]0;x\\x07"),
        (execution_event("TaskStateEntered", name="\x1b[31m"), "j TaskStateEntered \\x1b[31m"),
    ],
)
def test_nothing_in_a_message_commands_the_terminal(message: str, text: str) -> None:
    assert readable.text(message) == text
