"""What the workflow meets when it calls: a cluster, topics, and the rule that hears of its end.

Everything is scripted beforehand and takes virtual seconds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from interpreter.data import text


@dataclass(frozen=True)
class Outcome:
    """How a call goes: after ``seconds``, a result or an error with the event that tells it."""

    seconds: float
    result: Any = None
    error: str = ""
    cause: str = ""
    event: str = ""


@dataclass(frozen=True)
class TaskRun:
    """How one attempt of the task goes. ``seconds`` may be infinite; ``refused`` is ECS' error."""

    exit_code: int = 0
    seconds: float = 20.0
    refused: str = ""


@dataclass
class Account:
    """Services with a script; ``tasks`` and ``publishes`` are used up from the front."""

    tasks: list[TaskRun] = field(default_factory=list)
    # Errors of the next publishes; an empty text lets one through.
    publishes: list[str] = field(default_factory=list)
    messages: dict[str, list[Any]] = field(default_factory=dict)
    rules: list[Mapping[str, Any]] = field(default_factory=list)
    started: list[Mapping[str, Any]] = field(default_factory=list)

    def call(self, resource: str, parameters: Any) -> Outcome:
        """How this call goes."""
        service, _, action = resource.partition(":::")[2].partition(":")
        if (service, action) == ("ecs", "runTask.sync"):
            return self._run_task(parameters)
        if (service, action) == ("sns", "publish"):
            return self._publish(parameters)
        raise NotImplementedError(resource)

    def _run_task(self, parameters: Mapping[str, Any]) -> Outcome:
        self.started.append(parameters)
        run = self.tasks.pop(0) if self.tasks else TaskRun()
        if run.refused:
            return Outcome(0.1, error=run.refused, cause="refused", event="TaskSubmitFailed")
        task = {
            "TaskArn": f"arn:aws:ecs:ap-northeast-1:123456789012:task/c/{len(self.started)}",
            "Containers": [{"Name": "video-processing", "ExitCode": run.exit_code}],
            "StopCode": "EssentialContainerExited",
        }
        if run.exit_code:
            return Outcome(run.seconds, error="States.TaskFailed", cause=text(task))
        return Outcome(run.seconds, task)

    def _publish(self, parameters: Mapping[str, Any]) -> Outcome:
        refused = self.publishes.pop(0) if self.publishes else ""
        if refused:
            return Outcome(0.1, error=refused, cause="refused")
        self._deliver(parameters["TopicArn"], json.loads(parameters["Message"]))
        return Outcome(0.1, {"MessageId": str(sum(map(len, self.messages.values())))})

    def hear(self, detail: Mapping[str, Any]) -> None:
        """An execution has changed its status: tell the targets of the rules that match."""
        for rule in self.rules:
            wanted = rule["EventPattern"]["detail"]
            if all(detail[name] in values for name, values in wanted.items()):
                for target in rule["Targets"]:
                    self._deliver(target["Arn"], _transformed(target["InputTransformer"], detail))

    def _deliver(self, topic: str, message: Any) -> None:
        self.messages.setdefault(topic, []).append(message)


def _transformed(transformer: Mapping[str, Any], detail: Mapping[str, Any]) -> Any:
    names = {
        name: detail[path.removeprefix("$.detail.")]
        for name, path in transformer["InputPathsMap"].items()
    }
    template = transformer["InputTemplate"]
    return json.loads(re.sub(r"<(\w+)>", lambda match: text(names[match[1]]), template))
