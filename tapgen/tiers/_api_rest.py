"""The REST API itself: paths, methods, models and answers, as the API's description has them.

The description is the JSON document that the function validates by. Operations, parameters, the
body's schema, the CORS headers and the catalogue of errors are read from it, so what the gateway
lets through and what the function accepts cannot drift apart.

Nothing of it is live before a deployment, and CloudFormation deploys once, when the deployment is
created. So the deployment's logical id is a digest of all it publishes: a change makes a new one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from troposphere import AWSObject, GetAtt, Ref, Sub, apigateway, awslambda

from tapgen.stack import Draft

# What the API's clients meet at most, whatever the function may take.
INTEGRATION_MILLIS = 29_000

# What the gateway refuses as the function would is told in the function's words.
_SAME_AS_FUNCTION = {
    "BAD_REQUEST_BODY": "invalid_request",
    "BAD_REQUEST_PARAMETERS": "invalid_request",
    "REQUEST_TOO_LARGE": "payload_too_large",
    "UNSUPPORTED_MEDIA_TYPE": "unsupported_media_type",
}
_LOCATIONS = {"query": "querystring", "header": "header"}
_JSON = "application/json"


@dataclass(frozen=True)
class Operation:
    """A method of a path: ``GET /metadata``."""

    method: str
    path: str
    # The operation's entry in the description.
    entry: Mapping[str, Any]

    @property
    def title(self) -> str:
        """The stem of its logical ids: ``MetadataGet``."""
        return f"{_path_title(self.path)}{self.method.capitalize()}"

    @property
    def needs_key(self) -> bool:
        """Whether callers need an API key."""
        return bool(self.entry["api_key"])


@dataclass(frozen=True)
class RestApi:
    """The API as added to the draft."""

    api: apigateway.RestApi
    deployment: apigateway.Deployment
    operations: tuple[Operation, ...]


class _Model(apigateway.Model):
    """A model whose schema stays readable: troposphere's own turns it into one line of text."""

    def validate(self) -> None:
        """The schema was validated where it was written."""


def add(draft: Draft, contract: Mapping[str, Any], function: awslambda.Function) -> RestApi:
    """Add the API that ``contract`` describes and ``function`` answers."""
    operations = tuple(
        Operation(method=name.partition(" ")[0], path=name.partition(" ")[2], entry=entry)
        for name, entry in contract["operations"].items()
    )
    api = _api(draft, contract)
    resources = _resources(draft, api, operations)
    models = _models(draft, api, contract, operations)
    validator = draft.add(
        apigateway.RequestValidator(
            "RequestValidator",
            Name="body-and-parameters",
            RestApiId=Ref(api),
            ValidateRequestBody=True,
            ValidateRequestParameters=True,
        )
    )
    methods = [
        draft.add(_method(api, resources, validator, contract, operation, function))
        for operation in operations
    ]
    preflights = [
        draft.add(_preflight(api, resources[path], path, contract["cors"], operations))
        for path in resources
    ]
    answers = [draft.add(answer) for answer in _gateway_responses(api, contract)]
    deployment = _deployment(
        draft,
        api,
        [*resources.values(), *models, validator],
        [*methods, *preflights, *answers],
    )
    return RestApi(api, deployment, operations)


def _api(draft: Draft, contract: Mapping[str, Any]) -> apigateway.RestApi:
    policy = draft.parameter(
        "ApiSecurityPolicy",
        group="API",
        label="TLS policy",
        description="TLS versions and ciphers that the API accepts; both are TLS 1.2 and 1.3 only",
        Default="SecurityPolicy_TLS13_1_2_PFS_PQ_2025_09",
        AllowedValues=[
            "SecurityPolicy_TLS13_1_2_PFS_PQ_2025_09",
            "SecurityPolicy_TLS13_1_2_2021_06",
        ],
    )
    return draft.add(
        apigateway.RestApi(
            "RestApi",
            Name=draft.name("video-metadata-api"),
            Description=contract["title"],
            EndpointConfiguration=apigateway.EndpointConfiguration(Types=["REGIONAL"]),
            # Unset, a regional API still accepts TLS 1.0.
            SecurityPolicy=policy,
            # Obligatory beside these policies: refuses a host name other than the one in the SNI.
            EndpointAccessMode="STRICT",
            Tags=draft.name_tag("video-metadata-api"),
        )
    )


def _resources(
    draft: Draft, api: apigateway.RestApi, operations: Iterable[Operation]
) -> dict[str, apigateway.Resource]:
    paths = dict.fromkeys(operation.path for operation in operations)
    return {
        path: draft.add(
            apigateway.Resource(
                f"{_path_title(path)}Resource",
                RestApiId=Ref(api),
                ParentId=GetAtt(api, "RootResourceId"),
                PathPart=path.removeprefix("/"),
            )
        )
        for path in paths
    }


def _models(
    draft: Draft,
    api: apigateway.RestApi,
    contract: Mapping[str, Any],
    operations: Iterable[Operation],
) -> list[_Model]:
    names = dict.fromkeys(
        operation.entry["body"] for operation in operations if "body" in operation.entry
    )
    return [
        draft.add(
            _Model(
                f"{name}Model",
                # Letters and digits only, and create-only.
                Name=name,
                Description=contract["models"][name]["description"],
                RestApiId=Ref(api),
                ContentType=_JSON,
                Schema=contract["models"][name],
            )
        )
        for name in names
    ]


def _method(
    api: apigateway.RestApi,
    resources: Mapping[str, apigateway.Resource],
    validator: apigateway.RequestValidator,
    contract: Mapping[str, Any],
    operation: Operation,
    function: awslambda.Function,
) -> apigateway.Method:
    parameters = {
        f"method.request.{_LOCATIONS[contract['parameters'][name]['in']]}.{name}": bool(
            contract["parameters"][name]["required"]
        )
        for name in operation.entry["parameters"]
    }
    validation: dict[str, Any] = {}
    if parameters:
        validation["RequestParameters"] = parameters
    if "body" in operation.entry:
        validation["RequestModels"] = {_JSON: Ref(f"{operation.entry['body']}Model")}
    if validation:
        validation["RequestValidatorId"] = Ref(validator)
    return apigateway.Method(
        f"{operation.title}Method",
        RestApiId=Ref(api),
        ResourceId=Ref(resources[operation.path]),
        HttpMethod=operation.method,
        OperationName=operation.entry["id"],
        AuthorizationType="NONE",
        ApiKeyRequired=operation.needs_key,
        Integration=apigateway.Integration(
            Type="AWS_PROXY",
            # How the gateway calls Lambda, whatever the client's method is.
            IntegrationHttpMethod="POST",
            Uri=Sub(
                "arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/"
                f"${{{function.title}.Arn}}/invocations"
            ),
            TimeoutInMillis=INTEGRATION_MILLIS,
        ),
        **validation,
    )


def _preflight(
    api: apigateway.RestApi,
    resource: apigateway.Resource,
    path: str,
    cors: Mapping[str, Any],
    operations: Iterable[Operation],
) -> apigateway.Method:
    """What a browser asks before it sends the request itself, never with a key."""
    methods = [operation.method for operation in operations if operation.path == path]
    headers = {
        "Access-Control-Allow-Headers": ",".join(cors["request_headers"]),
        "Access-Control-Allow-Methods": ",".join([*methods, "OPTIONS"]),
        "Access-Control-Allow-Origin": cors["origin"],
        "Access-Control-Max-Age": str(cors["max_age_seconds"]),
    }
    return apigateway.Method(
        f"{_path_title(path)}OptionsMethod",
        RestApiId=Ref(api),
        ResourceId=Ref(resource),
        HttpMethod="OPTIONS",
        AuthorizationType="NONE",
        ApiKeyRequired=False,
        Integration=apigateway.Integration(
            Type="MOCK",
            PassthroughBehavior="NEVER",
            RequestTemplates={_JSON: '{"statusCode": 204}'},
            IntegrationResponses=[
                apigateway.IntegrationResponse(
                    StatusCode="204",
                    ResponseParameters={
                        f"method.response.header.{name}": f"'{value}'"
                        for name, value in headers.items()
                    },
                )
            ],
        ),
        MethodResponses=[
            apigateway.MethodResponse(
                StatusCode="204",
                ResponseParameters={f"method.response.header.{name}": True for name in headers},
            )
        ],
    )


def _gateway_responses(
    api: apigateway.RestApi, contract: Mapping[str, Any]
) -> list[apigateway.GatewayResponse]:
    """What the gateway answers by itself: readable for browsers, and in the one shape of errors.

    A response of a type of its own takes nothing from the default, so each has the headers. None
    sets a status: on the defaults it would become the status of everything.
    """
    words = {
        kind: (f'"{code}"', json.dumps(contract["errors"][code]["message"]))
        for kind, code in _SAME_AS_FUNCTION.items()
    }
    # messageString brings its own quotes.
    own = ('"$context.error.responseType"', "$context.error.messageString")
    words |= {"DEFAULT_4XX": own, "DEFAULT_5XX": own}
    headers = {
        "Access-Control-Allow-Origin": f"'{contract['cors']['origin']}'",
        "Access-Control-Expose-Headers": f"'{','.join(contract['cors']['response_headers'])}'",
        "X-Request-Id": "context.requestId",
    }
    return [
        apigateway.GatewayResponse(
            f"{''.join(part.capitalize() for part in kind.split('_'))}Response",
            RestApiId=Ref(api),
            ResponseType=kind,
            ResponseParameters={
                f"gatewayresponse.header.{name}": value for name, value in headers.items()
            },
            ResponseTemplates={
                _JSON: (
                    f'{{"error":{{"code":{code},"message":{message},'
                    '"request_id":"$context.requestId"}}'
                )
            },
        )
        for kind, (code, message) in sorted(words.items())
    ]


def _deployment(
    draft: Draft,
    api: apigateway.RestApi,
    named: Sequence[AWSObject],
    unnamed: Sequence[AWSObject],
) -> apigateway.Deployment:
    """Publish all of it. ``unnamed`` is what nothing else refers to, so it has to be waited for."""
    live = {item.title: item.to_dict() for item in [api, *named, *unnamed]}
    digest = hashlib.sha256(json.dumps(live, sort_keys=True).encode()).hexdigest()[:10]
    return draft.add(
        apigateway.Deployment(
            f"Deployment{digest}",
            # A deployment publishes what is there at that moment.
            DependsOn=sorted(str(item.title) for item in unnamed),
            RestApiId=Ref(api),
            Description=f"The API as of {digest}",
        )
    )


def _path_title(path: str) -> str:
    return "".join(part.capitalize() for part in path.replace("-", "/").split("/"))
