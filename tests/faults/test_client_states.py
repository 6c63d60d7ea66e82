"""Raw sockets that misbehave at every state of a session, in clear and under TLS.

Whatever happens, every call of the client's is answered once, in time, with the truth about the
delivery; no timer and no descriptor stays, and nothing is logged.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.endpoints import TCP4ClientEndpoint, wrapClientTLS
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from txsmtpconn import (
    ConfigError,
    Credentials,
    Delivery,
    Envelope,
    SendResult,
    SMTPError,
    TLSOptions,
    connect,
)
from txsmtpconn.testing import CertificateZoo
from txsmtpconn.testing.fixtures import certificate_zoo

__all__ = ["certificate_zoo"]

PASSWORD = "Zq8kW3vNpR5tYx"
FIRST = Envelope("a@x.test", ["b@x.test"])
SECOND = Envelope("a@x.test", ["c@x.test"])
#: More than the buffers of a loopback connection hold.
BIG = [b"x" * 998 + b"\r\n"] * 8000


class _Over(Exception):
    pass


class Server(threading.Thread):
    """One connection of a server that does something else at one state.

    Args:
        state: Where.
        fault: What it does there, instead of the reply that it is given.
        tls: The context of its TLS, or None.
        implicit: Whether TLS comes first.
    """

    def __init__(
        self,
        state: str,
        fault: Callable[[Server, bytes], None],
        tls: ssl.SSLContext | None,
        implicit: bool,
    ) -> None:
        super().__init__(daemon=True)
        self.state, self.fault, self.tls, self.implicit = state, fault, tls, implicit
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listening.getsockname()[1]
        self.released = threading.Event()
        self._buffer = b""

    def run(self) -> None:
        self.listening.settimeout(5)
        with contextlib.suppress(OSError, _Over), self.listening:
            self.socket, _ = self.listening.accept()
            self.socket.settimeout(5)
            with contextlib.suppress(OSError, _Over):
                self._converse()
            self.socket.close()

    def _converse(self) -> None:
        if self.tls is not None and self.implicit:
            self._handshake()
        self._at("greeting", b"220 mx\r\n")
        while True:
            line = self._line()
            match line.split()[0].upper():
                case b"EHLO":
                    offer = b"250-mx\r\n250-PIPELINING\r\n"
                    if self.tls is not None and not isinstance(self.socket, ssl.SSLSocket):
                        offer += b"250-STARTTLS\r\n"
                    self._at("ehlo", offer + b"250 AUTH LOGIN\r\n")
                case b"STARTTLS":
                    self._at("starttls", b"220 go\r\n")
                    self._handshake()
                case b"AUTH":
                    self._at("auth", b"334 VXNlcm5hbWU6\r\n")
                    self._line()
                    self._at("response", b"334 UGFzc3dvcmQ6\r\n")
                    self._line()
                    self._at("auth's end", b"235 ok\r\n")
                case b"MAIL":
                    self._at("mail", b"250 ok\r\n")
                case b"RCPT":
                    self._at("rcpt", b"250 ok\r\n")
                case b"DATA":
                    self._at("data", b"354 go\r\n")
                    self._at("body", b"")
                    self._mail_data()
                    self._at("mark", b"250 ok\r\n")
                case b"RSET":
                    self._at("rset", b"250 ok\r\n")
                case b"QUIT":
                    self._at("quit", b"221 bye\r\n")
                    return

    def _handshake(self) -> None:
        assert self.tls is not None
        self._at("handshake", b"")
        self.socket = self.tls.wrap_socket(self.socket, server_side=True)

    def _at(self, state: str, reply: bytes) -> None:
        if state == self.state:
            self.fault(self, reply)
            raise _Over
        self.socket.sendall(reply)

    def _line(self) -> bytes:
        while b"\n" not in self._buffer:
            self._read()
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _mail_data(self) -> None:
        while b"\r\n.\r\n" not in self._buffer:
            self._buffer = self._buffer[-4:]
            self._read()
        self._buffer = self._buffer.partition(b"\r\n.\r\n")[2]

    def _read(self) -> None:
        data = self.socket.recv(1 << 18)
        if not data:
            raise _Over
        self._buffer += data


def close(server: Server, reply: bytes) -> None:
    """FIN."""


def reset(server: Server, reply: bytes) -> None:
    """RST."""
    linger = struct.pack("ii", 1, 0)
    server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


def half(server: Server, reply: bytes) -> None:
    """Half a reply, then FIN."""
    server.socket.sendall(reply[: len(reply) // 2])


def silence(server: Server, reply: bytes) -> None:
    """Nothing, until the client has had enough."""
    server.released.wait(5)


def late(server: Server, reply: bytes) -> None:
    """The right reply when it is wanted, then FIN."""
    server.released.wait(5)
    server.socket.sendall(reply)
    server._read()


def garbage(server: Server, reply: bytes) -> None:
    """What is no reply."""
    server.socket.sendall(b"FOO\x00\xff\r\n")
    server.released.wait(5)


def flood(server: Server, reply: bytes) -> None:
    """Lines of a reply without end."""
    while True:
        server.socket.sendall(b"250-" + b"x" * 60 + b"\r\n")


def one_line(server: Server, reply: bytes) -> None:
    """A line without end."""
    while True:
        server.socket.sendall(b"2" * 65536)


def farewell(server: Server, reply: bytes) -> None:
    """421, and no more."""
    server.socket.sendall(b"421 4.3.2 bye\r\n")
    server.released.wait(5)


def twice(server: Server, reply: bytes) -> None:
    """The right reply, and once more."""
    server.socket.sendall(reply + reply)
    server.released.wait(5)


FAULTS = {
    "clear": [close, reset, half, silence, garbage, flood, one_line, farewell, twice],
    "starttls": [close, reset, silence, garbage],
    "implicit": [close, reset, half, silence],
}
MAIL = ["mail", "rcpt", "data", "body", "mark", "rset", "quit"]
STATES = {
    "clear": ["greeting", "ehlo", "auth", "response", "auth's end", *MAIL],
    "starttls": ["ehlo", "starttls", "handshake", "auth", *MAIL],
    "implicit": ["greeting", "handshake", "ehlo", *MAIL],
}
CASES = [
    pytest.param(security, state, fault, id=f"{security}-{state}-{fault.__name__}")
    for security, states in STATES.items()
    for state in states
    for fault in FAULTS[security]
    if fault is not twice or state not in ("body", "quit")
]
#: Long enough that only silence comes to its end, and short enough to wait for that.
PATIENCE, IMPATIENCE = 10.0, 0.3


@pytest.fixture(scope="module")
def server_tls(certificate_zoo: CertificateZoo) -> ssl.SSLContext:
    """The TLS of the servers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    files = certificate_zoo["server"]
    context.load_cert_chain(files.chain, files.key)
    return context


@pytest.fixture
def nothing_left(clean_reactor: None) -> Iterator[None]:
    """No descriptor may stay open."""
    from twisted.internet import reactor

    pytest_twisted.blockon(deferLater(reactor, 0))
    before = len(os.listdir("/proc/self/fd"))
    yield
    for _ in range(3):
        # A connection that was aborted is closed in a later turn of the reactor.
        pytest_twisted.blockon(deferLater(reactor, 0))
    assert len(os.listdir("/proc/self/fd")) <= before


def options(
    security: str, zoo: CertificateZoo, patience: float = PATIENCE, **more: Any
) -> dict[str, Any]:
    """Options for one of the servers, all deadlines being the same."""
    names = ("greeting", "tls", "command", "data", "block", "final", "quit")
    return {
        "host": "127.0.0.1",
        "servername": "localhost",
        "name": "client.test",
        "secure": security == "implicit",
        "require_tls": security == "starttls",
        "allow_insecure_auth": True,
        "tls": TLSOptions(ca_file=zoo.ca),
        **{f"{name}_timeout": patience for name in names},
        **more,
    }


async def all_calls(**given: Any) -> dict[str, Any]:
    """Connect and make one call of each kind; return what became of each."""
    from twisted.internet import reactor

    try:
        connection = await connect(reactor, **given)
    except SMTPError as error:
        return {"connect": error}
    calls: dict[str, Deferred[Any]] = {
        "closed": connection.when_closed(),
        "login": connection.login(Credentials("u", PASSWORD)),
        "first": connection.send(FIRST, BIG),
        "second": connection.send(SECOND, b"Subject: 2\r\n\r\n"),
        "reset": connection.reset(),
        "quit": connection.quit(),
    }
    outcomes = await DeferredList(calls.values(), consumeErrors=True).addTimeout(4, reactor)
    return {
        name: result if success else result.value
        for name, (success, result) in zip(calls, outcomes, strict=True)
    }


@pytest.mark.parametrize(("security", "state", "fault"), CASES)
@pytest_twisted.ensureDeferred
async def test_a_fault_at_any_state_is_told_to_everybody_once(
    certificate_zoo: CertificateZoo,
    server_tls: ssl.SSLContext,
    nothing_left: None,
    security: str,
    state: str,
    fault: Callable[[Server, bytes], None],
) -> None:
    """C4, C20, C23, C24, C42, C61: prompt, true, and nothing is left."""
    server = Server(
        state, fault, None if security == "clear" else server_tls, security == "implicit"
    )
    patience = IMPATIENCE if fault in (silence, twice) else PATIENCE
    server.start()
    try:
        told = await all_calls(**options(security, certificate_zoo, patience, port=server.port))
    finally:
        server.released.set()
        await deferToThread(server.join, 6)
    assert not server.is_alive()
    failures = [each for each in told.values() if isinstance(each, Exception)]
    assert all(isinstance(each, SMTPError) for each in failures)
    assert PASSWORD not in f"{failures!r} {[str(each) for each in failures]}"
    assert told.get("quit") is None
    first = told.get("first")
    if isinstance(first, SMTPError):
        assert first.delivery is delivery_after(fault, state)
    elif first is not None:
        assert isinstance(first, SendResult)
        assert state in ("mark", "rset", "quit", *MAIL) or fault is twice


def delivery_after(fault: Callable[[Server, bytes], None], state: str) -> Delivery:
    """What must be known of a message that failed."""
    if state == "mark":
        return Delivery.REJECTED if fault is farewell else Delivery.IN_DOUBT
    return Delivery.NOT_SENT


@pytest_twisted.ensureDeferred
async def test_a_transport_whose_tls_is_up_already(
    certificate_zoo: CertificateZoo, server_tls: ssl.SSLContext
) -> None:
    """Its handshake was told to another; the certificate is looked at all the same."""
    from twisted.internet import reactor

    for servername, code in (("localhost", "ECONNECTION"), ("other.test", "ETLS")):
        server = Server("greeting", late, server_tls, implicit=True)
        server.start()
        endpoint = wrapClientTLS(
            TLSOptions(ca_file=certificate_zoo.ca).client_connections("localhost"),
            TCP4ClientEndpoint(reactor, "127.0.0.1", server.port),
        )
        shaken: Deferred[None] = Deferred()
        held = await endpoint.connect(Factory.forProtocol(partial(_Holding, shaken)))
        await shaken
        given = options("implicit", certificate_zoo, servername=servername)
        connecting = connect(reactor, **given | {"transport": held.transport})
        server.released.set()
        with pytest.raises(SMTPError) as caught:
            await connecting
        assert caught.value.code == code
        await deferToThread(server.join, 6)


class _Holding(Protocol):
    """Holds a transport until its handshake is over, and hears nothing."""

    def __init__(self, shaken: Deferred[None]) -> None:
        self._shaken = shaken

    def connectionMade(self) -> None:
        assert self.transport is not None
        self._look()

    def _look(self) -> None:
        from twisted.internet import reactor

        transport: Any = self.transport
        if transport.getHandle().get_peer_finished() is None:
            reactor.callLater(0.001, self._look)
        else:
            self._shaken.callback(None)


def test_a_path_that_no_socket_has() -> None:
    """ECONFIG at once, instead of a timeout."""
    with pytest.raises(ConfigError):
        connect_error(path="/" + "x" * 107)


def connect_error(**given: Any) -> None:
    """Raise what connecting fails with at once."""
    failures: list[Any] = []
    connect(None, **given).addErrback(failures.append)
    failures[0].raiseException()
