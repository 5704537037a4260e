"""``$context`` and its kin: the names a template may write, and putting their values in.

Plain substitution, as in access logs and gateway responses. A whole mapping template in VTL is
something else, and is refused where it stands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

_NAME = re.compile(r"\$(context|stageVariables)\.([A-Za-z0-9_]+(?:[.-][A-Za-z0-9_]+)*)")
# Directives and other references of VTL.
_VTL = re.compile(r"#(set|if|foreach|else|end|\*|#)|\$(input|util|[A-Za-z{!](?!ontext|tageVar))")


def fill(text: str, variables: Mapping[str, str], *, absent: str = "", quoted: bool = False) -> str:
    """Return ``text`` with every ``$context.…`` and ``$stageVariables.…`` replaced.

    ``absent`` stands for what this request has no value for. With ``quoted`` the values are made
    fit to stand between the quotes of a JSON document.
    """

    def value(match: re.Match[str]) -> str:
        found = variables.get(f"{match[1]}.{match[2]}", absent)
        return json.dumps(found)[1:-1] if quoted else found

    return _NAME.sub(value, text)


def parameter(expression: str, variables: Mapping[str, str], headers: Mapping[str, str]) -> str:
    """The value of a response parameter: ``'literal'``, ``context.…``, ``method.request.header.…``.

    ``headers`` are the request's, by lower-case name. What has no value is empty.
    """
    if len(expression) > 1 and expression.startswith("'") and expression.endswith("'"):
        return expression[1:-1]
    if expression.startswith("method.request.header."):
        return headers.get(expression.rpartition(".")[2].lower(), "")
    return variables.get(expression, "")


def needs_vtl(template: str) -> bool:
    """Whether a mapping template does more than name ``$context`` and ``$stageVariables``."""
    return _VTL.search(template) is not None
