"""The secret that RDS makes and keeps for a database's owner (``ManageMasterUserPassword``)."""

from __future__ import annotations

import json
import secrets
import string
from typing import Any

from tapgen.local import reach

_LETTERS = string.ascii_letters + string.digits
# What Secrets Manager keeps for its own account when nobody chose a key.
_DEFAULT_KEY = "alias/aws/secretsmanager"


def of(instance: dict[str, Any], wanted: dict[str, Any]) -> str:
    """The ARN of the instance's secret, which is made when there is none yet."""
    known = instance.get("MasterUserSecret")
    if known:
        return str(known["SecretArn"])
    manager = reach.service("secretsmanager")
    password = "".join(secrets.choice(_LETTERS) for _ in range(28))
    value = {"username": instance["MasterUsername"], "password": password}
    arn = instance["DBInstanceArn"]
    secret_arn, _ = manager._store_new_secret(
        f"rds!{_lowered(instance)}",
        secret_string=json.dumps(value),
        description=f"Secret associated with primary RDS DB instance: {arn}",
        tags=[
            {"Key": "aws:secretsmanager:owningService", "Value": "rds"},
            {"Key": "aws:rds:primaryDBInstanceArn", "Value": arn},
        ],
        kms_key_id=wanted.get("KmsKeyId"),
        rotation_rules={"AutomaticallyAfterDays": 7},
    )
    _, record = manager._resolve(secret_arn)
    record["RotationEnabled"] = True
    instance["_MasterUserPassword"] = password
    instance["MasterUserSecret"] = {
        "SecretArn": secret_arn,
        "SecretStatus": "active",
        "KmsKeyId": wanted.get("KmsKeyId") or _DEFAULT_KEY,
    }
    return str(secret_arn)


def drop(instance: dict[str, Any]) -> None:
    """Delete the instance's secret, if RDS made one."""
    known = instance.get("MasterUserSecret")
    if not known:
        return
    manager = reach.service("secretsmanager")
    name, record = manager._resolve(known["SecretArn"])
    if record is not None:
        manager._purge_secret(name, record)


def _lowered(instance: dict[str, Any]) -> str:
    """``db-`` and an id, as in ``rds!db-1b2c…``."""
    return str(instance["DbiResourceId"]).lower()
