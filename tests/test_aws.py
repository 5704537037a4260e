"""The translation between the engine's words and AWS's: arguments, answers, refusals."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import exceptions
from botocore.parsers import ResponseParserError
from botocore.stub import Stubber
from twin import Account, Refusal, Twin, faults
from twin.scene import Scene, tier, wanted

from tapgen import aws
from tapgen.aws import AwsAccount, AwsCloudFormation, Connection, Endpoint
from tapgen.cloud import (
    AccessDenied,
    Caller,
    CloudError,
    ExpiredCredentials,
    Kept,
    NoCredentials,
    Refused,
    Resource,
    Throttled,
    Unreachable,
)

URL = "https://cloudformation.ap-northeast-1.amazonaws.com/"


def cloud(twin: Twin) -> AwsCloudFormation:
    return AwsCloudFormation(Connection(twin.client))


def account(twin: Twin) -> AwsAccount:
    return AwsAccount(Connection(twin.client))


# Refusals


@pytest.mark.parametrize(
    ("trouble", "kind", "words"),
    [
        (faults.THROTTLED, Throttled, "AWS throttles cloudformation:DescribeStacks"),
        (Refusal("Slow", "RequestLimitExceeded"), Throttled, "AWS throttles"),
        (Refusal("Slow", "ThrottlingException"), Throttled, "AWS throttles"),
        (faults.EXPIRED, ExpiredCredentials, "credentials have expired"),
        (Refusal("Late", "RequestExpired"), ExpiredCredentials, "(Late); sign in"),
        (Refusal("Who?", "InvalidClientTokenId"), NoCredentials, "no AWS credentials: Who?"),
        (Refusal("Who?", "SignatureDoesNotMatch", 403), NoCredentials, "no AWS credentials"),
        (faults.UNAVAILABLE, Unreachable, "cannot reach cloudformation"),
        (Refusal("Bad gateway", "502", 502), Unreachable, "cannot reach cloudformation"),
        (faults.DENIED, AccessDenied, "AWS refused cloudformation:DescribeStacks"),
        (Refusal("Odd", "SomethingElse"), Refused, "Odd (SomethingElse)"),
        (faults.dropped(), Unreachable, "cannot reach cloudformation at " + URL),
        (faults.lost(), Unreachable, "cannot reach cloudformation at " + URL),
        (
            exceptions.ConnectionClosedError(endpoint_url=URL),
            Unreachable,
            "cannot reach cloudformation at " + URL,
        ),
        (ResponseParserError("cut short"), Unreachable, "cannot reach cloudformation"),
        (exceptions.NoCredentialsError(), NoCredentials, "Unable to locate credentials"),
        (
            exceptions.PartialCredentialsError(provider="env", cred_var="key"),
            NoCredentials,
            "no AWS credentials",
        ),
        (exceptions.SSOTokenLoadError(error_msg="gone"), ExpiredCredentials, "sign in"),
        (exceptions.UnauthorizedSSOTokenError(), ExpiredCredentials, "sign in"),
        (
            exceptions.InvalidRegionError(region_name="?"),
            CloudError,
            "cloudformation:DescribeStacks failed",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_every_trouble_has_its_error(
    trouble: Exception, kind: type[CloudError], words: str
) -> None:
    twin = Twin()
    twin.region.faults.call("describe_stacks", trouble)

    with pytest.raises(CloudError) as caught:
        cloud(twin).stack("tap-dev-network")

    assert type(caught.value) is kind
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_trouble_on_a_later_page_is_translated_too() -> None:
    scene = Scene()
    scene.deploy([tier("network")])
    calls = 0

    def strike(operation: str, when: str) -> None:
        nonlocal calls
        calls += when == "before"
        if calls == 2:
            raise faults.THROTTLED

    scene.region.faults.interrupt = strike
    with pytest.raises(Throttled):
        scene.cloud.events("tap-dev-network", None)


def test_a_refusal_keeps_what_aws_said() -> None:
    twin = Twin()
    twin.region.faults.call("describe_stacks", Refusal("No such thing", "Nothing"))

    with pytest.raises(Refused) as caught:
        cloud(twin).stack("x")

    assert caught.value.operation == "cloudformation:DescribeStacks"
    assert (caught.value.code, caught.value.detail) == ("Nothing", "No such thing")


def test_credentials_are_read_anew_when_they_are_renewed() -> None:
    made: list[str] = []

    def opened(whose: str) -> Any:
        def make(service: str) -> object:
            made.append(f"{whose} {service}")
            return object()

        return make

    connection = Connection(opened("old"), lambda: opened("new"))
    connection.client("cloudformation")
    connection.client("cloudformation")
    connection.renew()
    connection.client("cloudformation")

    assert made == ["old cloudformation", "new cloudformation"]


def test_what_was_read_at_the_start_is_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "before")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    connection = aws.connect()
    before = connection.client("sts")._request_signer._credentials.access_key
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "after")

    connection.renew()

    assert before == "before"
    assert connection.client("sts")._request_signer._credentials.access_key == "after"


# Stacks


def test_a_stack_is_described_in_the_engines_words() -> None:
    scene = Scene()
    scene.deploy([tier("network")])
    scene.twin.client("cloudformation").update_termination_protection(
        StackName="tap-dev-network", EnableTerminationProtection=True
    )

    stack = scene.cloud.stack("tap-dev-network")

    assert stack is not None
    assert stack.id.startswith("arn:aws:cloudformation:ap-northeast-1:123456789012:stack/")
    assert (stack.name, stack.status, stack.reason) == ("tap-dev-network", "CREATE_COMPLETE", "")
    assert stack.parameters == {"EnvironmentSuffix": "dev"}
    assert set(stack.outputs) == {"NetworkArn", "TemplateDigest"}
    assert stack.exports == {"tap-dev-NetworkArn": stack.outputs["NetworkArn"]}
    assert stack.tags == {"Project": "test", "Environment": "dev", "ManagedBy": "tapgen"}
    assert stack.protected is True
    assert stack.changed == datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


def test_a_stack_that_is_gone_is_none_by_name_and_by_id() -> None:
    scene = Scene()
    scene.deploy([tier("network")])
    stack = scene.cloud.stack("tap-dev-network")
    assert stack is not None
    scene.destroy()

    assert scene.cloud.stack("tap-dev-network") is None
    assert scene.cloud.stack(stack.id) is None


def test_stacks_are_found_by_the_beginning_of_their_name_on_every_page() -> None:
    scene = Scene()
    scene.region.page_size = 1
    scene.deploy([tier("a"), tier("b"), tier("c")])

    assert [stack.name for stack in scene.cloud.stacks("tap-dev-")] == [
        "tap-dev-a",
        "tap-dev-b",
        "tap-dev-c",
    ]
    assert scene.cloud.stacks("tap-dev-b-") == []


def test_resources_and_template_are_read_whole() -> None:
    scene, item = Scene(), wanted([tier("network", topics=3)])[0]
    scene.deploy([tier("network", topics=3)])

    resources = scene.cloud.resources("tap-dev-network")

    assert [resource.logical_id for resource in resources] == ["Topic0", "Topic1", "Topic2"]
    assert {resource.status for resource in resources} == {"CREATE_COMPLETE"}
    assert {resource.type for resource in resources} == {"AWS::SNS::Topic"}
    assert scene.cloud.template("tap-dev-network") == item.request.template


def test_a_template_that_was_given_as_json_is_text_all_the_same() -> None:
    twin = Twin()
    body = {"Resources": {"It": {"Type": "AWS::SNS::Topic"}}}
    twin.client("cloudformation").create_stack(StackName="it", TemplateBody=json.dumps(body))

    assert cloud(twin).template("it") == "Resources:\n  It:\n    Type: AWS::SNS::Topic\n"


def test_importers_are_names_and_nobody_is_an_empty_list() -> None:
    scene = Scene()
    network = tier("network")
    scene.deploy([network, tier("data", network)])

    assert scene.cloud.importers("tap-dev-NetworkArn") == ["tap-dev-data"]
    assert scene.cloud.importers("tap-dev-DataArn") == []
    assert scene.cloud.importers("tap-dev-Nothing") == []


def test_a_refusal_to_list_importers_is_not_taken_for_nobody() -> None:
    twin = Twin()
    twin.region.faults.call("list_imports", faults.DENIED)

    with pytest.raises(AccessDenied):
        cloud(twin).importers("tap-dev-NetworkArn")


# Events


def test_events_come_oldest_first_and_only_those_after_the_last_one_read() -> None:
    scene = Scene()
    scene.deploy([tier("network")])

    everything = scene.cloud.events("tap-dev-network", None)
    rest = scene.cloud.events("tap-dev-network", everything[3].id)

    assert everything[0].status == "REVIEW_IN_PROGRESS"
    assert everything[-1].status == "CREATE_COMPLETE"
    assert rest == everything[4:]
    assert everything[1].token == "tapgen-r1-tap-dev-network-execute"
    assert everything[-1].type == "AWS::CloudFormation::Stack"


# Change sets


def test_a_change_set_is_made_read_listed_and_deleted() -> None:
    twin = Twin()
    request = wanted([tier("network", topics=3)])[0].request

    made = cloud(twin).create_change_set(request, "tapgen-x-1", create=True, token="once")
    again = cloud(twin).create_change_set(request, "tapgen-x-1", create=True, token="once")
    twin.region.settle()
    found = cloud(twin).change_set(made)

    assert made == again
    assert (found.id, found.status, found.reason) == (made, "CREATE_COMPLETE", "")
    # Three on pages of two.
    assert [(change.action, change.logical_id) for change in found.changes] == [
        ("Add", "Topic0"),
        ("Add", "Topic1"),
        ("Add", "Topic2"),
    ]
    assert cloud(twin).change_sets(request.stack) == [made]
    cloud(twin).delete_change_set(made)
    cloud(twin).delete_change_set(made)
    assert cloud(twin).change_sets(request.stack) == []


def test_a_replacement_is_told_in_awss_own_words() -> None:
    scene = Scene()
    scene.deploy([tier("network", topic_name="a")])
    request = wanted([tier("network", topic_name="b")])[0].request

    made = scene.cloud.create_change_set(request, "tapgen-x-1", create=False, token="once")
    scene.region.settle()

    (change,) = scene.cloud.change_set(made).changes
    assert (change.action, change.logical_id, change.type, change.replacement) == (
        "Modify",
        "Topic0",
        "AWS::SNS::Topic",
        "True",
    )


def test_a_change_set_that_is_not_there_can_be_deleted_and_a_forbidden_one_not() -> None:
    twin = Twin()
    name = "arn:aws:cloudformation:ap-northeast-1:123456789012:changeSet/x/1"

    cloud(twin).delete_change_set(name)
    twin.region.faults.call("delete_change_set", Refusal("No", "ChangeSetNotFound", 404))
    cloud(twin).delete_change_set(name)
    twin.region.faults.call("delete_change_set", faults.DENIED)

    with pytest.raises(AccessDenied):
        cloud(twin).delete_change_set(name)


def stubbed(service: str) -> tuple[Connection, Stubber]:
    """A client that answers what it is told, for answers that no rule leads to."""
    client: Any = boto3.client(  # type: ignore[call-overload]
        service, region_name="ap-northeast-1", aws_access_key_id="x", aws_secret_access_key="x"
    )
    stub = Stubber(client)
    stub.activate()
    return Connection(lambda name: client), stub


@pytest.mark.parametrize("action", ["Import", "Dynamic", "SyncWithActual"])
def test_every_kind_of_change_is_understood(action: str) -> None:
    connection, stub = stubbed("cloudformation")
    change = {"Action": action, "LogicalResourceId": "It", "ResourceType": "AWS::SNS::Topic"}
    stub.add_response(
        "describe_change_set",
        {
            "Status": "CREATE_COMPLETE",
            "Changes": [{"Type": "Resource", "ResourceChange": change}],
        },
    )

    found = AwsCloudFormation(connection).change_set("arn:it")

    assert [(item.action, item.replacement) for item in found.changes] == [(action, "")]


# The account beside its stacks


def test_the_caller_is_who_sts_says() -> None:
    found = account(Twin()).caller()

    assert found == Caller(
        "123456789012", "arn:aws:sts::123456789012:assumed-role/deployer/ci", "ap-northeast-1"
    )


def test_a_linked_role_is_made_once() -> None:
    door = account(Twin())

    made = [door.ensure_service_linked_role("ecs.amazonaws.com") for _ in range(2)]

    assert made == [True, False]


def test_a_linked_role_that_may_not_be_made_is_a_refusal() -> None:
    twin = Twin()
    twin.region.faults.call("create_service_linked_role", faults.DENIED)

    with pytest.raises(AccessDenied):
        account(twin).ensure_service_linked_role("ecs.amazonaws.com")


def test_the_role_that_api_gateway_logs_with() -> None:
    assert account(Twin()).api_gateway_log_role() is None
    assert account(Twin(account=Account(log_role="arn:it"))).api_gateway_log_role() == "arn:it"


def test_versions_that_are_offered_and_that_run() -> None:
    twin = Twin(account=Account(running={"video-db": "16.4"}))

    assert account(twin).offered_versions("postgres")[:2] == ["15.10", "16.4"]
    assert account(twin).running_version("video-db") == "16.4"
    assert account(twin).running_version("another") is None
    twin.region.faults.call("describe_db_instances", faults.DENIED)
    with pytest.raises(AccessDenied):
        account(twin).running_version("video-db")


def test_a_version_that_is_deprecated_is_not_offered() -> None:
    connection, stub = stubbed("rds")
    stub.add_response(
        "describe_db_engine_versions",
        {
            "DBEngineVersions": [
                {"Engine": "postgres", "EngineVersion": "16.4", "Status": "deprecated"},
                {"Engine": "postgres", "EngineVersion": "16.8", "Status": "available"},
            ]
        },
    )

    assert AwsAccount(connection).offered_versions("postgres") == ["16.8"]


def test_a_file_is_uploaded_once_and_only_to_a_bucket_of_the_account(tmp_path: Path) -> None:
    twin = Twin()
    package = tmp_path / "package.zip"
    package.write_bytes(b"PK")

    sent = [account(twin).upload(package, "bucket", "key.zip") for _ in range(2)]

    assert sent == [True, False]
    assert twin.account.objects == {("bucket", "key.zip"): b"PK"}
    owners = {
        call.parameters["ExpectedBucketOwner"] for call in twin.region.calls if call.service == "s3"
    }
    assert owners == {"123456789012"}


def test_a_bucket_that_may_not_be_read_is_a_refusal(tmp_path: Path) -> None:
    twin = Twin()
    twin.region.faults.call("head_object", Refusal("Forbidden", "403", 403))

    with pytest.raises(Refused, match="s3:HeadObject"):
        account(twin).upload(tmp_path / "package.zip", "bucket", "key.zip")


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("AWS::RDS::DBInstance", [Kept("RDS snapshot", "one"), Kept("RDS snapshot", "two")]),
        (
            "AWS::ElastiCache::ReplicationGroup",
            [Kept("ElastiCache snapshot", "one"), Kept("ElastiCache snapshot", "two")],
        ),
        ("AWS::SNS::Topic", []),
    ],
)
def test_snapshots_are_found_by_the_kind_of_their_resource(kind: str, found: list[Kept]) -> None:
    twin = Twin(account=Account(snapshots={"it": ["one", "two"]}))

    assert account(twin).snapshots(Resource("It", "it", kind, "CREATE_COMPLETE")) == found


def test_what_was_kept_is_removed_by_its_kind() -> None:
    twin = Twin()
    kinds = {
        "RDS snapshot": "final",
        "ElastiCache snapshot": "last",
        "AWS::EFS::FileSystem": "fs-1",
        "AWS::KMS::Key": "key-1",
    }

    for kind, name in kinds.items():
        account(twin).delete_kept(Kept(kind, name))

    assert twin.account.removed == ["final", "last", "fs-1", "key-1 in 7 days"]


def test_what_nobody_knows_to_remove_is_refused() -> None:
    with pytest.raises(CloudError, match="cannot remove AWS::SNS::Topic arn: remove it in the"):
        account(Twin()).delete_kept(Kept("AWS::SNS::Topic", "arn"))


# Connections


def test_a_client_is_made_once_and_when_it_is_first_used() -> None:
    made: list[str] = []
    twin = Twin()

    def make(service: str) -> Any:
        made.append(service)
        return twin.client(service)

    connection = Connection(make)
    assert made == []
    for _ in range(2):
        AwsAccount(connection).caller()

    assert made == ["sts"]


def test_a_profile_that_is_not_there_is_an_error_of_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))

    with pytest.raises(NoCredentials, match="nobody"):
        aws.connect("nobody").client("sts")


@pytest.fixture
def no_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the developer's own shell says."""
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("no_profile")
def test_another_endpoint_gets_its_own_keys_and_path_style_buckets() -> None:
    connection = aws.connect(endpoint=Endpoint("http://127.0.0.1:1", "123456789012", "secret"))

    s3, sts = connection.client("s3"), connection.client("sts")

    assert s3.meta.endpoint_url == sts.meta.endpoint_url == "http://127.0.0.1:1"
    assert s3.meta.config.s3 == {"addressing_style": "path"}
    assert sts.meta.region_name == "ap-northeast-1"
    assert sts.meta.config.retries["total_max_attempts"] == 4


@pytest.mark.usefixtures("no_profile")
def test_aws_itself_is_asked_in_tokyo_and_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")

    client = aws.connect().client("cloudformation")

    assert client.meta.endpoint_url == "https://cloudformation.ap-northeast-1.amazonaws.com"
    assert client.meta.config.retries["total_max_attempts"] == 11
    assert client.meta.config.retries["mode"] == "standard"
