"""A TCP transport in memory, as a protocol sees it: buffers, producers, closing, and real TLS.

`MemoryTransport` behaves like the transports of Twisted's reactors where a protocol could tell the
difference: the same high-water mark, the same order of `loseConnection` and buffered octets,
`connectionLost` never from within a call, `ISSLTransport` from `startTLS` on, `handshakeCompleted`
when a handshake is done. TLS goes through OpenSSL, so certificates verify, or do not. All of its
delayed calls are on the clock it was given.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import (
    IConsumer,
    IDelayedCall,
    IHalfCloseableProtocol,
    IProtocol,
    IPullProducer,
    IPushProducer,
    IReactorTime,
    ISSLTransport,
    ITLSTransport,
)
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import alsoProvides, implementer

from txsmtpconn.testing.stream import Stream

#: A producer is paused when more than this waits to be sent (`FileDescriptor.bufferSize`).
HIGH_WATER = 65536


class PlainTransport:
    """The transport without TLS: what lies beneath it once TLS has been started.

    Attributes:
        reading: whether the protocol takes octets now.
        most_buffered: the most octets that ever waited here for room in the stream.
    """

    protocol: Any

    def __init__(
        self,
        clock: IReactorTime,
        outgoing: Stream,
        incoming: Stream,
        *,
        host: IPv4Address,
        peer: IPv4Address,
    ) -> None:
        self.outgoing = outgoing
        self.incoming = incoming
        self.connected = True
        self.disconnecting = False
        self.disconnected = False
        self.reading = True
        self.producer: Any = None
        self.streamingProducer = False
        self.producerPaused = False
        self.most_buffered = 0
        self._clock = clock
        self._host = host
        self._peer = peer
        self._unsent = bytearray()
        self._flush_call: IDelayedCall | None = None
        self._aborting = False
        self._closing_write = False
        self._finished = False
        self._no_delay = False
        self._keep_alive = False

    # -- ITransport and ITCPTransport

    def write(self, data: bytes) -> None:
        """Buffer octets; they leave in the next turn of the clock."""
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"only octets can be written, not {type(data).__name__}")
        if not self.connected or self._aborting or self._closing_write or not data:
            return
        self._unsent += data
        self.most_buffered = max(self.most_buffered, len(self._unsent))
        self._pause_producer()
        self._schedule_flush()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Buffer several pieces as one."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """Stop reading, send what is buffered, and close."""
        if self.connected and not self.disconnecting:
            self.disconnecting = True
            self.reading = False
            self._schedule_flush()

    def loseWriteConnection(self) -> None:
        """Send what is buffered and close this direction; the other one stays open."""
        self._closing_write = True
        self._schedule_flush()

    def abortConnection(self) -> None:
        """Drop what is buffered and close at once; the peer sees a reset."""
        if self.disconnected or self._aborting:
            return
        self._aborting = True
        self.disconnecting = True
        self.reading = False
        self._unsent.clear()
        self.outgoing.reset()
        self._clock.callLater(0, self.lose, Failure(ConnectionAborted()))

    def getPeer(self) -> IPv4Address:
        """Return the address of the other side."""
        return self._peer

    def getHost(self) -> IPv4Address:
        """Return the address of this side."""
        return self._host

    def getTcpNoDelay(self) -> bool:
        """Return what `setTcpNoDelay` was given."""
        return self._no_delay

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Take note of the option."""
        self._no_delay = bool(enabled)

    def getTcpKeepAlive(self) -> bool:
        """Return what `setTcpKeepAlive` was given."""
        return self._keep_alive

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Take note of the option."""
        self._keep_alive = bool(enabled)

    # -- IConsumer: who writes

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Let a producer write: paused above the high-water mark, resumed when all has left."""
        if self.producer is not None:
            raise RuntimeError(f"{self.producer!r} is registered already, {producer!r} cannot be")
        if self.disconnected:
            producer.stopProducing()
            return
        self.producer = producer
        self.streamingProducer = streaming
        if not streaming:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """Forget the producer; a `loseConnection` that waited for it goes on."""
        self.producer = None
        if self.connected and self.disconnecting:
            self._schedule_flush()

    # -- IPushProducer: what the protocol reads

    def pauseProducing(self) -> None:
        """Read nothing; when the stream is full, the peer cannot send more."""
        self.reading = False

    def resumeProducing(self) -> None:
        """Read again."""
        if self.connected and not self.disconnecting:
            self.reading = True
            self.incoming.wake()

    def stopProducing(self) -> None:
        """Close."""
        self.loseConnection()

    # -- what the streams do with it

    def room_made(self) -> None:
        """The outgoing stream has room again."""
        if self.connected and not self._aborting and self._unsent:
            self._schedule_flush()

    def end_of_stream(self) -> None:
        """The peer has closed its direction; most protocols take that for the end."""
        if IHalfCloseableProtocol.providedBy(self.protocol):
            self.protocol.readConnectionLost()
        else:
            self._finish()
            self.lose(Failure(ConnectionDone()))

    def lose(self, reason: Failure) -> None:
        """End this side, once; its protocol is told why."""
        if self.disconnected:
            return
        self.disconnected = True
        self.connected = False
        self.reading = False
        self._unsent.clear()
        if self._flush_call is not None:
            self._flush_call.cancel()
            self._flush_call = None
        self.incoming.abandon()
        producer, self.producer = self.producer, None
        if producer is not None:
            producer.stopProducing()
        # As a reactor's transport does, so that nobody relies on what is gone by then.
        protocol = self.protocol
        del self.protocol
        protocol.connectionLost(reason)

    def _pause_producer(self) -> None:
        if self.producer is None or not self.streamingProducer or self.producerPaused:
            return
        if len(self._unsent) > HIGH_WATER:
            self.producerPaused = True
            self.producer.pauseProducing()

    def _schedule_flush(self) -> None:
        if self._flush_call is None:
            self._flush_call = self._clock.callLater(0, self._flush)

    def _flush(self) -> None:
        self._flush_call = None
        size = min(len(self._unsent), self.outgoing.room)
        if size:
            self.outgoing.push(bytes(self._unsent[:size]))
            del self._unsent[:size]
        if self._unsent:
            return
        if self.producer is not None and (not self.streamingProducer or self.producerPaused):
            self.producerPaused = False
            self.producer.resumeProducing()
        elif self.disconnecting or self._closing_write:
            self._finish()
            if self.disconnecting:
                self.lose(Failure(ConnectionDone()))

    def _finish(self) -> None:
        if not self._finished:
            self._finished = True
            self.outgoing.finish()


@implementer(ITLSTransport, IConsumer, IPushProducer)
class MemoryTransport(PlainTransport):
    """One side of a connection in memory. `link.client` and `link.server` are two of these.

    It has no `getHandle` until TLS is started, as it has no socket.
    """

    TLS = False

    def __init__(self, *args: Any, is_client: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._is_client = is_client
        self._pulled: _PulledByClock | None = None

    def startTLS(self, contextFactory: Any, normal: bool = True) -> None:
        """Put TLS under the protocol; `normal`: the side that connected is the TLS client."""
        producer, streaming = self.producer, self.streamingProducer
        if producer is not None:
            self.unregisterProducer()
        factory = TLSMemoryBIOFactory(
            contextFactory,
            self._is_client == normal,
            cast(Any, None),  # its only protocol is there already
            clock=self._clock,
        )
        tls = cast(Any, factory.protocol)(factory, self.protocol, False)
        self.protocol = tls
        self.TLS = True
        self.__dict__.update(getHandle=tls.getHandle, getPeerCertificate=tls.getPeerCertificate)
        alsoProvides(self, ISSLTransport)
        tls.makeConnection(_BeneathTLS(self))
        if producer is not None:
            self.registerProducer(producer, streaming)

    def write(self, data: bytes) -> None:
        """Buffer octets, through TLS where it was started."""
        if not self.TLS:
            super().write(data)
        elif self.connected:
            self.protocol.write(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Buffer several pieces as one."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """Send what is buffered and close; with TLS, its closure alert is exchanged first."""
        if not self.TLS:
            super().loseConnection()
        elif self.connected and not self.disconnecting:
            self.protocol.loseConnection()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Let a producer write; with TLS, what TLS holds back counts too."""
        if not self.TLS:
            super().registerProducer(producer, streaming)
        elif streaming:
            self.protocol.registerProducer(producer, True)
        else:
            # TLS would pull by the cooperator of the global reactor, which has another clock.
            self._pulled = _PulledByClock(producer, self._clock)
            self.protocol.registerProducer(self._pulled, True)
            self._pulled.resumeProducing()

    def unregisterProducer(self) -> None:
        """Forget the producer."""
        if not self.TLS:
            super().unregisterProducer()
            return
        if self._pulled is not None:
            self._pulled.pauseProducing()
            self._pulled = None
        self.protocol.unregisterProducer()


class _BeneathTLS:
    """What TLS writes to: the same transport without TLS. Anything else is the transport's own."""

    def __init__(self, transport: MemoryTransport) -> None:
        self._transport = transport

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        PlainTransport.write(self._transport, data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        PlainTransport.write(self._transport, b"".join(data))

    def loseConnection(self) -> None:
        PlainTransport.loseConnection(self._transport)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        PlainTransport.registerProducer(self._transport, producer, streaming)

    def unregisterProducer(self) -> None:
        PlainTransport.unregisterProducer(self._transport)


@implementer(IPushProducer)
class _PulledByClock:
    """A pull producer that is pulled once in each turn of a clock, until it is paused."""

    def __init__(self, producer: IPullProducer, clock: IReactorTime) -> None:
        self._producer = producer
        self._clock = clock
        self._pull_call: IDelayedCall | None = None

    def resumeProducing(self) -> None:
        if self._pull_call is None:
            self._pull_call = self._clock.callLater(0, self._pull)

    def pauseProducing(self) -> None:
        if self._pull_call is not None:
            self._pull_call.cancel()
            self._pull_call = None

    def stopProducing(self) -> None:
        self.pauseProducing()
        self._producer.stopProducing()

    def _pull(self) -> None:
        self._pull_call = self._clock.callLater(0, self._pull)
        self._producer.resumeProducing()


def connect_protocol(protocol: IProtocol, transport: MemoryTransport) -> None:
    """Join a protocol and its transport, as a reactor does."""
    transport.protocol = protocol
    protocol.makeConnection(transport)
