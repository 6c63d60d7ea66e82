"""What all parts of a client session share: state, octets, owed replies and clocks.

A reply belongs to the command that it answers, and commands are answered in order. So each
command that leaves is entered in a queue of owed replies, together with the operation that it
serves; the table in ``session.client.tables`` says what the reply then does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any, Final, TypeVar

from txsmtpconn.errors import ConnectionLostError, DeadlineError, ProtocolError, SMTPError
from txsmtpconn.session.client.events import Event, OperationEnded
from txsmtpconn.session.client.flights import AWAITED, Awaited, Flight, Phrase, Phrases
from txsmtpconn.session.client.tables import (
    FIRST_CODE,
    MAY_LEAVE,
    Effect,
    Expected,
    State,
    Verb,
)
from txsmtpconn.session.client.terms import Terms
from txsmtpconn.session.client.transaction import Operation, Phase, Transaction
from txsmtpconn.session.secrets import concealed, without_secrets
from txsmtpconn.session.trace import Direction, Trace
from txsmtpconn.wire.errors import LocalProtocolError, RemoteProtocolError
from txsmtpconn.wire.extensions import EMPTY, Extensions
from txsmtpconn.wire.limits import RECEIVED_EXCERPT
from txsmtpconn.wire.reply import Reply, ReplyParser

_T = TypeVar("_T")

_MARK_AWAITED: Final = AWAITED[Expected.MARK]

#: An Enum's attributes are dear to look up; what every read needs stands here.
_CLOSED: Final = State.CLOSED
_BODY: Final = Phase.BODY

#: Who carries each ``Effect`` out: a class among a session's parts, and its method, which takes the
#: reply, the operation and what the reply answered. One table for all sessions: to bind the methods
#: for each would cost more than all else at its beginning.
_CARRIERS: Final[list[Any]] = [None] * len(Effect)


def carrier(part: type[_T]) -> type[_T]:
    """Let a class carry the effects out that its ``ACTS`` names; ``parts`` has its instance."""
    for effect, act in vars(part)["ACTS"]:
        _CARRIERS[effect] = (part, act)
    return part


@carrier
class Conversation:
    """The line between a client session and its peer.

    Attributes:
        state: Where the session stands.
        extensions: What the peer offers now; empty before EHLO and after HELO.
        secure: Whether TLS was established, and the peer passed whatever check there is.
        verified: Whether that check has made sure that the peer is who it should be.
        last_reply: The last whole reply.
        events: What is to be reported at the end of the present input.
        owed: What replies are awaited for, each with its operation and the octets that asked.
        unanswered: Octets of commands and chunks among those.
        cause: Why the session is closed, once it is.
        secrets: What was said in a SASL dialogue, while the peer may quote it.
        parts: The parts of the session by their classes: who acts on replies.
        opened: Called once the peer's extensions are known for good.
    """

    # At most thirty attributes, and no defaults in the class: then each is found at once.

    def __init__(self, terms: Terms, trace: Trace | None) -> None:
        self.state = State.CONNECTING
        self.extensions: Extensions = EMPTY
        self.secure = False
        self.verified = False
        self.last_reply: Reply | None = None
        self.cause: SMTPError | None = None
        self.unanswered = 0
        self.secrets: tuple[bytes, ...] = ()
        self.opened: Callable[[], None] | None = None
        # When the oldest owed reply became the oldest.
        self._waiting_since = 0.0
        # When mail data last moved, or the transport last took all that it was given.
        self._progress = 0.0
        # When the last octet went either way.
        self._activity = 0.0
        # Whether the transport still holds octets of ours.
        self._undrained = False
        self.timeouts = terms.timeouts
        self.parser = ReplyParser(terms.limits)
        self.trace = trace
        self.events: list[Event] = []
        self.owed: deque[tuple[Awaited, Operation | None, int]] = deque()
        self._phrases = Phrases()
        self._out: list[bytes] = []
        self._may_leave = MAY_LEAVE[State.CONNECTING]
        self.parts: dict[type, Any] = {Conversation: self}

    def enter(self, state: State) -> None:
        """Go to another state."""
        self.state = state
        self._may_leave = MAY_LEAVE[state]

    def end(self, cause: SMTPError | None) -> None:
        """Close the session; the first cause is kept."""
        if self.state is not State.CLOSED:
            self.cause = cause
            self.enter(State.CLOSED)
            self._out.clear()
            # No reply does anything any more; and no part of the session, which know all of this,
            # is left to be found by the collector of cycles, whose search costs more than an end.
            self.parts = {}
            self.opened = None

    def operation_ended(
        self, operation: Operation, reply: Reply | None, error: SMTPError | None
    ) -> None:
        """Report the end of an operation that is no transaction, once."""
        if not operation.ended:
            operation.ended = True
            self.events.append(OperationEnded(operation, reply, error))

    def lost(self, cause: SMTPError | None) -> None:
        """Close the session as its transport is gone: for ``cause``, or by the peer (None)."""
        if self.state is State.QUITTING:
            self.end(None)
        elif self.state is not State.CLOSED:
            # What was begun to be said may tell why; it decides nothing.
            said = self.readable(self.parser.residue) or None
            text = "the connection was closed"
            self.end(cause or ConnectionLostError(text, response=said, command=self.command))

    # -- out -------------------------------------------------------------------------------

    def write(
        self,
        verb: Verb,
        line: bytes,
        expected: Expected,
        operation: Operation | None,
        shown: bytes | None = None,
        behind: int = 0,
    ) -> None:
        """Render a command line, and owe a reply that answers it for this operation.

        ``shown`` is what a transcript may show of a line that holds a secret. ``behind`` counts
        the octets of a chunk that comes next and that the same reply answers.
        """
        if not self._may_leave[verb]:
            raise LocalProtocolError(f"{verb.name} may not leave in state {self.state.name}")
        if self.trace is not None:
            self.trace(Direction.SENT, line[:-2] if shown is None else shown, shown is not None)
        self._out.append(line)
        octets = len(line) + behind
        self.owed.append((AWAITED[expected], operation, octets))
        self.unanswered += octets

    def write_lines(
        self,
        verb: Verb,
        lines: bytes,
        sizes: Sequence[int],
        expected: Expected,
        operation: Operation,
    ) -> None:
        """Render several commands of a kind; ``sizes`` are the octets of each, and all is shown."""
        if not self._may_leave[verb]:
            raise LocalProtocolError(f"{verb.name} may not leave in state {self.state.name}")
        if self.trace is not None:
            self._trace_lines(lines)
        self._out.append(lines)
        self.owed.extend(zip(repeat(AWAITED[expected]), repeat(operation), sizes))
        self.unanswered += len(lines)

    def write_flight(
        self, flight: Flight, lines: bytes, operation: Operation, data: bytes = b""
    ) -> None:
        """Render the commands of a flight, which are short, in one piece.

        ``data`` is the chunk that the last of them announces.
        """
        if self.state not in flight.states:
            raise LocalProtocolError(f"mail may not leave in state {self.state.name}")
        if self.trace is not None:
            self._trace_lines(lines)
        self._out.append(lines)
        if data:
            self.write_mail_data(data)
        # They count as one: in flight until the last of them is answered.
        octets = len(lines) + len(data)
        self.owed.append((flight.awaited, operation, octets))
        self.unanswered += octets

    def _trace_lines(self, lines: bytes) -> None:
        assert self.trace is not None
        for line in lines.split(b"\r\n")[:-1]:
            self.trace(Direction.SENT, line, False)

    def write_mail_data(self, data: bytes) -> None:
        """Render mail data."""
        if self.trace is not None and data:
            self.trace(Direction.CONTENT, data, False)
        self._out.append(data)

    def expect(
        self,
        expected: Expected,
        operation: Operation | None,
        *,
        first: bool = False,
    ) -> None:
        """Owe a reply that no command asks for: a greeting, the mark's, one more for the mark."""
        entry = (AWAITED[expected], operation, 0)
        if first:
            self.owed.appendleft(entry)
        else:
            self.owed.append(entry)

    def expect_mark(self, operation: Operation) -> None:
        """Owe the mark's reply, in the place of that to the mail data before it."""
        self.owed[-1] = (_MARK_AWAITED, operation, 0)

    def take_pieces(self, now: float, *, was_idle: bool) -> Sequence[bytes]:
        """Return all that was rendered, once."""
        if was_idle and self.owed:
            self._waiting_since = now
        out = self._out
        if not out:
            return ()
        self._out = []
        self._activity = self._progress = now
        self._undrained = True
        return out

    # -- in --------------------------------------------------------------------------------

    def receive_data(self, data: bytes, now: float) -> None:
        """Let each whole reply do what the table says."""
        self._activity = now
        parser, owed, parts, trace = self.parser, self.owed, self.parts, self.trace
        parser.receive_data(data)
        next_reply = self._next_unquoted if self.secrets else parser.next_reply
        phrases = self._phrases.known
        try:
            while self.state is not _CLOSED:
                if phrases and owed:
                    phrase = phrases.get(owed[0][0])
                    if phrase is not None and parser.skip(phrase[0]):
                        self._take_phrase(phrase, now)
                        continue
                reply = next_reply()
                if reply is None:
                    return
                self.last_reply = reply
                if trace is not None:
                    self._trace_reply(reply)
                if owed:
                    entry, operation, octets = owed[0]
                    if entry.rest is None:
                        owed.popleft()
                        self.unanswered -= octets
                    else:
                        owed[0] = (entry.rest, operation, octets)
                    if entry.flight is not None:
                        self._phrases.hear(entry, reply)
                    self._waiting_since = now
                    part, act = _CARRIERS[entry.effects[reply.code - FIRST_CODE]]
                    act(parts[part], reply, operation, entry.expected)
                elif reply.code == 421:
                    self.end(ConnectionLostError("the server closed the session", reply=reply))
                else:
                    self.end(ProtocolError("a reply came though nothing was asked", reply=reply))
        except RemoteProtocolError as error:
            received = self.readable(error.received)
            self.end(ProtocolError(str(error), response=received, command=self.command))

    def _take_phrase(self, phrase: Phrase, now: float) -> None:
        """Let replies to a flight, known as a whole, do what each of them would do."""
        _, replies, steps, rest = phrase
        owed, parts = self.owed, self.parts
        _, operation, octets = owed[0]
        if rest is None:
            owed.popleft()
            self.unanswered -= octets
        else:
            owed[0] = (rest, operation, octets)
        self._waiting_since = now
        self.last_reply = replies[-1]
        if self.trace is not None:
            for reply in replies:
                self._trace_reply(reply)
        for effect, reply, expected in steps:
            part, act = _CARRIERS[effect]
            act(parts[part], reply, operation, expected)

    def take_repeats(self, reply: Reply, most: int) -> int:
        """Take the reply just acted on for the next commands, too, where it comes again for them.

        Args:
            reply: It.
            most: How many of the next owed replies answer such a command for the same operation.

        Returns:
            For how many commands it came again.
        """
        count = self.parser.repeats(reply, most)
        if self.trace is not None:
            for _ in range(count):
                self._trace_reply(reply)
        take = self.owed.popleft
        self.unanswered -= sum([take()[2] for _ in range(count)])
        return count

    def _next_unquoted(self) -> Reply | None:
        """Give the next reply to a dialogue: a challenge as it came, others without our secrets."""
        reply = self.parser.next_reply()
        if reply is None or reply.code == 334:
            return reply
        return without_secrets(reply, self.secrets)

    def readable(self, octets: bytes) -> str:
        """Return what an error may show of octets that are no reply."""
        shown = concealed(octets, self.secrets)[:RECEIVED_EXCERPT]
        return shown.decode("utf-8", "backslashreplace")

    def _trace_reply(self, reply: Reply) -> None:
        assert self.trace is not None
        # A challenge may hold what a dialogue wants to keep; its text tells a reader nothing.
        if self.state is State.AUTHENTICATING and reply.code == 334:
            self.trace(Direction.RECEIVED, b"334", True)
            return
        last = len(reply.octets) - 1
        for index, line in enumerate(reply.octets):
            separator = b" " if index == last else b"-"
            self.trace(Direction.RECEIVED, b"%d%b%b" % (reply.code, separator, line), False)

    def _on_violation(self, reply: Reply, operation: Operation | None, expected: Expected) -> None:
        self.expect(expected, operation, first=True)
        text = f"the reply makes no sense after {expected.text}"
        self.end(ProtocolError(text, reply=reply, command=_command(expected)))

    def _on_closing(self, reply: Reply, operation: Operation | None, expected: Expected) -> None:
        """RFC 5321 section 3.8: whatever 421 answers, the server is going."""
        if isinstance(operation, Transaction) and expected is not Expected.RSET:
            operation.note_closing(reply, expected)
        else:
            self.expect(expected, operation, first=True)
        text = "the server closed the session"
        self.end(ConnectionLostError(text, reply=reply, command=_command(expected)))

    #: Which effects of replies are carried out here, and how.
    ACTS: Final = ((Effect.VIOLATION, _on_violation), (Effect.CLOSING, _on_closing))

    @property
    def command(self) -> str | None:
        """What the oldest owed reply will answer, as errors name it."""
        return _command(self.owed[0][0].expected) if self.owed else None

    # -- time ------------------------------------------------------------------------------

    def started(self, now: float) -> None:
        """Set the clocks: the transport, or TLS, has come up."""
        self._waiting_since = self._progress = self._activity = now

    def moved(self, now: float) -> None:
        """Mail data has moved."""
        self._progress = now

    def drained(self, now: float) -> None:
        """The transport holds nothing unsent any more: from here the peer is the slow one."""
        if self._undrained:
            self._undrained = False
            self._activity = self._progress = now

    def deadline(self, rendering: Transaction | None) -> tuple[float, str] | None:
        """Return the next deadline and the name of its timeout; None while nothing can be late.

        Args:
            rendering: The transaction of which something has still to leave.
        """
        name = self.running_timeout(rendering)
        if name is None:
            return None
        timeouts = self.timeouts
        inactive = self._activity + timeouts.inactivity
        if name == "inactivity":
            since = self._activity
        elif name == "mark" or name == "block":
            since = max(self._waiting_since, self._progress)
        else:
            since = self._waiting_since
        due = since + float(getattr(timeouts, name))
        return (due, name) if due <= inactive else (inactive, "inactivity")

    def running_timeout(self, rendering: Transaction | None) -> str | None:
        """Return the name of the timeout that runs now, beside that for inactivity."""
        if self.owed:
            name = self.owed[0][0].timeout
            return "block" if name == "mark" and self._undrained else name
        state = self.state
        if state is State.UPGRADING:
            return "tls"
        if state is _CLOSED or state is State.CONNECTING:
            return None
        streaming = rendering is not None and rendering.phase is _BODY
        return "block" if streaming else "inactivity"

    def expired(self, name: str) -> DeadlineError:
        """Return what to say when the timeout of that name has run out."""
        waited = getattr(self.timeouts, name)
        command = self.command
        if name == "inactivity":
            text = f"nothing moved for {waited:g} s"
        elif name == "tls":
            text, command = f"the TLS handshake took longer than {waited:g} s", "STARTTLS"
        elif name == "greeting":
            text = f"no greeting within {waited:g} s"
        elif name == "block":
            text, command = f"mail data did not move for {waited:g} s", "DATA"
        else:
            text = f"no reply to {command} within {waited:g} s"
        return DeadlineError(text, command=command)


def _command(expected: Expected) -> str:
    if expected is Expected.GREETING:
        return "CONN"
    if expected in (Expected.BODY, Expected.MARK, Expected.VERDICT):
        return "DATA"
    return expected.text
