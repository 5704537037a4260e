"""The workflow's definition, judged as the language and the services read it.

What a catcher may list, how long it all can take, what a task is called with. The language's
grammar and the members of each call are asked of others, in ``grammar``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from tapgen.validate import machine
from tapgen.validate.cross_stack import WANTED
from tapgen.validate.finding import Fault, Rule
from tapgen.validate.world import Resource, World, dig, items, mappings, number

ALL = "States.ALL"
# Step Functions waits a second before the first retry unless told otherwise, and doubles it;
# three retries. Amazon States Language, "Retrying after error".
INTERVAL, RATE, ATTEMPTS = 1.0, 2.0, 3.0
# SNS API reference, Publish.
SUBJECT_LENGTH = 100

# Step Functions developer guide, "Integrating optimized services": the calls and how one may wait.
_PLAIN, _SYNC, _TOKEN = "", ".sync", ".waitForTaskToken"
INTEGRATIONS = {
    "apigateway:invoke": (_PLAIN, _TOKEN),
    "athena:startQueryExecution": (_PLAIN, _SYNC),
    "athena:stopQueryExecution": (_PLAIN,),
    "athena:getQueryExecution": (_PLAIN,),
    "athena:getQueryResults": (_PLAIN,),
    "batch:submitJob": (_PLAIN, _SYNC),
    "bedrock:invokeModel": (_PLAIN,),
    "codebuild:startBuild": (_PLAIN, _SYNC),
    "codebuild:stopBuild": (_PLAIN,),
    "dynamodb:getItem": (_PLAIN,),
    "dynamodb:putItem": (_PLAIN,),
    "dynamodb:deleteItem": (_PLAIN,),
    "dynamodb:updateItem": (_PLAIN,),
    "ecs:runTask": (_PLAIN, _SYNC, _TOKEN),
    "events:putEvents": (_PLAIN, _TOKEN),
    "glue:startJobRun": (_PLAIN, _SYNC),
    "http:invoke": (_PLAIN,),
    "lambda:invoke": (_PLAIN, _TOKEN),
    "mediaconvert:createJob": (_PLAIN, _SYNC),
    "sns:publish": (_PLAIN, _TOKEN),
    "sqs:sendMessage": (_PLAIN, _TOKEN),
    "states:startExecution": (_PLAIN, _SYNC, ".sync:2", _TOKEN),
}
# Services with more calls than are worth listing here.
_OTHERS = (
    "aws-sdk",
    "bedrock",
    "codebuild",
    "databrew",
    "eks",
    "elasticmapreduce",
    "emr-containers",
    "emr-serverless",
    "sagemaker",
)
INTEGRATION = re.compile(r"arn:aws[a-z-]*:states:::([a-z0-9-]+):([A-Za-z0-9:]+)(\.[A-Za-z:0-9]+)?")
_PATH = re.compile(r"\$\$?(\.|\[|$)|States\.[A-Z][A-Za-z0-9]+\(")


def readable(world: World) -> Iterator[Fault]:
    """A definition must be JSON, with everything put in."""
    for found in world.of_type(machine.MACHINE):
        try:
            machine.definition(found)
        except machine.UnknownDefinition:
            continue
        except machine.BadDefinition as error:
            yield found.fault(f"its definition cannot be read: {error}")


def known(world: World) -> Iterator[Fault]:
    """A definition in a bucket, or over an import that nobody exports, is not judged at all."""
    for found in world.of_type(machine.MACHINE):
        try:
            machine.definition(found)
        except machine.UnknownDefinition as error:
            yield found.fault(f"its definition is not judged: {error}")
        except machine.BadDefinition:
            continue


def all_alone_and_last(world: World) -> Iterator[Fault]:
    """States.ALL must stand alone in its list, in the last catcher or retrier.

    Amazon States Language, "Errors": anything else is refused.
    """
    for found, name, state in _states(world):
        for field in ("Retry", "Catch"):
            rules = mappings(state.get(field))
            for place, rule in enumerate(rules):
                errors = items(rule.get("ErrorEquals"))
                if ALL in errors and (len(errors) > 1 or place < len(rules) - 1):
                    yield found.fault(f"{name}: {ALL} is not alone and last in {field}")


def ends_in_time(world: World) -> Iterator[Fault]:
    """The execution's own timeout cannot be caught, so every task must be given up before it.

    The longest way through the states, each with all its retries and waits, is summed up.
    """
    for found, whole in machine.readable(world):
        limit = number(whole.get("TimeoutSeconds"))
        longest = _longest(whole)
        if limit is not None and longest >= limit:
            yield found.fault(
                f"its tasks can take {longest:g} s with all retries, and after {limit:g} s the "
                "execution ends without being caught"
            )


def bounded_wait(world: World) -> Iterator[Fault]:
    """A state that waits for a job or a token, without a timeout, waits for ever."""
    for found, name, state in _states(world):
        waits = str(state.get("Resource", "")).endswith((_SYNC, ".sync:2", _TOKEN))
        limits = ("TimeoutSeconds", "TimeoutSecondsPath", "HeartbeatSeconds")
        if waits and not any(key in state for key in limits):
            yield found.fault(f"{name}: waits without TimeoutSeconds")


def failure_caught(world: World) -> Iterator[Fault]:
    """A job that fails in a state without a catcher ends the execution with nobody told."""
    for found, name, state in _states(world):
        if not str(state.get("Resource", "")).endswith((_SYNC, ".sync:2", _TOKEN)):
            continue
        caught = [
            error
            for rule in mappings(state.get("Catch"))
            for error in items(rule.get("ErrorEquals"))
        ]
        if ALL not in caught:
            yield found.fault(f"{name}: does not catch {ALL}")


def known_integration(world: World) -> Iterator[Fault]:
    """A call that Step Functions does not know, or cannot wait for in this way, is refused."""
    for found, name, state in _states(world):
        resource = str(state.get("Resource", ""))
        if ":states:::" not in resource:
            continue
        match = INTEGRATION.fullmatch(resource)
        call = f"{match[1]}:{match[2]}" if match else ""
        if match and call in INTEGRATIONS:
            if (match[3] or "") not in INTEGRATIONS[call]:
                yield found.fault(f"{name}: {call} cannot be called as {match[3]}")
        elif not match or match[1] not in _OTHERS:
            yield found.fault(f"{name}: no service integration is called {resource!r}")


def path_without_dollar(world: World) -> Iterator[Fault]:
    """A path is followed only under a key that ends in ``.$``; elsewhere it is a plain text.

    Amazon States Language, "Payload template".
    """
    for found, name, state in _states(world):
        if state.get("QueryLanguage") == "JSONata":
            continue
        for field in ("Parameters", "ResultSelector", "ItemSelector"):
            for key, value in _leaves(state.get(field)):
                if not key.endswith(".$") and isinstance(value, str) and _PATH.match(value):
                    yield found.fault(f"{name}: {field} {key} is the text {value!r}, not its value")


def known_container(world: World) -> Iterator[Fault]:
    """An override for a container that the task does not have is refused when it runs.

    "Override for container named … is not a container in the TaskDefinition".
    """
    for run in machine.task_runs(world):
        if run.task is None:
            continue
        known = {c.get("Name") for c in mappings(run.task.get("ContainerDefinitions"))}
        for override in mappings(dig(run.parameters, "Overrides.ContainerOverrides")):
            given = override.get("Name")
            if given is not None and given not in known:
                yield run.machine.fault(
                    f"{run.state}: overrides container {given!r}; {run.task.logical_id} has "
                    f"{', '.join(sorted(map(str, known)))}"
                )


def one_way_to_launch(world: World) -> Iterator[Fault]:
    """RunTask takes a launch type or a capacity provider strategy, not both.

    ECS API reference, RunTask.
    """
    for run in machine.task_runs(world):
        if run.parameters.get("LaunchType") and run.parameters.get("CapacityProviderStrategy"):
            yield run.machine.fault(f"{run.state}: LaunchType and CapacityProviderStrategy")


def private_task(world: World) -> Iterator[Fault]:
    """A task with a public address can be reached past the NAT gateway."""
    for run in machine.task_runs(world):
        if dig(run.network, "AssignPublicIp") == "ENABLED":
            yield run.machine.fault(f"{run.state}: gives its task a public address")


def short_subject(world: World) -> Iterator[Fault]:
    """SNS refuses subjects of more than 100 characters, or others than ASCII."""
    for found, name, state in _states(world):
        subject = machine.parameters(state).get("Subject")
        if isinstance(subject, str) and (len(subject) > SUBJECT_LENGTH or not subject.isascii()):
            yield found.fault(f"{name}: SNS refuses the subject {subject[:40]!r}")


def wrong_kind(world: World) -> Iterator[Fault]:
    """A call is given the id of another kind of thing; all of them are texts."""
    for found, name, state in _states(world):
        for key, value in _leaves(machine.parameters(state)):
            wanted = WANTED.get(key)
            target = world.target(value)
            if wanted is None or target is None:
                continue
            kind, attributes = wanted
            if target.resource.type != kind or target.attribute not in attributes:
                form = f"{target.resource.type} {target.attribute}".strip()
                yield found.fault(f"{name}: {key} wants {kind} and is given {form}")


RULES = (
    Rule("TAP651", "error", "correct the text, or its substitutions", readable),
    Rule("TAP652", "error", "give it a last entry of its own", all_alone_and_last),
    Rule("TAP653", "error", "shorten TimeoutSeconds of the task, or retry less", ends_in_time),
    Rule("TAP654", "error", "set TimeoutSeconds", bounded_wait),
    Rule("TAP655", "warning", "add a catcher that tells somebody", failure_caught),
    Rule("TAP656", "error", "see the optimized integrations, or use aws-sdk:", known_integration),
    Rule("TAP657", "error", "end the key with '.$'", path_without_dollar),
    Rule("TAP658", "error", "make the names agree", known_container),
    Rule("TAP659", "error", "keep one of the two", one_way_to_launch),
    Rule("TAP660", "error", "set AssignPublicIp to DISABLED", private_task),
    Rule("TAP661", "error", "shorten it, in ASCII", short_subject),
    Rule("TAP662", "error", "use the resource and attribute that are wanted", wrong_kind),
    Rule("TAP663", "info", "validate it with the templates it imports from", known),
)


def _states(world: World) -> Iterator[tuple[Resource, str, Mapping[str, Any]]]:
    for found, whole in machine.readable(world):
        for name, state in machine.states(whole):
            yield found, name, state


def _leaves(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping):
        for name, item in node.items():
            yield from _leaves(item, str(name))
    elif isinstance(node, list):
        for item in node:
            yield from _leaves(item, key)
    else:
        yield key, node


def _longest(
    whole: Mapping[str, Any], name: str | None = None, seen: frozenset[str] = frozenset()
) -> float:
    """The seconds of the longest way from ``name`` (the start) to an end, each state once."""
    given = whole.get("States")
    name = name or str(whole.get("StartAt"))
    state = given.get(name) if isinstance(given, Mapping) else None
    if not isinstance(state, Mapping) or name in seen:
        return 0
    follow = [state.get("Next"), state.get("Default")]
    follow += [
        rule.get("Next") for key in ("Catch", "Choices") for rule in mappings(state.get(key))
    ]
    rest = [_longest(whole, str(step), seen | {name}) for step in follow if step]
    inner = [_longest(branch) for branch in mappings(state.get("Branches"))]
    return _worst(state) + max(inner, default=0) + max(rest, default=0)


def _worst(state: Mapping[str, Any]) -> float:
    once = number(state.get("TimeoutSeconds", state.get("Seconds"))) or 0
    if not once:
        return 0
    attempts, waits = 1.0, 0.0
    for rule in mappings(state.get("Retry")):
        most = number(rule.get("MaxAttempts", ATTEMPTS)) or 0
        interval = number(rule.get("IntervalSeconds", INTERVAL)) or 0
        rate = number(rule.get("BackoffRate", RATE)) or 1
        ceiling = number(rule.get("MaxDelaySeconds")) or float("inf")
        attempts += most
        waits += sum(min(ceiling, interval * rate**n) for n in range(int(most)))
    return attempts * once + waits
