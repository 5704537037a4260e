"""CloudFormation's own linter over each template, as written and with its parameters filled in.

As written it sees what a reviewer sees. Filled in, it also sees what a parameter's default or a
composed name hides from it: an instance class, a length. Its rule ids are kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tapgen import names, resolve
from tapgen.validate.extras import needed
from tapgen.validate.finding import Finding, Severity, Source
from tapgen.validate.world import LONGEST_SUFFIX

# I4010 asks every resource for optional metadata that says nothing about it.
NOT_ASKED = ("I4010",)
# Filling in makes literals of references and leaves parameters and conditions unused. The engine's
# version is judged by the project's own rule, which knows that deploying resolves it.
FILLED_IN = ("W3010", "W2501", "I3042", "W2001", "W8001", "W2010", "W3691", "W3045")
_SEVERITIES: Mapping[str, Severity] = {
    "error": "error",
    "warning": "warning",
    "informational": "info",
}


def lint(sources: Mapping[str, Source]) -> list[Finding]:
    """Every match over ``sources``, what both passes find told once.

    Raises ``MissingExtra`` when cfn-lint is not installed.
    """
    runner = _runner()
    written = [
        finding
        for source in sources.values()
        for finding in _matches(runner, source.file, source.text)
    ]
    told = {(finding.file, finding.logical_id, finding.rule) for finding in written}
    filled = [
        finding
        for source in sources.values()
        for finding in _matches(runner, source.file, json.dumps(filled_in(source.document)))
    ]
    return [
        *written,
        *(
            found
            for found in filled
            if found.rule not in FILLED_IN
            and (found.file, found.logical_id, found.rule) not in told
        ),
    ]


def filled_in(document: Mapping[str, Any]) -> dict[str, Any]:
    """``document`` with its parameters' defaults, mappings and conditions worked out.

    References between resources and imports stay, and so do parameters without a default.
    """
    known = resolve.Known.of(document, {names.SUFFIX: LONGEST_SUFFIX}, partial=True)
    return {**document, "Resources": resolve.value(document["Resources"], known)}


def _runner() -> Any:
    with needed("cfnlint"):
        from cfnlint.config import ConfigMixIn, ManualArgs
        from cfnlint.runner import Runner
    # One runner for all templates: loading the rules takes as long as judging a template, and
    # `cfnlint.api.lint` does it each time. The region goes into the config: beside a config the
    # argument `regions=` of that function is ignored and the template judged for us-east-1.
    config = ManualArgs(regions=[names.REGION], include_checks=["I"], ignore_checks=list(NOT_ASKED))
    return Runner(ConfigMixIn(**config))


def _matches(runner: Any, file: str, text: str) -> Iterator[Finding]:
    from cfnlint.decode.decode import decode_str

    template, unreadable = decode_str(text)
    matches: Any = unreadable or runner.validate_template(template)
    for match in matches:
        where, inside = _place(list(match.path or ()))
        yield Finding(
            file,
            where,
            match.rule.id,
            f"{match.message}{f' ({inside})' if inside else ''}",
            f"see the rule {match.rule.id} of cfn-lint",
            _SEVERITIES.get(str(match.rule.severity).lower(), "error"),
        )


def _place(path: list[Any]) -> tuple[str, str]:
    if len(path) < 2:
        return "", ".".join(map(str, path))
    where = str(path[1]) if path[0] == "Resources" else f"{path[0]}.{path[1]}"
    return where, ".".join(str(step) for step in path[2:])
