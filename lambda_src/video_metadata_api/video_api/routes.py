"""Paths to operations, and everything to an answer: CORS, a request id and the one error shape."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, CORSConfig, Response

from video_api import model
from video_api import request as requests
from video_api.budget import Deadline
from video_api.errors import (
    ApiError,
    InternalError,
    MethodNotAllowed,
    NotFound,
    Unavailable,
    for_log,
)
from video_api.request import OneVideo
from video_api.service import HEALTH_KEPT_SECONDS, Service

JSON = "application/json"
_PATHS = {
    path: tuple(
        operation.split(" ")[0]
        for operation in model.DESCRIPTION["operations"]
        if operation.split(" ")[1] == path
    )
    for path in {operation.split(" ")[1] for operation in model.DESCRIPTION["operations"]}
}


@dataclass
class Turn:
    """What belongs to the request that is being answered."""

    event: Mapping[str, Any]
    request_id: str
    deadline: Deadline
    error: ApiError | None = None
    because: dict[str, str] | None = None


class Routes:
    """The resolver with the API's routes, for one request at a time."""

    def __init__(self, service: Callable[[], Service]) -> None:
        self._service = service
        self._turn = Turn({}, "", Deadline(0))
        # debug stays off even when an environment variable asks for it: it prints requests.
        self._resolver = APIGatewayRestResolver(
            cors=CORSConfig(
                allow_origin=model.CORS["origin"],
                allow_headers=model.CORS["request_headers"],
                expose_headers=model.CORS["response_headers"],
                max_age=model.CORS["max_age_seconds"],
            ),
            debug=False,
        )
        self._resolver.get("/health")(self._health)
        self._resolver.get("/metadata")(self._get)
        self._resolver.post("/metadata")(self._post)
        self._resolver.not_found(self._unknown)
        self._resolver.exception_handler(Exception)(self._failed)

    def answer(self, turn: Turn, context: Any) -> dict[str, Any]:
        """The answer to an event; every kind of failure has one."""
        self._turn = turn
        try:
            return self._answer(turn, context)
        finally:
            # Nothing of a request outlives it: neither its body nor the frames of its error.
            self._turn = Turn({}, "", Deadline(0))

    def _answer(self, turn: Turn, context: Any) -> dict[str, Any]:
        if not requests.is_proxy_event(turn.event):
            return _signed(_plain(self._error(NotFound())), turn.request_id)
        try:
            result = self._resolver.resolve(_for_routing(turn.event), context)
        except Exception as error:
            result = _plain(self._error(InternalError(), cause=error))
        return _signed(result, turn.request_id)

    def _health(self) -> Response[str]:
        health = self._service().health(self._turn.deadline)
        if health.database:
            return _json(200, health.document())
        # Until then the answer stays what it is.
        later = {"Retry-After": str(int(HEALTH_KEPT_SECONDS))}
        return _json(503, health.document(), later)

    def _get(self) -> Response[str]:
        query = requests.query(self._turn.event)
        if isinstance(query, OneVideo):
            return _json(200, self._service().one(query, self._turn.deadline))
        return _json(200, self._service().page(query, self._turn.deadline))

    def _post(self) -> Response[str]:
        new = requests.new_video(self._turn.event)
        created = self._service().create(new, self._turn.deadline)
        headers = {"Location": f"/metadata?video_id={created.video['video_id']}"}
        if created.replayed:
            headers["Idempotency-Replayed"] = "true"
        return _json(201, created.video, headers)

    def _unknown(self, _: Exception) -> Response[str]:
        methods = _PATHS.get(self._resolver.current_event.path)
        return self._error(MethodNotAllowed(allow=methods) if methods else NotFound())

    def _failed(self, error: Exception) -> Response[str]:
        if isinstance(error, ApiError):
            return self._error(error)
        return self._error(InternalError(), cause=error)

    def _error(self, error: ApiError, cause: Exception | None = None) -> Response[str]:
        self._turn.error = error
        if error.kind.status >= 500:
            self._turn.because = for_log(cause or error.__cause__ or error)
            if isinstance(error, Unavailable):
                self._turn.because["because"] = error.because
        headers = {}
        if error.retry_after is not None:
            headers["Retry-After"] = str(error.retry_after)
        if error.allow:
            headers["Allow"] = ", ".join(error.allow)
        return _json(error.kind.status, error.body(self._turn.request_id), headers)


def _for_routing(event: Mapping[str, Any]) -> dict[str, Any]:
    """What the resolver may see: enough to route by, and nothing that could trip it.

    It adds CORS to requests with an Origin. Every answer is to have it, so every request has one.
    """
    return {
        "path": event["path"],
        "httpMethod": event["httpMethod"],
        "headers": {"Origin": "any"},
        "multiValueHeaders": {"Origin": ["any"]},
        "requestContext": {},
    }


def _json(
    status: int, document: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> Response[str]:
    # Not escaped to ASCII: a page of 100 long descriptions would pass Lambda's 6 MB.
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return Response(status, content_type=JSON, body=body, headers=dict(headers or {}))


def _plain(response: Response[str]) -> dict[str, Any]:
    """An answer that did not come through the resolver."""
    headers = {name: [value] for name, value in response.headers.items()}
    return {
        "statusCode": response.status_code,
        "body": response.body,
        "isBase64Encoded": False,
        "multiValueHeaders": {**headers, "Content-Type": [JSON]},
    }


def _signed(result: dict[str, Any], request_id: str) -> dict[str, Any]:
    """Add what every answer has.

    API Gateway adds CORS to its own answers alone. A cache on the way may keep none of ours: the
    API key is not part of a URL.
    """
    headers = result.setdefault("multiValueHeaders", {})
    headers["Access-Control-Allow-Origin"] = [model.CORS["origin"]]
    headers["Access-Control-Expose-Headers"] = [",".join(model.CORS["response_headers"])]
    headers["X-Request-Id"] = [request_id]
    headers["Cache-Control"] = ["no-store"]
    headers["X-Content-Type-Options"] = ["nosniff"]
    return result
