"""Asks CloudFormation what an update would change: a change set a stack, made, read, removed again.

For stacks that stand and would be updated; a new one needs none, and making one leaves an empty
stack behind (aws-cdk #29265). Everything made here carries a name that nobody else has, and only
what carries it is removed: at the end, on an error, after Ctrl-C, also when the answer that it was
made got lost. What an answer means is ``tapgen.diff.asked``'s.

Described twice: with property values CloudFormation silently leaves changes out (aws-cdk-cli
#1780) and does not say why one failed (boto3 #4178), so the plain description says which changes
there are, and the other one fills in the values.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tapgen.cloud import (
    AccessDenied,
    Change,
    ChangeSet,
    CloudError,
    CloudFormation,
    DeployedStack,
    Refused,
    Throttled,
    Unreachable,
)
from tapgen.diff import asked
from tapgen.engine import causes
from tapgen.engine.change_set import fatal, fingerprint, sees_nothing
from tapgen.engine.clock import Clock
from tapgen.engine.plan import INLINE_BYTES, Wanted
from tapgen.errors import TapgenError

# Most change sets take a few seconds to be made; one of a large stack a minute.
MAKING_SECONDS = 120.0
# None can be removed before it is made, and Ctrl-C must end.
REMOVAL_SECONDS = 60.0
# Between two looks, however patient the run is: a person waits for the plan.
LOOK_SECONDS = 2.0
# A question that got no answer is asked so often in all.
TRIES = 3

Question = tuple[Wanted, DeployedStack]


@dataclass(frozen=True)
class Answer:
    """What CloudFormation says of one stack. ``changes`` None: it could not be asked, and ``note``
    says why. ``same``: it sees nothing to do.
    """

    changes: tuple[Change, ...] | None = None
    same: bool = False
    note: str = ""


class NotAsked(TapgenError):
    """A stack that CloudFormation gives no answer about, where nothing else will do."""

    def __init__(self, stack: str, note: str) -> None:
        self.stack, self.note = stack, note
        super().__init__(f"{stack}: {note}; --method auto predicts where it cannot ask")


@dataclass(frozen=True)
class Asker:
    """Asks about many stacks at once. ``strict``: an answer that is none raises ``NotAsked``.

    ``tell`` hears of a change set that could not be removed.
    """

    cloud: CloudFormation
    clock: Clock
    pace: Callable[[float], float]
    strict: bool = False
    tell: Callable[[str], None] = lambda text: None
    nonce: str = field(default_factory=lambda: secrets.token_hex(4))

    def __call__(self, questions: Sequence[Question]) -> dict[str, Answer]:
        """The answers by stack name. Raises ``CloudError`` where asking on is no use, as with
        expired credentials.
        """
        found = _Asking(self, questions).answers()
        for stack, answer in found.items():
            if self.strict and answer.changes is None:
                raise NotAsked(stack, answer.note)
        return found


class _Asking:
    """One round of questions, from the first change set made to the last one removed."""

    def __init__(self, asker: Asker, questions: Sequence[Question]) -> None:
        self._asker, self._cloud, self._clock = asker, asker.cloud, asker.clock
        self._questions = {item.name: (item, stack) for item, stack in questions}
        # What was begun, and the ids that came back: written where the answer arrives, so that
        # an interruption in between forgets nothing.
        self._begun: set[str] = set()
        self._made: dict[str, str] = {}
        self._answers: dict[str, Answer] = {}

    def answers(self) -> dict[str, Answer]:
        try:
            self._each(list(self._questions), self._make)
            self._read()
        finally:
            self._remove()
        return self._answers

    def _name(self, stack: str) -> str:
        item, _ = self._questions[stack]
        return f"tapgen-plan-{fingerprint(item)[:12]}-{self._asker.nonce}"

    def _make(self, stack: str) -> None:
        request = self._questions[stack][0].request
        if len(request.template.encode()) > INLINE_BYTES and not request.template_url:
            note = (
                "its template is too long to ask about before a deploy has put it into the bucket"
            )
            self._answers[stack] = Answer(note=note)
            return
        self._begun.add(stack)
        token = f"tapgen-plan-{self._asker.nonce}-{stack}"[:128]
        for tries in range(1, TRIES + 1):
            try:
                self._made[stack] = self._cloud.create_change_set(
                    request, self._name(stack), create=False, token=token
                )
            except (Throttled, Unreachable) as error:
                if tries < TRIES:
                    continue
                self._give_up(stack, error)
            except Refused as error:
                # The name is ours alone: the first try was carried out, and its answer got lost.
                mine = self._listed(stack) if error.code == "AlreadyExistsException" else []
                if mine:
                    self._made[stack] = mine[0]
                else:
                    self._give_up(stack, error)
            return

    def _read(self) -> None:
        started = self._clock.now()
        while waiting := [name for name in self._made if name not in self._answers]:
            elapsed = self._clock.now() - started
            if elapsed > MAKING_SECONDS:
                for stack in waiting:
                    note = f"its change set was not ready after {MAKING_SECONDS:.0f} s"
                    self._answers[stack] = Answer(note=note)
                return
            self._clock.sleep(min(self._asker.pace(elapsed), LOOK_SECONDS))
            self._each(waiting, self._look)

    def _look(self, stack: str) -> None:
        try:
            found = self._cloud.change_set(self._made[stack])
            if found.status == "FAILED":
                self._answers[stack] = self._failed(found)
            elif found.status == "CREATE_COMPLETE":
                self._answers[stack] = Answer(self._changes(stack, found))
        except (Throttled, Unreachable):
            # The next look makes up for it.
            pass
        except Refused as error:
            self._give_up(stack, error)

    def _changes(self, stack: str, plain: ChangeSet) -> tuple[Change, ...]:
        if not plain.changes:
            return ()
        try:
            return asked.merged(plain, self._cloud.change_set(self._made[stack], values=True))
        except Refused:
            # An endpoint that does not know of property values yet.
            return plain.changes

    def _failed(self, found: ChangeSet) -> Answer:
        if sees_nothing(found):
            return Answer((), same=True)
        why = causes.refused_early(fatal(self._cloud, found)) or found.reason
        return Answer(note=f"CloudFormation makes no change set: {why or 'it does not say why'}")

    def _give_up(self, stack: str, error: CloudError) -> None:
        note = str(error)
        if isinstance(error, AccessDenied):
            note = f"no change set, because these credentials may not make one: {error.detail}"
        self._answers[stack] = Answer(note=note)

    def _each(self, stacks: Sequence[str], act: Callable[[str], None]) -> None:
        """Do it for all at once. What was not begun when one of them raises is not begun."""
        if not stacks:
            return
        pool = ThreadPoolExecutor(max_workers=8)
        try:
            for future in [pool.submit(act, stack) for stack in stacks]:
                future.result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _remove(self) -> None:
        """Remove all that was made. Ctrl-C meanwhile ends it when that is done, twice at once."""
        try:
            self._remove_all()
        except KeyboardInterrupt:
            self._remove_all()
            raise

    def _remove_all(self) -> None:
        """The same within bounds; tells of what stays."""
        left, until = dict.fromkeys(self._begun, ""), self._clock.now() + REMOVAL_SECONDS
        looks = 0
        while left:
            looks += 1
            found = self._removed(list(left), again=looks > 1)
            stuck = {stack: why for stack, (later, why) in found.items() if why and not later}
            left = {stack: why for stack, (later, why) in found.items() if later}
            late = self._clock.now() >= until
            for stack, why in sorted({**stuck, **(left if late else {})}.items()):
                told = f"the change set {self._name(stack)} of {stack} could not be removed: {why}"
                self._asker.tell(told)
            if late:
                return
            if left:
                self._clock.sleep(min(self._asker.pace(0.0), LOOK_SECONDS))

    def _removed(self, stacks: Sequence[str], *, again: bool) -> dict[str, tuple[bool, str]]:
        found: dict[str, tuple[bool, str]] = {}

        def act(stack: str) -> None:
            found[stack] = self._remove_one(stack, again=again)

        self._each(stacks, act)
        return found

    def _remove_one(self, stack: str, *, again: bool) -> tuple[bool, str]:
        """Whether to try later, and why something of ours may be left; empty: nothing is."""
        try:
            mine = [self._made[stack]] if stack in self._made else self._listed(stack)
            for change_set in mine:
                self._cloud.delete_change_set(change_set)
        except (Throttled, Unreachable) as error:
            return True, str(error)
        except Refused as error:
            if "does not exist" in error.detail:
                return False, ""
            # A change set cannot be removed while it is being made.
            return error.code == "InvalidChangeSetStatus", str(error)
        except CloudError as error:
            return False, str(error)
        # Made by a call whose answer got lost, it may take a moment to be listed.
        return (False, "") if mine or again else (True, "it may not be listed yet")

    def _listed(self, stack: str) -> list[str]:
        ours = f":changeSet/{self._name(stack)}/"
        # By name: should another stack have taken it over meanwhile, ours lies there.
        found = self._cloud.change_sets(stack)
        return [change_set for change_set in found if ours in change_set]
