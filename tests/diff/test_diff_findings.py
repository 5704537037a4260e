"""Each finding fires where it should, and stays silent beside it."""

from __future__ import annotations

from typing import Any

import pytest

from tapgen import diff
from tapgen.diff import Side, StackChanges, findings, switches
from tapgen.diff.findings import Finding

Pair = tuple[dict[str, Any] | None, dict[str, Any] | None]


def made(kind: str, /, **properties: Any) -> dict[str, Any]:
    return {"Type": f"AWS::{kind}", "Properties": properties}


def compare(before: dict[str, Any] | None, after: dict[str, Any] | None) -> StackChanges:
    sides = [Side({"Resources": {"X": each} if each else {}}) for each in (before, after)]
    return diff.compare("tap-dev-x", *sides)


def found(before: dict[str, Any] | None, after: dict[str, Any] | None) -> list[tuple[str, str]]:
    return [(each.id, each.severity) for each in findings.findings(compare(before, after))]


def database(**properties: Any) -> dict[str, Any]:
    return {**made("RDS::DBInstance", **properties), "UpdateReplacePolicy": "Snapshot"}


def test_replacing_what_holds_data_is_destructive_and_says_what_is_left() -> None:
    (finding,) = findings.findings(compare(database(DBName="a"), database(DBName="b")))

    assert finding == Finding(
        "replaces-stateful",
        "destructive",
        "X",
        "X (AWS::RDS::DBInstance) is replaced because of DBName, and with it its databases; "
        "a snapshot of the old one is kept",
    )


def test_what_may_be_replaced_is_told_and_does_not_stop_anybody() -> None:
    (finding,) = findings.findings(compare(database(MultiAZ=True), database(MultiAZ=False)))

    assert (finding.id, finding.severity) == ("may-replace-stateful", "info")
    assert finding.text == (
        "X (AWS::RDS::DBInstance) may be replaced because of MultiAZ; "
        "if so, a snapshot of the old one is kept"
    )


def test_removing_what_holds_data_is_destructive_even_where_it_is_kept() -> None:
    bucket = {**made("S3::Bucket"), "DeletionPolicy": "Retain"}

    (finding,) = findings.findings(compare(bucket, None))

    assert (finding.id, finding.severity) == ("removes-stateful", "destructive")
    assert finding.text == (
        "X (AWS::S3::Bucket) leaves the stack, and with it its objects; "
        "the old one is kept, outside of every stack"
    )


@pytest.mark.parametrize("kind", sorted(findings.STATEFUL))
def test_every_type_that_holds_data_is_watched(kind: str) -> None:
    resource = {"Type": kind, "Properties": {}}

    assert ("removes-stateful", "destructive") in found(resource, None)
    assert found(resource, resource) == []


def test_what_holds_no_data_may_go() -> None:
    assert found(made("EC2::RouteTable", VpcId="a"), None) == []
    assert found(made("EC2::RouteTable", VpcId="a"), made("EC2::RouteTable", VpcId="b")) == []


PAIRS: list[tuple[str, Any, Any]] = [
    # CloudFormation makes the new one first.
    (
        "keeps-its-name",
        (made("IAM::Role", RoleName="r", Path="/a/"), made("IAM::Role", RoleName="r", Path="/b/")),
        (made("IAM::Role", RoleName="r", Path="/a/"), made("IAM::Role", RoleName="s", Path="/b/")),
    ),
    (
        "keeps-its-name",
        (made("IAM::Role", RoleName="r", Path="/a/"), made("IAM::Role", RoleName="r", Path="/b/")),
        (made("IAM::Role", Path="/a/"), made("IAM::Role", Path="/b/")),
    ),
    (
        "type-changed",
        (made("SNS::Topic"), made("SQS::Queue")),
        (made("SNS::Topic"), made("SNS::Topic", DisplayName="d")),
    ),
    (
        "ingress-opened",
        (
            made("EC2::SecurityGroup"),
            made(
                "EC2::SecurityGroup",
                SecurityGroupIngress=[
                    {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "CidrIp": "0.0.0.0/0"}
                ],
            ),
        ),
        (
            made("EC2::SecurityGroup"),
            made(
                "EC2::SecurityGroup",
                SecurityGroupIngress=[
                    {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "CidrIp": "10.0.0.0/8"}
                ],
                SecurityGroupEgress=[{"IpProtocol": "-1", "CidrIp": "0.0.0.0/0"}],
            ),
        ),
    ),
    (
        "ingress-opened",
        (
            None,
            made("EC2::SecurityGroupIngress", IpProtocol=-1, CidrIpv6="::/0", GroupId="g"),
        ),
        (None, made("EC2::SecurityGroupIngress", IpProtocol=-1, CidrIpv6="fd00::/8", GroupId="g")),
    ),
    (
        "public-access",
        (None, database(PubliclyAccessible="true")),
        (None, database(PubliclyAccessible=False)),
    ),
    (
        "public-access",
        (
            made("S3::Bucket", PublicAccessBlockConfiguration=dict.fromkeys(switches.BLOCKS, True)),
            made(
                "S3::Bucket",
                PublicAccessBlockConfiguration={
                    **dict.fromkeys(switches.BLOCKS, True),
                    "BlockPublicPolicy": False,
                },
            ),
        ),
        # A new bucket without the block has the account's.
        (None, made("S3::Bucket")),
    ),
    (
        "public-access",
        (made("S3::Bucket"), made("S3::Bucket", AccessControl="PublicRead")),
        (made("S3::Bucket"), made("S3::Bucket", AccessControl="Private")),
    ),
    (
        "public-access",
        (
            made("ApiGateway::Method", HttpMethod="GET", AuthorizationType="AWS_IAM"),
            made("ApiGateway::Method", HttpMethod="GET", AuthorizationType="NONE"),
        ),
        (
            made("ApiGateway::Method", HttpMethod="GET", AuthorizationType="AWS_IAM"),
            made(
                "ApiGateway::Method",
                HttpMethod="GET",
                AuthorizationType="NONE",
                ApiKeyRequired=True,
            ),
        ),
    ),
    (
        "public-access",
        (None, made("ApiGateway::Method", HttpMethod="GET")),
        (None, made("ApiGateway::Method", HttpMethod="OPTIONS", AuthorizationType="NONE")),
    ),
    (
        "public-access",
        (
            made("ApiGateway::RestApi", EndpointConfiguration={"Types": ["PRIVATE"]}),
            made("ApiGateway::RestApi", EndpointConfiguration={"Types": ["REGIONAL"]}),
        ),
        (None, made("ApiGateway::RestApi")),
    ),
    (
        "public-access",
        (None, made("Lambda::Url", AuthType="NONE")),
        (None, made("Lambda::Url", AuthType="AWS_IAM")),
    ),
    (
        "public-access",
        (made("EC2::Subnet"), made("EC2::Subnet", MapPublicIpOnLaunch=True)),
        (None, made("EC2::Subnet", MapPublicIpOnLaunch=True)),
    ),
    (
        "encryption-off",
        (made("RDS::DBCluster", StorageEncrypted=True), made("RDS::DBCluster")),
        (None, made("RDS::DBCluster")),
    ),
    (
        "encryption-off",
        (database(StorageEncrypted=True), database()),
        (database(), database(StorageEncrypted=True)),
    ),
    (
        "encryption-off",
        (
            made("RDS::DBParameterGroup", Parameters={"rds.force_ssl": "1"}),
            made("RDS::DBParameterGroup", Parameters={"rds.force_ssl": 0}),
        ),
        (
            made("RDS::DBParameterGroup", Parameters={"rds.force_ssl": "1"}),
            made("RDS::DBParameterGroup", Parameters={"rds.force_ssl": "1", "log": "0"}),
        ),
    ),
    (
        "encryption-off",
        (made("EFS::FileSystem", Encrypted=True), made("EFS::FileSystem", Encrypted=False)),
        (made("EFS::FileSystem", Encrypted=True), made("EFS::FileSystem", Encrypted="true", T=1)),
    ),
    (
        "encryption-off",
        (
            made("ElastiCache::ReplicationGroup", AtRestEncryptionEnabled=True, E="a"),
            made("ElastiCache::ReplicationGroup", E="a"),
        ),
        (
            made("ElastiCache::ReplicationGroup", AtRestEncryptionEnabled=True, E="a"),
            made("ElastiCache::ReplicationGroup", AtRestEncryptionEnabled=True, E="b"),
        ),
    ),
    (
        "encryption-off",
        (
            made("ElastiCache::ReplicationGroup", TransitEncryptionEnabled=True),
            made("ElastiCache::ReplicationGroup", TransitEncryptionEnabled="false"),
        ),
        (
            made("ElastiCache::ReplicationGroup", TransitEncryptionEnabled="false"),
            made("ElastiCache::ReplicationGroup", TransitEncryptionEnabled=True),
        ),
    ),
    (
        "encryption-off",
        (
            made("ElastiCache::ReplicationGroup", TransitEncryptionMode="required"),
            made("ElastiCache::ReplicationGroup", TransitEncryptionMode="preferred"),
        ),
        (
            made("ElastiCache::ReplicationGroup", TransitEncryptionMode="preferred"),
            made("ElastiCache::ReplicationGroup", TransitEncryptionMode="required"),
        ),
    ),
    (
        "encryption-off",
        (made("S3::Bucket", BucketEncryption={"R": 1}), made("S3::Bucket")),
        (
            made("S3::Bucket", BucketEncryption={"R": 1}),
            made("S3::Bucket", BucketEncryption={"R": 2}),
        ),
    ),
    (
        "encryption-off",
        (made("SNS::Topic", KmsMasterKeyId="k"), made("SNS::Topic")),
        (made("SNS::Topic", KmsMasterKeyId="k"), made("SNS::Topic", KmsMasterKeyId={"Ref": "K"})),
    ),
    (
        "encryption-off",
        (made("Logs::LogGroup", KmsKeyId="k"), made("Logs::LogGroup")),
        (made("Logs::LogGroup"), made("Logs::LogGroup", RetentionInDays=1)),
    ),
    (
        "encryption-off",
        (made("SecretsManager::Secret", KmsKeyId="k"), made("SecretsManager::Secret")),
        (None, made("SecretsManager::Secret")),
    ),
    (
        "encryption-off",
        (
            made("DynamoDB::Table", SSESpecification={"SSEEnabled": True}),
            made("DynamoDB::Table", SSESpecification={"SSEEnabled": False}),
        ),
        (made("DynamoDB::Table"), made("DynamoDB::Table", TableName="t")),
    ),
    (
        "encryption-off",
        tuple(
            made(
                "ECS::TaskDefinition",
                Volumes=[{"Name": "v", "EFSVolumeConfiguration": {"TransitEncryption": on}}],
            )
            for on in ("ENABLED", "DISABLED")
        ),
        (made("ECS::TaskDefinition"), made("ECS::TaskDefinition", Volumes=[{"Name": "scratch"}])),
    ),
    (
        "deletion-protection-off",
        (database(DeletionProtection=True), database(DeletionProtection=False)),
        (None, database(DeletionProtection=False)),
    ),
    (
        "deletion-protection-off",
        (made("RDS::DBCluster", DeletionProtection=True), made("RDS::DBCluster")),
        (made("RDS::DBCluster"), made("RDS::DBCluster", DeletionProtection=True)),
    ),
    (
        "deletion-protection-off",
        (made("DynamoDB::Table", DeletionProtectionEnabled=True), made("DynamoDB::Table")),
        (made("DynamoDB::Table"), made("DynamoDB::Table", DeletionProtectionEnabled=True)),
    ),
    (
        "secret-regenerated",
        (
            made("SecretsManager::Secret", GenerateSecretString={"PasswordLength": 64}),
            made("SecretsManager::Secret", GenerateSecretString={"PasswordLength": 32}),
        ),
        (
            made("SecretsManager::Secret", GenerateSecretString={"PasswordLength": 64}),
            made(
                "SecretsManager::Secret",
                GenerateSecretString={"PasswordLength": "64"},
                Description="d",
            ),
        ),
    ),
]


@pytest.mark.parametrize(("name", "fires", "silent"), PAIRS)
def test_a_finding_fires_on_its_change_and_not_on_the_one_beside_it(
    name: str, fires: Pair, silent: Pair
) -> None:
    assert [each for each, _ in found(*fires)].count(name) == 1
    assert name not in [each for each, _ in found(*silent)]


def test_a_secret_that_is_replaced_is_told_once() -> None:
    before, after = (
        made("SecretsManager::Secret", Name=name, GenerateSecretString={"PasswordLength": length})
        for name, length in (("a", 64), ("b", 32))
    )

    assert found(before, after) == [("replaces-stateful", "destructive")]


def test_every_switch_has_such_a_pair() -> None:
    judged = {
        (switch.type, switch.text)
        for switch in switches.SWITCHES
        for name, fires, _ in PAIRS
        if name == switch.id
        and fires[1]["Type"] == switch.type
        and switch.bad(fires[1]["Properties"])
    }

    rest = {(each.type, each.text) for each in switches.SWITCHES} - judged
    # The four blocks of a bucket are one rule; the pair is about one of them.
    assert rest <= {("AWS::S3::Bucket", f"no longer has {name}") for name in switches.BLOCKS}


@pytest.mark.parametrize(
    ("policy", "was", "now"),
    [
        ("DeletionPolicy", "Retain", "Delete"),
        ("DeletionPolicy", "RetainExceptOnCreate", "Snapshot"),
        ("DeletionPolicy", "Snapshot", None),
        ("UpdateReplacePolicy", "Retain", None),
        ("UpdateReplacePolicy", "Snapshot", "Delete"),
    ],
)
def test_a_weakened_policy_is_destructive_and_a_strengthened_one_is_not(
    policy: str, was: str | None, now: str | None
) -> None:
    one, other = (
        {**made("EC2::Volume"), **({policy: each} if each else {})} for each in (was, now)
    )

    assert found(one, other) == [("deletion-policy-weakened", "destructive")]
    assert found(other, one) == []


def test_retain_and_retain_except_on_create_keep_alike() -> None:
    one, other = (
        {**made("EC2::Volume"), "DeletionPolicy": each}
        for each in ("Retain", "RetainExceptOnCreate")
    )

    assert found(one, other) == []


def test_the_text_names_a_policy_that_is_only_the_default() -> None:
    before = {**made("EC2::Volume"), "DeletionPolicy": "Retain"}

    (finding,) = findings.findings(compare(before, made("EC2::Volume")))

    assert finding.text == "X: DeletionPolicy is weakened from Retain to the default (deleted)"


def test_a_rule_that_was_as_open_before_opens_nothing() -> None:
    def group(low: int, high: int) -> dict[str, Any]:
        rule = {"IpProtocol": "tcp", "FromPort": low, "ToPort": high, "CidrIp": "0.0.0.0/0"}
        return made("EC2::SecurityGroup", SecurityGroupIngress=[rule])

    (finding,) = findings.findings(compare(group(443, 443), group(400, 500)))

    assert found(group(400, 500), group(443, 443)) == []
    assert finding.text == "X opens ports 400 to 500 (tcp) to 0.0.0.0/0, the whole internet"


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"IpProtocol": "-1"}, "every port (every protocol)"),
        ({"IpProtocol": "tcp", "FromPort": "22", "ToPort": "22"}, "port 22 (tcp)"),
        ({"IpProtocol": "udp", "FromPort": {"Ref": "P"}, "ToPort": 5}, "every port (udp)"),
    ],
)
def test_an_opening_is_said_in_ports(rule: dict[str, Any], said: str) -> None:
    after = made("EC2::SecurityGroupIngress", CidrIp="0.0.0.0/0", **rule)

    (finding,) = findings.findings(compare(None, after))

    assert finding.text == f"X opens {said} to 0.0.0.0/0, the whole internet"


def test_a_name_that_is_still_taken_cannot_be_given_again() -> None:
    group = made("Logs::LogGroup", LogGroupName="/a")
    other = made("Logs::LogGroup", LogGroupName="/b")

    def ids(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
        changes = diff.compare("s", Side({"Resources": before}), Side({"Resources": after}))
        return [each.id for each in findings.findings(changes) if each.id == "name-taken"]

    assert ids({"Old": group}, {"New": group}) == ["name-taken"]
    assert ids({"Old": group}, {"New": other}) == []
    assert ids({"Old": group}, {"Old": group, "New": group}) == []
    assert ids({"Old": made("Logs::LogGroup")}, {"New": made("Logs::LogGroup")}) == []


def exporting(value: Any) -> Side:
    resources = {"X": made("EC2::VPC", InstanceTenancy=value)}
    outputs = {"Id": {"Value": {"Ref": "X"}, "Export": {"Name": "tap-Id"}}}
    return Side({"Resources": resources, "Outputs": outputs})


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (
            Side({"Resources": {"X": made("EC2::VPC", InstanceTenancy="a")}}),
            ("export-removed", "destructive", "export tap-Id vanishes, and is imported by a, b"),
        ),
        (
            exporting("b"),
            ("export-may-change", "info", "export tap-Id may change, and is imported by a, b"),
        ),
        (
            Side(
                {
                    **exporting("a").document,
                    "Outputs": {"Id": {"Value": "x", "Export": {"Name": "tap-Id"}}},
                }
            ),
            ("export-changed", "destructive", "export tap-Id changes, and is imported by a, b"),
        ),
    ],
)
def test_an_export_in_use_that_changes_or_goes_is_a_finding(
    after: Side, expected: tuple[str, str, str]
) -> None:
    changes = diff.compare("s", Side(exporting("a").document, live={"Id": "vpc-1"}), after)

    def about(importers: dict[str, list[str]]) -> list[tuple[str, str, str]]:
        return [
            (each.id, each.severity, each.text)
            for each in findings.findings(changes, importers=importers)
            if each.subject == "tap-Id"
        ]

    assert about({"tap-Id": ["b", "a"]}) == [expected]
    assert about({"tap-Other": ["a"]}) == []


def test_an_export_that_appears_is_nobodys_concern() -> None:
    changes = diff.compare("s", Side({}), exporting("a"))

    assert findings.findings(changes, importers={"tap-Id": ["a"]}) == ()


@pytest.mark.parametrize(
    ("protection", "ids"),
    [
        ((True, False), ["termination-protection-off"]),
        ((False, False), []),
        ((False, True), []),
        ((True, True), []),
    ],
)
def test_termination_protection_switched_off_is_a_finding(
    protection: tuple[bool, bool], ids: list[str]
) -> None:
    changes = compare(None, None)

    assert [each.id for each in findings.findings(changes, protection=protection)] == ids


def test_the_most_severe_come_first() -> None:
    before = database(MultiAZ=True, DeletionProtection=True)
    after = database(MultiAZ=False, PubliclyAccessible=True)

    assert [severity for _, severity in found(before, after)] == [
        "destructive",
        "broadening",
        "info",
    ]


@pytest.mark.parametrize(
    ("name", "severity", "kind"),
    [
        ("replaces-stateful", "destructive", "destructive"),
        ("access-broadened", "broadening", "broadening"),
        # Who approves of losses wants to be asked before one that only may happen, too.
        ("may-replace-stateful", "info", "destructive"),
        ("export-may-change", "info", "destructive"),
        ("keeps-its-name", "info", "other"),
    ],
)
def test_every_finding_is_of_a_kind_that_approval_can_be_asked_for(
    name: str, severity: switches.Severity, kind: str
) -> None:
    assert Finding(name, severity, "Subject", "text").kind == kind
