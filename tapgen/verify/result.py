"""What a check is, what it compares, and how it ends.

A check yields facts: what was found against what is wanted. All agree: it passed. One does not: it
failed, unless the embedded AWS is known not to keep the property, which is neither. A question
that AWS would not answer leaves it open, and open is no better than failed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tapgen.verify.environment import Environment
    from tapgen.verify.questions import Asker


class Outcome(Enum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_KEPT = "not kept"
    COULD_NOT_ASK = "could not ask"

    @property
    def is_good(self) -> bool:
        """Whether the environment may be called verified with it."""
        return self in (Outcome.PASSED, Outcome.NOT_KEPT)


@dataclass(frozen=True)
class Fact:
    """One thing that was compared.

    ``of`` is the property behind it, as ``AWS::RDS::DBInstance.MultiAZ``, where it could be one
    that the embedded AWS does not keep. ``says`` is the document's sentence, where the wanted value
    is the document's own figure and not read off the deployed stack.
    """

    what: str
    found: Any
    wanted: Any
    of: str = ""
    says: str = ""

    @property
    def agrees(self) -> bool:
        """Whether what was found is what is wanted."""
        return bool(plain(self.found) == plain(self.wanted))

    @property
    def differences(self) -> tuple[tuple[str, Any, Any], ...]:
        """Where exactly it does not agree: what, found, wanted; of a policy the one statement."""
        return tuple(_differences(self.what, plain(self.found), plain(self.wanted)))


Facts = Iterator[Fact]
Judge = Callable[["Environment", "Asker"], Facts]


@dataclass(frozen=True)
class Check:
    """One question about a deployed environment. ``title`` is the claim that it proves."""

    group: str
    id: str
    title: str
    judge: Judge


@dataclass(frozen=True)
class Result:
    """A check's end. ``asked`` are the questions as they were put to AWS.

    ``why`` says what kept it from passing in words of its own: a missing stack, a refusal, a
    property that is not kept.
    """

    group: str
    id: str
    title: str
    outcome: Outcome
    asked: tuple[str, ...] = ()
    facts: tuple[Fact, ...] = ()
    why: str = ""
    seconds: float = field(default=0.0, compare=False)

    @property
    def odd(self) -> tuple[Fact, ...]:
        """The facts that do not agree."""
        return tuple(fact for fact in self.facts if not fact.agrees)

    @property
    def found(self) -> str:
        """What was found: all of it, or, when something is wrong, that."""
        if self.odd:
            return _listed([(what, is_) for fact in self.odd for what, is_, _ in fact.differences])
        return _listed([(fact.what, fact.found) for fact in self.facts])

    @property
    def wanted(self) -> str:
        """What was wanted of the same facts."""
        if self.odd:
            return _listed([(what, to) for fact in self.odd for what, _, to in fact.differences])
        return _listed([(fact.what, fact.wanted) for fact in self.facts])


def judged(check: Check, facts: Sequence[Fact], forgotten: Mapping[str, str]) -> Result:
    """The result of a check whose questions were all answered.

    ``forgotten`` maps properties that are not kept here to the reason; nothing agrees with nothing,
    so a check without facts has failed.
    """
    facts = tuple(facts)
    odd = [fact for fact in facts if not fact.agrees]
    lost = {fact.of: forgotten[fact.of] for fact in odd if fact.of in forgotten}
    if not facts:
        outcome, why = Outcome.FAILED, "there was nothing to compare"
    elif not odd:
        outcome, why = Outcome.PASSED, ""
    elif all(fact.of in forgotten for fact in odd):
        told = "; ".join(f"{of} ({reason})" for of, reason in sorted(lost.items()))
        outcome, why = Outcome.NOT_KEPT, f"not kept by the embedded AWS: {told}"
    else:
        # A property that is lost here explains nothing that is wrong beside it.
        outcome, why = Outcome.FAILED, ""
    return Result(check.group, check.id, check.title, outcome, facts=facts, why=why)


def stale(results: Collection[Result], forgotten: Mapping[str, str]) -> list[str]:
    """Properties said not to be kept that these results found kept after all."""
    facts = [fact for result in results for fact in result.facts]
    return sorted({fact.of for fact in facts if fact.of in forgotten and fact.agrees})


def plain(value: Any) -> Any:
    """A value in the one form that answers and templates are compared in.

    Templates write numbers as text, services as numbers; parameters write true as text.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(plain(item) for item in value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if value is None or isinstance(value, str):
        return value
    return str(value)


def spelled(value: Any) -> str:
    """A value as a reader wants it."""
    told = plain(value)
    if told in (None, "", [], {}):
        return "nothing"
    if isinstance(told, list) and all(isinstance(item, str) for item in told):
        return ", ".join(told)
    return told if isinstance(told, str) else json.dumps(told, ensure_ascii=False, sort_keys=True)


def _listed(pairs: Sequence[tuple[str, Any]]) -> str:
    return "; ".join(f"{what}: {spelled(value)}" for what, value in pairs)


def _differences(what: str, found: Any, wanted: Any) -> Iterator[tuple[str, Any, Any]]:
    """The innermost parts that differ, as far as both sides have the same form."""
    if found == wanted:
        return
    if isinstance(found, dict) and isinstance(wanted, dict) and found and wanted:
        for key in sorted({*found, *wanted}):
            yield from _differences(f"{what} {key}", found.get(key), wanted.get(key))
        return
    texts = all(isinstance(item, str) for side in (found, wanted) for item in side or ())
    lists = isinstance(found, list) and isinstance(wanted, list) and len(found) == len(wanted)
    if lists and (len(found) == 1 or not texts):
        for index, (left, right) in enumerate(zip(found, wanted, strict=True)):
            yield from _differences(f"{what} {index}", left, right)
        return
    yield what, found, wanted
