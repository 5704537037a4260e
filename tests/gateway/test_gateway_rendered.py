"""The API that the rendered template defines: the gateway's rules on the real document."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from small_api import Echo, Time, header, request

from tapgen import places, yaml_text
from tapgen.local.gateway import description
from tapgen.local.gateway.description import Proxy
from tapgen.local.gateway.reading import Live
from tapgen.local.gateway.service import InvokeTimedOut, Service

CONTRACT = json.loads((places.LAMBDA_SOURCE / places.API_CONTRACT).read_bytes())
KEY = "a-key"
VIDEO = {"title": "Opening night", "source_uri": "s3://videos/opening.mp4"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """As it stands in templates_out, read back."""
    loaded: dict[str, Any] = yaml_text.load((places.TEMPLATES_FOLDER / "api.yaml").read_text())
    return loaded


@pytest.fixture(scope="module")
def live(document: dict[str, Any]) -> Live:
    used = re.findall(r"tap-\$\{EnvironmentSuffix\}-\w+", json.dumps(document))
    return Live(
        parameters={"EnvironmentSuffix": "dev", "VideoMetadataApiCodeKey": "lambda/x/y.zip"},
        exports={name.replace("${EnvironmentSuffix}", "dev"): f"value of {name}" for name in used},
        ids={"ApiKey": "k3y", "RestApi": "abc123"},
    )


@pytest.fixture(scope="module")
def api(document: dict[str, Any], live: Live) -> description.Api:
    return description.api(document, live)


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def service(api: description.Api, echo: Echo) -> Service:
    return Service(api, invoke=echo, key_values={"k3y": KEY}, clock=Time())


def test_every_operation_of_the_contract_is_a_route_and_each_path_has_a_preflight(
    api: description.Api,
) -> None:
    routes = {f"{route.method} {route.path}": route for route in api.routes}
    paths = {name.partition(" ")[2] for name in CONTRACT["operations"]}

    assert set(routes) == {*CONTRACT["operations"], *(f"OPTIONS {path}" for path in paths)}
    for name, entry in CONTRACT["operations"].items():
        assert routes[name].needs_key == entry["api_key"]
        assert bool(routes[name].models) == ("body" in entry)
        integration = routes[name].integration
        assert isinstance(integration, Proxy)
        assert (integration.seconds, integration.allowed) == (29.0, True)


def test_limits_are_those_of_the_stage_and_of_the_plan(api: description.Api) -> None:
    rates = {f"{route.method} {route.path}": route.rate for route in api.routes}

    assert str(rates["GET /health"]) == "Rate(per_second=50.0, burst=100)"
    assert {str(rate) for name, rate in rates.items() if name != "GET /health"} == {
        "Rate(per_second=1000.0, burst=2000)"
    }
    (plan,) = api.plans
    assert plan.key_ids == ("k3y",)
    assert str(plan.quota) == "Quota(limit=1000000, period='MONTH', offset=0)"
    assert str(plan.rate) == "Rate(per_second=1000.0, burst=2000)"


def test_the_functions_see_what_the_stack_gives_them(document: dict[str, Any], live: Live) -> None:
    found = description.functions(document, live)

    api, migration = found["ApiFunction"], found["MigrationFunction"]
    assert (api.handler, api.timeout, api.memory) == ("video_api.handler.handler", 30.0, 512)
    assert (migration.handler, migration.timeout) == ("video_api.migrate.handler", 300.0)
    assert (api.log_format, api.log_level, api.code_key) == ("JSON", "INFO", "lambda/x/y.zip")
    assert api.environment["ENVIRONMENT"] == "dev"
    assert api.environment["DB_HOST"] == "value of tap-${EnvironmentSuffix}-DbEndpointAddress"
    assert "DB_MASTER_SECRET_ARN" not in api.environment
    assert "DB_MASTER_SECRET_ARN" in migration.environment


@pytest.mark.parametrize("path", ["/dev/health", "/dev/metadata"])
def test_a_browser_may_ask_first_without_a_key(service: Service, echo: Echo, path: str) -> None:
    answer = service.answer(request("OPTIONS", path, origin="https://app.example"))

    assert (answer.status, answer.body) == (204, b"")
    assert header(answer, "Access-Control-Allow-Origin") == "*"
    assert "X-Api-Key" in header(answer, "Access-Control-Allow-Headers")
    assert echo.events == []


def test_health_needs_no_key_and_metadata_does(service: Service, echo: Echo) -> None:
    assert service.answer(request(path="/dev/health")).status == 200
    assert service.answer(request(path="/dev/metadata")).status == 403
    assert service.answer(request(path="/dev/metadata", x_api_key=KEY)).status == 200
    assert [event["resource"] for event in echo.events] == ["/health", "/metadata"]


def refused(service: Service, echo: Echo, case: str) -> Any:
    """One refusal of each kind that the real API can meet."""
    if case == "BAD_REQUEST_BODY":
        return service.answer(request("POST", "/dev/metadata", body=b"{}", x_api_key=KEY))
    if case == "MISSING_AUTHENTICATION_TOKEN":
        return service.answer(request(path="/dev/nothing"))
    if case == "INVALID_API_KEY":
        return service.answer(request(path="/dev/metadata"))
    if case == "UNSUPPORTED_MEDIA_TYPE":
        return service.answer(request("OPTIONS", "/dev/health", content_type="text/plain"))
    if case == "REQUEST_TOO_LARGE":
        large = b"x" * (11 * 1024 * 1024)
        return service.answer(request("POST", "/dev/metadata", body=large, x_api_key=KEY))
    if case == "THROTTLED":
        return [service.answer(request(path="/dev/health")) for _ in range(101)][-1]
    echo.raising = InvokeTimedOut()
    if case == "INTEGRATION_FAILURE":
        echo.raising, echo.answer = None, "malformed"
    return service.answer(request(path="/dev/health"))


@pytest.mark.parametrize(
    ("case", "status", "code"),
    [
        ("BAD_REQUEST_BODY", 400, "invalid_request"),
        ("MISSING_AUTHENTICATION_TOKEN", 403, "MISSING_AUTHENTICATION_TOKEN"),
        ("INVALID_API_KEY", 403, "INVALID_API_KEY"),
        ("UNSUPPORTED_MEDIA_TYPE", 415, "unsupported_media_type"),
        ("REQUEST_TOO_LARGE", 413, "payload_too_large"),
        ("THROTTLED", 429, "THROTTLED"),
        ("INTEGRATION_FAILURE", 502, "INTEGRATION_FAILURE"),
        ("INTEGRATION_TIMEOUT", 504, "INTEGRATION_TIMEOUT"),
    ],
)
def test_every_refusal_of_the_gateway_has_the_api_s_one_shape_and_its_headers(
    service: Service, echo: Echo, case: str, status: int, code: str
) -> None:
    answer = refused(service, echo, case)

    error = json.loads(answer.body)["error"]
    assert (answer.status, error["code"]) == (status, code)
    assert sorted(error) == ["code", "message", "request_id"]
    assert error["request_id"] == header(answer, "X-Request-Id")
    assert header(answer, "Access-Control-Allow-Origin") == "*"
    assert "X-Request-Id" in header(answer, "Access-Control-Expose-Headers")
    assert header(answer, "Content-Type") == "application/json"
    if code in CONTRACT["errors"]:
        assert error["message"] == CONTRACT["errors"][code]["message"]


def test_the_log_has_a_line_for_every_request_and_neither_key_nor_body(
    api: description.Api, echo: Echo
) -> None:
    lines: list[str] = []
    service = Service(api, invoke=echo, key_values={"k3y": KEY}, clock=Time(), log=lines.append)

    body = json.dumps(VIDEO).encode()
    service.answer(request("POST", "/dev/metadata", body=body, x_api_key=KEY, user_agent="curl"))
    service.answer(request("PUT", "/dev/metadata"))

    first, second = (json.loads(line) for line in lines)
    assert (first["method"], first["path"], first["status"]) == ("POST", "/dev/metadata", "200")
    assert (first["apiKeyId"], first["ip"], first["userAgent"]) == ("k3y", "127.0.0.1", "curl")
    assert (second["status"], second["responseType"]) == ("403", "MISSING_AUTHENTICATION_TOKEN")
    assert KEY not in "".join(lines)
    assert "Opening" not in "".join(lines)
