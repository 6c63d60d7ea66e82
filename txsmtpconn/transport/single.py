"""A connection for each message: what a transport does that has no pool."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.interfaces import IReactorTime

from txsmtpconn.client.protocol import SMTPConnection
from txsmtpconn.client.waiters import Waiters
from txsmtpconn.envelope import Envelope
from txsmtpconn.errors import PoolError, SMTPError
from txsmtpconn.net.cancelled import SendCancelled
from txsmtpconn.net.streams import MessageSource
from txsmtpconn.outcome import SendResult
from txsmtpconn.transport.closing import give_up_after
from txsmtpconn.transport.opening import Open
from txsmtpconn.transport.prepared import PreparedMessage, source_of


class Singly:
    """Opens a connection, sends one message over it, and leaves.

    Args:
        clock: The reactor.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._under_way: set[Deferred[SendResult]] = set()
        self._connections: set[SMTPConnection] = set()
        self._closing = False
        self._closed: Waiters[None] = Waiters()

    def send(
        self, open_connection: Open, envelope: Envelope, message: object
    ) -> Deferred[SendResult]:
        """Send a message; it fires at the server's answer, and does not wait for QUIT's."""
        if self._closing:
            return fail(PoolError("the transport is closed", command="API"))
        try:
            # Before a connection is opened for what is no message.
            source = source_of(message)
        except SMTPError as error:
            return fail(error)
        sending = Deferred.fromCoroutine(self._send(open_connection, envelope, source))
        self._under_way.add(sending)
        return sending.addBoth(self._ended, sending)

    def close(self, timeout: float | None = None) -> Deferred[None]:
        """Take no more; fires when all connections are gone.

        Args:
            timeout: Seconds after which what is left is given up.
        """
        self._closing = True
        give_up_after(self._clock, timeout, self._drop_all, self._closed.wait())
        closed = self._closed.wait()
        self._tell_if_closed()
        return closed

    async def _send(
        self,
        open_connection: Open,
        envelope: Envelope,
        source: MessageSource | PreparedMessage,
    ) -> SendResult:
        try:
            connection = await open_connection()
        except SMTPError:
            raise
        except CancelledError:
            raise SendCancelled("the send was cancelled", command="API") from None
        self._connections.add(connection)
        connection.when_closed().addBoth(self._gone, connection)
        try:
            if isinstance(source, PreparedMessage):
                source = source.source_for(connection.extensions)
            return await connection.send(envelope, source)
        finally:
            connection.quit()

    def _ended(self, result: Any, sending: Deferred[SendResult]) -> Any:
        self._under_way.discard(sending)
        self._tell_if_closed()
        return result

    def _gone(self, _: object, connection: SMTPConnection) -> None:
        self._connections.discard(connection)
        self._tell_if_closed()

    def _drop_all(self) -> None:
        for connection in list(self._connections):
            connection.close()
        for sending in list(self._under_way):
            sending.cancel()

    def _tell_if_closed(self) -> None:
        if self._closing and not self._under_way and not self._connections:
            self._closed.fire(None)
