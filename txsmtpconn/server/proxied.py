"""Clients behind a load balancer: the PROXY header first, and only from those who may send it.

A connection from a trusted network says who its client is before anything else, or is closed: it is
never taken for the client's own, so nobody gets the load balancer's rights by leaving the header
out. A connection from elsewhere has no header to send, and one that sends it all the same talks
before it is greeted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from txsmtpconn.net.addresses import UnknownAddress, ip_address
from txsmtpconn.wire.errors import RemoteProtocolError
from txsmtpconn.wire.proxy_header import ProxyHeader, ProxyHeaderReader

if TYPE_CHECKING:
    from txsmtpconn.server.factory import SMTPServerFactory

#: Seconds for the header; a load balancer has it ready before it connects.
HEADER_DEADLINE = 5.0


class ProxyDoor(Protocol):
    """Reads the header, and then gives the connection to the protocol of the client it names.

    Args:
        factory: Makes that protocol, and counts this one until then.
    """

    _log = Logger()

    def __init__(self, factory: SMTPServerFactory) -> None:
        self.factory: SMTPServerFactory = factory
        self._reader = ProxyHeaderReader()
        self._deadline = factory.clock.callLater(HEADER_DEADLINE, self._too_late)

    @property
    def _transport(self) -> Any:
        return self.transport

    def connectionMade(self) -> None:
        """Wait for the header."""
        self.factory.door_opened(self)

    def dataReceived(self, data: bytes) -> None:
        """Read the header; what stands behind it is the client's."""
        try:
            header = self._reader.feed(data)
        except RemoteProtocolError as error:
            self._refuse(str(error))
            return
        if header is not None:
            self._hand_over(header)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Let go: the load balancer has changed its mind."""
        self._let_go()

    def abort(self) -> None:
        """Close the connection: there is nobody yet to say anything to."""
        self._transport.abortConnection()

    def _let_go(self) -> None:
        if self._deadline.active():
            self._deadline.cancel()
        self.factory.door_closed(self)

    def _too_late(self) -> None:
        self._refuse("it did not come in time")

    def _refuse(self, reason: str) -> None:
        self._log.warn(
            "a connection from {peer} has no PROXY header: {reason}",
            peer=self._transport.getPeer(),
            reason=reason,
        )
        self.abort()

    def _hand_over(self, header: ProxyHeader) -> None:
        transport = self._transport
        peer, host = transport.getPeer(), transport.getHost()
        if not header.local:
            peer = UnknownAddress() if header.source is None else ip_address(*header.source)
            if header.destination is not None:
                host = ip_address(*header.destination)
        self._let_go()
        protocol = self.factory.protocol_for(peer, host)
        if protocol is None:
            self.abort()
            return
        transport.protocol = protocol
        protocol.makeConnection(transport)  # type: ignore[no-untyped-call]
        if self._reader.remainder:
            # Where TLS comes first it stands in between by now, and takes this.
            transport.protocol.dataReceived(self._reader.remainder)
