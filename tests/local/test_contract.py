"""What the launcher counts on in ministack: a version that breaks it shall say so plainly."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tapgen.local import reach

PACKAGE = Path(reach.__file__).parent
WAYS_IN = {
    "module": "ministack.{}",
    "service": "ministack.services.{}",
    "cloudformation": "ministack.services.cloudformation.{}",
}


def opened(node: ast.AST) -> str:
    """The emulator's module that ``reach.service("ec2")`` and its like open; empty for others."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return ""
    if not (isinstance(node.func.value, ast.Name) and node.func.value.id == "reach"):
        return ""
    way = WAYS_IN.get(node.func.attr)
    argument: object = ""
    if node.args:
        argument = node.args[0].value if isinstance(node.args[0], ast.Constant) else None
    return way.format(argument).rstrip(".") if way and isinstance(argument, str) else ""


def bound(function: ast.AST) -> Iterator[tuple[str, str]]:
    """Names that stand for a module of the emulator: (name, module)."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            target = node.targets[0]
            pairs: list[tuple[ast.AST, ast.AST]] = [(target, node.value)]
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = list(zip(target.elts, node.value.elts, strict=False))
            for name, value in pairs:
                if isinstance(name, ast.Name) and opened(value):
                    yield name.id, opened(value)


def touched() -> set[tuple[str, str]]:
    """Every (module, attribute) of the emulator that the launcher's source names."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if "reach" not in text:
            continue
        tree = ast.parse(text)
        functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
        for scope in functions:
            names = dict(bound(scope))
            for node in ast.walk(scope):
                if isinstance(node, ast.Attribute):
                    module = opened(node.value)
                    if isinstance(node.value, ast.Name):
                        module = names.get(node.value.id, "")
                    if module and "{" not in module:
                        found.add((module, node.attr))
    return found


@pytest.fixture(scope="module")
def _quiet_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The emulator keeps a key in its state folder as soon as it is loaded."""
    before = dict(os.environ)
    os.environ["STATE_DIR"] = str(tmp_path_factory.mktemp("state"))
    yield
    os.environ.clear()
    os.environ.update(before)


TOUCHED = sorted(touched())


def test_the_pinned_version_is_the_installed_one() -> None:
    assert reach.installed() == reach.PINNED


def test_the_source_is_read_for_what_it_touches() -> None:
    assert len(TOUCHED) > 80
    assert ("ministack.services.ec2", "_allocate_address") in TOUCHED
    assert ("ministack.services.cloudformation.stacks", "_resolve_stack_outputs") in TOUCHED


@pytest.mark.usefixtures("_quiet_home")
@pytest.mark.parametrize(("module", "attribute"), TOUCHED)
def test_the_emulator_has_what_the_launcher_touches(module: str, attribute: str) -> None:
    loaded = importlib.import_module(module)

    assert hasattr(loaded, attribute), (
        f"{module} has no {attribute} any more: tapgen/local was written for "
        f"ministack {reach.PINNED}"
    )


SIGNATURES = {
    "engine._evaluate_conditions": "template params",
    "stacks._resolve_stack_outputs": "outputs_defs conditions resources param_values mappings "
    "stack_name stack_id",
    "stacks._resolve_refs": "value resources params conditions mappings stack_name stack_id",
    "stacks._roll_back_operation": "stack_name stack_id stack operation reason_override",
    "stacks._create_stack_task_in_region": "coro stack stack_id",
    "stacks._add_event": "stack_id stack_name logical_id resource_type status reason "
    "physical_id detailed_status",
    "stacks._runs_on_worker_thread": "resource_type",
    "stacks._provision_resource": "resource_type logical_id props stack_name",
    "stacks._update_resource": "resource_type physical_id old_props new_props stack_name "
    "logical_id old_attrs",
    "stacks._delete_resource": "resource_type physical_id props stack_name logical_id",
    "stacks._with_stack_tags": "resource_type props stack_tags stack_name stack_id logical_id",
    "handlers.validate_template_support": "template conditions params",
    "handlers._resolve_parameters": "template provided_params previous_params",
    "handlers._capabilities_enforced": "",
    "engine._constraint_error": "name defn reason",
    "helpers._resolve_document": "params body_key url_key label",
    "provisioners._snapshot_id": "physical_id",
    "provisioners._sm_secret_string": "props",
    "changesets._find_change_set": "cs_name stack_name",
}


@pytest.mark.usefixtures("_quiet_home")
@pytest.mark.parametrize("name", sorted(SIGNATURES))
def test_a_replaced_function_takes_what_its_replacement_takes(name: str) -> None:
    module, _, function = name.partition(".")
    loaded = importlib.import_module(f"ministack.services.cloudformation.{module}")

    parameters = inspect.signature(getattr(loaded, function)).parameters

    assert list(parameters) == SIGNATURES[name].split()


SERVICE_SIGNATURES = {
    "ecs._run_task": "data",
    "ecs._stop_task": "data",
    "ecs._mark_task_pending": "task_arn task",
    "ecs._mark_task_activating": "task_arn task",
    "ecs._mark_task_running": "task_arn task",
    "ecs._mark_task_stopped": "task_arn task reason stop_code exit_code",
    "ecs._resolve_task": "ref cluster_name",
    "sns._publish": "params",
    "cloudwatch_logs._create_log_stream": "data",
    "cloudwatch_logs._put_log_events": "data",
    "stepfunctions._run_execution": "exec_arn",
    "stepfunctions._start_execution": "data",
    "stepfunctions._stop_execution": "data",
    "stepfunctions._execute_task": "state_def raw_input execution ctx",
    "stepfunctions._execute_parallel": "state_def raw_input execution ctx",
    "stepfunctions._execute_map": "state_def raw_input execution ctx",
    "stepfunctions._execute_pass": "state_def raw_input ctx",
    "stepfunctions._execute_choice": "state_def raw_input ctx",
    "stepfunctions._execute_wait": "state_def raw_input ctx",
    "stepfunctions._add_event": "execution event_type details",
    "stepfunctions._scaled_sleep": "seconds",
    "stepfunctions._exec_intrinsic": "node data ctx",
    "stepfunctions._find_matching_retrier": "retriers error retry_counts",
    "stepfunctions._apply_catcher": "catcher raw_input ctx query_language error_output",
}


@pytest.mark.usefixtures("_quiet_home")
@pytest.mark.parametrize("name", sorted(SERVICE_SIGNATURES))
def test_a_service_takes_what_the_launcher_gives_it(name: str) -> None:
    module, _, function = name.partition(".")
    loaded = importlib.import_module(f"ministack.services.{module}")

    parameters = inspect.signature(getattr(loaded, function)).parameters

    assert list(parameters) == SERVICE_SIGNATURES[name].split()


@pytest.mark.usefixtures("_quiet_home")
def test_an_execution_is_run_and_a_task_dispatched_by_names_that_can_be_replaced() -> None:
    sfn = importlib.import_module("ministack.services.stepfunctions")
    ecs = importlib.import_module("ministack.services.ecs")

    assert "_run_execution" in sfn._start_execution.__code__.co_names
    assert "_scaled_sleep" in sfn._execute_wait.__code__.co_names
    assert "_execute_task" in sfn._run_sub_machine.__code__.co_names
    assert (ecs._ACTION_MAP["RunTask"], ecs._ACTION_MAP["StopTask"]) == (
        ecs._run_task,
        ecs._stop_task,
    )


@pytest.mark.usefixtures("_quiet_home")
@pytest.mark.parametrize("name", ["validate_template_support", "_resolve_parameters"])
def test_a_judge_stands_in_both_places_that_ask_it(name: str) -> None:
    modules = [
        importlib.import_module(f"ministack.services.cloudformation.{module}")
        for module in ("engine", "handlers", "changesets")
    ]

    assert len({id(getattr(module, name)) for module in modules}) == 1


def test_the_launchers_own_types_are_still_missing_in_the_emulator(tmp_path: Path) -> None:
    code = (
        "from ministack.services.cloudformation.provisioners import _RESOURCE_HANDLERS as known\n"
        "print(*[kind for kind in ('EIP', 'NatGateway', 'FlowLog', 'SecurityGroupIngress',"
        " 'SecurityGroupEgress') if f'AWS::EC2::{kind}' in known])"
    )
    output = subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"], "STATE_DIR": str(tmp_path), "LOG_LEVEL": "CRITICAL"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    # One that it has learnt may be better than ours.
    assert output.strip() == ""
