"""One AWS to talk to, and the guards before the first word: the right region, the right account.

AWS itself, or the embedded one on this machine; what follows does not know which.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tapgen import names
from tapgen.errors import TapgenError, UsageError

if TYPE_CHECKING:
    from tapgen.cloud import Account, Caller, CloudFormation, DeployedStack, Services
    from tapgen.engine.clock import Clock
    from tapgen.engine.polling import Pace, Poller
    from tapgen.settings import Settings


# Questions about stacks that leave together: an environment's, and one wait for all of them.
MOST_AT_ONCE = 12


@dataclass(frozen=True)
class Session:
    """Who we are, where, and the doors to it.

    The question who we are goes out at once and is waited for when the answer is first used, so
    that it costs no time of its own; so do the questions about stacks that are likely to be asked
    (``begun``).
    """

    asked: Future[Caller]
    cloud: CloudFormation
    account: Account
    services: Services
    clock: Clock
    pace: Pace
    local: bool
    # Whether stacks take no time, and have no data behind them, because an emulator answers.
    emulated: bool = False
    begun: dict[str, Future[DeployedStack | None]] = field(default_factory=dict)
    # Reads the credentials anew, wherever they came from.
    renew: Callable[[], None] = lambda: None

    def poller(self) -> Poller:
        """The waiting times of one run; an emulator on this machine is asked without a budget."""
        from tapgen.engine.polling import CALLS_A_SECOND, Poller

        return Poller(self.pace, self.clock, rate=None if self.emulated else CALLS_A_SECOND)

    def survey(self, stacks: Sequence[str]) -> dict[str, DeployedStack | None]:
        """What stands of ``stacks`` now: one question each, all at once. Raises ``CloudError``."""
        from tapgen.engine.deploy import survey

        # An answer is good for one survey: the next is to see what has changed since.
        begun = {name: self.begun.pop(name) for name in stacks if name in self.begun}
        found = survey(self.cloud, [name for name in stacks if name not in begun])
        found |= {name: answer.result() for name, answer in begun.items()}
        return {name: found[name] for name in stacks}

    @property
    def caller(self) -> Caller:
        """Who is asking. Raises ``cloud.CloudError``, as do all questions."""
        return self.asked.result()


class WrongRegion(UsageError):
    """The environment asks for another region than the one the system lives in."""

    def __init__(self, variable: str, region: str) -> None:
        self.variable, self.region = variable, region
        super().__init__(
            f"{variable} is {region!r}, but this system lives in {names.REGION} only; "
            f"unset it, or set it to {names.REGION}"
        )


class BadEndpoint(UsageError):
    """An endpoint of the user's own that no client could call."""

    def __init__(self, variable: str, url: str) -> None:
        self.variable, self.url = variable, url
        super().__init__(
            f"{variable} is {url!r}, which is no address; "
            "write it as in http://127.0.0.1:4566, or unset it"
        )


class WrongAccount(TapgenError):
    """The credentials belong to another account than the environment is meant for."""

    def __init__(self, env: str, wanted: Sequence[str], found: str) -> None:
        self.env, self.wanted, self.found = env, tuple(wanted), found
        super().__init__(
            f"environment {env!r} belongs to account {' or '.join(wanted)}, but these credentials "
            f"are of {found}; choose another profile (AWS_PROFILE), or mend 'account' in "
            "tapgen.toml"
        )


class ForbiddenRegion(TapgenError):
    """The environment may not stand in the region of this system."""

    def __init__(self, env: str, allowed: Sequence[str], found: str) -> None:
        self.env, self.allowed, self.found = env, tuple(allowed), found
        super().__init__(
            f"environment {env!r} may stand in {' or '.join(allowed)} only, and this system lives "
            f"in {found}; mend 'region' in tapgen.toml"
        )


def check_region(variables: Mapping[str, str]) -> None:
    """Refuse to go on when the environment names another region. Raises ``WrongRegion``."""
    for variable in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        region = variables.get(variable)
        if region:
            if region != names.REGION:
                raise WrongRegion(variable, region)
            return


def check_endpoints(variables: Mapping[str, str]) -> None:
    """Refuse an AWS_ENDPOINT_URL… that botocore would fall over. Raises ``BadEndpoint``."""
    for variable, url in sorted(variables.items()):
        if not variable.startswith("AWS_ENDPOINT_URL") or not url:
            continue
        try:
            parts = urlsplit(url)
            good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            good = False
        if not good:
            raise BadEndpoint(variable, url)


def check_place(env: str, settings: Settings, caller: Caller) -> None:
    """Refuse to go on where the settings do not want the environment to stand.

    Raises ``WrongAccount`` and ``ForbiddenRegion``.
    """
    if settings.region and caller.region not in settings.region:
        raise ForbiddenRegion(env, settings.region, caller.region)
    if settings.account and caller.account not in settings.account:
        raise WrongAccount(env, settings.account, caller.account)


@contextmanager
def connect(
    *,
    local: bool,
    home: Path,
    profile: str | None,
    variables: Mapping[str, str],
    likely: Sequence[str] = (),
) -> Iterator[Session]:
    """Open a session; ``home`` is where the embedded AWS keeps its state, ``likely`` are stacks
    that will be asked about first: the questions leave at once.

    Raises ``WrongRegion``, ``BadEndpoint``, ``cloud.CloudError``, and what the embedded AWS may
    refuse.
    """
    check_region(variables)
    if not local:
        check_endpoints(variables)
    # Everything up to the first question is import and set-up: there is nothing to collect, and
    # looking for it costs a tenth of the start.
    gc.disable()
    with ExitStack() as stack:
        stack.callback(gc.enable)
        endpoint = None
        if local:
            from tapgen.local.lease import lease

            embedded = stack.enter_context(lease(home))
            endpoint = (embedded.url, embedded.access_key, embedded.secret_key)
        from tapgen import aws

        connection = aws.connect(profile, aws.Endpoint(*endpoint) if endpoint else None)
        account = aws.AwsAccount(connection)
        connection.client("sts")
        pool = stack.enter_context(ThreadPoolExecutor(max_workers=1 + MOST_AT_ONCE))
        asked = pool.submit(account.caller)
        cloud = aws.AwsCloudFormation(connection)
        if likely:
            connection.client("cloudformation")
        begun = {name: pool.submit(cloud.stack, name) for name in likely}
        # A moment for the questions to get out of the house: what follows here is all computing,
        # and would keep the interpreter from the threads that ask.
        wait([asked], timeout=0.03 if likely else 0.01)
        # What was loaded until here stays to the end: looking through it again and again costs
        # more than everything that comes.
        gc.freeze()
        gc.enable()
        from tapgen.engine.clock import SystemClock
        from tapgen.engine.polling import aws_pace, local_pace

        emulated = local or _on_this_machine(variables)
        yield Session(
            asked,
            cloud,
            account,
            connection,
            SystemClock(),
            local_pace if emulated else aws_pace,
            local=local,
            emulated=emulated,
            begun=begun,
            renew=connection.renew,
        )


def _on_this_machine(variables: Mapping[str, str]) -> bool:
    """Whether the user's own endpoint is on this machine, and so an emulator's."""
    url = variables.get("AWS_ENDPOINT_URL_CLOUDFORMATION") or variables.get("AWS_ENDPOINT_URL")
    return bool(url) and urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


def new_run_id() -> str:
    """A name for one run, unlike any other's: the second it began, and something random."""
    import secrets

    return f"{time.strftime('%Y%m%d%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"
