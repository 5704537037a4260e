"""All templates resolved into one: what the rules look at, and nothing but values.

Parameters take their defaults, the environment's suffix the longest one allowed, imports the value
that the exporting stack gives. What only AWS knows stays symbolic as text: ``${stack:Vpc}`` for
``Ref``, ``${stack:Role.Arn}`` for ``GetAtt``, in place and inside longer texts alike, so that two
uses of one thing are equal strings whichever stack they stand in. What cannot be worked out at all
is a text too, ``${?…}`` around the function as written. Judging is left to the rules.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tapgen import names, resolve
from tapgen.validate.finding import Fault, Source

# Twenty characters, the most that names.SUFFIX_LENGTH allows.
LONGEST_SUFFIX = "long-suffix-20-chars"

UNKNOWN = "${?"
_TOKEN = re.compile(r"\$\{([^:{}]+):([A-Za-z0-9]+)(?:\.([A-Za-z0-9.]+))?\}")


@dataclass(frozen=True, eq=False)
class Resource:
    """One resource: ``properties`` resolved, ``raw`` as the template has it."""

    stack: str
    file: str
    logical_id: str
    type: str
    properties: Mapping[str, Any]
    raw: Mapping[str, Any]

    def get(self, path: str, default: Any = None) -> Any:
        """A property by its dotted path; ``default`` where the path leads nowhere."""
        return dig(self.properties, path, default)

    def token(self, attribute: str = "") -> str:
        """How a reference to this resource is spelled: ``Ref``, or ``GetAtt attribute``."""
        return f"${{{self.stack}:{self.logical_id}{'.' if attribute else ''}{attribute}}}"

    def fault(self, message: str) -> Fault:
        """A fault of this resource."""
        return Fault(self.file, self.logical_id, message)

    @property
    def depends_on(self) -> tuple[str, ...]:
        """The logical ids that it waits for by DependsOn."""
        return tuple(str(name) for name in items(self.raw.get("DependsOn")))


@dataclass(frozen=True)
class Target:
    """What a token stands for: a resource, and the attribute asked of it (empty for ``Ref``)."""

    resource: Resource
    attribute: str


@dataclass(frozen=True)
class Output:
    """One output, its value and export name resolved (``export`` None without one)."""

    stack: str
    file: str
    key: str
    value: Any
    export: str | None
    raw: Mapping[str, Any]

    def fault(self, message: str) -> Fault:
        """A fault of this output."""
        return Fault(self.file, f"Outputs.{self.key}", message)


class World:
    """Every resource and output of all templates, resolved. Made by ``World.of``."""

    def __init__(
        self,
        sources: Mapping[str, Source],
        resources: tuple[Resource, ...],
        outputs: tuple[Output, ...],
        imports: Mapping[str, Any],
    ) -> None:
        self.sources, self.resources, self.outputs = sources, resources, outputs
        self.imports = imports
        self._by_id = {(found.stack, found.logical_id): found for found in resources}

    @classmethod
    def of(cls, sources: Mapping[str, Source], *, turned: bool = False) -> World:
        """Resolve ``sources``, keyed by stack.

        ``turned`` sets every true/false parameter the other way round, for a second look at what
        is off by default.
        """
        documents = {stack: spelled(source.document) for stack, source in sources.items()}
        values = {
            stack: _values(stack, document, turned=turned) for stack, document in documents.items()
        }
        imports = _exported(documents, values)
        resources, outputs = [], []
        for stack, document in documents.items():
            known = _known(document, values[stack], imports)
            raw = sources[stack].document
            file = sources[stack].file
            for name, resource in document["Resources"].items():
                properties = resolved(resource.get("Properties"), known)
                if not isinstance(properties, Mapping):
                    properties = {}
                resources.append(
                    Resource(
                        stack, file, name, resource["Type"], properties, raw["Resources"][name]
                    )
                )
            for key, output in document.get("Outputs", {}).items():
                outputs.append(
                    Output(
                        stack,
                        file,
                        key,
                        resolved(output.get("Value"), known),
                        _export_name(output, known),
                        raw["Outputs"][key],
                    )
                )
        return cls(sources, tuple(resources), tuple(outputs), imports)

    def of_type(self, *types: str) -> list[Resource]:
        """The resources of these types, in the templates' order."""
        return [resource for kind in types for resource in self._by_type.get(kind, ())]

    def find(self, stack: str, logical_id: str) -> Resource | None:
        """A resource by its address."""
        return self._by_id.get((stack, logical_id))

    def target(self, value: Any) -> Target | None:
        """What ``value`` refers to, when it is one reference and nothing else."""
        match = _TOKEN.fullmatch(value) if isinstance(value, str) else None
        return self._resolved(match) if match else None

    def resource(self, value: Any, *types: str) -> Resource | None:
        """The resource that ``value`` refers to, when it is one of ``types``."""
        target = self.target(value)
        return target.resource if target and target.resource.type in types else None

    def targets(self, value: Any) -> list[Target]:
        """Everything that is referred to anywhere inside ``value``."""
        return [
            target
            for text in strings(value)
            for match in _TOKEN.finditer(text)
            if (target := self._resolved(match)) is not None
        ]

    def by_name(self, kind: str, prop: str, value: Any) -> Resource | None:
        """The resource of type ``kind`` that ``value`` means: a reference to it, or its name."""
        target = self.target(value)
        if target is not None:
            return target.resource if target.resource.type == kind else None
        for resource in self.of_type(kind):
            if value is not None and resource.get(prop) == value:
                return resource
        return None

    @cached_property
    def _by_type(self) -> dict[str, list[Resource]]:
        found: dict[str, list[Resource]] = {}
        for resource in self.resources:
            found.setdefault(resource.type, []).append(resource)
        return found

    def _resolved(self, match: re.Match[str]) -> Target | None:
        resource = self._by_id.get((match[1], match[2]))
        return Target(resource, match[3] or "") if resource else None


def dig(node: Any, path: str, default: Any = None) -> Any:
    """Follow a dotted path through mappings; ``default`` where it leads nowhere."""
    for step in path.split("."):
        if not isinstance(node, Mapping) or step not in node:
            return default
        node = node[step]
    return node


def strings(node: Any) -> Iterator[str]:
    """Every text inside ``node``, keys left out."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, Mapping):
        for item in node.values():
            yield from strings(item)
    elif isinstance(node, list):
        for item in node:
            yield from strings(item)


def items(node: Any) -> list[Any]:
    """``node`` as a list: what it holds, itself alone, or nothing."""
    if node is None:
        return []
    return list(node) if isinstance(node, (list, tuple)) else [node]


def mappings(node: Any) -> list[Mapping[str, Any]]:
    """The mappings among ``items(node)``: the structures of a list, as far as they are known."""
    return [item for item in items(node) if isinstance(item, Mapping)]


def is_true(value: Any) -> bool:
    """Whether a boolean property is on; CloudFormation takes texts for booleans too."""
    return value is True or str(value).lower() == "true"


def number(value: Any) -> float | None:
    """``value`` as a number, or None; CloudFormation takes texts for numbers too."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def resolved(node: Any, known: resolve.Known) -> Any:
    """``node`` worked out, with a text in place of every function that is left."""
    try:
        found = resolve.value(node, known)
    except (AttributeError, KeyError, TypeError, ValueError):
        # A function with arguments of another shape: the linter says so, here it stays unknown.
        found = node
    return _as_text(found)


def _as_text(node: Any) -> Any:
    if isinstance(node, Mapping):
        if len(node) == 1:
            (key,) = node
            if key == "Ref" or str(key).startswith("Fn::"):
                return f"{UNKNOWN}{json.dumps(node, default=str)}}}"
        return {key: _as_text(item) for key, item in node.items()}
    if isinstance(node, list):
        return [_as_text(item) for item in node]
    return node


def spelled(node: Any) -> Any:
    """Rewrite GetAtt, also inside Fn::Sub, as a Ref to ``Id.Attribute``.

    So the one value table of ``resolve.Known`` answers for attributes as well.
    """
    if isinstance(node, Mapping):
        if len(node) == 1:
            ((key, argument),) = node.items()
            if key == "Fn::GetAtt":
                return {"Ref": path} if (path := _path(argument)) else {key: argument}
            if key == "Fn::Sub":
                return {key: _spelled_sub(argument)}
        return {key: spelled(item) for key, item in node.items()}
    if isinstance(node, (list, tuple)):
        return [spelled(item) for item in node]
    return node


def _path(argument: Any) -> str | None:
    parts = items(argument)
    return ".".join(parts) if all(isinstance(part, str) for part in parts) else None


def _spelled_sub(argument: Any) -> Any:
    parts = argument if isinstance(argument, (list, tuple)) else (argument, {})
    if len(parts) != 2 or not isinstance(parts[0], str) or not isinstance(parts[1], Mapping):
        return argument
    template, extra = parts
    dotted = {name: {"Ref": name} for name in resolve.holes(template) if "." in name}
    return [template, {**dotted, **spelled(extra)}]


class _Values(dict[str, Any]):
    """Values of parameters, and a token for every resource and attribute of the document."""

    def __init__(self, stack: str, resources: Mapping[str, Any], given: Mapping[str, Any]) -> None:
        super().__init__(given)
        self._stack, self._resources = stack, resources

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or str(key).split(".")[0] in self._resources

    def __missing__(self, key: str) -> str:
        return f"${{{self._stack}:{key}}}"


def _values(stack: str, document: Mapping[str, Any], *, turned: bool) -> _Values:
    given: dict[str, Any] = dict(resolve.pseudo_parameters(stack=f"{names.PROJECT}-{stack}"))
    for name, parameter in document.get("Parameters", {}).items():
        given[name] = _parameter(stack, name, parameter, turned=turned)
    return _Values(stack, document["Resources"], given)


def _parameter(stack: str, name: str, parameter: Mapping[str, Any], *, turned: bool) -> Any:
    if name == names.SUFFIX:
        return LONGEST_SUFFIX
    default, kind = parameter.get("Default"), str(parameter.get("Type", "String"))
    if default is None or kind.startswith("AWS::SSM::"):
        # Not a resource's token: `target` finds nothing behind it.
        return f"${{{stack}:Parameters.{name}}}"
    if turned and sorted(map(str, items(parameter.get("AllowedValues")))) == ["false", "true"]:
        return "false" if str(default) == "true" else "true"
    if kind == "CommaDelimitedList" or kind.startswith("List<"):
        return [part.strip() for part in str(default).split(",") if part.strip()]
    return default


def _known(
    document: Mapping[str, Any], values: Mapping[str, Any], imports: Mapping[str, Any]
) -> resolve.Known:
    return resolve.Known(
        values,
        document.get("Mappings", {}),
        document.get("Conditions", {}),
        imports,
        partial=True,
    )


def _export_name(output: Mapping[str, Any], known: resolve.Known) -> str | None:
    name = resolved(dig(output, "Export.Name"), known)
    readable = isinstance(name, str) and not name.startswith(UNKNOWN)
    return str(name) if readable else None


def _exported(
    documents: Mapping[str, Mapping[str, Any]], values: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    # An export may hand on an import; each round carries a value one stack further, so as many
    # rounds as stacks reach the end of every chain, and a circle stops there too.
    imports: dict[str, Any] = {}
    for _ in documents:
        found: dict[str, Any] = {}
        for stack, document in documents.items():
            known = _known(document, values[stack], imports)
            for output in document.get("Outputs", {}).values():
                name = _export_name(output, known)
                if name is not None:
                    found.setdefault(name, resolved(output.get("Value"), known))
        if found == imports:
            break
        imports = found
    return imports
