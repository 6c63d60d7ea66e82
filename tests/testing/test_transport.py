"""The transport in memory does what a protocol may expect of one that has a socket."""

from __future__ import annotations

import pytest
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IHandshakeListener,
    ISSLTransport,
)
from twisted.internet.protocol import Protocol
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from txsmtpconn.testing import MemoryNetwork
from txsmtpconn.testing.stream import CAPACITY
from txsmtpconn.testing.transport import HIGH_WATER


@implementer(IHandshakeListener)
class Recorder(Protocol):
    """Keeps what comes."""

    def __init__(self):
        self.data = bytearray()
        self.lost = None
        self.handshakes = 0

    def dataReceived(self, data):
        self.data += data

    def handshakeCompleted(self):
        self.handshakes += 1

    def connectionLost(self, reason):
        assert self.lost is None
        self.lost = reason


class Pusher:
    """A push producer of so many chunks, one in each turn of the clock while it is not paused."""

    def __init__(self, network, transport, chunk=10_000, chunks=100):
        self.network, self.transport, self.chunk, self.left = network, transport, chunk, chunks
        self.paused = False
        self.stopped = False
        self.pauses = 0

    def begin(self, streaming=True):
        self.transport.registerProducer(self, streaming)
        self.network.clock.callLater(0, self.turn)

    def turn(self):
        if self.left and not self.paused and not self.stopped:
            self.left -= 1
            self.transport.write(b"x" * self.chunk)
            self.network.clock.callLater(0, self.turn)

    def pauseProducing(self):
        self.paused = True
        self.pauses += 1

    def resumeProducing(self):
        self.paused = False
        self.network.clock.callLater(0, self.turn)

    def stopProducing(self):
        self.stopped = True


class Puller:
    """A pull producer of so many chunks."""

    def __init__(self, transport, chunks):
        self.transport, self.left = transport, chunks
        self.stopped = False

    def resumeProducing(self):
        if not self.left:
            self.transport.unregisterProducer()
            return
        self.left -= 1
        self.transport.write(b"y" * 1000)

    def stopProducing(self):
        self.stopped = True


def joined(**settings):
    """Join two recorders."""
    network = MemoryNetwork(**settings)
    client, server = Recorder(), Recorder()
    return network, network.join(client, server), client, server


def start_tls(network, link, zoo, name="server"):
    """Put TLS under both sides."""
    link.server.startTLS(zoo.server_options(name))
    link.client.startTLS(zoo.client_options("localhost"))
    network.settle()


@pytest.mark.parametrize("tls", [False, True])
def test_a_push_producer_is_paused_while_the_peer_does_not_read(tls, certificate_zoo):
    """Octets in memory stay bounded however long the peer does not read, and flow again after."""
    network, link, _, server = joined()
    if tls:
        start_tls(network, link, certificate_zoo)
    link.server.pauseProducing()
    pusher = Pusher(network, link.client)
    pusher.begin()
    network.settle()
    assert pusher.paused
    assert link.client.most_buffered <= HIGH_WATER + 2 * pusher.chunk
    assert link.to_server.largest <= CAPACITY
    assert pusher.left > 50
    link.server.resumeProducing()
    network.settle()
    assert len(server.data) == 100 * pusher.chunk
    assert pusher.pauses >= 1
    assert link.client.most_buffered <= HIGH_WATER + 2 * pusher.chunk


@pytest.mark.parametrize("tls", [False, True])
def test_a_pull_producer_is_pulled_by_the_clock(tls, certificate_zoo):
    """Chunk after chunk, to the end, also under TLS."""
    network, link, _, server = joined()
    if tls:
        start_tls(network, link, certificate_zoo)
    puller = Puller(link.client, 200)
    link.client.registerProducer(puller, False)
    network.settle()
    assert bytes(server.data) == b"y" * 200_000
    assert network.clock.getDelayedCalls() == []


@pytest.mark.parametrize("tls", [False, True])
def test_a_producer_is_stopped_when_the_connection_goes(tls, certificate_zoo):
    """stopProducing comes once, before connectionLost."""
    network, link, client, _ = joined()
    if tls:
        start_tls(network, link, certificate_zoo)
    link.server.pauseProducing()
    pusher = Pusher(network, link.client)
    pusher.begin()
    network.settle()
    link.reset()
    network.settle()
    assert pusher.stopped
    assert client.lost is not None


def test_a_second_producer_is_an_error_and_one_on_a_dead_transport_is_stopped():
    """The rules of IConsumer."""
    network, link, _, _ = joined()
    link.client.registerProducer(Pusher(network, link.client), True)
    with pytest.raises(RuntimeError):
        link.client.registerProducer(Pusher(network, link.client), True)
    link.client.unregisterProducer()
    link.reset()
    late = Pusher(network, link.client)
    link.client.registerProducer(late, True)
    assert late.stopped


@pytest.mark.parametrize("tls", [False, True])
def test_closing_sends_what_is_buffered_first(tls, certificate_zoo):
    """`write` and `loseConnection`: all arrives, then the end, in good order on both sides."""
    network, link, client, server = joined()
    if tls:
        start_tls(network, link, certificate_zoo)
    link.client.write(b"z" * 300_000)
    link.client.loseConnection()
    assert client.lost is None, "connectionLost from within a call"
    network.settle()
    assert len(server.data) == 300_000
    assert client.lost.check(ConnectionDone)
    assert server.lost.check(ConnectionDone)
    assert network.clock.getDelayedCalls() == []


def test_one_direction_can_be_closed():
    """What was written arrives, then the end; the other direction stays open for a while."""
    network, link, client, server = joined()
    link.to_server.latency = 1
    link.client.write(b"last words")
    link.client.loseWriteConnection()
    link.client.write(b"too late")
    network.settle()
    link.server.write(b"still open")
    network.settle()
    assert bytes(client.data) == b"still open"
    assert client.lost is None
    network.advance(1)
    assert bytes(server.data) == b"last words"
    assert server.lost.check(ConnectionDone)
    assert client.lost.check(ConnectionDone)


def test_a_half_closeable_protocol_hears_of_the_end_and_stays():
    """readConnectionLost, and octets may still be written."""

    @implementer(IHalfCloseableProtocol)
    class Half(Recorder):
        read_lost = False

        def readConnectionLost(self):
            self.read_lost = True

        def writeConnectionLost(self):
            pass

    network = MemoryNetwork()
    client, server = Recorder(), Half()
    link = network.join(client, server)
    link.client.loseWriteConnection()
    network.settle()
    assert server.read_lost
    link.server.write(b"answer")
    link.server.loseConnection()
    network.settle()
    assert bytes(client.data) == b"answer"
    assert server.lost.check(ConnectionDone)
    assert client.lost.check(ConnectionDone)
    assert network.clock.getDelayedCalls() == []


def test_a_transport_takes_octets_only():
    """Text is refused where it is written."""
    _, link, _, _ = joined()
    with pytest.raises(TypeError, match="octets"):
        link.client.write("text")


def test_tls_is_real(certificate_zoo):
    """Both sides hear of the handshake, the wire shows no plaintext, the certificate can be had."""
    network, link, client, server = joined()
    wire = bytearray()
    deliver = TLSMemoryBIOProtocol.dataReceived

    def tap(self, data):
        wire.extend(data)
        deliver(self, data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TLSMemoryBIOProtocol, "dataReceived", tap)
        start_tls(network, link, certificate_zoo)
        assert (client.handshakes, server.handshakes) == (1, 1)
        link.client.write(b"AUTH PLAIN secret")
        network.settle()
    assert bytes(server.data) == b"AUTH PLAIN secret"
    assert b"secret" not in wire
    assert ISSLTransport.providedBy(link.client)
    assert "localhost" in str(link.client.getPeerCertificate().to_cryptography().subject)


def test_a_handshake_with_a_bad_certificate_fails_on_both_sides(certificate_zoo):
    """An authority that the client does not know: no handshake, both connections lost."""
    network, link, client, server = joined()
    start_tls(network, link, certificate_zoo, "otherissuer")
    assert client.lost is not None
    assert server.lost is not None
    assert server.handshakes == 0


def test_tls_started_under_a_producer_keeps_it(certificate_zoo):
    """A producer registered in clear writes through TLS afterwards."""
    network, link, _, server = joined()
    puller = Puller(link.client, 0)
    link.client.registerProducer(puller, True)
    start_tls(network, link, certificate_zoo)
    link.client.write(b"still registered")
    with pytest.raises(RuntimeError):
        link.client.registerProducer(Puller(link.client, 1), True)
    network.settle()
    assert bytes(server.data) == b"still registered"


def test_socket_options_are_remembered():
    """What glue sets can be read back."""
    _, link, _, _ = joined()
    link.client.setTcpNoDelay(True)
    link.client.setTcpKeepAlive(True)
    assert link.client.getTcpNoDelay()
    assert link.client.getTcpKeepAlive()
    assert not link.server.getTcpNoDelay()
