"""The facts that a server session reports.

Some are *questions*: the session reads no further command until `ServerSession.reply` has answered
them, so replies leave in the order of the commands, however late an answer is. A question that is
accepted with None gets the session's own words.
"""

from __future__ import annotations

from dataclasses import dataclass

from txsmtpconn.envelope import Envelope
from txsmtpconn.wire.attributes import Attributes
from txsmtpconn.wire.parameters import MailParameters, RcptParameters
from txsmtpconn.wire.reply import Reply


@dataclass(frozen=True, slots=True)
class Connected:
    """Question: a client is here, and waits for the greeting."""


@dataclass(frozen=True, slots=True)
class Secured:
    """Question: the TLS handshake has completed, and all that was known before is forgotten."""


@dataclass(frozen=True, slots=True)
class ClientIntroduced:
    """Question: a trusted client wants to be taken for another (XCLIENT).

    Whoever answers sets `ServerSession.rules` to what that other client may, before it consents;
    `Connected` follows then, and the greeting.

    Attributes:
        attributes: All that was told so far (`wire.attributes`).
    """

    attributes: Attributes


@dataclass(frozen=True, slots=True)
class MailReceived:
    """Question: MAIL opens a transaction.

    Attributes:
        address: The reverse-path; empty for the null reverse-path.
        parameters: What else MAIL said, valid and of offered extensions only.
    """

    address: str
    parameters: MailParameters


@dataclass(frozen=True, slots=True)
class RcptReceived:
    """Question: RCPT names a recipient.

    Attributes:
        address: The forward-path. ``<Postmaster>`` has been given this server's name as domain.
        parameters: What else RCPT said.
    """

    address: str
    parameters: RcptParameters


@dataclass(frozen=True, slots=True)
class DataStarted:
    """Question: mail data is to come, by DATA or by BDAT, for the accepted recipients."""

    envelope: Envelope


@dataclass(frozen=True, slots=True)
class DataReceived:
    """Octets of mail data, transparency undone."""

    data: bytes


@dataclass(frozen=True, slots=True)
class DataEnded:
    """Question: the mail data is complete. The answer decides who is responsible for it."""


@dataclass(frozen=True, slots=True)
class DataRefused:
    """The mail data is refused; what is left of it is swallowed, and no `DataEnded` comes.

    Attributes:
        reply: What the peer is told at the end of the mail data.
    """

    reply: Reply


@dataclass(frozen=True, slots=True)
class AuthStarted:
    """Question: AUTH wants a SASL dialogue. Answer with `challenge` or `reply`.

    Attributes:
        mechanism: One of the offered ones, in upper case.
        initial: The initial response, decoded; None where there was none. A secret.
    """

    mechanism: str
    initial: bytes | None

    def __repr__(self) -> str:
        return f"AuthStarted({self.mechanism!r}, ...)"


@dataclass(frozen=True, slots=True)
class AuthContinued:
    """Question: the response to the last challenge, decoded. A secret."""

    response: bytes

    def __repr__(self) -> str:
        return "AuthContinued(...)"


@dataclass(frozen=True, slots=True)
class AuthAbandoned:
    """The SASL dialogue is over without a result: cancelled, or not intelligible."""


@dataclass(frozen=True, slots=True)
class TLSRequested:
    """Write what is to be sent, then start TLS; then call `tls_established`."""


@dataclass(frozen=True, slots=True)
class AnswerOverdue:
    """The question in hand has waited for too long; it is to be answered now."""


Question = (
    Connected
    | Secured
    | ClientIntroduced
    | MailReceived
    | RcptReceived
    | DataStarted
    | DataEnded
    | AuthStarted
    | AuthContinued
)
Event = Question | DataReceived | DataRefused | AuthAbandoned | TLSRequested | AnswerOverdue
