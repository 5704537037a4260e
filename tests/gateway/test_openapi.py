"""The OpenAPI description: made from the contract and the template, valid, fresh."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import yaml
from command_line import CommandLine

from tapgen import openapi, places
from tapgen.openapi import NotOfOneMind

CONTRACT = json.loads((places.LAMBDA_SOURCE / places.API_CONTRACT).read_bytes())
PATH = places.LAMBDA_SOURCE / "video_metadata_api" / "openapi.yaml"


@pytest.fixture(scope="module")
def described(documents: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return openapi.document(CONTRACT, documents["api"])


def test_the_committed_description_is_the_described_one(described: dict[str, Any]) -> None:
    assert PATH.read_text() == openapi.text(described), (
        f"{PATH} is stale: run `tapgen openapi --write` and read the diff"
    )
    assert yaml.safe_load(PATH.read_text()) == described


def test_every_operation_of_the_contract_is_in_it(described: dict[str, Any]) -> None:
    found = {
        f"{method.upper()} {path}"
        for path, operations in described["paths"].items()
        for method in operations
    }

    assert found == set(CONTRACT["operations"])


def test_models_are_those_of_the_contract(described: dict[str, Any]) -> None:
    for name, model in CONTRACT["models"].items():
        wanted = {key: value for key, value in model.items() if key != "$schema"}
        assert described["components"]["schemas"][name] == wanted


def test_the_key_is_asked_for_where_the_template_asks(described: dict[str, Any]) -> None:
    assert described["paths"]["/health"]["get"]["security"] == []
    assert described["paths"]["/metadata"]["get"]["security"] == [{"ApiKey": []}]
    assert "403" not in described["paths"]["/health"]["get"]["responses"]
    assert "403" in described["paths"]["/metadata"]["post"]["responses"]


def test_errors_of_function_and_gateway_stand_under_their_statuses(
    described: dict[str, Any],
) -> None:
    responses = described["paths"]["/metadata"]["post"]["responses"]

    assert list(responses) == [
        *("201", "400", "403", "409", "413", "415", "429", "500", "502", "503", "504")
    ]
    assert responses["400"]["description"].startswith("invalid_request: ")
    assert "invalid_json: " in responses["400"]["description"]


def test_a_gateway_without_the_api_s_words_is_described_with_its_own(
    documents: dict[str, dict[str, Any]],
) -> None:
    template = copy.deepcopy(documents["api"])
    del template["Resources"]["Default4xxResponse"]

    found = openapi.document(CONTRACT, template)

    refusal = found["paths"]["/metadata"]["get"]["responses"]["403"]
    schema = refusal["content"]["application/json"]["schema"]
    assert schema == {"type": "object", "properties": {"message": {"type": "string"}}}


def test_a_contract_and_a_template_of_different_apis_are_refused(
    documents: dict[str, dict[str, Any]],
) -> None:
    template = copy.deepcopy(documents["api"])
    del template["Resources"]["MetadataPostMethod"]

    with pytest.raises(NotOfOneMind) as caught:
        openapi.document(CONTRACT, template)

    assert str(caught.value) == (
        "the API's contract and its template differ in: postMetadata; render again"
    )


def test_the_command_prints_it_and_checks_the_written_one(offline: CommandLine) -> None:
    printed = offline("openapi")
    checked = offline("openapi", "--check")

    assert (printed.status, printed.out) == (0, PATH.read_text())
    assert (checked.status, checked.out, checked.err) == (0, "", "")
