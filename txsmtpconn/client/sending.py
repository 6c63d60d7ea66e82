"""One call of `send()`: the mail transactions that it takes, and their results as one.

Nearly always it takes one.  More are needed where the server takes fewer recipients at a time than
there are, because it said so (RFC 9422 section 4.2, RCPTMAX) or says so now (452, RFC 5321 section
4.5.3.1.10).  Then the message goes again for those left over, if its source can be read again;
the caller sees one result with each recipient in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from txsmtpconn.client.calls import restated
from txsmtpconn.client.line import Line
from txsmtpconn.client.pump import BodyPump
from txsmtpconn.envelope import Envelope, Recipient, variant
from txsmtpconn.errors import (
    ConnectionLostError,
    EnvelopeError,
    MessageError,
    SMTPError,
    StreamError,
    means_too_many_recipients,
    printable,
)
from txsmtpconn.net.bodies import Body, release
from txsmtpconn.net.cancelled import SendCancelled
from txsmtpconn.net.streams import MessageSource
from txsmtpconn.outcome import Delivery, RecipientOutcome, SendResult, overall
from txsmtpconn.session.client.events import BodyUnwanted, BodyWanted, MarkDue
from txsmtpconn.session.client.limits import too_many_domains
from txsmtpconn.session.client.transaction import Transaction
from txsmtpconn.wire.limits import RECIPIENTS_LEAST
from txsmtpconn.wire.reply import Reply

#: Called when all of a message but its end mark has left; that follows when the Deferred fires.
BeforeMark = Callable[[], Deferred[Any]]


class Sending:
    """A message on its way.

    Args:
        line: The connection.
        envelope: For whom it is.
        source: What it is.
        before_mark: Asked before the end mark leaves; a failure stops the message there.

    Attributes:
        deferred: What the caller of `send()` holds.
    """

    __slots__ = (
        "_answered",
        "_awaited",
        "_before_mark",
        "_body",
        "_cancelled",
        "_envelope",
        "_first",
        "_fitting",
        "_left",
        "_line",
        "_outcomes",
        "_present",
        "_pump",
        "_reply",
        "_source",
        "_transaction",
        "deferred",
    )

    def __init__(
        self,
        line: Line,
        envelope: Envelope,
        source: MessageSource,
        before_mark: BeforeMark | None = None,
    ) -> None:
        self._transaction: Transaction | None = None
        self._body: Body | None = None
        self._first = b""
        self._awaited: Deferred[bytes] | None = None
        self._pump: BodyPump | None = None
        self._cancelled = False
        # Whether LMTP has given an accepted recipient its final reply, if only a refusal. A chunk
        # sent ahead of the refusal of every RCPT has a reply, too, but that is nobody's.
        self._answered = False
        # Of a message that takes several transactions: the outcomes so far, by the recipients'
        # place, the places that the present transaction is for, those still to come, and how many
        # of them the server takes at once, as it has shown.
        self._outcomes: list[RecipientOutcome | None] | None = None
        self._reply: Reply | None = None
        self._present: Sequence[int] = ()
        self._left: Sequence[int] = ()
        self._fitting: int | None = None
        self._line = line
        self._envelope = envelope
        self._source = source
        self._before_mark = before_mark
        self.deferred: Deferred[SendResult] | None = Deferred(self._cancel)

    # -- its turn

    def start(self) -> bool:
        """Submit the first transaction, once it is known that there is a message at all."""
        source = self._source
        if source.size is None and not self._line.over:
            return self._look_ahead()
        self._begin()
        return True

    def fail(self, cause: SMTPError) -> None:
        """End the call before anything was sent."""
        self._release_source()
        self._errback(cause, _unsent(self._envelope.recipients, cause))

    def _look_ahead(self) -> bool:
        """Read the first chunk: an empty message must be found before MAIL."""
        try:
            self._body = self._source.open()
            read = self._body.read()
        except Exception:  # noqa: BLE001 - a caller's source may raise anything
            self.fail(_source_failed(Failure()))
            return True
        if not isinstance(read, Deferred):
            self._seen(read)
            return True
        self._awaited = read
        read.addCallbacks(self._first_arrived, self._first_failed)
        return self._awaited is None

    def _first_arrived(self, chunk: bytes) -> None:
        if self._awaited is not None:
            self._awaited = None
            self._seen(chunk)
            self._line.leave(self)

    def _first_failed(self, failure: Failure) -> None:
        # Unless it was us who gave up waiting.
        if self._awaited is not None:
            self._awaited = None
            self.fail(_source_failed(failure))
            self._line.leave(self)

    def _seen(self, chunk: bytes) -> None:
        if chunk:
            self._first = chunk
            self._begin()
        else:
            self.fail(MessageError("the message is empty", command="API"))

    # -- its transactions

    def _begin(self) -> None:
        envelope, session = self._envelope, self._line.session
        extensions = session.extensions
        if extensions.rcptmax is None and extensions.rcptdomainmax is None:
            self._submit(envelope)
            return
        places, count = session.admitted(envelope), len(envelope.addresses)
        most = extensions.rcptmax or count
        if not places or most >= len(places) == count:
            self._submit(envelope)
            return
        # Others are for another connection.
        unsent = _unsent(envelope.recipients, too_many_domains(extensions))
        self._outcomes = [*unsent]
        for place in places:
            self._outcomes[place] = None
        self._left = places
        self._begin_next(most)

    def _begin_next(self, most: int) -> None:
        """Submit a transaction for some of the recipients that are left."""
        self._present, self._left = self._left[:most], self._left[most:]
        recipients = self._envelope.recipients
        self._submit(variant(self._envelope, [recipients[place] for place in self._present]))

    def _submit(self, envelope: Envelope) -> None:
        source = self._source
        transaction = self._transaction = Transaction(
            envelope,
            source.whole,
            size=source.size,
            # What nobody has looked at may hold anything (RFC 6152 section 3 lets us say so).
            eight_bit=source.whole is None and source.eight_bit is not False,
            hold=self._before_mark is not None,
            tag=self,
        )
        self._line.take(self._line.session.submit(transaction))

    def body_event(self, event: BodyWanted | BodyUnwanted | MarkDue) -> None:
        """Take what the session says of a body that does not go in one piece."""
        match event:
            case BodyWanted():
                self._open_source()
            case BodyUnwanted():
                self._release_source()
            case MarkDue(transaction):
                self._ask_for_mark(transaction)

    def _open_source(self) -> None:
        try:
            body = self._body or self._source.open()
        except Exception:  # noqa: BLE001 - a caller's source may raise anything
            self._source_broke(Failure())
            return
        first, self._first, self._body = self._first, b"", None
        self._pump = self._line.pump = BodyPump(
            body,
            first,
            open_to_more=self._open_to_more,
            deliver=self._deliver,
            fail=self._source_broke,
        )

    def _ask_for_mark(self, transaction: Transaction) -> None:
        if self._before_mark is None:
            return
        self._line.flush()
        asked = maybeDeferred(self._before_mark)
        asked.addCallbacks(
            lambda _: self._release_mark(transaction),
            lambda failure: self._withhold_mark(transaction, failure),
        )

    def transaction_ended(self) -> None:
        """Take what became of the present transaction; go on, or tell the caller."""
        transaction = self._transaction
        assert transaction is not None
        # No cycle may be left behind: collecting them costs more than the message did.
        transaction.tag = self._transaction = None
        if self._pump is not None or self._body is not None:
            self._release_source()
        if self._outcomes is None and not self._cancelled:
            # Nearly always this is all.
            self._reply = transaction.taken_by_all
            if self._reply is not None:
                self._callback(None, transaction)
                return
        self._reply = transaction.last_reply or self._reply
        if (
            transaction.reply_per_recipient
            and not transaction.divided
            and transaction.accepted
            and transaction.final_replies
        ):
            self._answered = True
        outcomes = transaction.outcomes()
        if self._outcomes is None and transaction.accepted == len(outcomes):
            # Nobody was one too many for this transaction.
            self._finish(outcomes, transaction)
        else:
            self._merge(outcomes, transaction)

    def _merge(self, latest: list[RecipientOutcome], transaction: Transaction) -> None:
        """Put outcomes in their places, and begin another transaction for whom it may help."""
        outcomes = self._outcomes
        if outcomes is None:
            outcomes = list(latest)
            self._present = range(len(latest))
        again: list[int] = []
        progress = any(each.delivery is Delivery.ACCEPTED for each in latest)
        for place, outcome in zip(self._present, latest, strict=True):
            outcomes[place] = outcome
            if progress and _would_fit_later(outcome):
                again.append(place)
        left = [*again, *self._left]
        if left and self._source.replayable and not self._cancelled:
            self._outcomes = outcomes
            self._left = left
            if again:
                # How many fit shows by now; of fewer than every server takes, the rest was
                # refused for reasons that only look like their number.
                fitting = sum(each.delivery is Delivery.ACCEPTED for each in latest)
                self._fitting = fitting if fitting >= RECIPIENTS_LEAST else None
            self._begin_next(self._line.session.extensions.rcptmax or self._fitting or len(left))
            return
        if self._left:
            cause = transaction.cause or StreamError(
                "the server takes the recipients in several transactions,"
                " and the message can be read only once"
            )
            unsent = _unsent([self._envelope.recipients[place] for place in self._left], cause)
            for place, outcome in zip(self._left, unsent, strict=True):
                outcomes[place] = outcome
        self._finish([each for each in outcomes if each is not None], transaction)

    # -- the body

    def _open_to_more(self) -> bool:
        transaction, line = self._transaction, self._line
        return transaction is not None and not line.choked and line.session.wants_body(transaction)

    def _deliver(self, chunk: bytes) -> None:
        transaction, line = self._transaction, self._line
        if transaction is None:
            return
        if chunk:
            line.take(line.session.send_body(transaction, chunk, line.now()))
        else:
            self._release_source()
            line.take(line.session.end_body(transaction, line.now()))

    def _source_broke(self, failure: Failure) -> None:
        transaction, line = self._transaction, self._line
        self._release_source()
        if transaction is not None:
            line.take(line.session.abort_body(transaction, _source_failed(failure)))

    def _release_source(self) -> None:
        pump, body, awaited = self._pump, self._body, self._awaited
        self._pump = self._body = self._awaited = None
        # It was read of a body that the next transaction opens anew.
        self._first = b""
        if self._line.pump is pump:
            self._line.pump = None
        if pump is not None:
            pump.stop()
        if awaited is not None:
            awaited.cancel()
        if body is not None:
            release(body)

    def _release_mark(self, transaction: Transaction) -> None:
        self._line.session.release_mark(transaction)
        self._line.take()

    def _withhold_mark(self, transaction: Transaction, failure: Failure) -> None:
        reason = failure.value
        if not isinstance(reason, SMTPError):
            reason = SMTPError("the end mark was withheld", command="API")
            reason.__cause__ = failure.value
        self._line.take(self._line.session.withdraw(transaction, reason))

    # -- its end

    def _cancel(self, _: Deferred[SendResult]) -> None:
        cause = SendCancelled("the send was cancelled", command="API")
        transaction = self._transaction
        if transaction is None:
            self._cancelled = True
            self.fail(cause)
            self._line.leave(self)
        elif transaction.ended:
            # Its end is being told, further out; it was too late to cancel.
            self.transaction_ended()
        else:
            self._cancelled = True
            self._line.take(self._line.session.withdraw(transaction, cause))

    def _finish(self, outcomes: list[RecipientOutcome], transaction: Transaction) -> None:
        if self._cancelled or not (
            outcomes[0].delivery is Delivery.ACCEPTED
            or any(each.delivery is Delivery.ACCEPTED for each in outcomes)
            or (self._answered and all(each.delivery is Delivery.REJECTED for each in outcomes))
        ):
            self._errback(_decisive(outcomes, transaction), outcomes)
        else:
            self._callback(tuple(outcomes), transaction)

    def _callback(
        self, outcomes: tuple[RecipientOutcome, ...] | None, transaction: Transaction
    ) -> None:
        """Tell the caller of a success; there are no outcomes where it was everybody's."""
        deferred, self.deferred = self.deferred, None
        if deferred is None:
            return
        body_at = transaction.body_at
        result = SendResult(
            outcomes,
            addresses=self._envelope.addresses,
            reply=self._reply,
            ehlo=self._line.session.extensions.lines,
            envelope_time=body_at - transaction.begun_at,
            message_time=self._line.now() - body_at,
            message_size=transaction.octets,
        )
        if self._line.note is not None:
            self._line.note(
                "{session_id} message {response} ({accepted} of {recipients} recipients)",
                response=printable(result.response),
                accepted=len(result.accepted),
                recipients=len(result.recipients),
            )
        deferred.callback(result)

    def _errback(self, cause: SMTPError, outcomes: Sequence[RecipientOutcome]) -> None:
        deferred, self.deferred = self.deferred, None
        if deferred is None:
            return
        error = restated(cause)
        error.delivery = overall(outcomes)
        error.recipients = tuple(outcomes)
        if self._line.note is not None:
            self._line.note(
                "{session_id} message {delivery}: {reason}",
                delivery=error.delivery.value,
                reason=str(error),
            )
        deferred.errback(error)


def _unsent(recipients: Sequence[Recipient], cause: SMTPError) -> list[RecipientOutcome]:
    return [
        RecipientOutcome(recipient.address, None, Delivery.NOT_SENT, cause)
        for recipient in recipients
    ]


def _would_fit_later(outcome: RecipientOutcome) -> bool:
    """Tell whether a recipient was refused only for being one too many in its transaction."""
    return (
        outcome.delivery in (Delivery.REJECTED, Delivery.NOT_SENT)
        and outcome.reply is not None
        and outcome.error is not None
        and outcome.error.command == "RCPT TO"
        and means_too_many_recipients(outcome.reply)
    )


def _decisive(outcomes: list[RecipientOutcome], transaction: Transaction) -> SMTPError:
    """Return the error that tells best why the message reached nobody."""
    if transaction.cause is not None:
        return transaction.cause
    delivery = overall(outcomes)
    errors = [each.error for each in outcomes if each.delivery is delivery and each.error]
    if not errors:
        return ConnectionLostError("the message was not sent")
    if len(errors) > 1 and all(error.command == "RCPT TO" for error in errors):
        return EnvelopeError(
            "all recipients were refused", reply=errors[-1].reply, command="RCPT TO"
        )
    return errors[0]


def _source_failed(failure: Failure) -> SMTPError:
    reason = failure.value
    if isinstance(reason, StreamError):
        return reason
    # Only its class: whoever wants its words finds them in the cause.
    error = StreamError(f"the source of the message failed: {type(reason).__name__}")
    error.__cause__ = reason
    return error
