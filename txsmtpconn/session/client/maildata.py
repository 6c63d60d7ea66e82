"""Mail data on the wire: behind DATA with dots stuffed, or by BDAT as it is."""

from __future__ import annotations

from typing import Final

from txsmtpconn.session.client.conversation import Conversation
from txsmtpconn.session.client.tables import Expected, Verb
from txsmtpconn.session.client.transaction import Transaction
from txsmtpconn.wire.chunking import bdat
from txsmtpconn.wire.transparency import LineEnds, Stuffing, stuffed

# An Enum's attributes are dear to look up; what every message needs stands here.
_MARK: Final = Expected.MARK
_CHUNK: Final = Expected.CHUNK
_BDAT: Final = Verb.BDAT


def expect_chunks(transaction: Transaction) -> None:
    """Be ready for the chunks of a streamed body."""
    if not transaction.chunked:
        transaction.encoder = Stuffing()
    elif transaction.envelope.body != "BINARYMIME":
        transaction.encoder = LineEnds()
    transaction.streaming = True


def take_chunk(conversation: Conversation, transaction: Transaction, chunk: bytes) -> None:
    """Take the next octets of a streamed body; those for BDAT wait for ``render_chunk``."""
    encoder = transaction.encoder
    data = chunk if encoder is None else encoder.feed(chunk)
    if not data:
        return
    if transaction.chunked:
        transaction.pending = (*transaction.pending, data)
        transaction.pending_octets += len(data)
    else:
        transaction.octets += len(data)
        conversation.write_mail_data(data)


def render_chunk(
    conversation: Conversation,
    transaction: Transaction,
    last: bytes = b"",
    expected: Expected = _CHUNK,
) -> None:
    """Render what awaits its BDAT, with ``last`` behind it, as one chunk."""
    size = transaction.pending_octets + len(last)
    line = bdat(size, expected is _MARK)
    conversation.write(_BDAT, line, expected, transaction, None, size)
    if transaction.pending:
        for data in transaction.pending:
            conversation.write_mail_data(data)
        transaction.pending = ()
        transaction.pending_octets = 0
    if last:
        conversation.write_mail_data(last)
    transaction.octets += size


def render_mark(conversation: Conversation, transaction: Transaction) -> None:
    """Render what is left of the mail data, with its end mark."""
    data = transaction.body or b""
    encoder = transaction.encoder
    if encoder is not None:
        data = encoder.finish()
    elif transaction.lone_dot:
        data = b".\r\n"
    elif not transaction.chunked:
        data = stuffed(data)
    if transaction.chunked:
        render_chunk(conversation, transaction, data, _MARK)
    else:
        conversation.expect_mark(transaction)
        conversation.write_mail_data(data)
        transaction.octets += len(data)
    transaction.note_mark()
