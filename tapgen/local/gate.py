"""The door of the embedded AWS: who may come in, and what is written down about it.

Every call must carry a signature made with this server's own secret. Loopback is shared by all
users and all web pages of a machine, and whoever may create a function here runs code as the user
who started it. Only the data plane of API Gateway is open, as it is on AWS.

The gate also answers the calls below ``/_tapgen/`` (health, faults, pace), strikes with request
faults, and tells the server when a call may have changed something.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from tapgen.local import reach
from tapgen.local.faults import Faults, RequestFault
from tapgen.local.pace import Paces

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

_OPEN_PATH = re.compile(r"/restapis/(?P<api>[^/]+)/[^/]+/_user_request_(/|$)")
_OPEN_HOST = re.compile(r"(?P<api>[a-z0-9]+)\.execute-api\.")
_READING = re.compile(r"(Describe|List|Get|Head|Validate|Estimate|Detect|Lookup|Simulate)")
_QUERY_ACTION = re.compile(rb"(?:^|&)Action=([A-Za-z0-9]+)")
# The longest body is the code of a function or an object in a bucket.
_BODY_BYTES = 300_000_000


@dataclass
class Call:
    """One HTTP call with its body read."""

    method: str
    path: str
    raw_path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes
    account: str = ""
    service: str = ""

    @property
    def action(self) -> str:
        """The operation's name; for REST services the method and the path."""
        target = self.headers.get("x-amz-target", "")
        if target:
            return target.rpartition(".")[2]
        match = _QUERY_ACTION.search(self.body)
        if match and "x-www-form-urlencoded" in self.headers.get("content-type", ""):
            return match.group(1).decode()
        return f"{self.method} {self.path}"

    @property
    def may_change(self) -> bool:
        """Whether the call is more than a question."""
        return self.method != "HEAD" and not _READING.match(self.action.replace("GET /", "Get"))


class Gate:
    """An ASGI application around the emulator's."""

    def __init__(
        self,
        app: App,
        secret: str,
        faults: Faults,
        paces: Paces,
        *,
        ready: Callable[[], None],
        changed: Callable[[], None],
    ) -> None:
        self._app, self._secret = app, secret
        self._faults, self._paces = faults, paces
        self._ready, self._changed = ready, changed

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one connection event."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, self._telling_when_ready(send))
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        # A websocket is nothing that this AWS offers; hypercorn closes it.

    def _telling_when_ready(self, send: Send) -> Send:
        async def sending(message: Message) -> None:
            await send(message)
            if message["type"] == "lifespan.startup.complete":
                self._ready()

        return sending

    async def _http(self, scope: Message, receive: Receive, send: Send) -> None:
        call = await _read(scope, receive)
        if call is None:
            return
        if call.path == "/_tapgen/health":
            await _answer(send, 200, b'{"status": "ok"}')
            return
        api = _open_api(call)
        if api is not None:
            _act_for_owner(api)
        else:
            refusal = self._refusal(call)
            if refusal is not None:
                await _answer_error(send, call, 403, *refusal)
                return
            if call.path == "/_tapgen/faults":
                await self._control(call, send)
                return
            if call.path == "/_tapgen/pace":
                await self._pace(call, send)
                return
            fault = self._faults.for_request(call.account, call.service, call.action)
            if fault is not None and await _struck(send, call, fault):
                return
        await self._app(scope, _replaying(call.body, receive), send)
        if call.may_change:
            self._changed()

    def _refusal(self, call: Call) -> tuple[str, str] | None:
        """Why this call may not come in: an error code and a text."""
        sigv4 = reach.module("core.sigv4")
        presigned = "X-Amz-Signature" in call.query
        if presigned:
            signature = sigv4.parse_query_signature(call.query)
        elif call.headers.get("authorization", "").startswith("AWS4-HMAC-SHA256"):
            signature = sigv4.parse_header_signature(call.headers)
        else:
            return "MissingAuthenticationToken", "Request is missing Authentication Token"
        if isinstance(signature, tuple):
            return signature[0], signature[1]
        call.account, call.service = signature.access_key_id, signature.service
        failure: tuple[str, str] | None = sigv4.header_signature_failure(
            signature,
            self._secret,
            call.method,
            call.raw_path,
            call.query,
            call.headers,
            call.body,
            presigned=presigned,
        )
        return failure

    async def _control(self, call: Call, send: Send) -> None:
        if call.method == "POST":
            try:
                self._faults.add({**json.loads(call.body), "account": call.account})
            except (ValueError, TypeError, KeyError) as error:
                await _answer(send, 400, json.dumps({"error": str(error)}).encode())
                return
        elif call.method == "DELETE":
            self._faults.clear(call.account)
        left = self._faults.left(call.account)
        await _answer(send, 200, json.dumps({"left": left}).encode())

    async def _pace(self, call: Call, send: Send) -> None:
        """Tell the account's pace, or take another one: ``{"pace": 0.01}``."""
        if call.method == "POST":
            try:
                self._paces.set(call.account, json.loads(call.body)["pace"])
            except (ValueError, TypeError, KeyError) as error:
                await _answer(send, 400, json.dumps({"error": str(error)}).encode())
                return
        pace = self._paces.of(call.account)
        await _answer(send, 200, json.dumps({"pace": pace}).encode())


def _open_api(call: Call) -> str | None:
    """The id of the API whose data plane is called; ``None`` for any other call."""
    match = _OPEN_PATH.match(call.path) or _OPEN_HOST.match(call.headers.get("host", ""))
    return match["api"] if match else None


def _act_for_owner(api: str) -> None:
    """Serve the call in the account that the API stands in: an unsigned call names none."""
    for account, _, found in reach.service("apigateway_v1")._rest_apis._data:
        if found == api:
            reach.module("core.responses").set_request_account_id(account)


async def _read(scope: Message, receive: Receive) -> Call | None:
    """The call with its whole body; ``None`` when the client went away."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect" or len(body) > _BODY_BYTES:
            return None
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    raw_path = scope.get("raw_path") or scope["path"].encode()
    query = scope.get("query_string", b"").decode()
    return Call(
        method=scope["method"],
        path=scope["path"],
        raw_path=raw_path.decode("latin-1"),
        query=parse_qs(query, keep_blank_values=True),
        headers=headers,
        body=bytes(body),
    )


def _replaying(body: bytes, receive: Receive) -> Receive:
    """A ``receive`` that gives the body once more, then what comes from the connection."""
    given = False

    async def receiving() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receiving


async def _struck(send: Send, call: Call, fault: RequestFault) -> bool:
    """Let the fault strike; whether the call has been answered by it."""
    await asyncio.sleep(fault.delay)
    if not fault.status:
        return False
    await _answer_error(send, call, fault.status, fault.code, fault.message)
    return True


async def _answer_error(send: Send, call: Call, status: int, code: str, message: str) -> None:
    """An error in the shape that the called service's clients understand."""
    if "x-amz-target" in call.headers or "json" in call.headers.get("content-type", ""):
        body = json.dumps({"__type": code, "message": message}).encode()
        await _answer(send, status, body, {"x-amzn-errortype": code})
    elif call.service == "ec2":
        error = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
        text = f"<Response><Errors>{error}</Errors><RequestID>fault</RequestID></Response>"
        await _answer(send, status, text.encode(), {"content-type": "text/xml"})
    elif call.service == "s3":
        text = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
        await _answer(send, status, text.encode(), {"content-type": "application/xml"})
    elif "x-www-form-urlencoded" in call.headers.get("content-type", ""):
        kind = "Receiver" if status >= 500 else "Sender"
        error = f"<Type>{kind}</Type><Code>{code}</Code><Message>{escape(message)}</Message>"
        text = f"<ErrorResponse><Error>{error}</Error><RequestId>fault</RequestId></ErrorResponse>"
        await _answer(send, status, text.encode(), {"content-type": "text/xml"})
    else:
        body = json.dumps({"message": message}).encode()
        await _answer(send, status, body, {"x-amzn-errortype": code})


async def _answer(
    send: Send, status: int, body: bytes, headers: dict[str, str] | None = None
) -> None:
    named = {"content-type": "application/json", **(headers or {})}
    pairs = [(name.encode(), value.encode()) for name, value in named.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})
