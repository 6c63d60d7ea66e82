"""`SMTPConnectionFactory`: connections for `reactor.connectTCP` and `endpoint.connect`."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IConnector, IReactorTime
from twisted.internet.protocol import ClientFactory
from twisted.python.failure import Failure

from txsmtpconn.client.options import ConnectionOptions
from txsmtpconn.client.protocol import SMTPConnection
from txsmtpconn.client.roads import connection_error
from txsmtpconn.client.waiters import Waiters
from txsmtpconn.errors import ConfigError, SMTPError


class SMTPConnectionFactory(ClientFactory):
    """Builds a connection for each transport that it is given.

    The identity that a server's certificate must have comes from the options (`servername`, or
    `host`), whatever address the transport was connected to.  With `secure` on a plain transport
    the connection starts TLS itself.

    Args:
        reactor: The reactor of the transports; None for the process's.
        options: What each connection is told.
        clock: Where the time comes from; by default the reactor.
    """

    noisy = False
    protocol = SMTPConnection
    _stray = False

    def __init__(
        self, reactor: Any, options: ConnectionOptions, *, clock: IReactorTime | None = None
    ) -> None:
        self._reactor = reactor
        self._options = options
        self._clock = clock
        self._next: Waiters[SMTPConnection] = Waiters()

    def when_ready(self) -> Deferred[SMTPConnection]:
        """Return a Deferred of your own for the next session that becomes ready, or fails.

        Where an endpoint fails to connect, only the Deferred of its `connect` hears of it.
        """
        return self._next.wait()

    def buildProtocol(self, addr: IAddress | None) -> SMTPConnection:
        connection = SMTPConnection(self._reactor, self._options, clock=self._clock)
        connection.factory = self
        connection.when_ready().addCallbacks(self._became_ready, self._failed)
        return connection

    def startedConnecting(self, connector: IConnector) -> None:  # noqa: N802
        if self._options.proxy is not None:
            # This is the reactor's `connectTCP`, on its way past the proxy.
            self._stray = True
            connector.stopConnecting()

    def clientConnectionFailed(
        self,
        connector: IConnector,
        reason: Failure,
    ) -> None:
        error = connection_error(reason, self._options)
        if self._stray:
            error = ConfigError("option proxy needs its endpoint: use connect(), or endpoint_for()")
        self._tell().fail(error)

    def _became_ready(self, connection: SMTPConnection) -> None:
        self._tell().fire(connection)

    def _failed(self, failure: Failure) -> None:
        reason = failure.value
        assert isinstance(reason, SMTPError)
        self._tell().fail(reason)

    def _tell(self) -> Waiters[SMTPConnection]:
        """Return those who wait now; whoever asks from here on waits for the session after."""
        waiting, self._next = self._next, Waiters()
        return waiting
