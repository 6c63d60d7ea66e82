"""An envelope on the wire: which of its commands leave now, and how many together."""

from __future__ import annotations

from typing import Final

from txsmtpconn.session.client.conversation import Conversation
from txsmtpconn.session.client.flights import Flight
from txsmtpconn.session.client.policy import Window
from txsmtpconn.session.client.rendering import mail_command, rcpt_commands, short_flight
from txsmtpconn.session.client.tables import Expected, Verb
from txsmtpconn.session.client.transaction import Phase, Transaction
from txsmtpconn.wire.chunking import bdat_command
from txsmtpconn.wire.limits import COMMANDS_IN_FLIGHT_OCTETS, RECIPIENTS_IN_FLIGHT

_SHORTEST_RCPT: Final = len(b"RCPT TO:<a@b>\r\n")

# An Enum's attributes are dear to look up; what every message needs stands here.
_BODY: Final = Phase.BODY

_SHORT: Final = ((Verb.MAIL, Expected.MAIL), (Verb.RCPT, Expected.RCPT))
#: What ``short_flight`` returns with or without something behind it, each indexed by whether RSET
#: goes first.
_ENVELOPE_ALONE: Final = [Flight(*_SHORT, reset=reset) for reset in (False, True)]
_WITH_DATA: Final = [
    Flight(*_SHORT, (Verb.DATA, Expected.DATA), reset=reset) for reset in (False, True)
]
_WITH_LAST_CHUNK: Final = [
    Flight(*_SHORT, (Verb.BDAT, Expected.MARK), reset=reset) for reset in (False, True)
]


def render_envelope(
    conversation: Conversation, transaction: Transaction, *, pipelined: bool, window: Window
) -> None:
    """Render MAIL, RCPT and DATA as far as pipelining and the octets in flight allow.

    Args:
        conversation: The line to the peer.
        transaction: What is being rendered.
        pipelined: Whether a command may leave while another is unanswered.
        window: How much may be undecided where mail data goes by BDAT.
    """
    extensions, envelope = conversation.extensions, transaction.envelope
    if (
        pipelined
        and not transaction.asked
        and len(envelope.addresses) == 1
        and envelope.plain
        and envelope.verbatim
    ):
        _render_short(conversation, transaction)
        return
    if transaction.resets:
        transaction.resets = False
        conversation.write(Verb.RSET, b"RSET\r\n", Expected.RSET, None)
    limit = window.octets if transaction.chunked else COMMANDS_IN_FLIGHT_OCTETS
    while pipelined or not conversation.owed:
        step = transaction.asked
        if step == 0:
            line = mail_command(
                envelope,
                extensions,
                size=transaction.size,
                eight_bit=transaction.eight_bit,
                verified=conversation.verified,
                prdr=transaction.prdr,
            )
            conversation.write(Verb.MAIL, line, Expected.MAIL, transaction)
        elif step <= transaction.asking:
            room = limit - conversation.unanswered if pipelined else 1
            unanswered = step - 1 - len(transaction.rcpt_replies)
            if room <= 0 or unanswered >= RECIPIENTS_IN_FLIGHT:
                return
            # No more of them than can find room: there may be very many.
            most = min(room // _SHORTEST_RCPT + 1, RECIPIENTS_IN_FLIGHT - unanswered)
            ahead = slice(step - 1, step - 1 + most)
            lines, sizes = rcpt_commands(envelope, ahead, extensions, room)
            conversation.write_lines(Verb.RCPT, lines, sizes, Expected.RCPT, transaction)
            transaction.asked += len(sizes)
            continue
        elif transaction.chunked:
            if _leaves_with_envelope(transaction):
                transaction.phase = _BODY
            return
        else:
            if not transaction.data_asked:
                transaction.data_asked = True
                conversation.write(Verb.DATA, b"DATA\r\n", Expected.DATA, transaction)
            return
        transaction.asked += 1


def _leaves_with_envelope(transaction: Transaction) -> bool:
    """Tell whether mail data by BDAT need not wait for the replies to the envelope.

    A streamed body waits: its source may be good for one reading only. So does any in LMTP, where
    the last chunk has no reply at all if nobody was accepted (RFC 2033 section 4.3), but has one
    from some servers.
    """
    return (
        transaction.body is not None
        and not transaction.hold
        and not transaction.reply_per_recipient
    )


def _render_short(conversation: Conversation, transaction: Transaction) -> None:
    """Render the commands of a plain message to one recipient: one text, checked once.

    A body in hand that goes by BDAT leaves with them, and that is the whole transaction.
    """
    reset, body, last_chunk = transaction.resets, transaction.body, b""
    if not transaction.chunked:
        flights, ending = _WITH_DATA, "DATA\r\n"
    elif body is None or not _leaves_with_envelope(transaction):
        flights, ending = _ENVELOPE_ALONE, ""
    else:
        flights, ending, last_chunk = _WITH_LAST_CHUNK, bdat_command(len(body), True), body
    lines = short_flight(
        transaction.envelope,
        conversation.extensions,
        size=transaction.size,
        eight_bit=transaction.eight_bit,
        reset=reset,
        ending=ending,
    )
    conversation.write_flight(flights[reset], lines, transaction, last_chunk)
    transaction.asked = 2
    transaction.resets = False
    if flights is _WITH_DATA:
        transaction.data_asked = True
    elif flights is _WITH_LAST_CHUNK:
        transaction.octets = len(last_chunk)
        transaction.note_mark()
