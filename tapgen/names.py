"""How things are called: suffixes, stacks, exports, settings, Lambda packages.

Every rule about a name's form stands here once; the tiers compose names with it, the engine reads
them back. The limits themselves are AWS's and are checked over the rendered documents.
"""

from __future__ import annotations

import re

from tapgen.errors import UsageError

PROJECT = "tap"
REGION = "ap-northeast-1"

# The parameter that every template of an environment takes.
SUFFIX = "EnvironmentSuffix"
SUFFIX_PATTERN = "^[a-z0-9]+(-[a-z0-9]+)*$"
# video-cache-default-{suffix} is an ElastiCache user id, and those end at 40 characters.
SUFFIX_LENGTH = 20
# tap-foundation-… are the exports of the account's own stack.
RESERVED = ("foundation",)


class BadSuffix(UsageError):
    """An environment suffix that cannot be part of every name."""

    def __init__(self, suffix: str, why: str) -> None:
        self.suffix, self.why = suffix, why
        super().__init__(
            f"environment suffix {suffix!r} {why}; use 1 to {SUFFIX_LENGTH} lower-case letters and "
            "digits, single hyphens between them, as in 'dev' or 'pr-12'"
        )


def checked_suffix(suffix: str) -> str:
    """Return ``suffix`` as it is, or raise ``BadSuffix`` saying what is wrong with it."""
    if not suffix:
        raise BadSuffix(suffix, "is empty")
    if len(suffix) > SUFFIX_LENGTH:
        raise BadSuffix(suffix, f"has {len(suffix)} characters")
    if suffix != suffix.lower():
        raise BadSuffix(suffix, "has upper-case letters")
    if "--" in suffix:
        raise BadSuffix(suffix, "has a double hyphen")
    if re.fullmatch(SUFFIX_PATTERN, suffix, re.ASCII) is None:
        raise BadSuffix(suffix, "has characters that names do not allow")
    if suffix in RESERVED:
        raise BadSuffix(suffix, "is reserved for the account's own stack")
    return suffix


def stack_name(tier: str, suffix: str | None) -> str:
    """``tap-dev-network``; without a suffix the account's own, ``tap-foundation``."""
    return f"{PROJECT}-{tier}" if suffix is None else f"{PROJECT}-{suffix}-{tier}"


def setting_key(parameter: str) -> str:
    """The settings key of a template parameter: ``DbInstanceClass`` is ``db_instance_class``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", parameter).lower()


def code_parameter(package: str) -> str:
    """The parameter that takes a Lambda package's S3 key: ``MetadataApiCodeKey``."""
    return "".join(part.capitalize() for part in package.split("_")) + "CodeKey"


def code_key_prefix(package: str) -> str:
    """Where a package's zips lie in the artifact bucket: ``lambda/metadata-api/``."""
    return f"lambda/{package.replace('_', '-')}/"
