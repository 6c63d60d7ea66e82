"""The facts that a client session reports: one for each thing its caller must know.

There is one event for each message, not one for each command or line. Events are values;
the operations and transactions that they name are the caller's own objects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from txsmtpconn.errors import SMTPError
    from txsmtpconn.session.client.transaction import Operation, Transaction
    from txsmtpconn.wire.extensions import Extensions
    from txsmtpconn.wire.reply import Reply


@dataclass(frozen=True, slots=True)
class TLSAgreed:
    """Start TLS now; then call ``tls_established``, or ``connection_lost`` where it failed."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The greeting, EHLO and, where the policy wants it, STARTTLS are done."""

    extensions: Extensions


@dataclass(frozen=True, slots=True)
class ChallengeReceived:
    """The peer sent a SASL challenge, decoded; answer it with ``respond``."""

    operation: Operation
    data: bytes


@dataclass(frozen=True, slots=True)
class WordsAnswered:
    """The peer answered a line of ``OwnWords``; go on with ``say`` or ``conclude``."""

    operation: Operation
    reply: Reply


@dataclass(frozen=True, slots=True)
class BodyWanted:
    """The peer is ready for the streamed body of this transaction."""

    transaction: Transaction


@dataclass(frozen=True, slots=True)
class BodyUnwanted:
    """Send no more of this transaction's body: the peer has answered, or is gone."""

    transaction: Transaction


@dataclass(frozen=True, slots=True)
class MarkDue:
    """All is sent but the end mark, which waits for ``release_mark`` (or a withdrawal)."""

    transaction: Transaction


@dataclass(frozen=True, slots=True)
class OperationEnded:
    """An operation other than a mail transaction has ended.

    Attributes:
        reply: The reply that ended it, or None where none came.
        error: Why there was no such reply, or why it cannot be trusted.
    """

    operation: Operation
    reply: Reply | None
    error: SMTPError | None = None


@dataclass(frozen=True, slots=True)
class TransactionEnded:
    """A mail transaction has ended; ``transaction.outcomes()`` tells how. Comes exactly once."""

    transaction: Transaction

    def __init__(self, transaction: Transaction) -> None:
        _set_ended(self, transaction)


# The way into a slot past the frozen __setattr__, at half the price of object.__setattr__: every
# message has this event.
_set_ended = TransactionEnded.__dict__["transaction"].__set__


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """The last event, exactly once. The connection is to be closed.

    Attributes:
        cause: None after a QUIT; else why the session cannot go on.
    """

    cause: SMTPError | None


Event = (
    TLSAgreed
    | Ready
    | ChallengeReceived
    | WordsAnswered
    | BodyWanted
    | BodyUnwanted
    | MarkDue
    | OperationEnded
    | TransactionEnded
    | SessionEnded
)
