"""The server's side of a conversation, sans-I/O: SMTP, message submission and LMTP.

After every input (`connection_made`, `receive_data`, `reply`, `tls_established`, `handle_timer`,
...) call `next_event` until it gives None; then write what `data_to_send` gives, once, and look at
`closing`, `aborting` and `next_deadline`.

An event that is a *question* (see `session.server.events`) stops the session until it is answered:
the next command is not so much as parsed before the reply to the last one is given. So however
late the application answers, replies leave in the order of the commands (RFC 2920 section 3.2).
What arrives meanwhile waits; the caller stops reading when `waiting_octets` grows too large.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from typing import Final

from txsmtpconn.session.server import replies
from txsmtpconn.session.server.commands import ServerCommands
from txsmtpconn.session.server.events import (
    AnswerOverdue,
    AuthContinued,
    AuthStarted,
    Connected,
    DataEnded,
    Event,
    Question,
    Secured,
)
from txsmtpconn.session.server.rules import ServerRules
from txsmtpconn.session.server.tables import Phase, Reading
from txsmtpconn.session.trace import Trace
from txsmtpconn.wire.errors import LocalProtocolError
from txsmtpconn.wire.reply import Reply

# Looked at whenever something happens: to find them in their class takes longer. Subclasses may
# answer otherwise (`ANSWERED`); they all read alike.
_READS: Final = ServerCommands.READS
_GREETING: Final = Reading.GREETING
_HANDSHAKE: Final = Reading.HANDSHAKE
_COMMANDS: Final = Reading.COMMANDS
_CHUNK: Final = Reading.CHUNK
_NOTHING: Final = Reading.NOTHING
_SASL_RESPONSE: Final = Reading.SASL_RESPONSE


class ServerSession(ServerCommands):
    """One conversation with one client.

    Args:
        rules: The server's policy.
        consents: The kinds of question that nobody wants to hear: they are consented to at once.
        trace: Sees each line, named from the client's side; None costs nothing.

    Attributes:
        rules: The same.
        phase: How far the conversation has come.
        reading: What the octets that come next are.
        secure: Whether a TLS handshake of ours has completed.
        identity: Who the client has authenticated as; None before that.
        hello_name: What the client called itself.
        extended: Whether it said EHLO or LHLO and not HELO.
        question: What the application is to answer; None if nothing.
        patience: How many seconds the timeout has that runs now. `next_deadline` only moves away
            while this does not fall, so a timer that is armed for it need not be armed anew
            before it fires.
        closing: Close the connection once all is written.
        aborting: Close it at once: the peer had its time.
    """

    __slots__ = (
        "_blocked",
        "_end",
        "_input_ended",
        "_session_end",
        "_since",
        "aborting",
        "patience",
    )

    def __init__(
        self,
        rules: ServerRules,
        *,
        consents: frozenset[type[Question]] = frozenset(),
        trace: Trace | None = None,
    ) -> None:
        super().__init__(rules, consents=consents, trace=trace)
        self.aborting = False
        self._input_ended = False
        self._blocked = False
        # The timeout that runs now: its seconds, when it began, and where it ends at the latest.
        self.patience = self._end = self._session_end = math.inf
        self._since = 0.0

    @property
    def input_over(self) -> bool:
        """Whether the client said QUIT or closed its half: it sends nothing more."""
        return self._input_ended or self._quit_said

    @property
    def waiting_octets(self) -> int:
        """How much has arrived and was not read yet."""
        backlog = self._backlog
        return 0 if backlog.empty else len(backlog)

    @property
    def transmission_type(self) -> str:
        """How mail comes, as a Received field says it (RFC 3848, RFC 6531 section 4.3)."""
        transaction = self._transaction
        utf8 = transaction is not None and transaction.parameters.smtputf8
        if self.rules.dialect.reply_per_recipient:
            base = "UTF8LMTP" if utf8 else "LMTP"
        else:
            base = "UTF8SMTP" if utf8 else "ESMTP" if self.extended else "SMTP"
        if base == "SMTP":
            return base
        return f"{base}{'S' if self.secure else ''}{'A' if self.identity is not None else ''}"

    @property
    def transactions(self) -> int:
        """How many MAIL commands there were so far, whatever was answered."""
        return self._tally.transactions

    # -- inputs

    def connection_made(self, now: float, *, implicit_tls: bool = False) -> None:
        """Begin. With implicit TLS the caller starts the handshake now (RFC 8314)."""
        timeouts = self.rules.timeouts
        if timeouts.session is not None:
            self._session_end = now + timeouts.session
        if implicit_tls:
            self.reading = Reading.HANDSHAKE
            self._renew(now)
        else:
            self._await_greeting(now)

    def tls_established(self, now: float) -> None:
        """Take note that the handshake has completed; all that was known before is forgotten."""
        self.secure = True
        self._end_transaction()
        self.phase = Phase.HELLO
        self.identity, self.hello_name, self.extended = None, "", False
        self._backlog.clear()
        if self._greeted:
            self.reading = Reading.COMMANDS
            if Secured not in self._consents:
                self._ask(Secured())
            self._renew(now)
        else:
            self._await_greeting(now)

    def _await_greeting(self, now: float) -> None:
        self.reading = Reading.GREETING
        self._greet_at = now + self.rules.greet_delay
        self._ask(Connected())
        self._renew(now)

    def receive_data(self, data: bytes, now: float) -> None:
        """Take octets from the transport."""
        if self.reading is _NOTHING:
            return
        self._backlog.append(data)
        if self.reading is _GREETING and self.question is None:
            self._greet(now)

    def input_ended(self) -> None:
        """Take note that the client sends nothing more, though it may still read replies."""
        self._input_ended = True

    def output_blocked(self, now: float) -> None:
        """Take note that the client does not read its replies."""
        self._blocked = True
        self._renew(now)

    def output_flowing(self, now: float) -> None:
        """Take note that the client reads again."""
        self._blocked = False
        self._renew(now)

    def hold_data(self, now: float) -> None:
        """Stop the clock of the mail data: whoever takes it is not ready for more."""
        if self._pace is not None:
            self._pace.hold(now)
            self._renew(now)

    def take_data(self, now: float) -> None:
        """Let the clock of the mail data run again."""
        if self._pace is not None:
            self._pace.go_on(now)
            self._renew(now)

    def shut_down(self, now: float) -> None:
        """End the session: at once, or behind the reply to the mail data that is under way."""
        self._draining = True
        if self._mail_data is None:
            self._show_out(replies.SHUTTING_DOWN)
        self._renew(now)

    def handle_timer(self, now: float) -> bool:
        """Act on the deadline if it has passed; tell whether it has."""
        if now < self.next_deadline():
            return False
        if self._blocked or self.reading in (_NOTHING, _HANDSHAKE):
            self._leave()
            self.aborting = True
        elif self.question is not None or (self._pace is not None and self._pace.held):
            self._facts.append(AnswerOverdue())
        elif self.reading is _GREETING:
            self._greet(now)
        elif now >= self._session_end:
            self._show_out(replies.SESSION_TOO_LONG)
        else:
            self._show_out(replies.TIMED_OUT)
        self._renew(now)
        return True

    # -- outputs

    def next_event(self, now: float) -> Event | None:
        """Return the next fact, or None once there is nothing to do before the next input."""
        facts = self._facts
        while not facts:
            if self.question is None:
                # An empty chunk is whole without an octet.
                if (not self._backlog.empty or self.reading is _CHUNK) and _READS[self.reading](
                    self, now
                ):
                    self._moved = True
                    continue
                if self._input_ended and self.reading is not _NOTHING:
                    self._leave()
                    continue
            if self._moved:
                self._renew(now)
            return None
        return facts.popleft()

    def data_to_send(self) -> bytes:
        """Return all that is to be written now."""
        out = self._out
        if not out:
            return b""
        self._out = []
        return b"".join(out)

    def next_deadline(self) -> float:
        """Return when `handle_timer` is to be called."""
        return min(self._since + self.patience, self._end)

    # -- answers

    def reply(self, reply: Reply | None, now: float) -> None:
        """Answer the question in hand.

        Args:
            reply: None accepts in the session's own words; a code from 400 refuses. At the end of
                mail data in LMTP it holds for every accepted recipient.
            now: The time.

        Raises:
            LocalProtocolError: There is no question.
        """
        question, self.question = self.question, None
        if question is None:
            raise LocalProtocolError("there is no question to answer")
        self._moved = True
        self.ANSWERED[type(question)](self, question, reply, now)

    def reply_each(self, answers: Sequence[Reply | None], now: float) -> None:
        """Answer the end of mail data for each accepted recipient in order.

        That is so in LMTP (RFC 2033 section 4.2), and where MAIL has asked for it (PRDR).

        Raises:
            LocalProtocolError: It is not the question, the dialect has one reply for all, or the
                number of answers is not that of the accepted recipients.
        """
        transaction = self._transaction
        if not isinstance(self.question, DataEnded) or transaction is None:
            raise LocalProtocolError("there is no end of mail data to answer")
        divided = not self.rules.dialect.reply_per_recipient
        if divided and not transaction.parameters.prdr:
            raise LocalProtocolError(f"{self.rules.dialect.name} has one reply for all recipients")
        if len(answers) != len(transaction.recipients):
            raise LocalProtocolError(
                f"{len(answers)} answers for {len(transaction.recipients)} accepted recipients"
            )
        self.question = None
        self._moved = True
        told = [answer or replies.MESSAGE_OK for answer in answers]
        if divided and len(told) > 1:
            # draft-hall-prdr section 4.5: each recipient's reply, and then one for the message.
            self._say(replies.EACH_FOLLOWS)
            told.append(replies.overall(told))
        self._end_data(told)

    def challenge(self, data: bytes, now: float) -> None:
        """Answer a step of a SASL dialogue with a challenge (RFC 4954 section 4).

        Raises:
            LocalProtocolError: There is no such dialogue.
        """
        if not isinstance(self.question, (AuthStarted, AuthContinued)):
            raise LocalProtocolError("there is no SASL dialogue to go on with")
        self.question = None
        self._moved = True
        self._say(Reply(334, (base64.b64encode(data),)))
        self.reading = Reading.SASL_RESPONSE

    def refuse_data(self, reply: Reply) -> None:
        """Refuse the mail data that is under way; what is left of it is swallowed first."""
        if self._mail_data is None:
            raise LocalProtocolError("there is no mail data to refuse")
        self._mail_data.refuse(reply)
        self._mail_data.abandoned = True

    def authenticated(self, identity: str, now: float) -> None:
        """End a SASL dialogue with success.

        Raises:
            LocalProtocolError: There is no such dialogue.
        """
        if not isinstance(self.question, (AuthStarted, AuthContinued)):
            raise LocalProtocolError("there is no SASL dialogue to end")
        self.identity = identity
        self.reply(None, now)

    # -- time

    def _renew(self, now: float) -> None:
        """Begin the timeout that fits what the session waits for."""
        self._moved, self._since, self._end = False, now, math.inf
        timeouts, reading, pace = self.rules.timeouts, self.reading, self._pace
        if self._blocked:
            self.patience = timeouts.block
        elif self.question is not None:
            ending = isinstance(self.question, DataEnded)
            self.patience = timeouts.mark if ending else timeouts.answer
        elif pace is not None and pace.held:
            self.patience = timeouts.mark
        elif reading is _COMMANDS or reading is _SASL_RESPONSE:
            self.patience, self._end = timeouts.command, self._session_end
        elif pace is not None:
            self.patience, self._end = pace.deadline(now) - now, self._session_end
        elif reading is _GREETING:
            self.patience = self._greet_at - now
        else:
            self.patience = timeouts.tls if reading is _HANDSHAKE else timeouts.close
