"""botocore's own clients with a twin behind them: no network, and nothing of the surface made up.

A call goes through all of botocore that is not HTTP: its parameters are checked against the
service model and a modelled error becomes its exception. The answer is checked against the model
too, so that the twin cannot say what AWS never says. This is the way botocore's Stubber takes; a
Stubber repeats what it was told, where the twin has rules.

botocore's retries lie below, so a fault here is one that outlasted them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from threading import Lock
from typing import Any

import boto3
from botocore import xform_name
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.model import OperationModel
from botocore.validate import validate_parameters

from twin.account import Account
from twin.records import Refusal
from twin.region import REGION, Call, Region
from twin.service import Service

# The member that is a list, and is cut into pages.
PAGED = {
    "DescribeStacks": "Stacks",
    "ListStacks": "StackSummaries",
    "DescribeStackEvents": "StackEvents",
    "ListStackResources": "StackResourceSummaries",
    "DescribeChangeSet": "Changes",
    "ListChangeSets": "Summaries",
    "ListExports": "Exports",
    "ListImports": "Imports",
    "DescribeEvents": "OperationEvents",
}
READS = ("Describe", "List", "Get", "Head")


class Twin:
    """The services of one account in memory, and clients that speak to them.

    ``region`` is the state of CloudFormation, ``account`` that of all other services;
    ``client`` is what a ``tapgen.aws.Connection`` is made with.
    """

    def __init__(self, region: Region | None = None, account: Account | None = None) -> None:
        self.region = region or Region()
        self.account = account or Account()
        # CloudFormation reads templates where the account put them.
        self.region.objects = self.account.objects
        self._service = Service(self.region)
        self._lock = Lock()

    def client(self, service: str) -> Any:
        """A client of a service; every client made speaks to the twin asked last."""
        line = _line(service)
        line.answer = self._answer
        return line.client

    def _answer(self, service: str, model: OperationModel, parameters: dict[str, Any]) -> Any:
        operation = xform_name(model.name)
        with self._lock:
            faults = self.region.faults
            faults.interrupt(operation, "before")
            call = Call(service, operation, parameters, self.region.clock.now())
            self.region.calls.append(call)
            faults.strike(operation, faults.before)
            key = str(parameters.get("StackName", parameters.get("ChangeSetName", "")))
            faults.chance(operation, key)
            self.region.watch(call)
            answer = self._carry_out(service, model, operation, parameters)
            faults.strike(operation, faults.after)
            faults.chance_after(operation, key)
            faults.interrupt(operation, "after")
            return answer

    def _carry_out(
        self, service: str, model: OperationModel, operation: str, parameters: dict[str, Any]
    ) -> Any:
        if service != "cloudformation":
            return self.account.answer(service, operation, parameters)
        act = getattr(self._service, operation, None)
        if act is None:
            raise NotImplementedError(f"the twin has no {operation}")
        if not model.name.startswith(READS):
            self._remember()
        asked = self._stale(operation, act, parameters)
        return _page(model, parameters, asked, self.region.page_size)

    def _remember(self) -> None:
        """Keep what is told of stacks and change sets now, to be said for a while longer."""
        region = self.region
        if not region.stale_seconds:
            return
        now, until = region.clock.now(), region.clock.now() + region.stale_seconds
        for stack in region.stacks.values():
            told = {
                ("describe_stacks", stack.id): self._service.describe_stacks,
                ("list_change_sets", stack.id): self._service.list_change_sets,
            }
            for key, ask in told.items():
                if region.stale.get(key, (0.0, None))[0] <= now:
                    answer = ask({"StackName": stack.id})
                    region.stale[key] = (until, copy.deepcopy(answer))
            for item in stack.change_sets.values():
                if region.stale.get(("change set", item.id), (0.0, None))[0] <= now:
                    old = {"Status": item.status, "ExecutionStatus": item.execution}
                    region.stale["change set", item.id] = (until, old)
        region.stale["known", ""] = (until, frozenset(region.stacks))

    def _stale(
        self, operation: str, act: Callable[[Any], Any], parameters: dict[str, Any]
    ) -> Callable[[], Any]:
        """The answer to a question, or the one that was given before the last change."""
        region, name = self.region, parameters.get("StackName")
        if operation == "describe_change_set":
            return lambda: self._as_it_was(act(parameters))
        stack = region.found(name) if name else None
        if stack is not None and operation in ("describe_stacks", "list_change_sets"):
            until, answer = region.stale.get((operation, stack.id), (0.0, None))
            if region.clock.now() < until:
                return lambda: copy.deepcopy(answer)
            until, known = region.stale.get(("known", ""), (0.0, frozenset()))
            if region.clock.now() < until and stack.id not in known:
                raise Refusal(f"Stack with id {name} does not exist")
        return lambda: act(parameters)

    def _as_it_was(self, answer: dict[str, Any]) -> dict[str, Any]:
        until, old = self.region.stale.get(("change set", answer["ChangeSetId"]), (0.0, {}))
        return {**answer, **old} if self.region.clock.now() < until else answer


class _Line:
    """One real client, and whom it speaks to."""

    def __init__(self, service: str) -> None:
        self.answer: Callable[[str, OperationModel, dict[str, Any]], Any] | None = None
        self.client = _session().client(service)  # type: ignore[call-overload]
        self._service = service
        events = self.client.meta.events
        events.register_first(f"provide-client-params.{service}.*", self._listen)
        events.register_first(f"before-call.{service}.*", self._speak)

    def _listen(self, params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        # As the caller gave them; before-call only has them as they go over the wire.
        context["twin"] = dict(params)

    def _speak(self, model: OperationModel, context: dict[str, Any], **_: Any) -> Any:
        assert self.answer is not None
        try:
            answer = self.answer(self._service, model, context["twin"])
        except Refusal as refusal:
            error = {"Code": refusal.code, "Message": refusal.message}
            return _response(refusal.http), {
                "Error": error,
                "ResponseMetadata": {"HTTPStatusCode": refusal.http},
            }
        if model.output_shape is not None:
            validate_parameters(answer, model.output_shape)
        return _response(200), {**answer, "ResponseMetadata": {"HTTPStatusCode": 200}}


def _page(
    model: OperationModel, parameters: dict[str, Any], ask: Callable[[], Any], size: int
) -> Any:
    answer, member = ask(), PAGED.get(model.name)
    if member is None or member not in answer:
        return answer
    start = int(parameters.get("NextToken", 0))
    answer[member], rest = answer[member][start : start + size], answer[member][start + size :]
    if rest:
        answer["NextToken"] = str(start + size)
    return answer


def _response(status: int) -> AWSResponse:
    return AWSResponse("https://twin.invalid/", status, HTTPHeaders(), None)


@cache
def _session() -> boto3.Session:
    return boto3.Session(region_name=REGION, aws_access_key_id="twin", aws_secret_access_key="twin")


@cache
def _line(service: str) -> _Line:
    # Making a client takes longer than a whole deployment, so all twins share them.
    return _Line(service)
