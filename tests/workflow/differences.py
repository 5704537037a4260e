"""Where an interpreter of the workflow differs from AWS, and why that is accepted.

A test that leaves an interpreter out names the difference that it does so for.
"""

from __future__ import annotations

from dataclasses import dataclass

VIRTUAL, EMBEDDED = "virtual", "embedded"


@dataclass(frozen=True)
class Difference:
    """One difference: whose, in what, and why."""

    interpreter: str
    what: str
    why: str


DIFFERENCES = (
    Difference(VIRTUAL, "processes", "a task is an outcome and a number of seconds"),
    Difference(VIRTUAL, "logs", "nobody writes: it is there for the states and their times"),
    Difference(VIRTUAL, "input", "nobody reads it: the definition leaves it behind at once"),
    Difference(VIRTUAL, "language", "it refuses what the workflow does not use"),
    Difference(VIRTUAL, "abort", "StopExecution's caller gives no error or cause here"),
    Difference(
        EMBEDDED, "times", "waits are shortened, work is real: attempts take what they take"
    ),
    Difference(EMBEDDED, "placing", "a task starts at once; Fargate takes a minute or so"),
    Difference(EMBEDDED, "permissions", "no policy is asked: AccessDenied comes only as a fault"),
    Difference(EMBEDDED, "tracing", "there is no X-Ray"),
    Difference(EMBEDDED, "missing paths", "they are null; AWS fails with ParameterPathFailure"),
    Difference(EMBEDDED, "metadata", "results have no SdkHttpMetadata; nobody reads it"),
    Difference(EMBEDDED, "redrive", "there is none, and nothing says whether there could be"),
    Difference(EMBEDDED, "state retries", "a Parallel or Map state is retried without jitter"),
)


def lacks(interpreter: str, what: str) -> bool:
    """Whether this is an accepted difference. Raises ``KeyError`` for one that nobody listed."""
    listed = {(difference.interpreter, difference.what) for difference in DIFFERENCES}
    if what not in {name for _, name in listed}:
        raise KeyError(what)
    return (interpreter, what) in listed
