"""A message that a pool carries, and its parts.

Nearly always a message is one part. It is several where a server takes fewer recipients, or
recipients of fewer domains, in one transaction than there are (RFC 9422); each part is then a
message of its own to the pool, and the caller gets one result with every recipient in its place.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from txsmtpconn.client.calls import restated
from txsmtpconn.client.protocol import SMTPConnection
from txsmtpconn.envelope import Envelope, variant
from txsmtpconn.errors import (
    ConnectionLostError,
    DeadlineError,
    PoolError,
    ProtocolError,
    SMTPError,
    SocketError,
    TLSError,
)
from txsmtpconn.net.cancelled import SendCancelled
from txsmtpconn.net.streams import MemorySource, MessageSource, ReopeningSource
from txsmtpconn.outcome import Delivery, RecipientOutcome, SendResult, overall
from txsmtpconn.transport.figures import Counts
from txsmtpconn.transport.prepared import PreparedMessage

#: What tells of the connection rather than of the message that was on it.
OF_THE_CONNECTION = (
    ConnectionLostError,
    DeadlineError,
    PoolError,
    ProtocolError,
    SocketError,
    TLSError,
)


class Message:
    """What the caller of `Pool.send` waits for.

    Args:
        serial: Its place in the order of arrival.
        envelope: For whom it is.
        source: What it is.
        now: The time of its arrival.
        cancel: Called when the caller cancels.
        counts: Where its end is counted.

    Attributes:
        deferred: What the caller holds; None once it has fired.
        parts: Those that wait or are under way.
        cancelled: Whether the caller has lost interest.
    """

    cancelled = False
    # Of a message in several parts, or part of which was sent again.
    _outcomes: list[RecipientOutcome | None] | None = None
    _result: SendResult | None = None
    _errors: Sequence[SMTPError] = ()

    def __init__(
        self,
        serial: int,
        envelope: Envelope,
        source: MessageSource | PreparedMessage,
        now: float,
        cancel: Callable[[Message], None],
        counts: Counts,
    ) -> None:
        self.serial = serial
        self._counts = counts
        self.envelope = envelope
        self.source = source
        self.arrived_at = now
        self.deferred: Deferred[SendResult] | None = Deferred(lambda _: cancel(self))
        self.parts = [Part(self, envelope)]
        self._later: deque[Part] = deque()

    @property
    def is_shareable(self) -> bool:
        """Whether several connections may read it at the same time; one file has one position."""
        source = self.source
        return isinstance(source, (MemorySource, ReopeningSource, PreparedMessage)) or (
            source.whole is not None
        )

    def divide(self, part: Part, groups: Iterable[Sequence[int]]) -> list[Part]:
        """Make several parts of one that is a transaction too large.

        Returns:
            Those that may be sent now, the given one first.
        """
        first, *others = groups
        part.narrow(first)
        more = [Part(self, self.envelope, part.requeues) for _ in others]
        for each, places in zip(more, others, strict=True):
            each.narrow(places)
        if not self.is_shareable:
            self._later.extend(more)
            return [part]
        self.parts += more
        return [part, *more]

    def settle(self, part: Part, outcome: SendResult | SMTPError) -> Part | None:
        """Write down what became of a part, and tell the caller if it was the last.

        Returns:
            A part that may be sent now, if there is another.
        """
        self.parts.remove(part)
        if self._outcomes is None and part.places is None:
            self.answer(outcome)
            return None
        self.record(part, outcome)
        if self._later and not self.cancelled:
            following = self._later.popleft()
            self.parts.append(following)
            return following
        if not self.parts:
            self.answer(self._merged())
        return None

    def record(self, part: Part, outcome: SendResult | SMTPError, but: Sequence[int] = ()) -> None:
        """Put the outcomes of a part's recipients in their places, except for some of them."""
        if self._outcomes is None:
            self._outcomes = [None] * len(self.envelope.recipients)
        if isinstance(outcome, SendResult):
            self._result = outcome
        else:
            self._errors = [*self._errors, outcome]
        for place, each in zip(part.all_places, part.outcomes(outcome), strict=True):
            if place not in but:
                self._outcomes[place] = each

    def answer(self, outcome: SendResult | SMTPError) -> None:
        """Tell the caller, once."""
        deferred, self.deferred = self.deferred, None
        if deferred is None:
            return
        # Whoever is told may look at the figures.
        if isinstance(outcome, SendResult):
            self._counts.sent += 1
            deferred.callback(outcome)
        else:
            self._counts.failed += 1
            deferred.errback(outcome)

    def _merged(self) -> SendResult | SMTPError:
        assert self._outcomes is not None
        outcomes = [
            RecipientOutcome(recipient.address, None, Delivery.NOT_SENT) if each is None else each
            for recipient, each in zip(self.envelope.recipients, self._outcomes, strict=True)
        ]
        last = self._result
        if last is not None and not self.cancelled:
            return SendResult(
                tuple(outcomes),
                reply=last.reply,
                ehlo=last.ehlo,
                envelope_time=last.envelope_time,
                message_time=last.message_time,
                message_size=last.message_size,
            )
        delivery = overall(outcomes)
        if self.cancelled:
            error: SMTPError = SendCancelled("the send was cancelled", command="API")
        else:
            telling = [each for each in self._errors if each.delivery is delivery]
            error = restated((telling or self._errors)[0])
        error.delivery = delivery
        error.recipients = tuple(outcomes)
        return error


class Part:
    """Some or all recipients of a message.

    Attributes:
        message: The whole.
        envelope: For these recipients.
        places: Theirs among the message's; None for all.
        requeues: How often another connection was found for them.
        sending: The connection's Deferred while they are under way.
    """

    places: Sequence[int] | None = None
    sending: Deferred[SendResult] | None = None

    def __init__(self, message: Message, envelope: Envelope, requeues: int = 0) -> None:
        self.message = message
        self.envelope = envelope
        self.requeues = requeues

    @property
    def all_places(self) -> Sequence[int]:
        """The places of the recipients among the message's."""
        return range(len(self.envelope.recipients)) if self.places is None else self.places

    def narrow(self, places: Sequence[int]) -> None:
        """Be for the recipients in these places of the message only."""
        recipients = self.message.envelope.recipients
        self.places = places
        self.envelope = variant(self.message.envelope, [recipients[place] for place in places])

    def groups(self, most: int | None, domains: int | None) -> list[list[int]]:
        """Return the places of the recipients, grouped as a server takes them.

        Args:
            most: Recipients in one transaction (RFC 9422 section 4.2).
            domains: Domains of recipients in one session, and so in one transaction (section 4.3).
        """
        # A source that is read once goes in one transaction, or does not go.
        if not self.message.source.replayable:
            return [list(self.all_places)]
        recipients = self.message.envelope.recipients
        buckets: dict[str, list[int]] = {}
        for place in self.all_places:
            domain = "" if domains is None else recipients[place].mailbox.domain.lower()
            buckets.setdefault(domain, []).append(place)
        found: list[list[int]] = []
        grouped = list(buckets.values())
        step = domains or 1
        for start in range(0, len(grouped), step):
            places = [place for bucket in grouped[start : start + step] for place in bucket]
            size = most or len(places)
            found += [places[at : at + size] for at in range(0, len(places), size)]
        return found

    def send_over(self, connection: SMTPConnection) -> Deferred[SendResult]:
        """Begin a transaction."""
        source = self.message.source
        if isinstance(source, PreparedMessage):
            try:
                source = source.source_for(connection.extensions)
            except SMTPError as error:
                return fail(error)
        self.sending = connection.send(self.envelope, source)
        return self.sending

    def outcomes(self, outcome: SendResult | SMTPError) -> Sequence[RecipientOutcome]:
        """Return what became of each recipient."""
        if outcome.recipients:
            return outcome.recipients
        assert isinstance(outcome, SMTPError)
        return [
            RecipientOutcome(recipient.address, None, outcome.delivery, outcome)
            for recipient in self.envelope.recipients
        ]

    def tells_of_connection(self, outcome: SendResult | SMTPError) -> bool:
        """Whether the connection failed, if only for some of the recipients."""
        for each in self.outcomes(outcome):
            if each.error is not None and isinstance(each.error, OF_THE_CONNECTION):
                return True
        return False

    def unsent(self, outcome: SendResult | SMTPError) -> list[int]:
        """Return the places of those whom nothing has reached, for the connection's own sake."""
        return [
            place
            for place, each in zip(self.all_places, self.outcomes(outcome), strict=True)
            if each.delivery is Delivery.NOT_SENT and isinstance(each.error, OF_THE_CONNECTION)
        ]


def error_of(failure: Failure) -> SMTPError:
    """Return an error of ours for whatever went wrong."""
    reason = failure.value
    if isinstance(reason, SMTPError):
        return reason
    # A fault of somebody's code: nobody knows how far it came.
    error = SMTPError(f"sending failed: {type(reason).__name__}", delivery=Delivery.IN_DOUBT)
    error.__cause__ = reason
    return error
