"""Operations of a client session; above all the mail transaction and what became of it.

``Transaction.outcomes`` is the only place that decides a recipient's ``Delivery``. It works
on facts that the session wrote down: what left, and what was answered.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import IntEnum
from itertools import zip_longest
from typing import Final

from txsmtpconn.envelope import Envelope
from txsmtpconn.errors import EnvelopeError, MessageError, ProtocolError, SMTPError
from txsmtpconn.outcome import Delivery, RecipientOutcome
from txsmtpconn.session.client.tables import Expected
from txsmtpconn.wire.reply import Reply
from txsmtpconn.wire.transparency import LineEnds, Stuffing

# An Enum's attributes are dear to look up; what every recipient needs stands here.
_ACCEPTED: Final = Delivery.ACCEPTED


class Operation:
    """Something asked of a session, which ends exactly once.

    Attributes:
        tag: The caller's own. The session never looks at it.
        ended: Whether its last event has been reported.
    """

    __slots__ = ("ended", "tag")

    def __init__(self) -> None:
        self.tag: object = None
        self.ended = False


class Authenticate(Operation):
    """One SASL dialogue (RFC 4954).

    Attributes:
        mechanism: Its registered name, as it goes on the wire.
        initial: The initial response, or None to wait for a challenge.
        secrets: What no reply to it may quote, besides the responses themselves.
    """

    rounds = 0
    #: Whether a challenge awaits its response.
    challenged = False
    #: Why we gave the dialogue up, where we did.
    given_up: SMTPError | None = None

    def __init__(
        self,
        mechanism: str,
        initial: bytes | None = None,
        *,
        secrets: tuple[bytes, ...] = (),
    ) -> None:
        super().__init__()
        self.mechanism = mechanism
        self.initial = initial
        self.secrets = secrets

    def __repr__(self) -> str:
        return f"Authenticate({self.mechanism!r})"


class OwnWords(Operation):
    """An authentication in the caller's own words: lines out, replies in, until it is concluded.

    Attributes:
        mechanism: What it is called.
        line: The first line, made by ``wire.commands.command_line``.
        secrets: What no reply to it may quote, besides what is said.
        reply: The last reply, if there was one.
    """

    rounds = 0
    #: Whether it is our turn to speak.
    answered = False
    reply: Reply | None = None
    given_up: SMTPError | None = None

    def __init__(self, mechanism: str, line: bytes, *, secrets: tuple[bytes, ...] = ()) -> None:
        super().__init__()
        self.mechanism = mechanism
        self.line = line
        self.secrets = secrets

    @property
    def challenged(self) -> bool:
        """Whether a challenge awaits its response."""
        return self.answered and self.reply is not None and self.reply.code == 334

    def __repr__(self) -> str:
        return f"OwnWords({self.mechanism!r})"


class Command(Operation):
    """A single command and its reply.

    Attributes:
        line: The octets to write, made by ``wire.commands.command_line``.
        name: How errors call it.
    """

    #: What its reply is.
    expected = Expected.OPERATION
    #: Whether it may not stand in a mail transaction.
    outside = False

    def __init__(self, line: bytes, name: str) -> None:
        super().__init__()
        self.line = line
        self.name = name


class Reset(Command):
    """RSET, asked for by the caller."""

    def __init__(self) -> None:
        super().__init__(b"RSET\r\n", "RSET")


class Noop(Command):
    """NOOP."""

    def __init__(self) -> None:
        super().__init__(b"NOOP\r\n", "NOOP")


class Forward(Command):
    """XFORWARD: where the next message comes from."""

    outside = True

    def __init__(self, line: bytes) -> None:
        super().__init__(line, "XFORWARD")


class Introduction(Command):
    """XCLIENT: whom the peer is to take us for. The session begins anew behind it."""

    expected = Expected.XCLIENT
    outside = True

    def __init__(self, line: bytes) -> None:
        super().__init__(line, "XCLIENT")


class Quit(Operation):
    """QUIT, behind everything that was asked for before it."""


class Phase(IntEnum):
    """How far a mail transaction has come; it only grows."""

    QUEUED = 0
    #: MAIL has left; RCPT and DATA may have.
    ENVELOPE = 1
    #: Mail data is running.
    BODY = 2
    #: The end mark has left: only a complete reply decides now.
    MARKED = 3
    ENDED = 4


_QUEUED: Final = Phase.QUEUED
_MARKED: Final = Phase.MARKED


class Transaction(Operation):
    """One mail transaction on the wire. A message may need several.

    Attributes:
        envelope: Reverse-path, recipients and parameters.
        body: The whole mail data, or None where it is streamed.
        size: Octets of the mail data if known; a streamed body may leave it None.
        eight_bit: Whether the mail data is known to hold octets above 127.
        hold: Wait for ``release_mark`` before the end mark leaves.
        chunked: Whether the mail data goes by BDAT. Decided when it starts.
        mail_reply: The reply to MAIL.
        rcpt_replies: Replies to RCPT, in the order of the recipients.
        data_reply: The reply to DATA, unless it was 354.
        refusal: A refusal that came while mail data was running, or of a chunk.
        final_replies: Replies to the end mark: one; or in LMTP, and behind a 353 (PRDR), one for
            each accepted recipient.
        overall: Behind these, where they follow a 353, the reply to the message as a whole.
        cause: Why it ended without a reply that decides.
        octets: Octets of mail data that have left, with transparency but without BDAT commands.
        begun_at: When MAIL was rendered, in the caller's time; 0.0 before that.
        body_at: When mail data could leave; with BDAT, where nothing is waited for, at once.
        mark_left: Whether the end mark has been handed to the transport.
        prdr: Whether MAIL asks for a reply for each recipient (draft-hall-prdr).
        reply_per_recipient: Whether the n-th final reply is that of the n-th accepted recipient.
    """

    # fmt: off
    __slots__ = (
        "accepted", "asked", "begun_at", "body", "body_at", "cause", "chunked", "crowded",
        "data_asked", "data_reply", "divided", "eight_bit", "encoder", "envelope", "final_replies",
        "given", "hold", "lone_dot", "mail_refused", "mail_reply", "mark_left", "octets", "overall",
        "pending", "pending_octets", "phase", "prdr", "rcpt_replies", "refusal",
        "reply_per_recipient", "resets", "size", "streaming", "was_accepted",
    )
    # fmt: on

    def __init__(
        self,
        envelope: Envelope,
        body: bytes | None,
        *,
        size: int | None = None,
        eight_bit: bool = False,
        hold: bool = False,
        tag: object = None,
    ) -> None:
        self.envelope = envelope
        self.body = body
        self.size = size
        self.eight_bit = eight_bit
        self.hold = hold
        self.tag = tag
        self.ended = False
        self.rcpt_replies: list[Reply] = []
        self.final_replies: list[Reply] = []
        self.phase: Phase = _QUEUED
        self.chunked = False
        self.mark_left = False
        self.reply_per_recipient = False
        self.mail_reply: Reply | None = None
        # Whether MAIL was answered by something else than success.
        self.mail_refused = False
        self.data_reply: Reply | None = None
        self.refusal: Reply | None = None
        self.overall: Reply | None = None
        self.prdr = False
        self.cause: SMTPError | None = None
        self.octets = 0
        self.begun_at = 0.0
        self.body_at = 0.0

        # The session's own notes: whether an RSET goes first.
        self.resets = False
        # How many of MAIL and RCPT have been rendered.
        self.asked = 0
        # Whether DATA has been.
        self.data_asked = False
        # How many recipients were accepted so far.
        self.accepted = 0
        # The first reply that said that there are too many of them; no more are asked for then.
        self.crowded: Reply | None = None
        # Whether a final reply was 2xx, which ends the transaction for the peer, too.
        self.was_accepted = False
        # Whether a 353 has said that each recipient's reply follows.
        self.divided = False
        # Whether the peer waits for a streamed body.
        self.streaming = False
        # Octets of a streamed body, as they were given.
        self.given = 0
        # What of a streamed body awaits its BDAT, and how many octets that is.
        self.pending: Sequence[bytes] = ()
        self.pending_octets = 0
        # Normalises, and stuffs, across the chunks of a streamed body.
        self.encoder: LineEnds | Stuffing | None = None
        # Whether a 354 came though every RCPT was refused (RFC 2920 section 3.1).
        self.lone_dot = False

    @property
    def asking(self) -> int:
        """How many of the recipients are asked for: all, until the peer says that it is enough."""
        return len(self.envelope.addresses) if self.crowded is None else self.asked - 1

    @property
    def last_reply(self) -> Reply | None:
        """The last reply that this transaction got."""
        if self.final_replies:
            return self.overall or self.final_replies[-1]
        rcpt = self.rcpt_replies[-1] if self.rcpt_replies else None
        return self.refusal or self.data_reply or rcpt or self.mail_reply

    def note_mark(self) -> None:
        """Note that the end mark has been handed on: of the body, nothing is left to send."""
        self.mark_left = True
        self.phase = _MARKED
        self.body = self.encoder = None

    def note_closing(self, reply: Reply, expected: Expected) -> None:
        """Note a 421, which answered ``expected``, where the other replies are."""
        if expected is Expected.MAIL:
            self.mail_reply = reply
            self.mail_refused = True
        elif expected is Expected.RCPT:
            self.rcpt_replies.append(reply)
        elif expected is Expected.DATA:
            self.data_reply = reply
        else:
            self.refusal = reply

    def outcomes(self) -> list[RecipientOutcome]:
        """Return what became of each recipient, in their order: the delivery truth table."""
        outcomes = []
        finals = iter(self.final_replies)
        decided: tuple[Delivery, Reply | None, str | None] | None = None
        addresses = self.envelope.addresses
        if self.crowded is not None:
            addresses = addresses[: self.asking]
        for address, rcpt in zip_longest(addresses, self.rcpt_replies):
            if rcpt is None or rcpt.code >= 300:
                decision = self._decide(rcpt, None)
            elif decided is None or self.reply_per_recipient:
                # In SMTP all that RCPT accepted share one fate, decided once.
                decision = decided = self._decide(rcpt, next(finals, None))
            else:
                decision = decided
            delivery, reply, stage = decision
            error = None
            if delivery is not _ACCEPTED:
                error = self._error(delivery, reply, stage, address)
            outcomes.append(RecipientOutcome(address, reply, delivery, error))
        if self.crowded is not None:
            outcomes += self._not_asked(self.crowded)
        return outcomes

    @property
    def taken_by_all(self) -> Reply | None:
        """The final reply, where all that `outcomes()` could tell is that each was accepted."""
        if (
            self.was_accepted
            and self.accepted == len(self.envelope.addresses)
            and not self.reply_per_recipient
            and not self.mail_refused
            and self.refusal is None
        ):
            return self.final_replies[0]
        return None

    def _not_asked(self, crowded: Reply) -> Iterator[RecipientOutcome]:
        """Give the outcomes of those who were spared the question."""
        text = "the server takes no more recipients at once"
        for address in self.envelope.addresses[self.asking :]:
            error = self.cause or EnvelopeError(
                text, reply=crowded, command="RCPT TO", recipient=address
            )
            yield RecipientOutcome(address, crowded, Delivery.NOT_SENT, error)

    def _decide(
        self, rcpt: Reply | None, final: Reply | None
    ) -> tuple[Delivery, Reply | None, str | None]:
        """Return one recipient's delivery, the reply that decided it, and what it answered.

        A 421 is no verdict on the recipient but the end of the session, except to the mark.
        """
        if rcpt is not None and rcpt.code >= 300:
            if self.mail_refused and self.mail_reply is not None:
                # Sent ahead of that refusal (RFC 2920), RCPT was refused for want of a MAIL: with
                # 503, which would make of "try later" a failure for good.
                return _refused(self.mail_reply, "MAIL FROM")
            return _refused(rcpt, "RCPT TO")
        if final is not None:
            command = "BDAT" if self.chunked else "DATA"
            # Behind a 353 the last word is that about the message as a whole.
            word = self.overall if self.divided and final.code < 300 else final
            if word is not None and word.code >= 300:
                return Delivery.REJECTED, word, command
            # The peer took mail whose sender, or a part of which, it had refused before:
            # it did something, and nobody knows what.
            if word is None or self.mail_refused or self.refusal is not None:
                return Delivery.IN_DOUBT, final, command
            return _ACCEPTED, final, command
        if self.mail_refused and self.mail_reply is not None:
            if rcpt is None:
                return _refused(self.mail_reply, "MAIL FROM")
            undecided = Delivery.IN_DOUBT if self.mark_left else Delivery.NOT_SENT
            return undecided, self.mail_reply, "MAIL FROM"
        if self.data_reply is not None:
            return _refused(self.data_reply, "DATA")
        # A peer that took it from others after all (LMTP) is not believed in its refusal.
        if self.refusal is not None and not self.was_accepted:
            return _refused(self.refusal, "BDAT" if self.chunked else "DATA")
        return (Delivery.IN_DOUBT if self.mark_left else Delivery.NOT_SENT), None, None

    def _error(
        self, delivery: Delivery, reply: Reply | None, stage: str | None, address: str
    ) -> SMTPError:
        """Return the error that explains one recipient's outcome."""
        if delivery is not Delivery.REJECTED or reply is None:
            if self.cause is None:
                text = "the server's replies contradict each other"
                return ProtocolError(text, reply=reply, command=stage, delivery=delivery)
            return self.cause
        of_message = reply in self.final_replies or reply in (self.refusal, self.overall)
        if of_message:
            text = f"the message was refused for {address}"
        elif stage == "MAIL FROM":
            text = f"the reverse-path was refused: {self.envelope.mail_from!r}"
        elif stage == "DATA":
            text = "DATA was refused"
        else:
            text = f"the recipient was refused: {address!r}"
        if (stage, reply.code) in _INTERNATIONAL and self.envelope.needs_smtputf8:
            text = f"internationalized mailbox name not allowed: {text}"
        kind = MessageError if of_message else EnvelopeError
        return kind(
            text,
            reply=reply,
            command=stage,
            recipient=None if stage == "MAIL FROM" else address,
            delivery=delivery,
        )


#: RFC 6531 section 3.5: how a peer says that it will not have a UTF-8 mailbox.
_INTERNATIONAL = {("MAIL FROM", 550), ("RCPT TO", 553), ("RCPT TO", 550)}


def _refused(reply: Reply, command: str) -> tuple[Delivery, Reply, str]:
    verdict = Delivery.NOT_SENT if reply.code == 421 else Delivery.REJECTED
    return verdict, reply, command
