"""Small API templates, and a function in this process that remembers what it was asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from tapgen.local.gateway import description
from tapgen.local.gateway.proxy import Answer
from tapgen.local.gateway.reading import Live
from tapgen.local.gateway.service import Service
from tapgen.local.gateway.turn import Request

KEY = "the-value-of-the-key"
LIVE = Live(account="123456789012", ids={"Api": "abc123", "Key": "key1", "Plan": "plan1"})
URI = "arn:aws:apigateway:ap-northeast-1:lambda:path/2015-03-31/functions/${Echo.Arn}/invocations"
ERROR_TEMPLATE = '{"code":"$context.error.responseType","message":$context.error.messageString}'


def ref(name: str) -> dict[str, str]:
    return {"Ref": name}


def resource(kind: str, **properties: Any) -> dict[str, Any]:
    return {"Type": f"AWS::{kind}", "Properties": properties}


def proxied(path: str = "Thing", method: str = "GET", **properties: Any) -> dict[str, Any]:
    """A method that the function answers."""
    return resource(
        "ApiGateway::Method",
        RestApiId=ref("Api"),
        ResourceId=ref(path),
        HttpMethod=method,
        AuthorizationType="NONE",
        Integration={
            "Type": "AWS_PROXY",
            "IntegrationHttpMethod": "POST",
            "Uri": {"Fn::Sub": URI},
            "TimeoutInMillis": 5000,
        },
        **properties,
    )


def mocked(path: str = "Thing", method: str = "OPTIONS", **integration: Any) -> dict[str, Any]:
    """A method that the gateway answers by itself."""
    given = {
        "Type": "MOCK",
        "PassthroughBehavior": "NEVER",
        "RequestTemplates": {"application/json": '{"statusCode": 204}'},
        "IntegrationResponses": [
            {
                "StatusCode": "204",
                "ResponseParameters": {"method.response.header.X-From": "'the mock'"},
            }
        ],
        **integration,
    }
    return resource(
        "ApiGateway::Method",
        RestApiId=ref("Api"),
        ResourceId=ref(path),
        HttpMethod=method,
        AuthorizationType="NONE",
        Integration=given,
    )


def template(
    stage: Mapping[str, Any] | None = None,
    api: Mapping[str, Any] | None = None,
    without: tuple[str, ...] = (),
    **resources: Any,
) -> dict[str, Any]:
    """An API with ``/thing``, one function, and ``resources``."""
    found = {
        "Echo": resource("Lambda::Function", Handler="echo.handler", Timeout=1, MemorySize=256),
        "Api": resource("ApiGateway::RestApi", Name="small", **(api or {})),
        "Thing": resource(
            "ApiGateway::Resource",
            RestApiId=ref("Api"),
            ParentId={"Fn::GetAtt": ["Api", "RootResourceId"]},
            PathPart="thing",
        ),
        "Stage": resource(
            "ApiGateway::Stage",
            StageName="dev",
            RestApiId=ref("Api"),
            DeploymentId="d1",
            **(stage or {}),
        ),
        "Permission": resource(
            "Lambda::Permission",
            FunctionName=ref("Echo"),
            Principal="apigateway.amazonaws.com",
            SourceArn={
                "Fn::Sub": "arn:aws:execute-api:${AWS::Region}:${AWS::AccountId}:${Api}/${Stage}/*"
            },
        ),
        **resources,
    }
    return {"Resources": {name: item for name, item in found.items() if name not in without}}


def keyed(**plan: Any) -> dict[str, Any]:
    """A key and its usage plan."""
    return {
        "Key": resource("ApiGateway::ApiKey", Enabled=True),
        "Plan": resource(
            "ApiGateway::UsagePlan",
            ApiStages=[{"ApiId": ref("Api"), "Stage": ref("Stage")}],
            **plan,
        ),
        "Member": resource(
            "ApiGateway::UsagePlanKey",
            KeyId=ref("Key"),
            KeyType="API_KEY",
            UsagePlanId=ref("Plan"),
        ),
    }


class Echo:
    """Answers every event with ``answer``, and keeps the events."""

    def __init__(self, answer: Mapping[str, Any] | None = None) -> None:
        self.answer: Any = answer or {"statusCode": 200, "body": "{}"}
        self.events: list[dict[str, Any]] = []
        self.raising: Exception | None = None

    def __call__(self, function: str, payload: bytes, *, seconds: float, trace: str = "") -> bytes:
        self.events.append(json.loads(payload))
        if self.raising is not None:
            raise self.raising
        return json.dumps(self.answer).encode()

    @property
    def event(self) -> dict[str, Any]:
        """The last one."""
        return self.events[-1]


class Time:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def served(
    document: Mapping[str, Any],
    echo: Callable[..., bytes] | None = None,
    clock: Callable[[], float] | None = None,
    log: Callable[[str], object] = lambda line: None,
    **options: Any,
) -> Service:
    """The service of a template, with the one key's value."""
    return Service(
        description.api(document, LIVE),
        invoke=echo or Echo(),
        key_values={"key1": KEY},
        clock=clock or Time(),
        log=log,
        **options,
    )


def request(
    method: str = "GET",
    path: str = "/dev/thing",
    query: str = "",
    body: bytes = b"",
    **headers: str,
) -> Request:
    """A request; header names are written with underscores."""
    sent = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Request(method, path, query, (("Host", "api.example:8080"), *sent), body)


def header(answer: Answer, name: str) -> str:
    """A header's value; empty when there is none."""
    return next((value for n, value in answer.headers if n.lower() == name.lower()), "")


def told(answer: Answer) -> tuple[int, str]:
    """Status and the error's type, as the client sees them."""
    return answer.status, header(answer, "x-amzn-ErrorType")
