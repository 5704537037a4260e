"""A throw-away certificate authority, and TLS in front of servers that have none.

The servers listen on a Unix socket alone; what listens on 127.0.0.1 is this proxy, so nothing can
reach them in plain text. PostgreSQL's clients ask for TLS inside its own protocol first. The
authority needs ``cryptography``, the proxy the standard library.
"""

from __future__ import annotations

import asyncio
import ssl
import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import cast

HOST = "127.0.0.1"
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
# A server that is kept for weeks outlives no certificate: each start makes new ones.
_LIFE = timedelta(days=365)


@dataclass(frozen=True)
class Certificate:
    """Paths of a server's certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """Issues certificates for servers on this machine; forgotten with the folder it writes to."""

    def __init__(self, folder: Path) -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import NameOID

        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.ca_file = folder / "ca.pem"
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tapgen throw-away CA")])
        certificate = self._build(self._name, self._key.public_key(), authority=True)
        self.ca_file.write_bytes(certificate)

    def issue(self, name: str) -> Certificate:
        """A certificate for 127.0.0.1 and localhost, in files called ``name``."""
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import NameOID

        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        issued = Certificate(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        issued.certificate.write_bytes(self._build(subject, key.public_key(), authority=False))
        issued.key.touch(mode=0o600)
        issued.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return issued

    def _build(self, subject: object, public_key: object, *, authority: bool) -> bytes:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        public = cast("ec.EllipticCurvePublicKey", public_key)
        now = datetime.now(UTC)
        names = [x509.DNSName("localhost"), x509.IPAddress(ip_address(HOST))]
        builder = (
            x509.CertificateBuilder()
            .subject_name(cast("x509.Name", subject))
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            # Clocks of two containers on one machine need not agree.
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + _LIFE)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        if authority:
            # Python 3.13 verifies strictly and takes no authority without this.
            usage = x509.KeyUsage(
                digital_signature=False,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=True,
                crl_sign=True,
                encipher_only=False,
                decipher_only=False,
            )
            builder = builder.add_extension(usage, critical=True)
        else:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return certificate.public_bytes(serialization.Encoding.PEM)


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """The server's side of TLS 1.2 or later."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    return context


class _Half(asyncio.Protocol):
    """One side of a connection: what arrives here goes out on the other side."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: _Half | None = None
        self._early = bytearray()
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def join(self, other: _Half) -> None:
        """Connect two halves; what came before is passed on first."""
        self.other, other.other = other, self
        for half in (self, other):
            if half._early:
                half._pass_on(bytes(half._early))
                half._early.clear()
        for half in (self, other):
            if half._ended:
                half._end_other()

    def data_received(self, data: bytes) -> None:
        if self.other is None:
            self._early += data
        else:
            self._pass_on(data)

    def _pass_on(self, data: bytes) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._end_other()

    def _end_other(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()

    def pause_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()


class _Front(_Half):
    """The client's side, once it speaks TLS."""

    def __init__(self, proxy: TlsProxy) -> None:
        super().__init__()
        self._proxy = proxy

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._proxy.start(self._proxy.reach_server(self))


class _PostgresGreeter(asyncio.Protocol):
    """Waits for PostgreSQL's request for TLS; anything else is shown the door."""

    def __init__(self, proxy: TlsProxy) -> None:
        self._proxy = proxy
        self._seen = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        transport = cast("asyncio.Transport", self._transport)
        self._seen += data
        if self._seen == _SSL_REQUEST:
            transport.pause_reading()
            transport.write(b"S")
            self._proxy.start(self._proxy.upgrade(transport, self))
        elif not _SSL_REQUEST.startswith(self._seen):
            transport.close()


class TlsProxy:
    """TLS on 127.0.0.1 in front of a server's Unix socket."""

    def __init__(self, context: ssl.SSLContext, server_socket: str, *, postgres: bool) -> None:
        self._context = context
        self._server_socket = server_socket
        self._postgres = postgres
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def listen(self, port: int) -> int:
        """Listen; 0 is any free port. Returns the port. Raises OSError when it is taken."""
        loop = asyncio.get_running_loop()
        if self._postgres:
            self._server = await loop.create_server(lambda: _PostgresGreeter(self), HOST, port)
        else:
            self._server = await loop.create_server(
                lambda: _Front(self), HOST, port, ssl=self._context
            )
        address: tuple[str, int] = self._server.sockets[0].getsockname()
        return address[1]

    def close(self) -> None:
        """Take no more connections."""
        if self._server is not None:
            self._server.close()

    def start(self, work: object) -> None:
        """Run a step of a connection beside the others; its failure ends that connection."""
        task = asyncio.ensure_future(cast("asyncio.Future[None]", work))
        self._tasks.add(cast("asyncio.Task[None]", task))
        task.add_done_callback(lambda done: self._tasks.discard(cast("asyncio.Task[None]", done)))

    async def upgrade(self, transport: asyncio.Transport, greeter: asyncio.Protocol) -> None:
        """Turn a PostgreSQL client's connection into TLS."""
        front = _Front(self)
        try:
            secured = await asyncio.get_running_loop().start_tls(
                transport, front, self._context, server_side=True
            )
        except (OSError, ssl.SSLError):
            transport.close()
            return
        if secured is not None and front.transport is None:
            front.connection_made(secured)

    async def reach_server(self, front: _Half) -> None:
        """Connect a client's side with the server's."""
        loop = asyncio.get_running_loop()
        try:
            _, back = await loop.create_unix_connection(_Half, self._server_socket)
        except OSError:
            if front.transport is not None:
                front.transport.abort()
            return
        front.join(back)
