"""Connections whose messages a test answers by hand, and a pool that has no others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from txsmtpconn.client.protocol import SMTPConnection
from txsmtpconn.envelope import Envelope
from txsmtpconn.errors import ConnectionLostError, SMTPError, SocketError
from txsmtpconn.net.cancelled import SendCancelled
from txsmtpconn.outcome import Delivery, RecipientOutcome, SendResult
from txsmtpconn.transport import Pool, PoolOptions
from txsmtpconn.wire.extensions import EMPTY, Extensions

ENVELOPE = Envelope("s@x.test", ["r@y.test"])
RESULT = SendResult((RecipientOutcome("r@y.test", None, Delivery.ACCEPTED),))


class FakeConnection:
    """A connection whose messages a test answers by hand, as a real one would."""

    def __init__(self, extensions: Extensions = EMPTY) -> None:
        self.extensions = extensions
        self.envelopes: list[Envelope] = []
        self.probes: list[Deferred[None]] = []
        self.messages: list[bytes] = []
        self.sendings: list[Deferred[SendResult]] = []
        self.closings: list[Deferred[None]] = []
        self.quits = 0
        self.dropped = False
        self.logins: list[Deferred[None]] = []

    def send(self, envelope: Envelope, message: Any) -> Deferred[SendResult]:
        """Take a message."""
        self.messages.append(message.whole or b"")
        self.envelopes.append(envelope)
        sending: Deferred[SendResult] = Deferred(
            lambda deferred: deferred.errback(SendCancelled("cancelled"))
        )
        if self.dropped:
            sending.errback(ConnectionLostError("the connection is closed"))
        self.sendings.append(sending)
        return sending

    def when_closed(self) -> Deferred[None]:
        """Return a Deferred of the caller's own."""
        self.closings.append(Deferred())
        return self.closings[-1]

    def login(self) -> Deferred[None]:
        """Let the test decide."""
        self.logins.append(Deferred())
        return self.logins[-1]

    def noop(self) -> Deferred[None]:
        """Let the test decide."""
        self.probes.append(Deferred())
        return self.probes[-1]

    def quit(self) -> Deferred[None]:
        """Take leave; the test says when it is over."""
        self.quits += 1
        return Deferred()

    def close(self) -> None:
        """Drop the connection."""
        self.die()

    def answer(self, at: int = 0, result: SendResult | SMTPError = RESULT) -> None:
        """End the message that is at this place among those under way."""
        sending = [each for each in self.sendings if not each.called][at]
        if isinstance(result, SendResult):
            sending.callback(result)
        else:
            sending.errback(result)

    def die(self, delivery: Delivery = Delivery.NOT_SENT) -> None:
        """End all messages and then the connection, in the order in which a session does."""
        self.dropped = True
        for sending in self.sendings:
            if not sending.called:
                sending.errback(ConnectionLostError("lost", delivery=delivery))
                delivery = Delivery.NOT_SENT
        self.gone()

    def gone(self) -> None:
        """Be closed at last."""
        self.dropped = True
        closings, self.closings = self.closings, []
        for closing in closings:
            closing.callback(None)


class Bench:
    """A pool whose connections a test opens by hand."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.openings: list[Deferred[SMTPConnection]] = []
        self.connections: list[FakeConnection] = []
        self.outcomes: dict[bytes, Any] = {}
        self.pool = Pool(
            self._open, PoolOptions(**options), cast(Any, self.clock), chance=lambda: 0.5
        )

    def _open(self) -> Deferred[SMTPConnection]:
        self.openings.append(Deferred(lambda opening: opening.errback(SendCancelled("x"))))
        return self.openings[-1]

    def open(self, extensions: Extensions = EMPTY) -> FakeConnection:
        """Let the oldest connection attempt succeed."""
        connection = FakeConnection(extensions)
        self.connections.append(connection)
        opening = next(each for each in self.openings if not each.called)
        opening.callback(cast(SMTPConnection, connection))
        return connection

    def refuse(self, error: SMTPError | None = None) -> None:
        """Let the oldest connection attempt fail."""
        opening = next(each for each in self.openings if not each.called)
        opening.errback(error or SocketError("refused"))

    def send(self, *bodies: bytes) -> list[Deferred[SendResult]]:
        """Send messages, and note their outcomes under their bodies."""
        sent = []
        for body in bodies:
            deferred = self.pool.send(ENVELOPE, body)
            sent.append(deferred)
            deferred.addBoth(self._note(body))
        return sent

    def _note(self, body: bytes) -> Callable[[Any], None]:
        def note(outcome: Any) -> None:
            assert body not in self.outcomes
            self.outcomes[body] = outcome.value if isinstance(outcome, Failure) else outcome

        return note

    @property
    def attempts(self) -> int:
        """Connection attempts so far."""
        return len(self.openings)
