"""The table that says which command is legal when in a server session; nothing else decides it.

`LEGALITY`: (phase, verb) -> the reply that refuses the verb there, or None where it may be obeyed.

The phase is all that the order of commands depends on (RFC 5321 section 4.1.4). What depends on
the connection instead (TLS, authentication) and not on the order is in `session.server.rules`.
The documentation draws its diagram from the table, and a test walks the full product.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, auto

from txsmtpconn.session.server import replies
from txsmtpconn.wire.reply import Reply


class Phase(IntEnum):
    """How far the conversation has come, where a command is awaited."""

    #: The greeting has been given; neither EHLO, HELO nor LHLO has been accepted.
    HELLO = auto()
    #: No mail transaction is open.
    READY = auto()
    #: The reverse-path has been accepted, and no recipient yet.
    MAIL = auto()
    #: At least one recipient has been accepted.
    RCPT = auto()
    #: At least one chunk of mail data has come (RFC 3030), and not the last.
    CHUNKS = auto()


class Reading(IntEnum):
    """What the octets that come next are."""

    #: Too early: our greeting is not out (RFC 5321 section 4.3.1).
    GREETING = auto()
    #: Not for us: the TLS handshake runs.
    HANDSHAKE = auto()
    COMMANDS = auto()
    #: Mail data up to CRLF.CRLF.
    DATA = auto()
    #: As many octets of mail data as BDAT said.
    CHUNK = auto()
    #: One line of a SASL dialogue.
    SASL_RESPONSE = auto()
    #: Ignored: our last reply is out, or about to be.
    NOTHING = auto()


_ALWAYS: Mapping[str, Reply | None] = {
    # A hello within a transaction ends it, as RSET does (RFC 5321 section 4.1.4).
    "EHLO": None,
    "HELO": None,
    "LHLO": None,
    "RSET": None,
    "NOOP": None,
    "QUIT": None,
    "VRFY": None,
    "HELP": None,
    "EXPN": replies.DISABLED,
}
_BEFORE_HELLO = dict.fromkeys(
    ("MAIL", "RCPT", "DATA", "BDAT", "AUTH", "STARTTLS"), replies.SAY_HELLO
)
# RFC 4954 section 4: no AUTH in a mail transaction. STARTTLS and XCLIENT would forget the
# transaction; XFORWARD speaks of one that has not begun.
_NOT_NOW = dict.fromkeys(("AUTH", "STARTTLS", "XCLIENT", "XFORWARD"), replies.NOT_IN_TRANSACTION)
_INTRODUCTIONS: Mapping[str, Reply | None] = {"XCLIENT": None, "XFORWARD": None}

_ROWS: Mapping[Phase, Mapping[str, Reply | None]] = {
    Phase.HELLO: {**_ALWAYS, **_INTRODUCTIONS, **_BEFORE_HELLO},
    Phase.READY: {
        **_ALWAYS,
        **_INTRODUCTIONS,
        "MAIL": None,
        "RCPT": replies.MAIL_FIRST,
        "DATA": replies.MAIL_FIRST,
        "BDAT": replies.MAIL_FIRST,
        "AUTH": None,
        "STARTTLS": None,
    },
    Phase.MAIL: {
        **_ALWAYS,
        **_NOT_NOW,
        "MAIL": replies.NESTED_MAIL,
        "RCPT": None,
        "DATA": replies.RCPT_FIRST,
        "BDAT": replies.RCPT_FIRST,
    },
    Phase.RCPT: {
        **_ALWAYS,
        **_NOT_NOW,
        "MAIL": replies.NESTED_MAIL,
        "RCPT": None,
        "DATA": None,
        "BDAT": None,
    },
    # RFC 3030 section 2: nothing but chunks, or the end of the transaction.
    Phase.CHUNKS: {
        **_ALWAYS,
        **_NOT_NOW,
        "MAIL": replies.NESTED_MAIL,
        "RCPT": replies.CHUNKS_ONLY,
        "DATA": replies.CHUNKS_ONLY,
        "BDAT": None,
    },
}

#: Every verb that a server knows.
VERBS = tuple(sorted(_ROWS[Phase.READY]))

LEGALITY: Mapping[tuple[Phase, str], Reply | None] = {
    (phase, verb): refusal for phase, row in _ROWS.items() for verb, refusal in row.items()
}

#: What a browser or a proxy that is being misused says first; obeying what follows would make
#: this server an accomplice (cross-protocol attacks).
HTTP_VERBS = frozenset(
    ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PRI", "PUT", "TRACE")
)
