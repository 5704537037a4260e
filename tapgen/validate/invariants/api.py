"""The REST API: what goes live, who may call it, and where it logs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tapgen.validate import policy
from tapgen.validate.finding import Fault, Rule
from tapgen.validate.world import Resource, World, dig, is_true, mappings, number, strings

API = "AWS::ApiGateway::RestApi"
METHOD = "AWS::ApiGateway::Method"
RESOURCE = "AWS::ApiGateway::Resource"
STAGE = "AWS::ApiGateway::Stage"
KEY = "AWS::ApiGateway::ApiKey"
PLAN = "AWS::ApiGateway::UsagePlan"
# The default quota of a REST API's integration; raising it lowers the account's throttle.
GIVES_UP_MS = 29_000
WRITING = ("POST", "PUT", "PATCH", "DELETE", "ANY")


def enabled_key(world: World) -> Iterator[Fault]:
    """Enabled is false by default, and every call with the key is answered 403."""
    for key in world.of_type(KEY):
        if not is_true(key.get("Enabled")):
            yield key.fault("is not enabled")


def proxy_posts(world: World) -> Iterator[Fault]:
    """Lambda is invoked by POST, whatever the client's method; others are answered 500."""
    for method in world.of_type(METHOD):
        integration = method.get("Integration", {})
        to_lambda = ":lambda:" in str(integration.get("Uri"))
        if to_lambda and integration.get("IntegrationHttpMethod") != "POST":
            yield method.fault(
                f"invokes a function by {integration.get('IntegrationHttpMethod')}, not POST"
            )


def integration_timeout(world: World) -> Iterator[Fault]:
    """29 seconds are the default quota; more is refused without a raised one."""
    for method in world.of_type(METHOD):
        limit = number(method.get("Integration.TimeoutInMillis"))
        if limit is not None and limit > GIVES_UP_MS:
            yield method.fault(f"waits {limit:g} ms, and API Gateway gives up after {GIVES_UP_MS}")


def deployment_waits(world: World) -> Iterator[Fault]:
    """A deployment takes what exists when it is made; what comes later does not go live.

    AWS::ApiGateway::Deployment: "you must create the methods before".
    """
    for deployment in world.of_type("AWS::ApiGateway::Deployment"):
        for part in world.of_type(METHOD, "AWS::ApiGateway::GatewayResponse"):
            same = part.get("RestApiId") == deployment.get("RestApiId")
            if same and part.logical_id not in deployment.depends_on:
                yield deployment.fault(f"does not wait for {part.logical_id}")


def deployment_without_stage(world: World) -> Iterator[Fault]:
    """A stage that the deployment makes is nobody's resource: no logging, and it is left behind."""
    for deployment in world.of_type("AWS::ApiGateway::Deployment"):
        for prop in ("StageName", "StageDescription"):
            if deployment.get(prop) is not None:
                yield deployment.fault(f"makes a stage of its own ({prop})")


def permission_for_each(world: World) -> Iterator[Fault]:
    """A method whose function does not let it in is answered 500.

    API Gateway developer guide, "Resource-based permissions": SourceArn names api, stage, method
    and path.
    """
    for method in world.of_type(METHOD):
        function = _function(world, method)
        if function is None:
            continue
        asked = f"{method.get('HttpMethod')}{_path(world, method.get('ResourceId'))}"
        if not any(
            _lets_in(permission, function, method.get("RestApiId"), asked)
            for permission in world.of_type("AWS::Lambda::Permission")
        ):
            yield method.fault(f"{asked} may not invoke {function.logical_id}")


def narrow_permission(world: World) -> Iterator[Fault]:
    """A service named without its resource may act for anybody's: the confused deputy.

    AWS::Lambda::Permission, SourceArn.
    """
    for permission in world.of_type("AWS::Lambda::Permission"):
        if not permission.get("SourceArn") and not permission.get("SourceAccount"):
            yield permission.fault(f"lets in every {permission.get('Principal')}, of any account")


def access_log_arn(world: World) -> Iterator[Fault]:
    """The stage stores the group's ARN without ``:*``; with it, it drifts for ever."""
    for stage in world.of_type(STAGE):
        arn = stage.get("AccessLogSetting.DestinationArn")
        target = world.target(arn)
        from_attribute = target is not None and (target.resource.type, target.attribute) == (
            "AWS::Logs::LogGroup",
            "Arn",
        )
        if from_attribute or str(arn).endswith(":*"):
            yield stage.fault("gives its log group's ARN with ':*'")


def access_log_format(world: World) -> Iterator[Fault]:
    """API Gateway refuses a format without $context.requestId or extendedRequestId."""
    for stage in world.of_type(STAGE):
        form = stage.get("AccessLogSetting.Format")
        if isinstance(form, str) and not re.search(r"\$context\.(r|extendedR)equestId", form):
            yield stage.fault("has an access log format without $context.requestId")


def account_role(world: World) -> Iterator[Fault]:
    """Logging needs a role in the account's settings of API Gateway.

    "CloudWatch Logs role ARN must be set in account settings to enable logging".
    """
    if world.of_type("AWS::ApiGateway::Account"):
        return
    for stage in world.of_type(STAGE):
        levels = {rule.get("LoggingLevel") for rule in mappings(stage.get("MethodSettings"))}
        if stage.get("AccessLogSetting") or levels & {"INFO", "ERROR"}:
            yield stage.fault("logs, and no template here gives API Gateway a role to")


def execution_log_group(world: World) -> Iterator[Fault]:
    """API Gateway makes the group of its execution log itself, without an expiry."""
    for stage in world.of_type(STAGE):
        levels = {rule.get("LoggingLevel") for rule in mappings(stage.get("MethodSettings"))}
        if not levels & {"INFO", "ERROR"}:
            continue
        name = f"API-Gateway-Execution-Logs_{stage.get('RestApiId')}/{stage.get('StageName')}"
        group = world.by_name("AWS::Logs::LogGroup", "LogGroupName", name)
        if group is None:
            yield stage.fault(f"logs to {name}, which nobody describes")
        elif group.logical_id not in stage.depends_on:
            yield stage.fault(f"does not wait for its log group {group.logical_id}")


def no_data_trace(world: World) -> Iterator[Fault]:
    """Data tracing writes whole requests and responses to the log, keys included."""
    for stage in world.of_type(STAGE):
        for rule in mappings(stage.get("MethodSettings")):
            if is_true(rule.get("DataTraceEnabled")):
                yield stage.fault(f"traces data of {rule.get('ResourcePath')}")


def encoded_path(world: World) -> Iterator[Fault]:
    """Method settings encode the slashes inside a path: ``/~1health``; ``/*`` is for all."""
    for stage in world.of_type(STAGE):
        for rule in mappings(stage.get("MethodSettings")):
            path = str(rule.get("ResourcePath", ""))
            if path not in ("/*", "/") and "/" in path[1:]:
                yield stage.fault(f"has settings for {path!r}, with a bare slash inside")
            elif path not in ("/*", "/") and not path.startswith("/~1"):
                yield stage.fault(f"has settings for {path!r}, which is no encoded path")


def metered_key(world: World) -> Iterator[Fault]:
    """A method that wants a key is answered 403 unless a plan joins a key and its stage.

    API Gateway developer guide, "Usage plans and API keys".
    """
    joined = {
        (dig(stage, "ApiId"), plan.token())
        for plan in world.of_type(PLAN)
        for stage in mappings(plan.get("ApiStages"))
    }
    with_key = {link.get("UsagePlanId") for link in world.of_type("AWS::ApiGateway::UsagePlanKey")}
    usable = {api for api, plan in joined if plan in with_key}
    for method in world.of_type(METHOD):
        if is_true(method.get("ApiKeyRequired")) and method.get("RestApiId") not in usable:
            yield method.fault("wants an API key, and no usage plan joins a key and this API")


def stage_by_reference(world: World) -> Iterator[Fault]:
    """A plan that names its stage by text does not wait for it; deleting goes wrong likewise."""
    for plan in world.of_type(PLAN):
        for stage in mappings(plan.get("ApiStages")):
            if world.resource(stage.get("Stage"), STAGE) is None:
                yield plan.fault(f"names the stage {stage.get('Stage')!r} by text")


def writing_needs_a_key(world: World) -> Iterator[Fault]:
    """A method that writes, open to whoever finds the URL."""
    for method in world.of_type(METHOD):
        free = method.get("AuthorizationType", "NONE") == "NONE" and not is_true(
            method.get("ApiKeyRequired")
        )
        if method.get("HttpMethod") in WRITING and free:
            yield method.fault(f"{method.get('HttpMethod')} is open to everybody")


def preflight_is_open(world: World) -> Iterator[Fault]:
    """Browsers send the preflight without the key; asked for one, they give up."""
    for method in world.of_type(METHOD):
        if method.get("HttpMethod") == "OPTIONS" and is_true(method.get("ApiKeyRequired")):
            yield method.fault("OPTIONS wants an API key")


def refusals_have_cors(world: World) -> Iterator[Fault]:
    """API Gateway's own refusals carry no CORS header, so a browser cannot read 403, 429, 504."""
    crossing = {
        method.get("RestApiId")
        for method in world.of_type(METHOD)
        if method.get("HttpMethod") == "OPTIONS"
    }
    header = "gatewayresponse.header.Access-Control-Allow-Origin"
    given = {
        (answer.get("RestApiId"), answer.get("ResponseType"))
        for answer in world.of_type("AWS::ApiGateway::GatewayResponse")
        if header in (answer.get("ResponseParameters") or {})
    }
    for api in world.of_type(API):
        for kind in ("DEFAULT_4XX", "DEFAULT_5XX"):
            if api.token() in crossing and (api.token(), kind) not in given:
                yield api.fault(f"answers other origins, but not with {kind}")


def no_credentials_for_all(world: World) -> Iterator[Fault]:
    """``*`` with credentials is refused by browsers, and wished for by attackers."""
    for part in world.of_type(METHOD, "AWS::ApiGateway::GatewayResponse"):
        for name, value in _response_parameters(part):
            if name.endswith("Access-Control-Allow-Credentials") and "true" in str(value):
                yield part.fault("allows credentials to other origins")


def own_status(world: World) -> Iterator[Fault]:
    """A status on DEFAULT_4XX or DEFAULT_5XX rewrites every refusal to that one."""
    for answer in world.of_type("AWS::ApiGateway::GatewayResponse"):
        kind = str(answer.get("ResponseType", ""))
        if kind.startswith("DEFAULT_") and answer.get("StatusCode") is not None:
            yield answer.fault(f"rewrites every {kind} to {answer.get('StatusCode')}")


def modern_tls(world: World) -> Iterator[Fault]:
    """The regional default still accepts TLS 1.0.

    API Gateway developer guide, "Security policies": a SecurityPolicy_… needs EndpointAccessMode.
    """
    for api in world.of_type(API):
        chosen = str(api.get("SecurityPolicy", "TLS_1_0"))
        if chosen == "TLS_1_0":
            yield api.fault("accepts TLS 1.0")
        if chosen.startswith("SecurityPolicy_") and not api.get("EndpointAccessMode"):
            yield api.fault(f"has {chosen} without EndpointAccessMode")


def declared_parameters(world: World) -> Iterator[Fault]:
    """An integration maps only declared parameters, and path parameters only of its path.

    "Invalid mapping expression specified" otherwise.
    """
    for method in world.of_type(METHOD):
        declared = method.get("RequestParameters") or {}
        path = _path(world, method.get("ResourceId"))
        for value in strings(method.get("Integration.RequestParameters")):
            if value.startswith("method.request.") and value not in declared:
                yield method.fault(f"maps {value}, which it does not declare")
        for name in declared:
            hole = str(name).removeprefix("method.request.path.")
            if hole != name and f"{{{hole}}}" not in path and f"{{{hole}+}}" not in path:
                yield method.fault(f"declares {name}, and its path is {path}")


def model_name(world: World) -> Iterator[Fault]:
    """A model's name takes letters and digits only."""
    for model in world.of_type("AWS::ApiGateway::Model"):
        name = model.get("Name")
        if isinstance(name, str) and not re.fullmatch(r"[A-Za-z0-9]+", name):
            yield model.fault(f"is called {name!r}")


RULES = (
    Rule("TAP501", "error", "set Enabled to true", enabled_key),
    Rule("TAP502", "error", "set IntegrationHttpMethod to POST", proxy_posts),
    Rule("TAP503", "error", "set TimeoutInMillis to 29000 or less", integration_timeout),
    Rule("TAP504", "error", "add it to the deployment's DependsOn", deployment_waits),
    Rule(
        "TAP505", "error", "describe the stage as AWS::ApiGateway::Stage", deployment_without_stage
    ),
    Rule("TAP506", "error", "add an AWS::Lambda::Permission for it", permission_for_each),
    Rule("TAP507", "error", "set SourceArn", narrow_permission),
    Rule("TAP508", "warning", "spell the ARN with Fn::Sub, without ':*'", access_log_arn),
    Rule("TAP509", "error", "add it to the format", access_log_format),
    Rule("TAP510", "warning", "describe AWS::ApiGateway::Account once per account", account_role),
    Rule(
        "TAP511", "warning", "describe it with a retention, and DependsOn it", execution_log_group
    ),
    Rule("TAP512", "error", "set DataTraceEnabled to false", no_data_trace),
    Rule("TAP513", "error", "write '/~1' before the path, '~1' for a slash inside", encoded_path),
    Rule("TAP514", "error", "add ApiStages to a plan and a UsagePlanKey", metered_key),
    Rule("TAP515", "warning", "use Ref of the stage", stage_by_reference),
    Rule("TAP516", "error", "set ApiKeyRequired, or an authorizer", writing_needs_a_key),
    Rule("TAP517", "error", "set ApiKeyRequired to false", preflight_is_open),
    Rule("TAP518", "warning", "add GatewayResponses with the header", refusals_have_cors),
    Rule("TAP519", "error", "drop the header", no_credentials_for_all),
    Rule("TAP520", "error", "leave StatusCode out", own_status),
    Rule("TAP521", "error", "set SecurityPolicy and EndpointAccessMode", modern_tls),
    Rule("TAP522", "error", "declare it in RequestParameters", declared_parameters),
    Rule("TAP523", "error", "use letters and digits only", model_name),
)


def _function(world: World, method: Resource) -> Resource | None:
    uri = method.get("Integration.Uri")
    if ":lambda:" not in str(uri) and "Arn" not in str(uri):
        return None
    found = (target.resource for target in world.targets(uri))
    return next((item for item in found if item.type == "AWS::Lambda::Function"), None)


def _path(world: World, resource_id: Any) -> str:
    steps: list[str] = []
    current = world.target(resource_id)
    while current is not None and current.resource.type == RESOURCE and len(steps) < 30:
        steps.append(str(current.resource.get("PathPart")))
        current = world.target(current.resource.get("ParentId"))
    return "/" + "/".join(reversed(steps))


def _lets_in(permission: Resource, function: Resource, api: Any, asked: str) -> bool:
    named = str(permission.get("FunctionName"))
    meant = (function.token(), function.token("Arn"), str(function.get("FunctionName")))
    if named not in meant or permission.get("Principal") != "apigateway.amazonaws.com":
        return False
    source = str(permission.get("SourceArn", "*"))
    _, _, tail = source.partition(f"{api}/")
    stage, _, covered = tail.partition("/")
    # Path parameters stand as '*' in the ARN that API Gateway compares with.
    path = re.sub(r"\{[^}]+\}", "*", asked)
    return bool(stage) and (covered == path or policy.matches(covered or "*", path))


def _response_parameters(part: Resource) -> Iterator[tuple[str, Any]]:
    places = [part.get("ResponseParameters")]
    for response in mappings(part.get("Integration.IntegrationResponses")):
        places.append(response.get("ResponseParameters"))
    for place in places:
        for parameters in mappings(place):
            yield from ((str(name), value) for name, value in parameters.items())
