"""What a client session was told to do: security, pipelining, chunking, windows and deadlines."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Security(Enum):
    """When a connection turns to TLS."""

    #: From the first octet, before the greeting (RFC 8314).
    IMPLICIT = "implicit"
    #: By STARTTLS, asked for even where it is not offered; a refusal ends the session.
    REQUIRED = "required"
    #: By STARTTLS where it is offered; then a refusal ends the session.
    OFFERED = "offered"
    #: By STARTTLS where it is offered; after a refusal the session goes on in clear.
    OPPORTUNISTIC = "opportunistic"
    #: Never.
    IGNORED = "ignored"


class Pipelining(Enum):
    """How far commands may run ahead of replies where the peer offers PIPELINING (RFC 2920)."""

    #: Within a transaction, and the next one's envelope right behind the end of mail data.
    FULL = "full"
    #: Within a transaction only.
    TRANSACTION = "transaction"
    #: One command, one reply.
    OFF = "off"


class Chunking(Enum):
    """When mail data goes by BDAT where the peer offers CHUNKING (RFC 3030)."""

    #: For BINARYMIME, streamed bodies and deep queues.
    AUTO = "auto"
    #: Wherever it is offered.
    ALWAYS = "always"
    #: Never.
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Window:
    """How much may be undecided at once; so also how much is in doubt when the peer dies.

    Attributes:
        transactions: Mail transactions that have left and are not answered, at most.
        octets: Octets of commands and chunks that have left and are not answered, after
            which nothing more is begun.
    """

    transactions: int = 16
    octets: int = 512 * 1024


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Deadlines in seconds, each of them until the *complete* reply (RFC 5321 section 4.5.3.2).

    Attributes:
        greeting: From the connection to the greeting.
        tls: For one TLS handshake.
        command: For the reply to a command; EHLO, MAIL, RCPT, RSET, NOOP and AUTH alike.
        data: For the reply to DATA.
        block: For one chunk of mail data: until the transport asks for the next one.
        mark: For the reply to the end of mail data. Shorter than ten minutes makes
            duplicates, because the peer may just be done when we give up.
        quit: For the reply to QUIT, which nobody needs.
        inactivity: Without an octet in either direction, in whatever state.
    """

    greeting: float = 30.0
    tls: float = 30.0
    command: float = 300.0
    data: float = 120.0
    block: float = 180.0
    mark: float = 600.0
    quit: float = 5.0
    inactivity: float = 600.0
