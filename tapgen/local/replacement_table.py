"""The table that ``tapgen.replaced_table`` is, under the name it had."""

from tapgen.replaced_table import ALWAYS, CONDITIONALLY

__all__ = ["ALWAYS", "CONDITIONALLY"]
