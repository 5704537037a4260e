"""One request's names and numbers: what logs, responses and events know of it."""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tapgen.local.gateway.description import Api, Route


@dataclass(frozen=True)
class Request:
    """A request as the listener read it. ``path`` has the stage, ``query`` no question mark."""

    method: str
    path: str
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    source_ip: str = "127.0.0.1"
    protocol: str = "HTTP/1.1"
    # The listener stopped reading: the body is larger than anybody takes.
    too_large: bool = False

    def header(self, name: str) -> str:
        """A header's last value; empty when it was not sent."""
        found = [value for sent, value in self.headers if sent.lower() == name.lower()]
        return found[-1] if found else ""


class Turn:
    """A request on its way; ``context`` grows as more is known, by the names of ``$context``."""

    def __init__(self, api: Api, request: Request, now: datetime, started: float) -> None:
        self.api, self.request, self.started = api, request, started
        self.path = _within_stage(request.path, api.stage)
        self.id = str(uuid.uuid4())
        epoch = now.timestamp()
        root, parent = secrets.token_hex(12), secrets.token_hex(8)
        self.trace = f"Root=1-{int(epoch):08x}-{root};Parent={parent};Sampled=0"
        self._extended = secrets.token_urlsafe(11) + "="
        self._host = request.header("host") or "localhost"
        self._time, self._epoch = now.strftime("%d/%b/%Y:%H:%M:%S %z"), int(epoch * 1000)
        self._identity: dict[str, str] = {}
        self.context: dict[str, str] = {
            "context.accountId": api.account,
            "context.apiId": api.id,
            "context.deploymentId": api.deployment,
            "context.domainName": self._host.partition(":")[0],
            "context.domainPrefix": self._host.partition(".")[0],
            "context.extendedRequestId": self._extended,
            "context.httpMethod": request.method,
            "context.identity.sourceIp": request.source_ip,
            "context.path": request.path,
            "context.protocol": request.protocol,
            "context.requestId": self.id,
            "context.requestTime": self._time,
            "context.requestTimeEpoch": str(self._epoch),
            "context.stage": api.stage,
            **{f"stageVariables.{name}": value for name, value in api.variables.items()},
        }
        if request.header("user-agent"):
            self.context["context.identity.userAgent"] = request.header("user-agent")
        if api.traced:
            self.context["context.xrayTraceId"] = self.trace.partition(";")[0].removeprefix("Root=")

    def entered(self, route: Route) -> None:
        """The route is known."""
        self.context["context.resourcePath"] = route.path
        self.context["context.resourceId"] = route.resource_id

    def identified(self, key: str, value: str) -> None:
        """The key is known."""
        self._identity = {"apiKey": value, "apiKeyId": key}
        self.context["context.identity.apiKeyId"] = key
        self.context["context.identity.apiKey"] = value

    def integrated(self, status: int, seconds: float) -> None:
        """The integration answered."""
        self.context["context.integration.status"] = str(status)
        self.context["context.integrationStatus"] = str(status)
        self.context["context.integration.latency"] = str(int(seconds * 1000))
        self.context["context.integrationLatency"] = str(int(seconds * 1000))

    def own_headers(self) -> tuple[tuple[str, str], ...]:
        """What API Gateway puts on every response."""
        found = [("x-amzn-RequestId", self.id), ("x-amz-apigw-id", self._extended)]
        if self.api.traced and "context.integration.status" in self.context:
            found.append(("X-Amzn-Trace-Id", self.trace))
        return tuple(found)

    def forwarded(self) -> tuple[tuple[str, str], ...]:
        """What a function learns of the way here."""
        before = self.request.header("x-forwarded-for")
        return (
            ("X-Amzn-Trace-Id", self.trace.partition(";")[0]),
            ("X-Forwarded-For", ", ".join(filter(None, (before, self.request.source_ip)))),
            ("X-Forwarded-Port", self._host.partition(":")[2] or "443"),
            ("X-Forwarded-Proto", "https"),
        )

    def request_context(self, route: Route) -> dict[str, Any]:
        """The event's ``requestContext``."""
        nobody = dict.fromkeys(
            (
                "accessKey",
                "accountId",
                "caller",
                "cognitoAuthenticationProvider",
                "cognitoAuthenticationType",
                "cognitoIdentityId",
                "cognitoIdentityPoolId",
                "principalOrgId",
                "user",
                "userArn",
            )
        )
        return {
            "resourceId": route.resource_id,
            "resourcePath": route.path,
            "httpMethod": self.request.method,
            "extendedRequestId": self._extended,
            "requestTime": self._time,
            "path": self.request.path,
            "accountId": self.api.account,
            "protocol": self.request.protocol,
            "stage": self.api.stage,
            "domainPrefix": self.context["context.domainPrefix"],
            "requestTimeEpoch": self._epoch,
            "requestId": self.id,
            "identity": {
                **nobody,
                "sourceIp": self.request.source_ip,
                "userAgent": self.request.header("user-agent") or None,
                **self._identity,
            },
            "domainName": self.context["context.domainName"],
            "deploymentId": self.api.deployment,
            "apiId": self.api.id,
        }


def _within_stage(path: str, stage: str) -> str | None:
    head, _, rest = path.removeprefix("/").partition("/")
    return f"/{rest}" if head == stage else None
