"""An API as a rendered template describes it: routes, models, answers, keys, plans, functions.

Reads a plain document and the values of its stack; asks nobody. Whatever the gateway could not
serve as API Gateway would is refused here, by the logical id that says it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jsonschema import SchemaError

from tapgen.local.gateway import variables
from tapgen.local.gateway.errors import NotRunnable
from tapgen.local.gateway.limits import Quota, Rate
from tapgen.local.gateway.reading import APIS, FUNCTION, Document, Live, Reader, text, true
from tapgen.local.gateway.refusals import GatewayResponse
from tapgen.local.gateway.validation import Model

__all__ = [
    "Api",
    "Function",
    "Live",
    "Mock",
    "MockResponse",
    "Plan",
    "Proxy",
    "Route",
    "api",
    "functions",
]


@dataclass(frozen=True)
class Function:
    """A Lambda function of the template. ``code_key`` is where its package lies."""

    logical_id: str
    name: str
    arn: str
    handler: str
    timeout: float
    memory: int
    environment: Mapping[str, str]
    code_key: str
    log_group: str
    log_format: str
    log_level: str


@dataclass(frozen=True)
class Proxy:
    """AWS_PROXY: the function gets the request as an event. Without ``allowed`` it refuses."""

    function: str
    seconds: float
    allowed: bool


@dataclass(frozen=True)
class MockResponse:
    """One answer of a MOCK; ``pattern`` picks it by status, the one without is the default."""

    status: int
    pattern: str
    headers: Mapping[str, str]
    templates: Mapping[str, str]


@dataclass(frozen=True)
class Mock:
    """MOCK: the request template, by media type, names the status; that picks the answer."""

    passthrough: str
    requests: Mapping[str, str]
    responses: tuple[MockResponse, ...]


@dataclass(frozen=True)
class Route:
    """A method of a resource, and all that happens before its integration."""

    method: str
    # As templates write it: /metadata/{id}.
    path: str
    resource_id: str
    needs_key: bool
    # Required parameters by place; checked when the validator says so.
    required: Mapping[str, tuple[str, ...]]
    # By media type; empty when bodies are not validated.
    models: Mapping[str, Model]
    integration: Proxy | Mock
    rate: Rate | None


@dataclass(frozen=True)
class Plan:
    """A usage plan of this stage: whose keys, and their limits."""

    key_ids: tuple[str, ...]
    rate: Rate | None
    quota: Quota | None
    # By method and path, as in "/metadata/GET".
    method_rates: Mapping[str, Rate]


@dataclass(frozen=True)
class Api:
    """Everything the gateway goes by."""

    id: str
    account: str
    region: str
    stage: str
    deployment: str
    variables: Mapping[str, str]
    access_log: str
    traced: bool
    binary: tuple[str, ...]
    routes: tuple[Route, ...]
    responses: Mapping[str, GatewayResponse]
    # Ids of keys that are enabled.
    key_ids: tuple[str, ...]
    plans: tuple[Plan, ...]


def functions(document: Document, live: Live) -> dict[str, Function]:
    """The template's functions by logical id. Raises ``NotRunnable``."""
    reader = Reader(document, live)
    return {name: _function(reader, name, read) for name, read in reader.each(FUNCTION)}


def api(document: Document, live: Live) -> Api:
    """The template's REST API at its stage; there must be one of each. Raises ``NotRunnable``."""
    reader = Reader(document, live)
    (api_name, rest), (_, stage) = reader.only("RestApi"), reader.only("Stage")
    logs = stage.get("AccessLogSetting", {})
    return Api(
        id=reader.id(api_name),
        account=live.account,
        region=live.region,
        stage=str(stage["StageName"]),
        deployment=str(stage.get("DeploymentId", "")),
        variables={k: str(v) for k, v in stage.get("Variables", {}).items()},
        access_log=logs.get("Format", ""),
        traced=true(stage.get("TracingEnabled", False)),
        binary=tuple(rest.get("BinaryMediaTypes", ())),
        routes=_routes(reader, reader.id(api_name), stage),
        responses=_responses(reader),
        key_ids=tuple(
            reader.id(name)
            for name, key in reader.each(f"{APIS}ApiKey")
            if true(key.get("Enabled", False))
        ),
        plans=_plans(reader, reader.id(api_name), str(stage["StageName"])),
    )


def _function(reader: Reader, name: str, read: Mapping[str, Any]) -> Function:
    logging = read.get("LoggingConfig", {})
    environment = read.get("Environment", {}).get("Variables", {})
    return Function(
        logical_id=name,
        name=reader.id(name),
        arn=reader.arn(name),
        handler=text(read.get("Handler"), f"{name}.Handler"),
        timeout=float(read.get("Timeout", 3)),
        memory=int(read.get("MemorySize", 128)),
        environment={k: text(v, f"{name}.Environment.{k}") for k, v in environment.items()},
        code_key=str(read.get("Code", {}).get("S3Key", "")),
        log_group=str(logging.get("LogGroup") or f"/aws/lambda/{reader.id(name)}"),
        log_format=str(logging.get("LogFormat", "Text")),
        log_level=str(logging.get("ApplicationLogLevel", "")),
    )


def _routes(reader: Reader, api_id: str, stage: Mapping[str, Any]) -> tuple[Route, ...]:
    paths = reader.paths()
    validators = {reader.id(name): read for name, read in reader.each(f"{APIS}RequestValidator")}
    models = {reader.id(name): read for name, read in reader.each(f"{APIS}Model")}
    rates = _method_rates(stage)
    base = f"{api_id}/{stage['StageName']}"
    found = []
    for name, read in reader.each(f"{APIS}Method"):
        if read.get("AuthorizationType", "NONE") != "NONE":
            raise NotRunnable(name, f"AuthorizationType {read['AuthorizationType']}")
        resource = read["ResourceId"]
        path = paths.get(resource, "/") if isinstance(resource, str) else "/"
        method = str(read["HttpMethod"])
        validator = validators.get(read.get("RequestValidatorId", ""), {})
        found.append(
            Route(
                method=method,
                path=path,
                resource_id=str(resource) if path != "/" else "root",
                needs_key=true(read.get("ApiKeyRequired", False)),
                required=_required(read, validator),
                models=_models(name, read, validator, models),
                integration=_integration(reader, name, read, base, path),
                rate=rates.get(f"{path}/{method}") or rates.get("/*/*"),
            )
        )
    return tuple(found)


def _required(
    method: Mapping[str, Any], validator: Mapping[str, Any]
) -> dict[str, tuple[str, ...]]:
    wanted: dict[str, list[str]] = {"path": [], "querystring": [], "header": []}
    if true(validator.get("ValidateRequestParameters", False)):
        for parameter, needed in method.get("RequestParameters", {}).items():
            _, _, place, name = parameter.split(".", 3)
            if true(needed):
                wanted[place].append(name)
    return {place: tuple(found) for place, found in wanted.items()}


def _models(
    name: str,
    method: Mapping[str, Any],
    validator: Mapping[str, Any],
    models: Mapping[str, Mapping[str, Any]],
) -> dict[str, Model]:
    if not true(validator.get("ValidateRequestBody", False)):
        return {}
    found = {}
    for media_type, model in method.get("RequestModels", {}).items():
        # A model is referred to by its own name, which Ref gives; or by one that was set.
        read = models.get(str(model)) or next(
            (item for item in models.values() if item.get("Name") == model), None
        )
        if read is None:
            raise NotRunnable(name, f"there is no model {model}")
        schema = read.get("Schema", {})
        schema = json.loads(schema) if isinstance(schema, str) else schema
        if "https://apigateway.amazonaws.com/" in json.dumps(schema):
            raise NotRunnable(str(read.get("Name", model)), "a model that refers to another")
        try:
            found[media_type.lower()] = Model(schema)
        except SchemaError as error:
            raise NotRunnable(str(read.get("Name", model)), error.message) from None
    return found


def _integration(
    reader: Reader, name: str, method: Mapping[str, Any], base: str, path: str
) -> Proxy | Mock:
    read = method.get("Integration", {})
    kind = read.get("Type")
    if kind == "MOCK":
        return _mock(name, read)
    if kind != "AWS_PROXY":
        raise NotRunnable(name, f"integration {kind}")
    uri = read.get("Uri")
    target = next(
        (
            logical_id
            for logical_id, _ in reader.each(FUNCTION)
            if f"/functions/{reader.arn(logical_id)}/invocations" in str(uri)
        ),
        None,
    )
    if target is None:
        raise NotRunnable(name, "it calls a function that is not of this template")
    source = (
        f"arn:aws:execute-api:{reader.live.region}:{reader.live.account}:"
        f"{base}/{'*' if method['HttpMethod'] == 'ANY' else method['HttpMethod']}{path}"
    )
    return Proxy(
        function=target,
        seconds=read.get("TimeoutInMillis", 29_000) / 1000,
        allowed=any(
            _permits(permission, reader.id(target), reader.arn(target), source)
            for _, permission in reader.each("AWS::Lambda::Permission")
        ),
    )


def _permits(permission: Mapping[str, Any], function: str, arn: str, source: str) -> bool:
    if permission.get("FunctionName") not in (function, arn):
        return False
    if permission.get("Principal") != "apigateway.amazonaws.com":
        return False
    pattern = permission.get("SourceArn", "*")
    parts = (re.escape(part) for part in str(pattern).split("*"))
    # A path's variables stand in the pattern as stars.
    return re.fullmatch(".*".join(parts), re.sub(r"\{[^}]*\}", "x", source)) is not None


def _mock(name: str, read: Mapping[str, Any]) -> Mock:
    responses = []
    for item in read.get("IntegrationResponses", ()):
        headers = {
            key.removeprefix("method.response.header."): value
            for key, value in item.get("ResponseParameters", {}).items()
        }
        responses.append(
            MockResponse(
                status=int(item["StatusCode"]),
                pattern=item.get("SelectionPattern", ""),
                headers=headers,
                templates=item.get("ResponseTemplates", {}),
            )
        )
    requests = {kind.lower(): found for kind, found in read.get("RequestTemplates", {}).items()}
    templates = [*requests.values(), *(t for each in responses for t in each.templates.values())]
    for template in templates:
        if variables.needs_vtl(template):
            raise NotRunnable(name, "a mapping template in VTL")
    return Mock(read.get("PassthroughBehavior", "WHEN_NO_MATCH"), requests, tuple(responses))


def _responses(reader: Reader) -> dict[str, GatewayResponse]:
    return {
        read["ResponseType"]: GatewayResponse(
            status=int(read["StatusCode"]) if "StatusCode" in read else None,
            headers={
                key.removeprefix("gatewayresponse.header."): value
                for key, value in read.get("ResponseParameters", {}).items()
            },
            templates=read.get("ResponseTemplates", {}),
        )
        for _, read in reader.each(f"{APIS}GatewayResponse")
    }


def _method_rates(stage: Mapping[str, Any]) -> dict[str, Rate]:
    return {
        f"{_decoded(item['ResourcePath'])}/{item['HttpMethod']}": Rate(
            float(item["ThrottlingRateLimit"]), int(item["ThrottlingBurstLimit"])
        )
        for item in stage.get("MethodSettings", ())
        if "ThrottlingRateLimit" in item and "ThrottlingBurstLimit" in item
    }


def _decoded(path: str) -> str:
    # /~1health is /health; the general entry is /*.
    return "/" + path[1:].replace("~1", "/").removeprefix("/")


def _plans(reader: Reader, api_id: str, stage: str) -> tuple[Plan, ...]:
    members: dict[str, list[str]] = {}
    for _, read in reader.each(f"{APIS}UsagePlanKey"):
        members.setdefault(str(read["UsagePlanId"]), []).append(str(read["KeyId"]))
    found = []
    for name, read in reader.each(f"{APIS}UsagePlan"):
        for item in read.get("ApiStages", ()):
            if (item.get("ApiId"), item.get("Stage")) != (api_id, stage):
                continue
            quota = read.get("Quota")
            found.append(
                Plan(
                    key_ids=tuple(members.get(reader.id(name), ())),
                    rate=_rate(read.get("Throttle")),
                    quota=quota
                    and Quota(int(quota["Limit"]), quota["Period"], int(quota.get("Offset", 0))),
                    method_rates={
                        key: rate
                        for key, value in item.get("Throttle", {}).items()
                        if (rate := _rate(value)) is not None
                    },
                )
            )
    return tuple(found)


def _rate(read: Mapping[str, Any] | None) -> Rate | None:
    if not read or "RateLimit" not in read or "BurstLimit" not in read:
        return None
    return Rate(float(read["RateLimit"]), int(read["BurstLimit"]))
