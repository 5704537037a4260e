"""The emulator's knowledge of what replaces a resource, put right.

It has a table for half of the types used here and answers ``Conditionally`` for the rest, so a
change set would not say that a new CIDR block replaces a VPC. The tables of
``tapgen.diff.replaced``, as the providers' schemas have them, take its place.
"""

from __future__ import annotations

from tapgen.diff.replaced import TYPES
from tapgen.diff.replaced_table import ALWAYS, CONDITIONALLY
from tapgen.local import reach


def install() -> None:
    """Put the table over the emulator's own."""
    provisioners = reach.cloudformation("provisioners")
    for kind in TYPES:
        provisioners._REPLACING_PROPERTIES[kind] = ALWAYS.get(kind, ())
        provisioners._CONDITIONALLY_REPLACING_PROPERTIES[kind] = CONDITIONALLY.get(kind, ())
