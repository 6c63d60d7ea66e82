"""The terms of a client session: the same for each connection to a server, and made once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from txsmtpconn.session.client.policy import Chunking, Pipelining, Security, Timeouts, Window
from txsmtpconn.session.client.rendering import client_greeting
from txsmtpconn.session.dialect import SMTP, Dialect
from txsmtpconn.wire.limits import ReplyLimits

_TIMEOUTS: Final = Timeouts()
_WINDOW: Final = Window()
_LIMITS: Final = ReplyLimits()


@dataclass(frozen=True, slots=True)
class Terms:
    """All that a client session was told.

    Attributes:
        name: Our name for EHLO, as it goes on the wire: a domain or an address literal.
        dialect: SMTP, submission or LMTP.
        security: When to turn to TLS.
        auth_required: Whether the session is worth nothing without AUTH, so that HELO, which
            offers none, is no way out.
        timeouts: The deadlines.
        pipelining: How far commands may run ahead of replies.
        chunking: When mail data goes by BDAT.
        window: How much may be undecided at once.
        limits: How much of a reply is taken in.
        hello: EHLO or LHLO, with our name.

    Raises:
        LocalProtocolError: The name holds something else than a domain or address literal.
    """

    name: bytes
    dialect: Dialect = SMTP
    security: Security = Security.OFFERED
    auth_required: bool = False
    timeouts: Timeouts = _TIMEOUTS
    pipelining: Pipelining = Pipelining.FULL
    chunking: Chunking = Chunking.AUTO
    window: Window = _WINDOW
    limits: ReplyLimits = _LIMITS
    hello: bytes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hello", client_greeting(self.dialect.hello, self.name))
