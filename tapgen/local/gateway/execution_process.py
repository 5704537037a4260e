"""The process of an execution environment: ``execution_process.py LIFELINE HANDLER``.

Ends itself, with everything it started, when the lifeline closes; keeps itself to the function's
memory; then becomes AWS's runtime client. Started by path, and uses the standard library alone
until then: the function's packages come first in its search path.
"""

from __future__ import annotations

import contextlib
import os
import runpy
import signal
import sys
import threading


def main() -> None:
    """Watch the lifeline, limit the memory, run the client."""
    lifeline, handler = int(sys.argv[1]), sys.argv[2]
    # Not for what the code starts: a copy would keep nothing alive, but be one.
    os.set_inheritable(lifeline, False)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    _limit_memory(int(os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]))
    sys.argv = ["awslambdaric", handler]
    runpy.run_module("awslambdaric", run_name="__main__", alter_sys=True)


def _end_with(lifeline: int) -> None:
    with contextlib.suppress(OSError):
        while os.read(lifeline, 64):
            pass
    os.killpg(0, signal.SIGKILL)


def _limit_memory(megabytes: int) -> None:
    """Data, not address space: a thread's reserved memory counts as the latter alone.

    Elsewhere than on Linux this limit means something else, and there is none.
    """
    if sys.platform != "linux":
        return
    import resource

    size = megabytes * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (size, size))


if __name__ == "__main__":
    main()
