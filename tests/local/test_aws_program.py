"""The ``aws`` that tasks find: its two commands, and how it ends when one cannot be carried out."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from local_aws import client
from state_machines import execution, machine

from tapgen.local.lease import Embedded
from tapgen.local.tasks import aws_program
from tapgen.local.tasks.aws_program import Wrong, main, metric_of, options, signature

VARIABLES = (
    "AWS_ENDPOINT_URL",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
)
METRIC = "MetricName=TasksStarted,Unit=Count,Value=1,Dimensions=[{Name=Environment,Value=dev}]"
PUT = ["cloudwatch", "put-metric-data", "--namespace", "VideoProcessing", "--metric-data"]


@pytest.fixture
def account(aws_account: Embedded, monkeypatch: pytest.MonkeyPatch) -> Embedded:
    """An account, with the environment of a task in it."""
    for name, value in environment(aws_account).items():
        monkeypatch.setenv(name, value)
    return aws_account


def environment(aws: Embedded) -> dict[str, str]:
    values = (aws.url, aws.region, aws.region, aws.access_key, aws.secret_key)
    return dict(zip(VARIABLES, values, strict=True))


def test_metrics_are_recorded_with_their_dimensions(account: Embedded) -> None:
    status = main([*PUT, METRIC, "MetricName=ProcessingSeconds,Unit=Seconds,Value=2"])

    found = client(account, "cloudwatch").list_metrics(Namespace="VideoProcessing")["Metrics"]
    told = {
        metric["MetricName"]: [(one["Name"], one["Value"]) for one in metric["Dimensions"]]
        for metric in found
    }
    assert status == 0
    assert told == {"TasksStarted": [("Environment", "dev")], "ProcessingSeconds": []}


def test_the_program_that_tasks_start_prints_an_executions_input_and_a_line_end(
    account: Embedded,
) -> None:
    given = '{"title": "🎬 \\"quoted\\" $(id)"}\n'
    arn = execution(account, machine(account), given)

    done = subprocess.run(
        [sys.executable, "-I", "-S", aws_program.__file__, *describing(arn)],
        env={**environment(account), "PATH": os.environ["PATH"]},
        capture_output=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == f"{given}\n".encode()


def test_a_member_that_is_not_there_is_none(
    account: Embedded, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    arn = execution(account, machine(account), "{}")

    main(describing(arn, "cause"))

    assert capfdbinary.readouterr().out == b"None\n"


def describing(arn: str, member: str = "input") -> list[str]:
    words = ["stepfunctions", "describe-execution", "--execution-arn", arn]
    return [*words, "--query", member, "--output", "text"]


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["s3", "ls"],
        ["cloudwatch", "put-metric-data"],
        ["cloudwatch", "put-metric-data", "VideoProcessing"],
        [*PUT, METRIC, "--profile", "other"],
        [*PUT, "Unit=Count,Value=1"],
        [*PUT, "MetricName=A,Colour=red"],
        [*PUT, "MetricName=A,Value"],
        [*PUT, '[{"MetricName": "A"}]'],
        ["stepfunctions", "describe-execution", "--execution-arn", "a", "b"],
        ["stepfunctions", "describe-execution", "--execution-arn", "a"],
        [*describing("a", "events[0]")],
        [*describing("a")[:-1], "json"],
    ],
)
def test_what_it_does_not_know_is_refused_as_the_cli_refuses_a_wrong_command(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(words)

    assert status == 252
    assert "aws:" in capsys.readouterr().err


def test_a_refusal_of_the_service_is_told_with_its_code(
    account: Embedded, capsys: pytest.CaptureFixture[str]
) -> None:
    arn = f"arn:aws:states:{account.region}:{account.account}:execution:none:job"

    status = main(describing(arn))

    said = capsys.readouterr().err.strip()
    assert status == 254
    assert said.startswith("An error occurred (ExecutionDoesNotExist) when calling the Describe")


def test_a_wrong_key_is_refused(
    account: Embedded, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")

    status = main([*PUT, METRIC])

    assert status == 254
    assert "(SignatureDoesNotMatch) when calling the PutMetricData" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID"])
def test_an_environment_without_settings_is_told(
    account: Embedded,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    missing: str,
) -> None:
    monkeypatch.delenv(missing)

    status = main([*PUT, METRIC])

    assert (status, capsys.readouterr().err.strip()) == (253, f"aws: {missing} is not set")


def test_where_nobody_answers_the_cli_ends_with_255(
    account: Embedded, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")

    status = main([*PUT, METRIC])

    assert status == 255
    assert 'Could not connect to the endpoint URL: "http://127.0.0.1:9/"' in capsys.readouterr().err


def test_options_hold_their_words_and_a_list_holds_several() -> None:
    found = options(["--no-cli-pager", "--namespace", "N", "--metric-data", "A=1", "B=2"])

    assert found == {"--no-cli-pager": [], "--namespace": ["N"], "--metric-data": ["A=1", "B=2"]}
    with pytest.raises(Wrong):
        options(["--namespace", "N", "stray"])


def test_a_metric_is_read_in_the_clis_shorthand() -> None:
    assert metric_of(METRIC) == (
        {"MetricName": "TasksStarted", "Unit": "Count", "Value": "1"},
        {"Environment": "dev"},
    )


def test_it_is_signed_for_the_region_that_it_is_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "123456789012")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "ap-northeast-1")

    headers = signature("states", "127.0.0.1:1", "{}", {"content-type": "text/plain"})

    assert "/ap-northeast-1/states/aws4_request" in headers["authorization"]
    assert "SignedHeaders=content-type;host;x-amz-date" in headers["authorization"]


def test_it_needs_nothing_but_the_standard_library() -> None:
    code = (
        f"import sys, runpy; runpy.run_path({aws_program.__file__!r}); print(*sys.modules, sep=',')"
    )

    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )

    assert not {"tapgen", "boto3", "botocore"} & set(done.stdout.strip().split(","))
