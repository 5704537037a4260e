"""RunTask and StopTask of the embedded ECS, with processes behind them.

The records stay the emulator's: it makes them, lists them and saves them. What happens to a task
between PROVISIONING and STOPPED is written into its record from here.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tapgen.local import reach
from tapgen.local.pace import Paces
from tapgen.local.tasks import aws_program, leftovers, output, programs, refusals
from tapgen.local.tasks.processes import Process
from tapgen.local.tasks.programs import CannotRun, Program
from tapgen.local.tasks.volumes import Volumes

# ECS' words, which people search their logs for.
EXITED = "Essential container in task exited"
# When the embedded AWS ends, nobody waits the 30 s that ECS would.
CLOSING_SECONDS = 2.0

Record = dict[str, Any]
Response = tuple[int, Any, Any]


@dataclass
class _Running:
    """A task that has processes, or is about to."""

    record: Record
    account: str
    region: str
    scratch: Path
    processes: list[Process] = field(default_factory=list)
    left: int = 0
    # Why and by whom it is stopped; the first reason stays.
    stopping: tuple[str, str] | None = None


class Tasks:
    """The tasks that run. ``stopped`` may be told of a task's end; see ``when_stopped``."""

    def __init__(self, home: Path, paces: Paces) -> None:
        self._scratch, self._programs = home / "tmp" / "tasks", home / "bin"
        self._paces = paces
        self._volumes = Volumes(home / "volumes")
        self._lock = threading.RLock()
        self._running: dict[str, _Running] = {}
        self._listeners: dict[str, Callable[[], None]] = {}
        self._closed = False

    def install(self) -> None:
        """Take RunTask and StopTask over."""
        ecs = reach.service("ecs")
        self._run_original, self._stop_original = ecs._run_task, ecs._stop_task
        ecs._run_task = ecs._ACTION_MAP["RunTask"] = self._run
        ecs._stop_task = ecs._ACTION_MAP["StopTask"] = self._stop
        self._volumes.install()
        leftovers.end(self._scratch)
        self._programs.mkdir(exist_ok=True, mode=0o700)
        words = [sys.executable, "-I", "-S", str(Path(aws_program.__file__).resolve())]
        program = self._programs / "aws"
        program.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n', encoding="utf-8")
        program.chmod(0o700)

    def when_stopped(self, task_arn: str, listener: Callable[[], None]) -> None:
        """Have ``listener`` called when the task has stopped: at once when it already has."""
        with self._lock:
            if task_arn in self._running:
                self._listeners[task_arn] = listener
                return
        listener()

    def stop(self, task_arn: str, reason: str) -> None:
        """What StopTask does, for a task of this account and region."""
        with self._lock:
            running = self._running.get(task_arn)
            if running is not None:
                self._end(running, reason, "UserInitiated")

    def close(self) -> None:
        """End every task; returns when all of them are gone."""
        with self._lock:
            self._closed = True
            left = [process for task in self._running.values() for process in task.processes]
        for process in left:
            process.stop(CLOSING_SECONDS)
        for process in left:
            if not process.join(CLOSING_SECONDS + 1):
                process.kill()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _run(self, data: Record) -> Response:
        """RunTask."""
        refused = refusals.of_run_task(data)
        if refused is not None:
            return refused
        responses = reach.module("core.responses")
        ecs = reach.service("ecs")
        response: Response = self._run_original(data)
        status, _, body = response
        if status >= 400:
            return response
        records = [ecs._tasks[task["taskArn"]] for task in json.loads(body)["tasks"]]
        for record in records:
            self._provision(record)
            self._tag(record, data)
        told = [ecs._sanitize(record) for record in records]
        for record in records:
            running = _Running(
                record,
                responses.get_account_id(),
                responses.get_region(),
                self._scratch / record["taskArn"].rpartition("/")[2],
            )
            with self._lock:
                self._running[record["taskArn"]] = running
            thread = threading.Thread(
                target=self._start, args=(running,), name="task-start", daemon=True
            )
            thread.start()
        answer: Response = responses.json_response({"tasks": told, "failures": []})
        return answer

    def _provision(self, record: Record) -> None:
        """Put back what the emulator says of a task that it will not run."""
        record.update(lastStatus="PROVISIONING", startedAt=None)
        record.update(pullStartedAt=None, pullStoppedAt=None)
        # A task on Fargate stands on nobody's instance.
        record.pop("containerInstanceArn", None)
        if not record.get("group"):
            family = record["taskDefinitionArn"].rpartition("/")[2].partition(":")[0]
            record["group"] = f"family:{family}"
        for container in record["containers"]:
            container.update(lastStatus="PENDING", runtimeId=None)

    def _tag(self, record: Record, data: Record) -> None:
        """The tags that are not given with the call: the definition's, and ECS' own."""
        ecs = reach.service("ecs")
        tags = list(ecs._tags.get(record["taskArn"], []))
        if data.get("propagateTags") == "TASK_DEFINITION":
            tags += ecs._tags.get(record["taskDefinitionArn"], [])
        if data.get("enableECSManagedTags"):
            cluster = record["clusterArn"].rpartition("/")[2]
            tags.append({"key": "aws:ecs:clusterName", "value": cluster})
        if tags:
            ecs._tags[record["taskArn"]] = tags

    def _start(self, running: _Running) -> None:
        """Start a task's containers, on a thread of its own."""
        ecs = reach.service("ecs")
        record, arn = running.record, running.record["taskArn"]
        with reach.module("core.responses").request_scope(running.account, running.region):
            try:
                programs_ = self._prepare(running)
                with self._lock:
                    if self._closed or running.stopping is not None:
                        self._stopped(running)
                        return
                    running.left = len(programs_)
                    for program in programs_:
                        running.processes.append(self._process(running, program))
                    pids = [process.pid for process in running.processes]
                    leftovers.note(self._scratch, running.scratch.name, pids)
                    ecs._mark_task_running(arn, record)
                    for container, process in zip(
                        record["containers"], running.processes, strict=True
                    ):
                        container.update(lastStatus="RUNNING", runtimeId=str(process.pid))
            except (CannotRun, OSError) as error:
                self._cannot_start(running, error)

    def _prepare(self, running: _Running) -> Sequence[Program]:
        ecs = reach.service("ecs")
        record, arn = running.record, running.record["taskArn"]
        ecs._mark_task_pending(arn, record)
        ecs._mark_task_activating(arn, record)
        definition = ecs._task_defs[ecs._resolve_td_key(record["taskDefinitionArn"])]
        running.scratch.mkdir(parents=True)
        found = programs.of_task(
            definition,
            (record.get("overrides") or {}).get("containerOverrides") or [],
            self._volumes.folders(definition, running.scratch),
            task_id=arn.rpartition("/")[2],
            region=running.region,
        )
        for program in found:
            output.open_stream(program.log, running.account)
        return found

    def _process(self, running: _Running, program: Program) -> Process:
        return Process(
            program,
            self._environment(running),
            running.scratch,
            told=lambda lines: output.tell(program.log, running.account, lines),
            ended=lambda process, code: self._ended(running, process, code),
        )

    def _environment(self, running: _Running) -> Mapping[str, str]:
        """What Fargate and the image would give; the key is the account's, not the role's."""
        return {
            "PATH": f"{self._programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "HOME": str(running.scratch),
            "TMPDIR": str(running.scratch),
            "AWS_EXECUTION_ENV": "AWS_ECS_FARGATE",
            "AWS_REGION": running.region,
            "AWS_DEFAULT_REGION": running.region,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{os.environ['GATEWAY_PORT']}",
            "AWS_ACCESS_KEY_ID": running.account,
            "AWS_SECRET_ACCESS_KEY": os.environ["AWS_SECRET_ACCESS_KEY"],
        }

    def _ended(self, running: _Running, process: Process, code: int) -> None:
        """A container has ended; with an essential one, or the last one, the task does."""
        with self._lock:
            at = running.processes.index(process)
            running.record["containers"][at].update(lastStatus="STOPPED", exitCode=code)
            running.left -= 1
            if running.left == 0:
                self._stopped(running)
            elif process.program.essential:
                self._end(running, EXITED, "EssentialContainerExited")

    def _stop(self, data: Record) -> Response:
        """StopTask."""
        ecs, responses = reach.service("ecs"), reach.module("core.responses")
        cluster = ecs._resolve_cluster_name(data.get("cluster", "default"))
        record = ecs._resolve_task(data.get("task", ""), cluster)
        if record is None or record["taskArn"] not in self._running:
            response: Response = self._stop_original(data)
            return response
        self.stop(record["taskArn"], data.get("reason") or "Task stopped by user")
        answer: Response = responses.json_response({"task": ecs._sanitize(record)})
        return answer

    def _end(self, running: _Running, reason: str, code: str) -> None:
        """Have every container of a task stop; the lock is held."""
        if running.stopping is None:
            running.stopping = reason, code
            now = reach.service("ecs")._iso()
            running.record.update(desiredStatus="STOPPED", stoppingAt=now)
        for process in running.processes:
            process.stop(process.program.stop_seconds * self._paces.of(running.account))

    def _stopped(self, running: _Running) -> None:
        """Everything of the task has ended; the lock is held."""
        reason, code = running.stopping or (EXITED, "EssentialContainerExited")
        self._record_end(running, reason, code)

    def _cannot_start(self, running: _Running, error: Exception) -> None:
        with self._lock:
            for process in running.processes:
                process.kill()
            reason = (
                str(error)
                if isinstance(error, CannotRun)
                else f"CannotStartContainerError: {error}"
            )
            self._record_end(running, reason, "TaskFailedToStart")

    def _record_end(self, running: _Running, reason: str, code: str) -> None:
        ecs, arn = reach.service("ecs"), running.record["taskArn"]
        if self._running.pop(arn, None) is None:
            return
        shutil.rmtree(running.scratch, ignore_errors=True)
        leftovers.forget(self._scratch, running.scratch.name)
        # The emulator ends only what is wanted to run.
        running.record["desiredStatus"] = "RUNNING"
        with reach.module("core.responses").request_scope(running.account, running.region):
            ecs._mark_task_stopped(arn, running.record, reason, code)
        listener = self._listeners.pop(arn, None)
        if listener is not None:
            listener()
