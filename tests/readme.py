"""Fills the generated parts of README.md and docs/, so that they cannot be wrong.

A generated part stands between ``<!-- begin: NAME -->`` and ``<!-- end: NAME -->``; ``NAME`` is a
key of ``PARTS``. ``make readme`` writes them, the tests compare. What a stack's status leads to and
how long a deployment takes is not copied from the code but tried on the twin.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import re
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import botocore.session
import worlds
from allowing import NETWORK, Allowing
from botocore import xform_name
from click.testing import CliRunner
from twin.scene import tier, wanted
from twin.states import ROUTES, bring

from tapgen import app, graph_text, settings
from tapgen.cli import main as tapgen
from tapgen.diff import StackChanges
from tapgen.diff.findings import STATEFUL, Finding
from tapgen.engine import durations, guard, plan
from tapgen.engine.events import StackWaits
from tapgen.engine.plan import Action, Step
from tapgen.engine.review import Review, Reviewed, Source
from tapgen.errors import Exit
from tapgen.local.resources import not_kept
from tapgen.local.resources.not_kept import NotKept
from tapgen.scope import Scope
from tapgen.verify.run import CHECKS, GROUPS

PROJECT = Path(__file__).resolve().parent.parent
README = PROJECT / "README.md"
PAGES = (README, *sorted((PROJECT / "docs").glob("*.md")))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _printed(*arguments: str) -> str:
    result = CliRunner(env={"COLUMNS": "80"}).invoke(tapgen, arguments)
    assert result.exit_code == 0, result.output
    return f"```console\n$ tapgen {' '.join(arguments)}\n{result.stdout.rstrip()}\n```"


def _mermaid() -> str:
    return f"```mermaid\n{graph_text.mermaid(app.documents(), False).rstrip()}\n```"


def _tiers() -> str:
    rows = []
    for stack in app.describe():
        document = stack.document()
        purpose = document["Description"].partition(": ")[2]
        rows.append((stack.tier, purpose, str(len(document["Resources"]))))
    return _table(("tier", "what it holds", "resources"), rows)


def _settings() -> str:
    documents = [s.document() for s in app.describe() if s.scope is Scope.ENVIRONMENT]
    unset, rows = settings.Settings(env="dev"), []
    for key in settings.keys(documents).values():
        # The deployer's own are fields; true and false are written as a settings file has them.
        given = key.default if key.parameter else getattr(unset, key.name)
        default = "" if given in (None, "", (), {}) else f"`{str(given).replace('False', 'false')}`"
        rows.append((f"`{key.name}`", key.takes.replace("|", "&#124;"), default))
    return _table(("key", "takes", "default"), rows)


_ENDS = {
    Exit.DONE: "done, also when there was nothing to do",
    Exit.FAILED: "failed, or refused by AWS or by tapgen",
    Exit.USAGE: "the command line, a settings file or a plan asks for what cannot be",
    Exit.DIFFERENT: "differences found, where a command was asked to say so",
    Exit.INTERRUPTED: "interrupted, cancelled, or a question answered with no",
}


def _exits() -> str:
    return _table(("status", "meaning"), [(str(int(status)), _ENDS[status]) for status in Exit])


# What a stack's status leads to: every status is reached on the twin, and tried.


def _states() -> str:
    statuses = [name for name in ROUTES if name != "DELETE_COMPLETE"]
    rows = [("not there", _deployed("DELETE_COMPLETE"), _destroyed("DELETE_COMPLETE"))]
    rows += [(name, _deployed(name), _destroyed(name)) for name in statuses]
    return _table(("status", "deploy", "destroy"), rows)


def _in(status: str) -> Allowing:
    scene = Allowing()
    bring(scene.twin, wanted([tier("network")])[0], status)
    return scene


def _deployed(status: str) -> str:
    told, done = _tried(status)
    item = wanted([tier("network")])[0]
    stack = _in(status).cloud.stack(NETWORK)
    step = plan.decide(item, stack)
    if done and status in plan.UPDATABLE:
        same = _in("CREATE_COMPLETE").cloud.stack(NETWORK)
        assert same is not None
        kept = plan.decide(item, replace(same, status=status)).action is Action.KEEP
        return f"{told}{' where it differs' if kept else ', also where nothing differs'}"
    if done:
        return told
    for flag, allowed in _FLAGS.get(status, {}).items():
        more, works = _tried(status, **{allowed: frozenset({NETWORK})})
        assert works, (status, flag)
        return f"{told}; with `{flag}` it {more.removeprefix('waits, then ')}"
    if step.action is Action.CREATE:
        # Somebody's change set waits there: that is how a stack gets into this status.
        return f"creates it there; {told} while somebody else's change set waits"
    return f"{told}: {step.why.partition(': ')[2]}"


# The flag that lets a run act, and the member of ``Run`` that it becomes.
_FLAGS = {
    "CREATE_FAILED": {"--recreate-failed": "recreate"},
    "ROLLBACK_IN_PROGRESS": {"--recreate-failed": "recreate"},
    "ROLLBACK_COMPLETE": {"--recreate-failed": "recreate"},
    "ROLLBACK_FAILED": {"--recreate-failed": "recreate"},
    "UPDATE_FAILED": {"--recover": "recover"},
    "UPDATE_ROLLBACK_FAILED": {"--recover": "recover"},
}
_WORDS = {
    "create": "creates it",
    "update": "updates it",
    "delete_stack create": "deletes it and creates it anew",
    "rollback_stack update": "takes it back, then updates it",
    "continue_update_rollback update": "goes on with the rollback, then updates it",
    "": "refuses",
}


def _tried(status: str, **allowed: frozenset[str]) -> tuple[str, bool]:
    """What a deploy does about a stack in ``status``, in words, and whether it stands then."""
    scene = _in(status)
    scene.allowed = dict(allowed)
    before, stood = len(scene.region.mutations), scene.region.status(NETWORK)
    outcome = scene.deploy([tier("network", note="second")])
    calls = scene.since(before)
    gone = not stood or "DELETE" in status
    done = " ".join(name for name in calls if not name.endswith("change_set"))
    if "execute_change_set" in calls:
        done = f"{done} {'create' if gone or 'delete_stack' in calls else 'update'}".strip()
    waits = any(isinstance(event, StackWaits) for event in outcome.events)
    good = scene.region.status(NETWORK) in plan.GOOD
    return f"{'waits, then ' if waits else ''}{_WORDS[done]}", good


def _destroyed(status: str) -> str:
    scene = _in(status)
    before = len(scene.region.mutations)
    outcome = scene.destroy()
    assert not scene.region.status(NETWORK), status
    waits = any(isinstance(event, StackWaits) for event in outcome.events)
    if not scene.since(before):
        return "waits until it is gone" if waits else "nothing to do"
    again = " once more; what fails again stays with `--retain` or `--force`"
    more = again if status == "DELETE_FAILED" else ""
    return f"{'waits, then ' if waits else ''}deletes it{more}"


def _policy() -> str:
    kept = guard.policy(app.documents()["storage"])
    return f"```json\n{json.dumps(json.loads(kept or ''), indent=2)}\n```"


def _usual() -> str:
    documents = app.documents()
    minutes = {name: durations.usual(documents[name]) / 60 for name in documents}
    rows = [(n, f"{m:.0f} min" if m >= 1 else "under a minute") for n, m in minutes.items()]
    return _table(("tier", "first creation"), rows)


# Which changes need somebody's word, at which level.

# Each asks for all that the one before it asks for.
LEVELS = ("never", "destructive", "broadening", "any-change")
_CHANGES: dict[str, Finding | Action] = {
    "a resource that holds data is replaced or leaves": Finding(
        "replaces-stateful", "destructive", "", ""
    ),
    "it may be replaced": Finding("may-replace-stateful", "info", "", ""),
    "something else is destroyed or put at risk": Finding(
        "deletion-policy-weakened", "destructive", "", ""
    ),
    "a stack is deleted and made anew": Action.RECREATE,
    "more people or programs may do or see more": Finding("access-broadened", "broadening", "", ""),
    "anything else": Action.UPDATE,
    "nothing": Action.KEEP,
}


def _approvals() -> str:
    rows = [(what, *(_asks(level, case) for level in LEVELS)) for what, case in _CHANGES.items()]
    return _table(("what a run does", *(f"`{level}`" for level in LEVELS)), rows)


def _asks(level: str, case: Finding | Action) -> str:
    action = case if isinstance(case, Action) else Action.UPDATE
    item = wanted([tier("network")])[0]
    step, changes = Step(item.tier, item.name, action, ""), StackChanges(item.name)
    found = (case,) if isinstance(case, Finding) else ()
    seen = Review((Reviewed(item, step, changes, Source.SAME, found),), (), {})
    if guard.losses(seen):
        return "the suffix, typed"
    return "asks" if guard.needs_approval(level, seen) else ""


def _stateful() -> str:
    used = {r["Type"] for d in app.documents().values() for r in d["Resources"].values()}
    rows = [
        (f"`{kind}`", lost, "kept" if kind in guard.DATA else "")
        for kind, lost in STATEFUL.items()
        if kind in used
    ]
    return _table(("type", "what goes with it", "stack policy"), rows)


# The calls that tapgen makes itself, read off its sources, as IAM names them.

_CALLS = {
    "deploy, destroy and what looks at stacks": ("aws",),
    "`verify`": tuple(
        f"verify/{name}.py"
        for name in ("data", "keeping", "network", "notices", "serving", "wiring", "workflow")
    ),
    "`verify --smoke` besides": ("verify/listener.py", "verify/smoke.py"),
    "`logs`, `executions`": (
        "observe/deployed.py",
        "observe/executions.py",
        "observe/lines.py",
    ),
}
# Where IAM calls the call otherwise. Without ListBucket S3 answers 403 for a key that is missing.
_NAMED = {
    "s3:HeadObject": ("s3:GetObject", "s3:ListBucket"),
    "lambda:Invoke": ("lambda:InvokeFunction",),
    # Whoever has credentials may ask who they are.
    "sts:GetCallerIdentity": (),
}


def _permissions() -> str:
    rows = []
    for what, places in _CALLS.items():
        actions = sorted({action for place in places for action in _actions(place)})
        rows.append((what, ", ".join(f"`{action}`" for action in actions)))
    return _table(("for", "actions"), rows)


def _actions(place: str) -> Iterator[str]:
    root = PROJECT / "tapgen" / place
    for path in sorted(root.rglob("*.py")) if root.is_dir() else [root]:
        for service, name in _asked(ast.parse(path.read_text(encoding="utf-8"))):
            prefix, operations = _operations(service)
            if name in operations:
                # Every read of API Gateway is a GET to IAM.
                action = f"{prefix}:{'GET' if service == 'apigateway' else operations[name]}"
                yield from _NAMED.get(action, (action,))


def _asked(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """What may be a service and an operation: two texts beside each other, or, where a variable
    stands beside the first, that and every text of the module.
    """
    texts = [text for node in ast.walk(tree) if (text := _text(node))]
    for node in ast.walk(tree):
        parts: list[ast.expr] = []
        if isinstance(node, ast.Call):
            parts = node.args
        elif isinstance(node, ast.Tuple):
            parts = node.elts
        for first, second in pairwise(parts):
            service, name = _text(first), _text(second)
            if service in _services():
                yield from ((service, each) for each in ([name] if name else texts))


def _text(node: ast.AST) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


@cache
def _services() -> set[str]:
    return set(botocore.session.get_session().get_available_services())


@cache
def _operations(service: str) -> tuple[str, dict[str, str]]:
    model = botocore.session.get_session().get_service_model(service)
    return model.signing_name, {xform_name(name): name for name in model.operation_names}


def _checks() -> str:
    names = {group: name for name, group in GROUPS.items()}
    rows = [(c.group, f"`{names[c.group]}`", f"`{c.id}`", c.title) for c in CHECKS]
    return _table(("group", "name", "check", "what must hold"), rows)


def _forgotten(entries: Iterable[NotKept]) -> str:
    return _table(
        ("type", "property", "why"), [(f"`{e.type}`", f"`{e.property}`", e.why) for e in entries]
    )


def _contract() -> str:
    rows = [(claim, why) for claim, (_, _, why) in worlds.DIFFERENCES.items()]
    return _table(("differs in", "why"), rows)


def _interpreters() -> str:
    found = _names("workflow/differences.py")["DIFFERENCES"]
    rows = [(each.interpreter, each.what, each.why) for each in found]
    return _table(("interpreter", "differs in", "why"), rows)


def _names(test: str) -> dict[str, Any]:
    return runpy.run_path(str(PROJECT / "tests" / test), run_name="read")


def _makespan() -> str:
    printed = io.StringIO()
    # The store of packages is the project's, wherever the tests are started.
    with contextlib.chdir(PROJECT), contextlib.redirect_stdout(printed):
        _names("bench/makespan.py")["main"]()
    return f"```console\n$ python tests/bench/makespan.py\n{printed.getvalue().rstrip()}\n```"


PARTS: dict[str, Callable[[], str]] = {
    "tapgen --help": lambda: _printed("--help"),
    "tapgen local --help": lambda: _printed("local", "--help"),
    "tapgen graph": lambda: _printed("graph"),
    "graph": _mermaid,
    "tiers": _tiers,
    "settings": _settings,
    "exit statuses": _exits,
    "statuses": _states,
    "stack policy": _policy,
    "usual times": _usual,
    "approvals": _approvals,
    "what holds data": _stateful,
    "permissions": _permissions,
    "checks": _checks,
    "not kept": lambda: _forgotten(not_kept.NOT_KEPT),
    "not reported": lambda: _forgotten(not_kept.NOT_REPORTED),
    "not honoured": lambda: _forgotten(not_kept.NOT_HONOURED),
    "stack options not kept": lambda: _table(
        ("parameter", "what is not done"),
        [(f"`{name}`", why) for name, why in not_kept.STACK_OPTIONS_NOT_KEPT],
    ),
    "contract": _contract,
    "interpreters": _interpreters,
    "makespan": _makespan,
}


# What takes minutes, and is measured when asked for: ``python tests/readme.py faults speed``. It
# stands between ``<!-- measured: NAME -->`` and ``<!-- end of NAME -->``.
MEASURED = {"faults": ["tests/faults/run.py", "--http"], "speed": ["tests/bench/run.py"]}


def filled(text: str) -> str:
    """Return ``text`` with every generated part made anew. Raises ``KeyError`` for unknown ones."""

    def fill(match: re.Match[str]) -> str:
        name = match.group(1)
        return f"<!-- begin: {name} -->\n{PARTS[name]()}\n<!-- end: {name} -->"

    return re.sub(r"<!-- begin: (.+?) -->\n.*?<!-- end: \1 -->", fill, text, flags=re.DOTALL)


def measured(text: str, names: Iterable[str]) -> str:
    """Return ``text`` with the figures of ``names`` (keys of ``MEASURED``) measured anew."""
    for name in names:
        begin, end = f"<!-- measured: {name} -->\n", f"\n<!-- end of {name} -->"
        if begin in text:
            command = [sys.executable, *MEASURED[name]]
            told = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True).stdout
            shown = f"```console\n$ python {' '.join(MEASURED[name])}\n{told.rstrip()}\n```"
            text = text.partition(begin)[0] + begin + shown + end + text.partition(end)[2]
    return text


if __name__ == "__main__":
    for page in PAGES:
        before = page.read_text(encoding="utf-8")
        page.write_text(filled(measured(before, sys.argv[1:])), encoding="utf-8")
