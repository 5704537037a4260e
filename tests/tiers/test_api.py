"""The API tier's claims, over the document as it is rendered."""

from __future__ import annotations

import copy
import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tapgen.tiers import api, cache, foundation, network, storage

PACKAGE = Path(__file__).parents[2] / "lambda_src/video_metadata_api/video_api"
CONTRACT: dict[str, Any] = json.loads((PACKAGE / "api_model.json").read_text())


def describe(contract: dict[str, Any]) -> dict[str, Any]:
    net = network.describe().exports
    return api.describe(
        network=net,
        storage=storage.describe(network=net).exports,
        cache=cache.describe(network=net).exports,
        foundation=foundation.describe().exports,
        contract=contract,
    ).document()


DOCUMENT = describe(CONTRACT)
RESOURCES: dict[str, Any] = DOCUMENT["Resources"]
FUNCTIONS = ["ApiFunction", "MigrationFunction"]
METHODS = ["HealthGetMethod", "MetadataGetMethod", "MetadataPostMethod"]
PREFLIGHTS = ["HealthOptionsMethod", "MetadataOptionsMethod"]
ANSWERS = [
    "BadRequestBodyResponse",
    "BadRequestParametersResponse",
    "Default4xxResponse",
    "Default5xxResponse",
    "RequestTooLargeResponse",
    "UnsupportedMediaTypeResponse",
]


def properties(logical_id: str) -> dict[str, Any]:
    found: dict[str, Any] = RESOURCES[logical_id]["Properties"]
    return found


def of_type(kind: str, document: dict[str, Any] = DOCUMENT) -> list[str]:
    return sorted(
        logical_id
        for logical_id, resource in document["Resources"].items()
        if resource["Type"] == kind
    )


def imported(key: str) -> dict[str, Any]:
    return {"Fn::ImportValue": {"Fn::Sub": f"tap-${{EnvironmentSuffix}}-{key}"}}


def role_may(role: str) -> dict[str, dict[str, Any]]:
    return {
        statement["Sid"]: statement
        for policy in properties(role)["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
    }


def deployment(document: dict[str, Any] = DOCUMENT) -> str:
    (logical_id,) = of_type("AWS::ApiGateway::Deployment", document)
    return logical_id


# The functions


def test_requests_are_answered_by_python_with_512_mb_and_30_seconds() -> None:
    function = properties("ApiFunction")

    assert function["FunctionName"] == {"Fn::Sub": "video-metadata-api-${EnvironmentSuffix}"}
    assert function["Handler"] == "video_api.handler.handler"
    assert function["Runtime"] == "python3.12"
    assert function["Architectures"] == ["arm64"]
    assert function["MemorySize"] == 512
    assert function["Timeout"] == 30


def test_migrations_are_a_function_of_their_own_with_five_minutes() -> None:
    function = properties("MigrationFunction")

    assert function["FunctionName"] == {"Fn::Sub": "video-metadata-migrate-${EnvironmentSuffix}"}
    assert function["Handler"] == "video_api.migrate.handler"
    assert function["Runtime"] == "python3.12"
    assert function["MemorySize"] == 512
    assert function["Timeout"] == 300


@pytest.mark.parametrize("handler", ["video_api.handler", "video_api.migrate"])
def test_the_handlers_are_there_to_be_called(handler: str) -> None:
    source = (PACKAGE.parent / handler.replace(".", "/")).with_suffix(".py").read_text()

    assert re.search(r"^def handler\(", source, re.MULTILINE)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_both_run_one_package_whose_key_has_no_default(function: str) -> None:
    parameter = DOCUMENT["Parameters"]["VideoMetadataApiCodeKey"]
    allowed = re.compile(parameter["AllowedPattern"])

    assert properties(function)["Code"] == {
        "S3Bucket": {"Fn::ImportValue": "tap-foundation-ArtifactBucketName"},
        "S3Key": {"Ref": "VideoMetadataApiCodeKey"},
    }
    assert "Default" not in parameter
    assert allowed.search(f"lambda/video-metadata-api/{'0f' * 32}.zip")
    assert not allowed.search("lambda/another/0f.zip")
    assert not allowed.search("lambda/video-metadata-api/0f.zip.exe")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_both_stand_in_the_private_subnets_behind_the_functions_group(function: str) -> None:
    assert properties(function)["VpcConfig"] == {
        "SecurityGroupIds": [imported("LambdaSecurityGroupId")],
        "SubnetIds": [imported("PrivateSubnetAId"), imported("PrivateSubnetBId")],
    }


@pytest.mark.parametrize("function", FUNCTIONS)
def test_both_are_traced_and_log_json_to_a_group_that_is_there_first(function: str) -> None:
    name = properties(function)["FunctionName"]["Fn::Sub"]
    group = RESOURCES[f"{function}LogGroup"]

    assert properties(function)["TracingConfig"] == {"Mode": "Active"}
    assert properties(function)["LoggingConfig"] == {
        "LogFormat": "JSON",
        "LogGroup": {"Ref": f"{function}LogGroup"},
        "ApplicationLogLevel": {"Ref": "ApiLogLevel"},
        "SystemLogLevel": "INFO",
    }
    assert group["Properties"]["LogGroupName"] == {"Fn::Sub": f"/aws/lambda/{name}"}
    assert group["Properties"]["RetentionInDays"] == {"Ref": "ApiLogRetentionDays"}
    assert group["DeletionPolicy"] == "Delete"


def test_the_api_is_told_of_database_and_cache_and_of_no_secrets_value() -> None:
    assert properties("ApiFunction")["Environment"]["Variables"] == {
        "DB_HOST": imported("DbEndpointAddress"),
        "DB_NAME": "videometadata",
        "DB_PORT": imported("DbEndpointPort"),
        # The role that owns nothing, not the master.
        "DB_SECRET_ARN": imported("DbAppSecretArn"),
        "ENVIRONMENT": {"Ref": "EnvironmentSuffix"},
        "LOG_LEVEL": {"Ref": "ApiLogLevel"},
        "POWERTOOLS_METRICS_NAMESPACE": "VideoProcessing",
        "POWERTOOLS_SERVICE_NAME": "video-metadata-api",
        "REDIS_PORT": imported("RedisPort"),
        "REDIS_PRIMARY_HOST": imported("RedisPrimaryEndpoint"),
        "REDIS_READER_HOST": imported("RedisReaderEndpoint"),
        "REDIS_SECRET_ARN": imported("RedisSecretArn"),
    }


def test_migrations_are_told_of_the_database_and_both_its_secrets() -> None:
    assert properties("MigrationFunction")["Environment"]["Variables"] == {
        "DB_HOST": imported("DbEndpointAddress"),
        "DB_MASTER_SECRET_ARN": imported("DbSecretArn"),
        "DB_NAME": "videometadata",
        "DB_PORT": imported("DbEndpointPort"),
        "DB_SECRET_ARN": imported("DbAppSecretArn"),
        "ENVIRONMENT": {"Ref": "EnvironmentSuffix"},
        "LOG_LEVEL": {"Ref": "ApiLogLevel"},
        "POWERTOOLS_METRICS_NAMESPACE": "VideoProcessing",
        "POWERTOOLS_SERVICE_NAME": "video-metadata-migrate",
    }


def test_the_functions_own_settings_are_content_with_what_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = importlib.util.spec_from_file_location("settings_read_alone", PACKAGE / "settings.py")
    assert spec is not None
    assert spec.loader is not None
    settings = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by its name.
    monkeypatch.setitem(sys.modules, spec.name, settings)
    spec.loader.exec_module(settings)

    def filled(function: str) -> dict[str, str]:
        variables = properties(function)["Environment"]["Variables"]
        return {name: "6379" if name.endswith("PORT") else "given" for name in variables}

    assert settings.read(filled("ApiFunction")).cache.reader.port == 6379
    migrating = filled("MigrationFunction")
    assert settings.database(migrating, variable="DB_MASTER_SECRET_ARN").secret_arn == "given"
    assert settings.app_secret_arn(migrating) == "given"


def test_concurrency_is_reserved_only_on_demand_because_a_new_account_has_none_to_spare() -> None:
    parameter = DOCUMENT["Parameters"]["ApiReservedConcurrency"]

    assert properties("ApiFunction")["ReservedConcurrentExecutions"] == {
        "Fn::If": [
            "ApiConcurrencyIsReserved",
            {"Ref": "ApiReservedConcurrency"},
            {"Ref": "AWS::NoValue"},
        ]
    }
    assert DOCUMENT["Conditions"]["ApiConcurrencyIsReserved"] == {
        "Fn::Not": [{"Fn::Equals": [{"Ref": "ApiReservedConcurrency"}, "0"]}]
    }
    assert (parameter["Default"], parameter["MaxValue"]) == (0, 200)


# Their roles


@pytest.mark.parametrize("function", FUNCTIONS)
def test_lambda_alone_assumes_the_roles(function: str) -> None:
    assert properties(f"{function}Role")["AssumeRolePolicyDocument"]["Statement"] == [
        {
            "Sid": "OnlyLambda",
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": ["sts:AssumeRole"],
        }
    ]
    assert properties(function)["Role"] == {"Fn::GetAtt": [f"{function}Role", "Arn"]}


def test_each_function_reads_its_own_secrets_and_no_other() -> None:
    assert role_may("ApiFunctionRole")["ReadSecrets"] == {
        "Sid": "ReadSecrets",
        "Effect": "Allow",
        "Action": ["secretsmanager:GetSecretValue"],
        "Resource": [imported("DbAppSecretArn"), imported("RedisSecretArn")],
    }
    assert role_may("MigrationFunctionRole")["ReadSecrets"]["Resource"] == [
        imported("DbSecretArn"),
        imported("DbAppSecretArn"),
    ]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_each_function_writes_to_its_own_log(function: str) -> None:
    assert role_may(f"{function}Role")["WriteOwnLog"] == {
        "Sid": "WriteOwnLog",
        "Effect": "Allow",
        "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
        "Resource": [{"Fn::GetAtt": [f"{function}LogGroup", "Arn"]}],
    }


@pytest.mark.parametrize("function", FUNCTIONS)
def test_lambda_makes_network_interfaces_and_the_code_itself_may_not(function: str) -> None:
    allowed = role_may(f"{function}Role")["LambdaMayAttachToTheVpc"]
    denied = role_may(f"{function}Role")["TheCodeItselfMayNot"]
    name = properties(function)["FunctionName"]["Fn::Sub"]

    assert "ec2:CreateNetworkInterface" in allowed["Action"]
    assert denied["Effect"] == "Deny"
    assert denied["Action"] == allowed["Action"]
    assert denied["Condition"] == {
        "ArnEquals": {
            "lambda:SourceFunctionArn": [
                {
                    "Fn::Sub": "arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}"
                    f":function:{name}"
                }
            ]
        }
    }


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_resource_is_named_but_where_iam_has_none(function: str) -> None:
    everywhere = {
        sid
        for sid, statement in role_may(f"{function}Role").items()
        if statement["Effect"] == "Allow" and "*" in statement["Resource"]
    }

    assert everywhere == {"LambdaMayAttachToTheVpc", "Trace"}
    assert role_may(f"{function}Role")["Trace"]["Action"] == [
        "xray:PutTelemetryRecords",
        "xray:PutTraceSegments",
    ]


# The API


def test_the_api_is_regional_and_has_the_documented_name() -> None:
    assert properties("RestApi")["Name"] == {"Fn::Sub": "video-metadata-api-${EnvironmentSuffix}"}
    assert properties("RestApi")["EndpointConfiguration"] == {"Types": ["REGIONAL"]}


def test_tls_below_1_2_is_refused_which_is_not_the_default() -> None:
    parameter = DOCUMENT["Parameters"]["ApiSecurityPolicy"]

    assert properties("RestApi")["SecurityPolicy"] == {"Ref": "ApiSecurityPolicy"}
    # Obligatory with these policies.
    assert properties("RestApi")["EndpointAccessMode"] == "STRICT"
    assert parameter["Default"] == "SecurityPolicy_TLS13_1_2_PFS_PQ_2025_09"
    assert parameter["AllowedValues"] == [
        "SecurityPolicy_TLS13_1_2_PFS_PQ_2025_09",
        "SecurityPolicy_TLS13_1_2_2021_06",
    ]


@pytest.mark.parametrize(
    ("logical_id", "resource", "method", "key"),
    [
        ("HealthGetMethod", "HealthResource", "GET", False),
        ("MetadataGetMethod", "MetadataResource", "GET", True),
        ("MetadataPostMethod", "MetadataResource", "POST", True),
    ],
)
def test_health_is_open_and_metadata_needs_a_key(
    logical_id: str, resource: str, method: str, key: bool
) -> None:
    found = properties(logical_id)

    assert found["ResourceId"] == {"Ref": resource}
    assert found["HttpMethod"] == method
    assert found["ApiKeyRequired"] is key
    assert found["AuthorizationType"] == "NONE"


def test_there_are_no_methods_but_these_and_their_preflights() -> None:
    assert of_type("AWS::ApiGateway::Method") == sorted([*METHODS, *PREFLIGHTS])
    assert [properties(path)["PathPart"] for path in of_type("AWS::ApiGateway::Resource")] == [
        "health",
        "metadata",
    ]


@pytest.mark.parametrize("method", METHODS)
def test_the_function_answers_within_the_gateways_29_seconds(method: str) -> None:
    # POST is how the gateway calls Lambda, also for a GET.
    assert properties(method)["Integration"] == {
        "Type": "AWS_PROXY",
        "IntegrationHttpMethod": "POST",
        "TimeoutInMillis": 29000,
        "Uri": {
            "Fn::Sub": "arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2015-03-31"
            "/functions/${ApiFunction.Arn}/invocations"
        },
    }


def test_each_method_may_invoke_the_function_and_preflights_may_not() -> None:
    sources = {
        properties(permission)["SourceArn"]["Fn::Sub"].rpartition("${RestApi}/")[2]
        for permission in of_type("AWS::Lambda::Permission")
    }

    assert sources == {
        "${Stage}/GET/health",
        "${Stage}/GET/metadata",
        "${Stage}/POST/metadata",
    }
    assert {
        properties(permission)["Principal"] for permission in of_type("AWS::Lambda::Permission")
    } == {"apigateway.amazonaws.com"}


def test_a_posted_body_is_validated_by_the_schema_that_the_function_has() -> None:
    model = properties("NewVideoModel")

    assert model["Schema"] == CONTRACT["models"]["NewVideo"]
    assert model["Schema"]["$schema"] == "http://json-schema.org/draft-04/schema#"
    assert model["ContentType"] == "application/json"
    # API Gateway takes letters and digits only.
    assert model["Name"] == "NewVideo"
    assert properties("MetadataPostMethod")["RequestModels"] == {
        "application/json": {"Ref": "NewVideoModel"}
    }
    assert properties("MetadataPostMethod")["RequestValidatorId"] == {"Ref": "RequestValidator"}
    assert properties("RequestValidator")["ValidateRequestBody"] is True


def test_parameters_are_declared_and_none_is_required() -> None:
    assert properties("MetadataGetMethod")["RequestParameters"] == {
        "method.request.querystring.video_id": False,
        "method.request.querystring.limit": False,
        "method.request.querystring.cursor": False,
        "method.request.querystring.status": False,
    }
    assert properties("MetadataPostMethod")["RequestParameters"] == {
        "method.request.header.Idempotency-Key": False
    }
    assert "RequestParameters" not in properties("HealthGetMethod")


# CORS


@pytest.mark.parametrize(
    ("preflight", "methods"),
    [
        ("HealthOptionsMethod", "'GET,OPTIONS'"),
        ("MetadataOptionsMethod", "'GET,POST,OPTIONS'"),
    ],
)
def test_preflights_are_answered_without_key_and_function_for_every_origin(
    preflight: str, methods: str
) -> None:
    found = properties(preflight)
    (response,) = found["Integration"]["IntegrationResponses"]

    assert found["ApiKeyRequired"] is False
    assert found["Integration"]["Type"] == "MOCK"
    assert found["Integration"]["RequestTemplates"] == {"application/json": '{"statusCode": 204}'}
    assert response == {
        "StatusCode": "204",
        "ResponseParameters": {
            "method.response.header.Access-Control-Allow-Origin": "'*'",
            "method.response.header.Access-Control-Allow-Methods": methods,
            "method.response.header.Access-Control-Allow-Headers": (
                "'Content-Type,Idempotency-Key,X-Api-Key'"
            ),
            "method.response.header.Access-Control-Max-Age": "'600'",
        },
    }
    # With credentials a browser would refuse the star.
    assert "Credentials" not in str(found)


@pytest.mark.parametrize("preflight", PREFLIGHTS)
def test_each_header_of_a_preflight_is_declared_or_it_is_not_sent(preflight: str) -> None:
    (sent,) = properties(preflight)["Integration"]["IntegrationResponses"]
    (declared,) = properties(preflight)["MethodResponses"]

    assert declared["StatusCode"] == sent["StatusCode"]
    assert set(declared["ResponseParameters"]) == set(sent["ResponseParameters"])


@pytest.mark.parametrize("answer", ANSWERS)
def test_what_the_gateway_answers_by_itself_browsers_may_read(answer: str) -> None:
    found = properties(answer)

    assert found["ResponseParameters"] == {
        "gatewayresponse.header.Access-Control-Allow-Origin": "'*'",
        "gatewayresponse.header.Access-Control-Expose-Headers": (
            "'Idempotency-Replayed,Location,Retry-After,X-Request-Id'"
        ),
        "gatewayresponse.header.X-Request-Id": "context.requestId",
    }
    # On a default it would become the status of everything.
    assert "StatusCode" not in found


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("BadRequestBodyResponse", "invalid_request"),
        ("BadRequestParametersResponse", "invalid_request"),
        ("Default4xxResponse", "INVALID_API_KEY"),
        ("Default5xxResponse", "INVALID_API_KEY"),
        ("RequestTooLargeResponse", "payload_too_large"),
        ("UnsupportedMediaTypeResponse", "unsupported_media_type"),
    ],
)
def test_the_gateways_errors_have_the_functions_shape(answer: str, code: str) -> None:
    values = {
        "$context.error.responseType": "INVALID_API_KEY",
        # The gateway puts the quotes round it.
        "$context.error.messageString": '"Forbidden"',
        "$context.requestId": "41b45ea3",
    }
    template = properties(answer)["ResponseTemplates"]["application/json"]

    body = json.loads(re.sub(r"\$[\w.]+", lambda match: values[match[0]], template))

    known = CONTRACT["errors"].get(code, {"message": "Forbidden"})
    assert body == {"error": {"code": code, "message": known["message"], "request_id": "41b45ea3"}}


# Deployment and stage


def test_a_deployment_waits_for_everything_that_it_publishes() -> None:
    found = RESOURCES[deployment()]

    assert found["DependsOn"] == sorted([*METHODS, *PREFLIGHTS, *ANSWERS])
    assert "StageName" not in found["Properties"]
    assert properties("Stage")["DeploymentId"] == {"Ref": deployment()}


def _another_length(contract: dict[str, Any]) -> None:
    contract["models"]["NewVideo"]["properties"]["title"]["maxLength"] = 201


def _another_parameter(contract: dict[str, Any]) -> None:
    contract["operations"]["GET /metadata"]["parameters"].remove("status")


def _another_key(contract: dict[str, Any]) -> None:
    contract["operations"]["GET /health"]["api_key"] = True


def _another_header(contract: dict[str, Any]) -> None:
    contract["cors"]["request_headers"].append("X-Trace")


def _another_message(contract: dict[str, Any]) -> None:
    contract["errors"]["invalid_request"]["message"] = "No."


def _another_path(contract: dict[str, Any]) -> None:
    contract["operations"]["GET /status"] = contract["operations"].pop("GET /health")


@pytest.mark.parametrize(
    "change",
    [
        _another_length,
        _another_parameter,
        _another_key,
        _another_header,
        _another_message,
        _another_path,
    ],
)
def test_a_change_of_what_is_published_makes_a_new_deployment(change: Any) -> None:
    contract = copy.deepcopy(CONTRACT)
    change(contract)

    assert deployment(describe(contract)) != deployment()


def test_what_is_not_published_makes_none() -> None:
    contract = copy.deepcopy(CONTRACT)
    contract["limits"]["idempotency_key_days"] = 8
    contract["models"]["VideoList"]["description"] = "Videos."

    assert deployment(describe(contract)) == deployment()


def test_all_requests_are_limited_and_those_without_a_key_much_more() -> None:
    both = {
        "LoggingLevel": {"Ref": "ApiExecutionLogLevel"},
        "DataTraceEnabled": False,
        "MetricsEnabled": True,
    }
    assert properties("Stage")["MethodSettings"] == [
        {
            "ResourcePath": "/*",
            "HttpMethod": "*",
            "ThrottlingRateLimit": 1000,
            "ThrottlingBurstLimit": 2000,
            **both,
        },
        {
            "ResourcePath": "/~1health",
            "HttpMethod": "GET",
            "ThrottlingRateLimit": 50,
            "ThrottlingBurstLimit": 100,
            **both,
        },
    ]


def test_the_stage_is_traced_and_its_access_log_is_named_without_the_star() -> None:
    stage = properties("Stage")

    assert stage["StageName"] == {"Ref": "EnvironmentSuffix"}
    assert stage["TracingEnabled"] is True
    # GetAtt Arn ends in :*, which API Gateway takes off: drift for ever.
    assert stage["AccessLogSetting"]["DestinationArn"] == {
        "Fn::Sub": "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}"
        ":log-group:${AccessLogGroup}"
    }
    assert "Tags" not in stage


def test_the_access_log_is_one_json_line_with_the_request_id_and_no_key() -> None:
    line = properties("Stage")["AccessLogSetting"]["Format"]

    assert "\n" not in line
    assert json.loads(line)["requestId"] == "$context.requestId"
    # The id of a key may be logged, its value not.
    assert "$context.identity.apiKey" not in line.replace("$context.identity.apiKeyId", "")


def test_the_gateways_own_log_is_made_first_or_it_would_be_kept_for_ever() -> None:
    group = RESOURCES["ExecutionLogGroup"]

    assert RESOURCES["Stage"]["DependsOn"] == "ExecutionLogGroup"
    # The name that API Gateway writes to: api and stage.
    assert group["Properties"]["LogGroupName"] == {
        "Fn::Sub": "API-Gateway-Execution-Logs_${RestApi}/${EnvironmentSuffix}"
    }
    assert group["Properties"]["RetentionInDays"] == {"Ref": "ApiLogRetentionDays"}


def test_the_stage_comes_after_the_account_can_log_because_its_functions_do() -> None:
    # API Gateway's account role is in the stack that exports the bucket.
    assert properties("ApiFunction")["Code"]["S3Bucket"] == {
        "Fn::ImportValue": "tap-foundation-ArtifactBucketName"
    }


# Key and plan


def test_the_key_is_enabled_which_is_not_the_default() -> None:
    assert properties("ApiKey")["Enabled"] is True
    assert properties("ApiKey")["Name"] == {"Fn::Sub": "video-metadata-api-${EnvironmentSuffix}"}


def test_a_key_has_a_million_requests_a_month_on_this_stage() -> None:
    plan = properties("UsagePlan")

    assert plan["Quota"] == {"Limit": 1000000, "Period": "MONTH"}
    assert plan["Throttle"] == {"RateLimit": 1000, "BurstLimit": 2000}
    # A reference: a stage cannot be deleted while a plan has it.
    assert plan["ApiStages"] == [{"ApiId": {"Ref": "RestApi"}, "Stage": {"Ref": "Stage"}}]
    assert properties("UsagePlanKey") == {
        "KeyId": {"Ref": "ApiKey"},
        "KeyType": "API_KEY",
        "UsagePlanId": {"Ref": "UsagePlan"},
    }


def test_the_url_and_ids_are_exported_and_never_the_keys_value() -> None:
    outputs = DOCUMENT["Outputs"]

    assert {key: outputs[key]["Value"] for key in outputs if "Export" in outputs[key]} == {
        "ApiEndpointUrl": {
            "Fn::Sub": [
                "https://${RestApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}/${Stage}",
                {"Stage": {"Ref": "Stage"}},
            ]
        },
        "ApiKeyId": {"Ref": "ApiKey"},
        "RestApiId": {"Ref": "RestApi"},
    }


def test_the_deployer_finds_the_migration_function_in_the_outputs() -> None:
    assert DOCUMENT["Outputs"]["MigrationFunctionName"]["Value"] == {"Ref": "MigrationFunction"}
    assert "Export" not in DOCUMENT["Outputs"]["MigrationFunctionName"]
