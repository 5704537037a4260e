"""All checks in the document's order, choosing among them, and carrying them out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING

from tapgen.cloud import AccessDenied, CloudError, Services
from tapgen.errors import UsageError
from tapgen.resolve import Unresolvable
from tapgen.verify import data, keeping, network, notices, serving, wiring, workflow
from tapgen.verify.environment import Environment
from tapgen.verify.questions import Absent, Answers, Asker
from tapgen.verify.result import Check, Outcome, Result, judged

if TYPE_CHECKING:
    from tapgen.engine.clock import Clock

CHECKS: tuple[Check, ...] = (
    *network.CHECKS,
    *data.CHECKS,
    *serving.CHECKS,
    *notices.CHECKS,
    *workflow.CHECKS,
    *wiring.CHECKS,
    *keeping.CHECKS,
)
# What a name on the command line may stand for beside a check: its whole group.
GROUPS: Mapping[str, str] = {
    "network": network.GROUP,
    "data": data.GROUP,
    "serving": serving.GROUP,
    "topics": notices.GROUP,
    "workflow": workflow.GROUP,
    "wiring": wiring.GROUP,
    "all-tiers": keeping.GROUP,
}
# AWS answers each in some 50 ms; a handful at a time is far below every service's limit.
THREADS = 6


class UnknownCheck(UsageError):
    """A check or a group that there is not."""

    def __init__(self, name: str) -> None:
        self.name = name
        known = [*GROUPS, *(check.id for check in CHECKS)]
        close = get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"groups are {', '.join(GROUPS)}"
        super().__init__(f"no check or group is called {name!r}; {hint}")


def chosen(names: Sequence[str]) -> tuple[Check, ...]:
    """The checks of these ids and groups, all without any. Raises ``UnknownCheck``."""
    ids = {check.id for check in CHECKS}
    for name in names:
        if name not in ids and name not in GROUPS:
            raise UnknownCheck(name)
    groups = {GROUPS[name] for name in names if name in GROUPS}
    return tuple(c for c in CHECKS if not names or c.id in names or c.group in groups)


def carry_out(
    checks: Iterable[Check],
    env: Environment,
    services: Services,
    forgotten: Mapping[str, str],
    clock: Clock,
) -> Iterator[Result]:
    """Every check's result, in their order; nothing is changed.

    ``forgotten`` maps properties that are not kept where it is asked to the reason.
    """
    answers = Answers(services)
    with ThreadPoolExecutor(THREADS) as pool:
        try:
            yield from pool.map(lambda check: result(check, env, answers, forgotten, clock), checks)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def result(
    check: Check, env: Environment, answers: Answers, forgotten: Mapping[str, str], clock: Clock
) -> Result:
    """One check's result. What is missing fails it; what AWS refuses leaves it open."""
    ask, facts, begun = Asker(answers), [], clock.now()
    try:
        for fact in check.judge(env, ask):
            facts.append(fact)
        end = judged(check, facts, forgotten)
    except Absent as error:
        end = _open(check, Outcome.FAILED, str(error))
    except Unresolvable as error:
        end = _open(check, Outcome.FAILED, f"what is wanted cannot be told: {error}")
    except AccessDenied as error:
        end = _open(check, Outcome.COULD_NOT_ASK, f"{error.operation} is denied: {error.detail}")
    except CloudError as error:
        end = _open(check, Outcome.COULD_NOT_ASK, str(error))
    kept = end.facts or tuple(facts)
    return replace(end, asked=tuple(ask.asked), facts=kept, seconds=clock.now() - begun)


def _open(check: Check, outcome: Outcome, why: str) -> Result:
    return Result(check.group, check.id, check.title, outcome, why=why)
