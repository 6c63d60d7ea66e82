"""The connection to a proxy: TLS where the proxy wants it, the handshake, then the tunnel."""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.error import NoProtocol
from twisted.internet.interfaces import (
    IAddress,
    IHandshakeListener,
    IProtocolFactory,
    IReactorTime,
    ISSLTransport,
    ITLSTransport,
)
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from txsmtpconn.client.line import abort
from txsmtpconn.client.proxy.handshake import Handshake, broken
from txsmtpconn.client.proxy.tunnel import Tunnel
from txsmtpconn.errors import ProxyError, SMTPError
from txsmtpconn.net.tls import Guarded, TLSOptions


@implementer(IHandshakeListener)
class Negotiator(Protocol):
    """Has a proxy open a tunnel, and is then the tunnel's end on the proxy's side.

    Args:
        handshake: What to say.
        clock: Where the time comes from.
        tls: What to trust, where the proxy is spoken to under TLS; else None.
        name: The name in the proxy's certificate.
        target: Builds the protocol that will talk to the server.

    Attributes:
        opened: Fires with that protocol.  Cancelling it drops the connection.
    """

    _tunnel: Tunnel | None = None
    _handshaking = False
    _over = False

    def __init__(
        self,
        handshake: Handshake,
        clock: IReactorTime,
        *,
        tls: TLSOptions | None,
        name: str,
        target: IProtocolFactory,
    ) -> None:
        self._handshake = handshake
        self._clock = clock
        self._tls = tls
        self._name = name
        self._target = target
        self.opened: Deferred[Any] = Deferred(lambda _: self.give_up())

    def give_up(self) -> None:
        """Drop the connection that there is, or will be."""
        self._over = True
        abort(self.transport)

    # -- what the transport says

    def connectionMade(self) -> None:
        if self._over:
            self.give_up()
        elif self._tls is None:
            self._begin()
        else:
            self._start_tls(self._tls)

    def handshakeCompleted(self) -> None:
        if not self._handshaking or self._over:
            return
        self._handshaking = False
        assert self._tls is not None
        try:
            self._tls.check(self.transport, self._name)
        except SMTPError as reason:
            self._fail(_no_tls(reason.message, reason))
            return
        self._begin()

    def dataReceived(self, data: bytes) -> None:
        if self._tunnel is not None:
            self._tunnel.deliver(data)
        elif not self._over:
            self._listen(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        error = self._explained(reason.value)
        if self._tunnel is not None:
            self._tunnel.lost(reason if error is None else Failure(error))
        elif not self._over:
            self._fail(error or ProxyError("the proxy closed the connection", command="CONN"))

    # -- from connection to tunnel

    def _start_tls(self, tls: TLSOptions) -> None:
        transport: Any = self.transport
        if ISSLTransport.providedBy(transport) or not ITLSTransport.providedBy(transport):
            self._fail(_no_tls("the way to the proxy cannot start TLS"))
            return
        self._handshaking = True
        try:
            connections = Guarded(tls.client_connections(self._name))
        except SMTPError as reason:
            self._fail(reason)
            return
        starting: Any = transport
        starting.startTLS(connections, True)
        if connections.failure is not None:
            self._fail(_no_tls("the connection creator failed", connections.failure))

    def _begin(self) -> None:
        try:
            # Small segments, and replies that are waited for.
            self.transport.setTcpNoDelay(True)  # type: ignore[union-attr]
        except (AttributeError, OSError):
            pass
        self.transport.write(self._handshake.begin())  # type: ignore[union-attr]

    def _listen(self, data: bytes) -> None:
        if self._handshaking:
            # Nothing but a broken TLS delivers anything before its handshake is over.
            self._fail(broken("it spoke before TLS was there"))
            return
        try:
            answer = self._handshake.receive(data)
        except SMTPError as reason:
            self._fail(reason)
            return
        if answer:
            self.transport.write(answer)  # type: ignore[union-attr]
        if self._handshake.leftover is not None:
            self._open(self._handshake.leftover)

    def _open(self, leftover: bytes) -> None:
        transport: Any = self.transport
        try:
            protocol = self._target.buildProtocol(transport.getPeer())
            if protocol is None:
                raise NoProtocol
        except Exception as reason:  # noqa: BLE001 - as an endpoint does
            self._fail(reason)
            return
        self._over = True
        self._tunnel = Tunnel(transport, self._clock)
        self._tunnel.connect(protocol)
        self.opened.callback(protocol)
        self._tunnel.deliver(leftover)

    # -- the end

    def _fail(self, reason: Exception) -> None:
        self.give_up()
        self.opened.errback(reason)

    def _explained(self, reason: BaseException | None) -> ProxyError | None:
        """Return what the proxy's TLS says of the end; None where there is no more to say."""
        if isinstance(reason, SSL.Error):
            return _no_tls("TLS with the proxy failed", reason)
        if self._handshaking and not self._over:
            return _no_tls("the connection was lost during the handshake with the proxy", reason)
        return None


def _no_tls(words: str, cause: BaseException | None = None) -> ProxyError:
    error = ProxyError(f"no secure connection to the proxy: {words}", command="CONN")
    error.__cause__ = cause
    return error


class NegotiatorFactory(ClientFactory):
    """Builds one negotiator, whatever the endpoint on the way wraps around it.

    Args:
        negotiator: The one.
        target: Whose starts and stops are counted with ours.
    """

    noisy = False

    def __init__(self, negotiator: Negotiator, target: IProtocolFactory) -> None:
        self._negotiator = negotiator
        self._target = target

    def buildProtocol(self, addr: IAddress | None) -> Negotiator:
        return self._negotiator

    def doStart(self) -> None:
        self._target.doStart()

    def doStop(self) -> None:
        self._target.doStop()
