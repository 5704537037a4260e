"""ECS cluster and API Gateway: where tasks run, and the API in front of the database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tapgen.verify.environment import Environment
from tapgen.verify.questions import Asker, at
from tapgen.verify.result import Check, Fact, Facts

GROUP = "ECS cluster and API Gateway"


def cluster(env: Environment, ask: Asker) -> Facts:
    """The cluster on Fargate, watched by Container Insights."""
    made = env.get("compute", "Cluster")
    found = ask.one(
        "ecs", "describe_clusters", "clusters", clusters=[made.id], include=["SETTINGS", "TAGS"]
    )
    yield Fact("clusterName", found.get("clusterName"), f"video-processing-cluster-{env.env}")
    yield Fact("status", found.get("status"), "ACTIVE")
    providers = set(found.get("capacityProviders") or ())
    yield Fact("capacityProviders", providers, set(made.wanted["CapacityProviders"]))
    settings = {item.get("name"): item.get("value") for item in found.get("settings") or ()}
    (insights,) = made.wanted["ClusterSettings"]
    yield Fact("containerInsights", settings.get("containerInsights"), insights["Value"])


def rest_api(env: Environment, ask: Asker) -> Facts:
    """A regional REST API under its name, with the three methods and who needs a key."""
    made = env.get("api", "RestApi")
    found = ask.call("apigateway", "get_rest_api", restApiId=made.id)
    yield Fact("name", found.get("name"), f"video-metadata-api-{env.env}")
    types = at(found, "endpointConfiguration.types")
    yield Fact("endpoint types", types, ["REGIONAL"], says="Regional endpoint type")
    keyed = {
        f"{method} {path}": answer.get("apiKeyRequired")
        for path, methods in methods_of(env, ask).items()
        for method, answer in methods.items()
        if method != "OPTIONS"
    }
    wanted = {"GET /health": False, "GET /metadata": True, "POST /metadata": True}
    yield Fact("methods that require a key", keyed, wanted, says="GET /health (no authentication)")


def cors(env: Environment, ask: Asker) -> Facts:
    """A page of any origin may call it, and read why it was refused."""
    header = "Access-Control-Allow-Origin"
    for path, methods in methods_of(env, ask).items():
        if methods:
            told = at(methods, "OPTIONS.methodIntegration.integrationResponses.204") or {}
            allowed = (told.get("responseParameters") or {}).get(f"method.response.header.{header}")
            yield Fact(f"OPTIONS {path}", allowed, "'*'", says="CORS enabled for all origins")
    api = env.id("api", "RestApi")
    for kind in ("DEFAULT_4XX", "DEFAULT_5XX"):
        found = ask.call("apigateway", "get_gateway_response", restApiId=api, responseType=kind)
        allowed = (found.get("responseParameters") or {}).get(f"gatewayresponse.header.{header}")
        yield Fact(kind, allowed, "'*'")


def stage(env: Environment, ask: Asker) -> Facts:
    """The stage logs, traces and limits."""
    found = stage_of(env, ask)
    wanted = env.wanted("api", "Stage")
    yield Fact("deploymentId", found.get("deploymentId"), wanted["DeploymentId"])
    yield Fact("tracingEnabled", found.get("tracingEnabled"), wanted["TracingEnabled"])
    told = at(found, "accessLogSettings.destinationArn")
    group = wanted["AccessLogSetting"]["DestinationArn"]
    yield Fact("access log", told, group, says="CloudWatch logging enabled")
    settings = (found.get("methodSettings") or {}).get("*/*") or {}
    yield Fact("rate limit", settings.get("throttlingRateLimit"), 1000, says="1000 req/sec")
    yield Fact("burst limit", settings.get("throttlingBurstLimit"), 2000, says="2000 burst")
    (everywhere,) = [s for s in wanted["MethodSettings"] if s["ResourcePath"] == "/*"]
    yield Fact("loggingLevel", settings.get("loggingLevel"), everywhere["LoggingLevel"])
    # Bodies in the log would be people's data.
    yield Fact("dataTraceEnabled", settings.get("dataTraceEnabled"), False)


def api_logging(env: Environment, ask: Asker) -> Facts:
    """The account has the role without which API Gateway logs nothing."""
    role = ask.call("apigateway", "get_account").get("cloudwatchRoleArn")
    yield Fact("account's logging role", bool(role), True)
    if role:
        name = str(role).rpartition("/")[2]
        found = ask.call("iam", "get_role", RoleName=name)
        yield Fact("role", at(found, "Role.Arn"), role)


def function(env: Environment, ask: Asker) -> Facts:
    """The API's function as the document has it, ready."""
    made = env.get("api", "ApiFunction")
    found = function_of(env, ask)
    yield Fact("Runtime", found.get("Runtime"), "python3.12", says="Python 3.12")
    yield Fact("MemorySize", found.get("MemorySize"), 512, says="512MB memory")
    yield Fact("Timeout", found.get("Timeout"), 30, says="30-second timeout")
    yield Fact("State", found.get("State"), "Active")
    yield Fact("LastUpdateStatus", found.get("LastUpdateStatus"), "Successful")
    yield Fact("Handler", found.get("Handler"), made.wanted["Handler"])
    yield Fact("Architectures", found.get("Architectures"), made.wanted["Architectures"])
    mode = at(found, "TracingConfig.Mode")
    yield Fact("TracingConfig", mode, made.wanted["TracingConfig"]["Mode"])


def api_key(env: Environment, ask: Asker) -> Facts:
    """The key is enabled, in a plan for the stage, with the quota; its value stays unasked."""
    key, plan = env.id("api", "ApiKey"), env.id("api", "UsagePlan")
    api, stage_name = env.id("api", "RestApi"), env.wanted("api", "Stage")["StageName"]
    found = ask.call("apigateway", "get_api_key", apiKey=key, includeValue=False)
    yield Fact("enabled", found.get("enabled"), True, says="API key required")
    told = ask.call("apigateway", "get_usage_plan", usagePlanId=plan)
    quota = f"{at(told, 'quota.limit')} a {at(told, 'quota.period')}"
    yield Fact("quota", quota, "1000000 a MONTH", says="Monthly quota: 1,000,000 requests")
    throttle = {name: at(told, f"throttle.{name}") for name in ("rateLimit", "burstLimit")}
    yield Fact("throttle", throttle, {"rateLimit": 1000, "burstLimit": 2000})
    stages = [f"{item.get('apiId')}/{item.get('stage')}" for item in told.get("apiStages") or ()]
    yield Fact("stages", stages, [f"{api}/{stage_name}"])
    keys = ask.pages("apigateway", "get_usage_plan_keys", "items", usagePlanId=plan)
    yield Fact("keys in the plan", [item.get("id") for item in keys], [key])


def methods_of(env: Environment, ask: Asker) -> dict[str, Mapping[str, Any]]:
    """The API's methods by path."""
    api = env.id("api", "RestApi")
    found = ask.pages("apigateway", "get_resources", "items", restApiId=api, embed=["methods"])
    by_path = sorted(found, key=lambda item: str(item.get("path")))
    return {str(item.get("path")): item.get("resourceMethods") or {} for item in by_path}


def stage_of(env: Environment, ask: Asker) -> dict[str, Any]:
    """The API's stage. Raises ``Absent``."""
    name = env.wanted("api", "Stage")["StageName"]
    return ask.call("apigateway", "get_stage", restApiId=env.id("api", "RestApi"), stageName=name)


def function_of(env: Environment, ask: Asker, name: str = "ApiFunction") -> dict[str, Any]:
    """A function's configuration. Raises ``Absent``."""
    id_ = env.id("api", name)
    return ask.call("lambda", "get_function_configuration", FunctionName=id_)


CHECKS = (
    Check(GROUP, "cluster", "Fargate capacity, Container Insights on", cluster),
    Check(GROUP, "rest-api", "regional; health is open, metadata needs the key", rest_api),
    Check(GROUP, "cors", "pages of all origins may call it", cors),
    Check(GROUP, "stage", "the stage logs, traces, and limits requests", stage),
    Check(GROUP, "api-logging", "API Gateway may write logs in this account", api_logging),
    Check(GROUP, "function", "the function is ready: python3.12, 512 MB, 30 s", function),
    Check(GROUP, "api-key", "the key works for a million requests a month", api_key),
)
