"""Keys, secrets and buckets: who can read what, and what would show it by accident."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tapgen import names
from tapgen.validate import policy
from tapgen.validate.finding import Fault, Rule
from tapgen.validate.world import World, dig, is_true, items, strings

KEY = "AWS::KMS::Key"
SECRET = "AWS::SecretsManager::Secret"
BUCKET = "AWS::S3::Bucket"
BLOCKS = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
# RDS: "Only printable ASCII characters besides '/', '@', '"', ' ' may be used".
REFUSED_IN_PASSWORDS = '/@" '
_SECRET_PARAMETER = re.compile(r"(password|secret|token|privatekey)$", re.I)


def rotated_key(world: World) -> Iterator[Fault]:
    """Rotation costs nothing and is off by default."""
    for key in world.of_type(KEY):
        symmetric = str(key.get("KeySpec", "SYMMETRIC_DEFAULT")) == "SYMMETRIC_DEFAULT"
        if symmetric and not is_true(key.get("EnableKeyRotation")):
            yield key.fault("is not rotated")


def manageable_key(world: World) -> Iterator[Fault]:
    """A key whose policy leaves its account out can be managed by nobody, AWS support aside.

    KMS developer guide, "Default key policy".
    """
    for key in world.of_type(KEY):
        if not any(
            statement.effect == "Allow" and str(arn).endswith(":root")
            for statement in policy.statements(key, key.get("KeyPolicy"))
            for arn in items(dig(statement.principal, "AWS"))
        ):
            yield key.fault("does not let its own account manage it")


def alias_by_id(world: World) -> Iterator[Fault]:
    """An alias stores the key's id; given the ARN, it drifts for ever."""
    for alias in world.of_type("AWS::KMS::Alias"):
        target = world.target(alias.get("TargetKeyId"))
        if target is not None and target.attribute == "Arn":
            yield alias.fault("names its key by ARN")


def key_open_to_logs(world: World) -> Iterator[Fault]:
    """A log group with a key needs the logs service in the key's policy, or creating it fails.

    CloudWatch Logs user guide, "Encrypt log data using AWS KMS".
    """
    service = f"logs.{names.REGION}.amazonaws.com"
    for group in world.of_type("AWS::Logs::LogGroup"):
        key = world.resource(group.get("KmsKeyId"), KEY)
        if key is not None and not any(
            {service, "logs.amazonaws.com"} & set(statement.services)
            for statement in policy.statements(key, key.get("KeyPolicy"))
        ):
            yield group.fault(f"is encrypted with {key.logical_id}, which {service} may not use")


def generated_secret(world: World) -> Iterator[Fault]:
    """A secret's text in the template is in the repository and in the console."""
    for secret in world.of_type(SECRET):
        if secret.get("SecretString") is not None:
            yield secret.fault("has its text in the template")


def usable_password(world: World) -> Iterator[Fault]:
    """Passwords for RDS and ElastiCache may not hold some characters that are generated.

    ``/``, ``@``, ``"`` and space for RDS; most punctuation for ElastiCache.
    """
    for secret in world.of_type(SECRET):
        form = secret.get("GenerateSecretString")
        if not form or is_true(form.get("ExcludePunctuation")):
            continue
        left = [
            c for c in REFUSED_IN_PASSWORDS.strip() if c not in form.get("ExcludeCharacters", "")
        ]
        if left:
            yield secret.fault(f"may hold {' '.join(left)}, which databases refuse")


def default_secret_key(world: World) -> Iterator[Fault]:
    """The default key, written out, is read back as an ARN: drift."""
    for secret in world.of_type(SECRET):
        if str(secret.get("KmsKeyId", "")).endswith("alias/aws/secretsmanager"):
            yield secret.fault("states the default key")


def hidden_parameter(world: World) -> Iterator[Fault]:
    """A parameter with a secret is shown in the console and by DescribeStacks without NoEcho."""
    for source in world.sources.values():
        for name, parameter in source.document.get("Parameters", {}).items():
            if _SECRET_PARAMETER.search(name) and not is_true(parameter.get("NoEcho")):
                yield Fault(source.file, f"Parameters.{name}", "takes a secret without NoEcho")


def no_secret_output(world: World) -> Iterator[Fault]:
    """Outputs are readable by everybody who may describe stacks."""
    for output in world.outputs:
        for text in strings(output.value):
            if "{{resolve:secretsmanager" in text or "{{resolve:ssm-secure" in text:
                yield output.fault("shows a secret's value")
            for target in world.targets(text):
                if (target.resource.type, target.attribute) == ("AWS::ApiGateway::ApiKey", "Value"):
                    yield output.fault("shows the API key's value")


def private_bucket(world: World) -> Iterator[Fault]:
    """Every block on, encryption stated, no ACLs: a bucket that cannot become public."""
    for bucket in world.of_type(BUCKET):
        blocks = bucket.get("PublicAccessBlockConfiguration") or {}
        off = [name for name in BLOCKS if not is_true(blocks.get(name))]
        if off:
            yield bucket.fault(f"does not block public access ({', '.join(off)})")
        if not bucket.get("BucketEncryption"):
            yield bucket.fault("does not state its encryption")


def bucket_tls_only(world: World) -> Iterator[Fault]:
    """Without a denial, objects travel over plain HTTP too. S3 user guide, "Security best"."""
    for bucket in world.of_type(BUCKET):
        policies = [
            found
            for found in world.of_type("AWS::S3::BucketPolicy")
            if found.get("Bucket") in (bucket.token(), bucket.get("BucketName"))
        ]
        if not any(
            statement.effect == "Deny" and "aws:securetransport" in statement.condition_keys()
            for found in policies
            for statement in policy.statements(found, found.get("PolicyDocument"))
        ):
            yield bucket.fault("can be read over plain HTTP")


RULES = (
    Rule("TAP721", "error", "set EnableKeyRotation", rotated_key),
    Rule("TAP722", "error", "allow kms:* to the account's root", manageable_key),
    Rule("TAP723", "warning", "use Ref of the key", alias_by_id),
    Rule("TAP724", "error", "allow the service in the key policy", key_open_to_logs),
    Rule("TAP725", "error", "use GenerateSecretString", generated_secret),
    Rule("TAP726", "error", "set ExcludePunctuation, or ExcludeCharacters", usable_password),
    Rule("TAP727", "warning", "leave KmsKeyId out", default_secret_key),
    Rule("TAP728", "error", "set NoEcho, or better take the secret's ARN", hidden_parameter),
    Rule("TAP729", "error", "show its id or ARN instead", no_secret_output),
    Rule("TAP730", "error", "set all four blocks and BucketEncryption", private_bucket),
    Rule("TAP731", "error", "deny it while aws:SecureTransport is false", bucket_tls_only),
)
