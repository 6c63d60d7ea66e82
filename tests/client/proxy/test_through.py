"""A whole session through each kind of proxy: in clear, by STARTTLS, with TLS at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import ISSLTransport
from twisted.protocols.tls import TLSMemoryBIOFactory

from tests.client.dial import greeted
from tests.client.proxy.gate import HOST, KINDS, PORT, TURNS, Gate, url
from txsmtpconn import (
    ConnectionLostError,
    Envelope,
    ProxyError,
    SMTPTransport,
    TLSError,
    TLSOptions,
    connect,
    simple_server,
)
from txsmtpconn.client import proxy
from txsmtpconn.net.channel import channel_bindings
from txsmtpconn.testing import CertificateZoo, MemoryNetwork, ScriptedPeer, failure_result_of
from txsmtpconn.testing.script import expect, pause, send, start_tls, stop_reading
from txsmtpconn.testing.transport import PlainTransport

ENVELOPE = Envelope("a@example.org", ["b@example.net"])
BIG = b"Subject: big\r\n\r\n" + b"0123456789abcd\r\n" * 64 * 1024

pytestmark = pytest.mark.parametrize("kind", KINDS)


class Town:
    """A server at mx.test:25, a proxy, and the endpoint that goes through it."""

    def __init__(
        self,
        kind: str,
        zoo: CertificateZoo,
        *,
        segment: int | None = None,
        server: str = "server",
        at_proxy: str = "server",
        secure: bool = False,
    ) -> None:
        self.network = MemoryNetwork(segment=segment)
        self.arrived: list[bytes] = []
        files = zoo[server]
        factory: Any = simple_server(
            self.network.clock,
            self._receive,
            name="mx.test",
            tls_cert_file=files.chain,
            tls_key_file=files.key,
        )
        if secure:
            factory = TLSMemoryBIOFactory(
                zoo.server_options(server), False, factory, clock=self.network.clock
            )
        self.network.listen(factory, "mx.test:25")
        self.gate = Gate(
            TURNS[kind],
            lambda factory: self.network.connect(factory, "mx.test:25"),
            tls=zoo.server_options(at_proxy) if kind == "https" else None,
        )
        self.network.listen(self.gate, "proxy")
        self.tls = TLSOptions(ca_file=zoo.ca)
        address = f"{url(kind)}?tls.ca_file={zoo.ca}" if kind == "https" else url(kind)
        self.way = proxy.endpoint(
            self.network.clock, address, HOST, PORT, road=self.network.client_endpoint("proxy")
        )

    async def _receive(self, message: Any) -> None:
        self.arrived.append(await message.read())

    def connect(self, **options: Any) -> Deferred[Any]:
        options = {"name": "client.test", "host": HOST, "tls": self.tls} | options
        return connect(self.network.clock, endpoint=self.way, **options)


@pytest.mark.parametrize("security", ["clear", "starttls", "implicit"])
@pytest.mark.parametrize("segment", [None, 1], ids=["whole", "octet by octet"])
def test_mail_arrives(
    certificate_zoo: CertificateZoo, kind: str, security: str, segment: int | None
) -> None:
    """The proxy is asked for the name, and the server's certificate is the one that counts."""
    secure = security == "implicit"
    town = Town(kind, certificate_zoo, segment=segment, secure=secure)
    options = {"secure": secure, "ignore_tls": security == "clear"}
    connection = town.network.result_of(town.connect(**options), within=5)
    assert connection.secure is (security != "clear")
    body = BIG if segment is None else b"Subject: small\r\n\r\nx\r\n"
    sent = [connection.send(ENVELOPE, body) for _ in range(2)]
    for each in sent:
        assert town.network.result_of(each, within=60).accepted
    assert town.arrived == [body] * 2
    town.network.result_of(connection.quit(), within=5)
    town.network.advance(10)
    assert town.gate.asked == [b"".join(asked for asked, _ in TURNS[kind])]
    assert town.gate.open == 0
    assert all(link.closed for link in town.network.links)
    assert not town.network.clock.getDelayedCalls()


@pytest.mark.parametrize("implicit", [False, True], ids=["STARTTLS", "implicit"])
def test_a_server_with_a_bad_certificate_is_refused(
    certificate_zoo: CertificateZoo, kind: str, implicit: bool, logged_failures: list[object]
) -> None:
    """The proxy, which is trusted to relay, is not trusted to say who the server is."""
    town = Town(kind, certificate_zoo, server="wronghost", secure=implicit)
    connecting = town.connect(secure=implicit, require_tls=not implicit)
    town.network.advance(1)
    assert isinstance(failure_result_of(connecting), TLSError)
    assert town.network.clock.getDelayedCalls() == []
    assert town.gate.open == 0
    logged_failures.clear()


def test_the_proxys_tls_is_not_the_servers(certificate_zoo: CertificateZoo, kind: str) -> None:
    """A session in clear is not secure behind an HTTPS proxy, and nothing is bound to its TLS."""
    town = Town(kind, certificate_zoo)
    connection = town.network.result_of(town.connect(ignore_tls=True), within=5)
    assert not connection.secure
    assert not ISSLTransport.providedBy(connection.transport)
    assert channel_bindings(connection.transport, server=False) == {}
    connection.close()
    town.network.settle()


def test_a_login_is_bound_to_the_servers_tls(certificate_zoo: CertificateZoo, kind: str) -> None:
    """`tls-server-end-point` is the hash of the server's certificate, and not of the proxy's."""
    town = Town(kind, certificate_zoo, at_proxy="server-rsa")
    connection = town.network.result_of(town.connect(require_tls=True), within=5)
    (server,) = [
        link.server for link in town.network.links if link.client is not connection.transport
    ][-1:]
    theirs = channel_bindings(server, server=True)
    assert channel_bindings(connection.transport, server=False) == theirs
    assert theirs
    connection.close()
    town.network.settle()


@pytest.mark.parametrize("pool", [None, True], ids=["single", "pool"])
def test_a_transport_goes_the_same_way(
    certificate_zoo: CertificateZoo, kind: str, pool: bool | None
) -> None:
    """Sending and `verify` alike; the server is reached by the proxy alone."""
    town = Town(kind, certificate_zoo)
    transport = SMTPTransport(
        town.network.clock, endpoint=town.way, host=HOST, tls=town.tls, require_tls=True, pool=pool
    )
    assert town.network.result_of(transport.verify(), within=5)
    assert town.network.result_of(transport.send(ENVELOPE, b"Subject: x\r\n\r\n"), within=5)
    town.network.result_of(transport.close(), within=30)
    assert len(town.gate.asked) == 2
    assert town.gate.open == 0


@pytest.mark.parametrize("implicit", [False, True], ids=["clear", "TLS"])
def test_a_server_that_does_not_read_stops_the_source(
    certificate_zoo: CertificateZoo, kind: str, implicit: bool
) -> None:
    """Back-pressure goes all the way: through our TLS, the tunnel and the proxy's TLS."""
    town = Town(kind, certificate_zoo)
    secured = (start_tls(certificate_zoo.server_options()),) if implicit else ()
    peer = ScriptedPeer(
        *secured,
        *greeted(),
        expect("MAIL FROM:<a@example.org>"),
        send("250 ok"),
        expect("RCPT TO:<b@example.net>"),
        send("250 ok"),
        expect("DATA"),
        send("354 go"),
        stop_reading(),
        pause(60),
    )
    town.network.serve(peer, name="slow")
    town.gate.dial = lambda factory: town.network.connect(factory, "slow")
    connection = town.network.result_of(
        town.connect(secure=implicit, ignore_tls=not implicit), within=5
    )
    pulled = 0

    def pieces() -> Iterator[bytes]:
        nonlocal pulled
        for _ in range(1000):
            pulled += 1
            yield b"0123456789abcd\r\n" * 4096

    sending = connection.send(ENVELOPE, pieces())
    town.network.advance(5)
    stopped = pulled
    assert 2 < stopped < 40
    town.network.advance(5)
    assert pulled == stopped
    connection.close()
    town.network.settle()
    assert isinstance(failure_result_of(sending), ConnectionLostError)
    assert town.gate.open == 0


def test_a_proxy_whose_tls_breaks_is_eproxy(
    certificate_zoo: CertificateZoo, kind: str, logged_failures: list[object]
) -> None:
    """In the middle of a session; it is not the server's TLS that failed, and not ESOCKET."""
    if kind != "https":
        return
    town = Town(kind, certificate_zoo)
    connection = town.network.result_of(town.connect(require_tls=True), within=5)
    sending = connection.noop()
    PlainTransport.write(town.network.links[0].server, b"this is no record\r\n" * 3)
    town.network.advance(1)
    assert isinstance(failure_result_of(sending), ProxyError)
    assert isinstance(failure_result_of(connection.when_closed()), ProxyError)
    town.network.advance(10)
    assert town.gate.open == 0
    logged_failures.clear()
