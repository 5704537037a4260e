"""API: the REST API for video metadata, its function, its key and its migrations.

API Gateway gives up after 29 s, the function after 30: the function keeps itself to 28 and has the
last word. A key is asked for on everything but the health check; it tells callers apart and counts
them, it does not prove who they are.

Two functions run from one package. One answers requests and knows a database role that owns
nothing. The other, invoked by the deployer, changes the schema with the master's credentials; it
is neither a custom resource, since rolling back a stack must not roll back data, nor part of a
cold start.

The API is described once, in the function's own description; ``_api_rest`` reads it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from troposphere import Ref, Sub, apigateway, awslambda, logs

from tapgen import names
from tapgen.stack import Draft, Exported, Stack
from tapgen.tiers import _api_functions, _api_rest
from tapgen.tiers import cache as redis
from tapgen.tiers import foundation as account
from tapgen.tiers import network as net
from tapgen.tiers import storage as data
from tapgen.tiers._api_functions import API_STEM

RATE, BURST = 1000, 2000
MONTHLY_QUOTA = 1_000_000
# Whoever has no key has no usage plan either; a monitor asks once in some seconds.
OPEN_RATE, OPEN_BURST = 50, 100

# What is written about each request: who, what, how long, and why it was refused. Neither body nor
# key.
ACCESS_LOG = {
    "requestId": "$context.requestId",
    "requestTime": "$context.requestTime",
    "method": "$context.httpMethod",
    "path": "$context.path",
    "status": "$context.status",
    "responseType": "$context.error.responseType",
    "responseLength": "$context.responseLength",
    "latency": "$context.responseLatency",
    "integrationStatus": "$context.integration.status",
    "integrationLatency": "$context.integration.latency",
    "apiKeyId": "$context.identity.apiKeyId",
    "ip": "$context.identity.sourceIp",
    "userAgent": "$context.identity.userAgent",
    "traceId": "$context.xrayTraceId",
}


@dataclass(frozen=True)
class Exports:
    """What others may use of the API."""

    api_endpoint_url: Exported
    api_key_id: Exported
    rest_api_id: Exported


def describe(
    *,
    network: net.Exports,
    storage: data.Exports,
    cache: redis.Exports,
    foundation: account.Exports,
    contract: Mapping[str, Any],
) -> Stack[Exports]:
    """Describe the API over its neighbours' exports and ``contract``, the API's description."""
    draft = Draft("api", "API: REST API for video metadata, its function, key and migrations")
    log_days = _log_days(draft)

    functions = _api_functions.add(
        draft,
        network=network,
        storage=storage,
        cache=cache,
        foundation=foundation,
        log_days=log_days,
    )
    rest = _api_rest.add(draft, contract, functions.answering)
    stage = _stage(draft, rest, log_days)
    _let_gateway_invoke(draft, rest, stage, functions.answering)
    key = _key(draft, rest.api, stage)

    draft.output(
        "ApiFunctionName", Ref(functions.answering), "The function that answers the API's requests"
    )
    draft.output(
        "MigrationFunctionName",
        Ref(functions.migrating),
        "Invoke it to bring the schema up to date",
    )
    return draft.finish(
        Exports(
            api_endpoint_url=draft.export(
                "ApiEndpointUrl",
                Sub(
                    "https://${RestApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}/${Stage}",
                    Stage=Ref(stage),
                ),
                "Where the API is reached",
            ),
            # The id alone: the value is for those who may ask API Gateway for it.
            api_key_id=draft.export("ApiKeyId", Ref(key), "Id of the API key"),
            rest_api_id=draft.export("RestApiId", Ref(rest.api), "Id of the API"),
        )
    )


def _log_days(draft: Draft) -> Ref:
    return draft.parameter(
        "ApiLogRetentionDays",
        group="API",
        label="Days to keep the API's logs",
        description="Days that the logs of the gateway and of the functions are kept",
        Type="Number",
        Default=30,
        AllowedValues=[1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365],
    )


def _stage(draft: Draft, rest: _api_rest.RestApi, log_days: Ref) -> apigateway.Stage:
    level = draft.parameter(
        "ApiExecutionLogLevel",
        group="API",
        label="Level of the gateway's log",
        description="What API Gateway logs about requests: all of them, or failures only",
        Default="INFO",
        AllowedValues=["INFO", "ERROR"],
    )
    access_log = draft.add(
        logs.LogGroup(
            "AccessLogGroup",
            LogGroupName=draft.name(f"/aws/apigateway/{API_STEM}"),
            RetentionInDays=log_days,
        )
    )
    # The name is API Gateway's. Made here first, or it would be made there, kept for ever.
    execution_log = draft.add(
        logs.LogGroup(
            "ExecutionLogGroup",
            LogGroupName=Sub(f"API-Gateway-Execution-Logs_${{RestApi}}/${{{names.SUFFIX}}}"),
            RetentionInDays=log_days,
        )
    )
    open_paths = [operation for operation in rest.operations if not operation.needs_key]
    return draft.add(
        apigateway.Stage(
            "Stage",
            DependsOn=execution_log,
            StageName=Ref(names.SUFFIX),
            RestApiId=Ref(rest.api),
            DeploymentId=Ref(rest.deployment),
            Description="The video metadata API of this environment",
            # No tags here: they read back otherwise than they were given.
            TracingEnabled=True,
            AccessLogSetting=apigateway.AccessLogSetting(
                # Not GetAtt Arn: API Gateway takes the :* off its end, which shows as drift.
                DestinationArn=Sub(
                    "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:"
                    f"${{{access_log.title}}}"
                ),
                Format=json.dumps(ACCESS_LOG),
            ),
            MethodSettings=[
                _method_setting("/*", "*", RATE, BURST, level),
                # An entry of its own takes nothing from the general one, so it says everything.
                *(
                    _method_setting(operation.path, operation.method, OPEN_RATE, OPEN_BURST, level)
                    for operation in open_paths
                ),
            ],
        )
    )


def _method_setting(
    path: str, method: str, rate: int, burst: int, level: Ref
) -> apigateway.MethodSetting:
    # Slashes are written as JSON pointers write them, all but the first.
    encoded = path if path == "/*" else f"/{path.replace('/', '~1')}"
    return apigateway.MethodSetting(
        ResourcePath=encoded,
        HttpMethod=method,
        LoggingLevel=level,
        # Bodies do not belong into logs.
        DataTraceEnabled=False,
        MetricsEnabled=True,
        ThrottlingRateLimit=rate,
        ThrottlingBurstLimit=burst,
    )


def _let_gateway_invoke(
    draft: Draft, rest: _api_rest.RestApi, stage: apigateway.Stage, function: awslambda.Function
) -> None:
    # One for each method: the preflights never reach the function.
    for operation in rest.operations:
        draft.add(
            awslambda.Permission(
                f"{operation.title}Permission",
                FunctionName=Ref(function),
                Action="lambda:InvokeFunction",
                Principal="apigateway.amazonaws.com",
                SourceArn=Sub(
                    "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:"
                    f"${{RestApi}}/${{{stage.title}}}/{operation.method}{operation.path}"
                ),
            )
        )


def _key(draft: Draft, api: apigateway.RestApi, stage: apigateway.Stage) -> apigateway.ApiKey:
    key = draft.add(
        apigateway.ApiKey(
            "ApiKey",
            Name=draft.name(API_STEM),
            Description="Key of the video metadata API",
            # Keys are made disabled, and then everything answers 403.
            Enabled=True,
            Tags=draft.name_tag(API_STEM),
        )
    )
    plan = draft.add(
        apigateway.UsagePlan(
            "UsagePlan",
            UsagePlanName=draft.name(API_STEM),
            Description="A month's requests with the key of the video metadata API",
            # By reference, which orders the two; a stage in a plan cannot be deleted.
            ApiStages=[apigateway.ApiStage(ApiId=Ref(api), Stage=Ref(stage))],
            Quota=apigateway.QuotaSettings(Limit=MONTHLY_QUOTA, Period="MONTH"),
            Throttle=apigateway.ThrottleSettings(RateLimit=RATE, BurstLimit=BURST),
            Tags=draft.name_tag(API_STEM),
        )
    )
    draft.add(
        apigateway.UsagePlanKey(
            "UsagePlanKey", KeyId=Ref(key), KeyType="API_KEY", UsagePlanId=Ref(plan)
        )
    )
    return key
