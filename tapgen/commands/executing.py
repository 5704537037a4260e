"""Starting an execution of the workflow on this machine, following it, and hearing its notices."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tapgen.commands import common
from tapgen.errors import Exit, TapgenError

if TYPE_CHECKING:
    from tapgen.observe.execution import Trouble
    from tapgen.observe.history import Ended, Step
    from tapgen.observe.notices import Notice
    from tapgen.session import Session

# Between two looks for a notice. SQS is not asked to wait: a question whose asker was interrupted
# would still take the next notice, and hide it.
_SECONDS = 0.3


class ExecutionFailed(TapgenError):
    """The execution did not succeed."""

    def __init__(self, name: str, status: str, why: str) -> None:
        self.name, self.status_of_it, self.why = name, status, why
        told = f": {why}" if why else ""
        super().__init__(f"{name} ended in {status}{told}; tapgen local logs has the whole story")


def local_env_option(command: common.F) -> common.F:
    """``--env`` of a command on this machine, where there is a usual one."""
    return click.option(
        "--env",
        "-e",
        metavar="SUFFIX",
        envvar=["TAPGEN_ENV", "ENVIRONMENT_SUFFIX"],
        default="demo",
        show_default=True,
        help="The environment on this machine.",
    )(command)


@click.command("run-workflow")
@local_env_option
@common.config_option
@click.option(
    "--input",
    "-i",
    "source",
    type=click.Path(allow_dash=True),
    metavar="FILE",
    help="The input, a JSON file or - for standard input.  [default: {}]",
)
@common.output_option("text", "json")
def run_workflow(env: str, config: Path, source: str | None, form: str) -> int:
    """Run the workflow here once, and follow it to its end.

    Exits with 0 when it succeeds, with 1 otherwise. Ctrl-C aborts it.
    """
    from tapgen.observe import execution

    content = b"{}" if source is None else _content(source, execution.INPUT_BYTES)
    text = execution.checked_input(content, "standard input" if source == "-" else source or "{}")
    with common.opened(env, config, local=True, profile=None) as session:
        from tapgen.observe import deployed
        from tapgen.session import new_run_id

        machine = deployed.state_machine(session.cloud, common.describe(), env)
        name = f"run-{new_run_id()}"
        arn = execution.start(session.services, machine, text, name)
        if form == "text":
            common.say(f"{name} started; Ctrl-C aborts it")
        try:
            end = _followed(session, arn, name, form)
        except KeyboardInterrupt:
            _abort(session, arn, name)
            return Exit.INTERRUPTED
    if end.succeeded:
        return Exit.DONE
    if form == "json":
        return Exit.FAILED
    from tapgen.observe.readable import printable

    raise ExecutionFailed(name, end.status, printable(end.why))


@click.command()
@local_env_option
@common.config_option
@click.option("--follow", "-f", is_flag=True, help="Wait for more, until Ctrl-C.")
@common.output_option("text", "json")
def notices(env: str, config: Path, follow: bool, form: str) -> int:
    """Show what the workflow announced, each notice once."""
    with common.opened(env, config, local=True, profile=None) as session:
        from tapgen.observe import deployed, notices

        topics = deployed.topics(session.cloud, common.describe(), env)
        queue = notices.listen(session.services, topics, notices.queue_name(env))
        shown = 0
        try:
            while True:
                before = shown
                for notice in notices.received(session.services, queue, 0):
                    _tell(notice, form)
                    shown += 1
                if shown == before:
                    if not follow:
                        break
                    session.clock.sleep(_SECONDS)
        except KeyboardInterrupt:
            return Exit.INTERRUPTED
    if not shown:
        common.say("no notice is waiting; tapgen local run-workflow makes one, --follow waits")
    return Exit.DONE


def _content(source: str, limit: int) -> bytes:
    """What there is to read, a byte more than is allowed at most. Raises ``CannotRead``."""
    from tapgen.files import CannotRead

    if source == "-":
        return sys.stdin.buffer.read(limit + 1)
    try:
        with open(source, "rb") as opened:
            return opened.read(limit + 1)
    except OSError as error:
        raise CannotRead(Path(source), error) from None


def _followed(session: Session, arn: str, name: str, form: str) -> Ended:
    """Show an execution to its end."""
    from tapgen.commands import progress
    from tapgen.observe import execution
    from tapgen.observe.history import Ended

    if form == "json":
        progress.write_json(sys.stdout, {"type": "started", "name": name, "arn": arn})
    for step in execution.follow(session.services, arn, session.clock, session.pace):
        if form == "json":
            progress.write_json(sys.stdout, {"type": type(step).__name__, **_plain(step)})
        elif isinstance(step, Ended):
            _show_end(step)
        else:
            _show(step)
        if isinstance(step, Ended):
            return step
    raise AssertionError("an execution was followed, and not to its end")


def _show(step: Step | Trouble) -> None:
    from tapgen.observe.execution import Trouble
    from tapgen.observe.readable import printable, stamp

    if isinstance(step, Trouble):
        common.say(step.told)
        return
    state = getattr(step, "state", "")
    common.say(f"{stamp(step.at)[11:-1]}  {state.ljust(13)}  {printable(_told(step))}")


def _told(step: Step) -> str:
    """What a step says, in a line."""
    from tapgen.engine.summary import clock_time
    from tapgen.observe import history

    match step:
        case history.Entered(kind=kind):
            return f"entered ({kind})"
        case history.Attempted(number=number, resource=resource, waited=waited):
            later = "" if waited is None else f", {clock_time(waited)} after the failure"
            return f"attempt {number}: {resource}{later}"
        case history.Submitted(id=id_):
            return f"task {id_} is under way" if id_ else "the task is under way"
        case history.AttemptFailed(number=number):
            return f"attempt {number} failed: {step.why}"
        case history.Left(seconds=seconds, caught=caught):
            return f"{'error caught' if caught else 'done'} after {clock_time(seconds)}"
        case history.Ended(status=status):
            return status


def _show_end(end: Ended) -> None:
    from tapgen.engine.summary import clock_time
    from tapgen.observe.readable import printable

    common.say(f"\n{end.status} after {clock_time(end.seconds)}")
    if end.succeeded:
        click.echo(printable(end.output))


def _abort(session: Session, arn: str, name: str) -> None:
    """Stop what was started here: the embedded AWS may end with this very command."""
    from tapgen.cloud import CloudError
    from tapgen.observe import execution

    try:
        execution.abort(session.services, arn, "tapgen local run-workflow was interrupted")
        common.say(f"\n{name} is aborted")
    except CloudError as error:
        common.say(f"\n{name} could not be aborted: {error}")


def _tell(notice: Notice, form: str) -> None:
    from tapgen.observe.readable import printable, stamp

    if form == "json":
        from tapgen.commands import progress

        progress.write_json(sys.stdout, {**_plain(notice), "time": stamp(notice.at)})
    else:
        said = ": ".join(part for part in (notice.title, notice.job, notice.why) if part)
        click.echo(f"{stamp(notice.at)}  {notice.topic}  {printable(said or notice.message)}")
    sys.stdout.flush()


def _plain(value: Any) -> dict[str, Any]:
    from dataclasses import asdict

    from tapgen.observe.readable import stamp

    found = asdict(value)
    at = found.pop("at", None)
    return found if at is None else {"time": stamp(at), **found}
