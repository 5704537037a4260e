"""State machines as the rules read them: the definition with everything put in, and its tasks.

Reading only; what is wrong with a definition is said in ``definition`` and in the workflow's room.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tapgen.validate.world import UNKNOWN, Resource, World, dig, mappings

MACHINE = "AWS::StepFunctions::StateMachine"
RUN_TASK = "states:::ecs:runTask"


class BadDefinition(ValueError):
    """A definition that is no JSON object."""


class UnknownDefinition(BadDefinition):
    """A definition that the templates do not tell: in a bucket, or with an import of nobody's."""


@dataclass(frozen=True, eq=False)
class TaskRun:
    """A state that runs a task on ECS; ``task`` None when it is not described here."""

    machine: Resource
    state: str
    body: Mapping[str, Any]
    parameters: Mapping[str, Any]
    task: Resource | None

    @property
    def network(self) -> Any:
        """The subnets and security groups it runs with."""
        return dig(self.parameters, "NetworkConfiguration.AwsvpcConfiguration", {})

    @property
    def waits(self) -> bool:
        """Whether the state waits for the task to end."""
        return str(self.body.get("Resource", "")).endswith(".sync")


def definition(machine: Resource) -> Mapping[str, Any]:
    """The definition with its substitutions put in. Raises ``BadDefinition`` and its kind."""
    whole = machine.get("Definition")
    if isinstance(whole, Mapping):
        filled: Mapping[str, Any] = _substituted(
            whole, machine.get("DefinitionSubstitutions") or {}
        )
        return filled
    text = machine.get("DefinitionString")
    if not isinstance(text, str) or text.startswith(UNKNOWN):
        raise UnknownDefinition("the templates alone do not tell it")
    for name, value in (machine.get("DefinitionSubstitutions") or {}).items():
        # Inside a JSON text: escaped as a part of a text is, without the quotes.
        text = text.replace(f"${{{name}}}", json.dumps(str(value))[1:-1])
    try:
        found = json.loads(text)
    except ValueError as error:
        raise BadDefinition(f"it is not JSON ({error})") from None
    if not isinstance(found, Mapping):
        raise BadDefinition("it is not a JSON object")
    return found


def readable(world: World) -> Iterator[tuple[Resource, Mapping[str, Any]]]:
    """The state machines whose definition can be read."""
    for machine in world.of_type(MACHINE):
        try:
            yield machine, definition(machine)
        except BadDefinition:
            continue


def states(whole: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every state, also inside Parallel and Map, by its name."""
    given = whole.get("States")
    for name, state in given.items() if isinstance(given, Mapping) else ():
        if not isinstance(state, Mapping):
            continue
        yield name, state
        for inner in [
            *mappings(state.get("Branches")),
            *mappings(state.get("ItemProcessor")),
            *mappings(state.get("Iterator")),
        ]:
            yield from states(inner)


def parameters(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a task is called with, in either query language."""
    given = state.get("Parameters", state.get("Arguments"))
    return given if isinstance(given, Mapping) else {}


def task_runs(world: World) -> Iterator[TaskRun]:
    """Every state of every readable machine that runs a task on ECS."""
    for machine, whole in readable(world):
        for name, state in states(whole):
            if RUN_TASK in str(state.get("Resource", "")):
                given = parameters(state)
                task = world.by_name(
                    "AWS::ECS::TaskDefinition", "Family", given.get("TaskDefinition")
                )
                yield TaskRun(machine, name, state, given, task)


def _substituted(node: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(node, str):
        for name, value in values.items():
            node = node.replace(f"${{{name}}}", str(value))
        return node
    if isinstance(node, Mapping):
        return {key: _substituted(item, values) for key, item in node.items()}
    if isinstance(node, list):
        return [_substituted(item, values) for item in node]
    return node
