"""One request through the API: the order in which API Gateway asks its questions.

Route, key, the key's limits, the method's limit, media type, required parameters, model,
integration; what one of them refuses, the ones behind it never see. A log line at the end, whatever
happened.
"""

from __future__ import annotations

import hmac
import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol

from tapgen.local.gateway import limits, proxy, refusals, validation, variables
from tapgen.local.gateway.description import Api, Mock, Proxy, Route
from tapgen.local.gateway.limits import Bucket, Counter, Rate
from tapgen.local.gateway.proxy import Answer
from tapgen.local.gateway.refusals import Refusal
from tapgen.local.gateway.turn import Request, Turn

# What API Gateway takes at most.
BODY_BYTES = 10 * 1024 * 1024


class InvokeTimedOut(Exception):
    """The function had not answered when the integration's time was up."""


class InvokeFailed(Exception):
    """The function ended with an error, or its environment did."""


class Invoke(Protocol):
    """Calls a function with an event."""

    def __call__(self, function: str, payload: bytes, *, seconds: float, trace: str = "") -> bytes:
        """The function's answer. Raises ``InvokeTimedOut`` or ``InvokeFailed``."""


class Service:
    """Answers requests by ``api``. Safe to be called from many threads.

    ``key_values`` maps ids of keys to what callers send. ``log`` hears each request's log line.
    ``throttled`` False leaves limits and quotas out, for whoever sends thousands on purpose.
    """

    def __init__(
        self,
        api: Api,
        *,
        invoke: Invoke,
        key_values: Mapping[str, str],
        log: Callable[[str], object] = lambda line: None,
        throttled: bool = True,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = limits.utc_now,
    ) -> None:
        self.api = api
        self._invoke, self._log = invoke, log
        self._keys = {i: key_values[i] for i in api.key_ids if i in key_values}
        self._throttled, self._clock, self._now = throttled, clock, now
        self._routes = [(route, _path_pattern(route.path)) for route in api.routes]
        # Named paths win over variables, and those over greedy ones.
        self._routes.sort(key=lambda item: ("+}" in item[0].path, "{" in item[0].path))
        self._buckets: dict[str, Bucket] = {}
        self._counters: dict[str, Counter] = {}
        self._making = threading.Lock()

    def answer(self, request: Request) -> Answer:
        """The response to a request; every failure has one."""
        turn = Turn(self.api, request, self._now(), self._clock())
        try:
            answer = self._answered(turn)
        except Refusal as refusal:
            sent = {name.lower(): value for name, value in request.headers}
            told = refusals.worded(refusal, self.api.responses, turn.context, sent)
            answer = Answer(told.status, told.headers, told.body)
        answer = Answer(answer.status, (*answer.headers, *turn.own_headers()), answer.body)
        self._tell(turn, answer)
        return answer

    def _answered(self, turn: Turn) -> Answer:
        if turn.path is None:
            # Another stage is not this API's to answer, and has none of its wording.
            turn.context["context.error.responseType"] = "INVALID_API_KEY"
            return Answer(403, _FORBIDDEN, b'{"message":"Forbidden"}')
        if turn.request.too_large or len(turn.request.body) > BODY_BYTES:
            raise Refusal("REQUEST_TOO_LARGE", f"HTTP content length exceeded {BODY_BYTES} bytes.")
        route, parameters = self._route(turn)
        turn.entered(route)
        self._admit(turn, route)
        if self._throttled and route.rate is not None:
            self._take(f"method {route.path} {turn.request.method}", route.rate)
        if isinstance(route.integration, Mock):
            _check_media_type(route.integration, turn.request)
        _check_parameters(route, turn.request, parameters)
        _check_body(route, turn.request)
        if isinstance(route.integration, Mock):
            return _mocked(route.integration, turn)
        return self._proxied(route, route.integration, turn, parameters)

    def _route(self, turn: Turn) -> tuple[Route, dict[str, str]]:
        path = (turn.path or "").rstrip("/") or "/"
        for route, pattern in self._routes:
            match = pattern.fullmatch(path)
            if match and route.method in (turn.request.method, "ANY"):
                return route, match.groupdict()
        raise Refusal("MISSING_AUTHENTICATION_TOKEN")

    def _admit(self, turn: Turn, route: Route) -> None:
        """A key where one is asked for, and its usage plan's limits."""
        if not route.needs_key:
            return
        sent = turn.request.header("x-api-key")
        key = next(
            (
                key
                for key, value in self._keys.items()
                if hmac.compare_digest(value.encode(), sent.encode("utf-8", "replace"))
            ),
            None,
        )
        plan = next((plan for plan in self.api.plans if key in plan.key_ids), None)
        if key is None or plan is None:
            raise Refusal("INVALID_API_KEY")
        turn.identified(key, sent)
        if not self._throttled:
            return
        method_rate = plan.method_rates.get(f"{route.path}/{turn.request.method}")
        if method_rate is not None:
            self._take(f"key {key} {route.path} {turn.request.method}", method_rate)
        if plan.rate is not None:
            self._take(f"key {key}", plan.rate)
        if plan.quota is not None:
            with self._making:
                counter = self._counters.setdefault(key, Counter(plan.quota, self._now))
            if not counter.take():
                raise Refusal("QUOTA_EXCEEDED")

    def _take(self, name: str, rate: Rate) -> None:
        with self._making:
            bucket = self._buckets.setdefault(name, Bucket(rate, self._clock))
        if not bucket.take():
            raise Refusal("THROTTLED")

    def _proxied(
        self, route: Route, integration: Proxy, turn: Turn, parameters: Mapping[str, str]
    ) -> Answer:
        if not integration.allowed:
            # "Invalid permissions on Lambda function", says API Gateway's log.
            raise Refusal("API_CONFIGURATION_ERROR")
        request, api = turn.request, self.api
        event = proxy.event(
            method=request.method,
            path=turn.path or "/",
            resource=route.path,
            query=request.query,
            headers=(*request.headers, *turn.forwarded()),
            body=request.body,
            path_parameters=parameters,
            stage_variables=api.variables,
            context=turn.request_context(route),
            binary=api.binary,
        )
        payload = json.dumps(event, separators=(",", ":")).encode()
        if len(payload) > proxy.PAYLOAD_BYTES:
            raise Refusal("REQUEST_TOO_LARGE")
        started = self._clock()
        try:
            result = self._invoke(
                integration.function, payload, seconds=integration.seconds, trace=turn.trace
            )
        except InvokeTimedOut:
            raise Refusal("INTEGRATION_TIMEOUT") from None
        except InvokeFailed:
            # Lambda itself answered; it is the function that failed.
            turn.integrated(200, self._clock() - started)
            raise Refusal("INTEGRATION_FAILURE") from None
        turn.integrated(200, self._clock() - started)
        return proxy.answer(result, accept=request.header("accept"), binary=api.binary)

    def _tell(self, turn: Turn, answer: Answer) -> None:
        milliseconds = int((self._clock() - turn.started) * 1000)
        turn.context["context.status"] = str(answer.status)
        turn.context["context.responseLength"] = str(len(answer.body))
        turn.context["context.responseLatency"] = str(milliseconds)
        if self.api.access_log:
            quoted = self.api.access_log.lstrip().startswith("{")
            self._log(variables.fill(self.api.access_log, turn.context, absent="-", quoted=quoted))


_FORBIDDEN = (("Content-Type", "application/json"), ("x-amzn-ErrorType", "ForbiddenException"))


def _path_pattern(path: str) -> re.Pattern[str]:
    pattern = ""
    for part in re.split(r"(\{[^}]+\})", path):
        name = part[1:-1]
        if not part.startswith("{"):
            pattern += re.escape(part)
        elif name.endswith("+"):
            pattern += f"(?P<{name[:-1]}>.+)"
        else:
            pattern += f"(?P<{name}>[^/]+)"
    return re.compile(pattern)


def _check_media_type(integration: Mock, request: Request) -> None:
    if _template(integration, request) is None and (
        integration.passthrough == "NEVER"
        or (integration.passthrough == "WHEN_NO_TEMPLATES" and integration.requests)
    ):
        raise Refusal("UNSUPPORTED_MEDIA_TYPE")


def _template(integration: Mock, request: Request) -> str | None:
    media_type = proxy.content_type(request.headers).partition(";")[0].strip().lower()
    return integration.requests.get(media_type)


def _check_parameters(route: Route, request: Request, parameters: Mapping[str, str]) -> None:
    sent = {
        "path": parameters,
        "querystring": dict(validation.query(request.query)),
        "header": {name.lower(): value for name, value in request.headers},
    }
    missing = validation.missing(route.required, sent)
    if missing:
        raise Refusal(
            "BAD_REQUEST_PARAMETERS", f"Missing required request parameters: [{', '.join(missing)}]"
        )


def _check_body(route: Route, request: Request) -> None:
    media_type = proxy.content_type(request.headers).partition(";")[0].strip().lower()
    model = route.models.get(media_type) or route.models.get("$default")
    if model is None:
        return
    problems = model.problems(request.body)
    if problems:
        raise Refusal("BAD_REQUEST_BODY", detail=f"[{', '.join(problems)}]")


def _mocked(integration: Mock, turn: Turn) -> Answer:
    template = _template(integration, turn.request)
    text = variables.fill(template or turn.request.body.decode("utf-8", "replace"), turn.context)
    try:
        status = str(json.loads(text)["statusCode"])
    except (ValueError, KeyError, TypeError):
        raise Refusal("API_CONFIGURATION_ERROR") from None
    turn.integrated(int(status) if status.isdigit() else 0, 0)
    chosen = next(
        (r for r in integration.responses if r.pattern and re.fullmatch(r.pattern, status)),
        next((r for r in integration.responses if not r.pattern), None),
    )
    if chosen is None:
        raise Refusal("API_CONFIGURATION_ERROR")
    sent = {name.lower(): value for name, value in turn.request.headers}
    headers = [(k, variables.parameter(v, turn.context, sent)) for k, v in chosen.headers.items()]
    media_type, body = next(iter(chosen.templates.items()), ("application/json", ""))
    if not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("Content-Type", media_type))
    return Answer(chosen.status, tuple(headers), variables.fill(body, turn.context).encode())
