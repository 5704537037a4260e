"""The answers of a real deployment on the embedded AWS, kept, and given again with a flaw.

``Recorder`` stands between the checks and AWS and keeps every answer; ``Replayed`` gives them again
without any AWS. A flaw changes the answers to one question, as AWS would if that property were
broken.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tapgen.cloud import CloudError, Services

Change = Callable[[Any], Any]


@dataclass
class Recorder:
    """Passes questions on, and keeps the answers by question."""

    services: Services
    known: dict[str, Any] = field(default_factory=dict)

    def call(self, service: str, operation: str, **arguments: Any) -> dict[str, Any]:
        answer = self.services.call(service, operation, **arguments)
        self.known[question(service, operation, arguments)] = answer
        return answer

    def pages(
        self, service: str, operation: str, member: str, **arguments: Any
    ) -> Iterator[dict[str, Any]]:
        items = list(self.services.pages(service, operation, member, **arguments))
        self.known[question(service, operation, arguments)] = items
        return iter(items)


@dataclass(frozen=True)
class Flaw:
    """What is changed in the answers to the questions that begin with ``asked``."""

    asked: str
    change: Change
    # Refused instead of answered.
    refused: CloudError | None = None


@dataclass
class Replayed:
    """AWS with one flaw. ``struck`` counts the answers that were given with it."""

    known: Mapping[str, Any]
    flaw: Flaw | None = None
    struck: int = 0
    heard: list[str] = field(default_factory=list)

    def call(self, service: str, operation: str, **arguments: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._answer(question(service, operation, arguments))
        return answer

    def pages(
        self, service: str, operation: str, member: str, **arguments: Any
    ) -> Iterator[dict[str, Any]]:
        yield from self._answer(question(service, operation, arguments))

    def _answer(self, asked: str) -> Any:
        self.heard.append(asked)
        answer = copy.deepcopy(self.known[asked])
        if self.flaw is None or not asked.startswith(self.flaw.asked):
            return answer
        self.struck += 1
        if self.flaw.refused is not None:
            raise self.flaw.refused
        return self.flaw.change(answer)


def question(service: str, operation: str, arguments: Mapping[str, Any]) -> str:
    """A question as text."""
    return f"{service} {operation} {json.dumps(arguments, sort_keys=True)}"


def put(path: str, value: Any) -> Change:
    """Set what stands at ``Vpcs/0/CidrBlock``, or remove it where the value is ``GONE``.

    ``*`` is every item, ``Key=Name`` the first item whose member has that in it; a slash within a
    name is written ``|``.
    """
    return lambda answer: _put(answer, path.split("/"), value)


GONE = object()


def _put(node: Any, steps: list[str], value: Any) -> Any:
    step, *rest = steps
    step = step.replace("|", "/")
    if isinstance(node, str):
        # A policy or a definition within the answer.
        return json.dumps(_put(json.loads(node), steps, value))
    if steps[0] == "*":
        for key in range(len(node)) if isinstance(node, list) else list(node):
            node[key] = _put(node[key], rest, value) if rest else value
        return node
    key_: Any = _index(node, step) if isinstance(node, list) else step
    if rest:
        node[key_] = _put(node[key_], rest, value)
    elif value is GONE:
        del node[key_]
    else:
        # What is not there was told under another name, and the flaw would be none.
        assert isinstance(node, list) or key_ in node, (key_, list(node))
        node[key_] = value
    return node


def _index(items: list[Any], step: str) -> int:
    """``2``, or ``State=available``: the first item with a member that holds that text."""
    name, has, text = step.partition("=")
    if not has:
        return int(step)
    return next(
        n for n, item in enumerate(items) if text in json.dumps(item.get(name), default=str)
    )
