"""The workflow's definition before a real linter, and its calls before botocore's models.

Both are imported where they are asked: the linter is an extra, and a service's model takes a third
of a second to read. What only this system can know is judged in ``definition``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tapgen.validate import machine
from tapgen.validate.definition import INTEGRATION
from tapgen.validate.extras import needed
from tapgen.validate.finding import Finding
from tapgen.validate.world import Resource, World

GRAMMAR = "TAP671"
CALL = "TAP672"


def lint(world: World) -> list[Finding]:
    """Ask the States Language linter about the grammar and botocore about the calls.

    Raises ``MissingExtra`` when the linter is not installed.
    """
    found = []
    for resource, whole in machine.readable(world):
        for problem in _grammar(whole):
            remedy = "see the Amazon States Language specification"
            found.append(_finding(resource, GRAMMAR, problem, remedy))
        for name, state in machine.states(whole):
            for problem in _call(state):
                remedy = "use the members that the service's API has, first letter upper case"
                found.append(_finding(resource, CALL, f"{name}: {problem}", remedy))
    return found


def _finding(resource: Resource, rule: str, message: str, remedy: str) -> Finding:
    return Finding(resource.file, resource.logical_id, rule, message, remedy, "error")


def _grammar(whole: Mapping[str, Any]) -> list[str]:
    with needed("statelint"):
        from statelint.config import Config
        from statelint.linter import Linter
        from statelint.problem.problem_type import ProblemType
    # FLOAT complains of whole numbers where a fraction may stand; JSON does not tell them apart.
    return list(Linter.validate(dict(whole), Config({ProblemType.FLOAT})))


def _call(state: Mapping[str, Any]) -> Iterator[str]:
    match = INTEGRATION.fullmatch(str(state.get("Resource", "")))
    if match is None:
        return
    service, action = match[1], match[2]
    if service == "aws-sdk":
        service, _, action = action.partition(":")
    shape = _input(service, action[:1].upper() + action[1:])
    if shape is not None:
        yield from _members(machine.parameters(state), shape, "")


def _input(service: str, operation: str) -> Any:
    from botocore.exceptions import UnknownServiceError
    from botocore.loaders import Loader
    from botocore.model import OperationNotFoundError, ServiceModel

    if service not in _MODELS:
        try:
            _MODELS[service] = ServiceModel(Loader().load_service_model(service, "service-2"))
        except UnknownServiceError:
            _MODELS[service] = None
    model = _MODELS[service]
    try:
        return model.operation_model(operation).input_shape if model else None
    except OperationNotFoundError:
        return None


# A service's model takes a third of a second to read.
_MODELS: dict[str, Any] = {}


def _members(given: Any, shape: Any, path: str) -> Iterator[str]:
    # Step Functions spells every member with a first letter in upper case.
    if shape.type_name == "structure" and isinstance(given, Mapping):
        known = {name[:1].upper() + name[1:]: member for name, member in shape.members.items()}
        for key, value in given.items():
            name = str(key).removesuffix(".$")
            here = f"{path}.{name}" if path else name
            if name not in known:
                yield f"{here} is not a member of {shape.name}"
            elif not str(key).endswith(".$"):
                yield from _members(value, known[name], here)
    elif shape.type_name == "list" and isinstance(given, list):
        for item in given:
            yield from _members(item, shape.member, path)
    elif isinstance(given, str) and given.startswith("{%"):
        return
    elif not isinstance(given, _PYTHON.get(shape.type_name, object)):
        yield f"{path} is {type(given).__name__}, and {shape.type_name} is wanted"


# SNS takes any JSON as a message, and Step Functions turns it into text.
_PYTHON: Mapping[str, Any] = {
    "structure": Mapping,
    "list": list,
    "map": Mapping,
    "integer": (int, float),
    "boolean": bool,
}
