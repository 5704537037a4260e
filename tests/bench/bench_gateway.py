"""The local gateway as a process of its own: the API's template, the handler in awslambdaric.

Reads the functions' environment as one line of JSON on standard input, prints where the API is,
and ends when standard input does. Without throttles, which would be what is measured.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from tapgen import app, places, resolve
from tapgen.local.gateway import description
from tapgen.local.gateway.listener import listening
from tapgen.local.gateway.reading import Live
from tapgen.local.gateway.runtime import Deployed, Runtime
from tapgen.local.gateway.service import Service

ENV = "bench"
KEY = "key-of-a-benchmark-with-thirty-letters"


def main() -> None:
    """Serve until standard input ends."""
    environ = json.loads(sys.stdin.readline())
    source = places.LAMBDA_SOURCE / "video_metadata_api"
    documents = app.documents()
    live = Live(
        parameters={"EnvironmentSuffix": ENV, "VideoMetadataApiCodeKey": "-"},
        exports=_exports(documents),
    )
    api = description.api(documents["api"], live)
    functions = description.functions(documents["api"], live)
    with tempfile.TemporaryDirectory() as folder:
        runtimes = {
            name: Runtime(Deployed(function, source, environ, Path(folder) / f"{name}.log"))
            for name, function in functions.items()
        }

        def invoke(function: str, payload: bytes, *, seconds: float, trace: str = "") -> bytes:
            return runtimes[function].invoke(payload, seconds=seconds, trace=trace)

        keys = dict.fromkeys(api.key_ids, KEY)
        try:
            with listening(Service(api, invoke=invoke, key_values=keys, throttled=False)) as port:
                print(json.dumps({"port": port, "stage": api.stage, "key": KEY}), flush=True)  # noqa: T201
                sys.stdin.read()
        finally:
            for runtime in runtimes.values():
                runtime.close()


def _exports(documents: dict[str, dict[str, object]]) -> dict[str, str]:
    """A value for every export; what matters of them is in the functions' environment."""
    found = {}
    for document in documents.values():
        known = resolve.Known.of(document, {"EnvironmentSuffix": ENV}, partial=True)
        outputs = document.get("Outputs", {})
        assert isinstance(outputs, dict)
        for output in outputs.values():
            if "Export" in output:
                found[str(resolve.value(output["Export"]["Name"], known))] = "-"
    return found


if __name__ == "__main__":
    main()
