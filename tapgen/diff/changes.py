"""What differs between a stack as deployed and as wanted: values only.

Data in them is what a reader may see: hidden parameters and secrets are stars, what AWS knows is
written ``${Name.Attribute}``. ``plain`` gives the whole as data for JSON.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tapgen.diff.fates import Fate
from tapgen.diff.replaced import Answer
from tapgen.diff.values import AfterApply, Mark

Action = Literal["add", "modify", "remove"]
Course = Literal["appears", "changes", "vanishes"]
# What goes between the two when one is looked for in a change: data, a mark, or AfterApply.
Value = Any


@dataclass(frozen=True)
class PropertyChange:
    """One place in a resource. ``why`` says what makes it replace the resource, if it does."""

    path: str
    before: Value
    after: Value
    replacement: Answer = "no"
    why: str = ""


@dataclass(frozen=True)
class ResourceChange:
    """One resource. ``properties`` and ``attributes`` are told of modified ones only.

    ``attributes`` are what stands beside the properties: policies, DependsOn, Metadata. ``data``
    says what becomes of the old resource when it is removed or replaced.
    """

    logical_id: str
    type: str
    action: Action
    replacement: Answer = "no"
    properties: tuple[PropertyChange, ...] = ()
    attributes: tuple[PropertyChange, ...] = ()
    data: Fate | None = None
    why: str = ""
    doubts: tuple[str, ...] = ()
    """Where CloudFormation and the prediction disagree, and who says what."""
    certain: bool = True
    """False: CloudFormation lists it for what it refers to, and that may come out as it was."""
    before: Mapping[str, Any] | None = field(default=None, repr=False)
    """The whole resource in normal form, for judging; never to be shown."""
    after: Mapping[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class OutputChange:
    """An output by its key. Not ``certain``: its value may come out as it was."""

    key: str
    action: Course
    before: Value
    after: Value
    certain: bool = True


@dataclass(frozen=True)
class ExportChange:
    """An export by its name, and the output that makes it."""

    name: str
    key: str
    action: Course
    before: Value
    after: Value
    certain: bool = True


@dataclass(frozen=True)
class ParameterChange:
    """A parameter's value; stars where it is hidden."""

    name: str
    before: Value
    after: Value


@dataclass(frozen=True)
class TagChange:
    """A tag of the stack, which every resource of it gets."""

    key: str
    before: Value
    after: Value


@dataclass(frozen=True)
class SectionChange:
    """A place in the rest of the template: ``Conditions.X``, ``Mappings.X``, ``Description``."""

    path: str
    before: Value
    after: Value


@dataclass(frozen=True)
class StackChanges:
    """Everything that differs. ``before`` and ``after`` say whether the stack is there at all.

    ``unseen`` are hidden parameters whose deployed value AWS does not show, so that nobody can say
    whether they change. ``digest`` is the template's digest, before and after, where it differs.
    """

    stack: str
    before: bool = True
    after: bool = True
    resources: tuple[ResourceChange, ...] = ()
    outputs: tuple[OutputChange, ...] = ()
    exports: tuple[ExportChange, ...] = ()
    parameters: tuple[ParameterChange, ...] = ()
    tags: tuple[TagChange, ...] = ()
    sections: tuple[SectionChange, ...] = ()
    unseen: tuple[str, ...] = ()
    digest: tuple[Value, Value] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing differs, as far as can be seen."""
        same = StackChanges(self.stack, self.before, self.before, unseen=self.unseen)
        return self == same

    def resource(self, logical_id: str) -> ResourceChange | None:
        """The change of one resource; None when it stays as it is."""
        return next((each for each in self.resources if each.logical_id == logical_id), None)

    def replaces(self, *, maybe: bool = False) -> tuple[ResourceChange, ...]:
        """The resources that are replaced, with ``maybe`` also those that may be."""
        asked = ("yes", "maybe") if maybe else ("yes",)
        return tuple(each for each in self.resources if each.replacement in asked)

    def removes(self) -> tuple[ResourceChange, ...]:
        """The resources that leave the stack."""
        return tuple(each for each in self.resources if each.action == "remove")


def exported(live: Mapping[str, Any], changes: StackChanges) -> dict[str, Any]:
    """The exports of the account after ``changes``: ``live`` (name to value) carried on.

    A value is a string, or ``AfterApply`` where only the deployment tells. It is the ``imports``
    of the next stack.
    """
    found = dict(live)
    for change in changes.exports:
        if change.action == "vanishes":
            found.pop(change.name, None)
        else:
            found[change.name] = change.after
    return found


def plain(value: Any) -> Any:
    """``value`` (changes, findings, anything in them) as data for JSON.

    A mark becomes ``{"mark": "absent"}``, an unknown value ``{"after_apply": of, "certain": ...}``.
    """
    if isinstance(value, Mark):
        return {"mark": value.name.lower()}
    if isinstance(value, AfterApply):
        return {"after_apply": value.of, "certain": value.certain}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dict(_fields(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)


def _fields(value: Any) -> Iterator[tuple[str, Any]]:
    for each in dataclasses.fields(value):
        # The normal forms are for judging; they may hold what must not be shown.
        if not (isinstance(value, ResourceChange) and each.name in ("before", "after")):
            yield each.name, plain(getattr(value, each.name))
