"""logs, executions and the local commands that run the workflow, as a user meets them.

Two small stacks stand for the environment's: the log groups under their logical ids, and a state
machine that ends as its input says.
"""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine, ended, without_aws
from local_aws import client, deploy, resource

from tapgen.local import lease
from tapgen.local.lease import Embedded

API_GROUP, TASK_GROUP = "/aws/lambda/video-metadata-api-dev", "/video-processing/task-dev"
FLOW_GROUP = "/aws/vendedlogs/states/video-processing-workflow-dev"
STATES = {
    "StartAt": "Decide",
    "States": {
        "Decide": {
            "Type": "Choice",
            "Choices": [
                {"Variable": "$.end", "StringEquals": "fail", "Next": "Fail"},
                {"Variable": "$.end", "StringEquals": "hang", "Next": "Hang"},
            ],
            "Default": "Tell",
        },
        "Tell": {
            "Type": "Task",
            "Resource": "arn:aws:states:::sns:publish",
            "Parameters": {
                "TopicArn": "${CompletionTopic}",
                "Subject": "Video processing completed (dev)",
                "Message": {"job.$": "$$.Execution.Name", "input.$": "$"},
            },
            "ResultPath": None,
            "Next": "Done",
        },
        "Done": {"Type": "Succeed"},
        "Hang": {"Type": "Wait", "Seconds": 600, "End": True},
        "Fail": {
            "Type": "Fail",
            "Error": "VideoProcessingFailed",
            "Cause": json.dumps({"Error": "States.TaskFailed", "Cause": "exit code \x1b[31m3"}),
        },
    },
}


def make_environment(aws: Embedded) -> None:
    """What the commands look for of the environment ``dev``."""
    topics = {
        "CompletionTopic": resource("AWS::SNS::Topic", TopicName="video-processing-completion-dev"),
        "ErrorTopic": resource("AWS::SNS::Topic", TopicName="video-processing-error-dev"),
    }
    arn = {"Ref": "CompletionTopic"}
    exported = {"Arn": {"Value": arn, "Export": {"Name": "arn"}}}
    role = f"arn:aws:iam::{aws.account}:role/states"
    machine = resource(
        "AWS::StepFunctions::StateMachine",
        StateMachineName="video-processing-workflow-dev",
        RoleArn=role,
        DefinitionString={
            "Fn::Sub": [json.dumps(STATES), {"CompletionTopic": {"Fn::ImportValue": "arn"}}]
        },
    )
    flow = {"WorkflowLogGroup": group(FLOW_GROUP), "Workflow": machine}
    stacks = {
        "notification": {"Resources": topics, "Outputs": exported},
        "api": {"Resources": {"ApiFunctionLogGroup": group(API_GROUP)}},
        "compute": {"Resources": {"TaskLogGroup": group(TASK_GROUP)}},
        "workflow": {"Resources": flow},
    }
    for tier, template in stacks.items():
        assert deploy(aws, f"tap-dev-{tier}", template) == "CREATE_COMPLETE"


def group(name: str) -> dict[str, Any]:
    return resource("AWS::Logs::LogGroup", LogGroupName=name)


def write(aws: Embedded, group: str, *messages: tuple[float, str]) -> None:
    """Log messages, each so many seconds ago."""
    logs, now = client(aws, "logs"), time.time()
    logs.create_log_stream(logGroupName=group, logStreamName=f"s{time.time_ns()}")
    stream = logs.describe_log_streams(logGroupName=group)["logStreams"][-1]["logStreamName"]
    logs.put_log_events(
        logGroupName=group,
        logStreamName=stream,
        logEvents=[
            {"timestamp": int((now - seconds) * 1000), "message": text}
            for seconds, text in messages
        ],
    )


def without_times(text: str) -> str:
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "TIME", text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "TIME", text)
    text = re.sub(r"^\d\d:\d\d:\d\d\.\d{3}", "TIME", text, flags=re.MULTILINE)
    text = re.sub(r"run-\d{14}-[0-9a-f]{6}", "RUN", text)
    return re.sub(r"\d+(\.\d+)? s\b", "SECONDS", text)


@pytest.fixture
def dev(tapgen: CommandLine, aws_account: Embedded) -> CommandLine:
    make_environment(aws_account)
    return tapgen


def test_logs_of_all_sources_are_merged_and_named(dev: CommandLine, aws_account: Embedded) -> None:
    write(aws_account, API_GROUP, (30, '{"level": "INFO", "message": "request", "status": 200}'))
    write(aws_account, TASK_GROUP, (40, "working"), (20, "two\nlines"))
    write(aws_account, FLOW_GROUP, (10, "end"))

    told = dev("logs", "--env", "dev")
    chosen = dev("logs", "task", "workflow", "--env", "dev", "--since", "25s")

    assert (told.status, told.err) == (0, "")
    assert without_times(told.out) == (
        "TIME  task      working\n"
        "TIME  api       INFO request status=200\n"
        "TIME  task      two\n"
        "TIME  task      lines\n"
        "TIME  workflow  end\n"
    )
    assert without_times(chosen.out) == (
        "TIME  task      two\nTIME  task      lines\nTIME  workflow  end\n"
    )


def test_logs_for_machines_are_an_object_a_line_with_the_message_as_it_is(
    dev: CommandLine, aws_account: Embedded
) -> None:
    write(aws_account, TASK_GROUP, (2, '{"seconds": 2}\x1b[2J'), (1, "“夜”"))

    told = dev("logs", "--env", "dev", "--output", "json")

    first, second = map(json.loads, told.out.splitlines())
    assert (first["source"], first["message"]) == ("task", '{"seconds": 2}\x1b[2J')
    assert first["place"].startswith(f"{TASK_GROUP} s")
    assert second["message"] == "“夜”"
    assert "“夜”" in told.out


def test_colour_is_asked_for_and_forbidden_by_the_usual_variables(
    dev: CommandLine, aws_account: Embedded
) -> None:
    write(aws_account, TASK_GROUP, (2, "working"))

    piped = dev("logs", "--env", "dev")
    forced = dev("logs", "--env", "dev", FORCE_COLOR="1")
    both = dev("logs", "--env", "dev", FORCE_COLOR="1", NO_COLOR="1")

    assert "\x1b" not in piped.out + both.out
    assert "  \x1b[32mtask    \x1b[0m  working\n" in forced.out


def test_no_logs_say_how_far_they_were_looked_for(dev: CommandLine) -> None:
    told = dev("logs", "--env", "dev", "--since", "1h")

    assert (told.status, told.out) == (0, "")
    assert told.line == "nothing was logged since 1h; --since looks further back"


def test_an_environment_that_is_not_deployed_is_one_line(tapgen: CommandLine) -> None:
    for command in ("logs", "executions"):
        told = tapgen(command, "--env", "dev")

        assert told.status == 1
        assert re.fullmatch(
            r"tapgen: dev has no (logs|state machine) here: tap-dev-.+ not deployed; "
            r"deploy first \(tapgen deploy, or on this machine tapgen local serve\)",
            told.line,
        )


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--since", "noon"), "tapgen: --since 'noon' is no time: "),
        (("database",), "tapgen: Invalid value for '[SOURCE]...': 'database' is not one of"),
    ],
)
def test_what_logs_cannot_read_is_refused_before_anybody_is_asked(
    offline: CommandLine, arguments: tuple[str, ...], line: str
) -> None:
    told = offline("logs", *arguments, "--env", "dev")

    assert told.status == 2
    assert told.line.startswith(line)


def test_following_tells_what_comes_and_ends_with_ctrl_c_without_a_word(
    dev: CommandLine, aws_account: Embedded
) -> None:
    write(aws_account, TASK_GROUP, (1, "before"))
    process = dev.start("logs", "--env", "dev", "--follow")
    assert process.stdout is not None

    first = process.stdout.readline()
    write(aws_account, TASK_GROUP, (0, "after"))
    second = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    told = ended(process)

    assert without_times(first + second) == "TIME  task      before\nTIME  task      after\n"
    assert (told.status, told.out, told.err) == (130, "", "")


def test_executions_are_listed_newest_first_with_the_reason_of_a_failure(
    dev: CommandLine, aws_account: Embedded
) -> None:
    states = client(aws_account, "stepfunctions")
    (machine,) = states.list_state_machines()["stateMachines"]
    nothing = dev("executions", "--env", "dev")
    for name, end in (("one", "well"), ("two", "fail")):
        arn = states.start_execution(
            stateMachineArn=machine["stateMachineArn"], name=name, input=json.dumps({"end": end})
        )["executionArn"]
        while states.describe_execution(executionArn=arn)["status"] == "RUNNING":
            time.sleep(0.01)

    told = dev("executions", "--env", "dev")
    last = json.loads(dev("executions", "--env", "dev", "-n", "1", "--output", "json").out)

    assert (nothing.status, nothing.line) == (0, "dev: nothing was executed yet")
    assert without_times(told.out) == (
        "two  FAILED     TIME  SECONDS  States.TaskFailed: exit code \\x1b[31m3\n"
        "one  SUCCEEDED  TIME  SECONDS\n"
    )
    assert [(one["name"], one["status"], one["error"]) for one in last] == [
        ("two", "FAILED", "VideoProcessingFailed")
    ]


# The workflow on this machine


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """A folder whose embedded AWS holds the environment ``dev``."""
    folder = tmp_path_factory.mktemp("observed")
    line = without_aws(folder)
    with lease.lease(folder / ".tapgen" / "local") as aws:
        make_environment(aws)
        yield line
    lease.reset(folder / ".tapgen" / "local")


def run(line: CommandLine, *arguments: str) -> Any:
    return line.process("local", "run-workflow", "--env", "dev", *arguments)


def test_an_execution_that_succeeds_is_followed_and_its_result_printed(
    home: CommandLine, tmp_path: Path
) -> None:
    job = {"title": '"quoted" “夜” 🎬 $(x)', "end": "well"}
    (tmp_path / "job.json").write_text(json.dumps(job, ensure_ascii=False))

    told = run(home, "--input", str(tmp_path / "job.json"))

    assert told.status == 0
    assert json.loads(told.out) == job
    assert without_times(told.err) == (
        "RUN started; Ctrl-C aborts it\n"
        "TIME  Decide         entered (Choice)\n"
        "TIME  Decide         done after SECONDS\n"
        "TIME  Tell           entered (Task)\n"
        "TIME  Tell           attempt 1: sns:publish\n"
        "TIME  Tell           done after SECONDS\n"
        "TIME  Done           entered (Succeed)\n"
        "TIME  Done           done after SECONDS\n"
        "\n"
        "SUCCEEDED after SECONDS\n"
    )


def test_its_notice_arrives_once_with_the_execution_s_name(home: CommandLine) -> None:
    assert home.process("local", "notices", "--env", "dev").status == 0
    process = home.start("local", "notices", "--env", "dev", "--follow")
    assert process.stdout is not None

    name = run(home).err.partition(" ")[0]
    heard = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    followed = ended(process)
    again = home.process("local", "notices", "--env", "dev")

    assert without_times(heard).startswith("TIME  video-processing-completion-dev  ")
    assert heard.endswith(f"  Video processing completed (dev): {name}\n")
    assert (followed.status, followed.out, followed.err) == (130, "", "")
    assert (again.status, again.line) == (
        0,
        "no notice is waiting; tapgen local run-workflow makes one, --follow waits",
    )


def test_a_notice_waits_for_who_listened_once(home: CommandLine) -> None:
    home.process("local", "notices", "--env", "dev")
    name = run(home).err.partition(" ")[0]

    (told,) = home.process("local", "notices", "--env", "dev", "-o", "json").out.splitlines()

    notice = json.loads(told)
    assert (notice["topic"], notice["subject"]) == (
        "video-processing-completion-dev",
        "Video processing completed (dev)",
    )
    assert json.loads(notice["message"]) == {"job": name, "input": {}}


def test_an_execution_that_fails_says_why_and_exits_with_1(home: CommandLine) -> None:
    told = home.start("local", "run-workflow", "--env", "dev", "--input", "job.json")
    missing = ended(told)
    (home.folder / "job.json").write_text('{"end": "fail"}')

    failed = run(home, "--input", "job.json")
    for_machines = run(home, "--input", "job.json", "--output", "json")

    assert (missing.status, missing.line) == (
        1,
        "tapgen: cannot read job.json: no such file or directory; "
        "check the file and its permissions",
    )
    assert (failed.status, failed.out) == (1, "")
    assert re.fullmatch(
        r"tapgen: run-\S+ ended in FAILED: States.TaskFailed: exit code \\x1b\[31m3; "
        r"tapgen local logs has the whole story",
        failed.err.splitlines()[-1],
    )
    started, *_, end = map(json.loads, for_machines.out.splitlines())
    assert (for_machines.status, for_machines.err) == (1, "")
    assert started["type"] == "started"
    assert (end["type"], end["status"], end["error"]) == (
        "Ended",
        "FAILED",
        "VideoProcessingFailed",
    )


def test_ctrl_c_aborts_the_execution_and_says_so(home: CommandLine) -> None:
    (home.folder / "hang.json").write_text('{"end": "hang"}')
    process = home.start("local", "run-workflow", "--env", "dev", "--input", "hang.json")
    assert process.stderr is not None
    name = process.stderr.readline().partition(" ")[0]
    while "Hang" not in process.stderr.readline():
        pass

    process.send_signal(signal.SIGINT)
    told = ended(process)
    listed = home.process("executions", "--local", "--env", "dev", "-n", "1")

    assert (told.status, told.out, told.err) == (130, "", f"\n{name} is aborted\n")
    assert without_times(listed.out) == (
        "RUN  ABORTED  TIME  SECONDS  Aborted: tapgen local run-workflow was interrupted\n"
    )


def test_an_input_that_is_none_is_refused_before_anything_is_started(
    offline: CommandLine,
) -> None:
    (offline.folder / "large.json").write_text(json.dumps("x" * 300_000))
    (offline.folder / "folder").mkdir()

    large = offline("local", "run-workflow", "--input", "large.json")
    folder = offline("local", "run-workflow", "--input", "folder")
    typed = offline("local", "run-workflow", "--input", "-", answer="{'a': 1}")

    assert (large.status, large.line) == (
        2,
        "tapgen: large.json: an input has at most 256 KB; this one has more",
    )
    assert (folder.status, folder.line) == (
        1,
        "tapgen: cannot read folder: is a directory; check the file and its permissions",
    )
    assert (typed.status, typed.line) == (
        2,
        "tapgen: standard input: no JSON: Expecting property name enclosed in double quotes "
        "at line 1, column 2",
    )
    assert not (offline.folder / ".tapgen").exists()


def test_a_workflow_that_is_not_deployed_here_is_one_line(home: CommandLine) -> None:
    told = home.process("local", "run-workflow", "--env", "other")

    assert told.status == 1
    assert told.line.startswith(
        "tapgen: other has no state machine here: tap-other-workflow is not deployed; "
    )


def test_local_logs_merge_the_deployed_groups_and_the_files(home: CommandLine) -> None:
    logs = home.folder / ".tapgen" / "local-data" / "dev" / "logs"
    logs.mkdir(parents=True)
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    (logs / "video-metadata-api-dev.log").write_text(
        json.dumps({"timestamp": now, "level": "INFO", "message": "request"}) + "\n"
    )
    stamp = now.replace("T", " ").replace("Z", ".500 UTC")
    (logs.parent / "postgres.log").write_text(f"{stamp} [7] LOG:  ready\n")
    with lease.lease(home.folder / ".tapgen" / "local") as aws:
        write(aws, TASK_GROUP, (30, "working"))

    told = home.process("local", "logs", "api", "task", "database", "--env", "dev")
    files = home.process("local", "logs", "database", "--env", "dev")

    assert without_times(told.out) == (
        "TIME  task      working\nTIME  api       INFO request\nTIME  database  [7] LOG:  ready\n"
    )
    assert without_times(files.out) == "TIME  database  [7] LOG:  ready\n"
