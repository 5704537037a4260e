"""HTTP as clients speak it, over a socket: what reaches the API, and what comes back."""

from __future__ import annotations

import http.client
import re
import socket
import threading
from collections.abc import Iterator

import pytest
from small_api import Echo, proxied, served, template

from tapgen.local.errors import PortTaken
from tapgen.local.gateway.listener import listening


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def port(echo: Echo) -> Iterator[int]:
    document = template(Get=proxied(), Post=proxied(method="POST"), Head=proxied(method="HEAD"))
    with listening(served(document, echo)) as number:
        yield number


def raw(port: int, request: bytes) -> bytes:
    """What comes back until the server hangs up, or is silent after its answers."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
        sock.sendall(request)
        sock.shutdown(socket.SHUT_WR)
        found = b""
        while chunk := sock.recv(65536):
            found += chunk
        return found


def statuses(answer: bytes) -> list[bytes]:
    return re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)


def test_it_listens_on_loopback_alone(port: int) -> None:
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port), timeout=1).close()


def test_a_port_that_is_taken_is_told() -> None:
    service = served(template(Get=proxied()))
    with (
        listening(service) as number,
        pytest.raises(PortTaken) as caught,
        listening(service, number),
    ):
        pass

    assert str(caught.value) == (
        f"port {number} on 127.0.0.1 is taken by another program; choose another"
    )


def test_a_connection_is_kept_for_the_next_request(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    try:
        for _ in range(3):
            connection.request("GET", "/dev/thing")
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (200, b"{}")
            sock = connection.sock
        assert connection.sock is sock
    finally:
        connection.close()


def test_requests_at_once_are_answered_at_once(port: int, echo: Echo) -> None:
    together = threading.Barrier(4, timeout=5)
    before = echo.__class__.__call__

    class Waiting(Echo):
        def __call__(self, *args: object, **more: object) -> bytes:
            together.wait()
            return before(self, *args, **more)  # type: ignore[arg-type]

    with listening(served(template(Get=proxied()), Waiting())) as number:
        found: list[int] = []

        def ask() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", number, timeout=5)
            connection.request("GET", "/dev/thing")
            found.append(connection.getresponse().status)
            connection.close()

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert found == [200] * 4


def test_a_body_in_chunks_is_a_body(port: int, echo: Echo) -> None:
    answer = raw(
        port,
        b"POST /dev/thing HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\nGET /dev/thing HTTP/1.1\r\nHost: a\r\n\r\n",
    )

    assert statuses(answer) == [b"200", b"200"]
    assert [event["body"] for event in echo.events] == ["abcde", None]


def test_an_answer_to_head_has_no_body(port: int) -> None:
    answer = raw(port, b"HEAD /dev/thing HTTP/1.1\r\nHost: a\r\n\r\n")

    assert statuses(answer) == [b"200"]
    assert answer.endswith(b"Content-Length: 2\r\n\r\n")


def test_names_in_headers_may_be_anything_that_utf_8_writes(port: int, echo: Echo) -> None:
    request = b"GET /dev/thing HTTP/1.1\r\nHost: a\r\nX-Name: \xc3\xa9\r\nX-Old: \xe9\r\n\r\n"

    raw(port, request)

    assert (echo.event["headers"]["X-Name"], echo.event["headers"]["X-Old"]) == ("é", "é")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"POST /dev/thing HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n", b"413"),
        (b"POST /dev/thing HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", b"400"),
        (
            b"POST /dev/thing HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"400",
        ),
        (
            b"POST /dev/thing HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n",
            b"413",
        ),
        (b"G(T /dev/thing HTTP/1.1\r\nHost: a\r\n\r\n", b"400"),
        (b"BREW /dev/thing HTTP/1.1\r\nHost: a\r\n\r\n", b"403"),
        (b"GET http://a/dev/thing HTTP/1.1\r\nHost: a\r\n\r\n", b"200"),
        (b"GET /dev/thing#part HTTP/1.1\r\nHost: a\r\n\r\n", b"403"),
        (b"GET /dev//thing HTTP/1.1\r\nHost: a\r\n\r\n", b"403"),
        (b"GET /dev/../dev/thing HTTP/1.1\r\nHost: a\r\n\r\n", b"403"),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", b"414"),
        (b"GET /dev/thing HTTP/1.1\r\n" + b"X-A: b\r\n" * 200 + b"\r\n", b"431"),
        (b"nonsense\r\n\r\n", b"400"),
    ],
)
def test_what_is_no_request_of_this_api_gets_a_status_and_no_traceback(
    port: int, request_: bytes, status: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    # An HTTP/0.9 line is answered without a status line, so the status is looked for anywhere.
    assert status in raw(port, request_)[:400]
    assert capfd.readouterr().err == ""


def test_a_client_that_goes_away_leaves_the_server_as_it_was(
    port: int, capfd: pytest.CaptureFixture[str]
) -> None:
    for sent in (
        b"",
        b"GET /dev",
        b"POST /dev/thing HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab",
    ):
        with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
            sock.sendall(sent)

    assert statuses(raw(port, b"GET /dev/thing HTTP/1.1\r\nHost: a\r\n\r\n")) == [b"200"]
    assert capfd.readouterr().err == ""
