"""The whole system described: neutral of environments, and without a word to anybody."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tapgen import app, graph, places
from tapgen.scope import Scope
from tapgen.stack import Exported

TIERS = {
    "foundation",
    "network",
    "storage",
    "cache",
    "compute",
    "api",
    "notification",
    "workflow",
}


def texts(node: Any) -> Iterator[str]:
    """Every text in a document, keys included."""
    if isinstance(node, dict):
        for key, item in node.items():
            yield key
            yield from texts(item)
    elif isinstance(node, list):
        for item in node:
            yield from texts(item)
    elif isinstance(node, str):
        yield node


def test_there_are_the_seven_tiers_and_the_account_s_own_stack() -> None:
    stacks = app.describe()

    assert {stack.tier for stack in stacks} == TIERS
    assert app.scopes(stacks) == {
        tier: Scope.ACCOUNT if tier == "foundation" else Scope.ENVIRONMENT for tier in TIERS
    }
    assert app.documents(stacks) == app.documents()


def test_every_export_that_a_tier_hands_out_is_an_output_of_its_document() -> None:
    for stack in app.describe():
        outputs = stack.document()["Outputs"]
        handed = [
            part
            for value in vars(stack.exports or object).values()
            for part in (value if isinstance(value, tuple) else (value,))
            if isinstance(part, Exported)
        ]

        for exported in handed:
            assert outputs[exported.key]["Export"]["Name"] == exported.to_dict()["Fn::ImportValue"]


def test_a_document_is_plain_json(documents: dict[str, dict[str, Any]]) -> None:
    for tier, document in documents.items():
        assert json.loads(json.dumps(document)) == document, tier


def test_no_document_knows_an_environment_or_an_account(
    documents: dict[str, dict[str, Any]],
) -> None:
    for tier, document in documents.items():
        found = set(texts(document))

        # Names carry the parameter, never a suffix; accounts and hosts are AWS's to fill in.
        if tier != "foundation":
            assert not [text for text in found if re.search(r"\btap-(?!foundation-)\w", text)], tier
        assert not [text for text in found if re.search(r"(?<!\d)\d{12}(?!\d)", text)], tier
        assert not [text for text in found if re.search(r"-(dev|prod|staging|test)\b", text)], tier


def test_every_name_in_an_environment_s_stack_carries_the_suffix(
    documents: dict[str, dict[str, Any]],
) -> None:
    for tier in TIERS - {"foundation"}:
        names = [
            output["Export"]["Name"]
            for output in documents[tier]["Outputs"].values()
            if "Export" in output
        ]

        assert all("${EnvironmentSuffix}" in name["Fn::Sub"] for name in names), tier
        assert any("${EnvironmentSuffix}" in text for text in texts(documents[tier])), tier


def test_no_two_stacks_export_one_key(documents: dict[str, dict[str, Any]]) -> None:
    keys = [(export.key, export.name) for export in graph.exports(documents)]

    assert len({key for key, _ in keys}) == len(keys)
    assert len({name for _, name in keys}) == len(keys)


# An audit hook sees every socket and process that Python code opens, however it is imported.
ALONE = """
import sys

def refuse(event, arguments):
    if event.startswith(("socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn")):
        raise RuntimeError(f"describing reached out: {event} {arguments}")
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        raise RuntimeError(f"describing wrote: {arguments}")

sys.addaudithook(refuse)
from tapgen import app, places, render
texts = render.texts(app.documents())
loaded = {name.partition(".")[0] for name in sys.modules}
print(sorted(texts), sorted(loaded & {"boto3", "botocore", "cfnlint", "ministack", "rich"}))
"""


def test_describing_needs_no_network_no_credentials_and_writes_nothing(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-B", "-c", ALONE],
        # No HOME, no AWS_…: nothing to find credentials or a region with.
        env={"PATH": os.defpath, "PYTHONPATH": str(places.PROJECT_FOLDER)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.stderr == ""
    assert ran.stdout == f"{sorted(f'{tier}.yaml' for tier in TIERS)} []\n"
    assert list(tmp_path.iterdir()) == []


def test_the_hook_that_guards_describing_does_bite(tmp_path: Path) -> None:
    reaching = ALONE.replace("from tapgen", "import socket; socket.socket(); from tapgen")

    ran = subprocess.run(
        [sys.executable, "-B", "-c", reaching], capture_output=True, text=True, check=False
    )

    assert "RuntimeError: describing reached out: socket.__new__" in ran.stderr


def test_the_api_follows_the_contract_that_it_is_handed(tmp_path: Path) -> None:
    source = tmp_path / "lambda_src"
    target = source / places.API_CONTRACT
    target.parent.mkdir(parents=True)
    shutil.copy(places.LAMBDA_SOURCE / places.API_CONTRACT, target)
    contract = json.loads(target.read_text())

    same = app.documents(app.describe(source))
    text = json.dumps(contract).replace("video_id", "clip_id")
    assert text != json.dumps(contract)
    target.write_text(text)
    changed = app.documents(app.describe(source))

    assert same == app.documents()
    assert [tier for tier in same if same[tier] != changed[tier]] == ["api"]


def test_without_its_contract_the_api_cannot_be_described(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"api_model\.json"):
        app.describe(tmp_path)
