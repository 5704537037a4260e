"""Brings the database's schema up to what the deployed code expects, once per code.

A stack that has migrations says so by an output that names their function; the function does the
work, idempotent and under a lock of its own, and this runs it. A mark in the artifact bucket tells
that it went well for this code, so that a run which died in between makes up for it, and an
unchanged environment runs nothing.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass

from tapgen.cloud import Account, CloudError
from tapgen.engine.events import Event, Migrated, StackFailed
from tapgen.engine.plan import Wanted

# The output that names the function of a stack's migrations.
OUTPUT = "MigrationFunctionName"


@dataclass(frozen=True)
class Migration:
    """What to run for one stack, and where to note that it was run."""

    stack: str
    function: str
    bucket: str
    mark: str


def of(item: Wanted, outputs: Mapping[str, str], bucket: str, code_key: str) -> Migration | None:
    """The migration of a stack that stands as wanted; None where it has none."""
    function = outputs.get(OUTPUT)
    if function is None:
        return None
    return Migration(item.name, function, bucket, f"migrated/{item.name}/{code_key}")


def run(account: Account, migration: Migration) -> Generator[Event, None, bool]:
    """Run it unless that was done for this code; returns whether all is well."""
    try:
        if account.has_object(migration.bucket, migration.mark):
            return True
        answer = account.invoke(migration.function)
        account.put_object(migration.bucket, migration.mark, answer.encode())
    except CloudError as error:
        yield StackFailed(
            migration.stack,
            "",
            f"the stack stands, its migrations do not: {error}",
            remedy="mend what its log says and deploy again: the migrations are run again",
        )
        return False
    yield Migrated(migration.stack, answer)
    return True
