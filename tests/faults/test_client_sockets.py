"""The client on real sockets: refusals, resets, servers that do not read, big messages."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError
from twisted.internet.endpoints import TCP4ServerEndpoint, UNIXServerEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater

from tests.collector import TLS_ENDS, without_collector
from txsmtpconn import (
    ConnectionLostError,
    DeadlineError,
    Delivery,
    DNSError,
    Envelope,
    MessageError,
    ServerOptions,
    SMTPConnection,
    SMTPError,
    SMTPServerFactory,
    SocketError,
    TLSError,
    TLSOptions,
    connect,
)
from txsmtpconn.testing import CertificateZoo, ScriptedPeer
from txsmtpconn.testing.fixtures import certificate_zoo
from txsmtpconn.testing.script import (
    Step,
    close,
    expect,
    expect_close,
    expect_data,
    expect_octets,
    pause,
    reset,
    send,
    start_tls,
    stop_reading,
)

__all__ = ["certificate_zoo"]

HOST = "127.0.0.1"
ENVELOPE = Envelope("a@a.test", ["u@a.test"])
BODY = b"Subject: x\r\n\r\nbody\r\n"

READY = (
    send("220 mx.test ESMTP"),
    expect("EHLO client.test"),
    send("250-mx.test", "250 PIPELINING"),
)
STARTTLS = (send("250-mx.test", "250 STARTTLS"), expect("STARTTLS"), send("220 go"))
FLIGHT = expect("MAIL FROM:<a@a.test>", "RCPT TO:<u@a.test>", "DATA")
GO_AHEAD = send("250 ok", "250 ok", "354 go")
DELIVERY = (FLIGHT, GO_AHEAD, expect_data(), send("250 taken"))


@pytest.fixture(autouse=True)
def closing_time(clean_reactor: None) -> Iterator[None]:
    """Let the reactor turn after a test until closed sockets are closed."""
    yield
    from twisted.internet import reactor

    end = time.monotonic() + 2
    pytest_twisted.blockon(deferLater(reactor, 0))
    while reactor.getDelayedCalls() and time.monotonic() < end:
        pytest_twisted.blockon(deferLater(reactor, 0.005))


class Peers(Factory):
    """Serves one connection with each of its peers."""

    noisy = False

    def __init__(self, peers: list[ScriptedPeer]) -> None:
        self._peers = peers

    def buildProtocol(self, addr: object) -> ScriptedPeer | None:
        return self._peers.pop(0) if self._peers else None


@asynccontextmanager
async def serving(*scripts: tuple[Step, ...], path: Path | None = None) -> AsyncIterator[Any]:
    """Serve scripts on a port of loopback or on a unix socket; give where, and the peers."""
    from twisted.internet import reactor

    peers = [ScriptedPeer(*steps, clock=reactor) for steps in scripts]
    endpoint: Any
    if path is None:
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
    else:
        endpoint = UNIXServerEndpoint(reactor, str(path))
    port = await endpoint.listen(Peers(list(peers)))
    try:
        yield (path or port.getHost().port), peers
    finally:
        await port.stopListening()
        for peer in peers:
            if peer.lost is None and peer.transport is not None:
                peer.transport.abortConnection()


@asynccontextmanager
async def connected(where: Any, **options: Any) -> AsyncIterator[SMTPConnection]:
    """Connect; close in any case."""
    from twisted.internet import reactor

    road = {"path": str(where)} if isinstance(where, Path) else {"port": where}
    options = {"host": "localhost", "name": "client.test", **road, **options}
    connection = await connect(reactor, **options)
    try:
        yield connection
    finally:
        connection.close()


def unused_port() -> int:
    """Find a port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_a_refused_connection() -> None:
    """ESOCKET, NOT_SENT, worth another try."""
    with pytest.raises(SocketError) as caught:
        async with connected(unused_port()):
            pass
    assert caught.value.code == "ESOCKET"
    assert caught.value.is_transient
    assert caught.value.delivery is Delivery.NOT_SENT


async def test_a_unix_socket_that_is_not_there(tmp_path: Path) -> None:
    """The same by path."""
    with pytest.raises(SocketError):
        async with connected(tmp_path / "nobody"):
            pass


async def test_a_name_that_is_none() -> None:
    """EDNS, for a name under .invalid (RFC 6761)."""
    with pytest.raises(SMTPError) as caught:
        async with connected(unused_port(), host="mx.invalid", dns_timeout=5):
            pass
    assert isinstance(caught.value, DNSError)
    assert caught.value.is_transient


async def test_delivery_over_a_unix_socket(tmp_path: Path) -> None:
    """The same conversation as over TCP."""
    async with serving((*READY, *DELIVERY), path=tmp_path / "s") as (where, peers):
        async with connected(where) as connection:
            assert (await connection.send(ENVELOPE, BODY)).accepted == ["u@a.test"]
        peers[0].check()


@pytest.mark.parametrize("end", [close(), reset()], ids=["fin", "rst"])
@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
@pytest.mark.parametrize(
    ("steps", "delivery"),
    [
        ((), Delivery.NOT_SENT),
        ((FLIGHT,), Delivery.NOT_SENT),
        ((FLIGHT, send(b"250 ok\r\n25")), Delivery.NOT_SENT),
        ((FLIGHT, GO_AHEAD, expect_octets(4)), Delivery.IN_DOUBT),
        ((FLIGHT, GO_AHEAD, expect_data()), Delivery.IN_DOUBT),
        ((FLIGHT, GO_AHEAD, expect_data(), send(b"250 take")), Delivery.IN_DOUBT),
    ],
    ids=["ready", "envelope", "half a reply", "mail data", "end of data", "half the answer"],
)
async def test_a_server_that_goes_away(
    certificate_zoo: Any, steps: tuple[Step, ...], delivery: Delivery, tls: bool, end: Step
) -> None:
    """FIN or RST at each stage: ECONNECTION, and the truth about the message."""
    opening = (start_tls(certificate_zoo.server_options()),) if tls else ()
    script = (*opening, *READY, *steps, pause(0.05), end)
    async with serving(script) as (where, _):
        trust = TLSOptions(ca_file=certificate_zoo.ca)
        async with connected(where, secure=tls, tls=trust) as connection:
            with pytest.raises(ConnectionLostError) as caught:
                await connection.send(ENVELOPE, BODY)
            assert caught.value.delivery is delivery
            with pytest.raises(ConnectionLostError):
                await connection.when_closed()


@pytest.mark.parametrize(
    "name",
    ["wronghost", "expired", "notyet", "selfsigned", "otherissuer", "cnonly", "nosan-evil"],
)
@pytest.mark.parametrize("implicit", [True, False])
async def test_a_bad_certificate(
    certificate_zoo: Any, logged_failures: list[object], name: str, implicit: bool
) -> None:
    """ETLS, and not one octet of ours behind the handshake."""
    shaking = (start_tls(certificate_zoo.server_options(name)), expect_close())
    if not implicit:
        shaking = (
            send("220 mx.test ESMTP"),
            expect("EHLO client.test"),
            send("250-mx.test", "250 STARTTLS"),
            expect("STARTTLS"),
            send("220 go"),
            *shaking,
        )
    trust = TLSOptions(ca_file=certificate_zoo.ca)
    async with serving(shaking) as (where, peers):
        with pytest.raises(TLSError):
            async with connected(where, secure=implicit, tls=trust):
                pass
    peers[0].raise_failure()
    # Twisted logs that a certificate names nobody; the refusal is ours.
    logged_failures.clear()


async def test_a_server_that_does_not_read(certificate_zoo: Any) -> None:
    """A body that cannot leave: DeadlineError after `block_timeout`, in bounded memory."""
    taken = 0

    def source() -> Iterator[bytes]:
        nonlocal taken
        for _ in range(1000):
            taken += 64 * 1024
            yield b"x" * 1022 * 64 + b"\r\n" * 64

    script = (*READY, FLIGHT, GO_AHEAD, stop_reading(), pause(30))
    async with serving(script) as (where, _), connected(where, block_timeout=0.5) as connection:
        with pytest.raises(DeadlineError) as caught:
            await connection.send(ENVELOPE, source())
    assert caught.value.delivery is Delivery.NOT_SENT
    assert taken < 16 * 1024 * 1024


async def test_an_early_refusal_is_the_error() -> None:
    """552 in the middle of a body, and then the server reads no more: 552 is what is told."""
    script = (*READY, FLIGHT, GO_AHEAD, expect_octets(20_000), stop_reading(), send("552 enough"))

    def source() -> Iterator[bytes]:
        for _ in range(500):
            yield b"y" * 998 + b"\r\n"

    async with serving((*script, pause(10))) as (where, _), connected(where) as connection:
        with pytest.raises(MessageError) as caught:
            await connection.send(ENVELOPE, source())
    assert caught.value.response_code == 552
    assert caught.value.delivery is Delivery.REJECTED


async def test_a_greeting_that_never_comes() -> None:
    """DeadlineError after `greeting_timeout`."""
    async with serving((pause(30),)) as (where, _):
        with pytest.raises(DeadlineError) as caught:
            async with connected(where, greeting_timeout=0.2):
                pass
    assert caught.value.delivery is Delivery.NOT_SENT


async def test_cancelling_a_connect_and_a_send() -> None:
    """Both end at once, as CancelledError, and leave nothing."""
    from twisted.internet import reactor

    async with serving((pause(30),), (*READY, FLIGHT, pause(30))) as (where, _):
        connecting = connect(reactor, host="localhost", port=where)
        reactor.callLater(0.1, connecting.cancel)
        with pytest.raises(CancelledError):
            await connecting
        async with connected(where) as connection:
            sending = connection.send(ENVELOPE, BODY)
            reactor.callLater(0.1, sending.cancel)
            with pytest.raises(CancelledError) as caught:
                await sending
            assert isinstance(caught.value, SMTPError)
            assert caught.value.delivery is Delivery.NOT_SENT
            await deferLater(reactor, 0)


@pytest.mark.parametrize("chunking", ["off", "always"])
async def test_a_big_stream_in_constant_memory(chunking: str) -> None:
    """128 MiB through our client and our server, in a few megabytes."""
    from twisted.internet import reactor

    class Counting:
        def __init__(self) -> None:
            self.octets = 0

        def on_data(self, session: object, envelope: object) -> Counting:
            return self

        def write(self, data: bytes) -> None:
            self.octets += len(data)

        def finish(self) -> None:
            pass

        def abort(self, reason: Exception) -> None:
            raise reason

    size = 128 * 1024 * 1024
    chunk = (b"z" * 62 + b"\r\n") * 1024
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    counting = Counting()
    factory = SMTPServerFactory(reactor, counting, ServerOptions(name="mx.test", max_size=None))
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    try:
        async with connected(port.getHost().port, chunking=chunking) as connection:
            chunks = (chunk for _ in range(size // len(chunk)))
            result = await connection.send(ENVELOPE, chunks)
            await connection.quit()
    finally:
        await port.stopListening()
        await factory.drain(1)
    assert result.accepted == ["u@a.test"]
    assert counting.octets == size
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 16 * 1024, f"{grown} KiB more than before"


async def _delivered(connection: SMTPConnection) -> None:
    await connection.send(ENVELOPE, BODY)
    await connection.quit()


async def _lost(connection: SMTPConnection) -> None:
    sending = connection.send(ENVELOPE, BODY)
    sending.addErrback(lambda failure: failure.trap(ConnectionLostError) and None)
    await sending


async def _dropped(connection: SMTPConnection) -> None:
    connection.close()


#: How a connection that was ready ends: what the peer does, and what its user does.
ENDS = {
    "quit": ((*READY, *DELIVERY, expect("QUIT"), send("221 bye"), expect_close()), _delivered),
    "lost": ((*READY, FLIGHT, close()), _lost),
    "closed": ((*READY, expect_close()), _dropped),
}


#: What hangs on cycles of Twisted's that nobody else can cut: those of a transport that was never
#: connected, and of the failure that stands for TLS without a goodbye. No session, no message and
#: no connection of ours is among it.
SHELLS = {
    "twisted.internet.tcp.Client",
    "twisted.internet.tcp.Connector",
    "txsmtpconn.client.connecting._Dialled",
    "txsmtpconn.client.options.ConnectionOptions",
    "txsmtpconn.client.waiters.Waiters",
    "txsmtpconn.net.tls.Guarded",
    "txsmtpconn.net.tls.TLSOptions",
    "txsmtpconn.net.tls._ClientConnections",
    "txsmtpconn.session.client.policy.Timeouts",
    "txsmtpconn.session.client.terms.Terms",
}


@pytest.mark.parametrize("way", ["clear", "starttls", "implicit"])
@pytest.mark.parametrize("end", ENDS)
@pytest_twisted.ensureDeferred
async def test_nothing_of_a_finished_connection_is_left_to_the_collector_of_cycles(
    certificate_zoo: CertificateZoo, way: str, end: str
) -> None:
    """Its search would cost more than the end of a connection that carried one message."""
    from twisted.internet import reactor

    script, use = ENDS[end]
    options = {"tls": TLSOptions(ca_file=certificate_zoo.ca), "secure": way == "implicit"}
    handshake = start_tls(certificate_zoo.server_options())
    if way == "starttls":
        script = (*READY[:2], *STARTTLS, handshake, *script[1:])
    elif way == "implicit":
        script = (handshake, *script)
    if way != "clear" and not TLS_ENDS:
        pytest.skip("this Twisted leaves every TLS transport to the collector")
    shells = SHELLS if end == "closed" and way != "clear" else ()
    async with serving(script) as (port, _), without_collector(but=shells):
        connection = await connect(reactor, host=HOST, port=port, name="client.test", **options)
        assert connection.secure is (way != "clear")
        gone = connection.when_closed().addErrback(lambda _: None)
        await use(connection)
        del connection
        await gone


#: What the peer does to one that never gets ready, and what becomes of it.
FAILURES = {
    "refused": ((send("554 no"), expect_close()), {}, SMTPError),
    "closed": ((close(),), {}, ConnectionLostError),
    "reset": ((reset(),), {}, SMTPError),
    "silent": ((expect_close(),), {"greeting_timeout": 0.05}, DeadlineError),
    "no TLS": ((*READY[:2], send("250 mx.test"), expect_close()), {"require_tls": True}, SMTPError),
    "wrong certificate": (
        (*READY[:2], *STARTTLS, start_tls, expect_close()),
        {"servername": "other.test"},
        TLSError,
    ),
    "implicit TLS": ((start_tls, expect_close()), {"secure": True, "tls": TLSOptions()}, TLSError),
    "no handshake": ((close(),), {"secure": True}, SMTPError),
}


@pytest.mark.parametrize("name", [*FAILURES, "nobody"])
@pytest_twisted.ensureDeferred
async def test_nothing_of_a_failed_connection_is_left_to_the_collector_of_cycles(
    certificate_zoo: CertificateZoo, name: str
) -> None:
    """Nor of one that never came to be: who tries again for ever would fill the memory between."""
    from twisted.internet import reactor

    script, options, error = FAILURES.get(name, ((), {}, SocketError))
    handshake = start_tls(certificate_zoo.server_options())
    steps = tuple(handshake if step is start_tls else step for step in script)
    options = {"tls": TLSOptions(ca_file=certificate_zoo.ca), **options}
    if start_tls in script and not TLS_ENDS:
        pytest.skip("this Twisted leaves every TLS transport to the collector")
    shells = SHELLS if name in ("wrong certificate", "no handshake", "nobody") else ()
    async with serving(steps) as (port, _), without_collector(but=shells):
        if name == "nobody":
            port = unused_port()
        failed: list[type] = []
        connecting = connect(reactor, host=HOST, port=port, name="client.test", **options)
        await connecting.addErrback(lambda failure: failed.append(type(failure.value)))
        del connecting
        assert issubclass(*failed, error)
