"""The client's side of an SMTP or LMTP session, without I/O.

Octets and facts go in with the time; events, octets and one deadline come out. The caller's
duties, in this order, after each input or action:

1. act on the events that it returned (this may submit more operations);
2. write ``pieces_to_send(now)``, all of them, in one write, and call ``drained(now)`` as soon as
   the transport holds nothing of them any more;
3. have a timer for ``next_deadline()``, and call ``handle_timer(now)`` when it is due;
4. after ``SessionEnded``, close the connection.

Nothing here blocks, calls back, or raises for what the peer did.

Octets are rendered as late as possible, so that one write has a body, its end mark and the next
transaction's envelope, though that be submitted only in answer to the end of the last; and so that
what came of a streamed body between two writes is one BDAT.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from math import inf
from typing import Final

from txsmtpconn.errors import ConnectionLostError, ProtocolError, SMTPError
from txsmtpconn.session.client.conversation import Conversation, carrier
from txsmtpconn.session.client.dialogue import Dialogue
from txsmtpconn.session.client.events import Event, SessionEnded
from txsmtpconn.session.client.mailing import Mailing
from txsmtpconn.session.client.opening import Opening
from txsmtpconn.session.client.tables import Effect, Expected, State, Verb
from txsmtpconn.session.client.terms import Terms
from txsmtpconn.session.client.transaction import (
    Authenticate,
    Command,
    Operation,
    OwnWords,
    Reset,
    Transaction,
)
from txsmtpconn.session.trace import Trace
from txsmtpconn.wire.extensions import Extensions
from txsmtpconn.wire.reply import Reply

# An Enum's attributes are dear to look up; what every message needs stands here.
_READY: Final = State.READY
_CLOSED: Final = State.CLOSED
_DRAINING: Final = State.DRAINING
#: Where nothing may come from the peer, or nothing of it counts any more.
_DEAF: Final = (State.CONNECTING, State.UPGRADING, State.CLOSED)
#: Where the peer's extensions are known for good.
_OPEN: Final = (State.READY, State.AUTHENTICATING)
#: Where nothing more is taken.
_ENDING: Final = (State.DRAINING, State.QUITTING, State.CLOSED)


@carrier
class ClientSession:
    """One client conversation, from the connection to its end.

    Args:
        terms: What it was told.
        trace: Sees each line; None costs nothing.
    """

    def __init__(self, terms: Terms, trace: Trace | None = None) -> None:
        conversation = Conversation(terms, trace)
        self._conversation = conversation
        self._opening = Opening(conversation, terms)
        self._mailing = Mailing(conversation, terms)
        self.admitted = self._mailing.admitted  # which recipients it may still have (RFC 9422)
        # What has not been begun, in the order of the calls.
        self._queue: deque[Operation] = deque()
        self._dialogue = Dialogue(conversation)
        self._ended = False
        conversation.opened = self._begin_mailing
        conversation.parts[ClientSession] = self

    # -- facts -----------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """Where the session stands."""
        return self._conversation.state

    @property
    def extensions(self) -> Extensions:
        """What the peer offers now; nothing before EHLO and after HELO."""
        return self._conversation.extensions

    @property
    def secure(self) -> bool:
        """Whether TLS was established and the peer's identity verified."""
        return self._conversation.secure

    @property
    def authenticated(self) -> bool:
        """Whether AUTH succeeded."""
        return self._dialogue.succeeded

    @property
    def last_reply(self) -> Reply | None:
        """The last whole reply."""
        return self._conversation.last_reply

    @property
    def begun(self) -> int:
        """How many mail transactions were begun on this connection."""
        return self._mailing.begun

    @property
    def idle(self) -> bool:
        """Whether the session is ready, with nothing under way and nothing waiting."""
        return (
            self._conversation.state is State.READY
            and not self._conversation.owed
            and not self._queue
            and not self._mailing.active
        )

    @property
    def awaiting_replies(self) -> bool:
        """Whether replies are owed behind others, and nothing can leave: time for quick ACKs."""
        owed, before = self._conversation.owed, self._conversation.last_reply
        return bool(owed) and before is not None and self._mailing.rendering is None

    def wants_body(self, transaction: Transaction) -> bool:
        """Whether there is room for another chunk of this transaction's streamed body."""
        return self._mailing.wants_body(transaction)

    # -- inputs ----------------------------------------------------------------------------

    def connection_made(self, now: float) -> Sequence[Event]:
        """The transport is up."""
        self._conversation.started(now)
        self._opening.connection_made()
        return self._report()

    def tls_established(self, now: float, *, verified: bool) -> Sequence[Event]:
        """The handshake that ``TLSAgreed`` asked for is done; ``verified``: and who the peer is."""
        self._conversation.started(now)
        self._opening.tls_established(verified=verified)
        return self._report()

    def receive_data(self, data: bytes, now: float) -> Sequence[Event]:
        """The peer sent octets."""
        conversation = self._conversation
        if conversation.state not in _DEAF:
            conversation.receive_data(data, now)
        elif conversation.state is _CLOSED:
            return ()
        else:
            text = "the server sent something before TLS was established"
            conversation.end(ProtocolError(text, command="STARTTLS"))
        return self._report()

    def connection_lost(self, cause: SMTPError | None, now: float) -> Sequence[Event]:
        """The connection is gone: for ``cause``, or closed by the peer (None)."""
        self._conversation.lost(cause)
        return self._report()

    def drained(self, now: float) -> None:
        """The transport holds nothing of ours any more."""
        self._conversation.drained(now)

    def handle_timer(self, now: float) -> Sequence[Event]:
        """``next_deadline()`` may have passed; too early is no harm."""
        conversation = self._conversation
        deadline = self._deadline()
        if deadline is None or now < deadline[0]:
            return ()
        if conversation.state is State.QUITTING:
            conversation.end(None)
        else:
            conversation.end(conversation.expired(deadline[1]))
        return self._report()

    # -- actions ---------------------------------------------------------------------------

    def submit(self, operation: Operation) -> Sequence[Event]:
        """Queue an operation; all of them leave in the order of the calls."""
        state = self._conversation.state
        error: SMTPError | None = None
        if state in _OPEN:
            if isinstance(operation, Transaction):
                error = self._mailing.admit(operation, self._queue)
        elif state in _ENDING:
            error = ConnectionLostError("the connection is closed", command="API")
        if error is not None:
            return self._refuse(operation, error)
        self._queue.append(operation)
        return ()

    def withdraw(self, operation: Operation, cause: SMTPError) -> Sequence[Event]:
        """Take an operation back: it ends at once, for ``cause``, and harms no other's message.

        What that means for a transaction's delivery depends on how far it has come: see
        ``Mailing.break_off``. A SASL dialogue cannot be left; the session ends with it.
        """
        if operation.ended:
            return ()
        if operation in self._queue:
            self._queue.remove(operation)
            return self._refuse(operation, cause)
        if isinstance(operation, Transaction):
            self._mailing.break_off(operation, cause)
        elif operation is self._dialogue.current:
            self._conversation.end(cause)
        else:
            self._conversation.operation_ended(operation, None, cause)
        return self._report()

    def respond(self, data: bytes | None) -> Sequence[Event]:
        """Answer the challenge received last; None gives the dialogue up (RFC 4954 section 4)."""
        self._dialogue.respond(data)
        return ()

    def say(self, operation: OwnWords, line: bytes) -> None:
        """Say the next line of a caller's own authentication, made by ``dialogue.own_words``."""
        self._dialogue.say(operation, line)

    def conclude(self, operation: OwnWords, *, succeeded: bool) -> Sequence[Event]:
        """End a caller's own authentication; a challenge left open is given up first."""
        self._dialogue.conclude(operation, succeeded=succeeded)
        return self._report()

    def send_body(self, transaction: Transaction, chunk: bytes, now: float) -> Sequence[Event]:
        """Send the next octets of a streamed body."""
        if not transaction.streaming:
            return ()
        self._conversation.moved(now)
        self._mailing.send_body(transaction, chunk)
        return self._report()

    def end_body(self, transaction: Transaction, now: float) -> Sequence[Event]:
        """The streamed body is complete."""
        if not transaction.streaming:
            return ()
        self._conversation.moved(now)
        self._mailing.end_body(transaction)
        return self._report()

    def abort_body(self, transaction: Transaction, cause: SMTPError) -> Sequence[Event]:
        """The source of a streamed body failed: the message must not be completed."""
        if transaction.streaming:
            self._mailing.break_off(transaction, cause)
        return self._report()

    def release_mark(self, transaction: Transaction) -> None:
        """Let the end mark leave that ``MarkDue`` told of."""
        transaction.hold = False

    # -- outputs ---------------------------------------------------------------------------

    def data_to_send(self, now: float) -> bytes:
        """Return ``pieces_to_send(now)`` joined."""
        return b"".join(self.pieces_to_send(now))

    def pieces_to_send(self, now: float) -> Sequence[bytes]:
        """Render all that state, replies and window allow, and return it, once.

        Mail data may be large; it comes in the pieces that it was given in, for nobody to copy.
        """
        conversation, mailing, queue = self._conversation, self._mailing, self._queue
        was_idle = not conversation.owed
        transaction = mailing.rendering
        while True:
            if transaction is not None:
                mailing.render(transaction, now)
                if mailing.rendering is not None:
                    break
                transaction = None
            if not queue or conversation.state is not _READY:
                break
            operation = queue[0]
            if isinstance(operation, Transaction):
                if not mailing.may_begin():
                    break
                queue.popleft()
                transaction = operation
                mailing.begin(transaction, now, len(queue))
            elif conversation.owed or mailing.has_to_settle(operation):
                break
            else:
                queue.popleft()
                self._begin(operation)
        return conversation.take_pieces(now, was_idle=was_idle)

    def next_deadline(self) -> float | None:
        """Return when ``handle_timer`` is to be called next; None while nothing can be late."""
        deadline = self._deadline()
        return None if deadline is None else deadline[0]

    @property
    def patience(self) -> float:
        """How many seconds the timeout has that runs now.

        ``next_deadline()`` only moves away while this does not fall, so a timer that is armed for
        it need not be armed anew before it fires.
        """
        conversation = self._conversation
        name = conversation.running_timeout(self._mailing.rendering)
        return inf if name is None else getattr(conversation.timeouts, name)

    def _deadline(self) -> tuple[float, str] | None:
        return self._conversation.deadline(self._mailing.rendering)

    # -- ends ------------------------------------------------------------------------------

    def _report(self) -> Sequence[Event]:
        """Return the events of the present input; the end of the session ends all operations."""
        conversation = self._conversation
        state = conversation.state
        if state is not _READY:
            if state is _CLOSED and not self._ended:
                self._ended = True
                self._end_all(conversation.cause)
            elif state is _DRAINING and self._queue:
                self._refuse_waiting(self._mailing.drain_cause)
        events = conversation.events
        if not events:
            return ()
        conversation.events = []
        return events

    def _end_all(self, cause: SMTPError | None) -> None:
        conversation = self._conversation
        while self._mailing.active:
            self._mailing.end(self._mailing.active[0], cause)
        owed = [operation for _, operation, _ in conversation.owed]
        for operation in (*owed, self._dialogue.current, self._opening.introduction):
            if operation is not None and not isinstance(operation, Transaction):
                conversation.operation_ended(operation, None, cause)
        # Whoever still holds the dialogue would otherwise end it, and the session be ready again.
        self._dialogue.current = None
        self._refuse_waiting(cause)
        conversation.owed.clear()
        conversation.events.append(SessionEnded(cause))

    def _refuse_waiting(self, cause: SMTPError | None) -> None:
        while self._queue:
            self._turn_away(
                self._queue.popleft(),
                cause or ConnectionLostError("the connection was closed", command="API"),
            )

    def _refuse(self, operation: Operation, cause: SMTPError) -> Sequence[Event]:
        self._turn_away(operation, cause)
        return self._report()

    def _turn_away(self, operation: Operation, cause: SMTPError) -> None:
        if isinstance(operation, Transaction):
            self._mailing.end(operation, cause)
        else:
            self._conversation.operation_ended(operation, None, cause)

    # -- admission -------------------------------------------------------------------------

    def _begin_mailing(self) -> None:
        """The peer's extensions are known: see which of the waiting transactions it can take."""
        self._dialogue.succeeded = False
        self._mailing.open()
        waiting, self._queue = self._queue, deque()
        for operation in waiting:
            error = None
            if isinstance(operation, Transaction):
                error = self._mailing.admit(operation, self._queue)
            if error is None:
                self._queue.append(operation)
            else:
                self._turn_away(operation, error)

    # -- operations other than mail --------------------------------------------------------

    def _begin(self, operation: Operation) -> None:
        conversation = self._conversation
        if isinstance(operation, Command):
            conversation.write(Verb.OTHER, operation.line, operation.expected, operation)
        elif isinstance(operation, (Authenticate, OwnWords)):
            self._dialogue.begin(operation)
        else:
            conversation.enter(State.QUITTING)
            conversation.write(Verb.QUIT, b"QUIT\r\n", Expected.QUIT, operation)

    def _on_operation_ended(
        self, reply: Reply, operation: Operation | None, expected: Expected
    ) -> None:
        assert operation is not None
        if isinstance(operation, Reset) and reply.is_positive:
            self._mailing.reset()
        self._conversation.operation_ended(operation, reply, None)

    def _on_quit_ended(self, reply: Reply, operation: Operation | None, expected: Expected) -> None:
        assert operation is not None
        self._conversation.operation_ended(operation, reply, None)
        self._conversation.end(None)

    #: Which effects of replies this part carries out, and how.
    ACTS: Final = (
        (Effect.OPERATION_ENDED, _on_operation_ended),
        (Effect.QUIT_ENDED, _on_quit_ended),
    )
