"""Processes that send requests one after the other, and what they took.

A worker is a client: it keeps its HTTP connection, or calls the handler in its own process, or
sends a bare SELECT over a connection opened as the handler opens its own. Every answer but success
ends the run.
"""

from __future__ import annotations

import http.client
import itertools
import json
import math
import multiprocessing
import os
import random
import statistics
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from time import perf_counter, process_time
from typing import Any
from urllib.parse import urlencode

import bench_parts

# Requests before a block that do not count: they connect, and fill the cache where it is used.
UNTIMED = 3
OLDEST = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Material:
    """What a worker needs: environment, the gateway's place, ids that no other worker uses."""

    environ: Mapping[str, str]
    gateway: Mapping[str, Any]
    ids: Sequence[str]
    rows: int
    # Cursors of pages, by name.
    cursors: Mapping[str, str]


@dataclass(frozen=True)
class Call:
    """One request; ``status`` is the answer it must have."""

    method: str
    query: dict[str, str] = field(default_factory=dict)
    body: str | None = None
    status: int = 200


@dataclass(frozen=True)
class Block:
    """What one kind of request took, in seconds each, and how many there were in a second.

    ``processor`` is the processor time of a client for each, in seconds.
    """

    seconds: tuple[float, ...]
    per_second: float
    processor: float

    @property
    def median(self) -> float:
        """Half took longer."""
        return statistics.median(self.seconds)

    @property
    def percentile_99(self) -> float:
        """One in a hundred took longer."""
        return sorted(self.seconds)[math.ceil(len(self.seconds) * 0.99) - 1]


def together(blocks: Sequence[Block]) -> Block:
    """Blocks of one kind, one after the other, as one."""
    return Block(
        tuple(itertools.chain.from_iterable(block.seconds for block in blocks)),
        statistics.median(block.per_second for block in blocks),
        statistics.median(block.processor for block in blocks),
    )


class Worker:
    """A client in a process of its own."""

    def __init__(self, material: Material) -> None:
        context = multiprocessing.get_context("spawn")
        self._here, there = context.Pipe()
        self._process = context.Process(target=_serve, args=(there, material), daemon=True)
        self._process.start()
        there.close()

    def begin(self, target: str, operation: str, seconds: float) -> None:
        """Start a block; ``end`` waits for it."""
        self._here.send((target, operation, seconds))

    def end(self) -> Block:
        """The block that was begun. Ends the run when the worker failed."""
        try:
            found: Block | str = self._here.recv()
        except EOFError:
            found = "it ended"
        if isinstance(found, str):
            raise SystemExit(f"bench: a client failed: {found}")
        return found

    def close(self) -> None:
        """End the process."""
        self._here.close()
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


@contextmanager
def workers(materials: Sequence[Material]) -> Iterator[list[Worker]]:
    """A worker for each material."""
    started = [Worker(material) for material in materials]
    try:
        yield started
    finally:
        for worker in started:
            worker.close()


def block(clients: Sequence[Worker], target: str, operation: str, seconds: float) -> Block:
    """A block by several clients at once."""
    for client in clients:
        client.begin(target, operation, seconds)
    found = [client.end() for client in clients]
    return Block(
        tuple(itertools.chain.from_iterable(each.seconds for each in found)),
        sum(each.per_second for each in found),
        statistics.median(each.processor for each in found),
    )


def _serve(commands: Connection, material: Material) -> None:
    # The handler prints its log and its metrics, as in Lambda; nobody reads them here.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.environ.update(material.environ)
    client = _Client(material)
    while True:
        try:
            target, operation, seconds = commands.recv()
        except EOFError:
            return
        try:
            commands.send(client.block(target, operation, seconds))
        except Exception as error:
            commands.send(f"{target}, {operation}: {type(error).__name__}: {error}")


class _Client:
    def __init__(self, material: Material) -> None:
        self._material = material
        self._calls: dict[str, Iterator[Call]] = {}
        self._senders: dict[str, Callable[[Call], int]] = {}
        # Each id once, by whichever target: the second time it would come from the cache.
        self._ids = iter(material.ids)

    def block(self, target: str, operation: str, seconds: float) -> Block:
        calls = self._calls.setdefault(operation, self._endless(operation))
        if target not in self._senders:
            self._senders[target] = self._sender(target)
        send = self._senders[target]
        for call in itertools.islice(calls, UNTIMED):
            _expect(send(call), call)
        taken = []
        used = process_time()
        started = now = perf_counter()
        until = started + seconds
        while now < until:
            call = next(calls)
            before = perf_counter()
            status = send(call)
            now = perf_counter()
            taken.append(now - before)
            _expect(status, call)
        used = process_time() - used
        return Block(tuple(taken), len(taken) / (now - started), used / len(taken))

    def _endless(self, operation: str) -> Iterator[Call]:
        material = self._material
        if operation == "one, again":
            return itertools.cycle([Call("GET", {"video_id": next(self._ids)}) for _ in range(8)])
        if operation == "one":
            return (Call("GET", {"video_id": video_id}) for video_id in self._ids)
        if operation == "one, in turn":
            return itertools.cycle(Call("GET", {"video_id": each}) for each in material.ids)
        if operation == "page, again":
            return itertools.repeat(Call("GET", {"limit": "20"}))
        if operation == "page":
            return (Call("GET", {"cursor": self._anywhere()}) for _ in itertools.count())
        if operation == "create":
            return (Call("POST", {}, bench_parts.body(n), 201) for n in itertools.count())
        if operation == "failed":
            return itertools.repeat(Call("GET", {"status": "failed"}))
        if operation in material.cursors:
            return itertools.repeat(Call("GET", {"cursor": material.cursors[operation]}))
        # A bare SELECT takes no request.
        return itertools.repeat(Call("SELECT"))

    def _anywhere(self) -> str:
        from video_api.cursor import Position, encode

        moment = OLDEST + timedelta(seconds=random.uniform(100, self._material.rows))
        return encode(Position(moment, uuid.uuid4()))

    def _sender(self, target: str) -> Callable[[Call], int]:
        if target == "select":
            return _select()
        if target == "gateway":
            return _http(self._material.gateway)
        return _handler(with_cache=target == "handler")


def _expect(status: int, call: Call) -> None:
    if status != call.status:
        raise ValueError(f"{call.method} {call.query} is answered with {status}")


def _select() -> Callable[[Call], int]:
    from video_api import settings
    from video_api.budget import Deadline, Watchdog
    from video_api.database import open_session, trust
    from video_api.secrets import Credentials

    told = settings.read(os.environ).database
    session = open_session(
        told,
        Credentials("video_app", bench_parts.PASSWORD),
        context=trust(told),
        watchdog=Watchdog(),
        deadline=Deadline(10),
        name="bench",
        parameters={},
    )

    def send(call: Call) -> int:
        return 200 if session.run("SELECT 1", {}) == [[1]] else 500

    return send


def _handler(*, with_cache: bool) -> Callable[[Call], int]:
    import api_parts
    from video_api import handler

    def send(call: Call) -> int:
        cache = handler.application().cache
        for endpoint in (cache._primary, cache._reader):
            endpoint.open_until = 0.0 if with_cache else math.inf
        sent = {"Content-Type": "application/json"} if call.body else {}
        event = api_parts.proxy_event(
            call.method, "/metadata", query=call.query, headers=sent, body=call.body
        )
        status: int = handler.handler(event, api_parts.Context())["statusCode"]
        return status

    return send


def _http(place: Mapping[str, Any]) -> Callable[[Call], int]:
    connection = http.client.HTTPConnection("127.0.0.1", place["port"], timeout=30)
    headers = {"X-Api-Key": place["key"], "Content-Type": "application/json"}

    def send(call: Call) -> int:
        target = f"/{place['stage']}/metadata"
        if call.query:
            target += f"?{urlencode(call.query)}"
        connection.request(call.method, target, body=call.body, headers=headers)
        answer = connection.getresponse()
        json.loads(answer.read())
        return answer.status

    return send
