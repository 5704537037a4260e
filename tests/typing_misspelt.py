"""Lines that must stay type errors. Read by mypy, never run.

Each names the code it is refused with; an ignore that is not needed any more is itself an error,
so a promise of the types cannot go unnoticed. ``test_typing`` shows that each is needed.
"""

from __future__ import annotations

from troposphere import Ref

from tapgen.stack import Draft, Exported, Stack
from tapgen.tiers import cache, compute, foundation, network, notification, storage


def misspelt_exports() -> None:
    net = network.describe().exports
    _ = net.vpc_idd  # type: ignore[attr-defined]
    _ = net.private_subnet_id  # type: ignore[attr-defined]
    _ = foundation.describe().exports.bucket  # type: ignore[attr-defined]
    _ = notification.describe().export  # type: ignore[attr-defined]


def exports_of_the_wrong_tier() -> None:
    net, notify = network.describe().exports, notification.describe().exports
    storage.describe(network=notify)  # type: ignore[arg-type]
    cache.describe(network=network.describe())  # type: ignore[arg-type]
    compute.describe(storage=net)  # type: ignore[arg-type]


def forgotten_and_made_up_arguments() -> None:
    net = network.describe().exports
    storage.describe()  # type: ignore[call-arg]
    storage.describe(net)  # type: ignore[call-arg]
    cache.describe(network=net, storage=net)  # type: ignore[call-arg]


def a_text_or_a_resource_in_an_export_s_place(draft: Draft) -> None:
    foundation.Exports(artifact_bucket_name="tap-foundation-Bucket")  # type: ignore[arg-type]
    foundation.Exports(artifact_bucket_name=Ref("Bucket"))  # type: ignore[arg-type]
    foundation.Exports()  # type: ignore[call-arg]
    _ = draft.output("Key", "value", "Words")  # type: ignore[func-returns-value]


def changes_after_the_fact(exported: Exported) -> None:
    net = network.describe()
    net.exports.vpc_id = exported  # type: ignore[misc]
    net.tier = "other"  # type: ignore[misc]


def one_tier_in_another_s_place() -> Stack[network.Exports]:
    net = network.describe().exports
    return cache.describe(network=net)  # type: ignore[return-value]
