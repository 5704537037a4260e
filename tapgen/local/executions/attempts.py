"""A Task state's attempts: what is tried again, after how long, and what is caught."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from tapgen.local import reach
from tapgen.local.executions.calls import Call, Calls, Failed
from tapgen.local.executions.running import Running

State = Mapping[str, Any]
Next = tuple[Any, str | None]


def run(
    state: State,
    given: Any,
    running: Running,
    context: dict[str, Any],
    calls: Calls,
    chance: Callable[[float, float], float] = random.uniform,
) -> Next:
    """Call until it succeeds or is given up; the state's output and what comes next.

    Raises the emulator's error when nothing catches the last one.
    """
    sfn = reach.service("stepfunctions")
    tried: dict[int, int] = {}
    while True:
        context["State"]["RetryCount"] = sum(tried.values())
        try:
            return _output(state, given, _attempt(state, given, running, context, calls))
        except Failed as failed:
            retrier, index = sfn._find_matching_retrier(state.get("Retry", []), failed.error, tried)
            if retrier is not None:
                wait = delay(retrier, tried.get(index, 0), chance)
                tried[index] = tried.get(index, 0) + 1
                running.wait(wait, lambda: False)
                continue
            catcher = sfn._find_matching_catcher(state.get("Catch", []), failed.error)
            if catcher is None:
                raise sfn._ExecutionError(failed.error, failed.cause) from None
            told = {"Error": failed.error, "Cause": failed.cause}
            caught = sfn._apply_catcher(catcher, given, context, "JSONPath", told)
            return caught, catcher["Next"]


def delay(retrier: State, retries: int, chance: Callable[[float, float], float]) -> float:
    """Seconds to wait before the next try, after ``retries`` by this retrier.

    Amazon States Language, "Retrying after error".
    """
    seconds = retrier.get("IntervalSeconds", 1) * retrier.get("BackoffRate", 2.0) ** retries
    seconds = min(seconds, retrier.get("MaxDelaySeconds", seconds))
    return chance(0, seconds) if retrier.get("JitterStrategy") == "FULL" else seconds


def _attempt(
    state: State, given: Any, running: Running, context: dict[str, Any], calls: Calls
) -> Any:
    sfn = reach.service("stepfunctions")
    effective = sfn._apply_input_path(state, given, context)
    parameters = sfn._apply_parameters(state, effective, context)
    seconds = state.get("TimeoutSeconds")
    call = Call(running, state.get("Resource", ""), parameters, seconds)
    try:
        return calls.make(call)
    except Failed as failed:
        why = {"error": failed.error, **({"cause": failed.cause} if failed.cause else {})}
        call.tell(failed.kind, **why)
        raise


def _output(state: State, given: Any, result: Any) -> Next:
    sfn = reach.service("stepfunctions")
    selected = sfn._apply_result_selector(state, result)
    placed = sfn._apply_result_path(state, given, selected)
    output = sfn._apply_output_path(state, placed)
    return output, sfn._next_or_end(state)
