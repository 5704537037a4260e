"""A stage for the engine: small tiers, an environment on a twin, and what came of a run.

The tiers are written with ``tapgen.stack.Draft`` as the real ones are, so names, digests and
policies are the product's own. A tier ``network`` has topics, exports ``NetworkArn``, and holds
each import in a parameter of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from troposphere import sns, ssm

from tapgen import graph, render
from tapgen.aws import AwsCloudFormation, Connection
from tapgen.cloud import DeployedStack
from tapgen.engine import deploy as deploying
from tapgen.engine import destroy as destroying
from tapgen.engine import plan
from tapgen.engine.events import Event
from tapgen.engine.plan import Wanted
from tapgen.engine.polling import Poller, aws_pace
from tapgen.engine.run import Run
from tapgen.engine.summary import Summary
from tapgen.stack import Draft, Exported, Stack
from twin.client import Twin

ENV = "dev"
TAGS = {"Project": "test", "Environment": ENV, "ManagedBy": "tapgen"}


def tier(
    name: str,
    *needs: Stack[Exported],
    note: str = "first",
    topics: int = 1,
    topic_name: str = "",
    export: bool = True,
    leaving: Mapping[str, str] | None = None,
) -> Stack[Exported]:
    """A tier with ``topics`` topics that say ``note``, and a parameter for each import.

    ``topic_name`` can only be changed by replacing the first topic. ``leaving`` sets deletion
    policies by logical id.
    """
    draft = Draft(name, f"The {name} of a test")
    made: list[Any] = [
        draft.add(sns.Topic(f"Topic{number}", DisplayName=note)) for number in range(topics)
    ]
    if topic_name:
        made[0].TopicName = topic_name
    for need in needs:
        made.append(
            draft.add(ssm.Parameter(f"Uses{need.tier.title()}", Type="String", Value=need.exports))
        )
    for resource in made:
        if leaving and resource.title in leaving:
            resource.resource["DeletionPolicy"] = leaving[resource.title]
    key = f"{name.title()}Arn"
    if export:
        handle = draft.export(key, made[0].ref(), f"The first topic of {name}")
    else:
        handle = Exported(key, draft._export_name(key))
    return draft.finish(handle)


@dataclass
class Outcome:
    """What a run told, and how it summed up."""

    events: list[Event]
    summary: Summary

    @property
    def ends(self) -> dict[str, str]:
        """How each stack ended, by its tier."""
        return {stack.split("-", 2)[2]: how for stack, how, _ in self.summary.rows()}

    def kinds(self) -> list[tuple[str, str]]:
        """The events that are no resource's, as kind and tier."""
        return [
            (type(event).__name__, event.stack.split("-", 2)[2])
            for event in self.events
            if type(event).__name__ != "ResourceMoved"
        ]


@dataclass
class Scene:
    """An environment on a twin. ``runs`` counts, for run ids."""

    twin: Twin = field(default_factory=Twin)
    concurrency: int = 4
    runs: int = 0
    # What else the user allows: members of ``Run``.
    allowed: dict[str, Any] = field(default_factory=dict)
    # As the CLI does with Ctrl-C: called with each event, may raise.
    hear: Callable[[Event], None] = lambda event: None

    heard: list[Event] = field(default_factory=list)
    summary: Summary = field(default_factory=lambda: Summary(()))

    def __post_init__(self) -> None:
        self.cloud = AwsCloudFormation(Connection(self.twin.client))
        self.region = self.twin.region

    def run(self, recreate: Iterable[str] = ()) -> Run:
        """The next run."""
        self.runs += 1
        made = Run(
            f"r{self.runs}",
            self.cloud,
            self.region.clock,
            Poller(aws_pace, self.region.clock),
            self.concurrency,
            recreate=frozenset(recreate),
        )
        return replace(made, **self.allowed)

    def deploy(
        self, tiers: Sequence[Stack[Any]], *, recreate: Iterable[str] = (), **given: str
    ) -> Outcome:
        """Deploy the tiers as the command does, to the end."""
        items = wanted(tiers, **given)
        self.heard, self.summary = [], Summary([item.name for item in items])
        return self.carry_out(items, self.survey([item.name for item in items]), recreate)

    def carry_out(
        self,
        items: Sequence[Wanted],
        deployed: Mapping[str, DeployedStack | None],
        recreate: Iterable[str] = (),
    ) -> Outcome:
        """Bring what was found to what is wanted; what nobody here exports is taken as there."""
        documents = {item.tier: item.document for item in items}
        offered = {export.name: export.stack for export in graph.exports(documents)}
        producers: dict[str, set[str]] = {tier: set() for tier in documents}
        for used in graph.imports(documents):
            if used.name in offered:
                producers[used.stack].add(offered[used.name])
        needs = {tier: frozenset(others) for tier, others in producers.items()}
        events = deploying.deploy(self.run(recreate), items, deployed, needs)
        return self.follow(events, [item.name for item in items])

    def survey(self, names: Sequence[str]) -> dict[str, DeployedStack | None]:
        """What stands, asked one by one: threads would make a run differ from its repetition."""
        return {name: self.cloud.stack(name) for name in names}

    def destroy(self) -> Outcome:
        """Take all of the environment's stacks down."""
        self.heard, self.summary = [], Summary(())
        standing = [
            destroying.look(self.cloud, stack) for stack in self.cloud.stacks(f"tap-{ENV}-")
        ]
        events = destroying.destroy(self.run(), standing)
        return self.follow(events, [item.stack.name for item in standing])

    def follow(self, events: Iterator[Event], names: Sequence[str]) -> Outcome:
        """Take every event in; an interruption is passed on after the engine cleaned up."""
        self.heard, self.summary = [], Summary(names)
        try:
            for event in events:
                self.heard.append(event)
                self.summary.take(event)
                self.hear(event)
        finally:
            events.close()  # type: ignore[attr-defined]
        return Outcome(self.heard, self.summary)

    def statuses(self) -> dict[str, str]:
        """The live stacks' statuses by tier, when everything has come to its end."""
        self.region.settle()
        return {
            stack.name.split("-", 2)[2]: stack.status
            for stack in self.region.stacks.values()
            if stack.status != "DELETE_COMPLETE"
        }


def wanted(tiers: Sequence[Stack[Any]], **given: str) -> list[Wanted]:
    """The stacks of the environment that ``tiers`` describe."""
    return [
        plan.wanted(
            item.tier,
            item.document(),
            render.text(item.document()),
            env=ENV,
            given=given,
            tags=TAGS,
        )
        for item in tiers
    ]


def graph_of(edges: Mapping[str, Sequence[str]], **changes: Any) -> list[Stack[Exported]]:
    """Tiers that import from each other so: producers first, as ``edges`` lists them."""
    made: dict[str, Stack[Exported]] = {}
    for name, needs in edges.items():
        made[name] = tier(name, *(made[need] for need in needs), **changes)
    return list(made.values())
