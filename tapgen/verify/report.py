"""Results as people and machines read them: a table of 80 columns, JSON, JUnit's XML.

The keys of the JSON are a promise: ``environment``, ``account``, ``region``, ``embedded``,
``counts`` by outcome, and ``checks`` with ``group``, ``id``, ``title``, ``outcome``, ``asked``,
``found``, ``wanted``, ``why``, ``seconds`` and ``facts``.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any
from xml.etree import ElementTree

from tapgen.verify.result import Fact, Outcome, Result, plain, spelled

WIDTH = 80
SIGNS = {
    Outcome.PASSED: "ok",
    Outcome.FAILED: "FAILED",
    Outcome.NOT_KEPT: "not kept",
    Outcome.COULD_NOT_ASK: "no answer",
}
# The sign says the same without them.
COLOURS = {
    Outcome.PASSED: "green",
    Outcome.FAILED: "red",
    Outcome.NOT_KEPT: "cyan",
    Outcome.COULD_NOT_ASK: "magenta",
}
_SIGN, _ID = 11, 17
_DETAIL = " " * (2 + _SIGN)
# A whole script or policy helps nobody in a table; the JSON has all of it.
_LONGEST = 200


@dataclass(frozen=True)
class Line:
    """A line of the table, and the outcome that colours it."""

    text: str
    outcome: Outcome | None = None


@dataclass(frozen=True)
class Subject:
    """What was verified."""

    env: str
    account: str
    region: str
    embedded: bool


def counts(results: Sequence[Result]) -> dict[str, int]:
    """How many results there are of each outcome."""
    return {one.value: sum(r.outcome is one for r in results) for one in Outcome}


def summary(results: Sequence[Result]) -> str:
    """``44 passed, 0 failed``, and what else there is."""
    told = counts(results)
    always = (Outcome.PASSED.value, Outcome.FAILED.value)
    return ", ".join(f"{n} {name}" for name, n in told.items() if n or name in always)


def table(results: Sequence[Result], *, whole: bool = False) -> Iterator[Line]:
    """The table's lines; with ``whole`` what was asked and found also of what passed."""
    for group, members in groupby(results, key=lambda result: result.group):
        yield Line(group)
        for result in members:
            lead = f"  {SIGNS[result.outcome]:<{_SIGN}}{result.id:<{_ID}}"
            for text in _wrapped(result.title, lead, " " * len(lead)):
                yield Line(text, result.outcome)
            if whole or result.outcome is not Outcome.PASSED:
                yield from map(Line, _details(result, whole=whole))
        yield Line("")


def _details(result: Result, *, whole: bool) -> Iterator[str]:
    if result.why:
        yield from _wrapped(result.why, _DETAIL, _DETAIL)
    for question in result.asked:
        yield from _wrapped(question, f"{_DETAIL}asked   ", f"{_DETAIL}        ")
    for fact in result.odd:
        for what, found, wanted in fact.differences:
            says = f" (the document: {fact.says})" if fact.says else ""
            yield from _wrapped(f"{what}{says}", _DETAIL, _DETAIL)
            yield from _wrapped(_short(found), f"{_DETAIL}  found   ", f"{_DETAIL}          ")
            yield from _wrapped(_short(wanted), f"{_DETAIL}  wanted  ", f"{_DETAIL}          ")
    if whole:
        for fact in result.facts:
            if fact.agrees:
                yield from _wrapped(
                    f"{fact.what}: {_short(fact.found)}", f"{_DETAIL}found   ", f"{_DETAIL}        "
                )


def _short(value: Any) -> str:
    told = " ".join(spelled(value).split())
    return told if len(told) <= _LONGEST else f"{told[: _LONGEST - 4]} ..."


def _wrapped(text: str, lead: str, rest: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=lead, subsequent_indent=rest, break_on_hyphens=False
    ) or [lead.rstrip()]


def as_plain(subject: Subject, results: Sequence[Result]) -> dict[str, Any]:
    """All of it as plain data, for JSON."""
    return {
        "environment": subject.env,
        "account": subject.account,
        "region": subject.region,
        "embedded": subject.embedded,
        "counts": {name.replace(" ", "_"): n for name, n in counts(results).items()},
        "checks": [_plain_result(result) for result in results],
    }


def _plain_result(result: Result) -> dict[str, Any]:
    return {
        "group": result.group,
        "id": result.id,
        "title": result.title,
        "outcome": result.outcome.value.replace(" ", "_"),
        "asked": list(result.asked),
        "found": result.found,
        "wanted": result.wanted,
        "why": result.why,
        "seconds": round(result.seconds, 3),
        "facts": [_plain_fact(fact) for fact in result.facts],
    }


def _plain_fact(fact: Fact) -> dict[str, Any]:
    return {
        "what": fact.what,
        "found": plain(fact.found),
        "wanted": plain(fact.wanted),
        "agrees": fact.agrees,
        "document": fact.says,
    }


def as_junit(subject: Subject, results: Sequence[Result]) -> str:
    """The XML that CI servers read: a suite a group, a case a check.

    What could not be asked is a failure, what is not kept is skipped.
    """
    root = ElementTree.Element("testsuites", _numbers(f"tapgen verify {subject.env}", results))
    for group, members in groupby(results, key=lambda result: result.group):
        inside = list(members)
        suite = ElementTree.SubElement(root, "testsuite", _numbers(group, inside))
        for result in inside:
            _case(suite, result)
    ElementTree.indent(root)
    text: str = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _numbers(name: str, results: Sequence[Result]) -> dict[str, str]:
    bad = sum(not result.outcome.is_good for result in results)
    skipped = sum(result.outcome is Outcome.NOT_KEPT for result in results)
    return {
        "name": name,
        "tests": str(len(results)),
        "failures": str(bad),
        "errors": "0",
        "skipped": str(skipped),
        "time": f"{sum(result.seconds for result in results):.3f}",
    }


def _case(suite: ElementTree.Element, result: Result) -> None:
    named = {"classname": f"verify.{result.group}", "name": f"{result.id}: {result.title}"}
    case = ElementTree.SubElement(suite, "testcase", {**named, "time": f"{result.seconds:.3f}"})
    message = _legal(result.why or f"found {result.found}, wanted {result.wanted}")
    if result.outcome is Outcome.NOT_KEPT:
        ElementTree.SubElement(case, "skipped", {"message": message})
    elif not result.outcome.is_good:
        kind = {"message": message, "type": result.outcome.value}
        failure = ElementTree.SubElement(case, "failure", kind)
        failure.text = _legal("\n".join(line.strip() for line in _details(result, whole=False)))
    told = [f"asked {question}" for question in result.asked]
    output = ElementTree.SubElement(case, "system-out")
    output.text = _legal("\n".join([*told, f"found {result.found}", f"wanted {result.wanted}"]))


def _legal(text: str) -> str:
    """Without the characters that XML 1.0 has no way to write."""
    return "".join(char if char in "\t\n" or _may_stand(ord(char)) else "\ufffd" for char in text)


def _may_stand(code: int) -> bool:
    return 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or 0x10000 <= code <= 0x10FFFF
