"""A template as YAML for people: short-form tags, Type first, long text in literal blocks.

cfn-flip turns the functions into their short forms; libyaml's emitter writes them, about nine
times faster than cfn-flip's own (pure Python) dumper, which has no say over order either. The data
read back is the data given. What this leaves to others: files and their freshness.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from cfn_flip.yaml_dumper import CONVERTED_SUFFIXES, FN_PREFIX, fn_representer
from cfn_tools.yaml_dumper import TAG_MAP, TAG_STRING
from cfn_tools.yaml_loader import CfnYamlLoader

# As wide as a review shows without scrolling; longer plain text is folded between words.
WIDTH = 110

SECTIONS = (
    "AWSTemplateFormatVersion",
    "Description",
    "Transform",
    "Metadata",
    "Parameters",
    "Mappings",
    "Conditions",
    "Rules",
    "Resources",
    "Outputs",
)
RESOURCE = (
    "Type",
    "Condition",
    "DependsOn",
    "DeletionPolicy",
    "UpdateReplacePolicy",
    "Metadata",
    "UpdatePolicy",
    "CreationPolicy",
    "Properties",
)


def dump(document: Mapping[str, Any]) -> str:
    """Return ``document`` as YAML text ending in a line break; the same bytes for the same data."""
    text: str = yaml.dump(
        in_reading_order(document),
        Dumper=_Dumper,
        default_flow_style=False,
        sort_keys=False,
        allow_unicode=True,
        width=WIDTH,
    )
    return text


def load(text: str) -> Any:
    """Return the data that ``text`` (YAML with short or long tags) stands for.

    Raises ``yaml.YAMLError`` where it is not YAML.
    """
    return _plain(parse(text))


def parse(text: str) -> Any:
    """As ``load``, in the loader's own mappings, keys and dates. Raises ``yaml.YAMLError``."""
    return yaml.load(text, _Loader)


def in_reading_order(document: Mapping[str, Any]) -> dict[str, Any]:
    """The same data, sections and resource attributes in the order one reads them."""
    ordered = _first(document, SECTIONS)
    if isinstance(ordered.get("Resources"), Mapping):
        ordered["Resources"] = {
            name: _first(resource, RESOURCE) if isinstance(resource, Mapping) else resource
            for name, resource in ordered["Resources"].items()
        }
    return ordered


def _first(mapping: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    known = {key: mapping[key] for key in keys if key in mapping}
    return {**known, **{key: item for key, item in mapping.items() if key not in known}}


def _plain(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {key: _plain(item) for key, item in node.items()}
    if isinstance(node, list):
        return [_plain(item) for item in node]
    return node


class _Loader(yaml.CSafeLoader):
    """cfn-flip's reading of the short forms, on libyaml's parser: ten times as fast."""


_Loader.yaml_constructors = CfnYamlLoader.yaml_constructors
_Loader.yaml_multi_constructors = CfnYamlLoader.yaml_multi_constructors


class _Dumper(yaml.CSafeDumper):
    """cfn-flip's representers, on libyaml's emitter."""

    def ignore_aliases(self, data: Any) -> bool:
        # Anchors are legal in a template and unreadable in a review.
        return True

    def represent_scalar(self, tag: str, value: str, style: str | None = None) -> yaml.ScalarNode:
        if not value.isprintable():
            # In quotes what cannot be seen is spelled out.
            style = "|" if "\n" in value and _fits_literal_block(value) else '"'
        # libyaml takes no subclass of str.
        node: yaml.ScalarNode = super().represent_scalar(tag, str(value), style)
        return node


def _fits_literal_block(value: str) -> bool:
    # libyaml writes leading blank space and odd line breaks into a block that reads back as
    # something else, or not at all.
    return not value[0].isspace() and all(
        char == "\n" or (char.isprintable() and char != "\ufeff") for char in value
    )


def _string(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    # All digits: PyYAML knows 012345678901 for text, a parser of another YAML may not.
    return dumper.represent_scalar(TAG_STRING, value, "'" if value.isdigit() else None)


def _mapping(dumper: _Dumper, value: Mapping[str, Any]) -> yaml.Node:
    if len(value) == 1:
        ((key, argument),) = value.items()
        if _has_short_form(key, argument):
            node: yaml.Node = fn_representer(dumper, key.removeprefix(FN_PREFIX), argument)
            return node
    return dumper.represent_mapping(TAG_MAP, value)


def _has_short_form(key: Any, argument: Any) -> bool:
    if not isinstance(key, str):
        return False
    if key in CONVERTED_SUFFIXES:
        return isinstance(argument, str)
    name = key.removeprefix(FN_PREFIX)
    # !Ref and !Condition stand for the keys without the prefix.
    if name == key or not name.isalnum() or name in CONVERTED_SUFFIXES:
        return False
    if key == "Fn::GetAtt":
        # The short form joins the two with a dot, so the first must have none.
        return (
            isinstance(argument, list)
            and len(argument) == 2
            and all(isinstance(part, str) and part for part in argument)
            and "." not in argument[0]
        )
    return isinstance(argument, (str, list, Mapping))


_Dumper.add_representer(dict, _mapping)
_Dumper.add_representer(str, _string)
# Subclasses too: botocore hands over a stack's JSON template as ordered dictionaries.
_Dumper.add_multi_representer(dict, _mapping)
_Dumper.add_multi_representer(str, _string)
