"""A tunnel as a transport: whatever leads to the proxy, and TLS of our own on top of it.

Twisted's `startTLS` puts TLS next to the socket. Where the way to the proxy is under TLS already,
that would be beneath the proxy's TLS and not above it. So a tunnel brings its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from twisted.internet.interfaces import (
    IConsumer,
    IPushProducer,
    IReactorTime,
    ISSLTransport,
    ITLSTransport,
)
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import alsoProvides, implementer

from txsmtpconn.errors import ProxyError


@implementer(ITLSTransport, IConsumer, IPushProducer)
class Tunnel:
    """The transport of a protocol that talks to a server by way of a proxy.

    It gives out nothing of the proxy's TLS: no certificate, and no handle that an authentication
    could be bound to. It has those of its own TLS once that is started.

    Args:
        beneath: The transport to the proxy.
        clock: Where the time comes from.
    """

    def __init__(self, beneath: Any, clock: IReactorTime) -> None:
        self._beneath = beneath
        self._clock = clock
        # Where octets are written to: what lies beneath, or the TLS on top of it.
        self._way_out = beneath
        self._protocol: Any = None
        self._producer: Any = None
        self._streaming = False
        self._reading = True
        self._unread = b""

    # -- the side of the proxy

    def connect(self, protocol: Any) -> None:
        """Join the protocol that is to talk to the server."""
        self._protocol = protocol
        protocol.makeConnection(self)

    def deliver(self, octets: bytes) -> None:
        """Hand on what came from the server, when the protocol reads."""
        if not self._reading:
            self._unread += octets
        elif octets and self._protocol is not None:
            self._protocol.dataReceived(octets)

    def lost(self, reason: Failure) -> None:
        """Tell the protocol that the tunnel is gone."""
        protocol, self._protocol = self._protocol, None
        self._producer = None
        self._unread = b""
        if protocol is None:
            return
        if protocol is self._way_out and reason.check(ProxyError):
            # Our TLS would only say that it was cut off.
            protocol.failVerification(reason)
        protocol.connectionLost(reason)

    # -- ITLSTransport

    def startTLS(self, contextFactory: Any, normal: bool = True) -> None:
        """Put TLS between this transport and its protocol; `normal`: we are its client."""
        producer, streaming = self._producer, self._streaming
        if producer is not None:
            self.unregisterProducer()
        factory = TLSMemoryBIOFactory(
            contextFactory,
            normal,
            cast(Any, None),  # its only protocol is there already
            clock=self._clock,
        )
        tls = cast(Any, factory.protocol)(factory, self._protocol, False)
        self._protocol = self._way_out = tls
        self.__dict__.update(getHandle=tls.getHandle, getPeerCertificate=tls.getPeerCertificate)
        alsoProvides(self, ISSLTransport)
        tls.makeConnection(self._beneath)
        if producer is not None:
            self.registerProducer(producer, streaming)

    # -- ITransport

    @property
    def disconnecting(self) -> bool:
        """Whether the protocol has asked for the end."""
        return bool(getattr(self._way_out, "disconnecting", False))

    def write(self, data: bytes) -> None:
        """Send octets to the server."""
        self._way_out.write(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Send several pieces as one."""
        self._way_out.write(b"".join(data))

    def loseConnection(self) -> None:
        """Send what is buffered, and close."""
        self._way_out.loseConnection()

    def abortConnection(self) -> None:
        """Drop what is buffered, and close at once."""
        self._unread = b""
        if self._protocol is not None:
            self._way_out.abortConnection()

    def loseWriteConnection(self) -> None:
        """Close: proxies do not agree on what half of a tunnel is."""
        self.loseConnection()

    def getPeer(self) -> Any:
        """Return the address of the proxy; that of the server only the proxy knows."""
        return self._beneath.getPeer()

    def getHost(self) -> Any:
        """Return our own address."""
        return self._beneath.getHost()

    # -- ITCPTransport

    def getTcpNoDelay(self) -> bool:
        """Tell whether small segments leave at once."""
        return bool(self._beneath.getTcpNoDelay())

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Let small segments leave at once."""
        self._beneath.setTcpNoDelay(enabled)

    def getTcpKeepAlive(self) -> bool:
        """Tell whether the kernel looks after the peer."""
        return bool(self._beneath.getTcpKeepAlive())

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Let the kernel look after the peer."""
        self._beneath.setTcpKeepAlive(enabled)

    # -- IConsumer: who writes

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Let a producer write; it is paused when too much waits to be sent."""
        self._way_out.registerProducer(producer, streaming)
        self._producer, self._streaming = producer, streaming

    def unregisterProducer(self) -> None:
        """Forget the producer."""
        self._producer = None
        self._way_out.unregisterProducer()

    # -- IPushProducer: what the protocol reads

    def pauseProducing(self) -> None:
        """Read nothing."""
        self._reading = False
        self._beneath.pauseProducing()

    def resumeProducing(self) -> None:
        """Read again."""
        self._reading = True
        unread, self._unread = self._unread, b""
        self.deliver(unread)
        if self._reading:
            self._beneath.resumeProducing()

    def stopProducing(self) -> None:
        """Close."""
        self.loseConnection()
