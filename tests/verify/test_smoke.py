"""The checks that do something, on services in memory: what they prove, and what they leave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from post import ACCOUNT, KEY, MACHINE, TOPIC, Api, Clock, Post

from tapgen.cloud import AccessDenied, DeployedStack, Throttled
from tapgen.verify import web
from tapgen.verify.environment import Environment, Tier
from tapgen.verify.result import Outcome, Result
from tapgen.verify.smoke import Smoke

URL = "https://api.example.com/dev"
EXPORTS = {"CompletionTopicArn": TOPIC, "StateMachineArn": MACHINE, "ApiKeyId": "k1"}


def environment(exports: Mapping[str, str] = EXPORTS) -> Environment:
    stack = DeployedStack(
        "id",
        "tap-dev-all",
        "CREATE_COMPLETE",
        exports={f"tap-dev-{k}": v for k, v in exports.items()},
    )
    return Environment("dev", ACCOUNT, {"all": Tier("all", stack, {}, {"Resources": {}})})


def smoke(post: Post, api: Api | None = None, **others: Any) -> Smoke:
    return Smoke(
        **{
            "env": environment(),
            "services": post,
            "send": api or Api(),
            "url": URL,
            "clock": post.clock,
            "pace": lambda elapsed: 5.0,
            "run_id": "run1",
            **others,
        }
    )


def carried_out(subject: Smoke) -> dict[str, Result]:
    return {result.id: result for result in subject.carry_out()}


def outcomes(results: Mapping[str, Result]) -> dict[str, str]:
    return {id_: result.outcome.value for id_, result in results.items()}


def interrupted(when: str, operation: str) -> Post:
    post = Post(Clock())
    getattr(post, when)[operation] = KeyboardInterrupt()
    return post


PASSED = dict.fromkeys(("health", "closed", "metadata", "execution", "notice"), "passed")


def test_a_system_that_works_passes_and_keeps_neither_queue_nor_subscription() -> None:
    post, api = Post(Clock()), Api()

    found = carried_out(smoke(post, api))

    assert outcomes(found) == PASSED
    assert (post.queues, post.subscriptions) == ({}, {})
    assert [video["title"] for video in api.videos.values()] == ["verify-run1"]
    assert list(post.executions) == ["verify-run1"]


def test_the_key_is_asked_for_and_never_told() -> None:
    found = carried_out(smoke(Post(Clock())))

    assert "apigateway get_api_key k1" in found["metadata"].asked
    assert KEY not in str(list(found.values()))


def degraded(request: web.Request, reply: web.Reply) -> web.Reply:
    return web.Reply(200, {"status": "degraded"}) if "/health" in request.url else reply


def open_door(request: web.Request, reply: web.Reply) -> web.Reply:
    return web.Reply(200, {"items": []}) if reply.status == 403 else reply


def forgetful(request: web.Request, reply: web.Reply) -> web.Reply:
    return web.Reply(404, {}) if "video_id" in request.url else reply


def refusing(request: web.Request, reply: web.Reply) -> web.Reply:
    return web.Reply(500, "Internal Server Error") if request.method == "POST" else reply


@pytest.mark.parametrize(
    ("broken", "check", "told"),
    [
        (degraded, "health", "body status: degraded"),
        (open_door, "closed", "status: 200"),
        (forgetful, "metadata", "read: 404; title: nothing"),
        (refusing, "metadata", "written: 500"),
    ],
)
def test_an_api_that_answers_wrongly_fails_the_check_that_asks_it(
    broken: Any, check: str, told: str
) -> None:
    found = carried_out(smoke(Post(Clock()), Api(broken)))

    assert outcomes(found) == {**PASSED, check: "failed"}
    assert found[check].found == told


def test_an_api_that_nobody_serves_fails_with_the_way_out_and_the_rest_goes_on() -> None:
    nobody = web.NoReply(URL, "refused")

    found = carried_out(smoke(Post(Clock()), url=nobody))

    missing = dict.fromkeys(("health", "closed", "metadata"), "failed")
    assert outcomes(found) == {**PASSED, **missing}
    assert found["health"].why == f"no answer from {URL}: refused"


@pytest.mark.parametrize("end", ["FAILED", "TIMED_OUT", "ABORTED"])
def test_an_execution_that_fails_is_told_with_its_error_and_nobody_waits_for_a_notice(
    end: str,
) -> None:
    post = Post(Clock(), ends=end)

    found = carried_out(smoke(post))

    assert found["execution"].outcome is Outcome.FAILED
    assert found["execution"].found == (f"status: {end}; error: VideoProcessingFailed: exit code 1")
    assert found["notice"].outcome is Outcome.FAILED
    assert post.clock.now() <= 10.0
    assert (post.queues, post.subscriptions) == ({}, {})


def test_an_execution_that_hangs_is_left_after_the_limit() -> None:
    post = Post(Clock(), takes=10**6)

    found = carried_out(smoke(post, execution_seconds=600.0))

    assert found["execution"].found.startswith("status: RUNNING after 605 s, and left to itself")
    assert post.clock.now() == 605.0


def test_a_notice_that_never_comes_is_waited_for_to_the_limit() -> None:
    post = Post(Clock())
    post.publish = lambda body: None  # type: ignore[method-assign]

    found = carried_out(smoke(post, notice_seconds=60.0))

    assert outcomes(found) == {**PASSED, "notice": "failed"}
    assert found["notice"].found == "notice of: nothing"
    assert 60.0 <= post.clock.now() <= 75.0


def test_notices_of_other_jobs_are_passed_over() -> None:
    others = ['{"job": "somebody-else"}', "no JSON at all", '"text"'] * 5

    found = carried_out(smoke(Post(Clock(), others=others)))

    assert outcomes(found) == PASSED


@pytest.mark.parametrize("operation", ["create_queue", "subscribe"])
def test_a_queue_that_may_not_be_made_leaves_the_notice_open_and_the_job_still_runs(
    operation: str,
) -> None:
    denied = AccessDenied(f"x:{operation}", "AccessDenied", "not authorized")
    post = Post(Clock(), before={operation: denied})

    found = carried_out(smoke(post))

    assert outcomes(found) == {**PASSED, "notice": "could not ask"}
    assert (post.queues, post.subscriptions) == ({}, {})


@pytest.mark.parametrize(
    "operation",
    ["create_queue", "subscribe", "start_execution", "describe_execution", "receive_message"],
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_ctrl_c_at_any_moment_takes_queue_and_subscription_away(operation: str, when: str) -> None:
    post = interrupted(when, operation)

    with pytest.raises(KeyboardInterrupt):
        carried_out(smoke(post))

    assert (post.queues, post.subscriptions) == ({}, {})


@pytest.mark.parametrize(
    "operation", ["list_subscriptions_by_topic", "unsubscribe", "get_queue_url", "delete_queue"]
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_ctrl_c_while_cleaning_up_does_not_stop_it(operation: str, when: str) -> None:
    post = interrupted(when, operation)

    with pytest.raises(KeyboardInterrupt):
        carried_out(smoke(post))

    assert (post.queues, post.subscriptions) == ({}, {})


def test_a_listener_that_is_dropped_half_way_cleans_up_too() -> None:
    post = Post(Clock())
    results = smoke(post).carry_out()
    for result in results:
        if result.id == "execution":
            break

    results.close()  # type: ignore[attr-defined]

    assert (post.queues, post.subscriptions) == ({}, {})


def test_what_could_not_be_removed_is_named() -> None:
    post = Post(Clock(), before={"delete_queue": Throttled("sqs:DeleteQueue")})

    found = carried_out(smoke(post))

    assert outcomes(found) == {**PASSED, "notice": "failed"}
    name = "arn:aws:sqs:ap-northeast-1:123456789012:tap-dev-verify-run1"
    assert found["notice"].why == (
        f"left behind: queue {name} (AWS throttles sqs:DeleteQueue; wait a minute and run it again)"
    )


def test_a_workflow_that_is_not_deployed_fails_both_of_its_checks() -> None:
    found = carried_out(smoke(Post(Clock()), env=environment({"ApiKeyId": "k1"})))

    assert outcomes(found) == {**PASSED, "execution": "failed", "notice": "failed"}
    assert found["notice"].why == "export tap-dev-CompletionTopicArn is not there"
