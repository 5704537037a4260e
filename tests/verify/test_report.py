"""What people and CI servers are shown of the results."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree

import pytest

from tapgen.verify import report
from tapgen.verify.result import Check, Fact, Outcome, Result, judged, spelled

SUBJECT = report.Subject("dev", "123456789012", "ap-northeast-1", embedded=False)
LONG = "arn:aws:states:ap-northeast-1:123456789012:stateMachine:video-processing-workflow-dev"

RESULTS = (
    Result(
        "VPC and networking",
        "vpc",
        "the VPC is 10.0.0.0/16 and resolves names",
        Outcome.PASSED,
        ("ec2 describe_vpcs vpc-1",),
        (Fact("CidrBlock", "10.0.0.0/16", "10.0.0.0/16", says="CIDR 10.0.0.0/16"),),
        seconds=0.25,
    ),
    Result(
        "VPC and networking",
        "routes",
        "each subnet leads where its tier may go",
        Outcome.FAILED,
        ("ec2 describe_route_tables vpc-id=vpc-1",),
        (Fact("PrivateSubnetA 0.0.0.0/0", None, "nat-1"), Fact("attached", True, True)),
    ),
    Result(
        "RDS, EFS, ElastiCache",
        "standby",
        "the database's standby is in another zone",
        Outcome.NOT_KEPT,
        ("rds describe_db_instances video-processing-db-dev",),
        (Fact("SecondaryAvailabilityZone", None, "another", of="AWS::RDS::DBInstance.X"),),
        "not kept by the embedded AWS: AWS::RDS::DBInstance.X (there is no standby)",
    ),
    Result(
        "Step Functions",
        "steps",
        "runs the task, retries 3 times, tells how it ended",
        Outcome.COULD_NOT_ASK,
        (f"stepfunctions describe_state_machine {LONG}",),
        why="states:DescribeStateMachine is denied: <not authorized> & more",
    ),
)


def test_the_table_is_grouped_and_shows_at_length_only_what_is_not_well() -> None:
    text = "\n".join(line.text for line in report.table(RESULTS))

    assert text == (
        "VPC and networking\n"
        "  ok         vpc              the VPC is 10.0.0.0/16 and resolves names\n"
        "  FAILED     routes           each subnet leads where its tier may go\n"
        "             asked   ec2 describe_route_tables vpc-id=vpc-1\n"
        "             PrivateSubnetA 0.0.0.0/0\n"
        "               found   nothing\n"
        "               wanted  nat-1\n"
        "\n"
        "RDS, EFS, ElastiCache\n"
        "  not kept   standby          the database's standby is in another zone\n"
        "             not kept by the embedded AWS: AWS::RDS::DBInstance.X (there is no\n"
        "             standby)\n"
        "             asked   rds describe_db_instances video-processing-db-dev\n"
        "             SecondaryAvailabilityZone\n"
        "               found   nothing\n"
        "               wanted  another\n"
        "\n"
        "Step Functions\n"
        "  no answer  steps            runs the task, retries 3 times, tells how it ended\n"
        "             states:DescribeStateMachine is denied: <not authorized> & more\n"
        "             asked   stepfunctions describe_state_machine arn:aws:states:ap-nort\n"
        "                     heast-1:123456789012:stateMachine:video-processing-workflow\n"
        "                     -dev\n"
    )
    assert report.summary(RESULTS) == "1 passed, 1 failed, 1 not kept, 1 could not ask"


def test_no_line_is_wider_than_a_terminal() -> None:
    script = Fact("command", [f"{'x' * 90} " * 30], ["true"], says="a sentence " * 20)
    wide = Result("G", "id", "title " * 30, Outcome.FAILED, (LONG * 3,), (script,), why="why " * 60)

    lines = [line.text for line in report.table([*RESULTS, wide], whole=True)]

    assert max(map(len, lines)) <= 80


def test_all_of_it_shows_what_was_found_of_what_passed() -> None:
    lines = [line.text for line in report.table(RESULTS[:1], whole=True)]

    assert lines == [
        "VPC and networking",
        "  ok         vpc              the VPC is 10.0.0.0/16 and resolves names",
        "             asked   ec2 describe_vpcs vpc-1",
        "             found   CidrBlock: 10.0.0.0/16",
        "",
    ]


def test_the_signs_and_the_colours_tell_the_outcomes_apart() -> None:
    assert len(set(report.SIGNS.values())) == len(set(report.COLOURS.values())) == len(Outcome)


def test_the_json_has_its_keys_and_all_that_the_table_leaves_out() -> None:
    told = json.loads(json.dumps(report.as_plain(SUBJECT, RESULTS)))

    assert {key: value for key, value in told.items() if key != "checks"} == {
        "environment": "dev",
        "account": "123456789012",
        "region": "ap-northeast-1",
        "embedded": False,
        "counts": {"passed": 1, "failed": 1, "not_kept": 1, "could_not_ask": 1},
    }
    assert told["checks"][0] == {
        "group": "VPC and networking",
        "id": "vpc",
        "title": "the VPC is 10.0.0.0/16 and resolves names",
        "outcome": "passed",
        "asked": ["ec2 describe_vpcs vpc-1"],
        "found": "CidrBlock: 10.0.0.0/16",
        "wanted": "CidrBlock: 10.0.0.0/16",
        "why": "",
        "seconds": 0.25,
        "facts": [
            {
                "what": "CidrBlock",
                "found": "10.0.0.0/16",
                "wanted": "10.0.0.0/16",
                "agrees": True,
                "document": "CIDR 10.0.0.0/16",
            }
        ],
    }
    assert told["checks"][1]["found"] == "PrivateSubnetA 0.0.0.0/0: nothing"


def test_the_xml_counts_refusals_as_failures_and_what_is_not_kept_as_skipped() -> None:
    root = ElementTree.fromstring(report.as_junit(SUBJECT, RESULTS))

    def numbers(element: Any) -> tuple[int, ...]:
        return tuple(int(element.get(name)) for name in ("tests", "failures", "errors", "skipped"))

    assert root.tag == "testsuites"
    assert numbers(root) == (4, 2, 0, 1)
    assert [numbers(suite) for suite in root.iter("testsuite")] == [
        (2, 1, 0, 0),
        (1, 0, 0, 1),
        (1, 1, 0, 0),
    ]
    cases = {case.get("name", ""): case for case in root.iter("testcase")}
    assert next(iter(cases)) == "vpc: the VPC is 10.0.0.0/16 and resolves names"
    assert all(case.get("classname") and case.get("time") for case in cases.values())
    failures = {name.split(":")[0]: case.find("failure") for name, case in cases.items()}
    assert failures["vpc"] is None
    assert failures["routes"] is not None
    assert failures["routes"].get("message") == (
        "found PrivateSubnetA 0.0.0.0/0: nothing, wanted PrivateSubnetA 0.0.0.0/0: nat-1"
    )
    assert failures["steps"] is not None
    assert failures["steps"].get("type") == "could not ask"
    assert "<not authorized> & more" in str(failures["steps"].text)


@pytest.mark.parametrize("char", ["\x00", "\x1b", "\ufffe", "\ud800"])
def test_what_xml_cannot_say_makes_no_broken_xml(char: str) -> None:
    odd = Result("G", "id", "title", Outcome.FAILED, (f"a{char}b",), why=f"no{char}thing")

    root = ElementTree.fromstring(report.as_junit(SUBJECT, [odd]))

    (failure,) = root.iter("failure")
    assert failure.get("message") == "no\ufffdthing"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "nothing"),
        ([], "nothing"),
        (0, "0"),
        (False, "false"),
        ({"b", "a"}, "a, b"),
        ({"limit": 10.0}, '{"limit": "10"}'),
    ],
)
def test_values_are_spelled_for_readers(value: object, told: str) -> None:
    assert spelled(value) == told


@pytest.mark.parametrize(
    ("found", "wanted", "agree"),
    [
        ("512", 512, True),
        (True, "true", True),
        (1000.0, 1000, True),
        ({"Uid": 1000}, {"Uid": "1000"}, True),
        ({"a", "b"}, {"b", "a"}, True),
        (["a", "b"], ["b", "a"], False),
        (None, False, False),
        (None, "", False),
        (0, False, False),
    ],
)
def test_numbers_and_truth_agree_however_they_are_written(
    found: object, wanted: object, agree: bool
) -> None:
    assert Fact("it", found, wanted).agrees is agree


def test_a_check_that_compares_nothing_has_not_passed() -> None:
    check = Check("G", "id", "title", lambda env, ask: iter(()))

    end = judged(check, [], {})

    assert (end.outcome, end.why) == (Outcome.FAILED, "there was nothing to compare")


def test_of_a_long_policy_only_the_part_that_differs_is_told() -> None:
    good = {"Statement": [{"Sid": "A", "Action": ["s3:GetObject"]}, {"Sid": "B"}]}
    wrong = {"Statement": [{"Sid": "A", "Action": ["s3:*"]}, {"Sid": "B"}]}

    assert Fact("policy", wrong, good).differences == (
        ("policy Statement 0 Action 0", "s3:*", "s3:GetObject"),
    )
    assert Fact("policy", good, good).differences == ()
