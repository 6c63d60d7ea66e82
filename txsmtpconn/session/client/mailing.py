"""Mail transactions on the wire: what leaves when, and what the replies do.

At most one transaction is being rendered; those before it have wholly left. So whatever the
pipelining, mail data never mixes, and the peer sees one transaction after the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

from txsmtpconn.envelope import Envelope
from txsmtpconn.errors import (
    ConnectionLostError,
    MessageError,
    ProtocolError,
    SMTPError,
    means_too_many_recipients,
)
from txsmtpconn.session.client.conversation import Conversation, carrier
from txsmtpconn.session.client.envelopes import render_envelope
from txsmtpconn.session.client.events import BodyUnwanted, BodyWanted, MarkDue, TransactionEnded
from txsmtpconn.session.client.limits import SessionLimits
from txsmtpconn.session.client.maildata import (
    expect_chunks,
    render_chunk,
    render_mark,
    take_chunk,
)
from txsmtpconn.session.client.policy import Chunking, Pipelining
from txsmtpconn.session.client.rendering import objection
from txsmtpconn.session.client.tables import Effect, Expected, State, Verb
from txsmtpconn.session.client.terms import Terms
from txsmtpconn.session.client.transaction import Command, Operation, Phase, Transaction
from txsmtpconn.session.client.verdicts import Verdicts
from txsmtpconn.wire.limits import RECIPIENTS_LEAST
from txsmtpconn.wire.reply import Reply
from txsmtpconn.wire.transparency import canonical

#: Transactions waiting behind this one from which ``Chunking.AUTO`` takes BDAT: only with several
#: in flight does it save round trips over DATA.
_DEEP_QUEUE: Final = 8
#: Octets of a streamed body from which ``Chunking.AUTO`` takes BDAT, which needs no search for
#: dots.
_BIG_BODY: Final = 1024 * 1024

# An Enum's attributes are dear to look up; what every message needs stands here.
_ENVELOPE: Final = Phase.ENVELOPE
_BODY: Final = Phase.BODY
_DATA: Final = Expected.BODY
_MARKED: Final = Phase.MARKED
_ENDED: Final = Phase.ENDED
_DRAINING: Final = State.DRAINING
_NEVER: Final = Chunking.OFF
_ALWAYS: Final = Chunking.ALWAYS


@carrier
class Mailing:
    """The part of a client session that carries mail.

    Args:
        conversation: The line to the peer.
        terms: How far commands may run ahead of replies, and how mail data goes.

    Attributes:
        active: Transactions begun and not ended, oldest first.
        rendering: The newest of them while something of it has still to leave.
        begun: How many were begun on this connection.
        drain_cause: Why nothing more may be begun, in state DRAINING.
    """

    __slots__ = (
        "_chunking",
        "_conversation",
        "_limits",
        "_overlapping",
        "_pipelined",
        "_reply_per_recipient",
        "_terms",
        "_undecided",
        "_window",
        "active",
        "begun",
        "drain_cause",
        "rendering",
    )

    def __init__(self, conversation: Conversation, terms: Terms) -> None:
        self.rendering: Transaction | None = None
        self.begun = 0
        self.drain_cause: SMTPError | None = None
        # The transaction begun last, for as long as the peer may think that it is still open.
        self._undecided: Transaction | None = None
        # What becomes of the terms with what the peer offers.
        self._pipelined = False  # whether a command may leave while another is unanswered
        self._overlapping = False  # whether a transaction may leave before the last one is answered
        self._chunking = _NEVER
        self._conversation = conversation
        self._terms = terms
        self._reply_per_recipient = terms.dialect.reply_per_recipient
        self._window = terms.window
        self.active: deque[Transaction] = deque()
        self._limits = SessionLimits()
        conversation.parts[Mailing] = self
        # The conversation keeps what acts on its replies.
        Verdicts(conversation, reply_per_recipient=self._reply_per_recipient, end=self.end)

    def open(self) -> None:
        """See how mail can go: what the peer offers is known for good."""
        terms, extensions = self._terms, self._conversation.extensions
        self._pipelined = extensions.pipelining and terms.pipelining is not Pipelining.OFF
        self._overlapping = self._pipelined and terms.pipelining is Pipelining.FULL
        self._chunking = terms.chunking if extensions.chunking else _NEVER

    # -- admission and end -----------------------------------------------------------------

    def admit(self, transaction: Transaction, ahead: Iterable[Operation]) -> SMTPError | None:
        """Complete the facts of a transaction; return why this peer cannot take it, if so.

        ``ahead`` is what waits to be begun before it.
        """
        body, envelope = transaction.body, transaction.envelope
        if body is not None:
            if envelope.body != "BINARYMIME":
                body = transaction.body = canonical(body)
            transaction.size = len(body)
            transaction.eight_bit = not body.isascii()
        conversation = self._conversation
        extensions = conversation.extensions
        error = objection(
            envelope,
            extensions,
            transaction.size,
            secure=conversation.secure,
            verified=conversation.verified,
        )
        if error is None and extensions.has_limits:
            waiting = sum(isinstance(operation, Transaction) for operation in ahead)
            error = self._limits.objection(envelope, extensions, self.begun + waiting)
        return error

    def admitted(self, envelope: Envelope) -> Sequence[int]:
        """Return the places of the recipients that this session may still have."""
        return self._limits.admitted(envelope, self._conversation.extensions)

    def end(self, transaction: Transaction, cause: SMTPError | None = None) -> None:
        """End a transaction, once; what is still owed to it will be read and dropped."""
        if transaction.ended:
            return
        transaction.ended = True
        if cause is not None:
            transaction.cause = cause
        if transaction.streaming:
            transaction.streaming = False
            self._conversation.events.append(BodyUnwanted(transaction))
        transaction.phase = _ENDED
        transaction.body = transaction.encoder = None
        transaction.pending = ()
        active = self.active
        if active and active[0] is transaction:
            active.popleft()
        elif transaction in active:
            active.remove(transaction)
        if self.rendering is transaction:
            self.rendering = None
        self._conversation.events.append(TransactionEnded(transaction))
        if self._conversation.state is _DRAINING:
            self._end_if_drained()

    def break_off(self, transaction: Transaction, cause: SMTPError) -> None:
        """End a transaction that has been begun, without harm to any other.

        One whose end mark has left is in doubt. One that has asked for DATA cannot be taken back
        on this connection, as the peer would take whatever comes next for mail data.
        """
        asked = transaction.data_asked and not transaction.mark_left and not transaction.chunked
        self.end(transaction, cause)
        if asked:
            text = "the connection ends with a message that was broken off"
            self.drain_cause = ConnectionLostError(text, command="DATA")
            self.drain_cause.__cause__ = cause
            self._conversation.enter(State.DRAINING)
            self._end_if_drained()

    def _end_if_drained(self) -> None:
        if not self.active:
            self._conversation.end(self.drain_cause)

    def reset(self) -> None:
        """The peer has forgotten whatever it thought was open."""
        self._undecided = None

    # -- rendering -------------------------------------------------------------------------

    def may_begin(self) -> bool:
        """Whether another transaction may be begun now."""
        if self.rendering is not None:
            return False
        conversation = self._conversation
        owed = conversation.owed
        if not owed:
            return True
        # RFC 2920 section 3.1: nothing may follow NOOP and its like before they are answered.
        return (
            self._overlapping
            and isinstance(owed[-1][1], Transaction)
            and len(self.active) < self._window.transactions
            and conversation.unanswered < self._window.octets
        )

    def begin(self, transaction: Transaction, now: float, waiting: int) -> None:
        """Begin a transaction, behind an RSET where the peer may hold its predecessor open.

        ``waiting`` is how many operations stand in the queue behind it.
        """
        transaction.resets = self._holds_open()
        transaction.chunked = self._chooses_chunks(transaction, waiting)
        transaction.reply_per_recipient = self._reply_per_recipient
        if not transaction.envelope.plain:
            transaction.prdr = self._asks_for_prdr(transaction.envelope)
        transaction.phase = _ENVELOPE
        transaction.begun_at = now
        self._undecided = self.rendering = transaction
        self.active.append(transaction)
        self.begun += 1

    def _asks_for_prdr(self, envelope: Envelope) -> bool:
        return (
            envelope.prdr
            and len(envelope.addresses) > 1
            and not self._reply_per_recipient
            and "PRDR" in self._conversation.extensions
        )

    def _holds_open(self) -> bool:
        """Tell, once, whether the peer may think that the last transaction is still open."""
        undecided, self._undecided = self._undecided, None
        # RFC 5321 section 4.1.1.4: the dot ends a transaction whatever is answered to it. A last
        # chunk that was refused may leave it open, and the next MAIL would be a nested one.
        return undecided is not None and not (
            undecided.mark_left and (not undecided.chunked or undecided.was_accepted)
        )

    def has_to_settle(self, operation: Operation) -> bool:
        """See to it that no transaction is open at the peer; tell whether its reply is awaited."""
        if not (isinstance(operation, Command) and operation.outside and self._holds_open()):
            return False
        self._conversation.write(Verb.RSET, b"RSET\r\n", Expected.RSET, None)
        return True

    def _chooses_chunks(self, transaction: Transaction, waiting: int) -> bool:
        if transaction.envelope.body == "BINARYMIME":
            return True
        if self._chunking is _NEVER:
            return False
        if self._chunking is _ALWAYS:
            return True
        if transaction.body is None:
            return transaction.size is None or transaction.size >= _BIG_BODY
        if not self._overlapping:
            return False
        return waiting >= _DEEP_QUEUE or bool(self.active and self.active[-1].chunked)

    def render(self, transaction: Transaction, now: float) -> None:
        """Render all of a transaction that may leave now."""
        if transaction.phase is _ENVELOPE:
            render_envelope(
                self._conversation, transaction, pipelined=self._pipelined, window=self._window
            )
        if transaction.phase is _BODY and self._may_follow(transaction):
            if transaction.body is not None and not transaction.hold:
                render_mark(self._conversation, transaction)
            elif transaction.pending:
                render_chunk(self._conversation, transaction)
        if transaction.phase is _MARKED:
            self.rendering = None
        if transaction.body_at == 0.0 and transaction.phase >= _BODY:
            transaction.body_at = now

    def _begin_body(self, transaction: Transaction) -> None:
        """The peer is ready for mail data."""
        transaction.phase = _BODY
        if not transaction.chunked:
            # Until the mark leaves, whatever comes answers the data itself.
            self._conversation.expect(_DATA, transaction)
        if transaction.body is not None:
            if transaction.hold and not transaction.lone_dot:
                self._conversation.events.append(MarkDue(transaction))
            return
        expect_chunks(transaction)
        self._conversation.events.append(BodyWanted(transaction))

    def wants_body(self, transaction: Transaction) -> bool:
        """Whether there is room for another chunk of a streamed body."""
        return (
            transaction.streaming
            and self._may_follow(transaction)
            and (
                not transaction.chunked
                or self._conversation.unanswered + transaction.pending_octets < self._window.octets
            )
        )

    def _may_follow(self, transaction: Transaction) -> bool:
        """Whether more mail data may leave now: each BDAT is a command with a reply of its own."""
        return not transaction.chunked or self._pipelined or not self._conversation.owed

    def send_body(self, transaction: Transaction, chunk: bytes) -> None:
        """Render the next octets of a streamed body."""
        transaction.given += len(chunk)
        limit = self._conversation.extensions.size
        if limit is not None and transaction.given > limit:
            text = f"the message outgrew the server's limit of {limit} octets"
            self.break_off(transaction, MessageError(text, command="DATA"))
            return
        take_chunk(self._conversation, transaction, chunk)

    def end_body(self, transaction: Transaction) -> None:
        """The streamed body is complete; its mark may leave."""
        transaction.streaming = False
        transaction.body = b""
        if transaction.hold:
            self._conversation.events.append(MarkDue(transaction))

    # -- replies ---------------------------------------------------------------------------

    def _on_mail_accepted(self, reply: Reply, operation: Transaction, expected: Expected) -> None:
        operation.mail_reply = reply

    def _on_mail_refused(self, reply: Reply, operation: Transaction, expected: Expected) -> None:
        operation.mail_reply = reply
        operation.mail_refused = True
        if self.rendering is operation and not operation.data_asked:
            self.rendering = None
        self._end_if_hopeless(operation)

    def _on_rcpt_answered(self, reply: Reply, operation: Transaction, expected: Expected) -> None:
        operation.rcpt_replies.append(reply)
        if reply.code < 300:
            operation.accepted += 1
            unanswered = operation.asked - 1 - len(operation.rcpt_replies)
            if unanswered:
                count = self._conversation.take_repeats(reply, unanswered)
                operation.rcpt_replies += [reply] * count
                operation.accepted += count
        elif operation.accepted >= RECIPIENTS_LEAST and means_too_many_recipients(reply):
            operation.crowded = operation.crowded or reply
        if operation.data_asked or operation.phase is not _ENVELOPE:
            return
        self._end_if_hopeless(operation)
        if (
            operation.chunked
            and operation.phase is _ENVELOPE
            and len(operation.rcpt_replies) == operation.asking
        ):
            self._begin_body(operation)

    def _end_if_hopeless(self, transaction: Transaction) -> None:
        """End a transaction of which nothing can come, before it asks for DATA.

        All that was asked must have been answered, so that no reply is left over.
        """
        if transaction.phase is not _ENVELOPE or transaction.data_asked:
            return
        answered = (transaction.mail_reply is not None) + len(transaction.rcpt_replies)
        complete = len(transaction.rcpt_replies) == transaction.asking
        if answered == transaction.asked and (
            transaction.mail_refused or (complete and not transaction.accepted)
        ):
            self.end(transaction)

    def _on_data_agreed(self, reply: Reply, operation: Transaction, expected: Expected) -> None:
        if operation.ended:
            return
        if not operation.accepted and not self._reply_per_recipient:
            # RFC 2920 section 3.1: the peer waits for data though it will deliver it to nobody.
            operation.lone_dot = True
            operation.hold = False
            operation.body = b""
        elif operation.mail_refused or not operation.accepted:
            # A dot now might deliver an empty message.
            text = "the server wants mail data for a transaction that it refused"
            self._conversation.end(ProtocolError(text, reply=reply, command="DATA"))
            return
        self._begin_body(operation)

    def _on_data_refused(self, reply: Reply, operation: Transaction, expected: Expected) -> None:
        operation.data_reply = reply
        self.end(operation)

    def _on_body_refused(self, reply: Reply, operation: Transaction, expected: Expected) -> None:
        """The peer's last word came in the middle of the data: believe it, and part.

        Where the data ends for it now, nobody knows.
        """
        operation.refusal = reply
        self.end(operation)
        text = "the server refused the message before its end"
        self._conversation.end(ConnectionLostError(text, reply=reply, command="DATA"))

    def _on_chunk_accepted(
        self, reply: Reply, operation: Operation | None, expected: Expected
    ) -> None:
        """RFC 3030 section 2: 250 to a chunk only says that it came."""

    def _on_chunk_refused(self, reply: Reply, operation: Transaction, expected: Expected) -> None:
        if operation.refusal is None:
            operation.refusal = reply
        if not operation.mark_left:
            self.end(operation)

    def _on_reset(self, reply: Reply, operation: Operation | None, expected: Expected) -> None:
        """The peer has done what the session put before a transaction."""

    def _on_reset_refused(
        self, reply: Reply, operation: Operation | None, expected: Expected
    ) -> None:
        # What follows would join the transaction that is still open.
        text = "RSET was refused"
        self._conversation.end(ProtocolError(text, reply=reply, command="RSET"))

    #: Which effects of replies this part carries out, and how.
    ACTS: Final = (
        (Effect.MAIL_ACCEPTED, _on_mail_accepted),
        (Effect.MAIL_REFUSED, _on_mail_refused),
        (Effect.RCPT_ANSWERED, _on_rcpt_answered),
        (Effect.DATA_AGREED, _on_data_agreed),
        (Effect.DATA_REFUSED, _on_data_refused),
        (Effect.BODY_REFUSED, _on_body_refused),
        (Effect.CHUNK_ACCEPTED, _on_chunk_accepted),
        (Effect.CHUNK_REFUSED, _on_chunk_refused),
        (Effect.RESET, _on_reset),
        (Effect.RESET_REFUSED, _on_reset_refused),
    )
