"""One execution environment of the API: events on standard input, answers on standard output."""

from __future__ import annotations

import json
import os
import sys


def main() -> None:
    """Answer one event a line. What the function prints, its log, goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]

    from api_parts import Context
    from video_api.handler import handler

    for line in sys.stdin:
        answers.write(json.dumps(handler(json.loads(line), Context())) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
