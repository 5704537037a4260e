"""How a tier is written down: ``Draft`` collects, ``Stack`` is the finished description.

``Draft.export`` is the only maker of ``Exported``, so holding one proves that the output exists;
another tier uses it as the value it stands for. Drafts take care of what every template has: the
environment's suffix, the console's form, deletion policies, the region guard and the digest.
Nothing here renders, and nothing reaches AWS.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from troposphere import (
    AWSHelperFn,
    AWSObject,
    Equals,
    Export,
    FindInMap,
    ImportValue,
    Output,
    Parameter,
    Ref,
    Region,
    Sub,
    Tags,
    Template,
)

from tapgen import names, policies
from tapgen.digest import DIGEST_OUTPUT, digest
from tapgen.scope import Scope as Scope

E = TypeVar("E")
R = TypeVar("R", bound=AWSObject)

_GUARD = "OnlyRegion"


class Exported(ImportValue):
    """An output of one stack, in the form other stacks use it: an import."""

    def __init__(self, key: str, name: Sub | str) -> None:
        self.key = key
        super().__init__(name)


@dataclass(frozen=True)
class Stack(Generic[E]):
    """A finished description. ``exports`` is the whole interface to it; ``sources`` says where
    each resource was written down (``tapgen/tiers/network.py:120``), for whoever looks for one.
    """

    tier: str
    scope: Scope
    template: Template
    exports: E
    sources: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The template as plain data: what is rendered, judged and deployed."""
        document: dict[str, Any] = self.template.to_dict()
        return document


class Draft:
    """A template in the making.

    ``tier`` names the module and the stack; ``purpose`` becomes the template's description.
    """

    def __init__(self, tier: str, purpose: str, scope: Scope = Scope.ENVIRONMENT) -> None:
        self.tier, self.scope = tier, scope
        self._template = Template(Description=purpose)
        self._template.set_version("2010-09-09")
        self._sources: dict[str, str] = {}
        if scope is Scope.ENVIRONMENT:
            self.parameter(
                names.SUFFIX,
                group="Environment",
                label="Environment",
                description="Ends every name, so that environments can stand side by side",
                AllowedPattern=names.SUFFIX_PATTERN,
                ConstraintDescription="lower-case letters, digits and single inner hyphens",
                MinLength=1,
                MaxLength=names.SUFFIX_LENGTH,
            )

    def parameter(
        self, title: str, *, group: str, label: str, description: str, **properties: Any
    ) -> Ref:
        """Add a parameter to the console's form and return the reference to it.

        ``properties`` are CloudFormation's own (``Type`` defaults to ``String``).
        """
        parameter = Parameter(title, Description=description, **{"Type": "String", **properties})
        self._template.add_parameter(parameter)
        self._template.add_parameter_to_group(parameter, group)
        self._template.set_parameter_label(parameter, label)
        return Ref(parameter)

    def switch(self, title: str, *, group: str, label: str, description: str, default: bool) -> str:
        """Add a true/false parameter and return the name of the condition that it is true."""
        value = self.parameter(
            title,
            group=group,
            label=label,
            description=description,
            Default=str(default).lower(),
            AllowedValues=["true", "false"],
        )
        return self.condition(f"{title}IsOn", Equals(value, "true"))

    def condition(self, name: str, holds: AWSHelperFn) -> str:
        """Add a condition and return its name."""
        return self._template.add_condition(name, holds)

    def add(self, resource: R, leaving: policies.Leaving | None = None) -> R:
        """Add a resource, with the deletion policies of its kind unless ``leaving`` says others."""
        policies.apply(resource, leaving)
        self._template.add_resource(resource)
        self._sources[str(resource.title)] = _written_at()
        return resource

    def name(self, stem: str) -> Sub:
        """A physical name that no other environment has: ``stem-{suffix}``."""
        return Sub(f"{stem}-${{{names.SUFFIX}}}")

    def name_tag(self, stem: str) -> Tags:
        """The ``Name`` tag that people meet in consoles and bills."""
        return Tags(Name=self.name(stem))

    def output(self, key: str, value: object, description: str) -> None:
        """Show a value in the stack's outputs, without letting other stacks depend on it."""
        self._template.add_output(Output(key, Description=description, Value=value))

    def export(self, key: str, value: object, description: str) -> Exported:
        """Add an output with its export, and return the import of it for other tiers."""
        name = self._export_name(key)
        self._template.add_output(
            Output(key, Description=description, Value=value, Export=Export(name))
        )
        return Exported(key, name)

    def finish(self, exports: E) -> Stack[E]:
        """Close the draft: add the region guard with the digest of everything else."""
        # Only Tokyo can answer the look-up: elsewhere CloudFormation refuses the template.
        self._template.add_mapping(_GUARD, {names.REGION: {"Is": "supported"}})
        here = Equals(FindInMap(_GUARD, Region, "Is"), "supported")
        guard = self.condition("InThatRegion", here)
        self._template.add_output(
            Output(
                DIGEST_OUTPUT,
                Condition=guard,
                Description="Digest of the template this stack runs",
                # Literally: a change of it alone must be a change in CloudFormation's eyes.
                Value=digest(self._template.to_dict()),
            )
        )
        return Stack(self.tier, self.scope, self._template, exports, self._sources)

    def _export_name(self, key: str) -> Sub | str:
        # Without the tier: keys are unique over all tiers, and a value may move house.
        if self.scope is Scope.ACCOUNT:
            return f"{names.stack_name(self.tier, None)}-{key}"
        return Sub(f"{names.PROJECT}-${{{names.SUFFIX}}}-{key}")


# Makers of resources for any tier: who called them is who wants the resource.
_HELPERS = frozenset({"tapgen.stack", "tapgen.iam", "tapgen.policies"})


def _written_at() -> str:
    """The line of a tier that is being carried out: ``package/module.py:line``."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__") in _HELPERS:
        frame = frame.f_back
    module = str(frame.f_globals.get("__name__", "")).replace(".", "/")
    return f"{module}.py:{frame.f_lineno}"
