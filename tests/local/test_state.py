"""The one file that outlives the server, and the table of what the embedded AWS forgets."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from local_aws import client, deploy, one, resource

from tapgen.diff import replaced
from tapgen.local import state
from tapgen.local.lease import REGION, Embedded
from tapgen.local.resources.not_kept import NOT_KEPT, STACK_OPTIONS_NOT_KEPT


@pytest.fixture(autouse=True)
def _quiet_home(tmp_path: Path) -> Iterator[None]:
    """The emulator looks at its settings when it is loaded."""
    before = dict(os.environ)
    os.environ["STATE_DIR"] = str(tmp_path / "emulator")
    yield
    os.environ.clear()
    os.environ.update(before)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    state.Store(tmp_path).write({"sns": {"topics": [1, 2]}, "s3": {"raw": b"\x00\xff"}})

    store = state.Store(tmp_path)
    store.load()

    assert store.payload("sns") == {"topics": [1, 2]}
    assert store.payload("s3") == {"raw": b"\x00\xff"}
    assert store.payload("ec2") is None


def test_a_service_that_was_not_used_keeps_its_part(tmp_path: Path) -> None:
    state.Store(tmp_path).write({"sns": {"topics": 1}, "sqs": {"queues": 1}})
    store = state.Store(tmp_path)
    store.load()

    store.write({"sns": {"topics": 2}})
    again = state.Store(tmp_path)
    again.load()

    assert (again.payload("sns"), again.payload("sqs")) == ({"topics": 2}, {"queues": 1})


def test_a_state_that_cannot_be_written_leaves_the_last_one(tmp_path: Path) -> None:
    store = state.Store(tmp_path)
    store.write({"sns": {"topics": 1}})

    store.write({"sns": {"topics": object()}})

    assert store.payload("sns") == {"topics": 1}


def test_a_folder_in_the_files_place_is_said_to_be_unreadable(tmp_path: Path) -> None:
    (tmp_path / "state.json").mkdir()

    with pytest.raises(state.Unreadable) as caught:
        state.Store(tmp_path).load()

    assert str(caught.value) == "Is a directory"


def test_a_service_that_changes_while_it_is_copied_is_copied_again() -> None:
    tries = []

    def restless() -> dict[str, int]:
        tries.append(1)
        if len(tries) == 1:
            raise RuntimeError("dictionary changed size during iteration")
        return {"topics": 1}

    collected = state.Store.collect({"sns": restless, "unused": lambda: None})

    assert collected == {"sns": {"topics": 1}}


@pytest.mark.parametrize("forgotten", NOT_KEPT, ids=lambda one_: f"{one_.type}.{one_.property}")
def test_what_is_said_to_be_forgotten_is_a_property(forgotten: Any) -> None:
    # A second to load, in every worker that collects this file.
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

    schema: Any = PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, forgotten.type).schema

    assert forgotten.type in replaced.TYPES
    assert forgotten.property in schema["properties"]
    assert forgotten.why


def test_each_forgotten_property_is_told_once_and_in_order() -> None:
    told = [(one_.type, one_.property) for one_ in NOT_KEPT]

    assert told == sorted(set(told))
    assert sorted(STACK_OPTIONS_NOT_KEPT) == list(STACK_OPTIONS_NOT_KEPT)


def test_a_bucket_does_forget_what_it_is_said_to(aws_account: Embedded) -> None:
    s3, name = client(aws_account, "s3"), f"forgetful-{aws_account.account}"
    template = one(
        "AWS::S3::Bucket",
        BucketName=name,
        AccelerateConfiguration={"AccelerationStatus": "Enabled"},
        LoggingConfiguration={"DestinationBucketName": name},
    )

    made = deploy(aws_account, "base", template)

    assert made == "CREATE_COMPLETE"
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=name)
    assert "Status" not in s3.get_bucket_accelerate_configuration(Bucket=name)


def test_a_flow_log_and_a_cluster_do_forget_what_they_are_said_to(
    aws_account: Embedded,
) -> None:
    template = {
        "Resources": {
            "Vpc": resource("AWS::EC2::VPC", CidrBlock="10.0.0.0/16"),
            "Log": resource(
                "AWS::EC2::FlowLog",
                ResourceId={"Ref": "Vpc"},
                ResourceType="VPC",
                TrafficType="ALL",
                LogFormat="${srcaddr}",
            ),
            "Cluster": resource(
                "AWS::ECS::Cluster",
                ClusterName="tasks",
                ServiceConnectDefaults={"Namespace": "tasks"},
            ),
        }
    }

    deploy(aws_account, "app", template)
    (log,) = client(aws_account, "ec2").describe_flow_logs()["FlowLogs"]
    (cluster,) = client(aws_account, "ecs").describe_clusters(clusters=["tasks"])["clusters"]

    assert "${srcaddr}" not in json.dumps(log, default=str)
    assert "serviceConnectDefaults" not in cluster
