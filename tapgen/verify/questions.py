"""Asking AWS, each question once, and remembering who asked what.

Several checks look at the same answer; the memory is shared by the threads that run them. What an
answer lacks is ``None``, so that a check compares instead of falling over.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from threading import Lock
from typing import Any

from tapgen.cloud import Refused, Services
from tapgen.errors import TapgenError

# How services say that there is no such thing; IAM, EC2 and the older ones each their own way.
_ABSENT = (
    "NotFound",
    "NoSuch",
    "DoesNotExist",
    "DoesNotExistFault",
    "NonExistent",
    "NotFoundFault",
)
# ECS has no word of its own for a task definition that is not there.
_ABSENT_CODES = ("ClientException",)


class Absent(TapgenError):
    """Something that the stacks should have made is not there."""

    def __init__(self, what: str, detail: str = "") -> None:
        self.what, self.detail = what, detail
        super().__init__(f"{what} is not there{f': {detail}' if detail else ''}")


class Answers:
    """Every answer of one run."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._known: dict[str, Future[Any]] = {}
        self._lock = Lock()

    def call(self, service: str, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to one call. Raises ``CloudError``."""
        found: dict[str, Any] = self._once(
            f"{service} {operation} {_key(arguments)}",
            lambda: self._services.call(service, operation, **arguments),
        )
        return found

    def pages(
        self, service: str, operation: str, member: str, arguments: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        """All items of a call that has pages. Raises ``CloudError``."""
        found: list[dict[str, Any]] = self._once(
            f"{service} {operation} {member} {_key(arguments)}",
            lambda: list(self._services.pages(service, operation, member, **arguments)),
        )
        return found

    def _once(self, key: str, ask: Callable[[], Any]) -> Any:
        with self._lock:
            mine = key not in self._known
            future = self._known.setdefault(key, Future())
        if mine:
            try:
                future.set_result(ask())
            except BaseException as error:
                future.set_exception(error)
        return future.result()


class Asker:
    """One check's way to the answers; ``asked`` are its questions in order."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self.asked: list[str] = []

    def call(self, service: str, operation: str, **arguments: Any) -> dict[str, Any]:
        """The answer to one call. Raises ``Absent`` and ``CloudError``."""
        found: dict[str, Any] = self._told(
            service,
            operation,
            arguments,
            lambda: self._answers.call(service, operation, arguments),
        )
        return found

    def pages(
        self, service: str, operation: str, member: str, **arguments: Any
    ) -> list[dict[str, Any]]:
        """All items of a call that has pages. Raises ``Absent`` and ``CloudError``."""
        found: list[dict[str, Any]] = self._told(
            service,
            operation,
            arguments,
            lambda: self._answers.pages(service, operation, member, arguments),
        )
        return found

    def one(self, service: str, operation: str, member: str, **arguments: Any) -> dict[str, Any]:
        """The first item under ``member``. Raises ``Absent`` and ``CloudError``."""
        answer = self.call(service, operation, **arguments)
        items = answer.get(member) or []
        if not items:
            raise Absent(" ".join(_values(arguments)))
        found: dict[str, Any] = items[0]
        return found

    def _told(
        self, service: str, operation: str, arguments: Mapping[str, Any], ask: Callable[[], Any]
    ) -> Any:
        question = " ".join([f"{service} {operation}", *_values(arguments)])
        if question not in self.asked:
            self.asked.append(question)
        try:
            return ask()
        except Refused as error:
            if is_absent(error):
                raise Absent(" ".join(_values(arguments)) or operation, error.detail) from error
            raise


def is_absent(error: Refused) -> bool:
    """Whether a refusal means that there is no such thing."""
    name = error.code.rpartition(".")[2].removesuffix("Exception").removesuffix("Fault")
    words = error.code.replace(".", "")
    return any(part in words or part in name for part in _ABSENT) or (
        error.code in _ABSENT_CODES and "nable to describe" in error.detail
    )


def at(answer: Any, path: str) -> Any:
    """The value at ``Endpoint.Address`` or ``NodeGroups.0.Status``; None where there is none."""
    for step in path.split("."):
        if isinstance(answer, Mapping):
            answer = answer.get(step)
        elif isinstance(answer, list) and step.isdecimal() and int(step) < len(answer):
            answer = answer[int(step)]
        else:
            return None
    return answer


def pairs(tags: Any) -> dict[str, str]:
    """Tags by key, in whichever of its forms a service tells them."""
    if isinstance(tags, Mapping):
        return {str(key): str(value) for key, value in tags.items()}
    return {
        str(tag.get("Key", tag.get("key"))): str(tag.get("Value", tag.get("value")))
        for tag in tags or ()
    }


def document(text: Any) -> Any:
    """A policy or a definition, which some services tell as text."""
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def statements(policy: Any) -> list[dict[str, Any]]:
    """The statements of a policy, written as text or not, in the form that they compare in.

    Services write one item in a list or bare, and the items of a list in an order of their own.
    """
    read = document(policy)
    found = read.get("Statement", []) if isinstance(read, dict) else []
    listed = found if isinstance(found, list) else [found]
    return [statement(item) for item in listed if isinstance(item, dict)]


def statement(told: Mapping[str, Any]) -> dict[str, Any]:
    """One statement in that form."""
    return {name: _loose(value) for name, value in told.items()}


def by_sid(policy: Any) -> dict[str, Any]:
    """The statements of a policy by their id."""
    return {str(item.get("Sid", n)): item for n, item in enumerate(statements(policy))}


def _loose(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _loose(item) for name, item in value.items()}
    if isinstance(value, list):
        return _loose(value[0]) if len(value) == 1 else sorted(map(str, value))
    return value


def _key(arguments: Mapping[str, Any]) -> str:
    return json.dumps(arguments, sort_keys=True, default=str)


def _values(arguments: Mapping[str, Any]) -> Iterable[str]:
    for name, value in arguments.items():
        if name.startswith("Filter"):
            yield from (f"{item['Name']}={','.join(item['Values'])}" for item in value)
        elif name == "include" or name == "embed":
            continue
        else:
            yield ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
