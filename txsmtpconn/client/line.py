"""A session joined to its transport and its clock: the one place that writes and arms timers.

Whatever happens to a connection (octets, a timer, a call of the user's) is an input of the
session, and every input goes through `Line.take`: act on the events, then write once, then arm
the deadline.  Acting on an event may make further inputs, as a fired Deferred may send the next
message; those are acted on within, and the write waits for the outermost one.  So a body, its end
mark and the next envelope leave in one write, and each round trip costs one system call.  A
streamed body leaves in bursts, one write for each, between which the reactor has its turn.

The line also keeps the order of the user's calls.  Most of them can be submitted to the session
as soon as it is ready; a few (a login, a message whose first chunk is awaited) need a while before
what follows may be submitted.  They take turns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from math import inf
from typing import Any, Final, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from txsmtpconn.client.outlet import Outlet
from txsmtpconn.client.pump import BodyPump
from txsmtpconn.errors import ConnectionLostError, SMTPError
from txsmtpconn.net.deadline import Deadline
from txsmtpconn.net.tls import let_go
from txsmtpconn.session.client.events import (
    BodyUnwanted,
    BodyWanted,
    ChallengeReceived,
    Event,
    MarkDue,
    OperationEnded,
    Ready,
    SessionEnded,
    TLSAgreed,
    TransactionEnded,
    WordsAnswered,
)
from txsmtpconn.session.client.session import ClientSession

#: What those are told who wait for something of a session that was quit; each is given a copy.
QUIT = ConnectionLostError("the connection was quit", command="API")

#: Chunks of a streamed body that are written together: 256 KiB, half of what a session's window has
#: room for, so that one half can be answered while the other leaves.
_BURST = 4


class Owner(Protocol):
    """Who has the transport."""

    def start_tls(self) -> None:
        """Begin a handshake."""

    def session_ready(self) -> None:
        """Take note that mail may be sent."""

    def session_ended(self, cause: SMTPError | None) -> None:
        """Close the transport."""


class Turn(Protocol):
    """A call of the user's that waits for its place in the order."""

    def start(self) -> bool:
        """Submit what is to be submitted; return whether the next turn may start at once."""

    def fail(self, cause: SMTPError) -> None:
        """End the call: its turn will never come."""


class Line:
    """What all calls on one connection share.

    Attributes:
        session: The conversation.
        transport: Where octets go; None before the connection and after it.
        pump: The streamed body under way.
        choked: Whether the transport's buffer is full.
        over: Whether the session has ended.
        note: Writes an event of the session's life to the log; None where there is none.
    """

    __slots__ = (
        "_acting",
        "_clock",
        "_deadline",
        "_holder",
        "_next_burst",
        "_open",
        "_outlet",
        "_owner",
        "_patience",
        "_turns",
        "choked",
        "note",
        "now",
        "over",
        "pump",
        "session",
        "transport",
    )

    def __init__(self, session: ClientSession, clock: IReactorTime, owner: Owner) -> None:
        self.transport: Any = None
        self.pump: BodyPump | None = None
        self.choked = False
        self.over = False
        self.note: Callable[..., None] | None = None
        self._acting = False
        self._open = False
        # The session's when the timer was armed.
        self._patience = inf
        self._holder: Turn | None = None
        self._outlet: Outlet | None = None
        # Due as soon as the reactor has had its turn.
        self._next_burst: IDelayedCall | None = None
        self.session = session
        self.now: Callable[[], float] = clock.seconds
        self._clock = clock
        self._owner = owner
        self._deadline = Deadline(clock, self._expired)
        self._turns: deque[Turn] = deque()

    # -- inputs

    def connected(self, transport: Any) -> None:
        """Take the transport that has come up."""
        self.transport = transport
        self._outlet = Outlet(transport)
        self.take(self.session.connection_made(self.now()))

    def take(self, events: Sequence[Event] = ()) -> None:
        """Act on what an input of the session returned, then write and arm the deadline."""
        if self._acting:
            # Made while acting on an earlier input, whose call writes.
            for event in events:
                _ACTS[type(event)](self, event)
            return
        self._acting = True
        try:
            for event in events:
                _ACTS[type(event)](self, event)
        finally:
            self._acting = False
        self.flush()
        if self.pump is not None:
            self._stream()

    def end(self, cause: SMTPError | None) -> None:
        """End the session for a reason of ours, or because the connection is gone."""
        self.take(self.session.connection_lost(cause, self.now()))

    def closed(self) -> None:
        """Let go of everything that would keep a reactor busy, and of who would keep us."""
        if self.transport is None:
            # There never was one; or a wrapper of the caller's says twice that it is gone.
            return
        let_go(self.transport)
        self.transport = self._outlet = None
        self._deadline.cancel()
        # Whatever comes now is for the session, which has ended, to refuse.
        del self._deadline, self._owner
        if self._next_burst is not None:
            self._next_burst.cancel()

    def close_within(self, seconds: float) -> None:
        """Close the transport once it holds nothing, or abort it when that takes longer."""
        if self._outlet is not None:
            self._outlet.close()
        if self.transport is not None:
            self._deadline.set(self.now() + seconds)

    # -- back-pressure: the transport's side

    def pause(self) -> None:
        """The transport holds more than it wants to."""
        self.choked = True

    def resume(self) -> None:
        """The transport holds nothing any more."""
        self.choked = False
        self.session.drained(self.now())
        self.take()

    # -- turns

    def enter(self, turn: Turn) -> None:
        """Start a call, or let it wait for its turn."""
        if self._open and self._holder is None and not self._turns:
            if not turn.start():
                self._holder = turn
        else:
            self._turns.append(turn)

    def leave(self, turn: Turn) -> None:
        """Give a turn up, whether it waits or has started; those behind it go on."""
        if self._holder is turn:
            self._holder = None
            self._advance()
        elif turn in self._turns:
            self._turns.remove(turn)

    def _advance(self) -> None:
        turns = self._turns
        while self._open and turns and self._holder is None:
            turn = turns.popleft()
            if not turn.start():
                self._holder = turn

    # -- events: an operation without a tag belongs to a call that has been answered already

    def _on_transaction_ended(self, event: TransactionEnded) -> None:
        tag: Any = event.transaction.tag
        if tag is not None:
            tag.transaction_ended()

    def _on_operation_ended(self, event: OperationEnded) -> None:
        operation = event.operation
        tag: Any = operation.tag
        operation.tag = None
        if tag is not None:
            tag.operation_ended(event.reply, event.error)

    def _on_dialogue_event(self, event: ChallengeReceived | WordsAnswered) -> None:
        tag: Any = event.operation.tag
        if tag is not None:
            tag.dialogue_event(event)

    def _on_body_event(self, event: BodyWanted | BodyUnwanted | MarkDue) -> None:
        tag: Any = event.transaction.tag
        if tag is not None:
            tag.body_event(event)

    def _on_tls_agreed(self, _: TLSAgreed) -> None:
        self._owner.start_tls()

    def _on_ready(self, _: Ready) -> None:
        self._open = True
        self._owner.session_ready()
        self._advance()

    def _on_session_ended(self, event: SessionEnded) -> None:
        cause = event.cause
        self.over = True
        # Calls that come later are refused by the session itself.
        self._open = True
        self._owner.session_ended(cause)
        turns, self._turns = self._turns, deque()
        holder, self._holder = self._holder, None
        if holder is not None:
            turns.appendleft(holder)
        for turn in turns:
            turn.fail(cause or QUIT)

    #: What is done about each kind of event.
    ACTS: Final[dict[type[Event], Callable[[Line, Any], None]]] = {
        TransactionEnded: _on_transaction_ended,
        OperationEnded: _on_operation_ended,
        ChallengeReceived: _on_dialogue_event,
        WordsAnswered: _on_dialogue_event,
        BodyWanted: _on_body_event,
        BodyUnwanted: _on_body_event,
        MarkDue: _on_body_event,
        TLSAgreed: _on_tls_agreed,
        Ready: _on_ready,
        SessionEnded: _on_session_ended,
    }

    # -- outputs

    def flush(self) -> None:
        """Write what may leave now, and arm the deadline."""
        outlet = self._outlet
        if outlet is None:
            return
        session = self.session
        now = self.now()
        pieces = session.pieces_to_send(now)
        if pieces:
            outlet.write(pieces)
            if not self.choked:
                session.drained(now)
        elif session.awaiting_replies:
            # Some replies were read, others are owed, and nothing leaves that could carry an ACK.
            outlet.acknowledge_quickly()
        # Unless a shorter timeout runs, its end only moves away: the timer will see for itself.
        patience = session.patience
        if patience < self._patience:
            self._patience = patience
            deadline = session.next_deadline()
            if deadline is not None:
                self._deadline.set(deadline)

    def _stream(self) -> None:
        """Move the streamed body while nothing holds it back."""
        while self._next_burst is None and self.pump is not None and self.pump.ready:
            hurries = self._outlet is not None and self._outlet.hurries
            self._acting = True
            try:
                self.pump.run(_BURST if hurries else 1)
            finally:
                self._acting = False
            self.flush()
            if hurries:
                # The transport may never have held any of it, and so not tell when to go on.
                self._next_burst = self._clock.callLater(0, self._go_on)

    def _go_on(self) -> None:
        self._next_burst = None
        self.take()

    def _expired(self) -> None:
        self._patience = inf
        if self.over:
            # The transport has had its time to say farewell.
            abort(self.transport)
        else:
            self.take(self.session.handle_timer(self.now()))


_ACTS: Final = Line.ACTS  # found sooner than through an instance


def abort(transport: Any) -> None:
    """Close a transport now, whatever it holds; one of the caller's may only know how to lose."""
    if transport is None:
        return
    close = getattr(transport, "abortConnection", None) or transport.loseConnection
    close()
