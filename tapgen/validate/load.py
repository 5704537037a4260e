"""Templates from a folder, as ``Source``s; whatever is not a template is refused by name.

YAML with CloudFormation's short tags (``!Sub``) and JSON both become the long form. Nothing here
judges a template's content.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tapgen.errors import TapgenError
from tapgen.validate.finding import Source

SUFFIXES = (".yaml", ".yml", ".json")


class UnreadableTemplate(TapgenError):
    """A folder or file that templates cannot be read from."""

    def __init__(self, path: Path, why: str, remedy: str) -> None:
        self.path, self.why, self.remedy = path, why, remedy
        super().__init__(f"{path}: {why}; {remedy}")


def load(folder: Path) -> dict[str, Source]:
    """Read every ``*.yaml``, ``*.yml`` and ``*.json`` of ``folder``, by the name without suffix.

    Subfolders and other files are left alone. Raises ``UnreadableTemplate`` for a folder that
    holds no templates, a file that is malformed or no template, and two files of one name.
    """
    if not folder.is_dir():
        raise UnreadableTemplate(folder, "is not a folder", "give a folder of templates")
    found: dict[str, Source] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix not in SUFFIXES or not path.is_file():
            continue
        if path.stem in found:
            other = found[path.stem].file
            raise UnreadableTemplate(path, f"has the same name as {other}", "keep one of the two")
        found[path.stem] = read(path)
    if not found:
        raise UnreadableTemplate(
            folder, "holds no *.yaml, *.yml or *.json", "give a folder of templates"
        )
    return found


def read(path: Path) -> Source:
    """Read one template. Raises ``UnreadableTemplate``."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableTemplate(path, f"cannot be read ({error})", "look at the file") from None
    document = _parse(path, text)
    if not isinstance(document, Mapping) or not isinstance(document.get("Resources"), Mapping):
        raise UnreadableTemplate(
            path, "is not a CloudFormation template (no Resources)", "move it out of the folder"
        )
    for section in ("Parameters", "Mappings", "Conditions", "Outputs"):
        if not isinstance(document.get(section, {}), Mapping):
            raise UnreadableTemplate(path, f"{section} is not a mapping", "write it as key: value")
    for name, resource in document["Resources"].items():
        if not isinstance(resource, Mapping) or not isinstance(resource.get("Type"), str):
            raise UnreadableTemplate(path, f"resource {name} has no Type", "give it one")
        if not isinstance(resource.get("Properties") or {}, Mapping):
            raise UnreadableTemplate(
                path, f"Properties of {name} are not a mapping", "write them as key: value"
            )
    for section in ("Parameters", "Outputs"):
        for name, part in document.get(section, {}).items():
            if not isinstance(part, Mapping) or not isinstance(part.get("Export", {}), Mapping):
                raise UnreadableTemplate(
                    path, f"{section}.{name} is not a mapping", "write it as key: value"
                )
    return Source(path.name, document, text)


def _parse(path: Path, text: str) -> Any:
    try:
        return json.loads(text) if path.suffix == ".json" else parse_yaml(text)
    except Exception as error:
        # Whatever a parser raises over somebody's file is about the file, not about us.
        why = " ".join(str(error).split()) or type(error).__name__
        kind = "JSON" if path.suffix == ".json" else "YAML"
        raise UnreadableTemplate(path, f"is not {kind} ({why})", "correct the file") from None


def parse_yaml(text: str) -> Any:
    """The plain data of a YAML text, short tags in their long form."""
    from tapgen import yaml_text

    return _plain(yaml_text.parse(text))


def _plain(node: Any) -> Any:
    # The loader's ordered mappings and dates become what JSON would have given.
    if isinstance(node, Mapping):
        return {str(key): _plain(item) for key, item in node.items()}
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if node is None or isinstance(node, (str, int, float, bool)):
        return node
    return str(node)
