"""The real tiers on a twin whose account is asked too, at the speed of AWS when that is wanted."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from tapgen import app, places
from tapgen.aws import AwsAccount, Connection
from tapgen.cloud import Caller
from tapgen.description import Description
from tapgen.engine import rollout, rounds
from tapgen.engine.events import Event, StackFailed
from tapgen.engine.polling import aws_pace
from tapgen.engine.rollout import Rollout
from tapgen.session import Session
from tapgen.settings import Settings
from twin.account import Account
from twin.client import Twin
from twin.scene import Scene

STACKS = app.describe()
REAL = Description(app.documents(STACKS), app.scopes(STACKS))
# Typical times on AWS, in seconds, from users' reports and AWS's own guides.
AWS_TIMES = {
    "AWS::RDS::DBInstance": 1200.0,
    "AWS::ElastiCache::ReplicationGroup": 720.0,
    "AWS::EC2::NatGateway": 150.0,
    "AWS::EC2::VPCEndpoint": 90.0,
    "AWS::Lambda::Function": 30.0,
}


class Stage(Scene):
    """A scene whose account is asked too."""

    def __init__(self, account: Account | None = None, description: Description = REAL) -> None:
        super().__init__(Twin(account=account or Account()))
        self.description = description
        self.account = self.twin.account
        self.region.page_size = 10
        services = Connection(self.twin.client)
        door = AwsAccount(services)
        asked: Future[Caller] = Future()
        asked.set_result(door.caller())
        self.session = Session(
            asked, self.cloud, door, services, self.region.clock, aws_pace, local=False
        )

    def prepare(self, packages: Path, *tiers: str, env: str = "dev", **settings: Any) -> Rollout:
        """What a run of the command would do."""
        return rollout.prepare(
            self.session,
            self.description,
            Settings(env, **settings),
            tiers,
            lambda_source=places.LAMBDA_SOURCE,
            packages_folder=packages,
        )

    def carried_out(self, planned: Rollout) -> Iterator[Event]:
        """Every event of doing it."""
        return rounds.carry_out(self.session, planned, self.run())

    def roll_out(self, planned: Rollout) -> dict[str, str]:
        """Do it, and return how each stack ended."""
        names = [item.name for item in planned.wanted]
        events = rounds.carry_out(self.session, planned, self.run())
        outcome = self.follow(events, names)
        assert not [e for e in outcome.events if isinstance(e, StackFailed)]
        return {stack: how for stack, how, _ in outcome.summary.rows()}
