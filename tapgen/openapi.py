"""The API as an OpenAPI document: what the contract describes, and what the template adds to it.

The contract is the file that the template's models and the function's validation are made from;
the template says who needs a key and how the gateway words its own refusals. Pure: data in, data
out. OpenAPI 3.0, whose schemas are of the same kin as API Gateway's draft 4: in 3.1 the number 1.0
would be an integer, and here it is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from tapgen.errors import TapgenError

Document = Mapping[str, Any]

_JSON = "application/json"
_METHOD = "AWS::ApiGateway::Method"
_RESPONSE = "AWS::ApiGateway::GatewayResponse"
_REQUEST_ID = "X-Request-Id"
# What the gateway may answer whatever is asked for, and what it says by it.
_ALWAYS = {
    429: "Too many requests at once, or in the month of the key's usage plan.",
    500: "The request failed for a reason of ours.",
    502: "The function failed.",
    504: "The function took longer than 29 seconds.",
}
_KEY_REFUSED = (403, "No API key, or one that is not known.")
_BODY_REFUSED = (413, "The body is larger than is taken.")
# The gateway's words, as they are without a response of the template's own.
_PLAIN = {"type": "object", "properties": {"message": {"type": "string"}}}

HEAD = """\
# Written by `tapgen openapi --write` from video_api/api_model.json and the API's template.
"""


class NotOfOneMind(TapgenError):
    """Contract and template describe different APIs."""

    def __init__(self, contract: set[str], template: set[str]) -> None:
        self.contract, self.template = contract, template
        odd = ", ".join(sorted(contract ^ template))
        super().__init__(f"the API's contract and its template differ in: {odd}; render again")


def document(contract: Document, template: Document) -> dict[str, Any]:
    """The OpenAPI document of an API. Raises ``NotOfOneMind``."""
    methods = dict(_methods(template))
    described = {entry["id"] for entry in contract["operations"].values()}
    if described != set(methods):
        raise NotOfOneMind(described, set(methods))
    paths: dict[str, dict[str, Any]] = {}
    for name, entry in contract["operations"].items():
        method, _, path = name.partition(" ")
        worded = _worded(template)
        operation = _operation(contract, entry, methods[entry["id"]], worded=worded)
        paths.setdefault(path, {})[method.lower()] = operation
    return {
        "openapi": "3.0.3",
        "info": {
            "title": contract["title"],
            "version": contract["version"],
            "description": "The key tells callers apart and counts them; it proves nobody's name.",
        },
        "servers": [_server()],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "ApiKey": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
            },
            "parameters": {
                name: _parameter(name, entry) for name, entry in contract["parameters"].items()
            },
            "headers": {
                _REQUEST_ID: {
                    "description": "API Gateway's id of the request; an error's body has it too.",
                    "schema": {"type": "string"},
                }
            },
            "schemas": {name: _schema(model) for name, model in contract["models"].items()},
        },
    }


def text(content: Document) -> str:
    """The document as YAML; the same bytes for the same data."""
    found: str = yaml.dump(
        content,
        Dumper=_NoAliases,
        sort_keys=False,
        allow_unicode=True,
        width=100,
        default_flow_style=False,
    )
    return HEAD + found


class _NoAliases(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _methods(template: Document) -> Iterator[tuple[str, Document]]:
    """Operations by name; a preflight has none."""
    for resource in template["Resources"].values():
        properties = resource.get("Properties", {})
        if resource["Type"] == _METHOD and "OperationName" in properties:
            yield properties["OperationName"], properties


def _worded(template: Document) -> frozenset[str]:
    """The kinds of refusal that the template words in the API's own shape of errors."""
    return frozenset(
        resource["Properties"]["ResponseType"]
        for resource in template["Resources"].values()
        if resource["Type"] == _RESPONSE
        and '"error"' in resource["Properties"].get("ResponseTemplates", {}).get(_JSON, "")
    )


def _server() -> dict[str, Any]:
    return {
        "url": "https://{apiId}.execute-api.ap-northeast-1.amazonaws.com/{environment}",
        "variables": {
            "apiId": {"default": "api", "description": "Output RestApiId of the api stack."},
            "environment": {"default": "demo", "description": "The environment's suffix."},
        },
    }


def _operation(
    contract: Document, entry: Document, method: Document, *, worded: frozenset[str]
) -> dict[str, Any]:
    operation: dict[str, Any] = {"operationId": entry["id"], "summary": entry["summary"]}
    if entry["parameters"]:
        operation["parameters"] = [
            {"$ref": f"#/components/parameters/{name}"} for name in entry["parameters"]
        ]
    if "body" in entry:
        operation["requestBody"] = {"required": True, "content": _content(_ref(entry["body"]))}
    operation["responses"] = _responses(contract, entry, method, worded)
    operation["security"] = [{"ApiKey": []}] if method["ApiKeyRequired"] else []
    return operation


def _responses(
    contract: Document, entry: Document, method: Document, worded: frozenset[str]
) -> dict[str, Any]:
    told: dict[int, list[str]] = {}
    for code in entry["errors"]:
        error = contract["errors"][code]
        told.setdefault(error["status"], []).append(f"{code}: {error['message']}")
    own = dict(_ALWAYS)
    if method["ApiKeyRequired"]:
        own[_KEY_REFUSED[0]] = _KEY_REFUSED[1]
    if "body" in entry:
        own[_BODY_REFUSED[0]] = _BODY_REFUSED[1]
    for status, description in own.items():
        told.setdefault(status, [description])
    found = {int(status): _success(models) for status, models in entry["responses"].items()}
    for status, descriptions in told.items():
        if status in found:
            # An answer with this status has a model of its own.
            schema = found[status]["content"][_JSON]["schema"]
            found[status]["content"][_JSON]["schema"] = {"anyOf": [schema, _ref("Error")]}
            continue
        kind = "DEFAULT_4XX" if status < 500 else "DEFAULT_5XX"
        schema = _ref("Error") if kind in worded else _PLAIN
        found[status] = _response(" ".join(descriptions), schema)
    return {str(status): found[status] for status in sorted(found)}


def _success(models: str | list[str]) -> dict[str, Any]:
    names = [models] if isinstance(models, str) else models
    schemas = [_ref(name) for name in names]
    return _response(" or ".join(names), schemas[0] if len(schemas) == 1 else {"oneOf": schemas})


def _response(description: str, schema: Document) -> dict[str, Any]:
    return {
        "description": description,
        "headers": {_REQUEST_ID: {"$ref": f"#/components/headers/{_REQUEST_ID}"}},
        "content": _content(schema),
    }


def _content(schema: Document) -> dict[str, Any]:
    return {_JSON: {"schema": schema}}


def _parameter(name: str, entry: Document) -> dict[str, Any]:
    return {
        "name": name,
        "in": entry["in"],
        "required": entry["required"],
        "description": entry["description"],
        "schema": _schema(entry["schema"]),
    }


def _schema(node: Any) -> Any:
    """A draft-04 schema as OpenAPI has it: without the dialect's name."""
    if isinstance(node, list):
        return [_schema(item) for item in node]
    if isinstance(node, Mapping):
        return {key: _schema(item) for key, item in node.items() if key != "$schema"}
    return node


def _ref(model: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model}"}
