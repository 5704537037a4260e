"""The one reason to read first, and what to do about it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tapgen.cloud import Failure, StackEvent
from tapgen.engine import causes

STACK = "AWS::CloudFormation::Stack"


def event(status: str, reason: str, logical_id: str = "Topic", kind: str = "") -> StackEvent:
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    return StackEvent(f"{logical_id}{status}", moment, logical_id, "id", kind, status, reason)


def test_the_earliest_failure_that_is_no_echo_is_the_cause() -> None:
    cause = event("CREATE_FAILED", "Quota exceeded", "Second")
    history = [
        event("CREATE_IN_PROGRESS", "Resource creation Initiated"),
        event("CREATE_FAILED", "Resource creation cancelled", "First"),
        cause,
        event("CREATE_FAILED", "Another one", "Third"),
        event("CREATE_FAILED", "The following resource(s) failed to create: [Second]. ", "stack"),
    ]

    assert causes.root_cause(history) is cause


@pytest.mark.parametrize(
    "echo",
    [
        "",
        "Resource creation cancelled",
        "Resource update cancelled",
        "Resource creation canceled",
        "The following resource(s) failed to update: [Topic]. ",
        "Rollback requested by user",
    ],
)
def test_an_echo_is_no_cause(echo: str) -> None:
    assert causes.root_cause([event("UPDATE_FAILED", echo)]) is None


def test_without_a_failed_resource_the_stack_itself_says_why() -> None:
    reason = "No export named tap-x found. Rollback requested by user."
    history = [
        event("CREATE_IN_PROGRESS", "User Initiated", kind=STACK),
        event("CREATE_IN_PROGRESS", "Resource creation Initiated"),
        event("ROLLBACK_IN_PROGRESS", reason, kind=STACK),
        event("ROLLBACK_COMPLETE", "", kind=STACK),
    ]

    assert causes.stack_reason(history) == reason
    assert causes.stack_reason(history[:2]) == ""


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        ("Export tap-x cannot be deleted as it is in use by tap-y", "other stacks import"),
        ("Export tap-x cannot be updated as it is in use by tap-y", "other stacks import"),
        ("No export named tap-x found. Rollback requested by user.", "deploy it first"),
        ("video-cache-default-dev already exists", "use another suffix"),
        ("User: arn is not authorized to perform: rds:CreateDBInstance", "lacks that permission"),
        ("Cannot find version 16.6 for postgres", "db_engine_version"),
        ("CloudWatch Logs role ARN must be set in account settings", "foundation tier"),
        ("Unable to assume the service linked role.", "run the same command again"),
        ("The maximum number of VPCs has been reached.", "Service Quotas"),
    ],
)
def test_what_is_met_often_has_its_advice(reason: str, advice: str) -> None:
    assert advice in causes.remedy(reason)


def test_what_nobody_knows_has_none() -> None:
    assert causes.remedy("Internal failure") == ""


def hooked(reason: str, mode: str = "FAIL", status: str = "HOOK_COMPLETE_FAILED") -> StackEvent:
    bare = event("CREATE_IN_PROGRESS", "")
    return replace(
        bare, hook="Our::Guard::Hook", hook_status=status, hook_reason=reason, hook_mode=mode
    )


def test_a_hook_that_refuses_a_resource_says_why_itself() -> None:
    cause = event("CREATE_FAILED", "The following hook(s) failed: [Our::Guard::Hook]")
    history = [
        hooked("", status="HOOK_IN_PROGRESS"),
        hooked("bad style", mode="WARN"),
        hooked("topics need a key"),
        cause,
    ]

    assert causes.root_cause(history) is cause
    assert causes.own_words(cause, history) == (
        "The following hook(s) failed: [Our::Guard::Hook]; Our::Guard::Hook: topics need a key"
    )
    assert "hook" in causes.remedy(causes.own_words(cause, history))


def test_a_failure_without_hooks_keeps_its_words() -> None:
    cause = event("CREATE_FAILED", "Quota exceeded")

    assert causes.own_words(cause, [hooked("topics need a key"), cause]) == "Quota exceeded"


def test_what_early_validation_found_is_told_with_its_place() -> None:
    found = [
        Failure("VALIDATION_ERROR", "Topic", "T", "only warned", "X", "/p", fatal=False),
        Failure(
            "VALIDATION_ERROR",
            "Topic",
            "AWS::SNS::Topic",
            "unsupported property",
            "PROPERTY_VALIDATION",
            "/Resources/Topic/Properties/Colour",
        ),
        Failure("STACK_EVENT", "Topic", "AWS::SNS::Topic", "told elsewhere"),
    ]

    assert causes.refused_early(found) == (
        "Topic /Resources/Topic/Properties/Colour: unsupported property (PROPERTY_VALIDATION)"
    )
    assert causes.refused_early([]) == ""


def test_the_console_is_opened_at_the_stack_s_events() -> None:
    arn = "arn:aws:cloudformation:ap-northeast-1:123456789012:stack/tap-dev-api/0a1b"

    assert causes.console(arn) == (
        "https://ap-northeast-1.console.aws.amazon.com/cloudformation/home?region=ap-northeast-1"
        "#/stacks/events?stackId=arn%3Aaws%3Acloudformation%3Aap-northeast-1%3A123456789012"
        "%3Astack%2Ftap-dev-api%2F0a1b"
    )
