"""The replies that a server session gives by itself, by name.

Every refusal has its enhanced status code (RFC 3463, RFC 5248). The texts tell a person at the
other end what to do; none of them quotes what the peer sent.
"""

from __future__ import annotations

from collections.abc import Sequence

from txsmtpconn.wire.reply import Reply

_of = Reply.of

BYE = _of(221, "2.0.0 Bye")
AUTHENTICATED = _of(235, "2.7.0 Authentication successful")
OK = _of(250, "2.0.0 Ok")
SENDER_OK = _of(250, "2.1.0 Ok")
RECIPIENT_OK = _of(250, "2.1.5 Ok")
MESSAGE_OK = _of(250, "2.0.0 Ok: message accepted")
CANNOT_VERIFY = _of(252, "2.1.5 Cannot verify that mailbox, but will take mail for it")
EACH_FOLLOWS = _of(353, "Replies for each recipient follow")
SEND_DATA = _of(354, "End data with <CR><LF>.<CR><LF>")
TLS_READY = _of(220, "2.0.0 Ready to start TLS")

TIMED_OUT = _of(421, "4.4.2 Timeout exceeded, closing the connection")
TOO_MANY_ERRORS = _of(421, "4.7.0 Too many errors, closing the connection")
TOO_MANY_IDLE_COMMANDS = _of(421, "4.7.0 Too many commands without mail, closing the connection")
TOO_MANY_AUTH_FAILURES = _of(421, "4.7.0 Too many failed authentications, closing the connection")
TOO_MANY_MESSAGES = _of(421, "4.7.0 Too many messages in one session, please connect again")
GUESSED_TOO_OFTEN = _of(421, "4.7.0 Too many failed authentications from your address, try later")
SESSION_TOO_LONG = _of(421, "4.4.2 The session has lasted long enough, closing the connection")
SHUTTING_DOWN = _of(421, "4.3.2 Shutting down, please try again later")
NO_SERVICE = _of(421, "4.3.0 Local error, please try again later")
TOO_MANY_CLIENTS = _of(421, "4.7.0 Too many connections, please try again later")
TOO_MANY_FROM_ADDRESS = _of(421, "4.7.0 Too many connections from your address")
LOCAL_ERROR = _of(451, "4.3.0 Local error, please try again later")
TAKEN_BY_NONE_NOW = _of(450, "4.0.0 No recipient takes the message now")
TOO_MANY_RECIPIENTS = _of(452, "4.5.3 Too many recipients in one mail transaction")
TOO_MANY_DOMAINS = _of(452, "4.5.3 Too many recipient domains in one session")
TLS_UNAVAILABLE = _of(454, "4.7.0 TLS is not available")

NOT_RECOGNISED = _of(500, "5.5.1 Command not recognised")
BARE_LINE_FEED = _of(500, "5.5.2 A line ends in CRLF, not in a bare LF")
LINE_TOO_LONG = _of(500, "5.5.2 Line too long")
AUTH_LINE_TOO_LONG = _of(500, "5.5.6 Authentication exchange line is too long")
HELD_TOO_LONG = _of(501, "5.5.4 The message cannot be held back for so long")
AUTH_CANCELLED = _of(501, "5.7.0 Authentication cancelled")
AUTH_OUT_OF_TURN = _of(501, "5.7.0 That mechanism has no initial response")
AUTH_MALFORMED = _of(501, "5.5.2 The authentication exchange is malformed")
DISABLED = _of(502, "5.5.1 Command not implemented")
SAY_HELLO = _of(503, "5.5.1 Say hello first")
MAIL_FIRST = _of(503, "5.5.1 MAIL comes first")
RCPT_FIRST = _of(503, "5.5.1 No recipient has been accepted")
NESTED_MAIL = _of(503, "5.5.1 A mail transaction is open; end it or say RSET")
NOT_IN_TRANSACTION = _of(503, "5.5.1 Not within a mail transaction")
CHUNKS_ONLY = _of(503, "5.5.1 Mail data has begun; BDAT or RSET comes next")
CHUNKS_FOR_BINARY = _of(503, "5.5.1 BODY=BINARYMIME needs BDAT")
ALREADY_SECURE = _of(503, "5.5.1 TLS is active already")
ALREADY_AUTHENTICATED = _of(503, "5.5.1 Already authenticated")
NO_SUCH_MECHANISM = _of(504, "5.5.4 Authentication mechanism not supported")
AUTH_REQUIRED = _of(530, "5.7.0 Authentication required")
TLS_REQUIRED = _of(530, "5.7.0 Say STARTTLS first")
AUTH_FAILED = _of(535, "5.7.8 Authentication credentials invalid")
AUTH_NEEDS_TLS = _of(538, "5.7.11 Encryption required for the requested mechanism")
NOT_TRUSTED = _of(550, "5.7.1 You may not speak for other clients")
BARE_LINE_END = _of(550, "5.5.2 Mail data has a bare CR or LF; lines end in CRLF")
MESSAGE_TOO_BIG = _of(552, "5.3.4 Message size exceeds the limit")
ABANDONED = _of(554, "5.0.0 The mail transaction was abandoned")
NEEDS_SMTPUTF8 = _of(553, "5.6.7 That address needs SMTPUTF8")
TAKEN_BY_NONE = _of(554, "5.0.0 No recipient takes the message")
NOT_HTTP = _of(554, "5.5.1 This is not a web server")
TALKED_TOO_SOON = _of(554, "5.5.0 Wait for the greeting")
TALKED_BEHIND_STARTTLS = _of(554, "5.5.0 Nothing may follow STARTTLS in clear")
TOO_URGENT = _of(555, "5.5.4 The message cannot be promised to be delivered so soon")
UNKNOWN_PARAMETER = _of(555, "5.5.4 A parameter is not one that this server offers")

HELP = _of(
    214,
    "2.0.0 EHLO HELO LHLO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT",
    "2.0.0 See RFC 5321 and, for LMTP, RFC 2033",
)

#: The replies above, by identity, as they are sent: they live as long as the module, and most
#: replies of a busy server are among them.
RENDERED = {
    id(value): value.encode() for value in list(globals().values()) if isinstance(value, Reply)
}


def overall(answers: Sequence[Reply]) -> Reply:
    """Return the reply to a message that sums up those of its recipients."""
    if any(answer.code < 400 for answer in answers):
        return MESSAGE_OK
    return TAKEN_BY_NONE_NOW if any(answer.code < 500 for answer in answers) else TAKEN_BY_NONE
