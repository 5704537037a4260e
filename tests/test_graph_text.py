"""The graph in each of its four forms, to the letter."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tapgen import graph_text


def name(key: str) -> dict[str, Any]:
    return {"Fn::Sub": f"tap-${{EnvironmentSuffix}}-{key}"}


DOCUMENTS: dict[str, dict[str, Any]] = {
    "web": {
        "Resources": {
            "Page": [{"Fn::ImportValue": name("VpcId")}, {"Fn::ImportValue": name("Host")}]
        }
    },
    "data": {
        "Resources": {"Db": {"Fn::ImportValue": name("VpcId")}},
        "Outputs": {"Host": {"Value": "h", "Export": {"Name": name("Host")}}},
    },
    "net": {
        "Resources": {},
        "Outputs": {"VpcId": {"Value": "v", "Export": {"Name": name("VpcId")}}},
    },
}


def test_text_shows_waves_and_needs() -> None:
    assert graph_text.text(DOCUMENTS, exports=False) == (
        "1  net\n"
        "2  data  needs net\n"
        "3  web   needs data, net\n"
    )  # fmt: skip


def test_text_names_the_exports_on_demand() -> None:
    assert graph_text.text(DOCUMENTS, exports=True) == (
        "1  net\n"
        "2  data  needs net\n"
        "         net: VpcId\n"
        "3  web   needs data, net\n"
        "         data: Host\n"
        "         net: VpcId\n"
    )  # fmt: skip


def test_many_exports_are_folded_within_eighty_columns() -> None:
    keys = [f"PrivateSubnet{number:02}Id" for number in range(12)]
    documents: dict[str, dict[str, Any]] = {
        "net": {"Outputs": {key: {"Value": "", "Export": {"Name": key}} for key in keys}},
        "web": {"Resources": {"Page": [{"Fn::ImportValue": key} for key in keys]}},
    }

    lines = graph_text.text(documents, exports=True).splitlines()

    assert lines[1] == "2  web  needs net"
    assert lines[2].startswith("        net: PrivateSubnet00Id, PrivateSubnet01Id,")
    assert lines[3].startswith("          PrivateSubnet")
    assert max(map(len, lines)) <= 80
    assert " ".join(line.strip() for line in lines[2:]) == f"net: {', '.join(keys)}"


def test_mermaid_points_from_producer_to_importer() -> None:
    assert graph_text.mermaid(DOCUMENTS, exports=False) == (
        "flowchart LR\n"
        "  data\n"
        "  net\n"
        "  web\n"
        "  net --> data\n"
        "  data --> web\n"
        "  net --> web\n"
    )  # fmt: skip
    assert "  net -->|VpcId| data\n" in graph_text.mermaid(DOCUMENTS, exports=True)


def test_dot_points_from_producer_to_importer() -> None:
    assert graph_text.dot(DOCUMENTS, exports=True) == (
        "digraph stacks {\n"
        "  rankdir=LR;\n"
        '  "data";\n'
        '  "net";\n'
        '  "web";\n'
        '  "net" -> "data" [label="VpcId"];\n'
        '  "data" -> "web" [label="Host"];\n'
        '  "net" -> "web" [label="VpcId"];\n'
        "}\n"
    )
    assert '  "net" -> "data";\n' in graph_text.dot(DOCUMENTS, exports=False)


@pytest.mark.parametrize("exports", [True, False])
def test_json_always_tells_the_exports(exports: bool) -> None:
    assert json.loads(graph_text.json(DOCUMENTS, exports)) == {
        "order": ["net", "data", "web"],
        "waves": [["net"], ["data"], ["web"]],
        "edges": [
            {"from": "net", "to": "data", "exports": ["VpcId"]},
            {"from": "data", "to": "web", "exports": ["Host"]},
            {"from": "net", "to": "web", "exports": ["VpcId"]},
        ],
    }


def test_every_form_ends_in_one_line_break_even_without_stacks() -> None:
    assert list(graph_text.FORMS) == ["text", "mermaid", "dot", "json"]
    for form in graph_text.FORMS.values():
        for documents in (DOCUMENTS, {}):
            assert form(documents, True).endswith("\n")
            assert not form(DOCUMENTS, True).endswith("\n\n")
