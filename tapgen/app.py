"""The whole system: every tier, each handed the exports it uses.

This is the only place that knows all tiers. Adding one is a line here; order, graph, guards, files
and deployment follow from what it imports. Cycles cannot be written down: a tier needs its
neighbours' exports to be called.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tapgen.places import API_CONTRACT, LAMBDA_SOURCE
from tapgen.scope import Scope
from tapgen.stack import Stack
from tapgen.tiers import api, cache, compute, foundation, network, notification, storage, workflow


def describe(lambda_source: Path = LAMBDA_SOURCE) -> tuple[Stack[Any], ...]:
    """Describe every stack, the account's own included.

    ``lambda_source`` is the folder of the functions' code, which holds the API's contract.
    """
    contract = json.loads((lambda_source / API_CONTRACT).read_bytes())

    base = foundation.describe()
    net = network.describe()
    data = storage.describe(network=net.exports)
    redis = cache.describe(network=net.exports)
    containers = compute.describe(storage=data.exports)
    metadata = api.describe(
        network=net.exports,
        storage=data.exports,
        cache=redis.exports,
        foundation=base.exports,
        contract=contract,
    )
    notify = notification.describe()
    flow = workflow.describe(
        network=net.exports,
        storage=data.exports,
        compute=containers.exports,
        notification=notify.exports,
    )
    return base, net, data, redis, containers, metadata, notify, flow


def documents(stacks: tuple[Stack[Any], ...] | None = None) -> dict[str, dict[str, Any]]:
    """Every stack's template as plain data, by tier name."""
    return {stack.tier: stack.document() for stack in stacks or describe()}


def sources(stacks: tuple[Stack[Any], ...]) -> dict[str, Mapping[str, str]]:
    """Where each resource is written down, by tier name and logical id."""
    return {stack.tier: stack.sources for stack in stacks}


def scopes(stacks: tuple[Stack[Any], ...]) -> dict[str, Scope]:
    """How often each stack stands, by tier name."""
    return {stack.tier: stack.scope for stack in stacks}
