"""The two tables that say what is legal in a client session; nothing else decides it.

``MAY_LEAVE``: (state, command) -> whether the command may leave.

``EFFECTS``: (what a reply answers, the reply's code) -> what it does. Under pipelining a reply
belongs to its command and not to the session's state, so the state is no key here. Columns
are reply classes; where one code alone has a meaning (354, 235, 334, 220; 421 everywhere) it
has an entry of its own.

The documentation draws its diagrams from these tables, and a test walks their full product.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, auto


class State(IntEnum):
    """Where a client session stands."""

    #: No octet may pass yet: the transport, or implicit TLS, is not up.
    CONNECTING = auto()
    #: The greeting is awaited.
    GREETING = auto()
    #: EHLO, LHLO or HELO is out.
    HELLO = auto()
    #: STARTTLS is out; nothing may follow it before its reply.
    STARTTLS = auto()
    #: The TLS handshake runs; an octet for us now is an error.
    UPGRADING = auto()
    #: Operations leave as the pipelining rules allow.
    READY = auto()
    #: A SASL dialogue has the connection for itself.
    AUTHENTICATING = auto()
    #: The session cannot go on, but replies owed to earlier transactions are still awaited.
    DRAINING = auto()
    #: QUIT is out.
    QUITTING = auto()
    #: All is over.
    CLOSED = auto()


class Verb(IntEnum):
    """What a client may write."""

    HELLO = 0
    HELO = 1
    STARTTLS = 2
    AUTH = 3
    SASL_RESPONSE = 4
    MAIL = 5
    RCPT = 6
    DATA = 7
    BODY = 8
    BDAT = 9
    RSET = 10
    OTHER = 11
    QUIT = 12


_MAY_LEAVE: dict[State, set[Verb]] = {
    State.CONNECTING: set(),
    State.GREETING: set(),
    State.HELLO: {Verb.HELLO, Verb.HELO},
    State.STARTTLS: {Verb.STARTTLS},
    State.UPGRADING: set(),
    State.READY: {
        Verb.MAIL,
        Verb.RCPT,
        Verb.DATA,
        Verb.BODY,
        Verb.BDAT,
        Verb.RSET,
        Verb.OTHER,
    },
    State.AUTHENTICATING: {Verb.AUTH, Verb.SASL_RESPONSE},
    State.DRAINING: set(),
    State.QUITTING: {Verb.QUIT},
    State.CLOSED: set(),
}

#: For each state, a row of truth values indexed by ``Verb``.
MAY_LEAVE: Mapping[State, tuple[bool, ...]] = {
    state: tuple(command in commands for command in Verb) for state, commands in _MAY_LEAVE.items()
}


class Expected(IntEnum):
    """What a reply answers."""

    GREETING = 0
    HELLO = 1
    HELO = 2
    STARTTLS = 3
    #: AUTH, and each response of ours in its dialogue.
    AUTH = 4
    #: The ``*`` by which we gave a dialogue up.
    AUTH_CANCELLED = 5
    MAIL = 6
    RCPT = 7
    DATA = 8
    #: Nothing yet: mail data is running, and its end mark has not left.
    BODY = 9
    #: The end of mail data: CRLF.CRLF, or the last octet of the last chunk.
    MARK = 10
    #: A chunk that is not the last.
    CHUNK = 11
    #: An RSET that the session itself put before a transaction.
    RSET = 12
    #: RSET, NOOP or another command that the caller asked for.
    OPERATION = 13
    QUIT = 14
    #: A line of an authentication in the caller's own words.
    OWN_WORDS = 15
    #: One of the replies that follow a 353 to the end of mail data (draft-hall-prdr).
    VERDICT = 16
    XCLIENT = 17

    @property
    def text(self) -> str:
        """What errors call it: the command, where there is one."""
        return _TEXTS[self]


_TEXTS = {
    Expected.GREETING: "the greeting",
    Expected.HELLO: "EHLO",
    Expected.HELO: "HELO",
    Expected.STARTTLS: "STARTTLS",
    Expected.AUTH: "AUTH",
    Expected.AUTH_CANCELLED: "AUTH *",
    Expected.MAIL: "MAIL FROM",
    Expected.RCPT: "RCPT TO",
    Expected.DATA: "DATA",
    Expected.BODY: "mail data",
    Expected.MARK: "end of mail data",
    Expected.CHUNK: "BDAT",
    Expected.RSET: "RSET",
    Expected.OPERATION: "command",
    Expected.QUIT: "QUIT",
    Expected.OWN_WORDS: "AUTH",
    Expected.VERDICT: "end of mail data",
    Expected.XCLIENT: "XCLIENT",
}


class Effect(IntEnum):
    """What a reply does to the session."""

    VIOLATION = 0
    CLOSING = auto()
    GREETED = auto()
    GREETING_REFUSED = auto()
    HELLO_ACCEPTED = auto()
    HELLO_UNKNOWN = auto()
    HELLO_REFUSED = auto()
    TLS_AGREED = auto()
    TLS_REFUSED = auto()
    AUTH_ENDED = auto()
    CHALLENGED = auto()
    MAIL_ACCEPTED = auto()
    MAIL_REFUSED = auto()
    RCPT_ANSWERED = auto()
    DATA_AGREED = auto()
    DATA_REFUSED = auto()
    BODY_REFUSED = auto()
    MARK_ANSWERED = auto()
    MARK_DIVIDED = auto()
    VERDICT = auto()
    CHUNK_ACCEPTED = auto()
    CHUNK_REFUSED = auto()
    RESET = auto()
    RESET_REFUSED = auto()
    OPERATION_ENDED = auto()
    INTRODUCED = auto()
    OWN_WORDS_ANSWERED = auto()
    QUIT_ENDED = auto()


#: RFC 5321 section 3.2 and what servers do: these replies to EHLO say "I do not know that
#: command"; any other refusal says "I know it, and no".
HELLO_UNKNOWN_CODES = (500, 501, 502, 504, 550)


_E = Effect

#: For each expectation: effects of 2xx, 3xx, 4xx, 5xx, then of single codes. 421 closes the
#: session whatever it answers (RFC 5321 section 3.8), unless it stands here.
EFFECTS: Mapping[Expected, tuple[Effect, Effect, Effect, Effect, Mapping[int, Effect]]] = {
    Expected.GREETING: (
        _E.GREETING_REFUSED,
        _E.GREETING_REFUSED,
        _E.GREETING_REFUSED,
        _E.GREETING_REFUSED,
        {220: _E.GREETED, 421: _E.GREETING_REFUSED},
    ),
    Expected.HELLO: (
        _E.HELLO_ACCEPTED,
        _E.VIOLATION,
        _E.HELLO_REFUSED,
        _E.HELLO_REFUSED,
        dict.fromkeys(HELLO_UNKNOWN_CODES, _E.HELLO_UNKNOWN),
    ),
    Expected.HELO: (_E.HELLO_ACCEPTED, _E.VIOLATION, _E.HELLO_REFUSED, _E.HELLO_REFUSED, {}),
    Expected.STARTTLS: (
        _E.TLS_REFUSED,
        _E.TLS_REFUSED,
        _E.TLS_REFUSED,
        _E.TLS_REFUSED,
        {220: _E.TLS_AGREED},
    ),
    Expected.AUTH: (
        _E.VIOLATION,
        _E.VIOLATION,
        _E.AUTH_ENDED,
        _E.AUTH_ENDED,
        {235: _E.AUTH_ENDED, 334: _E.CHALLENGED},
    ),
    Expected.AUTH_CANCELLED: (_E.VIOLATION, _E.VIOLATION, _E.AUTH_ENDED, _E.AUTH_ENDED, {}),
    Expected.MAIL: (_E.MAIL_ACCEPTED, _E.VIOLATION, _E.MAIL_REFUSED, _E.MAIL_REFUSED, {}),
    Expected.RCPT: (_E.RCPT_ANSWERED, _E.VIOLATION, _E.RCPT_ANSWERED, _E.RCPT_ANSWERED, {}),
    Expected.DATA: (
        _E.VIOLATION,
        _E.VIOLATION,
        _E.DATA_REFUSED,
        _E.DATA_REFUSED,
        {354: _E.DATA_AGREED},
    ),
    Expected.BODY: (_E.VIOLATION, _E.VIOLATION, _E.BODY_REFUSED, _E.BODY_REFUSED, {}),
    Expected.MARK: (
        _E.MARK_ANSWERED,
        _E.VIOLATION,
        _E.MARK_ANSWERED,
        _E.MARK_ANSWERED,
        {353: _E.MARK_DIVIDED, 421: _E.MARK_ANSWERED},
    ),
    Expected.VERDICT: (
        _E.VERDICT,
        _E.VIOLATION,
        _E.VERDICT,
        _E.VERDICT,
        {421: _E.VERDICT},
    ),
    Expected.CHUNK: (_E.CHUNK_ACCEPTED, _E.VIOLATION, _E.CHUNK_REFUSED, _E.CHUNK_REFUSED, {}),
    Expected.RSET: (_E.RESET, _E.VIOLATION, _E.RESET_REFUSED, _E.RESET_REFUSED, {}),
    Expected.OPERATION: (
        _E.OPERATION_ENDED,
        _E.OPERATION_ENDED,
        _E.OPERATION_ENDED,
        _E.OPERATION_ENDED,
        {},
    ),
    Expected.XCLIENT: (
        _E.VIOLATION,
        _E.VIOLATION,
        _E.OPERATION_ENDED,
        _E.OPERATION_ENDED,
        {220: _E.INTRODUCED},
    ),
    Expected.QUIT: (
        _E.QUIT_ENDED,
        _E.QUIT_ENDED,
        _E.QUIT_ENDED,
        _E.QUIT_ENDED,
        {421: _E.QUIT_ENDED},
    ),
    Expected.OWN_WORDS: (
        _E.OWN_WORDS_ANSWERED,
        _E.OWN_WORDS_ANSWERED,
        _E.OWN_WORDS_ANSWERED,
        _E.OWN_WORDS_ANSWERED,
        {},
    ),
}

#: The lowest reply code there is; rows of ``row()`` begin with it.
FIRST_CODE = 200
_LAST_CODE = 599


def effect(expected: Expected, code: int) -> Effect:
    """Return what a reply with ``code`` (200 to 599) does where ``expected`` is outstanding."""
    *classes, single = EFFECTS[expected]
    if code in single:
        return single[code]
    return Effect.CLOSING if code == 421 else classes[code // 100 - 2]


def row(expected: Expected) -> tuple[Effect, ...]:
    """Return the effects of all reply codes, from ``FIRST_CODE`` on, for one expectation."""
    return tuple(effect(expected, code) for code in range(FIRST_CODE, _LAST_CODE + 1))
