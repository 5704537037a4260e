"""Resource types that the emulator lacks, and repairs of those it keeps only in part.

One module a corner of AWS. Each changes the emulator's handlers for CloudFormation types so that a
deployed resource and its important properties can be seen through its own service's API, which is
what a person or a test would look at. What is still lost is said in ``not_kept.py``.
"""

from __future__ import annotations

from tapgen.local.resources import (
    api,
    buckets,
    cache,
    compute,
    database,
    network,
    secrets,
    tags,
    topics,
)


def install() -> None:
    """Put all of them in."""
    corners = (network, database, cache, compute, api, secrets, buckets, topics, tags)
    for corner in corners:
        corner.install()
