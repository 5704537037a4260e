"""The property-level change between a stack as deployed and as wanted. Pure: no AWS.

``compare`` (states of a stack -> ``StackChanges``) reads both templates through ``values`` and
``leaves``; ``findings`` says which of the changes need a second look. What AWS would answer is
predicted from the providers' schemas (``replaced``), so a plan can be made before the stacks that
it depends on are there. Change sets, where they can be had, are the engine's to add.
"""

from tapgen.diff.changes import (
    ExportChange,
    OutputChange,
    ParameterChange,
    PropertyChange,
    ResourceChange,
    SectionChange,
    StackChanges,
    TagChange,
    exported,
    plain,
)
from tapgen.diff.compare import compare, deployed_side, wanted_side
from tapgen.diff.moves import Side
from tapgen.diff.values import AfterApply, Mark

__all__ = [
    "AfterApply",
    "ExportChange",
    "Mark",
    "OutputChange",
    "ParameterChange",
    "PropertyChange",
    "ResourceChange",
    "SectionChange",
    "Side",
    "StackChanges",
    "TagChange",
    "compare",
    "deployed_side",
    "exported",
    "plain",
    "wanted_side",
]
