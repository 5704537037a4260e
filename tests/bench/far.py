"""An AWS that is as far away as Tokyo: the embedded one, each answer as late as over a network.

What a command does while a question is under way only shows where questions take their time.
"""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

TAPGEN = str(Path(sys.executable).with_name("tapgen"))
# A round trip within a country, TLS set up: measured figures lie between 20 and 100 ms.
SECONDS = 0.06


@contextmanager
def far(folder: Path, env: str) -> Iterator[dict[str, str]]:
    """Deploy ``env`` to an embedded AWS of its own in ``folder``; yields the variables under which
    it answers late.
    """
    command = [TAPGEN, "local", "serve", "--aws-only"]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as serving:
        try:
            assert serving.stdout is not None
            told = [serving.stdout.readline().removeprefix("export ") for _ in range(4)]
            near = dict(line.strip().split("=", 1) for line in told)
            variables = {**os.environ, **near}
            deploy = [TAPGEN, "deploy", "--env", env, "--yes"]
            subprocess.run(deploy, cwd=folder, env=variables, check=True, capture_output=True)
            with late(near["AWS_ENDPOINT_URL"]) as url:
                yield {**variables, "AWS_ENDPOINT_URL": url}
        finally:
            serving.terminate()


@contextmanager
def late(url: str) -> Iterator[str]:
    """Pass everything on to ``url``, ``SECONDS`` late; yields the address for that."""
    target = urlsplit(url)
    assert target.hostname is not None
    host, port = target.hostname, target.port

    class Passing(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            time.sleep(SECONDS)
            connection = http.client.HTTPConnection(host, port)
            connection.request(self.command, self.path, body, dict(self.headers))
            answer = connection.getresponse()
            content = answer.read()
            self.send_response(answer.status)
            for key, value in answer.getheaders():
                if key.lower() not in ("content-length", "connection", "transfer-encoding"):
                    self.send_header(key, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)
            connection.close()

        do_GET = do_PUT = do_HEAD = do_POST  # noqa: N815 - the handler's own names

        def log_message(self, *_: object) -> None:
            """Nothing to tell."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Passing) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
