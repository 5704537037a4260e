"""Bad days over real HTTP: the embedded AWS, botocore's own retries, and a wire that fails.

Between botocore and the wire a call is throttled, finds the service unavailable or nobody there,
is answered with half an answer, or the process dies. What stands is asked over a wire that is well.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import EndpointConnectionError
from botocore.retries.standard import ExponentialBackoff
from local_aws import client, faults_call, fresh_account, set_faults
from twin import Killed
from twin.scene import graph_of, wanted

from faults.scenario import Cut, draw_edges, producers_of
from faults.stage import Played
from faults.witness import PREFIX, Broken
from tapgen.aws import AwsCloudFormation, Endpoint, connect
from tapgen.engine import deploy as deploying
from tapgen.engine.clock import SystemClock
from tapgen.engine.events import Event, StackDone, StackStarted, StackUnchanged
from tapgen.engine.plan import GOOD, Wanted
from tapgen.engine.polling import Poller, local_pace
from tapgen.engine.run import Run
from tapgen.engine.summary import Summary
from tapgen.errors import Exit
from tapgen.local import lease
from tapgen.local.lease import Embedded

ENDED = ("created", "updated", "recreated", "unchanged")
_XML = {"content-type": "text/xml"}
_runs = itertools.count(1)
_ERROR = (
    "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{words}</Message></Error>"
    "<RequestId>0</RequestId></ErrorResponse>"
)


class _Raw:
    """The body of an answer that nobody sent."""

    def __init__(self, text: str) -> None:
        self._text = text

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self._text.encode()


class Wire:
    """What lies between botocore and the server, and goes wrong by the seed's chance."""

    def __init__(self, seed: int, chance: float, cut: Cut) -> None:
        self._rng, self._chance, self._cut = Random(f"wire/{seed}"), chance, cut
        self.well = False
        self.seen = 0
        self.struck: Counter[str] = Counter()
        self.changed: list[str] = []

    def __call__(self, request: Any, event_name: str, **_: Any) -> AWSResponse | None:
        """Answer in the server's place, raise, or let it through."""
        operation = event_name.rpartition(".")[2]
        if not self.well:
            self.seen += 1
            if self._cut.how in ("killed", "interrupted") and (
                self.seen > self._cut.at
                if self._cut.how == "killed"
                else self.seen == self._cut.at + 1
            ):
                raise Killed if self._cut.how == "killed" else KeyboardInterrupt
            if self._rng.random() < self._chance:
                return self._fault(request.url)
        if not operation.startswith(("Describe", "List", "Get")):
            self.changed.append(operation)
        return None

    def _fault(self, url: str) -> AWSResponse:
        kind = self._rng.choice(["throttled", "unavailable", "dropped", "truncated"])
        self.struck[kind] += 1
        if kind == "dropped":
            raise EndpointConnectionError(endpoint_url=url)
        if kind == "truncated":
            return AWSResponse(url, 200, HTTPHeaders.from_dict(_XML), _Raw("<DescribeSta"))
        code, words, status = {
            "throttled": ("Throttling", "Rate exceeded", 400),
            "unavailable": ("ServiceUnavailable", "try later", 503),
        }[kind]
        text = _ERROR.format(code=code, words=words)
        return AWSResponse(url, status, HTTPHeaders.from_dict(_XML), _Raw(text))


@contextmanager
def served() -> Iterator[Embedded]:
    """An embedded AWS for as long as it is needed."""
    with TemporaryDirectory() as folder:
        with lease.lease(Path(folder)) as aws:
            yield aws
        lease.reset(Path(folder))


def play_http(server: Embedded, seed: int) -> Played:
    """Deploy, change and break a random environment over HTTP. Raises ``Broken``."""
    rng = Random(f"http/{seed}")
    aws, edges = fresh_account(server), draw_edges(rng)
    wire = Wire(seed, rng.choice([0.0, 0.1, 0.2]), _draw_cut(rng))
    cloud = _cloud(aws, wire)
    standing = rng.random() < 0.5
    if standing:
        wire.well = True
        _deploy(cloud, wanted(graph_of(edges)), edges, [])
        wire.well = False
    if rng.random() < 0.5:
        verb = "update" if standing else "create"
        rule = {"op": verb, "stack": PREFIX + rng.choice(sorted(edges)), "logical_id": "Topic0"}
        set_faults(aws, resources=[{**rule, "message": "Quota exceeded", "times": 1}])
        wire.struck["failures"] += 1
    items = wanted(graph_of(edges, note="second"))
    before, heard = _standing(aws), list[Event]()
    summary, cut = Summary([item.name for item in items]), ""
    # The waits between botocore's own tries are not what is tried here.
    quick = mock.patch.object(ExponentialBackoff, "delay_amount", return_value=0.01)
    with quick:
        try:
            summary = _deploy(cloud, items, edges, heard)
        except (Killed, KeyboardInterrupt) as stopped:
            cut = "killed" if isinstance(stopped, Killed) else "interrupted"
    wire.well = True
    _check(aws, edges, heard, summary, whole=not cut)
    if before - _standing(aws):
        raise Broken(f"gone: {before - _standing(aws)}")
    _comes_right(cloud, wire, items, edges, aws)
    return Played(wire.struck, cut, wire.seen)


def _draw_cut(rng: Random) -> Cut:
    return Cut(rng.choice(["", "killed", "interrupted"]), rng.randint(0, rng.choice([5, 15, 40])))


def _cloud(aws: Embedded, wire: Wire) -> AwsCloudFormation:
    connection = connect(endpoint=Endpoint(aws.url, aws.access_key, aws.secret_key))
    connection.client("cloudformation").meta.events.register("before-send.cloudformation", wire)
    return AwsCloudFormation(connection)


def _deploy(
    cloud: AwsCloudFormation,
    items: Sequence[Wanted],
    edges: Mapping[str, Sequence[str]],
    heard: list[Event],
    recreate: frozenset[str] = frozenset(),
) -> Summary:
    clock = SystemClock()
    run = Run(f"h{next(_runs)}", cloud, clock, Poller(local_pace, clock, rate=None))
    names = [item.name for item in items]
    summary = Summary(names)
    run = Run(run.id, cloud, clock, run.poller, recreate=recreate, recover=recreate)
    survey = {name: _patiently(cloud, name) for name in names}
    needs = {tier: frozenset(producers) for tier, producers in edges.items()}
    events = deploying.deploy(run, items, survey, needs)
    try:
        for event in events:
            heard.append(event)
            summary.take(event)
    finally:
        events.close()  # type: ignore[attr-defined]
    return summary


def _patiently(cloud: AwsCloudFormation, name: str) -> Any:
    """A survey that outlasts the wire: the command would end here, with nothing changed."""
    from tapgen.cloud import Throttled, Unreachable

    while True:
        try:
            return cloud.stack(name)
        except (Throttled, Unreachable):
            continue


def _standing(aws: Embedded) -> set[str]:
    found = client(aws, "cloudformation").describe_stacks()["Stacks"]
    return {stack["StackName"] for stack in found}


def _check(
    aws: Embedded,
    edges: Mapping[str, Sequence[str]],
    heard: Sequence[Event],
    summary: Summary,
    *,
    whole: bool,
) -> None:
    good: set[str] = set()
    for event in heard:
        tier = event.stack.removeprefix(PREFIX)
        if isinstance(event, StackStarted) and not producers_of(edges, tier) <= good:
            raise Broken(f"{tier} was started before its producers were good")
        if isinstance(event, (StackDone, StackUnchanged)):
            good.add(tier)
    stacks = client(aws, "cloudformation").describe_stacks()["Stacks"]
    statuses = {stack["StackName"]: stack["StackStatus"] for stack in stacks}
    rows = summary.rows() if whole else []
    for name, end, _ in rows:
        if end in ENDED and statuses.get(name) not in GOOD:
            raise Broken(f"{name} is said to be {end}, and is {statuses.get(name)}")
    if rows and (summary.status is Exit.DONE) != all(end in ENDED for _, end, _ in rows):
        raise Broken(f"the exit status is {summary.status!r} for {rows}")


def _comes_right(
    cloud: AwsCloudFormation,
    wire: Wire,
    items: Sequence[Wanted],
    edges: Mapping[str, Sequence[str]],
    aws: Embedded,
) -> None:
    faults_call(aws, "DELETE")
    names = frozenset(item.name for item in items)
    summary = _deploy(cloud, items, edges, [], recreate=names)
    if summary.status is not Exit.DONE:
        raise Broken(f"a new run does not come right: {summary.rows()}")
    wire.changed.clear()
    if not _deploy(cloud, items, edges, []).unchanged or wire.changed:
        raise Broken(f"a run over what is right changes something: {wire.changed}")
    cloudformation = client(aws, "cloudformation")
    for name in names:
        for item in cloudformation.list_change_sets(StackName=name)["Summaries"]:
            if item["ExecutionStatus"] in ("AVAILABLE", "UNAVAILABLE"):
                raise Broken(f"the change set {item['ChangeSetName']} of {name} was left")
