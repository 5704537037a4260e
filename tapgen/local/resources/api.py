"""API Gateway: validators that validate, and the settings that APIs and stages lose."""

from __future__ import annotations

import json
from typing import Any

from tapgen.local import reach
from tapgen.local.resources import plumbing
from tapgen.local.resources.plumbing import Attributes, Made, Props

_VALIDATOR = "AWS::ApiGateway::RequestValidator"


def install() -> None:
    """Put this corner in."""
    plumbing.add(
        _VALIDATOR, create=_create_validator, update=_update_validator, delete=_delete_validator
    )
    plumbing.after("AWS::ApiGateway::RestApi", _finish_api)
    plumbing.after("AWS::ApiGateway::Method", _finish_method)
    plumbing.after("AWS::ApiGateway::Stage", _finish_stage)
    # The service's default is a key that opens nothing; the emulator's is the other way round.
    plumbing.before("AWS::ApiGateway::ApiKey", lambda props: {"Enabled": False, **props})
    plumbing.before("AWS::ApiGateway::UsagePlan", _with_throttles)


def _gateway() -> Any:
    return reach.service("apigateway_v1")


def _create_validator(logical_id: str, props: Props, stack_name: str) -> Made:
    wanted = plumbing.shaped("apigateway", "CreateRequestValidatorRequest", props)
    wanted.setdefault("name", f"{stack_name}-{logical_id}")
    created = _gateway()._create_request_validator(props["RestApiId"], wanted)
    validator = json.loads(plumbing.answer("CreateRequestValidator", created))
    return validator["id"], {"RequestValidatorId": validator["id"]}


def _update_validator(physical_id: str, old: Props, new: Props, stack_name: str) -> Made:
    changes = [
        {"op": "replace", "path": f"/{path}", "value": str(new.get(prop, False)).lower()}
        for prop, path in (
            ("ValidateRequestBody", "validateRequestBody"),
            ("ValidateRequestParameters", "validateRequestParameters"),
        )
    ]
    updated = _gateway()._update_request_validator(
        new["RestApiId"], physical_id, {"patchOperations": changes}
    )
    plumbing.answer("UpdateRequestValidator", updated)
    return physical_id, {"RequestValidatorId": physical_id}


def _delete_validator(physical_id: str, props: Props) -> None:
    if physical_id in _gateway()._request_validators.get(props["RestApiId"], {}):
        _gateway()._delete_request_validator(props["RestApiId"], physical_id)


def _finish_api(physical_id: str, props: Props) -> Attributes:
    api = _gateway()._rest_apis[physical_id]
    wanted = plumbing.shaped("apigateway", "RestApi", props)
    for name in ("endpointConfiguration", "apiKeySource", "securityPolicy", "endpointAccessMode"):
        if name in wanted:
            api[name] = wanted[name]
    if "disableExecuteApiEndpoint" in wanted:
        api["disableExecuteApiEndpoint"] = wanted["disableExecuteApiEndpoint"]
    return {}


def _finish_method(physical_id: str, props: Props) -> Attributes:
    resource = _gateway()._resources[props["RestApiId"]][props["ResourceId"]]
    method = resource["resourceMethods"][props["HttpMethod"]]
    method["requestValidatorId"] = props.get("RequestValidatorId")
    method["requestParameters"] = {
        name: str(required).lower() == "true"
        for name, required in (props.get("RequestParameters") or {}).items()
    }
    return {}


def _finish_stage(physical_id: str, props: Props) -> Attributes:
    stage = _gateway()._stages_v1[props["RestApiId"]][props["StageName"]]
    wanted = plumbing.shaped("apigateway", "Stage", props)
    access = props.get("AccessLogSetting") or {}
    stage["accessLogSettings"] = plumbing.shaped("apigateway", "AccessLogSettings", access)
    for name in ("cacheClusterEnabled", "cacheClusterSize", "documentationVersion", "variables"):
        if name in wanted:
            stage[name] = wanted[name]
    # The service writes a path's key without the slash at its beginning: "~1health/GET".
    settings = stage["methodSettings"]
    stage["methodSettings"] = {key.removeprefix("/"): settings[key] for key in settings}
    return {}


def _with_throttles(props: Props) -> Props:
    """Throttles of single methods in the API's spelling; the emulator leaves them as written."""
    stages = [
        {
            **stage,
            "Throttle": {
                method: plumbing.shaped("apigateway", "ThrottleSettings", limits)
                for method, limits in (stage.get("Throttle") or {}).items()
            },
        }
        for stage in props.get("ApiStages") or []
    ]
    return {**props, "ApiStages": stages}
