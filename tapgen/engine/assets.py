"""Which Lambda packages a document runs, and the bucket it expects them in: read off the document.

A function whose key is a parameter named after a package (``MetadataApiCodeKey``) takes that
package's zip; its bucket is an import, and so a value of the account's own stack.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tapgen import graph, names
from tapgen.errors import TapgenError
from tapgen.resolve import Document


@dataclass(frozen=True)
class Asset:
    """A package that a document needs: its name, the key's parameter, the bucket's export."""

    package: str
    parameter: str
    bucket_export: str


class UnknownPackage(TapgenError):
    """A function that wants a package nobody has written."""

    def __init__(self, parameter: str, packages: Iterable[str]) -> None:
        self.parameter, self.packages = parameter, tuple(packages)
        known = ", ".join(self.packages) or "none"
        super().__init__(f"parameter {parameter} names no package of lambda_src (there is {known})")


class BucketNotImported(TapgenError):
    """A function whose package would have to lie in a bucket that no stack exports."""

    def __init__(self, tier: str, function: str) -> None:
        self.tier, self.function = tier, function
        super().__init__(
            f"{tier}: function {function} imports no bucket; "
            "give its Code the foundation's artifact bucket"
        )


def needed(documents: Mapping[str, Document], packages: Iterable[str]) -> tuple[Asset, ...]:
    """The assets of all documents, each once, sorted by package.

    Raises ``UnknownPackage`` or ``BucketNotImported``.
    """
    by_parameter = {names.code_parameter(package): package for package in packages}
    found = set()
    for tier, document in documents.items():
        for logical_id, resource in document.get("Resources", {}).items():
            if resource["Type"] != "AWS::Lambda::Function":
                continue
            code = resource["Properties"].get("Code", {})
            key = code.get("S3Key")
            if not isinstance(key, Mapping) or "Ref" not in key:
                # Code in the template itself, or a zip that somebody else looks after.
                continue
            parameter = key["Ref"]
            if parameter not in by_parameter:
                raise UnknownPackage(parameter, by_parameter.values())
            buckets = graph.import_names(code, document, tier, logical_id)
            if not buckets:
                raise BucketNotImported(tier, logical_id)
            found.add(Asset(by_parameter[parameter], parameter, buckets[0]))
    return tuple(sorted(found, key=lambda asset: asset.package))
