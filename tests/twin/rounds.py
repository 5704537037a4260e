"""A stage for runs of several rounds: tiers whose exports can leave, change and move.

A tier is written as ``Part``: what it exports, each from a topic of its own, and what it imports.
A topic is replaced when its name changes, and with it the export; a name that is imported hands a
change on to the next stack.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

from troposphere import Ref, Sub, sns, ssm

from tapgen import graph, names
from tapgen.aws import AwsAccount, Connection
from tapgen.cloud import Caller
from tapgen.engine import deploy, review, rounds
from tapgen.engine.guard import Guard
from tapgen.engine.polling import aws_pace
from tapgen.engine.review import Review
from tapgen.engine.rollout import Rollout
from tapgen.session import Session
from tapgen.stack import Draft, Exported, Stack
from twin.faults import Killed
from twin.region import ACCOUNT, READS
from twin.scene import ENV, Outcome, Scene, wanted


@dataclass(frozen=True)
class Part:
    """A tier: ``makes`` maps export keys to their topic's name, ``uses`` are keys that it imports.

    A name ``@Key`` is the import of that key. ``beside`` are more resources; ``behind`` are those
    of them that exports show in their topic's place.
    """

    makes: Mapping[str, str] = field(default_factory=dict)
    uses: Sequence[str] = ()
    beside: Sequence[Any] = ()
    behind: Mapping[str, str] = field(default_factory=dict)


def imported(key: str) -> Exported:
    """The import of the export that a part makes under that key."""
    return Exported(key, Sub(f"{names.PROJECT}-${{{names.SUFFIX}}}-{key}"))


def stack_of(name: str, part: Part) -> Stack[None]:
    """The tier that a part stands for."""
    draft = Draft(name, f"The {name} of a test")
    for key, called in part.makes.items():
        topic_name = imported(called[1:]) if called.startswith("@") else called
        topic = draft.add(sns.Topic(f"{key}Topic", TopicName=topic_name))
        shown = Ref(part.behind[key]) if key in part.behind else topic.ref()
        draft.export(key, shown, f"The topic {key}")
    for key in part.uses:
        draft.add(ssm.Parameter(f"Uses{key}", Type="String", Value=imported(key)))
    for resource in part.beside:
        draft.add(resource)
    if not (part.makes or part.uses or part.beside):
        draft.add(sns.Topic("Alone", DisplayName=name))
    return draft.finish(None)


@dataclass
class Rounds(Scene):
    """An environment that is planned and carried out as the command does it."""

    # More tags of every stack, as settings give them.
    tags: Mapping[str, str] = field(default_factory=dict)
    # What is protected, as the command makes it of the settings and somebody's yes.
    guard: Guard | None = None

    def __post_init__(self) -> None:
        """Put a session of the command's in front of the twin."""
        super().__post_init__()
        asked: Future[Caller] = Future()
        asked.set_result(Caller(ACCOUNT, "arn:aws:iam::123456789012:root", names.REGION))
        services = Connection(self.twin.client)
        account = AwsAccount(services)
        self.session = Session(
            asked, self.cloud, account, services, self.region.clock, aws_pace, local=False
        )

    def plan(
        self, parts: Mapping[str, Part], only: Iterable[str] = (), **given: str
    ) -> tuple[Rollout, Review]:
        """What a run would do, and its review; ``only`` selects tiers."""
        stacks = [stack_of(name, part) for name, part in parts.items()]
        documents = {item.tier: item.document() for item in stacks}
        chosen = [item for item in stacks if not only or item.tier in set(only)]
        producers = graph.producers(documents)
        items = [
            replace(item, request=replace(item.request, tags={**item.request.tags, **self.tags}))
            for item in wanted(chosen, **given)
        ]
        place = {tier: number for number, tier in enumerate(graph.order(documents))}
        items.sort(key=lambda item: place[item.tier])
        deployed = deploy.survey(self.cloud, [f"tap-{ENV}-{tier}" for tier in documents])
        planned = Rollout(tuple(items), deployed, producers, (), (), {}, (), ())
        return planned, review.review(self.cloud, items, deployed, ACCOUNT)

    def roll_out(
        self,
        parts: Mapping[str, Part],
        only: Iterable[str] = (),
        recreate: Iterable[str] = (),
        **given: str,
    ) -> Outcome:
        """Plan and carry out, to the end."""
        return self.carry_out_plan(*self.plan(parts, only, **given), recreate)

    def carry_out_plan(
        self, planned: Rollout, seen: Review, recreate: Iterable[str] = ()
    ) -> Outcome:
        """Carry a plan out that was made before, to the end."""
        stacks = [item.name for item in planned.wanted]
        events = rounds.carry_out(
            self.session, planned, self.run(recreate), seen.phases, self.guard
        )
        return self.follow(events, stacks)

    def kill_at(self, call: int, moment: str) -> None:
        """Let the process be gone before or after its ``call``-th mutating call from now."""
        seen = 0

        def strike(operation: str, when: str) -> None:
            nonlocal seen
            seen += when == moment and not operation.startswith(READS)
            if seen > call:
                raise Killed

        self.region.faults.interrupt = strike

    def revive(self) -> None:
        """From now on nobody is killed."""
        self.region.faults.interrupt = lambda operation, moment: None

    def in_use(self) -> list[str]:
        """Every time CloudFormation refused because of an export in use."""
        return [
            event.reason
            for stack in self.region.stacks.values()
            for event in stack.events
            if "in use by" in event.reason
        ]

    def imports(self) -> dict[str, set[str]]:
        """By tier, the keys of the exports that its stack imports now."""
        return {
            stack.name.split("-", 2)[2]: {name.split("-", 2)[2] for name in stack.imports}
            for stack in self.region.stacks.values()
            if stack.status != "DELETE_COMPLETE"
        }


def imports_of(parts: Mapping[str, Part]) -> dict[str, set[str]]:
    """By tier, the keys that it imports when it stands as described."""
    return {
        name: {*part.uses, *(called[1:] for called in part.makes.values() if called[:1] == "@")}
        for name, part in parts.items()
    }
